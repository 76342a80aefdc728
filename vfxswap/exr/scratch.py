"""A raster as an uncompressed EXR in memory, for OpenImageIO to copy from.

From Python OpenImageIO takes one type for all the channels of a buffer. Where half and float channels share a part it
then converts them value by value, which takes longer than all the rest of writing. Copied from a file the channels keep
their own formats, and a file without compression needs no more than a header in front of the pixels.

Source: "OpenEXR File Layout", openexr.com: one scan line per chunk, in it channel after channel, little endian.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import OpenImageIO as oiio  # noqa: N813

from vfxswap.exr.raster import Raster
from vfxswap.exr.values import DTYPES

_LARGEST = 1 << 30
"""Bytes. OpenImageIO holds a copied image as a whole, band by band there is no such limit."""
_KINDS = {"uint": 0, "half": 1, "float": 2}


def fits(raster: Raster) -> bool:
    """True where `opened` is possible (Linux only) and pays."""
    row = sum(np.dtype(DTYPES[kind]).itemsize for kind in raster.formats) * raster.width
    return len(set(raster.formats)) > 1 and row * raster.height <= _LARGEST and hasattr(os, "memfd_create")


@contextmanager
def opened(raster: Raster) -> Iterator[Any]:
    """An ImageInput on `raster`: its channels in order, under names of no meaning. None where memory is refused."""
    header = _header(raster)
    sizes = [np.dtype(DTYPES[kind]).itemsize * raster.width for kind in raster.formats]
    stride = 8 + sum(sizes)
    start = len(header) + 8 * raster.height
    descriptor = _memory_file(start + stride * raster.height)
    if descriptor is None:
        yield None
        return
    try:
        with mmap.mmap(descriptor, 0) as memory:
            memory[: len(header)] = header
            _fill(raster, memory, len(header), start, stride, sizes)
        reader = oiio.ImageInput.open(f"/proc/self/fd/{descriptor}")
        try:
            yield reader
        finally:
            if reader is not None:
                reader.close()
    finally:
        os.close(descriptor)


def _memory_file(size: int) -> int | None:
    """A file in memory; its untouched pages are 0 and cost nothing."""
    try:
        descriptor = os.memfd_create("vfxswap")
    except OSError:
        return None
    try:
        os.ftruncate(descriptor, size)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _fill(raster: Raster, memory: mmap.mmap, table: int, start: int, stride: int, sizes: list[int]) -> None:
    height, width = raster.height, raster.width
    rows = np.arange(height)
    np.ndarray(height, "<u8", memory, table)[:] = start + stride * rows
    np.ndarray((height, 2), "<i4", memory, start, (stride, 4))[:] = np.stack([rows, np.full(height, stride - 8)], 1)
    offsets = np.cumsum([start + 8, *sizes])
    planes = [
        np.ndarray((height, width), DTYPES[kind], memory, int(offset), (stride, sizes[i] // width))
        for i, (kind, offset) in enumerate(zip(raster.formats, offsets, strict=False))
    ]
    raster.fill(planes)


def _header(raster: Raster) -> bytes:
    def attribute(name: str, kind: str, value: bytes) -> bytes:
        return name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value)) + value

    box = struct.pack("<4i", 0, 0, raster.width - 1, raster.height - 1)
    # Names whose alphabetical order is the raster's.
    channels = b"".join(
        b"%06d\0" % i + struct.pack("<iiii", _KINDS[kind], 0, 1, 1) for i, kind in enumerate(raster.formats)
    )
    return (
        struct.pack("<ii", 20000630, 2)
        + attribute("channels", "chlist", channels + b"\0")
        + attribute("compression", "compression", b"\0")
        + attribute("dataWindow", "box2i", box)
        + attribute("displayWindow", "box2i", box)
        + attribute("lineOrder", "lineOrder", b"\0")
        + attribute("pixelAspectRatio", "float", struct.pack("<f", 1))
        + attribute("screenWindowCenter", "v2f", struct.pack("<ff", 0, 0))
        + attribute("screenWindowWidth", "float", struct.pack("<f", 1))
        + b"\0"
    )
