"""A result on the timeline: imported, put where its plate is, seen to be there; and taken away again."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable

from vfxswap_resolve import api, color, sequence
from vfxswap_resolve.api import RefusedError
from vfxswap_resolve.clips import Clip, track_of
from vfxswap_resolve.records import TRACK, Record
from vfxswap_resolve.results import Placed
from vfxswap_resolve.timecode import moved, same_rate

_COPIED = ("Pan", "Tilt", "ZoomX", "ZoomY", "ZoomGang", "RotationAngle", "AnchorPointX", "AnchorPointY", "Pitch",
           "Yaw", "FlipX", "FlipY", "CropLeft", "CropRight", "CropTop", "CropBottom", "CropSoftness", "CropRetain",
           "Opacity", "CompositeMode", "Distortion", "Scaling", "ResizeFilter")  # fmt: skip
"""Of the Inspector: a result lies where its plate lies."""


@dataclass(frozen=True)
class Result:
    """What is to be placed.

    Attributes:
        files: its frames, handles included.
        record: for the marker.
        back: sets of clip properties that say what its pixels are; the first that Resolve takes. None: those of the
            plate's media, whose files it has the pixels of.
    """

    files: sequence.Sequence
    record: Record
    back: tuple[tuple[tuple[str, str], ...], ...] | None


@dataclass
class Undo:
    """Steps that take back what was done, last first."""

    steps: list[Callable[[], object]] = field(default_factory=list)

    def add(self, step: Callable[[], object]) -> None:
        """Remember how the last thing is taken back."""
        self.steps.append(step)

    def back(self) -> None:
        """Take everything back; a step that Resolve refuses does not keep the others from it."""
        while self.steps:
            with contextlib.suppress(RefusedError):
                self.steps.pop()()


@contextlib.contextmanager
def all_or_nothing() -> Iterator[Undo]:
    """Whatever fails inside, what was done is taken back."""
    undo = Undo()
    try:
        yield undo
    except BaseException:
        undo.back()
        raise


def place(
    project: api.Project,
    timeline: api.Timeline,
    clip: Clip,
    result: Result,
    save: Callable[[], object],
    before: Sequence[Placed] = (),
) -> list[str]:
    """Put a result on a track above its plate. Whatever fails, the timeline is as it was.

    Args:
        project: the open one.
        timeline: the plate's, and the current one.
        clip: the plate.
        result: what is placed.
        save: saves the project; raises where it cannot.
        before: results that this one stands for; they are taken off once it is there.

    Returns:
        What an artist should look at.

    Raises:
        RefusedError: `import`, `locked`, `occupied`, `place`.
    """
    with all_or_nothing() as undo:
        media = _imported(project, clip, result, undo)
        warnings = described(media, clip, result)
        track = _track(timeline, clip, before, undo)
        item = _appended(project, timeline, clip, result, media, track, undo)
        warnings += _dressed(clip, item)
        mark(item, result.record)
        save()
        if _found(timeline, track, media, clip.start) is None:
            raise RefusedError("place", f"{clip.name}: the result is gone after saving", "look at the timeline")
    for one in before:
        remove(project, timeline, one.item)
    if before:
        save()
    return warnings


# ------------------------------------------------------------------------------------------------------ import


def _imported(project: api.Project, clip: Clip, result: Result, undo: Undo) -> api.MediaPoolItem:
    """The frames as one clip in our bin. ImportMedia puts it into whatever bin is current, so see where it went."""
    pool = project.GetMediaPool()
    shown = pool.GetCurrentFolder()
    folder = ours(pool, make=True, undo=undo)
    files = result.files
    try:
        if folder is None or not pool.SetCurrentFolder(folder) or pool.GetCurrentFolder().GetName() != TRACK:
            raise RefusedError("import", f"the bin {TRACK!r} cannot be chosen", "unlock it in the media pool")
        info = {"FilePath": files.pattern, "StartIndex": files.first, "EndIndex": files.last}
        made = [item for item in pool.ImportMedia([info]) or [] if item is not None]
    finally:
        pool.SetCurrentFolder(shown)
    undo.add(lambda: pool.DeleteClips(made) if made else None)
    if len(made) != 1:
        raise RefusedError("import", f"{clip.name}: Resolve imported {len(made)} clips in place of one",
                           "switch 'Show Individual Frames' off in the media pool")  # fmt: skip
    here = {item.GetUniqueId() for item in folder.GetClipList() or []}
    if made[0].GetUniqueId() not in here:
        raise RefusedError("import", f"{clip.name}: Resolve imported into another bin", "do not change bins meanwhile")
    _same_files(clip, made[0], files)
    return made[0]


def _same_files(clip: Clip, media: api.MediaPoolItem, files: sequence.Sequence) -> None:
    said = api.text(media.GetClipProperty("File Path"))
    found = sequence.parse(said)
    if found is None or (found.folder, found.first, found.last) != (files.folder, files.first, files.last):
        raise RefusedError("import", f"{clip.name}: Resolve took {said!r} for {files.pattern} "
                           f"{files.first}-{files.last}", "look whether other frames are in that folder")  # fmt: skip


def ours(pool: api.MediaPool, *, make: bool, undo: Undo | None = None) -> api.Folder | None:
    """Our bin below the root."""
    root = pool.GetRootFolder()
    for folder in root.GetSubFolderList() or []:
        if folder.GetName() == TRACK:
            return folder
    if not make:
        return None
    made = pool.AddSubFolder(root, TRACK)
    if made is not None and undo is not None:
        undo.add(lambda: pool.DeleteFolders([made]))
    return made


def described(media: api.MediaPoolItem, clip: Clip, result: Result) -> list[str]:
    """Let Resolve take the result's pixels for what they are; warnings about what it does not take."""
    warnings = []
    color.put(media, "FPS", api.text(clip.media.GetClipProperty("FPS")))
    if not same_rate(api.number(media.GetClipProperty("FPS")) or 0.0, clip.rate):
        raise RefusedError(
            "import",
            f"{clip.name}: the result has {api.text(media.GetClipProperty('FPS'))} frames per second and takes no "
            f"other; {clip.rate:g} are needed",
            "set the standard frame rate of image sequences to the timeline's in Resolve's preferences",
        )
    start = api.text(clip.media.GetClipProperty("Start TC"))
    if start:
        color.put(media, "Start TC", moved(start, clip.source - result.record.head, clip.rate))
    same = {name: api.text(clip.media.GetClipProperty(name)) for name in color.INPUT_PROPERTIES}
    sets = result.back
    if sets is None:
        sets = (tuple((name, value) for name, value in same.items() if value),)
    if not color.tell(media, sets):
        told = " or ".join(" and ".join(f"{name} {value!r}" for name, value in one) for one in sets)
        warnings.append(f"{clip.name}: Resolve did not take the result's {told}: set it by hand")
    for name, value in (("PAR", api.text(clip.media.GetClipProperty("PAR"))), ("Alpha mode", "None")):
        if value:
            color.put(media, name, value)
    media.SetName(f"{clip.name} {TRACK} v{result.record.version:03d}")
    return warnings


