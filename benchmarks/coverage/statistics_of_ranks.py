"""Rank correlation, and how often chance gives as much."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

from vfxswap.pixels import F64

Pairs = Sequence[tuple[F64, F64]]
"""(distances, errors) of each shot, frames in order."""


def spearman(distance: F64, error: F64) -> float:
    """Spearman's rank correlation, ties averaged."""
    return float(np.corrcoef(stats.rankdata(distance), stats.rankdata(error))[0, 1])


def shuffled_p(pairs: Pairs, *, rounds: int = 20000, seed: int = 1) -> float:
    """One-sided p of the pooled correlation when each shot's errors are dealt to its frames at random.

    Frames of a shot resemble their neighbours, so this is too sure of itself; see `shifted_p`.
    """
    return _chance(pairs, lambda error, rng: rng.permutation(error), rounds=rounds, seed=seed)


def shifted_p(pairs: Pairs, *, rounds: int = 20000, seed: int = 1) -> float:
    """The same when each shot's errors are shifted in time, around the end, and turned round half of the time.

    Neighbours stay neighbours, so that only the match in time is tested; differences between shots are kept by both.
    """

    def shift(error: F64, rng: np.random.Generator) -> F64:
        moved = np.roll(error, rng.integers(len(error)))
        return moved[::-1] if rng.random() < 0.5 else moved

    return _chance(pairs, shift, rounds=rounds, seed=seed)


def _chance(pairs: Pairs, deal: Callable[[F64, np.random.Generator], F64], *, rounds: int, seed: int) -> float:
    rng = np.random.default_rng(seed)
    distance = stats.rankdata(np.concatenate([pair[0] for pair in pairs]))
    ranked = stats.rankdata(np.concatenate([pair[1] for pair in pairs]))
    ends = np.cumsum([len(pair[1]) for pair in pairs])[:-1]
    errors = np.split(ranked, ends)
    centred = distance - distance.mean()
    found = centred @ ranked
    as_much = sum(centred @ np.concatenate([deal(error, rng) for error in errors]) >= found for _ in range(rounds))
    return (int(as_much) + 1) / (rounds + 1)
