"""`track`, `measure`, `swap` and `run` on the shipped shot, through the command as a user calls it."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from vfxswap import exr
from vfxswap.cli.common import shipped

DEMO = shipped("examples/demo")
MODEL = next(DEMO.glob("*.vfxmodel"), DEMO / "missing.vfxmodel")
TRUST = [
    *("--consent", str(DEMO / "trust" / "demo-anna.consent.json")),
    *("--consent", str(DEMO / "trust" / "demo-ben.consent.json")),
    *("--keyring", str(DEMO / "trust" / "keyring"), "--shot", "demo/rendered/talk"),
]


def vfxswap(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vfxswap", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240, **options)  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three frames of the shipped plate."""
    folder = tmp_path_factory.mktemp("plate")
    for frame in (1003, 1004, 1005):
        shutil.copy(DEMO / "plate" / f"plate.{frame}.exr", folder)
    return folder


@pytest.fixture(scope="module")
def track(plate: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("track") / "shot.vfxtrack"
    done = vfxswap("track", plate / "plate.####.exr", "--output", path)
    assert done.returncode == 0, done.stderr
    return path


def swap(plate: object, output: object, *more: object, trust: list[str] = TRUST) -> subprocess.CompletedProcess[str]:
    return vfxswap("swap", plate, "--model", MODEL, "--output", output, *trust, *more)


def everything(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def fails(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """One line that holds the words, no traceback, and the exit code of the contract."""
    assert done.returncode == code, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("vfxswap: error:")]
    assert len(errors) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in errors[0], errors[0]


def test_track_export_json(track: Path, tmp_path: Path) -> None:
    done = vfxswap("track", "export", track, "--to", "json", "--output", tmp_path / "t.json")
    assert done.returncode == 0, done.stderr
    data = json.loads((tmp_path / "t.json").read_text())
    assert list(data["frames"]) == ["1003", "1004", "1005"]
    assert len(data["frames"]["1004"]["faces"][0]["landmarks"]) == 478


def test_steps_of_their_own_give_what_the_implicit_ones_give(plate: Path, track: Path, tmp_path: Path) -> None:
    shot = tmp_path / "shot.vfxshot"
    done = vfxswap("measure", plate, "--track", track, "--model", MODEL, "--output", shot, *TRUST)
    assert done.returncode == 0, done.stderr
    assert swap(plate, tmp_path / "a" / "x.%04d.exr").returncode == 0
    explicit = swap(plate, tmp_path / "b" / "x.%04d.exr", "--track", track, "--measurements", shot)
    assert explicit.returncode == 0, explicit.stderr
    for frame in (1003, 1004, 1005):
        name = f"x.{frame}.exr"
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_chunks_give_the_bytes_of_the_whole_and_a_rerun_skips(plate: Path, track: Path, tmp_path: Path) -> None:
    job = tmp_path / "job.json"
    whole = swap(plate, tmp_path / "whole" / "x.%04d.exr", "--track", track, "--save-job", job)
    assert whole.returncode == 0, whole.stderr
    data = json.loads(job.read_text())
    data["output"] = str(tmp_path / "parts" / "x.%04d.exr")
    job.write_text(json.dumps(data))
    for chunk in ("1005", "1003-1004"):
        done = vfxswap("run", job, "--frames", chunk, "--events", "-")
        assert done.returncode == 0, done.stderr
        events = [json.loads(line) for line in done.stdout.splitlines()]
        assert events[0]["event"] == "started"
        assert events[-1]["event"] == "done"
        assert all(event["v"] == 1 for event in events)
    for frame in (1003, 1004, 1005):
        name = f"x.{frame}.exr"
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()
    again = vfxswap("run", job, "--events", "-")
    assert json.loads(again.stdout.splitlines()[-1])["counts"]["skipped"] == 3


def test_missing_sequence_and_folder(tmp_path: Path) -> None:
    fails(swap(tmp_path / "none.####.exr", tmp_path / "o" / "x.%04d.exr"), 4, "none")
    assert not (tmp_path / "o").exists()


def test_no_face_anywhere(tmp_path: Path) -> None:
    grey = np.full((240, 320), 0.18, np.float16)
    for frame in (1, 2):
        exr.write_channels(tmp_path / "p" / f"p.{frame:04d}.exr", channels=dict.fromkeys("RGB", grey))
    fails(swap(tmp_path / "p", tmp_path / "o" / "x.%04d.exr"), 4, "no face")
    assert not list((tmp_path / "o").glob("*.exr"))


def test_truncated_frame_among_good_ones(plate: Path, tmp_path: Path) -> None:
    shutil.copytree(plate, tmp_path / "p")
    broken = tmp_path / "p" / "plate.1004.exr"
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    done = swap(tmp_path / "p", tmp_path / "o" / "x.%04d.exr")
    fails(done, 3, "1 frames failed", "1004")
    assert sorted(path.name for path in (tmp_path / "o").glob("*.exr")) == ["x.1003.exr", "x.1005.exr"]


def test_every_frame_truncated(plate: Path, tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    data = (plate / "plate.1003.exr").read_bytes()
    (tmp_path / "p" / "plate.1003.exr").write_bytes(data[: len(data) // 2])
    fails(swap(tmp_path / "p", tmp_path / "o" / "x.%04d.exr"), 4, "plate.1003.exr")


def test_unknown_color_space_names_near_ones(plate: Path, tmp_path: Path) -> None:
    fails(swap(plate, tmp_path / "x.%04d.exr", "--colorspace", "ACEScgg"), 4, "ACEScgg", "ACEScg")


def test_wrong_model_file(plate: Path, tmp_path: Path) -> None:
    (tmp_path / "m.vfxmodel").write_bytes(b"not a zip")
    done = vfxswap("swap", plate, "--model", tmp_path / "m.vfxmodel", "--output", tmp_path / "x.%04d.exr", *TRUST)
    fails(done, 4, "m.vfxmodel")
    assert [path.name for path in everything(tmp_path)] == ["m.vfxmodel"]


def test_output_equal_to_input(plate: Path) -> None:
    before = {path: path.read_bytes() for path in everything(plate)}
    fails(swap(plate, plate / "plate.%04d.exr"), 4, "output is the plate")
    assert {path: path.read_bytes() for path in everything(plate)} == before


def test_output_that_cannot_be_made(plate: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    fails(swap(plate, tmp_path / "file" / "x.%04d.exr"), 4, "file")


def test_full_disk(plate: Path, track: Path, tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    command = ["swap", plate, "--model", MODEL, "--output", tmp_path / "x.%04d.exr", "--track", track, *TRUST]
    done = vfxswap(*command, preexec_fn=limit)
    fails(done, 3, "full")
    assert not list(tmp_path.glob("*.exr"))
    assert not list(tmp_path.glob(".*.tmp"))


@pytest.mark.parametrize(
    ("trust", "rule"),
    [
        ([], "VS-CON-001"),
        (TRUST[:2] + TRUST[4:], "VS-CON-001"),
        ([*TRUST[:-1], "../x/y"], "VS-CON"),
    ],
)
def test_without_consent_nothing_is_written(plate: Path, tmp_path: Path, trust: list[str], rule: str) -> None:
    fails(swap(plate, tmp_path / "o" / "x.%04d.exr", trust=trust), 77, rule)
    assert not list(tmp_path.iterdir())


def test_terminated_run_leaves_whole_files_and_goes_on(track: Path, tmp_path: Path) -> None:
    arguments = ["--track", track, "--layers", "ingredients", *TRUST]
    command = ["swap", DEMO / "plate", "--model", MODEL, "--output", tmp_path / "x.%04d.exr", *arguments]
    process = subprocess.Popen(
        [sys.executable, "-m", "vfxswap", *map(str, command), "--events", "-"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["event"] == "frame_done":
            process.send_signal(signal.SIGTERM)
            break
    rest = process.stdout.read()
    assert process.wait(timeout=60) == 75
    assert json.loads(rest.splitlines()[-1])["code"] == "cancelled"
    done = sorted(tmp_path.glob("*.exr"))
    assert 1 <= len(done) < 11
    for path in done:
        assert exr.read(path).rgb.shape == (540, 960, 3)
    assert not list(tmp_path.glob(".*.tmp"))


def test_killed_run_leaves_no_half_file(track: Path, tmp_path: Path) -> None:
    arguments = ["--track", track, "--layers", "ingredients", *TRUST]
    command = ["swap", DEMO / "plate", "--model", MODEL, "--output", tmp_path / "x.%04d.exr", *arguments]
    process = subprocess.Popen([sys.executable, "-m", "vfxswap", *map(str, command)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".x.*.tmp")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.002)
    process.kill()
    process.wait()
    for path in tmp_path.glob("*.exr"):
        assert exr.read(path).rgb.shape == (540, 960, 3)
    again = vfxswap(*command)
    assert again.returncode == 0, again.stderr
    assert len(list(tmp_path.glob("*.exr"))) == 11
    assert not list(tmp_path.glob(".*.tmp"))
