"""Grain: what a shot's is like, and more of the same.

A model of noise in scene-linear working space: how strong it is at a level of light, how it looks from pixel to pixel,
and how the channels go together. Measured by `fitting`.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import cv2
import numpy as np

from vfxswap.geometry import Window
from vfxswap.pixels import F32, F64

REACH: Final = 6
"""Pixels up to which grain is correlated, in the model."""

TERMS: Final = 3
"""Of the variance of a channel: a constant, one in proportion to its light, and one to the square of it."""

_TORUS = 32
_TILE = 64
_SEEN = 2e-4
"""Rings of a kernel that have less of its energy are left out."""


@dataclass(frozen=True, eq=False)
class Grain:
    """A shot's grain.

    Attributes:
        variance: (3, TERMS) float64, not negative: of each channel, per term (`terms`).
        channels: (3, 3) float64, the correlation of the channels at one pixel.
        spatial: (3, 2 * REACH + 1, 2 * REACH + 1) float64, the autocorrelation of each channel by (dy, dx); 1 in the
            middle.
    """

    variance: F64
    channels: F64
    spatial: F64

    def sigma(self, light: F32) -> F32:
        """(..., 3) the standard deviation of the grain at (..., 3) levels of light, both in working space."""
        level = np.maximum(light, 0.0)
        constant, linear, square = self.variance.astype(np.float32).T
        out = level * square
        out += linear
        out *= level
        out += constant
        return np.asarray(np.sqrt(out, out=out), np.float32)

    @property
    def lag1(self) -> F64:
        """(3, 2) the correlation of pixels side by side, and one above the other."""
        return np.stack([self.spatial[:, REACH, REACH + 1], self.spatial[:, REACH + 1, REACH]], axis=1)

    def take(self, window: Window, *, seed: bytes) -> F32:
        """A take of this grain, of standard deviation 1.

        Args:
            window: the plate rectangle wanted. The grain lies on the plate's raster: where windows overlap it is
                the same.
            seed: the same seed gives the same grain.

        Returns:
            (window.height, window.width, 3) float32.
        """
        wide = window.grow(REACH)
        white = np.asarray(cv2.transform(_white(wide, seed), self._mixing.T), np.float32)
        out = np.empty((window.height, window.width, 3), np.float32)
        for channel, kernel in enumerate(self._kernels):
            filtered = cv2.filter2D(np.ascontiguousarray(white[..., channel]), cv2.CV_32F, kernel)
            out[..., channel] = np.asarray(filtered)[REACH:-REACH, REACH:-REACH]
        return out

    @functools.cached_property
    def _mixing(self) -> F32:
        """(3, 3) what makes rows of independent values correlated as the channels are."""
        values, vectors = np.linalg.eigh(self.channels)
        root = vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T
        root /= np.linalg.norm(root, axis=0)
        return np.asarray(root, np.float32)

    @functools.cached_property
    def _kernels(self) -> tuple[F32, ...]:
        """(n, n) each, n odd: what gives white noise the spectrum and leaves its variance."""
        out = []
        at = np.arange(-REACH, REACH + 1) % _TORUS
        for plane in self.spatial:
            torus = np.zeros((_TORUS, _TORUS))
            torus[np.ix_(at, at)] = plane
            root = np.sqrt(np.maximum(np.fft.fft2(torus).real, 0.0))
            kernel = np.fft.ifft2(root).real[np.ix_(at, at)]
            # Most grain is far finer than the model's reach, and small kernels are quick.
            ring = np.maximum(*np.abs(np.meshgrid(*2 * [np.arange(-REACH, REACH + 1)])))
            energy = np.array([(kernel[ring == r] ** 2).sum() for r in range(REACH + 1)])
            reach = int(np.flatnonzero(energy > _SEEN * energy.sum()).max())
            small = kernel[REACH - reach : REACH + reach + 1, REACH - reach : REACH + reach + 1]
            out.append(np.asarray(small / np.sqrt((small**2).sum()), np.float32))
        return tuple(out)

    def to_json(self) -> dict[str, Any]:
        """As lists of numbers."""
        return {name: getattr(self, name).tolist() for name in ("variance", "channels", "spatial")}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The grain of `to_json`; raises KeyError, TypeError or ValueError for what is none."""
        side = 2 * REACH + 1
        shapes = {"variance": (3, TERMS), "channels": (3, 3), "spatial": (3, side, side)}
        arrays = {name: np.asarray(data[name], np.float64) for name in shapes}
        for name, shape in shapes.items():
            if arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
                raise ValueError(f"the grain's {name!r} is not {shape} numbers")
        return cls(**arrays)


def terms(light: F64) -> F64:
    """(N, 3, TERMS) what the variances of each channel are made of, at (N, 3) levels of light."""
    level = np.maximum(light, 0.0)
    return np.stack([np.ones_like(level), level, level**2], axis=-1)


def seed(*names: object) -> bytes:
    """A seed from what the grain belongs to: shot, view, frame. Faces share it: the grain lies on the plate."""
    return hashlib.blake2b("\n".join(map(str, names)).encode(), digest_size=16).digest()


def _white(window: Window, seed: bytes) -> F32:
    """(h, w, 3) independent values of standard deviation 1, in tiles of the plate's raster."""
    rows = range(window.y // _TILE, -(-window.y1 // _TILE))
    columns = range(window.x // _TILE, -(-window.x1 // _TILE))
    tiles = [[_tile(seed, row, column) for column in columns] for row in rows]
    whole = np.concatenate([np.concatenate(line, axis=1) for line in tiles])
    here = Window(columns.start * _TILE, rows.start * _TILE, whole.shape[1], whole.shape[0])
    return whole[window.slices(here)]


def _tile(seed: bytes, row: int, column: int) -> F32:
    words = hashlib.blake2b(seed + f"{row} {column}".encode(), digest_size=16).digest()
    random = np.random.Generator(np.random.SFC64(np.random.SeedSequence(int.from_bytes(words, "big"))))
    return random.standard_normal((_TILE, _TILE, 3), np.float32)
