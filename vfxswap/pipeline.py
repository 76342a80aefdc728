"""A shot, swapped: the README's diagram as code.

    plate -> track -> measure -> for each frame: read -> swap -> write

`prepare` settles everything that concerns the whole shot; `frames.render_frames` then makes any of its frames, in
any split, with the same pixels.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vfxswap import align, atomic, cache, measure
from vfxswap.archive import sha256
from vfxswap.color import ColorConfig
from vfxswap.errors import FrameError, JobError, ModelError, OutputError, PlateError, TrackError, UsageError
from vfxswap.events import CancelToken, EventSink, Progress, Started, Warned
from vfxswap.face import HANDS, PARSERS, shot
from vfxswap.face import track as tracks
from vfxswap.face.protocols import HandFinder, Parser
from vfxswap.face.solve import Quality
from vfxswap.face.track import FaceFrame, Track
from vfxswap.frames import Report, Sheet, Shot, Sign, render_frames
from vfxswap.guard import Watch
from vfxswap.infer import Device
from vfxswap.job import FaceSwap, SwapJob, SwapParameters
from vfxswap.matte_input import MatteInput
from vfxswap.measure import Measurements, Sight
from vfxswap.plate import ALL_VIEWS, Plate, open_views
from vfxswap.provenance import manifest_path, shards
from vfxswap.render import Target
from vfxswap.sequence import FrameRange, SequencePath, for_view, has_view_token
from vfxswap.trust import ConsentRef, Gate, Grant, ShotId
from vfxswap.vfxmodel import ModelCard, Painter, SwapModel, read_card

_DEFAULTS = SwapParameters()


def swap(
    job: SwapJob,
    *,
    gate: Gate,
    sink: EventSink,
    cancel: CancelToken,
    frames: FrameRange | None = None,
    sign: Sign | None = None,
) -> Report:
    """Do a job: consent first, then track, measure and render.

    Args:
        job: what to do.
        gate: the consent gate; asked before anything is read or written.
        sink: where events go.
        cancel: polled between frames.
        frames: which of the job's frames to render; None is all. Tracking and measuring cover the job's whole
            range all the same.
        sign: gives the key that signs the manifest; None leaves it unsigned (`frames.render_frames`).

    Raises:
        ConsentError, PlateError, TrackError, ModelError, OutputError, Cancelled.
    """
    ready = prepare(job, gate=gate, sink=sink, cancel=cancel)
    return render_frames(ready, sink=sink, cancel=cancel, frames=frames, sign=sign)


def prepare(job: SwapJob, *, gate: Gate, sink: EventSink, cancel: CancelToken) -> Shot:
    """Open the models under grants, the plate, the tracks and the measurements; make what is missing."""
    opened = [open_model(job, one, gate) for one in job.swaps]
    grants = tuple(ref for _, found in opened for ref in found)
    plates = job_plates(job)
    outputs = [_checked_output(job, plate) for plate in plates]
    sink.emit(Started(job=f"swap {plates[0].sequence.name}", frames=str(plates[0].frames)))
    stores = cache.Cache(outputs[0].folder / cache.FOLDER, name=outputs[0].name or "shot")
    with watching(plates, stores.folder / stores.name) as plates:
        finder = _finder(job)
        targets = _targets(job, [model for model, _ in opened], plates, stores, finder, sink, cancel)
    consents = {ref.id: ref.sha256 for ref in grants}
    return Shot(job, _sheets(plates, outputs, targets), consents, _parser(job), finder, grants)


def _targets(
    job: SwapJob,
    models: Sequence[SwapModel],
    plates: Sequence[Plate],
    stores: cache.Cache,
    finder: HandFinder,
    sink: EventSink,
    cancel: CancelToken,
) -> dict[Plate, list[Target]]:
    """The faces of each view, back to front, tracked and measured."""
    shown = [_track(job, plate, stores, sink, cancel) for plate in plates]
    targets: dict[Plate, list[Target]] = {plate: [] for plate in plates}
    for number, (one, model) in enumerate(zip(job.swaps, models, strict=True), start=1):
        sights = _sights(plates, shown, one.face)
        measured = _measurements(one, sights, model, stores, finder, sink, cancel)
        for sight in sights:
            suffix = "" if number == 1 else str(number)
            targets[sight.plate].append(_target(one, sight, model, measured, suffix, shot=job.shot))
    return targets


def recorded(job: SwapJob, ready: Shot) -> SwapJob:
    """`job` with the hashes of its models and of its OCIO config, to notice others."""

    def model(path: Path) -> str:
        return sha256(path.read_bytes())

    return job.replace(
        model_sha256=model(job.model),
        also=[other.model_copy(update={"model_sha256": model(other.model)}) for other in job.also],
        color_config_hash=ready.sheets[0].plate.config.hash,
    )


def measured(job: SwapJob, *, gate: Gate, sink: EventSink, cancel: CancelToken) -> Measurements:
    """The measurements of a job's first face by its track, over the whole range and all its views."""
    one = job.swaps[0]
    model, _ = open_model(job, one, gate)
    with watching(job_plates(job), Path(job.output).parent / cache.FOLDER / Path(job.output).stem) as plates:
        sights = _sights(plates, [_given_track(job, plate) for plate in plates], one.face)
        return measure.measure(sights, model=model, finder=_finder(job), progress=_progress(sink), cancel=cancel)


