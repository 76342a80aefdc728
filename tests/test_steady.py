"""What flickers in the painted face alone is taken out; what the plate does stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vfxswap import measure, steady
from vfxswap.face.track import FaceFrame
from vfxswap.job import SwapParameters
from vfxswap.measure import Sight
from vfxswap.pixels import F16, F32, ModelRgb
from vfxswap.plate import open_plate
from vfxswap.render import Target, swap_face
from vfxswap.vfxmodel import Painting, SwapModel

from .support import PASS_THROUGH, Studio, face, network, write_frame

FLICKER = 0.03
NUMBERS = range(1001, 1009)


def row(*stops: float, covered: float = 1.0) -> dict[int, F32]:
    """Frames whose cells all differ by so many stops."""
    frames = {}
    for frame, value in enumerate(stops, start=1):
        frames[frame] = np.full((steady.CELLS, steady.CELLS, 4), value, np.float32)
        frames[frame][..., 3] = covered
    return frames


def seen(found: Mapping[int, F16]) -> np.ndarray:
    """The middle cell's red, frame by frame."""
    return np.array([float(found[frame][16, 16, 0]) for frame in sorted(found)])


# ---------------------------------------------------------------------------------------------------------- over time


def test_what_comes_and_goes_from_frame_to_frame_is_taken_out() -> None:
    stops = 0.3 + 0.1 * (-1.0) ** np.arange(12)
    left = stops - seen(steady.corrections(row(*stops)))
    assert np.abs(np.diff(left)).mean() < 0.3 * np.abs(np.diff(stops)).mean()
    assert left.mean() == pytest.approx(0.3, abs=0.02), "the face's own tone stays"


@pytest.mark.parametrize("stops", [[0.7] * 9, list(np.linspace(-0.4, 0.4, 9))], ids=["even", "rising"])
def test_what_lasts_stays(stops: list[float]) -> None:
    np.testing.assert_allclose(seen(steady.corrections(row(*stops)))[2:-2], 0, atol=2e-3)


def test_what_is_something_else_is_not_mixed_in() -> None:
    """A cut, a hand that comes before the face."""
    np.testing.assert_allclose(seen(steady.corrections(row(0, 0, 0, 2.5, 2.5, 2.5))), 0, atol=2e-3)


def test_cells_that_the_matte_does_not_cover_are_left_alone_and_have_no_say() -> None:
    assert not seen(steady.corrections(row(0.2, -0.2, 0.2, covered=0.2))).any()
    frames = row(0.1, 0.1, 0.1)
    frames[2][..., :3], frames[2][..., 3] = -0.1, 0.0
    assert np.abs(seen(steady.corrections(frames))).max() < 1e-3


def test_a_gap_and_the_order_of_frames_do_not_matter() -> None:
    frames = row(0.1, -0.1, 0.2, 0.0, 0.15)
    del frames[3]
    found = steady.corrections(frames)
    backwards = steady.corrections(dict(reversed(frames.items())))
    assert sorted(found) == [1, 2, 4, 5]
    assert all((found[frame] == backwards[frame]).all() for frame in found)
    alone = steady.corrections({7: frames[1]})
    assert not alone[7].any()
    assert steady.corrections({}) == {}


@pytest.mark.parametrize("channels", [slice(0, 1), slice(0, 3)])
def test_no_cell_is_changed_by_more_than_a_third_of_a_stop(channels: slice) -> None:
    most = 0.0
    for stops in np.linspace(0.05, 4, 60):
        frames = row(0, 0, 0, 0, 0)
        frames[3][..., channels] = stops
        most = max(most, float(np.abs(seen(steady.corrections(frames))).max()))
    assert 0.1 < most < 0.34


def test_a_cell_is_the_mean_under_the_matte() -> None:
    difference = np.zeros((128, 128, 3), np.float32)
    coverage = np.zeros((128, 128), np.float32)
    difference[:4, :2], difference[:4, 2:4], coverage[:4, :2] = 1.0, 9.0, 1.0
    found = steady.cells(difference, coverage)
    assert found.shape == (steady.CELLS, steady.CELLS, 4)
    assert found[0, 0].tolist() == [1.0, 1.0, 1.0, 0.5]
    assert not found[1:].any()


# ------------------------------------------------------------------------------------------------- through the renderer


class Flickering:
    """Paints what it sees, every second time brighter."""

    def __init__(self, model: SwapModel, amount: float) -> None:
        self.model, self.amount, self.calls = model, amount, 0
        self.card, self.resolution = model.card, model.resolution

    def swap(self, crop: ModelRgb, told: F32 | None = None) -> Painting:
        self.calls += 1
        made = self.model.swap(crop, told)
        return made._replace(rgb=ModelRgb(np.clip(made.rgb * (1 + self.amount * (-1) ** self.calls), 0, 1)))


@pytest.fixture
def flickering(production: Studio) -> Flickering:
    return Flickering(production.open(production.model("same", network(PASS_THROUGH))), FLICKER)


def levels(folder: Path, model: Flickering, knobs: SwapParameters, lamp: np.ndarray) -> np.ndarray:
    """How bright the face is on plates whose light is `lamp`, frame by frame."""
    for frame, light in zip(NUMBERS, lamp, strict=True):
        write_frame(folder / f"p.{frame}.exr", np.full((140, 160, 3), light, np.float32), frame=frame)
    plate = open_plate(str(folder / "p.####.exr"))
    faces: dict[int, FaceFrame] = {frame: face(80, 70, 60) for frame in NUMBERS}
    model.calls = 0
    found = measure.measure([Sight(plate, faces)], model=model)
    # No relight, so that what is left is the network's and what steadies it.
    found = replace(found, relight={frame: np.zeros_like(grid) for frame, grid in found.relight.items()})
    target, out = Target(plate, model, faces, found, knobs), []
    model.calls = 0
    for frame in NUMBERS:
        done = swap_face(target, plate.read(frame), frame=frame)
        assert done is not None
        whole = np.asarray(done.alpha) == 1
        out.append(float(np.median(done.color[whole])))
    return np.array(out)


def test_a_network_that_flickers_does_so_less(flickering: Flickering, tmp_path: Path) -> None:
    lamp = np.full(len(NUMBERS), 0.18)
    raw, held = (
        np.log2(levels(tmp_path, flickering, SwapParameters(grain=0, steady=amount), lamp)) for amount in (0.0, 1.0)
    )
    assert np.abs(np.diff(raw)).min() > 0.1, "sRGB codes 3 % up and down"
    # The placement's frames are painted first, so frames may be bright first or dark first: alike in both passes.
    assert np.abs(np.diff(held))[1:-1].max() < 0.35 * np.abs(np.diff(raw)).mean()


def test_a_lamp_in_the_plate_keeps_flickering(production: Studio, tmp_path: Path) -> None:
    calm = Flickering(production.open(production.model("same", network(PASS_THROUGH))), 0.0)
    lamp = 0.18 * 2.0 ** (0.1 * (-1.0) ** np.arange(len(NUMBERS)))
    raw, held = (np.log2(levels(tmp_path, calm, SwapParameters(grain=0, steady=amount), lamp)) for amount in (0.0, 1.0))
    assert np.abs(np.diff(raw)).min() > 0.15
    np.testing.assert_allclose(held, raw, atol=0.02)
