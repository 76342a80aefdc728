"""The live node: its arithmetic is the core's, its keys are the track's, and the .cat is made as cat.json says."""

from __future__ import annotations

import ast
import json
import runpy
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vfxswap import align, infer, measure, vfxmodel
from vfxswap.color import ColorConfig
from vfxswap.face import expression
from vfxswap.face.export import live, nk
from vfxswap.train import nuke_cat

from . import graph, test_gizmo
from .evaluate import Evaluator, Stream
from .fake_nuke import FakeNuke
from .shot import DEMO, Shot, pick

ROOT = Path(__file__).parents[2]
LIVE = ROOT / "gizmos" / "VfxSwapLive.gizmo"
RGB = ("rgba.red", "rgba.green", "rgba.blue")


@pytest.fixture(scope="module")
def card() -> vfxmodel.ModelCard:
    return vfxmodel.read_card(DEMO / "ben_over_anna.vfxmodel")


@pytest.fixture(scope="module")
def network(card: vfxmodel.ModelCard) -> Callable[[Stream, dict[str, float]], Stream]:
    """What Inference does with the TorchScript; tests/models/test_torchscript.py holds that against the ONNX."""
    with zipfile.ZipFile(DEMO / "ben_over_anna.vfxmodel") as package:
        session = infer.session(package.read(vfxmodel.NETWORK), device="cpu")
    knobs = nuke_cat.told(card)
    window = align.frame_weight(size=card.resolution)

    def paint(stream: Stream, given: dict[str, float]) -> Stream:
        assert knobs is not None
        assert stream[RGB[0]].shape == (card.resolution, card.resolution)
        away = [(given[n] - r) / s for n, r, s in zip(knobs.names, knobs.rest, knobs.spread, strict=True)]
        crop = np.clip(np.stack([stream[name] for name in RGB]), 0, 1)[None].astype(np.float32)
        rgb, mask, *_ = session.run(crop=crop, condition=np.clip([away], -3, 3).astype(np.float32))
        return dict(zip((*RGB, "rgba.alpha"), (*rgb[0], mask[0, 0] * window), strict=True))

    return paint


@pytest.fixture(scope="module")
def keys(demo_track: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[float, float]]]:
    """Knob -> a curve for each of its numbers, as `track export --to nuke-live` writes them."""
    import subprocess
    import sys

    path = tmp_path_factory.mktemp("live") / "live.knobs"
    command = [sys.executable, "-m", "vfxswap", "track", "export", demo_track, "--to", "nuke-live", "--output", path]
    subprocess.run([*map(str, command)], check=True, capture_output=True)
    return {name.text: _curves(value.text) for name, value in nk.commands(path.read_text())}


def _curves(text: str) -> list[dict[float, float]]:
    found = [nk.number_or_curve(word) for word in nk.words(text)]
    assert all(isinstance(one, dict) for one in found)
    return found  # type: ignore[return-value]


def at(keys: dict[str, list[dict[float, float]]], frame: int) -> dict[str, Any]:
    """The gizmo's knobs in a frame."""
    values = {name: [curve[frame] for curve in curves] for name, curves in keys.items() if name != "shown"}
    return {name: value[0] if len(value) == 1 else value for name, value in values.items()}


def output(plate: Stream, paint: Any, *, matte: Any = None, **values: Any) -> Stream:
    group = graph.gizmo(LIVE)[0]
    inputs = {0: plate} | ({} if matte is None else {1: {"rgba.alpha": matte}})
    config = ColorConfig.load()
    spaces = {
        "ToModel": config.working_to_model_linear("srgb").apply,
        "FromModel": config.model_linear_to_working("srgb").apply,
    }
    return Evaluator(group, values, inputs, network=paint, spaces=spaces).run()


# ------------------------------------------------------------------------------------------ the graph