def _target(one: FaceSwap, sight: Sight, model: Painter, measured: Measurements, suffix: str, *, shot: str) -> Target:
    mattes = tuple(map(MatteInput.parse, one.matte))
    parameters = one.parameters or _DEFAULTS
    return Target(sight.plate, model, sight.faces, measured, parameters, mattes, suffix, shot)


def _sheets(
    plates: Sequence[Plate], outputs: Sequence[SequencePath], targets: Mapping[Plate, Sequence[Target]]
) -> tuple[Sheet, ...]:
    """Views that share files together, views with files of their own apart."""
    sheets: dict[SequencePath, Sheet] = {}
    for plate, output in zip(plates, outputs, strict=True):
        known = sheets.get(plate.sequence, Sheet(plate, output, {}))
        view = plate.view if len(plates) > 1 else None  # files of one eye each have nothing to choose from
        sheets[plate.sequence] = replace(known, views={**known.views, view: tuple(targets[plate])})
    return tuple(sheets.values())


def _sights(plates: Sequence[Plate], shown: Sequence[Track], which: str) -> list[Sight]:
    """The face that `which` names in the first view, in every view: there it is the one that looks most alike."""
    chosen = tracks.choose(shown[0], which)
    wanted = next(face.embedding for face in shown[0].faces if face.id == chosen)
    sights = []
    for plate, track in zip(plates, shown, strict=True):
        alike = min(track.faces, key=lambda face: float(np.linalg.norm(face.embedding - wanted)))
        sights.append(Sight(plate, track.face(chosen if track is shown[0] else alike.id)))
    return sights


def _parser(job: SwapJob) -> Parser | None:
    """The person parser, where something will look at it."""
    limited = any(one.parameters is not None and one.parameters.person > 0 for one in job.swaps)
    return PARSERS["selfie"](device=job.device) if limited or job.layers == "ingredients" else None


def _finder(job: SwapJob) -> HandFinder:
    return HANDS["mediapipe"](device=job.device)


def open_model(job: SwapJob, one: FaceSwap, gate: Gate) -> tuple[SwapModel, tuple[ConsentRef, ...]]:
    """A face's model, opened under a grant, and the consents that the grant stands on."""
    card = read_card(one.model)
    if card.template != align.TEMPLATE:
        raise ModelError(
            f"the model's crops are aligned as {card.template!r}, here they are as {align.TEMPLATE!r}",
            path=one.model,
            hint="use the vfxswap version that made it, or export the model again",
        )
    if one.model_sha256 and one.model_sha256 != sha256(one.model.read_bytes()):
        raise JobError(
            "the model is not the one the job was written with",
            path=one.model,
            hint="save the job again, or restore it",
        )
    grant = _grant(job, card, gate)
    model = SwapModel(one.model, grant=grant, device=job.device)
    return model, grant.consents


