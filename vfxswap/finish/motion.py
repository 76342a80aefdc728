"""Motion blur: the face moves along its track while the shutter is open, its matte with it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np

from vfxswap import align
from vfxswap.geometry import Matrix23, compose, invert, to_opencv, transform
from vfxswap.pixels import F32, F64, Matte

TURN: Final = 360.0
"""Degrees of a shutter that is open all the time."""

_LEAST = 0.25
"""Crop pixels; a way shorter than this is not seen."""
_STEP = 0.6
"""Crop pixels from one sample of the way to the next."""
_MOST = 64
"""Samples of the way, at most."""
_FURTHEST = 0.35
"""Crop sides from one frame to the next: what goes further was cut, or lost."""
_FAINT = 1e-3
"""What the colours beyond the matte weigh, so that there are some."""


@dataclass(frozen=True, eq=False)
class Motion:
    """How a face moves about a frame, in its own crop.

    Attributes:
        velocity: (2, 3) crop position -> its displacement after one frame, in crop pixels.
        bend: (2, 3) crop position -> its acceleration, in crop pixels per frame squared.
        size: side of the crop.
    """

    velocity: F64
    bend: F64
    size: int

    def at(self, time: float) -> Matrix23:
        """Where the frame's crop positions are `time` frames later."""
        return np.eye(2, 3) + time * self.velocity + 0.5 * time**2 * self.bend

    @property
    def middle(self) -> F64:
        """(2,) crop pixels per frame in the middle of the crop."""
        return np.asarray(self.velocity @ [self.size / 2, self.size / 2, 1.0], np.float64)

    def length(self, open_for: float) -> float:
        """Crop pixels that the face's fastest corner goes while the shutter is open, for a part of a frame."""
        low, high = 0.2 * self.size, 0.8 * self.size
        corners = np.array([[low, low], [high, low], [high, high], [low, high]])
        ways = [transform(self.at(time), corners) for time in (-open_for / 2, 0.0, open_for / 2)]
        return float(sum(np.linalg.norm(b - a, axis=1) for a, b in itertools.pairwise(ways)).max())


def of(before: Matrix23 | None, now: Matrix23, after: Matrix23 | None, *, size: int) -> Motion | None:
    """The motion of a face that goes through three frames, one apart.

    Args:
        before: plate -> crop one frame earlier, None where there is no face.
        now: plate -> crop.
        after: plate -> crop one frame later, or None.
        size: side of the crop.

    Returns:
        A parabola through its positions, a line through two of them; None where there is but one.
    """
    steps = [None if other is None else _step(now, other, size) for other in (before, after)]
    back, on = steps
    if back is not None and on is not None:
        return Motion((on - back) / 2, on + back, size)
    if on is not None:
        return Motion(on, np.zeros((2, 3)), size)
    return None if back is None else Motion(-back, np.zeros((2, 3)), size)


def _step(now: Matrix23, other: Matrix23, size: int) -> F64 | None:
    """(2, 3) crop position -> how far it is away in the other frame; None beyond what a face does in a frame."""
    step = compose(now, invert(other)) - np.eye(2, 3)
    away = np.abs(step @ [size / 2, size / 2, 1.0]).max()
    return step if away <= _FURTHEST * size and np.abs(step[:, :2]).max() <= _FURTHEST else None


def blurred(face: F32, mask: Matte, motion: Motion, *, open_for: float) -> tuple[F32, Matte]:
    """A face and its matte while the shutter is open around the frame.

    Both are averaged along the way, the face premultiplied: what passes a place for half the time covers half of it.

    Args:
        face: (S, S, 3) linear light.
        mask: (S, S) its matte.
        motion: in this very crop.
        open_for: part of a frame, shutter angle / 360.

    Returns:
        The face, not premultiplied, and its matte; those that were given where the way is too short to be seen.
    """
    length = motion.length(open_for)
    if length < _LEAST:
        return face, mask
    count = min(_MOST, max(2, math.ceil(length / _STEP) + 1))
    weight = mask + np.float32(_FAINT)
    planes = np.dstack([face * weight[..., None], weight]).astype(np.float32)
    total = np.zeros_like(planes)
    for time in ((np.arange(count) + 0.5) / count - 0.5) * open_for:
        total += _moved(planes, motion.at(float(time)))
    color = total[..., :3] / np.maximum(total[..., 3:], 0.5 * count * _FAINT)
    cover = np.clip(total[..., 3] / count - _FAINT, 0.0, 1.0) * align.frame_weight(size=mask.shape[0])
    return np.asarray(np.maximum(color, 0.0), np.float32), Matte(np.asarray(cover, np.float32))


def _moved(planes: F32, matrix: Matrix23) -> F32:
    size = planes.shape[0]
    out = cv2.warpAffine(
        planes, to_opencv(matrix), (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(out, np.float32)


def shutter_deg(attributes: Mapping[str, Any]) -> float | None:
    """The shutter angle that a header names, None where it does not.

    `shutterAngle` (OpenEXR's standard attributes) or a maker's own, such as `com.arri.camera.ShutterAngle`; else the
    exposure time (`expTime`) times the rate (`captureRate`, `framesPerSecond`).
    """
    found = {name.lower().replace("_", ""): value for name, value in attributes.items()}
    for name, value in found.items():
        if name.rsplit(".", 1)[-1].rsplit("/", 1)[-1] == "shutterangle" and (angle := _number(value)) is not None:
            return angle if 0.0 <= angle <= TURN else None
    time = _number(found.get("exposuretime", found.get("exptime")))
    rate = next((r for n in ("capturerate", "framespersecond") if (r := _number(found.get(n))) is not None), None)
    if time is None or rate is None:
        return None
    angle = TURN * time * rate
    return angle if 0.0 <= angle <= 1.01 * TURN else None


def _number(value: Any) -> float | None:
    """A header's number: plain, text, or a fraction."""
    if isinstance(value, tuple | list) and len(value) == 2 and value[1]:
        value = value[0] / value[1]
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number >= 0 else None
