"""What a worker of a farm does for a step of a job: `vfxswap farm work`.

Track and Measure write a note beside what they made, of what they made it from: a second run finds it, and a chunk
does not render a frame with the track of another picture. A track without a note is somebody's own and left alone.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from vfxswap import atomic, documents, exr, pipeline, provenance
from vfxswap import frames as rendering
from vfxswap.cli import publish as publishing
from vfxswap.cli.common import Work
from vfxswap.errors import FrameError, JobError, VfxSwapError
from vfxswap.events import Done, Event, EventSink, FrameFailed, Progress
from vfxswap.job import SwapJob
from vfxswap.plate import Plate
from vfxswap.publish import of_job
from vfxswap.sequence import FrameRange, SequencePath, for_view
from vfxswap.trust import Gate
from vfxswap.vfxmodel import read_card

NOTE: Final = ".made.json"
"""What is appended to a track's or measurements' name for the note about it."""

_WHAT = {"openjd": "openjd_fail: ", "deadline": "", "opencue": "failed: ", "": ""}
_LINGER = {"opencue": 0.5}
"""Seconds before a task that failed ends: rqd does not read what is left in the pipe when it has."""

ENGINES: Final = tuple(_WHAT)
"""Engines for which progress is worded; empty: none."""


@contextmanager
def told(engine: str) -> Iterator[None]:
    """Say to the engine why a task failed, in the way it shows such things; the error goes on."""
    try:
        yield
    except VfxSwapError as error:
        if _WHAT[engine]:
            print(f"{_WHAT[engine]}{error}", flush=True)
            time.sleep(_LINGER.get(engine, 0))
        raise


@dataclass(frozen=True)
class EngineSink:
    """Hands events on, and words progress for an engine on stdout."""

    inner: EventSink
    engine: str

    def emit(self, event: Event) -> None:
        """Take one event."""
        self.inner.emit(event)
        if isinstance(event, Progress) and event.total:
            percent = 100 * event.done / event.total
            if self.engine == "openjd":
                print(f"openjd_progress: {percent:.1f}\nopenjd_status: {event.stage} {event.done} of {event.total}")
            elif self.engine == "deadline":
                print(f"Progress: {percent:.0f}%")
        sys.stdout.flush()


def track(job: SwapJob, gate: Gate, work: Work, chosen: FrameRange | None) -> None:
    """Track every view of the plate, unless its track was made from these very files."""
    _refuse_frames(chosen, "track")
    _opened(job, gate)
    for plate in pipeline.job_plates(job):
        path = _track_path(job, plate)
        seen = _contents(plate, plate.frames)
        if path.is_file() and _note(path) in (None, seen):
            work.sink.emit(Done(manifest=str(path), counts={"skipped": len(seen)}))
            continue
        with pipeline.watching([plate], path.parent) as (watched,):
            found = pipeline.track_plate(watched, sink=work.sink, cancel=work.cancel, device=job.device)
        _renew(path, seen, found.save)
        work.sink.emit(Done(manifest=str(path), counts={"frames": len(seen)}))


def measure(job: SwapJob, gate: Gate, work: Work, chosen: FrameRange | None) -> None:
    """Measure the shot for each face, unless that was done with this very track and model."""
    _refuse_frames(chosen, "measure")
    _opened(job, gate)
    for one in job.swaps:
        if one.measurements is None:
            raise JobError("the job names no file for its measurements", hint="make it with vfxswap farm submit")
        alone = job.replace(model=one.model, model_sha256=one.model_sha256, face=one.face, also=())
        made_from = _measured_from(job, one.model)
        if one.measurements.is_file() and _note(one.measurements) in (None, made_from):
            work.sink.emit(Done(manifest=str(one.measurements), counts={"skipped": len(job.swaps)}))
            continue
        found = pipeline.measured(alone, gate=gate, sink=work.sink, cancel=work.cancel)
        _renew(one.measurements, made_from, found.save)
        work.sink.emit(Done(manifest=str(one.measurements), counts={"frames": len(found.relight)}))


def swap(job: SwapJob, gate: Gate, work: Work, chosen: FrameRange | None) -> None:
    """Render some of the frames; those whose plate is no longer what was tracked fail, the others do not."""
    ready = pipeline.prepare(job, gate=gate, sink=work.sink, cancel=work.cancel)
    for one in job.swaps:
        if one.measurements is not None and _note(one.measurements) not in (None, _measured_from(job, one.model)):
            raise JobError(
                "the shot was tracked again after it was measured", path=one.measurements, hint="run Measure again"
            )
    wanted = ready.frames if chosen is None else ready.frames.intersect(chosen)
    changed = sorted({frame for sheet in ready.sheets for frame in _changed(job, sheet.plate, wanted)})
    for frame in changed:
        error = _stale(job, frame)
        work.sink.emit(FrameFailed.of(error, frame=frame))
    rest = FrameRange.of(frame for frame in wanted if frame not in changed)
    if changed and not rest.frames:
        raise _stale(job, changed[0])
    failed = rendering.render_frames(
        ready, sink=work.sink, cancel=work.cancel, frames=rest if changed else chosen, sign=None
    ).failed
    problems = [*(_stale(job, frame) for frame in changed), *failed]
    if problems:
        raise FrameError(f"{len(problems)} frames failed, the first: {problems[0]}")


def finalise(job: SwapJob, gate: Gate, work: Work, chosen: FrameRange | None) -> None:
    """Sign the record of the whole sequence with this user's render key, if every frame of the job is there."""
    _refuse_frames(chosen, "finalise")
    _opened(job, gate)
    plates = pipeline.job_plates(job)
    outputs = {SequencePath.parse(for_view(job.output, plate.view_name)).require_token(): plate for plate in plates}
    for output, plate in outputs.items():
        missing = FrameRange.of(frame for frame in plate.frames if not output.path(frame).is_file())
        if missing.frames:
            raise FrameError(
                f"frames {missing} are not there, nothing was signed", path=output.folder, hint="run their chunks again"
            )
    for output, plate in outputs.items():
        made = provenance.merge(output.folder, output.name, signer=provenance.own_key())
        if made.gaps:
            raise FrameError(f"the record is not complete: {made.gaps[0]}", hint="run Swap and Finalise again")
        work.sink.emit(Done(manifest=str(made.path), counts={"frames": len(plate.frames)}))


