"""Coverage: never outside, never below 0 or above 1, continuous in every knob."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfxswap import matte
from vfxswap.face import mesh
from vfxswap.geometry import Window
from vfxswap.pixels import F64

from .support import disc

SIZE = 160


def blob(seed: int, *, hard: bool) -> np.ndarray:
    """A face-sized shape with hollows, holes and islands."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE - 0.5
    angle, radius = np.arctan2(y, x), np.hypot(x, y)
    edge = 0.3 + sum(rng.uniform(0, 0.05) * np.cos(k * angle + rng.uniform(0, 6)) for k in range(2, 9))
    cover = np.clip((edge - radius) * (1e6 if hard else 30) + 0.5, 0, 1)
    cover *= np.hypot(x - 0.1, y) > 0.04
    return np.maximum(cover, np.hypot(x + 0.45, y + 0.45) < 0.02).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000), hard=st.booleans(), erode=st.floats(0, 12, width=32), feather=st.floats(0, 30, width=32)
)
def test_the_edge_grows_outwards_by_half_of_the_feather_at_most(seed, hard, erode, feather):
    cover = blob(seed, hard=hard)
    shaped = matte.shape(cover, erode=erode, feather=feather)
    assert shaped.dtype == np.float32
    assert (shaped >= 0).all()
    assert (shaped <= 1).all()
    out = max(0.0, feather / 2 - erode)
    assert (shaped[cover == 0] == 0).all() or out > 0
    assert (shaped <= matte.shape(cover, erode=-out) + 1e-6).all()


def test_a_feather_is_as_wide_as_it_says_and_stays_on_the_edge():
    cover = np.zeros((60, 200), np.float32)
    cover[:, 50:] = 1.0
    shaped = matte.shape(cover, feather=40.0)[30]
    assert shaped[29] == 0.0
    assert 0.0 < shaped[31] < 0.05
    assert (shaped[49] + shaped[50]) / 2 == pytest.approx(0.5, abs=1e-3)
    assert shaped[71] == 1.0
    assert (np.diff(shaped[:150]) >= 0).all()
    np.testing.assert_array_equal(shaped > 0.5, cover[30] > 0.5)


@pytest.mark.parametrize("pixels", [0.4, 1.0, 3.7, 9.0])
def test_erosion_moves_the_edge_by_that_many_pixels(pixels):
    cover = np.zeros((80, 160), np.float32)
    cover[:, 40:] = 1.0
    assert 120 - matte.shape(cover, erode=pixels)[40].sum() == pytest.approx(pixels, abs=0.01)
    assert matte.shape(cover, erode=-pixels)[40].sum() - 120 == pytest.approx(pixels, abs=0.01)
    soft = matte.shape(cover, erode=-pixels, feather=8.0)[40]
    assert soft[: 40 - int(np.ceil(pixels + 4))].max() == 0.0, "pushed out, and half of the feather further"


def test_the_knobs_have_no_steps():
    cover = disc(200)
    areas = [matte.shape(cover, erode=float(e), feather=10.0).sum() for e in np.linspace(-3, 3, 61)]
    steps = np.diff(areas)
    assert (steps < 0).all()
    assert steps.min() > 1.5 * np.median(steps)


def test_without_knobs_nothing_happens_but_for_the_invisible():
    cover = disc(64)
    cover[0, 0] = matte.SEEN / 2
    shaped = matte.shape(cover)
    assert shaped[0, 0] == 0.0
    cover[0, 0] = 0.0
    np.testing.assert_array_equal(shaped, cover)


def test_the_input_is_left_alone():
    cover = disc(64)
    before = cover.copy()
    matte.shape(cover)[:] = 7
    matte.shape(cover, erode=2, feather=3)[:] = 7
    np.testing.assert_array_equal(cover, before)


def test_an_oval_covers_the_mesh_and_some_forehead():
    points = np.zeros((478, 3))
    points[:468, :2] = mesh.template() * 100 + 60
    cover = matte.oval(points, size=220)
    rows, columns = np.round(points[:468, 1]).astype(int), np.round(points[:468, 0]).astype(int)
    inner = np.setdiff1d(np.arange(468), mesh.OVAL)
    assert (cover[rows[inner], columns[inner]] > 0.99).all()
    assert cover[60 - 3, 110] > 0.99, "a little above the mesh's top"
    assert cover[:40].max() == 0.0
    assert cover.max() <= 1.0
    soft = matte.oval(points, size=220, soft=4.0)
    assert soft.sum() == pytest.approx(cover.sum(), rel=0.01)
    assert 0 < ((soft > 0.1) & (soft < 0.9)).mean() > 2 * ((cover > 0.1) & (cover < 0.9)).mean()


