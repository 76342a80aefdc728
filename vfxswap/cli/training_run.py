"""What `train` and `retrain` share: facesets and leave, the run's settings, and spending the budget."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from pydantic import ValidationError

from vfxswap import documents, faceset
from vfxswap.cli.common import Work
from vfxswap.errors import EXIT_CANCELLED, Cancelled, ModelError, UsageError
from vfxswap.events import EventSink, NullSink, Progress, Scored, Warned
from vfxswap.infer import Device

if TYPE_CHECKING:
    from vfxswap.faceset import Faceset
    from vfxswap.train.bank import Bank
    from vfxswap.train.config import TrainConfig
    from vfxswap.train.loop import Progress as Standing
    from vfxswap.train.parallel import Ranks
    from vfxswap.train.warm import Source
    from vfxswap.trust import Grant

_EXTRA = frozenset({"torch", "safetensors", "onnx"})
STATE = "state.json"
_TICK = 0.25
"""Seconds between two progress events: a small model takes dozens of steps in that time."""


def require_extra() -> None:
    """Training libraries are an extra: a render node has none of them."""
    try:
        import onnx  # noqa: F401
        import safetensors  # noqa: F401

        import vfxswap.models  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in _EXTRA:
            raise
        raise ModelError(f"{error.name} is not installed", hint="pip install 'vfxswap[train]'") from error


def load_facesets(folders: Sequence[Path]) -> tuple[Faceset, ...]:
    """The facesets of one role; raises FacesetError."""
    return tuple(faceset.load(folder) for folder in folders)


def origin(sets: Sequence[Faceset], *folders: Path) -> list[dict[str, Any]]:
    """Every consent that facesets and trainings stand on, for the gate: none of them may have been withdrawn.

    A training that cannot be read says nothing here; whoever opens it says what is wrong with it.
    """
    found: list[dict[str, Any]] = [dict(consent) for one in sets for consent in one.consents]
    for folder in folders:
        try:
            state = documents.json_value(documents.read_bytes(folder / STATE, most=documents.LARGE))
            parts = (state, *state.get("earlier", ()))
            found += [dict(consent) for part in parts for consent in part.get("consents", ())]
        except (OSError, ValueError, TypeError, AttributeError):
            continue
    return found


def allowed(sets: Sequence[Faceset], grant: Grant) -> None:
    """Refuse facesets that were not compared with the references that a consent of the grant names."""
    for one in sets:
        faceset.require_compared(one, grant.consents)


def performers(sets: Sequence[Faceset]) -> tuple[str, ...]:
    """Whose they are, each once."""
    return tuple(dict.fromkeys(one.performer for one in sets))


def amount(option: str, text: str | None, *, whole: bool) -> tuple[float, bool] | None:
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


def config_of(
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


def earlier_training(
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


@dataclass(frozen=True)
class Run:
    """A training that is settled and allowed.

    Attributes:
        folder: of the model.
        config: its settings.
        likeness, double: facesets; of one performer the first is the main one, the rest are drawn more often.
        grant: leave for these performers.
        source, others: what it begins from, and leave for that (`earlier_training`).
        device: auto | cpu | cuda.
    """

    folder: Path
    config: TrainConfig
    likeness: Sequence[Faceset]
    double: Sequence[Faceset]
    grant: Grant
    source: Source | None = None
    others: tuple[Grant, ...] = ()
    device: Device = "auto"

    def spend(self, work: Work, *, ranks: Ranks | None = None) -> Standing:
        """Train to the end of the budget, telling `work` how it goes; raises what Trainer does."""
        from vfxswap.train.loop import Trainer

        leads = ranks is None or ranks.leads
        sink = work.sink if leads else NullSink()
        trainer = Trainer(
            self.folder,
            config=self.config,
            likeness=self._bank(self.likeness),
            double=self._bank(self.double),
            grant=self.grant,
            device=self.device,
            warn=lambda code, message: sink.emit(Warned(code=code, message=message)),
            ranks=ranks,
            source=self.source,
            others=self.others,
        )
        try:
            return trainer.run(cancel=work.cancel, report=_Reporter(sink, self.config, trainer.progress))
        except Cancelled:
            if leads:
                raise
            raise typer.Exit(EXIT_CANCELLED) from None  # one process says it for all

    def _bank(self, sets: Sequence[Faceset]) -> Bank:
        """Facesets in memory: those of one performer joined, several performers made one face."""
        from vfxswap.models import preset
        from vfxswap.train.bank import load_bank
        from vfxswap.train.blend import blend
        from vfxswap.train.joined import join_banks

        size, encoding = preset(self.config.preset).resolution, self.config.encoding
        groups = [[one for one in sets if one.performer == name] for name in performers(sets)]
        banks = [
            join_banks(
                [load_bank(one, resolution=size, encoding=encoding, further=i > 0) for i, one in enumerate(group)]
            )
            for group in groups
        ]
        return banks[0] if len(banks) == 1 else blend(banks, self.config.blend or [1.0] * len(banks))


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
