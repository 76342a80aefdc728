"""A matte that follows the picture: its edge lies where the picture has one.

What a network says is in front of a face has the right parts and a soft, roughly drawn edge. Near that edge the picture
knows better: fingers and strands of hair differ from the skin behind them. The guided filter takes the matte for a
linear function of colour within each small square, and so moves its edge onto the picture's.

Source: K. He, J. Sun, X. Tang, "Guided Image Filtering", ECCV 2010.
"""

from __future__ import annotations

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
        self._picture = picture.astype(np.float64)
        self._mean = self._blurred(self._picture)
        # (S, S, 6): xx, xy, xz, yy, yz, zz of each square's covariance.
        rows, columns = np.triu_indices(3)
        products = self._blurred(self._picture[..., rows] * self._picture[..., columns])
        spread = products - self._mean[..., rows] * self._mean[..., columns]
        self._inverse = _inverse(spread + _NOISE * (rows == columns))
        reach = max(1, round(_REACH * size))
        self._disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))

    def follow(self, coverage: Matte) -> Matte:
        """As the function of that name."""
        held = coverage.astype(np.float64)
        mean = self._blurred(held)
        slope = self._blurred(self._picture * held[..., None]) - self._mean * mean[..., None]
        slope = np.einsum("hwij,hwj->hwi", self._inverse, slope)
        level = mean - (slope * self._mean).sum(axis=-1)
        found = (self._blurred(slope) * self._picture).sum(axis=-1) + self._blurred(level)
        found = (found - 0.5) * _STEEPER + 0.5
        least, most = cv2.erode(held, self._disc), cv2.dilate(held, self._disc)
        return Matte(np.clip(found, least, most).astype(np.float32))

    def _blurred(self, planes: F64) -> F64:
        """The mean over each square."""
        return np.asarray(cv2.blur(planes, (self._side, self._side), borderType=cv2.BORDER_REFLECT_101), np.float64)


def _inverse(symmetric: F64) -> F64:
    """(H, W, 6) upper triangles of symmetric matrices -> (H, W, 3, 3) their inverses."""
    xx, xy, xz, yy, yz, zz = np.moveaxis(symmetric, -1, 0)
    a, b, c = yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy
    d, e, f = xx * zz - xz * xz, xy * xz - xx * yz, xx * yy - xy * xy
    inverse = np.stack([a, b, c, b, d, e, c, e, f], axis=-1) / (xx * a + xy * b + xz * c)[..., None]
    return np.asarray(inverse.reshape(*inverse.shape[:2], 3, 3), np.float64)
