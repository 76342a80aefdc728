"""A plate: an image sequence with its colour settled. Everything that looks at frames looks through here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vfxswap import exr
from vfxswap.color import ColorConfig, ModelSpace, exposure_from_percentiles, luminance
from vfxswap.errors import FrameError, PlateError
from vfxswap.geometry import Window
from vfxswap.pixels import F32, AnyArray, ModelRgb, WorkingRgb
from vfxswap.sequence import FrameRange, SequencePath

_TRIES = 20
"""So many frames are tried before a plate counts as unreadable."""


@dataclass(frozen=True)
class Plate:
    """A sequence, the frames of it that are meant, and the colour space its files are in."""

    sequence: SequencePath
    frames: FrameRange
    config: ColorConfig
    space: str
    """The files' colour space; pixels become working space through it."""
    view: str | None = None
    part: str | None = None

    def read(self, frame: int) -> exr.Frame:
        """One frame, whole, buffers as in the file.

        Raises:
            FrameError: it cannot be read, or is of another kind than the frame that the plate was opened with.
        """
        try:
            return exr.read(self.sequence.path(frame), part=self.part, view=self.view, frame=frame)
        except FrameError:
            raise
        except PlateError as error:
            raise FrameError(error.message, hint=error.hint, path=error.path, frame=frame) from error

    def working(self, image: exr.Frame, window: Window | None = None) -> tuple[WorkingRgb, Window]:
        """The working-space pixels of `window` (plate coordinates; None: all), and the window that has pixels.

        Returns:
            (h, w, 3) float32 as the file has them, non-finite values included, and where they lie.
        """
        held = image.origin_window
        wanted = held if window is None else held.intersect(window)
        pixels = image.rgb[wanted.slices(held)].astype(np.float32)
        return WorkingRgb(self.config.to_working(self.space).apply(pixels)), wanted

    def to_file(self, rgb: WorkingRgb) -> F32:
        """(..., 3) working space -> the files' space, float32."""
        return self.config.from_working(self.space).apply(rgb)

    def encoded(self, image: exr.Frame, *, gain: float) -> ModelRgb:
        """The display window as trackers see it: finite, exposure-normalised, display-encoded.

        Returns:
            (H, W, 3) float32 of the display window; 0 where the data window does not reach.
        """
        display = Window(0, 0, image.display_window.width, image.display_window.height)
        rgb, window = self.working(image, display)
        seen = ModelSpace(self.config, gain).encode(scrub(rgb))
        if window == display:
            return seen
        canvas = np.zeros((display.height, display.width, 3), np.float32)
        canvas[window.slices(display)] = seen
        return ModelRgb(canvas)

    def first_gain(self) -> float:
        """An exposure for the first look, before any face is known: from the percentiles of the middle frame.

        Raises:
            PlateError: neither that frame nor any other can be read.
        """
        frames = list(self.frames)
        half = len(frames) // 2
        return self.gain_of(_first_readable(self.read, frames[half:] + frames[:half][::-1]))

    def gain_of(self, image: exr.Frame) -> float:
        """The exposure that one frame's percentiles ask for."""
        return exposure_from_percentiles(self.working(image)[0], self.config)


def open_plate(
    text: str,
    *,
    frames: FrameRange | None = None,
    config: ColorConfig | None = None,
    color_space: str | None = None,
    view: str | None = None,
    part: str | None = None,
) -> Plate:
    """Find a plate's frames and settle its colour.

    Args:
        text: pattern, folder or file (docs/cli.md).
        frames: the frames wanted; None is all there are.
        config: OCIO config; None resolves the default.
        color_space: the files' space when the user says it.
        view: which picture of a stereo file.
        part: which picture of a multi-part file.

    Raises:
        PlateError: no such sequence or frames, or none that can be read. ColorError: unknown space or config.
    """
    config = config or ColorConfig.load()
    sequence = SequencePath.parse(text)
    chosen = sequence.resolve_frames(frames)
    there = [frame for frame in chosen if sequence.path(frame).exists()]
    info = _first_readable(lambda frame: exr.read(sequence.path(frame), part=part, view=view, frame=frame), there)
    space = config.file_space(explicit=color_space, tagged=info.file_color_space, path=str(info.path))
    return Plate(sequence, chosen, config, space, view, part)


def _first_readable(read: Callable[[int], exr.Frame], frames: Sequence[int]) -> exr.Frame:
    """The first of `frames` that can be read; raises PlateError, with the first one's reason, when none can."""
    reason: PlateError | None = None
    for frame in frames[:_TRIES]:
        try:
            return read(frame)
        except PlateError as error:
            reason = reason or error
    if reason is None:
        raise PlateError("the plate has no frames", hint="check --frames")
    if len(frames) == 1 or not isinstance(reason, FrameError):
        raise PlateError(reason.message, hint=reason.hint, path=reason.path, frame=reason.frame) from reason
    tried = min(len(frames), _TRIES)
    raise PlateError(f"none of the {tried} frames tried can be read, the first: {reason}") from reason


def scrub(rgb: WorkingRgb) -> WorkingRgb:
    """The same pixels with NaN and Inf replaced by 0 (a copy only when there are any)."""
    bad = ~np.isfinite(rgb)
    if not bad.any():
        return rgb
    clean = rgb.copy()
    clean[bad] = 0.0
    return WorkingRgb(clean)


def count_bad(pixels: AnyArray) -> int:
    """How many values are NaN or Inf."""
    return int((~np.isfinite(pixels)).sum())


def skin_gain(rgb: WorkingRgb, window: Window, points: AnyArray, config: ColorConfig, *, target: float = 0.18) -> float:
    """The linear gain that puts the median luminance of skin samples at `target`.

    Args:
        rgb: (h, w, 3) working-space pixels.
        window: where they lie in the plate.
        points: (M, 2) plate positions on bare skin (face.mesh.skin_points).
        config: what the working space is.
        target: linear luminance wanted.

    Returns:
        The gain; NaN when no sample lies inside or the skin gives no light.
    """
    at = np.floor(points - [window.x, window.y]).astype(int)
    inside = (at >= 0).all(axis=1) & (at[:, 0] < window.width) & (at[:, 1] < window.height)
    at = at[inside]
    if len(at) == 0:
        return float("nan")
    values = luminance(WorkingRgb(rgb[at[:, 1], at[:, 0]]), config)
    values = values[np.isfinite(values)]
    median = float(np.median(values)) if len(values) else 0.0
    return target / median if median > 1e-6 else float("nan")
