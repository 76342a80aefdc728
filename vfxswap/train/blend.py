"""A likeness made of several performers: every crop is brought to their common shape and complexion.

The mean face of each performer in space and the mean look of each spot of it are known (disguise.py, texture.py).
The blend's are their means under the weights. Each crop, at its own pose, expression and light, is bent by the
difference of its performer's shape to the blend's, and tinted by the difference of the looks, so that what the decoder
learns is one face, whoever the crop was taken of. Detail finer than the mean looks stays each performer's own.

Source: face morphing by shape and then by colour, as T. Beier and S. Neely, "Feature-based image metamorphosis",
SIGGRAPH 1992, here with the mean of many pictures for each side instead of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from vfxswap.errors import UsageError
from vfxswap.faceset import Crop
from vfxswap.pixels import F64
from vfxswap.train.bank import Bank
from vfxswap.train.data import bent, sampled, veiled
from vfxswap.train.disguise import field, mean_shape, rotation
from vfxswap.train.joined import like
from vfxswap.train.texture import veils
from vfxswap.trust.consent import TOGETHER

_PLANES: Final = ("rgb", "mask", "weight", "core", "front")


def blend(banks: Sequence[Bank], weights: Sequence[float]) -> Bank:
    """One bank of a face that is made of several performers.

    Args:
        banks: one of each performer, in one encoding; all are brought to the first's raster.
        weights: how much of each performer, above 0; only their ratios count. So often are their crops drawn, too.

    Raises:
        UsageError: weights that fit nothing.
    """
    if len(weights) != len(banks) or not all(0 < weight < np.inf for weight in weights):
        raise UsageError(f"{len(weights)} weights for {len(banks)} performers", hint="give one above 0 for each")
    shares = np.asarray(weights, np.float64) / np.sum(weights)
    fitted = [like(bank, banks[0]) for bank in banks]
    shapes = [mean_shape(bank.crops, size=bank.source_size) for bank in fitted]
    common = np.einsum("i,ijk->jk", shares, np.stack(shapes))
    made = [
        _towards(bank, common - shape, [(float(s), other) for s, other in zip(shares, fitted, strict=True)])
        for bank, shape in zip(fitted, shapes, strict=True)
    ]
    tensors: dict[str, Any] = {name: torch.cat([getattr(bank, name) for bank in made]) for name in _PLANES}
    offsets = np.cumsum([0, *(len(bank) for bank in made)])
    return replace(
        made[0],
        performer=TOGETHER.join(bank.performer for bank in made),
        **tensors,
        chance=np.concatenate([bank.chance * share for bank, share in zip(made, shares, strict=True)]),
        held_out=tuple(int(start) + i for start, bank in zip(offsets, made, strict=False) for i in bank.held_out),
        crops=tuple(crop for bank in made for crop in bank.crops),
        digest=" ".join(bank.digest for bank in made),
    )


def _towards(bank: Bank, difference: F64, looks: Sequence[tuple[float, Bank]]) -> Bank:
    """The bank's crops bent by a difference in head space and given the mean of the others' looks."""
    bend = torch.from_numpy(np.stack([field(crop, difference, size=bank.source_size) for crop in bank.crops]))
    # What leads to the mean of several looks is the mean of what leads to each; to one's own nothing leads.
    veil = sum(share * veils(bank, other) for share, other in looks if other is not bank)
    whole = replace(bank, bend=bend, veil=torch.from_numpy(np.asarray(veil, np.float16)))
    planes: dict[str, list[Tensor]] = {name: [] for name in _PLANES}
    for i in range(len(bank)):
        at = bent(whole, i, size=bank.rgb.shape[-1])
        for name, made in planes.items():
            plane = sampled(getattr(bank, name)[i : i + 1].float(), at)
            if name == "rgb":
                plane = veiled(plane, whole, np.array([i]), at, torch.ones(1, 1, 1, 1)).clamp(0, 1)
            made.append(plane.half())
    tensors: dict[str, Any] = {name: torch.cat(made) for name, made in planes.items()}
    moved = tuple(_moved(crop, difference, size=bank.source_size) for crop in bank.crops)
    return replace(bank, **tensors, crops=moved)


def _moved(crop: Crop, difference: F64, *, size: int) -> Crop:
    """The crop with its landmarks where the bent picture has them."""
    turned = difference @ rotation(crop.pose_deg).T * [1, -1, -1]
    return replace(crop, landmarks=crop.landmarks + turned * size)
