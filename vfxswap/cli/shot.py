"""`vfxswap measure`, `swap` and `run`: a shot's work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vfxswap import measure, pipeline
from vfxswap.cli import knobs
from vfxswap.cli.common import (
    ColorSpace,
    Consents,
    Debug,
    Events,
    Face,
    Frames,
    Keyring,
    Overwrite,
    Part,
    Shot,
    View,
    Work,
    check_shot,
    gate,
    working,
)
from vfxswap.errors import FrameError, OutputError, UsageError
from vfxswap.events import Done, Progress
from vfxswap.face import track as tracks
from vfxswap.job import SwapJob, SwapParameters
from vfxswap.sequence import FrameRange

Plate = Annotated[str, typer.Argument(metavar="PLATE", help="Pattern, folder or file.")]
Model = Annotated[Path, typer.Option(metavar="FILE", help="The .vfxmodel.")]
ColorConfig = Annotated[str, typer.Option("--color-config", metavar="PATH", help="OCIO config; $OCIO without.")]


def measure_command(
    ctx: typer.Context,
    plate: Plate,
    track: Annotated[Path, typer.Option(metavar="FILE", help="The plate's .vfxtrack.")],
    model: Model,
    output: Annotated[Path, typer.Option(metavar="FILE", help="The .vfxshot to write.")],
    frames: Frames = "",
    face: Face = "",
    colorspace: ColorSpace = "",
    color_config: ColorConfig = "",
    view: View = "",
    part: Part = "",
    shot: Shot = "",
    consent: Consents = [],  # noqa: B006 - typer reads the default, nobody changes it
    keyring: Keyring = None,
    device: knobs.Device = "auto",
    overwrite: Overwrite = False,
    events: Events = "",
    debug: Debug = False,
) -> None:
    """Measure a shot once for the swap of any of its frames."""
    check_shot(shot)
    job = SwapJob.make(
        plate=plate,
        frames=frames,
        face=face or "0",
        color_space=colorspace,
        color_config=color_config,
        view=view,
        part=part,
        shot=shot,
        model=model,
        consents=consent,
        keyring=keyring,
        track=track,
        output=str(output),
        device=device,
    )
    if output.exists() and not overwrite:
        raise OutputError("the measurements are there already", path=output, hint="give --overwrite")
    with working(ctx, events=events) as work:
        opened, _ = pipeline.open_model(job, gate(consents=job.consents, keyring=job.keyring))
        found = measure.measure(
            pipeline.job_plate(job),
            tracks.load(track).face(job.face),
            model=opened,
            progress=lambda done, total: work.sink.emit(Progress(stage="measure", done=done, total=total)),
            cancel=work.cancel,
        )
        found.save(output)
        work.sink.emit(Done(manifest=str(output), counts={"frames": len(found.relight)}))


def swap_command(
    ctx: typer.Context,
    plate: Plate,
    model: Model,
    output: Annotated[str, typer.Option(metavar="OUT.%04d.exr", help="Where the frames go.")],
    frames: Frames = "",
    track: Annotated[Path | None, typer.Option(metavar="FILE", help="A .vfxtrack; made without.")] = None,
    measurements: Annotated[Path | None, typer.Option(metavar="FILE", help="A .vfxshot; made without.")] = None,
    matte: Annotated[str, typer.Option(metavar="SEQ", help="Artist matte that limits the face.")] = "",
    layers: knobs.Layers = "comp",
    face: Face = "",
    colorspace: ColorSpace = "",
    color_config: ColorConfig = "",
    view: View = "",
    part: Part = "",
    mix: knobs.Mix = knobs.DEFAULTS.mix,
    relight: knobs.Relight = knobs.DEFAULTS.relight,
    edge_erode: knobs.EdgeErode = knobs.DEFAULTS.edge_erode,
    edge_feather: knobs.EdgeFeather = knobs.DEFAULTS.edge_feather,
    highlights: knobs.Highlights = knobs.DEFAULTS.highlights,
    skin_tone: knobs.SkinTone = knobs.DEFAULTS.skin_tone,
    shot: Shot = "",
    consent: Consents = [],  # noqa: B006 - typer reads the default, nobody changes it
    keyring: Keyring = None,
    device: knobs.Device = "auto",
    save_job: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the job description.")] = None,
    overwrite: Overwrite = False,
    events: Events = "",
    debug: Debug = False,
) -> None:
    """Swap the face in a plate.

    `--frames` selects what is rendered; tracking and measuring cover the whole plate, so that any split of a
    shot gives the same pixels.
    """
    check_shot(shot)
    job = SwapJob.make(
        plate=plate,
        model=model,
        output=output,
        track=track,
        measurements=measurements,
        matte=matte,
        layers=layers,
        face=face or "0",
        color_space=colorspace,
        color_config=color_config,
        view=view,
        part=part,
        shot=shot,
        consents=consent,
        keyring=keyring,
        device=device,
        overwrite=overwrite,
        parameters=SwapParameters(
            mix=mix,
            relight=relight,
            edge_erode=edge_erode,
            edge_feather=edge_feather,
            highlights=highlights,
            skin_tone=skin_tone,
        ),
    )
    with working(ctx, events=events) as work:
        _work(job, frames, work, save=save_job)


def run_command(
    ctx: typer.Context,
    job: Annotated[Path, typer.Argument(metavar="JOB.json", help="A job description.")],
    frames: Frames = "",
    overwrite: Overwrite = False,
    events: Events = "",
    debug: Debug = False,
) -> None:
    """Do a job from its description.

    `--frames` selects some of the job's frames, as a farm's chunks do.
    """
    described = SwapJob.load(job)
    if overwrite:
        described = described.replace(overwrite=True)
    with working(ctx, events=events, job=job) as work:
        _work(described, frames, work, save=None)


def _work(job: SwapJob, frames: str, work: Work, *, save: Path | None) -> None:
    """Do the job; frames that failed among good ones make the exit code 3."""
    if job.view == "all":
        raise UsageError("--view all is not supported", hint="swap one view at a time: --view left, then --view right")
    ready = pipeline.prepare(
        job, gate=gate(consents=job.consents, keyring=job.keyring), sink=work.sink, cancel=work.cancel
    )
    if save is not None:
        job.save(save)
    chosen = FrameRange.parse(frames) if frames else None
    report = pipeline.render_frames(ready, sink=work.sink, cancel=work.cancel, frames=chosen)
    if report.failed:
        first = report.failed[0]
        raise FrameError(f"{len(report.failed)} frames failed, the first: {first}")
