"""`vfxswap qc`: measure a finished swap against its plate."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from vfxswap import atomic, cache, color, exr, pipeline, provenance, qc
from vfxswap.archive import sha256
from vfxswap.cli.common import (
    ColorConfig,
    ColorContext,
    ColorSpace,
    Debug,
    Events,
    Face,
    Frames,
    Overwrite,
    Part,
    View,
    Work,
    context,
    working,
)
from vfxswap.cli.knobs import Device
from vfxswap.errors import FrameError, OutputError, PlateError, TrackError, UsageError, VfxSwapError
from vfxswap.events import Done
from vfxswap.face import track as tracks
from vfxswap.face.track import Track
from vfxswap.infer import Device as InferDevice
from vfxswap.plate import ALL_VIEWS, Plate, open_plate
from vfxswap.qc.known import reference
from vfxswap.qc.records import QcReport
from vfxswap.sequence import FrameRange, SequencePath
from vfxswap.train.worst import SCHEMA as WORST_SCHEMA

Out = Annotated[str, typer.Argument(metavar="OUT", help="The swapped frames: pattern or folder; comp or ingredients.")]
PlateOption = Annotated[str, typer.Option("--plate", metavar="PLATE", help="The plate they were made from.")]
TrackOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The plate's .vfxtrack; that of the swap, or made, without.")
]
Likeness = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="Faceset or reference file of the likeness: whose face it should be."),
]


def qc_command(
    ctx: typer.Context,
    out: Out,
    plate: PlateOption,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The report to write, JSON; without, NAME.qc.json beside the frames."),
    ] = None,
    frames: Frames = "",
    track: TrackOption = None,
    likeness: Likeness = None,
    double: Annotated[
        Path | None, typer.Option(metavar="PATH", help="The same of the double; the plate's own frames without.")
    ] = None,
    worst: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the worst frames, for `vfxswap retrain`.")
    ] = None,
    face: Face = "",
    colorspace: ColorSpace = "",
    color_config: ColorConfig = "",
    color_context: ColorContext = [],  # noqa: B006 - typer reads the default, nobody changes it
    view: View = "",
    part: Part = "",
    device: Device = "auto",
    overwrite: Overwrite = False,
    events: Events = "",
    debug: Debug = False,
) -> None:
    """Measure a finished swap against its plate and name its worst frames.

    Neither the model nor a consent is needed: output, plate and the plate's track are read, and nothing else. A report
    beside the frames is named by their manifest, which is signed again, where this user's own key signed it.
    """
    if output is not None:
        _free(output, overwrite=overwrite)
    if worst is not None:  # one without its report is what a run that was stopped left: see `_written`
        _free(worst, overwrite=overwrite or output is None or not output.exists())
    with working(ctx, events=events) as work:
        opened = Opened.of(
            out,
            plate,
            frames=frames,
            config=color.ColorConfig.load(color_config or None, context=context(color_context)),
            color_space=colorspace,
            view=view,
            part=part,
        )
        if output is None:
            output = provenance.report_path(opened.output.sequence.folder, opened.output.sequence.name)
            _free(output, overwrite=overwrite)
        report = examined(opened, work, track=track, face=face, likeness=likeness, double=double, device=device)
        if worst is not None:
            _written(worst, worst_frames(report), overwrite=overwrite)
        atomic.write_text(output, report.text())
        summary = report.summary
        counts = {"frames": summary.frames, "swapped": summary.swapped, "alarmed": summary.alarmed}
        unsigned = _signed(opened, output)
        work.sink.emit(Done(manifest=str(output), counts=counts))
    for line in (*told(report), f"{output}: {unsigned}"):
        typer.echo(line, err=bool(events))
    if report.failed:
        first = report.failed[0]
        raise FrameError(f"{len(report.failed)} frames could not be looked at, the first: {first.reason}")


def _free(path: Path, *, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise OutputError("the report is there already", path=path, hint="give --overwrite to make it again")
    atomic.check_writable(atomic.make_folder(path.parent))


def _written(path: Path, text: str, *, overwrite: bool) -> None:
    """Write a file; one that is there is left alone, and has to be the same."""
    if not overwrite and path.is_file() and path.read_bytes() != text.encode():
        raise OutputError("another report is there already", path=path, hint="give --overwrite to write over it")
    atomic.write_text(path, text)


def _signed(opened: Opened, output: Path) -> str:
    """Whether the frames' manifest names the report now, in words. A report that is not signed is one all the same."""
    sequence = opened.output.sequence
    if output.resolve().parent != sequence.folder.resolve():
        beside = provenance.report_path(sequence.folder, sequence.name)
        return f"not signed: only a report beside its frames is, without --output {beside}"
    try:
        why = provenance.cover(output, sequence.name)
    except VfxSwapError as error:
        why = error.message
    return f"not signed: {why}" if why else "signed with the frames"


@dataclass(frozen=True)
class Opened:
    """A plate and the output that was made from it, as sequences of one space."""

    plate: Plate
    output: Plate

    @staticmethod
    def of(
        out: str,
        plate: str,
        *,
        frames: str = "",
        config: color.ColorConfig,
        color_space: str = "",
        view: str = "",
        part: str = "",
    ) -> Opened:
        """Open both; the output is in the plate's space, as every swap is.

        Raises:
            UsageError: all views at once. PlateError, ColorError: as `open_plate`.
        """
        if view == ALL_VIEWS:
            raise UsageError("--view all", hint="look at one view at a time")
        chosen = FrameRange.parse(frames) if frames else None
        first = open_plate(
            plate, frames=chosen, config=config, color_space=color_space or None, view=view or None, part=part or None
        )
        second = open_plate(out, config=config, color_space=first.space, view=view or None, part=part or None)
        frame = next((f for f in first.frames if first.sequence.path(f) == second.sequence.path(f)), None)
        if frame is not None and first.sequence.folder.resolve() == second.sequence.folder.resolve():
            raise UsageError("the output is the plate itself", hint="give the swapped frames, then --plate PLATE")
        for frame in first.frames.intersect(second.frames):
            with contextlib.suppress(FrameError):  # reported when its turn comes
                _fits(first.read(frame), second.read(frame), frame)
                break
        return Opened(first, second)


