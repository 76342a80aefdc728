"""`vfxswap train` and `export`: from the facesets of two performers to a model."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from pydantic import ValidationError

from vfxswap import color, faceset
from vfxswap.cli.common import (
    Consents,
    Debug,
    Events,
    Keyring,
    Overwrite,
    Shot,
    gate,
    shot_id,
    working,
)
from vfxswap.cli.knobs import Device
from vfxswap.errors import EXIT_CANCELLED, Cancelled, ModelError, OutputError, UsageError
from vfxswap.events import Done, EventSink, NullSink, Progress, Scored, Started, Warned

if TYPE_CHECKING:
    from vfxswap.faceset import Faceset
    from vfxswap.train.bank import Bank
    from vfxswap.train.config import TrainConfig
    from vfxswap.train.loop import Progress as Standing
    from vfxswap.train.warm import Source
    from vfxswap.trust import Grant

_EXTRA = frozenset({"torch", "safetensors", "onnx"})
_TICK = 0.25
"""Seconds between two progress events: a small model takes dozens of steps in that time."""


def train(
    ctx: typer.Context,
    model_dir: Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="Folder of checkpoints; continued if begun.")],
    likeness: Annotated[
        list[Path], typer.Option(metavar="DIR", help="Faceset of the face that appears; repeat it for further ones.")
    ],
    double: Annotated[
        list[Path],
        typer.Option(
            metavar="DIR",
            help="Faceset of the face that is replaced; repeat it for further ones, whose crops are drawn more often.",
        ),
    ],
    preset: Annotated[str | None, typer.Option(metavar="tiny|hd", help="Size of the networks; tiny without.")] = None,
    encoding: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(color.encodings()), help="What the network sees: acescct keeps highlights; srgb without."
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option("--from", metavar="MODEL_DIR", help="A new training takes its first weights from this one."),
    ] = None,
    steps: Annotated[
        str | None, typer.Option(metavar="[+]N", help="Budget in steps; +N: on top of what is spent.")
    ] = None,
    minutes: Annotated[
        str | None,
        typer.Option(
            metavar="[+]N", help="Budget in minutes of training, 60 without any; +N: on top of what is spent."
        ),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Crops of each performer in a step, in each process; 8 without.")
    ] = None,
    micro_batch: Annotated[
        int | None,
        typer.Option(min=1, help="Crops of each performer computed at once. Chosen by itself when memory is short."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Start of all randomness; 1 without.")] = None,
    precision: Annotated[
        Literal["auto", "fp32", "bf16"] | None, typer.Option(help="auto: bf16 where it is faster.")
    ] = None,
    compile_networks: Annotated[
        bool | None, typer.Option("--compile/--no-compile", help="torch.compile the networks.")
    ] = None,
    score_every: Annotated[
        int | None,
        typer.Option(min=1, metavar="STEPS", help="Score and save every so many steps; every 3 minutes without."),
    ] = None,
    stop_early: Annotated[
        bool | None,
        typer.Option(
            "--stop-early/--full-budget", help="End when nobody can tell painted from real and scores stand still."
        ),
    ] = None,
    keep: Annotated[
        int | None, typer.Option(min=1, help="Newest checkpoints that stay, beside the best; 2 without.")
    ] = None,
    tensorboard: Annotated[
        bool | None, typer.Option("--tensorboard/--no-tensorboard", help="Write TensorBoard's event files as well.")
    ] = None,
    device: Device = "auto",
    shot: Shot = "",
    consent: Consents = [],  # noqa: B006 - typer reads the default, nobody changes it
    keyring: Keyring = None,
    events: Events = "",
    debug: Debug = False,
) -> None:
    """Train a model that paints the likeness over the double.

    The same command again continues the run. Ctrl-C saves a checkpoint first. `training.html` in MODEL_DIR shows how
    it goes. In several processes: torchrun --nproc-per-node N -m vfxswap train ...
    """
    if steps is not None and minutes is not None:
        raise UsageError("--steps and --minutes are both given", hint="give either")
    budget = {"steps": _amount("--steps", steps, whole=True), "minutes": _amount("--minutes", minutes, whole=False)}
    guard = gate(consents=consent, keyring=keyring)
    sets = {"likeness": _facesets(likeness), "double": _facesets(double)}
    people = {role: found[0].performer for role, found in sets.items()}
    if people["likeness"] == people["double"]:
        raise UsageError(f"both facesets are of {people['likeness']}", hint="give facesets of two performers")
    where = shot_id(shot, folder=model_dir.resolve().name)
    leave = partial(guard.authorize, shot=where, use="train")
    grant = leave(performers={"likeness": people["likeness"], "double": people["double"]})
    _require_extra()
    from vfxswap.models import preset as network
    from vfxswap.train import parallel
    from vfxswap.train.bank import load_bank
    from vfxswap.train.checkpoint import STATE
    from vfxswap.train.joined import join_banks
    from vfxswap.train.loop import Trainer

    given = {
        "preset": preset,
        "encoding": encoding,
        "batch": batch,
        "micro_batch": micro_batch,
        "seed": seed,
        "precision": precision,
        "compile": compile_networks,
        "score_every_steps": score_every,
        "stop_early": stop_early,
        "keep": keep,
        "tensorboard": tensorboard,
    }
    config = _config(model_dir, given, budget)
    source, others = _earlier_training(model_dir, start, leave)
    resolution = network(config.preset).resolution
    ranks = parallel.launched()
    with working(ctx, events=events) as work, parallel.together(ranks):
        sink = work.sink if ranks.leads else NullSink()
        sink.emit(Started(job=f"train {config.preset}", frames=""))
        banks = {
            role: join_banks([load_bank(one, resolution=resolution, encoding=config.encoding) for one in found])
            for role, found in sets.items()
        }
        trainer = Trainer(
            model_dir,
            config=config,
            likeness=banks["likeness"],
            double=banks["double"],
            grant=grant,
            device=device,
            warn=lambda code, message: sink.emit(Warned(code=code, message=message)),
            ranks=ranks,
            source=source,
            others=others,
        )
        try:
            ended = trainer.run(cancel=work.cancel, report=_Reporter(sink, config, trainer.progress))
        except Cancelled:
            if ranks.leads:
                raise
            raise typer.Exit(EXIT_CANCELLED) from None  # one process says it for all
        sink.emit(Done(manifest=str(model_dir / STATE), counts={"steps": ended.step}, reason=ended.reason))


def export(
    model_dir: Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="Folder of a training.")],
    output: Annotated[Path, typer.Option(metavar="FILE", help="The .vfxmodel to write.")],
    to: Annotated[str, typer.Option(metavar="vfxmodel", help="Format.")] = "vfxmodel",
    checkpoint: Annotated[
        str, typer.Option(metavar="latest|best|STEP", help="Which: best has the highest held-out PSNR.")
    ] = "latest",
    precision: Annotated[
        Literal["fp32", "int8"], typer.Option(help="int8: half the time on a CPU; needs --likeness and --double.")
    ] = "fp32",
    likeness: Annotated[
        Path | None, typer.Option(metavar="DIR", help="For int8: the faceset that it is calibrated and measured on.")
    ] = None,
    double: Annotated[Path | None, typer.Option(metavar="DIR", help="For int8: the faceset of the double.")] = None,
    shot: Shot = "",
    consent: Consents = [],  # noqa: B006 - typer reads the default, nobody changes it
    keyring: Keyring = None,
    overwrite: Overwrite = False,
    events: Events = "",
    debug: Debug = False,
) -> None:
    """Write a trained model as a .vfxmodel.

    Prints the sha256 of the network, which consents to swap have to list.
    """
    if to == "nuke-cat":
        raise UsageError("--to nuke-cat is not built in this version", hint="export a .vfxmodel")
    if to != "vfxmodel":
        raise UsageError(f"--to is {to!r}", hint="vfxmodel is the only format")
    if output.suffix != ".vfxmodel":
        raise UsageError(f"--output is {output.name}", hint="a model's name ends in .vfxmodel")
    if (precision == "int8") != (likeness is not None and double is not None):
        raise UsageError("--precision int8, --likeness and --double go together", hint="give all three, or none")
    guard = gate(consents=consent, keyring=keyring)
    _require_extra()
    from vfxswap.train import package

    leave = partial(guard.authorize, shot=shot_id(shot, folder=model_dir.resolve().name), use="train")
    grant = leave(performers=package.read_performers(model_dir).by_role())
    others = tuple(leave(performers=people.by_role()) for people in package.read_others(model_dir))
    if output.exists() and not overwrite:
        raise OutputError("the model is there already", path=output, hint="give --overwrite")
    banks = _banks_of(model_dir, likeness, double) if likeness is not None and double is not None else None
    card = package.export_model(model_dir, output, grant=grant, others=others, which=checkpoint, int8_on=banks)
    if card.precision == "int8":
        typer.echo(f"int8 costs {card.metrics['int8_loss_db']:.2f} dB on held-out crops")
    typer.echo(f"{output}: {card.performers.likeness} over {card.performers.double}, {card.resolution} px")
    typer.echo(f"network sha256 {card.onnx_sha256}")


def _banks_of(model_dir: Path, likeness: Path, double: Path) -> tuple[Bank, Bank]:
    """The crops of a training's performers, to calibrate integers on.

    Raises:
        FacesetError: not facesets. UsageError: they are of other performers, for whom no leave was asked.
    """
    from vfxswap.models import config_from_json
    from vfxswap.train import checkpoint, package
    from vfxswap.train.bank import load_bank

    people = package.read_performers(model_dir)
    sets = (faceset.load(likeness), faceset.load(double))
    found = tuple(one.performer for one in sets)
    if found != (people.likeness, people.double):
        raise UsageError(
            f"the facesets are of {' and '.join(found)}, the training of {people.likeness} and {people.double}",
            hint="give those that the training was on",
        )
    state = checkpoint.find(model_dir, checkpoint.LATEST)
    if state is None:
        raise ModelError("no training there", path=model_dir, hint="train first")
    size = config_from_json(state.architecture, state.network).resolution
    first, second = (load_bank(one, resolution=size, encoding=state.config.encoding) for one in sets)
    return first, second


def _require_extra() -> None:
    """Training libraries are an extra: a render node has none of them."""
    try:
        import onnx  # noqa: F401
        import safetensors  # noqa: F401

        import vfxswap.models  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in _EXTRA:
            raise
        raise ModelError(f"{error.name} is not installed", hint="pip install 'vfxswap[train]'") from error


def _facesets(folders: list[Path]) -> list[Faceset]:
    """Facesets of one performer; raises FacesetError, or UsageError when they are of several."""
    found = [faceset.load(folder) for folder in folders]
    people = list(dict.fromkeys(one.performer for one in found))
    if len(people) > 1:
        raise UsageError(
            f"the facesets are of {' and '.join(people)}", hint="give facesets of one performer for a role"
        )
    return found


def _amount(option: str, text: str | None, *, whole: bool) -> tuple[float, bool] | None:
    """(number, on top of what is spent) of a budget; raises UsageError."""
    if text is None:
        return None
    number = text.removeprefix("+")
    try:
        value = int(number) if whole else float(number)
    except ValueError:
        value = 0
    if not 0 < value < math.inf:
        kind = "a whole number of at least 1" if whole else "a number above 0"
        raise UsageError(f"{option} is {text!r}", hint=f"give {kind}, or +N for so much more than is spent")
    return value, text.startswith("+")


def _config(
    folder: Path, given: dict[str, Any], budget: dict[str, tuple[float, bool] | None] | None = None
) -> TrainConfig:
    """The run: of a folder that is already begun, what it was begun with, and on top what is given now."""
    from vfxswap.train.checkpoint import load_state
    from vfxswap.train.config import TrainConfig

    state = load_state(folder)
    values = state.config.model_dump() if state is not None else {}
    changes = {name: value for name, value in given.items() if value is not None}
    begun = values.get("encoding")
    if begun and changes.get("encoding", begun) != begun:
        raise ModelError(
            f"this folder was started with encoding {begun}, not with {changes['encoding']}",
            path=folder,
            hint="use another folder, or leave --encoding out",
        )
    spent = {"steps": state.step, "minutes": state.seconds / 60} if state is not None else {}
    for name, amount in (budget or {}).items():
        if amount is not None:
            values |= {"steps": None, "minutes": None}
            changes[name] = amount[0] + (spent.get(name, 0) if amount[1] else 0)
    try:
        return TrainConfig(**(values | changes))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UsageError(
            f"{'.'.join(map(str, first['loc']))}: {first['msg']}", hint="see vfxswap train --help"
        ) from error


def _earlier_training(
    folder: Path, start: Path | None, leave: Callable[..., Grant]
) -> tuple[Source | None, tuple[Grant, ...]]:
    """The training to begin from, and leave for the performers of it or of the one that a begun run came from.

    Raises:
        ConsentError: there is none. ModelError: no training there, or the run was begun from elsewhere.
    """
    from vfxswap.train import package
    from vfxswap.train.checkpoint import load_state
    from vfxswap.train.warm import Source

    state = load_state(folder)
    if state is not None:
        if start is not None and state.warm_start is None:
            raise ModelError("this folder was begun without --from", path=folder, hint="use another folder")
        return None, tuple(leave(performers=people.by_role()) for people in package.read_others(folder))
    if start is None:
        return None, ()
    held = (package.read_performers(start), *package.read_others(start))
    grants = tuple(leave(performers=people.by_role()) for people in held)
    return Source.open(start, grants=grants), grants


class _Reporter:
    """Turns a trainer's steps into events: progress a few times a second, every new score at once."""

    def __init__(self, sink: EventSink, config: TrainConfig, start: Standing) -> None:
        self._sink, self._config = sink, config
        self._first = (start.step, start.seconds)
        self._scores = start.scores
        self._due = 0.0

    def __call__(self, now: Standing) -> None:
        """Take the standing after a step."""
        if time.monotonic() >= self._due or now.spent >= 1.0:
            self._due = time.monotonic() + _TICK
            # A budget in minutes has no number of steps; this is what it will come to at the rate so far.
            total = self._config.steps or max(now.step, round(now.step / max(now.spent, 1e-3)))
            self._sink.emit(Progress(stage="train", done=now.step, total=total))
        if now.scores and now.scores is not self._scores:
            self._scores = now.scores
            rate = (now.step - self._first[0]) / max(now.seconds - self._first[1], 1e-3)
            self._sink.emit(
                Scored(
                    step=now.step,
                    rate=round(rate, 2),
                    left=round(now.left, 1),
                    losses=now.losses,
                    scores=now.scores,
                    expected=None if now.outlook is None else round(now.outlook.value, 2),
                    spread=None if now.outlook is None else round(now.outlook.spread, 2),
                )
            )
