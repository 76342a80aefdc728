"""The template, really run by Open Job Description's own command line on frames of the demo shot."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from vfxswap import exr

from .conftest import PROGRAM, Farm, environment, execute, started

openjd = pytest.importorskip("openjd.cli", reason="needs the extra `farm`")

OPENJD = str(Path(PROGRAM).with_name("openjd"))
DEMO = Path(__file__).parents[2] / "examples" / "demo"
FRAMES = range(1003, 1007)


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four frames of the demo, run to the end."""
    root = tmp_path_factory.mktemp("demo")
    shutil.copytree(DEMO, root / "demo", ignore=shutil.ignore_patterns("truth", "output"))
    fields = json.loads((root / "demo" / "job.json").read_text())
    fields |= {"frames": f"{FRAMES[0]}-{FRAMES[-1]}", "layers": "comp", "device": "cpu"}
    (root / "demo" / "job.json").write_text(json.dumps(fields))
    return root / "demo"


def _submit(demo: Path, *options: str) -> subprocess.CompletedProcess[str]:
    process = started("farm", "submit", str(demo / "job.json"), "--to", "openjd", "--chunk", "2", *options)
    said, _ = process.communicate(timeout=300)
    return subprocess.CompletedProcess([], process.returncode, said)


def _folder(demo: Path) -> Path:
    """Of the one job that was submitted."""
    (found,) = (demo / "output" / ".vfxswap" / "swapped" / "farm").glob("*/template.json")
    return found.parent


def _frames(demo: Path) -> list[str]:
    return sorted(path.name for path in (demo / "output").glob("*.exr"))


ALL = [f"swapped.{frame}.exr" for frame in FRAMES]


def test_the_template_is_valid(tracked: Path) -> None:
    assert _submit(tracked).returncode == 0
    template = _folder(tracked) / "template.json"
    done = subprocess.run([OPENJD, "check", str(template)], capture_output=True, text=True, check=False)
    assert "passes validation checks" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
def test_a_failure_keeps_the_good_frames_and_a_second_run_does_the_rest(tracked: Path) -> None:
    """The chunk of the bad frame fails, what comes after is not begun; then the shot is whole, signed and published."""
    plate = tracked / "plate" / "plate.1004.exr"
    whole = plate.read_bytes()
    plate.write_bytes(whole[: len(whole) // 2])
    into = tracked / "published"
    failed = _submit(tracked, "--run", "--publish", str(into))
    assert failed.returncode == 3, failed.stdout
    assert "openjd_fail: 1 frames failed, the first: " in failed.stdout
    assert "vfxswap: error: 1 frames failed" in failed.stdout
    assert _frames(tracked) == ["swapped.1003.exr"]
    assert not (tracked / "output" / "swapped.provenance.json").exists() and not into.exists()

    plate.write_bytes(whole)
    done = _submit(tracked, "--run", "--publish", str(into))
    assert done.returncode == 0, done.stdout
    assert "Frame(CHUNK[INT]) = 1003,1004" in done.stdout and "Frame(CHUNK[INT]) = 1005,1006" in done.stdout
    assert _frames(tracked) == ALL
    assert execute("provenance", "verify", str(tracked / "output")) == 0

    (version,) = into.glob("v*")
    assert sorted(path.name for path in version.rglob("swapped.*.exr")) == ALL
    assert execute("provenance", "verify", str(version)) == 0

    times = {path: path.stat().st_mtime_ns for path in (tracked / "output").iterdir() if path.is_file()}
    again = _submit(tracked, "--run")
    assert again.returncode == 0, again.stdout
    assert "2 skipped" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert "PRIVATE KEY" not in done.stdout + again.stdout


@pytest.mark.slow
def test_cancelled_it_leaves_whole_frames_and_goes_on(tracked: Path, tmp_path: Path) -> None:
    demo = tmp_path / "demo"
    shutil.copytree(tracked, demo)
    shutil.rmtree(demo / "output", ignore_errors=True)
    fields = json.loads((demo / "job.json").read_text())
    (demo / "job.json").write_text(json.dumps({**fields, "frames": "1003-1013", "layers": "ingredients"}))
    process = started("farm", "submit", str(demo / "job.json"), "--to", "openjd", "--chunk", "11", "--run")
    assert process.stdout is not None
    for line in process.stdout:
        if "openjd_status: swap 1 of 11" in line:
            process.send_signal(signal.SIGTERM)
            break
    said = process.stdout.read()
    assert process.wait(timeout=120) == 75, said
    assert "vfxswap: error: cancelled" in said
    assert "exited with code: 75" in said
    done = _frames(demo)
    assert 1 <= len(done) < 11
    for name in done:
        assert exr.read(demo / "output" / name).rgb.shape == (540, 960, 3)
    assert not list((demo / "output").glob(".*.tmp"))
    again = _submit(demo, "--run")
    assert again.returncode == 0, again.stdout
    assert len(_frames(demo)) == 11


def test_paths_are_mapped_by_the_session(shot: Farm, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Submitted in one place, run in another: nothing of the old one is there any more."""
    assert shot.submit("--to", "openjd", "--command", PROGRAM) == 0
    new = tmp_path_factory.mktemp("elsewhere") / "show"
    shutil.move(shot.root, new)
    trust = shutil.copytree(shot.studio.root, new / "trust")
    job = new / "farm" / "job.json"
    job.write_text(job.read_text().replace(str(shot.studio.root), "/old/trust"))
    rules = [
        {"source_path_format": "POSIX", "source_path": str(old), "destination_path": str(here)}
        for old, here in ((shot.root, new), ("/old/trust", trust))
    ]
    file = new / "rules.json"
    file.write_text(json.dumps({"version": "pathmapping-1.0", "path_mapping_rules": rules}))
    words = [OPENJD, "run", str(new / "farm" / "template.json"), "--step", "Finalise", "--run-dependencies"]
    words += ["--path-mapping-rules", f"file://{file}"]
    for one in json.loads((new / "farm" / "parameter_values.json").read_text())["parameterValues"]:
        words += ["--job-param", f"{one['name']}={one['value']}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((new / "out").glob("*.exr"))) == 4
    assert list((new / "out").glob("*.provenance.json"))
    assert not shot.root.exists()


def test_a_refusal_is_told_with_its_exit_code(tracked: Path, tmp_path: Path) -> None:
    """The consents go while the job is on the farm: the template itself is run, as an engine would."""
    demo = tmp_path / "demo"
    shutil.copytree(tracked, demo)
    shutil.rmtree(demo / "output", ignore_errors=True)
    assert _submit(demo, "--command", PROGRAM).returncode == 0
    folder = _folder(demo)
    values = json.loads((folder / "parameter_values.json").read_text())["parameterValues"]
    consents = [Path(one["value"]) for one in values if one["name"].startswith("Consent")]
    assert len(consents) == 2
    record = json.loads(consents[0].read_text())
    record["signatures"] = []
    consents[0].write_text(json.dumps(record))
    words = [OPENJD, "run", str(folder / "template.json"), "--step", "Track"]
    for one in values:
        words += ["--job-param", f"{one['name']}={one['value']}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment())
    assert done.returncode != 0
    assert "openjd_fail: VS-CON-002" in done.stdout
    assert "exited with code: 77" in done.stdout
    assert sorted(path.name for path in (demo / "output").iterdir()) == [".vfxswap"]
