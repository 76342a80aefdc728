"""Configs: which is taken, which space a file is in, what is recorded, and what is said when something is wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from vfxswap import color
from vfxswap.color import ColorConfig
from vfxswap.errors import ColorError

from . import configs
from .pixels import CONFIG, RNG, srgb


def own_config(folder: Path, role: str = "") -> Path:
    path = folder / "own.ocio"
    path.write_text(configs.OWN % {"role": role})
    return path


# ------------------------------------------------------------------------------------------------ which one


def test_order_of_configs(tmp_path, monkeypatch):
    own = own_config(tmp_path)
    monkeypatch.delenv("OCIO", raising=False)
    assert ColorConfig.load().id == color.PINNED_CONFIG
    monkeypatch.setenv("OCIO", str(own))
    assert ColorConfig.load().id == str(own)
    assert ColorConfig.load().working_space == "scene"
    assert ColorConfig.load(color.PINNED_CONFIG).working_space == "ACEScg"
    assert ColorConfig.load(own).hash != CONFIG.hash
    assert ColorConfig.load(color.PINNED_CONFIG).hash == CONFIG.hash


def test_floating_names_are_recorded_as_what_they_are():
    assert ColorConfig.load("ocio://default").id.startswith("ocio://cg-config-v")


def test_unusable_configs(tmp_path, monkeypatch):
    broken = tmp_path / "broken.ocio"
    broken.write_text("ocio_profile_version: [")
    nothing = tmp_path / "nothing.ocio"
    nothing.write_text((configs.OWN % {"role": ""}).replace(", scene_linear: scene", ""))
    for path, text in [
        (tmp_path / "no.ocio", "not found"),
        (broken, "cannot be used"),
        (nothing, "no scene_linear role"),
        ("ocio://studio-config-v99", "cannot be used"),
    ]:
        with pytest.raises(ColorError, match=text) as caught:
            ColorConfig.load(path)
        assert "\n" not in str(caught.value)
    monkeypatch.setenv("OCIO", "/nowhere/config.ocio")
    with pytest.raises(ColorError, match=r"\$OCIO"):
        ColorConfig.load()


def test_paths_and_text_name_the_same_config(tmp_path):
    path = own_config(tmp_path)
    assert ColorConfig.load(path).id == ColorConfig.load(str(path)).id
    assert set(ColorConfig.load(path).names()) == {"scene", "picture"}


def test_a_record_holds_no_path(tmp_path):
    assert CONFIG.record() == {"id": color.PINNED_CONFIG, "hash": CONFIG.hash, "working_space": "ACEScg"}
    own = ColorConfig.load(own_config(tmp_path))
    assert own.record() == {"id": "own.ocio", "hash": own.hash, "working_space": "scene"}
    (tmp_path / "moved").mkdir()
    assert ColorConfig.load(own_config(tmp_path / "moved")).record() == own.record()


# --------------------------------------------------------------------------------------------- space of a file


@pytest.mark.parametrize(
    ("wanted", "space"),
    [
        ({}, "ACEScg"),  # and not ACES2065-1, which the Default rule says
        ({"path": "/p/a.exr"}, "ACEScg"),
        ({"path": "/p/ACES2065-1/a.exr"}, "ACEScg"),
        ({"tagged": "lin_ap0_scene"}, "ACES2065-1"),
        ({"tagged": "lin_ap0_scene", "path": "/p/a.exr"}, "ACES2065-1"),
        ({"tagged": "no_such_space"}, "ACEScg"),
        ({"explicit": "scene_linear"}, "ACEScg"),
        ({"explicit": "lin_rec709", "tagged": "lin_ap0_scene"}, "Linear Rec.709 (sRGB)"),
    ],
)
def test_file_space(wanted, space):
    assert CONFIG.file_space(**wanted) == space


def test_untagged_aces_keeps_its_values():
    """The trap itself: through the Default rule a grey ACEScg plate would keep its grey and lose its colours."""
    plate = RNG.uniform(0, 4, (20, 3)).astype(np.float32)
    np.testing.assert_array_equal(CONFIG.to_working(CONFIG.file_space(path="/p/plate.1001.exr")).apply(plate), plate)


@pytest.mark.parametrize(
    "name", [color.PINNED_CONFIG, color.STUDIO_CONFIG, "ocio://cg-config-v1.0.0_aces-v1.3_ocio-v2.1"]
)
def test_no_built_in_config_reads_an_untagged_plate_as_ap0(name):
    assert ColorConfig.load(name).file_space(path="/show/plate/sh010.1001.exr") == "ACEScg"


def test_file_rules_count_when_they_are_about_the_file(tmp_path):
    own = ColorConfig.load(own_config(tmp_path))
    assert own.file_space(path="/p/shot_graded.1001.exr") == "picture"
    assert own.file_space(path="/p/shot.1001.exr") == "scene"
    assert own.file_space(path="/p/shot_graded.1001.exr", tagged="scene") == "scene"
    assert own.file_space(path="/p/shot_graded.1001.exr", explicit="scene_linear") == "scene"


def test_a_shows_rules_roles_and_inactive_spaces(tmp_path):
    show = ColorConfig.load(configs.write_show(tmp_path, grades={"s010": 2.0}))
    assert show.file_space(path="/show/elements/smoke.1001.exr") == "plate"  # a rule, a role, an inactive space
    assert show.file_space(path="/show/plates/sh.1001.exr") == "scene"  # and not data, which the Default rule says
    assert show.file_space(explicit="plates") == "plate"
    assert show.file_space(tagged="lin_show") == "scene"
    assert "plate" in show.names()
    assert show.working_to_model_linear().apply(np.ones((1, 3), np.float32)) == pytest.approx(1.0, abs=1e-3)


def test_old_configs_know_interop_ids():
    old = ColorConfig.load("ocio://cg-config-v1.0.0_aces-v1.3_ocio-v2.1")
    assert old.file_space(tagged="lin_ap1_scene") == "ACEScg"
    assert old.file_space(tagged="lin_ap0_scene") == "ACES2065-1"


@pytest.mark.parametrize("strict", [True, False])
def test_configs_of_ocio_1(tmp_path, strict):
    old = ColorConfig.load(configs.write_old(tmp_path, strict=strict, role=", color_picking: picture"))
    assert old.working_space == "lnf"
    assert old.file_space(path="/p/plate.1001.exr") == "lnf"
    assert old.file_space(path="/p/plate_lgf.1001.exr") == "lgf"  # OCIO 1's own rule: spaces are named in file names
    assert old.is_linear("lnf")
    assert not old.is_linear("lgf")
    assert not old.is_linear("raw")
    pixels = RNG.uniform(0.0, 1.0, (30, 3)).astype(np.float32)
    np.testing.assert_allclose(old.working_to_model_linear().apply(pixels), pixels, atol=1e-4)
    np.testing.assert_allclose(old.to_working("raw").apply(pixels), pixels)


# --------------------------------------------------------------------------------------------- wrong names


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("ACES cg", "ACEScg"),
        ("srgb", "srgb_tx"),
        ("Rec709", "rec709"),
        ("lin_rec709_sene", "lin_rec709_scene"),  # an alias
        ("scenelinear", "scene_linear"),  # a role
        ("P3", "lin_p3d65"),
    ],
)
def test_wrong_names_get_the_near_ones(wrong, near):
    with pytest.raises(ColorError) as caught:
        CONFIG.file_space(explicit=wrong)
    assert repr(wrong) in caught.value.message
    assert near.lower() in caught.value.hint.lower()
    assert color.STUDIO_CONFIG not in caught.value.hint


@pytest.mark.parametrize(
    ("wrong", "there"),
    [
        ("ARRI LogC4", "ARRI LogC4"),
        ("logc4", "ARRI LogC4"),
        ("arri_logc4", "ARRI LogC4"),
        ("S-Log3 S-Gamut3.Cine", "S-Log3 S-Gamut3.Cine"),
        ("slog3", "S-Log3 S-Gamut3.Cine"),
        ("Log3G10", "Log3G10 REDWideGamutRGB"),
    ],
)
def test_camera_spaces_name_the_config_that_has_them(wrong, there):
    with pytest.raises(ColorError) as caught:
        CONFIG.to_working(wrong)
    assert f"{color.STUDIO_CONFIG} has " in caught.value.hint
    assert there in caught.value.hint
    assert "--color-config" in caught.value.hint
    assert ColorConfig.load(color.STUDIO_CONFIG).file_space(explicit=there) == there


def test_names_of_other_configs_are_told_from_own_ones(tmp_path):
    own = ColorConfig.load(own_config(tmp_path))
    with pytest.raises(ColorError, match=r"studio-config.* has ACEScg"):
        own.file_space(explicit="ACEScg")
    with pytest.raises(ColorError, match="did you mean: picture"):
        own.file_space(explicit="pictur")
    with pytest.raises(ColorError, match="it knows: scene, picture"):
        own.file_space(explicit="qqq")


def test_a_plate_that_says_it_is_a_log_is_not_read_as_linear():
    with pytest.raises(ColorError, match=r"the file says it is in 'arri_logc4'.*ARRI LogC4.*--colorspace"):
        CONFIG.file_space(tagged="arri_logc4")
    assert CONFIG.file_space(tagged="arri_logc4", explicit="ACEScg") == "ACEScg"
    assert ColorConfig.load(color.STUDIO_CONFIG).file_space(tagged="arri_logc4") == "ARRI LogC4"


# --------------------------------------------------------------------------------------------- context


def graded(config: ColorConfig) -> float:
    return float(config.to_working("plate").apply(np.full((1, 3), 0.5, np.float32))[0, 0])


def test_context_variables_choose_the_lut(tmp_path, monkeypatch):
    path = configs.write_show(tmp_path, grades={"s010": 2.0, "s020": 3.0, "s030": 4.0})
    monkeypatch.delenv("SHOT", raising=False)
    assert graded(ColorConfig.load(path)) == pytest.approx(1.0)  # the config's own default
    assert graded(ColorConfig.load(path, context={"SHOT": "s020"})) == pytest.approx(1.5)
    monkeypatch.setenv("SHOT", "s030")
    assert graded(ColorConfig.load(path)) == pytest.approx(2.0)
    assert graded(ColorConfig.load(path, context={"SHOT": "s020"})) == pytest.approx(1.5)
    back = ColorConfig.load(path, context={"SHOT": "s020"}).from_working("plate")
    np.testing.assert_allclose(back.apply(np.full((1, 3), 1.5, np.float32)), 0.5, rtol=1e-5)


def test_context_reaches_every_processor(tmp_path, monkeypatch):
    """Also those that go by way of OCIO's built-in spaces: here the plate is the working space."""
    monkeypatch.delenv("SHOT", raising=False)
    text = configs.SHOW.replace("scene_linear: scene", "scene_linear: plate")
    path = configs.write_show(tmp_path, grades={"s010": 2.0, "s020": 3.0}, text=text)
    grey = np.full((1, 3), 0.25, np.float32)
    for shot, value in (("s010", 0.5), ("s020", 0.75)):
        config = ColorConfig.load(path, context={"SHOT": shot})
        np.testing.assert_allclose(config.working_to_model_linear().apply(grey), value, rtol=2e-3)
        np.testing.assert_allclose(config.working_to_model().apply(grey), srgb(np.full((1, 3), value)), rtol=2e-3)
        np.testing.assert_allclose(config.model_linear_to_working("acescct").apply(grey * 3), 0.75 * 0.25 / value)


