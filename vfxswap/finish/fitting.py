"""A shot's grain from its patches: those count that hold nothing but grain.

Of patches of about the same level, those that are only grain have nearly the same variance, and how nearly follows from
the grain's own spectrum: they make a narrow peak. Texture makes a broad hill above it. What a quadratic surface takes
of the grain is known for every autocorrelation, and given back.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vfxswap.finish.grain import REACH, TERMS, Grain, terms
from vfxswap.finish.patches import LAGS, SIDE, Patches, Pool, surfaces
from vfxswap.pixels import F64

_TURNS, _TRUSTING = 10, 2
"""Rounds of the fit; in the first ones nothing is taken for texture by its spectrum."""

_FEW, _LEAST, _SHARE = 12, 24, 0.05
"""Patches of a level, and of the shot in number and part, without which nothing is said."""

_PEAK, _FIRST_PEAK = 0.5, 0.3
"""The part of a level's patches that its peak holds, at least: where there is only grain it holds four fifths. At
first less, for the grain's law is not known."""
_BELOW, _ABOVE = 2.0, 1.0
"""How far a peak reaches, in its standard deviations: texture only ever adds."""
_NARROWEST = 0.08
"""No peak is taken for narrower than this, relative to where it is: levels differ within half a stop."""

_BARE = 0.25
"""Grain is everywhere: with more patches of a level, relative to its peak, that have far less, the peak is texture."""

_FLATTEST = 0.25
"""The part of a level's patches that the fit begins with."""

_QUANTUM = 2.0**-13
"""A variance below the square of this part of the level is that of rounding to half."""

_DARK, _CLIPPED, _SMOOTH = 1e-3, 0.9, 0.25
"""Where this part of the patches between these levels, the upper one relative to the brightest, has no noise at all,
what the others have is texture."""

_WORTH = 5e-3
"""Mean square relative error of the variance that has to be saved by the term in the level's square: it rises fast
beyond the levels that were seen."""

_OPPOSED = -0.3
"""No camera's or scanner's grain has neighbours that are correlated like that."""

_TORUS = 64


@dataclass(frozen=True, eq=False)
class _State:
    """Where the fit is: which patches are clean, the variances that are expected, the autocorrelation."""

    clean: NDArray[np.bool_]
    expected: F64
    spatial: F64


def measured(pool: Pool) -> Grain | None:
    """A shot's grain; None where too little of it is flat, or it has none.

    Differences between frames are better than single ones, unless the picture is a still that moves: then its grain
    moves with it, and neighbours in the difference are opposed.
    """
    for differences in (True, False):
        seen = pool.patches(differences=differences)
        found = None if seen is None else fit(seen)
        if found is not None and found.lag1.min() > _OPPOSED:
            return found
    return None


def fit(seen: Patches) -> Grain | None:
    """The shot's grain; None where too little of it is flat."""
    variance = seen.lagged[..., 0].astype(np.float64)
    lively = (variance > 1e-12 + (np.abs(seen.level) * _QUANTUM) ** 2).all(axis=1)
    light = seen.level.mean(axis=1)
    lit = (light > _DARK) & (light < _CLIPPED * light.max(initial=0.0))  # black bars and burnt-out skies have no grain
    if (~lively & lit).sum() > _SMOOTH * lit.sum():
        return None
    seen = seen.where(np.asarray(lively, bool))
    variance = seen.lagged[..., 0].astype(np.float64)
    if len(variance) < _LEAST:
        return None
    bins = np.round(2.0 * np.log2(np.maximum(seen.level.mean(axis=1), 2.0**-10))).astype(np.int64)
    state = _begun(seen, variance, bins)
    basis = terms(seen.level)
    for turn in range(_TURNS):
        width, fine_width = (max(w, _NARROWEST) for w in _widths(state.spatial, seen.products[state.clean]))
        kept = np.array([_seen_of(row)[0] for row in state.spatial])
        whole = (variance / (state.expected * kept)).mean(axis=1)
        share = np.median(seen.fine[state.clean] / variance[state.clean], axis=0)
        fine = (seen.fine / (state.expected * kept * share)).mean(axis=1)
        plain = np.abs(fine / whole - 1.0) < 2.5 * np.hypot(width, fine_width)
        clean, weight = _peaks(whole, bins, width, plain | (turn < _TRUSTING), _PEAK if turn else _FIRST_PEAK)
        if clean.sum() < max(_LEAST, _SHARE * len(clean)):
            return None
        true = variance[clean] / (kept * _within_a_peak(width))
        scale = true if turn == 0 else state.expected[clean]
        coefficients = _fitted(basis[clean], true, scale, weight)
        spatial = _undone(_correlation(seen.lagged[clean], state.expected[clean]), state.spatial)
        expected = np.maximum(np.einsum("nct,ct->nc", basis, coefficients), 1e-20)
        state = _State(clean, expected, spatial)
    root = np.sqrt(state.expected[state.clean])
    together = (seen.products[state.clean] / (root[:, :, None] * root[:, None, :])).mean(axis=0)
    scale = np.sqrt(np.diag(together))
    return Grain(coefficients, together / np.outer(scale, scale), _whole(state.spatial))