def _fits(before: exr.Frame, after: exr.Frame, frame: int) -> None:
    """Refuse an output that cannot be of this plate, before it is tracked for nothing; raises PlateError."""
    message, hint = "", ""
    if before.display_window != after.display_window:
        shown = [f"{one.display_window.width} x {one.display_window.height}" for one in (after, before)]
        message, hint = f"the output is {shown[0]}, the plate {shown[1]}", "give the output of this plate"
    elif before.origin_window.intersect(after.origin_window) != before.origin_window:
        message, hint = "the output does not cover the plate: it is a patch", "give a comp or ingredients"
    if message:
        raise PlateError(message, path=after.path, frame=frame, hint=hint)


def examined(
    opened: Opened,
    work: Work,
    *,
    track: Path | None,
    face: str = "",
    likeness: Path | None = None,
    double: Path | None = None,
    device: InferDevice = "auto",
) -> QcReport:
    """The report of an opened output; its plate is tracked where no track of it is found."""
    manifest = provenance.manifest_path(opened.output.sequence.folder, opened.output.sequence.name)
    request = qc.Request(
        plate=opened.plate,
        output=opened.output,
        track=_track(opened, work, given=track, device=device),
        face=face or None,
        likeness=None if likeness is None else reference(likeness, device=device),
        double=None if double is None else reference(double, role="double", device=device),
        manifest_sha256=sha256(manifest.read_bytes()) if manifest.is_file() else None,
        device=device,
    )
    return qc.check(request, sink=work.sink, cancel=work.cancel)


def _track(opened: Opened, work: Work, *, given: Path | None, device: InferDevice) -> Track:
    if given is not None:
        return tracks.load(given)
    plate, output = opened.plate, opened.output.sequence
    store = cache.Cache(output.folder / cache.FOLDER, name=output.name or "shot")
    found = _kept(store.folder / store.name, plate)
    if found is not None:
        return found
    key = cache.key("track", pipeline.plate_facts(plate), tracks.VERSION)

    def make(path: Path) -> None:
        pipeline.track_plate(plate, sink=work.sink, cancel=work.cancel, device=device).save(path)

    try:
        return tracks.load(store.get(f"{key}.vfxtrack", make))
    except OutputError:  # who may only read the output can look at it all the same
        return pipeline.track_plate(plate, sink=work.sink, cancel=work.cancel, device=device)


def _kept(folder: Path, plate: Plate) -> Track | None:
    """The newest track that the swap left beside its output, of this plate and all the frames wanted."""
    paths = sorted(folder.glob("*.vfxtrack"), key=lambda path: path.stat().st_mtime_ns, reverse=True)

    def readable() -> Iterator[Track]:
        for path in paths:
            try:
                yield tracks.load(path)
            except TrackError:  # damaged, or of a newer version: another is looked for, or made
                continue

    same = plate.sequence.folder.resolve()
    for found in readable():
        its = SequencePath.parse(found.plate)
        wanted = (frame for frame in plate.frames if plate.sequence.path(frame).exists())
        if (
            its.folder.resolve() == same
            and its.prefix == plate.sequence.prefix
            and all(f in found.frames for f in wanted)
        ):
            return found
    return None


def worst_frames(report: QcReport) -> str:
    """The worst frames as `vfxswap.worst/1`, which `vfxswap retrain` reads."""
    listed = [entry.model_dump(include={"frame", "reason", "score", "shot"}) for entry in report.worst]
    return json.dumps({"schema": WORST_SCHEMA, "frames": listed}, indent=1) + "\n"


def told(report: QcReport) -> list[str]:
    """The report for a terminal: what is measured beside its limits, then the worst frames."""
    summary = report.summary
    lines = [f"{'':32}{'median':>9}{'worst':>9}{'limit':>14}{'beyond':>8}"]
    for limit in report.limits:
        middle, worst = summary.median[limit.name], summary.worst[limit.name]
        if middle is None or worst is None:
            continue
        bounds = " to ".join(f"{x:g}" for x in (limit.least, limit.most) if x is not None)
        bounds = ("" if None not in (limit.least, limit.most) else "<= " if limit.least is None else ">= ") + bounds
        beyond = summary.alarms.get(limit.name, 0) or ""
        lines.append(f"{limit.label:32}{middle:>9.2f}{worst:>9.2f}{bounds:>14}{beyond:>8}  {limit.unit}".rstrip())
    lines += [
        f"{limit.label:32}not measured: {why}" for limit in report.limits if (why := report.unmeasured.get(limit.name))
    ]
    if summary.throughout:
        names = {limit.name: limit.label for limit in report.limits}
        lines.append(f"beyond its limit throughout: {', '.join(names[name] for name in summary.throughout)}")
    lines += [f"frame {entry.frame}: {entry.reason}" for entry in report.worst[:8]]
    if report.missing:
        lines.append(f"no output for the frames {report.missing}")
    lines.append(f"{summary.frames} frames, {summary.swapped} swapped, {summary.alarmed} to look at")
    return lines
