"""`vfxswap publish` as people, scripts and a farm's last step run it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .. import support
from ..farm.conftest import environment
from .conftest import FRAMES, Shot, consent, rewrite, run


def test_as_a_program(shot: Shot) -> None:
    """One process: what it says, where, and with which code."""
    words = [sys.executable, "-m", "vfxswap", "publish", shot.file]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment())
    folder = shot.output / "publish" / "v001"
    assert (done.returncode, done.stdout) == (0, f"{folder}: {len([*folder.iterdir()]) - 1} files, read-only\n")
    rewrite(shot.frame(1002), lambda channels: channels["R"].fill(0.5))
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 77
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["VS-MAT-003", "VS-PRV-002"]
    last = done.stderr.splitlines()[-1]
    assert last.startswith("vfxswap: error: VS-MAT-003 frames 1002: ") and "(and 1 more); render" in last
    assert not (folder.parent / "v002").exists()


def test_check_publishes_nothing(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("publish", shot.file, "--into", shot.into, "--check") == 0
    assert not shot.into.exists()
    shot.frame(1002).unlink()
    capsys.readouterr()
    assert run("publish", shot.file, "--into", shot.into, "--check", "--json") == 77
    said = capsys.readouterr()
    report = json.loads(said.out)
    (finding,) = report["findings"]
    assert (report["ok"], finding["code"], finding["frames"], finding["repair"]) == (
        False,
        "VS-SEQ-001",
        [1002],
        "render",
    )
    assert not shot.into.exists()


def test_repair_in_a_shell(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    shot.frame(1002).unlink()
    shot.frame(1003).rename(shot.output / "copy.1003.exr")
    assert run("publish", shot.file, "--repair", "rename") == 0
    assert "copy.1003.exr is out.1003.exr again" in capsys.readouterr().out
    assert run("publish", shot.file, "--repair", "render", "--area", "sequence") == 0
    assert "frames 1002 are rendered again" in capsys.readouterr().out
    assert run("publish", shot.file, "--repair", "quarantine") == 0
    assert "nothing to repair in this way" in capsys.readouterr().out
    assert run("publish", shot.file) == 0


def test_frames_without_a_job(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    """What the manifest says stands in for the job; only making frames again needs the job itself."""
    who = [word for path in shot.job.consents for word in ("--consent", path)]
    words = ["publish", shot.output, "--plate", shot.job.plate, "--model", shot.job.model, *who,
             "--keyring", shot.job.keyring, "--into", shot.into]  # fmt: skip
    assert run(*words) == 0, capsys.readouterr().err
    assert shot.versions == ["v001"]
    shot.frame(1002).unlink()
    assert run(*words) == 77
    assert run(*words, "--repair", "render") == 4
    assert "the job that made these frames is not known" in capsys.readouterr().err
    assert run(*words, "--shot", "show/sq/other") == 77
    assert "VS-PRV-010 the frames were rendered for something else: shot local/local/" in capsys.readouterr().out


def test_events(shot: Shot) -> None:
    rewrite(shot.frame(1002), lambda channels: channels["R"].__setitem__((128, 128), -0.5))
    words = [sys.executable, "-m", "vfxswap", "publish", shot.file, "--events", "-"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment())
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 77
    assert said[0]["event"] == "started" and said[-1]["event"] == "error"
    warned = {one["code"] for one in said if one["event"] == "warning"}
    assert {"VS-PRV-002", "VS-IMG-009"} <= warned
    assert said[-1]["code"] in warned


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["nothing.json"], 4, "no such job file"),
        (["{out}"], 2, "is no job"),
        (["{job}", "--plate", "x"], 2, "for frames without a job"),
        (["{job}", "--check", "--repair", "render"], 2, "give one of them"),
        (["{job}", "--repair", "version"], 2, "--repair"),
        (["{job}", "--area", "matte"], 2, "--area without --repair"),
        (["{job}", "--version", "0"], 2, "greater than or equal to 1"),
        (["{job}", "--approve-gap", "x"], 2, "not a frame range"),
        (["{job}", "--qc", "no.json"], 4, "no such file: no.json"),
        (["{job}", "--shot", "a/../b"], 77, "VS-CON-011"),
        (["{job}", "--reference", "no.json"], 77, "VS-CON-001"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], code: int, says: str, shot: Shot, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("publish", *[word.format(job=shot.file, out=shot.output) for word in words], "--into", shot.into) == code
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith("vfxswap: error: ") and says in said[-1]
    assert not shot.into.exists()


def test_a_folder_that_cannot_be_written(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    shot.into.write_text("a file")
    assert run("publish", shot.file, "--into", shot.into) == 4
    assert str(shot.into) in capsys.readouterr().err
    assert shot.into.read_text() == "a file"


def test_no_frame_at_all_is_no_publish(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    for frame in FRAMES:
        shot.frame(frame).unlink()
    assert run("publish", shot.file, "--into", shot.into) == 4
    assert "render it first" in capsys.readouterr().err
    shutil.rmtree(shot.output)
    assert run("publish", shot.file, "--into", shot.into) == 4
    assert "there is no folder" in capsys.readouterr().err
    assert not shot.into.exists()


def test_consent_to_swap_is_none_to_publish(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    only = consent(shot.studio, "anna", shot.root, uses=["train", "swap"])
    changed = shot.change(consents=(shot.job.consents[0], only))
    assert run("publish", changed.file, "--into", shot.into) == 77
    assert "VS-CON-008" in capsys.readouterr().err
    assert not shot.into.exists()


# ---------------------------------------------------------------------------------------------------- farm


def test_the_farms_last_step_publishes_what_is_whole(tmp_path: Path, production: support.Studio) -> None:
    plate = support.write_plate(tmp_path / "plate", frames=2)
    support.job(production, plate, tmp_path / "out").save(tmp_path / "job.json")
    farm, into = tmp_path / "farm", tmp_path / "published"
    assert run("farm", "submit", tmp_path / "job.json", "--to", "openjd", "--into", farm, "--publish", into) == 0
    template = json.loads((farm / "template.json").read_text())
    words = template["steps"][-1]["script"]["actions"]["onRun"]["args"]
    assert words[-2:] == ["--publish", str(into)]
    assert all("--publish" not in json.dumps(step) for step in template["steps"][:-1])
    job = farm / "job.json"
    for step in ("track", "measure"):
        assert run("farm", "work", step, job) == 0
    assert run("farm", "work", "swap", job, "--frames=1001") == 0
    assert run("farm", "work", "finalise", job, "--publish", into) == 3  # not all frames are there
    assert not into.exists()
    assert run("farm", "work", "swap", job, "--frames=1002") == 0
    assert run("farm", "work", "finalise", job, "--publish", into) == 0
    assert sorted(path.name for path in into.glob("v*")) == ["v001"]
    assert run("farm", "work", "swap", job, "--publish", into) == 2


def test_a_job_without_leave_to_publish_is_refused_when_it_is_submitted(
    tmp_path: Path, production: support.Studio, capsys: pytest.CaptureFixture[str]
) -> None:
    plate = support.write_plate(tmp_path / "plate", frames=2)
    only = consent(production, "ben", tmp_path, uses=["swap"])
    job = support.job(production, plate, tmp_path / "out", consents=(only, production.consents[1]))
    job.save(tmp_path / "job.json")
    submit = ["farm", "submit", tmp_path / "job.json", "--to", "openjd", "--into", tmp_path / "farm"]
    assert run(*submit, "--publish", tmp_path / "published") == 77
    assert "VS-CON-008" in capsys.readouterr().err
    assert not (tmp_path / "farm").exists()
    assert run(*submit) == 0
