"""Where one shot dissolves into another.

A frame within a dissolve is a mixture of a picture before it and one after it; the parts go from all of the first to
all of the second, with both pictures standing for a while at either end. Nothing else looks like that: of a pan, a
zoom or somebody who walks by, the middle is no mixture of the ends. So every frame is compared with mixtures of an
earlier frame and the newest one, by least squares on thumbnails. (The idea of a gradual transition as a run between
two frames that differ is the twin comparison of H. Zhang, A. Kankanhalli, S. Smoliar, "Automatic Partitioning of
Full-motion Video", Multimedia Systems 1993.) Fades through black are not found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from vfxswap.pixels import F32, F64

LONGEST = 48
"""Frames of the longest dissolve that is found."""

# A dissolve has at least so many mixed frames; fewer are a cut. What moves in a shot looks like this much of a mixture.
_SHORTEST, _MIXED = 3, 0.18

# Frames at either end that must show one picture only.
_STANDS = 3

# Pictures that correlate by more show one scene, of whatever light; none is looked for between them.
_ALIKE = 0.7

# What a mixture may leave unexplained, as part of the squared difference of the two pictures: at most, and on average.
_LEFT, _LEFT_MEAN = 0.4, 0.15

# By how much the part of the old shot may grow again from frame to frame, and shrink: more is a cut or a flash.
_BACK, _STEEP = 0.06, 0.45

# Composition that most shots share, a face in the middle say, is no witness: only detail finer than so many pixels.
_COARSE = 5.0

# A part of a dissolve is a mixture of its own ends: what is found replaces what was if it is so much clearer.
_CLEARER = 1.01

# Asking whether two pictures show different scenes costs most. Where they do not, it is asked again only after so many
# frames or when it has become so much clearer.
_PATIENT, _ANEW = 12, 1.1

_KEPT = LONGEST + 2 * _STANDS + 4


class Dissolve(NamedTuple):
    """The mixed frames, both included, and the first one that shows more of the new shot than of the old."""

    first: int
    last: int
    middle: int


@dataclass(eq=False)
class DissolveFinder:
    """Looks at a plate thumbnail by thumbnail.

    Args:
        apart: whether two thumbnails show different scenes; asked only when everything else fits.
    """

    apart: Callable[[F32, F32], bool]
    _frames: list[int] = field(default_factory=list)
    _thumbs: list[F32] = field(default_factory=list)
    _fine: list[F32] = field(default_factory=list)
    _gram: F64 = field(default_factory=lambda: np.zeros((0, 0)))
    _runs: list[tuple[float, int, Dissolve]] = field(default_factory=list)
    _refused: list[tuple[int, float]] = field(default_factory=list)

    @property
    def found(self) -> tuple[Dissolve, ...]:
        """The dissolves that have ended; of those that touch, the one whose ends differ and explain most."""
        kept: list[Dissolve] = []
        for _, _, run in sorted(self._runs, key=lambda item: item[0]):
            if all(run.last + _STANDS < other.first or other.last + _STANDS < run.first for other in kept):
                kept.append(run)
        return tuple(sorted(kept))

    def look(self, frame: int, thumb: F32) -> None:
        """Take the next frame's thumbnail, of any one shape."""
        if len(self._frames) == _KEPT:
            self._frames, self._thumbs, self._fine = self._frames[1:], self._thumbs[1:], self._fine[1:]
            self._gram = self._gram[1:, 1:]
        self._frames.append(frame)
        self._thumbs.append(thumb)
        self._fine.append(np.asarray(thumb - cv2.GaussianBlur(thumb, (0, 0), _COARSE), np.float32))
        self._gram = _grown(self._gram, np.array([np.vdot(kept, self._fine[-1]) for kept in self._fine]))
        self._seek()

    def _seek(self) -> None:
        """A dissolve that ends with the newest frame standing."""
        last = len(self._frames) - 1
        power = np.diag(self._gram)
        alike = self._gram[:, last] / np.sqrt(np.maximum(power * power[last], 1e-12))
        candidates = np.flatnonzero(alike[: max(0, last - _SHORTEST - 2 * _STANDS + 2)] < _ALIKE)
        runs = (self._mixture(first, last) for first in candidates[self._halfway(candidates, last)].tolist())
        fits = sorted((run for run in runs if run is not None), key=lambda run: run[0])
        if not fits:
            return
        best = fits[0]
        known = [run for run in self._runs if run[2].first <= best[2].last and best[2].first <= run[2].last]
        asked = [clear for frame, clear in self._refused if frame in self._frames[-_PATIENT:]]
        if any(best[0] >= _CLEARER * run[0] for run in known) or any(best[0] >= _ANEW * clear for clear in asked):
            return
        if self.apart(self._thumbs[best[1]], self._thumbs[last]):
            self._runs.append(best)
        else:
            self._refused = [*self._refused[-_PATIENT:], (self._frames[last], best[0])]

    def _halfway(self, first: NDArray[np.int64], last: int) -> NDArray[np.bool_]:
        """Whether the picture halfway from each of `first` to `last` may be a mixture of them: a quick first look."""
        gram, middle = self._gram, (first + last) // 2
        a, b, cross = gram[first, first], gram[last, last], gram[first, last]
        from_a, from_b = gram[first, middle], gram[last, middle]
        determinant = np.maximum(a * b - cross * cross, 1e-9)
        p = (b * from_a - cross * from_b) / determinant
        q = (a * from_b - cross * from_a) / determinant
        left = gram[middle, middle] - p * from_a - q * from_b
        return np.asarray((left < _LEFT * (a + b - 2 * cross)) & (p > -_MIXED) & (q > -_MIXED))

    def _mixture(self, first: int, last: int) -> tuple[float, int, Dissolve] | None:
        """How unclear it is, `first`, and the dissolve between them if all others are their mixtures."""
        gram, inner = self._gram, np.arange(first, last + 1)
        a, b, cross = gram[first, first], gram[last, last], gram[first, last]
        from_a, from_b = gram[first, inner], gram[last, inner]
        determinant = a * b - cross * cross
        if determinant <= 1e-6 * a * b:
            return None
        p = (b * from_a - cross * from_b) / determinant
        q = (a * from_b - cross * from_a) / determinant
        across = max(a + b - 2 * cross, 1e-12)
        left = np.maximum(np.diag(gram)[inner] - p * from_a - q * from_b, 0) / across
        part = p / np.where(np.abs(p + q) > 1e-6, p + q, np.inf)
        mixed = np.arange(int(np.argmax(part < 1 - _MIXED)), len(part) - int(np.argmax(part[::-1] > _MIXED)))
        if (
            not _SHORTEST <= len(mixed) <= LONGEST
            or mixed[0] < _STANDS
            or mixed[-1] > len(part) - 1 - _STANDS
            or np.diff(part[mixed[0] - 1 : mixed[-1] + 2]).max() > _BACK
            or np.diff(part[mixed[0] - 1 : mixed[-1] + 2]).min() < -_STEEP
            or np.abs(part - np.clip(part, -_MIXED, 1 + _MIXED)).max() > _MIXED
            or left.max() > _LEFT
            or left.mean() > _LEFT_MEAN
        ):
            return None
        # The ends, where a frame is hardly mixed, are where a straight line through the others has them.
        slope, start = np.polyfit(mixed, part[mixed], 1)
        begin, end = (int(np.clip(round((level - start) / slope), 0, len(part) - 1)) for level in (1.0, 0.0))
        begin, end = min(begin + 1, int(mixed[0])), max(end - 1, int(mixed[-1]))
        middle = int(mixed[np.argmax(part[mixed] < 0.5)]) if (part[mixed] < 0.5).any() else int(mixed[-1]) + 1
        frames = [self._frames[i] for i in inner.tolist()]
        clear = across * max(0.0, 1 - float(left[mixed].mean()) / _LEFT_MEAN)
        return -clear, first, Dissolve(frames[begin], frames[end], frames[middle])


def _grown(gram: F64, products: F64) -> F64:
    """A Gram matrix with one more row and column."""
    count = len(products)
    result = np.zeros((count, count))
    result[:-1, :-1] = gram
    result[-1], result[:, -1] = products, products
    return result
