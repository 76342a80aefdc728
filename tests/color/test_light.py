"""Luminance and the first exposure."""

from __future__ import annotations

import numpy as np
import pytest

from vfxswap.color import exposure_from_percentiles, luminance
from vfxswap.pixels import WorkingRgb

from .pixels import CONFIG, RNG, working


def test_luminance():
    assert luminance(WorkingRgb(np.ones((2, 3), np.float32)), CONFIG) == pytest.approx([1.0, 1.0], abs=1e-5)
    np.testing.assert_allclose(CONFIG.luminance_weights(), [0.2722, 0.6741, 0.0537], atol=6e-3)  # AP1, S-2014-004
    assert luminance(working(), CONFIG).shape == (40, 30)


@pytest.mark.parametrize("stops", [-5, 0, 6])
def test_first_exposure_follows_the_plate(stops):
    plate = WorkingRgb(np.exp(RNG.normal(-1.7, 0.6, (200, 300, 1))).astype(np.float32).repeat(3, axis=2))
    exposed = WorkingRgb(plate * np.float32(2.0**stops))
    exposed[:40] = 0.0  # letterbox
    exposed[50, :7] = np.nan
    exposed[51, :7] = np.inf
    gain = exposure_from_percentiles(exposed, CONFIG)
    values = luminance(exposed, CONFIG)[52:]
    assert np.median(values) * gain == pytest.approx(0.18, rel=0.05)


def test_first_exposure_limits():
    dark_set = np.full((100, 100, 3), 0.001, np.float32)
    dark_set[:30, :30] = 0.1  # the face
    assert 0.1 * exposure_from_percentiles(WorkingRgb(dark_set), CONFIG) <= 1.0
    assert exposure_from_percentiles(WorkingRgb(np.zeros((9, 9, 3), np.float32)), CONFIG) == 1.0
    assert exposure_from_percentiles(WorkingRgb(np.full((9, 9, 3), 1e-5, np.float32)), CONFIG) == 256.0
    assert exposure_from_percentiles(WorkingRgb(np.full((9, 9, 3), 1e4, np.float32)), CONFIG) == 2.0**-8
