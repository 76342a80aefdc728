"""How far apart two faces are for a swap, in degrees of head turn.

A part of the face that differs counts as many degrees as a turn that changes the picture as much. The weights are
rounded from a fit on pairs of one performer's stills and tested on other material (docs/coverage.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vfxswap.coverage.features import Look, expression_indices
from vfxswap.pixels import F64

NEAR = 12.0
"""An example at most this far away, in degrees, counts as near."""

Part = Literal["turn", "mouth", "lids", "brows", "gaze"]
PARTS: tuple[Part, ...] = get_args(Part)

GAZE_DEG = 0.5
"""Degrees for each degree that the eyes look elsewhere."""


@dataclass(frozen=True, eq=False)
class Group:
    """Blendshapes (their indices) of a part that count alike: `degrees` for one that differs by 1."""

    part: Part
    name: str
    indices: NDArray[np.int64]
    degrees: float


# An open mouth shows what no closed one does, teeth and dark; a smile bends what is there.
_OPENING = expression_indices("jaw", "mouthClose", "mouthFunnel", "mouthLower", "mouthUpper", "mouthRoll", "mouthShrug")
_WHOLE_MOUTH = expression_indices("jaw", "mouth")

GROUPS = (
    Group("mouth", "opening", _OPENING, 20.0),
    Group("mouth", "shape", np.setdiff1d(_WHOLE_MOUTH, _OPENING), 12.0),
    Group("lids", "lids", expression_indices("eyeBlink", "eyeSquint", "eyeWide"), 16.0),
    Group("brows", "brows", expression_indices("brow"), 12.0),
)


def indices_of(part: Part) -> NDArray[np.int64]:
    """The blendshapes that belong to a part of the face."""
    return np.concatenate([group.indices for group in GROUPS if group.part == part])


@dataclass(frozen=True, eq=False)
class Examples:
    """The looks of a likeness, each as it is and, because training flips crops, in the mirror.

    Attributes:
        looks: all of them; the mirrored ones follow the others in the same order.
        count: how many there are without the mirror.
    """

    looks: tuple[Look, ...]
    count: int

    @staticmethod
    def of(looks: Sequence[Look], *, mirror: bool = True) -> Examples:
        """Of the given looks; `mirror`: count each one's mirror image as an example too."""
        flipped = [one.mirrored() for one in looks] if mirror else []
        return Examples((*looks, *flipped), len(looks))

    def distances(self, targets: Sequence[Look]) -> dict[Part, F64]:
        """Part of the face -> (targets, examples) distance in degrees."""
        return part_distances(targets, self.looks)


def part_distances(targets: Sequence[Look], others: Sequence[Look]) -> dict[Part, F64]:
    """Part of the face -> (len(targets), len(others)) float64 distance in degrees, at least 0.

    `turn` is the angle of both pitch and yaw; roll is taken out by the alignment of crops. `gaze` is 0 where either
    face's irises cannot be seen.
    """
    squares: dict[Part, F64] = {part: np.zeros((len(targets), len(others))) for part in PARTS}
    squares["turn"] += _apart(_turns(targets), _turns(others))
    here, there = _expressions(targets), _expressions(others)
    for group in GROUPS:
        squares[group.part] += group.degrees**2 * _apart(here[:, group.indices], there[:, group.indices])
    known = np.outer([one.gaze_known for one in targets], [one.gaze_known for one in others])
    squares["gaze"] += GAZE_DEG**2 * known * _apart(_gazes(targets), _gazes(others))
    return {part: np.asarray(np.sqrt(value), np.float64) for part, value in squares.items()}


def together(parts: dict[Part, F64]) -> F64:
    """The distance of whole faces from those of their parts: the root of the sum of squares."""
    return np.asarray(np.sqrt(sum(np.square(value) for value in parts.values())), np.float64)


def _turns(looks: Sequence[Look]) -> F64:
    return np.array([one.pose_deg[:2] for one in looks], np.float64).reshape(-1, 2)


def _gazes(looks: Sequence[Look]) -> F64:
    return np.array([one.gaze_deg for one in looks], np.float64).reshape(-1, 2)


def _expressions(looks: Sequence[Look]) -> F64:
    return np.array([one.expression for one in looks], np.float64).reshape(-1, 52)


def _apart(here: F64, there: F64) -> F64:
    """(n, m) squared distances of (n, d) and (m, d) rows, from the differences themselves: near ones matter most."""
    squares = np.zeros((len(here), len(there)))
    for column in range(here.shape[1]):
        squares += np.subtract.outer(here[:, column], there[:, column]) ** 2
    return squares
