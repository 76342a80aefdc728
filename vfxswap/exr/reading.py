"""Reading EXR files. ImageInput only: ImageBuf returns rubbish for truncated files and crashes on deep ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio  # noqa: N813

from vfxswap.errors import FrameError, PlateError, VfxSwapError
from vfxswap.exr.frame import Frame
from vfxswap.exr.select import select
from vfxswap.exr.values import DTYPES, Channel, FrameInfo, PartInfo
from vfxswap.geometry import Window
from vfxswap.pixels import AnyArray

_MAGIC = b"\x76\x2f\x31\x01"
OIIO_TYPES = {"half": oiio.HALF, "float": oiio.FLOAT, "uint": oiio.UINT32}
"""OpenImageIO's type of each channel format."""
LARGEST = 32 << 30
"""Bytes of pixels that a file may claim, uncompressed. A frame of 16384 x 8192 in 16 RGBA float layers has 32 GiB."""
_LOSSY = ("b44", "dwa")
_REFUSED = "lj2k"


def probe(path: str | os.PathLike[str], *, frame: int | None = None) -> FrameInfo:
    """The headers of every part of `path`. Deep and mixed parts are described, not refused.

    Raises:
        FrameError: missing, empty or corrupt. PlateError: not an EXR, or luma/chroma-subsampled.
    """
    source = Path(path)
    reader = open_reader(source, frame)
    try:
        return FrameInfo(source, tuple(part_info(spec) for spec in part_specs(reader, source, frame)))
    finally:
        reader.close()


def read(
    path: str | os.PathLike[str], *, part: str | None = None, view: str | None = None, frame: int | None = None
) -> Frame:
    """Read every part of `path` and select the picture to work on.

    Args:
        path: the file.
        part: name of a part (with or without its view suffix) or of a layer; None takes the main picture.
        view: name of a view; None takes the hero view (the first of `multiView`, else "left" or "main").
        frame: frame number, for messages only.

    Raises:
        FrameError: missing, empty, truncated or corrupt. PlateError: deep, subsampled, uint mixed with float
            in the selected part, no RGB, unknown part or view, not an EXR.
    """
    source = Path(path)
    reader = open_reader(source, frame)
    try:
        specs = part_specs(reader, source, frame)
        info = FrameInfo(source, tuple(part_info(spec) for spec in specs))
        if info.deep:
            raise PlateError(
                "deep EXR is not supported", path=source, frame=frame, hint="flatten it first (DeepToImage in Nuke)"
            )
        choice = select(info, part=part, view=view, frame=frame)
        pixels = tuple(_read_part(reader, i, info, frame) for i in range(len(specs)))
    finally:
        reader.close()
    return Frame(
        path=source,
        info=info,
        pixels=pixels,
        selected=choice.part,
        rgb_index=choice.rgb,
        alpha_index=choice.alpha,
        view=choice.view,
        layer=choice.layer,
        specs=specs,
        wanted_part=part,
    )


def check(path: str | os.PathLike[str]) -> None:
    """Decode every pixel of `path`, to know that the file is whole.

    Raises:
        FrameError: missing, truncated or corrupt. PlateError: not an EXR.
    """
    source = Path(path)
    reader = open_reader(source, None)
    try:
        info = FrameInfo(source, tuple(part_info(spec) for spec in part_specs(reader, source, None)))
        for index, part in enumerate(info.parts):
            if not part.deep:
                _read_part(reader, index, info, None)
    finally:
        reader.close()


def read_channels(path: str | os.PathLike[str]) -> tuple[dict[str, AnyArray], dict[str, Any]]:
    """Every channel of the first part as (H, W) arrays in its own type, and the attributes.

    Raises: as `read`, for any kind that cannot be read exactly.
    """
    source = Path(path)
    reader = open_reader(source, None)
    try:
        info = FrameInfo(source, tuple(part_info(spec) for spec in part_specs(reader, source, None)[:1]))
        head = info.parts[0]
        buffer = None if head.deep else _read_part(reader, 0, info, None)
    finally:
        reader.close()
    if buffer is None:
        raise PlateError("deep or mixed uint channels are not supported", path=source)
    channels = {
        channel.name: np.ascontiguousarray(buffer[..., i]).astype(DTYPES[channel.format], copy=False)
        for i, channel in enumerate(head.channels)
    }
    return channels, dict(head.attributes)


