"""The adversarial pair: who learns from what."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import nn

from vfxswap.models import config_from_json, preset
from vfxswap.train.adversarial import Pair
from vfxswap.train.data import Augment, Batch, draw, occluded
from vfxswap.train.score import held_out

from . import synthetic

BEN, ANNA = synthetic.batch(synthetic.BEN), synthetic.batch(synthetic.ANNA)


def make(**changes: Any) -> Pair:
    return Pair(
        preset("test"),
        architecture="autoencoder",
        likeness="ben",
        double="anna",
        config=synthetic.config(steps=100, **changes),
        device=torch.device("cpu"),
        bf16=False,
    )


def strength(module: nn.Module) -> float:
    """Sum of the absolute gradients."""
    return sum(float(p.grad.abs().sum()) for p in module.parameters() if p.grad is not None)


def weights(module: nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in module.parameters()]


def moved(module: nn.Module, before: list[torch.Tensor]) -> bool:
    return not all(torch.equal(p, b) for p, b in zip(module.parameters(), before, strict=True))


def test_the_verdict_on_swaps_teaches_the_decoder_alone() -> None:
    pair = make()
    _, _, painted = pair._paint(BEN, ANNA, step=0, spent=0.0, swap=True)
    assert painted.swapped is not None
    total, parts = pair._persuade(BEN, ANNA, painted.reconstructed.detach(), painted.swapped)
    total.backward()
    assert strength(pair.net.decoders["ben"]) > 0
    assert strength(pair.net.encoder) == 0
    assert strength(pair.net.decoders["anna"]) == 0
    assert strength(pair.judge) == 0
    assert {"persuade", "matching"} <= set(parts)


def test_the_verdict_on_reconstructions_teaches_the_encoder_too() -> None:
    pair = make()
    _, _, painted = pair._paint(BEN, ANNA, step=0, spent=0.0, swap=True)
    assert painted.swapped is not None
    pair._persuade(BEN, ANNA, painted.reconstructed, painted.swapped.detach())[0].backward()
    assert strength(pair.net.decoders["ben"]) > 0
    assert strength(pair.net.encoder) > 0
    assert strength(pair.judge) == 0


def test_the_judge_learns_from_pictures_and_moves_no_painter() -> None:
    pair = make()
    _, _, painted = pair._paint(BEN, ANNA, step=0, spent=0.0, swap=True)
    assert painted.swapped is not None
    pair._judge_loss(BEN, ANNA, painted.reconstructed, painted.swapped, penalty=True).backward()
    assert strength(pair.judge) > 0
    assert strength(pair.net) == 0


@pytest.mark.parametrize(("spent", "joined"), [(0.29, False), (0.31, True)])
def test_the_judge_joins_when_its_part_of_the_budget_comes(spent: float, joined: bool) -> None:
    pair = make(adversary_from=0.3)
    before = weights(pair.judge)
    losses = pair.step(BEN, ANNA, step=1, spent=spent)
    assert losses is not None
    assert moved(pair.judge, before) is joined
    assert ("judge" in losses) is ("persuade" in losses) is joined


def test_without_weight_there_is_no_judge() -> None:
    losses = make(adversary_weight=0.0).step(BEN, ANNA, step=1, spent=0.9)
    assert losses is not None
    assert "judge" not in losses


def test_the_average_follows_the_painter() -> None:
    pair = make()
    before = weights(pair.average)
    pair.step(BEN, ANNA, step=1, spent=0.0)
    steps = zip(before, pair.average.parameters(), pair.net.parameters(), strict=True)
    # Decay of step 1 is (1 + 1) / (10 + 1): the average goes 9/11 of the way.
    assert all(torch.allclose(slow, b + (fast - b) * 9 / 11, atol=1e-6) for b, slow, fast in steps)


def test_rates_rise_and_fall() -> None:
    pair = make(warm_up=10, rate=1e-3)

    def rate(step: int, spent: float, scale: float = 1.0) -> float:
        pair._set_rates(step, spent, scale)
        return float(pair._painter_opt.param_groups[0]["lr"])

    assert rate(0, 0.0) == pytest.approx(1e-4)
    assert rate(9, 0.0) == pytest.approx(1e-3)
    assert rate(50, 0.5) == pytest.approx(0.51e-3)
    assert rate(99, 1.0) == pytest.approx(2e-5)
    assert rate(9, 0.0, 0.25) == pytest.approx(2.5e-4)


def test_a_step_without_finite_gradient_changes_nothing() -> None:
    pair = make()
    before = weights(pair.net)
    broken = synthetic.batch(synthetic.BEN)
    broken.target[0, 0, 30, 30] = float("nan")
    assert pair.step(broken, ANNA, step=1, spent=0.9) is None
    assert not moved(pair.net, before)
    assert pair.step(BEN, ANNA, step=1, spent=0.9) is not None


def test_the_judge_learns_to_tell_paint_from_skin() -> None:
    """Against a painter that knows nothing, held-out accuracy rises from a coin's toss to near certainty."""
    pair = make(judge_rate=2e-3)
    banks: Any = {"likeness": synthetic.bank(synthetic.BEN), "double": synthetic.bank(synthetic.ANNA)}

    def accuracy() -> float:
        return held_out(pair.average, pair.judge, **banks, device=pair.device)["judge_accuracy"]

    before = accuracy()
    _, _, painted = pair._paint(BEN, ANNA, step=0, spent=0.0, swap=True)
    assert painted.swapped is not None
    for _ in range(20):
        loss = pair._judge_loss(BEN, ANNA, painted.reconstructed.detach(), painted.swapped.detach(), penalty=False)
        pair._judge_opt.zero_grad()
        loss.backward()
        pair._judge_opt.step()
    assert before == pytest.approx(0.5, abs=0.26)
    assert accuracy() >= 0.9


