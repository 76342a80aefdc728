"""Checkpoints: safetensors + JSON, written whole, never unpickled.

A checkpoint is one file: tensors, and its `State` in the header. `state.json` names the newest one and is replaced
only after the tensors are on the disk, so a killed run continues from the last whole one.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vfxswap import atomic, documents
from vfxswap.errors import ModelError
from vfxswap.train.config import TrainConfig
from vfxswap.vfxmodel import Condition, Performers

STATE = "state.json"
LATEST, BEST = "latest", "best"

_PATTERN = "checkpoint-*.safetensors"
_HALF = ".tmp??????"
"""What safetensors writes to before it takes the name that it was given; a run that was killed then leaves it."""
_HEADER = "state"
_MOMENTS = ("exp_avg", "exp_avg_sq")
_ANEW = "train again in another folder"
_OS_ERROR = re.compile(r"os error (\d+)")
_WINDOWS_FULL = {39: errno.ENOSPC, 112: errno.ENOSPC}


class Provenance(BaseModel):
    """What a run stands on: the consents (id and record sha256) and the sha256 of each faceset by role."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    consents: tuple[dict[str, str], ...] = ()
    data: dict[str, str] = Field(default_factory=dict)


class Earlier(Provenance):
    """What a run stood on before it was continued, up to and including step `until`, on something else.

    0 is what it began with: the training it took its weights from (`warm`).
    """

    until: int
    performers: Performers | None = None
    """Whose faces, where they are not those of the run itself."""


class WarmStart(BaseModel):
    """The training that a run took its first weights from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Of its folder."""
    state_sha256: str
    step: int
    taken: tuple[str, ...]
    """Which networks."""


class State(BaseModel):
    """`state.json`: everything about the newest checkpoint but its tensors."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_: Literal["vfxswap.training/1"] = Field(default="vfxswap.training/1", alias="schema")
    step: int = Field(ge=0)
    tensors: str = Field(default="", pattern=r"^(checkpoint-\d+\.safetensors)?$")
    """File name of the tensors, in the same folder."""
    config: TrainConfig
    architecture: str
    network: dict[str, Any]
    performers: Performers
    seconds: float
    """Time spent training, scoring apart."""
    scores: dict[str, float]
    """The newest, which may be of an earlier step: `scored`."""
    scored: int | None = None
    precision: str
    device: str
    ended: str = ""
    """Why the run ended before its budget, in words; empty while it goes on."""
    rollbacks: int = 0
    """How often the run went back to a checkpoint; each halved the rates."""
    placement: tuple[float, float] = (0.0, 0.0)
    """See vfxmodel.ModelCard."""
    told: dict[str, Condition] = Field(default_factory=dict)
    """By role, what standardises what the network is told (told.py); empty: it is told nothing."""
    consents: tuple[dict[str, str], ...] = ()
    data: dict[str, str] = Field(default_factory=dict)
    earlier: tuple[Earlier, ...] = ()
    warm_start: WarmStart | None = None
    micro_batch: int = Field(default=0, ge=0)
    """Crops of each performer computed at once when memory was short; 0: all."""
    processes: int = Field(default=1, ge=1)
    compiled: bool = False

    @property
    def quality(self) -> float | None:
        """Held-out PSNR of the likeness with these very weights; None where it was not measured."""
        return self.scores.get("likeness_psnr") if self.scored == self.step else None


def save(folder: Path, *, tensors: Mapping[str, Tensor], state: State) -> None:
    """Write checkpoint `state.step` and point state.json at it.

    The newest `config.keep` stay, and the one with the best held-out score on the same facesets.

    Raises:
        ResourceError: the disk is full. OutputError: no permission. What was there before is then still there.
    """
    atomic.make_folder(folder)
    _sweep(folder)
    name = f"checkpoint-{state.step:08d}.safetensors"
    whole = state.model_copy(update={"tensors": name})
    text = whole.model_dump_json(by_alias=True, indent=1) + "\n"
    with atomic.replacing(folder / name) as temporary:
        _write_tensors(temporary, tensors, text)
    atomic.write_text(folder / STATE, text)
    _thin(folder, whole)


def _write_tensors(path: Path, tensors: Mapping[str, Tensor], header: str) -> None:
    plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    try:
        save_file(plain, path, metadata={_HEADER: header})
    except SafetensorError as error:
        code = _OS_ERROR.search(str(error))
        if code is None:
            raise
        number = int(code[1])
        raise OSError(_WINDOWS_FULL.get(number, number), str(error)) from error


def tidy(folder: Path) -> None:
    """Do what a run that was killed right after its last checkpoint did not come to."""
    newest = load_state(folder)
    if newest is not None:
        _sweep(folder)
        _thin(folder, newest)


def _sweep(folder: Path) -> None:
    atomic.sweep(folder)
    for stale in folder.glob(_HALF):
        stale.unlink(missing_ok=True)


def _thin(folder: Path, newest: State) -> None:
    """Remove what need not stay. What was written after `newest` is of a run that went back."""
    at = {path: _step(path) for path in sorted(folder.glob(_PATTERN))}
    past = [path for path, step in at.items() if step <= newest.step]
    keep = set(past[-newest.config.keep :])
    best = best_of(folder)
    if best is not None:
        keep.add(folder / best.tensors)
    for path in at:
        if path not in keep:
            path.unlink(missing_ok=True)


def _step(path: Path) -> int:
    digits = path.stem.rpartition("-")[2]
    return int(digits) if digits.isdigit() else 0


def kept(folder: Path) -> list[State]:
    """The checkpoints in the folder that say what they are, oldest first; damaged ones are left out."""
    return [state for path in sorted(folder.glob(_PATTERN)) if (state := _header(path)) is not None]


def best_of(folder: Path) -> State | None:
    """The kept checkpoint with the best held-out score; those scored on other facesets than the newest do not count."""
    newest = load_state(folder)
    found = [s for s in kept(folder) if s.quality is not None and newest is not None and s.data == newest.data]
    return max(found, key=lambda s: (s.quality or 0.0, s.step), default=None)


def find(folder: Path, which: str) -> State | None:
    """A checkpoint by `latest`, `best` or the number of its step; None in a folder without any.

    Raises:
        ModelError: it is not kept.
    """
    newest = load_state(folder)
    if newest is None or which in (LATEST, str(newest.step)):
        return newest
    states = {str(state.step): state for state in kept(folder)}
    found = best_of(folder) if which == BEST else states.get(which)
    if found is None:
        raise ModelError(
            f"no checkpoint {which!r} is kept" if which != BEST else "no kept checkpoint was scored",
            path=folder,
            hint=f"there are {', '.join([LATEST, BEST, *states])}",
        )
    return found


def _header(path: Path) -> State | None:
    try:
        with safe_open(path, framework="pt") as handle:
            text = (handle.metadata() or {}).get(_HEADER, "")
        return State.model_validate_json(text)
    except (OSError, SafetensorError, ValidationError):
        return None


def load_whole(
    folder: Path, state: State, *, warn: Callable[[str, str], None] = lambda _code, _message: None
) -> tuple[State, dict[str, Tensor]]:
    """A checkpoint and its tensors; where they are damaged, those of the newest whole one before it.

    Raises:
        ModelError: none is whole.
    """
    try:
        return state, load_tensors(folder, state)
    except ModelError as error:
        for older in reversed([s for s in kept(folder) if s.step < state.step]):
            try:
                tensors = load_tensors(folder, older)
            except ModelError:
                continue
            warn("checkpoint", f"{error.message} ({state.tensors}): going on from step {older.step}")
            return older, tensors
        raise


def load_state(folder: Path) -> State | None:
    """The newest checkpoint's JSON, or None in a folder without one; raises ModelError when it is damaged."""
    path = folder / STATE
    try:
        return State.model_validate_json(documents.read_bytes(path, most=documents.LARGE))
    except FileNotFoundError:
        return None
    except documents.TooLargeError as error:
        raise ModelError(f"training state is {error}", path=path, hint="train again in another folder") from error
    except ValidationError as error:
        if (other := documents.version_problem(error)) is not None:
            raise ModelError(other[0], path=path, hint=other[1]) from error
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"]) or "not JSON"
        raise ModelError(
            f"training state is damaged or of another version: {where}: {first['msg']}",
            path=path,
            hint="train again in another folder",
        ) from error
    except OSError as error:
        raise ModelError(f"training state cannot be read: {error.strerror}", path=path) from error