def test_what_a_network_is_told_has_its_knobs() -> None:
    assert test_gizmo.generator().TOLD == expression.NAMES
    group, _ = graph.gizmo(LIVE)
    assert set(live.TOLD) | set(live.PINS) | {"shown"} <= set(group.user)
    given = dict(part.split(":") for part in group.child("Inference1").value("serialiseKnob").split(";") if part)
    assert given == {name: f"{{parent.{name}}}" for name in live.TOLD}


@pytest.mark.parametrize("encoding", ["srgb", "acescct"])
def test_the_curves_are_the_cores(encoding: str) -> None:
    values = np.concatenate([np.linspace(-0.1, 1.2, 200), np.logspace(-4, 1.5, 100)]).astype(np.float32)
    ramp = np.broadcast_to(values[:256], (256, 256))
    plate = {name: np.ascontiguousarray(ramp) for name in RGB} | {"rgba.alpha": np.ones_like(ramp)}
    pins = {"pin1": (0, 0), "pin2": (256, 0), "pin3": (256, 256), "pin4": (0, 256), "size": 256}
    given = {**pins, "encoding": encoding, "gain": 1.0}
    curve = ColorConfig.load().model_curve(encoding, decode=False)
    coded = np.clip(curve.apply(np.repeat(values[:256, None], 3, axis=1))[:, 0], 0, 1)
    seen = output(plate, None, show="crop", **given)["rgba.red"]
    assert np.abs(seen[100] - coded).max() < 2e-6
    # A network that changes nothing: what was not clipped comes back.
    back = output(plate, lambda stream, _: stream, **given)["rgba.red"]
    kept = (coded > 0) & (coded < 1)
    assert kept.sum() > 100
    assert (np.abs(back[100] - values[:256]) / np.maximum(values[:256], 0.01))[kept].max() < 2e-5


def test_the_live_face_is_the_cores(
    keys: dict[str, list[dict[float, float]]], network: Any, card: vfxmodel.ModelCard, demo_measurements: Path,
    demo_render: Any,
) -> None:  # fmt: skip
    """Frame 1004 without what the live node leaves out: relight, highlights, the rendered edge."""
    plate = test_gizmo.stream(DEMO / "plate" / "plate.1004.exr")
    plain = {"relight": 0.0, "highlights": 0.0, "edge_erode": 0.0, "edge_feather": 0.0, "person": 0.0, "grain": 0.0,
             "defocus": 0.0, "motion_blur": 0.0}  # fmt: skip
    made = test_gizmo.stream(demo_render(parameters=plain))
    shot = measure.load(demo_measurements)
    place = shot.placement
    assert place is not None
    given = {**at(keys, 1004), "size": card.resolution, "encoding": card.encoding, "gain": shot.gain,
             "convert": "true", "place_x": place.x, "place_y": place.y, "place_scale": place.scale,
             "place_turn": place.turn_deg}  # fmt: skip
    comp = output(plate, network, **given)
    core, node = (np.stack([one[name] for name in RGB], axis=-1) for one in (made, comp))
    matte = output(plate, network, show="matte", **given)["rgba.red"]
    solid = (matte > 0.99) & (made["face.alpha"] > 0.99)
    assert solid.sum() > 8_000
    off = np.abs(node - core) / np.maximum(core, 0.02)
    before = np.abs(node - np.stack([plate[name] for name in RGB], axis=-1)) / np.maximum(core, 0.02)
    print("live", np.median(off[solid]), np.percentile(off[solid], 99), np.median(before[solid]),
          np.abs(matte - made["face.alpha"]).mean() / made["face.alpha"].mean())  # fmt: skip
    assert np.median(off[solid]) < 0.01
    assert np.percentile(off[solid], 99) < 0.08
    assert np.median(before[solid]) > 0.05
    untouched = matte == 0
    assert np.array_equal(node[untouched], np.stack([plate[name] for name in RGB], axis=-1)[untouched])
    # What it is told counts.
    rest = {name: value for name, value in given.items() if not name.startswith("told_")}
    knobs = nuke_cat.told(card)
    assert knobs is not None
    still = output(plate, network, **rest, **dict(zip(knobs.names, knobs.rest, strict=True)))
    assert np.abs(still["rgba.red"] - comp["rgba.red"]).max() > 0.01


