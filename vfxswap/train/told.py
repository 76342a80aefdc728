"""What a conditioned network is told beside its crops: the performers' faces in numbers (face/expression.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from vfxswap.errors import ModelError
from vfxswap.face import expression
from vfxswap.pixels import F64
from vfxswap.train.bank import Bank
from vfxswap.vfxmodel import Condition

ROLES = ("likeness", "double")


def conditioned(
    likeness: Bank, double: Bank, *, count: int, known: Mapping[str, Condition]
) -> tuple[Bank, Bank, dict[str, Condition]]:
    """The banks with what the network is told of each crop, and by role what standardises it.

    Args:
        likeness: the bank of the performer to paint.
        double: the bank of the performer to paint over.
        count: how many numbers the network takes.
        known: by role, what a run that goes on was begun with; what a network is told must not drift as facesets
            grow. Empty: found in the banks.

    Raises:
        ModelError: the network takes other numbers than this version measures.
    """
    _check_count(count)
    values = [_measured(bank) for bank in (likeness, double)]
    conditions = dict(known) or dict(zip(ROLES, expression.neutrals(values), strict=True))
    one, two = (
        replace(bank, told=torch.from_numpy(expression.told(found, conditions[role])))
        for bank, found, role in zip((likeness, double), values, ROLES, strict=True)
    )
    return one, two, conditions


def _check_count(count: int) -> None:
    if count != expression.COUNT:
        raise ModelError(
            f"the network is told {count} numbers, this version measures {expression.COUNT} ({expression.KIND})",
            hint="go on with the version of vfxswap that began the training, or train anew",
        )


def _measured(bank: Bank) -> F64:
    return np.stack([expression.measured(crop.landmarks, crop.pose_deg) for crop in bank.crops])
