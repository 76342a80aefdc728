"""The shipped network as TorchScript, as Nuke's Inference node runs it: one picture in, one picture out.

The words of the file are those of torch 1.6, which Nuke 13 has; Nuke 14 and 15 have 1.12. Sources: Foundry's "CAT file
creation reference guide" (shapes, knobs as attributes, half precision); the loaders themselves, which refuse a file for
each word that they do not know.
"""

from __future__ import annotations

import copy
import io
import math
import re
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from vfxswap import infer
from vfxswap.errors import ModelError
from vfxswap.models.autoencoder import Swapper
from vfxswap.models.export import probes, rounded
from vfxswap.pixels import F32, AnyArray

CLOSE: Final = 1e-5
"""Largest difference allowed between the TorchScript and the ONNX of the same network, of outputs in 0..1."""

CHANNELS_IN: Final = ("rgba.red", "rgba.green", "rgba.blue")
CHANNELS_OUT: Final = ("rgba.red", "rgba.green", "rgba.blue", "rgba.alpha")
"""What the picture's channels are, by Nuke's names: the model's encoding in, the same and the mask out."""

# What torch 1.6 was seen to load, from every architecture there is.
_WORDS: Final = frozenset(
    {"add", "cat", "clamp", "conv2d", "div", "eq", "expand", "flatten", "floordiv", "leaky_relu", "linear", "mean",
     "mul", "neg", "permute", "pixel_shuffle", "reshape", "rsqrt", "sigmoid", "size", "slice", "square", "stack", "sub",
     "tensor", "view", "where", "zeros_like"}
)  # fmt: skip
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a network is told beside the picture: knobs of the Inference node.

    Attributes:
        names: attribute of the module, which is the knob's name as well, for each number.
        rest: what the knobs begin with: the double's face at rest.
        spread: (number - rest) / spread is what the network gets,
        reach: within so much either way.
    """

    names: Sequence[str]
    rest: Sequence[float]
    spread: Sequence[float]
    reach: float


def to_torchscript(swapper: Swapper, *, onnx: bytes, resolution: int, told: Told | None, window: F32) -> bytes:
    """Serialize the network for Nuke, and check that it is the network of `onnx`.

    Args:
        swapper: the network; not changed. Its weights are rounded to half, as those of `onnx` are.
        onnx: what `export.to_onnx` made of it: the network that consents name.
        resolution: side S of its crops.
        told: for a network that is told something, else None.
        window: (S, S) float32 what the mask is multiplied with: nothing is shown at the crop's border.

    Returns:
        A .pt file: (1, 3 or more, S, S) float32 or half, the model's encoding -> (1, 4, S, S), 0..1: rgb and mask.
        What is outside 0..1 is clipped, what is no number is black. No path of this machine is in it.

    Raises:
        ModelError: a weight does not fit half, the network has a word that torch 1.6 does not, or the answers differ
            by more than CLOSE.
    """
    if (told is None) != (swapper.condition == 0):
        raise ValueError(f"a network with a condition of {swapper.condition} numbers, told {told}")
    inner = rounded(copy.deepcopy(swapper).cpu().float().eval()).requires_grad_(False)
    if isinstance(inner.bridge, nn.Identity):
        inner.bridge = _Through()  # a traced Identity has a method without an answer, which torch 1.6 cannot read
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Nuke reads nothing newer
        warnings.filterwarnings("ignore", "Converting a tensor to a Python integer")  # crops have one size
        module = _wrapped(_traced(inner, resolution), resolution, told, torch.from_numpy(window))
        stream = io.BytesIO()
        torch.jit.save(module, stream)
        data = _cleaned(stream.getvalue())
        _check(data, onnx, resolution, told, window)
    return data


def words(data: bytes) -> frozenset[str]:
    """The operators in a file's code."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        code = [archive.read(name).decode() for name in archive.namelist() if name.endswith(".py")]
    return frozenset(word for text in code for word in re.findall(r"\btorch\.(\w+)\(", text))


# ------------------------------------------------------------------------------------------ older words


class _Through(nn.Module):
    """Codes (N, code) as they are."""

    def forward(self, code: Tensor) -> Tensor:
        return code.flatten(1)


def _conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
) -> Tensor:
    return torch.conv2d(x, weight, bias, stride, padding, dilation, groups)


