"""Whole jobs: consent first, any split the same bytes, whole files only, nothing done twice."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vfxswap import events, exr, measure, pipeline
from vfxswap.errors import (
    Cancelled,
    ConsentError,
    FrameError,
    JobError,
    ModelError,
    OutputError,
    PlateError,
    TrackError,
    UsageError,
)
from vfxswap.events import CancelToken, NullSink, RecordingSink
from vfxswap.job import SwapJob, SwapParameters
from vfxswap.sequence import FrameRange
from vfxswap.trust import Gate, KeyRing

from .support import Studio, digests, disc, job, network, write_frame, write_plate

FRAMES = [f"out.{frame}.exr" for frame in range(1001, 1005)]


def do(production: Studio, made: SwapJob, *, frames: str = "", cancel: CancelToken | None = None):
    """Run a job; returns the report and the events."""
    sink = RecordingSink()
    chosen = FrameRange.parse(frames) if frames else None
    report = pipeline.swap(made, gate=production.gate(), sink=sink, cancel=cancel or CancelToken(), frames=chosen)
    return report, sink.events


def of(kind: type, told: list[events.Event]) -> list:
    return [event for event in told if isinstance(event, kind)]


def everything(folder: Path) -> list[str]:
    """Every file and folder in `folder`."""
    return sorted(str(item.relative_to(folder)) for item in folder.rglob("*"))


@pytest.fixture(scope="module")
def whole(production: Studio, face_plate: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of one whole run with ingredients."""
    folder = tmp_path_factory.mktemp("whole")
    report, _ = do(production, job(production, face_plate, folder, layers="ingredients"))
    assert (report.rendered, report.skipped, report.passthrough, report.failed) == (4, 0, 0, ())
    return folder


@pytest.fixture
def copy(face_plate: str, tmp_path: Path) -> Path:
    """A copy of the plate's folder, to break."""
    return Path(shutil.copytree(Path(face_plate).parent, tmp_path / "plate"))


# -------------------------------------------------------------------------------------------- what is made


def test_a_job_swaps_every_frame(production: Studio, face_plate: str, whole: Path):
    assert list(digests(whole)) == FRAMES
    for i, name in enumerate(FRAMES):
        found, attributes = exr.read_channels(whole / name)
        plate, _ = exr.read_channels(Path(face_plate).parent / f"shot.{1001 + i}.exr")
        covered = found["face.A"] > 0
        assert 0.05 < covered.mean() < 0.5
        for c in "RGB":
            np.testing.assert_array_equal(found[c][~covered].view(np.uint16), plate[c][~covered].view(np.uint16))
        changed = np.abs(found["G"].astype(np.float32) - plate["G"].astype(np.float32))[covered]
        assert changed.mean() > 0.01
        assert attributes["vfxtest:frame"] == 1001 + i
        assert attributes["vfxswap:altered"] == "1"
        assert len(attributes["vfxswap:consent"].split()) == 2
    beside = [item.name for item in (whole / ".vfxswap" / "out").iterdir()]
    receipts = {name for name in beside if name.endswith(".json")}
    assert receipts == {f"{frame}.json" for frame in range(1001, 1005)}
    assert sorted(Path(name).suffix for name in set(beside) - receipts) == [".vfxshot", ".vfxtrack"]


def test_events_tell_the_story(production: Studio, face_plate: str, tmp_path: Path):
    _, told = do(production, job(production, face_plate, tmp_path))
    assert isinstance(told[0], events.Started)
    assert told[0].frames == "1001-1004"
    stages = [event.stage for event in of(events.Progress, told)]
    assert stages == ["track"] * 4 + ["measure"] * 8 + ["swap"] * 4
    done = of(events.FrameDone, told)
    assert [(event.frame, event.status) for event in done] == [(f, "rendered") for f in range(1001, 1005)]
    assert [Path(event.path).name for event in done] == FRAMES
    assert isinstance(told[-1], events.Done)
    assert told[-1].counts == {"rendered": 4, "skipped": 0, "passthrough": 0, "failed": 0}


