"""Where and how precisely a training runs."""

from __future__ import annotations

import os
from collections.abc import Callable

import torch
from torch import nn

from vfxswap.errors import ModelError
from vfxswap.train.config import Precision


def resolve_device(name: str, *, local: int = 0) -> torch.device:
    """`auto` is CUDA when there is one; process `local` of a machine takes that one of its devices.

    Raises:
        ModelError: CUDA is asked for and missing, or there are fewer devices than processes.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ModelError("no CUDA device is visible to torch", hint="use --device cpu or install a CUDA build of torch")
    if name != "cuda":
        return torch.device(name)
    if local >= torch.cuda.device_count():
        raise ModelError(
            f"process {local} of this machine has no CUDA device, there are {torch.cuda.device_count()}",
            hint="start as many processes as there are devices",
        )
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


def wants_bf16(precision: Precision, device: torch.device) -> bool:
    """True for bfloat16: on CUDA, and on CPUs whose matrix units make it faster than float32."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def compiled(modules: list[nn.Module], device: torch.device, *, warn: Callable[[str, str], None]) -> bool:
    """torch.compile `modules` in place; False, with a warning, where it does not work here.

    A small network is compiled first: that says what is missing (a C++ compiler, Triton) before the training begins.
    """
    probe = nn.Sequential(nn.Linear(4, 4), nn.LeakyReLU()).to(device)
    try:
        torch.compile(probe)(torch.zeros(2, 4, device=device)).sum().backward()
    except (RuntimeError, OSError, ImportError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        warn("compile", f"torch.compile does not work here, training goes on without it: {lines[0][:200]}")
        return False
    for module in modules:
        module.compile()
    return True


def threads() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
