"""What a file is, in two hashes: of its bytes, and of its pixels as they are decoded.

The second stays the same when a file is compressed otherwise or its header edited. It is defined in
docs/provenance.md (`vfxswap.pixels/1`) so that others can compute it, too:

    the sha256 of the canonical JSON (RFC 8785) of
    {"format": "vfxswap.pixels/1", "parts": [{"channels": [[name, "half" | "float" | "uint"], ...],
     "data_window": [x, y, width, height], "display_window": [x, y, width, height], "sha256": hex}, ...]}

with the parts in the file's order, with `name` and `view` where there are several, and channels sorted by name.
A part's sha256 is of its scan lines from the top down, in each the channels in that order, little endian.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import rfc8785

from vfxswap.errors import FrameError
from vfxswap.exr.raster import Raster
from vfxswap.exr.reading import OIIO_TYPES, error_text, open_reader, part_info, part_specs
from vfxswap.exr.values import DTYPES, PartInfo
from vfxswap.geometry import Window
from vfxswap.pixels import AnyArray

PIXELS: Final = "vfxswap.pixels/1"
_BAND_BYTES = 1 << 20
"""Small enough to stay in a processor's cache between filling and hashing."""

Fill = Callable[[Sequence[AnyArray], int, int], None]
"""Puts the rows from one to before another into planes, one for each channel, that are 0 so far."""


@dataclass(frozen=True)
class Fingerprint:
    """A file's size in bytes, the hex sha256 of its bytes, and that of its pixels (`vfxswap.pixels/1`)."""

    size: int
    sha256: str
    pixels: str


def file_sha256(path: str | os.PathLike[str]) -> str:
    """The hex sha256 of a file's bytes; raises OSError."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def fingerprint(path: str | os.PathLike[str], *, rasters: Sequence[Raster | None] | None = None) -> Fingerprint:
    """The fingerprint of the EXR file `path`.

    Args:
        path: the file.
        rasters: what it was written from, part by part: those pixels need not be decoded again.

    Raises:
        FrameError: missing, truncated or corrupt. PlateError: not an EXR, or deep.
    """
    pixels = pixel_sha256(path, rasters=rasters)
    try:
        return Fingerprint(Path(path).stat().st_size, file_sha256(path), pixels)
    except OSError as error:
        raise FrameError(f"cannot read: {error.strerror or error}", path=path) from error


def pixel_sha256(path: str | os.PathLike[str], *, rasters: Sequence[Raster | None] | None = None) -> str:
    """The hash of a file's decoded pixels; arguments and errors as of `fingerprint`."""
    source = Path(path)
    reader = open_reader(source, None)
    try:
        infos = [part_info(spec) for spec in part_specs(reader, source, None)]
        known = rasters or [None] * len(infos)
        parts = []
        for index, (info, raster) in enumerate(zip(infos, known, strict=True)):
            if info.deep:
                raise FrameError("the pixels of deep parts have no hash here", path=source)
            same = raster is not None and sorted(raster.names) == sorted(channel.name for channel in info.channels)
            lines = _of_raster(raster) if same and raster is not None else _of_file(reader, index, info, source)
            parts.append(_described(info, lines, several=len(infos) > 1))
    finally:
        reader.close()
    return hashlib.sha256(rfc8785.dumps({"format": PIXELS, "parts": parts})).hexdigest()


def _described(info: PartInfo, lines: str, *, several: bool) -> dict[str, Any]:
    channels = sorted((channel.name, channel.format) for channel in info.channels)
    return {
        "channels": [list(channel) for channel in channels],
        "data_window": _box(info.data_window),
        "display_window": _box(info.display_window),
        "sha256": lines,
        **({"name": info.name, "view": info.view} if several else {}),
    }


def _box(window: Window) -> list[int]:
    return [window.x, window.y, window.width, window.height]


def _of_raster(raster: Raster) -> str:
    return _lines(raster.width, raster.height, raster.names, raster.formats, raster.fill)


def _of_file(reader: Any, index: int, info: PartInfo, path: Path) -> str:
    """The hash of a part's lines, decoded in runs of channels of one format: so each value arrives as it is."""
    names = [channel.name for channel in info.channels]
    formats = [channel.format for channel in info.channels]
    size = (info.data_window.height, info.data_window.width)
    decoded: list[AnyArray] = []
    while len(decoded) < len(names):
        first = len(decoded)
        last = next((i for i in range(first, len(names)) if formats[i] != formats[first]), len(names))
        pixels = reader.read_image(index, 0, first, last, OIIO_TYPES[formats[first]])
        if pixels is None:
            text = f"corrupt or truncated EXR: {error_text(reader)}"
            raise FrameError(text, path=path, hint="render or copy it again")
        block = np.asarray(pixels, DTYPES[formats[first]]).reshape(*size, last - first)
        decoded += [block[..., i] for i in range(last - first)]

    def fill(planes: Sequence[AnyArray], top: int, bottom: int) -> None:
        for plane, channel in zip(planes, decoded, strict=True):
            plane[:] = channel[top:bottom]

    return _lines(size[1], size[0], names, formats, fill)


def _lines(width: int, height: int, names: Sequence[str], formats: Sequence[str], fill: Fill) -> str:
    types = [np.dtype(DTYPES[kind]).newbyteorder("<") for kind in formats]
    order = sorted(range(len(names)), key=lambda i: names[i])
    ends = np.cumsum([types[i].itemsize * width for i in order])
    offsets = {i: int(end) - types[i].itemsize * width for i, end in zip(order, ends, strict=True)}
    stride = int(ends[-1])
    rows = max(1, _BAND_BYTES // stride)
    buffer = np.zeros((min(rows, height), stride), np.uint8)
    digest = hashlib.sha256()
    for top in range(0, height, rows):
        band = buffer[: min(rows, height - top)]
        band.fill(0)
        planes = [
            np.ndarray((len(band), width), kind, buffer, offsets[i], (stride, kind.itemsize))
            for i, kind in enumerate(types)
        ]
        fill(planes, top, top + len(band))
        digest.update(band.data)
    return digest.hexdigest()
