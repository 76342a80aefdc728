"""A shot's exposure: one constant, or a curve over its frames where a flash or a fade asks for it.

Gains are linear factors; everything between is done in stops (log2), where a fade is a line and a flash a step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np

from vfxswap.errors import TrackError
from vfxswap.pixels import F64

CURVE_STOPS: Final = 1.5
"""A shot whose exposure ranges further than this has a curve."""

MAX_STOPS: Final = 8.0
"""No frame's gain is further than this from the shot's median."""

_FRAMES = 3.0
"""Standard deviation over time of the smoothing, in frames."""

_STOPS = 0.25
"""Standard deviation over exposure: measurements scatter by a tenth of a stop, flashes jump by whole ones."""

_STIFFNESS = 0.02
"""What a slope has to overcome (frames squared), so that two frames that differ by noise make no trend."""


def curve(gains: Mapping[int, float], *, frames: Iterable[int]) -> tuple[float, dict[int, float]]:
    """The exposure of a shot from what each of its frames asks for.

    A line is fitted around each frame, weighted by distance in time and in stops (the bilateral filter of Tomasi
    and Manduchi, ICCV 1998, with a slope). Both weights are even, so nothing lags: a fade that is linear in stops
    stays, a frame of flash is like no other and stays exactly, frames that differ by noise are averaged.

    Args:
        gains: frame -> linear gain that puts the skin at 0.18. NaN, Inf, 0 and less: no skin was seen.
        frames: all frames of the shot; others' gains do not count.

    Returns:
        The shot's median gain, and frame -> gain for every frame; empty when the shot is steady enough for a
        constant (its smoothed exposure ranges over at most CURVE_STOPS). Frames without a measurement lie on a
        line in stops between their neighbours, or hold the nearest one at the ends.

    Raises:
        TrackError: no frame has a gain.
    """
    wanted = np.array(sorted(set(frames)), np.int64)
    seen = np.array([f for f in wanted if 0.0 < gains.get(int(f), np.nan) < np.inf], np.int64)
    if not len(seen):
        raise TrackError("no light on the tracked face in any frame", hint="check --colorspace and the track")
    measured = np.array([gains[int(frame)] for frame in seen], np.float64)
    median = float(np.median(measured))
    stops = np.log2(measured / median)
    smooth = np.array([_smoothed(seen, stops, at) for at in range(len(seen))])
    if np.ptp(smooth) <= CURVE_STOPS:
        return median, {}
    everywhere = np.interp(wanted, seen, np.clip(smooth, -MAX_STOPS, MAX_STOPS))
    return median, {int(f): float(median * 2.0**value) for f, value in zip(wanted, everywhere, strict=True)}


def _smoothed(frames: np.ndarray[tuple[int], np.dtype[np.int64]], stops: F64, at: int) -> float:
    """The weighted line around frame number `at`, where it passes that frame."""
    reach = round(3 * _FRAMES)
    low, high = np.searchsorted(frames, [frames[at] - reach, frames[at] + reach + 1])
    time = (frames[low:high] - frames[at]).astype(np.float64)
    value = stops[low:high]
    weight = np.exp(-0.5 * ((time / _FRAMES) ** 2 + ((value - stops[at]) / _STOPS) ** 2))
    weight /= weight.sum()
    middle, level = weight @ time, weight @ value
    away = time - middle
    slope = (weight * away) @ (value - level) / (weight @ away**2 + _STIFFNESS)
    return float(level - slope * middle)
