"""`bench quality` on shots with ground truth: through the real pipeline and gate, or on frames rendered elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest

from vfxswap import exr
from vfxswap.bench import quality
from vfxswap.bench.quality import pixelwise, tables
from vfxswap.errors import Cancelled, ConsentError, PlateError, UsageError
from vfxswap.events import CancelToken, NullSink
from vfxswap.job import SwapParameters
from vfxswap.sequence import SequencePath
from vfxswap.trust import Gate, KeyRing

from ..support import LIKENESS, TINT, Studio, astronaut, disc, write_frame

COMMAND = str(Path(sys.executable).parent / "vfxswap")
SIZE, FRAMES = 224, (1001, 1002, 1003)


def write_shot(folder: Path, *, truth: tuple[int, ...] = FRAMES, facts: dict | None = None) -> Path:
    """A shot whose truth is the plate with its colours mixed within a disc; frame 1003 is said to be turned away."""
    y0, x0 = 30, 40
    face = np.zeros((SIZE, SIZE), np.float32)
    face[y0 : y0 + 160, x0 : x0 + 160] = disc(160)
    for part in ("plate", "truth", "matte"):
        (folder / part).mkdir(parents=True)
    for frame in FRAMES:
        plate = astronaut(SIZE, shift=1.25 * (frame - 1001))
        write_frame(folder / "plate" / f"plate.{frame}.exr", plate, frame=frame)
        mattes = {"truth_face": face.astype(np.float16), "occluder": np.zeros((SIZE, SIZE), np.float16)}
        exr.write_channels(folder / "matte" / f"matte.{frame}.exr", channels=mattes)
        if frame in truth:
            mixed = plate + face[..., None] * (plate @ TINT.T - plate)
            write_frame(folder / "truth" / f"truth.{frame}.exr", mixed, frame=frame)
    turned = {str(frame): {"head_deg": [0.0, 50.0 if frame == 1003 else 3.0, 0.0], "more": 1} for frame in FRAMES}
    known = {"double": "anna", "likeness": LIKENESS, "grain": 0.01, "fps": 24, "frames": turned}
    (folder / "shot.json").write_text(json.dumps(known if facts is None else facts))
    return folder


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shot(tmp_path_factory.mktemp("material") / "talk")


def run(request: quality.Request, gate: Gate | None = None) -> Any:  # a report; its scores may be None
    return quality.run(request, gate=(lambda: gate) if gate else None, sink=NullSink(), cancel=CancelToken())


def request(production: Studio, shot: Path, output: Path | None, **changes) -> quality.Request:
    fields = {"shots": (shot,), "model": production.model(), "output": output, "device": "cpu"}
    return quality.Request(**{**fields, "consents": production.consents, "keyring": production.keyring, **changes})


@dataclass(frozen=True)
class Swapped:
    report: Any
    folder: Path


@pytest.fixture(scope="module")
def swapped(production: Studio, shot: Path, tmp_path_factory: pytest.TempPathFactory) -> Swapped:
    """The shot through the pipeline with a model that mixes colours as the truth does."""
    folder = tmp_path_factory.mktemp("scored")
    wanted = request(production, shot, folder, parameters=SwapParameters(relight=0.0))
    return Swapped(run(wanted, production.gate()), folder)


def test_a_shot_is_swapped_and_scored(swapped: Swapped):
    (score,) = swapped.report.shots
    assert (score.name, score.likeness, score.double, score.grain) == ("talk", "ben", "anna", 0.01)
    assert [frame.frame for frame in score.frames] == list(FRAMES)
    assert [frame.counted for frame in score.frames] == [True, True, False]
    rows = score.mean.rows
    assert rows["swap"].psnr_db > rows["nothing"].psnr_db + 0.8
    assert rows["perfect"].psnr_db > rows["swap"].psnr_db
    assert rows["swap"].landmarks_pct < 1.0
    assert 0.3 < score.mean.mask.iou < 1.0
    assert score.mean.flicker_ratio > score.mean.flicker_clean_ratio / 2 > 0
    assert set(score.worst) == {1001, 1002}
    assert swapped.report.overall.frames == 2


def test_the_report_is_as_published(swapped: Swapped):
    data = json.loads(swapped.report.to_json())
    assert data["schema"] == quality.SCHEMA == "vfxswap.quality/1"
    jsonschema.Draft202012Validator(quality.json_schema()).validate(data)
    assert quality.QualityReport.model_validate_json(swapped.report.to_json()) == swapped.report
    assert len(data["model_sha256"]) == 64
    assert set(data["shots"][0]["frames"][0]["rows"]) == {"nothing", "swap", "perfect"}


def test_the_tables_hold_every_shot(swapped: Swapped):
    lines = tables.rows(swapped.report)
    assert [line[:2] for line in lines[:3]] == [("talk", "nothing"), ("", "swap"), ("", "perfect")]
    assert all(len(line) == len(tables.HEAD) for line in lines)
    head, split = tables.split(swapped.report)
    assert [line[0] for line in split] == ["talk", "overall"]
    assert all(len(line) == len(head) for line in split)
    assert any("1001" in note for note in tables.notes(swapped.report))


def test_strips_show_plate_swap_truth_and_error(swapped: Swapped):
    picture = cv2.imread(str(swapped.folder / "talk.png"))
    assert picture is not None
    rows = (picture.shape[0] - 26) // (320 + 26)
    assert rows in (2, 3)
    assert picture.shape[1] == 4 * 320
    plate, swap, truth, error = (picture[52 : 52 + 320, 320 * i : 320 * (i + 1)].astype(int) for i in range(4))
    assert np.abs(plate - truth).mean() > np.abs(swap - truth).mean() > 0
    assert np.abs(error - np.clip(4 * np.abs(swap - truth), 0, 255)).mean() < 3


def test_frames_rendered_elsewhere_score_the_same(swapped: Swapped, shot: Path):
    pattern = str(swapped.folder / "talk" / "swap.####.exr")
    again = run(quality.Request(shots=(shot,), swapped=(pattern,), device="cpu"))
    here, there = again.overall, swapped.report.overall
    assert here.rows["swap"].psnr_db == there.rows["swap"].psnr_db
    assert here.mask == there.mask
    assert here.rows["swap"].landmarks_pct == pytest.approx(there.rows["swap"].landmarks_pct, abs=0.2)
    assert again.model == pattern


def test_the_truth_as_a_swap_is_perfect_and_the_plate_is_nothing(shot: Path):
    score = run(quality.Request(shots=(shot,), swapped=(str(shot / "truth"),), device="cpu")).overall
    assert score.rows["swap"].psnr_db == pixelwise.MOST_DB
    assert score.rows["swap"].landmarks_pct == score.rows["swap"].flicker_pct == 0.0
    assert score.mask.iou is None  # nobody knows what it was composited with
    idle = run(quality.Request(shots=(shot,), swapped=(str(shot / "plate"),), device="cpu")).overall
    assert idle.rows["swap"] == idle.rows["nothing"] == score.rows["nothing"]


def test_frames_without_a_truth_are_left_out(tmp_path: Path):
    shot = write_shot(tmp_path / "few", truth=(1001, 1003), facts={"grain": 0.01})
    (score,) = run(quality.Request(shots=(shot,), swapped=(str(shot / "plate"),), device="cpu")).shots
    assert [frame.frame for frame in score.frames] == [1001, 1003]
    assert score.mean.flicker_ratio is None


def test_a_shot_need_not_say_anything_of_itself(tmp_path: Path):
    shot = write_shot(tmp_path / "plain", truth=(1001, 1002), facts={})
    (score,) = run(quality.Request(shots=(shot,), swapped=(str(shot / "plate"),), device="cpu")).shots
    assert (score.likeness, score.double, score.grain) == ("likeness", "double", None)
    assert all(abs(frame.yaw_deg) < 25 and frame.counted for frame in score.frames)
    assert score.mean.rows["perfect"].psnr_db is None
    assert score.mean.rows["perfect"].to_likeness < 0.3
    (shot / "shot.json").write_text('{"grain": "much"}')
    with pytest.raises(PlateError, match=r"grain: .*number.*shot\.json"):
        quality.ShotData.load(shot)


def test_shots_that_lack_something_are_refused(tmp_path: Path, shot: Path):
    with pytest.raises(PlateError, match="no folder 'plate'"):
        quality.ShotData.load(tmp_path)
    apart = write_shot(tmp_path / "apart", truth=())
    write_frame(apart / "truth" / "truth.2001.exr", astronaut(SIZE))
    with pytest.raises(PlateError, match="no frame has a plate, a truth and a matte"):
        quality.ShotData.load(apart)
    with pytest.raises(PlateError, match="no files match gone"):
        run(quality.Request(shots=(shot,), swapped=(str(tmp_path / "gone.####.exr"),), device="cpu"))
    with pytest.raises(PlateError, match="none of the shot's frames was swapped"):
        run(quality.Request(shots=(shot,), swapped=(str(apart / "truth" / "truth.####.exr"),), device="cpu"))


def test_no_consent_no_score(production: Studio, shot: Path, tmp_path: Path):
    output = tmp_path / "out"
    with pytest.raises(ConsentError):
        run(request(production, shot, output), Gate(KeyRing.load(production.keyring), list(production.consents[:1])))
    with pytest.raises(UsageError, match="gate"):
        run(request(production, shot, output))
    assert not output.exists()


def test_a_cancelled_run_stops(production: Studio, shot: Path, tmp_path: Path):
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        quality.run(request(production, shot, tmp_path), gate=production.gate, sink=NullSink(), cancel=token)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"shots": ()}, "no shot"),
        ({"swapped": ()}, "nothing to score"),
        ({"swapped": ("a.####.exr",), "model": Path("m.vfxmodel")}, "both"),
        ({"swapped": ("a.####.exr", "b.####.exr")}, "1 times --shot-data and 2 times --swapped"),
    ],
)
def test_requests_that_mean_nothing_are_refused(fields: dict, said: str):
    with pytest.raises(UsageError, match=said):
        quality.Request(**{"shots": (Path("shot"),), **fields})


def test_two_shots_may_share_a_name_but_not_a_folder(tmp_path: Path, shot: Path):
    other = write_shot(tmp_path / "other" / "talk", truth=(1001,))
    plates = (str(shot / "plate"), str(other / "plate"))
    report = run(quality.Request(shots=(shot, other), swapped=plates, device="cpu"))
    assert [score.name for score in report.shots] == [f"{shot.parent.name}_talk", "other_talk"]
    assert report.overall.frames == 3
    with pytest.raises(UsageError, match="two shots"):
        run(quality.Request(shots=(shot, shot), swapped=(plates[0], plates[0]), device="cpu"))


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, "bench", *map(str, arguments)], capture_output=True, text=True, check=False)


def test_the_command(shot: Path, swapped: Swapped, tmp_path: Path):
    record = tmp_path / "quality.json"
    done = command(
        *("quality", "--shot-data", shot, "--swapped", swapped.folder / "talk" / "swap.####.exr"),
        *("--json", record, "--output", tmp_path / "strips", "--device", "cpu"),
    )
    assert done.returncode == 0, done.stderr
    assert "perfect" in done.stdout
    assert "landm. %" in done.stdout
    jsonschema.Draft202012Validator(quality.json_schema()).validate(json.loads(record.read_text()))
    assert (tmp_path / "strips" / "talk.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("quality",), 2, "no shot to score"),
        (("quality", "--shot-data", "x", "--rounds", "2"), 2, "bench quality takes no --rounds"),
        (("net", "--max-yaw", "20"), 2, "bench net takes no --max-yaw"),
        (("quality", "--shot-data", "x", "--model", "m.vfxmodel"), 77, "no consent was given"),
    ],
)
def test_the_command_refuses(arguments: tuple[str, ...], code: int, said: str):
    done = command(*arguments)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_rendered_shots_are_understood(shared: Path):
    """The truth as the swap, and what the shots' own description promises of doing nothing."""
    shot = quality.ShotData.load(shared / "data" / "shots" / "turn_hot_hand")
    assert (shot.likeness, shot.double, shot.grain, len(shot.frames)) == ("ben", "anna", 0.012, 18)
    truth = SequencePath.parse(shot.folder / "truth")
    frames = [shot.view(frame, truth) for frame in (1001, 1010)]
    found: Any = quality.score_swap(frames, config=shot.plate.config, grain=shot.grain)
    turned, hand = found.frames
    assert not turned.counted
    assert turned.occluded == 0.0
    assert 0.1 < hand.occluded < 0.6
    assert hand.rows["swap"].psnr_db == pixelwise.MOST_DB
    assert 16 < hand.rows["nothing"].psnr_db < 24
    assert 36 < hand.rows["perfect"].psnr_db < 46
    few = quality.ShotData.load(shared / "data" / "demo")
    assert few.frames == (1003, 1008, 1013)