def load_tensors(folder: Path, state: State) -> dict[str, Tensor]:
    """The tensors that `state` names; raises ModelError when they are missing or damaged."""
    path = folder / state.tensors
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError("checkpoint is missing or damaged", path=path, hint="train again in another folder") from error


def pack(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    """A module's weights under `prefix/`."""
    return {f"{prefix}/{key}": value for key, value in module.state_dict().items()}


def unpack(prefix: str, module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put weights saved by `pack` back; raises ModelError when names or shapes differ."""
    own = {key.removeprefix(f"{prefix}/"): value for key, value in tensors.items() if key.startswith(f"{prefix}/")}
    try:
        module.load_state_dict(own)
    except RuntimeError as error:
        raise ModelError(
            "checkpoint does not fit this architecture", hint="use the preset that the folder was started with"
        ) from error


@torch.no_grad()
def fill(own: Mapping[str, Tensor], saved: Mapping[str, Tensor | None]) -> None:
    """Copy saved weights into a module's own; raises ModelError when one is missing or of another shape."""
    for key, weight in own.items():
        value = saved[key]
        if value is None or value.shape != weight.shape:
            raise ModelError(f"weight {key} of the other training does not fit", hint="begin without --from")
        weight.copy_(value)


def pack_optimizer(prefix: str, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An Adam optimiser's moments and counters under `prefix/`."""
    tensors: dict[str, Tensor] = {}
    for index, moments in optimizer.state_dict()["state"].items():
        for key, value in moments.items():
            tensors[f"{prefix}/{index}/{key}"] = torch.as_tensor(value)
    return tensors


def unpack_optimizer(prefix: str, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put moments saved by `pack_optimizer` back; raises ModelError when they are not those of these weights."""
    whole = optimizer.state_dict()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith(f"{prefix}/"):
            index, _, name = key.removeprefix(f"{prefix}/").partition("/")
            if not (index.isascii() and index.isdigit() and len(index) < 9 and int(index) < len(parameters)):
                raise ModelError(f"checkpoint has moments of weight {index[:40]!r}", hint=_ANEW)
            state.setdefault(int(index), {})[name] = _laid_out_like(parameters[int(index)], value)
    for number, moments in state.items():
        shapes = {name: tuple(value.shape) for name, value in moments.items() if name != "step"}
        if "step" not in moments or shapes != dict.fromkeys(_MOMENTS, tuple(parameters[number].shape)):
            raise ModelError(f"checkpoint has other moments than weight {number} has", hint=_ANEW)
    optimizer.load_state_dict({"state": state, "param_groups": whole["param_groups"]})


def _laid_out_like(weight: Tensor, moment: Tensor) -> Tensor:
    """A copy, since the optimiser changes it in place, in the memory order of its weight.

    Fused optimisers walk through the memory of both side by side; files hold the plain order.
    """
    if moment.shape != weight.shape:
        return moment.clone()
    return torch.empty_like(weight, dtype=moment.dtype, requires_grad=False).copy_(moment)
