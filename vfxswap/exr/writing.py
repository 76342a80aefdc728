"""Writing EXR files: the plate with a face in it, with its ingredients, or only the face."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio  # noqa: N813
from numpy.typing import NDArray

from vfxswap import atomic
from vfxswap.errors import FrameError, OutputError, ResourceError, VfxSwapError
from vfxswap.exr.reading import OIIO_TYPES, error_text, open_reader
from vfxswap.exr.values import ACES_FLAG, DTYPES, Frame, PartInfo, multi_view
from vfxswap.geometry import Window
from vfxswap.pixels import AnyArray

HALF_MAX = 65504.0
"""The largest finite half."""

Attribute = str | int | float | tuple[int, ...] | tuple[float, ...]
"""What an EXR header attribute may be set to."""

# Hints that describe how the source file was laid out; on a one-level copy they make files nobody can read.
_LAYOUT = ("openexr:levelmode", "openexr:roundingmode", "textureformat", "openexr:chunkCount")
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS)

_Output = tuple[Any, AnyArray | None]
"""An ImageSpec and its pixels; None means the part is copied from the source file."""


@dataclass(frozen=True)
class WriteReport:
    """What writing did: `clamped` counts half overflows, `notes` says in words what could not be kept."""

    path: Path
    compression: str
    clamped: int = 0
    notes: tuple[str, ...] = ()


def to_half(array: AnyArray) -> tuple[NDArray[np.float16], int]:
    """`array` as half and how many finite values had to be clamped to +-65504. Inf and NaN stay as they are."""
    if array.dtype == np.float16:
        return array, 0
    # Half rounds what lies below 65520 down to 65504 by itself: only what would become Inf counts.
    over = np.isfinite(array) & (np.abs(array) >= 65520.0)
    count = int(np.count_nonzero(over))
    if count:
        array = np.where(over, np.copysign(np.float32(HALF_MAX), array), array)
    return array.astype(np.float16), count


def write_comp(
    frame: Frame,
    path: str | os.PathLike[str],
    *,
    rgb: AnyArray,
    window: Window | None = None,
    hints: Mapping[str, str] | None = None,
) -> WriteReport:
    """Write `frame` with its selected R, G, B replaced by `rgb`, everything else as it was.

    Args:
        frame: the plate's frame.
        path: the output file; it appears whole or not at all.
        rgb: (H, W, 3) of `window`, file colour space, in `frame.dtype` (float32 for a half plate is
            converted, overflow clamped and counted).
        window: in plate coordinates, inside the data window, which None means as a whole.
        hints: string attributes to add to the selected part (`vfxswap:*`).

    Raises:
        ResourceError: the disk is full. OutputError: no permission, wrong shape, output equal to input.
    """
    return write_ingredients(frame, path, rgb=rgb, window=window, layers={}, hints=hints)


def write_ingredients(
    frame: Frame,
    path: str | os.PathLike[str],
    *,
    rgb: AnyArray,
    layers: Mapping[str, AnyArray],
    window: Window | None = None,
    hints: Mapping[str, str] | None = None,
) -> WriteReport:
    """Write the comp as `write_comp` does, with `layers` as further channels of the selected part.

    Args:
        frame: the plate's frame.
        path: the output file.
        rgb: as for `write_comp`.
        layers: channel name ("face.R", "stmap.u") -> (H, W) of the data window, float16 or float32, kept per
            channel. A channel of the plate with the same name is replaced and reported. In a view other than the
            hero view of a single-part multi-view file the names become "face.left.R".
        window: as for `write_comp`; layers cover the data window all the same.
        hints: as for `write_comp`.

    Raises:
        ResourceError, OutputError: as `write_comp`. FrameError: a part that is copied from the plate's file
            can no longer be read there.
    """
    target = _target(frame.path, path)
    held = frame.origin_window
    where = held if window is None else window
    if rgb.shape != (where.height, where.width, 3) or where.intersect(held) != where:
        raise OutputError(f"picture of shape {rgb.shape} for {where} of a data window of {held}", path=target)
    clamped = 0
    if frame.dtype == np.float16:
        rgb, clamped = to_half(rgb)
    named = {_view_name(frame, name): _checked(array, held, name, target) for name, array in layers.items()}
    outputs: list[_Output] = []
    notes: list[str] = []
    for index, (info, spec, pixels) in enumerate(zip(frame.info.parts, frame.specs, frame.pixels, strict=True)):
        clean = _clean_spec(spec, info, notes)
        if index == frame.selected:
            pixels = _merge(frame, clean, rgb, where.slices(held), named, notes)
            _set_attributes(clean, hints)
        outputs.append((clean, pixels))
    notes += _write(target, outputs, source=frame.path)
    return WriteReport(target, _compression(outputs[frame.selected][0]), clamped, tuple(dict.fromkeys(notes)))


def write_patch(
    frame: Frame,
    path: str | os.PathLike[str],
    *,
    window: Window,
    channels: Mapping[str, AnyArray],
    hints: Mapping[str, str] | None = None,
) -> WriteReport:
    """Write only `window`: that is the output's data window, its display window is the plate's.

    Args:
        frame: the plate's frame, for its display window and attributes; none of its channels are written.
        path: the output file.
        window: in plate coordinates.
        channels: channel name -> (H, W) of `window`, float16 or float32.
        hints: as for `write_comp`.

    Raises:
        ResourceError, OutputError: as `write_comp`.
    """
    target = _target(frame.path, path)
    notes: list[str] = []
    spec = _clean_spec(frame.specs[frame.selected], frame.part, notes)
    spec.x, spec.y = window.x + frame.display_window.x, window.y + frame.display_window.y
    spec.width, spec.height = window.width, window.height
    spec.tile_width = spec.tile_height = spec.tile_depth = 0
    spec.erase_attribute("multiView")  # it speaks of channels that are not here
    _set_attributes(spec, hints)
    named = {name: _checked(array, window, name, target) for name, array in channels.items()}
    pixels = _stack(spec, named, notes)
    notes += _write(target, [(spec, pixels)], source=None)
    return WriteReport(target, _compression(spec), 0, tuple(notes))


def write_channels(
    path: str | os.PathLike[str],
    *,
    channels: Mapping[str, AnyArray],
    attributes: Mapping[str, Attribute] | None = None,
    compression: str = "zip",
    data_window: Window | None = None,
    display_window: Window | None = None,
) -> WriteReport:
    """Write a new one-part EXR.

    Args:
        path: the output file.
        channels: channel name -> (H, W), float16 or float32 kept per channel, or all uint32.
        attributes: header attributes. No date is written unless they hold `DateTime`.
        compression: as OpenImageIO names it.
        data_window: in file coordinates; default the size of the arrays at (0, 0).
        display_window: in file coordinates; default the data window.

    Raises:
        ResourceError, OutputError: as `write_comp`.
    """
    target = Path(path)
    if not channels:
        raise OutputError("no channels to write", path=target)
    height, width = next(iter(channels.values())).shape[:2]
    window = data_window or Window(0, 0, width, height)
    display = display_window or window
    named = {name: _checked(array, window, name, target, uint=True) for name, array in channels.items()}
    kinds = {array.dtype for array in named.values()}
    if np.dtype(np.uint32) in kinds and len(kinds) > 1:
        raise OutputError("uint and float channels cannot share a part", path=target)
    spec = oiio.ImageSpec(width, height, len(named), oiio.FLOAT)
    spec.x, spec.y = window.x, window.y
    spec.full_x, spec.full_y, spec.full_width, spec.full_height = display.x, display.y, display.width, display.height
    spec.attribute("compression", compression)
    spec.attribute("DateTime", "")  # see _clean_spec
    _set_attributes(spec, attributes)
    notes: list[str] = []
    pixels = _stack(spec, named, notes)
    notes += _write(target, [(spec, pixels)], source=None)
    return WriteReport(target, _compression(spec), 0, tuple(notes))


# ------------------------------------------------------------------------------------ headers and buffers


def _target(source: Path, path: str | os.PathLike[str]) -> Path:
    target = Path(path)
    if target.exists() and source.exists() and target.samefile(source):
        raise OutputError("the output is the plate itself", path=target, hint="choose another --output")
    return target


def _view_name(frame: Frame, name: str) -> str:
    """`name` with the view put before the channel where views share a part: "face.R" -> "face.left.R"."""
    views = multi_view(frame.part)
    if len(views) < 2 or frame.view == views[0]:
        return name
    layer, _, channel = name.rpartition(".")
    return ".".join(filter(None, (layer, frame.view, channel)))


def _checked(array: AnyArray, window: Window, name: str, path: Path, *, uint: bool = False) -> AnyArray:
    kinds = ["float16", "float32", *(["uint32"] if uint else [])]
    if array.shape != (window.height, window.width) or array.dtype.name not in kinds:
        wanted = f"{' or '.join(kinds)} ({window.height}, {window.width})"
        raise OutputError(f"layer {name} is {array.dtype} {array.shape}, not {wanted}", path=path)
    return array


def _clean_spec(spec: Any, info: PartInfo, notes: list[str]) -> Any:
    """A copy of `spec` that can be written; what had to go is added to `notes`."""
    clean = oiio.ImageSpec(spec)
    for name in _LAYOUT:
        clean.erase_attribute(name)
    if info.mipmapped:
        notes.append("mip or rip levels below the first were dropped")
    if "thumbnail_width" in info.attributes:
        notes.append("the preview picture was dropped: it shows the plate")
    if info.attributes.get(ACES_FLAG) == 1:
        clean.erase_attribute(ACES_FLAG)
        # OpenImageIO refuses to write the flag unless the whole file is strict ST 2065-4.
        notes.append(f"{ACES_FLAG} was dropped: the output is not a strict ST 2065-4 file")
    if info.lossy:
        clean.attribute("compression", "zip")
        notes.append(f"{info.compression} loses again at every save: written as zip")
    if "DateTime" not in info.attributes:
        # An empty one keeps OpenImageIO from writing the time of day, which would differ in every run.
        clean.attribute("DateTime", "")
    return clean


def _merge(
    frame: Frame,
    spec: Any,
    rgb: AnyArray,
    where: tuple[slice, slice],
    layers: Mapping[str, AnyArray],
    notes: list[str],
) -> AnyArray:
    """The selected part's buffer with `rgb` at `where` and `layers` in it; `spec` gets the channels."""
    source = frame.selected_pixels()
    if not layers:
        merged = source.copy()
        for position, channel in enumerate(frame.rgb_index):
            merged[(*where, channel)] = rgb[..., position]
        return merged
    planes = {
        channel.name: source[..., i].astype(DTYPES[channel.format], copy=False)
        for i, channel in enumerate(frame.part.channels)
    }
    for position, channel in enumerate(frame.rgb_index):
        name = frame.part.channels[channel].name
        planes[name] = planes[name].copy()
        planes[name][where] = rgb[..., position]
    notes += [f"the plate's own {name} was replaced" for name in layers if name in planes]
    return _stack(spec, planes | dict(layers), notes)