def publish(job: SwapJob, work: Work, *, into: Path, references: Sequence[Path]) -> None:
    """Validate and publish what was signed; every frame is there, or signing would have refused."""
    publishing.run(of_job(job, into=into, references=references), work)


STEPS: Final[dict[str, Callable[[SwapJob, Gate, Work, FrameRange | None], None]]] = {
    "track": track,
    "measure": measure,
    "swap": swap,
    "finalise": finalise,
}
"""Name -> what a worker does."""


def sink(work: Work, engine: str) -> Work:
    """`work` with progress worded for an engine."""
    return replace(work, sink=EngineSink(work.sink, engine)) if engine else work


def _opened(job: SwapJob, gate: Gate) -> None:
    """Ask for consent: the models are opened under it, and given up again."""
    for one in job.swaps:
        pipeline.open_model(job, one, gate)


def _refuse_frames(chosen: FrameRange | None, step: str) -> None:
    if chosen is not None:
        raise JobError(f"{step} is for the whole shot", hint="leave --frames out")


def _track_path(job: SwapJob, plate: Plate) -> Path:
    if job.track is None:
        raise JobError("the job names no file for its track", hint="make it with vfxswap farm submit")
    return Path(for_view(str(job.track), plate.view_name))


def _measured_from(job: SwapJob, model: Path) -> dict[str, str]:
    """What measurements depend on: the tracks and the model."""
    tracks = {path.name: exr.file_sha256(path) for path in (_track_path(job, p) for p in pipeline.job_plates(job))}
    return {**tracks, "model": read_card(model).painting()}


def _changed(job: SwapJob, plate: Plate, wanted: FrameRange) -> list[int]:
    """Frames of the plate that are not what was tracked; none where the track came from somewhere else."""
    noted = None if job.track is None else _note(_track_path(job, plate))
    if noted is None:
        return []
    now = _contents(plate, wanted)
    return [frame for frame in wanted if noted.get(str(frame)) != now[str(frame)]]


def _stale(job: SwapJob, frame: int) -> FrameError:
    return FrameError(
        "the plate's frame is not the one that was tracked",
        path=job.plate,
        frame=frame,
        hint="restore it, or run Track again",
    )


def _contents(plate: Plate, wanted: FrameRange) -> dict[str, str]:
    """Frame -> sha256 of its file: by content, because times and paths differ from machine to machine."""
    return {str(frame): _content(plate.sequence.path(frame)) for frame in wanted}


def _content(path: Path) -> str:
    try:
        return exr.file_sha256(path) if path.is_file() else "missing"
    except OSError:
        return "unreadable"  # whoever works on the frame says why; once it can be read, it is another content


def _note_path(path: Path) -> Path:
    return path.with_name(path.name + NOTE)


def _renew(path: Path, made_from: dict[str, str], save: Callable[[Path], None]) -> None:
    """Write a file and its note so that, whenever this is killed, a file that is there fits its note."""
    path.unlink(missing_ok=True)
    atomic.write_text(_note_path(path), json.dumps(made_from, indent=0) + "\n")
    save(path)


def _note(path: Path) -> dict[str, str] | None:
    """What `path` was made from; None where no note says it, `{}` where it is damaged."""
    try:
        found = documents.json_value(documents.read_bytes(_note_path(path), most=documents.LARGE))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
