"""Zero-phase smoothing over time: a filter that looks both ways and so never lags."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vfxswap.pixels import F64

WINDOW = 5
ORDER = 2


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
