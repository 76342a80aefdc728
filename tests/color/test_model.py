"""Model space: what networks see, and highlights given back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfxswap import color
from vfxswap.color import ModelSpace
from vfxswap.errors import ColorError
from vfxswap.pixels import ModelRgb, WorkingRgb

from .pixels import CONFIG, RNG, srgb, working


def test_encode_is_clipped_srgb_of_the_exposed_picture():
    space = ModelSpace(CONFIG, 0.5)
    pixels = working(high=4.0)
    linear = CONFIG.working_to_model_linear().apply(pixels)
    np.testing.assert_allclose(space.encode(pixels), srgb(np.clip(0.5 * linear, 0, 1)), atol=1e-5)
    np.testing.assert_allclose(space.linear(pixels), 0.5 * linear, rtol=1e-6)
    grey = WorkingRgb(np.full((1, 3), 0.36, np.float32))
    np.testing.assert_allclose(space.encode(grey), 0.4613561, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(stops=st.floats(-6, 6), encoding=st.sampled_from(color.encodings()))
def test_decode_undoes_encode(stops, encoding):
    space = ModelSpace(CONFIG, 2.0**stops, encoding)
    pixels = WorkingRgb(working() / np.float32(space.gain))
    np.testing.assert_allclose(space.decode(space.encode(pixels)), pixels, rtol=2e-5, atol=1e-6 / space.gain)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), gain=st.floats(0.05, 20))
def test_a_perfect_prediction_gives_the_plate_back(seed, gain):
    space = ModelSpace(CONFIG, gain)
    rng = np.random.default_rng(seed)
    rec709 = rng.choice([-0.1, 0.0, 0.2, 0.9, 1.0, 3.0, 40.0], (20, 3)) * rng.uniform(0.5, 1.0, (20, 3))
    plate = space.unlinear(rec709.astype(np.float32))
    restored = space.restore(space.encode(plate), plate)
    np.testing.assert_allclose(space.linear(restored), rec709, rtol=1e-5, atol=2e-5)
    assert np.abs(space.linear(space.restore(space.encode(plate), plate, 0.0)) - rec709).max() > 1.0 or (
        rec709.max() < 2.0
    )


def test_the_doubles_highlights_stay_off_dark_features():
    space = ModelSpace(CONFIG, 1.0)
    plate = space.unlinear(np.full((3, 3), 30.0, np.float32))
    codes = np.array([0.2, 0.69, 1.0], np.float32)
    prediction = ModelRgb(np.repeat(codes[:, None], 3, axis=1))
    restored = space.linear(space.restore(prediction, plate))
    expected = space.decode_linear(prediction)
    np.testing.assert_allclose(restored[:2], expected[:2], atol=1e-5)  # a brow, a cheek: as predicted
    np.testing.assert_allclose(restored[2], 30.0, rtol=1e-4)
    half = space.linear(space.restore(prediction, plate, strength=0.5))
    np.testing.assert_allclose(half[2], 15.5, rtol=1e-4)


def test_in_range_plates_change_nothing_and_suns_are_capped():
    space = ModelSpace(CONFIG, 1.0)
    prediction = ModelRgb(RNG.uniform(0.0, 1.0, (50, 3)).astype(np.float32))
    plate = space.unlinear(RNG.uniform(0.01, 0.99, (50, 3)).astype(np.float32))
    np.testing.assert_allclose(space.restore(prediction, plate), space.decode(prediction), atol=2e-6)
    sun = space.unlinear(np.full((1, 3), 60000.0, np.float32))
    white = ModelRgb(np.ones((1, 3), np.float32))
    np.testing.assert_allclose(space.linear(space.restore(white, sun)), color.MAX_RATIO, rtol=1e-4)


def test_nothing_gets_negative_where_the_plate_is_not():
    """Colours outside Rec.709 come back by a residual that a darker prediction does not make up for."""
    space = ModelSpace(CONFIG, 4.0)
    deep = WorkingRgb(np.array([[0.4, 0.1, 0.0], [0.02, 0.3, -0.01]], np.float32))
    black = ModelRgb(np.zeros((2, 3), np.float32))
    assert (space.linear(deep).min(axis=1) < -0.01).all(), "outside of Rec.709"
    found = space.restore(black, deep)
    assert (found[deep >= 0] >= 0).all()
    assert found[1, 2] < 0
    np.testing.assert_allclose(space.restore(space.encode(deep), deep), deep, atol=1e-5)


def test_model_space_json():
    space = ModelSpace(CONFIG, 1.75, "acescct")
    record = space.to_json()
    assert record["config"] == {"id": color.PINNED_CONFIG, "hash": CONFIG.hash, "working_space": "ACEScg"}
    assert ModelSpace.from_json(record, CONFIG) == space
    for broken in (
        {},
        {"gain": "x", "encoding": "srgb"},
        {"gain": 0.0, "encoding": "srgb"},
        {**record, "encoding": "pq"},
    ):
        with pytest.raises(ColorError):
            ModelSpace.from_json(broken, CONFIG)


@pytest.mark.parametrize("gain", [0.0, -1.0, float("nan"), float("inf")])
def test_senseless_gains(gain):
    with pytest.raises(ColorError, match="gain"):
        ModelSpace(CONFIG, gain)


# ------------------------------------------------------------------------------------------------ ACEScct


def acescct(code):
    """S-2016-001, 4.4.2, as a second opinion."""
    log = 2.0 ** (code * 17.52 - 9.72)
    return np.where(code > 0.155251141552511, log, (code - 0.0729055341958355) / 10.5402377416545)


def test_acescct_is_the_standards():
    space = ModelSpace(CONFIG, 1.0, "acescct")
    codes = np.linspace(0, 1, 300, dtype=np.float32).reshape(-1, 3)
    linear = space.decode_linear(ModelRgb(codes))
    np.testing.assert_allclose(linear, acescct(codes.astype(np.float64)), rtol=1e-5, atol=1e-7)
    assert float(linear.max()) == pytest.approx(222.86, rel=1e-4)
    # Its linear space is ACEScg, which is the working space here: only the exposure is between.
    assert CONFIG.working_to_model_linear("acescct").is_noop


@pytest.mark.parametrize("gain", [0.25, 1.0, 3.0])
def test_acescct_needs_no_restoration_up_to_222(gain):
    space = ModelSpace(CONFIG, gain, "acescct")
    values = 2.0 ** RNG.uniform(-10, np.log2(222.0), (400, 3))
    plate = WorkingRgb((values / gain).astype(np.float32))
    painted = space.encode(plate)
    np.testing.assert_allclose(space.decode(painted), plate, rtol=2e-5)
    np.testing.assert_allclose(space.restore(painted, plate), space.decode(painted), rtol=1e-6)
    flat = ModelSpace(CONFIG, gain)
    assert float(flat.decode(flat.encode(plate)).max()) * gain < 2.0  # sRGB clips what ACEScct keeps


def test_acescct_restores_what_it_clips():
    """Above 222 and below -0.0069, which is where its codes end."""
    space = ModelSpace(CONFIG, 1.0, "acescct")
    plate = WorkingRgb(np.array([[300.0, 4000.0, 0.2], [-0.5, 0.01, -0.004], [60000.0] * 3], np.float32))
    painted = space.encode(plate)
    assert float(painted.min()) == 0.0
    restored = space.restore(painted, plate)
    np.testing.assert_allclose(restored[:2], plate[:2], rtol=1e-4)
    np.testing.assert_allclose(restored[2], color.MAX_RATIO * 222.86, rtol=1e-3)
    decoded = space.restore(painted, plate, 0.0)
    np.testing.assert_allclose(decoded[0, :2], 222.86, rtol=1e-4)
    assert decoded[1, 0] == pytest.approx(-0.006917, abs=1e-5)


@pytest.mark.parametrize("encoding", ["srgb", "acescct"])
def test_a_glance_is_the_encoding_to_a_thousandth(encoding: str):
    rng = np.random.default_rng(3)
    light = 2.0 ** rng.uniform(-14, 6, (40, 50, 3)) * rng.choice([1, -1], (40, 50, 3), p=[0.95, 0.05])
    space = ModelSpace(CONFIG, 0.7, encoding)
    rgb = WorkingRgb(light.astype(np.float32))
    np.testing.assert_allclose(space.glance(rgb), space.encode(rgb), atol=1e-3)
    strange = WorkingRgb(np.array([[[np.inf, 1.0, 0.5], [7e4, 7e4, 7e4]]], np.float32))
    assert np.isfinite(space.glance(strange)).all()
