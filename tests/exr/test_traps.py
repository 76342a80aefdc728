"""The twelve traps of EXR that are easy to fall into, each with a file that springs it.

Every one was seen with OpenImageIO, OpenEXR or OpenCV; none may reach a user of vfxswap.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import OpenImageIO as oiio  # noqa: N813
import pytest

from vfxswap import exr
from vfxswap.errors import FrameError, PlateError, VfxSwapError
from vfxswap.geometry import Window

from .files import H, W, half_bits, make, make_parts, rgb_bits, stereo, uint_bits, witness, write
from .kinds import layout, photo, raw_changes, raw_headers, rewrite


def deep_pixels() -> dict[str, Any]:
    """R, G, B, A, Z with 0 to 2 samples in a pixel."""
    planes: dict[str, Any] = {}
    for name in "RGBAZ":
        plane = np.empty((H, W), object)
        for at in np.ndindex(H, W):
            count = sum(at) % 3
            plane[at] = np.linspace(0.1, 0.9, count).astype(np.float32) if count else None
        planes[name] = plane
    return planes


@pytest.mark.parametrize("storage", [OpenEXR.deepscanline, OpenEXR.deeptile])
def test_trap_1_deep(tmp_path, storage):
    """ImageBuf crashes on it and read_image gives rubbish without an error."""
    source = make(tmp_path / "a.exr", deep_pixels(), **layout("ZIPS", "tiled") | {"type": storage})
    assert exr.probe(source).deep
    for reading in (exr.read, exr.read_channels):
        with pytest.raises(PlateError, match="deep"):
            reading(source)


def test_trap_1_deep_beside_a_picture(tmp_path):
    parts = [({"name": "rgba"}, rgb_bits()), ({"name": "deep", **layout("ZIPS")}, deep_pixels())]
    parts[1][0]["type"] = OpenEXR.deepscanline
    source = make_parts(tmp_path / "a.exr", parts)
    assert [part.deep for part in exr.probe(source).parts] == [False, True]
    with pytest.raises(PlateError, match="deep"):
        exr.read(source)


def with_levels(path: Path, mode: int) -> Any:
    """A tiled file with smaller levels beside the picture: mode 1 is mip, 2 is rip. Returns the first level."""
    spec = oiio.ImageSpec(W, H, 3, oiio.HALF)
    spec.tile_width = spec.tile_height = 16
    spec.attribute("compression", "zip")
    spec.attribute("textureformat", "Plain Texture")
    spec.attribute("openexr:levelmode", mode)
    first = np.random.default_rng(1).random((H, W, 3)).astype(np.float16)
    writer: Any = oiio.ImageOutput.create("openexr")
    assert writer.open(str(path), spec), writer.geterror()
    assert writer.write_image(first)
    width, height = W, H
    while max(width, height) > 1:
        width, height = max(width // 2, 1), max(height // 2, 1)
        spec.width = spec.full_width = width
        spec.height = spec.full_height = height
        assert writer.open(str(path), spec, "AppendMIPLevel"), writer.geterror()
        assert writer.write_image(np.zeros((height, width, 3), np.float16))
    assert writer.close()
    return first


def test_trap_2_mip_levels(tmp_path):
    """Copied with their level mode, one level makes a file that OpenEXR cannot read."""
    first = with_levels(tmp_path / "a.exr", 1)
    assert exr.probe(tmp_path / "a.exr").parts[0].mipmapped
    report = rewrite(tmp_path / "a.exr", tmp_path / "b.exr")
    ((head, channels),) = witness(tmp_path / "b.exr")
    assert "ONE_LEVEL" in head["tiles"]
    assert not {"openexr:levelmode", "openexr:roundingmode", "textureformat", "openexr:chunkCount"} & head.keys()
    for index, name in enumerate("RGB"):
        assert channels[name][1] == first[..., index].tobytes()
    assert "mip or rip levels below the first were dropped" in report.notes


def test_trap_2_rip_levels(tmp_path):
    """OpenEXR's module writes the first level alone, which is the only one that is read."""
    head = layout("ZIP", "tiled")
    head["tiles"].mode = OpenEXR.RIPMAP_LEVELS
    channels = rgb_bits()
    source = make(tmp_path / "a.exr", dict(channels), **head)
    report = rewrite(source, tmp_path / "b.exr")
    ((written, pixels),) = witness(tmp_path / "b.exr")
    assert "ONE_LEVEL" in written["tiles"]
    assert {name: value for name, (_, value) in pixels.items()} == {n: a.tobytes() for n, a in channels.items()}
    assert any("rip levels" in note for note in report.notes)