def _unshuffle(x: Tensor, side: int) -> Tensor:
    n, c, h, w = x.shape
    apart = x.view([n, c, h // side, side, w // side, side]).permute([0, 1, 3, 5, 2, 4])
    return apart.reshape([n, c * side * side, h // side, w // side])


def _doubled(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return x.view([n, c, h, 1, w, 1]).expand([n, c, h, 2, w, 2]).reshape([n, c, 2 * h, 2 * w])


def _bilinear(x: Tensor, size: int) -> Tensor:
    """Both sides of square planes to `size`, as `interpolate` does without corners aligned."""
    return _stretched(_stretched(x, size, -1), size, -2)


def _stretched(x: Tensor, size: int, dim: int) -> Tensor:
    """One side to `size`: of every `old` values come `new`, each with weights of its own for the two next to it."""
    sides = [int(side) for side in x.shape]
    common = math.gcd(size, sides[dim])
    old, new = sides[dim] // common, size // common
    first, last = _from(x, 0, 1, 1, dim), _from(x, sides[dim] - 1, 1, 1, dim)
    padded = torch.cat([first, x, last], dim)
    made = []
    for k in range(new):
        where = (k + 0.5) * old / new - 0.5
        part = where - math.floor(where)
        near, far = (_from(padded, math.floor(where) + i, old, common, dim) for i in (1, 2))
        made.append(near * (1.0 - part) + far * part)
    sides[dim] = size
    return torch.stack(made, dim).reshape(sides)


def _from(x: Tensor, start: int, step: int, count: int, dim: int) -> Tensor:
    """`count` values along the last side or the one before it, from `start` on."""
    where = slice(start, start + step * (count - 1) + 1, step)
    return x[..., where] if dim == -1 else x[..., where, :]


_DOUBLING: Final = {"scale_factor": 2.0, "mode": "nearest"}


class _Older(TorchFunctionMode):
    """While a network is traced: says the same in words of torch 1.6. Scripted functions are not traced into."""

    def __init__(self) -> None:
        super().__init__()
        self._conv2d, self._unshuffle, self._doubled = (torch.jit.script(f) for f in (_conv2d, _unshuffle, _doubled))

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if func is torch.conv2d:
            return self._conv2d(*args, **given)
        if func is functional.pixel_unshuffle:
            return self._unshuffle(*args, **given)
        if func is functional.interpolate and {k: v for k, v in given.items() if v} == _DOUBLING:
            return self._doubled(*args)
        if func is functional.interpolate and given.get("mode") == "bilinear":
            return _bilinear(args[0], given["size"][0])
        if func is Tensor.to and args[1:] == (args[0].dtype,):
            return args[0]  # a type that is traced would hold in half precision, too
        return func(*args, **given)


def _traced(inner: Swapper, resolution: int) -> torch.jit.ScriptModule:
    examples = [torch.zeros(1, 3, resolution, resolution), torch.zeros(1, inner.condition)]
    with torch.no_grad(), _Older():
        found: torch.jit.ScriptModule = torch.jit.trace(
            inner, tuple(examples[: 2 if inner.condition else 1]), check_trace=False
        )
    return found


# --------------------------------------------------------------------------------------------- the node


class _Frame(nn.Module):
    """The network, the mask's window, and a number for each knob; what it does is `_source`."""

    def __init__(self, inner: torch.jit.ScriptModule, window: Tensor, numbers: Mapping[str, float]) -> None:
        super().__init__()
        self.inner = inner
        self.register_buffer("window", window[None, None])
        for name, value in numbers.items():
            setattr(self, name, float(value))


def _wrapped(
    inner: torch.jit.ScriptModule, resolution: int, told: Told | None, window: Tensor
) -> torch.jit.ScriptModule:
    numbers = {} if told is None else dict(zip(told.names, told.rest, strict=True))
    module: torch.jit.ScriptModule = torch.jit.script(_Frame(inner, window, numbers).eval())
    module.define(_source(resolution, told))
    return module


def _source(resolution: int, told: Told | None) -> str:
    """The method that Nuke calls. Written out, because the language knows no attribute by a name in a variable."""
    numbers = []
    if told is not None:
        for name, rest, spread in zip(told.names, told.rest, told.spread, strict=True):
            away = f"(self.{name} - {rest!r}) / {spread!r}"
            numbers.append(f"max(min({away}, {told.reach!r}), {-told.reach!r})")
    telling = [f"    told = torch.tensor([[{', '.join(numbers)}]], dtype=image.dtype, device=image.device)"]
    lines = [
        "def forward(self, image: Tensor) -> Tensor:",
        # Fails by itself for pictures of another size; torch 1.6 cannot read exceptions of ours.
        f"    seen = image[:, 0:3].reshape([1, 3, {resolution}, {resolution}])",
        "    seen = torch.where(torch.eq(seen, seen), seen, torch.zeros_like(seen)).clamp(0.0, 1.0)",
        *(telling if numbers else []),
        f"    rgb, mask = self.inner({'seen, told' if numbers else 'seen'})",
        "    return torch.cat([rgb, mask * self.window], 1).clamp(0.0, 1.0)",
    ]
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------------------------------------- the file


def _cleaned(data: bytes) -> bytes:
    """The archive without source positions: those name files of this machine, and torch 1.6 cannot read them.

    Nor with the hash over them, which no two runs have in common: the same network gives the same bytes.

    Raises:
        ModelError: it has a word that torch 1.6 does not know.
    """
    unknown = sorted(words(data) - _WORDS)
    if unknown:
        raise ModelError(
            f"the network computes {', '.join(unknown)}, which Nuke's torch may not know",
            hint="export a .vfxmodel, or a network of another preset",
        )
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as target:
        for name in source.namelist():
            if not name.endswith((".debug_pkl", "/serialization_id")):
                target.writestr(zipfile.ZipInfo(name, _EPOCH), source.read(name))
    return out.getvalue()


@torch.no_grad()
def _check(data: bytes, onnx: bytes, resolution: int, told: Told | None, window: F32) -> None:
    """Compare with ONNX Runtime on noise, with other numbers told each time."""
    module = torch.jit.load(io.BytesIO(data))
    session = infer.session(onnx, device="cpu")
    random = np.random.default_rng(0)
    for crop in probes(random, size=resolution):
        feeds: dict[str, AnyArray] = {"crop": crop[None]}
        if told is not None:
            away = random.normal(0, 1, len(told.names))
            for name, rest, spread, by in zip(told.names, told.rest, told.spread, away, strict=True):
                setattr(module, name, float(rest + spread * by))
            feeds["condition"] = np.clip(away, -told.reach, told.reach)[None].astype(np.float32)
        rgb, mask, *_ = session.run(feeds)
        wanted = np.concatenate([rgb, mask * window], axis=1)
        worst = float(np.abs(module(torch.from_numpy(crop[None])).numpy() - np.clip(wanted, 0, 1)).max())
        if not worst <= CLOSE:
            raise ModelError(
                f"TorchScript and ONNX differ by {worst:.2g} (allowed: {CLOSE:g})",
                hint="check the versions of torch and onnxruntime against constraints.txt",
            )
