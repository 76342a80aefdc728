"""`vfxswap train` and `export`: from the facesets of two performers to a model."""

from __future__ import annotations

import time
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
    Work,
    gate,
    shot_id,
    working,
)
from vfxswap.cli.knobs import Device
from vfxswap.errors import ModelError, OutputError, UsageError
from vfxswap.events import Done, Progress, Scored, Started, Warned

if TYPE_CHECKING:
    from vfxswap.train.config import TrainConfig
    from vfxswap.train.loop import Progress as Standing

_EXTRA = frozenset({"torch", "safetensors", "onnx"})
_TICK = 0.25
"""Seconds between two progress events: a small model takes dozens of steps in that time."""


def train(
    ctx: typer.Context,
    model_dir: Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="Folder of checkpoints; continued if begun.")],
    likeness: Annotated[Path, typer.Option(metavar="DIR", help="Faceset of the face that appears.")],
    double: Annotated[Path, typer.Option(metavar="DIR", help="Faceset of the face that is replaced.")],
    preset: Annotated[str | None, typer.Option(metavar="tiny|hd", help="Size of the networks; tiny without.")] = None,
    encoding: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(color.encodings()), help="What the network sees: acescct keeps highlights; srgb without."
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Budget in steps.")] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Budget in minutes of training; 60 without any.")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Crops of each performer in a step; 8 without.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Start of all randomness; 1 without.")] = None,
    precision: Annotated[
        Literal["auto", "fp32", "bf16"] | None, typer.Option(help="auto: bf16 where it is faster.")
    ] = None,
    device: Device = "auto",
    shot: Shot = "",
    consent: Consents = [],  # noqa: B006 - typer reads the default, nobody changes it
    keyring: Keyring = None,
    events: Events = "",
    debug: Debug = False,
) -> None:
    """Train a model that paints the likeness over the double.

    The same command again continues the run. Ctrl-C saves a checkpoint first.
    """
    if steps is not None and minutes is not None:
        raise UsageError("--steps and --minutes are both given", hint="give either")
    guard = gate(consents=consent, keyring=keyring)
    sets = {"likeness": faceset.load(likeness), "double": faceset.load(double)}
    people = {role: found.performer for role, found in sets.items()}
    if people["likeness"] == people["double"]:
        raise UsageError(f"both facesets are of {people['likeness']}", hint="give facesets of two performers")
    grant = guard.authorize(
        shot=shot_id(shot, folder=model_dir.resolve().name),
        use="train",
        performers={"likeness": people["likeness"], "double": people["double"]},
    )
    _require_extra()
    from vfxswap.models import preset as network
    from vfxswap.train.bank import load_bank
    from vfxswap.train.checkpoint import STATE
    from vfxswap.train.loop import Trainer

    given = {
        "preset": preset,
        "encoding": encoding,
        "steps": steps,
        "minutes": minutes,
        "batch": batch,
        "seed": seed,
        "precision": precision,
    }
    config = _config(model_dir, given)
    resolution = network(config.preset).resolution
    with working(ctx, events=events) as work:
        work.sink.emit(Started(job=f"train {config.preset}", frames=""))
        trainer = Trainer(
            model_dir,
            config=config,
            likeness=load_bank(sets["likeness"], resolution=resolution, encoding=config.encoding),
            double=load_bank(sets["double"], resolution=resolution, encoding=config.encoding),
            grant=grant,
            device=device,
            warn=lambda code, message: work.sink.emit(Warned(code=code, message=message)),
        )
        ended = trainer.run(cancel=work.cancel, report=_Reporter(work, config, trainer.progress))
        work.sink.emit(Done(manifest=str(model_dir / STATE), counts={"steps": ended.step}))


def export(
    model_dir: Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="Folder of a training.")],
    output: Annotated[Path, typer.Option(metavar="FILE", help="The .vfxmodel to write.")],
    to: Annotated[str, typer.Option(metavar="vfxmodel", help="Format.")] = "vfxmodel",
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
    guard = gate(consents=consent, keyring=keyring)
    _require_extra()
    from vfxswap.train import package

    performers = package.read_performers(model_dir).by_role()
    grant = guard.authorize(shot=shot_id(shot, folder=model_dir.resolve().name), use="train", performers=performers)
    if output.exists() and not overwrite:
        raise OutputError("the model is there already", path=output, hint="give --overwrite")
    card = package.export_model(model_dir, output, grant=grant)
    typer.echo(f"{output}: {card.performers.likeness} over {card.performers.double}, {card.resolution} px")
    typer.echo(f"network sha256 {card.onnx_sha256}")


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


def _config(folder: Path, given: dict[str, Any]) -> TrainConfig:
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
    if "steps" in changes or "minutes" in changes:
        values |= {"steps": None, "minutes": None}
    try:
        return TrainConfig(**(values | changes))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UsageError(
            f"{'.'.join(map(str, first['loc']))}: {first['msg']}", hint="see vfxswap train --help"
        ) from error


class _Reporter:
    """Turns a trainer's steps into events: progress a few times a second, every new score at once."""

    def __init__(self, work: Work, config: TrainConfig, start: Standing) -> None:
        self._work, self._config = work, config
        self._first = (start.step, start.seconds)
        self._scores = start.scores
        self._due = 0.0

    def __call__(self, now: Standing) -> None:
        """Take the standing after a step."""
        if time.monotonic() >= self._due or now.spent >= 1.0:
            self._due = time.monotonic() + _TICK
            # A budget in minutes has no number of steps; this is what it will come to at the rate so far.
            total = self._config.steps or max(now.step, round(now.step / max(now.spent, 1e-3)))
            self._work.sink.emit(Progress(stage="train", done=now.step, total=total))
        if now.scores and now.scores is not self._scores:
            self._scores = now.scores
            rate = (now.step - self._first[0]) / max(now.seconds - self._first[1], 1e-3)
            left = now.seconds / max(now.spent, 1e-6) - now.seconds
            self._work.sink.emit(
                Scored(
                    step=now.step,
                    rate=round(rate, 2),
                    left=round(max(0.0, left), 1),
                    losses=now.losses,
                    scores=now.scores,
                )
            )
