"""Mattes that artists give: which channel of which file, how it is shaped, and how several work together.

Order: read, invert, grow or erode, feather. A pixel depends on the matte's pixels around it and on nothing else:
any window of a frame gives the same values.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vfxswap import cryptomatte, exr, matte
from vfxswap.errors import FrameError, PlateError
from vfxswap.exr.reading import OIIO_TYPES, error_text, open_reader
from vfxswap.exr.values import DTYPES, base_name, multi_view
from vfxswap.geometry import Window
from vfxswap.matte_input import MatteInput
from vfxswap.pixels import F32, AnyArray, Matte
from vfxswap.sequence import SequencePath, for_view, has_view_token

_ALPHA, _RED = ("a", "alpha"), ("r", "red")
_MAIN = ("", "rgba", "rgb", "beauty", "main", "combined")
_ID_LOSSY = ("dwa", "pxr24")
"""Compressions that do not keep the bits of 32-bit float channels."""
_CUT = 4.0
"""The Gaussian ends after so many standard deviations: what lies beyond is less than a 14-bit code."""


@dataclass(frozen=True)
class _Channel:
    """One channel of a file: where it is and what it is called."""

    part: int
    index: int
    view: str
    name: str
    """Without its view."""
    full: str
    """As the file has it."""
    home: str
    """Its part, without the view."""

    @property
    def label(self) -> str:
        """The name that tells it apart from channels of other parts."""
        return self.name if self.home.lower() in _MAIN else f"{self.home}.{self.name}"


@dataclass(frozen=True)
class _Planes:
    """Channels over `at`, the wanted part of their common data window `data`; both in plate coordinates."""

    pixels: Mapping[_Channel, AnyArray]
    at: Window
    data: Window


def read(source: MatteInput, *, frame: int, window: Window, display: tuple[int, int], view: str = "") -> Matte:
    """One artist's matte for one frame, shaped.

    The channel is the one that `source` names (exactly, else but for case, in any part, with or without the part's
    name), else A or alpha, else the only one, else R. In a stereo file it is that of `view` (`left.A`, or A of the
    part whose view is left); a channel that belongs to no view holds for all of them.

    The feather is a Gaussian whose half value stays on the edge: a drawn edge is where the artist wants it, areas of
    partial coverage keep their value, and inverting before or after gives the same. Its standard deviation is a
    quarter of the width. Past the picture's border shaping sees the border's pixels repeated, so that a matte which
    runs out of the picture is not eroded there.

    Args:
        source: which matte.
        frame: frame number; a still (a name without a number) is the same in every frame.
        window: the pixels wanted, plate coordinates.
        display: (width, height) of the plate's display window, which the matte's must have too.
        view: the plate's view; empty: mono, or the hero view.

    Returns:
        (h, w) float32 coverage in [0, 1] of `window`; where the file has no pixels it is 0 before `invert`.

    Raises:
        FrameError: this frame is missing or corrupt. PlateError: another size, no such channel, view or object.
        UsageError: a path that cannot be understood.
    """
    path = _path(source, frame, view)
    if not path.exists():
        hint = "render it; one picture for all frames needs a name without a number"
        raise FrameError("the matte has no such frame", path=path, frame=frame, hint=hint)
    info = exr.probe(path, frame=frame)
    try:
        coverage, planes = _coverage(source, info, display, window.grow(_reach(source)), view)
    except PlateError as error:
        raise type(error)(error.message, hint=error.hint, path=path, frame=frame) from error
    return _placed(source, coverage, planes, window, display)


def files(source: MatteInput, *, frame: int, view: str = "") -> tuple[Path, ...]:
    """The files that `read` depends on: the picture, which may be missing, and a Cryptomatte's manifest file.

    Raises:
        PlateError, UsageError: as `read`, where no path can be told.
    """
    path = _path(source, frame, view)
    if not source.objects:
        return (path,)
    try:
        info = exr.probe(path, frame=frame)
    except PlateError:
        return (path,)  # which `read` will say
    return (path, *cryptomatte.manifest_files(_spoken(info), path=path))


def limits(
    sources: Sequence[MatteInput], *, frame: int, window: Window, display: tuple[int, int], view: str = ""
) -> tuple[Matte, Matte]:
    """What `combine` gives of `read` mattes; arguments and errors as of `read`."""
    found = [(one, read(one, frame=frame, window=window, display=display, view=view)) for one in sources]
    return combine(found, window)


def combine(mattes: Iterable[tuple[MatteInput, Matte]], window: Window) -> tuple[Matte, Matte]:
    """Several mattes by cause.

    Args:
        mattes: what `read` gave for each, all of `window`.
        window: the pixels.

    Returns:
        (limit, occlusion), (h, w) float32 in [0, 1] each: the product of the garbage mattes (1 without any), and what
        the holdouts cover together, 1 - product of (1 - holdout) (0 without any).
    """
    limit = np.ones((window.height, window.width), np.float32)
    occlusion = np.zeros_like(limit)
    for source, coverage in mattes:
        if source.kind == "garbage":
            limit *= coverage
        else:
            # The same product, written so that one holdout comes out bit for bit.
            occlusion += coverage * (1 - occlusion)
    return Matte(limit), Matte(np.minimum(occlusion, np.float32(1.0)))


# ----------------------------------------------------------------------------------------------- the shape


def _reach(source: MatteInput) -> int:
    """How far away a pixel can still matter."""
    return math.ceil(abs(source.grow)) + _blur_radius(source.feather)


def _blur_radius(feather: float) -> int:
    return math.ceil(_CUT * matte.SIGMA * feather)


def _placed(source: MatteInput, coverage: F32, planes: _Planes, window: Window, display: tuple[int, int]) -> Matte:
    """`coverage` on `window`, inverted, moved and softened."""
    known = Window.union(Window(0, 0, *display), planes.data)
    near = window.grow(_reach(source))
    seen = near.intersect(known)
    result = np.full((window.height, window.width), float(source.invert), np.float32)
    if seen.empty or window.empty:
        return Matte(result)
    flat = np.zeros((seen.height, seen.width), np.float32)
    common = planes.at.intersect(seen)
    if not common.empty:
        flat[common.slices(seen)] = coverage[common.slices(planes.at)]
    if source.invert:
        flat = 1 - flat
    beyond = ((seen.y - near.y, near.y1 - seen.y1), (seen.x - near.x, near.x1 - seen.x1))
    shaped = _shaped(np.pad(flat, beyond, mode="edge"), source)
    kept = window.intersect(known)
    result[kept.slices(window)] = shaped[kept.slices(near)]
    return Matte(result)


def _shaped(coverage: F32, source: MatteInput) -> F32:
    if source.grow:
        coverage = matte.shape(coverage, erode=-source.grow)
    if source.feather:
        size = 2 * _blur_radius(source.feather) + 1
        sigma = source.feather * matte.SIGMA
        # In float64: OpenCV rounds differently near the ends of rows, which float32 would show.
        soft = cv2.GaussianBlur(coverage.astype(np.float64), (size, size), sigma, borderType=cv2.BORDER_REPLICATE)
        coverage = np.clip(np.asarray(soft, np.float32), 0.0, 1.0)
    return coverage


# ------------------------------------------------------------------------------------------------ the file


def _path(source: MatteInput, frame: int, view: str) -> Path:
    pattern = source.pattern
    if has_view_token(pattern):
        if not view:
            raise PlateError(f"the matte {pattern} asks for a view, the plate has none", hint="write its path out")
        pattern = for_view(pattern, view)
    return SequencePath.parse(pattern).path(frame)


def _coverage(
    source: MatteInput, info: exr.FrameInfo, display: tuple[int, int], near: Window, view: str
) -> tuple[F32, _Planes]:
    """The coverage inside `near` as the file has it, finite and in [0, 1]."""
    channels = _channels(info)
    own = _of_view(info, channels, view)
    if source.objects:
        return _objects(source, info, own, display, near)
    chosen = _named(own, channels, source.channel) if source.channel else _default(own)
    planes = _read(info, [chosen], display, near)
    pixels = np.nan_to_num(planes.pixels[chosen].astype(np.float32, copy=False), nan=0.0)
    return np.clip(pixels, 0.0, 1.0), planes


def _objects(
    source: MatteInput, info: exr.FrameInfo, own: Sequence[_Channel], display: tuple[int, int], near: Window
) -> tuple[F32, _Planes]:
    found = cryptomatte.layers(_spoken(info), path=info.path)
    layer = cryptomatte.choose(found, source.objects, layer=source.layer)
    by_name: dict[str, _Channel] = {}
    for channel in own:
        by_name.setdefault(channel.name, channel)
        by_name.setdefault(f"{channel.home}.{channel.name}", channel)
    ranks = {name: by_name[name] for pair in cryptomatte.pairs(layer, by_name) for name in pair}
    for channel in ranks.values():
        if (compression := info.parts[channel.part].compression).startswith(_ID_LOSSY):
            text = f"Cryptomatte {layer.name} is in a part with {compression} compression, which destroys ids"
            raise PlateError(text, hint="render it again with zip")
    planes = _read(info, list(dict.fromkeys(ranks.values())), display, near)
    pixels = {name: planes.pixels[channel] for name, channel in ranks.items()}
    return cryptomatte.matte(pixels, layer, source.objects), planes


def _spoken(info: exr.FrameInfo) -> dict[str, Any]:
    """What the headers of all parts say of Cryptomattes: some writers put it into the first part only."""
    parts = reversed(info.parts)
    return {name: value for part in parts for name, value in part.attributes.items() if "cryptomatte/" in name}


def _read(info: exr.FrameInfo, channels: Sequence[_Channel], display: tuple[int, int], near: Window) -> _Planes:
    """The channels, each in its own type, inside `near`; 0 where their part has no pixels."""
    parts = {channel.part: info.parts[channel.part] for channel in channels}
    windows = {}
    for index, part in parts.items():
        _check(part, display)
        windows[index] = part.data_window.moved(-part.display_window.x, -part.display_window.y)
    data = next(iter(windows.values()))
    for other in windows.values():
        data = Window.union(data, other)
    at = data.intersect(near)
    pixels = {c: np.zeros((at.height, at.width), DTYPES[parts[c.part].channels[c.index].format]) for c in channels}
    reader = open_reader(info.path, None)
    try:
        for index, part in parts.items():
            box = windows[index].intersect(at)
            own = [channel for channel in channels if channel.part == index]
            for channel, plane in _pixels(reader, part, own, box.moved(part.display_window.x, part.display_window.y)):
                pixels[channel][box.slices(at)] = plane
    finally:
        reader.close()
    return _Planes(pixels, at, data)


def _check(part: exr.PartInfo, display: tuple[int, int]) -> None:
    if part.deep:
        raise PlateError("deep EXR is not supported as a matte", hint="flatten it first (DeepToImage in Nuke)")
    shown = part.display_window
    if (shown.width, shown.height) != display:
        text = f"the matte is {shown.width}x{shown.height}, the plate {display[0]}x{display[1]}"
        raise PlateError(text, hint="render the matte in the plate's format")


def _pixels(
    reader: Any, part: exr.PartInfo, channels: Sequence[_Channel], box: Window
) -> Iterable[tuple[_Channel, AnyArray]]:
    """(h, w) pixels of each channel in `box` (file coordinates, inside the data window)."""
    if box.empty:
        return
    index, data = channels[0].part, part.data_window
    rows = data if part.tiled else Window(data.x, box.y, data.width, box.height)
    for run in _runs(part, channels):
        first, end = min(c.index for c in run), max(c.index for c in run) + 1
        formats = {channel.format for channel in part.channels[first:end]}
        kind = formats.pop() if len(formats) == 1 else "float"
        if part.tiled:
            buffer = reader.read_image(index, 0, first, end, OIIO_TYPES[kind])
        else:
            buffer = reader.read_scanlines(index, 0, box.y, box.y1, 0, first, end, OIIO_TYPES[kind])
        if buffer is None:
            raise FrameError(f"corrupt or truncated EXR: {error_text(reader)}", hint="render or copy it again")
        planes = np.asarray(buffer, DTYPES[kind]).reshape(rows.height, rows.width, end - first)[box.slices(rows)]
        for channel in run:
            yield channel, planes[..., channel.index - first]


def _runs(part: exr.PartInfo, channels: Sequence[_Channel]) -> list[list[_Channel]]:
    """What to read in one go, since decoding costs as much for one channel as for all.

    Half and float go together as float, which holds both. It does not hold uint: that is read alone.
    """
    uint = [channel for channel in channels if part.channels[channel.index].format == "uint"]
    others = [channel for channel in channels if channel not in uint]
    return [[channel] for channel in uint] + ([others] if others else [])


# --------------------------------------------------------------------------------------------- the channel


def _channels(info: exr.FrameInfo) -> list[_Channel]:
    return [
        _channel(part, index, position)
        for index, part in enumerate(info.parts)
        for position in range(len(part.channels))
    ]


def _channel(part: exr.PartInfo, index: int, position: int) -> _Channel:
    """Names are `layer.view.channel`. Source: OpenEXR, "Storing Multi-View Images in OpenEXR Files"."""
    full = part.channels[position].name
    views = multi_view(part)
    *layers, last = full.split(".")
    view, name = part.view, full
    if layers and layers[-1] in views:
        view, name = layers[-1], ".".join([*layers[:-1], last])
    elif views and not layers:
        view = views[0]
    return _Channel(index, position, view, name, full, base_name(part))


def _of_view(info: exr.FrameInfo, channels: Sequence[_Channel], view: str) -> list[_Channel]:
    """The channels of `view`, then those that belong to no view."""
    views = info.views
    wanted = view or next(iter(views), "")
    if views and wanted not in views:
        near = difflib.get_close_matches(wanted, views, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else "render the matte with the plate's views"
        raise PlateError(f"no view {wanted!r} in the matte; views there: {', '.join(views)}", hint=hint)
    shared = [channel for channel in channels if not channel.view]
    return [channel for channel in channels if channel.view == wanted and wanted] + shared


def _named(own: Sequence[_Channel], channels: Sequence[_Channel], wanted: str) -> _Channel:
    """The channel that `wanted` names; one of another view only where its name says that view."""
    for fold in (str, str.lower):
        key = fold(wanted)
        for found in (
            [c for c in own if fold(c.name) == key],
            [c for c in own if fold(f"{c.home}.{c.name}") == key],
            [c for c in channels if fold(c.full) == key and c.full != c.name],
        ):
            if found:
                return _only(found)
    labels = list(dict.fromkeys(channel.label for channel in own))
    near = difflib.get_close_matches(wanted.lower(), [label.lower() for label in labels], n=3, cutoff=0.5)
    likely = [label for label in labels if label.lower() in near]
    hint = f"did you mean {' or '.join(likely)}?" if likely else f"there are {', '.join(labels)[:300]}"
    raise PlateError(f"no channel {wanted!r} in the matte", hint=hint)


def _default(own: Sequence[_Channel]) -> _Channel:
    """A or alpha, else the only channel, else R; of the view itself before those of no view."""
    for group in ([c for c in own if c.view], [c for c in own if not c.view]):
        for letters in (_ALPHA, None, _RED):
            found = [c for c in group if letters is None or c.name.lower().removeprefix("rgba.") in letters]
            if found and (letters is not None or len(group) == 1):
                return _only(found)
    labels = ", ".join(dict.fromkeys(channel.label for channel in own))[:300]
    raise PlateError(f"no A and no R in the matte, only {labels}", hint="say which: SEQ:CHANNEL, or SEQ,object=NAME")


def _only(found: Sequence[_Channel]) -> _Channel:
    """The one channel among `found` that goes first: of the view, and of the main part."""
    chosen = [channel for channel in found if channel.view == found[0].view]
    if len(chosen) > 1:
        chosen = [channel for channel in chosen if channel.home.lower() in _MAIN] or chosen
    if len({channel.part for channel in chosen}) > 1:
        labels = ", ".join(f"{channel.home}.{channel.name}" for channel in chosen)
        raise PlateError(f"several channels {found[0].name} in the matte", hint=f"say which: {labels}")
    return chosen[0]
