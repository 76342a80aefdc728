"""Where pixels are. The one place that states the conventions.

Conventions:
    - Plate coordinates are pixels of the DISPLAY window: origin at its top-left corner, x right, y down,
      the centre of the first pixel is (0.5, 0.5). Pixel aspect is never applied to stored numbers.
    - A crop's coordinates follow the same rule inside the crop.
    - A `Matrix23` maps (x, y, 1) from the space named first to the space named second, in these
      coordinates. OpenCV counts from pixel centres at integers: `to_opencv` converts once.
    - Nuke's y-up is applied only in face/export/, in STMaps and in hosts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vfxswap.pixels import F64

Matrix23 = F64
"""(2, 3) float64 affine matrix, plate -> crop unless the name says otherwise."""


@dataclass(frozen=True)
class Window:
    """An integer pixel rectangle: x, y of its top-left pixel, width, height."""

    x: int
    y: int
    width: int
    height: int

    @property
    def x1(self) -> int:
        """One past the last column."""
        return self.x + self.width

    @property
    def y1(self) -> int:
        """One past the last row."""
        return self.y + self.height

    @property
    def empty(self) -> bool:
        """True when it holds no pixel."""
        return self.width <= 0 or self.height <= 0

    def intersect(self, other: Window) -> Window:
        """The common rectangle; empty (width or height 0) when there is none."""
        x, y = max(self.x, other.x), max(self.y, other.y)
        return Window(x, y, max(0, min(self.x1, other.x1) - x), max(0, min(self.y1, other.y1) - y))

    @staticmethod
    def union(*windows: Window) -> Window:
        """The smallest rectangle that holds all of `windows`, of which there is at least one."""
        x, y = min(w.x for w in windows), min(w.y for w in windows)
        return Window(x, y, max(w.x1 for w in windows) - x, max(w.y1 for w in windows) - y)

    def grow(self, pixels: int) -> Window:
        """The rectangle enlarged by `pixels` on every side."""
        return Window(self.x - pixels, self.y - pixels, self.width + 2 * pixels, self.height + 2 * pixels)

    def moved(self, dx: int, dy: int) -> Window:
        """The rectangle shifted by (dx, dy)."""
        return Window(self.x + dx, self.y + dy, self.width, self.height)

    def slices(self, origin: Window) -> tuple[slice, slice]:
        """(rows, columns) of this rectangle in an array whose first pixel is `origin`'s."""
        return (
            slice(self.y - origin.y, self.y1 - origin.y),
            slice(self.x - origin.x, self.x1 - origin.x),
        )

    @staticmethod
    def around(points: F64, *, margin: float = 0.0) -> Window:
        """The smallest integer window that holds (N, 2) `points`, grown by `margin` pixels."""
        low = np.floor(points.min(axis=0) - margin).astype(int)
        high = np.ceil(points.max(axis=0) + margin).astype(int)
        return Window(int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1]))


def transform(matrix: Matrix23, points: F64) -> F64:
    """Map (N, 2) points through a (2, 3) matrix."""
    return np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]


def invert(matrix: Matrix23) -> Matrix23:
    """The inverse (2, 3) matrix."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.concatenate([linear, -(linear @ matrix[:, 2])[:, None]], axis=1)


def compose(outer: Matrix23, inner: Matrix23) -> Matrix23:
    """The matrix that applies `inner` first, then `outer`."""
    linear = outer[:, :2] @ inner[:, :2]
    return np.concatenate([linear, (outer[:, :2] @ inner[:, 2] + outer[:, 2])[:, None]], axis=1)


def scale_of(matrix: Matrix23) -> float:
    """The uniform scale of a similarity (square root of the determinant)."""
    return float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))


def similarity(source: F64, target: F64, *, weights: F64 | None = None) -> Matrix23:
    """The least-squares similarity that maps `source` onto `target`, (N, 2) each, optional weights (N,).

    Source: S. Umeyama, "Least-squares estimation of transformation parameters between two point
    patterns", PAMI 1991, in its two-dimensional closed form (no reflection).
    """
    w = np.ones(len(source)) if weights is None else np.asarray(weights, np.float64)
    w = w / w.sum()
    mean_s, mean_t = w @ source, w @ target
    s, t = source - mean_s, target - mean_t
    norm = float(w @ (s * s).sum(axis=1))
    a = float(w @ (s * t).sum(axis=1)) / norm
    b = float(w @ (s[:, 0] * t[:, 1] - s[:, 1] * t[:, 0])) / norm
    linear = np.array([[a, -b], [b, a]])
    return np.concatenate([linear, (mean_t - linear @ mean_s)[:, None]], axis=1)


def to_opencv(matrix: Matrix23) -> Matrix23:
    """The same mapping for OpenCV, where integer coordinates are pixel centres."""
    half = np.array([0.5, 0.5])
    result = matrix.copy()
    result[:, 2] += matrix[:, :2] @ half - half
    return result
