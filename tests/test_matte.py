"""Coverage: never outside, never below 0 or above 1, continuous in every knob."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfxswap import matte
from vfxswap.face import mesh

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
def test_the_edge_never_grows_outwards(seed, hard, erode, feather):
    cover = blob(seed, hard=hard)
    shaped = matte.shape(cover, erode=erode, feather=feather)
    assert shaped.dtype == np.float32
    assert (shaped >= 0).all()
    assert (shaped <= cover).all()


def test_a_feather_is_as_wide_as_it_says():
    cover = np.zeros((60, 200), np.float32)
    cover[:, 50:] = 1.0
    shaped = matte.shape(cover, feather=40.0)[30]
    assert shaped[49] == 0.0
    assert 0.0 < shaped[51] < 0.05
    assert shaped[69] == pytest.approx(0.5, abs=0.05)
    assert shaped[92] == 1.0
    assert (np.diff(shaped[:150]) >= 0).all()


@pytest.mark.parametrize("pixels", [0.4, 1.0, 3.7, 9.0])
def test_erosion_moves_the_edge_by_that_many_pixels(pixels):
    cover = np.zeros((80, 160), np.float32)
    cover[:, 40:] = 1.0
    assert 120 - matte.shape(cover, erode=pixels)[40].sum() == pytest.approx(pixels, abs=0.01)
    assert matte.shape(cover, erode=-pixels)[40].sum() - 120 == pytest.approx(pixels, abs=0.01)
    soft = matte.shape(cover, erode=-pixels, feather=8.0)[40]
    assert soft[: 40 - int(np.ceil(pixels))].max() == 0.0, "pushed out, and no further"


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
