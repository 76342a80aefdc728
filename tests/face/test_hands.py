"""Hands are found where they are, however they are turned, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from vfxswap import exr
from vfxswap.face import HANDS
from vfxswap.face.protocols import HandFinder
from vfxswap.geometry import invert, to_opencv, transform
from vfxswap.pixels import F32, F64, ModelRgb

from .rendered import encoded

SIZE = 384
WRIST, KNUCKLES, TIPS = 0, (5, 9, 13, 17), (8, 12, 16, 20)


@pytest.fixture(scope="module", params=sorted(HANDS))
def finder(request: pytest.FixtureRequest) -> HandFinder:
    return HANDS[request.param](device="cpu", threads=1)


def drawn(seed: int) -> tuple[F32, F32]:
    """(S, S, 3) a drawn hand on a grey wall, and (S, S) where it is."""
    pytest.importorskip("torch", reason="needs the extra train")
    from vfxswap.train.drawing import Lamp
    from vfxswap.train.hands import hand

    rng = np.random.default_rng(seed)
    lamp = Lamp.placed(rng)
    codes, coverage = hand(rng, SIZE, lamp)
    wall = np.array([0.2, 0.3, 0.35], np.float32)
    return np.clip(wall + (codes - wall) * coverage[..., None], 0, 1).astype(np.float32), coverage


def turned(degrees: float, *, size: tuple[int, int]) -> F64:
    """The drawing, turned about its middle, in the middle of a picture of (width, height)."""
    matrix = np.asarray(cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), degrees, 0.9), np.float64)
    matrix[:, 2] += (np.array(size) - SIZE) / 2
    return matrix


@pytest.mark.parametrize("degrees", [0, 60, -90, 170])
@pytest.mark.parametrize("seed", [1, 8])
def test_points_lie_on_the_hand(finder: HandFinder, seed: int, degrees: float) -> None:
    picture, coverage = drawn(seed)
    matrix, size = turned(degrees, size=(520, 430)), (520, 430)
    view = cv2.warpAffine(picture, to_opencv(matrix), size, borderMode=cv2.BORDER_REPLICATE)
    found = finder(ModelRgb(np.asarray(view, np.float32)))
    assert len(found) == 1
    points = transform(invert(matrix), found[0])
    assert points.shape == (21, 2) and points.dtype == np.float64
    near = cv2.dilate(coverage, np.ones((9, 9)))
    x, y = np.clip(points.astype(int), 0, SIZE - 1).T
    assert (near[y, x] > 0.5).all()
    away = np.linalg.norm(points - points[WRIST], axis=1)
    assert (away[list(TIPS)] > away[list(KNUCKLES)]).sum() >= 3, "fingers point away from the wrist"


def test_there_is_none_where_there_is_none(finder: HandFinder, astronaut: ModelRgb) -> None:
    assert finder(astronaut) == ()
    assert finder(ModelRgb(astronaut[50:250, 150:350])) == ()
    for level in (0.0, 0.5, 1.0):
        assert finder(ModelRgb(np.full((200, 300, 3), level, np.float32))) == ()


def around_face(folder: Path, frame: int) -> tuple[ModelRgb, F32]:
    """A rendered frame about the face, three times as wide, and how much of each pixel the hand has."""
    mattes, _ = exr.read_channels(folder / "matte" / f"matte.{frame}.exr")
    face = np.asarray(mattes["truth_face"], np.float32)
    rows, columns = np.nonzero(face > 0.5)
    half = round(1.5 * (columns.max() - columns.min()))
    top, left = max(0, round(rows.mean()) - half), max(0, round(columns.mean()) - half)
    part = slice(top, top + 2 * half), slice(left, left + 2 * half)
    hand = np.asarray(mattes.get("occluder", np.zeros_like(face)), np.float32)
    return ModelRgb(encoded(folder / "plate" / f"plate.{frame}.exr")[part]), hand[part]


def test_a_rendered_hand_before_a_face(finder: HandFinder, shared: Path) -> None:
    folder = shared / "data" / "shots" / "turn_hot_hand"
    for frame in range(1007, 1012):
        picture, hand = around_face(folder, frame)
        found = finder(picture)
        assert len(found) == 1, frame
        near = cv2.dilate(hand, np.ones((9, 9)))
        height, width = hand.shape
        x, y = found[0].astype(int).T
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        assert (near[y[inside], x[inside]] > 0.5).mean() > 0.9, frame
    assert finder(around_face(folder, 1001)[0]) == ()
    studio = shared / "data" / "shots" / "talk_studio"
    for frame in range(1001, 1037, 7):
        assert finder(around_face(studio, frame)[0]) == (), frame
