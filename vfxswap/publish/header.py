"""What a finished frame's header says, beside the plate's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from vfxswap import exr
from vfxswap.exr.values import ACES_FLAG, PartInfo
from vfxswap.job import Layers
from vfxswap.publish.pair import is_layer

_SPACE: Final = ("colorInteropID", "oiio:ColorSpace")
_LIGHT: Final = ("chromaticities", "whiteLuminance", "adoptedNeutral")
_PATCH: Final = {"R": "half", "G": "half", "B": "half", "A": "half"}
_FLOAT: Final = ("stmap",)

_NOT_COMPARED: Final = frozenset(
    {"compression", "DateTime", "PixelAspectRatio", "multiView", "name", "view", ACES_FLAG, *_SPACE, *_LIGHT}
)
"""Looked at elsewhere, or rightly another one: the compression of a plate that loses at every save, for one."""

_LAYOUT: Final = ("vfxswap:", "oiio:", "thumbnail_", "openexr:", "textureformat")

Fault = tuple[str, str]
"""A code, and what is wrong in words that are the same for every frame."""


def faults(plate: exr.FrameInfo, result: exr.FrameInfo, layers: Layers) -> Iterator[Fault]:
    """Everything that is wrong with a header.

    Args:
        plate: the plate's.
        result: the finished frame's.
        layers: what the job writes.
    """
    if layers == "patch":
        yield from _patch_faults(plate, result)
        return
    if len(plate.parts) != len(result.parts):
        yield "VS-IMG-004", f"{len(result.parts)} parts, the plate has {len(plate.parts)}"
        return
    for before, after in zip(plate.parts, result.parts, strict=True):
        where = f" in part {after.name}" if len(plate.parts) > 1 and after.name else ""
        for code, text in _part_faults(before, after, layers):
            yield code, text + where
    if layers == "ingredients" and not any(c.name == "matte.face" for part in result.parts for c in part.channels):
        yield "VS-MAT-001", "the matte is missing: there is no channel matte.face"


def _part_faults(plate: PartInfo, result: PartInfo, layers: Layers) -> Iterator[Fault]:
    yield from _window_faults(plate, result)
    if result.data_window != plate.data_window:
        yield "VS-IMG-002", f"the data window is {_box(result.data_window)}, the plate's {_box(plate.data_window)}"
    there = {channel.name: channel.format for channel in result.channels}
    needed = {channel.name: channel.format for channel in plate.channels}
    yield from _channel_faults(needed, there, extra=layers == "ingredients", part=result)
    yield from _color_faults(plate.attributes, result.attributes)
    yield from _metadata_faults(plate.attributes, result.attributes)
    if result.lossy:
        yield "VS-IMG-006", f"the compression {result.compression} loses"


def _window_faults(plate: PartInfo, result: PartInfo) -> Iterator[Fault]:
    size, wanted = (f"{part.display_window.width}x{part.display_window.height}" for part in (result, plate))
    if size != wanted:
        yield "VS-IMG-001", f"the picture is {size}, the plate {wanted}"
    elif result.display_window != plate.display_window:
        yield (
            "VS-IMG-003",
            f"the display window is {_box(result.display_window)}, the plate's {_box(plate.display_window)}",
        )
    if abs(result.pixel_aspect - plate.pixel_aspect) > 1e-6:
        yield "VS-IMG-003", f"the pixel aspect is {result.pixel_aspect:g}, the plate's {plate.pixel_aspect:g}"


def _channel_faults(
    needed: Mapping[str, str], there: Mapping[str, str], *, extra: bool, part: PartInfo
) -> Iterator[Fault]:
    missing = [name for name in needed if name not in there]
    more = [name for name in there if name not in needed and not (extra and is_layer(name))]
    if missing:
        yield "VS-IMG-004", f"channels {', '.join(missing)} are missing"
    if more:
        yield "VS-IMG-004", f"channels {', '.join(more)} are not the plate's, and no layers of the job"
    for name, kind in there.items():
        layer = extra and is_layer(name)
        wanted = ("float" if name.startswith(_FLOAT) else "half") if layer else needed.get(name, kind)
        if kind != wanted:
            yield "VS-IMG-005", f"channel {name} is {kind}, need {wanted}"


def _color_faults(plate: Mapping[str, Any], result: Mapping[str, Any]) -> Iterator[Fault]:
    for names, code, what in ((_SPACE, "VS-COL-001", "colour space"), (_LIGHT, "VS-COL-003", "")):
        for name in names:
            before, after = plate.get(name), result.get(name)
            if ACES_FLAG in plate and name == "oiio:ColorSpace":
                continue  # the flag, which a swapped frame cannot carry, is where the plate's came from
            if not _same(before, after):
                yield code, f"{f'the {what} by ' if what else ''}{name} is {after!r}, the plate's {before!r}"


def _metadata_faults(plate: Mapping[str, Any], result: Mapping[str, Any]) -> Iterator[Fault]:
    names = [name for name in plate if name not in _NOT_COMPARED and not name.startswith(_LAYOUT)]
    lost = [name for name in names if name not in result]
    other = [name for name in names if name in result and not _same(plate[name], result[name])]
    if lost:
        yield "VS-MET-001", f"{', '.join(lost)} of the plate's header lost"
    if other:
        yield "VS-MET-001", f"{', '.join(other)} not the plate's"


def _patch_faults(plate: exr.FrameInfo, result: exr.FrameInfo) -> Iterator[Fault]:
    before = plate.parts[0]
    for after in result.parts:
        yield from _window_faults(before, after)
        there = {channel.name: channel.format for channel in after.channels}
        if "A" not in there:
            yield "VS-MAT-001", "the matte is missing: there is no channel A"
        yield from _channel_faults({k: v for k, v in _PATCH.items() if k != "A" or "A" in there}, there,
                                   extra=False, part=after)  # fmt: skip
        yield from _metadata_faults(before.attributes, after.attributes)
        if after.lossy:
            yield "VS-IMG-006", f"the compression {after.compression} loses"


def _same(a: object, b: object) -> bool:
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, float) and isinstance(b, (int, float)):
        return abs(a - b) <= 1e-6 * max(1.0, abs(a))
    return a == b


def _box(window: Any) -> str:
    return f"{window.x},{window.y} {window.width}x{window.height}"
