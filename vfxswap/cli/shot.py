"""`vfxswap measure`, `swap` and `run`: a shot's work."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from vfxswap import documents, pipeline, provenance
from vfxswap import frames as rendering
from vfxswap.cli import knobs, serving
from vfxswap.cli.common import (
    ColorConfig,
    ColorContext,
    ColorSpace,
    Consents,
    Debug,
    Events,
    Face,
    Frames,
    Keyring,
    Lens,
    Overwrite,
    Part,
    Run,
    Shot,
    View,
    Work,
    check_shot,
    context,
    gate,
    working,
)
from vfxswap.errors import FrameError, JobError, OutputError, UsageError
from vfxswap.events import Done
from vfxswap.job import Pass, SwapJob, SwapParameters
from vfxswap.sequence import FrameRange

Plate = Annotated[str, typer.Argument(metavar="PLATE", help="Pattern, folder or file.")]
Model = Annotated[Path, typer.Option(metavar="FILE", help="The .vfxmodel.")]
Models = Annotated[list[Path], typer.Option("--model", metavar="FILE", help="The .vfxmodel; one for each --face.")]
Faces = Annotated[
    list[str], typer.Option("--face", metavar="INDEX|NAME|X,Y", help="Which face; repeated, each with its --model.")
]
Mattes = Annotated[
    list[str],
    typer.Option("--matte", metavar="SEQ[:CHANNEL][,KEY]...", help="Artist matte, such as hand.####.exr:A,holdout."),
]
Measured = Annotated[
    list[Path], typer.Option("--measurements", metavar="FILE", help="A .vfxshot, one for each --face; made without.")
]
Passes = Annotated[list[Pass], typer.Option("--pass", help="Also write this beside the output; repeatable.")]
Sign = Annotated[
    bool | None,
    typer.Option("--sign/--no-sign", help="Sign the manifest at the end; `run --frames` does not without."),
]


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
    color_context: ColorContext = [],  # noqa: B006 - typer reads the default, nobody changes it
    lens: Lens = "",
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
        color_context=context(color_context),
        lens=lens,
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
        ready = gate(consents=job.consents, keyring=job.keyring)
        found = pipeline.measured(job, gate=ready, sink=work.sink, cancel=work.cancel)
        found.save(output)
        work.sink.emit(Done(manifest=str(output), counts={"frames": len(found.relight)}))


def swap_command(
    ctx: typer.Context,
    plate: Plate,
    model: Models,
    output: Annotated[str, typer.Option(metavar="OUT.%04d.exr", help="Where the frames go.")],
    frames: Frames = "",
    track: Annotated[Path | None, typer.Option(metavar="FILE", help="A .vfxtrack; made without.")] = None,
    measurements: Measured = [],  # noqa: B006
    matte: Mattes = [],  # noqa: B006
    layers: knobs.Layers = "comp",
    passes: Passes = [],  # noqa: B006
    face: Faces = [],  # noqa: B006
    colorspace: ColorSpace = "",
    color_config: ColorConfig = "",
    color_context: ColorContext = [],  # noqa: B006 - typer reads the default, nobody changes it
    lens: Lens = "",
    view: View = "",
    part: Part = "",
    mix: knobs.Mix = knobs.DEFAULTS.mix,
    relight: knobs.Relight = knobs.DEFAULTS.relight,
    match: knobs.Match = knobs.DEFAULTS.match,
    band_coarse: knobs.BandCoarse = knobs.DEFAULTS.band_coarse,
    band_middle: knobs.BandMiddle = knobs.DEFAULTS.band_middle,
    band_fine: knobs.BandFine = knobs.DEFAULTS.band_fine,
    steady: knobs.Steady = knobs.DEFAULTS.steady,
    edge_erode: knobs.EdgeErode = knobs.DEFAULTS.edge_erode,
    edge_feather: knobs.EdgeFeather = knobs.DEFAULTS.edge_feather,
    edge_top: knobs.EdgeTop = knobs.DEFAULTS.edge_top,
    edge_right: knobs.EdgeRight = knobs.DEFAULTS.edge_right,
    edge_bottom: knobs.EdgeBottom = knobs.DEFAULTS.edge_bottom,
    edge_left: knobs.EdgeLeft = knobs.DEFAULTS.edge_left,
    highlights: knobs.Highlights = knobs.DEFAULTS.highlights,
    skin_tone: knobs.SkinTone = knobs.DEFAULTS.skin_tone,
    person: knobs.Person = knobs.DEFAULTS.person,
    hands: knobs.Hands = knobs.DEFAULTS.hands,
    grain: knobs.Grain = knobs.DEFAULTS.grain,
    defocus: knobs.Defocus = knobs.DEFAULTS.defocus,
    sharpen: knobs.Sharpen = knobs.DEFAULTS.sharpen,
    motion_blur: knobs.MotionBlur = knobs.DEFAULTS.motion_blur,
    shutter: knobs.Shutter = knobs.DEFAULTS.shutter,
    shot: Shot = "",
    consent: Consents = [],  # noqa: B006 - typer reads the default, nobody changes it
    keyring: Keyring = None,
    device: knobs.Device = "auto",
    save_job: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the job description.")] = None,
    sign: Sign = None,
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
        **paired(model, face, measurements),
        output=output,
        track=track,
        matte=matte,
        layers=layers,
        passes=passes,
        color_space=colorspace,
        color_config=color_config,
        color_context=context(color_context),
        lens=lens,
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
            match=match,
            band_coarse=band_coarse,
            band_middle=band_middle,
            band_fine=band_fine,
            steady=steady,
            edge_erode=edge_erode,
            edge_feather=edge_feather,
            edge_top=edge_top,
            edge_right=edge_right,
            edge_bottom=edge_bottom,
            edge_left=edge_left,
            highlights=highlights,
            skin_tone=skin_tone,
            person=person,
            hands=hands,
            grain=grain,
            defocus=defocus,
            sharpen=sharpen,
            motion_blur=motion_blur,
            shutter=shutter,
        ),
    )
    with working(ctx, events=events) as work:
        _work(job, frames, work, save=save_job, sign=sign is not False)


def run_command(
    ctx: typer.Context,
    job: Annotated[Path | None, typer.Argument(metavar="JOB.json", help="A job description.")] = None,
    frames: Frames = "",
    sign: Sign = None,
    overwrite: Overwrite = False,
    serve: Annotated[
        bool, typer.Option("--serve", help="Take jobs from stdin, a line of JSON each, and keep networks loaded.")
    ] = False,
    events: Events = "",
    debug: Debug = False,
) -> None:
    """Do a job from its description.

    `--frames` selects some of the job's frames, as a farm's chunks do: these are recorded, and signed by the last step,
    `vfxswap provenance finalise`. `--serve` is for hosts (docs/cli.md).
    """
    if serve:
        if job is not None or frames or overwrite or events != "-":
            raise UsageError("--serve takes its jobs from stdin", hint="give --serve --events - and nothing else")
        serving.serve(ctx.find_root().obj)
        return
    if job is None:
        raise UsageError("no job was given", hint="vfxswap run JOB.json")
    job_of_file = described(job, show_defaults(ctx))
    if overwrite:
        job_of_file = job_of_file.replace(overwrite=True)
    with working(ctx, events=events, job=job) as work:
        _work(job_of_file, frames, work, save=None, sign=not frames if sign is None else sign)


def show_defaults(ctx: typer.Context) -> Callable[[Path], SwapJob]:
    """Reads job files, with what they leave out from the show's `vfxswap.toml` (cli/config.py)."""
    run = ctx.find_root().obj
    found = run.config.job_fields() if isinstance(run, Run) and run.config is not None else {}
    return lambda path: SwapJob.load(path, defaults=found)


