"""Hands near a face: 21 points each, where the wrist, the knuckles, the joints and the fingertips are.

A hand before a face has the colour of a face. What gives it away is its build: where a palm and three fingers are,
there is a fourth.

Source: F. Zhang et al., "MediaPipe Hands: On-device Real-time Hand Tracking", CVPR workshop 2020; anchors and regions
of interest as in MediaPipe's palm detector and hand landmarker.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from vfxswap import infer
from vfxswap.face.detect import suppress
from vfxswap.face.landmarks import crop
from vfxswap.face.protocols import Roi
from vfxswap.geometry import invert, transform
from vfxswap.pixels import F64, ModelRgb

POINTS = 21
"""Points of a hand: the wrist, then four of the thumb and of each finger, from its base to its tip."""

_PALM, _HAND = 192, 224
_RASTERS = ((24, 2), (12, 6))
"""The detector's cells to a side, and its anchors in each."""

_WRIST, _MIDDLE = 0, 2
"""Of the detector's seven points: the wrist and the knuckle of the middle finger."""

_WIDER, _HIGHER = 2.6, 0.5
"""The region of a hand: so many palms wide, and by so much of a palm towards the fingers."""


class MediaPipeHands:
    """The default finder of hands.

    Args:
        device: where the networks run.
        threads: CPU threads, 0 for one per core.
        threshold: least score of a palm.
        presence: least presence of a hand in a palm's region.
    """

    def __init__(
        self,
        *,
        device: infer.Device = "auto",
        threads: int = 0,
        threshold: float = 0.5,
        presence: float = 0.5,
    ) -> None:
        self._palm = infer.session(infer.weights("palm"), device=device, threads=threads)
        self._hand = infer.session(infer.weights("hand"), device=device, threads=threads)
        self._anchors = _anchors()
        self._threshold, self._presence = threshold, presence

    def __call__(self, rgb: ModelRgb) -> tuple[F64, ...]:
        """The hands in a picture, the surest first.

        Args:
            rgb: (H, W, 3) float32, display-encoded, [0, 1], square pixels. A hand should be a fifth of it or more.

        Returns:
            (21, 2) float64 each, in pixels of `rgb`; points may lie outside.
        """
        found = (self._points(rgb, roi) for roi in self._palms(rgb))
        return tuple(points for points in found if points is not None)

    def _palms(self, rgb: ModelRgb) -> list[Roi]:
        """Where hands may be."""
        height, width = rgb.shape[:2]
        matrix = Roi(width / 2, height / 2, max(height, width), 0.0).matrix(_PALM)
        view = crop(rgb, matrix, size=_PALM, border=cv2.BORDER_CONSTANT)
        raw, logits = self._palm.run({self._palm.inputs[0]: view[None]})
        scores = 1 / (1 + np.exp(-np.clip(logits[0, :, 0].astype(np.float64), -100, 100)))
        sure = np.flatnonzero(scores >= self._threshold)
        if not len(sure):
            return []
        values, anchors = raw[0, sure].astype(np.float64), self._anchors[sure]
        middle, half = values[:, :2] + anchors, values[:, 2:4] / 2
        boxes = np.concatenate([middle - half, middle + half], axis=1)
        points = values[:, 4:].reshape(len(sure), -1, 2) + anchors[:, None]
        kept, back = suppress(boxes, scores[sure]), invert(matrix)
        return [_region(transform(back, boxes[i].reshape(2, 2)), transform(back, points[i])) for i in kept]

    def _points(self, rgb: ModelRgb, roi: Roi) -> F64 | None:
        """The points of the hand in a region; None where there is none."""
        matrix = roi.matrix(_HAND)
        view = crop(rgb, matrix, size=_HAND)
        points, presence = self._hand.run({self._hand.inputs[0]: view[None]})[:2]
        if float(presence.item()) < self._presence:
            return None
        return transform(invert(matrix), points.reshape(POINTS, 3)[:, :2].astype(np.float64))


def _anchors() -> F64:
    """(2016, 2) the detector's anchors in pixels of its input."""
    rows = []
    for cells, each in _RASTERS:
        y, x = np.mgrid[:cells, :cells]
        centres = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) * (_PALM / cells)
        rows.append(np.repeat(centres, each, axis=0))
    return np.concatenate(rows)


def _region(box: F64, points: F64) -> Roi:
    """The square around the hand of a palm, upright in the hand's own frame: the fingers point upwards."""
    way = points[_MIDDLE] - points[_WRIST]
    angle = math.atan2(way[0], -way[1])
    x, y = box.mean(axis=0)
    wide, high = box[1] - box[0]
    x, y = x + _HIGHER * high * math.sin(angle), y - _HIGHER * high * math.cos(angle)
    return Roi(float(x), float(y), float(_WIDER * max(wide, high)), angle)
