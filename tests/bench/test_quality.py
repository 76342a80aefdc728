"""Scores of frames in memory: each measures what it says, on pictures whose errors are known."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest
from skimage.metrics import structural_similarity

from vfxswap.bench import quality
from vfxswap.bench.quality import pixelwise, records, views
from vfxswap.bench.quality.diagnosis import diagnose, lowpass
from vfxswap.bench.quality.reading import compare, face_height
from vfxswap.color import ColorConfig, ModelSpace
from vfxswap.errors import PlateError
from vfxswap.face import mesh
from vfxswap.pixels import F32, F64, Matte, ModelRgb, WorkingRgb

from ..support import astronaut, disc

SIZE = 192
MASK = disc(SIZE) > 0.5
SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"


@pytest.fixture(scope="module")
def config() -> ColorConfig:
    return ColorConfig.load()


@pytest.fixture(scope="module")
def codes() -> F32:
    """(SIZE, SIZE, 3) a face as displayed."""
    return astronaut(SIZE) ** np.float32(1 / 2.2)


def noise(sigma: float, seed: int = 0) -> F32:
    return (sigma * np.random.default_rng(seed).standard_normal((SIZE, SIZE, 3))).astype(np.float32)


def view(frame: int = 1, **changes) -> quality.View:
    truth = WorkingRgb(astronaut(SIZE, shift=0.5 * frame))
    made = quality.View(frame=frame, plate=truth, swap=truth, truth=truth, face=Matte(disc(SIZE)), yaw_deg=0.0)
    return replace(made, **changes)


# Every score may be None, which no comparison below is about.


def scored(*arguments: Any, **options: Any) -> Any:
    return quality.score_swap(*arguments, **options)


def diagnosed(*arguments: Any, **options: Any) -> Any:
    return diagnose(*arguments, **options)


def compared(*arguments: Any, **options: Any) -> Any:
    return compare(*arguments, **options)


# ------------------------------------------------------------------------------------------------ pixels


def test_psnr_is_of_the_mask_alone(codes: F32):
    off = codes + np.where(MASK[..., None], 0.01, 0.5).astype(np.float32)
    assert pixelwise.psnr(off, codes, MASK) == pytest.approx(40.0, abs=0.01)
    assert pixelwise.psnr(codes, codes, MASK) == pixelwise.MOST_DB


def test_ssim_is_the_published_one(codes: F32):
    other = np.clip(cv2.GaussianBlur(codes, (0, 0), 1.5) + noise(0.02), 0, 1)
    luma = [x.astype(np.float64) @ pixelwise.LUMA for x in (other, codes)]
    _, full = structural_similarity(
        *luma, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0, full=True
    )
    assert pixelwise.ssim(other, codes, MASK) == pytest.approx(full[MASK].mean(), abs=1e-6)
    assert pixelwise.ssim(codes, codes, MASK) == pytest.approx(1.0)


def test_flip_is_the_authors_own(codes: F32):
    flip_evaluator = pytest.importorskip("flip_evaluator", reason="needs the extra `bench`")
    linear, other = codes**2.2, (codes + noise(0.05)) ** 2
    expected, mean, _ = flip_evaluator.evaluate(linear, np.maximum(other, 0), "HDR", False, False, True, {})
    everywhere = np.ones_like(MASK)
    assert pixelwise.flip(other, linear, everywhere) == pytest.approx(mean, rel=1e-4)
    assert pixelwise.flip(other, linear, MASK) == pytest.approx(float(expected[..., 0][MASK].mean()), rel=1e-4)
    assert "HDR-FLIP" in pixelwise.flip_name()


def test_without_its_package_flip_is_not_measured(codes: F32, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "flip_evaluator", None)
    assert pixelwise.flip(codes, codes, MASK) is None
    score = scored([view()])
    assert score.mean.rows["swap"].flip is None
    assert score.mean.rows["swap"].ssim == pytest.approx(1.0)

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert pixelwise.flip_name() == "not measured (pip install 'vfxswap[bench]')"


def test_grain_is_as_strong_as_the_shot_says(config: ColorConfig):
    grey = WorkingRgb(np.full((SIZE, SIZE, 3), 0.5, np.float32))
    one = pixelwise.grain(grey, amount=0.012, times=1.0, config=config, seed=3)
    assert one.std() == pytest.approx(0.012 * np.sqrt(0.5 * 0.5 + 0.004), rel=0.02)
    assert np.array_equal(one, pixelwise.grain(grey, amount=0.012, times=1.0, config=config, seed=3))
    other = pixelwise.grain(grey, amount=0.012, times=2.0, config=config, seed=4)
    assert other.std() == pytest.approx(one.std() * np.sqrt(2), rel=0.02)
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.05
    green = one[..., 1]
    assert np.corrcoef(green[:, 1:].ravel(), green[:, :-1].ravel())[0, 1] == pytest.approx(0.5, abs=0.06)
    assert np.corrcoef(green.ravel(), one[..., 0].ravel())[0, 1] == pytest.approx(0.65, abs=0.06)


def test_flicker_of_noise_is_what_noise_makes(codes: F32):
    now, before = codes + noise(0.01, 1), codes + noise(0.01, 2)
    # The difference of two takes has sqrt(2) sigma, the mean of its size sqrt(2 / pi) of that.
    expected = 100 * 0.01 * np.sqrt(2) * np.sqrt(2 / np.pi)
    assert pixelwise.flicker(now, before, codes, codes, MASK) == pytest.approx(expected, rel=0.02)
    assert pixelwise.flicker(codes + 0.1, codes + 0.1, codes, codes, MASK) == pytest.approx(0.0, abs=1e-5)


# --------------------------------------------------------------------------------------------- diagnosis


def shares(found: quality.Diagnosis) -> dict[str, float]:
    names = ("tone", "light", "placement", "shape", "grain", "detail")
    return {name: getattr(found, f"{name}_pct") or 0.0 for name in names}


def spoilt(codes: F32, kind: str) -> F32:
    if kind == "tone":
        return codes * np.array([1.1, 1.0, 0.9], np.float32)
    if kind == "light":
        ramp = np.linspace(-0.12, 0.12, SIZE, dtype=np.float32)
        return codes + ramp[None, :, None]
    if kind == "placement":
        return np.roll(codes, (0, 4), axis=(0, 1))
    if kind == "shape":
        y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
        wave = 3 * np.sin(y / 14)
        return np.asarray(cv2.remap(codes, x + wave, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))
    return np.asarray(cv2.GaussianBlur(codes, (0, 0), 1.5))


@pytest.mark.parametrize("kind", ["tone", "light", "placement", "shape", "detail"])
def test_an_error_is_put_down_to_its_cause(codes: F32, kind: str):
    found = diagnosed(spoilt(codes, kind), codes, MASK, height=150.0, clean=None)
    split = shares(found)
    assert max(split, key=lambda name: split[name]) == kind
    assert split[kind] > 60
    assert sum(split.values()) == pytest.approx(100.0)
    ladder = [found.as_is_db, found.tone_db, found.light_db, found.placed_db, found.warped_db]
    assert ladder == sorted(ladder)
    if kind == "placement":
        assert found.shift_pct == pytest.approx(100 * 4 / 150, rel=0.1)
    else:
        assert found.shift_pct < 0.6
    assert (found.sharpness < 0.7) == (kind == "detail")


def test_grain_has_its_part(codes: F32):
    found = diagnosed(codes + noise(0.01), codes, MASK, height=150.0, clean=0.01**2)
    assert found.grain_db == pytest.approx(40.0)
    assert found.grain_pct > 90
    assert sum(shares(found).values()) == pytest.approx(100.0)


def test_soft_light_is_read_inside_the_mask_only():
    values = np.where(MASK[..., None], 0.2, 9.0).astype(np.float32).repeat(3, axis=-1)[..., :3]
    for sigma in (4.0, 40.0):
        assert np.abs(lowpass(values, MASK, sigma=sigma)[MASK] - 0.2).max() < 0.02


# ------------------------------------------------------------------------------------------ whole frames


def test_a_perfect_swap_has_no_error():
    score = scored([view(1, matte=Matte(disc(SIZE))), view(2, matte=Matte(disc(SIZE)))], grain=0.01)
    swap = score.mean.rows["swap"]
    assert swap.psnr_db == swap.psnr_log_db == swap.edge_db == pixelwise.MOST_DB
    assert swap.flicker_pct == 0.0
    assert score.mean.flicker_ratio == 0.0
    assert score.mean.mask.iou == score.mean.mask.iou_clear == 1.0
    assert score.mean.mask.iou_occluded is None
    floor = score.mean.rows["perfect"]
    assert 30 < floor.psnr_db < 60
    assert score.mean.diagnosis.grain_db == pytest.approx(floor.psnr_db + 3.0, abs=0.3)
    assert score.frames[1].flicker_clean_pct == pytest.approx(floor.flicker_pct / np.sqrt(2), rel=0.05)


def test_doing_nothing_is_the_plate():
    plate = WorkingRgb(astronaut(SIZE) * np.float32(0.8))
    score = scored([view(swap=plate, plate=plate)])
    assert score.mean.rows["swap"] == score.mean.rows["nothing"]
    assert score.mean.rows["swap"].psnr_db < 35
    assert score.mean.rows["perfect"].psnr_db is None  # whose grain is not known


def test_codes_are_those_of_srgb_and_of_acescct(config: ColorConfig):
    truth = WorkingRgb(np.full((SIZE, SIZE, 3), 4.0, np.float32))
    swap = WorkingRgb(np.full((SIZE, SIZE, 3), 2.0, np.float32))
    found = scored([view(truth=truth, swap=swap, plate=swap)], config=config).mean.rows["swap"]
    assert found.psnr_db == pixelwise.MOST_DB  # both are white there
    assert found.psnr_log_db == pytest.approx(-20 * np.log10(1 / 17.52), abs=0.01)  # a stop of ACEScct


def test_numbers_that_are_none_do_not_spread():
    swap = astronaut(SIZE, shift=0.5).copy()
    swap[90:94, 90:94] = np.nan
    score = scored([view(swap=WorkingRgb(swap))], grain=0.01)
    assert 20 < score.mean.rows["swap"].psnr_db < 60


def test_what_is_in_front_of_the_face_does_not_count():
    front = np.zeros((SIZE, SIZE), np.float32)
    front[80:110, :] = 1.0
    truth = astronaut(SIZE)
    swap = truth.copy()
    swap[80:110] = 0.0
    face = Matte(disc(SIZE) * (1 - front))
    for shown in (face, Matte(disc(SIZE))):  # whether the truth's face is already without it or not
        score = scored(
            [view(truth=WorkingRgb(truth), swap=WorkingRgb(swap), face=shown, occluder=Matte(front), matte=face)]
        )
        frame = score.frames[0]
        assert frame.rows["swap"].psnr_db == pixelwise.MOST_DB
        assert frame.occluded == pytest.approx(30 * 2 * 0.36 / (np.pi * 0.36**2 * SIZE), rel=0.1)
        assert frame.mask.iou_occluded == frame.mask.iou == 1.0
        assert frame.mask.iou_clear is None
        assert frame.mask.painted_over == 0.0
    over = scored([view(face=face, occluder=Matte(front), matte=Matte(disc(SIZE)))]).frames[0]
    assert over.mask.painted_over > 0.95
    assert over.mask.iou == pytest.approx(1 - over.occluded, abs=0.01)


def test_what_stands_beside_the_face_hides_nothing():
    beside = np.zeros((SIZE, SIZE), np.float32)
    beside[:, :20] = 1.0
    score = scored([view(occluder=Matte(beside), matte=Matte(disc(SIZE)))])
    assert score.frames[0].occluded == 0.0
    assert score.mean.mask.iou_clear == 1.0


def test_heads_turned_away_are_shown_but_do_not_count():
    dark = WorkingRgb(astronaut(SIZE) * np.float32(0.5))
    frames = [view(1), view(2, yaw_deg=41.0, swap=dark), view(3), view(4)]
    score = scored(frames)
    assert [frame.counted for frame in score.frames] == [True, False, True, True]
    assert score.mean.frames == 3
    assert score.mean.rows["swap"].psnr_db == pixelwise.MOST_DB
    assert set(score.worst) == {1, 3, 4}
    assert [frame.rows["swap"].flicker_pct is None for frame in score.frames] == [True, False, True, False]
    assert scored(frames, max_yaw=45.0).worst[0] == 2


def test_frames_without_a_face_and_gaps_are_left_out():
    gone = view(2, face=Matte(np.zeros((SIZE, SIZE), np.float32)))
    score = scored([view(1), gone, view(3), view(5)], grain=0.01)
    assert [frame.pixels > 0 for frame in score.frames] == [True, False, True, True]
    assert score.mean.frames == 3
    assert all(frame.rows["swap"].flicker_pct is None for frame in score.frames)
    with pytest.raises(PlateError, match="no frame"):
        scored([])


def test_pictures_of_other_sizes_are_refused():
    with pytest.raises(PlateError, match=r"the swap is 64 x 64, the truth 192 x 192 \(frame 7\)"):
        view(7, swap=WorkingRgb(astronaut(64)))


def test_the_schema_is_the_published_one():
    """After a change: json.dumps(quality.json_schema(), indent=2) into the file."""
    published = json.loads((SCHEMAS / "quality.json").read_text(encoding="utf-8"))
    assert published == quality.json_schema()
    jsonschema.Draft202012Validator.check_schema(published)


def test_means_are_over_what_was_measured():
    scores = [quality.PictureScore(ssim=0.5), quality.PictureScore(ssim=1.0, psnr_db=20.0), quality.PictureScore()]
    assert records.mean_of(quality.PictureScore, scores) == quality.PictureScore(ssim=0.75, psnr_db=20.0)


# ------------------------------------------------------------------------------------------------- faces


@pytest.fixture
def points() -> F64:
    """(478, 3) a face from the front, 100 pixels high, whose irises are in the middle of its eyes."""
    flat = np.concatenate([mesh.template(), np.zeros((10, 2))]) * 100 + 50
    for iris, corners in ((mesh.RIGHT_IRIS, (33, 133)), (mesh.LEFT_IRIS, (263, 362))):
        flat[list(iris)] = flat[list(corners)].mean(axis=0)
    return np.concatenate([flat, np.zeros((478, 1))], axis=1)


NOTHING = np.zeros(478, bool)


def test_faces_alike_do_not_differ(points: F64):
    assert face_height(points) == pytest.approx(100.0)
    off = compared(points, points, covered=NOTHING)
    assert (off.landmarks, off.gaze, off.lids, off.lips) == (0, 0, 0, 0)


def test_landmarks_are_off_in_parts_of_the_height(points: F64):
    off = compared(points + np.array([2.0, 0.0, 50.0]), points, covered=NOTHING)
    assert off.landmarks == pytest.approx(2.0)
    assert off.gaze == pytest.approx(0.0, abs=1e-9)


def test_gaze_is_off_in_parts_of_the_eye(points: F64):
    looking = points.copy()
    for iris, corners in ((468, (33, 133)), (473, (263, 362))):
        looking[iris] += 0.1 * (points[corners[1]] - points[corners[0]])
    assert compared(looking, points, covered=NOTHING).gaze == pytest.approx(10.0, rel=0.01)
    closed = points.copy()
    for upper, lower in ((159, 145), (386, 374)):
        closed[upper] = closed[lower]
    shut = compared(points, closed, covered=NOTHING)
    assert shut.gaze is None  # closed eyes look nowhere
    assert shut.lids > 10


def test_lips_are_off_in_parts_of_the_height(points: F64):
    talking = points.copy()
    talking[14, 1] += 5.0
    assert compared(talking, points, covered=NOTHING).lips == pytest.approx(5.0)


def test_covered_landmarks_are_not_compared(points: F64):
    moved = points.copy()
    moved[13:15] += 30.0
    covered = NOTHING.copy()
    covered[[13, 14, 468, 473]] = True
    off = compared(moved, points, covered=covered)
    assert off.landmarks == 0.0
    assert (off.lips, off.gaze, off.lids) == (None, None, None)


def test_points_behind_and_outside_are_covered(points: F64):
    front = np.zeros((SIZE, SIZE), np.float32)
    front[:, :100] = 1.0
    found = views.covered(view(occluder=Matte(front)), points + np.array([0.0, 60.0, 0.0]))
    at = points[:, :2] + np.array([0.0, 60.0])
    assert found[at[:, 0] < 99].all()
    assert not found[(at[:, 0] > 103) & (at[:, 1] < SIZE - 1)].any()
    assert found[at[:, 1] > SIZE].all()


def test_a_frame_is_not_compared_with_itself():
    gallery = quality.Gallery()
    gallery.add("ben", ("shot", 1), np.array([1.0, 0.0]))
    assert gallery.distance(np.array([1.0, 0.0]), "ben", leaving=("shot", 1)) is None
    gallery.add("ben", ("shot", 2), np.array([0.0, 0.0]))
    assert gallery.distance(np.array([1.0, 0.0]), "ben", leaving=("shot", 1)) == 1.0
    assert gallery.distance(np.array([1.0, 0.0]), "ben", leaving=("other", 1)) == 0.5
    assert gallery.distance(np.zeros(2), "anna", leaving=("shot", 1)) is None
    given = quality.Gallery(given={"ben": np.array([3.0, 4.0])})
    given.add("ben", ("shot", 2), np.zeros(2))
    assert given.distance(np.zeros(2), "ben", leaving=("shot", 1)) == 5.0


def test_a_swapped_face_is_read_where_the_truth_has_it(config: ColorConfig):
    reader = quality.FaceReader(device="cpu", threads=1)
    moved = WorkingRgb(astronaut(SIZE, shift=2.5))
    blank = WorkingRgb(np.full((SIZE, SIZE, 3), 0.18, np.float32))
    frames = [view(1, swap=moved), view(2, yaw_deg=None), view(3, swap=blank)]
    first, same, gone = scored(frames, config=config, grain=0.005, reader=reader).frames
    height = face_height(_read(reader, config, frames[0].truth))
    assert first.rows["swap"].landmarks_pct == pytest.approx(100 * 2.0 / height, rel=0.15)
    assert first.rows["swap"].gaze_pct < 2
    assert same.rows["swap"].landmarks_pct == same.rows["swap"].gaze_pct == 0.0
    assert 0 < same.rows["perfect"].landmarks_pct < 0.5
    assert abs(same.yaw_deg) < 25
    assert same.rows["swap"].to_likeness == same.rows["perfect"].to_likeness < 0.3
    assert "swap" in gone.unread
    assert gone.rows["swap"].landmarks_pct is None
    assert gone.rows["swap"].to_likeness is None
    score = scored(frames, config=config, reader=reader)
    assert score.mean.unread == 1


def _read(reader: quality.FaceReader, config: ColorConfig, rgb: WorkingRgb) -> F64:
    shown = ModelRgb(ModelSpace(config, 1.0).encode(rgb))
    region = reader.region(shown, near=None, centre=np.array([SIZE / 2, SIZE / 2]))
    assert region is not None
    reading = reader.read(shown, region)
    assert reading is not None
    return reading.points
