"""Colour: which space a file is in, what networks see, and highlights given back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfxswap import color
from vfxswap.color import ColorConfig, ModelSpace, exposure_from_percentiles, luminance
from vfxswap.errors import ColorError
from vfxswap.pixels import F32, ModelRgb, WorkingRgb

CONFIG = ColorConfig.load(color.PINNED_CONFIG)
RNG = np.random.default_rng(11)

# A studio's own config, without names that ours would know: one sRGB-encoded space and a file rule.
OWN_CONFIG = """ocio_profile_version: 2
search_path: ""
roles: {default: scene, scene_linear: scene%(role)s}
file_rules:
  - !<Rule> {name: graded, colorspace: picture, pattern: "*graded*", extension: "exr"}
  - !<Rule> {name: Default, colorspace: picture}
displays: {monitor: [!<View> {name: raw, colorspace: scene}]}
colorspaces:
  - !<ColorSpace> {name: scene}
  - !<ColorSpace>
    name: picture
    from_scene_reference: !<ExponentWithLinearTransform> {gamma: 2.4, offset: 0.055, direction: inverse}
"""


def working(shape: tuple[int, ...] = (40, 30, 3), *, high: float = 1.0) -> WorkingRgb:
    """Pixels that stay inside Rec.709 and, for high = 1, inside 0..1 there."""
    rec709 = RNG.uniform(0.0, high, shape).astype(np.float32)
    return WorkingRgb(CONFIG.model_linear_to_working().apply(rec709))


def srgb(linear: F32) -> F32:
    """IEC 61966-2-1, as a second opinion."""
    curve = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    return np.asarray(np.where(linear <= 0.0031308, 12.92 * linear, curve), np.float32)


# ------------------------------------------------------------------------------------------------ configs


def test_order_of_configs(tmp_path, monkeypatch):
    own = tmp_path / "own.ocio"
    own.write_text(OWN_CONFIG % {"role": ""})
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
    nothing.write_text((OWN_CONFIG % {"role": ""}).replace(", scene_linear: scene", ""))
    for path, text in [(tmp_path / "no.ocio", "not found"), (broken, "cannot be used"), (nothing, "scene_linear")]:
        with pytest.raises(ColorError, match=text):
            ColorConfig.load(path)
    monkeypatch.setenv("OCIO", "/nowhere/config.ocio")
    with pytest.raises(ColorError, match=r"\$OCIO"):
        ColorConfig.load()


@pytest.mark.parametrize(
    ("wanted", "space"),
    [
        ({}, "ACEScg"),  # and not ACES2065-1, which the Default rule says
        ({"path": "/p/a.exr"}, "ACEScg"),
        ({"tagged": "lin_ap0_scene"}, "ACES2065-1"),
        ({"tagged": "no_such_space"}, "ACEScg"),
        ({"explicit": "scene_linear"}, "ACEScg"),
        ({"explicit": "lin_rec709", "tagged": "lin_ap0_scene"}, "Linear Rec.709 (sRGB)"),
    ],
)
def test_file_space(wanted, space):
    assert CONFIG.file_space(**wanted) == space


def test_file_rules_count_when_they_are_about_the_file(tmp_path):
    (tmp_path / "own.ocio").write_text(OWN_CONFIG % {"role": ""})
    own = ColorConfig.load(tmp_path / "own.ocio")
    assert own.file_space(path="/p/shot_graded.1001.exr") == "picture"
    assert own.file_space(path="/p/shot.1001.exr") == "scene"
    assert own.file_space(path="/p/shot_graded.1001.exr", tagged="scene") == "scene"


def test_old_configs_know_interop_ids():
    old = ColorConfig.load("ocio://cg-config-v1.0.0_aces-v1.3_ocio-v2.1")
    assert old.file_space(tagged="lin_ap1_scene") == "ACEScg"
    assert old.file_space(tagged="lin_ap0_scene") == "ACES2065-1"


@pytest.mark.parametrize(("wrong", "near"), [("ACES cg", "ACEScg"), ("srgb", "srgb_tx"), ("Rec709", "rec709")])
def test_wrong_names_get_the_near_ones(wrong, near):
    with pytest.raises(ColorError) as caught:
        CONFIG.file_space(explicit=wrong)
    assert repr(wrong) in caught.value.message
    assert near.lower() in caught.value.hint.lower()


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
    path = tmp_path / "own.ocio"
    path.write_text(OWN_CONFIG % {"role": ", color_picking: picture"})
    own = ColorConfig.load(path)
    pixels = RNG.uniform(-0.5, 5.0, (30, 3)).astype(np.float32)
    # Its scene space is taken for linear Rec.709, since its colour picker is the sRGB curve of it.
    np.testing.assert_allclose(own.working_to_model_linear().apply(pixels), pixels, atol=1e-5)
    np.testing.assert_allclose(own.model_to_working().apply(own.working_to_model().apply(pixels)), pixels, atol=1e-5)
    path.write_text(OWN_CONFIG % {"role": ""})
    with pytest.raises(ColorError, match="interchange"):
        ColorConfig.load(path).working_to_model_linear("acescct")


# -------------------------------------------------------------------------------------------- model space


def test_encode_is_clipped_srgb_of_the_exposed_picture():
    space = ModelSpace(CONFIG, 0.5)
    pixels = working(high=4.0)
    linear = CONFIG.working_to_model_linear().apply(pixels)
    np.testing.assert_allclose(space.encode(pixels), srgb(np.clip(0.5 * linear, 0, 1)), atol=1e-5)
    np.testing.assert_allclose(space.linear(pixels), 0.5 * linear, rtol=1e-6)
    grey = WorkingRgb(np.full((1, 3), 0.36, np.float32))
    np.testing.assert_allclose(space.encode(grey), 0.4613561, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(stops=st.floats(-6, 6), encoding=st.sampled_from(color.encodings()))
def test_decode_undoes_encode(stops, encoding):
    space = ModelSpace(CONFIG, 2.0**stops, encoding)
    pixels = WorkingRgb(working() / np.float32(space.gain))
    np.testing.assert_allclose(space.decode(space.encode(pixels)), pixels, rtol=2e-5, atol=1e-6 / space.gain)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), gain=st.floats(0.05, 20))
def test_a_perfect_prediction_gives_the_plate_back(seed, gain):
    space = ModelSpace(CONFIG, gain)
    rng = np.random.default_rng(seed)
    rec709 = rng.choice([-0.1, 0.0, 0.2, 0.9, 1.0, 3.0, 40.0], (20, 3)) * rng.uniform(0.5, 1.0, (20, 3))
    plate = space.unlinear(rec709.astype(np.float32))
    restored = space.restore(space.encode(plate), plate)
    np.testing.assert_allclose(space.linear(restored), rec709, rtol=1e-5, atol=2e-5)
    assert np.abs(space.linear(space.restore(space.encode(plate), plate, 0.0)) - rec709).max() > 1.0 or (
        rec709.max() < 2.0
    )


def test_the_doubles_highlights_stay_off_dark_features():
    space = ModelSpace(CONFIG, 1.0)
    plate = space.unlinear(np.full((3, 3), 30.0, np.float32))
    codes = np.array([0.2, 0.69, 1.0], np.float32)
    prediction = ModelRgb(np.repeat(codes[:, None], 3, axis=1))
    restored = space.linear(space.restore(prediction, plate))
    expected = space.decode_linear(prediction)
    np.testing.assert_allclose(restored[:2], expected[:2], atol=1e-5)  # a brow, a cheek: as predicted
    np.testing.assert_allclose(restored[2], 30.0, rtol=1e-4)
    half = space.linear(space.restore(prediction, plate, strength=0.5))
    np.testing.assert_allclose(half[2], 15.5, rtol=1e-4)


def test_in_range_plates_change_nothing_and_suns_are_capped():
    space = ModelSpace(CONFIG, 1.0)
    prediction = ModelRgb(RNG.uniform(0.0, 1.0, (50, 3)).astype(np.float32))
    plate = space.unlinear(RNG.uniform(0.01, 0.99, (50, 3)).astype(np.float32))
    np.testing.assert_allclose(space.restore(prediction, plate), space.decode(prediction), atol=2e-6)
    sun = space.unlinear(np.full((1, 3), 60000.0, np.float32))
    white = ModelRgb(np.ones((1, 3), np.float32))
    np.testing.assert_allclose(space.linear(space.restore(white, sun)), color.MAX_RATIO, rtol=1e-4)


def test_model_space_json():
    space = ModelSpace(CONFIG, 1.75, "acescct")
    record = space.to_json()
    assert record["config"] == {"id": color.PINNED_CONFIG, "hash": CONFIG.hash, "working_space": "ACEScg"}
    assert ModelSpace.from_json(record, CONFIG) == space
    for broken in (
        {},
        {"gain": "x", "encoding": "srgb"},
        {"gain": 0.0, "encoding": "srgb"},
        {**record, "encoding": "pq"},
    ):
        with pytest.raises(ColorError):
            ModelSpace.from_json(broken, CONFIG)


@pytest.mark.parametrize("gain", [0.0, -1.0, float("nan"), float("inf")])
def test_senseless_gains(gain):
    with pytest.raises(ColorError, match="gain"):
        ModelSpace(CONFIG, gain)


# -------------------------------------------------------------------------------------------------- light


def test_luminance():
    assert luminance(WorkingRgb(np.ones((2, 3), np.float32)), CONFIG) == pytest.approx([1.0, 1.0], abs=1e-5)
    np.testing.assert_allclose(CONFIG.luminance_weights(), [0.2722, 0.6741, 0.0537], atol=6e-3)  # AP1, S-2014-004
    assert luminance(working(), CONFIG).shape == (40, 30)


@pytest.mark.parametrize("stops", [-5, 0, 6])
def test_first_exposure_follows_the_plate(stops):
    plate = WorkingRgb(np.exp(RNG.normal(-1.7, 0.6, (200, 300, 1))).astype(np.float32).repeat(3, axis=2))
    exposed = WorkingRgb(plate * np.float32(2.0**stops))
    exposed[:40] = 0.0  # letterbox
    exposed[50, :7] = np.nan
    exposed[51, :7] = np.inf
    gain = exposure_from_percentiles(exposed, CONFIG)
    values = luminance(exposed, CONFIG)[52:]
    assert np.median(values) * gain == pytest.approx(0.18, rel=0.05)


def test_first_exposure_limits():
    dark_set = np.full((100, 100, 3), 0.001, np.float32)
    dark_set[:30, :30] = 0.1  # the face
    assert 0.1 * exposure_from_percentiles(WorkingRgb(dark_set), CONFIG) <= 1.0
    assert exposure_from_percentiles(WorkingRgb(np.zeros((9, 9, 3), np.float32)), CONFIG) == 1.0
    assert exposure_from_percentiles(WorkingRgb(np.full((9, 9, 3), 1e-5, np.float32)), CONFIG) == 256.0
    assert exposure_from_percentiles(WorkingRgb(np.full((9, 9, 3), 1e4, np.float32)), CONFIG) == 2.0**-8


def test_paths_and_text_name_the_same_config(tmp_path):
    path = Path(tmp_path / "own.ocio")
    path.write_text(OWN_CONFIG % {"role": ""})
    assert ColorConfig.load(path).id == ColorConfig.load(str(path)).id
    assert set(ColorConfig.load(path).names()) == {"scene", "picture"}
