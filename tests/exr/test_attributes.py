"""Header attributes arrive as they were: the same bytes of the same type. What cannot is spelled out in LOST."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time
from fractions import Fraction
from typing import Any

import numpy as np
import OpenEXR
import pytest

from vfxswap import exr

from .files import half_bits, make, make_parts, rgb_bits, stereo, witness, write
from .kinds import layout, raw_changes, raw_headers, rewrite, with_attribute


def timecode() -> Any:
    code = OpenEXR.TimeCode()
    code.hours, code.minutes, code.seconds, code.frame = 23, 59, 58, 23
    code.dropFrame, code.colorFrame, code.fieldPhase = True, True, True
    code.bgf0, code.bgf1, code.bgf2 = True, False, True
    code.userData = 0x12345678
    return code


KEPT: dict[str, Any] = {
    # cameras and labs
    "timeCode": timecode(),
    "keyCode": OpenEXR.KeyCode(12, 34, 567890, 1234, 63, 4, 64),
    "framesPerSecond": Fraction(24000, 1001),
    "captureRate": Fraction(48, 1),
    "capDate": "2024:02:29 23:59:59",
    "utcOffset": 3600.0,
    "expTime": 1 / 48,
    "aperture": 2.8,
    "isoSpeed": 800.0,
    "focus": 1.5,
    "cameraMake": "ARRI",
    "cameraModel": "ALEXA 35",
    "cameraSerialNumber": "12345",
    "lensModel": "Signature Prime 47",
    "reelName": "A001C002",
    "imageCounter": 1001,
    "com.arri.camera.LookFileName": "a look",
    "interim.clip.cameraFps": 24,
    "originalDataWindow": ((0, 0), (4607, 3163)),
    "longitude": 13.4,
    "owner": "a studio",
    "comments": "two\nlines, and Ünïcode",
    # colour
    "chromaticities": (0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.32168, 0.33767),
    "adoptedNeutral": np.array([0.32168, 0.33767], np.float32),
    "whiteLuminance": 203.0,
    "colorInteropID": "lin_ap1_scene",
    "lookModTransform": "a name",
    # renderers and compositors
    "worldToCamera": np.arange(16, dtype=np.float32).reshape(4, 4),
    "worldToNDC": np.eye(4, dtype=np.float32) / 3,
    "nuke/node_hash": "1a2b3c",
    "nuke/version": "15.1v3",
    "nuke/full_layer_names": 0,
    "input/filename": "/a/plate.1001.exr",
    "input/timecode": "01:02:03:04",
    "cryptomatte/abc/manifest": '{"ben": "0a1b2c3d"}',
    "idManifest": OpenEXR.IDManifest(),
    "pixelAspectRatio": 2.0,
    "screenWindowCenter": np.array([0.5, 0.25], np.float32),
    "screenWindowWidth": 2.0,
    "wrapmodes": "clamp,black",
    "dwaCompressionLevel": 45.0,
    "multiView": ["left", "right"],
    "vfxswap:consent": "an earlier one",
    # every type
    "a box2i": ((-1, -2), (3, 4)),
    "a box2f": (np.array([0.5, 1], np.float32), np.array([2, 3.5], np.float32)),
    "a v2i": np.array([1, -2], np.int32),
    "a v2f": np.array([1, 2.5], np.float32),
    "a v2d": np.array([1, 1 / 3]),
    "a v3i": np.array([1, 2, -3], np.int32),
    "a v3f": np.array([1, 2, 3.5], np.float32),
    "a v3d": np.array([1, 2, 1 / 3]),
    "a m33f": np.arange(9, dtype=np.float32).reshape(3, 3),
    "a m33d": np.arange(9.0).reshape(3, 3) / 3,
    "a m44d": np.arange(16.0).reshape(4, 4) / 3,
    "a stringvector": ["left", "Ünïcode", ""],
    "a stringvector of one": ["left"],
    "a floatvector": [1.5, 2.5, 3.5, 4.5, 5.5],
    "a double": 1 / 3,
    "an int": -7,
    "a float": 1.25,
    "a string": "x",
    "a name that is longer than the 31 letters of old files": 1,
}

RAW = {
    "a string that is not UTF-8": ("string", b"\xff\xfe\x80"),
    "a float that is not a number": ("float", struct.pack("<f", float("nan"))),
    "a real double": ("double", struct.pack("<d", 1 / 3)),
}
"""Types and values that the OpenEXR module cannot make."""


@pytest.mark.parametrize("name", KEPT)
def test_kept(tmp_path, name):
    source = make(tmp_path / "a.exr", **{name: KEPT[name]})
    assert name in raw_headers(source)[0]
    report = rewrite(source, tmp_path / "b.exr")
    assert raw_changes(source, tmp_path / "b.exr") == set()
    assert raw_headers(tmp_path / "b.exr")[0][name] == raw_headers(source)[0][name]
    assert report.notes == ()


@pytest.mark.parametrize("name", RAW)
def test_kept_though_odd(tmp_path, name):
    source = with_attribute(make(tmp_path / "a.exr"), name, *RAW[name])
    report = rewrite(source, tmp_path / "b.exr")
    assert raw_headers(tmp_path / "b.exr")[0][name] == RAW[name]
    assert report.notes == ()


@pytest.mark.parametrize("storage", ["scanline", "tiled"])
def test_all_kept_together(tmp_path, storage):
    source = make(tmp_path / "a.exr", **layout("ZIP", storage), **KEPT)
    rewrite(source, tmp_path / "b.exr")
    assert raw_changes(source, tmp_path / "b.exr") == set()
    old, new = witness(source)[0][0], witness(tmp_path / "b.exr")[0][0]
    assert {name for name in old | new if old.get(name) != new.get(name)} <= {"idManifest"}  # it has no words for it


def test_each_part_keeps_its_own(tmp_path):
    shared_by_all = {name: KEPT[name] for name in ("timeCode", "chromaticities", "pixelAspectRatio")}
    parts = [
        ({"name": "rgba.left", "view": "left", "lens": "left lens", **shared_by_all}, rgb_bits()),
        ({"name": "rgba.right", "view": "right", "lens": "right lens", **shared_by_all}, rgb_bits()),
        ({"name": "depth", "keyCode": KEPT["keyCode"], "a v2d": KEPT["a v2d"], **shared_by_all}, {"Z": half_bits()}),
    ]
    source = make_parts(tmp_path / "a.exr", parts)
    rewrite(source, tmp_path / "b.exr")
    for part in range(3):
        assert raw_changes(source, tmp_path / "b.exr", part) == set()
        assert raw_headers(source)[part]["type"] == raw_headers(tmp_path / "b.exr")[part]["type"]


# ------------------------------------------------------------------------------- what is not kept

SPACE = "colorInteropID"
LOST: dict[str, tuple[Any, set[str], str]] = {
    # Attribute -> its value, all names that change, a word of the report ("" where it says nothing).
    "preview": (OpenEXR.PreviewImage(2, 2), {"preview"}, "preview"),
    "acesImageContainerFlag": (1, {"acesImageContainerFlag", SPACE}, "acesImageContainerFlag"),
    "jpeg:quality": (3, {"jpeg:quality"}, "jpeg:quality"),
    "tiff:page": (3, {"tiff:page"}, "tiff:page"),
    "an empty string": ("", {"an empty string"}, ""),
    "a floatvector of three": ([1.5, 2.5, 3.5], {"a floatvector of three"}, "another type: a floatvector"),  # v3f
    "envmap": (OpenEXR.ENVMAP_LATLONG, {"envmap"}, ""),
    # OpenImageIO's own names for standard attributes, which it writes under the standard name.
    "oiio:ColorSpace": ("lin_ap1_scene", {"oiio:ColorSpace", SPACE}, ""),
    "Copyright": ("me", {"Copyright", "owner"}, ""),
    "ImageDescription": ("x", {"ImageDescription", "comments"}, ""),
    "DateTime": ("2024:01:02 03:04:05", {"DateTime", "capDate"}, ""),
    "xDensity": (72.0, {"ResolutionUnit"}, ""),  # kept, and its unit is spelled out
}
LOST_TYPES = {
    "of a type nobody knows": ("mytype", b"\1\2\3\4", "of a type nobody knows"),
    "bytes": ("bytes", struct.pack("<I", 1) + b"ab", "bytes"),
    "a second preview": ("preview", struct.pack("<2I", 1, 1) + b"abcd", ""),
}


@pytest.mark.parametrize("name", LOST)
def test_not_kept(tmp_path, name):
    value, changes, word = LOST[name]
    source = make(tmp_path / "a.exr", **{name: value})
    report = rewrite(source, tmp_path / "b.exr")
    assert raw_changes(source, tmp_path / "b.exr") == changes
    assert bool(report.notes) == bool(word)
    assert word in " ".join(report.notes)


@pytest.mark.parametrize("name", LOST_TYPES)
def test_not_kept_for_its_type(tmp_path, name):
    kind, value, word = LOST_TYPES[name]
    source = with_attribute(make(tmp_path / "a.exr"), name, kind, value)
    report = rewrite(source, tmp_path / "b.exr")
    assert raw_changes(source, tmp_path / "b.exr") == {name}
    assert word in " ".join(report.notes)


# ---------------------------------------------------------------------------------------- no clock

AGAIN = """
import json, sys
from vfxswap import exr
for source, target in json.loads(sys.argv[1]):
    frame = exr.read(source)
    edit = exr.Edit(frame=frame, rgb=frame.rgb, window=frame.origin_window)
    exr.write_frame(frame, target, edits=[edit], hints={"vfxswap:job": "x"})