def _stack(spec: Any, planes: Mapping[str, AnyArray], notes: list[str]) -> AnyArray:
    """`planes` as one (H, W, n) buffer that holds each exactly; `spec` gets their names and formats."""
    kinds = [{"float16": "half", "float32": "float", "uint32": "uint"}[array.dtype.name] for array in planes.values()]
    common = kinds[0] if len(set(kinds)) == 1 else "float"
    spec.nchannels = len(planes)
    spec.channelnames = tuple(planes)
    spec.format = OIIO_TYPES[common]
    spec.channelformats = () if len(set(kinds)) == 1 else tuple(OIIO_TYPES[kind] for kind in kinds)
    spec.alpha_channel = list(planes).index("A") if "A" in planes else -1
    spec.z_channel = list(planes).index("Z") if "Z" in planes else -1
    if _compression(spec) == "pxr24" and "float" in kinds:
        spec.attribute("compression", "zip")
        notes.append("pxr24 rounds float channels: written as zip")
    return np.stack(list(planes.values()), axis=-1, dtype=DTYPES[common])


def _set_attributes(spec: Any, attributes: Mapping[str, Attribute] | None) -> None:
    for key, value in (attributes or {}).items():
        if isinstance(value, tuple):
            kind = "int" if all(isinstance(item, int) for item in value) else "float"
            spec.attribute(key, f"{kind}[{len(value)}]", value)
        else:
            spec.attribute(key, value)


