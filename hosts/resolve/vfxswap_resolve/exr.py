"""The header of an EXR file, as far as is needed to see that a rendered frame is whole and what it should be.

Read as the OpenEXR file layout says (openexr.com, "OpenEXR File Layout"): magic number, version, attributes, offset
table. Nothing is decoded.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

from vfxswap_bridge import BridgeError

_MAGIC = 20000630
_TILED, _DEEP, _MULTIPART = 0x200, 0x800, 0x1000
_LINES = {0: 1, 1: 1, 2: 1, 3: 16, 4: 32, 5: 16, 6: 32, 7: 32, 8: 32, 9: 256}
"""Compression -> scan lines in a block."""

_LONGEST = 1 << 24


@dataclass(frozen=True)
class Header:
    """What a file says about itself.

    Attributes:
        width: of the display window, pixels.
        height: of the display window, pixels.
        channels: names.
        aspect: of a pixel, width over height.
    """

    width: int
    height: int
    channels: tuple[str, ...]
    aspect: float


def read(path: str) -> Header:
    """The header of a file that is whole.

    Raises:
        BridgeError: not there, empty, not EXR, or cut off.
    """
    try:
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            return _read(_Bytes(file.read(min(size, _LONGEST)), path), size, path)
    except OSError as error:
        raise BridgeError(f"cannot read {path}: {error.strerror}", "look whether the frame is there") from error


class _Bytes:
    """A file's first bytes, taken from the front."""

    def __init__(self, data: bytes, path: str) -> None:
        self.data, self.at, self.path = data, 0, path

    def take(self, count: int) -> bytes:
        if count < 0 or self.at + count > len(self.data):
            raise broken(self.path, "its header is cut off")
        self.at += count
        return self.data[self.at - count : self.at]

    def unpack(self, form: str) -> tuple[int, ...]:
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))

    def word(self) -> str:
        end = self.data.find(b"\0", self.at)
        if end < 0:
            raise broken(self.path, "its header is cut off")
        found = self.data[self.at : end].decode("utf-8", "replace")
        self.at = end + 1
        return found


def broken(path: str, why: str) -> BridgeError:
    """The refusal of a file that is not whole."""
    return BridgeError(f"{path} is no whole EXR: {why}", "render it again; look whether the disk is full")


def _read(data: _Bytes, size: int, path: str) -> Header:
    if size == 0:
        raise broken(path, "it is empty")
    magic, version = data.unpack("iI")
    if magic != _MAGIC:
        raise broken(path, "it does not begin as one")
    attributes: dict[str, bytes] = {}
    while True:
        name = data.word()
        if not name:
            break
        data.word()
        (length,) = data.unpack("i")
        attributes[name] = data.take(length)
    try:
        left, top, right, bottom = struct.unpack("<4i", attributes["displayWindow"])
        _, first, _, last = struct.unpack("<4i", attributes["dataWindow"])
        (aspect,) = struct.unpack("<f", attributes["pixelAspectRatio"])
        channels = _channels(_Bytes(attributes["channels"], path))
        lines = _LINES.get(attributes["compression"][0], 1)
    except (KeyError, IndexError, struct.error) as error:
        raise broken(path, "its header lacks what every EXR has") from error
    if not version & (_TILED | _DEEP | _MULTIPART):
        blocks = (last - first) // lines + 1
        offsets = data.unpack(f"{blocks}Q")
        # Offsets are written last: zeros, or blocks beyond the end, are what a write that was stopped leaves.
        if min(offsets) == 0 or max(offsets) >= size:
            raise broken(path, "rows are missing")
    return Header(right - left + 1, bottom - top + 1, channels, float(aspect))


def _channels(data: _Bytes) -> tuple[str, ...]:
    names: list[str] = []
    while True:
        name = data.word()
        if not name:
            return tuple(names)
        names.append(name)
        data.take(16)