# ---------------------------------------------------------------------------------------------------- timeline


def ready(timeline: api.Timeline, clip: Clip, before: Sequence[Placed]) -> None:
    """See, before anything is rendered, that a result can be placed.

    Args:
        timeline: the plate's.
        clip: the plate.
        before: results that the new one stands for.

    Raises:
        RefusedError: `locked`, `occupied`.
    """
    unlocked(timeline, before)
    _free(timeline, clip, before)


def unlocked(timeline: api.Timeline, there: Sequence[Placed]) -> None:
    """See that results can be changed; raises RefusedError `locked`."""
    for one in there:
        _unlocked(timeline, track_of(one.item, timeline))


def _unlocked(timeline: api.Timeline, track: int) -> None:
    if timeline.GetIsTrackLocked("video", track):
        name = timeline.GetTrackName("video", track)
        raise RefusedError("locked", f"track V{track} {name!r} is locked", "unlock it")


def _free(timeline: api.Timeline, clip: Clip, before: Sequence[Placed]) -> int | None:
    """The track just above the plate's, if it is ours and free; None: a new one is needed."""
    above = clip.track + 1
    if above > timeline.GetTrackCount("video") or timeline.GetTrackName("video", above) != TRACK:
        return None
    _unlocked(timeline, above)
    leaving = {one.item.GetUniqueId() for one in before}
    taken = _taken(timeline, above, clip)
    other = next((item for item in taken if item.GetUniqueId() not in leaving), None)
    if other is not None:
        raise RefusedError("occupied", f"{clip.name}: on track V{above} {TRACK!r} is {other.GetName()} already",
                           "move it to another track")  # fmt: skip
    return None if taken else above


def _track(timeline: api.Timeline, clip: Clip, before: Sequence[Placed], undo: Undo) -> int:
    """The track of ours just above the plate's, if it is free; else a new one there."""
    found = _free(timeline, clip, before)
    if found is not None:
        return found
    above, count = clip.track + 1, timeline.GetTrackCount("video")
    layout = _layout(timeline)
    timeline.AddTrack("video", {"index": above})
    if timeline.GetTrackCount("video") != count + 1:
        raise RefusedError("place", f"Resolve made no track above V{clip.track}", "unlock the timeline")
    # Older versions add at the top whatever index is given.
    after = _layout(timeline)
    made = next(track for track in (above, count + 1) if after[: track - 1] + after[track:] == layout)
    undo.add(lambda: timeline.DeleteTrack("video", made))
    timeline.SetTrackName("video", made, TRACK)
    return made


