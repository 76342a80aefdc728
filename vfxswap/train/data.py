"""Batches: crops drawn from a bank, each draw a pure function of (seed, step).

The random warp is put on the input only; affine and colour changes on input and target alike. Because a
batch depends on nothing but its step, a resumed run sees exactly what an unbroken one would have seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vfxswap import align
from vfxswap.pixels import F32
from vfxswap.train.bank import Bank


@dataclass(frozen=True)
class Batch:
    """(N, C, S, S) float32 tensors on the training device."""

    warped: Tensor
    target: Tensor
    mask: Tensor
    weight: Tensor
    core: Tensor

    def __len__(self) -> int:
        return int(self.target.shape[0])

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`, channels last."""

        def move(x: Tensor) -> Tensor:
            return x.to(device, non_blocking=True).contiguous(memory_format=torch.channels_last)

        return Batch(move(self.warped), move(self.target), move(self.mask), move(self.weight), move(self.core))


@dataclass(frozen=True)
class Augment:
    """How far crops are moved before the network sees them."""

    rotate_deg: float = 8.0
    scale: float = 0.08
    shift: float = 0.04
    flip: float = 0.5
    warp: float = 0.03
    """Standard deviation of the input's control points, as a part of the crop."""
    disguise: float = 0.8
    """Part of the inputs that are bent and tinted towards the other performer."""
    disguise_most: float = 1.25
    """How far, at most: 1 is the other performer's mean shape and skin."""
    color: float = 0.05
    """Standard deviation of the gain of each channel, log, sRGB-encoded values as in the next two."""
    exposure: float = 0.12
    """Standard deviation of the gain of all channels, log."""
    slope: float = 0.1
    """Standard deviation of the gain's rise from the crop's middle to its border, log: light from another side."""
    noise: float = 0.02
    """Largest standard deviation of the noise put on the input: grain the painter must not learn."""


_CODES_PER_STOP = {"acescct": 1 / 17.52}
"""Encodings that are logarithms of light: a gain is an offset of their codes."""

_TOE = (0.0729, 0.1553)
"""ACEScct's codes (S-2016-001) of black and of where its straight toe ends, in which a gain is a factor again."""

_SRGB_POWER = 2.2
_GREY_SLOPE = 2.1
"""Change of light, log, for a change of an sRGB code, log: on the whole, and at middle grey."""

_GREY_CODE = 0.46


def draw(bank: Bank, *, count: int, size: int, seed: int, step: int, augment: Augment) -> Batch:
    """The batch of `step`: `count` crops of `size` pixels, moved, recoloured, the input warped."""
    digest = (seed * 1_000_003 + step) * 97 + sum(bank.performer.encode())
    rng = np.random.default_rng(digest)
    chosen = rng.choice(len(bank), size=count, p=bank.chance)
    affine = _affines(rng, count, augment)
    grid = functional.affine_grid(torch.from_numpy(affine), [count, 3, size, size], align_corners=False)
    stack = _stack(bank, chosen)
    target = functional.grid_sample(stack, grid, align_corners=False, padding_mode="border")
    degree = rng.uniform(0, augment.disguise_most, (count, 1, 1, 1)) * (rng.random((count, 1, 1, 1)) < augment.disguise)
    bend = torch.from_numpy(degree.astype(np.float32))
    seen = grid + _waves(rng, count, size, augment).permute(0, 2, 3, 1)
    if bank.bend is not None:
        there = functional.grid_sample(bank.bend[chosen], seen, align_corners=False, padding_mode="border")
        seen = seen - (2 * bend * there).permute(0, 2, 3, 1)
    warped = functional.grid_sample(stack[:, :3], seen, align_corners=False, padding_mode="border")
    tint = torch.from_numpy(bank.tint.astype(np.float32))[None, :, None, None] ** bend
    gain = np.exp(rng.normal(0, augment.exposure, (count, 1)) + rng.normal(0, augment.color, (count, 3)))
    scale = torch.from_numpy(gain.astype(np.float32))[:, :, None, None] * _slope(rng, count, size, augment)
    noise = torch.from_numpy(rng.normal(0, 1, tuple(warped.shape)).astype(np.float32))
    sigma = torch.from_numpy(rng.uniform(0, augment.noise, (count, 1, 1, 1)).astype(np.float32))
    return Batch(
        warped=(_tinted(_lit(warped, scale, bank), tint, bank) + noise * sigma * _grain(bank)).clamp(0, 1),
        target=_lit(target[:, :3], scale, bank).clamp(0, 1),
        mask=target[:, 3:4],
        weight=target[:, 4:5],
        core=target[:, 5:6],
    )


