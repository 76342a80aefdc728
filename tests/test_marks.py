"""The mark of altered pictures: visible, in the metadata, and not in the picture itself."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from vfxswap import marks


def chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    """Type and data of every chunk, checked by its CRC (PNG specification, 5.3)."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    found, at = [], 8
    while at < len(png):
        (size,) = struct.unpack_from(">I", png, at)
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        assert struct.unpack_from(">I", png, at + 8 + size) == (zlib.crc32(kind + data),)
        found.append((kind, data))
        at += size + 12
    return found


@pytest.mark.parametrize("size", [(64, 100), (400, 1280), (2000, 300)])
def test_a_picture_keeps_its_pixels_and_gets_a_line_below(size: tuple[int, int]):
    picture = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    png = marks.altered_png(picture)
    decoded = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    shown = decoded[..., ::-1]
    np.testing.assert_array_equal(shown[: size[0]], picture)
    band = shown[size[0] :].astype(int)
    assert len(band) >= 22
    assert len(band) % 2 == 0, "a movie's frame stays even"
    assert tuple(np.median(band.reshape(-1, 3), axis=0)) == (242, 194, 0), "yellow"
    ink = band.sum(axis=-1) < 200
    assert ink.sum() > 60, "words"
    assert not ink[:, -3:].any(), "that end before the edge"


def test_the_metadata_say_it_too():
    png = marks.altered_png(np.zeros((40, 60, 3), np.uint8))
    found = chunks(png)
    assert [kind for kind, _ in found][:3] == [b"IHDR", b"tEXt", b"iTXt"]
    assert found[-1][0] == b"IEND"
    assert found[1][1] == b"Disclaimer\0ALTERED: face replaced"
    assert found[2][1].startswith(b"XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta")
    assert marks.SOURCE_TYPE.encode() in found[2][1]


def test_pages_say_it():
    assert marks.ALTERED in marks.HTML
    assert "compositeWithTrainedAlgorithmicMedia" in marks.HTML_META
    assert "http" not in marks.HTML + marks.HTML_META


# ------------------------------------------------------------------------------------------- who has to mark

PACKAGE = Path(marks.__file__).parent
FILMED = {"coverage/page.py", "faceset/sheet.py", "faceset/contact_sheet.html"}
"""What shows performers as they were filmed; whatever else makes a picture, movie or page may show a swap."""

WRITERS = re.compile(r"\b(imencode|imwrite|VideoWriter|add_stream|<!DOCTYPE html>)")


def makers() -> dict[str, Path]:
    """The files that make pictures, movies or pages."""
    found = [path for kind in ("*.py", "*.html") for path in PACKAGE.rglob(kind)]
    texts = {path: path.read_text(encoding="utf-8") for path in found}
    return {
        p.relative_to(PACKAGE).as_posix(): p for p, text in texts.items() if WRITERS.search(text) or p.suffix != ".py"
    }


def test_whoever_makes_pictures_of_swaps_marks_them():
    """A package that makes pictures, movies or pages imports `marks`, or is known to show nothing altered."""
    assert set(makers()) >= FILMED
    for name, path in makers().items():
        if name in FILMED or name == "marks.py":
            continue
        beside = path.parent.glob("*.py") if path.parent != PACKAGE else [path]
        marked = any(re.search(r"import .*\bmarks\b|vfxswap\.marks", one.read_text(encoding="utf-8")) for one in beside)
        assert marked, f"{name} shows swaps without their mark: see the docstring of vfxswap/marks.py"


def test_pages_say_it_first():
    """Of the training page: the mark is what its body begins with, and its head has the mark for machines."""
    text = (PACKAGE / "train" / "training_page.html").read_text(encoding="utf-8")
    head, _, body = text.partition("<body>")
    assert "$altered_meta" in head
    assert body.lstrip().startswith("$altered\n")
