"""Which channels are the picture, and changing several pictures of one file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vfxswap import exr
from vfxswap.errors import PlateError

from .files import (
    H,
    W,
    half_bits,
    make,
    make_parts,
    rgb_bits,
    stereo,
    uint_bits,
    witness,
    write,
)


@pytest.mark.parametrize(
    ("part", "view", "index"),
    [(None, None, 2), (None, "right", 0), ("rgba", "right", 0), ("rgba", None, 2), ("rgba_right", None, 0)],
)
def test_stereo_parts(tmp_path, part, view, index):
    source = stereo(tmp_path / "a.exr")
    frame = exr.read(source, part=part, view=view)
    assert frame.selected == index
    assert frame.info.views == ("left", "right")
    write(frame, tmp_path / "b.exr", np.zeros_like(frame.rgb))
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
    write(left, tmp_path / "b.exr", left.rgb, layers=layers)
    write(hero, tmp_path / "c.exr", hero.rgb, layers=layers)
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
    write(frame, tmp_path / "c.exr", frame.rgb)
    assert witness(source) == witness(tmp_path / "c.exr")
