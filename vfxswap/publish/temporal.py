"""What can only be seen over time: flicker, and gaps in which the plate's own face shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Final

from vfxswap.publish.evidence import Evidence
from vfxswap.publish.look import Look
from vfxswap.publish.request import Item
from vfxswap.publish.rules import Finding
from vfxswap.sequence import FrameRange

FLICKER_STOPS: Final = 0.08
"""A face that is lighter or darker than in both neighbours by more, beside the plate, flickers; docs/publish.md."""


def flicker(name: str, found: Sequence[Look], evidence: Evidence) -> Iterator[Finding]:
    """VS-TMP-001: by the QC report where it is of these frames, else by the light of the faces."""
    measured = {f: m.flicker for f, m in evidence.frames.items() if m.flicker is not None}
    if measured and evidence.limit is not None:
        over = {frame: value for frame, value in measured.items() if value > evidence.limit}
        unit, limit = "delta E", evidence.limit
    else:
        over = {frame: value for frame, value in jumps(found).items() if value > FLICKER_STOPS}
        unit, limit = "stops", FLICKER_STOPS
    if over:
        frames = tuple(sorted(over))
        text = (
            f"frames {FrameRange.of(frames)}: the face flickers by {max(over.values()):.2g} {unit}, {limit:g} is much"
        )
        yield Finding("VS-TMP-001", text, name, frames)


def jumps(found: Sequence[Look]) -> dict[int, float]:
    """By how many stops the face of a frame is off the middle of its own and both neighbours' light.

    Of frames whose neighbours are swapped, too; the light is that of the face over the plate's.
    """
    gains = {one.frame: one.gain for one in found if one.gain is not None}
    near = {
        frame: (gains[frame - 1], gain, gains[frame + 1])
        for frame, gain in gains.items()
        if frame - 1 in gains and frame + 1 in gains
    }
    return {frame: abs(three[1] - median(three)) for frame, three in near.items()}


def gaps(item: Item, altered: Mapping[int, bool], *, approved: FrameRange, unpainted: Sequence[int]) -> list[Finding]:
    """VS-TMP-002: frames without a swap between frames with one.

    Args:
        item: the sequence.
        altered: by the signed record, whether a face was replaced.
        approved: frames that an artist has said yes to.
        unpainted: frames that are known to be wrong for another reason.
    """
    swapped = sorted(frame for frame, yes in altered.items() if yes)
    if not swapped:
        return []
    open_ = [
        frame
        for frame in item.frames
        if swapped[0] < frame < swapped[-1]
        and not altered.get(frame, True)
        and frame not in approved
        and frame not in unpainted
    ]
    if not open_:
        return []
    text = f"frames {FrameRange.of(open_)} without a swap between frames with one: the plate's own face may show"
    return [Finding("VS-TMP-002", text, item.name, tuple(open_))]


def alarms(name: str, evidence: Evidence) -> Iterator[Finding]:
    """VS-TMP-003 and 004: what QC says, and whether it says it of these frames."""
    alarmed = tuple(frame for frame, found in sorted(evidence.frames.items()) if found.alarms)
    if alarmed:
        first = "; ".join(evidence.frames[alarmed[0]].reasons[:2])
        text = f"QC has alarms in {len(alarmed)} frames: {FrameRange.of(alarmed)} (frame {alarmed[0]}: {first})"
        yield Finding("VS-TMP-003", text, name, alarmed)
    if evidence.foreign:
        text = f"the QC report is not of these frames as they are now: {FrameRange.of(evidence.foreign)}"
        yield Finding("VS-TMP-004", text, name, evidence.foreign)
