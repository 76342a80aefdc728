"""Speed, as ratios of things that are measured side by side in one run.

Milliseconds belong to a machine and its mood; that one way costs five times less than another belongs to the code.
So every case runs its steps in turns, round after round, and reports medians and the medians of the rounds' ratios.

Adding a case: one function in a module of this package, one line in `CASES`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from vfxswap.bench.cases import color, io, net, track
from vfxswap.bench.long_shot import memory
from vfxswap.bench.material import Material
from vfxswap.bench.paste import blend_case
from vfxswap.bench.record import provenance_case
from vfxswap.bench.shot import swap
from vfxswap.bench.timing import Ratio, Result, Stage
from vfxswap.errors import UsageError

__all__ = ["CASES", "NOT_BUILT", "RESOLUTIONS", "Material", "Ratio", "Result", "Stage", "check", "run"]

Case = Callable[[Material, int], Result]

CASES: Final[MappingProxyType[str, Case]] = MappingProxyType(
    {
        "io": io,
        "color": color,
        "blend": blend_case,
        "net": net,
        "swap": swap,
        "track": track,
        "memory": memory,
        "provenance": provenance_case,
    }
)
"""Name -> what it measures. Each function's docstring says what is compared with what."""

NOT_BUILT: Final = ("warp", "train")
"""Cases that are planned and refused by name until they are there."""

RESOLUTIONS: Final = MappingProxyType({"1080p": (1920, 1080), "UHD": (3840, 2160)})
"""Name -> width and height."""


def check(case: str) -> str:
    """`case`, if it is one.

    Raises:
        UsageError: it is not built, or unknown.
    """
    if case in CASES:
        return case
    hint = f"there are {', '.join(CASES)}"
    if case in NOT_BUILT:
        raise UsageError(f"bench {case} is not built yet", hint=hint)
    near = difflib.get_close_matches(case, CASES, n=1)
    raise UsageError(f"no bench {case!r}", hint=f"did you mean {near[0]}?" if near else hint)


def run(case: str, material: Material, *, rounds: int = 7) -> Result:
    """Measure a case; `rounds` is how often each step runs.

    Raises:
        UsageError: `case` is not built or unknown.
    """
    return CASES[check(case)](material, rounds)
