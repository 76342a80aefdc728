"""The hash of decoded pixels: the same in memory, from the file and by another library; changed by any pixel."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import OpenImageIO as oiio  # noqa: N813
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfxswap import exr
from vfxswap.exr import Edit, Fingerprint
from vfxswap.geometry import Window

from ..exr.files import float_bits, half_bits, make, make_parts, rgb_bits, uint_bits
from ..exr.kinds import LOSSLESS, STORAGE, layout, pixels_of

KINDS = {"float16": "half", "float32": "float", "uint32": "uint"}


def by_the_book(path: Path) -> str:
    """`vfxswap.pixels/1` as docs/provenance.md defines it, with the OpenEXR module and the standard library."""
    parts = []
    file = OpenEXR.File(str(path), separate_channels=True)
    for part in file.parts:
        names = sorted(part.channels)
        low, high = (np.asarray(corner) for corner in part.header["dataWindow"])
        shown, end = (np.asarray(corner) for corner in part.header["displayWindow"])
        lines = hashlib.sha256()
        for row in range(high[1] - low[1] + 1):
            for name in names:
                lines.update(part.channels[name].pixels[row].tobytes())
        said: dict[str, Any] = {
            "channels": [[name, KINDS[part.channels[name].pixels.dtype.name]] for name in names],
            "data_window": [int(v) for v in (*low, *(high - low + 1))],
            "display_window": [int(v) for v in (*shown, *(end - shown + 1))],
            "sha256": lines.hexdigest(),
        }
        if len(file.parts) > 1:
            said |= {"name": part.header.get("name", ""), "view": part.header.get("view", "")}
        parts.append(said)
    text = json.dumps({"format": "vfxswap.pixels/1", "parts": parts}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def written(source: Path, target: Path, **layers: Any) -> Fingerprint:
    """Rewrite a frame with its picture, and layers over a corner; the fingerprint that writing told."""
    frame = exr.read(source)
    told: list[Fingerprint] = []
    window = Window(frame.origin_window.x + 2, frame.origin_window.y + 3, 9, 7)
    rgb = frame.rgb[window.slices(frame.origin_window)]
    exr.write_frame(frame, target, edits=[Edit(frame, rgb, window, layers)], record=told.append)
    (one,) = told
    return one


@pytest.mark.parametrize("storage", STORAGE)
@pytest.mark.parametrize("kind", ["half", "float", "mixed"])
@pytest.mark.parametrize("compression", LOSSLESS)
def test_memory_file_and_book_agree(tmp_path: Path, compression: str, kind: str, storage: str):
    """Any bits there are: NaN payloads, -0.0, denormals, Inf."""
    source = make(tmp_path / "a.exr", pixels_of(kind), **layout(compression, storage))
    told = written(source, tmp_path / "b.exr", **{"face.R": half_bits()[:7, :9], "stmap.u": float_bits()[:7, :9]})
    found = exr.fingerprint(tmp_path / "b.exr")
    assert told == found
    assert found.pixels == by_the_book(tmp_path / "b.exr")
    data = (tmp_path / "b.exr").read_bytes()
    assert (found.size, found.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_several_parts_views_and_windows(tmp_path: Path):
    box = {"dataWindow": (np.array([3, -2], np.int32), np.array([38, 21], np.int32))}
    box |= {"displayWindow": (np.array([0, 0], np.int32), np.array([99, 49], np.int32))}
    parts = [
        ({"name": "rgba.left", "view": "left", **box}, rgb_bits()),
        ({"name": "rgba.right", "view": "right", **box}, rgb_bits()),
        ({"name": "ids", **box}, {"id": uint_bits(), "depth": float_bits()}),  # copied, not read
    ]
    source = make_parts(tmp_path / "a.exr", parts)
    told = written(source, tmp_path / "b.exr", **{"face.A": half_bits()[:7, :9]})
    assert told.pixels == exr.pixel_sha256(tmp_path / "b.exr") == by_the_book(tmp_path / "b.exr")
    swapped = make_parts(tmp_path / "c.exr", [({**parts[0][0]}, parts[1][1]), ({**parts[1][0]}, parts[0][1])])
    plain = make_parts(tmp_path / "d.exr", parts[:2])
    assert exr.pixel_sha256(swapped) != exr.pixel_sha256(plain)


def test_passes_and_patches_tell_what_they_are(tmp_path: Path):
    told: list[Fingerprint] = []
    channels = {"R": float_bits(), "id.A": half_bits()}
    exr.write_channels(tmp_path / "a.exr", channels=channels, record=told.append)
    frame = exr.read(make(tmp_path / "plate.exr"))
    patch = exr.Patch(frame, Window(5, 4, 9, 7), {name: half_bits()[:7, :9] for name in "RGBA"})
    exr.write_patch(tmp_path / "b.exr", patches=[patch], record=told.append)
    assert told == [exr.fingerprint(tmp_path / name) for name in ("a.exr", "b.exr")]
    assert [one.pixels for one in told] == [by_the_book(tmp_path / name) for name in ("a.exr", "b.exr")]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_other_pixel_is_another_hash(data: st.DataObject):
    height, width = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5))
    kind: Any = data.draw(st.sampled_from([np.uint16, np.uint32]))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    bits = {name: rng.integers(0, 2**16, (height, width)).astype(kind) for name in "RGB"}
    name = data.draw(st.sampled_from("RGB"))
    at = data.draw(st.integers(0, height * width - 1))
    other = {key: value.copy() for key, value in bits.items()}
    other[name].flat[at] ^= kind(1 << data.draw(st.integers(0, np.dtype(kind).itemsize * 8 - 1)))
    seen = []
    for channels in (bits, other):
        pixels = {key: value.view(np.float16 if kind is np.uint16 else np.float32) for key, value in channels.items()}
        seen.append(_in_memory(pixels))
    assert seen[0] != seen[1]


def _in_memory(channels: dict[str, Any]) -> str:
    told: list[Fingerprint] = []
    with tempfile.TemporaryDirectory() as folder:
        exr.write_channels(Path(folder) / "x.exr", channels=channels, record=told.append)
        assert exr.pixel_sha256(Path(folder) / "x.exr") == told[0].pixels
    return told[0].pixels


def test_compression_and_header_do_not_count_names_and_windows_do(tmp_path: Path):
    pixels = {name: half_bits() for name in "RGB"}

    def hashed(channels: dict[str, Any] = pixels, **how: Any) -> str:
        exr.write_channels(tmp_path / "x.exr", channels=channels, **how)
        return exr.pixel_sha256(tmp_path / "x.exr")

    same = {hashed(), hashed(compression="piz"), hashed(compression="none"), hashed(attributes={"comment": "hello"})}
    assert len(same) == 1
    assert hashed(dict(reversed(pixels.items()))) in same, "nor does the order"
    moved = Window(4, 0, 36, 24)
    renamed = {"R": pixels["R"], "G": pixels["G"], "Y": pixels["B"]}
    turned = {"R": pixels["G"], "G": pixels["R"], "B": pixels["B"]}
    wide = {name: value.astype(np.float32) for name, value in pixels.items()}
    others = [hashed(renamed), hashed(turned), hashed(wide), hashed(data_window=moved)]
    others.append(hashed(display_window=Window(0, 0, 40, 24)))
    assert len({*others, *same}) == 6


def test_another_program_may_write_the_file_again(tmp_path: Path):
    plain = make(tmp_path / "a.exr", pixels_of("half"))
    image = oiio.ImageBuf(str(plain))
    image.specmod().attribute("compression", "zips")
    image.specmod().attribute("software", "another")
    assert image.write(str(tmp_path / "b.exr"))
    assert exr.pixel_sha256(plain) == exr.pixel_sha256(tmp_path / "b.exr")
    assert exr.file_sha256(plain) != exr.file_sha256(tmp_path / "b.exr")
