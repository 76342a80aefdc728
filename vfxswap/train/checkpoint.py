"""Checkpoints: safetensors + JSON, written whole, never unpickled.

`state.json` names the newest checkpoint; it is replaced only after the tensors are on the disk, so a killed
run continues from the last whole one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vfxswap import atomic
from vfxswap.errors import ModelError

STATE = "state.json"
KEEP = 2


def save(folder: Path, *, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write checkpoint `step` and point state.json at it; older ones beyond KEEP are removed."""
    atomic.make_folder(folder)
    atomic.sweep(folder)
    name = f"checkpoint-{step:08d}.safetensors"
    with atomic.replacing(folder / name) as temporary:
        save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, temporary)
    atomic.write_text(folder / STATE, json.dumps({**state, "step": step, "tensors": name}, indent=1))
    for old in sorted(folder.glob("checkpoint-*.safetensors"))[:-KEEP]:
        old.unlink(missing_ok=True)


def load_state(folder: Path) -> dict[str, Any] | None:
    """The newest checkpoint's JSON, or None in a folder without one."""
    path = folder / STATE
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise ModelError("training state is damaged", path=path, hint="remove the folder and train again") from error
    return state


def load_tensors(folder: Path, state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors that `state` names; raises ModelError when they are missing or damaged."""
    path = folder / str(state.get("tensors", ""))
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError("checkpoint is missing or damaged", path=path, hint="train again") from error


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
            state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": whole["param_groups"]})
