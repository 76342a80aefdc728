"""Artists' mattes of a faceset's plates: what the crops hold then, and what a change of them makes anew.

A channel of the plate serves as its matte: in the crop the mask then is that channel of the crop's own picture.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from vfxswap import color, exr, faceset, trust
from vfxswap.errors import FrameError, JobError, PlateError, UsageError, VfxSwapError
from vfxswap.face import mesh
from vfxswap.faceset import cutting
from vfxswap.faceset.footage import Content
from vfxswap.pixels import F32, Matte
from vfxswap.train.bank import load_bank
from vfxswap.train.data import Augment, draw
from vfxswap.trust import Grant

from .. import support
from ..cli.facesets import look, write_plate

CONFIG = color.ColorConfig.load(color.PINNED_CONFIG)


@pytest.fixture(scope="module")
def grant(production: support.Studio) -> Grant:
    return production.gate().authorize_faceset(performer="ben", shot=trust.ShotId.local("tests"))


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_plate(tmp_path_factory.mktemp("plates") / "shot", frames=4)


def build(folder: Path, grant: Grant, text: str, **options: Any) -> faceset.Faceset:
    opened = faceset.open_footage(text, config=CONFIG, mattes=options.pop("mattes", ()))
    return faceset.build(folder, plates=opened, grant=grant, performer="ben", size=128, device="cpu", **options)


def planes(made: faceset.Faceset, part: slice = np.s_[:]) -> tuple[F32, F32, F32]:
    """Green, mask and front of rows of the second crop, but for pixels near light that a matte is clipped at."""
    (rgb, mask), (*_, front) = made.linear(made.crops[1]), made.load_with_front(made.crops[1])
    dim = np.asarray(cv2.dilate(rgb[..., 1], np.ones((9, 9)))) < 0.95
    assert dim.mean() > 0.8
    dim = dim[part]
    return rgb[part, :, 1][dim], mask[part][dim], front[part][dim]


def below(made: faceset.Faceset) -> slice:
    """The rows from the tip of the nose down."""
    return np.s_[int(np.ceil(made.crops[1].landmarks[mesh.NOSE[0], 1])) + 1 :]


@pytest.fixture(scope="module")
def plain(plate: str, grant: Grant, tmp_path_factory: pytest.TempPathFactory) -> faceset.Faceset:
    return build(tmp_path_factory.mktemp("plain"), grant, plate)


def test_without_mattes_nothing_is_known_to_be_in_front(plain: faceset.Faceset) -> None:
    assert not planes(plain)[2].any()
    channels, _ = exr.read_channels(plain.folder / "crops" / f"{plain.crops[1].name}.exr")
    assert "front" not in channels


def test_the_face_is_where_the_matte_says(plain: faceset.Faceset, plate: str, grant: Grant, tmp_path: Path) -> None:
    made = build(tmp_path, grant, f"{plate},matte={plate}:G")
    green, mask, _ = planes(made)
    assert mask.std() > 0.1
    np.testing.assert_allclose(mask, green, atol=2e-3)
    # What the mesh covers and the matte leaves out is before the face, away from the outline, where it may be behind.
    green, _, front = planes(made, below(made))
    found = planes(plain, below(made))[1]
    assert (front <= found * (1 - green) + 4e-3).all()
    inside = front > 0.05
    assert inside.sum() > 0.5 * (found * (1 - green) > 0.05).sum()
    assert float((np.abs(front - found * (1 - green))[inside] < 0.01).mean()) > 0.5
    assert np.array_equal(made.crops[1].landmarks, plain.crops[1].landmarks)


def test_hair_around_the_forehead_is_in_front_and_what_is_beside_a_cheek_need_not_be() -> None:
    size, nobody = 96, np.zeros((96, 96), np.float32)
    y, x = np.mgrid[:size, :size] + 0.5
    found = Matte((np.hypot((x - 48) / 26, (y - 48) / 32) < 1).astype(np.float32))
    seen = Matte((np.hypot((x - 48) / 22, (y - 48) / 28) < 1).astype(np.float32))
    points = np.zeros((478, 3))
    points[[*mesh.LEFT_EYE, *mesh.RIGHT_EYE], 1] = 40
    points[mesh.NOSE[0], 1] = 55
    above = cutting._above(points, size)
    assert (above[:39] == 1).all() and (above[56:] == 0).all() and 0 < above[47, 0] < 1

    def front(hair: F32) -> F32:
        known = np.ones((size, size), bool)
        return cutting._limited(found, seen, Matte(nobody), whole=True, known=known, hair=Matte(hair))["front"]

    around = np.hypot((x - 48) / 26, (y - 48) / 32)
    high, low = (y < 38) & (around > 0.95) & (around < 1.1), (y > 57) & (around > 0.95)
    with_hair, without = front(above), front(nobody)
    assert with_hair[high].min() > 0.9
    assert without[high].max() < 0.1
    for one in (with_hair, without):
        assert one[low].max() < 0.1
        assert one[seen == 1].max() == 0
    assert (with_hair[around > 1.5] < 1e-3).all(), "hair far from the face has nothing to do with it"


def test_a_holdout_is_taken_from_the_face(plain: faceset.Faceset, plate: str, grant: Grant, tmp_path: Path) -> None:
    green, mask, front = planes(build(tmp_path, grant, plate, mattes=[f"{plate}:G,holdout"]))
    found = planes(plain)[1]
    np.testing.assert_allclose(mask, found * (1 - green), atol=3e-3)
    assert (front >= green - 3e-3).all()


def test_a_plate_s_own_mattes_go_before_the_common_ones(plate: str) -> None:
    common = ["roto.exr:A"]
    (plain,) = faceset.open_footage(plate, config=CONFIG, mattes=common)
    (own,) = faceset.open_footage(
        f"{plate},matte=a.exr:A,grow=2,matte=b.exr,holdout,face=0", config=CONFIG, mattes=common
    )
    assert [str(one) for one in plain.mattes] == ["roto.exr:A"]
    assert [str(one) for one in own.mattes] == ["a.exr:A,grow=2", "b.exr,holdout"]
    assert own.face == "0"
    with pytest.raises(UsageError, match="matte"):
        faceset.open_footage(f"{plate},matte=", config=CONFIG)
    with pytest.raises(JobError, match="unknown key"):
        faceset.open_footage(f"{plate},matte=a.exr,softness=2", config=CONFIG)


def test_mattes_are_part_of_what_a_crop_is_known_by(tmp_path: Path) -> None:
    pattern = write_plate(tmp_path / "shot", frames=2)
    for folder in ("here", "there"):
        for frame in (1001, 1002):
            support.write_frame(tmp_path / folder / f"m.{frame}.exr", np.full((220, 220, 3), frame / 2000, np.float32))

    def keys(*mattes: str) -> dict[int, str]:
        (one,) = faceset.open_footage(pattern, config=CONFIG, mattes=mattes)
        content = Content.of(one)
        return {frame: content.key(one.settings(size=128), frame) for frame in one.plate.frames}

    here, there = (f"{tmp_path / folder}/m.####.exr" for folder in ("here", "there"))
    before = keys(here)
    assert keys(there) == before
    for changed in (keys(), keys(f"{here},grow=1"), keys(f"{here},holdout"), keys(here, there)):
        assert not set(changed.values()) & set(before.values())
    support.write_frame(tmp_path / "here" / "m.1002.exr", np.zeros((220, 220, 3), np.float32))
    after = keys(here)
    assert after[1001] == before[1001]
    assert after[1002] != before[1002]


def test_only_what_changed_is_cut_again(plate: str, grant: Grant, tmp_path: Path) -> None:
    roto = tmp_path / "roto"
    for frame in range(1001, 1005):
        support.write_frame(roto / f"m.{frame}.exr", np.ones((220, 220, 3), np.float32))
    text = f"{plate},matte={roto}/m.####.exr"
    before = {crop.frame: crop.sha256 for crop in build(tmp_path / "set", grant, text).crops}
    support.write_frame(roto / "m.1003.exr", np.zeros((220, 220, 3), np.float32))
    made = build(tmp_path / "set", grant, text, append=True)
    assert len(made.plates) == 1
    assert [crop.frame for crop in made.crops if crop.sha256 != before[crop.frame]] == [1003]
    assert not planes(made)[1].min() < 0.9


def test_a_missing_matte_is_named_and_the_rest_is_built(plate: str, grant: Grant, tmp_path: Path) -> None:
    for frame in (1001, 1002, 1004):
        support.write_frame(tmp_path / f"m.{frame}.exr", np.ones((220, 220, 3), np.float32))
    said: list[VfxSwapError] = []
    made = build(tmp_path / "set", grant, f"{plate},matte={tmp_path}/m.####.exr", warn=said.append)
    assert [crop.frame for crop in made.crops] == [1001, 1002, 1004]
    assert isinstance(said[0], FrameError)
    assert "no such frame" in str(said[0])
    assert "m.1003.exr" in str(said[0])


def test_a_matte_of_another_size_ends_the_build(plate: str, grant: Grant, tmp_path: Path) -> None:
    support.write_frame(tmp_path / "m.exr", np.ones((90, 90, 3), np.float32))
    with pytest.raises(PlateError, match="90x90"):
        build(tmp_path / "set", grant, f"{plate},matte={tmp_path}/m.exr")


def test_what_is_in_front_reaches_the_training(plate: str, grant: Grant, tmp_path: Path) -> None:
    """It lies where the input shows it, and is not part of the mask."""
    width = 220
    bar = np.ones((220, width, 3), np.float32)
    bar[:, 100:120] = 0
    for i, frame in enumerate(range(1001, 1005)):
        picture = look(i, count=4)
        picture[:, 100:120] = [0.6, 0.0, 0.6]
        support.write_frame(tmp_path / "plate" / f"look.{frame}.exr", picture, frame=frame)
    support.write_frame(tmp_path / "m.exr", bar)
    made = build(tmp_path / "set", grant, f"{tmp_path / 'plate'},matte={tmp_path}/m.exr", mattes=())
    bank = load_bank(made, resolution=64, further=True)  # one usable crop is enough
    assert bank.covered
    still = Augment(occlude=0, exposure=0, color=0, slope=0, noise=0, warp=0.02, disguise=0)
    batch = draw(bank, count=8, size=64, seed=1, step=0, augment=still)
    assert batch.hidden is not None
    purple = (batch.warped[:, 2] - batch.warped[:, 1])[:, None]
    hidden = batch.hidden > 0.9
    assert int(hidden.sum()) > 200
    assert float(purple[hidden].min()) > 0.3
    assert float(torch.where(batch.hidden < 0.01, batch.mask, 0.0).sum()) > 1000
    # The warp moves the input alone: the mask leaves the bar out where the target has it.
    target = (batch.target[:, 2] - batch.target[:, 1])[:, None]
    assert float(batch.mask[target > 0.5].max()) < 0.35


def test_digests_are_the_same_while_arrays_have_no_names_yet(plain: faceset.Faceset, tmp_path: Path) -> None:
    """A build that was killed between its index and the names of its arrays is whole, and known by the same digest."""
    shutil.copytree(plain.folder, tmp_path / "set")
    (tmp_path / "set" / "landmarks.npy").rename(tmp_path / "set" / "landmarks.npy.next")
    assert faceset.load(tmp_path / "set").digest() == plain.digest()
