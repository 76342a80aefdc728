"""What is to be swapped: clips of a timeline, read, measured, and refused by name where they cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vfxswap_resolve import api, sequence
from vfxswap_resolve.api import RefusedError
from vfxswap_resolve.results import Placed
from vfxswap_resolve.timecode import same_rate

CLIP, RANGE, TRACK = "clip", "range", "track"
SCOPES = (CLIP, RANGE, TRACK)
"""The clip at the playhead; what is between the marks on its track; its whole track."""

_FREE_WIDTH, _FREE_HEIGHT = 3840, 2160


@dataclass(frozen=True)
class Clip:
    """One piece of a clip that is to be swapped. Frame numbers of a timeline are its own (start frame included).

    Attributes:
        item: on the timeline.
        media: in the media pool.
        name: as the artist sees it.
        identity: Resolve's id of the item.
        track: video track, from 1.
        start: first record frame.
        end: record frame after the last.
        source: frame of the media at `start`, from 0.
        before: frames of the media there are before `source`.
        after: frames of the media there are after the last.
        rate: frames per second.
        part: whether the item has more frames than these.
    """

    item: api.TimelineItem
    media: api.MediaPoolItem
    name: str
    identity: str
    track: int
    start: int
    end: int
    source: int
    before: int
    after: int
    rate: float
    part: bool = False

    @property
    def length(self) -> int:
        """Frames on the timeline."""
        return self.end - self.start

    @property
    def files(self) -> sequence.Sequence | None:
        """Its image sequence, None for a film."""
        return sequence.parse(api.text(self.media.GetClipProperty("File Path")))

    @property
    def size(self) -> tuple[int, int] | None:
        """Pixels of the media."""
        width, _, height = api.text(self.media.GetClipProperty("Resolution")).lower().partition("x")
        return (int(width), int(height)) if width.isdigit() and height.isdigit() else None

    def handles(self, wanted: int) -> tuple[int, int]:
        """Frames before and after, as far as there are any."""
        return min(wanted, self.before), min(wanted, self.after)


def chosen(timeline: api.Timeline, scope: str, there: Sequence[Placed]) -> list[tuple[api.TimelineItem, int, int]]:
    """Items of the scope with the record range wanted of each; results of earlier runs stand for their plates.

    Args:
        timeline: the current one.
        scope: of SCOPES.
        there: the results on it.

    Raises:
        RefusedError: `nothing` is there; `orphan`: a result whose plate is gone.
    """
    ours = {one.item.GetUniqueId(): one for one in there}
    current = timeline.GetCurrentVideoItem()
    if current is None:
        raise RefusedError("nothing", "no clip is at the playhead", "move the playhead onto the clip")
    result, part = ours.get(current.GetUniqueId()), None
    if result is not None:
        if result.plate is None:
            raise RefusedError("orphan", f"{current.GetName()} is a result whose plate is gone", "delete it by hand")
        current, part = result.plate, result.part()
    if scope == CLIP:
        start, end = part or (api.whole(current.GetStart()), api.whole(current.GetEnd()))
        return [(current, start, end)]
    track = track_of(current, timeline)
    items = [item for item in timeline.GetItemListInTrack("video", track) or [] if item.GetUniqueId() not in ours]
    first, last = marks(timeline) if scope == RANGE else (timeline.GetStartFrame(), timeline.GetEndFrame())
    found = []
    for item in items:
        start, end = max(first, api.whole(item.GetStart())), min(last, api.whole(item.GetEnd()))
        if end > start:
            found.append((item, start, end))
    if not found:
        raise RefusedError("nothing", f"no clip of track V{track} is in the {scope}", "set the marks around clips")
    return found


def marks(timeline: api.Timeline) -> tuple[int, int]:
    """The marked range in record frames, its end exclusive.

    Resolve's documentation does not say whether the marks count from the timeline's start frame or from 0: whichever
    lies on the timeline is meant.

    Raises:
        RefusedError: `marks`: there are none, or both readings are possible.
    """
    if not api.offers(timeline, "GetMarkInOut"):
        raise RefusedError("marks", "this version of Resolve does not tell its marks", "swap the clip or the track")
    said = (timeline.GetMarkInOut() or {}).get("video") or {}
    if "in" not in said or "out" not in said:
        raise RefusedError("marks", "no range is marked", "mark in and out with I and O")
    first, last = api.whole(said["in"]), api.whole(said["out"]) + 1
    start, end = api.whole(timeline.GetStartFrame()), api.whole(timeline.GetEndFrame())
    readings = {(first + by, last + by) for by in (0, start) if first + by >= start and last + by <= end}
    if len(readings) != 1:
        raise RefusedError("marks", f"the marks {first} to {last - 1} are not clear", "swap the clip or the track")
    return readings.pop()


def track_of(item: api.TimelineItem, timeline: api.Timeline) -> int:
    """The video track that an item is on, from 1."""
    if api.offers(item, "GetTrackTypeAndIndex"):
        kind, index = item.GetTrackTypeAndIndex()
        if kind == "video":
            return int(index)
    wanted = item.GetUniqueId()
    for track in range(1, timeline.GetTrackCount("video") + 1):
        if any(other.GetUniqueId() == wanted for other in timeline.GetItemListInTrack("video", track) or []):
            return track
    raise RefusedError("nothing", f"{item.GetName()} is on no video track", "move the playhead onto the clip")


def read(
    item: api.TimelineItem,
    start: int,
    end: int,
    *,
    timeline: api.Timeline,
    free: bool,
) -> Clip:
    """One item as a clip.

    Args:
        item: on the timeline.
        start: first record frame wanted.
        end: record frame after the last.
        timeline: that it is on.
        free: whether this is the free edition.

    Raises:
        RefusedError: title, compound, nested, fusion, still, offline, mixed-fps, retimed, size.
    """
    name = api.text(item.GetName()) or "the clip"
    media = item.GetMediaPoolItem()
    if media is None:
        raise RefusedError("title", f"{name} is a title, generator or transition: it has no pixels of a camera",
                           "choose a clip of a camera")  # fmt: skip
    _refuse_kind(name, api.text(media.GetClipProperty("Type")).lower(), item)
    rate = api.number(media.GetClipProperty("FPS")) or 0.0
    of_timeline = api.number(str(timeline.GetSetting("timelineFrameRate")).replace("DF", "")) or 0.0
    if not same_rate(rate, of_timeline):
        raise RefusedError("mixed-fps", f"{name} has {rate:g} frames per second, the timeline {of_timeline:g}",
                           "conform the clip, or use a timeline of its own rate")  # fmt: skip
    if not api.text(media.GetClipProperty("File Path")):
        raise RefusedError("offline", f"{name} is offline", "relink it")
    whole_start, whole_end = api.whole(item.GetStart()), api.whole(item.GetEnd())
    left, right = max(0, api.whole(item.GetLeftOffset())), max(0, api.whole(item.GetRightOffset()))
    _refuse_retimed(name, item, media, whole_end - whole_start)
    clip = Clip(
        item=item,
        media=media,
        name=name,
        identity=api.text(item.GetUniqueId()),
        track=track_of(item, timeline),
        start=start,
        end=end,
        source=left + start - whole_start,
        before=left + start - whole_start,
        after=right + whole_end - end,
        rate=rate,
        part=(start, end) != (whole_start, whole_end),
    )
    size = clip.size
    direct = clip.files is not None
    if free and not direct and size is not None and (size[0] > _FREE_WIDTH or size[1] > _FREE_HEIGHT):
        raise RefusedError("studio", f"{name} is {size[0]}x{size[1]}: only Resolve Studio renders more than "
                           f"{_FREE_WIDTH}x{_FREE_HEIGHT}", "give the clip as an EXR image sequence")  # fmt: skip
    return clip


def _refuse_kind(name: str, kind: str, item: api.TimelineItem) -> None:
    """Resolve's word for the kind of a media pool clip tells what has no files of its own."""
    if "compound" in kind:
        raise RefusedError("compound", f"{name} is a compound clip", "open it, or decompose it in place")
    if "timeline" in kind or "multicam" in kind:
        raise RefusedError("nested", f"{name} is a nested timeline or multicam clip", "open it and run there")
    if "fusion" in kind or (api.offers(item, "GetFusionCompCount") and (item.GetFusionCompCount() or 0) > 0):
        raise RefusedError("fusion", f"{name} has a Fusion composition, which its result would not have",
                           "run before the composition is made, or render it in place")  # fmt: skip
    if "still" in kind:
        raise RefusedError("still", f"{name} is a still", "choose a clip with frames")


def _refuse_retimed(name: str, item: api.TimelineItem, media: api.MediaPoolItem, length: int) -> None:
    """The speed of a clip cannot be read. It shows in what it takes from its source, and in what is left of that.

    Resolve's versions differ by one frame in whether the source end is inclusive, and in the right offset.
    """
    retimed = RefusedError("retimed", f"{name} is retimed: its frames are not those of its media",
                           "set its speed to 100% and freeze frames off, or render it in place")  # fmt: skip
    if api.offers(item, "GetSourceStartFrame") and api.offers(item, "GetSourceEndFrame"):
        first, last = item.GetSourceStartFrame(), item.GetSourceEndFrame()
        if first is not None and last is not None and api.whole(last) - api.whole(first) not in (length - 1, length):
            raise retimed
    frames = api.number(media.GetClipProperty("Frames"))
    left, right = api.whole(item.GetLeftOffset()), api.whole(item.GetRightOffset())
    if frames and abs(left + length + right - frames) > 1:
        raise retimed
