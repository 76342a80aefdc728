"""Timelines of OpenTimelineIO: from a clip's name to its plate's frames, and a timeline with the results.

The only file that imports opentimelineio, which the extra `otio` brings. A timeline's rates, offsets and handles are
taken apart here once: what leaves is a plate pattern and whole file numbers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vfxswap import atomic, documents
from vfxswap.errors import PlateError, TimelineError, UsageError
from vfxswap.sequence import MAX_DIGITS, MAX_FRAMES, FrameRange, SequencePath

TRACK: Final = "vfxswap"
"""Name of the tracks that hold results, and the key of our metadata."""

_SAME_RATE: Final = 0.004
"""23.976 and 24000/1001 are one rate, 23.976 and 24 are two."""

_LARGEST: Final = 64 << 20
_DEEPEST: Final = 500
"""OpenTimelineIO reads and copies by recursion: brackets deeper than some ten thousand end the process."""

_FARTHEST: Final = 1e9
"""Frames; nothing on a timeline is further away."""

_WHOLE: Final = 0.01
"""How far, in frames, a time may lie from a frame's beginning and still be it: editors write 23.976 in many ways."""


@dataclass(frozen=True)
class Cut:
    """One clip of a timeline, as a job needs it.

    Attributes:
        name: the clip's.
        track: number of its video track, from 1 at the bottom.
        record: first frame on the timeline, from 0 at its beginning.
        length: frames on the timeline.
        rate: frames per second.
        plate: its files, as a pattern.
        first: number of the first file, handles included.
        last: number of the last file, handles included.
        head: frames before the clip that are included.
        clip: the clip itself, for `Timeline.with_results`.
    """

    name: str
    track: int
    record: int
    length: int
    rate: float
    plate: str
    first: int
    last: int
    head: int
    clip: Any

    @property
    def frames(self) -> str:
        """The files' numbers as a range."""
        return f"{self.first}-{self.last}"


@dataclass(frozen=True)
class Entry:
    """A clip in a list for people: where it is, or why it cannot be swapped."""

    name: str
    track: int
    cut: Cut | None
    refusal: str = ""


