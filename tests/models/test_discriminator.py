"""The judge: verdicts for the whole crop and for each spot, a channel for each performer."""

from __future__ import annotations

import torch

from vfxswap.models.discriminator import Discriminator


def test_verdicts_are_coarse_and_fine() -> None:
    coarse, fine, features = Discriminator(("ben",))(torch.rand(2, 3, 64, 64), "ben")
    assert coarse.shape == (2, 1, 4, 4)
    assert fine.shape == (2, 1, 32, 32)
    assert [f.shape[-1] for f in features] == [32, 16, 8, 4]


def test_each_performer_has_a_verdict_of_their_own() -> None:
    torch.manual_seed(0)
    judge = Discriminator(("ben", "anna")).eval()
    crop = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        ben, anna = judge(crop, "ben"), judge(crop, "anna")
    assert not torch.equal(ben[0], anna[0])
    assert torch.equal(ben[2][-1], anna[2][-1])


def test_a_fine_verdict_concerns_its_own_spot() -> None:
    """The gradient of one spot's logit is strongest around that spot."""
    torch.manual_seed(0)
    crop = torch.rand(1, 3, 64, 64, requires_grad=True)
    _, fine, _ = Discriminator(("ben",))(crop, "ben")
    fine[0, 0, 8, 24].backward()
    assert crop.grad is not None
    strength = crop.grad[0].abs().sum(0)
    assert float(strength[8:25, 40:57].mean()) > 5 * float(strength[40:57, 0:17].mean())


def test_weights_are_spectrally_normal() -> None:
    """After some power iterations no layer stretches its input by more than about 1."""
    judge = Discriminator(("ben",), base=8)
    for _ in range(30):
        judge(torch.rand(1, 3, 32, 32), "ben")
    judge.eval().requires_grad_(False)
    for conv in (judge.stem, *judge.downs, *judge.ups):
        weight = conv.get_parameter("parametrizations.weight.original")
        normal = conv.weight
        assert isinstance(normal, torch.Tensor)
        assert normal.shape == weight.shape
        assert float(torch.linalg.matrix_norm(normal.flatten(1), ord=2)) < 1.05