@pytest.mark.parametrize("split", ["1001-1002 1003-1004", "1004 1002 1001 1003", "1003,1001 1004,1002"])
def test_any_split_gives_the_same_files(production: Studio, face_plate: str, whole: Path, tmp_path: Path, split: str):
    """Chunks that share the measured shot, each as a fresh job."""
    made = job(production, face_plate, tmp_path, layers="ingredients")
    for chunk in split.split():
        do(production, made, frames=chunk)
    assert digests(tmp_path) == digests(whole)


def test_a_chunk_that_measures_for_itself_gives_the_same_files(
    production: Studio, face_plate: str, whole: Path, tmp_path: Path
):
    for frame in ("1002", "1004"):
        folder = tmp_path / frame
        do(production, job(production, face_plate, folder, layers="ingredients"), frames=frame)
        assert list(digests(folder).values()) == [digests(whole)[f"out.{frame}.exr"]]


_WORKER = """
import sys
from pathlib import Path
from vfxswap import pipeline
from vfxswap.events import CancelToken, NullSink
from vfxswap.job import SwapJob
from vfxswap.sequence import FrameRange
from vfxswap.trust import Gate, KeyRing
job = SwapJob.load(Path(sys.argv[1]))
gate = Gate(KeyRing.load(job.keyring), job.consents)
pipeline.swap(job, gate=gate, sink=NullSink(), cancel=CancelToken(), frames=FrameRange.parse(sys.argv[2]))
"""


def worker(made: SwapJob, folder: Path, frames: str) -> subprocess.Popen[str]:
    """Another process that does `frames` of the job."""
    path = folder / "job.json"
    made.save(path)
    command = [sys.executable, "-c", _WORKER, str(path), frames]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def test_two_workers_at_once_give_the_same_files(production: Studio, face_plate: str, whole: Path, tmp_path: Path):
    made = job(production, face_plate, tmp_path / "out", layers="ingredients")
    workers = [worker(made, tmp_path, frames) for frames in ("1001-1002", "1003-1004")]
    assert [(w.wait(60), w.stderr.read() if w.stderr else "") for w in workers] == [(0, ""), (0, "")]
    assert digests(tmp_path / "out") == digests(whole)


def test_the_track_and_measurements_of_another_run_can_be_given(
    production: Studio, face_plate: str, whole: Path, tmp_path: Path
):
    stores = whole / ".vfxswap" / "out"
    (track,), (shot,) = stores.glob("*.vfxtrack"), stores.glob("*.vfxshot")
    made = job(production, face_plate, tmp_path, layers="ingredients", track=track, measurements=shot)
    _, told = do(production, made)
    assert {event.stage for event in of(events.Progress, told)} == {"swap"}
    assert digests(tmp_path) == digests(whole)
    old, knobs = tmp_path / "old.vfxshot", SwapParameters(match="bands")
    replace(measure.load(shot), match={}).save(old)
    with pytest.raises(JobError, match="know nothing of match bands"):
        do(production, made.replace(measurements=old, parameters=knobs, output=str(tmp_path / "b" / "out.%04d.exr")))
    bent = production.model("bent", smaller())
    with pytest.raises(JobError, match="of another model"):
        do(production, job(production, face_plate, tmp_path, measurements=shot, model=bent))


def smaller() -> bytes:
    """A network with a smaller mask."""
    return network(mask=disc(radius=0.3))


# ------------------------------------------------------------------------------------------ nothing twice


def test_a_second_run_skips_everything(production: Studio, face_plate: str, whole: Path):
    before = {name: (whole / name).stat().st_mtime_ns for name in FRAMES}
    report, told = do(production, job(production, face_plate, whole, layers="ingredients"))
    assert (report.rendered, report.skipped) == (0, 4)
    assert {event.status for event in of(events.FrameDone, told)} == {"skipped"}
    assert {event.stage for event in of(events.Progress, told)} == {"swap"}
    assert before == {name: (whole / name).stat().st_mtime_ns for name in FRAMES}


def test_overwrite_renders_the_same_bytes_again(production: Studio, face_plate: str, tmp_path: Path):
    made = job(production, face_plate, tmp_path)
    do(production, made)
    first = digests(tmp_path)
    report, _ = do(production, made.replace(overwrite=True))
    assert report.rendered == 4
    assert digests(tmp_path) == first