def test_mix_shown_and_matte_limit_the_live_face(
    keys: dict[str, list[dict[float, float]]], network: Any, card: vfxmodel.ModelCard
) -> None:
    plate = test_gizmo.stream(DEMO / "plate" / "plate.1004.exr")
    given = {**at(keys, 1004), "size": card.resolution, "encoding": card.encoding, "gain": 0.8}
    whole = output(plate, network, **given)
    for off in ({"mix": 0.0}, {"shown": 0.0}):
        none = output(plate, network, **given, **off)
        assert all(np.array_equal(none[name], plate[name]) for name in RGB)
    half = np.zeros_like(plate[RGB[0]])
    half[:, : half.shape[1] // 2] = 1
    limited = output(plate, network, matte=half, **given)
    assert np.array_equal(limited["rgba.red"][half == 1], whole["rgba.red"][half == 1])
    assert np.array_equal(limited["rgba.red"][half == 0], plate["rgba.red"][half == 0])
    assert np.abs(whole["rgba.red"] - plate["rgba.red"]).max() > 0.02


# ------------------------------------------------------------------------------------------- its keys


def test_a_track_gives_keys(keys: dict[str, list[dict[float, float]]], demo_track: Path) -> None:
    from vfxswap.face import track

    found = track.load(demo_track)
    face = found.face(track.choose(found, None))[1004]
    told = expression.of(face)
    values = at(keys, 1004)
    assert [values[name] for name in live.TOLD] == pytest.approx(told, abs=1e-4)
    matrix = align.crop_matrix(face.similarity, size=128)
    there = align.to_plate(np.array([[0, 128], [128, 128], [128, 0], [0, 0]], np.float64), matrix=matrix)
    assert np.array([values[pin] for pin in live.PINS]) == pytest.approx(
        np.stack([there[:, 0], 540 - there[:, 1]], axis=-1), abs=1e-3
    )
    assert keys["shown"] == [{1003.0: 1.0}]
    assert sorted(keys["pin1"][0]) == [1003, 1004, 1005]


def _live(shot: Shot, **values: Any) -> Any:
    node = shot.nuke.module.createNode("VfxSwapLive")
    node.setInput(0, shot.read)
    for name, value in values.items():
        node[name].setValue(value)
    return node


def test_the_button_takes_track_exposure_and_placement(
    shot: Shot, demo_track: Path, demo_measurements: Path, keys: dict[str, list[dict[float, float]]]
) -> None:
    node = _live(shot, track=str(demo_track), measurements=str(demo_measurements))
    shot.nuke.steps.clear()
    shot.press("take", node)
    assert shot.nuke.messages == []
    assert node["told_jaw"]._keys == keys["told_jaw"][0]
    assert node["pin2"]._keys[1004.0] == tuple(curve[1004] for curve in keys["pin2"])
    measured = measure.load(demo_measurements)
    assert measured.placement is not None
    assert node["gain"].value() == pytest.approx(measured.gain, rel=1e-5)
    assert node["place_y"].value() == pytest.approx(measured.placement.y, rel=1e-4)
    assert len(shot.nuke.steps) == 1


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "no track is set; choose the .vfxtrack of a run"),
        ({"track": "/nowhere/a.vfxtrack"}, "no such file: /nowhere/a.vfxtrack"),
        ({"track": "demo", "measurements": __file__}, "is no .vfxshot; choose the measurements of a run, or none"),
        ({"track": "demo", "face": "7"}, "7"),
    ],
)
def test_what_cannot_be_taken_is_said(shot: Shot, demo_track: Path, values: dict[str, str], said: str) -> None:
    given = {name: str(demo_track) if value == "demo" else value for name, value in values.items()}
    node = _live(shot, **given)
    shot.press("take", node)
    (message,) = shot.nuke.messages
    assert said in message
    assert not node["pin1"]._keys


