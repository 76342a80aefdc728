"""Forms, paint and light from formulas: what occluders are drawn with.

Positions run from -1 to 1 over the picture, y down. A form is a signed distance, negative inside; colours are sRGB
codes.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import cv2
import numpy as np

from vfxswap.pixels import F32, F64

_NEAR, _FAR, _MARCHED = 0.03, 1.2, 14
"""Where a lamp's way is looked along for what stands in it, in half sides."""
_FARTHEST = 0.8
"""A shadow does not fall further aside than this."""


@functools.lru_cache(maxsize=8)
def plane(size: int) -> tuple[F32, F32]:
    """(S, S) x and y of every pixel's middle."""
    at = ((np.arange(size) + 0.5) * 2 / size - 1).astype(np.float32)
    x, y = np.meshgrid(at, at)
    x.setflags(write=False)
    y.setflags(write=False)
    return x, y


def covered(distance: F32) -> F32:
    """Coverage of a form, antialiased over a pixel."""
    return np.asarray(np.clip(0.5 - distance * (distance.shape[0] / 2), 0, 1), np.float32)


def capsule(size: int, start: F64, end: F64, first: float, last: float) -> tuple[F32, F32, F32, F32]:
    """A rod whose radius goes from `first` to `last`: distance, height, part of the way along, radius there."""
    x, y = plane(size)
    way = end - start
    along = ((x - start[0]) * way[0] + (y - start[1]) * way[1]) / max(float(way @ way), 1e-9)
    along = np.clip(along, 0, 1).astype(np.float32)
    radius = (first + along * (last - first)).astype(np.float32)
    away = np.hypot(x - (start[0] + along * way[0]), y - (start[1] + along * way[1]))
    height = np.sqrt(np.maximum(radius**2 - away**2, 0))
    return np.asarray(away - radius, np.float32), np.asarray(height, np.float32), along, radius


def box(size: int, half: tuple[float, float], corner: float) -> F32:
    """Distance of a box about the middle: half its sides, and the radius of its corners."""
    x, y = plane(size)
    dx, dy = np.abs(x) - half[0] + corner, np.abs(y) - half[1] + corner
    outside = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0))
    return np.asarray(outside + np.minimum(np.maximum(dx, dy), 0) - corner, np.float32)


def noise(rng: np.random.Generator, size: int, *, cells: int, octaves: int = 3) -> F32:
    """(size, size) smooth noise about 0, standard deviation near 1."""
    out = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        count = min(size, cells * 2**octave)
        grid = rng.standard_normal((count, count), np.float32) * np.float32(0.6**octave)
        out += cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)
    return out


def painted(size: int, color: F64 | list[float]) -> F32:
    """(S, S, 3) of one colour."""
    return np.ones((size, size, 3), np.float32) * np.asarray(color, np.float32)


def mixed(codes: F32, color: F64 | list[float], part: F32) -> F32:
    """(S, S, 3) codes with (S, S) parts of a colour."""
    return np.asarray(codes + part[..., None] * (np.asarray(color, np.float32) - codes), np.float32)


def any_color(rng: np.random.Generator) -> F64:
    """Codes (sRGB), often dull, seldom loud."""
    grey, loud = rng.uniform(0.06, 0.9), rng.uniform(0, 0.3)
    return np.clip(grey + loud * rng.normal(0, 1, 3), 0.03, 0.97)


