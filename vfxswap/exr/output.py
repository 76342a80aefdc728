"""The file itself: whole or not at all, and looked at before it gets its name."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio  # noqa: N813

from vfxswap import atomic
from vfxswap.errors import FrameError, OutputError, ResourceError, VfxSwapError
from vfxswap.exr import scratch
from vfxswap.exr.fingerprints import Fingerprint, fingerprint
from vfxswap.exr.headers import compression
from vfxswap.exr.raster import Raster
from vfxswap.exr.reading import error_text, open_reader

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS)
_BAND_BYTES = 16 << 20
_BAND_ROWS = 64
"""Bands are whole multiples of this, so that no compressed block of up to 64 rows is cut."""

Output = tuple[Any, Raster | None]
"""An ImageSpec and its pixels; None means the part is copied from the source file."""


Record = Callable[[Fingerprint], None]
"""Told what a file is once it is whole, right before it gets its name. Where it raises, the file does not appear."""


def write_file(path: Path, parts: Sequence[Output], *, source: Path | None, record: Record | None = None) -> list[str]:
    """Write `parts` atomically, those without pixels copied from `source`; returns what was lost, in words.

    Files of a sequence come one after the other: whoever begins one sweeps the folder, `atomic.sweep`.
    """
    with atomic.replacing(path, swept=True) as temporary:
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
        notes = _check(path, temporary, parts)
        if record is not None:
            record(fingerprint(temporary, rasters=[raster for _, raster in parts]))
        return notes


def _write_parts(writer: Any, name: str, parts: Sequence[Output], source: Path | None) -> bool:
    specs = tuple(spec for spec, _ in parts)
    if not writer.open(name, specs if len(specs) > 1 else specs[0]):
        return False
    for index, (spec, raster) in enumerate(parts):
        if index and not writer.open(name, spec, "AppendSubimage"):
            return False
        if raster is not None:
            if not _write_pixels(writer, spec, raster):
                return False
        elif source is not None and not _copy_part(writer, source, index):
            return False
    return True


def _write_pixels(writer: Any, spec: Any, raster: Raster) -> bool:
    if not spec.tile_width and scratch.fits(raster):
        with scratch.opened(raster) as reader:
            if reader is not None:
                return bool(writer.copy_image(reader))
    return _write_bands(writer, spec, raster)


def _write_bands(writer: Any, spec: Any, raster: Raster) -> bool:
    for top, bottom in _bands(spec, raster):
        band = np.ascontiguousarray(raster.band(top, bottom))
        if spec.tile_width:
            ends = (spec.x, spec.x + spec.width, spec.y + top, spec.y + bottom, 0, 1)
            written = writer.write_tiles(*ends, band)
        else:
            written = writer.write_scanlines(spec.y + top, spec.y + bottom, 0, band)
        if not written:
            return False
    return True


def _bands(spec: Any, raster: Raster) -> list[tuple[int, int]]:
    """(top, bottom) of the bands in the order in which they must be written."""
    row_bytes = raster.width * len(raster.names) * (2 if set(raster.formats) == {"half"} else 4)
    fitting = _BAND_BYTES // row_bytes
    decreasing = not spec.tile_width and spec.get_string_attribute("openexr:lineOrder") == "decreasingY"
    unit = spec.tile_height or _BAND_ROWS
    # OpenImageIO hands OpenEXR at most 16 MiB at once, from the top down: in a file that is written from the bottom
    # up a band must not be larger.
    rows = max(1, fitting) if decreasing else max(1, fitting // unit) * unit
    bands = [(top, min(top + rows, raster.height)) for top in range(0, raster.height, rows)]
    return bands[::-1] if decreasing else bands


def _copy_part(writer: Any, source: Path, index: int) -> bool:
    reader = open_reader(source, None)
    try:
        if not reader.seek_subimage(index, 0):
            raise FrameError("the plate's file changed while it was worked on", path=source, hint="run again")
        if writer.copy_image(reader):
            return True
        if reader.read_image(index, 0, 0, reader.spec().nchannels, oiio.UNKNOWN) is None:
            hint = "render or copy it again"
            raise FrameError(f"corrupt or truncated EXR: part {index}", path=source, hint=hint)
        return False
    finally:
        reader.close()


def _check(path: Path, temporary: Path, parts: Sequence[Output]) -> list[str]:
    """Look at what was written; returns attributes that did not arrive as they were.

    The ends of every part are read back: a disk that fills up at the last few kilobytes is not reported by close.
    """
    notes: list[str] = []
    reader = oiio.ImageInput.open(str(temporary))
    complete = reader is not None
    if reader is not None:
        for index, (spec, _) in enumerate(parts):
            for row in {spec.y, spec.y + spec.height - 1}:  # either can be the last in the file: see lineOrder
                complete = complete and _row_readable(reader, index, spec, row)
            written = reader.spec(index, 0)
            _check_compression(path, compression(spec), compression(written))
            notes += _differences(_attributes(spec), _attributes(written))
        reader.close()
    if not complete:
        raise _write_error(error_text(reader), path, temporary)
    return notes


def _check_compression(path: Path, wanted: str, found: str) -> None:
    # OpenImageIO takes zip for any name that it does not know.
    if wanted.partition(":")[0] != found:
        raise OutputError(f"no compression {wanted!r} here", path=path, hint="choose zip, zips, piz, rle or none")


def _attributes(spec: Any) -> dict[str, tuple[str, str]]:
    """Types and values of the attributes that belong in a file, not OpenImageIO's notes to itself."""
    return {
        item.name.removeprefix("openexr:"): (str(item.type), str(item.value))
        for item in spec.extra_attribs
        if not item.name.startswith(("oiio:", "thumbnail_")) and item.name not in ("DateTime", "compression")
    }


def _differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    lost = sorted(wanted.keys() - found.keys())
    other = sorted(name for name in wanted.keys() & found.keys() if wanted[name] != found[name])
    notes = [f"attributes that OpenImageIO cannot write: {', '.join(lost)}"] if lost else []
    return notes + ([f"attributes that OpenImageIO writes in another type: {', '.join(other)}"] if other else [])


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