def _layout(timeline: api.Timeline) -> list[list[str]]:
    return [
        [api.text(item.GetUniqueId()) for item in timeline.GetItemListInTrack("video", track) or []]
        for track in range(1, timeline.GetTrackCount("video") + 1)
    ]


def _taken(timeline: api.Timeline, track: int, clip: Clip) -> list[api.TimelineItem]:
    return [
        item
        for item in timeline.GetItemListInTrack("video", track) or []
        if api.whole(item.GetStart()) < clip.end and api.whole(item.GetEnd()) > clip.start
    ]


def _appended(
    project: api.Project,
    timeline: api.Timeline,
    clip: Clip,
    result: Result,
    media: api.MediaPoolItem,
    track: int,
    undo: Undo,
) -> api.TimelineItem:
    """The result at its plate's place.

    What AppendToTimeline gives back is not looked at: it may be an item that is on no track. Whether the end frame is
    counted in depends on the version.
    """
    head = result.record.head
    length = 0
    for last in (head + clip.length - 1, head + clip.length):
        info: dict[str, Any] = {
            "mediaPoolItem": media,
            "startFrame": head,
            "endFrame": last,
            "mediaType": 1,
            "trackIndex": track,
            "recordFrame": clip.start,
        }
        project.GetMediaPool().AppendToTimeline([info])
        item = _found(timeline, track, media, clip.start)
        if item is None:
            raise RefusedError(
                "place",
                f"{clip.name}: Resolve did not put the result on track V{track} at record frame {clip.start}",
                "look whether the place is free and the track unlocked",
            )
        length = api.whole(item.GetEnd()) - api.whole(item.GetStart())
        if length == clip.length:
            undo.add(functools.partial(timeline.DeleteClips, [item], False))
            offset = api.whole(item.GetLeftOffset())
            if offset != head:
                raise RefusedError(
                    "place", f"{clip.name}: the result begins at its frame {offset} in place of {head}", "run again"
                )
            return item
        timeline.DeleteClips([item], False)
    raise RefusedError("place", f"{clip.name}: the result is {length} frames long in place of {clip.length}",
                       "look at its frame rate in the media pool")  # fmt: skip


def _found(timeline: api.Timeline, track: int, media: api.MediaPoolItem, start: int) -> api.TimelineItem | None:
    wanted = media.GetUniqueId()
    for item in timeline.GetItemListInTrack("video", track) or []:
        there = item.GetMediaPoolItem()
        if there is not None and there.GetUniqueId() == wanted and api.whole(item.GetStart()) == start:
            return item
    return None


def _dressed(clip: Clip, item: api.TimelineItem) -> list[str]:
    """Give the result its plate's grade and place in the frame."""
    warnings = []
    properties = clip.item.GetProperty() or {}
    own = item.GetProperty() or {}
    for name in _COPIED:
        if name in properties and properties[name] != own.get(name):
            item.SetProperty(name, properties[name])
    if not clip.item.CopyGrades([item]):
        warnings.append(f"{clip.name}: its grade was not copied: copy it by hand")
    return warnings


def mark(item: api.TimelineItem, record: Record) -> None:
    """Set the marker that tells what a result is of; raises RefusedError `place`."""
    note = f"job {record.job}, version {record.version}"
    if not item.AddMarker(record.head, "Purple", TRACK, note, 1, record.text()):
        raise RefusedError("place", "Resolve set no marker on the result", "run again")


# ------------------------------------------------------------------------------------------------------ remove


def remove(project: api.Project, timeline: api.Timeline, item: api.TimelineItem) -> None:
    """Take a result off: item, media, and the track and bin that are empty then. Its files stay.

    Media that another timeline shows stays, too.

    Raises:
        RefusedError: `locked`.
    """
    track = track_of(item, timeline)
    _unlocked(timeline, track)
    pool = project.GetMediaPool()
    media = item.GetMediaPoolItem()
    timeline.DeleteClips([item], False)
    if media is not None and not shown(project, media):
        pool.DeleteClips([media])
    if not timeline.GetItemListInTrack("video", track) and timeline.GetTrackName("video", track) == TRACK:
        timeline.DeleteTrack("video", track)
    folder = ours(pool, make=False)
    if folder is not None and not folder.GetClipList() and not folder.GetSubFolderList():
        pool.DeleteFolders([folder])


def shown(project: api.Project, media: api.MediaPoolItem, besides: api.TimelineItem | None = None) -> bool:
    """Whether any timeline has an item of some media, other than one that is known."""
    wanted, known = media.GetUniqueId(), besides.GetUniqueId() if besides is not None else None
    for index in range(1, project.GetTimelineCount() + 1):
        timeline = project.GetTimelineByIndex(index)
        for track in range(1, timeline.GetTrackCount("video") + 1):
            for item in timeline.GetItemListInTrack("video", track) or []:
                there = item.GetMediaPoolItem()
                if there is not None and there.GetUniqueId() == wanted and item.GetUniqueId() != known:
                    return True
    return False
