"""What an engine may rely on: the same bytes in any split, resume, and that one frame's failure is its own."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import OpenEXR
import PyOpenColorIO
import pytest

from vfxswap import exr, trust
from vfxswap.cli.farm_work import NOTE

from .. import support
from ..support import PASSPHRASE, Studio
from .conftest import FRAMES, Farm, environment, execute, made, nobody_special, started

BUILT_IN = "ocio://cg-config-v2.2.0_aces-v1.3_ocio-v2.4"
SHUFFLED = [1003, 1001, 1004, 1002]


@pytest.mark.parametrize("chunks", [["1001-1004"], ["1001,1002,1003,1004"], ["1004-1001"], ["1001-1003:2", "1002,1004"],
                                    [str(frame) for frame in SHUFFLED]])  # fmt: skip
def test_any_split_gives_the_same_bytes(tracked: Farm, chunks: list[str]) -> None:
    parts = tracked.elsewhere("split " + "; ".join(chunks))
    for chunk in chunks:
        assert parts.work("swap", f"--frames={chunk}") == 0
    assert parts.digests() == tracked.digests() and len(parts.digests()) == len(FRAMES)


def test_a_job_of_the_farm_gives_the_bytes_of_a_swap_on_one_machine(tracked: Farm, tmp_path: Path) -> None:
    fields = json.loads(tracked.job.read_text())
    alone = tmp_path / "alone.json"
    alone.write_text(json.dumps({**fields, "output": str(tmp_path / "out" / "out.####.exr")}))
    assert execute("run", str(alone)) == 0
    assert Farm(tmp_path, tracked.studio).digests() == tracked.digests()


def test_every_step_again_makes_nothing_again(shot: Farm, capfd) -> None:
    shot.prepared()
    assert shot.work("swap", "--frames=1001-1002") == 0
    files = [path for path in shot.root.rglob("*") if path.is_file()]
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in files}
    capfd.readouterr()
    for step in ("track", "measure"):
        assert shot.work(step) == 0
        assert "skipped" in capfd.readouterr().err
    assert shot.work("swap", "--events", "-", "--frames=1001-1002") == 0
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in files} == before


def test_a_bad_frame_fails_alone_and_only_it_is_done_again(shot: Farm, capfd) -> None:
    shot.prepared()
    plate = shot.plate / "shot.1002.exr"
    whole = plate.read_bytes()
    plate.write_bytes(whole[: len(whole) // 2])
    assert shot.work("swap", "--frames=1001-1004", "--engine", "openjd") == 3
    said = capfd.readouterr()
    assert (
        "openjd_fail: 1 frames failed, the first: the plate's frame is not the one that was tracked (frame 1002"
        in said.out
    )
    assert "openjd_progress: 100.0" in said.out
    assert sorted(shot.digests()) == ["out.1001.exr", "out.1003.exr", "out.1004.exr"]
    assert shot.work("finalise") == 3
    assert "frames 1002 are not there, nothing was signed" in capfd.readouterr().err
    assert not list(shot.output.glob("*.provenance.json"))
    plate.write_bytes(whole)
    times = {path: path.stat().st_mtime_ns for path in shot.output.glob("*.exr")}
    assert shot.work("swap", "--frames=1001-1004") == 0
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert len(shot.digests()) == 4
    assert shot.work("finalise") == 0
    assert len(list(shot.output.glob("*.provenance.json"))) == 1


def test_a_frame_that_is_not_there_yet_may_be_tried_again(shot: Farm, capfd) -> None:
    shot.prepared()
    plate = shot.plate / "shot.1003.exr"
    plate.rename(shot.root / "late.exr")
    assert shot.work("swap", "--frames=1003-1004") == 3
    assert shot.work("swap", "--frames=1003") != 0
    (shot.root / "late.exr").rename(plate)
    assert shot.work("swap", "--frames=1003-1004") == 0
    assert sorted(shot.digests()) == ["out.1003.exr", "out.1004.exr"]


def test_another_plate_is_tracked_and_measured_again(shot: Farm, capfd) -> None:
    """A frame that is delivered anew is not rendered with the track of the old one."""
    shot.prepared()
    track = Path(json.loads(Path(shot.worked).read_text())["track"])
    before = track.read_bytes()
    shutil.copy(shot.plate / "shot.1004.exr", shot.plate / "shot.1002.exr")
    assert shot.work("swap", "--frames=1002") == 3
    assert shot.work("track") == 0
    assert track.read_bytes() != before
    capfd.readouterr()
    assert shot.work("swap", "--frames=1002") == 4
    assert "tracked again after it was measured" in capfd.readouterr().err
    assert shot.work("measure") == 0
    assert shot.work("swap") == 0


def test_an_artists_own_track_is_left_alone(shot: Farm) -> None:
    own = shot.root / "mine.vfxtrack"
    shot.prepared()
    shutil.copy(json.loads(Path(shot.worked).read_text())["track"], own)
    job = json.loads(shot.job.read_text())
    shot.job.write_text(json.dumps({**job, "track": str(own)}))
    before = own.stat().st_mtime_ns
    shutil.copy(shot.plate / "shot.1004.exr", shot.plate / "shot.1002.exr")
    shot.prepared()
    assert own.stat().st_mtime_ns == before
    assert not own.with_name(own.name + NOTE).exists()


def test_a_killed_track_step_leaves_no_track_that_its_note_does_not_fit(shot: Farm) -> None:
    shot.prepared()
    track = Path(json.loads(Path(shot.worked).read_text())["track"])
    note = track.with_name(track.name + NOTE)
    note.write_text("{ half a no")
    assert shot.work("swap", "--frames=1001") != 0  # damaged: believed to fit nothing
    assert shot.work("track") == 0
    assert json.loads(note.read_text())["1001"] == exr.file_sha256(shot.plate / "shot.1001.exr")
    assert shot.work("measure") == 0
    assert shot.work("swap", "--frames=1001") == 0


def test_sigterm_ends_with_75_and_whole_frames(tracked: Farm) -> None:
    part = tracked.elsewhere("stopped")
    process = started("farm", "work", "swap", part.worked, "--engine", "openjd")
    assert process.stdout is not None
    for line in process.stdout:
        if "frames 1001-1004" in line:
            process.send_signal(signal.SIGTERM)
            break
    said = process.stdout.read()
    assert process.wait(timeout=60) == 75, said
    assert "openjd_fail: cancelled" in said
    assert {*part.digests().items()} < {*tracked.digests().items()}
    assert not list(part.output.glob(".*.tmp"))
    assert part.work("swap") == 0
    assert part.digests() == tracked.digests()


def test_a_killed_worker_is_gone_on_from(tracked: Farm) -> None:
    part = tracked.elsewhere("killed")
    process = started("farm", "work", "swap", part.worked)
    deadline = time.monotonic() + 60
    while not list(part.output.glob("*.exr")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert {*part.digests().items()} <= {*tracked.digests().items()}
    assert part.work("swap") == 0
    assert part.digests() == tracked.digests()
    assert not list(part.output.glob(".*.tmp"))


def test_two_workers_on_the_same_frames(tracked: Farm) -> None:
    part = tracked.elsewhere("twice")
    both = [started("farm", "work", "swap", part.worked) for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert part.digests() == tracked.digests()
    assert part.work("finalise") == 0
    assert execute("provenance", "verify", str(part.output)) == 0


def test_a_withdrawal_between_chunks(tmp_path: Path, capfd) -> None:
    studio = Studio.make(tmp_path / "studio")
    shot = made(tmp_path / "shot", studio).prepared()
    assert shot.work("swap", "--frames=1001-1002") == 0
    trust.revoke(
        [studio.consents[1]], ring=trust.KeyRing.load(studio.keyring),
        key_file=studio.root / "private" / "revoker.key.pem", passphrase=PASSPHRASE,
    )  # fmt: skip
    before = sorted(shot.root.rglob("*"))
    capfd.readouterr()
    for step in (["swap", "--frames=1003-1004"], ["swap", "--frames=1001"], ["track"], ["measure"], ["finalise"]):
        assert shot.work(*step, "--engine", "openjd") == 77
        assert "openjd_fail: VS-CON-004" in capfd.readouterr().out
    assert sorted(shot.root.rglob("*")) == before


@pytest.mark.skipif(os.name == "nt", reason="modes are of POSIX")
def test_a_folder_that_may_not_be_written(tracked: Farm) -> None:
    part = tracked.elsewhere("read only")
    part.output.mkdir()
    part.output.chmod(0o555)
    words = [*nobody_special(), sys.executable, "-m", "vfxswap", "farm", "work", "swap", part.worked]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, check=False)
    part.output.chmod(0o755)
    assert done.returncode == 4
    assert "no permission to write" in done.stderr and done.stderr.count("vfxswap: error: ") == 1
    assert not list(part.output.iterdir())


def test_an_output_folder_that_cannot_be(tracked: Farm, capfd) -> None:
    part = tracked.elsewhere("in the way")
    part.output.write_text("a file")
    assert part.work("swap") == 4
    assert capfd.readouterr().err.count("\n") >= 1
    assert part.output.read_text() == "a file"


def test_a_full_disk_may_be_tried_again(tracked: Farm) -> None:
    part = tracked.elsewhere("full")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    process = started("farm", "work", "swap", part.worked, "--engine", "openjd", preexec_fn=limit)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 3, said
    assert "openjd_fail: the disk is full" in said
    assert not part.digests() and not list(part.output.glob(".*.tmp"))
    assert part.work("swap") == 0
    assert part.digests() == tracked.digests()


SLOW = """
import os, sys, time
sync, replace = os.fsync, os.replace
os.fsync = lambda file: (time.sleep(0.25), sync(file))
os.replace = lambda *paths: (time.sleep(0.25), replace(*paths))
from vfxswap import cli
sys.argv[0] = "vfxswap"
cli.main()
"""
"""vfxswap where each file takes half a second to reach the disk."""


def test_a_slow_disk(tracked: Farm) -> None:
    """Killed while a frame waits for the disk; then two at once, which overtake each other."""
    part = tracked.elsewhere("slow")
    words = [sys.executable, "-c", SLOW, "farm", "work", "swap", part.worked]
    process = subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 60
    while not list(part.output.glob(".out.*.exr.*.tmp")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert list(part.output.glob(".out.*.exr.*.tmp")), "killed with a frame half way to the disk"
    assert {*part.digests().items()} < {*tracked.digests().items()}
    both = [
        subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    said = [one.communicate(timeout=120)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    assert part.digests() == tracked.digests()
    assert not list(part.output.glob(".*.tmp"))
    assert part.work("finalise") == 0
    assert execute("provenance", "verify", str(part.output)) == 0


def test_another_model_under_the_same_name(tracked: Farm, capfd) -> None:
    part = tracked.elsewhere("model")
    fields = json.loads(Path(part.worked).read_text())
    Path(part.worked).write_text(json.dumps({**fields, "model_sha256": "0" * 64}))
    assert part.work("swap") == 4
    assert "the model is not the one the job was written with" in capfd.readouterr().err


def test_another_color_config(tracked: Farm, capfd) -> None:
    part = tracked.elsewhere("config")
    fields = json.loads(Path(part.worked).read_text())
    Path(part.worked).write_text(json.dumps({**fields, "color_config_hash": "0" * 32}))
    assert part.work("swap") == 4
    assert "is not the one the job was written with" in capfd.readouterr().err


def test_only_swap_has_chunks(shot: Farm, capfd) -> None:
    shot.prepared()
    assert shot.work("track", "--frames=1001") == 4
    assert "track is for the whole shot" in capfd.readouterr().err
    assert shot.work("swap", "--frames=2001") == 4
    assert "no frame of 2001 is in the job's range" in capfd.readouterr().err


def test_a_chunk_with_frames_of_a_gap(shot: Farm) -> None:
    """An engine that knows only first and last: the job's own list decides."""
    job = json.loads(shot.job.read_text())
    shot.job.write_text(json.dumps({**job, "frames": "1001,1003-1004"}))
    shot.prepared()
    assert shot.work("swap", "--frames=1001-1003") == 0
    assert sorted(shot.digests()) == ["out.1001.exr", "out.1003.exr"]