def _begun(seen: Patches, variance: F64, bins: NDArray[np.int64]) -> _State:
    """From the flattest patches of each level."""
    flat = np.log(variance).mean(axis=1)
    level = np.maximum(seen.level, 2.0**-10)
    clean = np.zeros(len(bins), bool)
    expected = variance.copy()
    for which in np.unique(bins):
        same = bins == which
        flattest = same & (flat <= np.quantile(flat[same], _FLATTEST))
        clean |= flattest
        expected[same] = np.median(variance[flattest] / level[flattest], axis=0) * level[same]
    white = np.zeros((3, len(LAGS)))
    white[:, 0] = 1.0
    return _State(clean, expected, _undone(_correlation(seen.lagged[clean], variance[clean]), white))


def _correlation(lagged: NDArray[np.float32], scale: F64) -> F64:
    """(3, len(LAGS)) the mean autocorrelation of patches."""
    found = (lagged / scale[..., None]).mean(axis=0)
    return np.asarray(found / found[:, :1], np.float64)


def _peaks(
    ratio: F64, bins: NDArray[np.int64], width: float, plain: NDArray[np.bool_], part: float
) -> tuple[NDArray[np.bool_], F64]:
    """Which patches belong to the peak of their level, and a weight for each that does.

    The peak must hold `part` of what is around it. A level that many patches have counts little more than another.
    """
    clean, weight = np.zeros(len(ratio), bool), np.zeros(len(ratio))
    for which in np.unique(bins):
        level = np.flatnonzero(bins == which)
        peak = _peak(ratio[level], plain[level], width)
        if len(peak) < _FEW:
            continue
        relative = ratio[level] / ratio[level[peak]].mean()
        if len(peak) >= part * ((relative > 1 / 3) & (relative < 3)).sum():
            clean[level[peak]] = True
            weight[level[peak]] = len(peak) ** -0.5
    return clean, weight[clean]


def _peak(ratio: F64, plain: NDArray[np.bool_], width: float) -> NDArray[np.int64]:
    """Which of a level's patches are in its lowest peak."""
    here = plain
    while here.sum() >= _FEW:
        mode = _mode(ratio[here], width)
        peak = np.flatnonzero(here & (ratio > mode * (1 - _BELOW * width)) & (ratio < mode * (1 + _ABOVE * width)))
        if (below := here & (ratio < mode / 3)).sum() <= _BARE * len(peak):
            return peak
        here = below
    return np.zeros(0, np.int64)


def _mode(ratio: F64, width: float) -> float:
    """Where ratios are densest, over their logarithm."""
    log = np.sort(np.log(ratio))
    grid = np.linspace(log[0], log[-1], min(2000, 2 + int((log[-1] - log[0]) / 0.02)))
    density = np.searchsorted(log, grid + 1.2 * width) - np.searchsorted(log, grid - 1.2 * width)
    smooth = np.convolve(density, np.hanning(7), mode="same") if len(grid) > 7 else density
    return float(np.exp(grid[int(np.argmax(smooth))]))


def _within_a_peak(width: float) -> float:
    """The mean of variances within a peak, where that of all is 1: they are chi squared, and a peak is cut unevenly."""
    degrees = 2.0 / width**2
    mode = max(1.0 - width**2, 0.1)
    t = np.linspace(max(mode * (1.0 - _BELOW * width), 1e-3), mode * (1.0 + _ABOVE * width), 200)
    density = np.exp((degrees / 2 - 1.0) * np.log(t) - degrees * (t - 1.0) / 2)
    return float((t * density).sum() / density.sum())


