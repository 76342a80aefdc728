"""Every compression and storage there is, written again without a change of a bit; OpenEXR's module is the witness."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest

from vfxswap import exr
from vfxswap.errors import PlateError
from vfxswap.geometry import Window

from .files import H, W, float_bits, half_bits, make, make_parts, rgb_bits, uint_bits, witness, write
from .kinds import LOSSLESS, LOSSY, STORAGE, layout, photo, pixels_of, raw_changes, rewrite

each_storage = pytest.mark.parametrize("storage", STORAGE)
each_kind = pytest.mark.parametrize("kind", ["half", "float", "mixed"])


def assert_same(source: Path, target: Path, *, changed: frozenset[str] = frozenset()) -> None:
    """Pixels of every part are the same bits and headers the same bytes, but for the names in `changed`."""
    old, new = witness(source), witness(target)
    assert len(old) == len(new)
    for index, ((_, before), (_, after)) in enumerate(zip(old, new, strict=True)):
        assert before.keys() == after.keys(), index
        assert [name for name in before if before[name] != after[name]] == [], index
        assert raw_changes(source, target, index) == changed, index


def test_every_compression_is_in_these_tests():
    known = {name.removesuffix("_COMPRESSION") for name in dir(OpenEXR) if name.endswith("_COMPRESSION")}
    assert known == {*LOSSLESS, *LOSSY, "PXR24", "LJ2K"}


# ------------------------------------------------------------------------------------------- lossless


@each_kind
@each_storage
@pytest.mark.parametrize("compression", LOSSLESS)
def test_lossless_keeps_every_bit(tmp_path, compression, storage, kind):
    channels = pixels_of(kind)
    source = make(tmp_path / "a.exr", dict(channels), **layout(compression, storage))
    report = rewrite(source, tmp_path / "b.exr")
    assert_same(source, tmp_path / "b.exr")
    written = witness(tmp_path / "b.exr")[0][1]
    assert {name: pixels for name, (_, pixels) in written.items()} == {n: a.tobytes() for n, a in channels.items()}
    assert (report.notes, report.clamped) == ((), 0)
    assert report.compression == {"NO": "none"}.get(compression, compression.lower())
    assert exr.probe(tmp_path / "b.exr").parts[0].tiled == (storage == "tiled")


@each_kind
@each_storage
def test_pxr24_is_kept_and_loses_nothing_more(tmp_path, storage, kind):
    """Half is exact in it; float was cut to 24 bits when the source was written, and cutting again changes nothing."""
    source = make(tmp_path / "a.exr", pixels_of(kind), **layout("PXR24", storage))
    assert rewrite(source, tmp_path / "b.exr").compression == "pxr24"
    assert_same(source, tmp_path / "b.exr")


@pytest.mark.parametrize("compression", [name for name in (*LOSSLESS, "PXR24") if name != "NO"])
def test_blocks_that_do_not_divide_the_picture(tmp_path, compression):
    """More rows than the largest block (256), and not a multiple of any."""
    channels = {name: np.resize(half_bits(), (523, 7)) for name in "RGB"}
    source = make(tmp_path / "a.exr", channels, **layout(compression))
    rewrite(source, tmp_path / "b.exr")
    assert_same(source, tmp_path / "b.exr")


@pytest.mark.parametrize("compression", ["ZIP", "HTJ2K256", "ZSTD"])
@each_storage
def test_pictures_too_large_to_be_written_at_once(tmp_path, compression, storage):
    """30 MB of pixels go to the file in several pieces, which must not cut a compressed block."""
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 2**16, (65, 4100), dtype=np.uint16).view(np.float16)
    channels = {name: np.resize(noise, (1230, 4100)) for name in "RGB"}
    source = make(tmp_path / "a.exr", channels, **layout(compression, storage, tile=(400, 300)))
    rewrite(source, tmp_path / "b.exr")
    assert_same(source, tmp_path / "b.exr")


# ---------------------------------------------------------------------------------------------- lossy


@each_storage
@pytest.mark.parametrize("compression", LOSSY)
def test_lossy_is_written_as_zip_and_loses_nothing_more(tmp_path, compression, storage):
    made = photo(200, 150)  # codecs keep small blocks that they cannot make smaller
    source = make(tmp_path / "a.exr", dict(made), **layout(compression, storage, tile=(64, 64)))
    held = witness(source)[0][1]
    assert all(held[name][1] != made[name].tobytes() for name in "RGB")  # else it shows nothing
    assert exr.probe(source).lossy
    report = rewrite(source, tmp_path / "b.exr")
    assert report.compression == "zip"
    (note,) = report.notes
    assert compression.lower() in note
    assert_same(source, tmp_path / "b.exr", changed=frozenset({"compression"}))


@pytest.mark.parametrize("read", [exr.probe, exr.read, exr.read_channels, exr.check])
def test_lossy_jpeg_2000_is_refused_by_name(tmp_path, read):
    """Its decoder writes behind its memory on some damaged files: docs/decisions/0005-damaged-files.md."""
    source = make_parts(
        tmp_path / "a.exr", [({"name": "a", **layout("ZIP")}, photo()), ({"name": "b", **layout("LJ2K")}, photo())]
    )
    with pytest.raises(PlateError, match="lj2k"):
        read(source)


def test_every_lossy_part_is_written_as_zip(tmp_path):
    """Parts that nobody touched are encoded again too, so they are held to the same rule."""
    parts = [
        ({"name": "rgba", **layout("PIZ")}, photo()),
        ({"name": "diffuse", **layout("DWAB")}, photo()),
        ({"name": "depth", **layout("PXR24")}, {"Z": float_bits()}),
        ({"name": "ids", **layout("ZSTD")}, {"id": uint_bits()}),
    ]
    source = make_parts(tmp_path / "a.exr", parts)
    report = rewrite(source, tmp_path / "b.exr")
    old, new = witness(source), witness(tmp_path / "b.exr")
    assert [pixels for _, pixels in old] == [pixels for _, pixels in new]
    assert [raw_changes(source, tmp_path / "b.exr", part) for part in range(4)] == [
        set(),
        {"compression"},
        set(),
        set(),
    ]
    assert report.compression == "piz"
    assert "dwab" in report.notes[0]


# -------------------------------------------------------------------------------------- parts and views


@each_storage
@pytest.mark.parametrize("compression", [*LOSSLESS, "PXR24"])
def test_parts_of_every_kind(tmp_path, compression, storage):
    how = layout(compression, storage)
    parts = [
        ({"name": "rgba.left", "view": "left", **how}, rgb_bits() | {"A": half_bits()}),
        ({"name": "rgba.right", "view": "right", **how}, rgb_bits()),
        ({"name": "depth.left", "view": "left", **how}, {"Z": float_bits()}),
        ({"name": "layers", "view": "left", **how}, pixels_of("mixed")),
        ({"name": "ids", "view": "left", **how}, {"id": uint_bits()}),
        ({"name": "cryptomatte", "view": "left", **how}, {f"crypto00.{name}": float_bits() for name in "rgba"}),
    ]
    source = make_parts(tmp_path / "a.exr", parts)
    for view in ("left", "right"):
        rewrite(source, tmp_path / f"{view}.exr", part="rgba", view=view)
        assert_same(source, tmp_path / f"{view}.exr")


@pytest.mark.parametrize("compression", LOSSLESS)
def test_uint_beside_half_in_another_part(tmp_path, compression):
    """OpenImageIO cannot hold these together, so the part is copied, never held."""
    source = make_parts(
        tmp_path / "a.exr",
        [
            ({"name": "rgba", **layout("ZIP")}, rgb_bits()),
            ({"name": "ids", **layout(compression)}, {"id": uint_bits(), "coverage": half_bits(), "Z": float_bits()}),
        ],
    )
    rewrite(source, tmp_path / "b.exr")
    assert_same(source, tmp_path / "b.exr")


@each_storage
def test_views_and_layers_that_share_a_part(tmp_path, storage):
    names = [*"RGBA", "Z", "left.R", "left.G", "left.B", "diffuse.R", "diffuse.left.R", "ViewLayer.Crypto00.r"]
    channels = {name: float_bits() if name == "Z" else half_bits() for name in names}
    source = make(tmp_path / "a.exr", channels, multiView=["right", "left"], **layout("PIZ", storage))
    for view in ("left", "right"):
        rewrite(source, tmp_path / f"{view}.exr", view=view)
        assert_same(source, tmp_path / f"{view}.exr")


def test_both_eyes_changed_in_one_file(tmp_path):
    source = make_parts(
        tmp_path / "a.exr",
        [({"name": f"rgba.{view}", "view": view, **layout("ZIPS")}, rgb_bits()) for view in ("left", "right")],
    )
    frame = exr.read(source)
    window = Window(3, 4, 5, 6)
    edits = [
        exr.Edit(frame=frame.seen(view), rgb=np.full((6, 5, 3), value, np.float16), window=window)
        for view, value in (("left", 1.0), ("right", 2.0))
    ]
    exr.write_frame(frame, tmp_path / "b.exr", edits=edits)
    for part, (before, after) in enumerate(zip(parts_of(source), parts_of(tmp_path / "b.exr"), strict=True)):
        for name in "RGB":
            inside = np.s_[4:10, 3:8]
            assert (after[name][inside] == part + 1).all()
            before[name][inside] = after[name][inside]
            assert before[name].tobytes() == after[name].tobytes()


def parts_of(path: Path) -> list[dict[str, Any]]:
    return [
        {name: channel.pixels.copy() for name, channel in part.channels.items()}
        for part in OpenEXR.File(str(path), separate_channels=True).parts
    ]


# -------------------------------------------------------------------------------------------- windows

WINDOWS = {
    "overscan": ((-4, -2), (W + 3, H + 1), (0, 0), (W - 1, H - 1)),
    "smaller than the display": ((7, 5), (7 + W - 1, 5 + H - 1), (0, 0), (99, 59)),
    "negative display": ((-300, -200), (-300 + W - 1, -200 + H - 1), (-310, -210), (-250, -150)),
    "outside the display": ((500, 500), (500 + W - 1, 500 + H - 1), (0, 0), (99, 59)),
    "one pixel": ((-1, -1), (-1, -1), (-5, -5), (5, 5)),
}


@pytest.mark.parametrize("windows", WINDOWS)
@each_storage
@pytest.mark.parametrize("compression", ["ZIP", "PIZ", "HTJ2K256", "ZSTD", "DWAA"])
def test_windows_of_every_kind(tmp_path, compression, storage, windows):
    left, right, low, high = WINDOWS[windows]
    width, height = right[0] - left[0] + 1, right[1] - left[1] + 1
    source = make(
        tmp_path / "a.exr",
        photo(width, height),
        dataWindow=(left, right),
        displayWindow=(low, high),
        pixelAspectRatio=2.0,
        **layout(compression, storage),
    )
    frame = exr.read(source)
    assert frame.origin_window == Window(left[0] - low[0], left[1] - low[1], width, height)
    assert frame.pixel_aspect == 2.0
    rewrite(source, tmp_path / "b.exr")
    assert_same(source, tmp_path / "b.exr", changed=frozenset({"compression"} if compression == "DWAA" else ()))


@each_storage
def test_an_edit_lands_where_it_is_put(tmp_path, storage):
    """In plate coordinates, whatever the windows are, and beside it not a bit changes."""
    windows = functools.partial(dict[str, Any], dataWindow=((-9, 3), (-9 + W - 1, 3 + H - 1)))
    source = make(tmp_path / "a.exr", displayWindow=((-20, -10), (79, 49)), **windows(), **layout("ZIP", storage))
    frame = exr.read(source)
    window = Window(15, 18, 4, 3)  # file coordinates (-5, 8): 4 columns and 5 rows into the data window
    exr.write_frame(
        frame, tmp_path / "b.exr", edits=[exr.Edit(frame=frame, rgb=np.ones((3, 4, 3), np.float16), window=window)]
    )
    (before,), (after,) = parts_of(source), parts_of(tmp_path / "b.exr")
    for name in "RGB":
        assert (after[name][5:8, 4:8] == 1.0).all()
        before[name][5:8, 4:8] = 1.0
        assert before[name].tobytes() == after[name].tobytes()
    assert raw_changes(source, tmp_path / "b.exr") == set()


@pytest.mark.parametrize(
    ("storage", "order"),
    [
        ("scanline", "INCREASING_Y"),
        ("scanline", "DECREASING_Y"),
        ("tiled", "INCREASING_Y"),
        ("tiled", "DECREASING_Y"),
        ("tiled", "RANDOM_Y"),  # for tiles only
    ],
)
def test_line_orders(tmp_path, order, storage):
    source = make(tmp_path / "a.exr", lineOrder=getattr(OpenEXR, order), **layout("ZIP", storage))
    rewrite(source, tmp_path / "b.exr")
    assert_same(source, tmp_path / "b.exr")


@pytest.mark.parametrize("compression", ["ZIP", "PIZ", "HTJ2K32", "ZSTD"])
def test_layers_of_other_formats_come_beside_the_picture(tmp_path, compression):
    source = make(tmp_path / "a.exr", **layout(compression))
    frame = exr.read(source)
    layers = {"matte.face": half_bits(), "stmap.u": float_bits()}
    write(frame, tmp_path / "b.exr", frame.rgb, layers=layers)
    old, new = witness(source)[0][1], witness(tmp_path / "b.exr")[0][1]
    assert {name: new[name] for name in old} == old
    assert {name: new[name] for name in layers} == {n: (str(a.dtype), a.tobytes()) for n, a in layers.items()}