def test_the_hash_is_of_what_is_converted(tmp_path, monkeypatch):
    monkeypatch.delenv("SHOT", raising=False)
    path = configs.write_show(tmp_path / "a", grades={"s010": 2.0, "s020": 3.0, "s030": 2.0})
    hashes = {shot: ColorConfig.load(path, context={"SHOT": shot}).hash for shot in ("s010", "s020", "s030")}
    assert hashes["s010"] != hashes["s020"]
    assert hashes["s010"] == hashes["s030"]  # another LUT of the same contents converts alike
    assert ColorConfig.load(path).hash == hashes["s010"]
    monkeypatch.setenv("SHOT", "s020")
    assert ColorConfig.load(path).hash == hashes["s020"]

    shutil.copytree(tmp_path / "a", tmp_path / "b")  # another machine
    assert ColorConfig.load(tmp_path / "b" / "show.ocio").hash == hashes["s020"]
    configs.write_lut(tmp_path / "b" / "luts" / "grade_s020.spi1d", 3.5)  # a LUT replaced in place
    assert ColorConfig.load(tmp_path / "b" / "show.ocio").hash != hashes["s020"]


def test_names_with_variables_count_in_the_hash(tmp_path):
    text = configs.SHOW.replace('!<FileTransform> {src: "grade_${SHOT}.spi1d", interpolation: linear}',
                                '!<ColorSpaceTransform> {src: "${SHOT}", dst: scene}')  # fmt: skip
    path = configs.write_show(tmp_path, grades={}, text=text)
    one, two = (ColorConfig.load(path, context={"SHOT": space}) for space in ("ap0", "scene"))
    assert one.hash != two.hash
    assert not one.to_working("plate").is_noop
    assert two.to_working("plate").is_noop


