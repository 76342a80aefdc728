"""`retrain` as installed: the worst frames of a report teach the model, once, however often it is broken or asked."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vfxswap import faceset
from vfxswap.errors import FacesetError
from vfxswap.train.retrain import _check_face

from .facesets import COMMAND, ENVIRONMENT, Done, Place, files, vfxswap

WORST = (1003, 1001)


@pytest.fixture(scope="module")
def trained(place: Place) -> Path:
    folder = place.root / "retrained"
    done = place.train(folder, "--preset", "test", "--steps", "4", "--batch", "2", "--precision", "fp32")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    """A begun training of this test's own."""
    return Path(shutil.copytree(trained, tmp_path / "m"))


def report_of(folder: Path, *frames: int) -> Path:
    path = folder / "worst.json"
    entries = [{"frame": frame, "score": len(frames) - i, "reason": "soft"} for i, frame in enumerate(frames)]
    path.write_text(json.dumps({"schema": "vfxswap.worst/1", "frames": entries}))
    return path


def qc_report_of(folder: Path, *frames: int) -> Path:
    """What `vfxswap qc` says of frames with alarms, as far as anybody reads it."""
    path = folder / "qc.json"
    entries = [
        {"frame": frame, "score": 9.0 - i, "reason": "too soft", "reasons": ["too soft"], "shot": "look.####.exr"}
        for i, frame in enumerate(frames)
    ]
    path.write_text(json.dumps({"schema": "vfxswap.qc/1", "worst": entries, "frames": []}))
    return path


def arguments(place: Place, model: Path, report: Path, *more: object) -> tuple[object, ...]:
    plate = place.root / "anna_plate" / "look.####.exr"
    return ("retrain", model, "--report", report, "--plate", plate, *place.facesets, "--device", "cpu", *more)


def retrain(place: Place, model: Path, report: Path, *more: object) -> Done:
    return vfxswap(*arguments(place, model, report, *place.trust, *more))


def state_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "state.json").read_text())
    return found


def contents(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files(folder)}


@pytest.mark.slow
def test_the_worst_frames_join_and_are_learned_once(place: Place, model: Path, tmp_path: Path) -> None:
    report = report_of(tmp_path, *WORST, 1002)
    done = retrain(place, model, report, "--worst", "2", "--steps", "3")
    assert done.returncode == 0, done.stderr
    state = state_of(model)
    assert (state["step"], set(state["data"])) == (7, {"likeness", "likeness 2", "double", "double 2"})
    double = faceset.load(model / "retrain" / "double")
    assert sorted(crop.frame for crop in double.crops) == sorted(WORST)
    assert state["data"]["double 2"] == double.digest()
    # The plate is tracked and exposed as a whole, whatever frames are wanted.
    whole = {crop.frame: crop for crop in faceset.load(place.root / "anna").crops}
    for crop in double.crops:
        same = whole[crop.frame]
        assert (crop.sha256, crop.gain, crop.key) == (same.sha256, same.gain, same.key)
    near = faceset.load(model / "retrain" / "likeness")
    main = {crop.name: crop for crop in faceset.load(place.root / "ben").crops}
    assert near.performer == "ben"
    assert all(crop.sha256 == main[crop.name].sha256 for crop in near.crops)
    assert len(near.crops) >= 1

    before = contents(model)
    again = retrain(place, model, report, "--worst", "2", "--steps", "3")
    assert again.returncode == 0, again.stderr
    assert "these frames are learned already" in again.stderr
    assert contents(model) == before

    # More frames of the same plate: those that are there stay as they are.
    more = retrain(place, model, report, "--worst", "3", "--steps", "1")
    assert more.returncode == 0, more.stderr
    assert state_of(model)["step"] == 8
    wider = faceset.load(model / "retrain" / "double")
    assert sorted(crop.frame for crop in wider.crops) == [1001, 1002, 1003]
    assert {crop.name: crop.sha256 for crop in double.crops}.items() <= {c.name: c.sha256 for c in wider.crops}.items()
    rounds = json.loads((model / "retrain" / "rounds.json").read_text())["rounds"]
    assert [(len(one["frames"]), one["steps"], one["done"]) for one in rounds] == [(2, 7, True), (3, 8, True)]


def test_frames_of_somebody_else_are_dropped_and_refused(place: Place, tmp_path: Path) -> None:
    """The face of every performer here is the same picture's: another is made of its embeddings."""
    main = faceset.load(place.root / "anna")
    collected = faceset.load(Path(shutil.copytree(place.root / "anna", tmp_path / "double")))
    pattern, frames = collected.crops[0].plate, [crop.frame for crop in collected.crops]
    _check_face(collected, main, pattern=pattern, frames=frames)
    other = replace(main, embeddings=main.embeddings + 0.6 / np.sqrt(main.embeddings.shape[1]))
    with pytest.raises(FacesetError, match=r"not consistent with anna: distance 0\.\d+, at most 0\.5"):
        _check_face(collected, other, pattern=pattern, frames=frames)
    assert {crop.verdict for crop in faceset.load(collected.folder).crops} == {"drop"}


