"""EXR in and out, with the OpenEXR module as an independent witness of headers and pixels."""

from __future__ import annotations

import resource
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vfxswap import exr
from vfxswap.errors import FrameError, OutputError, PlateError, ResourceError
from vfxswap.geometry import Window

H, W = 24, 36
RNG = np.random.default_rng(5)


def half_bits() -> Any:
    """Any half there is: NaN payloads, -0.0, denormals, Inf."""
    return RNG.integers(0, 2**16, (H, W), dtype=np.uint16).view(np.float16)


def float_bits() -> Any:
    return RNG.integers(0, 2**32, (H, W), dtype=np.uint32).view(np.float32)


def uint_bits() -> Any:
    return RNG.integers(0, 2**32, (H, W), dtype=np.uint32)


def rgb_bits() -> dict[str, Any]:
    return {name: half_bits() for name in "RGB"}


def header(**more: Any) -> dict[str, Any]:
    return {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **more}


def make(path: Path, channels: Any = None, **more: Any) -> Path:
    OpenEXR.File(header(**more), channels or rgb_bits()).write(str(path))
    return path


def make_parts(path: Path, parts: list[tuple[dict[str, Any], dict[str, Any]]]) -> Path:
    OpenEXR.File([OpenEXR.Part(header(**head), channels, head["name"]) for head, channels in parts]).write(str(path))
    return path


def witness(path: Path) -> list[tuple[dict[str, str], dict[str, tuple[str, bytes]]]]:
    """Headers and pixels of every part as the OpenEXR module sees them, comparable bit for bit."""

    def plain(value: Any) -> str:
        if isinstance(value, np.ndarray):
            return str(value.tolist())
        return str([plain(v) for v in value]) if isinstance(value, (tuple, list)) else repr(value)

    return [
        (
            {key: plain(value) for key, value in part.header.items()},
            {name: (str(c.pixels.dtype), c.pixels.tobytes()) for name, c in part.channels.items()},
        )
        for part in OpenEXR.File(str(path), separate_channels=True).parts
    ]


def header_changes(before: Path, after: Path, part: int = 0) -> set[str]:
    old, new = witness(before)[part][0], witness(after)[part][0]
    return {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}


