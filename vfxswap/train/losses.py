"""What a painted face is judged by, apart from the discriminator."""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn import functional

_SSIM_SIGMA = 1.5
_SSIM_C1 = 0.01**2
_SSIM_C2 = 0.03**2
_EPS = 1e-6
_MISSED = 1.25
"""An occluder that is painted over costs so many times what a patch of plate does that is left: it is seen sooner."""


def _blur(x: Tensor, sigma: float) -> Tensor:
    """Square (N, C, S, S), blurred, mirrored beyond the border: as products of matrices, which is fastest."""
    matrix = _mirrored(x.shape[-1], sigma, x.device)
    return matrix @ x @ matrix.T


@functools.cache
def _mirrored(size: int, sigma: float, device: torch.device) -> Tensor:
    """(size, size) what a row of pixels has to be multiplied with to be blurred."""
    kernel = gaussian(sigma)
    radius, matrix = kernel.numel() // 2, torch.zeros(size, size)
    for row in range(size):
        for offset, tap in enumerate(kernel.tolist(), -radius):
            column = abs(row + offset)
            matrix[row, min(column, 2 * (size - 1) - column)] += tap
    return matrix.to(device)


def gaussian(sigma: float) -> Tensor:
    """A normalised 1-D Gaussian of 2 * ceil(3 sigma) + 1 taps."""
    radius = int(-(-3 * sigma // 1))
    x = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    return kernel / kernel.sum()


def _terms(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """(luminance x contrast x structure, contrast x structure) maps of SSIM."""
    both = _blur(torch.cat([x, y, x * x, y * y, x * y], dim=1), _SSIM_SIGMA)
    mean_x, mean_y, xx, yy, xy = both.chunk(5, dim=1)
    structure = (2 * (xy - mean_x * mean_y) + _SSIM_C2) / (xx - mean_x**2 + yy - mean_y**2 + _SSIM_C2)
    light = (2 * mean_x * mean_y + _SSIM_C1) / (mean_x**2 + mean_y**2 + _SSIM_C1)
    return light * structure, structure


def weighted_means(x: Tensor, weight: Tensor) -> Tensor:
    """(N,) mean of each crop of (N, C, H, W) `x` under (N, 1, H, W) `weight`."""
    return (x * weight).sum(dim=(1, 2, 3)) / (weight.sum(dim=(1, 2, 3)) * x.shape[1] + _EPS)


def weighted_mean(x: Tensor, weight: Tensor) -> Tensor:
    """Mean over the crops of `weighted_means`: every crop counts the same, however much of it has weight.

    All losses here are means over crops, so that a batch may be computed in parts and in several processes.
    """
    return weighted_means(x, weight).mean()


def ms_ssim(x: Tensor, y: Tensor, weight: Tensor, *, scales: int = 4) -> Tensor:
    """Multi-scale SSIM under a weight map, the mean over the crops; 1 = equal.

    Source: Wang, Simoncelli, Bovik, "Multiscale structural similarity for image quality assessment",
    Asilomar 2003: structure at every scale, luminance at the coarsest, published exponents (renormalised
    to the number of scales used). The raster is really halved between scales.

    Args:
        x: (N, 3, H, W) in [0, 1].
        y: the same, to compare with.
        weight: (N, 1, H, W), at least 0.
        scales: how many, 1..5; the raster must be at least 11 * 2**(scales - 1) pixels to blur without mirrors.
    """
    exponents = torch.tensor([0.0448, 0.2856, 0.3001, 0.2363, 0.1333][:scales], device=x.device)
    exponents = exponents / exponents.sum()
    score = torch.ones(len(x), device=x.device)
    for scale in range(scales):
        full, structure = _terms(x, y)
        term = weighted_means(full if scale == scales - 1 else structure, weight)
        score = score * term.clamp_min(_EPS) ** exponents[scale]
        if scale < scales - 1:
            x, y, weight = (functional.avg_pool2d(v, 2) for v in (x, y, weight))
    return score.mean()


def reconstruction(painted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """MS-SSIM + L1 under `weight`: how far a painted face is from the performer's own."""
    scales = 4 if painted.shape[-1] >= 96 else 3
    similarity = 1 - ms_ssim(painted, target, weight.clamp(max=1.0), scales=scales)
    return similarity + 3.0 * weighted_mean((painted - target).abs(), weight)


def mask_loss(painted: Tensor, target: Tensor) -> Tensor:
    """L1 of the mask, which keeps soft edges soft."""
    return (painted - target).abs().mean()


def occlusion(logits: Tensor, hidden: Tensor, mask: Tensor) -> Tensor:
    """Cross entropy and Dice loss of (N, 1, S, S) logits against true coverage, mostly where `mask` says is a face.

    Source: F. Milletari, N. Navab, S. Ahmadi, "V-Net", 3DV 2016 (the overlap, which small occluders need).
    """
    weight = 0.1 + 0.9 * mask
    missed = logits.new_tensor(_MISSED)
    entropy = functional.binary_cross_entropy_with_logits(logits, hidden, reduction="none", pos_weight=missed)
    found = torch.sigmoid(logits) * weight
    both = 2 * (found * hidden).sum(dim=(1, 2, 3)) + 1
    either = found.sum(dim=(1, 2, 3)) + (hidden * weight).sum(dim=(1, 2, 3)) + 1
    return (entropy * weight).mean() + 0.3 * (1 - both / either).mean()


def judged_real(coarse: Tensor, fine: Tensor, core: Tensor) -> Tensor:
    """Hinge loss of the judge's logits (N, 1, h, w) that should be positive; the fine ones count inside `core`."""
    return functional.relu(1 - coarse).mean() + _inside(functional.relu(1 - fine), core)


def judged_painted(coarse: Tensor, fine: Tensor, core: Tensor) -> Tensor:
    """Hinge loss of the judge's logits (N, 1, h, w) that should be negative; the fine ones count inside `core`."""
    return functional.relu(1 + coarse).mean() + _inside(functional.relu(1 + fine), core)


def persuading(coarse: Tensor, fine: Tensor, core: Tensor) -> Tensor:
    """What the painter minimises: the judge's disbelief."""
    return -coarse.mean() - _inside(fine, core)


def _inside(fine: Tensor, core: Tensor) -> Tensor:
    """Mean of the fine logits' loss where the face is."""
    return weighted_mean(fine, functional.interpolate(core, size=fine.shape[-2:], mode="area"))


def feature_matching(painted: list[Tensor], real: list[Tensor]) -> Tensor:
    """L1 between the discriminator's features of a painted crop and of its own real one (Wang et al. 2018)."""
    losses = [(p - r.detach()).abs().mean() for p, r in zip(painted, real, strict=True)]
    return torch.stack(losses).mean()
