"""The finish in a frame and in a shot: layers add up, nothing outside the matte changes, chunks agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from tests.support import PASS_THROUGH, SIZE, Studio, astronaut, disc, face, network, write_frame
from vfxswap import archive, blend, exr, frames, measure, output, pipeline, render
from vfxswap.events import CancelToken, NullSink
from vfxswap.face.track import FaceFrame
from vfxswap.finish.grain import REACH, Grain
from vfxswap.job import SwapJob, SwapParameters
from vfxswap.measure import Measurements
from vfxswap.pixels import F32
from vfxswap.plate import Plate, open_plate
from vfxswap.sequence import FrameRange
from vfxswap.vfxmodel import SwapModel

AT = np.arange(-REACH, REACH + 1)
GRAIN = Grain(
    np.array([[1e-5, 4e-4, 0.0]] * 3), 0.6 + 0.4 * np.eye(3), np.stack([0.5 ** (AT[:, None] ** 2 + AT**2)] * 3)
)
OFF = SwapParameters(grain=0, defocus=0, motion_blur=0, edge_feather=0)


@pytest.fixture(scope="module")
def same(production: Studio) -> SwapModel:
    return production.open(production.model("same", network(PASS_THROUGH)))


def measured(**changes: Any) -> Measurements:
    nothing = np.zeros((blend.GRID, blend.GRID, 3), np.float16)
    return Measurements(1.0, "", dict.fromkeys(range(1000, 1010), nothing), **changes)


def swapped(
    plate: Plate,
    model: SwapModel,
    *,
    measurements: Measurements | None = None,
    parameters: SwapParameters = OFF,
    faces: dict[int, FaceFrame] | None = None,
    **options: Any,
) -> tuple[exr.Frame, render.Swapped, dict[str, F32], render.Picture]:
    """Frame 1001: the plate, its face, the layers as float, and the picture."""
    image = plate.read(1001)
    known = faces or {1001: face(80, 80, 90)}
    target = render.Target(plate, model, known, measurements or measured(), parameters, **options)
    done = render.swap_face(target, image, frame=1001, everything=True)
    assert done is not None
    picture = render.compose(image, {"": done}, plate=plate, everything=True)
    layers = {name: value.astype(np.float32) for name, value in output.ingredients(picture).items()}
    return image, done, layers, picture


def plate_of(folder: Path, rgb: np.ndarray, *, angle: float | None = None) -> Plate:
    """One frame; with the angle of its shutter in the header."""
    path = folder / "p.1001.exr"
    if angle is None:
        return open_plate(str(write_frame(path, rgb)))
    channels = {c: np.ascontiguousarray(rgb[..., i], np.float16) for i, c in enumerate("RGB")}
    exr.write_channels(path, channels=channels, attributes={"shutterAngle": angle})
    return open_plate(str(path))


def stack(layers: dict[str, F32], name: str) -> F32:
    return np.dstack([layers[f"{name}.{c}"] for c in "RGB"])


def test_grain_is_added_as_the_layer_says(same: SwapModel, tmp_path: Path) -> None:
    plate = plate_of(tmp_path, astronaut(160))
    image, _, layers, picture = swapped(plate, same, measurements=measured(grain=GRAIN), parameters=SwapParameters())
    added, alpha = stack(layers, "grain"), layers["face.A"][..., None]
    rebuilt = stack(layers, "raw") * np.exp2(stack(layers, "gain")) * alpha + added
    np.testing.assert_allclose(stack(layers, "face"), rebuilt, rtol=4e-3, atol=2e-4)
    behind = image.rgb[picture.window.slices(image.origin_window)].astype(np.float32)
    comp = behind * (1 - alpha) + stack(layers, "face")
    np.testing.assert_allclose(picture.rgb.astype(np.float32), comp, rtol=1e-3, atol=1e-4)
    # As strong as the law says, at the level of the face.
    core = alpha[..., 0] > 0.999
    light = np.maximum((stack(layers, "face") - added)[core], 0)
    strength = added[core] / np.sqrt(1e-5 + 4e-4 * light)
    np.testing.assert_allclose(strength.std(axis=0), 1.0, atol=0.06)
    assert (added[alpha[..., 0] == 0] == 0).all()


def test_the_plate_outside_the_matte_is_the_plate_bit_for_bit(same: SwapModel, tmp_path: Path) -> None:
    plate = plate_of(tmp_path, astronaut(160))
    detail = {1001: np.array([-2.0, -1.0, -0.5, -0.2], np.float32)}
    moving = {1000 + i: face(76 + 4 * i, 80, 90) for i in range(3)}
    image, done, _, picture = swapped(
        plate,
        same,
        measurements=measured(grain=GRAIN, detail=detail),
        parameters=SwapParameters(shutter=180, grain=2.0),
        faces=moving,
    )
    outside = np.ones(image.rgb.shape[:2], bool)
    outside[done.window.slices(image.origin_window)] = done.alpha == 0
    np.testing.assert_array_equal(picture.whole()[outside].view(np.uint16), image.rgb[outside].view(np.uint16))
    assert 0.1 < outside.mean() < 0.9


def test_amount_scales_the_grain_and_the_seed_is_shot_view_and_frame(same: SwapModel, tmp_path: Path) -> None:
    plate = plate_of(tmp_path, astronaut(160))
    graded = measured(grain=GRAIN)

    def grain(amount: float, **options: Any) -> F32:
        knobs = SwapParameters(grain=amount, defocus=0)
        return stack(swapped(plate, same, measurements=graded, parameters=knobs, **options)[2], "grain")

    one, half, none = grain(1.0), grain(0.5), grain(0.0)
    np.testing.assert_allclose(half, 0.5 * one, atol=1e-4)
    assert (none == 0).all()
    np.testing.assert_array_equal(one, grain(1.0))
    core = np.abs(one) > 0
    other = grain(1.0, shot="film/010/0020")
    assert abs(np.corrcoef(one[core], other[core])[0, 1]) < 0.1
    # A wider edge shows more of the very same grain.
    knobs = SwapParameters(grain=1.0, edge_erode=4, edge_feather=0)
    tight = stack(swapped(plate, same, measurements=graded, parameters=knobs)[2], "grain")
    assert tight.shape != one.shape or not np.array_equal(tight, one)


def test_light_at_the_end_of_half_stays_there(same: SwapModel, tmp_path: Path) -> None:
    plate = plate_of(tmp_path, np.full((160, 160, 3), 65504.0, np.float16))
    graded = measured(grain=Grain(np.array([[0.0, 0.0, 0.01]] * 3), GRAIN.channels, GRAIN.spatial))
    _, _, layers, picture = swapped(plate, same, measurements=graded, parameters=SwapParameters(grain=2.0))
    assert np.isfinite(picture.rgb.astype(np.float32)).all()
    assert np.isfinite(stack(layers, "grain")).all()


def test_softness_of_the_shot_softens_the_face(same: SwapModel, tmp_path: Path) -> None:
    plate = plate_of(tmp_path, astronaut(160))
    detail = {1001: np.array([-4.0, -3.0, -1.0, 0.0], np.float32)}
    sharp, soft = (
        stack(swapped(plate, same, measurements=measured(detail=detail), parameters=knobs)[2], "raw")
        for knobs in (OFF, SwapParameters(grain=0, motion_blur=0, edge_feather=0))
    )
    inside = np.s_[30:-30, 30:-30]
    fine = [np.std((x - ndimage.gaussian_filter(x, (1, 1, 0)))[inside]) for x in (sharp, soft)]
    assert fine[1] < 0.6 * fine[0]
    assert np.mean(soft[inside]) == pytest.approx(np.mean(sharp[inside]), rel=0.02)


def test_the_shutter_comes_from_the_knob_or_the_header(same: SwapModel, tmp_path: Path) -> None:
    bare, told = plate_of(tmp_path / "bare", astronaut(160)), plate_of(tmp_path / "told", astronaut(160), angle=180.0)
    moving = {1000 + i: face(60 + 20 * i, 80, 90) for i in range(3)}

    def alpha(plate: Plate, **knobs: float) -> F32:
        parameters = OFF.model_copy(update=knobs)
        image, done, _, _ = swapped(plate, same, parameters=parameters, faces=moving)
        whole = np.zeros(image.rgb.shape[:2], np.float32)
        whole[done.window.slices(image.origin_window)] = done.alpha
        return whole

    still = alpha(bare)
    np.testing.assert_array_equal(still, alpha(bare, motion_blur=1.0))
    np.testing.assert_array_equal(still, alpha(told))
    blurred = alpha(bare, motion_blur=1.0, shutter=180.0)
    np.testing.assert_array_equal(blurred, alpha(told, motion_blur=1.0))
    np.testing.assert_array_equal(
        alpha(bare, motion_blur=0.5, shutter=180.0), alpha(told, motion_blur=1.0, shutter=90.0)
    )
    # Ten pixels of way, evenly spent: the matte is that of the still face, averaged along it.
    spread = np.mean([ndimage.shift(still, (0.0, x), order=1) for x in np.linspace(-4.95, 4.95, 100)], axis=0)
    assert np.abs(blurred - spread).mean() < 0.15 * np.abs(still - spread).mean()


def test_older_measurements_leave_the_face_as_it_is(tmp_path: Path) -> None:
    old = tmp_path / "old.vfxshot"
    grids = np.zeros((1, blend.GRID, blend.GRID, 3), np.float16)
    manifest = {"gain": 2.0, "curve": {}, "color": {}, "model_sha256": "ab", "frames": [1001], "placement": None}
    archive.write(old, kind="shot", version=3, manifest=manifest, members={"relight.npy": archive.npy_bytes(grids)})
    found = measure.load(old)
    assert found.grain is None
    assert found.detail == {}
    assert found.gain == 2.0


def test_a_shot_measures_its_grain_and_chunks_agree(production: Studio, face_plate: str, tmp_path: Path) -> None:
    """Through the pipeline: measured, kept in the file, and the same pixels from any split."""
    model = production.model("disc", network(PASS_THROUGH, mask=disc(SIZE)))
    grainy = tmp_path / "plate"
    rng = np.random.default_rng(8)
    for number in range(1001, 1005):
        rgb = np.asarray(open_plate(face_plate).read(number).rgb, np.float32)
        noisy = rgb + rng.standard_normal(rgb.shape) * np.sqrt(2e-5 + 1e-3 * np.maximum(rgb, 0))
        write_frame(grainy / f"p.{number}.exr", noisy.astype(np.float16))
    made = {}
    for name, parts in (("whole", [None]), ("split", [FrameRange.parse("1003-1004"), FrameRange.parse("1001-1002")])):
        job = SwapJob.make(
            plate=str(grainy),
            model=model,
            output=str(tmp_path / name / "o.%04d.exr"),
            consents=production.consents,
            keyring=production.keyring,
            layers="ingredients",
            parameters={"shutter": 180.0},
        )
        for some in parts:
            ready = pipeline.prepare(job, gate=production.gate(), sink=NullSink(), cancel=CancelToken())
            frames.render_frames(ready, sink=NullSink(), cancel=CancelToken(), frames=some)
        found = ready.sheets[0].targets[0].measurements
        assert found.grain is not None
        level = np.full((1, 3), 0.2, np.float32)
        np.testing.assert_allclose(found.grain.sigma(level), np.sqrt(2e-5 + 2e-4), rtol=0.2)
        again = found.grain.to_json()
        found.save(tmp_path / "again.vfxshot")
        kept = measure.load(tmp_path / "again.vfxshot")
        assert kept.grain is not None
        assert kept.grain.to_json() == again
        assert {f: row.tolist() for f, row in kept.detail.items()} == {f: r.tolist() for f, r in found.detail.items()}
        made[name] = [(tmp_path / name / f"o.{n}.exr").read_bytes() for n in range(1001, 1005)]
    assert made["whole"] == made["split"]