def _fitted(basis: F64, variance: F64, scale: F64, weight: F64) -> F64:
    """(3, TERMS) not negative, that fit the variances best, errors relative to `scale`."""
    root = np.sqrt(weight / weight.sum())
    channels = [(basis[:, c] * (root / scale[:, c])[:, None], variance[:, c] * root / scale[:, c]) for c in range(3)]
    return np.stack([_not_negative(matrix, wanted) for matrix, wanted in channels])


def _not_negative(matrix: F64, wanted: F64) -> F64:
    """The least-squares solution without negative entries, the last one only where it is worth it.

    The best over all sets of entries that are not 0: there are seven.
    """
    gram, right = matrix.T @ matrix, matrix.T @ wanted
    best, least = np.zeros(TERMS), float("inf")
    for size in range(1, TERMS + 1):
        for some in map(list, itertools.combinations(range(TERMS), size)):
            part = np.linalg.lstsq(gram[np.ix_(some, some)], right[some], rcond=None)[0]
            error = part @ gram[np.ix_(some, some)] @ part - 2 * part @ right[some] + _WORTH * (TERMS - 1 in some)
            if (part >= 0).all() and error < least:
                best, least = np.zeros(TERMS), float(error)
                best[some] = part
    return best


def _widths(spatial: F64, products: F64) -> tuple[float, float]:
    """Relative standard deviations of a patch's variance and of its fine part, if it is normal noise."""
    mean = products.mean(axis=0)
    scale = np.sqrt(np.diag(mean))
    channels = np.sqrt(((mean / np.outer(scale, scale)) ** 2).mean())
    torus = np.zeros((_TORUS, _TORUS))
    at = np.arange(-REACH, REACH + 1) % _TORUS
    torus[np.ix_(at, at)] = _whole(spatial).mean(axis=0)
    power = np.maximum(np.fft.fft2(torus).real, 0.0)
    response = (2 - 2 * np.cos(2 * np.pi * np.fft.fftfreq(_TORUS))) ** 2
    spectra = (power, power * np.outer(response, response))
    whole, fine = (np.sqrt(2.0 * (p**2).mean() / p.mean() ** 2) / SIDE for p in spectra)
    return float(whole * channels), float(fine * channels)


@functools.cache
def _steps() -> NDArray[np.int64]:
    """(SIDE * SIDE, SIDE * SIDE) which lag is between two pixels of a patch; len(LAGS) is further than REACH."""
    y, x = np.divmod(np.arange(SIDE * SIDE), SIDE)
    dy, dx = y[:, None] - y, x[:, None] - x
    turn = np.where((dy < 0) | ((dy == 0) & (dx < 0)), -1, 1)
    table = np.full((SIDE, 2 * SIDE), len(LAGS), np.int64)
    for i, (down, right) in enumerate(LAGS):
        table[down, right + SIDE] = i
    return np.asarray(table[dy * turn, dx * turn + SIDE], np.int64)


def _seen_of(row: F64) -> F64:
    """(len(LAGS),) what is seen, in patches without their surface, of noise with this autocorrelation."""
    steps, basis = _steps(), surfaces()
    whole = np.append(row, 0.0)[steps]
    across = basis.T @ whole
    half = basis @ across
    rest = whole - half - half.T + basis @ (across @ basis) @ basis.T
    sums = np.bincount(steps.ravel(), rest.ravel(), len(LAGS) + 1)[:-1]
    return np.asarray(sums / np.bincount(steps.ravel(), minlength=len(LAGS) + 1)[:-1], np.float64)


def _undone(found: F64, guess: F64) -> F64:
    """(3, len(LAGS)) the autocorrelation behind the one that was seen, from a guess at it."""
    for _ in range(3):
        expected = np.stack([_seen_of(row) for row in guess])
        guess = guess + (found - expected / expected[:, :1])
        guess = guess / guess[:, :1]
    return guess


def _whole(spatial: F64) -> F64:
    """(3, 2 * REACH + 1, 2 * REACH + 1) of the half that is kept."""
    out = np.zeros((3, 2 * REACH + 1, 2 * REACH + 1))
    for i, (dy, dx) in enumerate(LAGS):
        out[:, REACH + dy, REACH + dx] = out[:, REACH - dy, REACH - dx] = spatial[:, i]
    return out