@pytest.mark.parametrize(
    ("managed", "space", "converts"),
    [("OCIO", "Linear Rec.709 (sRGB)", True), ("Nuke", "scene_linear", False)],
)
def test_a_new_node_finds_its_spaces(shot: Shot, managed: str, space: str, converts: bool) -> None:
    shot.nuke.root.knobs["colorManagement"].setValue(managed)
    shot.nuke.root.knobs["workingSpaceLUT"].setValue("scene_linear")
    node = _live(shot)
    assert shot.nuke.printed == []
    assert node["convert"].value() is converts
    assert node.node("ToModel")["out_colorspace"].value() == space
    assert node.node("FromModel")["in_colorspace"].value() == space


def test_spaces_are_found_under_roles_families_and_labels(shot: Shot) -> None:
    node = _live(shot)
    knob = node.node("ToModel")["out_colorspace"]
    knob.choices = ("scene_linear (ACEScg)", "ACES/ACEScg", "Utility/Linear Rec.709 (sRGB)\tLinear Rec.709 (sRGB)")
    assert pick("live")._offered(knob) == {
        "scene_linear": "scene_linear (ACEScg)",
        "ACEScg": "ACES/ACEScg",
        "Linear Rec.709 (sRGB)": "Utility/Linear Rec.709 (sRGB)",
    }
    # A config without it is said, and nothing is set.
    shot.nuke.root.knobs["colorManagement"].setValue("OCIO")
    shot.nuke.root.knobs["workingSpaceLUT"].setValue("ACES2065-1")
    bare = _live(shot)
    assert bare["convert"].value() is False
    assert "the config has none of ACES2065-1, Linear Rec.709 (sRGB)" in shot.nuke.printed[-1]


# ----------------------------------------------------------------------------------------- the .cat


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    out = tmp_path / "ben live"
    out.mkdir()
    told = {"told_lids_left": 0.25, "told_yaw": 0.0}
    about = {"torchscript": "ben.pt", "cat": "ben.cat", "model_id": "ben", "channels_in": ["rgba.red", "rgba.green"],
             "channels_out": ["rgba.alpha"], "output_scale": 1, "knobs": told}  # fmt: skip
    (out / "cat.json").write_text(json.dumps({"vfxswap": about}))
    (out / "ben.pt").write_bytes(b"torchscript")
    return out


def make(folder: Path) -> int:
    source = ROOT / "hosts" / "nuke" / "make_cat.py"
    (folder / "make_cat.py").write_text(source.read_text())
    return int(runpy.run_path(str(folder / "make_cat.py"))["main"]())


def test_the_cat_is_made_as_the_description_says(gui: FakeNuke, folder: Path) -> None:
    (folder / "ben.cat").write_bytes(b"an old one")
    assert make(folder) == 0
    made = json.loads((folder / "ben.cat").read_text())
    place = folder.as_posix()
    assert made == {"torchScriptFile": f"{place}/ben.pt", "catFile": f"{place}/ben.cat", "channelsIn":
                    "rgba.red, rgba.green", "channelsOut": "rgba.alpha", "modelId": "ben", "outputScale": 1.0,
                    "told_lids_left": 0.25, "told_yaw": 0.0}  # fmt: skip
    assert [node.kind for node in gui.nodes] == []


def test_a_cat_that_is_not_made_is_an_error(gui: FakeNuke, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gui.nukex = False
    (folder / "ben.cat").write_bytes(b"an old one")
    assert make(folder) == 1
    assert "CatFileCreator needs NukeX" in capsys.readouterr().err
    assert not (folder / "ben.cat").exists()
    (folder / "cat.json").write_text("{}")
    assert make(folder) == 1
    assert "was not written by vfxswap" in capsys.readouterr().err


def test_the_maker_is_python_of_nuke_13() -> None:
    ast.parse((ROOT / "hosts" / "nuke" / "make_cat.py").read_text(), feature_version=(3, 7))
