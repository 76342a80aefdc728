"""The painter: sizes, shapes, performers, conditions, and what every architecture promises."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import torch
from torch import Tensor

from vfxswap.errors import ModelError, UsageError
from vfxswap.models import ARCHITECTURES, PRESETS, build, config_from_json, preset
from vfxswap.models.autoencoder import Autoencoder, AutoencoderConfig, Swapper, transfer_encoder
from vfxswap.models.blocks import Up
from vfxswap.models.convolutional import ConvolutionalConfig

SMALL = ("test", "df-test")
"""A small preset of each architecture."""


def network(name: str, *performers: str, **changes: Any) -> Autoencoder:
    config: Any = preset(name)
    config = dataclasses.replace(config, **changes)
    return build(config.architecture, config, performers or ("ben", "anna"))


def crops(config: AutoencoderConfig, count: int = 1) -> Tensor:
    return torch.rand(count, 3, config.resolution, config.resolution)


def told(config: AutoencoderConfig, count: int = 1) -> Tensor | None:
    """A condition for those that want one."""
    return torch.rand(count, config.condition) if config.condition else None


def test_every_architecture_has_a_small_preset_to_test_with() -> None:
    assert {preset(name).architecture for name in SMALL} == set(ARCHITECTURES)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_paints_in_its_own_size(name: str) -> None:
    torch.manual_seed(0)
    net = network(name, "ben")
    with torch.no_grad():
        rgb, mask = net(crops(net.config), "ben", told(net.config))
    size = net.config.resolution
    assert rgb.shape == (1, 3, size, size)
    assert mask.shape == (1, 1, size, size)
    assert float(min(rgb.min(), mask.min())) >= 0
    assert float(max(rgb.max(), mask.max())) <= 1


@pytest.mark.parametrize("name", ["tiny", *SMALL])
def test_one_step_teaches_all_of_it(name: str) -> None:
    torch.manual_seed(0)
    net = network(name, "ben")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    crop, condition = crops(net.config), told(net.config)
    losses = []
    for _ in range(2):
        rgb, mask = net(crop, "ben", condition)
        loss = (rgb - crop).abs().mean() + (mask - 1).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in net.parameters())
    assert losses[1] < losses[0]


@pytest.mark.parametrize("name", SMALL)
def test_performers_share_the_encoder_and_nothing_behind_the_bridge(name: str) -> None:
    """Five performers: a digital model may be painted from several people's material."""
    torch.manual_seed(0)
    people = ("ben", "anna", "cleo", "dora", "emil")
    net = network(name, *people)
    crop = crops(net.config)
    rgb, _ = net(crop, "cleo")
    rgb.sum().backward()
    assert all(p.grad is not None for part in (net.encoder, net.bridge) for p in part.parameters())
    for person in set(people) - {"cleo"}:
        assert all(p.grad is None for p in net.decoders[person].parameters())
    painted = [net(crop, person)[0] for person in people]
    assert not any(torch.equal(a, b) for i, a in enumerate(painted) for b in painted[:i])


@pytest.mark.parametrize("condition", [0, 5])
@pytest.mark.parametrize("name", SMALL)
def test_the_swapper_is_the_encoder_and_the_likeness(name: str, condition: int) -> None:
    net = network(name, condition=condition)
    given = (crops(net.config, 2), *([torch.rand(2, condition)] if condition else []))
    with torch.no_grad():
        whole = net(given[0], "ben", *given[1:])
        assert all(torch.equal(a, b) for a, b in zip(Swapper(net, "ben")(*given), whole, strict=True))


# -- conditions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
def test_a_condition_changes_what_is_painted_and_not_the_code(name: str) -> None:
    torch.manual_seed(0)
    net = network(name, condition=5)
    crop, told = crops(net.config), torch.rand(1, 5, requires_grad=True)
    assert net.encoder(crop).shape == (1, net.config.code)
    rgb, _ = net(crop, "ben", told)
    rgb.sum().backward()
    assert told.grad is not None
    assert bool((told.grad != 0).all())


@pytest.mark.parametrize("name", SMALL)
def test_without_a_condition_nothing_is_different(name: str) -> None:
    torch.manual_seed(0)
    plain = network(name)
    torch.manual_seed(0)
    zero = network(name, condition=0)
    crop = crops(plain.config)
    assert torch.equal(plain(crop, "ben")[0], zero(crop, "ben")[0])


