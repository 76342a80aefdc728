"""The frames of a prepared shot, one after the other: read, swap, write, each on a thread of its own.

The next frame is read while one is swapped and the last one is written. A frame that fails is reported and the
others go on.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vfxswap import atomic, cache, exr, output, provenance, render, roto
from vfxswap.archive import sha256
from vfxswap.errors import FrameError, PlateError, ResourceError, VfxSwapError
from vfxswap.events import CancelToken, Done, EventSink, FrameDone, FrameFailed, FrameStatus, Progress, Warned
from vfxswap.face.protocols import HandFinder, Parser
from vfxswap.finish import motion
from vfxswap.geometry import Window
from vfxswap.job import SwapJob
from vfxswap.lens import Lens
from vfxswap.plate import Plate
from vfxswap.provenance import FileEntry, Making, Shard, Source, naming, origin, shards
from vfxswap.render import Cover, Picture, Target, matched
from vfxswap.sequence import FrameRange, SequencePath
from vfxswap.trust import ConsentRef
from vfxswap.trust.keys import PrivateKey

RENDER_VERSION = 5
"""Raised whenever the same inputs give other pixels: frames of an older version are then stale."""


@dataclass(frozen=True)
class Report:
    """How a render ended: files by what became of them."""

    rendered: int
    skipped: int
    passthrough: int
    failed: tuple[FrameError, ...]


@dataclass(frozen=True, eq=False)
class Sheet:
    """One sequence of files that becomes another: a plate, or one eye of a plate whose eyes are files of their own.

    Attributes:
        plate: the files, their first view chosen.
        output: where they go.
        views: view name (None where it does not matter) -> its faces, back to front.
    """

    plate: Plate
    output: SequencePath
    views: Mapping[str | None, tuple[Target, ...]]

    @property
    def targets(self) -> tuple[Target, ...]:
        """The faces of all views."""
        return tuple(target for targets in self.views.values() for target in targets)

    def making(self, shot: Shot) -> Making:
        """How its frames come to be."""
        first = next(iter(self.views.values()))
        return origin.making(shot.job, plate=self.plate, targets=first, grants=shot.grants)


@dataclass(frozen=True, eq=False)
class Shot:
    """A job with everything settled that concerns the whole shot.

    Attributes:
        job: what was asked for.
        sheets: the files, at least one; all have the same frames.
        consents: id -> record hash of the consents that the models were opened under.
        parser: finds the person's matte; None where no frame needs it.
        finder: finds hands before the faces; None: none is looked for.
        grants: the same consents with roles and performers, for the record.
    """

    job: SwapJob
    sheets: tuple[Sheet, ...]
    consents: Mapping[str, str]
    parser: Parser | None = None
    finder: HandFinder | None = None
    grants: tuple[ConsentRef, ...] = ()

    @property
    def frames(self) -> FrameRange:
        """The job's whole range."""
        return self.sheets[0].plate.frames


Sign = Callable[[], PrivateKey]
"""Gives the key that signs the manifest, once everything is rendered."""


def render_frames(
    ready: Shot,
    *,
    sink: EventSink,
    cancel: CancelToken,
    frames: FrameRange | None = None,
    sign: Sign | None = None,
) -> Report:
    """Render frames of a prepared shot; a cancelled render leaves whole files only.

    Args:
        ready: the shot.
        sink: where events go.
        cancel: polled between frames.
        frames: which of its frames; None is all.
        sign: then the shards of all its frames, of earlier runs too, are merged into a signed manifest. None, as on
            a farm, leaves that to `vfxswap provenance finalise`.

    Raises:
        PlateError: none of `frames` belongs to the job, or none can be rendered. Cancelled, OutputError,
            ResourceError.
    """
    wanted = list(ready.frames if frames is None else ready.frames.intersect(frames))
    if not wanted:
        raise PlateError(f"no frame of {frames} is in the job's range {ready.frames}", hint="check --frames")
    makings = [(sheet, sheet.making(ready)) for sheet in ready.sheets]
    files = [_File(ready, sheet, frame, making) for frame in wanted for sheet, making in makings]
    tally = _Tally(sink, [atomic.Anchor(sheet.output.folder) for sheet in ready.sheets], total=len(files))
    with (
        contextlib.closing(tally),
        ThreadPoolExecutor(1, "read") as reader,
        ThreadPoolExecutor(1, "write") as writer,
    ):
        writing: Future[_Written] | None = None
        for file, loading in _ahead(files, reader):
            if cancel.cancelled:
                tally.wait(writing)  # a frame that is being written is finished, and said to be
                cancel.check()
            try:
                write = file.swap(loading.result(), sink)
            except FrameError as error:
                tally.fail(file.frame, error)
                continue
            tally.wait(writing)
            writing = writer.submit(write)
        tally.wait(writing)
    for sheet in ready.sheets:
        if sheet.plate.watch is not None:
            sheet.plate.watch.tidy()
    if not any(tally.counts.values()):
        raise PlateError(f"none of {len(wanted)} frames could be rendered, the first: {tally.failed[0]}")
    counts = tally.counts
    manifest = "" if sign is None else _manifest(ready, sign, sink)
    sink.emit(Done(manifest=manifest, counts={**{str(k): n for k, n in counts.items()}, "failed": len(tally.failed)}))
    return Report(counts["rendered"], counts["skipped"], counts["passthrough"], tuple(tally.failed))


