"""One frame at several exposures: faces far darker or brighter than what the shot is exposed for.

An encoded picture is clipped at 1, so a brighter look can be made of it but never a darker one: whoever has the
file hands a function that encodes it again.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from vfxswap.face import mesh
from vfxswap.geometry import Window
from vfxswap.pixels import F32, F64, ModelRgb

Expose = Callable[[float, Window], ModelRgb]
"""Stops and a part of the plate -> that part encoded with so much more exposure, (height, width, 3) in [0, 1]."""

DARKER = -5.0
"""Stops of the look into the highlights; shadows need none: the detector sees faces seven stops too dark."""

# Linear light of skin that the networks like best.
_SKIN = 0.18

# Code value that counts as clipped, and the part of a picture that must be so to be worth another look.
_WHITE, _WORTH = 0.985, 0.005

# A face is looked at with the shot's exposure unless it is this many stops away from what suits it.
_TOLERANCE = 2.0

_THIN = 8

# What is looked at around a face and what is made of it, in sizes of the face.
_NEEDED, _MADE = 0.8, 1.6


class Exposed:
    """A frame with square pixels.

    Args:
        rgb: (H, W, 3) float32 display-encoded, with the shot's exposure.
        pixel_aspect: width over height of its pixels; the picture is only ever enlarged to make them square.
        expose: encodes a part of the frame with another exposure; without it `rgb` itself is brightened or darkened.

    Attributes:
        rgb: the picture with square pixels and the shot's exposure.
        scale: (2,) factors by which its coordinates are larger than the plate's.
    """

    def __init__(self, rgb: ModelRgb, *, pixel_aspect: float = 1.0, expose: Expose | None = None) -> None:
        self.rgb, self.scale = _square(rgb, pixel_aspect)
        self._aspect = pixel_aspect
        self._expose = expose
        self._plate = Window(0, 0, rgb.shape[1], rgb.shape[0])
        self._others: list[tuple[float, Window, ModelRgb]] = []

    def at(self, stops: float, points: F64 | None = None) -> ModelRgb:
        """The picture with `stops` more exposure; given the (N, 2 or 3) points of a face, black far from them."""
        if stops == 0.0:
            return self.rgb
        whole = Window(0, 0, self.rgb.shape[1], self.rgb.shape[0])
        needed, made = whole, whole
        if points is not None:
            side = float(np.ptp(points[:, :2], axis=0).max())
            needed, made = (Window.around(points[:, :2], margin=k * side).intersect(whole) for k in (_NEEDED, _MADE))
        for known, window, picture in self._others:
            if known == stops and window.intersect(needed) == needed:
                return picture
        picture = self._made(stops, made)
        self._others.append((stops, made, picture))
        return picture

    def _made(self, stops: float, window: Window) -> ModelRgb:
        """The picture within `window`, black elsewhere."""
        if self._expose is not None and self._aspect != 1.0:
            return _square(self._expose(stops, self._plate), self._aspect)[0]
        picture = np.zeros(self.rgb.shape, np.float32)
        if not window.empty:
            rows = window.slices(Window(0, 0, 0, 0))
            picture[rows] = _again(self.rgb[rows], stops) if self._expose is None else self._expose(stops, window)
        return ModelRgb(picture)

    def close(self) -> None:
        """Let go of the file's pixels: from now on other exposures are made of the encoded picture."""
        self._expose = None

    def darker(self) -> ModelRgb | None:
        """A look into the highlights, if so much is clipped that a face may be hidden in it."""
        if self._expose is None or (self.rgb[::_THIN, ::_THIN].max(axis=2) > _WHITE).mean() < _WORTH:
            return None
        return self.at(DARKER)

    def suited(self, points: F64, stops: float) -> float:
        """The exposure in stops at which to read a face, given its (478, 2 or 3) points and the one it has now.

        Whole stops; it stays where it is, or goes back to 0, unless the skin is far from what suits the networks,
        so that it does not change from frame to frame: a change of encoding is a shift of the landmarks.
        """
        image = self.at(stops, points)
        at = mesh.skin_points(points).astype(int)
        inside = ((at >= 0) & (at < [image.shape[1], image.shape[0]])).all(axis=1)
        if not inside.any():
            return stops
        light = float(np.median(_decoded(image[at[inside, 1], at[inside, 0]])))
        wanted = float(np.clip(stops + np.log2(_SKIN / max(light, 1e-5)), -8.0, 8.0))
        if abs(wanted - stops) <= _TOLERANCE:
            return stops
        return 0.0 if abs(wanted) <= _TOLERANCE else float(round(wanted))


def _square(rgb: ModelRgb, pixel_aspect: float) -> tuple[ModelRgb, F64]:
    """The image with square pixels, and the (2,) factors its coordinates are larger by. Only ever enlarges."""
    if pixel_aspect == 1.0:
        return rgb, np.ones(2)
    height, width = rgb.shape[:2]
    size = (round(width * max(1.0, pixel_aspect)), round(height * max(1.0, 1 / pixel_aspect)))
    large = cv2.resize(rgb, size, interpolation=cv2.INTER_LINEAR)
    return ModelRgb(np.asarray(large, np.float32)), np.array([size[0] / width, size[1] / height])


def _again(rgb: F32, stops: float) -> ModelRgb:
    """`rgb` with another exposure, by the sRGB curve (IEC 61966-2-1)."""
    light = _decoded(rgb) * np.float32(2.0**stops)
    code = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-8) ** np.float32(1 / 2.4) - 0.055)
    return ModelRgb(np.clip(code, 0, 1).astype(np.float32))


def _decoded(code: F32) -> F32:
    light = np.where(code <= 0.04045, code / 12.92, ((np.maximum(code, 0) + 0.055) / 1.055) ** np.float32(2.4))
    return np.asarray(light, np.float32)
