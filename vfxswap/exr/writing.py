"""Writing EXR files: the plate with its pictures changed, only what was changed, or channels of one's own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio  # noqa: N813

from vfxswap.errors import OutputError
from vfxswap.exr.edits import Attribute, Edit, Patch, WriteReport, to_half
from vfxswap.exr.frame import Frame
from vfxswap.exr.headers import cleaned, compression, set_attributes, set_channels, view_name
from vfxswap.exr.output import Output, Record, write_file
from vfxswap.exr.raster import Raster
from vfxswap.exr.values import ACES_FLAG, PartInfo
from vfxswap.geometry import Window
from vfxswap.pixels import AnyArray

_FORMATS = {"float16": "half", "float32": "float", "uint32": "uint"}


_SPACE = ("colorInteropID", "oiio:ColorSpace", "chromaticities", "whiteLuminance", "adoptedNeutral", ACES_FLAG)
"""The attributes that tell a picture's colour space."""


def write_frame(
    frame: Frame,
    path: str | os.PathLike[str],
    *,
    edits: Sequence[Edit],
    hints: Mapping[str, str] | None = None,
    record: Record | None = None,
) -> WriteReport:
    """Write the plate's file with every edit in it, everything else as it was.

    Args:
        frame: the plate's frame.
        path: the output file; it appears whole or not at all.
        edits: changes of pictures of this file, in one part or in several. Where two overlap the later one wins. A
            channel of the plate with the name of a layer is replaced and reported. In a view other than the hero view
            of a single-part multi-view file the layers' names become "face.left.R".
        hints: string attributes (`vfxswap:*`) for every edited part, or the selected part when there are no edits.
        record: told the file's fingerprint right before it appears.

    Raises:
        ResourceError: the disk is full. OutputError: no permission, wrong shape or type, an edit of another file,
            output equal to input. FrameError: a part that is copied from the plate's file is gone from there.
    """
    target = _target(frame.path, path)
    notes: list[str] = []
    clamped = 0
    outputs: list[Output] = []
    for edit in edits:
        if edit.frame.path != frame.path:
            raise OutputError(f"an edit of {edit.frame.path}, not of {frame.path}", path=target)
    edited = {edit.frame.selected for edit in edits} or {frame.selected}
    for index, (info, spec, pixels) in enumerate(zip(frame.info.parts, frame.specs, frame.pixels, strict=True)):
        clean = cleaned(spec, info, notes)
        raster = None if pixels is None else _raster(info, pixels)
        if index in edited:
            set_attributes(clean, hints)
        for edit in edits:
            if edit.frame.selected == index and raster is not None:
                clamped += _apply(edit, raster, target, notes)
        if raster is not None and _described(info) != (raster.names, raster.formats):
            set_channels(clean, raster, notes)
        outputs.append((clean, raster))
    notes += write_file(target, outputs, source=frame.path, record=record)
    return WriteReport(target, compression(outputs[frame.selected][0]), clamped, tuple(dict.fromkeys(notes)))


def write_patch(
    path: str | os.PathLike[str],
    *,
    patches: Sequence[Patch],
    hints: Mapping[str, str] | None = None,
    record: Record | None = None,
) -> WriteReport:
    """Write only the patches: their windows are data windows, the display window is the plate's.

    Args:
        path: the output file; it appears whole or not at all.
        patches: one, or one per view of a stereo plate: then each is a part of its own, named "rgba.left", with the
            `view` attribute.
        hints: string attributes for every part.
        record: told the file's fingerprint right before it appears.

    Raises:
        ResourceError, OutputError: as `write_frame`.
    """
    if not patches:
        raise OutputError("no patches to write", path=Path(path))
    notes: list[str] = []
    outputs: list[Output] = []
    names: list[str] = []
    for patch in patches:
        target = _target(patch.frame.path, path)
        spec = _patch_spec(patch, target, notes)
        if len(patches) > 1:
            names.append(_unique(".".join(filter(None, ("rgba", patch.frame.view))), names))
            spec.attribute("oiio:subimagename", names[-1])
            spec.attribute("name", names[-1])
            if patch.frame.view:
                spec.attribute("view", patch.frame.view)
        set_attributes(spec, hints)
        raster = _stacked(patch.channels, patch.window, target)
        set_channels(spec, raster, notes)
        outputs.append((spec, raster))
    notes += write_file(target, outputs, source=None, record=record)
    return WriteReport(target, compression(outputs[0][0]), 0, tuple(dict.fromkeys(notes)))


def write_channels(
    path: str | os.PathLike[str],
    *,
    channels: Mapping[str, AnyArray],
    attributes: Mapping[str, Attribute] | None = None,
    compression: str = "zip",
    data_window: Window | None = None,
    display_window: Window | None = None,
    record: Record | None = None,
) -> WriteReport:
    """Write a new one-part EXR.

    Args:
        path: the output file.
        channels: channel name -> (H, W), float16, float32 or, all of them, uint32.
        attributes: header attributes. No date is written unless they hold `DateTime`.
        compression: as OpenImageIO names it.
        data_window: in file coordinates; default the size of the arrays at (0, 0).
        display_window: in file coordinates; default the data window.
        record: told the file's fingerprint right before it appears.

    Raises:
        ResourceError, OutputError: as `write_frame`.
    """
    target = Path(path)
    if not channels:
        raise OutputError("no channels to write", path=target)
    height, width = next(iter(channels.values())).shape[:2]
    window = data_window or Window(0, 0, width, height)
    display = display_window or window
    raster = _stacked(channels, window, target, uint=True)
    spec = oiio.ImageSpec(width, height, len(channels), oiio.FLOAT)
    spec.x, spec.y = window.x, window.y
    spec.full_x, spec.full_y, spec.full_width, spec.full_height = display.x, display.y, display.width, display.height
    spec.attribute("compression", compression)
    spec.attribute("DateTime", "")  # see headers.cleaned
    set_attributes(spec, attributes)
    notes: list[str] = []
    set_channels(spec, raster, notes)
    notes += write_file(target, [(spec, raster)], source=None, record=record)
    return WriteReport(target, str(spec.get_string_attribute("compression")), 0, tuple(notes))


