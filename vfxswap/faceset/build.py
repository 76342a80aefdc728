"""Making a faceset: track every plate, cut the faces out, measure them, quarantine some.

Crops that are there already, of the same files under the same settings, are not made again, whether a build was
interrupted or plates are added to a faceset that is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

from vfxswap import atomic, measure
from vfxswap.color import ColorConfig
from vfxswap.errors import ConsentError, FacesetError, FrameError, PlateError, TrackError, UsageError, VfxSwapError
from vfxswap.events import CancelToken
from vfxswap.face import shot
from vfxswap.face.solve import Networks
from vfxswap.face.track import FaceFrame, Track, choose
from vfxswap.faceset import quarantine
from vfxswap.faceset.crops import PlateRecord, Row
from vfxswap.faceset.cutting import Cutter
from vfxswap.faceset.footage import Content, Footage, crop_name, plate_number
from vfxswap.faceset.index import CROPS, INDEX, Faceset, load, write
from vfxswap.faceset.journal import Journal
from vfxswap.faceset.lock import Lock, discard
from vfxswap.infer import Device
from vfxswap.plate import Plate
from vfxswap.sequence import FrameRange
from vfxswap.trust.consent import Grant

DEFAULT_SIZE: Final = 320

_GAIN_SAMPLES = 12
_BATCH = 16
"""So many stills are looked at between two points from which an interrupted build goes on."""

Report = Callable[[str, int, int], None]
Warn = Callable[[VfxSwapError], None]


def build(
    folder: Path,
    *,
    performer: str,
    plates: Sequence[Footage],
    grant: Grant,
    reference: Path | None = None,
    append: bool = False,
    size: int | None = None,
    device: Device = "auto",
    progress: Report = lambda _stage, _done, _total: None,
    warn: Warn | None = None,
    cancel: CancelToken | None = None,
    finish: Callable[[Faceset], object] = lambda _made: None,
) -> Faceset:
    """Make a faceset from plates of one performer, or add plates to one.

    The same plates give the same bytes, whether they come at once, one after the other with `append`, or in a build
    that was interrupted and called again.

    Args:
        folder: where to; without `append` it must not hold a finished faceset yet.
        performer: whose face it is; the grant must cover it.
        plates: where the face is seen.
        grant: leave to use this performer's face for training, from a gate that was asked about the consents of the
            faceset that is added to.
        reference: the file of reference embeddings that the performer's consent names.
        append: add to the faceset that is there. What it holds stays, but for crops of plates that are given again
            and have changed.
        size: side of a crop in pixels; None: the faceset's, 320 for a new one.
        device: where networks run.
        progress: called with (stage, done, total).
        warn: called with a FrameError for each frame that cannot be read, and with a TrackError for stills of which
            some show no face. None raises the former.
        cancel: polled between frames.
        finish: called with the faceset before the build counts as finished: what it did not come to, the next does.

    Raises:
        ConsentError (also where the faces are not consistent with the references: nothing of the build then stays),
        UsageError (folder in use, another size or config), FacesetError (another performer's), TrackError (no face in a
        shot, or in none of the stills), PlateError.
    """
    Grant.require_performer(grant, performer)
    if not plates:
        raise UsageError("no plates given", hint="name at least one plate")
    lock = Lock.of(grant, reference)
    there = _existing(folder, append=append)
    size, config = _agreed(there, performer=performer, plates=plates, size=size)
    Grant.require_performer(grant, performer, origin=there.consents if there else ())
    builder = _Builder(folder, size=size, device=device, progress=progress, warn=warn, cancel=cancel, there=there)
    builder.closed = there is not None and not append
    for footage in plates:
        builder.add(footage)
    found = builder.result()
    rows = quarantine.judge(found if lock is None else lock.compared(found), size=size, performer=performer)
    if lock is not None:
        try:
            lock.check(rows)
        except ConsentError:
            discard(folder, rows, there=there)
            raise
    consents = [*(there.consents if there else ()), *(ref.entry() for ref in grant.consents)]
    made = write(
        folder,
        performer=performer,
        size=size,
        config=config,
        consents=[dict(pairs) for pairs in dict.fromkeys(tuple(sorted(consent.items())) for consent in consents)],
        plates=builder.plates,
        limits=quarantine.LIMITS.to_json(),
        rows=rows,
    )
    finish(made)
    builder.journal.close()
    return made


def measured(folder: Path, plates: Sequence[Footage], *, performer: str, device: Device = "auto") -> tuple[Row, ...]:
    """Crops of plates, measured and judged, without a faceset: `folder` holds their pictures; it need not stay."""
    builder = _Builder(
        folder,
        size=DEFAULT_SIZE,
        device=device,
        progress=lambda _stage, _done, _total: None,
        warn=None,
        cancel=None,
        there=None,
    )
    for footage in plates:
        builder.add(footage)
    return quarantine.judge(builder.result(), size=DEFAULT_SIZE, performer=performer)


def _existing(folder: Path, *, append: bool) -> Faceset | None:
    if not (folder / INDEX).exists():
        return None
    # A build that was stopped after its index was written left its journal: the same command finds everything there.
    if not append and not Journal(folder).left:
        raise _taken(folder)
    return load(folder)


def _taken(folder: Path) -> UsageError:
    return UsageError(f"{folder} already holds a faceset", hint="choose another --output, or add to it with --append")


def _agreed(
    there: Faceset | None, *, performer: str, plates: Sequence[Footage], size: int | None
) -> tuple[int, ColorConfig]:
    """The size and config of all crops; raises UsageError or FacesetError where they cannot be mixed."""
    config = plates[0].plate.config
    if there is None:
        return size or DEFAULT_SIZE, config
    if there.performer != performer:
        raise FacesetError(
            f"this faceset is of {there.performer}, not of {performer}",
            path=there.folder,
            hint="a faceset has one performer: choose another --output",
        )
    if size not in (None, there.size):
        raise UsageError(f"--size is {size}, this faceset's crops have {there.size}", hint="leave --size out")
    if config.record() != there.config.record() or dict(config.context) != dict(there.config.context):
        raise UsageError(
            f"the color config is {config.id}, this faceset's {there.config.id}", hint="give the same --color-config"
        )
    return there.size, there.config


@dataclass(frozen=True, eq=False)
class _Work:
    """One plate while it is being cut."""

    footage: Footage
    number: int
    settings: Mapping[str, str]
    content: Content

    @property
    def plate(self) -> Plate:
        return self.footage.plate

    def name(self, frame: int) -> str:
        return crop_name(self.plate, number=self.number, frame=frame)

    def key(self, frame: int) -> str:
        return self.content.key(self.settings, frame)

    def plate_key(self) -> str:
        return self.content.plate_key(self.settings)


class _Builder:
    """Collects the crops of all plates, old and new."""

    def __init__(
        self,
        folder: Path,
        *,
        size: int,
        device: Device,
        progress: Report,
        warn: Warn | None,
        cancel: CancelToken | None,
        there: Faceset | None,
    ) -> None:
        self.journal = Journal(folder)
        atomic.sweep(folder / CROPS)
        self.plates: list[PlateRecord] = list(there.plates) if there else []
        self.closed = False
        """Whether nothing may be added to what is there."""
        self._folder, self._size, self._device = folder, size, device
        self._progress, self._warn, self._cancel = progress, warn, cancel
        self._there = there
        self._rows: dict[str, Row] = {row.crop.name: row for row in there.rows()} if there else {}
        self._keys = {row.crop.key for row in self._rows.values() if row.crop.key}
        self._seen = 0
        self._faceless: TrackError | None = None

    def add(self, footage: Footage) -> None:
        """Cut a plate, or what of it is not cut yet."""
        settings, total = footage.settings(size=self._size), len(footage.plate.frames)
        content = Content.of(footage, step=self._counter("read", total))
        work = _Work(footage, self._number(footage, settings), settings, content)
        if any(plate.key == work.plate_key() for plate in self.plates) or self._all_cut(work):
            self._seen += 1
            return
        if self.closed:
            raise _taken(self._folder)
        missed: list[FrameError] = []
        without_face = self._stills(work, missed) if footage.stills else {}
        if not footage.stills:
            self._shot(work, missed)
        complete = not missed and len(content.files) == total and footage.only is None
        record = PlateRecord(
            id=work.number,
            pattern=footage.plate.sequence.pattern,
            stills=footage.stills,
            settings=settings,
            key=work.plate_key() if complete else "",
            without_face=without_face,
        )
        mine = work.name(0).rpartition(".")[0] + "."
        if without_face or any(name.startswith(mine) for name in self._rows):
            self.plates = sorted([*(p for p in self.plates if p.id != record.id), record], key=lambda plate: plate.id)

    def result(self) -> list[Row]:
        """All crops in the order of plates and frames; raises TrackError where the plates gave none."""
        if not self._seen and self._faceless is not None:
            raise self._faceless
        rows = sorted(self._rows.values(), key=lambda row: (plate_number(row.crop.name), row.crop.frame, row.crop.name))
        if self._there is None:
            return rows
        return [row if row.measured else self._cutter.measured(self._there, row.crop) for row in rows]

    # --------------------------------------------------------------------------------------------- plates

    def _all_cut(self, work: _Work) -> bool:
        """Whether every frame that is wanted of a shot was cut before: then it need not be tracked again."""
        only = work.footage.only
        return only is not None and not work.footage.stills and all(work.key(frame) in self._keys for frame in only)

    def _number(self, footage: Footage, settings: Mapping[str, str]) -> int:
        """The number of this plate: its own if it was here before, whatever its files held then, or the next."""
        for plate in self.plates:
            if plate.pattern == footage.plate.sequence.pattern and plate.settings in ({}, settings):
                return plate.id
        return max((plate.id for plate in self.plates), default=-1) + 1

    def _shot(self, work: _Work, missed: list[FrameError]) -> None:
        """Crops of a shot, tracked as a whole."""
        plate, key = work.plate, work.content.track_key(work.settings)
        track = self.journal.track(key)
        if track is None:
            track = self._track(plate, stills=False, missed=missed, step=self._counter("track", len(plate.frames)))
            if not missed:
                self.journal.keep_track(key, track)
        faces = track.face(choose(track, work.footage.face or None))
        gain = measure.shot_gain(plate, faces, samples=_GAIN_SAMPLES)
        only = work.footage.only
        wanted = {frame: found for frame, found in faces.items() if only is None or frame in only}
        step = self._counter("crops", len(wanted))
        # Without all its frames the track is not the one that these files give.
        whole = not missed
        for frame, found in wanted.items():
            self._cut(work, frame, found, gain=gain, key=work.key(frame) if whole else "", missed=missed)
            step()

    def _stills(self, work: _Work, missed: list[FrameError]) -> dict[int, str]:
        """Crops of unrelated pictures, each by itself; returns frame -> sha256 of those without a face."""
        before = next((plate.without_face for plate in self.plates if plate.id == work.number), {})
        without = {frame: sha for frame, sha in work.content.files.items() if before.get(frame) == sha}
        step = self._counter("crops", len(work.plate.frames))
        waiting = []
        for frame in work.plate.frames:
            if frame in without or self._adopted(work.name(frame), work.key(frame)):
                step()
            else:
                waiting.append(frame)
        for start in range(0, len(waiting), _BATCH):
            batch = waiting[start : start + _BATCH]
            for frame, found in self._look(work, batch, missed).items():
                if found is not None:
                    self._cut(work, frame, found, gain=None, key=work.key(frame), missed=missed)
                elif frame in work.content.files:
                    without[frame] = work.content.files[frame]
            for _ in batch:
                step()
        if without:
            self._no_face(work.plate, FrameRange.of(sorted(without)))
        return without

    def _look(self, work: _Work, frames: Sequence[int], missed: list[FrameError]) -> dict[int, FaceFrame | None]:
        """The face in each picture, None where there is none; those that cannot be read are missing."""
        plate = replace(work.plate, frames=FrameRange.of(frames))
        begun = len(missed)
        try:
            track = self._track(plate, stills=True, missed=missed, step=lambda: None)
        except TrackError:
            unread = {error.frame for error in missed[begun:]}
            return {frame: None for frame in frames if frame not in unread}
        except PlateError:
            # Not one of them gave a first exposure. Each says for itself what is wrong with it.
            for frame in frames:
                try:
                    plate.read(frame)
                except FrameError as error:
                    self._missing(error, missed)
            return {}
        return {frame: _face_of(track, frame, work.footage.face) for frame in track.frames}

    def _no_face(self, plate: Plate, frames: FrameRange) -> None:
        some = "any" if len(frames) == len(plate.frames) else str(len(frames))
        where = "" if some == "any" else f" ({frames})"
        error = TrackError(
            f"no face in {some} of {len(plate.frames)} frames of {plate.sequence.pattern}{where}",
            hint="check --colorspace, --frames, --face and that a face is at least 30 pixels high",
        )
        self._faceless = self._faceless or error
        if self._warn is not None:
            self._warn(error)

    # ---------------------------------------------------------------------------------------------- crops

    def _adopted(self, name: str, key: str) -> bool:
        """Whether a crop of this key is here, or was made by a build that was interrupted."""
        if key in self._keys:
            self._seen += 1
            return True
        row = self.journal.crop(name, key)
        if row is not None:
            self._keep(row)
        return row is not None

    def _cut(
        self, work: _Work, frame: int, found: FaceFrame, *, gain: float | None, key: str, missed: list[FrameError]
    ) -> None:
        name, sha256 = work.name(frame), work.content.files.get(frame, "")
        if self._adopted(name, key):
            return
        try:
            row = self._cutter.cut(
                work.plate,
                frame,
                found,
                name=name,
                gain=gain,
                key=key,
                source_sha256=sha256,
                mattes=work.footage.mattes,
            )
        except FrameError as error:
            self._missing(error, missed)
            return
        self.journal.keep_crop(row)
        self._keep(row)

    def _keep(self, row: Row) -> None:
        """Take a crop in; the artist's word on the very same picture stays with it."""
        old = self._rows.get(row.crop.name)
        if old is not None and old.crop.source_sha256 in ("", row.crop.source_sha256):
            row = replace(row, crop=replace(row.crop, verdict=old.crop.verdict, note=old.crop.note))
        self._rows[row.crop.name] = row
        if row.crop.key:
            self._keys.add(row.crop.key)
        self._seen += 1

    # --------------------------------------------------------------------------------------------- helpers

    @cached_property
    def _networks(self) -> Networks:
        return Networks.load(device=self._device)

    @cached_property
    def _cutter(self) -> Cutter:
        return Cutter.load(self._folder, size=self._size, device=self._device)

    def _track(self, plate: Plate, *, stills: bool, missed: list[FrameError], step: Callable[[], None]) -> Track:
        return shot.track_plate(
            plate,
            still=stills,
            networks=self._networks,
            miss=lambda error: self._missing(error, missed),
            progress=lambda _done, _total: step(),
        )

    def _missing(self, error: FrameError, missed: list[FrameError]) -> None:
        if self._warn is None:
            raise error
        missed.append(error)
        self._warn(error)

    def _counter(self, stage: str, total: int) -> Callable[[], None]:
        done = 0

        def step() -> None:
            nonlocal done
            done += 1
            self._progress(stage, done, total)
            if self._cancel is not None:
                self._cancel.check()

        return step


def _face_of(track: Track, frame: int, which: str) -> FaceFrame | None:
    """The chosen face of a picture: ids rank the faces within each, so that what is chosen is chosen in each anew."""
    pairs = track.frames[frame]
    if not pairs:
        return None
    if not which:
        return min(pairs, key=lambda pair: pair[0])[1]
    ids = {key for key, _ in pairs}
    alone = replace(track, frames={frame: pairs}, faces=tuple(face for face in track.faces if face.id in ids))
    try:
        return alone.at(frame, choose(alone, which))
    except TrackError:
        return None
