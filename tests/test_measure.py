"""Measurements of a shot: one exposure, one relight per frame, whatever the chunk."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from vfxswap import align, archive, blend, geometry, measure, steady
from vfxswap.errors import Cancelled, TrackError
from vfxswap.events import CancelToken
from vfxswap.face import shot
from vfxswap.measure import Sight
from vfxswap.pixels import F32, Matte, ModelRgb
from vfxswap.plate import Plate, open_plate
from vfxswap.vfxmodel import Painting

from .support import PASS_THROUGH, Studio, astronaut, card, face, network, write_frame


def constant_plate(folder: Path, *levels: float) -> Plate:
    for i, level in enumerate(levels):
        write_frame(folder / f"p.{i + 1:04d}.exr", np.full((90, 100, 3), level, np.float32), frame=i + 1)
    return open_plate(str(folder / "p.####.exr"))


def grid(value: float) -> np.ndarray:
    return np.full((blend.GRID, blend.GRID, 3), value, np.float32)


def test_the_double_s_skin_goes_to_middle_grey(tmp_path: Path):
    plate = constant_plate(tmp_path, 0.5, 1.0, 2.0)
    faces = {frame: face(50, 45, 50) for frame in (1, 2, 3)}
    assert measure.shot_gain(plate, faces) == pytest.approx(0.18, rel=1e-3)
    (tmp_path / "p.0002.exr").write_bytes(b"\x76\x2f\x31\x01")
    assert measure.shot_gain(plate, faces) == pytest.approx(0.18 * 0.5 * (1 / 0.5 + 1 / 2.0), rel=1e-3)


def test_a_face_without_light_is_an_error(tmp_path: Path):
    with pytest.raises(TrackError, match="no light"):
        measure.shot_gain(constant_plate(tmp_path, 0.0, 0.0), {1: face(50, 45, 50), 2: face(50, 45, 50)})


def test_the_relight_is_the_stops_between_face_and_plate(production: Studio, tmp_path: Path):
    painted = np.full(3, 0.4, np.float32)
    model = production.open(production.model("grey", network(constant=painted)))
    plate = constant_plate(tmp_path, 0.7, 0.7)
    found = measure.measure([Sight(plate, {1: face(50, 45, 50), 2: face(51, 45, 50)})], model=model)
    linear = ((0.4 + 0.055) / 1.055) ** 2.4
    stops = np.log2((0.18 + 0.18 / 256) / (linear + 0.18 / 256))
    assert found.model_sha256 == model.card.onnx_sha256
    assert sorted(found.relight) == [1, 2]
    middle = found.relight[1][20:44, 20:44]
    np.testing.assert_allclose(middle, stops, atol=0.01)
    np.testing.assert_allclose(found.match[1].tones[0], stops, atol=0.01)
    np.testing.assert_allclose(found.match[2].coarse, stops, atol=0.01)


def test_a_model_that_changes_nothing_needs_no_relight(production: Studio, face_plate: str):
    model = production.open(production.model("same", network(PASS_THROUGH)))
    found = measure.measure(
        [Sight(open_plate(face_plate), {1001: face(128, 120, 110), 1003: face(130, 120, 110)})], model=model
    )
    assert max(np.abs(values).max() for values in found.relight.values()) < 0.01


def test_frames_that_cannot_be_read_are_left_out(production: Studio, tmp_path: Path):
    plate = constant_plate(tmp_path, 0.5, 0.5, 0.5)
    (tmp_path / "p.0002.exr").write_bytes(bytes(100))
    model = production.open(production.model())
    told: list[tuple[int, int]] = []
    found = measure.measure(
        [Sight(plate, {i: face(50, 45, 50) for i in (1, 2, 3)})],
        model=model,
        progress=lambda a, b: told.append((a, b)),
    )
    assert sorted(found.relight) == [1, 3]
    assert told[-1] == (6, 6)


def test_a_face_outside_of_the_picture_has_no_relight(production: Studio, tmp_path: Path):
    plate = constant_plate(tmp_path, 0.5, 0.5)
    found = measure.measure(
        [Sight(plate, {1: face(50, 45, 50), 2: face(5000, 45, 50)})], model=production.open(production.model())
    )
    assert sorted(found.relight) == [1]


def test_measuring_can_be_cancelled(production: Studio, tmp_path: Path):
    plate = constant_plate(tmp_path, 0.5, 0.5)
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        measure.measure([Sight(plate, {1: face(50, 45, 50)})], model=production.open(production.model()), cancel=token)


# ------------------------------------------------------------------------------------------- over time


def test_smoothing_keeps_constants_and_turns_impulses_into_symmetric_bells():
    same = measure.smooth({frame: grid(0.75) for frame in range(1, 12)})
    assert all((values == 0.75).all() for values in same.values())
    bell = measure.smooth({frame: grid(1.0 if frame == 20 else 0.0) for frame in range(1, 40)})
    heights = np.array([bell[frame][0, 0, 0] for frame in range(1, 40)])
    assert heights.argmax() == 19, "no lag"
    np.testing.assert_array_equal(heights, heights[::-1])
    assert heights.sum() == pytest.approx(1.0, abs=0.01)


def test_runs_that_are_far_apart_do_not_mix():
    found = measure.smooth({1: grid(0.0), 2: grid(0.0), 40: grid(1.0), 41: grid(1.0)})
    assert (found[2] == 0).all()
    assert (found[40] == 1).all()


def test_gaps_and_order_do_not_matter():
    some = {frame: grid(np.sin(frame)) for frame in (7, 3, 1, 12)}
    found = measure.smooth(some)
    again = measure.smooth(dict(sorted(some.items())))
    assert sorted(found) == [1, 3, 7, 12]
    assert all((found[frame] == again[frame]).all() for frame in found)
    assert measure.smooth({}) == {}


def test_values_are_those_that_a_file_holds(tmp_path: Path):
    rng = np.random.default_rng(0)
    relight = measure.smooth({f: rng.normal(size=(blend.GRID, blend.GRID, 3)).astype(np.float32) for f in range(5)})
    tones = rng.normal(size=(3, 3)).astype(np.float16).astype(np.float32)
    coarse = rng.normal(size=(blend.COARSE, blend.COARSE, 3)).astype(np.float16).astype(np.float32)
    held = rng.normal(size=(steady.CELLS, steady.CELLS, 3)).astype(np.float16)
    made = measure.Measurements(
        gain=1.2345678901234567,
        model_sha256="ab" * 32,
        relight=relight,
        match={3: blend.Match(tones, coarse)},
        steady={2: held},
    )
    made.save(tmp_path / "a.vfxshot")
    found = measure.load(tmp_path / "a.vfxshot")
    assert (found.gain, found.model_sha256) == (made.gain, made.model_sha256)
    assert sorted(found.relight) == sorted(relight)
    for frame, values in relight.items():
        np.testing.assert_array_equal(found.relight[frame], values)
    assert sorted(found.match) == [3]
    np.testing.assert_array_equal(found.match[3].tones, tones)
    np.testing.assert_array_equal(found.match[3].coarse, coarse)
    assert sorted(found.steady) == [2]
    np.testing.assert_array_equal(found.steady[2], held)


def test_empty_and_broken_files(tmp_path: Path):
    measure.Measurements(1.0, "", {}).save(tmp_path / "empty.vfxshot")
    assert measure.load(tmp_path / "empty.vfxshot").relight == {}
    with pytest.raises(TrackError, match="no such file"):
        measure.load(tmp_path / "absent.vfxshot")
    archive.write(tmp_path / "part.vfxshot", kind="shot", version=1, manifest={"gain": 1.0}, members={})
    with pytest.raises(TrackError, match="incomplete"):
        measure.load(tmp_path / "part.vfxshot")
    archive.write(tmp_path / "new.vfxshot", kind="shot", version=77, manifest={}, members={})
    with pytest.raises(TrackError, match="newer"):
        measure.load(tmp_path / "new.vfxshot")


class Displaced:
    """Paints what it sees, shrunk, turned and moved: nobody's likeness."""

    resolution = 256

    def __init__(self, placement: align.Placement) -> None:
        self._matrix = placement.matrix(size=self.resolution)
        self.card = card(self.resolution, placement=(0.02, 0.01))

    def swap(self, crop: ModelRgb, told: F32 | None = None) -> Painting:
        size = (self.resolution, self.resolution)
        moved = cv2.warpAffine(crop, geometry.to_opencv(self._matrix), size, borderMode=cv2.BORDER_REPLICATE)
        return Painting(ModelRgb(np.asarray(moved, np.float32)), Matte(np.ones(size, np.float32)))