def _manifest(ready: Shot, sign: Sign, sink: EventSink) -> str:
    """The path of the first sheet's signed manifest; a warning and nothing where there cannot be one."""
    try:
        signer = sign()
        made = [provenance.merge(sheet.output.folder, sheet.output.name, signer=signer) for sheet in ready.sheets]
    except ResourceError:
        raise  # the same command again has the frames at once, and then the manifest
    except VfxSwapError as error:
        sink.emit(Warned(code="no_manifest", message=f"the frames are there, their manifest is not: {error}"))
        return ""
    for merged in made:
        for gap in merged.flaws:
            sink.emit(Warned(code="unrecorded", message=gap))
    if made[0].c2pa:
        sink.emit(Warned(code="no_c2pa", message=f"no C2PA sidecar was written: {made[0].c2pa}"))
    return str(made[0].path)


@dataclass(frozen=True)
class _Written:
    """A frame that has its final name, or the reason why not; and what its file could not keep."""

    event: FrameDone
    error: FrameError | None = None
    notes: tuple[str, ...] = ()


class _Tally:
    """Counts frames and tells of them."""

    def __init__(self, sink: EventSink, folders: Sequence[atomic.Anchor], *, total: int) -> None:
        self.counts: dict[FrameStatus, int] = {"rendered": 0, "skipped": 0, "passthrough": 0}
        self.failed: list[FrameError] = []
        self._sink, self._folders, self._total = sink, folders, total
        self._noted: set[str] = set()

    def close(self) -> None:
        """Let the folders go."""
        for folder in self._folders:
            folder.close()

    def fail(self, frame: int, error: FrameError) -> None:
        """A frame that could not be made."""
        self.failed.append(error)
        self._sink.emit(FrameFailed.of(error, frame=frame))

    def wait(self, writing: Future[_Written] | None) -> None:
        """Wait for the frame that is being written; raises what writing raised, and where its folder was replaced."""
        if writing is None:
            return
        written = writing.result()
        for folder in self._folders:
            folder.check()
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


def _ahead(files: list[_File], reader: ThreadPoolExecutor) -> Iterator[tuple[_File, Future[_Loaded | None]]]:
    """The files, each with the future of its pixels; the next one is read while one is worked on."""
    following = reader.submit(files[0].load)
    for file, after in zip(files, [*files[1:], None], strict=True):
        current = following
        if after is not None:
            following = reader.submit(after.load)
        yield file, current


