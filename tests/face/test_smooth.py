from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import savgol_filter

from vfxswap.face import smooth


@pytest.mark.parametrize("window", [5, 9])
def test_is_savitzky_golay_on_even_samples(window):
    values = np.random.default_rng(0).normal(size=(30, 4, 3))
    expected = savgol_filter(values, window, smooth.ORDER, axis=0, mode="interp")
    found = smooth.local_polynomial(np.arange(1001.0, 1031.0), values, window=window)
    assert found == pytest.approx(expected, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=3, max_size=3), st.integers(1, 20), st.integers(0, 2**31))
def test_a_parabola_passes_unchanged_and_without_lag(coefficients, count, seed):
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.integers(1, 3, count)).astype(float)
    values = np.polyval(coefficients, times - times[0])[:, None]
    weights = rng.uniform(0.1, 1, count)
    assert smooth.local_polynomial(times, values, weights=weights) == pytest.approx(values, abs=1e-5)


def test_time_reversed_input_gives_time_reversed_output():
    times, values = np.arange(20.0), np.random.default_rng(2).normal(size=(20, 2))
    forward = smooth.local_polynomial(times, values)
    assert smooth.local_polynomial(times, values[::-1])[::-1] == pytest.approx(forward)


def test_noise_shrinks():
    noise = np.random.default_rng(1).normal(size=(400, 1))
    assert smooth.local_polynomial(np.arange(400.0), noise, window=5).std() < 0.75
    assert smooth.local_polynomial(np.arange(400.0), noise, window=9).std() < 0.55


def test_an_untrusted_sample_leans_on_its_neighbours():
    times = np.arange(11.0)
    values = times[:, None].copy()
    values[5] += 40
    weights = np.ones(11)
    weights[5] = 1e-4
    found = smooth.local_polynomial(times, values, weights=weights)
    assert np.abs(found - times[:, None]).max() < 0.05


def test_distant_samples_do_not_touch():
    times = np.arange(0.0, 100.0, 5.0)
    values = np.random.default_rng(3).normal(size=(20, 2))
    assert np.array_equal(smooth.local_polynomial(times, values), values)


def test_runs():
    assert smooth.runs([0, 1, 2, 5, 12, 13], gap=2) == [[0, 1, 2, 5], [12, 13]]
    assert smooth.runs([0, 7], gap=5) == [[0], [7]]
    assert smooth.runs([0, 6], gap=5) == [[0, 6]]
    assert smooth.runs([], gap=5) == []


def test_calm_points_get_a_wide_window_and_quick_ones_a_narrow_one():
    rng = np.random.default_rng(5)
    times = np.arange(60.0)
    truth = np.zeros((60, 40, 2))
    truth[:, 20:, 0] = 30 * np.sin(times / 1.5)[:, None]
    noisy = truth + rng.normal(0, 0.2, truth.shape)
    found = smooth.adaptive(times, noisy, groups=(range(20, 40),))
    narrow = smooth.local_polynomial(times, noisy)
    assert (found - truth)[:, :20].std() < 0.8 * (narrow - truth)[:, :20].std()
    assert (found - truth)[:, 20:].std() < 1.02 * (narrow - truth)[:, 20:].std()
    wide = smooth.local_polynomial(times, noisy, window=13)
    assert (wide - truth)[:, 20:].std() > 5 * (narrow - truth)[:, 20:].std(), "the wide window would have spoilt it"


def test_a_single_quick_event_is_kept():
    """A blink of three frames in a long calm: only its own surroundings get the narrow window."""
    times = np.arange(60.0)
    truth = np.zeros((60, 16, 2))
    truth[29:32, :, 1] = np.array([4.0, 8.0, 4.0])[:, None]
    noisy = truth + np.random.default_rng(6).normal(0, 0.1, truth.shape)
    found = smooth.adaptive(times, noisy)
    assert found[30, :, 1].mean() > 0.85 * smooth.local_polynomial(times, noisy)[30, :, 1].mean()
    assert found[30, :, 1].mean() > 1.4 * smooth.local_polynomial(times, noisy, window=13)[30, :, 1].mean()
    calm = np.r_[8:22, 40:52]
    assert found[calm].std() < 0.8 * smooth.local_polynomial(times, noisy)[calm].std()


def test_short_runs_get_the_narrow_window():
    times, values = np.arange(7.0), np.random.default_rng(7).normal(size=(7, 3, 2))
    assert np.array_equal(smooth.adaptive(times, values), smooth.local_polynomial(times, values))
    assert smooth.adaptive(times[:1], values[:1]) == pytest.approx(values[:1])