def described(path: Path, load: Callable[[Path], SwapJob] = SwapJob.load) -> SwapJob:
    """The job in a file; a malformed shot is refused as the gate would (exit 77), as that of `--shot` is."""
    try:
        return load(path)
    except JobError:
        shot = None
        with contextlib.suppress(OSError, ValueError, AttributeError):
            shot = documents.json_value(documents.read_bytes(path, most=documents.SMALL)).get("shot")
        if isinstance(shot, str):
            check_shot(shot)
        raise


def paired(models: list[Path], faces: list[str], measurements: list[Path]) -> dict[str, Any]:
    """The faces of a command line as a job's fields: the n-th `--face` goes with the n-th `--model`.

    Raises:
        UsageError: their numbers differ.
    """
    count = len(models)
    for what, given in (("--face", faces), ("--measurements", measurements)):
        if given and len(given) != count:
            raise UsageError(
                f"{count} times --model and {len(given)} times {what}", hint=f"give {what} for each --model"
            )
    each = [
        {"model": model, "face": face, "measurements": measured}
        for model, face, measured in zip(
            models, faces or map(str, range(count)), measurements or itertools.repeat(None, count), strict=True
        )
    ]
    return {**each[0], "also": each[1:]}


def _work(job: SwapJob, frames: str, work: Work, *, save: Path | None, sign: bool) -> None:
    """Do the job; frames that failed among good ones make the exit code 3."""
    ready = pipeline.prepare(
        job, gate=gate(consents=job.consents, keyring=job.keyring), sink=work.sink, cancel=work.cancel
    )
    if save is not None:
        pipeline.recorded(job, ready).save(save)
    chosen = FrameRange.parse(frames) if frames else None
    report = rendering.render_frames(
        ready,
        sink=work.sink,
        cancel=work.cancel,
        frames=chosen,
        sign=provenance.own_key if sign else None,
    )
    if report.failed:
        first = report.failed[0]
        raise FrameError(f"{len(report.failed)} frames failed, the first: {first}")
