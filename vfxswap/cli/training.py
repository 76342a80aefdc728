"""`vfxswap train` and `export`: from the facesets of two performers to a model."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vfxswap import color, faceset
from vfxswap.cli import lifeline
from vfxswap.cli.common import (
    Consents,
    Debug,
    Events,
    Keyring,
    Overwrite,
    Shot,
    gate,
    shipped,
    shot_id,
    working,
)
from vfxswap.cli.knobs import Device
from vfxswap.cli.training_run import (
    Run,
    allowed,
    amount,
    config_of,
    earlier_training,
    load_facesets,
    origin,
    performers,
    require_extra,
)
from vfxswap.errors import ModelError, OutputError, UsageError
from vfxswap.events import Done, NullSink, Started
from vfxswap.train import uses

if TYPE_CHECKING:
    from vfxswap.train.bank import Bank
    from vfxswap.vfxmodel import ModelCard

_FORMATS = ("vfxmodel", "nuke-cat")


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
    use: Annotated[
        str | None, typer.Option(metavar="|".join(uses.USES), help="What for: docs/training.md; swap without.")
    ] = None,
    weight: Annotated[
        list[float],
        typer.Option(metavar="X", help="Of a likeness made of several performers: how much of each, in their order."),
    ] = [],  # noqa: B006 - typer reads the default, nobody changes it
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
    budget = {"steps": amount("--steps", steps, whole=True), "minutes": amount("--minutes", minutes, whole=False)}
    guard = gate(consents=consent, keyring=keyring)
    sets = {"likeness": load_facesets(likeness), "double": load_facesets(double)}
    people = {role: performers(found) for role, found in sets.items()}
    begun = (model_dir / "state.json").exists()  # a run that is begun says itself what it is for
    if use is not None or not begun:
        uses.check_people(use or "swap", likeness=people["likeness"], double=people["double"])
    leave = partial(
        guard.authorize,
        shot=shot_id(shot, folder=model_dir.resolve().name),
        use="train",
        origin=origin([*sets["likeness"], *sets["double"]], model_dir, *([start] if start else [])),
    )
    grant = leave(performers=uses.together(likeness=people["likeness"], double=people["double"]).by_role())
    allowed([*sets["likeness"], *sets["double"]], grant)
    require_extra()
    from vfxswap.models import preset as network
    from vfxswap.train import parallel
    from vfxswap.train.checkpoint import STATE

    given = {
        "preset": preset,
        "use": use,
        "blend": tuple(weight) or None,
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
    config = config_of(model_dir, given, budget)
    uses.check_people(config.use, likeness=people["likeness"], double=people["double"], weights=config.blend)
    network(config.preset)
    source, others = earlier_training(model_dir, start, leave)
    run = Run(model_dir, config, sets["likeness"], sets["double"], grant, source, others, device)
    ranks = parallel.launched()
    # Threads of torch.distributed now and then abort an interpreter that is torn down (SIGABRT after the last line).
    ctx.obj.at_once = ranks.count > 1
    with working(ctx, events=events) as work, parallel.together(ranks):
        lifeline.hold(work.cancel)
        sink = work.sink if ranks.leads else NullSink()
        sink.emit(Started(job=f"train {config.preset}", frames=""))
        ended = run.spend(work, ranks=ranks)
        sink.emit(Done(manifest=str(model_dir / STATE), counts={"steps": ended.step}, reason=ended.reason))


def export(
    model_dir: Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="Folder of a training.")],
    output: Annotated[Path, typer.Option(metavar="FILE", help="The .vfxmodel to write; for Nuke a folder.")],
    to: Annotated[
        str, typer.Option(metavar="|".join(_FORMATS), help="Format; nuke-cat: for Nuke's Inference node.")
    ] = "vfxmodel",
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
    """Write a trained model as a .vfxmodel, or for Nuke's Inference node.

    Prints the sha256 of the network, which consents to swap have to list.
    """
    if to not in _FORMATS:
        raise UsageError(f"--to is {to!r}", hint=f"use one of {', '.join(_FORMATS)}")
    if to == "vfxmodel" and output.suffix != ".vfxmodel":
        raise UsageError(f"--output is {output.name}", hint="a model's name ends in .vfxmodel")
    if to == "nuke-cat" and precision == "int8":
        raise UsageError("--precision int8 is not for Nuke", hint="leave it out")
    if (precision == "int8") != (likeness is not None and double is not None):
        raise UsageError("--precision int8, --likeness and --double go together", hint="give all three, or none")
    guard = gate(consents=consent, keyring=keyring)
    require_extra()
    from vfxswap.train import nuke_cat, package

    where = shot_id(shot, folder=model_dir.resolve().name)
    leave = partial(guard.authorize, shot=where, use="train", origin=origin([], model_dir))
    grant = leave(performers=package.read_performers(model_dir).by_role())
    others = tuple(leave(performers=people.by_role()) for people in package.read_others(model_dir))
    if to == "nuke-cat":
        nuke_cat.check_name(output, overwrite=overwrite)
        ready = nuke_cat.prepare(model_dir, grant=grant, others=others, which=checkpoint)
        # Nuke asks nobody: who makes the file has to have leave for what it will do.
        swap = guard.authorize(
            shot=where,
            use="swap",
            performers=ready.card.performers.by_role(),
            model_sha256=ready.card.onnx_sha256,
            origin=ready.card.origin(),
        )
        gizmo = (shipped("gizmos") / f"{nuke_cat.GIZMO}.gizmo").read_text(encoding="utf-8")
        maker = (shipped("hosts") / "nuke" / nuke_cat.MAKER).read_text(encoding="utf-8")
        nuke_cat.write(ready, output, grant=swap, gizmo=gizmo, maker=maker)
        _say(output, ready.card)
        typer.echo(f"next, on a machine with NukeX: nuke --nukex -i -t {output / nuke_cat.MAKER}")
        return
    if output.exists() and not overwrite:
        raise OutputError("the model is there already", path=output, hint="give --overwrite")
    banks = _banks_of(model_dir, likeness, double) if likeness is not None and double is not None else None
    card = package.export_model(model_dir, output, grant=grant, others=others, which=checkpoint, int8_on=banks)
    if card.precision == "int8":
        typer.echo(f"int8 costs {card.metrics['int8_loss_db']:.2f} dB on held-out crops")
    _say(output, card)


def _say(output: Path, card: ModelCard) -> None:
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
