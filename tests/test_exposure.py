"""A shot's exposure: a constant, or a curve that follows flashes and fades and not the noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfxswap import exposure
from vfxswap.errors import TrackError

FIRST = 1001
NOISE = 0.1
"""Stops: what measurements of one exposure differ by, at most."""


def gains(stops, first=FIRST):
    return {first + i: float(2.0**value) for i, value in enumerate(stops)}


def followed(stops, *, noise=0.0, seed=0):
    """(N,) stops of the curve over the shot; the curve must be there."""
    scatter = np.random.default_rng(seed).uniform(-noise, noise, len(stops))
    measured = gains(np.asarray(stops) + scatter)
    _, curve = exposure.curve(measured, frames=measured)
    assert list(curve) == list(measured)
    return np.log2(list(curve.values()))


def test_a_steady_shot_has_a_constant():
    measured = gains(1.0 + np.random.default_rng(3).uniform(-NOISE, NOISE, 80))
    constant, curve = exposure.curve(measured, frames=measured)
    assert curve == {}
    assert constant == np.median(list(measured.values()))


@pytest.mark.parametrize(("reach", "bends"), [(1.35, False), (1.65, True)])
def test_a_stop_and_a_half_is_the_limit(reach, bends):
    """And noise, by which the measured range is wider than the limit in both, does not move it."""
    stops = np.linspace(0, reach, 60) + np.random.default_rng(1).choice([-NOISE, NOISE], 60)
    assert np.ptp(stops) > exposure.CURVE_STOPS
    _, curve = exposure.curve(gains(stops), frames=range(FIRST, FIRST + 60))
    assert bool(curve) is bends


@pytest.mark.parametrize("at", [0, 1, 30, 59])
@pytest.mark.parametrize("height", [-4.0, 2.0])
def test_one_frame_of_flash_is_followed_exactly(at, height):
    stops = np.full(60, 0.5)
    stops[at] += height
    np.testing.assert_allclose(followed(stops), stops, atol=1e-3)
    # With noise the flash keeps its own measurement, and its neighbours know nothing of it.
    noisy = followed(stops, noise=NOISE)
    assert abs(noisy[at] - stops[at]) <= NOISE + 1e-6
    assert np.abs(np.delete(noisy - stops, at)).max() < NOISE


@pytest.mark.parametrize("slope", [0.05, -0.05, 0.1, -0.2, 1.0])
def test_a_fade_in_stops_is_followed_without_lag(slope):
    stops = slope * (np.arange(60) - 30.0)
    stops = np.clip(stops, -7, 7)
    found = followed(stops)
    straight = np.abs(stops) < 7 - abs(slope) * 10
    np.testing.assert_allclose(found[straight], stops[straight], atol=0.01)
    np.testing.assert_allclose(found, stops, atol=0.1)  # where the fade begins and ends, too


def test_a_fade_to_black_is_followed_as_far_as_there_is_light():
    light = np.clip(1.0 - np.arange(60) / 48.0, 0.0, 1.0)
    wanted = -np.log2(np.maximum(light, 1e-9))
    measured = gains(wanted)
    dark = [frame for frame, value in zip(measured, light, strict=True) if value <= 0]
    measured |= dict.fromkeys(dark, float("nan"))  # black: no skin is seen
    median, curve = exposure.curve(measured, frames=measured)
    found = np.log2([curve[frame] for frame in measured])
    lit = light > 0
    np.testing.assert_allclose(found[lit], wanted[lit], atol=0.05)
    held = found[lit][-1]
    np.testing.assert_allclose(found[~lit], held, atol=1e-9)
    assert held - np.log2(median) <= exposure.MAX_STOPS


def test_a_strobe_keeps_both_its_levels():
    stops = np.where(np.arange(80) % 2, 3.0, 0.0)
    np.testing.assert_allclose(followed(stops), stops, atol=1e-6)
    noisy = followed(stops, noise=NOISE) - stops
    assert np.sqrt((noisy**2).mean()) < 0.7 * NOISE / np.sqrt(3)


def test_noise_is_smoothed():
    stops = np.where(np.arange(200) < 100, 0.0, 3.0)
    error = followed(stops, noise=NOISE) - stops
    assert np.sqrt((error**2).mean()) < 0.5 * NOISE / np.sqrt(3)  # the scatter put on it
    assert np.abs(error).max() < NOISE


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-4, 4), max_size=40).map(lambda stops: [-4.0, *stops, 4.0]))
def test_there_is_no_direction_of_time(stops):
    """Zero phase: the curve of the shot played backwards is the curve played backwards."""
    np.testing.assert_allclose(followed(stops[::-1]), followed(stops)[::-1], atol=1e-6)


def test_gaps_lie_on_a_line_in_stops_and_ends_are_held():
    stops = np.repeat([0.0, 4.0], 20)
    measured = gains(stops)
    for frame in (*range(FIRST, FIRST + 3), *range(FIRST + 18, FIRST + 23), FIRST + 39):
        measured[frame] = float("nan")
    del measured[FIRST + 38]
    _, curve = exposure.curve(measured, frames=range(FIRST - 5, FIRST + 45))
    assert list(curve) == list(range(FIRST - 5, FIRST + 45))
    found = {frame - FIRST: np.log2(gain) for frame, gain in curve.items()}
    np.testing.assert_allclose([found[i] for i in range(-5, 10)], 0.0, atol=0.01)
    np.testing.assert_allclose([found[i] for i in range(17, 24)], np.arange(7) * 4 / 6, atol=0.01)
    np.testing.assert_allclose([found[i] for i in range(30, 45)], 4.0, atol=0.01)


@pytest.mark.parametrize("gain", [float("nan"), float("inf"), 0.0, -1.0])
def test_frames_without_skin_do_not_count(gain):
    measured = {**gains(np.zeros(20)), FIRST + 4: gain}
    assert exposure.curve(measured, frames=range(FIRST, FIRST + 20)) == (1.0, {})
    with pytest.raises(TrackError, match="no light"):
        exposure.curve({FIRST: gain}, frames=[FIRST])


def test_frames_of_other_shots_do_not_count():
    measured = gains([*np.zeros(20), 5.0])
    assert exposure.curve(measured, frames=range(FIRST, FIRST + 20)) == (1.0, {})


def test_no_frame_is_further_than_eight_stops_from_the_median():
    stops = np.zeros(30)
    stops[10], stops[20] = 14.0, -14.0
    median, curve = exposure.curve(gains(stops), frames=range(FIRST, FIRST + 30))
    assert median == 1.0
    assert (curve[FIRST + 10], curve[FIRST + 20]) == (2.0**8, 2.0**-8)
    assert curve[FIRST + 15] == pytest.approx(1.0)


def test_a_level_belongs_to_the_shot():
    """Twice the light is half of every gain and nothing else."""
    stops = np.cumsum(np.random.default_rng(5).normal(0, 0.4, 60))
    one, two = followed(stops), followed(stops - 1.0)
    np.testing.assert_allclose(one - two, 1.0, atol=1e-9)