@dataclass(frozen=True, eq=False)
class _Loaded:
    """What a frame is made from."""

    key: str
    source: Source
    image: exr.Frame
    lens: Lens | None
    covers: Mapping[Target, Cover] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _File:
    """One output file."""

    shot: Shot
    sheet: Sheet
    frame: int
    making: Making

    @property
    def path(self) -> Path:
        return self.sheet.output.path(self.frame)

    @property
    def passes(self) -> list[Path]:
        """The files beside it."""
        names = [name for kind in self.shot.job.passes for name in output.passes_of(kind, self.sheet.targets)]
        return [self.sheet.output.beside(name).path(self.frame) for name in names]

    def load(self) -> _Loaded | None:
        """Read the plate's frame and the artist's mattes; None where the output is already made from exactly these."""
        plate = self.sheet.plate
        lens = plate.lens(self.frame)
        file = plate.sequence.path(self.frame)
        standing, content = _standing(file), _content(file, frame=self.frame)
        key = self._key(lens, content)
        if not self.shot.job.overwrite and self._kept(key):
            return None
        image = plate.read(self.frame)
        if content == _MISSING:
            raise FrameError("the file came while it was looked for", path=file, frame=self.frame, hint="run again")
        if _standing(file) != standing:
            hint = "wait until it is written, and run again"
            raise FrameError("the file changed while it was read", path=file, frame=self.frame, hint=hint)
        covers = {}
        for target in self.sheet.targets:
            window = target.window(self.frame, lens) if target.mattes else None
            if window is not None:
                covers[target] = _cover(target, image, window, self.frame)
        return _Loaded(key, Source(name=naming.text(file.name), sha256=content), image, lens, covers)

    def swap(self, loaded: _Loaded | None, sink: EventSink) -> Callable[[], _Written]:
        """Swap the frame's faces; returns the writing, for another thread."""
        if loaded is None:
            return lambda: _Written(self._event("skipped"))
        pictures = [self._picture(loaded, view, targets) for view, targets in self.sheet.views.items()]
        seen = [swap for picture in pictures for swap in picture.swaps.values()]
        if not seen:
            sink.emit(Warned(code="no_face", message="no face: the plate passes through", frame=self.frame))
        for count, code, what in (
            (sum(swap.scrubbed for swap in seen), "scrubbed", "NaN or Inf"),
            (
                sum([*(swap.clamped for swap in seen), *(picture.clamped for picture in pictures)]),
                "clamped",
                "overflow",
            ),
        ):
            if count:
                sink.emit(Warned(code=code, message=f"{count} values of {what} under the face", frame=self.frame))
        return lambda: self._write(loaded, pictures)

    def _picture(self, loaded: _Loaded, view: str | None, targets: tuple[Target, ...]) -> Picture:
        image = loaded.image if view is None else loaded.image.seen(view)
        everything = self.shot.job.layers == "ingredients"
        swaps = {
            target.suffix: render.swap_face(
                target,
                image,
                frame=self.frame,
                lens=loaded.lens,
                cover=loaded.covers.get(target),
                parser=self.shot.parser,
                finder=self.shot.finder,
                everything=everything,
            )
            for target in targets
        }
        return render.compose(image, swaps, plate=targets[0].plate, everything=everything)

    def _write(self, loaded: _Loaded, pictures: list[Picture]) -> _Written:
        job, targets = self.shot.job, self.sheet.targets
        hints = output.header(
            key=loaded.key, targets=targets, pictures=pictures, consents=self.shot.consents, frame=self.frame
        )
        event = self._event("rendered" if any(picture.swaps for picture in pictures) else "passthrough")
        passes: list[exr.Fingerprint] = []

        def record(frame: exr.Fingerprint) -> None:
            """The shard right before the frame: no moment to be killed at leaves a frame without its record."""
            files = zip((self.path, *self.passes), (frame, *passes), strict=True)
            altered = hints["vfxswap:altered"] == "1"
            shards.write(self.path.parent, self._shard(loaded, [shards.entry(p.name, f) for p, f in files], altered))

        try:
            # The passes first: where the frame is, they are.
            notes = output.write_passes(
                self.passes, pictures, job.passes, targets=targets, hints=hints, record=passes.append
            )
            report = output.write(pictures, self.path, layers=job.layers, hints=hints, record=record)
        except FrameError as error:
            return _Written(event, error)
        return _Written(event, notes=(*report.notes, *notes))

    def _shard(self, loaded: _Loaded, files: Sequence[FileEntry], altered: bool) -> Shard:
        return Shard.of(
            sequence=self.sheet.output.name,
            frame=self.frame,
            key=loaded.key,
            altered=altered,
            plate=loaded.source,
            files=tuple(files),
            made=self.making,
        )

    def _event(self, status: FrameStatus) -> FrameDone:
        return FrameDone(frame=self.frame, path=str(self.path), status=status)

    def _key(self, lens: Lens | None, content: str) -> str:
        """Everything the frame's pixels depend on, by content: paths, times and ranges do not count."""
        job, plate = self.shot.job, self.sheet.plate
        return cache.key(
            RENDER_VERSION,
            job.layers,
            job.passes,
            plate.space,
            plate.config.hash,
            plate.part,
            *self.sheet.views,
            "" if lens is None else lens.hash,
            *(fact for target in self.sheet.targets for fact in _facts(target, self.frame)),
            content,
        )

    def _kept(self, key: str) -> bool:
        """True when the frame and its passes are there, byte for byte as they were written from exactly these.

        Only a shard counts. What a header says of a frame stays there when somebody paints over it: a frame without a
        shard, or that is no longer what its shard says, is rendered again and never given a new record.
        """
        folder = self.path.parent
        shard = shards.read(shards.path(folder, self.sheet.output.name, self.frame))
        if shard is None or shard.key != key:
            return False
        if [file.name for file in shard.files] != [path.name for path in (self.path, *self.passes)]:
            return False
        if not shards.fits(folder, shard):
            return False
        if shard.made.job != self.making.job:  # asked for otherwise, with the same pixels
            shards.write(folder, shard.of_job(self.making))
        return True


