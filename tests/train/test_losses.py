"""Losses: against scikit-image where it has the same thing, and by what they must do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from vfxswap.train import losses


def pair(size: int = 64, *, noise: float = 0.1) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    x = torch.nn.functional.interpolate(torch.rand(1, 3, 8, 8, generator=random), size=(size, size), mode="bicubic")
    x = x.clamp(0, 1)
    y = (x + noise * torch.randn(x.shape, generator=random)).clamp(0, 1)
    return x, y, torch.ones(1, 1, size, size)


def test_one_scale_is_the_ssim_of_scikit_image() -> None:
    x, y, weight = pair()
    weight[..., :6, :] = weight[..., -6:, :] = weight[..., :, :6] = weight[..., :, -6:] = 0
    _, maps = structural_similarity(
        x[0].permute(1, 2, 0).numpy(),
        y[0].permute(1, 2, 0).numpy(),
        channel_axis=-1,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    assert float(losses.ms_ssim(x, y, weight, scales=1)) == pytest.approx(float(maps[6:-6, 6:-6].mean()), abs=2e-4)


def test_ms_ssim_is_one_for_equals_and_falls_with_noise() -> None:
    scores = [float(losses.ms_ssim(*pair(noise=noise), scales=3)) for noise in (0.0, 0.03, 0.1, 0.3)]
    assert scores[0] == pytest.approx(1, abs=1e-5)
    assert scores == sorted(scores, reverse=True)
    assert scores[3] < 0.8


def test_what_has_no_weight_does_not_count() -> None:
    x, y, weight = pair()
    y = x.clone()
    y[..., :, 48:] = 1 - y[..., :, 48:]
    weight[..., :, 24:] = 0
    assert float(losses.ms_ssim(x, y, weight, scales=1)) == pytest.approx(1, abs=1e-5)
    assert float(losses.weighted_mean((x - y).abs(), weight)) == pytest.approx(0, abs=1e-6)


def test_reconstruction_has_its_minimum_at_the_target() -> None:
    x, y, weight = pair(96)
    assert float(losses.reconstruction(x, x, weight)) == pytest.approx(0, abs=1e-4)
    painted = y.clone().requires_grad_(True)
    losses.reconstruction(painted, x, weight).backward()
    assert painted.grad is not None
    better = y - 30 * painted.grad
    assert float(losses.reconstruction(better, x, weight)) < float(losses.reconstruction(y, x, weight))


def test_the_judge_pays_for_every_wrong_name() -> None:
    sure, core = torch.full((1, 1, 4, 4), 2.0), torch.ones(1, 1, 8, 8)
    assert float(losses.judged_real(sure, sure, core)) == 0
    assert float(losses.judged_painted(-sure, -sure, core)) == 0
    assert float(losses.judged_real(-sure, -sure, core)) == pytest.approx(6, abs=1e-4)
    assert float(losses.judged_painted(sure, sure, core)) == pytest.approx(6, abs=1e-4)
    assert float(losses.persuading(sure, sure, core)) < float(losses.persuading(-sure, -sure, core))


def test_fine_logits_count_inside_the_core_only() -> None:
    fine = torch.zeros(1, 1, 4, 4)
    fine[..., :2] = 5.0
    core = torch.zeros(1, 1, 8, 8)
    core[..., :4] = 1.0
    assert float(losses.judged_real(torch.ones(1, 1, 1, 1), fine, core)) == pytest.approx(0, abs=1e-6)


def test_the_gaussian_is_normal() -> None:
    kernel = losses.gaussian(1.5)
    assert len(kernel) == 11
    assert float(kernel.sum()) == pytest.approx(1)
    assert np.argmax(kernel.numpy()) == 5
