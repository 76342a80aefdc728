"""Several facesets of one performer as one bank, and crops that cannot be trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vfxswap.errors import FacesetError, UsageError
from vfxswap.pixels import F64
from vfxswap.train.bank import Bank

LIFT = 4.0
"""How much more often than its number says a crop of a further faceset is drawn."""

MOST = 0.5
"""Part of the draws that all further facesets together get at most."""


def join_banks(banks: Sequence[Bank]) -> Bank:
    """One bank of several facesets of a performer, the first the main one.

    Crops of the further ones are drawn LIFT times as often as their number says, but all of them together in no more
    than MOST of the draws: a few frames that went wrong are learned without the rest being forgotten. A frame of a
    plate that is trained on in one faceset scores nothing in another.

    Args:
        banks: in one encoding; their rasters may differ, all are brought to the first's.

    Raises:
        UsageError: they are of several performers.
    """
    main = banks[0]
    if len(banks) == 1:
        return main
    people = sorted({bank.performer for bank in banks})
    if len(people) > 1:
        raise UsageError(f"the facesets are of {' and '.join(people)}", hint="join facesets of one performer")
    fitted = [main, *(like(bank, main) for bank in banks[1:])]
    offsets = np.cumsum([0, *(len(bank) for bank in fitted)])
    chance = np.concatenate([bank.chance * share for bank, share in zip(fitted, _shares(fitted), strict=True)])
    held = [int(start) + i for bank, start in zip(fitted, offsets, strict=False) for i in bank.held_out]
    crops = tuple(crop for bank in fitted for crop in bank.crops)
    drawn = {(c.plate, c.frame) for c, p in zip(crops, chance, strict=True) if p > 0}
    fair = [i for i in held if (crops[i].plate, crops[i].frame) not in drawn]
    if not fair:
        # Every frame to score is drawn somewhere: those of the main faceset are then drawn nowhere.
        fair = list(main.held_out)
        kept = {(crops[i].plate, crops[i].frame) for i in fair}
        chance = np.array([0 if (c.plate, c.frame) in kept else p for c, p in zip(crops, chance, strict=True)])
    tensors: dict[str, Any] = {
        field.name: torch.cat([getattr(bank, field.name) for bank in fitted])
        for field in dataclasses.fields(Bank)
        if _by_crop(main, field.name)
    }
    return replace(
        main,
        **tensors,
        chance=chance / chance.sum(),
        held_out=tuple(fair),
        crops=crops,
        digest=" ".join(bank.digest for bank in fitted),
    )


def digests(role: str, bank: Bank) -> dict[str, str]:
    """The sha256 of each faceset in a bank: `role`, `role 2`, ..."""
    return {role if i == 0 else f"{role} {i + 1}": one for i, one in enumerate(bank.digest.split(" "))}


def without_broken(bank: Bank, *, warn: Callable[[str, str], None]) -> Bank:
    """The bank with crops that hold NaN or infinity neither drawn nor scored, and a warning that names them.

    Raises:
        FacesetError: none is left to train on, or none to score.
    """
    whole = torch.ones(len(bank), dtype=torch.bool)
    for field in dataclasses.fields(Bank):
        if _by_crop(bank, field.name):
            whole &= torch.stack([torch.isfinite(crop).all() for crop in getattr(bank, field.name)])
    broken = [i for i, good in enumerate(whole.tolist()) if not good]
    if not broken:
        return bank
    chance = bank.chance.copy()
    chance[broken] = 0
    held = tuple(i for i in bank.held_out if i not in broken)
    names = ", ".join(bank.crops[i].name if bank.crops else str(i) for i in broken[:5])
    said = f"{len(broken)} of {len(bank)} crops of {bank.performer} hold values that are no numbers ({names})"
    if chance.sum() == 0 or not held:
        raise FacesetError(said, hint="build the faceset again")
    warn("crops", f"{said}: they are left out")
    # What is not drawn is still averaged over, in places.
    clean: dict[str, Any] = {
        f.name: torch.nan_to_num(getattr(bank, f.name), posinf=0.0, neginf=0.0)
        for f in dataclasses.fields(Bank)
        if _by_crop(bank, f.name)
    }
    clean["mask"] = clean["mask"] * whole[:, None, None, None]
    return replace(bank, **clean, chance=chance / chance.sum(), held_out=held)


def _by_crop(bank: Bank, name: str) -> bool:
    value = getattr(bank, name)
    return isinstance(value, Tensor) and value.ndim == 4


def _shares(banks: Sequence[Bank]) -> F64:
    """The part of the draws that each bank gets."""
    weights = np.array([len(bank) * (LIFT if i else 1.0) for i, bank in enumerate(banks)])
    shares = weights / weights.sum()
    further = 1 - shares[0]
    if further > MOST:
        shares = np.concatenate([[1 - MOST], shares[1:] * (MOST / further)])
    return np.asarray(shares, np.float64)


def like(bank: Bank, main: Bank) -> Bank:
    """The bank at the raster of another, its landmarks in that one's pixels."""
    raster, scale = main.rgb.shape[-1], main.source_size / bank.source_size
    tensors: dict[str, Any] = {
        f.name: _resized(getattr(bank, f.name), raster) for f in dataclasses.fields(Bank) if _by_crop(bank, f.name)
    }
    crops = tuple(replace(crop, landmarks=crop.landmarks * scale) for crop in bank.crops)
    return replace(bank, **tensors, crops=crops, source_size=main.source_size)


def _resized(x: Tensor, raster: int) -> Tensor:
    if x.shape[-1] == raster:
        return x
    return functional.interpolate(x.float(), size=(raster, raster), mode="bilinear", antialias=True).to(x.dtype)
