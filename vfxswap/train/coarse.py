"""Inputs with too few pixels: what the encoder must learn to read where the plate is coarser than the faceset.

The target stays sharp, so the decoder learns to paint the detail of its performer that the input has lost.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

_SHARE = 0.85
"""Part of the inputs that are made coarse."""

_GRAIN = 0.02
"""Largest standard deviation of noise at the coarse raster, of the code range: a small plate has grain of its own."""


def coarsen(rng: np.random.Generator, crop: Tensor, *, most: float, grain: float = 1.0) -> None:
    """Make an input (3, S, S) as coarse as a plate of few pixels, in place.

    It is averaged down to a raster 1 to `most` times coarser, gets grain there, and is enlarged again by cubics, as
    alignment and resizing do; half of the time it is blurred besides by up to a pixel of that raster, as a lens does.

    Args:
        rng: what decides; it is asked for the same numbers whatever they are.
        crop: model space, changed in place.
        most: how many times coarser.
        grain: size of noise in this encoding that is 1 in sRGB codes.
    """
    chance, depth, sigma, soft, start = rng.random(5)
    if chance >= _SHARE:
        return
    size = int(crop.shape[-1])
    side = max(4, round(size / most**depth))
    small = functional.interpolate(crop[None], size=(side, side), mode="bilinear", antialias=True, align_corners=False)
    if soft < 0.5:
        blurred = functional.avg_pool2d(functional.pad(small, (1,) * 4, mode="replicate"), 3, stride=1)
        small = torch.lerp(small, blurred, 2 * soft)
    noise = torch.randn(small.shape, generator=torch.Generator().manual_seed(math.floor(start * 2**31)))
    small = small + noise * (sigma * _GRAIN * grain)
    crop.copy_(functional.interpolate(small, size=(size, size), mode="bicubic", align_corners=False)[0])
