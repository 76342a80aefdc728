"""What a Resolve writes and reads as OpenTimelineIO, for the fake one.

Written: media as ExternalReference to `name.[first-last].exr`, times as absolute source timecode, the timeline's start
as global start. Read: the active media reference of each clip, of the kinds that `vfxswap otio` writes; media that the
pool has already are found by their path.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import opentimelineio as otio
from vfxswap_resolve.timecode import from_frames, to_frames


def write(timeline: Any, path: str) -> None:
    """A timeline of the fake as an .otio file."""
    rate = float(timeline.settings["timelineFrameRate"])

    def time(frames: int) -> Any:
        return otio.opentime.RationalTime(frames, rate)

    made = otio.schema.Timeline(name=timeline.name, global_start_time=time(timeline.first))
    for row in timeline.tracks:
        track = otio.schema.Track(name=row["name"], kind=otio.schema.TrackKind.Video)
        at = timeline.first
        for item in row["items"]:
            if item.start > at:
                track.append(otio.schema.Gap(duration=time(item.start - at)))
            at = item.start + item.length
            reference, tc = otio.schema.MissingReference(), 0
            if item.media is not None:
                tc = to_frames(item.media.properties["Start TC"], rate)
                available = otio.opentime.TimeRange(time(tc), time(item.media.frames))
                reference = otio.schema.ExternalReference(item.media.properties["File Path"], available)
            source = otio.opentime.TimeRange(time(tc + item.offset), time(item.length))
            track.append(otio.schema.Clip(name=item.name, media_reference=reference, source_range=source))
        made.tracks.append(track)
    otio.adapters.write_to_file(made, path)


def read(world: Any, path: str, name: str, classes: tuple[Any, Any, Any]) -> Any:
    """An .otio file as a timeline of the fake; its media come into the bin that is current."""
    timelines, items, media = classes
    found = otio.adapters.read_from_file(path)
    assert '"media_references"' in Path(path).read_text(), "Resolve reads Clip.2"
    rate = float(world.project.settings["timelineFrameRate"])
    first = int(found.global_start_time.value) if found.global_start_time else 0
    made = timelines(world, name, start=first, tracks=0)
    pool = {one.properties["File Path"]: one for folder in world.root.everywhere() for one in folder.clips}
    for number, track in enumerate(found.video_tracks(), 1):
        made.tracks.append({**made.track(), "name": track.name})
        for clip in track.find_clips():
            source, reference = clip.source_range, clip.media_reference
            where = first + int(track.range_of_child(clip).start_time.value)
            there, start = None, 0
            if not reference.is_missing_reference:
                start = int(reference.available_range.start_time.value)
                target = bracketed(reference)
                if target not in pool:
                    length = int(reference.available_range.duration.value)
                    pool[target] = media(world, target, length, Start_TC=from_frames(start, rate))
                    world.folder.clips.append(pool[target])
                there = pool[target]
            offset = int(source.start_time.value) - start if there is not None else 0
            made.put(number, items(world, there, where, int(source.duration.value), offset, clip.name))
    return made


def bracketed(reference: Any) -> str:
    """The path of a reference, as Resolve tells that of an image sequence."""
    if isinstance(reference, otio.schema.ExternalReference):
        return str(reference.target_url)
    folder = unquote(urlparse(reference.target_url_base).path).rstrip("/")
    first = reference.start_frame
    last = first + int(reference.available_range.duration.value) - 1
    digits = reference.frame_zero_padding
    return f"{folder}/{reference.name_prefix}[{first:0{digits}d}-{last:0{digits}d}]{reference.name_suffix}"