# ------------------------------------------------------------------------------------------------ outlines

BOX = Window(0, 0, 60, 50)


def rectangle(x0: float, y0: float, x1: float, y1: float) -> F64:
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float64)


def ellipse(at: tuple[float, float], radii: tuple[float, float], turn: float, corners: int = 24) -> F64:
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    c, s = np.cos(turn), np.sin(turn)
    flat = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * radii
    return np.asarray(flat @ np.array([[c, s], [-s, c]]) + at, np.float64)


def area(ring: F64) -> float:
    after = np.roll(ring, -1, axis=0)
    return abs(float((ring[:, 0] * after[:, 1] - ring[:, 1] * after[:, 0]).sum())) / 2


def by_counting(ring: F64, window: Window, fine: int = 32) -> F64:
    """Coverage by asking each of fine x fine points per pixel whether it is left of every edge of a convex ring."""
    x, y = (
        (np.arange(side * fine) + 0.5) / fine + low
        for side, low in ((window.width, window.x), (window.height, window.y))
    )
    px, py = np.meshgrid(x, y)
    inside = np.ones(px.shape, bool)
    for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        inside &= (x1 - x0) * (py - y0) - (y1 - y0) * (px - x0) >= 0
    return inside.reshape(window.height, fine, window.width, fine).mean(axis=(1, 3))