def allowed(job: SwapJob, *, gate: Gate) -> None:
    """Ask for leave to swap every face of a job, opening nothing: for whoever does several jobs one after the other.

    Raises:
        ConsentError: the first rule that is broken. ModelError: a model cannot be read.
    """
    for one in job.swaps:
        _grant(job, read_card(one.model), gate)


def _grant(job: SwapJob, card: ModelCard, gate: Gate) -> Grant:
    return gate.authorize(
        shot=ShotId.parse(job.shot) if job.shot else ShotId.local(job.plate_folder),
        use="swap",
        performers=card.performers.by_role(),
        model_sha256=card.onnx_sha256,
        origin=card.origin(),
    )


# ------------------------------------------------------------------------------------------------- plates


def job_plates(job: SwapJob) -> tuple[Plate, ...]:
    """The plate over the job's whole range: one, or one for each view where all are wanted.

    Raises:
        PlateError, ColorError, UsageError: as `open_views`. JobError: the OCIO config is another one than the job
            was written with.
    """
    config = ColorConfig.load(job.color_config or None, context=job.color_context)
    if job.color_config_hash and job.color_config_hash != config.hash:
        raise JobError(
            f"the OCIO config {config.id} is not the one the job was written with",
            hint="restore it, or save the job again",
        )

    return open_views(
        job.plate,
        frames=FrameRange.parse(job.frames) if job.frames else None,
        config=config,
        color_space=job.color_space or None,
        view=job.view,
        part=job.part or None,
        lens=job.lens,
    )


@contextlib.contextmanager
def watching(plates: Sequence[Plate], folder: Path) -> Iterator[tuple[Plate, ...]]:
    """The plates, their reading noted in `folder` (guard.py), of which nothing is left that holds nothing."""
    watch = Watch(folder)
    try:
        yield tuple(replace(plate, watch=watch) for plate in plates)
    finally:
        watch.tidy()


def _checked_output(job: SwapJob, plate: Plate) -> SequencePath:
    text = job.output
    apart = has_view_token(job.plate)
    if has_view_token(text) and not apart and job.view == ALL_VIEWS:
        raise UsageError("the output has %V, but the plate's files hold all views", hint="leave %V out of --output")
    if apart and job.view == ALL_VIEWS and not has_view_token(text):
        raise UsageError("each view needs an output of its own", hint="write %V into --output")
    output = SequencePath.parse(for_view(text, plate.view_name)).require_token()
    mattes = {source.pattern for one in job.swaps for source in map(MatteInput.parse, one.matte)}
    sources = [("the plate", plate.sequence)]
    sources += [("the artist's matte", SequencePath.parse(for_view(text, plate.view_name))) for text in mattes]
    for what, source in sources:
        same = (frame for frame in plate.frames if output.path(frame).resolve() == source.path(frame).resolve())
        if (frame := next(same, None)) is not None:
            raise OutputError(f"the output is {what} itself", path=output.path(frame), hint="choose another --output")
    record = manifest_path(output.folder, output.name)
    if len(os.fsencode(record.name)) > atomic.LONGEST:
        raise OutputError("the name is too long for its record", path=record, hint="choose a shorter --output")
    # The folder is made with the first file: a job that ends without one leaves nothing.
    folder = output.folder.absolute()
    atomic.check_writable(next(parent for parent in (folder, *folder.parents) if parent.exists()))
    for swept in (output.folder, shards.folder(output.folder, output.name)):
        atomic.sweep(swept)
    return output


# ---------------------------------------------------------------------------------- tracks and measurements


