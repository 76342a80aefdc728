"""Each measure on material whose answer is known."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import jsonschema
import numpy as np
import pytest

from vfxswap.errors import OutputError
from vfxswap.qc import chip as chips
from vfxswap.qc import limits, overtime, records, surface
from vfxswap.qc.chip import CELLS, SIZE, Chip
from vfxswap.qc.overtime import Look
from vfxswap.qc.reading import Doing

SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "qc.json"


def chip(plate=None, output=None, cover=None) -> Chip:
    plate = np.full((SIZE, SIZE, 3), 0.5, np.float32) if plate is None else plate
    output = plate if output is None else output
    cover = ellipse() if cover is None else cover
    nothing = np.zeros((SIZE, SIZE), bool)
    return Chip(plate, output, cover, nothing, cover > 0, plate, output, cover, chips.FACE, 0)


def ellipse() -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    cv2.ellipse(mask, (SIZE // 2, SIZE // 2), (60, 85), 0, 0, 360, 1, -1)
    return mask.astype(np.float32)


def noise(sigma: float, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, sigma, (SIZE, SIZE, 1)).astype(np.float32)


def test_grain_is_the_ratio_of_the_noises() -> None:
    flat = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    both = chip(flat + noise(0.02), flat + noise(0.01, seed=2))
    assert surface.grain(both, surface.face_pixels(both)) == pytest.approx(0.5, rel=0.05)
    clean = chip(flat, flat + noise(0.01))
    assert surface.grain(clean, surface.face_pixels(clean)) is None


def test_sharpness_falls_with_blur() -> None:
    rough = cv2.GaussianBlur(np.random.default_rng(3).random((SIZE, SIZE, 3)).astype(np.float32), (0, 0), 1.2)
    same, softer = chip(rough), chip(rough, cv2.GaussianBlur(rough, (0, 0), 1.5))
    where = surface.face_pixels(same)
    assert surface.sharpness(same, where) == 1.0
    found = surface.sharpness(softer, where)
    assert found is not None and found < 0.7


def test_a_seam_is_a_difference_at_the_edge_and_not_inside() -> None:
    plate = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    y, x = np.mgrid[:SIZE, :SIZE]
    away = np.clip((np.hypot((x - SIZE / 2) / 60, (y - SIZE / 2) / 85)), 0, 1)[..., None].astype(np.float32)
    hard, soft = plate.copy(), plate + 0.2 * (1 - away) ** 2
    hard[ellipse() > 0] = 0.6
    step = surface.seam(chip(plate, hard))
    blended = surface.seam(chip(plate, np.asarray(soft, np.float32)))
    assert step == pytest.approx(float(chips.lab(hard)[160, 160, 0] - chips.lab(plate)[0, 0, 0]), rel=0.02)
    assert blended is not None and blended < 0.5


def test_holes_count_but_not_notches_nor_what_an_artist_left_out() -> None:
    points = np.zeros((478, 3))
    points[:, :2] = SIZE / 2 + 70 * np.stack([np.cos(np.arange(478)), np.sin(np.arange(478))], axis=1)
    whole = surface.coverage(chip(), points)
    holed, notched = ellipse(), ellipse()
    cv2.circle(holed, (SIZE // 2, SIZE // 2), 12, 0, -1)
    cv2.circle(notched, (SIZE // 2 + 60, SIZE // 2), 20, 0, -1)
    assert whole[1] == 0
    covered, hole = surface.coverage(chip(cover=holed), points)
    assert hole == pytest.approx(whole[0] - covered, rel=0.1) and hole > 2
    assert surface.coverage(chip(cover=notched), points)[1] == 0
    wanted = chip(cover=holed)
    wanted.let[:] = True
    assert surface.coverage(wanted, points)[1] == 0


def look(frame: int, *, tone: float = 0.0, x: float = 0.0, lids: float = 30.0, plate_lids: float = 30.0) -> Look:
    cells = (CELLS, CELLS)
    return Look(
        frame=frame,
        values={},
        away=np.full((*cells, 3), (tone, 0, 0), np.float16),
        seen=np.full((*cells, 3), 50, np.float16),
        cover=np.full(cells, 255, np.uint8),
        face=np.ones(cells, bool),
        offset=np.full((51, 2), (x * chips.FACE / 100, 0), np.float32),
        place=np.array([x, 0, 0, 0]),
        does=(Doing(plate_lids, 2.0, None), Doing(lids, 2.0, None)),
        who=np.zeros((2, 128)),
        motion=(1.0, 0.9),
    )


def test_a_pop_is_of_its_frame_alone_and_a_drift_is_none() -> None:
    popped = [look(1001 + n, tone=0.4 * n + (5 if n == 4 else 0), x=2.0 if n == 6 else 0.1 * n) for n in range(9)]
    overtime.finish(popped, cuts=(), likeness=None, double=None)
    assert [one.frame for one in popped if (one.values["flicker"] or 0) > 1] == [1005]
    assert [one.frame for one in popped if (one.values["jitter"] or 0) > 0.5] == [1007]
    assert popped[4].values["flicker"] == pytest.approx(4.6, abs=0.02)


def test_nothing_is_compared_across_a_cut_or_a_missing_frame() -> None:
    frames = [look(1001 + n, tone=0.0 if n < 3 else 6.0) for n in range(6)]
    overtime.finish(frames, cuts=(1004,), likeness=None, double=None)
    assert max(one.values["flicker"] or 0 for one in frames) == 0
    assert [len(run) for run in overtime.runs([look(f) for f in (1, 2, 4, 5, 6)], ())] == [2, 3]


def test_what_is_always_so_is_the_likenesss_own() -> None:
    narrow = [look(1001 + n, lids=22.0, plate_lids=30.0 if n != 5 else 4.0) for n in range(9)]
    overtime.finish(narrow, cuts=(), likeness=None, double=None)
    found = [one.values["lids"] for one in narrow]
    assert found[5] == pytest.approx(26.0)
    assert [value for n, value in enumerate(found) if n != 5] == pytest.approx([0.0] * 8)


def test_a_matte_that_leaves_out_what_it_usually_covers() -> None:
    frames = [look(1001 + n) for n in range(9)]
    frames[3].cover[:6, :6] = 0
    frames[4].cover[:6, :6] = 0
    frames[4].seen[:6, :6] = 20  # something is in front of it
    overtime.finish(frames, cuts=(), likeness=None, double=None)
    assert frames[3].values["gap"] == pytest.approx(100 * 36 / CELLS**2)
    assert [frames[n].values["gap"] for n in (2, 4)] == [0, 0]


def test_scores_rank_frames_below_and_beyond_the_limits() -> None:
    good = limits.judge({"seam": 3.0, "shift": 0.5, "gaze": None})
    assert (good.score, good.alarms) == (0.5, ())
    bad = limits.judge({"seam": 9.0, "shift": 5.0, "grain": 0.325})
    assert bad.score == pytest.approx(1 + 0.5 + 1.0 + 1.0)
    assert set(bad.alarms[:2]) == {"shift", "grain"} and bad.alarms[2] == "seam"
    assert "less grain than the plate (0.33 times)" in bad.reasons
    assert limits.judge({"covered": 0.0}).score == 8.0


def test_every_measure_can_speak() -> None:
    for measure in limits.MEASURES:
        if measure.most is not None:
            assert measure.reason(2 * measure.most) and measure.excess(2 * measure.most) > 1
        if measure.least is not None:
            assert measure.reason(measure.least / 2) and measure.excess(measure.least / 2) > 1


def test_the_schema_is_published() -> None:
    text = json.dumps(records.json_schema(), indent=2) + "\n"
    assert SCHEMA.read_text() == text, f"write this to {SCHEMA.name}:\n{text}"
    jsonschema.Draft202012Validator.check_schema(json.loads(text))


@pytest.mark.parametrize("text", ["", "{}", '{"schema": "vfxswap.qc/2"}'])
def test_what_is_no_report_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "qc.json").write_text(text)
    with pytest.raises(OutputError, match=r"no QC report|is newer than"):
        records.read(tmp_path / "qc.json")
