"""How sure the network that finds what covers the face has to be, told on held-out crops.

It learns from cross entropy and overlap together, which agree on what is before the face and not on where 0.5 of it
lies: on crops that it never saw its edges lay too far out, and rims of the face were left to the plate. One number,
added to its logits, moves them all. It is told anew at each score and goes into the exported network.
"""

from __future__ import annotations

import numpy as np
import torch

from vfxswap.guided import Guide
from vfxswap.models.autoencoder import Autoencoder
from vfxswap.models.occlusion import covering
from vfxswap.pixels import F32, F64, Matte, ModelRgb
from vfxswap.train.bank import Bank, spread
from vfxswap.train.data import Batch, centred, occluded

SCORE = "front_bias"
"""Its name among the scores."""

_STEPS = np.arange(-2.0, 2.01, 0.25)
_UNTOLD = 0.005
"""Costs that differ by less, of themselves, cannot be told apart on so few crops: the least change has it then."""
_MOST = 24
"""So many crops are looked at."""
_TAKES = 2
"""How often each with something held in front of it, beside once as it is."""
_PAINTED = 3.0
"""A patch of an occluder that is painted over shows so many times as much as a patch of plate that is left."""


@torch.no_grad()
def front_bias(net: Autoencoder, likeness: Bank, indices: tuple[int, ...], *, device: torch.device) -> float:
    """What to add to the logits of `net.occlusion`; 0 without such a network.

    Args:
        net: the painter.
        likeness: the performer it paints.
        indices: of held-out crops.
        device: where to compute.
    """
    if net.occlusion is None or not indices:
        return 0.0
    size = net.config.resolution
    some = spread(indices, _MOST)
    batches = [centred(likeness, some, size=size)]
    batches += [occluded(likeness, some, size=size, seed=seed) for seed in range(_TAKES)]
    costs = np.sum([_costs(net, batch.to(device), likeness.performer) for batch in batches], axis=0)
    near = _STEPS[costs <= (1 + _UNTOLD) * costs.min()]
    return float(near[np.argmin(np.abs(near))])


def _costs(net: Autoencoder, batch: Batch, performer: str) -> F64:
    """For each of `_STEPS`, in pixels: what is left of the face, and what is painted that is none of it."""
    rgb, outline = net.paint(net.encoder(batch.warped), performer, batch.told)
    logits = covering(net.occlusion, batch.warped, rgb, outline, size=net.config.resolution)  # type: ignore[arg-type]
    hidden = torch.zeros_like(logits) if batch.hidden is None else batch.hidden
    planes = (plane[:, 0].float().cpu().numpy() for plane in (outline, logits, batch.mask, hidden))
    crops = batch.warped.float().permute(0, 2, 3, 1).cpu().numpy()
    each = [_cost(ModelRgb(crop), *one) for crop, *one in zip(crops, *planes, strict=True)]
    return np.asarray(np.sum(each, axis=0), np.float64)


def _cost(crop: ModelRgb, outline: F32, logits: F32, mask: F32, hidden: F32) -> F64:
    """As `_costs`, of one crop."""
    guide, face = Guide(crop), mask > 0.5
    price = np.where(hidden > 0.5, _PAINTED, 1.0)
    found = []
    for step in _STEPS:
        front = guide.follow(Matte(1.0 / (1.0 + np.exp(-logits - np.float32(step)))))
        # As the renderer shows it: the smaller of the outline and of what is not covered.
        shown = np.minimum(outline, 1.0 - front) > 0.5
        found.append((face & ~shown).sum() + price[shown & ~face].sum())
    return np.array(found, np.float64)


@torch.no_grad()
def apply(net: Autoencoder, bias: float) -> None:
    """Add `bias` to the logits of what finds occluders, in place."""
    if net.occlusion is not None and net.occlusion.head.bias is not None:
        net.occlusion.head.bias.add_(bias)
