"""What a faceset is built from: the notation, folders of pictures, and hashes that know what crops depend on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vfxswap import color
from vfxswap.errors import PlateError, UsageError
from vfxswap.faceset import footage
from vfxswap.faceset.footage import Content

from .. import support

CONFIG = color.ColorConfig.load(color.PINNED_CONFIG)


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        ("a.####.exr", "a.####.exr", {}),
        ("pictures/,stills", "pictures/", {"stills": True}),
        ("a,b/c.####.exr , shot", "a,b/c.####.exr ", {"stills": False}),
        ("a.exr,frames=1001,1003,1010-1020,stills", "a.exr", {"frames": "1001,1003,1010-1020", "stills": True}),
        ("a.exr,colorspace=ARRI LogC4,face=12,40", "a.exr", {"colorspace": "ARRI LogC4", "face": "12,40"}),
        (r"C:\shots\a.%04d.exr,view=left,part=rgba", r"C:\shots\a.%04d.exr", {"view": "left", "part": "rgba"}),
        ("stills/a.exr", "stills/a.exr", {}),
        ("a,stillsuite.exr", "a,stillsuite.exr", {}),
    ],
)
def test_a_plate_says_what_of_it_differs(text: str, path: str, said: dict[str, Any]) -> None:
    assert footage.parse(text) == (path, said)


@pytest.mark.parametrize("text", ["", ",stills", "a.exr,stills=1", "a.exr,face=", "a.exr,face", "a.exr,stills,shot"])
def test_what_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        footage.parse(text)


def picture(path: Path, value: float = 0.18) -> Path:
    return support.write_frame(path, np.full((8, 8, 3), value, np.float32))


def test_a_folder_of_stills_is_every_picture_in_it(tmp_path: Path) -> None:
    for name in ("b.8.exr", "b.10.exr", "portrait.exr", "wide.0003.EXR", "a v2.exr", ".hidden.exr"):
        picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("x")
    found = footage.open_footage(f"{tmp_path},stills", config=CONFIG)
    assert [(Path(one.plate.sequence.pattern).name, one.plate.frames.frames) for one in found] == [
        ("a v2.exr", (1,)), ("b.%d.exr", (8, 10)), ("portrait.exr", (1,)), ("wide.%04d.EXR", (3,)),
    ]  # fmt: skip
    assert all(one.stills for one in found)


def test_a_folder_of_a_shot_holds_one_sequence(tmp_path: Path) -> None:
    picture(tmp_path / "a.1001.exr")
    picture(tmp_path / "b.1001.exr")
    with pytest.raises(PlateError, match="2 sequences"):
        footage.open_footage(str(tmp_path), config=CONFIG)
    (one,) = footage.open_footage(f"{tmp_path / 'a.####.exr'},shot", config=CONFIG, stills=True)
    assert not one.stills


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlateError, match="no EXR files"):
        footage.open_footage(str(tmp_path), config=CONFIG, stills=True)


def test_a_plate_s_own_settings_go_before_the_common_ones(tmp_path: Path) -> None:
    for frame in (1, 2, 3):
        picture(tmp_path / f"a.{frame:04d}.exr")
    text = str(tmp_path / "a.####.exr")
    common: dict[str, Any] = {"config": CONFIG, "frames": "1-3", "colorspace": "ACEScg", "face": "1"}
    (plain,) = footage.open_footage(text, **common)
    (own,) = footage.open_footage(f"{text},frames=2,colorspace=Linear Rec.709 (sRGB),face=0", **common)
    assert (plain.plate.frames.frames, plain.plate.space, plain.face) == ((1, 2, 3), "ACEScg", "1")
    assert (own.plate.frames.frames, own.plate.space, own.face) == ((2,), "Linear Rec.709 (sRGB)", "0")


# --------------------------------------------------------------------------------------------------- keys


def keys(text: str, *, size: int = 64, **options: Any) -> dict[int, str]:
    (one,) = footage.open_footage(text, config=CONFIG, **options)
    settings = one.settings(size=size)
    content = Content.of(one)
    return {frame: content.key(settings, frame) for frame in one.plate.frames}


def test_keys_know_content_frame_and_settings_and_no_paths(tmp_path: Path) -> None:
    for folder in ("here", "there"):
        for frame in (1, 2):
            picture(tmp_path / folder / f"a.{frame:04d}.exr", 0.1 * frame)
    here, there = (str(tmp_path / folder / "a.####.exr") for folder in ("here", "there"))
    for stills in (True, False):
        before = keys(here, stills=stills)
        assert len(set(before.values())) == 2
        assert keys(there, stills=stills) == before
        changes: tuple[dict[str, Any], ...] = (
            {"size": 80},
            {"face": "1"},
            {"colorspace": "Linear Rec.709 (sRGB)"},
            {"stills": not stills},
        )
        for change in changes:
            assert not set(keys(here, **{"stills": stills, **change}).values()) & set(before.values()), change


def test_a_still_depends_on_its_own_file_and_a_shot_on_all(tmp_path: Path) -> None:
    for frame in (1, 2):
        picture(tmp_path / f"a.{frame:04d}.exr", 0.1 * frame)
    text = str(tmp_path / "a.####.exr")
    still, shot = keys(text, stills=True), keys(text, stills=False)
    picture(tmp_path / "a.0002.exr", 0.5)
    again, later = keys(text, stills=True), keys(text, stills=False)
    assert (again[1] == still[1], again[2] == still[2]) == (True, False)
    assert (later[1] == shot[1], later[2] == shot[2]) == (False, False)


def test_names_hold_the_plate_s_number_and_frame(tmp_path: Path) -> None:
    picture(tmp_path / "a-b.0007.exr")
    (one,) = footage.open_footage(str(tmp_path / "a-b.####.exr"), config=CONFIG)
    name = footage.crop_name(one.plate, number=12, frame=-3)
    assert name == "a-b-12.-00003"
    assert footage.plate_number(name) == 12
    assert footage.plate_number("portrait") == 0
