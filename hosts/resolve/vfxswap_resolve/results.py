"""Results that are on a timeline already, and the clips that they are of."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from vfxswap_resolve import api, records
from vfxswap_resolve.records import Record


@dataclass(frozen=True)
class Placed:
    """A result on a timeline.

    Attributes:
        item: its item.
        record: what its marker says.
        plate: the item that it is of; None where that is gone.
    """

    item: api.TimelineItem
    record: Record
    plate: api.TimelineItem | None

    def shows(self, start: int, end: int, source: int) -> bool:
        """Whether it lies over its plate as it was put, and that plate is the same frames: both may have moved."""
        known = self.record
        where = (api.whole(self.item.GetStart()), api.whole(self.item.GetEnd()), api.whole(self.item.GetLeftOffset()))
        same = (known.end - known.start, known.source) == (end - start, source)
        return same and where == (start, end, known.head)

    def part(self) -> tuple[int, int] | None:
        """Record range of its plate that it is of, wherever that plate is now; None where it is of the whole."""
        if not self.record.part or self.plate is None:
            return None
        first, last = api.whole(self.plate.GetStart()), api.whole(self.plate.GetEnd())
        start = first + self.record.source - api.whole(self.plate.GetLeftOffset())
        start, end = max(first, start), min(last, start + self.record.end - self.record.start)
        return (start, end) if end > start else None


def on(timeline: api.Timeline) -> list[Placed]:
    """All results of a timeline."""
    found = []
    rows: list[tuple[int, api.TimelineItem]] = []
    for track in range(1, timeline.GetTrackCount("video") + 1):
        for item in timeline.GetItemListInTrack("video", track) or []:
            record = records.of_item(item)
            if record is None:
                rows.append((track, item))
            else:
                found.append((item, track, record))
    plates = {item.GetUniqueId(): item for _, item in rows}
    return [
        Placed(item, record, plates.get(record.plate) or _below(item, track, record, rows))
        for item, track, record in found
    ]


def _below(
    result: api.TimelineItem, track: int, record: Record, rows: list[tuple[int, api.TimelineItem]]
) -> api.TimelineItem | None:
    """The plate where its id is another one, as on a duplicated timeline: below, of that name, with those frames."""
    at = api.whole(result.GetStart())
    name = posixpath.basename(record.folder).rpartition("-")[0]
    for under, item in reversed(rows):
        if under < track and records.safe(api.text(item.GetName())) == name:
            start, end = api.whole(item.GetStart()), api.whole(item.GetEnd())
            if start <= at < end and api.whole(item.GetLeftOffset()) + at - start == record.source:
                return item
    return None
