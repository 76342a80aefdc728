"""One frame as trackers see it: display-encoded where somebody looks, at the exposure that suits the face.

Encoding a whole frame costs more than finding a face in it. So a frame is a `Source` that encodes what it is asked
for: a small picture for the detector, a face and, more coarsely, what is around it. And an encoded picture is clipped
at 1, so a brighter look can be made of it but never a darker one: a source that has the file can make both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import cv2
import numpy as np

from vfxswap.face import mesh
from vfxswap.geometry import Window
from vfxswap.pixels import F32, F64, ModelRgb

DARKER = -5.0
"""Stops of the look into the highlights; shadows need none: the detector sees faces seven stops too dark."""

# Linear light of skin that the networks like best.
_SKIN = 0.18

# Code value that counts as clipped, and the part of a picture that must be so to be worth another look.
_WHITE, _WORTH = 0.985, 0.005

# A face is looked at with the shot's exposure unless it is this many stops away from what suits it.
_TOLERANCE = 2.0

_THIN = 8

# Around a face, in sizes of the face: what is looked at closely, and how much is made of it at once, so that the face
# may move; and the same of what is looked at from afar, to see where it went.
_CLOSE, _CLOSE_MADE = 0.45, 0.6
_FAR, _FAR_MADE = 1.05, 1.3

# Size of a face in pixels that is enough from afar.
_AFAR = 64


class Source(Protocol):
    """A frame that can be encoded in parts. Pixels are (h, w, 3) float32, display-encoded, in [0, 1]."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""

    @property
    def deep(self) -> bool:
        """Whether it knows what is brighter than the picture's white."""

    def part(self, window: Window, *, stops: float = 0.0) -> ModelRgb:
        """The pixels of a window within the frame, with `stops` more exposure."""

    def shrunk(self, window: Window, size: tuple[int, int], *, stops: float = 0.0) -> ModelRgb:
        """A window within the frame as a smaller picture of `size` (width, height), areas averaged."""

    def thin(self, step: int) -> ModelRgb:
        """Every `step`-th pixel of every `step`-th row."""


class Whole:
    """A source that makes its picture whole, once for each exposure.

    Args:
        make: stops -> the picture.
        deep: whether `make` knows what is brighter than the picture's white.
    """

    def __init__(self, make: Callable[[float], ModelRgb], *, deep: bool) -> None:
        self._make, self.deep = make, deep
        self._made: dict[float, ModelRgb] = {}

    @staticmethod
    def of(rgb: ModelRgb) -> Whole:
        """A picture that is encoded already: with more exposure it is brightened."""
        return Whole(lambda stops: rgb if stops == 0.0 else _again(rgb, stops), deep=False)

    def picture(self, stops: float = 0.0) -> ModelRgb:
        """All of it."""
        if stops not in self._made:
            self._made[stops] = self._make(stops)
        return self._made[stops]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        height, width = self.picture().shape[:2]
        return width, height

    def part(self, window: Window, *, stops: float = 0.0) -> ModelRgb:
        """As `Source`."""
        return ModelRgb(self.picture(stops)[window.slices(_ORIGIN)])

    def shrunk(self, window: Window, size: tuple[int, int], *, stops: float = 0.0) -> ModelRgb:
        """As `Source`."""
        small = cv2.resize(self.part(window, stops=stops), size, interpolation=cv2.INTER_AREA)
        return ModelRgb(np.asarray(small, np.float32))

    def thin(self, step: int) -> ModelRgb:
        """As `Source`."""
        return ModelRgb(self.picture()[::step, ::step])


_ORIGIN = Window(0, 0, 0, 0)