class Timeline:
    """A timeline file.

    Args:
        path: an .otio file, or any other that an adapter of OpenTimelineIO reads.

    Raises:
        UsageError: the extra is not installed.
        TimelineError: not there, not a timeline, or several.
    """

    def __init__(self, path: Path) -> None:
        self._otio = _library()
        self.path = path
        self._timeline = self._read()

    @property
    def name(self) -> str:
        """The timeline's name; the file's where it has none."""
        return str(self._timeline.name or self.path.stem)

    def entries(self, *, handles: int = 0) -> list[Entry]:
        """Every clip of the video tracks, bottom track first."""
        found = []
        for number, track in enumerate(self._timeline.video_tracks(), 1):
            for clip in track.find_clips():
                try:
                    cut = self._cut(clip, number, track, handles, in_place=True)
                    found.append(Entry(str(clip.name), number, cut))
                except (TimelineError, PlateError) as error:
                    found.append(Entry(str(clip.name), number, None, str(error)))
        return found

    def cuts(self, names: Sequence[str], *, handles: int, in_place: bool = False) -> list[Cut]:
        """The clips of these names, every occurrence, bottom track first.

        Args:
            names: of clips.
            handles: frames before and after, as far as the media has them.
            in_place: results will replace the media of their clips: what lies beside does not matter.

        Raises:
            UsageError: no clip has that name.
            TimelineError: a clip is refused: title, offline, nested, retimed, mixed-fps, film, transition.
            PlateError: its frames are not all there.
        """
        found = []
        for number, track in enumerate(self._timeline.video_tracks(), 1):
            for clip in track.find_clips():
                if str(clip.name) in names:
                    found.append(self._cut(clip, number, track, handles, in_place=in_place))
        missing = [name for name in names if not any(cut.name == name for cut in found)]
        if missing:
            there = sorted({entry.name for entry in self.entries()})
            hint = "there is " + ", ".join(there[:8]) if there else "it has no clips"
            raise UsageError(f"no clip is named {missing[0]!r}", path=self.path, hint=hint)
        return found

    def with_results(self, results: Sequence[tuple[Cut, str, str]], *, replace: bool = False) -> Timeline:
        """A copy that shows results.

        Args:
            results: each cut with the pattern of its result, whose numbers are the plate's, and the path of its job.
            replace: a result becomes the media of its clip, beside what it had; else it is a clip of the same place on
                a new track above.
        """
        made = Timeline.__new__(Timeline)
        made._otio, made.path = self._otio, self.path
        tracks = dict(enumerate(self._timeline.video_tracks(), 1))
        where = [(cut.track, _place(tracks[cut.track], cut.clip)) for cut, _, _ in results]
        made._timeline = self._timeline.deepcopy()
        # Resolve takes a timeline in under a name that it does not have yet.
        made._timeline.name = f"{self.name} {TRACK}"
        copies = dict(enumerate(made._timeline.video_tracks(), 1))
        above: dict[int, list[tuple[Cut, Any]]] = {}
        for (cut, pattern, job), (number, place) in zip(results, where, strict=True):
            clip = copies[number][place]
            reference = made._reference(cut, pattern, job)
            if replace:
                clip.set_media_references({**clip.media_references(), TRACK: reference}, TRACK)
            else:
                above.setdefault(number, []).append((cut, made._above(clip, cut, reference, job)))
        for number, clips in above.items():
            stack = made._timeline.tracks
            below = next(index for index, track in enumerate(stack) if track is copies[number])
            stack.insert(below + 1, made._track(clips))
        return made

    def save(self, path: Path) -> None:
        """Write an .otio file, whole or not at all; raises OutputError."""
        atomic.write_text(path, self._timeline.to_json_string(indent=2) + "\n")

    # ------------------------------------------------------------------------------------------------ reading

    def _read(self) -> Any:
        otio = self._otio
        if not self.path.is_file():
            raise TimelineError("no such timeline", path=self.path, hint="export one as .otio")
        try:
            found = self._parsed()
        except (otio.exceptions.OTIOError, ValueError, KeyError, TypeError, RuntimeError, OSError) as error:
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise TimelineError(f"not a timeline: {said}", path=self.path, hint="export it as .otio") from error
        if isinstance(found, otio.schema.SerializableCollection):
            inside = [one for one in found if isinstance(one, otio.schema.Timeline)]
            if len(inside) != 1:
                raise TimelineError(f"{len(inside)} timelines in one file", path=self.path, hint="export one of them")
            found = inside[0]
        if not isinstance(found, otio.schema.Timeline):
            kind = type(found).__name__
            raise TimelineError(f"a timeline is expected, got {kind}", path=self.path, hint="export the timeline")
        return found

    def _parsed(self) -> Any:
        """What the file holds: JSON; any other format is that of an adapter which somebody installed."""
        kind = self.path.suffix.lower()
        if kind in (".otioz", ".otiod"):
            raise self._refused(f"a bundle ({kind}) is not read", "unpack it and give its content.otio")
        if kind != ".otio":
            return self._otio.adapters.read_from_file(str(self.path))
        text = documents.read_text(self.path, most=_LARGEST)
        if documents.nesting(text, most=_DEEPEST) > _DEEPEST:
            raise self._refused("not a timeline: nested too deeply", "export it as .otio")
        return self._otio.adapters.read_from_string(text, "otio_json")

    def _cut(self, clip: Any, number: int, track: Any, handles: int, *, in_place: bool) -> Cut:
        name = str(clip.name)
        source = self._source(clip, track, name)
        beside = track.neighbors_of(clip)
        if not in_place and any(isinstance(one, self._otio.schema.Transition) for one in beside):
            raise self._refused(f"{name} has a transition beside it, which a clip above would hide", "give --replace")
        rate = float(source.start_time.rate)
        sequence, first_file, available = self._media(clip, name, rate)
        offset = self._whole(_frames(source.start_time, rate) - _frames(available.start_time, rate), name)
        length = self._whole(_frames(source.duration, rate), name)
        total = self._whole(_frames(available.duration, rate), name)
        if offset < 0 or offset + length > total or not 1 <= length <= MAX_FRAMES:
            raise self._refused(f"{name} uses frames {offset} to {offset + length - 1} of media with {total}",
                                "relink it")  # fmt: skip
        record = self._whole(_position(track, clip, rate, self._otio), name)
        shows = track.source_range
        if (
            not in_place
            and shows is not None
            and (record < 0 or record + length > _frames(shows.duration, rate) + _WHOLE)
        ):
            raise self._refused(f"{name} is outside of what its track shows", "choose another clip")
        head, tail = min(handles, offset), min(handles, total - offset - length)
        cut = Cut(
            name=name,
            track=number,
            record=record,
            length=length,
            rate=rate,
            plate=sequence.pattern,
            first=first_file + offset - head,
            last=first_file + offset + length + tail - 1,
            head=head,
            clip=clip,
        )
        wanted = FrameRange.of(range(cut.first, cut.last + 1))
        there = set(sequence.frames_on_disk())
        missing = [frame for frame in wanted if frame not in there]
        if missing:
            raise PlateError(f"{name}: {len(missing)} of {len(wanted)} frames are missing, the first {missing[0]}",
                             path=sequence.pattern, hint="restore them, or relink the timeline")  # fmt: skip
        return cut

    def _source(self, clip: Any, track: Any, name: str) -> Any:
        """The range of its media that a clip takes, if it takes it frame by frame."""
        otio = self._otio
        if clip.parent() is not track:
            raise self._refused(f"{name} is nested in {clip.parent().name or 'a stack'}", "decompose it")
        reference = clip.media_reference
        if isinstance(reference, otio.schema.GeneratorReference):
            raise self._refused(f"{name} is a title or generator", "choose a clip of a camera")
        if reference is None or reference.is_missing_reference:
            raise self._refused(f"{name} is offline", "relink it before the export")
        if any(_retimes(effect, otio) for effect in clip.effects):
            raise self._refused(f"{name} is retimed", "render it in place, or set its speed to 100%")
        try:
            source = clip.trimmed_range()
        except otio.exceptions.OTIOError as error:
            raise self._refused(f"{name} has neither a source range nor media with a range", "relink it") from error
        rate = self._rate()
        if rate and abs(source.start_time.rate - rate) > _SAME_RATE:
            raise self._refused(
                f"{name} has {source.start_time.rate:g} frames per second, the timeline {rate:g} (mixed-fps)",
                "conform it, or use a timeline of its rate",
            )
        return source

    def _rate(self) -> float:
        """The timeline's rate: as it says, else that of its first clip."""
        if self._timeline.global_start_time is not None:
            return float(self._timeline.global_start_time.rate)
        for track in self._timeline.video_tracks():
            for item in track:
                if isinstance(item, self._otio.schema.Clip | self._otio.schema.Gap) and item.source_range is not None:
                    return float(item.source_range.start_time.rate)
        return 0.0

    def _media(self, clip: Any, name: str, rate: float) -> tuple[SequencePath, int, Any]:
        """A clip's files, the number of the file at the beginning of its available range, and that range."""
        otio, reference = self._otio, clip.media_reference
        if isinstance(reference, otio.schema.ImageSequenceReference):
            if reference.frame_step != 1:
                raise self._refused(f"{name} has every {reference.frame_step}th frame only", "relink it")
            folder = self._path(reference.target_url_base)
            padding = max(1, reference.frame_zero_padding)
            if padding > MAX_DIGITS or abs(reference.start_frame) > _FARTHEST:
                raise self._refused(f"{name} has frame numbers that no file has", "relink it")
            suffix = reference.name_suffix
            sequence = SequencePath(folder, reference.name_prefix, suffix, padding)
            first: int | None = int(reference.start_frame)
        elif isinstance(reference, otio.schema.ExternalReference):
            sequence = SequencePath.parse(self._path(reference.target_url))
            suffix = sequence.suffix
            first = sequence.embedded.first if sequence.embedded is not None else None
        else:
            raise self._refused(f"{name} has media of the kind {type(reference).__name__}", "relink it to files")
        if sequence.padding is None or suffix.lower() != ".exr":
            raise self._refused(f"{name} is no EXR image sequence: {sequence.pattern}", "render it to EXR and relink")
        available = reference.available_range
        if available is None:
            raise self._refused(f"{name}: its media does not say which frames it has", "relink it")
        if abs(available.start_time.rate - rate) > _SAME_RATE:
            raise self._refused(
                f"{name} plays media of {available.start_time.rate:g} frames per second at {rate:g} (mixed-fps)",
                "conform it",
            )
        if first is None:
            there = sequence.frames_on_disk()
            count = self._whole(_frames(available.duration, rate), name)
            if there.last - there.first + 1 != count:
                raise self._refused(
                    f"{name}: the timeline knows {count} frames of its media, on disk are {there}",
                    "relink it, so that both are the same",
                )
            first = there.first
        return sequence, first, available

    def _path(self, url: str) -> Path:
        """A reference's file or folder; what is relative is so to the timeline's folder."""
        text = str(url)
        if text.lower().startswith("file:"):
            # Unquoting would take %04d for a quoted character.
            text = re.sub(r"%(?:25)?0(\d+)d", lambda found: "@" * int(found[1]), text)
            text = self._otio.url_utils.filepath_from_url(text)
        return self.path.absolute().parent / text

    def _whole(self, frames: float, name: str) -> int:
        if not abs(frames) <= _FARTHEST:
            raise self._refused(f"{name} has a time of {frames:g} frames", "export the timeline again")
        if abs(frames - round(frames)) > _WHOLE:
            raise self._refused(f"{name} does not begin or end on a frame ({frames:.3f})", "move it onto one")
        return round(frames)

    def _refused(self, message: str, hint: str) -> TimelineError:
        return TimelineError(message, path=self.path, hint=hint)

    # ------------------------------------------------------------------------------------------------ writing

    def _reference(self, cut: Cut, pattern: str, job: str) -> Any:
        """A result as media: the times of its frames are those of the plate, so that timecodes agree."""
        otio = self._otio
        target = SequencePath.parse(pattern)
        start = cut.clip.trimmed_range().start_time
        available = otio.opentime.TimeRange(
            otio.opentime.RationalTime(start.value - cut.head, start.rate),
            otio.opentime.RationalTime(cut.last - cut.first + 1, start.rate),
        )
        return otio.schema.ImageSequenceReference(
            target_url_base=target.folder.absolute().as_uri() + "/",
            name_prefix=target.prefix,
            name_suffix=target.suffix,
            start_frame=cut.first,
            frame_step=1,
            rate=start.rate,
            frame_zero_padding=target.padding or 0,
            available_range=available,
            metadata={TRACK: {"job": job, "plate": cut.plate}},
        )

    def _above(self, clip: Any, cut: Cut, reference: Any, job: str) -> Any:
        otio = self._otio
        made = otio.schema.Clip(
            name=f"{cut.name} {TRACK}",
            media_reference=reference,
            source_range=clip.trimmed_range(),
            metadata={TRACK: {"job": job, "clip": cut.name}},
        )
        made.enabled = clip.enabled
        one = otio.opentime.RationalTime(1, cut.rate)
        marked = otio.opentime.TimeRange(made.source_range.start_time, one)
        made.markers.append(otio.schema.Marker(name=TRACK, marked_range=marked, color="PURPLE", metadata={TRACK: job}))
        return made

    def _track(self, clips: list[tuple[Cut, Any]]) -> Any:
        """A track with results at their places, gaps between."""
        otio = self._otio
        track = otio.schema.Track(name=TRACK, kind=otio.schema.TrackKind.Video)
        at = 0
        for cut, clip in sorted(clips, key=lambda pair: pair[0].record):
            if cut.record > at:
                track.append(otio.schema.Gap(duration=otio.opentime.RationalTime(cut.record - at, cut.rate)))
            track.append(clip)
            at = cut.record + cut.length
        return track


