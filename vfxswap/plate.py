"""A plate: an image sequence with its colour settled. Everything that looks at frames looks through here."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import cv2
import numpy as np

from vfxswap import exr
from vfxswap.color import ColorConfig, ModelSpace, Transform, exposure_from_percentiles, luminance
from vfxswap.errors import FrameError, PlateError, UsageError
from vfxswap.geometry import Window
from vfxswap.guard import Watch
from vfxswap.lens import Lens
from vfxswap.pixels import F32, AnyArray, ModelRgb, WorkingRgb, converted
from vfxswap.sequence import FrameRange, SequencePath, for_view, has_view_token, home_resolved, views_on_disk

ALL_VIEWS = "all"

_TRIES = 20
"""So many frames are tried before a plate counts as unreadable."""

_GLANCE = 2**15
"""So many pixels tell a flash."""

_BAND = 2**15
"""So many pixels are encoded at once: what they become on the way stays in the processor's cache."""

_STEADY_STOPS = 0.75
"""A frame's exposure is followed only as far as it leaves this band around the shot's."""


@dataclass(frozen=True, eq=False)
class Lenses:
    """The lens of every frame: an undistorting STMap that holds for all of them, or one for each (a zoom)."""

    path: SequencePath
    display: tuple[int, int]

    @staticmethod
    def parse(text: str, *, display: tuple[int, int]) -> Lenses:
        """Of one file or of a pattern; `display` is the width and height of the plate's display window."""
        file = home_resolved(text)
        return Lenses(
            SequencePath(file.parent, file.name, "", None) if file.is_file() else SequencePath.parse(text), display
        )

    def at(self, frame: int) -> Lens:
        """The lens of a frame; raises PlateError for what is no STMap."""
        return self._still if self.path.padding is None else self._load(frame)

    @functools.cached_property
    def _still(self) -> Lens:
        return self._load(None)

    def _load(self, frame: int | None) -> Lens:
        return Lens.load(self.path.path(frame or 0), display=self.display, frame=frame)


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
    lenses: Lenses | None = None
    views: tuple[str, ...] = ()
    """The views that its files hold, the hero view first."""
    eye: str = ""
    """The view that all its files are of, where each view has files of its own."""
    watch: Watch | None = None
    """Keeps a decoder that crashes from doing so again at the same frame."""

    @functools.cached_property
    def linear(self) -> bool:
        """Whether the files' values are proportional to light; in others (log) nothing can be mixed."""
        return self.config.is_linear(self.space)

    @property
    def layer_space(self) -> str:
        """The space of layers beside the picture: the files' own where it is linear, else the working space."""
        return self.space if self.linear else self.config.working_space

    @property
    def view_name(self) -> str:
        """The view in words, empty for a mono plate."""
        return self.view or self.eye

    def lens(self, frame: int) -> Lens | None:
        """The lens of a frame, None where the plate is taken as it is."""
        return None if self.lenses is None else self.lenses.at(frame)

    def read(self, frame: int) -> exr.Frame:
        """One frame, whole, buffers as in the file.

        Raises:
            FrameError: it cannot be read, or is of another kind than the frame that the plate was opened with.
        """
        path = self.sequence.path(frame)
        try:
            with self.watch.reading(path, frame=frame) if self.watch else contextlib.nullcontext():
                return exr.read(path, part=self.part, view=self.view, frame=frame)
        except FrameError:
            raise
        except PlateError as error:
            raise FrameError(error.message, hint=error.hint, path=error.path, frame=frame) from error

    def ahead(self, frames: Iterable[int]) -> Iterator[tuple[int, exr.Frame | FrameError]]:
        """Each frame's picture, or why it cannot be read; the next one is read while the caller works on one."""
        with ThreadPoolExecutor(1, "read") as reader:
            waiting: list[tuple[int, Future[exr.Frame]]] = []
            for frame in frames:
                waiting.append((frame, reader.submit(self.read, frame)))
                if len(waiting) > 1:
                    yield _outcome(*waiting.pop(0))
            for item in waiting:
                yield _outcome(*item)

    def working(self, image: exr.Frame, window: Window | None = None) -> tuple[WorkingRgb, Window]:
        """The working-space pixels of `window` (plate coordinates; None: all), and the window that has pixels.

        Returns:
            (h, w, 3) float32 as the file has them, non-finite values included, and where they lie.
        """
        held = image.origin_window
        wanted = held if window is None else held.intersect(window)
        return WorkingRgb(self._light(image.rgb[wanted.slices(held)])), wanted

    def to_file(self, rgb: WorkingRgb) -> F32:
        """(..., 3) working space -> the files' space, float32."""
        return self.config.from_working(self.space).apply(rgb)

    def to_layers(self, rgb: WorkingRgb) -> F32:
        """(..., 3) working space -> `layer_space`, float32."""
        return self.config.from_working(self.layer_space).apply(rgb)

    def encoded(self, image: exr.Frame, *, gain: float, lens: Lens | None = None) -> ModelRgb:
        """The display window as trackers see it: finite, exposure-normalised, display-encoded, undistorted.

        Returns:
            (H, W, 3) float32 of the display window, or of the lens's raster; 0 where the data window does not reach.
        """
        seen = self.glance(image, _display(image), gain=gain)
        return seen if lens is None else ModelRgb(lens.undistort(seen))

    def glance(
        self, image: exr.Frame, window: Window, *, gain: float, every: int = 1, size: tuple[int, int] | None = None
    ) -> ModelRgb:
        """A part of a frame as trackers see it: finite, exposure-normalised, display-encoded.

        Args:
            image: the frame.
            window: which part, in plate coordinates.
            gain: the exposure.
            every: only every so-manieth pixel of every so-manieth row, from the window's first.
            size: (width, height) to shrink it to: means of areas, in light; by four and more, of every other pixel.

        Returns:
            (h, w, 3) float32 in [0, 1]; 0 where the data window does not reach.
        """
        if size is not None and window.width >= 4 * size[0]:
            every = 2
        space, rgb = ModelSpace(self.config, gain), image.rgb
        columns, rows = size or (-(-window.width // every), -(-window.height // every))
        result = np.empty((rows, columns, 3), np.float32)
        for band, made in _bands(window, rows, every=every, averaged=size is not None):
            light = self._part(rgb, image.origin_window, band, every=every)
            if size is not None:
                light = np.asarray(cv2.resize(light, (columns, len(made)), interpolation=cv2.INTER_AREA), np.float32)
            result[made.start : made.stop] = space.glance(scrub(WorkingRgb(light)))
        return ModelRgb(result)

    def _part(self, rgb: AnyArray, data: Window, window: Window, *, every: int) -> F32:
        """Every so-manieth pixel of `window` in working space, of pixels that fill `data`; 0 where there are none."""
        held = window.intersect(data)
        if held == window:
            return self._light(rgb[window.slices(data)][::every, ::every])
        light = np.zeros((window.height, window.width, 3), np.float32)
        if not held.empty:
            light[held.slices(window)] = self._light(rgb[held.slices(data)])
        return light[::every, ::every]

    def _light(self, pixels: AnyArray) -> F32:
        """The files' pixels in working space."""
        floats = np.asarray(converted(np.ascontiguousarray(pixels), np.dtype(np.float32)), np.float32)
        return floats if self._to_working.is_noop else self._to_working.apply(floats)

    @functools.cached_property
    def _to_working(self) -> Transform:
        return self.config.to_working(self.space)

    def first_gain(self) -> float:
        """An exposure for the first look, before any face is known: from the percentiles of the middle frame.

        Raises:
            PlateError: neither that frame nor any other can be read.
        """
        frames = list(self.frames)
        half = len(frames) // 2
        return self.gain_of(_first_readable(self.read, frames[half:] + frames[:half][::-1]))

    def gain_of(self, image: exr.Frame, *, samples: int = 2**18) -> float:
        """The exposure that the percentiles of one frame's display window ask for, by about so many pixels."""
        rgb = image.rgb[_display(image).intersect(image.origin_window).slices(image.origin_window)]
        step = max(1, math.isqrt(rgb.shape[0] * rgb.shape[1] // samples))
        thin = np.asarray(rgb[::step, ::step], np.float32)
        return exposure_from_percentiles(WorkingRgb(self.config.to_working(self.space).apply(thin)), self.config)

    def steady_gain(self, image: exr.Frame, shot: float) -> float:
        """The exposure to track a frame with: the shot's, followed into flashes and fades and nothing less."""
        away = math.log2(self.gain_of(image, samples=_GLANCE) / shot)
        return shot * math.exp2(math.copysign(max(0.0, abs(away) - _STEADY_STOPS), away))


def _display(image: exr.Frame) -> Window:
    """The display window in plate coordinates."""
    return Window(0, 0, image.display_window.width, image.display_window.height)


def _outcome(frame: int, reading: Future[exr.Frame]) -> tuple[int, exr.Frame | FrameError]:
    try:
        return frame, reading.result()
    except FrameError as error:
        return frame, error


def open_plate(
    text: str,
    *,
    frames: FrameRange | None = None,
    config: ColorConfig | None = None,
    color_space: str | None = None,
    view: str | None = None,
    part: str | None = None,
    lens: str | None = None,
) -> Plate:
    """Find a plate's frames and settle its colour.

    Args:
        text: pattern, folder or file (docs/cli.md).
        frames: the frames wanted; None is all there are.
        config: OCIO config; None resolves the default.
        color_space: the files' space when the user says it.
        view: which picture of a stereo file.
        part: which picture of a multi-part file.
        lens: an undistorting STMap, one file or a pattern.

    Raises:
        PlateError: no such sequence or frames, or none that can be read. ColorError: unknown space or config.
    """
    config = config or ColorConfig.load()
    sequence = SequencePath.parse(text)
    chosen = sequence.resolve_frames(frames)
    there = [frame for frame in chosen if sequence.path(frame).exists()]
    info = _first_readable(lambda frame: exr.read(sequence.path(frame), part=part, view=view, frame=frame), there)
    space = config.file_space(explicit=color_space, tagged=info.file_color_space, path=str(info.path))
    display = (info.display_window.width, info.display_window.height)
    lenses = Lenses.parse(lens, display=display) if lens else None
    return Plate(sequence, chosen, config, space, view, part, lenses, info.info.views)


def open_views(
    text: str,
    *,
    view: str = "",
    lens: str = "",
    frames: FrameRange | None = None,
    config: ColorConfig | None = None,
    color_space: str | None = None,
    part: str | None = None,
) -> tuple[Plate, ...]:
    """Open one view of a plate or all of them, whether they share files or, with `%V` in `text`, have their own.

    Args:
        text: as for `open_plate`; `%V` and `%v` stand for the view.
        view: its name, ALL_VIEWS, or empty for the hero view.
        lens: as for `open_plate`; may hold `%V` too. Empty is none.
        frames: as for `open_plate`.
        config: as for `open_plate`.
        color_space: as for `open_plate`.
        part: as for `open_plate`.

    Raises:
        PlateError, ColorError: as `open_plate`. UsageError: all views of a plate that has one.
    """

    def opened(name: str) -> Plate:
        apart = has_view_token(text)
        return open_plate(
            for_view(text, name),
            frames=frames,
            config=config,
            color_space=color_space,
            view=None if apart else name or None,  # files of one view need not say which
            part=part,
            lens=for_view(lens, name) or None,
        )

    if has_view_token(text):
        views = views_on_disk(text) if view in ("", ALL_VIEWS) else (view,)
        return tuple(replace(opened(name), eye=name) for name in (views if view == ALL_VIEWS else views[:1]))
    if view != ALL_VIEWS:
        return (opened(view),)
    first = opened("")
    if len(first.views) < 2:
        raise UsageError(f"--view all, but {first.sequence} has one view", hint="leave --view out")
    return tuple(opened(name) for name in first.views)


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


def _bands(window: Window, rows: int, *, every: int, averaged: bool) -> Iterator[tuple[Window, range]]:
    """`window` in bands, and which of `rows` rows each one makes.

    Where areas are averaged that are no whole number of rows high, it is one band.
    """
    per, rest = divmod(window.height, rows) if averaged else (every, 0)
    step = rows if rest or per % every else max(1, _BAND * every**2 // max(1, window.width * per))
    for start in range(0, rows, step):
        made = range(start, min(start + step, rows))
        low = window.y + start * per
        high = window.y1 if made.stop == rows else window.y + made.stop * per
        yield Window(window.x, low, window.width, high - low), made


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
