"""Reading: what is refused, what of a file that is damaged, and files from the wild."""

from __future__ import annotations

import pytest

from vfxswap import exr
from vfxswap.errors import FrameError, PlateError

from .files import (
    corpus,
    half_bits,
    make,
)


def test_refused_by_name(tmp_path):
    cases = {"empty": b"", "text": b"hello world", "header": b"\x76\x2f\x31\x01\x02\0\0\0chan"}
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(FrameError, match="0 bytes"):
        exr.read(tmp_path / "empty")
    with pytest.raises(PlateError, match="not an EXR"):
        exr.read(tmp_path / "text")
    with pytest.raises(FrameError, match="corrupt"):
        exr.read(tmp_path / "header")
    with pytest.raises(FrameError, match=r"not found.*frame 7"):
        exr.read(tmp_path / "nope.exr", frame=7)
    with pytest.raises(PlateError, match="folder"):
        exr.probe(tmp_path)
    with pytest.raises(PlateError, match="no R, G, B channels, only Y"):
        exr.read(make(tmp_path / "y.exr", {"Y": half_bits()}))


def test_truncated_at_any_length(tmp_path):
    data = make(tmp_path / "a.exr").read_bytes()
    cut = tmp_path / "cut.exr"
    for length in [*range(4, len(data), 97), len(data) - 1]:
        cut.write_bytes(data[:length])
        with pytest.raises(FrameError):
            exr.read(cut)


def test_corpus_beachball(shared):
    folder = corpus(shared, "Beachball/multipart.0001.exr")[0].parent
    info = exr.probe(folder / "multipart.0001.exr")
    assert len(info.parts) == 10
    assert info.views == ("left", "right")
    assert exr.read(folder / "multipart.0001.exr").part.name == "rgba_left"
    single = folder / "singlepart.0001.exr"
    assert (exr.read(single).view, exr.read(single, view="left").view) == ("right", "left")


def test_corpus_damaged_files_are_refused_not_crashed_on(shared):
    outcomes = []
    for source in corpus(shared, "Damaged/*"):
        try:
            exr.read(source)
        except PlateError as error:
            outcomes.append(type(error).__name__)
        else:
            outcomes.append("read")
    assert outcomes.count("read") == 0
    assert outcomes.count("FrameError") > 50


def test_corpus_kinds_that_are_refused(shared):
    deep, luma = corpus(shared, "v2/deep_Balls.exr", "luminance_chroma_CrissyField.exr")[::-1]
    with pytest.raises(PlateError, match="deep"):
        exr.read(deep)
    assert exr.probe(deep).deep
    with pytest.raises(PlateError, match="luma/chroma"):
        exr.read(luma)