def test_archived_configs(tmp_path):
    """An .ocioz carries its LUTs; they are part of its hash."""
    ocio = pytest.importorskip("PyOpenColorIO")
    hashes = []
    for grade in (2.0, 3.0):
        folder = tmp_path / str(grade)
        path = configs.write_show(folder, grades={"s010": grade, "s020": 5.0})
        (folder / "show.ocioz").touch()
        config = ocio.Config.CreateFromFile(str(path))
        config.archive(str(folder / "show.ocioz"))
        archived = ColorConfig.load(folder / "show.ocioz")
        assert graded(archived) == pytest.approx(0.5 * grade)
        assert archived.record()["id"] == "show.ocioz"
        hashes.append(archived.hash)
    assert hashes[0] != hashes[1]


def test_a_missing_lut_is_named_in_one_line(tmp_path):
    config = ColorConfig.load(configs.write_show(tmp_path, grades={"s010": 2.0}), context={"SHOT": "s099"})
    for use in (lambda: config.to_working("plate"), lambda: config.is_linear("plate")):
        with pytest.raises(ColorError) as caught:
            use()
        text = str(caught.value)
        assert "\n" not in text
        assert "grade_s099.spi1d" in text
        assert "context variables (SHOT=s099)" in text
    assert config.hash != ColorConfig.load(config.id).hash
    assert config.to_working("scene").is_noop  # other spaces do not suffer


