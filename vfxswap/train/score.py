"""Held-out scores: how well faces never trained on are painted, and whether the judge can still tell."""

from __future__ import annotations

import torch
from torch import Tensor

from vfxswap.models.autoencoder import Autoencoder
from vfxswap.models.discriminator import Discriminator
from vfxswap.train import calibrate
from vfxswap.train.bank import Bank, spread
from vfxswap.train.data import centred
from vfxswap.train.losses import ms_ssim
from vfxswap.train.probe import probe

_MOST, _LEAST = 64, 4


@torch.no_grad()
def held_out(
    net: Autoencoder, judge: Discriminator, *, likeness: Bank, double: Bank, device: torch.device, coarse: float = 1.0
) -> dict[str, float]:
    """Scores on crops that training never draws, at most 64 of each performer.

    Args:
        net: the painter. Its double's crops go through the decoder alone: nobody restores those.
        judge: the discriminator.
        likeness: the performer to paint.
        double: the performer to paint over.
        device: where to compute.
        coarse: how many times coarser the likeness's inputs are made, at most, as they are in training; what is
            painted is compared with the sharp crop. The double's stay as its faceset has them.

    Returns:
        `likeness_psnr`, `double_psnr` (dB, model space, inside the mask), `likeness_ssim`, `mask_iou`;
        `judge_accuracy`: the share of held-out real crops and painted ones (reconstructions and swaps,
        equal weight) that the discriminator names rightly; 0.5 is "cannot tell", also when untrained;
        and, of four crops and more: `probe_accuracy` and its standard error `probe_error`, the same of a fresh
        classifier (probe.py), and `realism` and `realism_least`: how sure that one is that swaps are real, on the
        mean and of the worst. Of a network that finds occluders, `front_bias` (calibrate.py).
    """
    size = net.config.resolution
    real = centred(likeness, _some(likeness), size=size, coarse=coarse).to(device)
    other = centred(double, _some(double), size=size).to(device)
    # Spectral normalisation iterates in training mode: scoring must not move the judge.
    judge.eval()
    painted, mask = net(real.warped, likeness.performer, real.told)
    repainted, _ = net.paint(net.encoder(other.warped), double.performer, other.told)
    swapped, swap_mask = net(other.warped, likeness.performer, other.told)
    true = _opinion(judge, real.target, real.core, likeness.performer)
    fakes = (
        _opinion(judge, painted, real.core, likeness.performer),
        _opinion(judge, swapped, other.core, likeness.performer),
    )
    judge.train()
    caught = torch.stack([(f < 0).float().mean() for f in fakes]).mean()
    inside = (real.mask > 0.5).float()
    both = torch.cat([mask, swap_mask]) > 0.5
    truth = torch.cat([real.mask, other.mask]) > 0.5
    shown = [
        faces_only(rgb.float(), batch.core) for rgb, batch in ((real.target, real), (painted, real), (swapped, other))
    ]
    return (
        _probed(*shown)
        | _calibrated(net, likeness, device)
        | {
            "likeness_psnr": _psnr(painted, real.target, inside),
            "double_psnr": _psnr(repainted, other.target, (other.mask > 0.5).float()),
            "likeness_ssim": float(ms_ssim(painted, real.target, inside, scales=3)),
            "mask_iou": float((both & truth).sum() / (both | truth).sum().clamp_min(1)),
            "judge_accuracy": float(0.5 * ((true > 0).float().mean() + caught)),
        }
    )


def _probed(real: Tensor, painted: Tensor, swapped: Tensor) -> dict[str, float]:
    """What a fresh classifier says of (N, 3, S, S) reconstructions and swaps; nothing where there are too few."""
    if len(real) < _LEAST or len(swapped) < _LEAST:
        return {}
    with torch.enable_grad():
        opinion = probe(real, torch.cat([painted, swapped]))
    realism = opinion.realism[len(painted) :]
    return {
        "probe_accuracy": opinion.accuracy,
        "probe_error": opinion.error,
        "realism": float(realism.mean()),
        "realism_least": float(realism.min()),
    }


def _calibrated(net: Autoencoder, likeness: Bank, device: torch.device) -> dict[str, float]:
    """What the export needs to know of the network that finds occluders; nothing without one."""
    if net.occlusion is None:
        return {}
    return {calibrate.SCORE: calibrate.front_bias(net, likeness, _some(likeness), device=device)}


def _some(bank: Bank) -> tuple[int, ...]:
    """At most `_MOST` of the held-out crops."""
    return spread(bank.held_out, _MOST)


def faces_only(rgb: Tensor, core: Tensor) -> Tensor:
    """What the judge is shown: hair and background, by which the performers differ too, are grey."""
    return rgb * core + 0.5 * (1 - core)


def _opinion(judge: Discriminator, rgb: Tensor, core: Tensor, performer: str) -> Tensor:
    """(N,) mean coarse logit of each crop: positive is "real"."""
    coarse: Tensor = judge(faces_only(rgb, core), performer)[0]
    return coarse.mean(dim=(1, 2, 3))


def _psnr(x: Tensor, y: Tensor, weight: Tensor) -> float:
    error = ((x - y).square() * weight).sum() / (weight.sum() * 3).clamp_min(1)
    return float(-10 * torch.log10(error.clamp_min(1e-10)))