@pytest.mark.parametrize("painted", [align.Placement(0.03, -0.02, 0.95, 2.0), align.Placement()])
def test_a_painted_face_is_placed_where_the_plate_s_is(painted: align.Placement, tmp_path: Path):
    """The features of what was painted are read and laid over those of the plate, whatever the model's card says."""
    for frame in (1, 2, 3):
        write_frame(tmp_path / f"p.{frame:04d}.exr", astronaut(360, shift=2.0 * frame), frame=frame)
    plate = open_plate(str(tmp_path / "p.####.exr"))
    faces = shot.track_plate(plate, quality="fast").face(0)
    found = measure.measure([Sight(plate, faces)], model=Displaced(painted))
    assert found.placement is not None
    back = geometry.invert(painted.matrix(size=256))
    corners = np.array([[80.0, 80.0], [176.0, 80.0], [128.0, 190.0]])
    off = geometry.transform(found.placement.matrix(size=256), corners) - geometry.transform(back, corners)
    assert np.linalg.norm(off, axis=1).max() < 1.0
    found.save(tmp_path / "p.vfxshot")
    assert measure.load(tmp_path / "p.vfxshot").placement == found.placement


class Covered(Displaced):
    """And something is before the middle of the face."""

    def __init__(self, placement: align.Placement, *, tells: bool) -> None:
        super().__init__(placement)
        self.tells = tells

    def swap(self, crop: ModelRgb, told: F32 | None = None) -> Painting:
        y, x = np.mgrid[: self.resolution, : self.resolution] + 0.5
        front = Matte((np.hypot(x - 170, y - 90) < 20).astype(np.float32))
        rgb, outline, *_ = super().swap(crop, told)
        mask = Matte(outline * (1 - front))
        return Painting(rgb, mask, outline, front) if self.tells else Painting(rgb, mask)