def _compression(spec: Any) -> str:
    return str(spec.get_string_attribute("compression"))


# ------------------------------------------------------------------------------------------------ the file


def _write(path: Path, parts: Sequence[_Output], *, source: Path | None) -> list[str]:
    """Write `parts` atomically, those without pixels copied from `source`; returns what was lost, in words."""
    with atomic.replacing(path) as temporary:
        # By name: the temporary file's extension says nothing.
        writer = oiio.ImageOutput.create("openexr")
        if writer is None:
            raise OutputError("this OpenImageIO cannot write EXR", path=path, hint="reinstall OpenImageIO")
        try:
            written = _write_parts(writer, str(temporary), parts, source)
            text = "" if written else error_text(writer)
        finally:
            closed = writer.close()
        if not written or not closed:
            raise _write_error(text or error_text(writer), path, temporary)
        return _check(path, temporary, parts)


def _write_parts(writer: Any, name: str, parts: Sequence[_Output], source: Path | None) -> bool:
    specs = tuple(spec for spec, _ in parts)
    if not writer.open(name, specs if len(specs) > 1 else specs[0]):
        return False
    for index, (spec, pixels) in enumerate(parts):
        if index and not writer.open(name, spec, "AppendSubimage"):
            return False
        if pixels is not None:
            if not writer.write_image(np.ascontiguousarray(pixels)):
                return False
        elif source is not None and not _copy_part(writer, source, index):
            return False
    return True


