"""The run: it learns, stops, goes on exactly, goes back when it breaks, and says what it stands on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from vfxswap import trust
from vfxswap.errors import Cancelled, ConsentError, FacesetError, ModelError
from vfxswap.events import CancelToken
from vfxswap.train import checkpoint
from vfxswap.train.loop import METRICS, PREVIEW, Progress, Trainer

from .. import support
from . import synthetic

Losses = list[dict[str, float]]


def follow(trainer: Trainer, *, stop_at: int | None = None) -> Losses:
    """The losses of each step of a run, cancelled after step `stop_at`."""
    token, seen = CancelToken(), []

    def report(now: Progress) -> None:
        seen.append(now.losses)
        if now.step == stop_at:
            token.cancel()

    if stop_at is None:
        trainer.run(report=report)
    else:
        with pytest.raises(Cancelled):
            trainer.run(cancel=token, report=report)
    return seen


def test_losses_fall_and_the_judge_joins(tmp_path: Path, studio: support.Studio) -> None:
    trainer = synthetic.trainer(tmp_path / "model", studio, steps=40, adversary_from=0.6, score_every_steps=10)
    losses = follow(trainer)
    for name in ("likeness", "double", "mask"):
        assert losses[-1][name] < 0.85 * losses[0][name], name
    assert ["judge" in step for step in losses].index(True) == 24
    assert all("judge" in step for step in losses[24:])

    lines = [json.loads(line) for line in (tmp_path / "model" / METRICS).read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20, 30, 40]
    assert lines[1]["scores"]["likeness_psnr"] > lines[0]["scores"]["likeness_psnr"] + 0.2  # before the judge joins
    assert lines[0]["scores"]["judge_accuracy"] == pytest.approx(0.5, abs=0.26)  # it has learned nothing yet
    assert {"likeness_psnr", "double_psnr", "likeness_ssim", "mask_iou", "judge_accuracy"} == set(lines[-1]["scores"])
    assert (tmp_path / "model" / PREVIEW).read_bytes().startswith(b"\x89PNG")


def test_a_resumed_run_is_the_run_that_was_never_broken(tmp_path: Path, studio: support.Studio) -> None:
    plan = {"steps": 12, "adversary_from": 0.25, "score_every_steps": 4, "penalty_every": 4}
    whole = synthetic.trainer(tmp_path / "whole", studio, **plan)
    losses = follow(whole)

    first = follow(synthetic.trainer(tmp_path / "broken", studio, **plan), stop_at=6)
    again = synthetic.trainer(tmp_path / "broken", studio, **plan)
    assert again.progress.step == 6
    assert first + follow(again) == losses
    resumed, wanted = again.pair.tensors(), whole.pair.tensors()
    assert all(torch.equal(resumed[key], value) for key, value in wanted.items())
    assert again.progress.scores == whole.progress.scores


def test_a_finished_run_has_nothing_to_do(tmp_path: Path, studio: support.Studio) -> None:
    synthetic.trainer(tmp_path, studio, steps=2).run()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert follow(synthetic.trainer(tmp_path, studio, steps=2)) == []
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert len(follow(synthetic.trainer(tmp_path, studio, steps=3))) == 1


def test_a_budget_in_minutes_ends(tmp_path: Path, studio: support.Studio) -> None:
    trainer = synthetic.trainer(tmp_path, studio, minutes=0.01, score_every_steps=None)
    trainer.run()
    assert trainer.progress.spent >= 1
    assert 0.6 <= trainer.progress.seconds < 5


def test_a_broken_run_goes_back_and_on_at_a_lower_rate(tmp_path: Path, studio: support.Studio) -> None:
    said: list[tuple[str, str]] = []
    trainer = synthetic.trainer(
        tmp_path, studio, steps=12, score_every_steps=4, warn=lambda code, message: said.append((code, message))
    )
    steps: list[int] = []

    def poison(now: Progress) -> None:
        steps.append(now.step)
        if now.step == 6 and not said:
            with torch.no_grad():
                trainer.pair.net.encoder.get_parameter("dense.bias").fill_(float("nan"))

    trainer.run(report=poison)
    # 7 to 11 are unusable, so the run is back at 4 when the fifth of them is reported.
    assert steps == [*range(1, 11), 4, *range(5, 13)]
    assert said == [
        (
            "rollback",
            "5 steps in a row gave no finite gradient at step 11: back to step 4 with 1/2 of the rate",
        )
    ]
    state = checkpoint.load_state(tmp_path)
    assert state is not None
    assert (state.step, state.rollbacks) == (12, 1)
    assert all(bool(torch.isfinite(value).all()) for value in checkpoint.load_tensors(tmp_path, state).values())


def test_a_run_that_cannot_be_helped_ends_with_its_last_good_checkpoint(tmp_path: Path, studio: support.Studio) -> None:
    trainer = synthetic.trainer(tmp_path, studio, steps=50, score_every_steps=None)

    def poison(_: Progress) -> None:
        with torch.no_grad():
            trainer.pair.net.encoder.get_parameter("dense.bias").fill_(float("nan"))

    with pytest.raises(ModelError, match=r"no finite gradient at step .*, after 3 rollbacks"):
        trainer.run(report=poison)
    state = checkpoint.load_state(tmp_path)
    assert state is not None
    assert state.step == 0
    assert all(bool(torch.isfinite(value).all()) for value in checkpoint.load_tensors(tmp_path, state).values())
    page = (tmp_path / "training.html").read_text()
    assert 'data-status="broken"' in page
    assert "after 3 rollbacks" in page


def test_crops_that_are_no_pictures_are_left_out(tmp_path: Path, studio: support.Studio) -> None:
    said: list[tuple[str, str]] = []
    whole = synthetic.bank(synthetic.BEN)
    rgb = whole.rgb.clone()
    for i in (3, whole.held_out[0]):
        rgb[i, :, 40, 40] = float("nan")
    trainer = synthetic.trainer(
        tmp_path,
        studio,
        steps=8,
        likeness=dataclasses.replace(whole, rgb=rgb),
        warn=lambda code, message: said.append((code, message)),
    )
    assert trainer.likeness.chance[3] == 0
    assert trainer.likeness.held_out == whole.held_out[1:]
    trainer.run()
    assert said == [("crops", "2 of 24 crops of ben hold values that are no numbers (-29.6, -22.6): they are left out")]
    with pytest.raises(FacesetError, match="24 of 24 crops of ben hold values that are no numbers"):
        broken = dataclasses.replace(whole, rgb=torch.full_like(rgb, float("nan")))
        synthetic.trainer(tmp_path / "none", studio, steps=8, likeness=broken)


def test_a_collapsed_run_goes_back(tmp_path: Path, studio: support.Studio) -> None:
    said: list[str] = []
    trainer = synthetic.trainer(
        tmp_path, studio, steps=24, score_every_steps=8, warn=lambda _code, message: said.append(message)
    )

    def wreck(now: Progress) -> None:
        if now.step == 15 and not said:
            for net in (trainer.pair.net, trainer.pair.average):
                with torch.no_grad():
                    net.decoders["ben"].get_parameter("head.bias").fill_(-20.0)

    trainer.run(report=wreck)
    assert len(said) == 1
    assert "held-out PSNR fell from" in said[0]
    assert said[0].endswith("at step 16: back to step 8 with 1/2 of the rate")
    assert trainer.progress.scores["likeness_psnr"] > 10


def test_a_run_needs_a_grant_for_its_own_performers(tmp_path: Path, studio: support.Studio) -> None:
    def train(likeness: str, double: str) -> None:
        granted = studio.gate().authorize(
            shot=trust.ShotId.local("tests"), use="train", performers={"likeness": likeness, "double": double}
        )
        one, two = (
            synthetic.bank({**synthetic.BEN, "performer": "ben"}),
            synthetic.bank({**synthetic.ANNA, "performer": "carl"}),
        )
        Trainer(tmp_path / "model", config=synthetic.config(steps=1), likeness=one, double=two, grant=granted)

    with pytest.raises(ConsentError, match="VS-CON-014"):
        train("ben", "anna")
    assert not (tmp_path / "model").exists()


def test_what_a_folder_was_started_with_stays(tmp_path: Path, studio: support.Studio) -> None:
    synthetic.trainer(tmp_path, studio, steps=1).run()
    with pytest.raises(ModelError, match=r"started with preset test, seed 1, .* not with preset test, seed 2"):
        synthetic.trainer(tmp_path, studio, steps=2, seed=2)
    with pytest.raises(ModelError, match=r"not with preset tiny, seed 1"):
        synthetic.trainer(tmp_path, studio, steps=2, preset="tiny")
    with pytest.raises(ModelError, match=r"seed 1, encoding srgb, .* not with .*, encoding acescct"):
        synthetic.trainer(tmp_path, studio, steps=2, encoding="acescct")


def test_crops_and_run_are_in_one_encoding(tmp_path: Path, studio: support.Studio) -> None:
    with pytest.raises(ModelError, match="the crops of ben are encoded as srgb, the run is in acescct"):
        synthetic.trainer(tmp_path, studio, steps=1, encoding="acescct", likeness=synthetic.bank(synthetic.BEN))
    assert not (tmp_path / "state.json").exists()


def test_other_facesets_are_allowed_said_and_recorded(tmp_path: Path, studio: support.Studio) -> None:
    said: list[tuple[str, str]] = []

    def train(steps: int, digest: str) -> None:
        synthetic.trainer(
            tmp_path,
            studio,
            steps=steps,
            double=synthetic.bank(synthetic.ANNA, digest=digest),
            warn=lambda code, message: said.append((code, message)),
        ).run()

    train(2, "first")
    train(3, "first")
    assert said == []
    train(4, "second")
    assert said == [
        ("changed", "the faceset of the double is not the one of the first 3 steps: the model will record both")
    ]
    state = checkpoint.load_state(tmp_path)
    assert state is not None
    assert state.data == {"likeness": "d", "double": "second"}
    assert [(part.until, part.data["double"]) for part in state.earlier] == [(3, "first")]
    assert state.earlier[0].consents == state.consents
    assert {entry["id"] for entry in state.consents} == set(synthetic.grant(studio).consent_ids)
