"""A shot, swapped: the README's diagram as code.

    plate -> track -> measure -> for each frame: read -> swap -> write

`prepare` settles everything that concerns the whole shot; `render` then makes any of its frames, in any
split, with the same pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vfxswap import align, atomic, cache, exr, measure, render
from vfxswap.archive import sha256
from vfxswap.color import ColorConfig
from vfxswap.errors import FrameError, JobError, ModelError, OutputError, PlateError, VfxSwapError
from vfxswap.events import (
    CancelToken,
    Done,
    EventSink,
    FrameDone,
    FrameFailed,
    FrameStatus,
    Progress,
    Started,
    Warned,
)
from vfxswap.face import shot
from vfxswap.face import track as tracks
from vfxswap.face.track import FaceFrame, Track
from vfxswap.infer import Device
from vfxswap.job import SwapJob
from vfxswap.measure import Measurements
from vfxswap.pixels import F32
from vfxswap.plate import Plate, open_plate
from vfxswap.sequence import FrameRange, SequencePath
from vfxswap.trust import Gate, ShotId
from vfxswap.vfxmodel import Painter, SwapModel, read_card


@dataclass(frozen=True)
class Report:
    """How a render ended."""

    rendered: int
    skipped: int
    passthrough: int
    failed: tuple[FrameError, ...]


@dataclass(frozen=True, eq=False)
class Shot:
    """A job with everything settled that concerns the whole shot."""

    job: SwapJob
    plate: Plate
    output: SequencePath
    model: Painter
    faces: Mapping[int, FaceFrame]
    measurements: Measurements
    consents: Mapping[str, str]


def swap(job: SwapJob, *, gate: Gate, sink: EventSink, cancel: CancelToken, frames: FrameRange | None = None) -> Report:
    """Do a job: consent first, then track, measure and render.

    Args:
        job: what to do.
        gate: the consent gate; asked before anything is read or written.
        sink: where events go.
        cancel: polled between frames.
        frames: which of the job's frames to render; None is all. Tracking and measuring cover the job's whole
            range all the same.

    Raises:
        ConsentError, PlateError, TrackError, ModelError, OutputError, Cancelled.
    """
    return render_frames(prepare(job, gate=gate, sink=sink, cancel=cancel), sink=sink, cancel=cancel, frames=frames)


def prepare(job: SwapJob, *, gate: Gate, sink: EventSink, cancel: CancelToken) -> Shot:
    """Open the model under a grant, the plate, the track and the measurements; make what is missing."""
    model, consents = open_model(job, gate)
    plate = job_plate(job)
    output = _checked_output(job, plate)
    sink.emit(Started(job=f"swap {plate.sequence.name}", frames=str(plate.frames)))
    stores = cache.Cache(output.folder / cache.FOLDER, name=output.name or "shot")
    track = _track(job, plate, stores, sink, cancel)
    faces = track.face(job.face or None)
    measurements = _measurements(job, plate, faces, model, stores, sink, cancel)
    return Shot(job, plate, output, model, faces, measurements, consents)


def open_model(job: SwapJob, gate: Gate) -> tuple[SwapModel, dict[str, str]]:
    """The job's model, opened under a grant, and the consents (id -> record hash) that the grant stands on."""
    card = read_card(job.model)
    if card.template != align.TEMPLATE:
        raise ModelError(
            f"the model's crops are aligned as {card.template!r}, here they are as {align.TEMPLATE!r}",
            path=job.model,
            hint="use the vfxswap version that made it, or export the model again",
        )
    if job.model_sha256 and job.model_sha256 != sha256(job.model.read_bytes()):
        raise JobError(
            "the model is not the one the job was written with",
            path=job.model,
            hint="save the job again, or restore it",
        )
    grant = gate.authorize(
        shot=ShotId.parse(job.shot) if job.shot else ShotId.local(job.plate_folder),
        use="swap",
        performers=card.performers.by_role(),
        model_sha256=card.onnx_sha256,
    )
    model = SwapModel(job.model, grant=grant, device=job.device)
    return model, dict(zip(grant.consent_ids, grant.record_sha256s, strict=True))