def test_trap_3_the_aces_container_flag(tmp_path):
    """With it OpenImageIO refuses to write anything but a strict ST 2065-4 file."""
    source = make(tmp_path / "a.exr", rgb_bits() | {"Z": half_bits()}, acesImageContainerFlag=1)
    report = rewrite(source, tmp_path / "b.exr")
    assert "acesImageContainerFlag" not in raw_headers(tmp_path / "b.exr")[0]
    assert any("acesImageContainerFlag" in note for note in report.notes)
    assert exr.read(source).file_color_space == exr.read(tmp_path / "b.exr").file_color_space == "lin_ap0_scene"
    assert witness(source)[0][1] == witness(tmp_path / "b.exr")[0][1]


def test_trap_4_a_date_that_nobody_gave(tmp_path):
    """OpenImageIO writes the time of day, which differs in every run."""
    source = make(tmp_path / "a.exr")
    rewrite(source, tmp_path / "b.exr")
    frame = exr.read(source)
    patch = exr.Patch(frame=frame, window=Window(0, 0, 2, 2), channels={"R": np.zeros((2, 2), np.float16)})
    exr.write_patch(tmp_path / "c.exr", patches=[patch])
    exr.write_channels(tmp_path / "d.exr", channels=rgb_bits())
    for name in "bcd":
        assert not {"capDate", "DateTime"} & raw_headers(tmp_path / f"{name}.exr")[0].keys()


def test_trap_5_attributes_that_are_dropped_or_renamed(tmp_path):
    """What is lost is reported, what is kept has its own name and type; test_attributes.py has every kind."""
    kept = {"floats": [1.5, 2.5, 3.5, 4.5, 5.5], "timeCode": OpenEXR.TimeCode(), "owner": "me"}
    source = make(tmp_path / "a.exr", preview=OpenEXR.PreviewImage(4, 3), **{"jpeg:x": 1}, **kept)
    notes = " ".join(rewrite(source, tmp_path / "b.exr").notes)
    assert raw_changes(source, tmp_path / "b.exr") == {"preview", "jpeg:x"}
    assert "preview" in notes
    assert "jpeg:x" in notes
    for name in ("Software", "ResolutionUnit", "Exif:ImageHistory"):
        assert name not in raw_headers(tmp_path / "b.exr")[0]


def test_trap_6_uint_beside_half(tmp_path):
    """Read together, the numbers of an ID matte become other numbers."""
    ids = {"id": uint_bits(), "coverage": half_bits()}
    with pytest.raises(PlateError, match="uint"):
        exr.read(make(tmp_path / "one_part.exr", rgb_bits() | ids))
    source = make_parts(tmp_path / "two_parts.exr", [({"name": "rgba"}, rgb_bits()), ({"name": "ids"}, dict(ids))])
    rewrite(source, tmp_path / "b.exr")
    assert witness(source) == witness(tmp_path / "b.exr")
    assert witness(tmp_path / "b.exr")[1][1]["id"][1] == ids["id"].tobytes()


def test_trap_7_compressions_that_do_not_exist(tmp_path):
    """OpenImageIO writes zip for a name that it does not know, and says nothing."""
    for name in ("ht256", "htj2k", "zipp", ""):
        with pytest.raises(VfxSwapError, match="compression"):
            exr.write_channels(tmp_path / "a.exr", channels=rgb_bits(), compression=name)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["none", "rle", "zips", "zip", "piz", "pxr24", "htj2k32", "htj2k256", "zstd"])
def test_trap_7_compressions_that_exist_are_what_is_written(tmp_path, name):
    report = exr.write_channels(tmp_path / "a.exr", channels=rgb_bits(), compression=name)
    assert report.compression == name == exr.probe(tmp_path / "a.exr").parts[0].compression
    assert name.replace("none", "no").upper() in witness(tmp_path / "a.exr")[0][0]["compression"]


@pytest.mark.parametrize("storage", ["scanline", "tiled"])
@pytest.mark.parametrize("compression", ["NO", "RLE", "ZIP", "PIZ", "DWAA", "HTJ2K256", "ZSTD"])
def test_trap_8_truncated_files(tmp_path, compression, storage):
    """ImageBuf gives a picture full of rubbish."""
    data = make(tmp_path / "a.exr", photo(), **layout(compression, storage)).read_bytes()
    cut = tmp_path / "cut.exr"
    for length in [*range(1, len(data), 131), len(data) - 1]:
        cut.write_bytes(data[:length])
        with pytest.raises(FrameError):
            exr.read(cut)


