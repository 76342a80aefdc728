"""What a conditioned network is told: of the crop as drawn, the same when a run goes on, and what the shot is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vfxswap import models
from vfxswap.errors import ModelError
from vfxswap.face import expression
from vfxswap.models.convolutional import PRESETS
from vfxswap.pixels import AnyArray
from vfxswap.train import checkpoint, package, warm
from vfxswap.train.data import Augment, centred, draw
from vfxswap.train.told import conditioned

from .. import support
from . import synthetic

BANKS: Any = {"likeness": synthetic.bank(synthetic.BEN), "double": synthetic.bank(synthetic.ANNA)}
STILL = Augment(rotate_deg=0, scale=0, shift=0, told_noise=0.0)
YAW = expression.NAMES.index("yaw")


def rows(values: AnyArray) -> set[tuple[float, ...]]:
    return {tuple(row) for row in np.round(values.astype(np.float64), 3).tolist()}


def test_a_batch_says_what_its_crops_do_mirrored_where_they_are() -> None:
    ben, _, _ = conditioned(**BANKS, count=expression.COUNT, known={})
    assert ben.told is not None
    whole, flipped = rows(ben.told.numpy()), rows(expression.mirrored(ben.told.numpy()))
    for flip, seen in ((0.0, whole), (1.0, flipped)):
        batch = draw(ben, count=6, size=64, seed=1, step=2, augment=replace(STILL, flip=flip))
        assert batch.told is not None
        assert rows(batch.told.numpy()) <= seen
    # The drawn faces' bright side tells which way they look: the told yaw has to agree with the picture.
    for flip in (0.0, 1.0):
        batch = draw(
            ben, count=8, size=64, seed=1, step=3, augment=replace(STILL, flip=flip, disguise=0, occlude=0, warp=0)
        )
        assert batch.told is not None
        dark = ((batch.target.mean(dim=1) < 0.2) & (batch.mask[:, 0] > 0.9)).float()
        place = (dark * torch.arange(64)).sum(dim=(1, 2)) / dark.sum(dim=(1, 2))
        assert np.corrcoef(place.numpy(), batch.told[:, YAW].numpy())[0, 1] > 0.95


def test_noise_is_told_and_scores_are_told_the_truth() -> None:
    ben, _, _ = conditioned(**BANKS, count=expression.COUNT, known={})
    plain, noisy = (
        draw(ben, count=40, size=64, seed=1, step=2, augment=replace(STILL, told_noise=sigma)) for sigma in (0.0, 0.2)
    )
    assert plain.told is not None
    assert noisy.told is not None
    assert float((noisy.told - plain.told).std()) == pytest.approx(0.2, rel=0.1)
    assert torch.equal(noisy.target, plain.target)
    scored = centred(ben, ben.held_out, size=64).told
    assert ben.told is not None
    assert scored is not None
    assert torch.equal(scored, ben.told[list(ben.held_out)])


def test_networks_told_other_numbers_are_refused() -> None:
    with pytest.raises(ModelError, match="told 7 numbers, this version measures 23"):
        conditioned(**BANKS, count=7, known={})


@pytest.fixture
def told_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test preset, conditioned."""
    small = replace(PRESETS["test"], condition=expression.COUNT)
    monkeypatch.setitem(PRESETS, "test", small)
    monkeypatch.setitem(models.PRESETS, "test", small)


@pytest.mark.usefixtures("told_preset")
def test_a_conditioned_model_is_trained_resumed_and_paints_what_it_is_told(
    tmp_path: Path, studio: support.Studio
) -> None:
    synthetic.trainer(tmp_path / "ours", studio, steps=6).run()
    first = checkpoint.load_state(tmp_path / "ours")
    assert first is not None
    assert set(first.told) == {"likeness", "double"}
    fewer = replace(synthetic.bank(synthetic.ANNA, count=16), digest="other")
    synthetic.trainer(tmp_path / "ours", studio, steps=30, double=fewer).run()
    state = checkpoint.load_state(tmp_path / "ours")
    assert state is not None
    assert state.told == first.told  # what a network is told does not drift
    grant = synthetic.grant(studio)
    card = package.export_model(tmp_path / "ours", tmp_path / "m.vfxmodel", grant=grant)
    assert card.condition == first.told["double"]
    model = studio.open(tmp_path / "m.vfxmodel")
    crop: Any = np.full((64, 64, 3), 0.4, np.float32)
    rest, turned = (np.full(expression.COUNT, value, np.float32) for value in (0.0, 1.0))
    assert np.abs(model.swap(crop, rest)[0] - model.swap(crop, turned)[0]).max() > 1e-4
    with pytest.raises(ModelError, match="the network wants inputs crop, condition"):
        model.swap(crop)


def test_a_network_that_was_told_nothing_goes_on_and_learns_to_listen(
    tmp_path: Path, studio: support.Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = synthetic.trainer(tmp_path / "before", studio, steps=4)
    before.run()
    small = replace(PRESETS["test"], condition=expression.COUNT)
    monkeypatch.setitem(models.PRESETS, "test", small)
    source = warm.Source.open(tmp_path / "before", grants=(synthetic.grant(studio),))
    after = synthetic.trainer(tmp_path / "after", studio, steps=4, source=source)
    batch = centred(after.double, (0, 1), size=64)
    old, new = before.pair.average.eval(), after.pair.average.eval()
    with torch.no_grad():
        painted, _ = old(batch.warped, "ben")
        deaf, _ = new(batch.warped, "ben", batch.told)
    assert torch.allclose(painted, deaf, atol=1e-6)
    after.run()
    assert batch.told is not None
    with torch.no_grad():
        one, other = (new(batch.warped, "ben", value)[0] for value in (batch.told, -batch.told))
    assert float((one - other).abs().max()) > 1e-4
