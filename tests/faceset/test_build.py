"""Building: the same bytes however one gets there, nothing made twice, stills that know of no neighbours."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vfxswap import color, faceset, trust
from vfxswap.errors import Cancelled, ConsentError, FacesetError, FrameError, TrackError, UsageError, VfxSwapError
from vfxswap.events import CancelToken
from vfxswap.faceset.footage import Footage
from vfxswap.faceset.journal import FOLDER
from vfxswap.trust import Grant

from .. import support
from ..cli.facesets import look, write_plate

CONFIG = color.ColorConfig.load(color.PINNED_CONFIG)
SIZE = 64


@pytest.fixture(scope="module")
def grant(production: support.Studio) -> Grant:
    return production.gate().authorize_faceset(performer="ben", shot=trust.ShotId.local("tests"))


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shot of three frames and a folder of four pictures, one of which shows no face."""
    root = tmp_path_factory.mktemp("plates")
    write_plate(root / "shot", frames=3)
    for i, name in enumerate(("a", "b", "c")):
        support.write_frame(root / "stills" / f"{name}.exr", look(i + 5, count=16))
    support.write_frame(root / "stills" / "wall.exr", np.full((96, 96, 3), 0.18, np.float32))
    return root


def footage(*texts: object, **options: Any) -> list[Footage]:
    return [one for text in texts for one in faceset.open_footage(str(text), config=CONFIG, **options)]