@pytest.mark.parametrize("tells", [True, False])
def test_what_is_before_the_face_stays_where_the_plate_has_it(tells: bool, tmp_path: Path):
    """The painted face is moved to where the double's features are; a hand before it is not."""
    plate, there, place = constant_plate(tmp_path, 0.5), face(50, 45, 50), align.Placement(0.05, -0.04, 0.93, 3.0)
    pixels, window = plate.working(plate.read(1))
    model = Covered(align.Placement(), tells=tells)
    space = measure.Measurements(gain=1.0, model_sha256="", relight={}).space(1, config=plate.config, encoding="srgb")
    done = measure.paint(pixels, window, there, space=space, model=model, placement=place)
    # Where the mask has its hole, in pixels of the crop that was given to the network.
    hole = (done.mask < 0.5) & (align.frame_weight(size=256) == 1)
    rows, columns = np.nonzero(hole)
    middle = np.array([[columns.mean() + 0.5, rows.mean() + 0.5]])
    plate_at = align.to_plate(middle, matrix=done.matrix)
    given = align.to_crop(plate_at, matrix=align.crop_matrix(there.similarity, size=256))[0]
    moved = geometry.transform(place.matrix(size=256), np.array([[170.0, 90.0]]))[0]
    assert np.linalg.norm(moved - [170, 90]) > 8
    assert np.linalg.norm(given - ([170, 90] if tells else moved)) < 0.5


def test_where_no_painted_face_can_be_read_the_model_s_placement_holds(production: Studio, tmp_path: Path):
    model = production.open(production.model("grey", network(constant=np.full(3, 0.4, np.float32))))
    plate = constant_plate(tmp_path, 0.7)
    sight = Sight(plate, {1: face(50, 45, 50)})
    found = measure.measure([sight], model=model)
    assert found.placement is None
    pixels, window = plate.working(plate.read(1))
    space = found.space(1, config=plate.config, encoding="srgb")
    held = [
        measure.paint(pixels, window, sight.faces[1], space=space, model=Displaced(align.Placement()), placement=one)
        for one in (None, align.Placement(0.02, 0.01), align.Placement())
    ]
    np.testing.assert_array_equal(held[0].matrix, held[1].matrix)
    assert np.abs(held[0].matrix - held[2].matrix).max() > 1.0


def test_measurements_made_before_there_was_a_placement_have_none(tmp_path: Path):
    grids = np.zeros((0, blend.GRID, blend.GRID, 3), np.float16)
    old = {"gain": 1.0, "curve": {}, "color": {}, "model_sha256": "", "frames": []}
    archive.write(
        tmp_path / "old.vfxshot",
        kind="shot",
        version=2,
        manifest=old,
        members={"relight.npy": archive.npy_bytes(grids)},
    )
    assert measure.load(tmp_path / "old.vfxshot").placement is None
