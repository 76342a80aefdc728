"""What a detector, a landmarker, an embedder and a parser are: the plug-in point of tracking.

Every network here sees `ModelRgb` with square pixels; every coordinate follows `vfxswap.geometry` (origin top-left,
y down, the centre of the first pixel at (0.5, 0.5)).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vfxswap.geometry import Matrix23, Window
from vfxswap.pixels import F64, Matte, ModelRgb


@dataclass(frozen=True, eq=False)
class Detection:
    """A face that a detector found.

    Attributes:
        box: (4,) x0, y0, x1, y1 in pixels.
        points: (5, 2) the subject's right eye, left eye, nose tip, right and left mouth corner.
        score: 0..1.
    """

    box: F64
    points: F64
    score: float

    @property
    def size(self) -> float:
        """The longer side of the box in pixels."""
        return float(max(self.box[2] - self.box[0], self.box[3] - self.box[1]))


@dataclass(frozen=True)
class Roi:
    """A rotated square: centre (x, y) and side in pixels, angle in radians, positive turns x towards y (clockwise)."""

    x: float
    y: float
    side: float
    angle: float

    def matrix(self, size: int) -> Matrix23:
        """Plate -> crop of `size` x `size` pixels, both with corner at (0, 0) and pixel centres at .5."""
        k = size / self.side
        cos, sin = k * np.cos(self.angle), k * np.sin(self.angle)
        linear = np.array([[cos, sin], [-sin, cos]])
        return np.concatenate([linear, (size / 2 - linear @ [self.x, self.y])[:, None]], axis=1)


@dataclass(frozen=True, eq=False)
class Landmarks:
    """A face's landmarks.

    Attributes:
        points: (N, 3) float64, x and y in pixels; z in pixels too, relative to the head's centre, negative is
            nearer to the camera.
        presence: 0..1, how sure the network is that the crop holds a face it can read.
        spread: how far perturbed crops disagree: the standard deviation of a point on one axis over them, in pixels,
            averaged over the points; 0 for a single crop.
    """

    points: F64
    presence: float
    spread: float = 0.0


class Detector(Protocol):
    """Finds faces in a whole image, best score first."""

    def __call__(self, rgb: ModelRgb, *, thorough: bool = True) -> tuple[Detection, ...]:
        """Faces in `rgb`; `thorough` allows harder looks when the first finds none."""
        ...


class Landmarker(Protocol):
    """Places the 478 points of the canonical topology (468 mesh points, then 2 x 5 iris points)."""

    def __call__(self, rgb: ModelRgb, roi: Roi, *, crops: int = 1) -> Landmarks:
        """Landmarks of the face in `roi`, averaged over `crops` perturbed crops."""
        ...


class Embedder(Protocol):
    """Describes whose face it is."""

    def __call__(self, rgb: ModelRgb, points: F64) -> F64:
        """A float64 vector; the Euclidean distance of two says how alike the faces are."""
        ...


class Flow(Protocol):
    """Says where points of one image are in the next one."""

    def __call__(self, before: ModelRgb, after: ModelRgb, points: F64) -> tuple[F64, F64]:
        """Follow the points of one face from `before` to `after`.

        Args:
            before: (H, W, 3) float32, display-encoded, [0, 1], square pixels.
            after: the next image, of the same size, with the same exposure.
            points: (P, 2 or more) pixels of `before`; only x and y are read.

        Returns:
            moved: (P, 2) float64, where they are in `after`, in pixels.
            error: (P,) float64, how far the way there and back misses, in pixels; inf where the answer cannot be
                used (outside the image, say).
        """
        ...


class HandFinder(Protocol):
    """Finds hands."""

    def __call__(self, rgb: ModelRgb) -> tuple[F64, ...]:
        """(21, 2) points of each hand in `rgb`, in its pixels: the wrist, then thumb and fingers from base to tip."""
        ...


class Parser(Protocol):
    """Says which pixels belong to the person."""

    def __call__(self, rgb: ModelRgb, points: F64, *, window: Window | None = None) -> Matte:
        """Coverage over `window` (the whole image if None), 0 outside the region it looked at."""
        ...
