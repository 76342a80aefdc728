"""Hands before the face: they are found in the plate, and what is in front of the face is told of them.

The network that looks for what covers a face sees a finger beside a nose as it sees the nose: as skin. Where the points
of a hand say that a finger is, it has to see the face more surely than it would elsewhere, or the finger stays.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import cv2
import numpy as np

from vfxswap import align, exr
from vfxswap.color import ModelSpace
from vfxswap.face.frame import FaceFrame
from vfxswap.face.protocols import HandFinder
from vfxswap.geometry import Matrix23, invert, transform
from vfxswap.lens import Lens
from vfxswap.pixels import F32, F64, Matte, WorkingRgb
from vfxswap.plate import Plate, scrub

_SIZE: Final = 384
_MARGIN: Final = 2.4
"""Hands are looked for in this many crops around the face, so that palms below the chin and beside it are seen."""

_FINGERS: Final = tuple(tuple(range(first, first + 4)) for first in (1, 5, 9, 13, 17))
_PALM: Final = (0, 1, 5, 9, 13, 17)
_KNUCKLES: Final = (5, 17)

_SLIM: Final = 0.75
"""Rods are drawn by so much thinner than fingers are: where their edges are the picture tells (`guided`)."""
_FINGER, _THUMB = 0.15, 0.17
"""Radii of fingers, of the distance between the first and the last knuckle."""
_TIP: Final = 0.25
"""Fingertips reach beyond their points by this part of the last bone."""
_SURE: Final = 8.0
"""Added to the logits of what is in front, where a hand is."""
_LEAST: Final = 1e-6


def finding(
    plate: Plate,
    image: exr.Frame,
    face: FaceFrame,
    *,
    space: ModelSpace,
    finder: HandFinder | None,
    lens: Lens | None = None,
) -> Callable[[], tuple[F64, ...]]:
    """What finds the hands about a face, once it is asked.

    Args:
        plate: the plate.
        image: its frame.
        face: where the face is.
        space: the frame's exposure and config; hands are looked for in a display-encoded picture.
        finder: finds hands; None: there are none.
        lens: the plate's, or None.

    Returns:
        Gives (21, 2) for each hand, in plate pixels; undistorted ones where there is a lens.
    """
    if finder is None:
        return tuple

    def near() -> tuple[F64, ...]:
        matrix = align.crop_matrix(face.similarity, size=_SIZE, margin=_MARGIN)
        pixels, window = plate.working(image, align.crop_window(matrix, size=_SIZE, lens=lens))
        if window.empty:
            return ()
        crop = WorkingRgb(align.take(scrub(pixels), window=window, matrix=matrix, size=_SIZE, lens=lens))
        back = invert(matrix)
        return tuple(transform(back, hand) for hand in finder(ModelSpace(space.config, space.gain).encode(crop)))

    return near


def held(front: Matte, hands: Iterable[F64], matrix: Matrix23, *, keep: float = 1.0) -> Matte:
    """What is in front of a face, with what is known of hands.

    Args:
        front: (S, S) how sure it is that something is in front.
        hands: (21, 2) each, as `finding` gives them.
        matrix: plate -> crop, of S pixels.
        keep: how far hands are kept (the knob `hands`), 0 to 1.

    Returns:
        (S, S); `front` itself, bit for bit, away from hands.
    """
    size = front.shape[0]
    zone: F32 = np.zeros(front.shape, np.float32)
    for hand in hands:
        zone = np.maximum(zone, rods(transform(matrix, hand), size=size))
    if not zone.any():
        return front
    odds = np.clip(front.astype(np.float64), _LEAST, 1 - _LEAST)
    told = 1 / (1 + np.exp(-(np.log(odds / (1 - odds)) + keep * _SURE * zone)))
    return Matte(np.where(zone > 0, told, front).astype(np.float32))


def rods(hand: F64, *, size: int) -> F32:
    """(S, S) coverage of a hand by its points: slim rods along its fingers, and its palm.

    Args:
        hand: (21, 2) pixels of the raster.
        size: S.
    """
    y, x = np.mgrid[:size, :size] + 0.5
    wide = _SLIM * float(np.hypot(*(hand[_KNUCKLES[0]] - hand[_KNUCKLES[1]])))
    distance = np.full((size, size), np.inf)
    for number, finger in enumerate(_FINGERS):
        radius = wide * (_THUMB if number == 0 else _FINGER)
        for start, end in itertools.pairwise(_lengthened(hand[list(finger)])):
            distance = np.minimum(distance, _away(x, y, start, end) - radius)
    palm = np.zeros((size, size), np.uint8)
    cv2.fillPoly(palm, [np.round((hand[list(_PALM)] - 0.5) * 16).astype(np.int32)], 1, shift=4)
    soft = size / 128
    return np.asarray(np.where(palm > 0, 1.0, np.clip(0.5 - distance / (2 * soft), 0, 1)), np.float32)


def _lengthened(joints: F64) -> Sequence[F64]:
    """A finger's joints, the tip moved to where the finger ends."""
    return [*joints[:-1], joints[-1] + _TIP * (joints[-1] - joints[-2])]


def _away(x: F64, y: F64, start: F64, end: F64) -> F64:
    """How far each pixel is from a line between two points."""
    way = end - start
    along = np.clip(((x - start[0]) * way[0] + (y - start[1]) * way[1]) / max(float(way @ way), 1e-9), 0, 1)
    return np.asarray(np.hypot(x - start[0] - along * way[0], y - start[1] - along * way[1]))
