"""One frame: exact outside the matte, linear inside, and every layer where it belongs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import pytest

from vfxswap import blend, exr, output, render, steady
from vfxswap.color import ColorConfig, ModelSpace
from vfxswap.face.track import FaceFrame
from vfxswap.geometry import Window
from vfxswap.job import LightMatch, SwapParameters
from vfxswap.measure import Measurements
from vfxswap.pixels import F32, AnyArray, Matte, ModelRgb
from vfxswap.plate import Plate, open_plate
from vfxswap.vfxmodel import SwapModel

from .support import PASS_THROUGH, SIZE, Studio, astronaut, disc, face, network, write_frame

RNG = np.random.default_rng(11)
FACE = face(80, 70, 60)
"""About as large in the plate as in the crop."""

BARE = SwapParameters(relight=0, edge_feather=0)


@pytest.fixture(scope="module")
def tint(production: Studio) -> SwapModel:
    return production.open(production.model())


@pytest.fixture(scope="module")
def same(production: Studio) -> SwapModel:
    """Paints what it sees."""
    return production.open(production.model("same", network(PASS_THROUGH)))


def plate_of(folder: Path, rgb: np.ndarray, **layout: Any) -> Plate:
    return open_plate(str(write_frame(folder / "p.1001.exr", rgb, **layout)))


def measured(gain: float = 1.0, stops: float | np.ndarray = 0.0) -> Measurements:
    grid = np.zeros((blend.GRID, blend.GRID, 3), np.float32) + np.float32(stops)
    return Measurements(gain, "", {1001: grid})


def swapped(
    plate: Plate, model: SwapModel, found: FaceFrame = FACE, **options: Any
) -> tuple[exr.Frame, render.Swapped, AnyArray]:
    """The plate's frame, the face's part of it swapped, and the whole comp."""
    image = plate.read(1001)
    done = swap(image, plate, model, found, **options)
    assert done is not None
    return image, done, picture(image, plate, done).whole()


def swap(
    image: exr.Frame,
    plate: Plate,
    model: SwapModel,
    found: FaceFrame = FACE,
    *,
    measurements: Measurements | None = None,
    parameters: SwapParameters | None = None,
    **options: Any,
) -> render.Swapped | None:
    target = render.Target(plate, model, {1001: found}, measurements or measured(), parameters or SwapParameters())
    return render.swap_face(target, image, frame=1001, everything=True, **options)


def picture(image: exr.Frame, plate: Plate, *done: render.Swapped | None) -> render.Picture:
    suffixes = ["", *(str(i) for i in range(2, len(done) + 1))]
    return render.compose(image, dict(zip(suffixes, done, strict=True)), plate=plate, everything=True)


def full(alpha: np.ndarray, window: Window, held: Window) -> np.ndarray:
    """`alpha` over the whole data window."""
    out = np.zeros((held.height, held.width), alpha.dtype)
    out[window.slices(held)] = alpha
    return out


def bits() -> np.ndarray:
    """(140, 160, 3) any half there is, and surely -0.0, Inf and a NaN with a payload."""
    found = RNG.integers(0, 2**16, (140, 160, 3), dtype=np.uint16)
    found[0, :3] = [[0x8000], [0x7C00], [0x7E01]]
    return found.view(np.float16)


def test_outside_the_matte_every_bit_stays(tint: SwapModel, tmp_path: Path):
    plate = plate_of(tmp_path, bits())
    image, done, comp = swapped(plate, tint)
    alpha = full(done.alpha, done.window, image.origin_window)
    assert 1000 < (alpha > 0).sum() < alpha.size / 2
    np.testing.assert_array_equal(comp[alpha == 0].view(np.uint16), image.rgb[alpha == 0].view(np.uint16))
    assert np.isfinite(comp[alpha > 0]).all()
    assert done.scrubbed == (~np.isfinite(image.rgb[alpha > 0])).sum() > 0
    assert {0x8000, 0x7C00, 0x7E01} <= set(comp[alpha == 0].view(np.uint16).ravel().tolist())


def test_float_plates_stay_float_to_the_bit(tint: SwapModel, tmp_path: Path):
    rgb = astronaut(160)[:140] + np.float32(1e-6)
    plate = plate_of(tmp_path, rgb, dtype=np.float32)
    image, done, comp = swapped(plate, tint)
    assert comp.dtype == np.float32
    alpha = full(done.alpha, done.window, image.origin_window)
    np.testing.assert_array_equal(comp[alpha == 0].view(np.uint32), rgb[alpha == 0].view(np.uint32))


def test_what_no_screen_can_show_survives_under_the_face(same: SwapModel, tmp_path: Path):
    rgb = np.full((140, 160, 3), 0.2, np.float32)
    rgb[60:74, 62:76], rgb[60:74, 84:98] = 100.0, -0.5
    plate = plate_of(tmp_path, rgb)
    image, done, comp = swapped(plate, same, measurements=measured(gain=0.5), parameters=BARE)
    alpha = full(done.alpha, done.window, image.origin_window)
    assert alpha[67, 69] == alpha[67, 91] == 1.0
    np.testing.assert_allclose(comp[67, 69].astype(np.float32), 100.0, rtol=0.01)
    np.testing.assert_allclose(comp[67, 91].astype(np.float32), -0.5, rtol=0.01)
    np.testing.assert_allclose(comp[90, 80].astype(np.float32), 0.2, rtol=0.01)
    _, _, dull = swapped(
        plate, same, measurements=measured(gain=0.5), parameters=BARE.model_copy(update={"highlights": 0.0})
    )
    np.testing.assert_allclose(dull[67, 69].astype(np.float32), 2.0, rtol=0.02)


def test_half_a_constant_face_over_a_constant_plate_is_the_linear_mean(production: Studio, tmp_path: Path):
    code = np.array([0.8, 0.6, 0.5], np.float32)
    model = production.open(production.model("half", network(constant=code, mask=disc() * 0.5)))
    plate = plate_of(tmp_path, np.full((140, 160, 3), 3.0, np.float32))
    _, _, comp = swapped(plate, model, measurements=measured(gain=0.05), parameters=BARE)
    painted = ModelSpace(ColorConfig.load(None), 0.05).decode(ModelRgb(code[None]))[0]
    np.testing.assert_allclose(comp[70, 80].astype(np.float32), (painted + 3.0) / 2, rtol=2**-10)


def test_a_model_that_changes_nothing_gives_the_plate_back(same: SwapModel, tmp_path: Path):
    rgb = astronaut(160)
    plate = plate_of(tmp_path, rgb)
    image, done, comp = swapped(plate, same, face(80, 75, 60), parameters=BARE)
    alpha = full(done.alpha, done.window, image.origin_window)
    error = np.abs(comp.astype(np.float32) - image.rgb.astype(np.float32))[alpha == 1]
    assert np.median(error) < 0.015


def test_relight_is_a_gain_in_stops(same: SwapModel, tmp_path: Path):
    plate = plate_of(tmp_path, np.full((140, 160, 3), 0.2, np.float32))
    stops = np.array([1.0, 0.0, -2.0], np.float32)
    for strength, wanted in ((1.0, [0.4, 0.2, 0.05]), (0.5, [0.2 * 2**0.5, 0.2, 0.1]), (0.0, [0.2, 0.2, 0.2])):
        knobs = SwapParameters(relight=strength)
        _, done, comp = swapped(plate, same, measurements=measured(stops=stops), parameters=knobs)
        np.testing.assert_allclose(comp[70, 80].astype(np.float32), wanted, rtol=3e-3)
        np.testing.assert_allclose([done.layers[f"gain.{c}"][30, 30] for c in "RGB"], stops * strength, atol=1e-5)
    knobs = SwapParameters(skin_tone="likeness")
    _, done, comp = swapped(plate, same, measurements=measured(stops=stops), parameters=knobs)
    np.testing.assert_allclose(comp[70, 80].astype(np.float32), 0.2 * 2 ** (-1 / 3), rtol=3e-3)


def matched() -> Measurements:
    """Every way of matching asks for something else."""
    y, x = np.mgrid[: blend.COARSE, : blend.COARSE] / blend.COARSE
    coarse = np.stack([x, y, 0.5 + 0 * x], axis=-1).astype(np.float32)
    tones = np.array([[0.5, 0.25, 0.0], [-3.0, -3.0, -3.0], [0.5, 0.0, -0.5]], np.float32)
    base = measured(stops=-1.0)
    return replace(base, match={1001: blend.Match(tones, coarse)})


@pytest.mark.parametrize("match", get_args(LightMatch))
def test_every_match_is_in_the_gain_and_the_face_can_be_made_of_the_layers(
    match: LightMatch, same: SwapModel, tmp_path: Path
) -> None:
    """With numpy alone, to within the rounding of half; relight scales whatever it is."""
    plate = plate_of(tmp_path, astronaut(160))
    gains = {}
    for strength in (1.0, 0.5):
        knobs = SwapParameters(match=match, relight=strength, grain=0, band_coarse=1, band_middle=0.5)
        image, done, comp = swapped(plate, same, measurements=matched(), parameters=knobs)
        found, _ = written(plate, done, tmp_path / f"{strength}.1001.exr", "ingredients")
        layers = {name: value.astype(np.float32) for name, value in found.items()}
        alpha = layers["face.A"]
        for i, c in enumerate("RGB"):
            made = layers[f"raw.{c}"] * np.exp2(layers[f"gain.{c}"]) * alpha
            behind = image.rgb[..., i].astype(np.float32)
            np.testing.assert_allclose(behind * (1 - alpha) + made, comp[..., i], rtol=5e-3, atol=1e-4)
        gains[strength] = np.dstack([done.layers[f"gain.{c}"] for c in "RGB"])[done.alpha > 0]
    np.testing.assert_allclose(gains[0.5], 0.5 * gains[1.0], atol=1e-5)
    one = gains[1.0]
    if match == "none":
        assert (one == 0).all()
    elif match == "membrane":
        np.testing.assert_allclose(one, -1.0, atol=1e-5)
    elif match == "mean":
        np.testing.assert_allclose(one, np.tile([0.5, 0.25, 0.0], (len(one), 1)), atol=1e-5)
    elif match == "spread":
        assert np.ptp(one[:, 0]) > 0.3 and np.ptp(one[:, 1]) < 1e-5 and np.ptp(one[:, 2]) > 0.3
    else:
        assert np.ptp(one[:, 0]) > 0.2 and np.ptp(one[:, 1]) > 0.2


@pytest.mark.parametrize("match", get_args(LightMatch))
def test_what_steadies_the_face_is_in_the_gain_of_every_match(
    match: LightMatch, same: SwapModel, tmp_path: Path
) -> None:
    plate = plate_of(tmp_path, np.full((140, 160, 3), 0.2, np.float32))
    held = np.full((steady.CELLS, steady.CELLS, 3), [0.25, 0.0, -0.125], np.float16)

    def gain(**knobs: float) -> F32:
        parameters = SwapParameters(match=match, **knobs)
        _, done, _ = swapped(plate, same, measurements=replace(matched(), steady={1001: held}), parameters=parameters)
        return np.dstack([done.layers[f"gain.{c}"] for c in "RGB"])

    without, half, whole = gain(steady=0), gain(steady=0.5), gain()
    np.testing.assert_allclose(whole - without, np.broadcast_to([0.25, 0, -0.125], whole.shape), atol=1e-5)
    np.testing.assert_allclose(half - without, (whole - without) / 2, atol=1e-5)
    np.testing.assert_allclose(gain(relight=0.5), whole / 2, atol=1e-5)


def test_mix_zero_is_the_plate(tint: SwapModel, tmp_path: Path):
    plate = plate_of(tmp_path, bits())
    image, done, comp = swapped(plate, tint, parameters=SwapParameters(mix=0))
    np.testing.assert_array_equal(comp.view(np.uint16), image.rgb.view(np.uint16))
    assert done.scrubbed == 0


def test_knobs_move_the_matte(tint: SwapModel, tmp_path: Path):
    plate = plate_of(tmp_path, np.full((140, 160, 3), 0.2, np.float32))

    def area(**knobs: float) -> float:
        return float(swapped(plate, tint, parameters=SwapParameters(**knobs))[1].alpha.astype(np.float32).sum())

    plain = area(edge_feather=0)
    assert plain == pytest.approx(disc().sum() * (60 * 1.2 / SIZE) ** 2, rel=0.02)
    # A disc of radius .36 crops; a percent is 1/120 of a crop.
    assert area(edge_feather=0, edge_erode=3) / plain == pytest.approx((1 - 0.03 / 1.2 / 0.36) ** 2, rel=0.02)
    assert area(edge_feather=0, edge_erode=-3) / plain == pytest.approx((1 + 0.03 / 1.2 / 0.36) ** 2, rel=0.02)
    assert area(edge_feather=3) == pytest.approx(plain, rel=0.005)
    assert area(edge_feather=10) == pytest.approx(plain, rel=0.02)
    assert (
        area(edge_feather=0, edge_erode=3)
        < area(edge_feather=0, edge_top=3)
        < plain
        < area(edge_feather=0, edge_left=-3)
    )
    assert area(edge_feather=0, mix=0.25) == pytest.approx(plain / 4, rel=0.01)


def test_the_shaped_matte_is_the_models_but_for_its_soft_edge(tint: SwapModel, tmp_path: Path):
    plate = plate_of(tmp_path, np.full((140, 160, 3), 0.2, np.float32))
    for feather in (0.0, 3.0, 20.0):
        _, done, _ = swapped(plate, tint, parameters=SwapParameters(edge_feather=feather))
        alpha, model = done.alpha.astype(np.float32), done.layers["matte.model"]
        # Where the model covers all or nothing, the edge is half of the feather away; a face is 60 pixels.
        near = np.ones((3, 3), np.uint8)
        far = int(np.ceil(60 * feather / 100 / 2)) + 2
        assert (alpha[cv2.dilate(model, near, iterations=far) == 0] == 0).all()
        assert (alpha[cv2.erode(model, near, iterations=far) == 1] == 1).all()
        assert np.mean((alpha > 0.5) != (model > 0.5)) < 0.005
    _, done, _ = swapped(plate, tint, parameters=SwapParameters(edge_feather=4, edge_erode=2))
    assert (done.alpha.astype(np.float32) <= done.layers["matte.model"] + 1e-3).all()


def test_the_matte_does_not_jump_when_the_face_grows(tint: SwapModel, tmp_path: Path):
    plate = plate_of(tmp_path, np.full((140, 160, 3), 0.2, np.float32))
    sizes = np.linspace(50, 62, 49)
    areas = [swapped(plate, tint, face(80, 70, s))[1].alpha.astype(np.float64).sum() / s**2 for s in sizes]
    assert np.abs(np.diff(areas)).max() < 0.002 * areas[0]


def test_an_artist_matte_limits_the_face(tint: SwapModel, tmp_path: Path):
    plate = plate_of(tmp_path, bits())
    limit, occlusion = np.zeros((140, 160), np.float32), np.zeros((140, 160), np.float32)
    limit[:, 80:] = 1.0
    occlusion[80:] = 1.0
    cover = render.Cover(Window(0, 0, 160, 140), Matte(limit), Matte(occlusion))
    image, done, comp = swapped(plate, tint, cover=cover)
    alpha = full(done.alpha, done.window, image.origin_window)
    assert (alpha[:, :80] == 0).all()
    assert (alpha[80:] == 0).all()
    assert (alpha[:80, 80:] > 0).sum() > 300
    np.testing.assert_array_equal(comp[:, :80].view(np.uint16), image.rgb[:, :80].view(np.uint16))


def test_overflow_is_bounded_and_counted(same: SwapModel, tmp_path: Path):
    plate = plate_of(tmp_path, np.full((140, 160, 3), 60000.0, np.float32))
    image, done, comp = swapped(plate, same, measurements=measured(gain=1e-3, stops=2.0), parameters=SwapParameters())
    alpha = full(done.alpha, done.window, image.origin_window)
    assert done.clamped >= 3 * (alpha == 1).sum()
    assert np.isfinite(comp).all()
    assert comp[70, 80, 0] == np.float16(65504)


def test_a_network_that_covers_nothing_leaves_the_frame_alone(production: Studio, tmp_path: Path):
    model = production.open(production.model("nothing", network(mask=disc() * 0.001)))
    plate = plate_of(tmp_path, bits())
    image = plate.read(1001)
    assert swap(image, plate, model) is None
    comp = picture(image, plate, None).whole()
    np.testing.assert_array_equal(comp.view(np.uint16), image.rgb.view(np.uint16))


# --------------------------------------------------------------------------------------------------- where


def test_windows_and_origins_do_not_move_the_picture(tint: SwapModel, tmp_path: Path):
    rgb = astronaut(200)
    inner = rgb[30:170, 20:180]
    _, plain, plain_comp = swapped(plate_of(tmp_path / "a", inner), tint, face(80, 65, 60))
    moved = {"data_window": Window(100, -50, 160, 140), "display_window": Window(100, -50, 160, 140)}
    _, _, elsewhere = swapped(plate_of(tmp_path / "b", inner, **moved), tint, face(80, 65, 60))
    np.testing.assert_array_equal(plain_comp, elsewhere)
    overscan = {"data_window": Window(-20, -30, 200, 200), "display_window": Window(0, 0, 160, 140)}
    _, wide, wide_comp = swapped(plate_of(tmp_path / "c", rgb, **overscan), tint, face(80, 65, 60))
    np.testing.assert_array_equal(plain_comp, wide_comp[30:170, 20:180])
    assert wide.window == plain.window


@pytest.mark.parametrize(("x", "y"), [(0, 70), (160, 140), (-20, 70), (80, -25)])
def test_a_face_at_the_border_is_cut_off_there(tint: SwapModel, tmp_path: Path, x: float, y: float):
    plate = plate_of(tmp_path, bits())
    image, done, comp = swapped(plate, tint, face(x, y, 60))
    alpha = full(done.alpha, done.window, image.origin_window)
    assert (alpha > 0).any()
    np.testing.assert_array_equal(comp[alpha == 0].view(np.uint16), image.rgb[alpha == 0].view(np.uint16))


@pytest.mark.parametrize(("x", "y"), [(-200, 70), (80, 500)])
def test_a_face_outside_of_the_picture_changes_nothing(tint: SwapModel, tmp_path: Path, x: float, y: float):
    plate = plate_of(tmp_path, bits())
    image = plate.read(1001)
    assert swap(image, plate, tint, face(x, y, 60)) is None


def test_a_squeezed_plate_gets_a_squeezed_face(tint: SwapModel, tmp_path: Path):
    rgb = astronaut(160)
    squeezed = rgb.reshape(160, 80, 2, 3).mean(axis=2)
    _, plain, plain_comp = swapped(plate_of(tmp_path / "a", rgb), tint, face(80, 75, 60))
    _, narrow, narrow_comp = swapped(plate_of(tmp_path / "b", squeezed), tint, face(40, 75, 60, squeeze=2.0))
    held = Window(0, 0, 160, 160)
    wide_alpha = full(plain.alpha, plain.window, held).astype(np.float32).reshape(160, 80, 2).mean(axis=2)
    narrow_alpha = full(narrow.alpha, narrow.window, Window(0, 0, 80, 160)).astype(np.float32)
    assert np.abs(wide_alpha - narrow_alpha).max() < 0.1
    assert narrow_alpha.sum() == pytest.approx(wide_alpha.sum(), rel=0.01)
    error = np.abs(plain_comp.astype(np.float32).reshape(160, 80, 2, 3).mean(axis=2) - narrow_comp.astype(np.float32))
    assert np.median(error[narrow_alpha > 0.9]) < 0.02


# ------------------------------------------------------------------------------------------------- written


LAYERS = {
    *(f"{layer}.{c}" for layer in ("face", "raw", "gain", "grain", "delta") for c in "RGB"),
    *(f"matte.{cause}" for cause in ("face", "model", "occlusion", "person", "artist", "eyes", "mouth")),
    *("face.A", "quality.confidence", "stmap.u", "stmap.v"),
}


def written(
    plate: Plate, done: render.Swapped | None, path: Path, layers: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    output.write([picture(plate.read(1001), plate, done)], path, layers=layers, hints={"vfxswap:job": "k"})
    return exr.read_channels(path)


def test_ingredients_add_up_to_the_comp(tint: SwapModel, tmp_path: Path):
    rgb = astronaut(160)
    plate = plate_of(tmp_path, rgb, extra={"A": np.ones((160, 160), np.float16), "Z": np.ones((160, 160), np.float32)})
    image, done, _ = swapped(plate, tint, face(80, 75, 60), measurements=measured(stops=0.7))
    found, attributes = written(plate, done, tmp_path / "o.1001.exr", "ingredients")
    assert set(found) == {"R", "G", "B", "A", "Z"} | LAYERS
    assert {name for name in LAYERS if found[name].dtype == np.float32} == {"stmap.u", "stmap.v"}
    alpha = found["face.A"].astype(np.float64)
    np.testing.assert_array_equal(found["face.A"], found["matte.face"])
    assert 0.3 < alpha[(alpha > 0)].mean() < 1.0
    for i, c in enumerate("RGB"):
        behind = image.rgb[..., i].astype(np.float64)
        sum_of_parts = behind * (1 - alpha) + found[f"face.{c}"].astype(np.float64)
        # Half a step of the face as written and half a step of the sum.
        step = (
            np.spacing(np.abs(found[c])).astype(np.float64) / 2 + np.spacing(found[f"face.{c}"]).astype(np.float64) / 2
        )
        assert (np.abs(found[c].astype(np.float64) - sum_of_parts) <= 1.001 * step).all()
        delta = found[c].astype(np.float64) - behind
        np.testing.assert_allclose(found[f"delta.{c}"], delta, atol=2e-3)
        lit = found[f"raw.{c}"].astype(np.float64) * np.exp2(found[f"gain.{c}"].astype(np.float64)) * alpha
        lit += found[f"grain.{c}"].astype(np.float64)
        np.testing.assert_allclose(
            lit[alpha > 0], found[f"face.{c}"].astype(np.float64)[alpha > 0], rtol=4e-3, atol=1e-5
        )
    assert attributes["vfxtest:frame"] == 1001
    np.testing.assert_array_equal(found["Z"], 1.0)
    assert 0 <= found["quality.confidence"].min() <= found["quality.confidence"].max() <= 0.9


def test_the_comp_is_the_same_in_every_kind_of_file(tint: SwapModel, tmp_path: Path):
    plate = plate_of(tmp_path, astronaut(160))
    image, done, whole = swapped(plate, tint, face(80, 75, 60))
    comp, _ = written(plate, done, tmp_path / "c.1001.exr", "comp")
    ingredients, _ = written(plate, done, tmp_path / "i.1001.exr", "ingredients")
    patch, _ = written(plate, done, tmp_path / "patch.1001.exr", "patch")
    assert set(comp) == {"R", "G", "B"}
    for i, c in enumerate("RGB"):
        np.testing.assert_array_equal(comp[c].view(np.uint16), whole[..., i].view(np.uint16))
        np.testing.assert_array_equal(comp[c].view(np.uint16), ingredients[c].view(np.uint16))
        np.testing.assert_array_equal(patch[c], ingredients[f"face.{c}"][done.window.slices(image.origin_window)])
    assert set(patch) == {"R", "G", "B", "A"}
    info = exr.probe(tmp_path / "patch.1001.exr").parts[0]
    assert info.data_window == done.window
    assert info.display_window == Window(0, 0, 160, 160)


def test_a_frame_without_a_face_has_every_layer_empty(tmp_path: Path):
    plate = plate_of(tmp_path, bits())
    image = plate.read(1001)
    found, _ = written(plate, None, tmp_path / "o.1001.exr", "ingredients")
    assert set(found) == {"R", "G", "B"} | LAYERS
    assert all((found[name] == 0).all() for name in LAYERS)
    for i, c in enumerate("RGB"):
        np.testing.assert_array_equal(found[c].view(np.uint16), image.rgb[..., i].view(np.uint16))
    patch, _ = written(plate, None, tmp_path / "patch.1001.exr", "patch")
    assert {name: (value.shape, float(value.max())) for name, value in patch.items()} == dict.fromkeys(
        "RGBA", ((1, 1), 0.0)
    )


def test_the_header_holds_nothing_of_time_and_place(tint: SwapModel, tmp_path: Path):
    plate = plate_of(tmp_path, astronaut(160))
    image, done, _ = swapped(plate, tint)
    target = render.Target(plate, tint, {1001: FACE}, measured(gain=0.25), SwapParameters())
    found = output.header(
        key="k", targets=[target], pictures=[picture(image, plate, done)], consents={"b": "2", "a": "1"}, frame=1001
    )
    assert found == {
        "vfxswap:altered": "1",
        "vfxswap:job": "k",
        "vfxswap:model": tint.card.onnx_sha256,
        "vfxswap:consent": "a b",
        "vfxswap:confidence": "0.900",
        "vfxswap:exposure": "-2.0000",
        "vfxswap:encoding": "srgb",
        "vfxswap:ocio": f"{plate.config.id} {plate.config.hash}",
        "vfxswap:space": "ACEScg",
    }
    empty = picture(image, plate, None)
    assert output.header(key="k", targets=[target], pictures=[empty], consents={}, frame=1001)["vfxswap:altered"] == "0"
