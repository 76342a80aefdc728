"""Frames as people look at them: small, and for the page in a log-like code from which any exposure can be shown.

A picture of the page is eight bits of `Curve` over working-space RGB: the browser undoes the curve, exposes in linear
light and looks the result up in a table that OCIO baked. Why so: docs/decisions/0012.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from vfxswap import exr
from vfxswap.color import Transform
from vfxswap.errors import FrameError, OutputError
from vfxswap.geometry import Window
from vfxswap.pixels import F32, AnyArray, WorkingRgb
from vfxswap.plate import Plate, scrub
from vfxswap.qc.chip import mattes

_TOE = 0.01
_TOP = 16.0
_TABLE_STOPS = 4.0
_MARGIN = 2
_QUALITY: Final = 90
_MATTE_QUALITY: Final = 85


@dataclass(frozen=True)
class Curve:
    """log2(x / toe + 1), scaled to reach 1 at `top`: linear near black, logarithmic above `toe`.

    Attributes:
        toe: working-space value at which it turns.
        top: the largest value that it holds.
    """

    toe: float
    top: float

    @staticmethod
    def of(gain: float) -> Curve:
        """For a shot whose exposure `gain` brings it to middle grey: from there about 4 stops down and 6 up."""
        return Curve(_TOE / gain, _TOP / gain)

    @property
    def octaves(self) -> float:
        """What the logarithm is divided by."""
        return math.log2(self.top / self.toe + 1)

    @property
    def table(self) -> Curve:
        """That of the display table, with room above for exposures beyond the picture's own."""
        return Curve(self.toe, self.top * 2**_TABLE_STOPS)

    def encode(self, rgb: F32) -> F32:
        """Linear -> codes in 0..1; what is below 0 is lost."""
        return np.asarray(np.clip(np.log2(np.maximum(rgb, 0) / np.float32(self.toe) + 1) / self.octaves, 0, 1))

    def decode(self, codes: F32) -> F32:
        """The inverse of `encode`."""
        return np.asarray(np.float32(self.toe) * (np.exp2(codes * np.float32(self.octaves)) - 1), np.float32)


def table(curve: Curve, view: Transform, *, size: int) -> AnyArray:
    """(size, size, size, 3) uint8 display codes over codes of `curve`; red varies fastest, as WebGL wants it."""
    steps = curve.decode(np.linspace(0, 1, size, dtype=np.float32))
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    shown = view.apply(np.stack([red, green, blue], axis=-1))
    return np.asarray(np.clip(shown * 255 + 0.5, 0, 255).astype(np.uint8))


@dataclass(frozen=True, eq=False)
class Shown:
    """One frame's pictures, small.

    Attributes:
        frame: its number.
        timecode: of the plate, empty without.
        plate: (h, w, 3) float32 working space.
        comp: the same; None where there is no output.
        matte: (h, w) 0..1, what was replaced; above 0 wherever a pixel of the comp is not the plate's.
        truth: the same as `plate`; None where there is none.
    """

    frame: int
    timecode: str
    plate: F32
    comp: F32 | None
    matte: F32 | None
    truth: F32 | None


def size_of(picture: exr.Frame, width: int) -> tuple[int, int]:
    """(width, height) of a small picture: square pixels, even, never larger than the frame itself."""
    full = picture.display_window.width * picture.pixel_aspect
    wide = min(float(width), full)
    tall = picture.display_window.height * wide / full
    return max(2, round(wide / 2) * 2), max(2, round(tall / 2) * 2)


