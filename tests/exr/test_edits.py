"""Several pictures of one file changed, layers over a window, and several patches in one file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest

from vfxswap import exr
from vfxswap.errors import OutputError, ResourceError
from vfxswap.exr import scratch
from vfxswap.exr.raster import Raster
from vfxswap.geometry import Window

from .files import (
    RNG,
    H,
    W,
    disk_limit,
    float_bits,
    half_bits,
    header_changes,
    make,
    make_parts,
    rgb_bits,
    stereo,
    witness,
)

BOX = Window(5, 6, 7, 4)
NOWHERE = Window(0, 0, 0, 0)


def edit(frame: exr.Frame, level: float, window: Window = BOX, **layers: Any) -> exr.Edit:
    rgb = np.full((window.height, window.width, 3), level, frame.dtype)
    return exr.Edit(frame=frame, rgb=rgb, window=window, layers={k.replace("_", "."): v for k, v in layers.items()})


def planes(path: Path, part: int = 0) -> dict[str, Any]:
    return {k: c.pixels for k, c in OpenEXR.File(str(path), separate_channels=True).parts[part].channels.items()}


def inside(plane: Any, window: Window = BOX) -> Any:
    return plane[window.slices(Window(0, 0, W, H))]


def multi_view(path: Path) -> Path:
    return make(path, rgb_bits() | {f"right.{name}": half_bits() for name in "RGB"}, multiView=["left", "right"])


# ----------------------------------------------------------------------------------------------- edits


@pytest.mark.parametrize(("maker", "parts"), [(stereo, (2, 0)), (multi_view, (0, 0))])
def test_both_views_in_one_file(tmp_path, maker, parts):
    source = maker(tmp_path / "a.exr")
    frame = exr.read(source)
    edits = [edit(frame, 0.25), edit(frame.seen("right"), 0.75)]
    exr.write_frame(frame, tmp_path / "b.exr", edits=edits, hints={"vfxswap:job": "x"})
    whole = [exr.read(tmp_path / "b.exr", view=view) for view in ("left", "right")]
    for found, level, part in zip(whole, (0.25, 0.75), parts, strict=True):
        assert (inside(found.rgb) == level).all()
        before = np.array(exr.read(source, view=found.view).rgb)
        before[BOX.slices(found.origin_window)] = level
        assert found.rgb.tobytes() == before.tobytes()
        assert header_changes(source, tmp_path / "b.exr", part) == {"vfxswap:job"}
    for index in {0, 1, 2} - set(parts) if maker is stereo else ():
        assert witness(source)[index] == witness(tmp_path / "b.exr")[index]


def test_layers_are_named_for_their_view(tmp_path):
    layer = np.full((BOX.height, BOX.width), 0.5, np.float16)
    shared = exr.read(multi_view(tmp_path / "a.exr"))
    edits = [edit(view, 0.25, face_R=layer) for view in (shared, shared.seen("right"))]
    exr.write_frame(shared, tmp_path / "b.exr", edits=edits)
    assert {"face.R", "face.right.R"} <= planes(tmp_path / "b.exr").keys()
    apart = exr.read(stereo(tmp_path / "c.exr"))
    edits = [edit(view, 0.25, face_R=layer) for view in (apart, apart.seen("right"))]
    exr.write_frame(apart, tmp_path / "d.exr", edits=edits)
    assert ["face.R" in planes(tmp_path / "d.exr", part) for part in range(3)] == [True, False, True]


@pytest.mark.parametrize("depth", [np.float16, np.float32])
@pytest.mark.parametrize("tiled", [False, True])
def test_layers_are_zero_around_the_window(tmp_path, depth, tiled):
    storage = {"type": OpenEXR.tiledimage, "tiles": OpenEXR.TileDescription()} if tiled else {}
    source = make(tmp_path / "a.exr", **storage)
    frame = exr.read(source)
    bits = half_bits() if depth is np.float16 else float_bits()
    layer = inside(bits)
    exr.write_frame(frame, tmp_path / "b.exr", edits=[edit(frame, 0.5, stmap_u=layer, face_R=inside(half_bits()))])
    found = planes(tmp_path / "b.exr")
    expected = np.zeros((H, W), depth)
    inside(expected)[...] = layer
    assert (found["stmap.u"].dtype, found["stmap.u"].tobytes()) == (depth, expected.tobytes())
    assert found["face.R"].dtype == np.float16
    picture = planes(source)["R"]
    inside(picture)[...] = 0.5
    assert found["R"].tobytes() == picture.tobytes()


def test_an_empty_window_changes_nothing_but_brings_its_layers(tmp_path):
    source = make(tmp_path / "a.exr")
    frame = exr.read(source)
    nothing: dict[str, Any] = {"face.R": np.zeros((0, 0), np.float16), "stmap.u": np.zeros((0, 0), np.float32)}
    for window in (NOWHERE, Window(-50, 900, 0, 0)):
        empty = exr.Edit(frame=frame, rgb=np.zeros((0, 0, 3), np.float16), window=window, layers=nothing)
        exr.write_frame(frame, tmp_path / "b.exr", edits=[empty])
        found = planes(tmp_path / "b.exr")
        assert {name: found[name].dtype.name for name in nothing} == {"face.R": "float16", "stmap.u": "float32"}
        assert not any(found[name].any() for name in nothing)
        assert {name: found[name].tobytes() for name in "RGB"} == {
            name: plane.tobytes() for name, plane in planes(source).items()
        }


def test_no_edits_is_the_plate(tmp_path):
    source = stereo(tmp_path / "a.exr")
    exr.write_frame(exr.read(source), tmp_path / "b.exr", edits=[])
    assert witness(source) == witness(tmp_path / "b.exr")
    exr.write_frame(exr.read(source), tmp_path / "c.exr", edits=[], hints={"vfxswap:altered": "0"})
    assert [len(header_changes(source, tmp_path / "c.exr", part)) for part in range(3)] == [0, 0, 1]


def test_later_edits_lie_on_top(tmp_path):
    frame = exr.read(make(tmp_path / "a.exr", rgb_bits() | {"matte.face": half_bits()}))
    second = BOX.moved(3, 2)
    ones = np.ones((BOX.height, BOX.width), np.float16)
    edits = [edit(frame, 0.25, matte_face=ones), edit(frame, 0.75, second, matte_face=ones * 2)]
    report = exr.write_frame(frame, tmp_path / "b.exr", edits=edits)
    found = planes(tmp_path / "b.exr")
    assert (inside(found["R"], second) == 0.75).all()
    assert inside(found["R"])[0, 0] == 0.25
    matte = np.zeros((H, W), np.float16)
    inside(matte)[...] = 1
    inside(matte, second)[...] = 2
    assert np.array_equal(found["matte.face"], matte)
    assert report.notes == ("the plate's own matte.face was replaced",)


def test_a_layer_of_the_plate_changes_its_format(tmp_path):
    frame = exr.read(make(tmp_path / "a.exr", rgb_bits() | {"stmap.u": half_bits(), "Z": half_bits()}))
    layer = inside(float_bits())
    exr.write_frame(frame, tmp_path / "b.exr", edits=[edit(frame, 0.5, stmap_u=layer)])
    found = planes(tmp_path / "b.exr")
    assert inside(found["stmap.u"]).tobytes() == layer.tobytes()
    assert found["Z"].dtype == np.float16
    # And back: what float held there does not fit into half.
    frame = exr.read(make(tmp_path / "c.exr", rgb_bits() | {"stmap.u": np.full((H, W), 1e9, np.float32)}))
    exr.write_frame(frame, tmp_path / "d.exr", edits=[edit(frame, 0.5, stmap_u=inside(half_bits()))])
    assert planes(tmp_path / "d.exr")["stmap.u"].dtype == np.float16


def test_edits_that_cannot_be(tmp_path):
    frame = exr.read(make(tmp_path / "a.exr"))
    other = exr.read(make(tmp_path / "other.exr"))
    shape = (BOX.height, BOX.width)
    half, single = np.zeros(shape, np.float16), np.zeros(shape, np.float32)
    cases: dict[str, list[exr.Edit]] = {
        r"an edit of .*other\.exr": [edit(other, 0.5)],
        "shape": [edit(frame, 0.5, Window(-1, 0, 7, 4))],
        "float64": [exr.Edit(frame=frame, rgb=np.zeros((*shape, 3)), window=BOX)],
        r"layer face\.R is float16 \(24, 36\)": [edit(frame, 0.5, face_R=half_bits())],
        r"layer face\.R is float64": [edit(frame, 0.5, face_R=np.zeros(shape))],
        "layer R is the picture": [edit(frame, 0.5, R=half)],
        "half in one edit": [edit(frame, 0.5, face_R=half), edit(frame, 0.5, face_R=single)],
    }
    for message, edits in cases.items():
        with pytest.raises(OutputError, match=message):
            exr.write_frame(frame, tmp_path / "b.exr", edits=edits)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.exr", "other.exr"]


# ------------------------------------------------------------------------------------ mixed formats


@pytest.mark.parametrize("order", [OpenEXR.INCREASING_Y, OpenEXR.DECREASING_Y])
def test_one_raster_one_file_whichever_way_it_is_written(tmp_path, monkeypatch, order):
    """By way of memory where the system can (in bands elsewhere): the same bytes, also where bands are many."""
    size = {"dataWindow": ((-3, 4), (1196, 1603)), "displayWindow": ((0, 0), (9, 9))}
    rgb = {name: RNG.integers(0, 2**16, (1600, 1200), dtype=np.uint16).view(np.float16) for name in "RGB"}
    source = make(tmp_path / "a.exr", rgb, compression=OpenEXR.ZIPS_COMPRESSION, lineOrder=order, **size)
    frame = exr.read(source)
    window = Window(100, 500, 300, 700)
    bits = RNG.integers(0, 2**32, (700, 300), dtype=np.uint32).view(np.float32)
    several = edit(frame, 0.5, window, stmap_u=bits, stmap_v=bits[::-1], face_R=np.ones((700, 300), np.float16))
    exr.write_frame(frame, tmp_path / "b.exr", edits=[several])
    monkeypatch.setattr(scratch, "fits", lambda raster: False)
    exr.write_frame(frame, tmp_path / "c.exr", edits=[several])
    assert (tmp_path / "b.exr").read_bytes() == (tmp_path / "c.exr").read_bytes()
    found = planes(tmp_path / "b.exr")
    where = window.slices(frame.origin_window)
    assert found["stmap.v"][where].tobytes() == np.ascontiguousarray(bits[::-1]).tobytes()
    assert np.count_nonzero(found["face.R"]) == 700 * 300
    expected = np.array(frame.rgb[..., 1])
    expected[where] = 0.5
    assert found["G"].tobytes() == expected.tobytes()


def test_a_full_disk_leaves_nothing_of_mixed_formats_either(tmp_path):
    frame = exr.read(make(tmp_path / "a.exr"))
    mixed = edit(frame, 0.5, stmap_u=inside(float_bits()))
    exr.write_frame(frame, tmp_path / "b.exr", edits=[mixed])
    size = (tmp_path / "b.exr").stat().st_size
    (tmp_path / "b.exr").unlink()
    for limit in (0, 500, size // 2, size - 1):  # it holds for files in memory, too
        with disk_limit(limit), pytest.raises(ResourceError):
            exr.write_frame(frame, tmp_path / "b.exr", edits=[mixed])
        assert [path.name for path in tmp_path.iterdir()] == ["a.exr"]
    with disk_limit(size):
        exr.write_frame(frame, tmp_path / "b.exr", edits=[mixed])


def test_what_memory_cannot_hold_goes_in_bands():
    half = Raster(16384, 8192, list("RGBZ"), ["half"] * 4)
    assert not scratch.fits(half)  # needs no converting
    half.formats[3] = "float"
    assert not scratch.fits(half)
    assert scratch.fits(Raster(4096, 2160, list("RGBZ"), half.formats)) == hasattr(os, "memfd_create")


# ---------------------------------------------------------------------------------------------- patches


def stereo_patches(path: Path) -> list[exr.Patch]:
    left = exr.read(multi_view(path))
    windows = BOX, BOX.moved(-3, 1).grow(1)
    return [
        exr.Patch(
            frame=frame,
            window=window,
            channels={name: np.full((window.height, window.width), 0.5, np.float16) for name in "RGBA"},
        )
        for frame, window in zip((left, left.seen("right")), windows, strict=True)
    ]


def test_a_patch_for_each_view(tmp_path):
    patches = stereo_patches(tmp_path / "a.exr")
    exr.write_patch(tmp_path / "b.exr", patches=patches, hints={"vfxswap:altered": "1"})
    info = exr.probe(tmp_path / "b.exr")
    assert [(part.name, part.view) for part in info.parts] == [("rgba.left", "left"), ("rgba.right", "right")]
    assert info.views == ("left", "right")
    for part, patch in zip(info.parts, patches, strict=True):
        assert part.data_window == patch.window  # the plate's display window begins at (0, 0)
        assert part.display_window == patch.frame.display_window
        assert part.attributes["vfxswap:altered"] == "1"
        assert "multiView" not in part.attributes
    assert exr.read(tmp_path / "b.exr", view="right").origin_window == patches[1].window
    assert witness(tmp_path / "b.exr")[1][1]["A"][0] == "float16"


def test_patches_of_one_view_get_names_of_their_own(tmp_path):
    first, second = stereo_patches(tmp_path / "a.exr")
    exr.write_patch(tmp_path / "b.exr", patches=[first, second, first])
    assert [part.name for part in exr.probe(tmp_path / "b.exr").parts] == ["rgba.left", "rgba.right", "rgba.left.2"]
    exr.write_patch(tmp_path / "c.exr", patches=[first])
    assert len(exr.probe(tmp_path / "c.exr").parts) == 1


def test_patches_of_parts_with_their_own_view(tmp_path):
    left = exr.read(stereo(tmp_path / "a.exr"))
    channels = {"R": np.zeros((BOX.height, BOX.width), np.float32)}
    patches = [exr.Patch(frame=frame, window=BOX, channels=channels) for frame in (left, left.seen("right"))]
    exr.write_patch(tmp_path / "b.exr", patches=patches)
    found = [(part.name, part.view) for part in exr.probe(tmp_path / "b.exr").parts]
    assert found == [("rgba.left", "left"), ("rgba.right", "right")]


def test_patches_that_cannot_be(tmp_path):
    frame = exr.read(make(tmp_path / "a.exr"))
    empty = exr.Patch(frame=frame, window=NOWHERE, channels={"R": np.zeros((0, 0), np.float16)})
    with pytest.raises(OutputError, match="empty patch"):
        exr.write_patch(tmp_path / "b.exr", patches=[empty])
    with pytest.raises(OutputError, match="no patches"):
        exr.write_patch(tmp_path / "b.exr", patches=[])
    with pytest.raises(OutputError, match="the plate itself"):
        exr.write_patch(tmp_path / "a.exr", patches=[exr.Patch(frame=frame, window=BOX, channels={})])


# ------------------------------------------------------------------------------------------------ seen


def test_another_view_of_the_same_buffers(tmp_path):
    left = exr.read(stereo(tmp_path / "a.exr"))
    right = left.seen("right")
    assert (left.view, right.view, right.selected) == ("left", "right", 0)
    assert right.pixels is left.pixels
    assert right.specs is left.specs
    assert right.rgb.tobytes() == exr.read(tmp_path / "a.exr", view="right").rgb.tobytes()
    assert right.seen("left").rgb.tobytes() == left.rgb.tobytes()


def test_another_view_of_the_part_that_was_asked_for(tmp_path):
    names = [f"{layer}.{view}" for layer in ("rgba", "diffuse") for view in ("left", "right")]
    heads = [{"name": name, "view": name.partition(".")[2]} for name in names]
    source = make_parts(tmp_path / "a.exr", [(head, rgb_bits()) for head in heads])
    assert exr.read(source).seen("right").part.name == "rgba.right"
    assert exr.read(source, part="diffuse").seen("right").part.name == "diffuse.right"
    assert exr.read(source, part="diffuse.left").seen("right").part.name == "diffuse.right"
    channels = {f"{prefix}{name}": half_bits() for prefix in ("", "right.", "L.", "L.right.") for name in "RGB"}
    layered = make(tmp_path / "b.exr", channels, multiView=["left", "right"])
    frame = exr.read(layered, part="L").seen("right")
    assert (frame.layer, frame.view) == ("L", "right")
    assert frame.rgb[..., 0].tobytes() == channels["L.right.R"].pixels.tobytes()