@pytest.mark.parametrize("own", [True, False], ids=["a folder for each eye", "all in one file"])
def test_both_eyes(tmp_path: Path, production: Studio, own: bool) -> None:
    """Each view has a track; chunks give the bytes of the whole."""
    if own:
        for view, shift in (("left", 1001), ("right", 1001)):
            support.write_plate(tmp_path / "plate" / view, frames=2, first=shift)
        plate, output = tmp_path / "plate" / "%V" / "shot.####.exr", tmp_path / "out" / "%V" / "o.####.exr"
    else:
        for frame in (1001, 1002):
            rgb = support.astronaut(256, shift=1.25 * (frame - 1001))
            eyes = {
                f"{eye}{x}": rgb[..., i].astype(np.float16).copy()
                for eye in ("", "right.")
                for i, x in enumerate("RGB")
            }
            (tmp_path / "plate").mkdir(exist_ok=True)
            header = {
                "compression": OpenEXR.ZIP_COMPRESSION,
                "type": OpenEXR.scanlineimage,
                "multiView": ["left", "right"],
            }
            OpenEXR.File(header, eyes).write(str(tmp_path / "plate" / f"s.{frame}.exr"))
        plate, output = tmp_path / "plate" / "s.####.exr", tmp_path / "out" / "o.####.exr"
    farm = Farm(tmp_path, production)
    support.job(production, str(plate), tmp_path, view="all").replace(output=str(output)).save(farm.job)
    farm.prepared()
    assert len(list(farm.folder.glob("*.vfxtrack"))) == 2
    assert farm.work("swap", "--frames=1002") == 0
    assert farm.work("swap", "--frames=1001") == 0
    made_by_chunks = {str(path): path.read_bytes() for path in (tmp_path / "out").rglob("*.exr")}
    assert len(made_by_chunks) == (4 if own else 2)
    assert farm.work("finalise") == 0
    shutil.rmtree(tmp_path / "out")
    assert execute("run", farm.worked) == 0
    assert {str(path): path.read_bytes() for path in (tmp_path / "out").rglob("*.exr")} == made_by_chunks


def test_two_doubles_are_measured_each(tmp_path: Path, production: Studio) -> None:
    other = production.model("passing", support.network(support.PASS_THROUGH))
    shot = made(tmp_path, production, also=[{"face": "0", "model": other}]).prepared()
    fields = json.loads(Path(shot.worked).read_text())
    assert Path(fields["measurements"]).is_file() and Path(fields["also"][0]["measurements"]).is_file()
    assert fields["measurements"] != fields["also"][0]["measurements"]
    assert len(fields["also"][0]["model_sha256"]) == 64
    assert shot.work("swap") == 0
    assert len(shot.digests()) == 4


def test_the_config_of_the_submitter_goes_along(shot: Farm, monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "studio.ocio").write_text(PyOpenColorIO.Config.CreateFromBuiltinConfig(BUILT_IN).serialize())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OCIO", "studio.ocio")
    assert shot.submit("--to", "openjd") == 0
    assert json.loads(Path(shot.worked).read_text())["color_config"] == str(tmp_path / "studio.ocio")