@dataclass(frozen=True)
class Lamp:
    """One light from one side, what fills its shadows, and the shadows that it throws.

    Attributes:
        way: (3,) unit vector towards it: right, down, to the camera.
        key: (3,) linear gain of what faces it.
        fill: (3,) linear gain of what does not.
        wrap: how far its light reaches round a form.
        soft: width of its shadows' edges, in the picture's half sides for one of distance.
    """

    way: F64
    key: F64
    fill: F64
    wrap: float
    soft: float

    @staticmethod
    def placed(rng: np.random.Generator) -> Lamp:
        """Anywhere before the picture, low lamps as likely as high ones; warm or cool, hard or soft."""
        around, up = rng.uniform(0, 2 * math.pi), math.radians(rng.uniform(5, 75))
        way = np.array([math.cos(up) * math.cos(around), math.cos(up) * math.sin(around), math.sin(up)])
        fill = math.exp(rng.uniform(math.log(0.02), math.log(0.4)))
        # What faces the camera is neither black nor burnt out, wherever the lamp is.
        key = np.exp(rng.normal(0, 0.08, 3)) * (1 - fill) * math.exp(rng.normal(0, 0.2)) / max(way[2], 0.5)
        return Lamp(
            way=way,
            key=key,
            fill=np.exp(rng.normal(0, 0.1, 3)) * fill,
            wrap=rng.uniform(0, 0.2),
            soft=math.exp(rng.uniform(math.log(0.02), math.log(1.2))),
        )

    def gain(self, height: F32) -> F32:
        """(S, S, 3) gain of the sRGB codes of a matt relief, which throws shadows on itself.

        Args:
            height: (S, S) how far it comes towards the camera, in half sides of the picture.
        """
        half = height.shape[0] / 2
        dy, dx = np.gradient(height * half)
        facing = (-dx * self.way[0] - dy * self.way[1] + self.way[2]) / np.sqrt(dx**2 + dy**2 + 1)
        lit = np.clip((facing + self.wrap) / (1 + self.wrap), 0, None) * self._reached(height)
        # The sky is before the picture and above it: what turns away from the camera gets less of it.
        open_ = 0.6 + 0.4 / np.sqrt(dx**2 + dy**2 + 1)
        light = lit[..., None] * self.key + open_[..., None] * self.fill
        return np.asarray(light ** (1 / 2.2), np.float32)

    @property
    def _flat(self) -> float:
        """How much of the way towards it lies in the picture; never none, for that is divided by."""
        return max(math.hypot(self.way[0], self.way[1]), 1e-3)

    @property
    def _slope(self) -> float:
        """By how much its light falls for one aside."""
        return float(self.way[2] / self._flat)

    def _reached(self, height: F32) -> F32:
        """(S, S) the part of the lamp that each place of the relief sees over the rest of it."""
        slope = self._slope
        seen, most = np.ones_like(height), float(height.max())
        for away in np.geomspace(_NEAR, _FAR, _MARCHED):
            if away * slope > most:
                break
            over = self._moved(height, away) - height - np.float32(away * slope)
            seen = np.minimum(seen, np.clip(1 - over / np.float32(self.soft * away), 0, 1))
        return np.asarray(seen, np.float32)

    def shadow(self, coverage: F32, *, distance: float, dark: float) -> F32:
        """(S, S) gain of the codes of a flat thing behind: the occluder's shadow, thrown away from the lamp.

        Args:
            coverage: (S, S) of the occluder.
            distance: how far it is before the thing, in half sides of the picture.
            dark: how much of the codes it takes at most.
        """
        moved = self._moved(coverage, min(distance / self._slope, _FARTHEST))
        width = max(0.004, 0.5 * self.soft * (0.1 + distance)) * coverage.shape[0] / 2
        soft = cv2.GaussianBlur(moved, (0, 0), width, borderType=cv2.BORDER_REPLICATE)
        return np.asarray(1 - dark * np.clip(soft, 0, 1), np.float32)

    def _moved(self, picture: F32, away: float) -> F32:
        """`picture` moved away from the lamp by so many half sides; what reaches the border goes on."""
        dx, dy = -(self.way[:2] / self._flat) * away * picture.shape[0] / 2
        matrix = np.array([[1.0, 0.0, dx], [0.0, 1.0, dy]])
        size = (picture.shape[1], picture.shape[0])
        return np.asarray(cv2.warpAffine(picture, matrix, size, borderMode=cv2.BORDER_REPLICATE), np.float32)
