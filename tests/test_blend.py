"""Light and over: what is known of the surroundings, and that nothing else is touched."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfxswap import blend, pixels
from vfxswap.pixels import Matte, WorkingRgb

from .support import disc

SIZE = 128
SKIN = 0.18


def skin(seed: int = 0) -> np.ndarray:
    """(SIZE, SIZE, 3) a lit, textured surface around SKIN."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    light = 0.7 + 0.5 * x + 0.2 * np.sin(9 * y)
    texture = np.exp2(rng.normal(0, 0.05, (SIZE, SIZE, 1)))
    return (SKIN * light[..., None] * texture * [1.1, 0.9, 0.7]).astype(np.float32)


BARE = SIZE * np.array([[0.5, 0.3], [0.4, 0.32], [0.6, 0.32], [0.35, 0.55], [0.65, 0.55], [0.4, 0.6], [0.6, 0.6]])
"""Samples of bare skin: forehead and cheeks."""

TINT = np.array([0.6, -0.25, -0.8], np.float32)
"""Stops."""


def inside(grid: np.ndarray) -> np.ndarray:
    """The grid's values under the face."""
    return grid[disc(blend.GRID) > 0.5]


def test_a_known_tint_is_found():
    face = skin()
    grid = blend.relight_grid(
        blend.compare(plate=face * np.exp2(TINT), face=face, coverage=disc(SIZE), bare=BARE, skin=SKIN)
    )
    assert grid.shape == (blend.GRID, blend.GRID, 3)
    assert np.abs(inside(grid) - TINT).max() < 0.02
    raw = WorkingRgb(np.full((blend.GRID, blend.GRID, 3), 0.18, np.float32))
    np.testing.assert_allclose(
        inside(blend.relight(raw, grid)) / 0.18, np.exp2(np.tile(TINT, (inside(grid).shape[0], 1))), rtol=0.02
    )


def test_bands_take_the_coarse_from_the_plate_and_leave_the_fine_to_the_face():
    """A ramp over the face comes over whole; what is finer than a band does not; no weight is the tone alone."""
    face = skin()
    x = np.broadcast_to((np.arange(SIZE) + 0.5) / SIZE, (SIZE, SIZE))
    ramp, ripple = 2.0 * (x - 0.5), 0.3 * np.sin(2 * np.pi * 16 * x)
    plate = (face * np.exp2(ramp + ripple)[..., None]).astype(np.float32)
    found = blend.matched(blend.compare(plate=plate, face=face, coverage=disc(SIZE), bare=BARE, skin=SKIN))
    wanted = np.broadcast_to((np.arange(blend.GRID) + 0.5) / blend.GRID * 2 - 1, (blend.GRID, blend.GRID))
    core = disc(blend.GRID, radius=0.3) > 0.5
    whole = found.banded((1, 1, 1))
    assert np.abs(whole[core] - wanted[core][:, None]).max() < 0.15
    np.testing.assert_allclose(found.banded((0, 0, 0)), found.toned(), atol=1e-6)
    half = found.banded((0.5, 0.5, 0.5))
    np.testing.assert_allclose(half, 0.5 * (whole + found.toned()), atol=1e-5)
    assert np.ptp(found.banded((1, 0, 0))[core][:, 0]) < np.ptp(whole[core][:, 0])


def test_the_spread_of_light_is_the_plates():
    face = skin()
    light = blend.log_light(face, skin=SKIN)
    middle = np.median(light, axis=(0, 1))
    plate = np.exp2((light - middle) * 1.5 + middle + TINT) - np.float32(SKIN / 256)
    found = blend.matched(
        blend.compare(plate=plate.astype(np.float32), face=face, coverage=disc(SIZE), bare=BARE, skin=SKIN)
    )
    np.testing.assert_allclose(np.exp2(found.tones[2]), 1.5, rtol=0.05)
    lit = face * np.exp2(found.tones[0] + found.spread(light))
    core = disc(SIZE) > 0.5
    assert np.abs(np.log2(lit[core]) - np.log2(plate[core])).mean() < 0.1


def test_a_lamp_in_front_is_in_no_band():
    face = skin()
    plate = face.copy()
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    plate[np.hypot(x - 0.5, y - 0.75) < 0.08] *= 30
    found = blend.matched(blend.compare(plate=plate, face=face, coverage=disc(SIZE), bare=BARE, skin=SKIN))
    assert np.abs(found.banded((1, 1, 1))[disc(blend.GRID) > 0.5]).max() < 0.1


