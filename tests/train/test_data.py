"""Batches and banks."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest
import torch

from vfxswap.errors import FacesetError
from vfxswap.train import bank as banks
from vfxswap.train.data import Augment, Batch, Prefetch, centred, draw
from vfxswap.train.disguise import disguised

from . import synthetic

STILL = Augment(
    rotate_deg=0, scale=0, shift=0, flip=0, warp=0, disguise=0, color=0, exposure=0, slope=0, noise=0, occlude=0
)


def taken(batch: Batch) -> list[torch.Tensor]:
    return [value for value in vars(batch).values() if value is not None]


def test_a_draw_depends_on_seed_and_step_alone() -> None:
    bank = synthetic.bank(synthetic.BEN)

    def drawn(seed: int, step: int) -> list[torch.Tensor]:
        return taken(draw(bank, count=3, size=64, seed=seed, step=step, augment=Augment()))

    first = drawn(1, 7)
    drawn(1, 8)
    assert all(torch.equal(a, b) for a, b in zip(first, drawn(1, 7), strict=True))
    assert not torch.equal(first[0], drawn(1, 8)[0])
    assert not torch.equal(first[0], drawn(2, 7)[0])


def test_a_batch_can_be_drawn_in_parts() -> None:
    bank = disguised(synthetic.bank(synthetic.BEN), synthetic.bank(synthetic.ANNA))
    whole = draw(bank, count=6, size=64, seed=1, step=3, augment=Augment())
    parts = [draw(bank, count=n, size=64, seed=1, step=3, augment=Augment(), first=f) for f, n in ((0, 4), (4, 2))]
    for one, two, both in zip(*map(taken, (*parts, whole)), strict=True):
        assert torch.allclose(torch.cat([one, two]), both, atol=1e-6)


def test_performers_get_different_draws() -> None:
    ben = synthetic.bank(synthetic.BEN)
    other = dataclasses.replace(ben, performer="anna")
    one, two = (draw(b, count=3, size=64, seed=1, step=0, augment=Augment()) for b in (ben, other))
    assert not torch.equal(one.target, two.target)


def test_batches_have_the_shapes_and_ranges_they_say() -> None:
    batch = draw(synthetic.bank(synthetic.BEN), count=3, size=64, seed=1, step=0, augment=Augment())
    assert batch.warped.shape == batch.target.shape == (3, 3, 64, 64)
    assert batch.mask.shape == batch.weight.shape == batch.core.shape == (3, 1, 64, 64)
    assert len(batch) == 3
    for tensor in (batch.warped, batch.target, batch.mask, batch.core):
        assert tensor.dtype == torch.float32
        assert float(tensor.min()) >= 0
        assert float(tensor.max()) <= 1


def test_the_warp_is_on_the_input_only() -> None:
    bank = synthetic.bank(synthetic.BEN)
    still = draw(bank, count=3, size=64, seed=1, step=0, augment=STILL)
    assert torch.allclose(still.warped, still.target, atol=1e-6)
    warped = draw(bank, count=3, size=64, seed=1, step=0, augment=dataclasses.replace(STILL, warp=0.05))
    assert torch.allclose(warped.target, still.target, atol=1e-6)
    assert float((warped.warped - still.warped).abs().mean()) > 0.005


def test_light_changes_input_and_target_alike() -> None:
    bank = synthetic.bank(synthetic.BEN)
    lit = draw(bank, count=3, size=64, seed=1, step=0, augment=dataclasses.replace(STILL, exposure=0.3))
    assert torch.allclose(lit.warped, lit.target, atol=1e-6)
    still = draw(bank, count=3, size=64, seed=1, step=0, augment=STILL)
    assert float((lit.target - still.target).abs().mean()) > 0.01


def test_held_out_crops_are_never_drawn() -> None:
    bank = synthetic.bank(synthetic.BEN, count=24)
    assert bank.held_out == (5, 15)
    # Each crop painted in a shade of its own tells which was drawn.
    shades = torch.arange(24, dtype=torch.float16)[:, None, None, None] / 24
    marked = dataclasses.replace(bank, rgb=shades.expand_as(bank.rgb).contiguous())
    seen = set()
    for step in range(60):
        target = draw(marked, count=4, size=64, seed=3, step=step, augment=STILL).target
        seen |= {round(float(shade) * 24) for shade in target[:, 0, 32, 32]}
    assert seen == set(range(24)) - {5, 15}


def test_centred_crops_are_the_middle_of_the_bank() -> None:
    bank = synthetic.bank(synthetic.BEN, raster=80)
    crop = centred(bank, (3,), size=64)
    assert torch.allclose(crop.target[0], bank.rgb[3, :, 8:72, 8:72].float(), atol=1e-3)
    assert torch.equal(crop.warped, crop.target)


def test_rare_angles_are_drawn_more_often() -> None:
    yaw = np.array([0.0] * 20 + [60.0])
    weights = banks.yaw_balance(yaw)
    assert weights[-1] > 4 * weights[0]
    assert np.ptp(weights[:-1]) == 0


def test_the_tone_of_a_crop_is_that_of_its_face() -> None:
    bank = synthetic.bank(synthetic.BEN)
    dark = dataclasses.replace(bank, rgb=bank.rgb * torch.linspace(0.5, 1, len(bank))[:, None, None, None].half())
    assert dark.tones.shape == (len(bank), 3)
    np.testing.assert_allclose((dark.tones / bank.tones)[:, 0], np.linspace(0.5, 1, len(bank)), atol=0.01)
    np.testing.assert_allclose(bank.tones.mean(axis=0), bank.skin, atol=0.01)
    faceless = dataclasses.replace(bank, mask=bank.mask * (torch.arange(len(bank)) > 0)[:, None, None, None])
    np.testing.assert_allclose(faceless.tones[0], faceless.skin)


def test_the_ladder_has_no_step_for_held_out_crops() -> None:
    bank = synthetic.bank(synthetic.BEN, count=24)
    assert bank.ladder[-1] == 1.0
    wide = np.diff(bank.ladder, prepend=0.0)
    assert set(np.flatnonzero(wide == 0)) == set(bank.held_out)
    np.testing.assert_allclose(wide, bank.chance, atol=1e-12)


def test_core_lies_inside_the_mask_and_the_rim_around_it() -> None:
    _, mask = synthetic.picture(80, 0.0, skin=(1, 1, 1), width=0.3, eyes=0.05)
    core, rim = banks.core_map(mask), banks.rim_map(mask)
    inside = mask > 0.5
    assert core[40, 40] > 0.99
    assert core[~inside].max() < 0.05
    assert core.sum() < 0.9 * mask.sum()
    assert (rim >= mask).all()
    assert rim.sum() > 1.1 * mask.sum()


def test_errors_in_the_eyes_weigh_most() -> None:
    points = synthetic.landmarks(80, 0.0)
    focus = banks.focus_map(points[:, :2], size=80)
    eye = points[33:34, :2].mean(axis=0).round().astype(int)
    nose = points[1, :2].round().astype(int)
    assert focus[eye[1], eye[0]] > 1
    assert focus[nose[1], nose[0]] < 0.2


class _Log:
    """Makes things of steps, and remembers which."""

    def __init__(self) -> None:
        self.made: list[int] = []
        self.threads: set[str] = set()

    def __call__(self, step: int) -> int:
        self.threads.add(threading.current_thread().name)
        if step == 13:
            raise FacesetError("step 13 cannot be drawn")
        self.made.append(step)
        return step * step


def test_steps_are_made_ahead_in_the_background() -> None:
    log = _Log()
    with Prefetch(log) as batches:
        assert [batches(step) for step in range(5)] == [0, 1, 4, 9, 16]
    assert log.made[:5] == [0, 1, 2, 3, 4]
    assert threading.current_thread().name not in log.threads


def test_a_run_may_go_back_and_repeats_what_it_saw() -> None:
    with Prefetch(_Log(), ahead=3) as batches:
        assert [batches(step) for step in (0, 1, 2, 7, 3, 4, 4, 0)] == [0, 1, 4, 49, 9, 16, 16, 0]


def test_what_cannot_be_made_is_raised_at_its_own_step() -> None:
    with Prefetch(_Log()) as batches:
        assert batches(12) == 144
        with pytest.raises(FacesetError, match="13"):
            batches(13)
        with pytest.raises(FacesetError, match="13"):
            batches(13)
        assert batches(14) == 196


def test_without_threads_nothing_is_made_ahead() -> None:
    log = _Log()
    with Prefetch(log, ahead=0) as batches:
        assert [batches(3), batches(5)] == [9, 25]
    assert log.made == [3, 5]
    assert log.threads == {threading.current_thread().name}


def test_batches_made_ahead_are_those_made_when_asked_for() -> None:
    bank = synthetic.bank(synthetic.BEN)

    def make(step: int) -> Batch:
        return draw(bank, count=4, size=64, seed=1, step=step, augment=Augment(occlude=1))

    with Prefetch(make, ahead=2) as batches:
        for step in range(4):
            assert all(torch.equal(a, b) for a, b in zip(taken(batches(step)), taken(make(step)), strict=True))
