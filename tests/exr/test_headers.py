"""Headers of what is written, with the OpenEXR module as an independent witness."""

from __future__ import annotations

from typing import Any

import OpenEXR
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vfxswap import exr
from vfxswap.geometry import Window

from .files import (
    H,
    W,
    all_attributes,
    float_bits,
    half_bits,
    header_changes,
    make,
    rgb_bits,
    witness,
    write,
)


def test_everything_passes_through(tmp_path):
    channels = rgb_bits() | {"A": half_bits(), "Z": float_bits(), "diffuse.R": half_bits()}
    source = make(tmp_path / "a.exr", channels, **all_attributes())
    frame = exr.read(source)
    report = write(frame, tmp_path / "b.exr", frame.rgb)
    assert witness(source) == witness(tmp_path / "b.exr")
    assert report == exr.WriteReport(tmp_path / "b.exr", "zip")
    assert frame.timecode == "12:34:56:17"
    assert frame.file_color_space == "lin_ap1_scene"
    assert frame.pixel_aspect == 2.0


def test_same_frame_same_bytes_and_no_invented_date(tmp_path):
    frame = exr.read(make(tmp_path / "a.exr"))
    for name in "bc":
        write(frame, tmp_path / f"{name}.exr", frame.rgb, hints={"vfxswap:model": "m"})
    assert (tmp_path / "b.exr").read_bytes() == (tmp_path / "c.exr").read_bytes()
    assert "capDate" not in witness(tmp_path / "b.exr")[0][0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.exr", "b.exr", "c.exr"]  # no temporary file left


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.tuples(st.integers(-3000, 3000), st.integers(-3000, 3000)),
    display=st.tuples(st.integers(-500, 500), st.integers(-500, 500), st.integers(1, 4000), st.integers(1, 4000)),
)
def test_windows_survive(tmp_path, data, display):
    x, y, width, height = display
    windows: dict[str, Any] = {
        "dataWindow": (data, (data[0] + W - 1, data[1] + H - 1)),
        "displayWindow": ((x, y), (x + width - 1, y + height - 1)),
    }
    source = make(tmp_path / "a.exr", **windows)
    frame = exr.read(source)
    assert frame.data_window == Window(data[0], data[1], W, H)
    assert frame.display_window == Window(x, y, width, height)
    assert frame.origin_window == Window(data[0] - x, data[1] - y, W, H)
    write(frame, tmp_path / "b.exr", frame.rgb)
    assert witness(source) == witness(tmp_path / "b.exr")


def test_tiles_stay_tiles(tmp_path):
    source = make(tmp_path / "a.exr", type=OpenEXR.tiledimage, tiles=OpenEXR.TileDescription())
    frame = exr.read(source)
    assert frame.part.tiled
    write(frame, tmp_path / "b.exr", frame.rgb)
    assert witness(source) == witness(tmp_path / "b.exr")


@pytest.mark.parametrize("name", ["NO", "RLE", "ZIPS", "PIZ", "PXR24"])
def test_lossless_compression_is_kept(tmp_path, name):
    source = make(tmp_path / "a.exr", compression=getattr(OpenEXR, f"{name}_COMPRESSION"))
    frame = exr.read(source)
    assert not frame.info.lossy
    write(frame, tmp_path / "b.exr", frame.rgb)
    assert witness(source) == witness(tmp_path / "b.exr")


@pytest.mark.parametrize("name", ["B44", "B44A", "DWAA", "DWAB"])
def test_lossy_compression_becomes_zip(tmp_path, name):
    source = make(tmp_path / "a.exr", compression=getattr(OpenEXR, f"{name}_COMPRESSION"))
    frame = exr.read(source)
    assert frame.info.lossy
    report = write(frame, tmp_path / "b.exr", frame.rgb)
    assert report.compression == "zip"
    assert name.lower() in report.notes[0]
    assert header_changes(source, tmp_path / "b.exr") == {"compression"}
    assert witness(source)[0][1] == witness(tmp_path / "b.exr")[0][1]


def test_what_cannot_be_kept_is_reported(tmp_path):
    source = make(tmp_path / "a.exr", acesImageContainerFlag=1, preview=OpenEXR.PreviewImage(2, 2), **{"jpeg:x": "y"})
    frame = exr.read(source)
    assert frame.file_color_space == "lin_ap0_scene"
    notes = " ".join(write(frame, tmp_path / "b.exr", frame.rgb).notes)
    for lost in ("acesImageContainerFlag", "preview", "jpeg:x"):
        assert lost in notes
    assert header_changes(source, tmp_path / "b.exr") <= {
        "acesImageContainerFlag", "preview", "jpeg:x", "colorInteropID",
    }  # fmt: skip