def test_a_face_without_bare_skin_is_matched_to_nothing():
    found = blend.matched(blend.compare(plate=2 * skin(), face=skin(), coverage=disc(SIZE), bare=BARE[:0], skin=SKIN))
    assert (found.tones == 0).all() and (found.coarse == 0).all()


def test_features_of_the_double_do_not_come_back_as_gain():
    face = skin()
    plate = face.copy()
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    eyes = ((abs(x - 0.4) < 0.05) | (abs(x - 0.6) < 0.05)) & (abs(y - 0.45) < 0.03)
    plate[eyes] *= 0.1
    grid = blend.relight_grid(blend.compare(plate=plate, face=face, coverage=disc(SIZE), bare=BARE, skin=SKIN))
    assert np.abs(inside(grid)).max() < 0.02


def test_without_a_sample_of_skin_on_the_face_nothing_is_relit():
    face = skin()
    outside = np.array([[1.0, 1.0], [-5.0, 3.0], [SIZE + 4.0, 2.0]])
    grid = blend.relight_grid(blend.compare(plate=2 * face, face=face, coverage=disc(SIZE), bare=outside, skin=SKIN))
    assert (grid == 0).all()


def test_light_that_falls_off_across_the_face_is_met_along_its_edge():
    face = skin()
    ramp = np.linspace(-0.4, 0.4, SIZE, dtype=np.float32)[None, :, None] * np.ones((SIZE, 1, 3), np.float32)
    grid = blend.relight_grid(
        blend.compare(plate=face * np.exp2(ramp), face=face, coverage=disc(SIZE), bare=BARE, skin=SKIN)
    )
    wanted = np.linspace(-0.4, 0.4, blend.GRID, dtype=np.float32)[None, :, None] * np.ones((blend.GRID, 1, 3))
    rim = (disc(blend.GRID) > 0.5) & (disc(blend.GRID, radius=0.32) < 0.5)
    assert np.corrcoef(grid[rim][:, 0], wanted[rim][:, 0])[0, 1] > 0.95
    assert np.median(np.abs(grid[rim] - wanted[rim])) < 0.15


def test_a_bright_occluder_over_an_eighth_of_the_edge_is_ignored():
    face = skin()
    plate = face * np.exp2(TINT)
    y, x = np.mgrid[0:SIZE, 0:SIZE] - SIZE / 2
    wedge = np.abs(np.arctan2(y, x)) < 0.12 * np.pi
    plate[wedge] = 8.0
    grid = blend.relight_grid(blend.compare(plate=plate, face=face, coverage=disc(SIZE), bare=BARE, skin=SKIN))
    assert np.abs(np.median(inside(grid), axis=0) - TINT).max() < 0.02
    assert np.abs(inside(grid) - TINT).max() < 0.2


def test_the_shade_along_the_edge_is_met_and_stays_there():
    face = skin()
    plate = face.copy()
    plate[disc(SIZE, radius=0.3) < 0.5] *= 0.25
    grid = blend.relight_grid(blend.compare(plate=plate, face=face, coverage=disc(SIZE), bare=BARE, skin=SKIN))
    rim = (disc(blend.GRID) > 0.9) & (disc(blend.GRID, radius=0.31) < 0.1)
    assert np.median(grid[rim]) < -1.2
    assert np.abs(grid[disc(blend.GRID, radius=0.15) > 0.5]).max() < 0.2


def test_a_shadow_thrown_over_the_face_darkens_it_and_a_little_shading_does_not():
    face = skin()
    across = np.mgrid[0:SIZE, 0:SIZE][1] > 0.57 * SIZE
    points = np.stack(np.meshgrid(np.linspace(35, 93, 12), np.linspace(35, 93, 12)), axis=-1).reshape(-1, 2)
    half = disc(blend.GRID, radius=0.25) > 0.5
    lit, shaded = (half & (np.mgrid[0 : blend.GRID, 0 : blend.GRID][1] < 26)), half.copy()
    shaded[:, :41] = False
    found = []
    for stops in (0.25, 2.0):
        plate = face * np.exp2(-stops * across[..., None]).astype(np.float32)
        grid = blend.relight_grid(blend.compare(plate=plate, face=face, coverage=disc(SIZE), bare=points, skin=SKIN))
        found.append(float(np.median(grid[lit]) - np.median(grid[shaded])))
    assert found[0] < 0.1
    assert 1.0 < found[1] < 2.0


