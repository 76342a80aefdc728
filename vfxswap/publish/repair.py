"""Repairs: what a finding's button does. Nothing here signs frames that were changed; they are rendered again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from vfxswap import atomic, pipeline, provenance
from vfxswap import frames as rendering
from vfxswap.cache import FOLDER
from vfxswap.errors import FrameError, JobError, UsageError, VfxSwapError
from vfxswap.events import CancelToken, EventSink
from vfxswap.provenance import shards
from vfxswap.publish.examine import Report, Seen
from vfxswap.publish.rules import Area, Finding, Repair
from vfxswap.sequence import FrameRange

QUARANTINE = "quarantine"


def repair(
    report: Report, how: Repair, *, sink: EventSink, cancel: CancelToken, area: Area | None = None
) -> tuple[str, ...]:
    """Repair what can be repaired in one way, and say what was done, a line each.

    Args:
        report: what was found.
        how: render, quarantine or rename.
        sink: where the events of a render go.
        cancel: polled between frames.
        area: only what its validator found; None: everything.

    Raises:
        JobError: the job that made the frames is not known, so they cannot be made again. UsageError: nothing to
            repair in this way. ConsentError and what a render raises. OutputError: a file cannot be moved.
    """
    if how not in _REPAIRS:
        raise UsageError(f"there is no repair {str(how)!r}", hint=f"there is {', '.join(_REPAIRS)}")
    wanted = [
        (one, finding)
        for one in report.seen
        for finding in one.findings
        if finding.rule.repair == how and area in (None, finding.area)
    ]
    if not wanted:
        return ()
    return tuple(_REPAIRS[how](report, wanted, sink, cancel))


Wanted = Sequence[tuple[Seen, Finding]]


def _render(report: Report, wanted: Wanted, sink: EventSink, cancel: CancelToken) -> list[str]:
    """Make frames again with the job that made them; consent to swap is asked for, and the record signed anew."""
    request = report.request
    if not request.repairable:
        raise JobError("the job that made these frames is not known", hint="give the job's file, or render them again")
    frames = FrameRange.of(sorted({frame for _, finding in wanted for frame in finding.frames}))
    if not frames.frames:
        raise UsageError("no single frame is to blame", hint="read the findings")
    job = request.job.replace(overwrite=True)
    ready = pipeline.prepare(job, gate=request.gate(), sink=sink, cancel=cancel)
    done = rendering.render_frames(ready, sink=sink, cancel=cancel, frames=frames, sign=provenance.own_key)
    if done.failed:
        raise FrameError(f"{len(done.failed)} frames failed, the first: {done.failed[0]}")
    return [f"frames {frames} are rendered again, and the record is signed anew"]


def _quarantine(report: Report, wanted: Wanted, sink: EventSink, cancel: CancelToken) -> list[str]:
    """Put files that do not belong to the publish aside, with their shards; none is deleted."""
    said = []
    for one, finding in wanted:
        item = one.item
        aside = atomic.make_folder(item.output.folder / FOLDER / item.name / QUARANTINE)
        for name in finding.files:
            _move(item.output.folder / name, aside / name)
            said.append(f"{name} is in {aside}")
        outside = [frame for frame in finding.frames if frame not in item.frames]
        for shard in (shards.path(item.output.folder, item.name, frame) for frame in outside):
            if shard.is_file():
                _move(shard, aside / shard.name)
        if one.manifest is not None and {e.frame for e in one.manifest.statement.predicate.frames} & {*outside}:
            provenance.merge(item.output.folder, item.name, signer=provenance.own_key())
            said.append("the record is signed anew, without them")
    return said


def _rename(report: Report, wanted: Wanted, sink: EventSink, cancel: CancelToken) -> list[str]:
    """Give frames their names back. What has the name of another is, byte for byte, that frame: it was hashed."""
    said = []
    for one in {id(seen): seen for seen, _ in wanted}.values():
        for old, new in one.misnamed.items():
            _move(one.item.output.folder / old, one.item.output.folder / new)
            said.append(f"{old} is {new} again")
    return said


def _move(source: Path, target: Path) -> None:
    """Move a file where none is; raises OutputError."""
    if target.exists():
        raise VfxSwapError(f"{target.name} is there already", path=target, hint="move it away by hand")
    try:
        os.replace(source, target)
    except FileNotFoundError:
        return  # somebody else has moved it
    except OSError as error:
        raise atomic.writing_error(error, target) from error


_REPAIRS = {Repair.RENDER: _render, Repair.QUARANTINE: _quarantine, Repair.RENAME: _rename}