"""


def test_another_run_gives_the_same_bytes(tmp_path):
    """Another process, a second later, in another time zone, into another folder."""
    sources = [make(tmp_path / f"{name}.exr", **layout(name)) for name in ("ZIP", "PIZ", "HTJ2K32", "ZSTD", "DWAA")]
    sources += [make(tmp_path / "all.exr", **KEPT), stereo(tmp_path / "stereo.exr")]
    first, second = tmp_path / "first", tmp_path / "second"
    for source in sources:
        frame = exr.read(source)
        write(frame, first / source.name, frame.rgb, hints={"vfxswap:job": "x"})
    time.sleep(1.1)  # dates in headers count seconds
    second.mkdir()
    pairs = json.dumps([(str(source), str(second / f"other_{source.name}")) for source in sources])
    subprocess.run([sys.executable, "-c", AGAIN, pairs], cwd=second, env=os.environ | {"TZ": "Asia/Tokyo"}, check=True)
    for source in sources:
        assert (first / source.name).read_bytes() == (second / f"other_{source.name}").read_bytes(), source.name


def test_a_date_only_where_one_was_given(tmp_path):
    dated = make(tmp_path / "dated.exr", capDate="2024:02:29 23:59:59")
    frame = exr.read(make(tmp_path / "bare.exr"))
    write(exr.read(dated), tmp_path / "a.exr", frame.rgb)
    write(frame, tmp_path / "b.exr", frame.rgb)
    exr.write_channels(tmp_path / "c.exr", channels=rgb_bits())
    exr.write_channels(tmp_path / "d.exr", channels=rgb_bits(), attributes={"DateTime": "2024:02:29 23:59:59"})
    dates = {name: raw_headers(tmp_path / f"{name}.exr")[0].get("capDate") for name in "abcd"}
    given = ("string", b"2024:02:29 23:59:59")
    assert dates == {"a": given, "b": None, "c": None, "d": given}


def test_nothing_is_added_but_the_hints(tmp_path):
    source = make(tmp_path / "a.exr", **KEPT)
    frame = exr.read(source)
    write(frame, tmp_path / "b.exr", frame.rgb, hints={"vfxswap:altered": "1", "vfxswap:consent": "a later one"})
    assert raw_changes(source, tmp_path / "b.exr") == {"vfxswap:altered", "vfxswap:consent"}
    assert raw_headers(tmp_path / "b.exr")[0]["vfxswap:consent"] == ("string", b"a later one")
