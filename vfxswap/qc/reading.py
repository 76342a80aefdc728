"""What the networks see in a chip: where the features are, what they do, and whose face it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vfxswap import infer
from vfxswap.face import EMBEDDERS, LANDMARKERS, mesh
from vfxswap.face.landmarks import READABLE, roi_from_landmarks
from vfxswap.geometry import similarity
from vfxswap.pixels import F64, ModelRgb
from vfxswap.qc.chip import FACE

# Outer and inner corner, iris, pairs of upper and lower lid of the subject's right eye, then the left.
_EYES = (
    (33, 133, 468, ((160, 144), (159, 145), (158, 153))),
    (263, 362, 473, ((387, 373), (386, 374), (385, 380))),
)
_LIPS = ((13, 14), (81, 178), (311, 402))

_OPEN = 0.10
"""An eye that is less open than this part of its width shows no gaze."""


@dataclass(frozen=True, eq=False)
class Reading:
    """A face as the networks see it: (478, 3) points in chip pixels, and its (128,) embedding."""

    points: F64
    embedding: F64


class Reader:
    """Reads chips; holds the two networks, which are nobody's in particular.

    Args:
        device: where they run.
        threads: CPU threads, 0 for one per core.
        crops: perturbed crops that each reading averages.
    """

    def __init__(self, *, device: infer.Device = "auto", threads: int = 0, crops: int = 4) -> None:
        self._landmarker = LANDMARKERS["mesh478"](device=device, threads=threads)
        self._embedder = EMBEDDERS["dlib"](device=device, threads=threads)
        self._crops = crops

    def __call__(self, codes: ModelRgb, near: F64) -> Reading | None:
        """The face near (478, 2 or 3) landmarks in a chip; None where none can be read."""
        seen = self._landmarker(codes, roi_from_landmarks(near), crops=self._crops)
        if seen.presence < READABLE:
            return None
        return Reading(seen.points, self._embedder(codes, seen.points))


@dataclass(frozen=True, eq=False)
class Doing:
    """What a face does. `gaze`: (2,) of the iris from the middle of the corners, or None with closed eyes."""

    lids: float
    lips: float
    gaze: F64 | None


def doing(points: F64, *, gaze: bool = True) -> Doing:
    """Openings and gaze of (478, 3) chip points: of the lids in % of the eye's width, of the lips in % of the height.

    Gaze is along and across the eye, in % of its width, the mean of both eyes; None with both closed, or
    where it is not asked for.
    """
    p = points[:, :2]
    lids, gazes = [], []
    for outer, inner, iris, pairs in _EYES:
        along = p[inner] - p[outer]
        width = max(float(np.linalg.norm(along)), 1e-6)
        opening = float(np.mean([np.linalg.norm(p[a] - p[b]) for a, b in pairs])) / width
        lids.append(opening)
        # Towards the picture's right in both eyes: the right eye's corners run that way, the left one's back.
        unit = along / width if outer == _EYES[0][0] else -along / width
        away = (p[iris] - (p[outer] + p[inner]) / 2) / width
        gazes.append(np.array([away @ unit, away @ np.array([-unit[1], unit[0]])]) if opening >= _OPEN else None)
    known = [gaze for gaze in gazes if gaze is not None]
    lips = float(np.mean([np.linalg.norm(p[a] - p[b]) for a, b in _LIPS]))
    return Doing(
        lids=100 * float(np.mean(lids)),
        lips=100 * lips / FACE,
        gaze=100.0 * np.mean(known, axis=0) if known and gaze else None,
    )


def placement(plate: F64, output: F64) -> F64:
    """(4,) how the output's features lie against the plate's: x, y, size, turn, in % of the face's height.

    Size and turn are what they move at half a face's height from the middle.
    """
    source, target = (points[list(mesh.INNER_51), :2] for points in (plate, output))
    middle = source.mean(axis=0)
    fit = similarity(source - middle, target - middle)
    return np.array(
        [
            100 * fit[0, 2] / FACE,
            100 * fit[1, 2] / FACE,
            50 * (float(np.hypot(fit[0, 0], fit[1, 0])) - 1),
            50 * float(np.arctan2(fit[1, 0], fit[0, 0])),
        ]
    )
