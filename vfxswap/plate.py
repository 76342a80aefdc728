"""A plate: an image sequence with its colour settled. Everything that looks at frames looks through here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vfxswap import exr
from vfxswap.color import ColorConfig, ModelSpace, exposure_from_percentiles, luminance
from vfxswap.geometry import Window
from vfxswap.pixels import F32, AnyArray, ModelRgb, WorkingRgb
from vfxswap.sequence import FrameRange, SequencePath


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
        """One frame, whole, buffers as in the file; raises PlateError or FrameError naming it."""
        return exr.read(self.sequence.path(frame), part=self.part, view=self.view, frame=frame)

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
        """An exposure for the first look, before any face is known: from the percentiles of the middle frame."""
        return self.gain_of(self.read(list(self.frames)[len(self.frames) // 2]))

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
        view, part: which picture of a stereo or multi-part file.

    Raises:
        PlateError: no such sequence or frames. ColorError: unknown space or config.
    """
    config = config or ColorConfig.load()
    sequence = SequencePath.parse(text)
    chosen = sequence.resolve_frames(frames)
    there = [frame for frame in chosen if sequence.path(frame).exists()]
    info = exr.read(sequence.path(there[0]), part=part, view=view, frame=there[0])
    space = config.file_space(explicit=color_space, tagged=info.file_color_space, path=str(info.path))
    return Plate(sequence, chosen, config, space, view, part)


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
        rgb: (h, w, 3) working-space pixels of `window`.
        points: (M, 2) plate positions on bare skin (face.mesh.skin_points).

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
