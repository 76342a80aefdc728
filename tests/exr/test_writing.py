"""Writing: the plate with edits in it, patches and channels, with the OpenEXR module as an independent witness."""

from __future__ import annotations

from typing import Any

import numpy as np
import OpenEXR
import pytest

from vfxswap import exr
from vfxswap.errors import OutputError, PlateError, ResourceError
from vfxswap.geometry import Window

from .files import (
    RNG,
    H,
    W,
    corpus,
    disk_limit,
    float_bits,
    half_bits,
    header_changes,
    make,
    rgb_bits,
    uint_bits,
    witness,
    write,
)


@pytest.mark.parametrize(
    "channels", [rgb_bits, lambda: {n: float_bits() for n in "RGB"}, lambda: rgb_bits() | {"Z": float_bits()}]
)
def test_only_the_picture_changes(tmp_path, channels):
    source = make(tmp_path / "a.exr", channels())
    frame = exr.read(source)
    assert frame.rgb.dtype == frame.dtype
    changed = np.array(frame.rgb)
    changed[5:9, 7:12] = 0.5
    write(frame, tmp_path / "b.exr", changed, hints={"vfxswap:job": "x"})
    (_, old), (head, new) = witness(source)[0], witness(tmp_path / "b.exr")[0]
    for i, name in enumerate("RGB"):
        assert new[name] == (str(frame.dtype), np.ascontiguousarray(changed[..., i]).tobytes())
    assert {name: new[name] for name in new.keys() - set("RGB")} == {n: old[n] for n in old.keys() - set("RGB")}
    assert header_changes(source, tmp_path / "b.exr") == {"vfxswap:job"}
    assert head["vfxswap:job"] == "'x'"
    assert (frame.pixels[0] is not None) and not np.array_equal(frame.rgb, changed)  # the frame itself is untouched


def test_ingredients(tmp_path):
    source = make(tmp_path / "a.exr", rgb_bits() | {"A": half_bits(), "matte.face": half_bits()})
    frame = exr.read(source)
    layers = {"face.R": half_bits(), "matte.face": half_bits(), "stmap.u": float_bits()}
    report = write(frame, tmp_path / "b.exr", frame.rgb, layers=layers)
    old, new = witness(source)[0][1], witness(tmp_path / "b.exr")[0][1]
    assert {name: new[name] for name in "RGBA"} == {name: old[name] for name in "RGBA"}
    for name, array in layers.items():
        assert new[name] == (str(array.dtype), array.tobytes())
    assert report.notes == ("the plate's own matte.face was replaced",)
    assert np.array_equal(exr.read(tmp_path / "b.exr").rgb.view(np.uint16), frame.rgb.view(np.uint16))


def test_float_layers_do_not_go_through_pxr24(tmp_path):
    frame = exr.read(make(tmp_path / "a.exr", compression=OpenEXR.PXR24_COMPRESSION))
    layer = float_bits()
    report = write(frame, tmp_path / "b.exr", frame.rgb, layers={"stmap.u": layer})
    assert report.compression == "zip"
    assert witness(tmp_path / "b.exr")[0][1]["stmap.u"] == ("float32", layer.tobytes())


def test_patch_has_the_plates_display_window(tmp_path):
    windows: dict[str, Any] = {"dataWindow": ((8, 9), (8 + W - 1, 9 + H - 1)), "displayWindow": ((10, 10), (109, 89))}
    frame = exr.read(make(tmp_path / "a.exr", project="me", **windows))
    box = Window(-2, 3, 6, 5)
    face = {name: np.full((5, 6), 0.25, np.float16) for name in "RGBA"}
    patch_of = exr.Patch(frame=frame, window=box, channels=face)
    exr.write_patch(tmp_path / "b.exr", patches=[patch_of], hints={"vfxswap:altered": "1"})
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
    assert write(frame, tmp_path / "b.exr", bright).clamped == bright.size
    assert float(exr.read(tmp_path / "b.exr").rgb.max()) == exr.HALF_MAX


def test_full_disk_leaves_nothing(tmp_path):
    channels = {name: RNG.normal(0, 1, (200, 200)).astype(np.float16) for name in "RGB"}
    frame = exr.read(make(tmp_path / "a.exr", channels))
    out = tmp_path / "b.exr"
    write(frame, out, frame.rgb)
    size = out.stat().st_size
    out.unlink()
    # The last ones fail only when the file is closed, which OpenImageIO does not report.
    for limit in (0, 10, 500, 5000, size // 2, size - 8000, size - 3000, size - 100, size - 1):
        with disk_limit(limit), pytest.raises(ResourceError):
            write(frame, out, frame.rgb)
        assert [item.name for item in tmp_path.iterdir()] == ["a.exr"]
    with disk_limit(size):
        write(frame, out, frame.rgb)


def test_a_failed_write_keeps_the_old_file(tmp_path):
    frame = exr.read(make(tmp_path / "a.exr"))
    (tmp_path / "b.exr").write_bytes(b"old")
    with disk_limit(1000), pytest.raises(ResourceError):
        write(frame, tmp_path / "b.exr", frame.rgb)
    assert (tmp_path / "b.exr").read_bytes() == b"old"


def test_outputs_that_cannot_be(tmp_path):
    source = make(tmp_path / "a.exr")
    frame = exr.read(source)
    (tmp_path / "link.exr").symlink_to(source)
    for target in (source, tmp_path / "link.exr"):
        with pytest.raises(OutputError, match="the plate itself"):
            write(frame, target, frame.rgb)
    with pytest.raises(OutputError):
        write(frame, source / "below.exr", frame.rgb)
    with pytest.raises(OutputError, match="shape"):
        write(frame, tmp_path / "b.exr", frame.rgb[1:])
    with pytest.raises(OutputError, match=r"layer x is float64"):
        write(frame, tmp_path / "b.exr", frame.rgb, layers={"x": np.zeros((H, W))})


def test_corpus_passes_through(shared, tmp_path):
    good = 0
    for source in corpus(shared, "Beachball/*.exr", "DisplayWindow/*.exr", "TestImages/*.exr"):
        try:
            frame = exr.read(source)
        except PlateError as error:
            assert "no R, G, B" in error.message, source
            continue
        write(frame, tmp_path / "b.exr", frame.rgb)
        assert witness(source) == witness(tmp_path / "b.exr"), source
        good += 1
    assert good >= 26