@pytest.mark.slow
def test_killed_it_goes_on_with_the_same_command(place: Place, model: Path, tmp_path: Path) -> None:
    report = report_of(tmp_path, *WORST)
    same = arguments(place, model, report, *place.trust, "--worst", "2", "--steps", "20")
    for stage in ("crops", "train"):
        kill_in(stage, *same)
        rounds = json.loads((model / "retrain" / "rounds.json").read_text())["rounds"]
        assert [(one["steps"], one["done"]) for one in rounds] == [(24, False)]
    done = vfxswap(*same)
    assert done.returncode == 0, done.stderr
    assert state_of(model)["step"] == 24
    crops = faceset.load(model / "retrain" / "double").crops
    assert sorted(crop.frame for crop in crops) == sorted(WORST)
    assert not (model / "retrain" / "double" / ".building").exists()


def kill_in(stage: str, *command: object) -> None:
    """Start the command and kill it once it says that it is at a stage."""
    process = subprocess.Popen(
        [COMMAND, *map(str, (*command, "--events", "-"))], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "progress" and event["stage"] == stage:
            break
    process.kill()
    assert process.wait(timeout=60) == -9


def test_into_a_new_folder_the_old_training_stays_as_it_is(place: Place, model: Path, tmp_path: Path) -> None:
    before = contents(model)
    new = tmp_path / "new"
    done = retrain(place, model, qc_report_of(tmp_path, *WORST), "--steps", "2", "--into", new)
    assert done.returncode == 0, done.stderr
    assert contents(model) == before
    state = state_of(new)
    assert (state["step"], state["config"]["preset"], state["warm_start"]["step"]) == (2, "test", 4)
    (only,) = json.loads((new / "retrain" / "rounds.json").read_text())["rounds"]
    assert [(one["frame"], one["reason"]) for one in only["frames"]] == [(1003, "too soft"), (1001, "too soft")]


@pytest.mark.parametrize(
    ("frames", "more", "code", "said"),
    [
        ((1009,), ("--steps", "1"), 2, "has no frame 1009, which the report names"),
        ((1001,), ("--steps", "1", "--minutes", "1"), 2, "--steps and --minutes are both given"),
        ((), ("--steps", "1"), 2, "no frame came out badly in worst.json"),
        ((1001,), ("--of", "walk", "--steps", "1"), 2, "has no frames of 'walk'"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_trains_nothing(
    place: Place, model: Path, tmp_path: Path, frames: tuple[int, ...], more: tuple[str, ...], code: int, said: str
) -> None:
    before = contents(model)
    done = retrain(place, model, report_of(tmp_path, *frames), *more)
    assert done.returncode == code
    assert said in done.stderr
    left = contents(model)
    assert {name: left[name] for name in before} == before


def test_a_folder_without_training_is_4(place: Place, tmp_path: Path) -> None:
    done = retrain(place, tmp_path / "none", report_of(tmp_path, 1001))
    assert done.returncode == 4
    assert "no training in" in done.stderr
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("given", [(), (1,)])
def test_without_consent_nothing_is_read_or_written(
    place: Place, model: Path, tmp_path: Path, given: tuple[int, ...]
) -> None:
    before = contents(model)
    consents = [part for i in given for part in ("--consent", place.studio.consents[i])]
    done = vfxswap(*arguments(place, model, report_of(tmp_path, 1001), *consents, "--keyring", place.studio.keyring))
    assert done.returncode == 77
    assert done.stderr.startswith("vfxswap: error: VS-CON-0")
    assert contents(model) == before


# ---------------------------------------------------------------------------------------------------- other uses


def test_age_wants_the_same_performer_and_digital_several(place: Place, tmp_path: Path) -> None:
    ben, anna = place.root / "ben", place.root / "anna"
    for likeness, use, said in (
        ((ben,), "age", "--use age with facesets of ben and anna"),
        ((ben,), "digital", "--use digital with facesets of ben alone"),
        ((ben, anna), "swap", "the facesets are of ben and anna; give facesets of one performer for a role"),
    ):
        sets = [part for folder in likeness for part in ("--likeness", folder)]
        done = vfxswap("train", tmp_path / "m", "--use", use, *sets, "--double", anna, "--steps", "1", *place.trust)
        assert done.returncode == 2
        assert said in done.stderr
    # Anna consents to be the double, not to be part of the likeness.
    done = vfxswap("train", tmp_path / "m", "--use", "digital", "--likeness", ben, "--likeness", anna,
                   "--double", anna, "--steps", "1", *place.trust)  # fmt: skip
    assert done.returncode == 77
    assert "VS-CON-007" in done.stderr
    assert not (tmp_path / "m").exists()


def test_what_a_training_is_for_need_not_be_said_again(place: Place, trained: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(trained, tmp_path / "m"))
    other = place.train(model, "--use", "restore", "--steps", "5")
    assert other.returncode == 2
    assert "--use restore with facesets of ben and anna" in other.stderr
    assert state_of(model)["config"]["use"] == "swap"
