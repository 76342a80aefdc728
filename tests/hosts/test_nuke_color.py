"""Colour settings and views of a script, carried over to the job."""

from __future__ import annotations

import shutil

import pytest

from . import fake_nuke
from .fake_nuke import FakeNuke
from .shot import Shot, pick

# ----------------------------------------------------------------------------------------------- colour


def test_in_nukes_own_mode_light_is_rec_709(shot: Shot) -> None:
    shot.run("farm")
    assert shot.job["color_config"].startswith("ocio://")
    assert shot.job["color_space"] == "Linear Rec.709 (sRGB)"


def test_a_curve_of_nukes_own_is_exported(shot: Shot) -> None:
    shot.read["raw"].setValue(False)
    shot.read["colorspace"].setValue("AlexaV3LogC")
    shot.run("farm")
    assert shot.nuke.executed
    assert shot.job["color_space"] == "Linear Rec.709 (sRGB)"


def ocio(shot: Shot, **values: str) -> None:
    shot.nuke.root.knobs["colorManagement"]._value = "OCIO"
    for name, value in values.items():
        shot.nuke.root.knobs[name]._value = value


def test_the_scripts_ocio_settings_are_carried_over(shot: Shot, monkeypatch: pytest.MonkeyPatch) -> None:
    ocio(
        shot,
        OCIO_config="custom",
        customOCIOConfigPath="/show/config.ocio",
        OCIOConfigPath="/nuke/default.ocio",
        workingSpaceLUT="scene_linear (ACES - ACEScg)",
    )
    shot.read["raw"].setValue(False)
    shot.read["colorspace"].setValue("ACES - ACES2065-1")
    shot.run("farm")
    assert (shot.job["color_config"], shot.job["color_space"]) == ("/show/config.ocio", "ACES - ACES2065-1")
    shot.read["raw"].setValue(True)
    shot.run("farm")
    assert shot.job["color_space"] == "scene_linear"
    shot.set(color_space="Linear P3-D65")
    shot.run("farm")
    assert shot.job["color_space"] == "Linear P3-D65"
    ocio(shot, OCIO_config="nuke-default")
    shot.run("farm")
    assert shot.job["color_config"] == "/nuke/default.ocio"
    monkeypatch.setenv("OCIO", "/env/config.ocio")
    shot.run("farm")
    assert shot.job["color_config"] == "/env/config.ocio"


def test_the_other_spelling_of_the_config_knob(shot: Shot) -> None:
    del shot.nuke.root.knobs["OCIO_config"]
    shot.nuke.root.knobs["OCIOConfig"] = fake_nuke.String_Knob(shot.nuke.root, "OCIOConfig", "custom")
    ocio(shot, customOCIOConfigPath="/show/config.ocio")
    assert pick("color").of_script().config == "/show/config.ocio"


def test_a_face_in_another_space_is_converted_inside(shot: Shot) -> None:
    ocio(shot, OCIOConfigPath="ocio://cg-config-v2.2.0_aces-v1.3_ocio-v2.4", workingSpaceLUT="ACEScg")
    shot.read["raw"].setValue(False)
    shot.read["colorspace"].setValue("Linear Rec.709 (sRGB)")
    shot.nuke.now = 1  # the viewer is elsewhere, where nothing is cached
    shot.run()
    inside = shot.node.node("ToWorking")  # type: ignore[attr-defined]
    assert shot.get("convert")
    assert inside["in_colorspace"].value() == "Linear Rec.709 (sRGB)"
    assert inside["out_colorspace"].value() == "ACEScg"
    shot.read["colorspace"].setValue("ACEScg")
    shot.run()
    assert not shot.get("convert")


@pytest.mark.parametrize(
    ("shown", "plain"),
    [
        ("scene_linear (ACES - ACEScg)", "scene_linear"),
        ("scene_linear", "scene_linear"),
        ("Linear Rec.709 (sRGB)", "Linear Rec.709 (sRGB)"),
        ("default (sRGB)", "default"),
        ("ACES - ACEScg", "ACES - ACEScg"),
        (" data ", "data"),
    ],
)
def test_names_of_spaces(gui: FakeNuke, shown: str, plain: str) -> None:
    assert pick("color").plain(shown) == plain


# ------------------------------------------------------------------------------------------------- views


@pytest.mark.slow
def test_views_of_files(shot: Shot) -> None:
    shot.nuke.view_names = ["left", "right"]
    for view in ("left", "right"):
        (shot.folder / "plates" / view).mkdir(parents=True)
        shutil.copy(shot.fields["plate"] % 1003, shot.folder / "plates" / view / "p.1003.exr")
    shot.read["file"].setValue(str(shot.folder / "plates" / "%V" / "p.%04d.exr"))
    shot.set(view="all", track="", measurements="", frame_range="custom", frames="1003")
    shot.run()
    assert shot.nuke.messages == []
    assert shot.job["view"] == "all"
    assert shot.job["output"].endswith("/swap.%V.%04d.exr")
    assert shot.frames() == ["swap.left.1003.exr", "swap.right.1003.exr"]
    assert shot.get("status") == "1 of 1 frames are cached"


def test_an_export_of_views_has_a_file_for_each(shot: Shot) -> None:
    shot.nuke.view_names = ["left", "right"]
    shot.node.setInput(0, shot.nuke.module.nodes.Grade(inputs=[shot.read]))
    shot.set(view="all", frame_range="custom", frames="1003")
    shot.run("farm")
    assert shot.nuke.executed == [(1003, 1003, ["left", "right"])]
    assert shot.job["plate"].endswith("/plate.%V.%04d.exr")
    assert shot.job["view"] == "all"
    shot.set(view="right")
    shot.run("farm")
    assert shot.nuke.executed[-1] == (1003, 1003, ["right"])
    assert (shot.job["view"], shot.job["plate"].endswith("/plate.%04d.exr")) == ("", True)
