"""`vfxswap farm`: share a job out among the machines of a render farm. Trainings: farm_train.py."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from vfxswap import cache, pipeline
from vfxswap.archive import sha256
from vfxswap.cli import farm_engines as engines
from vfxswap.cli import farm_train, farm_training, farm_work
from vfxswap.cli.common import Debug, Events, Frames, gate, working
from vfxswap.cli.farm_paths import PathRules
from vfxswap.cli.farm_roots import Root, Roots
from vfxswap.cli.shot import described, show_defaults
from vfxswap.errors import UsageError
from vfxswap.face import track as tracks
from vfxswap.job import SwapJob
from vfxswap.matte_input import MatteInput
from vfxswap.measure import VERSION as MEASURE_VERSION
from vfxswap.plate import ALL_VIEWS, Plate
from vfxswap.publish import Request, consent
from vfxswap.sequence import FrameRange, SequencePath, for_view
from vfxswap.vfxmodel import SwapModel

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Share a job out among the machines of a render farm."
)

app.command("train")(farm_train.train_command)

Publish = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Publish here once everything is signed; nowhere without.")
]
References = Annotated[
    list[Path], typer.Option("--reference", metavar="FILE", help="Reference file that a consent names; repeatable.")
]
_URI = "ocio://"

JobFile = Annotated[Path, typer.Argument(metavar="JOB.json", help="A job description.")]


@app.command("submit")
def submit_command(
    ctx: typer.Context,
    job: JobFile,
    to: engines.To,
    chunk: Annotated[int, typer.Option(metavar="N", min=1, help="Frames that a worker does in one go.")] = 12,
    into: engines.Into = None,
    command: engines.Command = "",
    pool: engines.Pool = "",
    group: engines.Group = "",
    priority: engines.Priority = 50,
    dry_run: engines.DryRun = False,
    run: engines.RunHere = False,
    bundle_color: Annotated[
        bool, typer.Option("--bundle-color", help="Give the workers a copy of the OCIO config and its LUTs.")
    ] = False,
    publish: Publish = None,
    reference: References = [],  # noqa: B006 - typer reads the default, nobody changes it
    debug: Debug = False,
) -> None:
    """Write a job for a farm and submit it with the engine's own client: Track, Measure, Swap in chunks, Finalise.

    The model, the OCIO config and the consents are named with their hashes or signatures; no private key goes along.
    """
    handing = engines.Handing(to, dry_run, run, command)
    with working(ctx) as work, engines.told():
        given = described(job, show_defaults(ctx))
        if publish is not None:
            gate(consents=given.consents, keyring=given.keyring)
            consent.authorize(Request(given, ()))  # in the last step it would be too late to hear of it
        made, plates = _complete(given, into)
        if bundle_color:
            made = _bundled(made, plates, _folder(made, plates, into), keep=not dry_run)
        # Of its own for each job: one that is still rendering keeps reading what it was submitted with.
        folder = into.absolute() if into else _folder(made, plates, into) / cache.key("farm", made.to_json())
        plan = _plan(
            made,
            plates,
            job=str(folder / engines.JOB),
            chunk=chunk,
            command=handing.program,
            pool=pool,
            group=group,
            priority=priority,
            publish=str(publish.absolute()) if publish else "",
            references=tuple(str(path.absolute()) for path in reference),
        )
        handing.hand_on(plan, folder, made.to_json(), work)


@app.command("work")
def work_command(
    ctx: typer.Context,
    step: Annotated[
        Literal["track", "measure", "swap", "finalise", "train"],
        typer.Argument(metavar="STEP", help="Which step of the job."),
    ],
    job: JobFile,
    frames: Frames = "",
    engine: Annotated[str, typer.Option(metavar="NAME", help="Word progress for this engine.")] = "",
    path_rules: Annotated[
        Path | None, typer.Option("--path-rules", metavar="FILE", help="Path mapping rules; $VFXSWAP_PATH_RULES too.")
    ] = None,
    root: Root = [],  # noqa: B006
    publish: Publish = None,
    reference: References = [],  # noqa: B006
    events: Events = "",
    debug: Debug = False,
) -> None:
    """Do a step of a job, as the workers of a farm are told to. Consent is checked every time."""
    if engine not in farm_work.ENGINES:
        raise UsageError(f"no engine is named {engine!r}", hint=f"there is {', '.join(engines.farm().ENGINES)}")
    if engine and events:
        raise UsageError("--engine and --events both want stdout", hint="give one of them")
    if (publish is not None or reference) and step != "finalise":
        raise UsageError("--publish and --reference are for the last step", hint="leave them out")
    with working(ctx, events=events) as work, farm_work.told(engine):
        rules, roots = PathRules.load(path_rules), Roots.of(root)
        if step == "train":
            if frames:
                raise UsageError("a training has no frames", hint="leave --frames out")
            training = farm_training.TrainJob.load(job).mapped(rules.path)
            roots.check(training.paths())
            farm_training.work(training, farm_work.sink(work, engine))
            return
        here = described(job, rules.job)
        roots.check_job(here)
        roots.check_color(here)
        roots.check([rules.path(str(path)) for path in (publish, *reference) if path is not None])
        ready = gate(consents=here.consents, keyring=here.keyring)
        chosen = FrameRange.parse(frames) if frames else None
        told = farm_work.sink(work, engine)
        farm_work.STEPS[step](here, ready, told, chosen)
        if publish is not None:
            there = Path(rules.path(str(publish)))
            farm_work.publish(here, told, into=there, references=[Path(rules.path(str(p))) for p in reference])


def _complete(job: SwapJob, into: Path | None) -> tuple[SwapJob, tuple[Plate, ...]]:
    """The job as workers need it: its frames, hashes and files on the way are written out. Consent comes first.

    Raises:
        ConsentError: exit 77; nothing was written. PlateError, ColorError, JobError, ModelError, UsageError.
    """
    ready = gate(consents=job.consents, keyring=job.keyring)
    models = [pipeline.open_model(job, one, ready)[0] for one in job.swaps]
    config = os.environ.get("OCIO", "")
    if config and not job.color_config:  # a worker has another environment
        job = job.replace(color_config=config if "://" in config else str(Path(config).absolute()))
    plates = pipeline.job_plates(job)
    if variables := plates[0].config.environment():  # its variables, too
        job = job.replace(color_context={**variables, **job.color_context})
        plates = pipeline.job_plates(job)
    frames = FrameRange.of(sorted(plates[0].frames))
    hashes = [sha256(one.model.read_bytes()) for one in job.swaps]
    folder = _folder(job, plates, into)
    track = job.track or folder / _track_name(job, plates)
    found = [
        one.measurements or folder / _shot_name(one.face, track, model)
        for one, model in zip(job.swaps, models, strict=True)
    ]
    also = [
        other.model_copy(update={"model_sha256": known, "measurements": path})
        for other, known, path in zip(job.also, hashes[1:], found[1:], strict=True)
    ]
    changes: dict[str, Any] = {
        "frames": str(frames),
        "color_config_hash": plates[0].config.hash,
        "model_sha256": hashes[0],
        "track": track,
        "measurements": found[0],
        "also": also,
    }
    return job.replace(**changes), plates


def _bundled(job: SwapJob, plates: tuple[Plate, ...], folder: Path, *, keep: bool) -> SwapJob:
    """The job with a copy of its OCIO config, which is written into `folder` if it is to be kept.

    Raises:
        ColorError: the config cannot be copied. OutputError, ResourceError.
    """
    config = plates[0].config
    if job.color_config.startswith(_URI) or config.id.startswith(_URI):
        return job  # part of OCIO: every worker has it
    path = folder / f"color-{cache.key('farm color', config.hash)}" / f"{Path(config.id).stem}.ocioz"
    if keep:
        config.bundle(path)
    else:
        with tempfile.TemporaryDirectory() as aside:
            config.bundle(Path(aside) / path.name)
    return job.replace(color_config=str(path))


def _folder(job: SwapJob, plates: tuple[Plate, ...], into: Path | None) -> Path:
    """Where the farm's files of a job go: on storage that every worker reaches, as its output is."""
    if into is not None:
        return into.absolute()
    output = _first_output(job, plates)
    return output.folder.absolute() / cache.FOLDER / (output.name or "shot") / "farm"


