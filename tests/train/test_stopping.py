"""A run ends early when a probe cannot tell AND the score stands still; one of the two is not enough."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vfxswap.train.loop import Trainer
from vfxswap.train.stopping import done

from .. import support
from . import synthetic


def scored(psnr: list[float], told: list[float]) -> list[dict[str, float]]:
    return [{"likeness_psnr": p, "probe_accuracy": t} for p, t in zip(psnr, told, strict=True)]


FLAT = [25.0, 27.0, 28.0, 28.01, 28.0, 28.02, 28.01, 28.0]
RISING = [25.0, 26.0, 26.5, 27.0, 27.4, 27.7, 27.9, 28.1]


@pytest.mark.parametrize(
    ("psnr", "told", "ends"),
    [
        (FLAT, [0.9, 0.8, 0.7, 0.6, 0.6, 0.52, 0.5, 0.54], True),
        (RISING, [0.9, 0.8, 0.7, 0.6, 0.6, 0.52, 0.5, 0.54], False),
        (FLAT, [0.9, 0.8, 0.7, 0.6, 0.6, 0.62, 0.6, 0.64], False),
        (FLAT, [0.9, 0.8, 0.7, 0.6, 0.6, 0.9, 0.9, 0.4], False),
        (FLAT[2:7], [0.5] * 5, False),
    ],
)
def test_both_are_needed_and_for_a_while(psnr: list[float], told: list[float], ends: bool):
    reason = done(scored(psnr, told))
    assert bool(reason) == ends
    if ends:
        assert "52 %" in reason and "28.0 dB" in reason


def test_scores_without_a_probe_never_end_a_run():
    assert done([{"likeness_psnr": p} for p in FLAT]) == ""


class Settled(Trainer):
    """A run whose scores stand still and whose faces pass for real."""

    def _scores(self) -> dict[str, float]:
        return {"likeness_psnr": 28.0, "probe_accuracy": 0.51}


def settled(folder: Path, studio: support.Studio, **fields: Any) -> Settled:
    return Settled(
        folder,
        config=synthetic.config(score_every_steps=1, **fields),
        likeness=synthetic.bank(synthetic.BEN),
        double=synthetic.bank(synthetic.ANNA),
        grant=synthetic.grant(studio),
    )


def test_a_run_ends_early_says_why_and_goes_on_with_a_larger_budget(tmp_path: Path, studio: support.Studio):
    plan = {"steps": 40, "adversary_weight": 0.0}
    ended = settled(tmp_path, studio, **plan).run()
    assert 6 <= ended.step < 40 and ended.reason.startswith("ended early: a fresh classifier is right about 51 %")
    assert "ended early" in (tmp_path / "training.html").read_text()
    again = settled(tmp_path, studio, **plan)
    assert again.run().step == ended.step, "the same command again has nothing to do"
    more = settled(tmp_path, studio, **plan | {"steps": 60})
    assert more.run().step > ended.step


def test_a_run_goes_to_the_end_of_its_budget_if_asked_and_while_the_judge_has_not_joined(
    tmp_path: Path, studio: support.Studio
):
    full = settled(tmp_path / "full", studio, steps=10, adversary_weight=0.0, stop_early=False).run()
    assert full.step == 10 and full.reason == "the budget is spent"
    late = settled(tmp_path / "late", studio, steps=10, adversary_from=0.9).run()
    assert late.step == 9, "only with the judge in play is the verdict asked for"
