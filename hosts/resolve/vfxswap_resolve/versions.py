"""Another version in place of the one that is there: ReplaceClip, and what it forgets."""

from __future__ import annotations

from typing import Any, Callable

from vfxswap_resolve import api, color, records, sequence
from vfxswap_resolve.api import RefusedError
from vfxswap_resolve.clips import Clip
from vfxswap_resolve.place import Result, all_or_nothing, described, mark
from vfxswap_resolve.results import Placed

_KEPT = ("FPS", "PAR", "Alpha mode", "Start TC", *color.INPUT_PROPERTIES)
"""Clip properties that ReplaceClip forgets."""


def version_up(clip: Clip, there: Placed, result: Result, save: Callable[[], object]) -> list[str]:
    """Show another version in place of the one that is there; what Resolve forgets on the way is put back.

    Raises:
        RefusedError: `replace`; the version before is shown again.
    """
    item, before = there.item, there.record
    media = item.GetMediaPoolItem()
    if media is None:
        raise RefusedError("replace", f"{clip.name}: the result has lost its media", "remove it, then run again")
    old_files = sequence.parse(api.text(media.GetClipProperty("File Path")))
    kept = _memory(media)
    with all_or_nothing() as undo:
        if old_files is not None:
            undo.add(lambda: _replace(media, old_files, kept))
        _replace(media, result.files, kept)
        found = sequence.parse(api.text(media.GetClipProperty("File Path")))
        if found is None or (found.folder, found.first, found.last) != (
            result.files.folder,
            result.files.first,
            result.files.last,
        ):
            raise RefusedError("replace", f"{clip.name}: Resolve did not take {result.files.pattern}",
                               "remove the result, then run again")  # fmt: skip
        warnings = described(media, clip, result)
        _unmark(item)
        undo.add(lambda: mark(item, before))
        mark(item, result.record)
        undo.add(lambda: _unmark(item))
        where = (api.whole(item.GetStart()), api.whole(item.GetEnd()), api.whole(item.GetLeftOffset()))
        if where != (clip.start, clip.end, result.record.head):
            raise RefusedError("replace", f"{clip.name}: the result moved to {where}", "remove it, then run again")
        save()
    return warnings


def _unmark(item: api.TimelineItem) -> None:
    """Take our marker off; others stay."""
    for marker in (item.GetMarkers() or {}).values():
        data = api.text(marker.get("customData", ""))
        if records.parse(data) is not None:
            item.DeleteMarkerByCustomData(data)


def _replace(media: api.MediaPoolItem, files: sequence.Sequence, kept: dict[str, Any]) -> None:
    media.ReplaceClip(files.path(files.first))
    _remembered(media, kept)


def _memory(media: api.MediaPoolItem) -> dict[str, Any]:
    return {
        "name": api.text(media.GetName()),
        "metadata": dict(media.GetMetadata() or {}),
        "third": dict(media.GetThirdPartyMetadata() or {}),
        "markers": {float(frame): dict(marker) for frame, marker in (media.GetMarkers() or {}).items()},
        "flags": list(media.GetFlagList() or []),
        "color": api.text(media.GetClipColor()),
        "properties": {name: api.text(media.GetClipProperty(name)) for name in _KEPT},
    }


def _remembered(media: api.MediaPoolItem, kept: dict[str, Any]) -> None:
    for name, value in kept["properties"].items():
        if value:
            color.put(media, name, value)
    if kept["metadata"]:
        media.SetMetadata(kept["metadata"])
    if kept["third"]:
        media.SetThirdPartyMetadata(kept["third"])
    there = {float(frame) for frame in media.GetMarkers() or {}}
    for frame, marker in kept["markers"].items():
        if frame not in there:
            told = [marker.get(key, "") for key in ("color", "name", "note")]
            media.AddMarker(frame, told[0], told[1], told[2], marker.get("duration", 1), marker.get("customData", ""))
    for flag in kept["flags"]:
        if flag not in (media.GetFlagList() or []):
            media.AddFlag(flag)
    if kept["color"]:
        media.SetClipColor(kept["color"])
    media.SetName(kept["name"])
