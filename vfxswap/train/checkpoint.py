"""Checkpoints: safetensors + JSON, written whole, never unpickled.

`state.json` names the newest checkpoint; it is replaced only after the tensors are on the disk, so a killed
run continues from the last whole one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vfxswap import atomic
from vfxswap.errors import ModelError
from vfxswap.train.config import TrainConfig
from vfxswap.vfxmodel import Performers

STATE = "state.json"
KEEP = 2


class Provenance(BaseModel):
    """What a run stands on: the consents (id and record sha256) and the sha256 of each faceset by role."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    consents: tuple[dict[str, str], ...] = ()
    data: dict[str, str] = Field(default_factory=dict)


class Earlier(Provenance):
    """What a run stood on before it was continued, up to and including step `until`, on something else."""

    until: int


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
    precision: str
    device: str
    rollbacks: int = 0
    """How often the run went back to a checkpoint; each halved the rates."""
    placement: tuple[float, float] = (0.0, 0.0)
    """See vfxmodel.ModelCard."""
    consents: tuple[dict[str, str], ...] = ()
    data: dict[str, str] = Field(default_factory=dict)
    earlier: tuple[Earlier, ...] = ()


def save(folder: Path, *, tensors: Mapping[str, Tensor], state: State) -> None:
    """Write checkpoint `state.step` and point state.json at it; older ones beyond KEEP are removed."""
    atomic.make_folder(folder)
    atomic.sweep(folder)
    name = f"checkpoint-{state.step:08d}.safetensors"
    with atomic.replacing(folder / name) as temporary:
        save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, temporary)
    whole = state.model_copy(update={"tensors": name})
    atomic.write_text(folder / STATE, whole.model_dump_json(by_alias=True, indent=1) + "\n")
    for old in sorted(folder.glob("checkpoint-*.safetensors"))[:-KEEP]:
        old.unlink(missing_ok=True)


def load_state(folder: Path) -> State | None:
    """The newest checkpoint's JSON, or None in a folder without one; raises ModelError when it is damaged."""
    path = folder / STATE
    try:
        return State.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
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


def pack_optimizer(prefix: str, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An Adam optimiser's moments and counters under `prefix/`."""
    tensors: dict[str, Tensor] = {}
    for index, moments in optimizer.state_dict()["state"].items():
        for key, value in moments.items():
            tensors[f"{prefix}/{index}/{key}"] = torch.as_tensor(value)
    return tensors


def unpack_optimizer(prefix: str, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put moments saved by `pack_optimizer` back."""
    whole = optimizer.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith(f"{prefix}/"):
            _, index, name = key.rsplit("/", 2)
            # A copy: the optimiser takes tensors as they are and changes them in place.
            state.setdefault(int(index), {})[name] = value.clone()
    optimizer.load_state_dict({"state": state, "param_groups": whole["param_groups"]})
