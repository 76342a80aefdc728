"""`vfxswap retrain`: the frames that came out worst teach the model, with one command that can be given again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vfxswap import archive, color, documents
from vfxswap.cli.common import (
    ColorConfig,
    ColorContext,
    ColorSpace,
    Consents,
    Debug,
    Events,
    Face,
    Keyring,
    Part,
    Shot,
    View,
    Work,
    context,
    gate,
    shot_id,
    working,
)
from vfxswap.cli.knobs import Device
from vfxswap.cli.training_run import (
    Run,
    allowed,
    config_of,
    earlier_training,
    load_facesets,
    origin,
    performers,
    require_extra,
)
from vfxswap.errors import FacesetError, ModelError, UsageError
from vfxswap.events import Done, Progress, Started, Warned
from vfxswap.faceset import Footage, open_footage
from vfxswap.train import uses

if TYPE_CHECKING:
    from vfxswap.faceset import Faceset
    from vfxswap.train.config import TrainConfig
    from vfxswap.train.retrain import Collecting, Round
    from vfxswap.trust import Grant

WORST = 12
MINUTES = 20.0


def retrain(
    ctx: typer.Context,
    model_dir: Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="Folder of a training.")],
    report: Annotated[
        Path, typer.Option(metavar="FILE", help="JSON of `qc`, `bench quality`, `faceset report`, or vfxswap.worst/1.")
    ],
    plate: Annotated[str, typer.Option(metavar="PLATE", help="The double's plate that the report is about.")],
    likeness: Annotated[list[Path], typer.Option(metavar="DIR", help="As for train.")],
    double: Annotated[list[Path], typer.Option(metavar="DIR", help="As for train.")],
    worst: Annotated[int, typer.Option(min=1, help="How many of the worst frames.")] = WORST,
    of: Annotated[str, typer.Option(metavar="NAME", help="The shot, where the report has several.")] = "",
    steps: Annotated[int | None, typer.Option(min=1, help="Budget: so many steps more.")] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help=f"Budget: so many minutes of training more; {MINUTES:g} without any.")
    ] = None,
    into: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A new training that begins with this one's weights.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The reference file that the double's consent names.")
    ] = None,
    face: Face = "",
    colorspace: ColorSpace = "",
    color_config: ColorConfig = "",
    color_context: ColorContext = [],  # noqa: B006 - typer reads the default, nobody changes it
    view: View = "",
    part: Part = "",
    device: Device = "auto",
    shot: Shot = "",
    consent: Consents = [],  # noqa: B006 - typer reads the default, nobody changes it
    keyring: Keyring = None,
    events: Events = "",
    debug: Debug = False,
) -> None:
    """Go on training with the frames that came out worst, and the likeness's nearest poses, drawn more often.

    The same command again goes on where a broken one stopped; when it is through it changes nothing.
    """
    if steps is not None and minutes is not None:
        raise UsageError("--steps and --minutes are both given", hint="give either")
    guard = gate(consents=consent, keyring=keyring)
    require_extra()
    from vfxswap.train import retrain as rounds

    sets = {"likeness": load_facesets(likeness), "double": load_facesets(double)}
    people = {role: performers(found) for role, found in sets.items()}
    where = shot_id(shot, folder=model_dir.resolve().name)
    target = into or model_dir
    every = [*sets["likeness"], *sets["double"]]
    stands_on = [*origin(every, model_dir, *([into] if into else [])), *rounds.consents(target)]
    leave = partial(guard.authorize, shot=where, use="train", origin=stands_on)
    grant = leave(performers=uses.together(likeness=people["likeness"], double=people["double"]).by_role())
    cutting = guard.authorize_faceset(performer=people["double"][0], shot=where, origin=stands_on)
    allowed(every, grant)
    asking = _Asking(
        report=report,
        plate=plate,
        worst=worst,
        of=of,
        steps=steps,
        minutes=None if steps is not None else minutes or MINUTES,
        start=None if into is None else model_dir,
    )
    record, config = asking.settle(target)
    uses.check_people(config.use, likeness=people["likeness"], double=people["double"], weights=config.blend)
    source, others = earlier_training(target, asking.start, leave)
    with working(ctx, events=events) as work:
        work.sink.emit(
            Started(job=f"retrain {config.preset}", frames=" ".join(str(one.frame) for one in record.frames))
        )
        if record.done:
            _finished(work, target, record, "these frames are learned already, up to that budget")
            return
        footage = None
        if not record.collected:
            footage = _footage(
                plate,
                config=color.ColorConfig.load(color_config or None, context=context(color_context)),
                colorspace=colorspace,
                face=face,
                view=view,
                part=part,
            )
            record = _collect(_collecting(work, target, cutting, device, reference), record, footage, sets)
        run = Run(
            target,
            config,
            _joined(sets["likeness"], rounds.collected(target, "likeness")),
            _joined(sets["double"], rounds.collected(target, "double")),
            grant,
            source,
            others,
            device,
        )
        ended = run.spend(work)
        record = rounds.write_round(target, record.model_copy(update={"done": True}))
        _finished(work, target, record, ended.reason)


@dataclass(frozen=True)
class _Asking:
    """What was asked for, apart from the people."""

    report: Path
    plate: str
    worst: int
    of: str
    steps: int | None
    minutes: float | None
    start: Path | None

    def settle(self, target: Path) -> tuple[Round, TrainConfig]:
        """The round, the one that was begun where the same was asked before, and the settings of its training.

        Raises:
            UsageError: the report cannot be read, or names no frames. ModelError: no training there.
        """
        from vfxswap.train import retrain as rounds
        from vfxswap.train.checkpoint import load_state
        from vfxswap.train.worst import read_worst

        try:
            data = documents.read_bytes(self.report, most=documents.LARGE)
        except documents.TooLargeError as error:
            raise UsageError(f"the report is {error}", path=self.report, hint="give a report of frames") from error
        except OSError as error:
            raise UsageError(f"the report cannot be read: {error.strerror}", hint=f"check {self.report}") from error
        found = read_worst(data, path=self.report, shot=self.of)
        key = rounds.round_key(data, self.of, self.plate, self.worst, self.steps, self.minutes)
        before, state = rounds.read_rounds(target).find(key), load_state(target)
        first = load_state(self.start) if self.start is not None else state
        if first is None:
            raise ModelError(f"no training in {self.start or target}", hint="train first: vfxswap train")
        # A new folder takes over what cannot differ, or should not.
        taken = ("preset", "use", "blend", "encoding", "batch", "seed", "precision", "score_every_steps")
        given: dict[str, Any] = {name: getattr(first.config, name) for name in taken} if state is None else {}
        if before is not None:
            budget = {"steps": _upto(before.steps), "minutes": _upto(before.minutes)}
            return before, config_of(target, given, budget)
        budget = {"steps": _more(self.steps), "minutes": _more(self.minutes)}
        config = config_of(target, given, budget)
        record = rounds.Round(
            key=key,
            report=self.report.name,
            report_sha256=archive.sha256(data),
            plate=self.plate,
            frames=rounds.asked(found, self.worst),
            steps=config.steps,
            minutes=config.minutes,
            began_at=state.step if state is not None else 0,
        )
        return record, config


def _upto(amount: float | None) -> tuple[float, bool] | None:
    return None if amount is None else (amount, False)


def _more(amount: float | None) -> tuple[float, bool] | None:
    return None if amount is None else (amount, True)


def _footage(plate: str, **settings: Any) -> Footage:
    """The plate of the report; raises UsageError when its notation names several."""
    found = open_footage(plate, **settings)
    if len(found) != 1:
        raise UsageError(f"{plate} names {len(found)} plates", hint="give the one that the report is about")
    return found[0]


def _collecting(work: Work, target: Path, grant: Grant, device: Device, reference: Path | None) -> Collecting:
    from vfxswap.train.retrain import Collecting

    return Collecting(
        model=target,
        grant=grant,
        reference=reference,
        device=device,
        warn=lambda error: work.sink.emit(Warned(code=error.code, message=str(error), frame=error.frame)),
        progress=lambda stage, done, total: work.sink.emit(Progress(stage=stage, done=done, total=total)),
        cancel=work.cancel,
    )


def _collect(collecting: Collecting, record: Round, footage: Footage, sets: dict[str, tuple[Faceset, ...]]) -> Round:
    """Collect a round's frames and the likeness's nearest crops; a face made of several performers has none."""
    from vfxswap.train import retrain as rounds

    rounds.write_round(collecting.model, record)
    worst = collecting.double(sets["double"][0], footage, [one.frame for one in record.frames])
    if len(performers(sets["likeness"])) == 1:
        try:
            collecting.likeness(sets["likeness"][0], worst)
        except FacesetError as error:  # not one of the frames can be judged
            collecting.warn(error)
    return rounds.write_round(collecting.model, record.model_copy(update={"collected": True}))


def _joined(sets: tuple[Faceset, ...], more: Faceset | None) -> tuple[Faceset, ...]:
    return sets if more is None else (*sets, more)


def _finished(work: Work, target: Path, record: Round, reason: str) -> None:
    from vfxswap.train import retrain as rounds

    held = {"likeness": rounds.collected(target, "likeness"), "double": rounds.collected(target, "double")}
    counts = {f"crops of the {role}": len(one.usable()) for role, one in held.items() if one is not None}
    work.sink.emit(Done(manifest=str(target / rounds.FOLDER / rounds.ROUNDS), counts=counts, reason=reason))