def test_a_missing_or_unwanted_condition_is_refused() -> None:
    crop = crops(preset("test"))
    with pytest.raises(ValueError, match="wants a condition of length 5, got none"):
        network("test", condition=5)(crop, "ben")
    with pytest.raises(ValueError, match="wants no condition, got one"):
        network("test")(crop, "ben", torch.zeros(1, 2))


# -- warm starts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
def test_a_warm_start_takes_the_encoder_and_the_decoders_asked_for(name: str) -> None:
    torch.manual_seed(0)
    old, new = network(name, "cleo", "dora", "emil"), network(name, "ben", "anna")
    before = {key: value.clone() for key, value in new.state_dict().items()}
    transfer_encoder(old.state_dict(), new, decoders={"ben": "dora"})
    crop = crops(new.config)
    with torch.no_grad():
        assert torch.equal(new(crop, "ben")[0], old(crop, "dora")[0])
    after = new.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before if key.startswith("decoders.anna."))


def test_a_warm_start_from_something_else_changes_nothing() -> None:
    new = network("test")
    before = {key: value.clone() for key, value in new.state_dict().items()}
    with pytest.raises(ModelError, match=r"the other model has no weight"):
        transfer_encoder(network("df-test").state_dict(), new)
    with pytest.raises(ModelError, match=r"weight encoder\.dense\.weight of the other model is .*, here it is"):
        transfer_encoder(network("test", code=16).state_dict(), new)
    with pytest.raises(ModelError, match=r"no performer 'cleo'.*ben, anna"):
        transfer_encoder(new.state_dict(), new, decoders={"cleo": "ben"})
    with pytest.raises(ModelError, match=r"has no weight decoders\.cleo"):
        transfer_encoder(new.state_dict(), new, decoders={"ben": "cleo"})
    assert all(torch.equal(value, before[key]) for key, value in new.state_dict().items())


# -- configs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_config_survives_json(name: str) -> None:
    config = preset(name)
    assert config_from_json(config.architecture, json.loads(json.dumps(config.to_json()))) == config


def test_configs_of_the_first_version_are_read() -> None:
    """As its checkpoints and manifests hold it: without what later versions added."""
    data = {
        "resolution": 128,
        "encoder": [24, 48, 88, 144],
        "encoder_residuals": [0, 1, 1, 1],
        "neck": 64,
        "code": 128,
        "decoder": [144, 112, 72, 40, 16],
        "decoder_residuals": [1, 1, 1, 0],
    }
    config = config_from_json("autoencoder", data)
    net = build("autoencoder", config, ("ben", "anna"))
    shapes = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    assert sum(p.numel() for p in net.parameters()) == 5_170_896
    assert {name: shapes[name] for name in list(shapes)[:2]} == {
        "encoder.body.0.conv.weight": (24, 3, 5, 5),
        "encoder.body.0.conv.bias": (24,),
    }
    assert shapes["encoder.dense.weight"] == (128, 4096)
    assert shapes["decoders.anna.dense.weight"] == (4096, 128)
    assert shapes["decoders.anna.head.weight"] == (4, 16, 3, 3)


def test_wrong_names_sizes_and_fields_are_refused() -> None:
    with pytest.raises(UsageError, match=r"unknown preset 'giant'.*tiny"):
        preset("giant")
    with pytest.raises(ModelError, match="unknown architecture 'unet'"):
        build("unet", preset("test"), ("ben",))
    with pytest.raises(ModelError, match="unknown architecture 'unet'"):
        config_from_json("unet", {})
    with pytest.raises(ModelError, match="network sizes are damaged or of another version"):
        config_from_json("df", {"resolution": 128, "wings": 2})
    with pytest.raises(ModelError, match="resolution 100 is no multiple of 32"):
        config_from_json("df", {**preset("df-test").to_json(), "resolution": 100})
    with pytest.raises(ValueError, match="resolution 128 does not fit a stem of 2 and 3 stages"):
        ConvolutionalConfig(
            resolution=128,
            encoder=(8, 8, 8),
            encoder_residuals=(0, 0, 0),
            neck=8,
            code=8,
            decoder=(8, 8, 8, 8),
            decoder_residuals=(0, 0, 0),
        )


def test_up_starts_without_a_checkerboard() -> None:
    torch.manual_seed(0)
    out = Up(3, 5)(torch.rand(1, 3, 4, 4))
    blocks = out.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    assert torch.allclose(blocks.amin(-1), blocks.amax(-1), atol=1e-6)