def test_a_rectangle_covers_the_parts_of_pixels_that_it_covers():
    cover = matte.outlines([rectangle(10.25, 5.5, 20.75, 8.0)], window=BOX)
    assert cover.dtype == np.float32
    assert cover.shape == (50, 60)
    wanted = np.zeros((50, 60))
    wanted[5:8, 10:21] = 1
    wanted[5] *= 0.5
    wanted[:, 10] *= 0.75
    wanted[:, 20] *= 0.75
    np.testing.assert_allclose(cover, wanted, atol=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_every_pixel_is_covered_by_as_much_as_lies_in_it(seed):
    rng = np.random.default_rng(seed)
    ring = ellipse(tuple(rng.uniform(22, 32, 2)), (rng.uniform(8, 20), rng.uniform(0.7, 14)), rng.uniform(0, 3))
    cover = matte.outlines([ring], window=BOX)
    assert float(cover.sum(dtype=np.float64)) == pytest.approx(area(ring), abs=0.05 + 1e-3 * area(ring))
    assert np.abs(cover - by_counting(ring, BOX)).max() < 1 / 16
    np.testing.assert_array_equal(cover, matte.outlines([ring[::-1]], window=BOX))
    partly = cover[(cover > 0) & (cover < 1)]
    assert 1e-5 < partly.min() <= partly.max() < 1 - 1e-5, "outside is exactly 0, inside exactly 1"


def test_outlines_are_joined_and_not_added():
    one, two = rectangle(5.5, 5.5, 20.5, 20.5), rectangle(15, 10, 30.25, 30)
    cover = matte.outlines([one, two[::-1]], window=BOX)
    assert cover.max() == 1.0
    assert float(cover.sum()) == pytest.approx(15 * 15 + 15.25 * 20 - 5.5 * 10.5, abs=1e-3)
    np.testing.assert_array_equal(matte.outlines([one, one], window=BOX), matte.outlines([one], window=BOX))
    halves = [rectangle(5, 5, 10.5, 20), rectangle(10.5, 5, 20, 20)]
    np.testing.assert_allclose(
        matte.outlines(halves, window=BOX), matte.outlines([rectangle(5, 5, 20, 20)], window=BOX)
    )


@pytest.mark.parametrize("window", [Window(18, 12, 11, 9), Window(-40, -30, 200, 150), Window(26, -9, 300, 30)])
def test_a_window_shows_its_part_of_an_outline(window):
    ring = ellipse((24.3, 21.8), (15, 9), 0.4)
    everything = Window(-60, -60, 500, 300)
    whole = matte.outlines([ring], window=everything)
    np.testing.assert_allclose(matte.outlines([ring], window=window), whole[window.slices(everything)], atol=1e-6)


def test_nothing_covers_nothing():
    assert matte.outlines([], window=BOX).shape == (50, 60)
    assert matte.outlines([], window=BOX).max() == 0.0
    assert matte.outlines([rectangle(-50, -50, -10, -10)], window=BOX).max() == 0.0
    assert matte.outlines([rectangle(100, 10, 120, 30)], window=BOX).max() == 0.0
    assert matte.outlines([rectangle(5, 5, 20, 20)], window=Window(0, 0, 0, 0)).shape == (0, 0)
    line = np.array([[5.0, 5.0], [30.0, 20.0]])
    assert matte.outlines([line], window=BOX).max() == 0.0


def posed(yaw: float, *, size: float = 20.0) -> F64:
    """(478, 3) of the canonical face turned to the image's right; `size` plate pixels per centimetre."""
    vertices = mesh.canonical().vertices
    c, s = np.cos(yaw), np.sin(yaw)
    x, z = vertices[:, 0] * c + vertices[:, 2] * s, vertices[:, 2] * c - vertices[:, 0] * s
    points = np.stack([x, -vertices[:, 1], -z], axis=-1) * size + [250.0, 200.0, 0.0]
    return np.concatenate([points, np.repeat(points[:1], 10, axis=0)])


FRAME = Window(20, 10, 460, 400)


def test_eyes_and_mouth_cover_what_their_outlines_enclose():
    points = posed(0.0)
    for cover, rings in (
        (matte.eyes(points, window=FRAME), [mesh.LEFT_EYE, mesh.RIGHT_EYE]),
        (matte.mouth(points, window=FRAME), [mesh.LIPS_OUTER]),
    ):
        plain = matte.outlines([points[list(ring), :2] for ring in rings], window=FRAME)
        assert float(cover.sum()) > 500
        np.testing.assert_allclose(cover, plain, atol=1e-6)
        assert float(cover.sum()) == pytest.approx(sum(area(points[list(ring), :2]) for ring in rings), rel=1e-3)
    middle = points[[386, 374], :2].mean(axis=0) - [FRAME.x, FRAME.y]
    assert matte.eyes(points, window=FRAME)[int(middle[1]), int(middle[0])] == 1.0


def test_an_eye_behind_the_nose_is_not_covered():
    for yaw, shown in ((1.2, mesh.RIGHT_EYE), (-1.2, mesh.LEFT_EYE), (1.5, mesh.RIGHT_EYE)):
        points = posed(yaw)
        near = Window.around(points[list(shown), :2], margin=1)
        cover = matte.eyes(points, window=FRAME)
        held = cover[near.slices(FRAME)]
        assert float(held.sum()) > 10
        assert float(cover.sum()) - float(held.sum()) < 1.0
    sizes = [float(matte.eyes(posed(yaw), window=FRAME).sum()) for yaw in np.linspace(0, 1.4, 57)]
    assert np.abs(np.diff(sizes)).max() < 0.12 * sizes[0], "nothing pops while the head turns"


def test_features_in_a_small_window_are_the_same():
    points = posed(0.3)
    whole, part = matte.eyes(points, window=FRAME), Window(180, 120, 60, 70)
    np.testing.assert_allclose(matte.eyes(points, window=part), whole[part.slices(FRAME)], atol=1e-6)
    assert matte.eyes(points, window=Window(5000, 0, 30, 30)).max() == 0.0


def test_one_side_is_moved_and_the_others_stay():
    coverage = disc(128)
    moved = matte.shape(coverage, sides=(8.0, 0.0, 0.0, 0.0))
    plain = matte.shape(coverage)
    middle = np.s_[:, 64]
    before, after = (np.flatnonzero(one[middle] > 0.5)[[0, -1]] for one in (plain, moved))
    assert after[0] - before[0] == pytest.approx(8, abs=1.01)
    assert after[1] == before[1]
    np.testing.assert_allclose(moved[64:], plain[64:], atol=1e-6)
    even = matte.shape(coverage, sides=(3.0, 3.0, 3.0, 3.0), feather=4.0)
    np.testing.assert_allclose(even, matte.shape(coverage, erode=3.0, feather=4.0), atol=1e-6)
    assert (matte.shape(coverage, sides=(0.0, -5.0, 0.0, 0.0)) >= plain - 1e-6).all()
