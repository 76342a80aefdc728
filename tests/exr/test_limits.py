"""Headers that claim more than there can be are refused by name, before anything is allocated."""

from __future__ import annotations

import os
import resource
import struct
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest

from vfxswap import exr
from vfxswap.errors import FrameError, PlateError

from .files import make, make_parts, rgb_bits

MEGABYTE = 1 << 20


def claiming(path: Path, width: int, height: int, *, part: int = 0, rows: int = 0) -> Path:
    """Let the header of `part` claim a data window of `width` x `height`, and the chunks of so many `rows` each."""
    data = bytearray(path.read_bytes())
    values = {b"dataWindow\0box2i\0": struct.pack("<4i", 0, 0, width - 1, height - 1)}
    if rows:
        values[b"chunkCount\0int\0"] = struct.pack("<i", -(-height // rows))
    for key, value in values.items():
        at = -1
        for _ in range(part + 1):
            at = data.index(key, at + 1)
        start = at + len(key) + 4
        data[start : start + len(value)] = value
    path.write_bytes(data)
    return path


def peak() -> int:
    """The most memory this process ever held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("size", [(20_000, 20_000), (200_000, 200_000), (1, 2**31 - 1), (2**31 - 1, 1), (2**30, 16)])
@pytest.mark.parametrize("tiled", [False, True])
def test_a_small_file_that_claims_a_large_picture(tmp_path, size, tiled):
    storage = {"type": OpenEXR.tiledimage, "tiles": OpenEXR.TileDescription()} if tiled else {}
    source = claiming(make(tmp_path / "a.exr", **storage), *size)
    before = peak()
    for reads in (exr.probe, exr.read, exr.read_channels, exr.check):
        with pytest.raises(FrameError):
            reads(source)
    assert peak() - before < 64 * MEGABYTE


def test_a_part_that_is_not_the_first(tmp_path):
    parts: list[tuple[dict[str, Any], dict[str, Any]]] = [({"name": name}, rgb_bits()) for name in ("rgba", "more")]
    source = claiming(make_parts(tmp_path / "a.exr", parts), 200_000, 200_000, part=1, rows=16)
    for reads in (exr.probe, exr.read):
        with pytest.raises(FrameError, match="part 1"):
            reads(source)


def test_parts_that_are_too_large_together(tmp_path):
    """Each may be: a sparse file, so that its size does not speak against it."""
    names = ("rgba", "b", "c", "d")
    parts: list[tuple[dict[str, Any], dict[str, Any]]] = [({"name": name}, rgb_bits()) for name in names]
    source = make_parts(tmp_path / "a.exr", parts)
    side = 45_000  # 11 GiB in each part
    for index in range(len(parts)):
        claiming(source, side, side, part=index, rows=16)
    os.truncate(source, 1 << 30)
    before = peak()
    # Where there is less memory than for one part, OpenImageIO refuses that one by itself.
    with pytest.raises(FrameError, match=r"45 GiB of pixels, more than 32 GiB|larger than an EXR can be"):
        exr.probe(source)
    assert peak() - before < 64 * MEGABYTE


def test_too_many_channels(tmp_path):
    pixel = np.zeros((1, 1), np.float16)

    def file(count: int) -> Path:
        layers = {f"layer{i:05d}.{name}": pixel for i in range(count // 3) for name in "RGB"}
        return make(tmp_path / f"{count}.exr", layers)

    assert len(exr.read(file(900), part="layer00007").part.channels) == 900
    for count in (1200, 6000):
        with pytest.raises(FrameError, match="channel"):
            exr.read(file(count))


@pytest.mark.parametrize("compression", ["ZIP", "PIZ", "RLE", "ZSTD", "HTJ2K256", "DWAB"])
def test_black_frames_are_small_and_true(tmp_path, compression):
    """A whole black frame in a few kilobytes is no lie."""
    black = {name: np.zeros((1080, 2048), np.float16) for name in "RGB"}
    source = make(tmp_path / "a.exr", black, compression=getattr(OpenEXR, f"{compression}_COMPRESSION"))
    assert not exr.read(source).rgb.any()


def test_the_largest_plates_are_within_the_limit(tmp_path):
    """16384 x 8192, RGBA, float: only the header is read."""
    pixels = {name: np.zeros((24, 36), np.float32) for name in "RGBA"}
    source = claiming(make(tmp_path / "a.exr", pixels), 16_384, 8_192)
    os.truncate(source, 600 * MEGABYTE)
    assert exr.probe(source).parts[0].data_window.width == 16_384


def test_a_subsampled_part_behind_the_first_is_not_overlooked(tmp_path):
    parts: list[tuple[dict[str, Any], dict[str, Any]]] = [({"name": name}, rgb_bits()) for name in ("rgba", "chroma")]
    source = make_parts(tmp_path / "a.exr", parts)
    data = source.read_bytes()
    at = data.rindex(b"chlist\0")
    sampled = data[:at] + data[at:].replace(struct.pack("<2i", 1, 1), struct.pack("<2i", 2, 2), 1)
    source.write_bytes(sampled)
    with pytest.raises((PlateError, FrameError), match=r"subsampled|part 1"):
        exr.read(source)