def _frames(time: Any, rate: float) -> float:
    """A time in frames of a rate: what says it in another spelling of that rate is not converted, it would drift."""
    return float(time.value if abs(time.rate - rate) <= _SAME_RATE else time.rescaled_to(rate).value)


def _position(track: Any, clip: Any, rate: float, otio: Any) -> float:
    """Frames from a track's beginning to a child; transitions take no time."""
    at = -_frames(track.source_range.start_time, rate) if track.source_range is not None else 0.0
    for child in track:
        if child is clip:
            return at
        if not isinstance(child, otio.schema.Transition):
            at += _frames(child.duration(), rate)
    raise TimelineError(f"{clip.name} is not on its track", hint="export the timeline again")


def _place(track: Any, clip: Any) -> int:
    """Which child of a track a clip is: equal clips are told apart."""
    return next(index for index, child in enumerate(track) if child is clip)


def _retimes(effect: Any, otio: Any) -> bool:
    """Whether an effect changes which frames are shown."""
    if isinstance(effect, otio.schema.LinearTimeWarp) and not isinstance(effect, otio.schema.FreezeFrame):
        return float(effect.time_scalar) != 1.0
    return isinstance(effect, otio.schema.TimeEffect)


def _library() -> Any:
    try:
        import opentimelineio
    except ImportError as error:
        raise UsageError("opentimelineio is not installed", hint='pip install "vfxswap[otio]"') from error
    return opentimelineio