def _first_output(job: SwapJob, plates: tuple[Plate, ...]) -> SequencePath:
    """Where the frames go, of the first view if each has its own; UsageError without a frame number in it."""
    return SequencePath.parse(for_view(job.output, plates[0].view_name)).require_token()


def _track_name(job: SwapJob, plates: tuple[Plate, ...]) -> str:
    """Another one for another range, color space or lens: what is there of an earlier job is not taken for it."""
    facts = [
        (p.sequence.name, str(p.frames), p.space, p.config.hash, str(p.view), str(p.part), job.lens) for p in plates
    ]
    view = ".%V" if job.view == ALL_VIEWS else ""
    return f"{cache.key('farm track', tracks.VERSION, *facts)}{view}.vfxtrack"


def _shot_name(face: str, track: Path, model: SwapModel) -> str:
    return f"{cache.key('farm shot', face, track.name, model.card.painting(), MEASURE_VERSION)}.vfxshot"


def _plan(made: SwapJob, plates: tuple[Plate, ...], **fields: Any) -> Any:
    """The plan that the engines write down."""
    shot = made.shot or f"local/local/{made.plate_folder}"
    mattes = sorted({str(Path(MatteInput.parse(text).pattern).parent) for one in made.swaps for text in one.matte})
    folders = sorted({str(plate.sequence.folder.absolute()) for plate in plates})
    inputs: list[tuple[str, str]] = [
        *((f"PlateFolder{number}", f"{folder}/") for number, folder in enumerate(folders, start=1)),
        *((f"Model{number}", str(one.model)) for number, one in enumerate(made.swaps, start=1)),
        *((f"Consent{number}", str(path)) for number, path in enumerate(made.consents, start=1)),
        *((("KeyRing", f"{made.keyring}/"),) if made.keyring else ()),
        *((("LensFolder", f"{Path(made.lens).parent}/"),) if made.lens else ()),
        *((("ColorConfig", made.color_config),) if made.color_config and "://" not in made.color_config else ()),
        *((f"MatteFolder{number}", f"{folder}/") for number, folder in enumerate(mattes, start=1)),
    ]
    output = _first_output(made, plates)
    hashes = output.prefix + "#" * (output.padding or 1) + output.suffix
    numbers = tuple(plates[0].frames)
    return engines.farm().Plan(
        name=f"{shot} {output.name or 'swap'}",
        frames=made.frames,
        numbers=tuple(sorted(numbers)),
        gpu=made.device == "cuda",
        inputs=tuple(inputs),
        output=str(output.folder.absolute() / hashes),
        **fields,
    )
