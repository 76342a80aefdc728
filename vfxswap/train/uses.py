"""What the pair of likeness and double can be trained for: each use is a preset of what may be given and what is drawn.

Adding a use: an entry of USES, and a part of docs/training.md, "Other uses".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from vfxswap.errors import UsageError
from vfxswap.trust.consent import TOGETHER
from vfxswap.vfxmodel import Performers

DIGITAL: Final = "digital"


@dataclass(frozen=True)
class Use:
    """One use.

    Attributes:
        says: what it is for.
        same: whether likeness and double are one performer.
        several: whether the likeness is made of several performers.
        coarse: how many times coarser than the model's raster inputs are made, at most; 1 leaves them as they are.
        detail: width of the network that restores the crop's own detail (models/detail.py), which needs inputs that
            are neither warped nor disguised; 0 for none.
    """

    says: str
    same: bool = False
    several: bool = False
    coarse: float = 1.0
    detail: int = 0


USES: Final[Mapping[str, Use]] = {
    "swap": Use("one performer's face over another's"),
    "age": Use("a performer as they look in one faceset over the same performer as they look in another", same=True),
    DIGITAL: Use("a face made of several performers over another's", several=True),
    "restore": Use("a performer's own detail where the plate has too few pixels", same=True, coarse=6.0, detail=24),
}


def find(name: str) -> Use:
    """The use of a name; raises UsageError with those there are."""
    if name not in USES:
        raise UsageError(f"unknown use {name!r}", hint=f"choose one of {', '.join(USES)}")
    return USES[name]


def together(*, likeness: Sequence[str], double: Sequence[str]) -> Performers:
    """The performers of a run, as consents are asked for: of each role each once."""
    return Performers(likeness=TOGETHER.join(likeness), double=TOGETHER.join(double))


def check_people(name: str, *, likeness: Sequence[str], double: Sequence[str], weights: Sequence[float] = ()) -> None:
    """Refuse performers with whom a use makes no sense.

    Args:
        name: of the use.
        likeness: performers of the likeness's facesets, each once.
        double: those of the double's.
        weights: of the likeness's performers; none for all alike.

    Raises:
        UsageError: so many, or the same one, make no sense for this use.
    """
    use = find(name)
    if len(double) > 1:
        raise UsageError(f"the facesets are of {' and '.join(double)}", hint="give facesets of one double")
    if use.several != (len(likeness) > 1):
        if use.several:
            raise UsageError(
                f"--use {name} with facesets of {likeness[0]} alone", hint="give --likeness for each performer"
            )
        raise UsageError(
            f"the facesets are of {' and '.join(likeness)}",
            hint=f"give facesets of one performer for a role, or --use {DIGITAL}",
        )
    one = likeness == double
    if one and not use.same:
        raise UsageError(
            f"both facesets are of {double[0]}", hint="give facesets of two performers, or see --use age and restore"
        )
    if not one and use.same:
        raise UsageError(
            f"--use {name} with facesets of {likeness[0]} and {double[0]}", hint="give two facesets of one performer"
        )
    if weights and (len(weights) != len(likeness) or not all(0 < weight < math.inf for weight in weights)):
        raise UsageError(
            f"{len(weights)} times --weight for a likeness of {len(likeness)} performers",
            hint="give one above 0 for each performer of --likeness, in their order",
        )


def painters(performers: Performers) -> tuple[str, str]:
    """Names of the likeness's and the double's decoders; one performer in both roles has two all the same."""
    one = performers.likeness == performers.double
    # No performer is called so: an identifier has no @.
    return performers.likeness, f"{performers.double}@double" if one else performers.double


def heirs(new: Performers, *, of: Performers) -> dict[str, str]:
    """Decoders of a new training that begin as one of another training: which as which.

    Each begins as its performer's, one of a face made of several as that of the first of them who is there.
    """
    there = painters(of)
    found: dict[str, str] = {}
    for name in painters(new):
        people = (name, *name.partition("@")[0].split(TOGETHER))
        known = next((one for one in people if one in there), None)
        if known is not None:
            found[name] = known
    return found
