"""The painter: sizes, shapes, and what the presets promise."""

from __future__ import annotations

import pytest
import torch

from vfxswap.errors import ModelError, UsageError
from vfxswap.models import PRESETS, build, preset
from vfxswap.models.autoencoder import Autoencoder, AutoencoderConfig, Swapper, cost
from vfxswap.models.blocks import Up


def test_tiny_stays_within_what_a_cpu_can_train() -> None:
    parameters, gflop = cost(PRESETS["tiny"])
    assert parameters <= 5_000_000
    assert gflop <= 1.5


def test_cost_counts_as_by_hand() -> None:
    """One stage by hand: a multiply-add is two operations, biases are not counted."""
    config = AutoencoderConfig(
        resolution=16, encoder=(4,), encoder_residuals=(0,), neck=2, code=3, decoder=(5, 6), decoder_residuals=(0,)
    )
    encoder = 2 * (8 * 8 * 4 * 3 * 25 + 8 * 8 * 2 * 4 + 128 * 3)
    decoder = 2 * (3 * 128 + 8 * 8 * 5 * 2 * 9 + 8 * 8 * 24 * 5 * 9 + 16 * 16 * 4 * 6 * 9)
    assert cost(config)[1] * 1e9 == pytest.approx(encoder + decoder)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_paints_in_its_own_size(name: str) -> None:
    config = preset(name)
    net = build("autoencoder", config, ("ben", "anna"))
    with torch.no_grad():
        rgb, mask = net(torch.rand(2, 3, config.resolution, config.resolution), "ben")
    assert rgb.shape == (2, 3, config.resolution, config.resolution)
    assert mask.shape == (2, 1, config.resolution, config.resolution)
    assert float(min(rgb.min(), mask.min())) >= 0
    assert float(max(rgb.max(), mask.max())) <= 1


def test_hd_learns_from_one_step() -> None:
    torch.manual_seed(0)
    config = preset("hd")
    net = Autoencoder(config, ("ben",))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    crop = torch.rand(1, 3, config.resolution, config.resolution)
    losses = []
    for _ in range(2):
        rgb, mask = net(crop, "ben")
        loss = (rgb - crop).abs().mean() + (mask - 1).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in net.parameters())
    assert losses[1] < losses[0]


def test_performers_share_the_encoder_and_nothing_else() -> None:
    torch.manual_seed(0)
    net = Autoencoder(preset("test"), ("ben", "anna"))
    crop = torch.rand(1, 3, 64, 64)
    rgb, _ = net(crop, "ben")
    rgb.sum().backward()
    assert all(p.grad is not None for p in net.encoder.parameters())
    assert all(p.grad is None for p in net.decoders["anna"].parameters())
    assert not torch.equal(rgb, net(crop, "anna")[0])


def test_the_swapper_is_the_encoder_and_the_likeness() -> None:
    net = Autoencoder(preset("test"), ("ben", "anna"))
    crop = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(Swapper(net, "ben")(crop), net(crop, "ben"), strict=True))


def test_up_starts_without_a_checkerboard() -> None:
    torch.manual_seed(0)
    out = Up(3, 5)(torch.rand(1, 3, 4, 4))
    blocks = out.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    assert torch.allclose(blocks.amin(-1), blocks.amax(-1), atol=1e-6)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_config_survives_json(name: str) -> None:
    assert AutoencoderConfig.from_json(PRESETS[name].to_json()) == PRESETS[name]


def test_wrong_names_and_sizes_are_refused() -> None:
    with pytest.raises(UsageError, match=r"unknown preset 'giant'.*tiny"):
        preset("giant")
    with pytest.raises(ModelError, match="unknown architecture 'unet'"):
        build("unet", preset("test"), ("ben",))
    with pytest.raises(ValueError, match="resolution 128 does not fit 3 stages"):
        AutoencoderConfig(
            resolution=128,
            encoder=(8, 8, 8),
            encoder_residuals=(0, 0, 0),
            neck=8,
            code=8,
            decoder=(8, 8, 8, 8),
            decoder_residuals=(0, 0, 0),
        )
