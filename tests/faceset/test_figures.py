"""Figures of a crop: sharpness that grain, light and contrast do not fool, plateaus, and what the frame cuts off."""

from __future__ import annotations

import functools
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from vfxswap.face.solve import Networks, track_frames
from vfxswap.faceset import figures
from vfxswap.geometry import Window
from vfxswap.pixels import F32, F64, Matte, ModelRgb, WorkingRgb

from .. import support

SIZE = 320


@pytest.fixture(scope="module")
def photo() -> tuple[ModelRgb, F64]:
    """A crop of a real face and its landmarks."""
    rgb = ModelRgb(np.clip(support.astronaut(SIZE) ** np.float32(1 / 2.2), 0, 1))
    track = track_frames([(1, rgb, 1.0)], still=True, networks=Networks.load(device="cpu", threads=1))
    return rgb, track.face()[1].landmarks


def grain(rgb: F32, sigma: float, *, seed: int = 0) -> F32:
    """`rgb` with slightly correlated noise of `sigma`."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=rgb.shape).astype(np.float32), (0, 0), 0.6)
    return np.asarray(np.clip(rgb + sigma * noise / noise.std(), 0, 1), np.float32)


def blurred(rgb: F32, *, sigma: float) -> F32:
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), sigma), np.float32) if sigma else rgb


def smear(rgb: F32, pixels: int, *, upright: bool) -> F32:
    kernel = np.zeros((pixels, pixels), np.float32)
    kernel[(slice(None), pixels // 2) if upright else (pixels // 2, slice(None))] = 1.0 / pixels
    return np.asarray(cv2.filter2D(rgb, -1, kernel), np.float32)


def part(photo: tuple[ModelRgb, F64], change: Callable[[F32], F32]) -> float:
    """Sharpness after a change as a part of the one before it."""
    rgb, points = photo
    return figures.sharpness(ModelRgb(change(rgb)), points) / figures.sharpness(rgb, points)


@pytest.mark.parametrize("sigma", [0.01, 0.02, 0.05])
def test_grain_is_no_sharpness(photo: tuple[ModelRgb, F64], sigma: float) -> None:
    assert part(photo, lambda rgb: grain(rgb, sigma)) == pytest.approx(1.0, abs=0.06)


def test_blur_shows_and_grain_on_top_does_not_hide_it(photo: tuple[ModelRgb, F64]) -> None:
    sigmas = [0.0, 1.0, 2.0, 3.0, 4.0]
    found = [part(photo, functools.partial(blurred, sigma=sigma)) for sigma in sigmas]
    assert (np.diff(found) < 0).all()
    assert found[3] < 0.72
    assert part(photo, lambda rgb: grain(blurred(rgb, sigma=3.0), 0.03)) < 0.72


@pytest.mark.parametrize("upright", [False, True])
def test_a_smear_in_one_direction_shows(photo: tuple[ModelRgb, F64], upright: bool) -> None:
    assert part(photo, lambda rgb: smear(rgb, 15, upright=upright)) < 0.75


def test_light_and_contrast_do_not_matter(photo: tuple[ModelRgb, F64]) -> None:
    assert part(photo, lambda rgb: np.asarray(rgb * np.float32(0.4), np.float32)) == pytest.approx(1.0, abs=0.01)
    assert part(photo, lambda rgb: np.asarray(0.5 + (rgb - 0.5) * 0.5, np.float32)) == pytest.approx(1.0, abs=0.01)
    side = np.linspace(0.3, 1.0, SIZE, dtype=np.float32)[None, :, None]
    assert part(photo, lambda rgb: np.asarray(rgb * side, np.float32)) == pytest.approx(1.0, abs=0.08)


def test_a_face_without_skin_to_measure_has_no_sharpness(photo: tuple[ModelRgb, F64]) -> None:
    rgb, points = photo
    assert np.isnan(figures.sharpness(rgb, points + 5 * SIZE))
    mask = Matte(np.ones((SIZE, SIZE), np.float32))
    assert "sharpness" not in figures.of_picture(rgb, WorkingRgb(rgb), mask, points + 5 * SIZE)


def test_a_plateau_is_clipped_whatever_the_exposure(photo: tuple[ModelRgb, F64]) -> None:
    light = WorkingRgb(np.asarray(support.astronaut(SIZE), np.float32))
    mask = Matte(np.zeros((SIZE, SIZE), np.float32))
    mask[60:260, 80:220] = 1.0
    limit = np.percentile(light[mask > 0], 90)
    for exposure in (0.01, 1.0, 50.0):
        whole = WorkingRgb(grain(light, 0.01) * np.float32(exposure))
        cut = WorkingRgb(np.minimum(whole, np.float32(limit * exposure)))
        assert figures.clipped(whole, mask) < 0.01
        assert figures.clipped(cut, mask) > 0.1
    assert figures.clipped(light, Matte(np.zeros_like(mask))) == 0.0


def test_the_part_within_the_picture_is_of_the_face_s_surface() -> None:
    points = support.face(100.0, 100.0, 80.0).landmarks
    low, high = points[:468, :2].min(axis=0), points[:468, :2].max(axis=0)
    assert figures.inside(points, Window(0, 0, 200, 200)) == 1.0
    assert figures.inside(points, Window(0, 0, 100, 200)) == pytest.approx(0.5, abs=0.03)
    assert figures.inside(points, Window(500, 0, 100, 200)) == 0.0
    assert figures.inside(points, Window(int(low[0]), int(low[1]), int(high[0] - low[0]), 200)) > 0.97


def test_thumbnails_are_what_one_sees() -> None:
    flat = ModelRgb(np.full((SIZE, SIZE, 3), (0.2, 0.6, 1.0), np.float32))
    assert (figures.thumbnail(flat) == (51, 153, 255)).all()
