"""What a run will come to: its held-out score, extrapolated to the end of the budget.

The squared error of a network in training falls about as a power of the time spent, so its PSNR grows with the
logarithm of time. That is a rule of thumb, not a law: rates that fall and a judge that joins bend the curve. The
spread says how far the recent scores themselves are from such a line, and how far two fits disagree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vfxswap.pixels import F64

LEAST = 5
"""Scores that a forecast needs."""

_RECENT = 0.2
"""Scores before this part of the time so far are of the steep beginning and left out, if enough are left."""

_NOISE_DB = 0.1
"""Held-out scores are not surer than this."""


@dataclass(frozen=True)
class Forecast:
    """A held-out PSNR to come, dB."""

    value: float
    spread: float
    """About two standard deviations to either side."""
    next_db: float | None
    """Seconds of training from now to one dB more than now; None when nothing suggests that it comes."""


def forecast(seconds: Sequence[float], scores: Sequence[float], *, end: float) -> Forecast | None:
    """Extrapolate scores at times of training to the time `end`, all in seconds; None while there are too few."""
    t, y = np.asarray(seconds, np.float64), np.asarray(scores, np.float64)
    good = np.isfinite(y) & (t > 0)
    t, y = t[good], y[good]
    if len(t) < LEAST or end <= 0:
        return None
    recent = t >= _RECENT * t[-1]
    if int(recent.sum()) >= LEAST:
        t, y = t[recent], y[recent]
    x = np.log(t)
    if np.ptp(x) < 1e-6:
        return None
    slope, value, spread = _line(x, y, math.log(max(end, t[-1])))
    if len(t) >= 2 * LEAST:
        half = len(t) // 2
        spread = max(spread, abs(_line(x[half:], y[half:], math.log(max(end, t[-1])))[1] - value))
    return Forecast(value, spread, float(t[-1] * math.expm1(1 / slope)) if slope > 0.02 else None)


def _line(x: F64, y: F64, at: float) -> tuple[float, float, float]:
    """(slope, value at `at`, two standard deviations of a score there) of the least-squares line."""
    centre, width = x.mean(), float(((x - x.mean()) ** 2).sum())
    slope = float(((x - centre) * (y - y.mean())).sum() / width)
    value = float(y.mean() + slope * (at - centre))
    left = y - y.mean() - slope * (x - centre)
    sigma = max(_NOISE_DB, math.sqrt(float((left**2).sum()) / max(1, len(x) - 2)))
    return slope, value, 2 * sigma * math.sqrt(1 + 1 / len(x) + (at - centre) ** 2 / width)