def test_trap_8_a_part_is_missing_its_end(tmp_path):
    """The picture itself is whole, but what is written must hold every part."""
    parts = [({"name": "rgba"}, rgb_bits()), ({"name": "ids"}, {"id": uint_bits(), "coverage": half_bits()})]
    source = make_parts(tmp_path / "a.exr", parts)
    source.write_bytes(source.read_bytes()[:-200])
    with pytest.raises(FrameError):
        rewrite(source, tmp_path / "b.exr")
    assert [path.name for path in tmp_path.iterdir()] == ["a.exr"]


def test_trap_8_flipped_bytes_are_refused_or_read_but_never_more(tmp_path):
    """Without a checksum in the format, other numbers where there were numbers cannot be told."""
    data = make(tmp_path / "a.exr", photo(), **layout("NO")).read_bytes()
    bent = tmp_path / "bent.exr"
    for at in range(8, len(data), 37):
        bent.write_bytes(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
        try:
            assert exr.read(bent).pixels[0] is not None
        except VfxSwapError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("value", [65519.0, 65520.0, 1e9, -1e9])
def test_trap_9_more_than_half_can_hold(tmp_path, value):
    """Becomes Inf without a word."""
    frame = exr.read(make(tmp_path / "a.exr"))
    edit = exr.Edit(frame=frame, rgb=np.full((2, 3, 3), value, np.float32), window=Window(4, 5, 3, 2))
    report = exr.write_frame(frame, tmp_path / "b.exr", edits=[edit])
    assert report.clamped == (0 if value == 65519.0 else 18)
    written = exr.read(tmp_path / "b.exr").rgb[5:7, 4:7]
    assert (written == np.float16(np.copysign(exr.HALF_MAX, value))).all()


def test_trap_10_opencv_reads_no_exr(tmp_path):
    """The wheels of OpenCV have OpenEXR switched off: None, or an error, for a good file."""
    source = make(tmp_path / "a.exr", photo())
    code = "import cv2, sys; sys.exit(0 if cv2.imread(sys.argv[1], cv2.IMREAD_UNCHANGED) is None else 7)"
    seen = subprocess.run([sys.executable, "-c", code, str(source)], capture_output=True, text=True, check=False)
    assert seen.returncode in (0, 1)
    assert seen.returncode == 0 or "OpenEXR" in seen.stderr
    frame = exr.read(source)
    for index, name in enumerate("RGB"):
        assert np.array_equal(frame.rgb[..., index], photo()[name])


def test_trap_11_a_lossy_source_loses_at_every_save(tmp_path):
    """Encoded again, nearly every pixel of a dwaa file changes."""
    source = make(tmp_path / "a.exr", photo(200, 150), **layout("DWAA"))
    assert witness(source)[0][1]["R"][1] != photo(200, 150)["R"].tobytes()
    report = rewrite(source, tmp_path / "b.exr")
    rewrite(tmp_path / "b.exr", tmp_path / "c.exr")
    assert report.compression == "zip"
    assert any("dwaa" in note for note in report.notes)
    assert witness(source)[0][1] == witness(tmp_path / "b.exr")[0][1] == witness(tmp_path / "c.exr")[0][1]


def test_trap_12_the_first_picture_is_not_the_main_one(tmp_path):
    """Part 0 is the right eye's here, and what views there are must survive."""
    source = stereo(tmp_path / "a.exr")
    frame = exr.read(source)
    assert (frame.selected, frame.view, frame.part.name) == (2, "left", "rgba_left")
    assert exr.read(source, view="right").selected == 0
    write(frame, tmp_path / "b.exr", np.zeros_like(frame.rgb))
    old, new = witness(source), witness(tmp_path / "b.exr")
    assert [pixels == after for (_, pixels), (_, after) in zip(old, new, strict=True)] == [True, True, False]
    assert [head["view"] for head, _ in new] == ["'right'", "'right'", "'left'"]
    shared_part = rgb_bits() | {f"left.{name}": half_bits() for name in "RGB"}
    source = make(tmp_path / "c.exr", shared_part, multiView=["right", "left"])
    rewrite(source, tmp_path / "d.exr", view="left")
    assert witness(source) == witness(tmp_path / "d.exr")
