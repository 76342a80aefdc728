"""What a face does, in a few numbers: what a conditioned network is told beside its crop.

Measured on the landmarks alone, in units of the face itself, so that a performer's crop in a faceset and the same
face in a plate give the same numbers whatever their size, place and roll. What a face looks like at rest is taken
out per performer (`vfxmodel.Condition`): the numbers then say what a face does, and not whose it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vfxswap.errors import ModelError
from vfxswap.face.frame import FaceFrame
from vfxswap.face.pose import PoseDeg
from vfxswap.geometry import transform
from vfxswap.pixels import F32, F64
from vfxswap.vfxmodel import Condition

KIND = "face23/1"
"""Name and version of these numbers, in a model's manifest: other landmarks or units are another kind."""

_TURN_DEG = 20.0
_LEAST_SPREAD = 1e-3
REACH = 3.0
"""Standardised values are held within this: what is further out was never trained on."""

_FRONTAL_DEG = 25.0

# What each number is, with what it becomes in a mirror: (name, name of its mirror image, sign).
_LAYOUT = (
    ("lids right", "lids left", 1),
    ("lids left", "lids right", 1),
    ("gaze right x", "gaze left x", -1),
    ("gaze left x", "gaze right x", -1),
    ("gaze right y", "gaze left y", 1),
    ("gaze left y", "gaze right y", 1),
    ("lips", "lips", 1),
    ("lips right", "lips left", 1),
    ("lips left", "lips right", 1),
    ("mouth", "mouth", 1),
    ("upper lip", "upper lip", 1),
    ("corner right x", "corner left x", -1),
    ("corner left x", "corner right x", -1),
    ("corner right y", "corner left y", 1),
    ("corner left y", "corner right y", 1),
    ("brow right", "brow left", 1),
    ("brow left", "brow right", 1),
    ("inner brow right", "inner brow left", 1),
    ("inner brow left", "inner brow right", 1),
    ("jaw", "jaw", 1),
    ("mouth aside", "mouth aside", -1),
    ("pitch", "pitch", 1),
    ("yaw", "yaw", -1),
)
NAMES = tuple(name for name, _, _ in _LAYOUT)
COUNT = len(NAMES)
_MIRROR = np.array([NAMES.index(other) for _, other, _ in _LAYOUT])
_SIGN = np.array([sign for _, _, sign in _LAYOUT], np.float64)

# (outer corner, inner corner, iris, pairs of upper and lower lid) of the subject's right eye, then the left.
_EYES = (
    (33, 133, 468, ((160, 144), (159, 145), (158, 153))),
    (263, 362, 473, ((387, 373), (386, 374), (385, 380))),
)


def measured(points: F64, pose_deg: PoseDeg) -> F64:
    """(COUNT,) what a face does, in the order of `NAMES`.

    Args:
        points: (478, 2 or 3) landmarks with square pixels, any scale and place; y down.
        pose_deg: pitch, yaw, roll as in `pose.head_pose`.

    Returns:
        Openings of lids as parts of the eye's width; gaze as the iris's distance from the middle between the
        corners, in the same unit; the rest as parts of the distance between the outer corners of the eyes; turns in
        units of 20 degrees. x towards the right edge of the picture and y down, along and across the line of the eyes.
    """
    p = np.asarray(points, np.float64)[:, :2]
    line = p[263] - p[33]
    size = max(float(np.linalg.norm(line)), 1e-9)
    across = line / size
    down = np.array([-across[1], across[0]])

    def apart(a: int, b: int) -> float:
        return float(np.linalg.norm(p[a] - p[b]))

    eyes = []
    for outer, inner, iris, lids in _EYES:
        width = max(apart(outer, inner), 1e-9)
        looks = (p[iris] - (p[outer] + p[inner]) / 2) / width
        eyes.append((float(np.mean([apart(*pair) for pair in lids])) / width, looks @ across, looks @ down))
    (lids_r, gaze_rx, gaze_ry), (lids_l, gaze_lx, gaze_ly) = eyes
    middle = (p[13] + p[14]) / 2
    right, left = (p[61] - middle) / size, (p[291] - middle) / size
    below_nose = (middle - p[2]) / size
    values = [
        *(lids_r, lids_l, gaze_rx, gaze_lx, gaze_ry, gaze_ly),
        *(apart(13, 14) / size, apart(81, 178) / size, apart(311, 402) / size, apart(0, 17) / size),
        (p[13] - p[2]) @ down / size,
        *(right @ across, left @ across, right @ down, left @ down),
        *((p[105] - p[33]) @ down / size, (p[334] - p[263]) @ down / size),
        *((p[107] - p[133]) @ down / size, (p[336] - p[362]) @ down / size),
        *(apart(152, 2) / size, below_nose @ across, pose_deg[0] / _TURN_DEG, pose_deg[1] / _TURN_DEG),
    ]
    return np.array(values, np.float64)


def mirrored(values: F64) -> F64:
    """(..., COUNT) of the same faces in a mirror."""
    return np.asarray(values[..., _MIRROR] * _SIGN, np.float64)


def neutrals(performers: Sequence[F64]) -> tuple[Condition, ...]:
    """What standardises each performer's (N, COUNT) measured values. Turns are everybody's: their rest is 0.

    At rest is the median of the frames that face the camera, of all if none does; the spread is of all performers
    together. Both are their own mirror images.
    """
    rests = [_at_rest(values) for values in performers]
    away = np.concatenate([values - rest for values, rest in zip(performers, rests, strict=True)])
    spread = np.sqrt(np.mean(away**2, axis=0))
    spread = np.maximum((spread + spread[_MIRROR]) / 2, _LEAST_SPREAD)
    return tuple(Condition(kind=KIND, rest=_rounded(rest), spread=_rounded(spread)) for rest in rests)


def _at_rest(values: F64) -> F64:
    frontal = np.abs(values[:, -2:]).max(axis=1) * _TURN_DEG < _FRONTAL_DEG
    middle = np.median(values[frontal] if frontal.any() else values, axis=0)
    rest = (middle + mirrored(middle)) / 2
    rest[-2:] = 0.0
    return np.asarray(rest, np.float64)


def _rounded(values: F64) -> tuple[float, ...]:
    return tuple(round(float(value), 6) for value in values)


def told(values: F64, condition: Condition) -> F32:
    """(..., COUNT) float32: `measured` values of a performer, standardised, within -3..3.

    Raises:
        ModelError: the model wants other numbers than these.
    """
    if condition.kind != KIND or len(condition.rest) != COUNT:
        raise ModelError(
            f"the model wants to be told {condition.kind!r}, this version measures {KIND!r}",
            hint="export the model again, or use the version of vfxswap that made it",
        )
    away = (values - np.asarray(condition.rest)) / np.asarray(condition.spread)
    return np.asarray(np.clip(away, -REACH, REACH), np.float32)


def of(face: FaceFrame) -> F64:
    """(COUNT,) what a tracked face does: `measured` in the face's own frame, where pixels are square."""
    return measured(transform(face.similarity, face.landmarks[:, :2]), face.pose_deg)
