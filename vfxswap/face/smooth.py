"""Zero-phase smoothing over time: a filter that looks both ways and so never lags."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vfxswap.pixels import F64

ORDER = 2

WINDOWS = (5, 7, 9, 13)
"""Windows tried, in frames: the first is safe for speech and blinks at 24 frames per second."""

WINDOW = WINDOWS[0]

# A wider window is taken while it departs from narrower ones by no more than this many standard deviations of noise.
_TOLERANCE = 1.5

# Fewer samples say too little about their noise.
_ENOUGH = 8


def local_polynomial(times: F64, values: F64, *, weights: F64 | None = None, window: int = WINDOW) -> F64:
    """Smooth by fitting a parabola around every sample and reading it there.

    On evenly spaced, equally weighted samples this is the Savitzky-Golay filter with its ends treated by the last
    whole window's polynomial (A. Savitzky, M. Golay, Analytical Chemistry 1964); stated as a regression it also takes
    weights and uneven spacing.

    Args:
        times: (N,) increasing, in frames.
        values: (N, ...) one or more numbers per sample.
        weights: (N,) trust in each sample, positive; equal if None.
        window: odd number of frames looked at. Samples further apart than that do not touch each other, so a range
            of every fifth frame is hardly smoothed and unrelated frames not at all.

    Returns:
        An array like `values`; samples with no more neighbours than the parabola has freedoms are as they were.
    """
    flat = np.asarray(values, np.float64).reshape(len(times), -1)
    trust = np.ones(len(times)) if weights is None else np.asarray(weights, np.float64)
    result = flat.copy()
    for i, time in enumerate(times):
        near = _neighbours(times, i, window)
        if len(near) > ORDER + 1:
            result[i] = _fit(times[near] - time, flat[near], trust[near])
    return result.reshape(np.shape(values))


def adaptive(times: F64, values: F64, *, groups: Sequence[Sequence[int]] = (), weights: F64 | None = None) -> F64:
    """Smooth each group of points, at each time, with the widest window that the motion allows.

    Slow motion is averaged over many frames, fast motion is left alone. A window is too wide where its result
    departs from a narrower one's by more than noise explains; how strong the noise is comes from the samples' third
    differences.

    Source: the rule of intersecting confidence intervals (A. Goldenshluger, A. Nemirovski, Mathematical Methods of
    Statistics 1997), taken per group of points because a face's parts move for different reasons.

    Args:
        times: (N,) increasing, in frames.
        values: (N, P, D) positions of P points.
        groups: point indices that share a window; points in no group share one.
        weights: as for `local_polynomial`.

    Returns:
        (N, P, D).
    """
    smoothed = [local_polynomial(times, values, weights=weights, window=window) for window in WINDOWS]
    variance = _noise_variance(times, values)
    if variance is None:
        return smoothed[0]
    result = smoothed[0].copy()
    grouped = {index for group in groups for index in group}
    rest = [index for index in range(values.shape[1]) if index not in grouped]
    for group in (*groups, rest):
        columns = np.array(group, np.intp)
        allowed = np.ones(len(times), bool)
        for wide in range(1, len(WINDOWS)):
            for narrow in range(wide):
                difference = smoothed[wide][:, columns] - smoothed[narrow][:, columns]
                # Both are projections of the same noise, so the variance of their difference is a difference.
                expected = variance * (_variance_left(WINDOWS[narrow]) - _variance_left(WINDOWS[wide]))
                allowed &= (difference**2).mean(axis=(1, 2)) <= _TOLERANCE**2 * expected
            chosen = np.ix_(np.flatnonzero(allowed), columns)
            result[chosen] = smoothed[wide][chosen]
    return result


def _noise_variance(times: F64, values: F64) -> float | None:
    """Variance of white noise on one coordinate; None if there are too few samples in consecutive frames."""
    even = np.flatnonzero(times[3:] - times[:-3] == 3) if len(times) > 3 else np.array([], int)
    if len(even) < _ENOUGH:
        return None
    third = values[even + 3] - 3 * values[even + 2] + 3 * values[even + 1] - values[even]
    # Motion makes outliers: medians. 0.455 is the median of a squared standard normal; 20 = 1 + 9 + 9 + 1.
    return float(np.median(np.median(third**2, axis=0)) / 0.455 / 20)


def _variance_left(window: int) -> float:
    """Part of white noise's variance that an inner sample keeps."""
    powers = np.vander(np.arange(window) - window // 2, ORDER + 1, increasing=True)
    return float((np.linalg.pinv(powers)[0] ** 2).sum())


def _neighbours(times: F64, index: int, window: int) -> NDArray[np.intp]:
    """Samples of the window centred on `index`, or at an end of the window pushed inside."""
    half = window // 2
    start = min(max(times[index] - half, times[0]), max(times[-1] - 2 * half, times[0]))
    return np.flatnonzero((times >= start) & (times <= start + 2 * half))


def _fit(times: F64, values: F64, weights: F64) -> F64:
    """Value at time 0 of the weighted least-squares polynomial."""
    root = np.sqrt(weights)[:, None]
    powers = np.vander(times, ORDER + 1, increasing=True)
    solution, *_ = np.linalg.lstsq(powers * root, values * root, rcond=None)
    return np.asarray(solution[0], np.float64)


def runs(positions: list[int], *, gap: int) -> list[list[int]]:
    """Split increasing positions where more than `gap` are missing between two neighbours."""
    result: list[list[int]] = []
    for position in positions:
        if result and position - result[-1][-1] <= gap + 1:
            result[-1].append(position)
        else:
            result.append([position])
    return result