class Exposed:
    """A frame with square pixels.

    Args:
        source: what encodes it, or its display-encoded (H, W, 3) picture with the shot's exposure.
        pixel_aspect: width over height of its pixels; the picture is only ever enlarged to make them square.
        afar: whether what is around a face is wanted, too: flow looks there for where it went.
        spare: pictures to draw in; new ones without.

    Attributes:
        size: width and height with square pixels.
        plate_size: the same of the plate.
        scale: (2,) factors by which its coordinates are larger than the plate's.
    """

    def __init__(
        self,
        source: ModelRgb | Source,
        *,
        pixel_aspect: float = 1.0,
        afar: bool = True,
        spare: Spare | None = None,
    ) -> None:
        held: Source = Whole.of(source) if isinstance(source, np.ndarray) else source
        self.plate_size = held.size
        if pixel_aspect != 1.0:
            held = _squared(held, pixel_aspect)
        self._source = held
        self.size = held.size
        self.scale: F64 = np.array(self.size, np.float64) / self.plate_size
        self._window = Window(0, 0, *self.size)
        self._whole: dict[float, ModelRgb] = {}
        self._canvases: dict[float, _Canvas] = {}
        self._afar, self._spare = afar, spare or Spare()

    @property
    def rgb(self) -> ModelRgb:
        """All of it, with the shot's exposure."""
        return self.at(0.0)

    def at(self, stops: float, points: F64 | None = None) -> ModelRgb:
        """The picture with `stops` more exposure, (H, W, 3).

        Args:
            stops: exposure.
            points: (N, 2 or 3) of a face: what is far from them may be black, and what is not near them coarse.
        """
        if isinstance(self._source, Whole):
            return self._source.picture(stops)
        if points is None and stops not in self._whole:
            self._whole[stops] = self._source.part(self._window, stops=stops)
        if stops in self._whole or points is None:
            return self._whole[stops]
        if stops not in self._canvases:
            self._canvases[stops] = _Canvas(self._source, stops, self._spare.take(self.size))
        return self._canvases[stops].showing(points, afar=self._afar)

    def release(self) -> None:
        """Let go of all pictures: none that was handed out may be used any more."""
        for canvas in self._canvases.values():
            self._spare.give(canvas.cleared())
        self._canvases.clear()
        self._whole.clear()

    def small(self, long_side: int, *, stops: float = 0.0) -> tuple[ModelRgb, float]:
        """The whole picture no larger than `long_side`, and the factor back to its own size."""
        factor = max(1.0, max(self.size) / long_side)
        if factor == 1.0:
            return self.at(stops), factor
        size = (round(self.size[0] / factor), round(self.size[1] / factor))
        return self._source.shrunk(self._window, size, stops=stops), factor

    def thin(self, least: tuple[int, int]) -> ModelRgb:
        """Every n-th pixel of every n-th row, with at least so many columns and rows if there are as many."""
        step = max(1, min(side // wanted for side, wanted in zip(self.size, least, strict=True)))
        return self._source.thin(step)

    def darker(self, long_side: int) -> tuple[ModelRgb, float] | None:
        """A `small` look into the highlights, if so much is clipped that a face may be hidden in it."""
        if not self._source.deep or (self._source.thin(_THIN).max(axis=2) > _WHITE).mean() < _WORTH:
            return None
        return self.small(long_side, stops=DARKER)

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


class Spare:
    """Black pictures that are drawn in again and again: to touch fresh memory costs more than to draw."""

    def __init__(self) -> None:
        self._free: list[F32] = []

    def take(self, size: tuple[int, int]) -> F32:
        """A black picture (height, width, 3) of a size (width, height)."""
        shape = (size[1], size[0], 3)
        if self._free and self._free[-1].shape == shape:
            return self._free.pop()
        self._free.clear()
        return np.zeros(shape, np.float32)

    def give(self, picture: F32) -> None:
        """Take back a picture that is black again."""
        self._free.append(picture)


class _Canvas:
    """A frame of which only the faces' surroundings are made."""

    def __init__(self, source: Source, stops: float, picture: F32) -> None:
        self._source, self._stops, self._picture = source, stops, picture
        self._whole = Window(0, 0, *source.size)
        self._close: list[Window] = []
        self._far: list[Window] = []

    def cleared(self) -> F32:
        """The picture, black again."""
        for window in (*self._close, *self._far):
            self._picture[window.slices(self._whole)] = 0.0
        return self._picture

    def showing(self, points: F64, *, afar: bool) -> ModelRgb:
        """The picture with the face of (N, 2 or 3) `points` in it, and with what is around it if `afar`."""
        side = max(1.0, float(np.ptp(points[:, :2], axis=0).max()))
        close, close_made, far, far_made = (
            Window.around(points[:, :2], margin=k * side).intersect(self._whole)
            for k in (_CLOSE, _CLOSE_MADE, _FAR, _FAR_MADE)
        )
        factor = int(side // _AFAR)
        if afar and not _covered(far, self._far) and not far_made.empty:
            far_made = _rounded(far_made, max(1, factor), self._whole)
            self._far.append(far_made)
            if factor < 2:
                self._draw(far_made)
                self._close.append(far_made)
            else:
                self._draw_coarse(far_made, factor)
                for window in self._close:
                    self._draw(window.intersect(far_made))
        if not _covered(close, self._close) and not close_made.empty:
            self._draw(close_made)
            self._close.append(close_made)
        return ModelRgb(self._picture)

    def _draw(self, window: Window) -> None:
        if not window.empty:
            self._picture[window.slices(self._whole)] = self._source.part(window, stops=self._stops)

    def _draw_coarse(self, window: Window, factor: int) -> None:
        size = (-(-window.width // factor), -(-window.height // factor))
        small = self._source.shrunk(window, size, stops=self._stops)
        there = self._picture[window.slices(self._whole)]
        cv2.resize(small, (window.width, window.height), dst=there, interpolation=cv2.INTER_LINEAR)


def _rounded(window: Window, step: int, within: Window) -> Window:
    """The window made so many steps wide and high, where there is room."""
    width, height = (
        min(-(-side // step) * step, most)
        for side, most in ((window.width, within.width), (window.height, within.height))
    )
    return Window(min(window.x, within.x1 - width), min(window.y, within.y1 - height), width, height)


def _covered(window: Window, made: list[Window]) -> bool:
    return window.empty or any(one.intersect(window) == window for one in made)


def _squared(source: Source, pixel_aspect: float) -> Whole:
    """The source with square pixels; only ever enlarges."""
    width, height = source.size
    size = (round(width * max(1.0, pixel_aspect)), round(height * max(1.0, 1 / pixel_aspect)))
    whole = Window(0, 0, width, height)

    def make(stops: float) -> ModelRgb:
        large = cv2.resize(source.part(whole, stops=stops), size, interpolation=cv2.INTER_LINEAR)
        return ModelRgb(np.asarray(large, np.float32))

    return Whole(make, deep=source.deep)


def _again(rgb: F32, stops: float) -> ModelRgb:
    """`rgb` with another exposure, by the sRGB curve (IEC 61966-2-1)."""
    light = _decoded(rgb) * np.float32(2.0**stops)
    code = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-8) ** np.float32(1 / 2.4) - 0.055)
    return ModelRgb(np.clip(code, 0, 1).astype(np.float32))


def _decoded(code: F32) -> F32:
    light = np.where(code <= 0.04045, code / 12.92, ((np.maximum(code, 0) + 0.055) / 1.055) ** np.float32(2.4))
    return np.asarray(light, np.float32)
