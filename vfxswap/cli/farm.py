"""`vfxswap farm`: share a job out among the machines of a render farm."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Final, Literal, cast

import typer

from vfxswap import atomic, cache, pipeline
from vfxswap.archive import sha256
from vfxswap.cli import farm_work
from vfxswap.cli.common import Debug, Events, Frames, gate, shipped, working
from vfxswap.cli.farm_paths import PathRules
from vfxswap.cli.shot import described, show_defaults
from vfxswap.errors import (
    EXIT_BAD_INPUT,
    EXIT_CANCELLED,
    EXIT_REFUSED,
    EXIT_RETRY,
    Cancelled,
    ConsentError,
    FrameError,
    JobError,
    UsageError,
    VfxSwapError,
)
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

JOB: Final = "job.json"

_RAISED: Final[dict[int, type[VfxSwapError]]] = {
    EXIT_RETRY: FrameError,
    EXIT_BAD_INPUT: JobError,
    EXIT_CANCELLED: Cancelled,
    EXIT_REFUSED: ConsentError,
}

Engine = Literal["openjd", "opencue", "deadline"]
Publish = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Publish here once everything is signed; nowhere without.")
]
References = Annotated[
    list[Path], typer.Option("--reference", metavar="FILE", help="Reference file that a consent names; repeatable.")
]
JobFile = Annotated[Path, typer.Argument(metavar="JOB.json", help="A job description.")]


@app.command("submit")
def submit_command(
    ctx: typer.Context,
    job: JobFile,
    to: Annotated[Engine, typer.Option("--to", help="The farm's engine.")],
    chunk: Annotated[int, typer.Option(metavar="N", min=1, help="Frames that a worker does in one go.")] = 12,
    into: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the farm's files go; beside the output without.")
    ] = None,
    command: Annotated[str, typer.Option(metavar="PROGRAM", help="What starts vfxswap on the workers.")] = "",
    pool: Annotated[str, typer.Option(metavar="NAME", help="The engine's pool, where it has them.")] = "",
    group: Annotated[str, typer.Option(metavar="NAME", help="The engine's group or tag of machines.")] = "",
    priority: Annotated[int, typer.Option(min=0, max=100, help="Among the engine's jobs.")] = 50,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the files and write nothing.")] = False,
    run: Annotated[bool, typer.Option("--run", help="With openjd: do it on this machine, task after task.")] = False,
    publish: Publish = None,
    reference: References = [],  # noqa: B006 - typer reads the default, nobody changes it
    debug: Debug = False,
) -> None:
    """Write a job for a farm and submit it with the engine's own client: Track, Measure, Swap in chunks, Finalise.

    The model, the OCIO config and the consents are named with their hashes or signatures; no private key goes along.
    """
    if run and (to != "openjd" or dry_run):
        raise UsageError("--run is for --to openjd, without --dry-run", hint="other engines start jobs by themselves")
    engine = _farm()
    with working(ctx) as work, _told(engine):
        given = described(job, show_defaults(ctx))
        if publish is not None:
            gate(consents=given.consents, keyring=given.keyring)
            consent.authorize(Request(given, ()))  # in the last step it would be too late to hear of it
        made, plates = _complete(given, into)
        # Of its own for each job: one that is still rendering keeps reading what it was submitted with.
        folder = into.absolute() if into else _folder(made, plates, into) / cache.key("farm", made.to_json())
        plan = _plan(
            engine,
            made,
            plates,
            job=str(folder / JOB),
            chunk=chunk,
            command=command or (_own_program() if run else "vfxswap"),
            pool=pool,
            group=group,
            priority=priority,
            publish=str(publish.absolute()) if publish else "",
            references=tuple(str(path.absolute()) for path in reference),
        )
        files = {JOB: made.to_json(), **engine.ENGINES[to].files(plan)}
        if dry_run:
            for name, text in files.items():
                typer.echo(f"--- {folder / name}\n{text}", nl=False)
            return
        for name, text in files.items():
            atomic.write_text(folder / name, text)
        typer.echo(f"written to {folder}: {', '.join(files)}")
        outcome = engine.ENGINES[to].submit(
            plan, str(folder), say=typer.echo, cancelled=lambda: work.cancel.cancelled, run=run
        )
        if work.cancel.cancelled:
            raise Cancelled("cancelled", hint="whole files are kept; run the same command again to go on")
        if outcome.code:
            raise _RAISED.get(outcome.code, VfxSwapError)(
                outcome.message or f"openjd ended with code {outcome.code}", hint="its log is above"
            )


@app.command("work")
def work_command(
    ctx: typer.Context,
    step: Annotated[
        Literal["track", "measure", "swap", "finalise"], typer.Argument(metavar="STEP", help="Which step of the job.")
    ],
    job: JobFile,
    frames: Frames = "",
    engine: Annotated[str, typer.Option(metavar="NAME", help="Word progress for this engine.")] = "",
    path_rules: Annotated[
        Path | None, typer.Option("--path-rules", metavar="FILE", help="Path mapping rules; $VFXSWAP_PATH_RULES too.")
    ] = None,
    publish: Publish = None,
    reference: References = [],  # noqa: B006
    events: Events = "",
    debug: Debug = False,
) -> None:
    """Do a step of a job, as the workers of a farm are told to. Consent is checked every time."""
    if engine not in farm_work.ENGINES:
        raise UsageError(f"no engine is named {engine!r}", hint=f"there is {', '.join(_farm().ENGINES)}")
    if engine and events:
        raise UsageError("--engine and --events both want stdout", hint="give one of them")
    if (publish is not None or reference) and step != "finalise":
        raise UsageError("--publish and --reference are for the last step", hint="leave them out")
    with working(ctx, events=events) as work, farm_work.told(engine):
        rules = PathRules.load(path_rules)
        here = described(job, rules.job)
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


def _plan(farm: ModuleType, made: SwapJob, plates: tuple[Plate, ...], **fields: Any) -> Any:
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
    return farm.Plan(
        name=f"{shot} {output.name or 'swap'}",
        frames=made.frames,
        numbers=tuple(sorted(numbers)),
        gpu=made.device == "cuda",
        inputs=tuple(inputs),
        output=str(output.folder.absolute() / hashes),
        **fields,
    )


def _own_program() -> str:
    """The `vfxswap` of this installation."""
    beside = Path(sys.executable).with_name("vfxswap")
    found = str(beside) if beside.is_file() else shutil.which("vfxswap")
    if found is None:
        raise UsageError("the program vfxswap is not on the path", hint="give --command PROGRAM")
    return found


def _farm() -> ModuleType:
    """The engines of hosts/farm: no part of the package, as hosts use them too."""
    name = "vfxswap_farm"
    if name not in sys.modules:
        place = shipped("hosts") / "farm" / name
        spec = importlib.util.spec_from_file_location(
            name, place / "__init__.py", submodule_search_locations=[str(place)]
        )
        if spec is None or spec.loader is None:
            raise UsageError("the farm's files are missing", path=place, hint="install vfxswap again")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@contextmanager
def _told(farm: ModuleType) -> Iterator[None]:
    """What an engine refuses becomes one line and exit code 4."""
    refused = cast("type[Exception]", farm.FarmError)
    try:
        yield
    except refused as error:
        raise JobError(str(error.args[0]), hint=getattr(error, "hint", "")) from error