def _copy_part(writer: Any, source: Path, index: int) -> bool:
    reader = open_reader(source, None)
    try:
        if not reader.seek_subimage(index, 0):
            raise FrameError("the plate's file changed while it was worked on", path=source, hint="run again")
        return bool(writer.copy_image(reader))
    finally:
        reader.close()


def _check(path: Path, temporary: Path, parts: Sequence[_Output]) -> list[str]:
    """Look at what was written; returns attributes that did not arrive.

    The ends of every part are read back: a disk that fills up at the last few kilobytes is not reported by close.
    """
    lost: list[str] = []
    reader = oiio.ImageInput.open(str(temporary))
    complete = reader is not None
    if reader is not None:
        for index, (spec, _) in enumerate(parts):
            for row in {spec.y, spec.y + spec.height - 1}:  # either can be the last in the file: see lineOrder
                complete = complete and _row_readable(reader, index, spec, row)
            lost += _names(spec) - _names(reader.spec(index, 0))
        reader.close()
    if not complete:
        raise _write_error(error_text(reader), path, temporary)
    return [f"attributes that OpenImageIO cannot write: {', '.join(sorted(set(lost)))}"] if lost else []


def _names(spec: Any) -> set[str]:
    """The attributes of `spec` that belong in a file, not OpenImageIO's notes to itself."""
    items = {item.name for item in spec.extra_attribs}
    return {name for name in items if not name.startswith(("oiio:", "thumbnail_")) and name != "DateTime"}


def _row_readable(reader: Any, index: int, spec: Any, row: int) -> bool:
    if not spec.tile_width:
        return reader.read_scanlines(index, 0, row, row + 1, 0, 0, 1, oiio.UNKNOWN) is not None
    top = row - (row - spec.y) % spec.tile_height
    bottom = min(top + spec.tile_height, spec.y + spec.height)
    ends = (spec.x, spec.x + spec.width, top, bottom, 0, 1, 0, 1)
    return reader.read_tiles(index, 0, *ends, oiio.UNKNOWN) is not None


def _write_error(text: str, path: Path, temporary: Path) -> VfxSwapError:
    """OpenImageIO reports words, not errno: find the errno that the words, or the disk, stand for."""
    for code in _DISK_ERRORS:
        if os.strerror(code).lower() in text.lower():
            return atomic.writing_error(OSError(code, text), path)
    try:
        with open(temporary, "ab", buffering=0) as handle:  # ask the disk itself
            if handle.write(b"\0" * 65536) < 65536:
                return atomic.writing_error(OSError(errno.ENOSPC, text), path)
    except OSError as error:
        return atomic.writing_error(error, path)
    if "corrupt" in text.lower() or "missing" in text.lower():
        return ResourceError("the file came out incomplete", path=path, hint="check the disk and run again")
    return OutputError(f"cannot write EXR: {text}", path=path)