def open_reader(path: Path, frame: int | None) -> Any:
    """An ImageInput on `path` after the checks that need no decoder."""
    try:
        with open(path, "rb") as handle:
            magic = handle.read(4)
    except FileNotFoundError as error:
        raise FrameError("file not found", path=path, frame=frame, hint="check the plate path and range") from error
    except IsADirectoryError as error:
        raise PlateError("a folder, not an EXR file", path=path, frame=frame) from error
    except OSError as error:
        raise FrameError(f"cannot read: {error.strerror or error}", path=path, frame=frame) from error
    if not magic:
        raise FrameError("the file is empty (0 bytes)", path=path, frame=frame, hint="render or copy it again")
    if magic != _MAGIC[: len(magic)]:
        raise PlateError("not an EXR file", path=path, frame=frame, hint="convert the plate to OpenEXR")
    reader = oiio.ImageInput.open(str(path))
    if reader is None or reader.format_name() != "openexr":
        raise _unreadable(error_text(None), path, frame)
    return reader


def error_text(source: Any) -> str:
    """The pending OpenImageIO message; corrupt files can put bytes into it that are not UTF-8."""
    try:
        text = oiio.geterror() if source is None else source.geterror()
    except UnicodeDecodeError:
        text = ""
    return " ".join(str(text).split())[:300] or "no reason given"


def part_specs(reader: Any, path: Path, frame: int | None) -> tuple[Any, ...]:
    """The header of every part.

    Raises:
        FrameError: a part cannot be opened, or more is claimed than `LARGEST`; nothing was allocated yet.
        PlateError: a part is luma/chroma-subsampled, or lj2k.
    """
    specs = [oiio.ImageSpec(reader.spec())]
    # Where a part is refused seek_subimage fails just as it does past the last part: it must not go unnoticed.
    for index in range(1, specs[0].get_int_attribute("oiio:subimages", 1)):
        if not reader.seek_subimage(index, 0):
            raise _unreadable(f"part {index}: {error_text(reader)}", path, frame)
        specs.append(oiio.ImageSpec(reader.spec()))
    if any(str(spec.get_string_attribute("compression")).startswith(_REFUSED) for spec in specs):
        # Its decoder writes behind its memory on some damaged files (docs/decisions/0005).
        text = "the compression lj2k (lossy JPEG 2000) is not supported"
        raise PlateError(text, path=path, frame=frame, hint="convert it to zip, or to htj2k32")
    size = sum(spec.image_bytes() for spec in specs)
    if size > LARGEST:
        text = f"the header claims {size / 2**30:.0f} GiB of pixels, more than {LARGEST >> 30} GiB can be"
        raise FrameError(text, path=path, frame=frame, hint="render or copy it again, or split its layers")
    return tuple(specs)


def _unreadable(text: str, path: Path, frame: int | None) -> VfxSwapError:
    if "ubsampl" in text:
        message, hint = "luma/chroma or subsampled EXR is not supported", "convert it to RGB"
        return PlateError(message, path=path, frame=frame, hint=hint)
    if "limits:" in text or "header claims" in text:
        hint = "render or copy it again; if it is as it should be, split it into smaller files"
        return FrameError(f"larger than an EXR can be: {text}", path=path, frame=frame, hint=hint)
    return FrameError(f"corrupt EXR: {text}", path=path, frame=frame, hint="render or copy it again")


def part_info(spec: Any) -> PartInfo:
    """What a part's header says."""
    attributes = {item.name: item.value for item in spec.extra_attribs}
    formats = [str(item) for item in spec.channelformats] or [str(spec.format)] * spec.nchannels
    compression = str(attributes.get("compression", "none"))
    return PartInfo(
        name=str(attributes.get("oiio:subimagename") or attributes.get("name") or ""),
        view=str(attributes.get("view", "")),
        channels=tuple(
            Channel(str(name), "uint" if kind == "uint32" else kind)
            for name, kind in zip(spec.channelnames, formats, strict=True)
        ),
        data_window=Window(spec.x, spec.y, spec.width, spec.height),
        display_window=Window(spec.full_x, spec.full_y, spec.full_width, spec.full_height),
        compression=compression,
        lossy=compression.startswith(_LOSSY),
        deep=bool(spec.deep),
        tiled=spec.tile_width > 0,
        mipmapped=int(attributes.get("oiio:miplevels", 1)) > 1,
        pixel_aspect=float(attributes.get("PixelAspectRatio", 1.0)),
        attributes=attributes,
    )


def _read_part(reader: Any, index: int, info: FrameInfo, frame: int | None) -> AnyArray | None:
    part = info.parts[index]
    if part.mixed_uint:
        return None
    kind = OIIO_TYPES[part.format]
    try:
        pixels = reader.read_image(index, 0, 0, len(part.channels), kind)
    except MemoryError as error:
        hint = "free memory and run again; a damaged file can claim any size"
        raise FrameError("not enough memory for its pixels", path=info.path, frame=frame, hint=hint) from error
    if pixels is None:
        text = error_text(reader)
        raise FrameError(f"corrupt or truncated EXR: {text}", path=info.path, frame=frame, hint="render it again")
    shape = (part.data_window.height, part.data_window.width, len(part.channels))
    return np.asarray(pixels, DTYPES[part.format]).reshape(shape)
