"""Realism: tiles of known textures against a plate of a known one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
import pytest

from vfxswap.pixels import F32, AnyArray, ModelRgb
from vfxswap.qc import realism, surface
from vfxswap.qc.chip import Chip
from vfxswap.qc.realism import Tiles

FRAMES, SIZE = 6, 176


@cache
def skin(seed: int) -> F32:
    """A face of texture and light that fall off to one side, with grain that is correlated between the channels."""
    random = np.random.default_rng(seed)
    rough = cv2.GaussianBlur(random.normal(0, 1, (SIZE, SIZE, 1)).astype(np.float32), (0, 0), 1.5)[..., None]
    grain = 0.7 * random.normal(0, 1, (SIZE, SIZE, 1)) + 0.7 * random.normal(0, 1, (SIZE, SIZE, 3))
    light = np.linspace(0.35, 0.6, SIZE)[None, :, None]
    return np.asarray(light * (1 + 0.2 * rough) + 0.01 * cv2.GaussianBlur(grain, (0, 0), 0.6), np.float32)


def read(plate: F32, output: F32) -> Tiles | None:
    cover = np.zeros((SIZE, SIZE), np.float32)
    cv2.ellipse(cover, (SIZE // 2, SIZE // 2), (60, 80), 0, 0, 360, 1, -1)
    chip = made(plate, output, cover)
    return realism.tiles(chip, surface.face_pixels(chip))


def made(plate: F32, output: F32, cover: F32) -> Chip:
    rgb, other = ModelRgb(plate), ModelRgb(output)
    return Chip(rgb, other, cover, cover > 2, cover > 0, rgb, other, cover, 150.0, 0)


def scored(paint: Callable[[F32, int], F32]) -> list[float]:
    """The scores of faces that are other takes of the same texture, after `paint` (picture, frame)."""
    found = realism.scores([read(skin(n), paint(skin(100 + n), n)) for n in range(FRAMES)])
    assert all(score is not None for score in found)
    return [float(score or 0) for score in found]


def test_another_take_of_the_same_texture_cannot_be_told() -> None:
    found = scored(lambda picture, _: picture)
    assert min(found) > 0.75 and np.mean(found) > 0.9
    assert min(scored(lambda picture, _: picture * np.float32(0.97))) > 0.6, "light is not texture"


PAINTED: dict[str, Callable[[F32], AnyArray]] = {
    "blurred": lambda p: cv2.GaussianBlur(p, (0, 0), 1.2),
    "sharpened": lambda p: 1.8 * p - 0.8 * cv2.GaussianBlur(p, (0, 0), 1.0),
    "checkered": lambda p: p * (1 + 0.02 * (np.indices((SIZE, SIZE)).sum(axis=0) % 2))[..., None].astype(np.float32),
    "in steps": lambda p: np.round(p * 32) / np.float32(32),
    "other colours of grain": lambda p: p + np.float32(0.02) * np.random.default_rng(1).normal(0, 1, (SIZE, SIZE, 3)),
}


@pytest.mark.parametrize("how", PAINTED)
def test_another_texture_is_told(how: str) -> None:
    assert max(scored(lambda picture, _: np.asarray(PAINTED[how](picture), np.float32))) < 0.5


def test_a_single_frame_is_told_alone() -> None:
    found = scored(lambda picture, n: np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.2)) if n == 3 else picture)
    assert [n for n, score in enumerate(found) if score < 0.5] == [3]


def test_what_cannot_be_judged_is_not() -> None:
    one = read(skin(0), skin(100))
    assert realism.scores([one] * 5) == [None] * 5
    assert realism.scores([]) == []
    gaps = realism.scores([one, None] * 6)
    assert [score is None for score in gaps] == [False, True] * 6
    nothing = np.zeros((SIZE, SIZE), np.float32)
    assert realism.tiles(made(skin(0), skin(0), nothing), nothing > 0) is None


def test_a_flat_plate_is_no_error() -> None:
    """A plate without any texture has nothing to compare: whatever is said is a number."""
    flat = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    found = realism.scores([read(flat, flat)] * FRAMES)
    assert found == [1.0] * FRAMES
    assert all(score == 0.0 for score in realism.scores([read(flat, skin(1))] * FRAMES))
