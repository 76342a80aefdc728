"""A matte that follows the picture: its edge lies where the picture has one.

What a network says is in front of a face has the right parts and a soft, roughly drawn edge. Near that edge the picture
knows better: fingers and strands of hair differ from the skin behind them. The guided filter takes the matte for a
linear function of colour within each small square, and so moves its edge onto the picture's.

Source: K. He, J. Sun, X. Tang, "Guided Image Filtering", ECCV 2010.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from vfxswap.pixels import F64, Matte, ModelRgb

_RADIUS: Final = 3 / 32
"""Half the side of the squares, of the crop's side: a finger and the skin beside it, or the hairline, lie in one."""
_NOISE: Final = 1e-5
"""Variance of what counts as no edge, of values in 0..1: about what is left of grain in a crop."""
_STEEPER: Final = 2.0
"""Within a square colours overlap, which flattens the edge by about so much."""
_REACH: Final = 1 / 32
"""The edge moves no further, of the crop's side: dark brows are no hair that hangs before the face."""


def follow(coverage: Matte, picture: ModelRgb) -> Matte:
    """Move the edges of `coverage` onto those of `picture`.

    Args:
        coverage: (S, S) of something that `picture` shows.
        picture: (S, S, 3) where `coverage` has it.

    Returns:
        (S, S) float32 in [0, 1]; `coverage` itself where there is neither edge nor doubt.
    """
    return Guide(picture).follow(coverage)


class Guide:
    """A picture that mattes are made to follow: what of the filter only it decides is worked out once."""

    def __init__(self, picture: ModelRgb) -> None:
        size = picture.shape[0]
        self._side = 2 * round(_RADIUS * size) + 1
        self._planes = [np.ascontiguousarray(picture[..., i], np.float64) for i in range(3)]
        self._means = [self._blurred(plane) for plane in self._planes]
        xx, xy, xz, yy, yz, zz = (
            self._blurred(self._planes[i] * self._planes[j]) - self._means[i] * self._means[j] + _NOISE * (i == j)
            for i, j in itertools.combinations_with_replacement(range(3), 2)
        )
        self._inverse = _inverse(xx, xy, xz, yy, yz, zz)
        reach = max(1, round(_REACH * size))
        self._disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))

    def follow(self, coverage: Matte) -> Matte:
        """As the function of that name."""
        held = coverage.astype(np.float64)
        mean = self._blurred(held)
        shared = [
            self._blurred(plane * held) - middle * mean for plane, middle in zip(self._planes, self._means, strict=True)
        ]
        slopes = [_dot(row, shared) for row in self._inverse]
        level = mean - _dot(slopes, self._means)
        found = _dot([self._blurred(slope) for slope in slopes], self._planes) + self._blurred(level)
        found = (found - 0.5) * _STEEPER + 0.5
        least, most = cv2.erode(coverage, self._disc), cv2.dilate(coverage, self._disc)
        return Matte(np.clip(found.astype(np.float32), least, most))

    def _blurred(self, plane: F64) -> F64:
        """The mean over each square."""
        return np.asarray(cv2.blur(plane, (self._side, self._side), borderType=cv2.BORDER_REFLECT_101), np.float64)


def _inverse(xx: F64, xy: F64, xz: F64, yy: F64, yz: F64, zz: F64) -> tuple[tuple[F64, F64, F64], ...]:
    """The rows of the inverses of symmetric matrices, given by their upper triangles."""
    a, b, c = yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy
    d, e, f = xx * zz - xz * xz, xy * xz - xx * yz, xx * yy - xy * xy
    scale = 1.0 / (xx * a + xy * b + xz * c)
    a, b, c, d, e, f = a * scale, b * scale, c * scale, d * scale, e * scale, f * scale
    return (a, b, c), (b, d, e), (c, e, f)


def _dot(left: Sequence[F64], right: Sequence[F64]) -> F64:
    return left[0] * right[0] + left[1] * right[1] + left[2] * right[2]
