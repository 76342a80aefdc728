"""Softness is found where it is known, followed over a shot, and nothing is sharpened beyond the plate."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from vfxswap.finish import sharpness
from vfxswap.geometry import Window
from vfxswap.pixels import F32, Matte

from . import support

SIZE = 128
WINDOW = Window(0, 0, SIZE, SIZE)
SAME = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
MASK = Matte((np.hypot(*np.indices((SIZE, SIZE)) - 63.5) < 52).astype(np.float32))


def detailed(seed: int = 1) -> F32:
    """(SIZE, SIZE, 3) light with detail in every octave."""
    rng = np.random.default_rng(seed)
    total = sum(s * ndimage.gaussian_filter(rng.standard_normal((SIZE, SIZE)), s) for s in (0.5, 1, 2, 4, 8))
    return np.asarray(np.repeat(0.18 * np.exp2(0.8 * total)[..., None], 3, axis=2), np.float32)


def soft(light: F32, sigma: float) -> F32:
    return np.asarray(ndimage.gaussian_filter(light, (sigma, sigma, 0)), np.float32)


def compared(face: F32, plate: F32, **options: object) -> F32:
    found = sharpness.compared(face, MASK, plate, window=WINDOW, matrix=SAME, **options)  # type: ignore[arg-type]
    assert found is not None
    return found


def contrasts(light: F32) -> np.ndarray:
    return np.array([support.octave(np.log2(light[..., 1] + 0.011), MASK, n) for n in range(4)])


@pytest.mark.parametrize("sigma", [0.8, 1.5, 3.0])
def test_a_blurred_plate_is_followed(sigma: float) -> None:
    face, plate = detailed(), soft(detailed(), sigma)
    shot = sharpness.settled({1001: compared(face, face), 1002: compared(face, plate)} | {1003: compared(face, plate)})
    done = sharpness.finished(face, MASK, compared(face, plate), defocus=1.0, sharpen=0.0)
    before, after = (np.abs(np.log2(contrasts(x) / contrasts(plate))) for x in (face, done))
    assert after.mean() < 0.4 * before.mean()
    assert (shot[1002][:2] < 0).all()


def test_a_rack_focus_is_followed_over_the_shot() -> None:
    sigmas = {1001 + i: 3.0 * np.sin(np.pi * i / 23) for i in range(24)}
    found = {f: compared(detailed(f), soft(detailed(f), s) if s > 0.1 else detailed(f)) for f, s in sigmas.items()}
    shot = sharpness.settled(found)
    off = []
    for frame, sigma in sigmas.items():
        face = detailed(frame)
        plate = contrasts(soft(face, sigma) if sigma > 0.1 else face)
        done = sharpness.finished(face, MASK, shot[frame], defocus=1.0, sharpen=0.0)
        off.append([np.log2(contrasts(x) / plate) for x in (face, done)])
    before, after = np.abs(off).mean(axis=0)
    assert (after < 0.45 * before).all()


def test_a_face_that_is_softer_than_the_plate_is_left_alone() -> None:
    face = soft(detailed(), 1.5)
    ratio = sharpness.settled({1: compared(face, detailed())})[1]
    assert sharpness.finished(face, MASK, ratio, defocus=1.0, sharpen=0.0) is face
    assert sharpness.finished(face, MASK, None, defocus=1.0, sharpen=1.0) is face


def test_sharpening_goes_towards_the_plate_and_never_beyond() -> None:
    face, plate = soft(detailed(), 1.0), detailed()
    ratio = sharpness.settled({1: compared(face, plate)})[1]
    half, full = (sharpness.finished(face, MASK, ratio, defocus=1.0, sharpen=s) for s in (0.5, 1.0))
    assert (contrasts(full)[:2] > 1.15 * contrasts(face)[:2]).all()
    assert (contrasts(half) < 1.02 * contrasts(full)).all()
    assert (contrasts(full) < 1.05 * contrasts(plate)).all()


def test_grain_is_not_taken_for_sharpness() -> None:
    face, plate = detailed(), soft(detailed(), 1.5)
    rng = np.random.default_rng(2)
    noise, other = (rng.normal(0, 0.02, face.shape).astype(np.float32) for _ in range(2))
    bare = compared(face, plate)
    grainy = compared(face, plate + noise)
    freed = compared(face, plate + noise, grain=(plate, plate + other))
    assert abs(grainy[0] - bare[0]) > 1.0
    assert abs(freed[0] - bare[0]) < 0.5 * abs(grainy[0] - bare[0])
    assert np.abs(freed[1:] - bare[1:]).max() < 0.3


def test_motion_does_not_count_as_softness() -> None:
    face = detailed()
    moved = np.asarray(ndimage.uniform_filter1d(face, 9, axis=1), np.float32)
    blind, seeing = compared(face, moved), compared(face, moved, way=np.array([16.0, 0.0]))
    assert (blind[1:3] < -0.4).all()
    assert (np.abs(seeing[1:3]) < 0.6 * np.abs(blind[1:3])).all()


def test_too_little_to_see_says_nothing() -> None:
    small = Matte((np.hypot(*np.indices((SIZE, SIZE)) - 63.5) < 8).astype(np.float32))
    assert sharpness.compared(detailed(), small, detailed(), window=WINDOW, matrix=SAME) is None
    assert sharpness.settled({}) == {}


def test_octaves_finer_than_the_plate_are_not_known() -> None:
    half = np.array([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    plate = np.asarray(detailed().reshape(64, 2, 64, 2, 3).mean(axis=(1, 3)), np.float32)
    found = sharpness.compared(detailed(), MASK, plate, window=Window(0, 0, 64, 64), matrix=half)
    assert found is not None
    assert np.isnan(found[0])
    assert np.isfinite(found[1:]).all()
    assert np.isfinite(sharpness.settled({1: found})[1]).all()
