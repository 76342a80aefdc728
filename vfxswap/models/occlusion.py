"""What is in front of the face: a small U-Net that compares the crop with what was painted.

A code of a hundred numbers cannot carry the outline of a hand. This network looks at the crop itself, and beside it at
the painted face, which shows how the place would look if nothing were before it.

Source: O. Ronneberger, P. Fischer, T. Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI
2015.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from vfxswap.models.blocks import SLOPE

_SEEN = 7
"""Channels it sees: crop, painted face, painted mask."""

_COARSER = 2
_STAGES = 3
"""How often its finest raster is halved."""

_ENLARGED = 1.25
"""How much larger a trained network is shown its crops than it was in training: docs/decisions/0016."""


class Occlusion(nn.Module):
    """(N, 3, S, S) crop, (N, 3, S, S) painted face and (N, 1, S, S) painted mask -> (N, 1, S, S) logits of coverage.

    Args:
        width: channels of its finest raster, which is half the crop's.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [width * (i + 1) for i in range(_STAGES + 1)]
        self.stem = nn.Conv2d(_SEEN * _COARSER**2, widths[0], 3, padding=1)
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in itertools.pairwise(widths))
        self.middle = nn.Conv2d(widths[-1], widths[-1], 3, padding=1)
        back = widths[::-1]
        self.ups = nn.ModuleList(nn.Conv2d(a + b, b, 3, padding=1) for a, b in itertools.pairwise(back))
        self.head = nn.Conv2d(widths[0], _COARSER**2, 3, padding=1)

    def forward(self, crop: Tensor, painted: Tensor, mask: Tensor) -> Tensor:
        """Positive where something covers the face."""
        seen = torch.cat([crop, painted, mask], dim=1) * 2.0 - 1.0
        x = functional.leaky_relu(self.stem(functional.pixel_unshuffle(seen, _COARSER)), SLOPE)
        passed = [x]
        for down in self.downs:
            x = functional.leaky_relu(down(x), SLOPE)
            passed.append(x)
        x = x + functional.leaky_relu(self.middle(x), SLOPE)
        for up, skip in zip(self.ups, reversed(passed[:-1]), strict=True):
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = functional.leaky_relu(up(torch.cat([x, skip], dim=1)), SLOPE)
        logits: Tensor = functional.pixel_shuffle(self.head(x), _COARSER)
        return logits


def covering(occlusion: nn.Module, crop: Tensor, painted: Tensor, mask: Tensor, *, size: int) -> Tensor:
    """What a trained `Occlusion` says, as its `forward`: it is shown all of it enlarged, and answers for the crop.

    Args:
        occlusion: the network.
        crop: (N, 3, S, S).
        painted: (N, 3, S, S).
        mask: (N, 1, S, S).
        size: S; shapes are no Python numbers while a network is traced.
    """
    step = _COARSER * 2**_STAGES
    large = max(1, round(_ENLARGED * size / step)) * step
    return _resized(occlusion(*(_resized(planes, large) for planes in (crop, painted, mask))), size)


def _resized(planes: Tensor, size: int) -> Tensor:
    return functional.interpolate(planes, size=(size, size), mode="bilinear", align_corners=False)


def uncovered(occlusion: nn.Module | None, crop: Tensor, painted: Tensor, mask: Tensor, *, size: int) -> Tensor:
    """(N, 1, S, S) the painted mask without what covers the face; as it is without a network for that."""
    return mask if occlusion is None else without(mask, covering(occlusion, crop, painted, mask, size=size))


def without(mask: Tensor, logits: Tensor) -> Tensor:
    """(N, 1, S, S) the painted mask without what the network's logits say covers the face."""
    return mask * torch.sigmoid(-logits)