def _facts(target: Target, frame: int) -> Iterator[object]:
    """What a face's swap depends on, but for the plate."""
    face = target.faces.get(frame)
    grid = target.measurements.relight.get(frame)
    encoding = target.model.card.encoding
    yield target.model.card.painting()
    yield target.measurements.space(frame, config=target.plate.config, encoding=encoding).gain
    yield "" if face is None else sha256(face.similarity.tobytes() + face.landmarks.tobytes())
    yield target.measurements.placement
    yield "" if grid is None else sha256(np.ascontiguousarray(grid).tobytes())
    if target.parameters.steady > 0 and frame in target.measurements.steady:
        yield sha256(np.ascontiguousarray(target.measurements.steady[frame]).tobytes())
    if target.parameters.match not in ("membrane", "none"):
        found = matched(target.measurements, frame)
        yield sha256(found.tones.tobytes() + found.coarse.tobytes())
    yield target.parameters.model_dump_json()
    yield from _finish(target, frame)
    for source in target.mattes:
        yield str(source).removeprefix(source.pattern)  # how it is read, not where it lies
        yield from (
            _content(path, frame=frame) for path in roto.files(source, frame=frame, view=target.plate.view_name)
        )


def _finish(target: Target, frame: int) -> Iterator[object]:
    """What grain, sharpness and motion blur depend on."""
    measured, knobs = target.measurements, target.parameters
    if knobs.grain > 0 and measured.grain is not None:
        yield target.shot
        yield json.dumps(measured.grain.to_json())
    if frame in measured.detail:
        yield measured.detail[frame].tolist()
    if knobs.motion_blur > 0 and (knobs.shutter > 0 or _shutter_is_told(target.plate.sequence.path(frame))):
        near = (target.faces.get(other) for other in (frame - 1, frame + 1))
        yield ["" if face is None else sha256(face.similarity.tobytes()) for face in near]


def _shutter_is_told(path: Path) -> bool:
    """Whether a frame's header names a shutter; of one that cannot be read, whoever renders it will hear."""
    try:
        return any(motion.shutter_deg(part.attributes) for part in exr.probe(path).parts)
    except PlateError:
        return True


_MISSING = "missing"


def _content(path: Path, *, frame: int) -> str:
    """The hash of a file, or that there is none; raises FrameError where it cannot be read."""
    try:
        return sha256(path.read_bytes()) if path.is_file() else _MISSING
    except FileNotFoundError:
        return _MISSING
    except OSError as error:
        raise FrameError(
            f"cannot read: {error.strerror or error}",
            path=path,
            frame=frame,
            hint="check its permissions, and that its storage answers",
        ) from error


def _standing(path: Path) -> tuple[int, int] | None:
    """Size and time of a file, which change while somebody writes it."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _cover(target: Target, image: exr.Frame, window: Window, frame: int) -> Cover:
    display = (image.display_window.width, image.display_window.height)
    view = target.plate.view_name
    return Cover(window, *roto.limits(target.mattes, frame=frame, window=window, display=display, view=view))