def test_scoring_moves_neither_painter_nor_judge() -> None:
    pair = make()
    before = {key: value.clone() for key, value in pair.tensors().items()}
    banks: Any = {"likeness": synthetic.bank(synthetic.BEN), "double": synthetic.bank(synthetic.ANNA)}
    scores = held_out(pair.average, pair.judge, **banks, device=pair.device)
    assert all(torch.equal(value, before[key]) for key, value in pair.tensors().items())
    assert set(scores) == {"likeness_psnr", "double_psnr", "likeness_ssim", "mask_iou", "judge_accuracy"}
    assert pair.judge.training


def test_everything_that_learns_is_in_the_checkpoint() -> None:
    one, two = make(), make(seed=2)
    one.step(BEN, ANNA, step=0, spent=0.9)
    two.restore(one.tensors())
    for step in (1, 2):
        assert one.step(BEN, ANNA, step=step, spent=0.9) is not None
        # The noise on codes belongs to the seed of the run, which a resumed run shares.
        two.config = one.config
        two.step(BEN, ANNA, step=step, spent=0.9)
    found = two.tensors()
    assert [key for key, value in one.tensors().items() if not torch.equal(value, found[key])] == []


def test_codes_pay_for_telling_whose_they_are() -> None:
    pair = make()
    _, parts, painted = pair._paint(BEN, ANNA, step=0, spent=0.0, swap=False)
    pair._confusion(painted.codes).backward()
    assert strength(pair.net.encoder) > 0
    assert strength(pair.code_judge) == 0
    assert parts["confusion"] >= 0.69  # ln 2, the entropy of a coin, is the least
    assert parts["power"] > 0


def test_the_code_judge_learns_whose_code_it_is() -> None:
    pair = make(judge_rate=1e-2)
    codes = torch.cat([torch.randn(8, 32) + 0.5, torch.randn(8, 32) - 0.5])
    told = [pair._judge_codes(codes)["codes_told"] for _ in range(60)]
    assert told[0] < 0.9
    assert told[-1] >= 0.9


def test_noise_on_codes_depends_on_the_step_alone() -> None:
    pair, codes = make(), torch.zeros(4, 32)
    assert torch.equal(pair._noise(codes, 3, 0.0), make()._noise(codes, 3, 0.0))
    assert not torch.equal(pair._noise(codes, 3, 0.0), pair._noise(codes, 4, 0.0))
    assert float(pair._noise(torch.zeros(64, 32), 0, 0.0).std()) == pytest.approx(pair.config.code_noise, rel=0.1)


def test_noise_ebbs_and_stays_at_its_least() -> None:
    pair, codes = make(), torch.zeros(64, 32)
    full = pair._noise(codes, 5, 0.0)
    assert torch.allclose(pair._noise(codes, 5, 0.25), 0.7 * full)
    assert 0 < pair.config.least_noise < 0.7
    assert torch.allclose(pair._noise(codes, 5, 1.0), pair.config.least_noise * full)


def occluded_pair() -> Pair:
    return Pair(
        config_from_json("autoencoder", preset("test").to_json() | {"occlusion": 4}),
        architecture="autoencoder",
        likeness="ben",
        double="anna",
        config=synthetic.config(steps=100),
        device=torch.device("cpu"),
        bf16=False,
    )


def test_finding_occluders_is_learned_from_reconstructions_and_swaps_and_teaches_the_painter_nothing() -> None:
    banks = synthetic.bank(synthetic.BEN), synthetic.bank(synthetic.ANNA)
    batches = [occluded(bank, (0, 3, 6, 9), size=64, seed=1) for bank in banks]
    pair = occluded_pair()
    assert pair.net.occlusion is not None
    codes = pair.net.encoder(torch.cat([batch.warped for batch in batches]))
    painted = pair.net.paint(codes[:4], "ben")
    loss = pair._covered(batches[0], batches[1], painted, codes[4:])["occlusion"]
    loss.backward()
    assert strength(pair.net.occlusion) > 0
    assert strength(pair.net.encoder) == strength(pair.net.decoders["ben"]) == 0

    found = []
    for step in range(30):
        losses = pair.step(*batches, step=step, spent=0.1)
        assert losses is not None
        found.append(losses["occlusion"])
    assert found[-1] < 0.8 * found[0]


def test_decoders_leave_occluders_to_the_network_for_them() -> None:
    banks = synthetic.bank(synthetic.BEN), synthetic.bank(synthetic.ANNA)
    draws = [draw(bank, count=4, size=64, seed=1, step=0, augment=Augment(occlude=1)) for bank in banks]
    assert all(batch.whole is not None and float((batch.whole - batch.mask).max()) > 0.5 for batch in draws)
    bare = [dataclasses.replace(batch, mask=torch.zeros_like(batch.mask)) for batch in draws]

    def mask_loss(pair: Pair, batches: list[Batch]) -> float:
        losses = pair.step(*batches, step=0, spent=0.1)
        assert losses is not None
        return losses["mask"]

    assert mask_loss(occluded_pair(), draws) == pytest.approx(mask_loss(occluded_pair(), bare))
    assert mask_loss(make(), draws) != pytest.approx(mask_loss(make(), bare), rel=0.05)


def test_without_occluders_or_a_network_for_them_nothing_is_to_be_found() -> None:
    losses = occluded_pair().step(BEN, ANNA, step=0, spent=0.1)
    assert losses is not None and "occlusion" not in losses, "these crops have nothing before them"
    losses = make().step(BEN, ANNA, step=0, spent=0.1)
    assert losses is not None and "occlusion" not in losses
