"""Every kind of EXR file that can be made here, an identity rewrite, and the header as it lies in the file."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR

from vfxswap import exr

from .files import float_bits, half_bits, write

LOSSLESS = ("NO", "RLE", "ZIPS", "ZIP", "PIZ", "HTJ2K32", "HTJ2K256", "ZSTD")
LOSSY = ("B44", "B44A", "DWAA", "DWAB")
STORAGE = ("scanline", "tiled")


def layout(compression: str, storage: str = "scanline", *, tile: tuple[int, int] = (16, 10)) -> dict[str, Any]:
    """Header entries of a compression and a storage; tiles (width, height) need not divide the picture."""
    head: dict[str, Any] = {"compression": getattr(OpenEXR, f"{compression}_COMPRESSION")}
    if storage == "tiled":
        tiles = OpenEXR.TileDescription()
        tiles.xSize, tiles.ySize = tile
        return head | {"type": OpenEXR.tiledimage, "tiles": tiles}
    return head | {"type": OpenEXR.scanlineimage}


def photo(width: int = 36, height: int = 24, *, kind: type[np.generic] = np.float16) -> dict[str, Any]:
    """R, G, B that a lossy codec really changes: smooth, with grain, darks below zero and a hot spot."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:height, 0:width]
    smooth = 0.3 + 0.3 * np.sin(x / 9) * np.cos(y / 7) + 40.0 * (np.hypot(x - width / 2, y - height / 2) < 2)
    return {name: (smooth + 0.02 * rng.standard_normal(smooth.shape)).astype(kind) for name in "RGB"}


def pixels_of(kind: str) -> dict[str, Any]:
    """Channels with any bits there are, in formats that may share a part."""
    if kind == "float":
        return {name: float_bits() for name in "RGB"}
    rgb = {name: half_bits() for name in "RGBA"}
    return rgb if kind == "half" else rgb | {"Z": float_bits(), "normal.X": float_bits(), "mask": half_bits()}


def rewrite(source: Path, target: Path, **which: Any) -> exr.WriteReport:
    """Read `source` and write it again with its picture put in as it is."""
    frame = exr.read(source, **which)
    return write(frame, target, frame.rgb)


def raw_headers(path: Path) -> list[dict[str, tuple[str, bytes]]]:
    """Attribute name -> (type name, bytes) of each part, read without any EXR library.

    Source: "OpenEXR File Layout", openexr.com.
    """
    data = path.read_bytes()
    multipart = bool(data[5] & 0x10)
    parts: list[dict[str, tuple[str, bytes]]] = []
    at = 8
    while data[at]:
        attributes: dict[str, tuple[str, bytes]] = {}
        while data[at]:
            middle = data.index(0, at)
            end = data.index(0, middle + 1)
            (size,) = struct.unpack_from("<i", data, end + 1)
            value = data[end + 5 : end + 5 + size]
            attributes[data[at:middle].decode()] = (data[middle + 1 : end].decode(), value)
            at = end + 5 + size
        at += 1
        parts.append(attributes)
        if not multipart:
            break
    return parts


def raw_changes(before: Path, after: Path, part: int = 0) -> set[str]:
    """Names of the attributes that are not the same bytes of the same type.

    `type` does not count: files of one part may leave it out, and with scanlines OpenImageIO does. Nor does
    `chunkCount` where the compression changes, because that is what it follows from.
    """
    old, new = raw_headers(before)[part], raw_headers(after)[part]
    changed = {name for name in (old.keys() | new.keys()) - {"type"} if old.get(name) != new.get(name)}
    return changed - {"chunkCount"} if "compression" in changed else changed


def with_attribute(path: Path, name: str, kind: str, value: bytes) -> Path:
    """Put an attribute into the header of a file of one part: of types that the OpenEXR module cannot make."""
    data = path.read_bytes()
    end = 8
    while data[end]:
        middle = data.index(0, data.index(0, end) + 1)
        end = middle + 5 + int(struct.unpack_from("<i", data, middle + 1)[0])
    table = end + 1
    (first,) = struct.unpack_from("<Q", data, table)
    offsets = struct.unpack_from(f"<{(first - table) // 8}Q", data, table)
    added = name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value)) + value
    moved = struct.pack(f"<{len(offsets)}Q", *(offset + len(added) for offset in offsets))
    path.write_bytes(data[:end] + added + b"\0" + moved + data[first:])
    return path
