"""One number moves the edges of what is before the face to where held-out crops have them, and is exported."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from vfxswap.models import config_from_json, preset
from vfxswap.pixels import ModelRgb
from vfxswap.train import calibrate, checkpoint, data, loop, package
from vfxswap.train.data import centred, occluded

from .. import support
from . import synthetic

CPU = torch.device("cpu")
SURE = 6.0


def painter(*, off: float) -> Any:
    """Paints the true outline, and finds what covers it, with soft edges; but its logits are `off` by so much."""
    bank = synthetic.bank(synthetic.BEN)
    clear = centred(bank, bank.held_out, size=64)
    covered = [occluded(bank, bank.held_out, size=64, seed=seed) for seed in range(2)]

    def occlusion(crop: Tensor, _rgb: Tensor, _outline: Tensor) -> Tensor:
        near = [(functional.interpolate(batch.warped, crop.shape[-2:], mode="bilinear"), batch) for batch in covered]
        known = next((batch.hidden for seen, batch in near if torch.allclose(seen, crop)), None)
        hidden = torch.zeros_like(clear.mask) if known is None else (known > 0.5).float()
        soft = functional.avg_pool2d(hidden, 7, stride=1, padding=3)
        return functional.interpolate(SURE * (2 * soft - 1) + off, crop.shape[-2:], mode="bilinear")

    return SimpleNamespace(
        config=SimpleNamespace(resolution=64),
        encoder=lambda crop: crop,
        paint=lambda crop, _performer, _told: (crop, (clear.mask > 0.5).float()),
        occlusion=occlusion,
    ), bank


@pytest.mark.parametrize("off", [-1.0, 0.0, 1.5])
def test_what_a_network_is_off_by_is_put_right(off: float) -> None:
    net, bank = painter(off=off)
    found = calibrate.front_bias(net, bank, bank.held_out, device=CPU)
    even = calibrate.front_bias(painter(off=0.0)[0], bank, bank.held_out, device=CPU)
    assert found == pytest.approx(even - off, abs=0.13)


def test_painting_over_what_is_before_the_face_costs_more_than_leaving_it(monkeypatch: pytest.MonkeyPatch) -> None:
    net, bank = painter(off=0.0)
    found = []
    for price in (0.2, 20.0):
        monkeypatch.setattr(calibrate, "_PAINTED", price)
        found.append(calibrate.front_bias(net, bank, bank.held_out, device=CPU))
    assert found[0] < found[1]


def test_without_such_a_network_or_held_out_crops_there_is_nothing_to_tell() -> None:
    net, bank = painter(off=1.0)
    assert calibrate.front_bias(net, bank, (), device=CPU) == 0.0
    net.occlusion = None
    assert calibrate.front_bias(net, bank, bank.held_out, device=CPU) == 0.0
    calibrate.apply(net, 1.0)  # nothing happens


def test_a_training_tells_it_and_the_export_has_it(
    tmp_path: Path, studio: support.Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_one = config_from_json("autoencoder", preset("test").to_json() | {"occlusion": 4})
    monkeypatch.setattr(loop, "preset", lambda _name: with_one)
    trainer = synthetic.trainer(tmp_path / "run", studio, steps=4)
    scores = trainer.run().scores
    assert -2.0 <= scores[calibrate.SCORE] <= 2.0
    crop = ModelRgb(trainer.double.rgb[0, :, :64, :64].float().permute(1, 2, 0).numpy())
    state = tmp_path / "run" / checkpoint.STATE
    fronts = []
    for bias in (-1.0, 0.5):
        changed = json.loads(state.read_text())
        changed["scores"][calibrate.SCORE] = bias
        state.write_text(json.dumps(changed))
        path = tmp_path / f"{bias}.vfxmodel"
        card = package.export_model(tmp_path / "run", path, grant=synthetic.grant(studio))
        assert card.metrics[calibrate.SCORE] == bias
        front = studio.open(path).swap(crop).front
        assert front is not None
        fronts.append(np.clip(front.astype(np.float64), 1e-6, 1 - 1e-6))
    logits = [np.log(front / (1 - front)) for front in fronts]
    np.testing.assert_allclose(logits[1] - logits[0], 1.5, atol=0.02)


def test_crops_are_looked_at_clear_and_covered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that finds nothing at all would be told to find less if only clear crops counted."""
    seen: list[float] = []
    real = data.occluded

    def watched(*arguments: Any, **options: Any) -> data.Batch:
        made = real(*arguments, **options)
        assert made.hidden is not None
        seen.append(float(made.hidden.max()))
        return made

    monkeypatch.setattr(calibrate, "occluded", watched)
    net, bank = painter(off=0.0)
    calibrate.front_bias(net, bank, bank.held_out, device=CPU)
    assert len(seen) == 2 and max(seen) > 0.5
