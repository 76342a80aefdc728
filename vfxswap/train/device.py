"""Where and how precisely a training runs."""

from __future__ import annotations

import torch

from vfxswap.errors import ModelError
from vfxswap.train.config import Precision


def resolve_device(name: str) -> torch.device:
    """`auto` is CUDA when there is one; raises ModelError when CUDA is asked for and missing."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ModelError("no CUDA device is visible to torch", hint="use --device cpu or install a CUDA build of torch")
    return torch.device(name)


def wants_bf16(precision: Precision, device: torch.device) -> bool:
    """True for bfloat16: on CUDA, and on CPUs whose matrix units make it faster than float32."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())