def test_a_broken_lut_is_named_in_one_line(tmp_path):
    path = configs.write_show(tmp_path, grades={})
    (tmp_path / "luts" / "grade_s010.spi1d").write_text("not a LUT")
    with pytest.raises(ColorError, match=r"cannot convert plate to scene: .*grade_s010\.spi1d") as caught:
        ColorConfig.load(path, context={"SHOT": "s010"}).to_working("plate")
    assert "\n" not in str(caught.value)


def test_context_variables_that_do_nothing_are_refused(tmp_path):
    path = configs.write_show(tmp_path, grades={"s010": 2.0})
    with pytest.raises(ColorError, match=r"no context variable 'SHTO'; did you mean: SHOT"):
        ColorConfig.load(path, context={"SHTO": "s010"})
    with pytest.raises(ColorError, match="no context variable 'SHOT'"):
        ColorConfig.load(color.PINNED_CONFIG, context={"SHOT": "s010"})
    text = configs.SHOW.replace("environment: {SHOT: s010}\n", "")
    undeclared = configs.write_show(tmp_path / "u", grades={"s010": 2.0}, text=text)
    assert graded(ColorConfig.load(undeclared, context={"SHOT": "s010"})) == pytest.approx(1.0)


# --------------------------------------------------------------------------------------------- transforms


