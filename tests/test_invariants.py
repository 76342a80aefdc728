"""What holds for every plate, face and setting: properties over generated ones (tests/plates.py).

Each run tries the same examples. To look harder, at other ones in every run: `VFXSWAP_EXAMPLES=50 pytest
tests/test_invariants.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfxswap import exr, output, render
from vfxswap.color import ColorConfig
from vfxswap.geometry import Window, transform
from vfxswap.job import SwapParameters
from vfxswap.pixels import F32, Matte, ModelRgb, WorkingRgb
from vfxswap.plate import Plate, open_plate
from vfxswap.vfxmodel import SwapModel

from .plates import (
    LINEAR,
    LOG,
    Double,
    Layout,
    Pose,
    Scene,
    bits,
    examples,
    heads,
    pixels,
    scenes,
    write_lens,
)
from .support import PASS_THROUGH, TINT, Studio, network

STUDIO = "ocio://studio-config-v2.2.0_aces-v1.3_ocio-v2.4"
FRAME = 1001
RGB = ("R", "G", "B")


def person(rgb: ModelRgb, points: Any, *, window: Window | None = None) -> Matte:
    """A parser that sees the person in a part of every crop."""
    del points, window
    return Matte(
        np.linspace(-0.3, 1.6, rgb.shape[0] * rgb.shape[1], dtype=np.float32).reshape(rgb.shape[:2]).clip(0, 1)
    )


@dataclass(frozen=True)
class Take:
    """A scene, shot: its plate, every face of it and the picture with all of them."""

    scene: Scene
    folder: Path
    plate: Plate
    image: exr.Frame
    swaps: dict[str, render.Swapped | None]
    picture: render.Picture

    @property
    def source(self) -> Path:
        return self.plate.sequence.path(FRAME)

    def write(self, layers: Any, name: str = "") -> Path:
        path = self.folder / f"{name or layers}.{FRAME}.exr"
        output.write([self.picture], path, layers=layers, hints={"vfxswap:job": "k"})
        return path

    def covered(self, found: Any) -> Any:
        """(H, W) where any face's matte is above 0, as the channels of written ingredients say."""
        return np.any([found[f"face{suffix}.A"] > 0 for suffix in self.swaps], axis=0)


@dataclass(frozen=True)
class Stage:
    """Where scenes are shot."""

    models: dict[str, SwapModel]
    config: ColorConfig
    folder: Path

    def shoot(self, scene: Scene, name: str = "scene", *, light: Any = None) -> Take:
        """Files are replaced by the next scene of the same name: making and removing folders takes longer."""
        folder = self.folder / name
        coding = self.config.from_working(scene.space).apply if scene.space in LOG else None
        path = scene.layout.write(folder / f"p.{FRAME}.exr", code=coding, light=light)
        lens = str(write_lens(folder / "lens.exr", scene.layout, scene.bend)) if scene.bend else None
        plate = open_plate(str(path), config=self.config, color_space=scene.space, lens=lens)
        image = plate.read(FRAME)
        swaps = {
            "" if number == 1 else str(number): self.swap(plate, image, double)
            for number, double in enumerate(scene.doubles, start=1)
        }
        picture = render.compose(image, swaps, plate=plate, everything=True)
        return Take(scene, folder, plate, image, swaps, picture)

    def swap(
        self, plate: Plate, image: exr.Frame, double: Double, *, cover: render.Cover | None = None
    ) -> render.Swapped | None:
        layout = Layout(image.display_window, image.data_window, aspect=image.pixel_aspect)
        model = self.models[double.model]
        measured = double.measured(model.card.onnx_sha256, (FRAME,))
        target = render.Target(plate, model, {FRAME: double.pose.face(layout)}, measured, double.knobs)
        return render.swap_face(
            target,
            image,
            frame=FRAME,
            lens=plate.lens(FRAME),
            cover=cover or double.cover(image.origin_window),
            parser=person,
            everything=True,
        )