@contextmanager
def disk_limit(size: int):
    """No file may grow beyond `size` bytes, as on a disk that fills up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# ------------------------------------------------------------------------------------------ round trips


def all_attributes() -> dict[str, Any]:
    timecode = OpenEXR.TimeCode()
    timecode.hours, timecode.minutes, timecode.seconds, timecode.frame = 12, 34, 56, 17
    return {
        "timeCode": timecode,
        "keyCode": OpenEXR.KeyCode(1, 2, 3, 4, 5, 4, 64),
        "chromaticities": (0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.32168, 0.33767),
        "worldToCamera": np.arange(16, dtype=np.float32).reshape(4, 4),
        "colorInteropID": "lin_ap1_scene",
        "capDate": "2020:01:02 03:04:05",
        "owner": "a studio",
        "anInt": 3,
        "aFloat": 1.5,
        "aVector": np.array([1, 2, 3], np.float32),
        "someNames": ["a", "b"],
        "pixelAspectRatio": 2.0,
        "lineOrder": OpenEXR.DECREASING_Y,
        "nuke/node_hash": "abc",
        "vfxswap:consent": "earlier",
    }


def test_everything_passes_through(tmp_path):
    channels = rgb_bits() | {"A": half_bits(), "Z": float_bits(), "diffuse.R": half_bits()}
    source = make(tmp_path / "a.exr", channels, **all_attributes())
    frame = exr.read(source)
    report = exr.write_comp(frame, tmp_path / "b.exr", rgb=frame.rgb)
    assert witness(source) == witness(tmp_path / "b.exr")
    assert report == exr.WriteReport(tmp_path / "b.exr", "zip")
    assert frame.timecode == "12:34:56:17"
    assert frame.file_color_space == "lin_ap1_scene"
    assert frame.pixel_aspect == 2.0


@pytest.mark.parametrize(
    "channels", [rgb_bits, lambda: {n: float_bits() for n in "RGB"}, lambda: rgb_bits() | {"Z": float_bits()}]
)
def test_only_the_picture_changes(tmp_path, channels):
    source = make(tmp_path / "a.exr", channels())
    frame = exr.read(source)
    assert frame.rgb.dtype == frame.dtype
    changed = np.array(frame.rgb)
    changed[5:9, 7:12] = 0.5
    exr.write_comp(frame, tmp_path / "b.exr", rgb=changed, hints={"vfxswap:job": "x"})
    (_, old), (head, new) = witness(source)[0], witness(tmp_path / "b.exr")[0]
    for i, name in enumerate("RGB"):
        assert new[name] == (str(frame.dtype), np.ascontiguousarray(changed[..., i]).tobytes())
    assert {name: new[name] for name in new.keys() - set("RGB")} == {n: old[n] for n in old.keys() - set("RGB")}
    assert header_changes(source, tmp_path / "b.exr") == {"vfxswap:job"}
    assert head["vfxswap:job"] == "'x'"
    assert (frame.pixels[0] is not None) and not np.array_equal(frame.rgb, changed)  # the frame itself is untouched


def test_same_frame_same_bytes_and_no_invented_date(tmp_path):
    frame = exr.read(make(tmp_path / "a.exr"))
    for name in "bc":
        exr.write_comp(frame, tmp_path / f"{name}.exr", rgb=frame.rgb, hints={"vfxswap:model": "m"})
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
    exr.write_comp(frame, tmp_path / "b.exr", rgb=frame.rgb)
    assert witness(source) == witness(tmp_path / "b.exr")


def test_tiles_stay_tiles(tmp_path):
    source = make(tmp_path / "a.exr", type=OpenEXR.tiledimage, tiles=OpenEXR.TileDescription())
    frame = exr.read(source)
    assert frame.part.tiled
    exr.write_comp(frame, tmp_path / "b.exr", rgb=frame.rgb)
    assert witness(source) == witness(tmp_path / "b.exr")


@pytest.mark.parametrize("name", ["NO", "RLE", "ZIPS", "PIZ", "PXR24"])
def test_lossless_compression_is_kept(tmp_path, name):
    source = make(tmp_path / "a.exr", compression=getattr(OpenEXR, f"{name}_COMPRESSION"))
    frame = exr.read(source)
    assert not frame.info.lossy
    exr.write_comp(frame, tmp_path / "b.exr", rgb=frame.rgb)
    assert witness(source) == witness(tmp_path / "b.exr")


@pytest.mark.parametrize("name", ["B44", "B44A", "DWAA", "DWAB"])
def test_lossy_compression_becomes_zip(tmp_path, name):
    source = make(tmp_path / "a.exr", compression=getattr(OpenEXR, f"{name}_COMPRESSION"))
    frame = exr.read(source)
    assert frame.info.lossy
    report = exr.write_comp(frame, tmp_path / "b.exr", rgb=frame.rgb)
    assert report.compression == "zip"
    assert name.lower() in report.notes[0]
    assert header_changes(source, tmp_path / "b.exr") == {"compression"}
    assert witness(source)[0][1] == witness(tmp_path / "b.exr")[0][1]


def test_what_cannot_be_kept_is_reported(tmp_path):
    source = make(tmp_path / "a.exr", acesImageContainerFlag=1, preview=OpenEXR.PreviewImage(2, 2), **{"jpeg:x": "y"})
    frame = exr.read(source)
    assert frame.file_color_space == "lin_ap0_scene"
    notes = " ".join(exr.write_comp(frame, tmp_path / "b.exr", rgb=frame.rgb).notes)
    for lost in ("acesImageContainerFlag", "preview", "jpeg:x"):
        assert lost in notes
    assert header_changes(source, tmp_path / "b.exr") <= {
        "acesImageContainerFlag", "preview", "jpeg:x", "colorInteropID",
    }  # fmt: skip


# --------------------------------------------------------------------------------- parts, views, layers


def stereo(path: Path) -> Path:
    heads = [
        {"name": "rgba_right", "view": "right"},
        {"name": "depth_right", "view": "right"},
        {"name": "rgba_left", "view": "left"},
    ]
    return make_parts(path, list(zip(heads, [rgb_bits(), {"Z": float_bits()}, rgb_bits()], strict=True)))


@pytest.mark.parametrize(
    ("part", "view", "index"),
    [(None, None, 2), (None, "right", 0), ("rgba", "right", 0), ("rgba", None, 2), ("rgba_right", None, 0)],
)
def test_stereo_parts(tmp_path, part, view, index):
    source = stereo(tmp_path / "a.exr")
    frame = exr.read(source, part=part, view=view)
    assert frame.selected == index
    assert frame.info.views == ("left", "right")
    exr.write_comp(frame, tmp_path / "b.exr", rgb=np.zeros_like(frame.rgb))
    for i, (old, new) in enumerate(zip(witness(source), witness(tmp_path / "b.exr"), strict=True)):
        assert (old == new) == (i != index)
        assert old[0] == new[0]


def test_unknown_parts_and_views_name_those_there(tmp_path):
    source = stereo(tmp_path / "a.exr")
    with pytest.raises(PlateError, match=r"no view 'middle'.*right, left"):
        exr.read(source, view="middle")
    with pytest.raises(PlateError, match=r"no part or layer 'beauty'.*rgba_right, rgba_left"):
        exr.read(source, part="beauty")
    with pytest.raises(PlateError, match="mono"):
        exr.read(make(tmp_path / "m.exr"), view="left")


def test_views_that_share_a_part(tmp_path):
    channels = rgb_bits() | {f"left.{name}": half_bits() for name in "RGBA"} | {"L.left.R": half_bits()}
    source = make(tmp_path / "a.exr", dict(channels), multiView=["right", "left"])
    hero, left = exr.read(source), exr.read(source, view="left")
    assert (hero.view, left.view) == ("right", "left")
    assert np.array_equal(hero.rgb[..., 0].view(np.uint16), channels["R"].view(np.uint16))
    assert np.array_equal(left.rgb[..., 0].view(np.uint16), channels["left.R"].view(np.uint16))
    assert left.alpha is not None
    assert hero.alpha is None
    layers = {"face.R": np.ones((H, W), np.float16)}
    exr.write_ingredients(left, tmp_path / "b.exr", rgb=left.rgb, layers=layers)
    exr.write_ingredients(hero, tmp_path / "c.exr", rgb=hero.rgb, layers=layers)
    assert "face.left.R" in witness(tmp_path / "b.exr")[0][1]
    assert "face.R" in witness(tmp_path / "c.exr")[0][1]


def test_layered_plates(tmp_path):
    beauty = {f"ViewLayer.Combined.{name}": half_bits() for name in "RGBA"}
    other = {f"ViewLayer.Diffuse.{name}": half_bits() for name in "RGB"}
    assert exr.read(make(tmp_path / "a.exr", beauty | other)).layer == "ViewLayer.Combined"
    two = {f"key.{name}": half_bits() for name in "RGB"} | {f"fill.{name}": half_bits() for name in "RGB"}
    source = make(tmp_path / "b.exr", two)
    with pytest.raises(PlateError, match="several layers: fill, key"):
        exr.read(source)
    assert exr.read(source, part="key").layer == "key"


def test_uint_beside_float(tmp_path):
    with pytest.raises(PlateError, match="uint"):
        exr.read(make(tmp_path / "a.exr", rgb_bits() | {"id": uint_bits()}))
    parts: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"name": "rgba"}, rgb_bits()),
        ({"name": "ids"}, {"id": uint_bits(), "coverage": half_bits()}),
        ({"name": "more"}, {"id": uint_bits()}),
    ]
    source = make_parts(tmp_path / "b.exr", parts)
    frame = exr.read(source)
    assert frame.info.parts[1].mixed_uint
    exr.write_comp(frame, tmp_path / "c.exr", rgb=frame.rgb)
    assert witness(source) == witness(tmp_path / "c.exr")


# ----------------------------------------------------------------------------------------- other outputs


def test_ingredients(tmp_path):
    source = make(tmp_path / "a.exr", rgb_bits() | {"A": half_bits(), "matte.face": half_bits()})
    frame = exr.read(source)
    layers = {"face.R": half_bits(), "matte.face": half_bits(), "stmap.u": float_bits()}
    report = exr.write_ingredients(frame, tmp_path / "b.exr", rgb=frame.rgb, layers=layers)
    old, new = witness(source)[0][1], witness(tmp_path / "b.exr")[0][1]
    assert {name: new[name] for name in "RGBA"} == {name: old[name] for name in "RGBA"}
    for name, array in layers.items():
        assert new[name] == (str(array.dtype), array.tobytes())
    assert report.notes == ("the plate's own matte.face was replaced",)
    assert np.array_equal(exr.read(tmp_path / "b.exr").rgb.view(np.uint16), frame.rgb.view(np.uint16))


def test_float_layers_do_not_go_through_pxr24(tmp_path):
    frame = exr.read(make(tmp_path / "a.exr", compression=OpenEXR.PXR24_COMPRESSION))
    layer = float_bits()
    report = exr.write_ingredients(frame, tmp_path / "b.exr", rgb=frame.rgb, layers={"stmap.u": layer})
    assert report.compression == "zip"
    assert witness(tmp_path / "b.exr")[0][1]["stmap.u"] == ("float32", layer.tobytes())


def test_patch_has_the_plates_display_window(tmp_path):
    windows: dict[str, Any] = {"dataWindow": ((8, 9), (8 + W - 1, 9 + H - 1)), "displayWindow": ((10, 10), (109, 89))}
    frame = exr.read(make(tmp_path / "a.exr", project="me", **windows))
    box = Window(-2, 3, 6, 5)
    face = {name: np.full((5, 6), 0.25, np.float16) for name in "RGBA"}
    exr.write_patch(frame, tmp_path / "b.exr", window=box, channels=face, hints={"vfxswap:altered": "1"})
    patch = exr.read(tmp_path / "b.exr")
    assert patch.origin_window == box
    assert patch.display_window == frame.display_window
    assert patch.attributes["project"] == "me"
    assert patch.attributes["vfxswap:altered"] == "1"
    assert (np.asarray(patch.rgb) == 0.25).all()


def test_channels_round_trip(tmp_path):
    channels = {"R": half_bits(), "landmarks.x": float_bits(), "mask": half_bits()}
    attributes: dict[str, exr.Attribute] = {"vfxswap:plate": "p", "vfxswap:frame": 7, "gain": 1.5, "box": (1, 2, 3)}
    exr.write_channels(tmp_path / "a.exr", channels=channels, attributes=attributes)
    found, seen = exr.read_channels(tmp_path / "a.exr")
    assert found.keys() == channels.keys()
    for name, array in channels.items():
        assert (found[name].dtype, found[name].tobytes()) == (array.dtype, array.tobytes())
    assert {key: seen[key] for key in attributes} == attributes
    assert "DateTime" not in seen
    ids = {"id": uint_bits()}
    exr.write_channels(tmp_path / "b.exr", channels=ids)
    assert exr.read_channels(tmp_path / "b.exr")[0]["id"].tobytes() == ids["id"].tobytes()


def test_to_half_counts_what_it_clamps():
    values = np.array([0.1, 65504, 65519, 65520, -1e9, np.inf, -np.inf, np.nan, -0.0], np.float32)
    half, count = exr.to_half(values)
    assert count == 2
    expected = np.array([0.1, 65504, 65504, 65504, -65504, np.inf, -np.inf, np.nan, -0.0], np.float16)
    np.testing.assert_array_equal(half, expected)
    assert np.signbit(half[-1])
    same = half_bits()
    assert exr.to_half(same)[0] is same


def test_float_comp_of_a_half_plate_is_clamped_and_counted(tmp_path):
    frame = exr.read(make(tmp_path / "a.exr", {name: np.zeros((H, W), np.float16) for name in "RGB"}))
    bright = np.full((H, W, 3), 1e6, np.float32)
    assert exr.write_comp(frame, tmp_path / "b.exr", rgb=bright).clamped == bright.size
    assert float(exr.read(tmp_path / "b.exr").rgb.max()) == exr.HALF_MAX


# ----------------------------------------------------------------------------------------------- refusals


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


def test_full_disk_leaves_nothing(tmp_path):
    channels = {name: RNG.normal(0, 1, (200, 200)).astype(np.float16) for name in "RGB"}
    frame = exr.read(make(tmp_path / "a.exr", channels))
    out = tmp_path / "b.exr"
    exr.write_comp(frame, out, rgb=frame.rgb)
    size = out.stat().st_size
    out.unlink()
    # The last ones fail only when the file is closed, which OpenImageIO does not report.
    for limit in (0, 10, 500, 5000, size // 2, size - 8000, size - 3000, size - 100, size - 1):
        with disk_limit(limit), pytest.raises(ResourceError):
            exr.write_comp(frame, out, rgb=frame.rgb)
        assert [item.name for item in tmp_path.iterdir()] == ["a.exr"]
    with disk_limit(size):
        exr.write_comp(frame, out, rgb=frame.rgb)


def test_a_failed_write_keeps_the_old_file(tmp_path):
    frame = exr.read(make(tmp_path / "a.exr"))
    (tmp_path / "b.exr").write_bytes(b"old")
    with disk_limit(1000), pytest.raises(ResourceError):
        exr.write_comp(frame, tmp_path / "b.exr", rgb=frame.rgb)
    assert (tmp_path / "b.exr").read_bytes() == b"old"


def test_outputs_that_cannot_be(tmp_path):
    source = make(tmp_path / "a.exr")
    frame = exr.read(source)
    (tmp_path / "link.exr").symlink_to(source)
    for target in (source, tmp_path / "link.exr"):
        with pytest.raises(OutputError, match="the plate itself"):
            exr.write_comp(frame, target, rgb=frame.rgb)
    with pytest.raises(OutputError):
        exr.write_comp(frame, source / "below.exr", rgb=frame.rgb)
    with pytest.raises(OutputError, match="shape"):
        exr.write_comp(frame, tmp_path / "b.exr", rgb=frame.rgb[1:])
    with pytest.raises(OutputError, match=r"layer x is float64"):
        exr.write_ingredients(frame, tmp_path / "b.exr", rgb=frame.rgb, layers={"x": np.zeros((H, W))})


# ------------------------------------------------------------------------------- files from the wild


def corpus(shared: Path, *patterns: str) -> list[Path]:
    folder = shared / "corpus" / "exr"
    found = sorted(path for pattern in patterns for path in folder.glob(pattern) if path.is_file())
    if not found:
        pytest.skip(f"no files in {folder}")
    return found


def test_corpus_passes_through(shared, tmp_path):
    good = 0
    for source in corpus(shared, "Beachball/*.exr", "DisplayWindow/*.exr", "TestImages/*.exr"):
        try:
            frame = exr.read(source)
        except PlateError as error:
            assert "no R, G, B" in error.message, source
            continue
        exr.write_comp(frame, tmp_path / "b.exr", rgb=frame.rgb)
        assert witness(source) == witness(tmp_path / "b.exr"), source
        good += 1
    assert good >= 26


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
