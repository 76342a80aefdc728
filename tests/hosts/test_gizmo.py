"""The gizmos: what generates them, their grammar, and that their arithmetic is the core's."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import OpenEXR
import pytest

from vfxswap.job import SwapJob, knobs, schema_json

from .. import support
from . import graph
from .evaluate import Evaluator, Stream, UnknownError

ROOT = Path(__file__).parents[2]
GIZMOS = sorted((ROOT / "gizmos").glob("*.gizmo"))
SWAP, COMP = ROOT / "gizmos" / "VfxSwap.gizmo", ROOT / "gizmos" / "VfxSwapComp.gizmo"


def generator() -> ModuleType:
    return support.script(ROOT / "hosts" / "nuke" / "make_gizmos.py")


# --------------------------------------------------------------------------------------------- generated


def test_the_jobs_schema_is_documented_as_it_is() -> None:
    assert (ROOT / "docs" / "schemas" / "job.json").read_text() == schema_json()


def test_the_gizmos_are_what_the_script_writes() -> None:
    made = generator().made()
    assert {path.name for path in GIZMOS} == set(made)
    for path in GIZMOS:
        assert path.read_text(encoding="utf-8") == made[path.name]


def test_tooltips_limits_defaults_and_choices_are_the_jobs() -> None:
    group, _ = graph.gizmo(SWAP)
    for knob in knobs():
        found = group.user[knob.name]
        assert found.tip.startswith(knob.help)
        assert (knob.unit in found.tip) or not knob.unit
        if knob.choices:
            assert found.choices == knob.choices
            assert group.value(knob.name) in ("", knob.default)
        else:
            assert found.limits == (knob.low, knob.high)
            assert float(group.value(knob.name) or 0) == knob.default
    fields = {"model", "shot", "consents", "keyring", "face", "frames", "view", "lens", "matte", "track",
              "measurements", "device"}  # fmt: skip
    for name in fields:
        assert group.user[name].tip.startswith(str(SwapJob.model_fields[name].description))


# ----------------------------------------------------------------------------------------------- grammar


@pytest.mark.parametrize("path", GIZMOS, ids=lambda path: path.name)
def test_a_gizmo_has_nothing_wrong(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert graph.lint(text) == []
    assert "\t" not in text
    assert text.isascii()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("end_group\n", "", "grammar: a group does not end"),
        ("push $NLight", "push $NLihgt", r"grammar: push \$NLihgt, which is not set"),
        ("parent.trim_blur}}", "parent.trim_blurr}}", "TrimBlur.size: parent.trim_blurr does not exist"),
        ("exists parent.input1", "exists parent.input2", "parent.input2 does not exist"),
        ("T MatteCopy.from0", "T MatteCopi.from0", "link matte_channel: MatteCopi.from0 does not exist"),
        ("buttons.press(nuke.thisNode(), 'run')", "buttons.press(nuke.thisNode(), 'run'", "script of run"),
        ("gain.red +", "gian.red +", "no channel gian.red"),
        ("FilterErode {", "FilterErodes {", "TrimErode: no class FilterErodes is known"),
        ("operation minus", "operatoin minus", "Merge2 has no knob operatoin"),
        ("inputs 5", "inputs 50", "grammar: Show takes 50 inputs"),
        (" edge_feather 2\n", " edge_fether 2\n", "a value for the knob edge_fether"),
        ("name TrimBlur", "name TrimErode", "two nodes are named TrimErode"),
        ("{7 mix ", "{7 relight ", "grammar: two knobs are named relight"),
        (" face 0\n", ' face 0\n model "/home/me/a.vfxmodel"\n', "model: a path of one machine"),
        (" push $NToWorking\n", " push 0\n", "Over: an input is not connected"),
        ("M {plate likeness}", "M {}", "skin_tone: '' is none of"),
    ],
)
def test_the_linter_finds_what_is_wrong(old: str, new: str, said: str) -> None:
    text = SWAP.read_text(encoding="utf-8")
    assert old in text
    found = graph.lint(text.replace(old, new, 1))
    assert any(re.search(said, line) for line in found), found


def test_the_knobs_that_blend_are_live_and_the_others_are_not() -> None:
    """A live knob is one that the graph looks at."""
    group, _ = graph.gizmo(SWAP)
    used = {
        name
        for node in group.children
        for knob in node.knobs
        for name in re.findall(r"parent\.(\w+)", node.value(knob))
    }
    assert used >= {
        "mix",
        "relight",
        "grain",
        "face_exposure",
        "trim_erode",
        "trim_blur",
        "matte_invert",
        "show",
        "has_cache",
    }
    rendered = {knob.name for knob in knobs()} - {"mix", "relight", "grain"}
    assert not used & rendered
    for name, knob in group.user.items():
        if name in used & {"mix", "relight", "grain", "face_exposure", "trim_erode", "trim_blur"}:
            assert "Live." in knob.tip
            assert knob.kind == 7  # doubles are animatable
        if name in rendered:
            assert "Rendered: run again." in knob.tip


# -------------------------------------------------------------------------------------------- arithmetic

_LETTERS = {"R": "red", "G": "green", "B": "blue", "A": "alpha"}


def stream(path: Path) -> Stream:
    """An EXR's channels by Nuke's names, read by the OpenEXR library itself."""
    with OpenEXR.File(str(path), separate_channels=True) as file:
        out = {}
        for name, channel in file.channels().items():
            layer, _, last = name.rpartition(".")
            out[f"{layer or 'rgba'}.{_LETTERS.get(last, last)}"] = np.asarray(channel.pixels, np.float32)
        return out


@pytest.fixture(scope="module")
def plate() -> Stream:
    return stream(ROOT / "examples" / "demo" / "plate" / "plate.1004.exr")


@pytest.fixture(scope="module")
def made(demo_render: Any) -> Stream:
    return stream(demo_render())


def node_output(path: Path, plate: Stream, ingredients: Stream, matte: Stream | None = None, **values: Any) -> Stream:
    group, _ = graph.gizmo(path)
    inputs: dict[int, Stream] = {0: plate}
    if path == COMP:
        inputs[1] = ingredients
    if matte is not None:
        inputs[2 if path == COMP else 1] = matte
    shown = {"has_cache": 1} if path == SWAP else {}
    return Evaluator(group, {**shown, **values}, inputs, read=ingredients).run()


def rgb(found: Stream) -> Any:
    return np.stack([found[f"rgba.{c}"] for c in ("red", "green", "blue")], axis=-1)


def steps(one: Any, other: Any) -> Any:
    """How many half floats two pictures are apart."""

    def place(values: Any) -> Any:
        bits = np.asarray(values, np.float16).view(np.int16).astype(np.int32)
        return np.where(bits < 0, -32768 - bits, bits)

    return np.abs(place(one) - place(other))


@pytest.mark.parametrize("path", [SWAP, COMP], ids=["swap", "comp"])
def test_the_comp_is_the_cores(path: Path, made: Stream, plate: Stream) -> None:
    comp = rgb(node_output(path, plate, made))
    inside = made["face.alpha"] > 0
    assert inside.sum() > 10_000
    assert np.array_equal(comp[~inside], rgb(plate)[~inside])
    # The core adds before it rounds the face to half, the node after.
    # Half a step of the face and half of the sum; where plate and face cancel, that is many steps of what is left.
    face = np.stack([made[f"face.{c}"] for c in ("red", "green", "blue")], axis=-1)
    assert np.all(np.abs(comp - rgb(made)) <= (np.abs(face) + np.abs(comp)) * 2.0**-11 + 2.0**-24)
    off = steps(comp, rgb(made))[inside]
    assert (off == 0).mean() > 0.8
    assert (off <= 1).mean() > 0.999
    assert np.abs(comp - rgb(plate))[inside].mean() > 0.005


@pytest.mark.parametrize("value", [0.0, 0.35, 1.0])
def test_a_live_mix_is_the_cores_mix(value: float, made: Stream, plate: Stream, demo_render: Any) -> None:
    core = stream(demo_render(parameters={"mix": value}))
    comp = rgb(node_output(SWAP, plate, made, mix=value))
    assert np.abs(comp - rgb(core)).max() < 1e-3 * rgb(core).max()
    if value == 0:
        assert np.array_equal(comp, rgb(plate))


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_a_live_relight_is_the_cores_relight(value: float, made: Stream, plate: Stream, demo_render: Any) -> None:
    # Without grain: the core draws it again for the other light, the node keeps the one that was drawn.
    core = stream(demo_render(parameters={"relight": value, "grain": 0.0}))
    comp = rgb(node_output(SWAP, plate, made, relight=value, grain=0))
    with_one = rgb(node_output(SWAP, plate, made, grain=0))
    off = np.abs(comp - rgb(core)) / np.maximum(rgb(core), 0.01)
    assert off.max() < 4e-3
    assert np.abs(with_one - rgb(core)).max() > 20 * np.abs(comp - rgb(core)).max()


@pytest.mark.parametrize("value", [0.0, 1.7])
def test_live_grain_is_the_cores_grain(value: float, made: Stream, plate: Stream, demo_render: Any) -> None:
    core = stream(demo_render(parameters={"grain": value}))
    comp = rgb(node_output(SWAP, plate, made, grain=value))
    assert np.abs(comp - rgb(core)).max() < 1e-3 * rgb(core).max()
    assert np.abs(rgb(made) - rgb(core)).max() > 10 * np.abs(comp - rgb(core)).max()


def test_the_matte_input_limits_the_face(made: Stream, plate: Stream) -> None:
    half = np.zeros_like(made["face.alpha"])
    half[:, : half.shape[1] // 2] = 1
    matte = {"rgba.alpha": half}
    whole = rgb(node_output(SWAP, plate, made))
    for invert in (False, True):
        shown = (half == 0) if invert else (half == 1)
        limited = node_output(SWAP, plate, made, matte, matte_invert=str(invert).lower())
        assert np.array_equal(rgb(limited)[shown], whole[shown])
        assert np.array_equal(rgb(limited)[~shown], rgb(plate)[~shown])
    assert np.abs(whole - rgb(plate))[half == 1].max() > 0.01


def test_a_trimmed_matte_shrinks_grows_and_keeps_the_color(made: Stream, plate: Stream) -> None:
    area = {
        size: node_output(SWAP, plate, made, show="matte", trim_erode=size)["rgba.red"].sum() for size in (-4, 0, 4)
    }
    assert area[4] < area[0] < area[-4]
    whole = rgb(node_output(SWAP, plate, made))
    trimmed = rgb(node_output(SWAP, plate, made, trim_erode=4))
    solid = node_output(SWAP, plate, made, show="matte", trim_erode=4)["rgba.red"] == 1
    assert solid.sum() > 5_000
    assert np.abs(trimmed - whole)[solid].max() < 2e-3 * whole.max()


def test_every_output(made: Stream, plate: Stream) -> None:
    comp = node_output(SWAP, plate, made)
    face = node_output(SWAP, plate, made, show="face")
    assert np.array_equal(face["rgba.alpha"], made["face.alpha"])
    assert np.allclose(face["rgba.red"], made["face.red"], rtol=1e-5, atol=1e-6)  # its grain was taken off and put on
    matte = node_output(SWAP, plate, made, show="matte")
    assert all(np.array_equal(matte[f"rgba.{c}"], made["matte.face"]) for c in ("red", "green", "blue", "alpha"))
    difference = rgb(node_output(SWAP, plate, made, show="diff"))
    assert np.array_equal(difference, rgb(comp) - rgb(plate))
    layered = np.stack([made[f"delta.{c}"] for c in ("red", "green", "blue")], axis=-1)
    assert np.abs(difference - layered).max() < 1e-3 * rgb(plate).max()
    stmap = node_output(SWAP, plate, made, show="stmap")
    assert np.array_equal(stmap["rgba.red"], made["stmap.u"])
    assert np.array_equal(stmap["rgba.green"], made["stmap.v"])
    assert "rgba.alpha" not in comp or np.array_equal(comp["rgba.alpha"], plate["rgba.alpha"])
    assert np.array_equal(node_output(SWAP, plate, made, out_alpha="face")["rgba.alpha"], made["face.alpha"])


def test_all_layers_come_along_when_asked_for(made: Stream, plate: Stream) -> None:
    alone = node_output(SWAP, plate, made)
    assert not [name for name in alone if name.startswith(("face", "matte.", "stmap"))]
    layered = node_output(SWAP, plate, made, keep_layers="true")
    assert set(made) <= set(layered)
    assert np.array_equal(rgb(layered), rgb(alone))
    _, script = graph.gizmo(SWAP)
    declared = {channel for channels in script.layers.values() for channel in channels}
    assert declared == {name for name in made if not name.startswith("rgba.")}


def test_without_a_cache_the_plate_passes(plate: Stream) -> None:
    group, _ = graph.gizmo(SWAP)
    found = Evaluator(group, {}, {0: plate}).run()
    assert found.keys() == plate.keys()
    assert all(found[name] is plate[name] for name in plate)


def test_no_frame_of_the_cache_is_shown_at_another_time() -> None:
    """A Read holds its last frame unless it is told not to: a face of another frame over the plate."""
    read = graph.gizmo(SWAP)[0].child("Ingredients")
    assert (read.value("before"), read.value("after"), read.value("raw")) == ("black", "black", "true")


def test_a_frame_that_is_missing_and_black_is_the_plate(plate: Stream) -> None:
    black = {"face.alpha": np.zeros_like(plate["rgba.red"])}
    assert np.array_equal(rgb(node_output(SWAP, plate, black)), rgb(plate))


def test_bright_and_negative_values_survive(made: Stream, plate: Stream) -> None:
    wild = {name: plane * np.float32(40) - np.float32(1) for name, plane in plate.items()}
    comp = rgb(node_output(SWAP, wild, made))
    outside = made["face.alpha"] == 0
    assert np.array_equal(comp[outside], rgb(wild)[outside])
    assert comp.min() < -0.5
    assert comp.max() > 10


def test_what_is_not_evaluated_is_said(plate: Stream) -> None:
    with pytest.raises(UnknownError, match="OCIOColorSpace"):
        node_output(COMP, plate, {"face.alpha": plate["rgba.red"]}, convert="true")


def test_schema_file_is_json() -> None:
    assert json.loads((ROOT / "docs" / "schemas" / "job.json").read_text())["title"] == "SwapJob"