def build(folder: Path, grant: Grant, *texts: object, **options: Any) -> faceset.Faceset:
    said: list[VfxSwapError] = options.pop("said", [])
    common: dict[str, Any] = {"performer": "ben", "size": SIZE, "device": "cpu", "warn": said.append}
    return faceset.build(folder, plates=footage(*texts), grant=grant, **{**common, **options})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole(plates: Path, grant: Grant, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shot and stills in one command."""
    folder = tmp_path_factory.mktemp("whole")
    build(folder, grant, plates / "shot", f"{plates / 'stills'},stills")
    return folder


def test_a_faceset_holds_shots_and_stills(whole: Path, plates: Path) -> None:
    made = faceset.load(whole)
    assert [crop.name for crop in made.crops] == [
        "look-00.001001", "look-00.001002", "look-00.001003", "a-01.000001", "b-02.000001", "c-03.000001",
    ]  # fmt: skip
    assert len({crop.gain for crop in made.crops[:3]}) == 1
    assert len({crop.gain for crop in made.crops[3:]}) == 3
    assert [plate.stills for plate in made.plates] == [False, True, True, True, True]
    assert [list(plate.without_face) for plate in made.plates] == [[], [], [], [], [1]]
    assert made.embeddings.any(axis=1).all()
    assert np.isfinite(made.expressions).all()
    assert made.thumbnails.any(axis=(1, 2, 3)).all()
    assert not (whole / FOLDER).exists()
    for crop in made.crops:
        assert len(crop.source_sha256) == len(crop.sha256) == len(crop.key) == 64
        assert {"sharpness", "height", "presence", "inside", "clipped", "enlarged", "white"} <= set(crop.figures)
    assert faceset.references(made).shape == (6, 128)
    np.testing.assert_allclose(faceset.reference(made), made.embeddings.mean(axis=0), atol=0.2)


def test_one_after_the_other_gives_the_same_bytes(whole: Path, plates: Path, grant: Grant, tmp_path: Path) -> None:
    build(tmp_path, grant, plates / "shot")
    build(tmp_path, grant, f"{plates / 'stills'},stills", append=True, size=None)
    assert contents(tmp_path) == contents(whole)


@pytest.mark.parametrize("steps", [2, 5, 8, 11, 14, 17])
def test_an_interrupted_build_goes_on(whole: Path, plates: Path, grant: Grant, tmp_path: Path, steps: int) -> None:
    token, left = CancelToken(), steps

    def progress(stage: str, done: int, total: int) -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            token.cancel()

    texts = (plates / "shot", f"{plates / 'stills'},stills")
    with pytest.raises(Cancelled):
        build(tmp_path, grant, *texts, progress=progress, cancel=token)
    assert not (tmp_path / faceset.INDEX).exists()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.exr")}
    build(tmp_path, grant, *texts)
    assert contents(tmp_path) == contents(whole)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_build_that_was_stopped_at_its_very_end_goes_on_as_well(
    whole: Path, plates: Path, grant: Grant, tmp_path: Path
) -> None:
    """After the index was written, and before what comes last."""
    texts = (plates / "shot", f"{plates / 'stills'},stills")

    def stopped(made: faceset.Faceset) -> None:
        raise Cancelled("cancelled")

    with pytest.raises(Cancelled):
        build(tmp_path, grant, *texts, finish=stopped)
    assert (tmp_path / faceset.INDEX).exists()
    # Another build than the one that was stopped adds nothing to it.
    with pytest.raises(UsageError, match="already holds a faceset"):
        build(tmp_path, grant, f"{plates / 'shot'},frames=1001-1002")
    finished: list[faceset.Faceset] = []
    build(tmp_path, grant, *texts, finish=finished.append)
    assert len(finished) == 1
    assert contents(tmp_path) == contents(whole)
    with pytest.raises(UsageError, match="already holds a faceset"):
        build(tmp_path, grant, *texts)


def test_what_is_there_is_not_made_again(whole: Path, plates: Path, grant: Grant, tmp_path: Path) -> None:
    folder = tmp_path / "f"
    shutil.copytree(whole, folder)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*.exr")}
    before = contents(folder)
    build(folder, grant, plates / "shot", f"{plates / 'stills'},stills", append=True)
    shutil.copytree(plates, tmp_path / "copy")  # the same files elsewhere are the same pictures
    build(folder, grant, tmp_path / "copy" / "shot", f"{tmp_path / 'copy' / 'stills'},stills", append=True)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.exr")} == times
    assert {name: data for name, data in contents(folder).items() if name != faceset.INDEX} == {
        name: data for name, data in before.items() if name != faceset.INDEX
    }
    assert [crop.name for crop in faceset.load(folder).crops] == [crop.name for crop in faceset.load(whole).crops]


def test_a_picture_that_changed_is_made_again_and_loses_its_word(plates: Path, grant: Grant, tmp_path: Path) -> None:
    stills = tmp_path / "stills"
    shutil.copytree(plates / "stills", stills)
    folder = tmp_path / "f"
    build(folder, grant, f"{stills},stills")
    faceset.edit(folder, keep=["a-00.*"], drop=["b-01.*"], note="seen")
    support.write_frame(stills / "b.exr", look(9, count=16))
    made = build(folder, grant, f"{stills},stills", append=True)
    assert [(crop.name, crop.verdict, crop.note) for crop in made.crops] == [
        ("a-00.000001", "keep", "seen"), ("b-01.000001", None, ""), ("c-02.000001", None, ""),
    ]  # fmt: skip


def test_a_still_knows_of_no_neighbours(whole: Path, plates: Path, grant: Grant, tmp_path: Path) -> None:
    """Nothing is followed or smoothed: alone, in another order, or as a sequence, a picture gives the same crop."""
    build(tmp_path / "alone", grant, f"{plates / 'stills' / 'b.exr'},stills")
    for number, name in enumerate(("b", "a", "c")):
        target = tmp_path / "sequence" / f"s.{number + 1:04d}.exr"
        target.parent.mkdir(exist_ok=True)
        shutil.copy(plates / "stills" / f"{name}.exr", target)
    turned = build(tmp_path / "turned", grant, f"{tmp_path / 'sequence'},stills")
    (alone,) = faceset.load(tmp_path / "alone").crops
    among = next(crop for crop in faceset.load(whole).crops if crop.name.startswith("b-"))
    for other in (alone, turned.crops[0]):
        np.testing.assert_array_equal(other.landmarks, among.landmarks)
        assert (other.gain, other.figures["sharpness"]) == (among.gain, among.figures["sharpness"])


def test_version_1_is_added_to(whole: Path, plates: Path, grant: Grant, tmp_path: Path) -> None:
    """Crops of version 1 are measured; those whose plate is given again are made again, under their names."""

    folder = tmp_path / "f"
    shutil.copytree(whole, folder)
    index = json.loads((folder / faceset.INDEX).read_text())
    kept = ("name", "plate", "frame", "timecode", "gain", "pose_deg", "confidence", "quarantined")
    index["crops"] = [{name: crop[name] for name in kept} for crop in index["crops"]]
    index = {key: value for key, value in index.items() if key not in ("sha256", "plates", "limits")}
    (folder / faceset.INDEX).write_text(json.dumps({**index, "schema": "vfxswap.faceset/1"}))
    for name in (faceset.EMBEDDINGS, faceset.EXPRESSIONS, faceset.THUMBNAILS):
        (folder / name).unlink()
    old = faceset.load(folder)
    assert not old.embeddings.any()
    np.testing.assert_allclose(faceset.references(old), faceset.load(whole).embeddings, atol=1e-5)
    np.testing.assert_allclose(faceset.expressions(old), faceset.load(whole).expressions, atol=2e-5)
    made = build(folder, grant, plates / "shot", append=True)
    assert [crop.name for crop in made.crops] == [crop.name for crop in old.crops]
    assert all(row.measured for row in made.rows())
    np.testing.assert_allclose(made.embeddings, faceset.load(whole).embeddings, atol=1e-5)
    assert ["height" in crop.figures for crop in made.crops] == [True] * 3 + [False] * 3


# ------------------------------------------------------------------------------------------------ refused


def test_a_faceset_has_one_performer_one_size_and_one_config(
    whole: Path, plates: Path, production: support.Studio, grant: Grant, tmp_path: Path
) -> None:
    folder = tmp_path / "f"
    shutil.copytree(whole, folder)
    before = contents(folder)
    anna = production.gate().authorize_faceset(performer="anna", shot=trust.ShotId.local("tests"))
    with pytest.raises(FacesetError, match="of ben, not of anna"):
        build(folder, anna, plates / "shot", append=True, performer="anna")
    with pytest.raises(ConsentError):
        build(folder, anna, plates / "shot", append=True)
    with pytest.raises(UsageError, match="--size is 96, this faceset's crops have 64"):
        build(folder, grant, plates / "shot", append=True, size=96)
    with pytest.raises(UsageError, match="already holds a faceset"):
        build(folder, grant, plates / "shot")
    studio = color.ColorConfig.load(color.STUDIO_CONFIG)
    with pytest.raises(UsageError, match="color config"):
        faceset.build(
            folder, performer="ben", plates=faceset.open_footage(str(plates / "shot"), config=studio), grant=grant,
            append=True,
        )  # fmt: skip
    with pytest.raises(UsageError, match="no plates"):
        faceset.build(folder, performer="ben", plates=[], grant=grant, append=True)
    assert contents(folder) == before


def test_pictures_without_a_face_are_said_and_all_of_them_are_refused(
    plates: Path, grant: Grant, tmp_path: Path
) -> None:
    said: list[VfxSwapError] = []
    build(tmp_path / "f", grant, f"{plates / 'stills'},stills", said=said)
    assert [type(error) for error in said] == [TrackError]
    assert "no face in any of 1 frames" in str(said[0])
    with pytest.raises(TrackError, match="no face in any of 1 frames"):
        build(tmp_path / "g", grant, f"{plates / 'stills' / 'wall.exr'},stills")
    assert not (tmp_path / "g").exists()


@pytest.mark.parametrize("stills", [True, False])
def test_frames_that_cannot_be_read_are_said_and_tried_again(grant: Grant, tmp_path: Path, stills: bool) -> None:
    text = write_plate(tmp_path / "plate", frames=3)
    broken = tmp_path / "plate" / "look.1002.exr"
    good = broken.read_bytes()
    broken.write_bytes(good[:5000])
    text += ",stills" if stills else ""
    said: list[VfxSwapError] = []
    made = build(tmp_path / "f", grant, text, said=said)
    assert {(type(error), error.frame) for error in said} == {(FrameError, 1002)}
    assert [crop.frame for crop in made.crops] == [1001, 1003]
    with pytest.raises(FrameError):
        build(tmp_path / "g", grant, text, warn=None)
    broken.write_bytes(good)
    build(tmp_path / "f", grant, text, append=True)
    build(tmp_path / "whole", grant, text)
    assert contents(tmp_path / "f") == contents(tmp_path / "whole")


def test_pictures_none_of_which_can_be_read(grant: Grant, plates: Path, tmp_path: Path) -> None:
    """They are found out when the plate is opened, or one by one later."""
    write_plate(tmp_path / "plate", frames=2)
    waiting = footage(plates / "shot", f"{tmp_path / 'plate'},stills")
    for path in (tmp_path / "plate").iterdir():
        path.write_bytes(path.read_bytes()[:5000])
    said: list[VfxSwapError] = []
    made = faceset.build(
        tmp_path / "f", performer="ben", plates=waiting, grant=grant, size=SIZE, device="cpu", warn=said.append
    )
    assert [error.frame for error in said] == [1001, 1002]
    assert len(made.crops) == 3