def _track(job: SwapJob, plate: Plate, stores: cache.Cache, sink: EventSink, cancel: CancelToken) -> Track:
    if job.track is not None:
        return _given_track(job, plate)
    key = cache.key("track", plate_facts(plate), tracks.VERSION)

    def make(path: Path) -> None:
        track_plate(plate, sink=sink, cancel=cancel, device=job.device).save(path)

    path = stores.get(f"{key}.vfxtrack", make)
    track = tracks.load(path)
    if any(map(_readable(plate), set(plate.frames) - set(track.frames))):
        # Size and time of a file say nothing of whether it could be read: permissions and storage come and go.
        make(path)
        track = tracks.load(path)
    return track


def _readable(plate: Plate) -> Callable[[int], bool]:
    def readable(frame: int) -> bool:
        try:
            plate.read(frame)
        except PlateError:
            return False
        return True

    return readable


def _given_track(job: SwapJob, plate: Plate) -> Track:
    text = str(job.track)
    if job.view == ALL_VIEWS and not has_view_token(text):
        raise UsageError("a track is of one view", hint="write %V into --track, or leave it out")
    track = tracks.load(Path(for_view(text, plate.view_name)))
    if track.metadata.get(shot.LENS, "") != shot.lens_name(plate):
        raise TrackError(
            "the track was made through another lens, or none", path=job.track, hint="give --lens as when tracking"
        )
    return track


def track_plate(
    plate: Plate, *, sink: EventSink, cancel: CancelToken, device: Device = "auto", quality: Quality = "default"
) -> Track:
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

    return shot.track_plate(plate, device=device, quality=quality, progress=progress, miss=miss)


def _measurements(
    one: FaceSwap,
    sights: Sequence[Sight],
    model: SwapModel,
    stores: cache.Cache,
    finder: HandFinder,
    sink: EventSink,
    cancel: CancelToken,
) -> Measurements:
    if one.measurements is not None:
        found = measure.load(one.measurements)
        if found.model_sha256 != model.card.onnx_sha256:
            raise JobError("the measurements are of another model", path=one.measurements, hint="measure again")
        wanted = (one.parameters or SwapParameters()).match
        if wanted not in ("membrane", "none") and not found.match:
            hint = "measure again with this vfxswap, or set match to membrane"
            raise JobError(f"the measurements know nothing of match {wanted}", path=one.measurements, hint=hint)
        return found

    facts = [fact for sight in sights for fact in (plate_facts(sight.plate), face_facts(sight.faces))]
    key = cache.key("shot", *facts, model.card.painting(), measure.VERSION, measure.REVISION)
    path = stores.path(f"{key}.vfxshot")
    if path.exists():
        return measure.load(path)
    missed: list[FrameError] = []
    found = measure.measure(
        sights, model=model, finder=finder, progress=_progress(sink), cancel=cancel, miss=missed.append
    )
    if missed:
        return found  # not kept: the next run may see what this one could not
    found.save(path)
    return measure.load(path)


def _progress(sink: EventSink) -> Callable[[int, int], None]:
    return lambda done, total: sink.emit(Progress(stage="measure", done=done, total=total))


def plate_facts(plate: Plate) -> str:
    """What a plate's track depends on: its files, range, colour and lens."""
    files = []
    for frame in plate.frames:
        try:
            found = plate.sequence.path(frame).stat()
        except OSError:
            files.append(f"{frame} missing")
        else:
            files.append(f"{frame} {found.st_size} {found.st_mtime_ns}")
    names = (plate.sequence.pattern, plate.space, plate.config.hash, str(plate.view), str(plate.part))
    return "\n".join([*names, shot.lens_name(plate), *files])


def face_facts(faces: Mapping[int, FaceFrame]) -> str:
    """What a shot's measurements depend on: where the face is, to the last bit."""
    return "\n".join(
        f"{frame} {sha256(face.similarity.tobytes() + face.landmarks.tobytes())}"
        for frame, face in sorted(faces.items())
    )
