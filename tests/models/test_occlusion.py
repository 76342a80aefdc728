"""What is before the face leaves the mask, and only that network learns from it."""

from __future__ import annotations

import pytest
import torch

from vfxswap.errors import ModelError
from vfxswap.models import build, config_from_json, preset
from vfxswap.models.autoencoder import Autoencoder, Swapper, transfer_encoder
from vfxswap.models.cost import cost
from vfxswap.models.export import to_onnx
from vfxswap.models.occlusion import Occlusion, covering, uncovered
from vfxswap.train import losses


def network(*, occlusion: int = 4) -> Autoencoder:
    torch.manual_seed(1)
    config = config_from_json("autoencoder", preset("test").to_json() | {"occlusion": occlusion})
    return build("autoencoder", config, ("ben", "anna"))


def test_the_shipped_mask_is_the_painted_one_less_what_covers_it() -> None:
    net = network()
    assert net.occlusion is not None
    crop = torch.rand(2, 3, 64, 64)
    rgb, mask = net.paint(net.encoder(crop), "ben")
    shipped = Swapper(net, "ben")(crop)
    torch.testing.assert_close(shipped[0], rgb)
    torch.testing.assert_close(
        shipped[1], mask * (1 - torch.sigmoid(covering(net.occlusion, crop, rgb, mask, size=64)))
    )
    torch.testing.assert_close(net(crop, "ben")[1], shipped[1])
    *_, outline, front = Swapper(net, "ben").parts(crop)
    torch.testing.assert_close(outline, mask)
    torch.testing.assert_close(outline * (1 - front), shipped[1])
    assert len(Swapper(network(occlusion=0), "ben").parts(crop)) == 2
    assert uncovered(None, crop, rgb, mask, size=64) is mask


def test_it_is_exported_with_the_rest() -> None:
    """`to_onnx` compares with torch itself and refuses what differs."""
    assert len(to_onnx(Swapper(network(), "ben"), resolution=64)) > len(
        to_onnx(Swapper(network(occlusion=0), "ben"), resolution=64)
    )


def test_it_learns_to_find_a_bar_that_the_painted_face_does_not_have() -> None:
    torch.manual_seed(2)
    finder = Occlusion(8)
    optimizer = torch.optim.Adam(finder.parameters(), lr=3e-3)

    def lesson(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        face = torch.nn.functional.interpolate(torch.rand(count, 3, 4, 4), size=32, mode="bicubic").clamp(0, 1)
        hidden = torch.zeros(count, 1, 32, 32)
        for i in range(count):
            start = int(torch.randint(0, 24, ()))
            hidden[i, :, :, start : start + 6] = 1.0
        bar = torch.rand(count, 3, 1, 1)
        return face * (1 - hidden) + bar * hidden, face, hidden

    mask = torch.ones(8, 1, 32, 32)
    for _ in range(80):
        crop, face, hidden = lesson(8)
        optimizer.zero_grad()
        losses.occlusion(finder(crop, face, mask), hidden, mask).backward()
        optimizer.step()
    crop, face, hidden = lesson(8)
    found = finder(crop, face, mask) > 0
    overlap = (found & (hidden > 0)).sum() / (found | (hidden > 0)).sum()
    assert overlap > 0.8


@pytest.mark.parametrize(("size", "large"), [(32, 32), (64, 80), (128, 160), (256, 320)])
def test_it_is_shown_everything_enlarged_and_answers_for_the_crop(size: int, large: int) -> None:
    """A wedge of light: enlarged and brought back it lies where it lay. (40 cannot be halved often enough.)"""
    finder = Occlusion(4)
    shown: list[torch.Tensor] = []

    def forward(crop: torch.Tensor, painted: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        shown.extend([crop, painted, mask])
        return crop[:, :1]

    finder.forward = forward  # type: ignore[method-assign]
    across = torch.linspace(0, 1, size).expand(1, 3, size, size)
    found = covering(finder, across, across.flip(-1), across[:, :1].transpose(-1, -2), size=size)
    assert [plane.shape[-2:] for plane in shown] == [(large, large)] * 3
    assert found.shape == (1, 1, size, size)
    torch.testing.assert_close(found, across[:, :1], atol=0.5 / size, rtol=0)


def test_the_budget_of_tiny_is_for_encoder_and_decoder() -> None:
    plain, whole = cost(preset("tiny")), cost(preset("tiny"), occlusion=True)
    assert plain.gflop <= 1.5 and plain.parameters <= 5e6
    assert 0.1 < whole.gflop - plain.gflop < 0.31
    assert 1e5 < whole.parameters - plain.parameters < 2e5


def test_a_warm_start_from_a_network_without_it_begins_it_anew() -> None:
    old, new = network(occlusion=0), network()
    before = {name: value.clone() for name, value in new.state_dict().items() if name.startswith("occlusion.")}
    transfer_encoder(old.state_dict(), new, decoders={"ben": "ben"})
    after = new.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    torch.testing.assert_close(after["encoder.dense.weight"], old.state_dict()["encoder.dense.weight"])
    with pytest.raises(ModelError):
        transfer_encoder(
            {name: value for name, value in network().state_dict().items() if name != "occlusion.head.weight"}, new
        )