@pytest.fixture(scope="module")
def stage(production: Studio, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    made = {
        "tint": production.model(),
        "same": production.model("same", network(PASS_THROUGH)),
        "curve": production.model("acescct", network(TINT * 0.9 + 0.02), encoding="acescct"),
        "same curve": production.model("same_acescct", network(PASS_THROUGH), encoding="acescct"),
    }
    models = {name: production.open(path) for name, path in made.items()}
    return Stage(models, ColorConfig.load(STUDIO), tmp_path_factory.mktemp("stage"))


# ------------------------------------------------------------------------------------- outside of the matte


def test_outside_of_the_matte_every_bit_stays(stage: Stage):
    areas: list[int] = []

    @examples(60)
    @given(scenes())
    def holds(scene: Scene) -> None:
        take = stage.shoot(scene)
        before = pixels(take.source)
        files = {layers: take.write(layers) for layers in ("ingredients", "comp")}
        found = {layers: pixels(path) for layers, path in files.items()}
        covered = take.covered(found["ingredients"][0])
        areas.append(int(covered.sum()))
        for layers, after in found.items():
            assert heads(files[layers]) == heads(take.source)
            assert len(after) == len(before)
            for part, (old, new) in enumerate(zip(before, after, strict=True)):
                assert set(new) >= set(old)
                assert layers == "ingredients" or set(new) == set(old)
                for name, channel in old.items():
                    assert new[name].dtype == channel.dtype
                    stays = ~covered if part == 0 and name in RGB else np.ones_like(covered)
                    np.testing.assert_array_equal(bits(new[name])[stays], bits(channel)[stays], name)
        assert not covered[beyond(take)].any(), "a matte where no face is"

    holds()
    assert np.median(areas) > 20


def beyond(take: Take) -> Any:
    """(H, W) where no face can be, from the poses alone: the test networks paint a disc in the middle of the crop."""
    layout = take.scene.layout
    data = layout.data.moved(-layout.display.x, -layout.display.y)
    x, y = np.meshgrid(np.arange(data.x, data.x1) + 0.5, np.arange(data.y, data.y1) + 0.5)
    points = np.stack([x.ravel(), y.ravel()], axis=-1)
    lens = take.plate.lens(FRAME)
    points = points if lens is None else lens.from_plate(points)
    out = np.ones(x.shape, bool)
    for double in take.scene.doubles:
        at = transform(double.pose.face(layout).similarity, points)
        # The disc, its soft rim, what the knobs add; two pixels of the crop and two of the plate for resampling.
        knobs = double.knobs
        inwards = knobs.edge_erode + min(knobs.edge_top, knobs.edge_right, knobs.edge_bottom, knobs.edge_left)
        out_by = max(0.0, knobs.edge_feather / 2 - inwards)
        reach = 1.2 * (0.36 + 0.02) + out_by / 100 + 2 * 1.2 / 64
        reach += 2 * max(1.0, layout.aspect) / double.pose.size
        out &= (np.hypot(*(at - 0.5).T) > reach).reshape(x.shape)
    return out


def test_with_no_matte_the_plate_comes_back(stage: Stage):
    reached: list[int] = []

    @examples(25)
    @given(scenes(), st.sampled_from(["mix", "holdout", "garbage"]))
    def holds(scene: Scene, why: str) -> None:
        take = stage.shoot(scene)
        reached.append(sum(swap.window.width * swap.window.height for swap in take.swaps.values() if swap))
        window = take.image.origin_window
        plane = np.full((window.height, window.width), why == "holdout", np.float32)
        cover = render.Cover(window, Matte(plane), Matte(plane))  # nothing is let in, or all is held out
        swaps = {
            suffix: stage.swap(
                take.plate,
                take.image,
                replace(double, knobs=double.knobs.model_copy(update={"mix": 0.0})) if why == "mix" else double,
                cover=None if why == "mix" else cover,
            )
            for suffix, double in zip(take.swaps, scene.doubles, strict=True)
        }
        assert [swap is None for swap in swaps.values()] == [swap is None for swap in take.swaps.values()]
        assert not any(swap.scrubbed or swap.clamped for swap in swaps.values() if swap)
        picture = render.compose(take.image, swaps, plate=take.plate, everything=True)
        blank = replace(take, picture=picture)
        before = pixels(take.source)
        for layers in ("comp", "ingredients"):
            after = pixels(blank.write(layers))
            for old, new in zip(before, after, strict=True):
                for name, channel in old.items():
                    np.testing.assert_array_equal(bits(new[name]), bits(channel), name)
        assert not any(after[0][name].any() for suffix in swaps for name in (f"face{suffix}.A", f"face{suffix}.G"))
        assert not any(after[0][f"delta.{letter}"].any() for letter in RGB)
        assert not any(pixels(blank.write("patch"))[0][name].any() for name in "RGBA")

    holds()
    assert np.median(reached) > 50


# ------------------------------------------------------------------------------------------ under the matte


def blocks(layout: Layout, pose: Pose, base: float, values: Sequence[float]) -> tuple[F32, list[tuple[int, int]]]:
    """Light with a block of each value beside the face's middle, and the (row, column) of their centres."""
    data = layout.data.moved(-layout.display.x, -layout.display.y)
    light = np.full((data.height, data.width, 3), base, np.float32)
    at = []
    for value, away in zip(values, (-0.17, 0.17), strict=True):
        column = int(pose.x * layout.display.width + away * pose.size - data.x)
        row = int(pose.y * layout.display.height - data.y)
        light[max(0, row - 6) : row + 7, max(0, column - 6) : column + 7] = value
        at.append((row, column))
    return light, at


@st.composite
def unscreenable(draw: st.DrawFn) -> tuple[Scene, float]:
    """A face that is shown as it is, and the most light that there is."""
    stops = draw(st.floats(-6, -0.75))
    hot = draw(st.just(100.0) | st.floats(2.0, min(50 * 2.0**-stops, 400.0)))
    pose = draw(st.builds(Pose, st.floats(0.4, 0.6), st.floats(0.4, 0.6), st.floats(52, 64), st.floats(-180, 180)))
    found = draw(scenes(spaces=(*LINEAR, *LOG), most=1))
    display = Window(found.layout.display.x, found.layout.display.y, draw(st.integers(110, 130)), 97)
    layout = replace(found.layout, display=display, data=display.grow(draw(st.integers(-8, 8))), aspect=1.0)
    bare = SwapParameters(relight=0, edge_feather=0)
    double = Double(pose, draw(st.sampled_from(["same", "same curve"])), bare, gain=2.0**stops)
    return Scene(layout, (double,), found.space), hot


def test_what_no_screen_can_show_survives_under_the_face(stage: Stage):
    @examples(25)
    @given(unscreenable())
    def holds(drawn: tuple[Scene, float]) -> None:
        scene, hot = drawn
        values = (hot, -0.5)
        light, centres = blocks(scene.layout, scene.doubles[0].pose, 0.2 / scene.doubles[0].gain, values)
        take = stage.shoot(scene, light=light)
        found = pixels(take.write("ingredients"))[0]
        before = take.plate.working(take.image)[0]
        file = np.stack([found[letter] for letter in RGB], axis=-1)
        after = stage.config.to_working(scene.space).apply(file)
        for value, at in zip(values, centres, strict=True):
            assert found["face.A"][at] == 1.0
            np.testing.assert_allclose(before[at], value, rtol=0.01)  # what the file can hold of it
            np.testing.assert_allclose(after[at], before[at], rtol=0.01)
        assert take.swaps[""] is not None
        assert take.swaps[""].clamped == take.swaps[""].scrubbed == 0

    holds()


def test_what_half_cannot_hold_is_clamped_and_counted(stage: Stage):
    counts: list[int] = []

    @examples(20)
    @given(scenes(kinds=("half", "half", "float"), spaces=("ACEScg",), models=("same",)), st.floats(13, 17))
    def holds(scene: Scene, bright: float) -> None:
        bright = 2.0**bright
        dim = [replace(d, gain=d.gain / bright, stops=1.0, knobs=SwapParameters()) for d in scene.doubles]
        shape = (scene.layout.data.height, scene.layout.data.width, 3)
        light = np.minimum(np.random.default_rng(scene.layout.seed).uniform(0.5, 1.5, shape) * bright, 65504)
        take = stage.shoot(replace(scene, doubles=tuple(dim)), light=light)
        limit = 65504.0 if scene.layout.kind == "half" else float(np.finfo(np.float32).max)
        for swap in filter(None, take.swaps.values()):
            sent = [
                swap.layers[f"raw.{c}"].astype(np.float64) * np.exp2(swap.layers[f"gain.{c}"].astype(np.float64))
                for c in RGB
            ]
            over = np.abs(np.stack(sent, axis=-1)[swap.alpha > 0]) / limit
            assert (over > 1 + 1e-5).sum() <= swap.clamped <= (over > 1 - 1e-5).sum()
            counts.append(swap.clamped)
            assert np.abs(swap.color).max(initial=0.0) <= limit
        comp = take.picture.whole()
        assert np.isfinite(comp).all()

    holds()
    assert sum(count > 0 for count in counts) > 3
    assert 0 in counts


def test_what_the_code_of_a_log_plate_cannot_hold_is_clamped_and_counted(stage: Stage):
    counts: list[int] = []

    @examples(15)
    @given(scenes(kinds=("half",), spaces=LOG, models=("same",)), st.floats(-65000, -20000))
    def holds(scene: Scene, dark: float) -> None:
        shown = [replace(d, stops=1.0, knobs=SwapParameters()) for d in scene.doubles]
        code = np.full((scene.layout.data.height, scene.layout.data.width, 3), 0.3, np.float32)
        code[..., 0] = dark
        space = stage.config.to_working(scene.space)
        take = stage.shoot(replace(scene, doubles=tuple(shown)), light=space.apply(code))
        mixed = space.apply(np.asarray(take.image.rgb)).astype(np.float64)
        covered = np.zeros(mixed.shape[:2], bool)
        for swap in filter(None, take.swaps.values()):
            here = swap.window.slices(take.image.origin_window)
            mixed[here] = mixed[here] * (1 - swap.alpha.astype(np.float64)[..., None]) + swap.color
            covered[here] |= swap.alpha > 0
        over = np.abs(take.plate.to_file(light(mixed[covered]))) / 65520
        assert (over > 1 + 1e-4).sum() <= take.picture.clamped <= (over > 1 - 1e-4).sum()
        counts.append(take.picture.clamped)
        assert np.isfinite(take.picture.whole()).all()

    holds()
    assert sum(count > 0 for count in counts) > 3


def test_what_is_no_number_stays_outside_and_goes_inside(stage: Stage):
    counts: list[int] = []

    @examples(50)
    @given(scenes())
    def holds(scene: Scene) -> None:
        take = stage.shoot(scene)
        (before, *_), (after, *_) = pixels(take.source), pixels(take.write("ingredients"))
        held = np.stack([before[letter] for letter in RGB], axis=-1)
        comp = np.stack([after[letter] for letter in RGB], axis=-1)
        bad = ~np.isfinite(held)
        if scene.space in LOG:
            # These are mixed as light, which a file's number can be too large for.
            light = stage.config.to_working(scene.space).apply(held)
            bad |= ~(np.abs(light) <= render.LARGEST)
        for suffix, swap in take.swaps.items():
            under = after[f"face{suffix}.A"] > 0
            assert int(bad[under].sum()) == (0 if swap is None else swap.scrubbed)
            counts.append(int(bad[under].sum()))
        covered = take.covered(after)
        assert np.isfinite(comp[covered]).all()
        np.testing.assert_array_equal(bits(comp)[~covered], bits(held)[~covered])
        own = {*RGB, *(name for name, _ in scene.layout.extra)}
        assert not [name for name in after if name not in own and not np.isfinite(after[name]).all()]

    holds()
    assert sum(count > 0 for count in counts) > 10


def test_a_sliver_of_a_large_face_is_swapped(stage: Stage):
    layout = Layout(Window(0, 0, 40, 40), Window(37, 0, 3, 40))
    double = Double(Pose(0.5, 0.5, 400.0), "tint", SwapParameters(edge_feather=0))
    assert stage.shoot(Scene(layout, (double,))).swaps[""] is not None


# -------------------------------------------------------------------------------------------------- layers


def ulp(values: Any, kind: str) -> Any:
    """The step at `values` of a half or a float, in double precision."""
    if kind == "half":
        return np.spacing(np.minimum(np.abs(values), 65440.0).astype(np.float16)).astype(np.float64)
    return np.abs(values) * 2.0**-21 + 2.0**-149  # a few operations' worth


def stacked(found: Any, layer: str) -> Any:
    """(H, W, 3) float64 of a layer: "" is the picture itself."""
    with np.errstate(invalid="ignore"):  # signalling NaNs
        return np.stack([found[f"{layer}.{c}" if layer else c] for c in RGB], axis=-1).astype(np.float64)


def test_the_ingredients_add_up_to_the_comp(stage: Stage):
    areas: list[int] = []

    @examples(50)
    @given(scenes())
    def holds(scene: Scene) -> None:
        take = stage.shoot(scene)
        (before, *_), (found, *_) = pixels(take.source), pixels(take.write("ingredients"))
        mixed = behind = light_behind(take, before)
        error, known = np.zeros_like(mixed), np.ones(mixed.shape, bool)
        if scene.space in LOG:
            # In the matrix between light and code the largest channel swallows the others.
            known &= np.abs(behind).max(axis=-1, keepdims=True) < 65504
        for suffix in take.swaps:
            np.testing.assert_array_equal(bits(found[f"face{suffix}.A"]), bits(found[f"matte{suffix}.face"]))
            face, alpha = stacked(found, f"face{suffix}"), found[f"face{suffix}.A"].astype(np.float64)[..., None]
            assert not face[alpha[..., 0] == 0].any()
            # More than half holds is not in the layer, but in a float comp.
            known &= np.abs(face).max(axis=-1, keepdims=True) < 65504
            error = error * (1 - alpha) + ulp(face, "half") / 2
            mixed = np.where(alpha > 0, mixed * (1 - alpha) + face, mixed)
            error += ulp(np.abs(mixed) + np.abs(behind), "float")
            if scene.space in LINEAR:
                error += ulp(np.abs(mixed) + error, scene.layout.kind) / 2
        covered = take.covered(found)
        areas.append(int(covered.sum()))
        known &= covered[..., None]
        comp, delta = stacked(found, ""), stacked(found, "delta")
        if scene.space in LINEAR:
            assert (np.abs(comp[known] - mixed[known]) <= 1.001 * error[known]).all()
            with np.errstate(over="ignore", invalid="ignore"):
                away = comp.astype(np.float32) - stacked(before, "").astype(np.float32)
                wanted = np.where(np.isfinite(away), away.clip(-65504, 65504), 0).astype(np.float16)
            here = take.picture.window.slices(take.image.origin_window)
            np.testing.assert_array_equal(delta[here], wanted[here])
        else:
            code = take.plate.to_file(light(mixed))
            if scene.layout.kind == "half":
                code = code.clip(-65504, 65504)
            away = comp[known] - code[known]
            assert (np.abs(away) <= coding_error(take, mixed, error)[known]).all()
            step = ulp(delta, "half") / 2 + error + ulp(np.abs(mixed) + np.abs(behind), "float")
            known &= (np.abs(delta) < 65504) & np.isfinite(behind)
            assert (np.abs(delta - (mixed - behind))[known] <= 1.001 * step[known]).all()

    holds()
    assert np.median(areas) > 20


def light(rgb: Any) -> WorkingRgb:
    return WorkingRgb(np.asarray(rgb).astype(np.float32))


def light_behind(take: Take, before: Any) -> Any:
    """(H, W, 3) float64 of the plate in the space that faces are mixed in; black where it is no number."""
    held = np.stack([before[letter] for letter in RGB], axis=-1).astype(np.float32)
    if take.scene.space in LOG:
        held = take.plate.config.to_working(take.scene.space).apply(held)
        held[~(np.abs(held) <= render.LARGEST)] = 0.0
    return np.where(np.isfinite(held), held, 0.0).astype(np.float64)


def coding_error(take: Take, mixed: Any, error: Any) -> Any:
    """(H, W, 3) by how much the file's numbers may be off where the light may be off by `error`."""
    code = take.plate.to_file(light(mixed)).astype(np.float64)
    out = ulp(code, take.scene.layout.kind) / 2 + np.abs(code) * 1e-5 + 1e-5
    error = error + np.abs(mixed).max(axis=-1, keepdims=True) * 2.0**-21
    for channel in np.eye(3):
        high, low = (take.plate.to_file(light(mixed + sign * 1.01 * error * channel)) for sign in (1, -1))
        out += np.abs(high.astype(np.float64) - low)
    return out


def test_the_patch_is_the_face_over_its_window(stage: Stage):
    areas: list[int] = []

    @examples(25)
    @given(scenes())
    def holds(scene: Scene) -> None:
        take = stage.shoot(scene)
        path = take.write("patch")
        (found, *_), (patch,) = pixels(take.write("ingredients")), pixels(path)
        seen = {suffix: swap for suffix, swap in take.swaps.items() if swap}
        window = Window.union(*(swap.window for swap in seen.values())) if seen else None
        data, display = take.scene.layout.data, take.scene.layout.display
        corner = OpenEXR.File(str(path), header_only=True).header()["dataWindow"][0]
        assert set(patch) == set("RGBA")
        if window is None:
            assert {name: (value.shape, value.any()) for name, value in patch.items()} == dict.fromkeys(
                "RGBA", ((1, 1), False)
            )
            return
        areas.append(int((patch["A"] > 0).sum()))
        assert tuple(corner) == (window.x + display.x, window.y + display.y)
        here = window.moved(display.x, display.y).slices(data)
        color, alpha = np.zeros((*patch["A"].shape, 3)), np.zeros((*patch["A"].shape, 1))
        known, error = np.ones(color.shape, bool), np.zeros(color.shape)
        for suffix in seen:
            cover = found[f"face{suffix}.A"][here].astype(np.float64)[..., None]
            face = stacked(found, f"face{suffix}")[here]
            known &= np.abs(face) < 65504  # more than that the layer cannot hold
            color = color * (1 - cover) + face
            error = error * (1 - cover) + ulp(face, "half") / 2
            alpha = alpha * (1 - cover) + cover
        if len(seen) == 1:
            np.testing.assert_array_equal(stacked(patch, ""), color)
            np.testing.assert_array_equal(patch["A"], alpha[..., 0])
        np.testing.assert_allclose(patch["A"], alpha[..., 0], rtol=2**-10, atol=2**-24)
        error += ulp(np.abs(color) + error, "half") / 2
        known &= np.abs(color) < 65504  # two faces together, too
        assert (np.abs(stacked(patch, "") - color)[known] <= 1.001 * error[known]).all()

    holds()
    assert np.median(areas) > 20


# --------------------------------------------------------------------------------------- again and elsewhere


def test_the_same_scene_gives_the_same_files(stage: Stage):
    @examples(20)
    @given(scenes())
    def holds(scene: Scene) -> None:
        once, again = stage.shoot(scene), stage.shoot(scene, "another")
        for layers in ("comp", "ingredients", "patch"):
            assert once.write(layers).read_bytes() == again.write(layers, f"{layers}_under_another_name").read_bytes()

    holds()


def test_windows_that_move_together_move_nothing(stage: Stage):
    @examples(25)
    @given(scenes(), st.integers(-3000, 3000), st.integers(-3000, 3000))
    def holds(scene: Scene, dx: int, dy: int) -> None:
        here = stage.shoot(scene)
        there = stage.shoot(replace(scene, layout=scene.layout.moved(dx, dy)), "another")
        assert there.image.data_window == here.image.data_window.moved(dx, dy)
        assert there.picture.window == here.picture.window
        for layers in ("ingredients", "patch"):
            for old, new in zip(pixels(here.write(layers)), pixels(there.write(layers)), strict=True):
                assert set(old) == set(new)
                for name, channel in old.items():
                    np.testing.assert_array_equal(bits(new[name]), bits(channel), name)

    holds()