def job_plate(job: SwapJob) -> Plate:
    """The plate over the job's whole range."""
    return open_plate(
        job.plate,
        frames=FrameRange.parse(job.frames) if job.frames else None,
        config=ColorConfig.load(job.color_config or None),
        color_space=job.color_space or None,
        view=job.view or None,
        part=job.part or None,
    )


def _checked_output(job: SwapJob, plate: Plate) -> SequencePath:
    output = SequencePath.parse(job.output).require_token()
    matte = SequencePath.parse(job.matte) if job.matte else None
    for what, source in (("the plate", plate.sequence), ("the artist's matte", matte)):
        same = source and (f for f in plate.frames if output.path(f).resolve() == source.path(f).resolve())
        if same and (frame := next(same, None)) is not None:
            raise OutputError(f"the output is {what} itself", path=output.path(frame), hint="choose another --output")
    # The folder is made with the first file: a job that ends without one leaves nothing.
    folder = output.folder.absolute()
    atomic.check_writable(next(parent for parent in (folder, *folder.parents) if parent.exists()))
    atomic.sweep(output.folder)
    return output


def _track(job: SwapJob, plate: Plate, stores: cache.Cache, sink: EventSink, cancel: CancelToken) -> Track:
    if job.track is not None:
        return tracks.load(job.track)
    key = cache.key("track", plate_facts(plate), tracks.VERSION)

    def make(path: Path) -> None:
        track_plate(plate, sink=sink, cancel=cancel, device=job.device).save(path)

    return tracks.load(stores.get(f"{key}.vfxtrack", make))


def track_plate(plate: Plate, *, sink: EventSink, cancel: CancelToken, device: Device = "auto") -> Track:
    """Track every face of a plate, with events; unreadable frames are warned of and left out.

    Raises:
        TrackError: no face in any frame. PlateError: no frame can be read.
    """
    missed: list[FrameError] = []

    def miss(error: FrameError) -> None:
        missed.append(error)
        if len(missed) == len(plate.frames):
            raise PlateError(str(error), hint="no frame of the range can be read") from error
        sink.emit(Warned(code=error.code, message=str(error), frame=error.frame))

    def progress(done: int, total: int) -> None:
        sink.emit(Progress(stage="track", done=done, total=total))
        cancel.check()

    return shot.track_plate(plate, device=device, progress=progress, miss=miss)


def _measurements(
    job: SwapJob,
    plate: Plate,
    faces: Mapping[int, FaceFrame],
    model: SwapModel,
    stores: cache.Cache,
    sink: EventSink,
    cancel: CancelToken,
) -> Measurements:
    if job.measurements is not None:
        found = measure.load(job.measurements)
        if found.model_sha256 != model.card.onnx_sha256:
            raise JobError("the measurements are of another model", path=job.measurements, hint="measure again")
        return found

    def make(path: Path) -> None:
        def progress(done: int, total: int) -> None:
            sink.emit(Progress(stage="measure", done=done, total=total))

        measure.measure(plate, faces, model=model, progress=progress, cancel=cancel).save(path)

    key = cache.key("shot", plate_facts(plate), face_facts(faces), model.card.painting(), measure.VERSION)
    return measure.load(stores.get(f"{key}.vfxshot", make))


def plate_facts(plate: Plate) -> str:
    """What a plate's track depends on: its files, range and colour."""
    files = []
    for frame in plate.frames:
        path = plate.sequence.path(frame)
        files.append(
            f"{frame} {path.stat().st_size} {path.stat().st_mtime_ns}" if path.exists() else f"{frame} missing"
        )
    names = (plate.sequence.pattern, plate.space, plate.config.hash, str(plate.view), str(plate.part))
    return "\n".join([*names, *files])


def face_facts(faces: Mapping[int, FaceFrame]) -> str:
    """What a shot's measurements depend on: where the face is, to the last bit."""
    return "\n".join(
        f"{frame} {sha256(face.similarity.tobytes() + face.landmarks.tobytes())}"
        for frame, face in sorted(faces.items())
    )