def _lit(codes: Tensor, gain: Tensor, bank: Bank) -> Tensor:
    """Codes under another light, given as a gain of sRGB codes, which are close to a power of light."""
    stop = _CODES_PER_STOP.get(bank.encoding)
    return codes * gain if stop is None else _shifted(codes, stop * _SRGB_POWER * torch.log2(gain))


def _tinted(codes: Tensor, tint: Tensor, bank: Bank) -> Tensor:
    """Codes with the mean skin `tint` times what it was, as light of that colour would move it."""
    if bank.encoding not in _CODES_PER_STOP:
        return codes * tint
    skin = torch.from_numpy(bank.skin.astype(np.float32))[None, :, None, None]
    return _shifted(codes, skin * (tint - 1))


def _shifted(codes: Tensor, offset: Tensor) -> Tensor:
    """Logarithmic codes moved by `offset`, less and less towards black, which stays black in any light."""
    black, straight = _TOE
    return codes + offset * ((codes - black) / (straight - black)).clamp(0, 1)


def _grain(bank: Bank) -> float:
    """How large noise is in this encoding that is 1 in sRGB codes, the same light at middle grey."""
    stop = _CODES_PER_STOP.get(bank.encoding)
    return 1.0 if stop is None else stop * _GREY_SLOPE / (_GREY_CODE * math.log(2))


def _stack(bank: Bank, chosen: NDArray[np.int64]) -> Tensor:
    """(n, 6, R, R) float32: what moves together."""
    parts = (bank.rgb, bank.mask, bank.weight, bank.core)
    return torch.cat([part[torch.from_numpy(chosen)] for part in parts], dim=1).float()


def _slope(rng: np.random.Generator, count: int, size: int, augment: Augment) -> Tensor:
    """(count, 1, size, size) gain that rises evenly across the crop, 1 in its middle."""
    rise = torch.from_numpy(rng.normal(0, augment.slope, (count, 2, 1, 1)).astype(np.float32))
    line = torch.linspace(-1, 1, size)
    return torch.exp(rise[:, :1] * line[None, None, None, :] + rise[:, 1:] * line[None, None, :, None])


def _waves(rng: np.random.Generator, count: int, size: int, augment: Augment) -> Tensor:
    """(count, 2, size, size) smooth random displacement in -1..1 coordinates: what only the input suffers."""
    sigma = augment.warp * 2 / align.FACESET_MARGIN
    points = torch.from_numpy(rng.normal(0, sigma, (count, 2, 5, 5)).astype(np.float32))
    return functional.interpolate(points, size=(size, size), mode="bicubic", align_corners=True)


def _affines(rng: np.random.Generator, count: int, augment: Augment) -> F32:
    """(count, 2, 3) sampling matrices, output -> bank, in normalised -1..1 coordinates."""
    out = np.empty((count, 2, 3), np.float32)
    for i in range(count):
        angle = math.radians(rng.normal(0, augment.rotate_deg / 2))
        scale = math.exp(rng.normal(0, augment.scale / 2)) / align.FACESET_MARGIN
        c, s = scale * math.cos(angle), scale * math.sin(angle)
        mirror = -1.0 if rng.random() < augment.flip else 1.0
        dx, dy = rng.normal(0, augment.shift / 2, 2) * 2 / align.FACESET_MARGIN
        out[i] = [[c * mirror, -s, dx], [s * mirror, c, dy]]
    return out


def centred(bank: Bank, indices: tuple[int, ...], *, size: int) -> Batch:
    """Crops as the renderer frames them: no warp, no change. For scores and previews."""
    scale = 1.0 / align.FACESET_MARGIN
    matrix = torch.tensor([[scale, 0, 0], [0, scale, 0]]).expand(len(indices), 2, 3)
    grid = functional.affine_grid(matrix, [len(indices), 3, size, size], align_corners=False)
    stack = _stack(bank, np.array(indices, np.int64))
    x = functional.grid_sample(stack, grid, align_corners=False, padding_mode="border")
    return Batch(warped=x[:, :3], target=x[:, :3], mask=x[:, 3:4], weight=x[:, 4:5], core=x[:, 5:6])
