"""`vfxswap farm train`: a training as the job of one machine of a farm."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from vfxswap import cache, color
from vfxswap.cli import farm_engines as engines
from vfxswap.cli.common import Consents, Debug, Keyring, Shot, working
from vfxswap.cli.farm_training import SCHEMA, TrainJob, check
from vfxswap.cli.knobs import Device
from vfxswap.cli.training_run import amount
from vfxswap.errors import UsageError
from vfxswap.train import uses

_MINUTES = 60
"""Budget without `--steps` and `--minutes`, as of `vfxswap train`."""

_TRIES = 10
"""How often a task may end before its budget is spent: each time it goes on where it was stopped."""


def train_command(
    ctx: typer.Context,
    model_dir: Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="Folder of checkpoints; continued if begun.")],
    likeness: Annotated[list[Path], typer.Option(metavar="DIR", help="As for train.")],
    double: Annotated[list[Path], typer.Option(metavar="DIR", help="As for train.")],
    to: engines.To,
    processes: Annotated[
        int, typer.Option(min=1, max=64, metavar="N", help="On the machine, started by torchrun; one for each GPU.")
    ] = 1,
    memory: Annotated[int, typer.Option(min=1, metavar="GIB", help="Memory that the machine has to have.")] = 8,
    gpu_memory: Annotated[int, typer.Option(min=1, metavar="GIB", help="Memory that each GPU has to have.")] = 8,
    use: Annotated[str | None, typer.Option(metavar="|".join(uses.USES), help="As for train.")] = None,
    weight: Annotated[list[float], typer.Option(metavar="X", help="As for train.")] = [],  # noqa: B006
    preset: Annotated[str | None, typer.Option(metavar="tiny|hd", help="Size of the networks; tiny without.")] = None,
    encoding: Annotated[str | None, typer.Option(metavar="|".join(color.encodings()), help="As for train.")] = None,
    start: Annotated[Path | None, typer.Option("--from", metavar="MODEL_DIR", help="As for train.")] = None,
    steps: Annotated[str | None, typer.Option(metavar="N", help="Budget in steps.")] = None,
    minutes: Annotated[str | None, typer.Option(metavar="N", help="Budget in minutes, 60 without any.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="As for train, of each process.")] = None,
    micro_batch: Annotated[int | None, typer.Option(min=1, help="As for train.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="As for train.")] = None,
    precision: Annotated[Literal["auto", "fp32", "bf16"] | None, typer.Option(help="As for train.")] = None,
    compile_networks: Annotated[bool, typer.Option("--compile", help="As for train.")] = False,
    score_every: Annotated[int | None, typer.Option(min=1, metavar="STEPS", help="As for train.")] = None,
    stop_early: Annotated[bool | None, typer.Option("--stop-early/--full-budget", help="As for train.")] = None,
    keep: Annotated[int | None, typer.Option(min=1, help="As for train.")] = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="As for train.")] = False,
    device: Device = "auto",
    into: engines.Into = None,
    command: engines.Command = "",
    pool: engines.Pool = "",
    group: engines.Group = "",
    priority: engines.Priority = 50,
    dry_run: engines.DryRun = False,
    run: engines.RunHere = False,
    shot: Shot = "",
    consent: Consents = [],  # noqa: B006 - typer reads the default, nobody changes it
    keyring: Keyring = None,
    debug: Debug = False,
) -> None:
    """Write a training as the job of one machine of a farm and submit it with the engine's own client.

    A task that is stopped saves a checkpoint first, and goes on when it is begun again. The machine needs vfxswap
    with the extra `train`. Consent is asked for now and by the task, each time it begins.
    """
    handing = engines.Handing(to, dry_run, run, command)
    given: dict[str, Any] = {
        "use": use,
        "weight": [str(one) for one in weight] or None,
        "preset": preset,
        "encoding": encoding,
        **_budget(steps, minutes),
        "batch": batch,
        "micro-batch": micro_batch,
        "seed": seed,
        "precision": precision,
        "compile": compile_networks or None,
        "score-every": score_every,
        "stop-early" if stop_early else "full-budget": None if stop_early is None else True,
        "keep": keep,
        "tensorboard": tensorboard or None,
    }
    options = {
        name: value if isinstance(value, (bool, list)) else str(value)
        for name, value in given.items()
        if value is not None
    }
    with working(ctx) as work, engines.told():
        job = TrainJob(
            schema_version=SCHEMA,
            model_dir=str(model_dir.absolute()),
            likeness=[str(path.absolute()) for path in likeness],
            double=[str(path.absolute()) for path in double],
            consents=[str(path.absolute()) for path in consent],
            keyring=str(keyring.absolute()) if keyring else "",
            shot=shot,
            start=str(start.absolute()) if start else "",
            processes=processes,
            device=device,
            options=options,
        )
        check(job)
        folder = into.absolute() if into else _folder(job)
        plan = _plan(
            job, folder, memory=memory, gpu_memory=gpu_memory,
            command=handing.program, pool=pool, group=group, priority=priority,
        )  # fmt: skip
        handing.hand_on(plan, folder, job.to_json(), work)


def _budget(steps: str | None, minutes: str | None) -> dict[str, str]:
    """The one that was given; raises UsageError for two, and for what would grow each time a task begins."""
    if steps is not None and minutes is not None:
        raise UsageError("--steps and --minutes are both given", hint="give either")
    name, text = ("steps", steps) if steps is not None else ("minutes", minutes or str(_MINUTES))
    found = amount(f"--{name}", text, whole=name == "steps")
    if found is not None and found[1]:
        raise UsageError(
            f"--{name} is {text!r}: a task that is begun again would train so much more each time",
            hint="give the whole budget, without +",
        )
    return {name: str(text)}


def _folder(job: TrainJob) -> Path:
    """Beside the checkpoints, one for each way in which it is submitted."""
    return Path(job.model_dir) / cache.FOLDER / "farm" / cache.key("farm train", job.to_json())


def _plan(job: TrainJob, folder: Path, *, memory: int, gpu_memory: int, **fields: Any) -> Any:
    """The plan that the engines write down: one task, for as long as its budget is."""
    farm = engines.farm()
    minutes = job.options.get("minutes")
    # Scores are not paid from the budget, and a slow disk delays the start: twice the time, and twenty minutes.
    seconds = int(120 * float(minutes)) + 1200 if isinstance(minutes, str) else None
    step = farm.Step(
        "Train", chunked=False, networks=True, seconds=seconds, memory=1024 * memory, gpu_memory=1024 * gpu_memory,
        gpus=job.processes, cores=1 if job.device == "cuda" else job.processes, tries=_TRIES,
    )  # fmt: skip
    inputs = [
        *((f"Likeness{number}", f"{path}/") for number, path in enumerate(job.likeness, start=1)),
        *((f"Double{number}", f"{path}/") for number, path in enumerate(job.double, start=1)),
        *((f"Consent{number}", path) for number, path in enumerate(job.consents, start=1)),
        *((("KeyRing", f"{job.keyring}/"),) if job.keyring else ()),
        *((("From", f"{job.start}/"),) if job.start else ()),
    ]
    return farm.Plan(
        name=f"{job.shot} train {Path(job.model_dir).name}".strip(),
        job=str(folder / engines.JOB),
        frames="1",
        numbers=(1,),
        chunk=1,
        gpu=job.device == "cuda",
        inputs=tuple(inputs),
        output=str(Path(job.model_dir) / "training.html"),
        steps=(step,),
        goes_on=True,
        about="A training by vfxswap. It goes on from its newest checkpoint; consent is checked each time it begins.",
        **fields,
    )