def test_what_changes_pixels_makes_frames_stale(production: Studio, copy: Path, tmp_path: Path):
    pattern = str(copy / "shot.####.exr")
    made = job(production, pattern, tmp_path / "out", frames="1001-1002")
    seen = [do(production, made)[0]]
    seen.append(do(production, made.replace(parameters=SwapParameters(mix=0.5)))[0])
    seen.append(do(production, made.replace(parameters=SwapParameters(mix=0.5), layers="patch"))[0])
    seen.append(do(production, made.replace(model=production.model("bent", smaller())))[0])
    write_frame(copy / "shot.1001.exr", exr.read(copy / "shot.1001.exr").rgb.astype(np.float32) * 1.1, frame=1001)
    seen.append(do(production, made)[0])
    assert [report.rendered for report in seen] == [2] * 5
    assert do(production, made)[0].skipped == 2


@pytest.mark.parametrize("damage", ["truncated", "emptied", "garbage", "cut by ten bytes"])
def test_a_damaged_output_is_rendered_again(production: Studio, face_plate: str, tmp_path: Path, damage: str):
    made = job(production, face_plate, tmp_path, frames="1001-1002")
    do(production, made)
    first = digests(tmp_path)
    path = tmp_path / "out.1002.exr"
    data = path.read_bytes()
    ruined = {
        "truncated": data[: len(data) // 2],
        "emptied": b"",
        "garbage": b"x" * 1000,
        "cut by ten bytes": data[:-10],
    }
    path.write_bytes(ruined[damage])
    report, _ = do(production, made)
    assert (report.rendered, report.skipped) == (1, 1)
    assert digests(tmp_path) == first


# ---------------------------------------------------------------------------------------------- bad frames


@pytest.mark.parametrize("bad", [1001, 1003])
@pytest.mark.parametrize("damage", ["truncated", "missing", "zeros"])
def test_one_bad_frame_fails_and_the_others_are_made(
    production: Studio, copy: Path, tmp_path: Path, bad: int, damage: str
):
    path = copy / f"shot.{bad}.exr"
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(data[: len(data) // 2] if damage == "truncated" else bytes(len(data)))
    made = job(production, str(copy / "shot.####.exr"), tmp_path / "out", frames="1001-1004")
    report, told = do(production, made)
    assert report.rendered == 3
    assert [error.frame for error in report.failed] == [bad]
    assert isinstance(report.failed[0], FrameError)
    failed = of(events.FrameFailed, told)
    assert [(event.frame, event.code) for event in failed] == [(bad, "frame")]
    assert str(path) in failed[0].message
    assert told[-1].counts == {"rendered": 3, "skipped": 0, "passthrough": 0, "failed": 1}
    assert f"out.{bad}.exr" not in digests(tmp_path / "out")
    path.write_bytes(data)
    again, _ = do(production, made)
    assert again.failed == ()
    assert len(digests(tmp_path / "out")) == 4


def test_no_good_frame_is_bad_input_and_writes_nothing(production: Studio, copy: Path, tmp_path: Path):
    for path in copy.glob("*.exr"):
        path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(PlateError) as caught:
        do(production, job(production, str(copy / "shot.####.exr"), tmp_path / "out"))
    assert caught.value.exit_code == 4
    assert not (tmp_path / "out").exists()


def test_no_face_anywhere_is_an_error_and_writes_nothing(production: Studio, tmp_path: Path):
    for frame in (1, 2):
        write_frame(tmp_path / "plate" / f"p.{frame:04d}.exr", np.full((120, 160, 3), 0.2, np.float32), frame=frame)
    with pytest.raises(TrackError, match="no face") as caught:
        do(production, job(production, str(tmp_path / "plate"), tmp_path / "deep" / "out"))
    assert caught.value.exit_code == 4
    assert everything(tmp_path) == ["plate", "plate/p.0001.exr", "plate/p.0002.exr"]


def test_a_frame_without_a_face_passes_through(production: Studio, copy: Path, tmp_path: Path):
    shape = exr.read(copy / "shot.1004.exr").rgb.shape
    for frame in range(1005, 1013):  # longer than a gap that is bridged
        write_frame(copy / f"shot.{frame}.exr", np.full(shape, 0.2, np.float32), frame=frame)
    made = job(production, str(copy / "shot.####.exr"), tmp_path / "out", layers="ingredients")
    report, told = do(production, made)
    assert (report.rendered, report.passthrough, report.failed) == (4, 8, ())
    assert [event.frame for event in of(events.Warned, told) if event.code == "no_face"] == list(range(1005, 1013))
    bare, attributes = exr.read_channels(tmp_path / "out" / "out.1008.exr")
    faced, _ = exr.read_channels(tmp_path / "out" / "out.1002.exr")
    assert list(bare) == list(faced), "the same layers on every frame"
    assert bare["face.A"].max() == 0
    assert (bare["R"] == np.float16(0.2)).all()
    assert attributes["vfxswap:altered"] == "0"
    assert do(production, made)[0].skipped == 12


def test_frames_outside_of_the_job_are_refused(production: Studio, face_plate: str, tmp_path: Path):
    with pytest.raises(PlateError, match="no frame of 7-9"):
        do(production, job(production, face_plate, tmp_path), frames="7-9")


# ------------------------------------------------------------------------------------------------- refusals


def test_without_consent_nothing_is_written_or_read(production: Studio, face_plate: str, tmp_path: Path):
    made = job(production, face_plate, tmp_path / "out")
    for consents in ((), production.consents[:1]):
        gate = Gate(KeyRing.load(production.keyring), consents)
        sink = RecordingSink()
        with pytest.raises(ConsentError) as caught:
            pipeline.swap(made, gate=gate, sink=sink, cancel=CancelToken())
        assert caught.value.exit_code == 77
        assert sink.events == []
    assert everything(tmp_path) == []


def test_the_output_must_not_be_an_input(production: Studio, copy: Path, tmp_path: Path):
    before = digests(copy)
    mattes = Path(shutil.copytree(copy, tmp_path / "mattes"))
    (tmp_path / "link").symlink_to(copy)
    made = job(production, str(copy / "shot.####.exr"), tmp_path)
    for output in ("plate/shot.####.exr", "plate/../plate/shot.%d.exr", "link/shot.####.exr"):
        with pytest.raises(OutputError, match="the plate itself"):
            do(production, made.replace(output=str(tmp_path / output)))
    with pytest.raises(OutputError, match="the artist's matte itself"):
        do(production, made.replace(matte=str(mattes), output=str(mattes / "shot.####.exr")))
    with pytest.raises(UsageError, match="no frame number"):
        do(production, made.replace(output=str(tmp_path / "out.exr")))
    assert digests(copy) == digests(mattes) == before


def test_an_output_that_cannot_be_is_found_out_at_once(production: Studio, face_plate: str, tmp_path: Path):
    (tmp_path / "file").write_text("not a folder")
    sink = RecordingSink()
    with pytest.raises(OutputError):
        pipeline.swap(
            job(production, face_plate, tmp_path / "file" / "out"),
            gate=production.gate(),
            sink=sink,
            cancel=CancelToken(),
        )
    assert sink.events == []


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_found_out_at_once(production: Studio, face_plate: str, tmp_path: Path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="permission"):
        do(production, job(production, face_plate, tmp_path / "out"))


def test_the_wrong_model_is_refused(production: Studio, face_plate: str, tmp_path: Path):
    with pytest.raises(JobError, match="not the one the job was written with"):
        do(production, job(production, face_plate, tmp_path, model_sha256="ab" * 32))
    turned = production.model("turned", template="oval/3")
    with pytest.raises(ModelError, match="aligned as 'oval/3'"):
        do(production, job(production, face_plate, tmp_path, model=turned))
    with pytest.raises(ModelError, match=r"not a \.vfxmodel"):
        do(production, job(production, face_plate, tmp_path, model=Path(face_plate).parent / "shot.1001.exr"))
    assert everything(tmp_path) == []


def test_an_artist_matte_is_used_and_must_fit(production: Studio, face_plate: str, tmp_path: Path):
    half = np.zeros((256, 256, 3), np.float32)
    half[:, 128:] = 1.0
    for frame in range(1001, 1005):
        write_frame(tmp_path / "m" / f"m.{frame}.exr", half, frame=frame)
        write_frame(tmp_path / "small" / f"m.{frame}.exr", half[:100], frame=frame)
    made = job(production, face_plate, tmp_path / "out", layers="ingredients", matte=str(tmp_path / "m"))
    do(production, made)
    found, _ = exr.read_channels(tmp_path / "out" / "out.1001.exr")
    assert found["face.A"][:, :128].max() == 0
    assert found["face.A"][:, 128:].max() > 0.9
    with pytest.raises(PlateError, match="matte is 256x100, the plate 256x256"):
        do(production, made.replace(matte=str(tmp_path / "small")))
    (tmp_path / "m" / "m.1002.exr").unlink()
    report, _ = do(production, made.replace(matte=str(tmp_path / "m" / "m.####.exr")))
    assert len(report.failed) == 1


# ------------------------------------------------------------------------------------------- interruptions


class _CancelAfter(RecordingSink):
    """Asks to stop once a frame is done."""

    def __init__(self, token: CancelToken) -> None:
        super().__init__()
        self._token = token

    def emit(self, event: events.Event) -> None:
        super().emit(event)
        if isinstance(event, events.FrameDone):
            self._token.cancel()


def test_a_cancelled_job_leaves_whole_files_and_goes_on_later(production: Studio, face_plate: str, tmp_path: Path):
    token = CancelToken()
    sink = _CancelAfter(token)
    made = job(production, face_plate, tmp_path)
    with pytest.raises(Cancelled):
        pipeline.swap(made, gate=production.gate(), sink=sink, cancel=token)
    there = digests(tmp_path)
    assert 1 <= len(there) < 4
    assert [Path(event.path).name for event in of(events.FrameDone, sink.events)] == list(there), "each was told of"
    for name in there:
        exr.read(tmp_path / name)
    assert not [item for item in tmp_path.rglob("*") if item.name.endswith(".tmp")]
    report, _ = do(production, made)
    assert (report.skipped, report.rendered) == (len(there), 4 - len(there))
    assert {name: digests(tmp_path)[name] for name in there} == there


def test_cancelled_while_tracking_leaves_nothing(production: Studio, face_plate: str, tmp_path: Path):
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        pipeline.swap(
            job(production, face_plate, tmp_path / "out"), gate=production.gate(), sink=NullSink(), cancel=token
        )
    assert everything(tmp_path) == []


def test_a_killed_worker_leaves_no_part_of_a_file(production: Studio, tmp_path: Path):
    plate = write_plate(tmp_path / "plate", frames=12, size=400)
    made = job(production, plate, tmp_path / "out", layers="ingredients")
    do(production, made, frames="1001")  # track and measurements are there: what is left is writing
    out = tmp_path / "out"
    for wanted in (3, 6):
        running = worker(made, tmp_path, "1001-1012")
        deadline = time.monotonic() + 60
        while len(list(out.glob("out.*.exr"))) < wanted and time.monotonic() < deadline and running.poll() is None:
            time.sleep(0.002)
        running.send_signal(signal.SIGKILL)
        running.communicate()
        for path in sorted(out.glob("out.*.exr")):
            exr.read(path)  # whole
    report, _ = do(production, made)
    assert report.skipped >= 6
    assert report.skipped + report.rendered == 12
    assert not [item for item in out.iterdir() if item.name.endswith(".tmp")], "swept by the next run"


def test_job_files_carry_the_whole_job(production: Studio, face_plate: str, whole: Path, tmp_path: Path):
    made = job(production, face_plate, tmp_path / "out", layers="ingredients")
    made.save(tmp_path / "job.json")
    assert re.match(r"vfxswap\.job/1", json.loads((tmp_path / "job.json").read_text())["schema"])
    do(production, SwapJob.load(tmp_path / "job.json"), frames="1003")
    assert list(digests(tmp_path / "out").items()) == [("out.1003.exr", digests(whole)["out.1003.exr"])]
