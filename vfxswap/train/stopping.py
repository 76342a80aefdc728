"""When a run has nothing left to gain: nobody can tell its faces from real ones, and its score stands still."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vfxswap.train.probe import CHANCE, TELLS

PLATEAU_DB = 0.05
"""Held-out PSNR that rises by less than this from one half of the look back to the next stands still."""

_LOOK_BACK = 6
"""Scores that are looked back on."""

_AGREE = 3
"""So many probes in a row have to find nothing: a single one may be unlucky."""


def done(scores: Sequence[Mapping[str, float]]) -> str:
    """Why a run that was scored so may end before its budget is spent, in words; empty when it should go on.

    Args:
        scores: held-out scores in order (score.held_out), those of the present run of the judge last.
    """
    if len(scores) < _LOOK_BACK:
        return ""
    recent = scores[-_LOOK_BACK:]
    quality = [one.get("likeness_psnr", 0.0) for one in recent]
    half = _LOOK_BACK // 2
    if max(quality[half:]) - max(quality[:half]) > PLATEAU_DB:
        return ""
    told = [one.get("probe_accuracy", 1.0) for one in recent[-_AGREE:]]
    mean = sum(told) / len(told)
    if mean > CHANCE + TELLS:
        return ""
    return (
        f"a fresh classifier is right about {100 * mean:.0f} % of real and painted crops (chance is 50), "
        f"and the held-out score has stood still at {max(quality):.1f} dB"
    )