# ---------------------------------------------------------------------------------------------- rendering


def render_frames(ready: Shot, *, sink: EventSink, cancel: CancelToken, frames: FrameRange | None = None) -> Report:
    """Render frames of a prepared shot: the next frame is read while one is swapped and the last is written.

    A frame that fails is reported and the others go on. A cancelled render leaves whole files only.

    Raises:
        PlateError: none of `frames` belongs to the job. Cancelled, OutputError, ResourceError.
    """
    wanted = list(ready.plate.frames if frames is None else ready.plate.frames.intersect(frames))
    if not wanted:
        raise PlateError(f"no frame of {frames} is in the job's range {ready.plate.frames}", hint="check --frames")
    tally = _Tally(sink, total=len(wanted))
    with ThreadPoolExecutor(1, "read") as reader, ThreadPoolExecutor(1, "write") as writer:
        writing: Future[_Written] | None = None
        for frame, loading in _ahead(ready, wanted, reader):
            if cancel.cancelled:
                tally.wait(writing)  # a frame that is being written is finished, and said to be
                cancel.check()
            try:
                write = loading.result().swap(ready, sink)
            except FrameError as error:
                tally.fail(frame, error)
                continue
            tally.wait(writing)
            writing = writer.submit(write)
        tally.wait(writing)
    if not any(tally.counts.values()):
        raise PlateError(f"none of {len(wanted)} frames could be rendered, the first: {tally.failed[0]}")
    counts = tally.counts
    sink.emit(Done(manifest="", counts={**{str(k): n for k, n in counts.items()}, "failed": len(tally.failed)}))
    return Report(counts["rendered"], counts["skipped"], counts["passthrough"], tuple(tally.failed))


@dataclass(frozen=True)
class _Written:
    """A frame that has its final name, or the reason why not; and what its file could not keep."""

    event: FrameDone
    error: FrameError | None = None
    notes: tuple[str, ...] = ()


class _Tally:
    """Counts frames and tells of them."""

    def __init__(self, sink: EventSink, *, total: int) -> None:
        self.counts: dict[FrameStatus, int] = {"rendered": 0, "skipped": 0, "passthrough": 0}
        self.failed: list[FrameError] = []
        self._sink, self._total = sink, total
        self._noted: set[str] = set()

    def fail(self, frame: int, error: FrameError) -> None:
        """A frame that could not be made."""
        self.failed.append(error)
        self._sink.emit(FrameFailed(frame=frame, code=error.code, message=str(error), hint=error.hint))

    def wait(self, writing: Future[_Written] | None) -> None:
        """Wait for the frame that is being written; raises what writing raised."""
        if writing is None:
            return
        written = writing.result()
        event = written.event
        if written.error is not None:
            self.fail(event.frame, written.error)
            return
        self.counts[event.status] += 1
        for note in written.notes:
            if note not in self._noted:  # the same for every frame of a shot: once is enough
                self._noted.add(note)
                self._sink.emit(Warned(code="not_kept", message=note, frame=event.frame))
        self._sink.emit(event)
        done = sum(self.counts.values()) + len(self.failed)
        self._sink.emit(Progress(stage="swap", done=done, total=self._total, frame=event.frame))


def _ahead(ready: Shot, wanted: list[int], reader: ThreadPoolExecutor) -> Iterator[tuple[int, Future[_Loaded]]]:
    """The frames, each with the future of its pixels; the next one is read while one is worked on."""
    following = reader.submit(_load, ready, wanted[0])
    for frame, after in zip(wanted, [*wanted[1:], None], strict=True):
        current = following
        if after is not None:
            following = reader.submit(_load, ready, after)
        yield frame, current


