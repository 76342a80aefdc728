"""`vfxswap otio`: swap faces in clips of a timeline, without the program that made it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from vfxswap import frames as rendering
from vfxswap import pipeline, provenance
from vfxswap.cli import knobs
from vfxswap.cli.common import (
    ColorConfig,
    ColorSpace,
    Consents,
    Debug,
    Events,
    Face,
    Keyring,
    Overwrite,
    Shot,
    Work,
    check_shot,
    gate,
    working,
)
from vfxswap.conform import TRACK, Cut, Timeline
from vfxswap.errors import FrameError, UsageError, VfxSwapError
from vfxswap.job import SwapJob

Results = list[tuple[Cut, str, str]]


def otio_command(
    ctx: typer.Context,
    timeline: Annotated[Path, typer.Argument(metavar="TIMELINE.otio", help="The timeline.")],
    clip: Annotated[list[str], typer.Option("--clip", metavar="NAME", help="A clip by name; repeatable.")] = [],  # noqa: B006 - typer reads the default, nobody changes it
    model: Annotated[Path | None, typer.Option(metavar="FILE", help="The .vfxmodel.")] = None,
    output: Annotated[Path | None, typer.Option(metavar="DIR", help="A folder for each clip goes here.")] = None,
    result: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The timeline with the results; in the output folder without.")
    ] = None,
    handles: Annotated[int, typer.Option(min=0, max=1000, help="Frames before and after, as far as there are.")] = 8,
    replace: Annotated[
        bool, typer.Option("--replace", help="Results become the media of their clips, not clips on a track above.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write the jobs and the timeline, render nothing.")
    ] = False,
    face: Face = "",
    colorspace: ColorSpace = "",
    color_config: ColorConfig = "",
    shot: Shot = "",
    consent: Consents = [],  # noqa: B006 - as above
    keyring: Keyring = None,
    device: knobs.Device = "auto",
    overwrite: Overwrite = False,
    events: Events = "",
    debug: Debug = False,
) -> None:
    """Swap faces in clips of an OpenTimelineIO timeline; without --clip, list them.

    `{clip}` in --shot is the clip's name. A clip that occurs several times is done every time, into a folder each.
    """
    opened = Timeline(timeline)
    if not clip:
        _list(opened)
        return
    if model is None or output is None:
        missing = "--model" if model is None else "--output"
        raise UsageError(f"{missing} is missing", hint="give --model M.vfxmodel and --output DIR")
    cuts = opened.cuts(clip, handles=handles, in_place=replace)
    jobs = []
    for cut, name in zip(cuts, _names(cuts), strict=True):
        filled = shot.replace("{clip}", _safe(cut.name))
        check_shot(filled)
        folder = output.absolute() / name
        job = SwapJob.make(
            host="otio",
            shot=filled,
            plate=cut.plate,
            frames=cut.frames,
            face=face or "0",
            color_space=colorspace,
            color_config=color_config,
            model=model,
            consents=consent,
            keyring=keyring,
            output=str(folder / f"{name}.%04d.exr"),
            device=device,
            overwrite=overwrite,
        )
        jobs.append((cut, job, folder / "job.json"))
    target = result or output / f"{_safe(opened.name)}.{TRACK}.otio"
    with working(ctx, events=events) as work:
        done, failed = _work(jobs, work, dry_run=dry_run)
        if done:
            opened.with_results(done, replace=replace).save(target)
            typer.echo(f"{target}: {len(done)} of {len(jobs)} clips", err=True)
    if failed is not None:
        raise failed


def _list(timeline: Timeline) -> None:
    for entry in timeline.entries():
        cut = entry.cut
        if cut is None:
            typer.echo(f"V{entry.track}  {entry.name}  refused: {entry.refusal}")
        else:
            span = f"{cut.record}-{cut.record + cut.length - 1}"
            typer.echo(f"V{entry.track}  {entry.name}  record {span}  {cut.rate:g} fps  {cut.plate} {cut.frames}")


def _work(jobs: list[tuple[Cut, SwapJob, Path]], work: Work, *, dry_run: bool) -> tuple[Results, VfxSwapError | None]:
    """Do the jobs; a clip with bad frames does not stop the others, a refusal of one leaves all undone."""
    done: Results = []
    failed: VfxSwapError | None = None
    for _, job, _ in jobs if not dry_run else ():  # before the first is written
        pipeline.allowed(job, gate=gate(consents=job.consents, keyring=job.keyring))
    for cut, job, path in jobs:
        if dry_run:
            job.save(path)
            done.append((cut, job.output, str(path)))
            continue
        ready = pipeline.prepare(
            job, gate=gate(consents=job.consents, keyring=job.keyring), sink=work.sink, cancel=work.cancel
        )
        pipeline.recorded(job, ready).save(path)
        report = rendering.render_frames(ready, sink=work.sink, cancel=work.cancel, sign=provenance.own_key)
        if report.failed:
            failed = FrameError(f"{cut.name}: {len(report.failed)} frames failed, the first: {report.failed[0]}")
        else:
            done.append((cut, job.output, str(path)))
    return done, failed


def _names(cuts: list[Cut]) -> list[str]:
    """A folder name for each, all different."""
    names: list[str] = []
    for cut in cuts:
        name = _safe(cut.name)
        taken = sum(other == name or other.startswith(f"{name}_at") for other in names)
        names.append(f"{name}_at{cut.record}_V{cut.track}" if taken else name)
    return names


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_-") or "clip"