def test_black_and_negative_light_stay_finite():
    face, plate = skin(), -skin(1)
    plate[::2] = 0.0
    grid = blend.relight_grid(blend.compare(plate=plate, face=face, coverage=disc(SIZE), bare=BARE, skin=SKIN))
    assert np.isfinite(grid).all()
    assert np.abs(grid).max() < 16
    assert (
        blend.relight_grid(
            blend.compare(plate=plate, face=face, coverage=np.zeros((SIZE, SIZE), np.float32), bare=BARE, skin=SKIN)
        )
        == 0
    ).all()


@pytest.mark.parametrize("size", [2, 3, 7, 64, 65])
def test_the_membrane_spreads_a_constant_everywhere(size):
    samples = np.zeros((size, size, 2), np.float32)
    samples[0, :, 0], samples[0, :, 1] = 0.7, 1.0
    spread = blend.membrane(samples)
    assert spread.shape == samples.shape
    reached = spread[..., 1] > 1e-6
    np.testing.assert_allclose(spread[..., 0][reached] / spread[..., 1][reached], 0.7, rtol=1e-3)
    if size > 4:
        assert reached.all()


# ----------------------------------------------------------------------------------------------------- over


def test_half_of_a_constant_over_a_constant_is_the_linear_mean():
    plate = np.full((8, 9, 3), 4.0, np.float16)
    alpha = np.full((8, 9), 0.5, np.float16)
    face = np.full((8, 9, 3), 1.0, np.float32) * alpha[..., None].astype(np.float32)
    assert (blend.over(plate, face, alpha) == 2.5).all()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_only_covered_pixels_change_whatever_the_bits(seed):
    rng = np.random.default_rng(seed)
    plate = rng.integers(0, 2**16, (6, 7, 3), dtype=np.uint16).view(np.float16)  # NaN payloads, -0.0, Inf, denormals
    alpha = np.where(rng.random((6, 7)) < 0.5, 0, rng.random((6, 7))).astype(np.float16)
    face = rng.random((6, 7, 3)).astype(np.float32) * alpha[..., None].astype(np.float32)
    out = blend.over(plate, face, alpha)
    assert out.dtype == plate.dtype
    bare = alpha == 0
    np.testing.assert_array_equal(out[bare].view(np.uint16), plate[bare].view(np.uint16))
    assert np.isfinite(out[~bare]).all()
    known = ~bare & np.isfinite(plate).all(axis=-1)
    a = alpha.astype(np.float64)[..., None]
    wanted = plate.astype(np.float64)[known] * (1 - a[known]) + face[known]
    np.testing.assert_allclose(out[known].astype(np.float64), wanted, rtol=2**-10, atol=2**-24)


def test_float_plates_stay_float():
    plate = np.array([[[1e10, -0.5, np.nan]]], np.float32)
    out = blend.over(plate, np.zeros((1, 1, 3), np.float32), np.zeros((1, 1), np.float16))
    np.testing.assert_array_equal(out.view(np.uint32), plate.view(np.uint32))
    full = blend.over(plate, np.ones((1, 1, 3), np.float32), np.ones((1, 1), np.float16))
    np.testing.assert_array_equal(full, [[[1.0, 1.0, 1.0]]])


def test_the_plate_is_not_written_to():
    plate = np.ones((4, 4, 3), np.float16)
    plate.flags.writeable = False
    blend.over(plate, np.zeros((4, 4, 3), np.float32), np.ones((4, 4), np.float16))
    assert (plate == 1).all()


def test_the_matte_is_quantised_as_it_is_written():
    alpha = blend.quantised(Matte(np.array([[0.1, 1 / 3]], np.float32)))
    assert alpha.dtype == np.float16


def test_conversion_to_and_from_half_is_numpys():
    """Every half, what lies beside and halfway between two of them, and plenty of other floats."""
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    numbers = halves[np.isfinite(halves)].astype(np.float32)
    middle = (numbers[:-1] + numbers[1:]) / 2
    rng = np.random.default_rng(0)
    other = rng.integers(0, 2**32, 200_000, dtype=np.uint32).view(np.float32)
    sides = [np.nextafter(numbers, np.float32(end)) for end in (-1e6, 1e6)]
    floats = np.concatenate([numbers, *sides, middle, other[np.isfinite(other)]])
    floats = floats[: len(floats) // 6 * 6].reshape(-1, 2, 3)
    with np.errstate(over="ignore"):
        wanted = floats.astype(np.float16)
    found = pixels.converted(floats, np.dtype(np.float16))
    np.testing.assert_array_equal(found.view(np.uint16), wanted.view(np.uint16))
    back = pixels.converted(wanted, np.dtype(np.float32))
    np.testing.assert_array_equal(back.view(np.uint32), wanted.astype(np.float32).view(np.uint32))