@dataclass(frozen=True, eq=False)
class _Loaded:
    """A frame that was read, or that need not be."""

    frame: int
    path: Path
    key: str
    image: exr.Frame | None
    """None: the output is there and up to date."""
    artist: F32 | None

    def swap(self, ready: Shot, sink: EventSink) -> Callable[[], _Written]:
        """Swap the frame; returns the writing, for another thread."""
        image = self.image
        if image is None:
            return lambda: _Written(self._event("skipped"))
        face = ready.faces.get(self.frame)
        if face is None:
            sink.emit(Warned(code="no_face", message="no face: the plate passes through", frame=self.frame))
            swapped = render.passthrough(image)
        else:
            swapped = render.swap_frame(
                image,
                face,
                plate=ready.plate,
                model=ready.model,
                measurements=ready.measurements,
                frame=self.frame,
                parameters=ready.job.parameters,
                artist=self.artist,
            )
        for count, code, what in (
            (swapped.scrubbed, "scrubbed", "NaN or Inf"),
            (swapped.clamped, "clamped", "overflow"),
        ):
            if count:
                sink.emit(Warned(code=code, message=f"{count} values of {what} under the face", frame=self.frame))
        hints = render.hints(
            key=self.key,
            model=ready.model,
            consents=ready.consents,
            confidence=swapped.confidence,
            altered=face is not None,
        )

        def write() -> _Written:
            event = self._event("rendered" if face is not None else "passthrough")
            try:
                report = render.write(swapped, image, self.path, layers=ready.job.layers, hints=hints)
            except FrameError as error:
                return _Written(event, error)
            return _Written(event, notes=report.notes)

        return write

    def _event(self, status: FrameStatus) -> FrameDone:
        return FrameDone(frame=self.frame, path=str(self.path), status=status)


def _load(ready: Shot, frame: int) -> _Loaded:
    """Read a frame and its artist matte, unless the output is already made from exactly these inputs."""
    source, path = ready.plate.sequence.path(frame), ready.output.path(frame)
    matte_path = SequencePath.parse(ready.job.matte).path(frame) if ready.job.matte else None
    key = _frame_key(ready, frame, source, matte_path)
    if not ready.job.overwrite and _made_from(path, key, ready.plate):
        return _Loaded(frame, path, key, None, None)
    image = ready.plate.read(frame)
    artist = None if matte_path is None else _artist(matte_path, image, frame)
    return _Loaded(frame, path, key, image, artist)


def _frame_key(ready: Shot, frame: int, *files: Path | None) -> str:
    """Everything a frame's pixels depend on, by content: paths, times and ranges do not count."""
    face = ready.faces.get(frame)
    grid = ready.measurements.relight.get(frame)
    return cache.key(
        RENDER_VERSION,
        ready.model.card.painting(),
        ready.measurements.gain,
        "" if face is None else face.similarity.tobytes().hex(),
        "" if grid is None else sha256(np.ascontiguousarray(grid).tobytes()),
        ready.job.parameters.model_dump_json(),
        ready.job.layers,
        ready.plate.space,
        ready.plate.config.hash,
        ready.plate.view,
        ready.plate.part,
        *(sha256(file.read_bytes()) for file in files if file is not None and file.exists()),
    )


RENDER_VERSION = 1
"""Raised whenever the same inputs give other pixels: frames of an older version are then stale."""


def _made_from(path: Path, key: str, plate: Plate) -> bool:
    """True when `path` is a whole output with this key in its header."""
    if not path.exists():
        return False
    try:
        if not any(part.attributes.get("vfxswap:job") == key for part in exr.probe(path).parts):
            return False
        # A header says nothing of the pixels: a copy that broke off is found only by reading them.
        exr.read(path, part=plate.part, view=plate.view)
    except VfxSwapError:
        return False
    return True


def _artist(path: Path, image: exr.Frame, frame: int) -> F32:
    """An artist's matte: its A, else its first channel, over the plate's data window."""
    channels, _ = exr.read_channels(path)
    coverage = channels.get("A", next(iter(channels.values())))
    held = image.origin_window
    if coverage.shape != (held.height, held.width):
        raise PlateError(
            f"matte is {coverage.shape[1]}x{coverage.shape[0]}, the plate {held.width}x{held.height}",
            path=path,
            frame=frame,
            hint="render the matte at the plate's size",
        )
    return np.clip(np.nan_to_num(coverage.astype(np.float32)), 0.0, 1.0)
