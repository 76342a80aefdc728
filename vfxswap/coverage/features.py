"""What a face does: where it is turned, what its features do, where its eyes look. From landmarks alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vfxswap.face.landmarks import BLENDSHAPES
from vfxswap.face.pose import PoseDeg, head_pose
from vfxswap.pixels import F64

# An eye is about 30 mm from corner to corner and its ball has a radius of about 12 mm.
_BALL = 0.4
# Where the iris of an eye that looks straight out of the head lies between the eye's corners, in widths of the eye: a
# little above their middle, and off it as the head turns, because the ball lies deeper than the corners. Measured on
# 400 rendered heads whose gaze has nothing to do with their pose: rises of 0.14 and 0.21 for two performers with the
# tangent of the yaw, 0.08 and 0.11 with that of the pitch; 0.065 and 0.067 above the middle.
_RISE_YAW, _RISE_PITCH, _HEIGHT = 0.18, 0.09, 0.066
# Iris, outer and inner corner of the right and of the left eye.
_EYES = ((468, 33, 133), (473, 263, 362))

_GAZE_YAW = 50.0
"""Beyond this yaw the iris is read off too few pixels."""
_CLOSED = 0.5
"""A blink coefficient above this hides the iris."""

_BLINKS = (BLENDSHAPES.index("eyeBlinkLeft"), BLENDSHAPES.index("eyeBlinkRight"))


def _other_side(name: str) -> str:
    left, right = "Left", "Right"
    return name.replace(left, right) if left in name else name.replace(right, left)


_MIRROR = np.array([BLENDSHAPES.index(_other_side(name)) for name in BLENDSHAPES], np.int64)


@dataclass(frozen=True, eq=False)
class Look:
    """What one face does.

    Attributes:
        pose_deg: pitch, yaw, roll in degrees, signs as in `face.pose.head_pose`.
        expression: (52,) float64 in [0, 1], in the order of `BLENDSHAPES`.
        gaze_deg: where the eyes look relative to the head: degrees towards the right edge of the picture, degrees up.
        gaze_known: whether the irises can be seen well enough for `gaze_deg` to mean anything.
    """

    pose_deg: PoseDeg
    expression: F64
    gaze_deg: tuple[float, float]
    gaze_known: bool

    def mirrored(self) -> Look:
        """The same face in a mirror."""
        pitch, yaw, roll = self.pose_deg
        right, up = self.gaze_deg
        return Look((pitch, -yaw, -roll), self.expression[_MIRROR], (-right, up), self.gaze_known)


def look(points: F64, expression: F64) -> Look:
    """What a face does, from its (478, 3) landmarks in square pixels and its (52,) expression coefficients."""
    pose = head_pose(points)
    blink = max(float(expression[i]) for i in _BLINKS)
    return Look(
        pose_deg=pose,
        expression=expression,
        gaze_deg=gaze(points, pose),
        gaze_known=blink < _CLOSED and abs(pose[1]) < _GAZE_YAW,
    )


def gaze(points: F64, pose: PoseDeg) -> tuple[float, float]:
    """Where the eyes look relative to the head: degrees towards the picture's right edge, degrees up.

    The iris between the corners of its eye, with the head's roll undone and what its yaw and pitch alone would move
    the iris taken off; the eye that is seen wider counts for more. It is read in the picture, not on the mesh in
    space: the mesh's depth of an iris is too noisy at an angle.

    Args:
        points: (478, 2 or 3) landmarks, square pixels.
        pose: the head's (`head_pose`).
    """
    pitch, yaw, roll = np.radians(pose)
    cos, sin = np.cos(roll), np.sin(roll)
    upright = np.asarray(points, np.float64)[:, :2] * [1, -1] @ np.array([[cos, -sin], [sin, cos]])
    offsets, widths = [], []
    for iris, outer, inner in _EYES:
        width = max(abs(float(upright[outer, 0] - upright[inner, 0])), 1e-6)
        offsets.append((upright[iris] - (upright[outer] + upright[inner]) / 2) / width)
        widths.append(width)
    x, y = np.average(offsets, axis=0, weights=widths)
    slopes = np.tan(np.clip([yaw, pitch], -1.2, 1.2))
    right = x - _RISE_YAW * slopes[0]
    # The eye's width is foreshortened by the yaw and its height is not.
    up = y * np.cos(yaw) - _HEIGHT + _RISE_PITCH * slopes[1]
    at = np.degrees(np.arcsin(np.clip(np.array([right, up]) / _BALL, -1, 1)))
    return float(at[0]), float(at[1])


def expression_indices(*starts: str) -> NDArray[np.int64]:
    """Which of `BLENDSHAPES` begin with one of `starts`."""
    return np.array([i for i, name in enumerate(BLENDSHAPES) if name.startswith(starts)], np.int64)