def _target(source: Path, path: str | os.PathLike[str]) -> Path:
    target = Path(path)
    if target.exists() and source.exists() and target.samefile(source):
        raise OutputError("the output is the plate itself", path=target, hint="choose another --output")
    return target


def _raster(info: PartInfo, pixels: AnyArray) -> Raster:
    """A part as it was read."""
    height, width, _ = pixels.shape
    return Raster(width, height, *_described(info), pixels)


def _described(info: PartInfo) -> tuple[list[str], list[str]]:
    return [channel.name for channel in info.channels], [channel.format for channel in info.channels]


def _apply(edit: Edit, raster: Raster, path: Path, notes: list[str]) -> int:
    """Lay `edit` over `raster`; returns how many values had to be clamped."""
    frame, window, held = edit.frame, edit.window, edit.frame.origin_window
    if window.empty:
        window = Window(held.x, held.y, 0, 0)
    rgb, clamped = edit.rgb, 0
    fits = window.intersect(held) == window and (window.empty or rgb.shape == (window.height, window.width, 3))
    if not fits or rgb.dtype not in (np.float16, np.float32):
        raise OutputError(f"{rgb.dtype} picture of shape {rgb.shape} for {window} of {held}", path=path)
    where = window.moved(-held.x, -held.y)
    if not window.empty:
        if frame.dtype == np.float16:
            rgb, clamped = to_half(rgb)
        for position, name in enumerate(_picture(frame)):
            raster.put(name, where, rgb[..., position])
    for name, pixels in edit.layers.items():
        _check_plane(name, pixels, window, path)
        _put_layer(edit, raster, view_name(frame, name), where, pixels, path, notes)
    return clamped


def _picture(frame: Frame) -> list[str]:
    """Names of the three channels of the selected picture."""
    return [frame.part.channels[channel].name for channel in frame.rgb_index]


def _put_layer(
    edit: Edit, raster: Raster, name: str, where: Window, pixels: AnyArray, path: Path, notes: list[str]
) -> None:
    kind = _FORMATS[pixels.dtype.name]
    if name in _picture(edit.frame):
        raise OutputError(f"layer {name} is the picture itself", path=path)
    if name not in raster.names:
        raster.add(name, kind)
    elif name not in raster.cleared and name in _described(edit.frame.part)[0]:
        notes.append(f"the plate's own {name} was replaced")
        raster.clear(name, kind)
    elif kind != raster.formats[raster.names.index(name)]:
        raise OutputError(f"layer {name} is half in one edit and float in another", path=path)
    raster.put(name, where, pixels)


def _stacked(channels: Mapping[str, AnyArray], window: Window, path: Path, *, uint: bool = False) -> Raster:
    """`channels` over the whole of `window` and nothing else."""
    raster = Raster(window.width, window.height, [], [])
    for name, pixels in channels.items():
        _check_plane(name, pixels, window, path, uint=uint)
        raster.add(name, _FORMATS[pixels.dtype.name])
        raster.put(name, Window(0, 0, window.width, window.height), pixels)
    if "uint" in raster.formats and len(set(raster.formats)) > 1:
        raise OutputError("uint and float channels cannot share a part", path=path)
    return raster


def _check_plane(name: str, array: AnyArray, window: Window, path: Path, *, uint: bool = False) -> None:
    kinds = ["float16", "float32", *(["uint32"] if uint else [])]
    if array.shape != (window.height, window.width) or array.dtype.name not in kinds:
        wanted = f"{' or '.join(kinds)} ({window.height}, {window.width})"
        raise OutputError(f"layer {name} is {array.dtype} {array.shape}, not {wanted}", path=path)


def _patch_spec(patch: Patch, path: Path, notes: list[str]) -> Any:
    frame, window = patch.frame, patch.window
    if window.empty:
        raise OutputError("an empty patch", path=path)
    spec = cleaned(frame.specs[frame.selected], frame.part, notes)
    spec.x, spec.y = window.x + frame.display_window.x, window.y + frame.display_window.y
    spec.width, spec.height = window.width, window.height
    spec.tile_width = spec.tile_height = spec.tile_depth = 0
    spec.erase_attribute("multiView")  # it speaks of channels that are not here
    for name in () if patch.same_space else _SPACE:
        spec.erase_attribute(name)
    return spec


def _unique(name: str, taken: Sequence[str]) -> str:
    def numbered() -> Iterator[str]:
        yield name
        yield from (f"{name}.{count}" for count in range(2, len(taken) + 3))

    return next(candidate for candidate in numbered() if candidate not in taken)