def test_transforms_round_trip_and_leave_their_input_alone():
    pixels = RNG.normal(0.3, 3.0, (50, 20, 3)).astype(np.float32)
    before = pixels.copy()
    for there, back in [
        (CONFIG.from_working("ACES2065-1"), CONFIG.to_working("ACES2065-1")),
        (CONFIG.working_to_model_linear(), CONFIG.model_linear_to_working()),
        (CONFIG.working_to_model(), CONFIG.model_to_working()),
        (CONFIG.working_to_model("acescct"), CONFIG.model_to_working("acescct")),
    ]:
        result = there.apply(pixels)
        assert result.dtype == np.float32
        np.testing.assert_allclose(back.apply(result), pixels, rtol=2e-6, atol=2e-5)
    np.testing.assert_array_equal(pixels, before)


def test_noop_and_odd_inputs():
    same = CONFIG.to_working("ACEScg")
    assert same.is_noop
    pixels = RNG.normal(size=(4, 6, 3)).astype(np.float16)
    result = same.apply(pixels[::2, ::3].astype(np.float16))
    np.testing.assert_array_equal(result, pixels[::2, ::3].astype(np.float32))
    assert same.apply(np.zeros((0, 3), np.float32)).shape == (0, 3)
    assert not CONFIG.to_working("ACES2065-1").is_noop
    with pytest.raises(ColorError, match="last axis"):
        same.apply(np.zeros((4, 4), np.float32))


def test_processors_are_cached():
    assert CONFIG.to_working("ACES2065-1") is CONFIG.to_working("aces2065_1")


@pytest.mark.parametrize(
    "name",
    [
        color.PINNED_CONFIG,
        "ocio://cg-config-v1.0.0_aces-v1.3_ocio-v2.1",
        "ocio://studio-config-v2.1.0_aces-v1.3_ocio-v2.3",
    ],
)
def test_model_space_is_the_configs_srgb_texture(name):
    config = ColorConfig.load(name)
    pixels = RNG.uniform(-0.2, 4.0, (30, 3)).astype(np.float32)
    expected = config.from_working("sRGB - Texture").apply(pixels)
    np.testing.assert_allclose(config.working_to_model().apply(pixels), expected, rtol=1e-6, atol=1e-6)


def test_srgb_curve_against_the_standard():
    values = np.linspace(0, 1, 300, dtype=np.float32).reshape(-1, 3)
    encoded = CONFIG.model_curve(decode=False).apply(values)
    # OCIO joins the two pieces smoothly (slope 12.9232); the standard rounds the slope to 12.92.
    np.testing.assert_allclose(encoded, srgb(values), atol=1e-5)
    np.testing.assert_allclose(CONFIG.model_curve(decode=True).apply(encoded), values, atol=3e-7)


def test_configs_without_our_names(tmp_path):
    own = ColorConfig.load(own_config(tmp_path, ", color_picking: picture"))
    pixels = RNG.uniform(-0.5, 5.0, (30, 3)).astype(np.float32)
    # Its scene space is taken for linear Rec.709, since its colour picker is the sRGB curve of it.
    np.testing.assert_allclose(own.working_to_model_linear().apply(pixels), pixels, atol=1e-5)
    np.testing.assert_allclose(own.model_to_working().apply(own.working_to_model().apply(pixels)), pixels, atol=1e-5)
    with pytest.raises(ColorError, match="interchange"):
        ColorConfig.load(own_config(tmp_path)).working_to_model_linear("acescct")


def test_a_color_picker_that_is_no_srgb_is_not_taken_for_it(tmp_path):
    """Old shows picked colours in a film curve: undone as sRGB it would give networks a picture of another light."""
    old = ColorConfig.load(configs.write_old(tmp_path, role=", color_picking: lgf"))
    with pytest.raises(ColorError, match="neither a space for the encoding srgb nor an interchange role"):
        old.working_to_model_linear()