def shown(plate: Plate, output: Plate | None, truth: Plate | None, *, width: int) -> Iterator[Shown | FrameError]:
    """The plate's frames in order, read one ahead; a frame that cannot be read is its error.

    Args:
        plate: the plate.
        output: the swap; frames may be missing.
        truth: the perfect swap; frames may be missing.
        width: of the pictures at most.
    """
    beside = {role: other for role, other in (("output", output), ("truth", truth)) if other is not None}
    there = {role: plate.frames.intersect(other.sequence.frames_on_disk()) for role, other in beside.items()}
    readers = {role: other.ahead(sorted(there[role])) for role, other in beside.items()}
    for frame, picture in plate.ahead(sorted(plate.frames)):
        read = {role: next(reader)[1] for role, reader in readers.items() if frame in there[role]}
        if isinstance(picture, FrameError):
            yield picture
            continue
        broken = next((one for one in read.values() if isinstance(one, FrameError)), None)
        if broken is not None:
            yield broken
            continue
        found = {role: (beside[role], one) for role, one in read.items() if isinstance(one, exr.Frame)}
        yield _shown(frame, plate, picture, found.get("output"), found.get("truth"), width)


def _shown(
    frame: int,
    plate: Plate,
    picture: exr.Frame,
    output: tuple[Plate, exr.Frame] | None,
    truth: tuple[Plate, exr.Frame] | None,
    width: int,
) -> Shown:
    size = size_of(picture, width)
    return Shown(
        frame=frame,
        timecode=picture.timecode or "",
        plate=small(plate, picture, size),
        comp=None if output is None else small(*output, size),
        matte=None if output is None else _matte(picture, output[1], size),
        truth=None if truth is None else small(*truth, size),
    )


def small(plate: Plate, picture: exr.Frame, size: tuple[int, int]) -> F32:
    """(h, w, 3) working-space means of areas of the display window, in linear light."""
    display = Window(0, 0, picture.display_window.width, picture.display_window.height)
    light, held = plate.working(picture, display)
    light = scrub(light)
    if held != display:
        whole = np.zeros((display.height, display.width, 3), np.float32)
        if not held.empty:
            whole[held.slices(display)] = light
        light = WorkingRgb(whole)
    return _resized(np.asarray(light, np.float32), size)


def _resized(picture: F32, size: tuple[int, int]) -> F32:
    if (picture.shape[1], picture.shape[0]) == size:
        return picture
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)


def _matte(before: exr.Frame, after: exr.Frame, size: tuple[int, int]) -> F32:
    """The matte of an ingredients file, else which pixels changed; at least a trace wherever one did."""
    display = Window(0, 0, before.display_window.width, before.display_window.height)
    common = before.origin_window.intersect(after.origin_window).intersect(display)
    differ = np.zeros((display.height, display.width), np.float32)
    pair = [image.rgb[common.slices(image.origin_window)].astype(np.float32) for image in (before, after)]
    differ[common.slices(display)] = np.any(pair[0].view(np.uint32) != pair[1].view(np.uint32), axis=-1)
    changed = _resized(differ, size)
    layers = mattes(after, display)
    cover = _resized(layers["face"], size) if layers else changed
    return np.asarray(np.maximum(cover, np.where(changed > 0, _TRACE, 0)), np.float32)


_TRACE = 8 / 255
"""What a matte is at least where a pixel changed: encoders leave so much in place."""


def around(mask: AnyArray) -> Window:
    """The smallest window, on even pixels, that holds where `mask` is True; empty without any."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return Window(0, 0, 0, 0)
    x0, y0 = (max(0, int(at[0]) - _MARGIN) // 2 * 2 for at in (columns, rows))
    x1 = min(mask.shape[1], int(columns[-1]) + 1 + _MARGIN)
    y1 = min(mask.shape[0], int(rows[-1]) + 1 + _MARGIN)
    return Window(x0, y0, x1 - x0, y1 - y0)


def packed(codes: F32, *, quality: int = _QUALITY) -> bytes:
    """A WebP of (h, w, 3) or (h, w) codes in 0..1.

    Raises:
        OutputError: it cannot be encoded.
    """
    levels = np.clip(codes * 255 + 0.5, 0, 255).astype(np.uint8)
    picture = cv2.cvtColor(levels, cv2.COLOR_GRAY2BGR) if levels.ndim == 2 else levels[..., ::-1]
    done, data = cv2.imencode(".webp", np.ascontiguousarray(picture), [cv2.IMWRITE_WEBP_QUALITY, quality])
    if not done:
        raise OutputError("a picture could not be encoded as WebP", hint="is OpenCV built with WebP?")
    return bytes(data.tobytes())
