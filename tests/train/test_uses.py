"""What the pair can be trained for besides a swap: who may be in it, and what the networks are then shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vfxswap import models, trust
from vfxswap.errors import ConsentError, ModelError, UsageError
from vfxswap.face import expression
from vfxswap.models.convolutional import PRESETS
from vfxswap.train import checkpoint, package, uses
from vfxswap.train.blend import blend
from vfxswap.train.coarse import coarsen
from vfxswap.train.data import Augment, centred, draw
from vfxswap.train.disguise import mean_shape
from vfxswap.train.loop import Trainer
from vfxswap.train.warm import Source
from vfxswap.trust import Gate, Grant, KeyRing, Role
from vfxswap.vfxmodel import Performers

from .. import support
from . import synthetic


def both_roles(studio: support.Studio, *performers: str, folder: Path) -> Gate:
    """A gate over consents of these performers that allow both roles, besides the studio's own."""
    ring = KeyRing.load(studio.keyring)
    made = list(studio.consents)
    for performer in performers:
        old = trust.SignedConsent.read(next(path for path in studio.consents if performer in path.name)).record
        record = trust.new_consent(
            performer=performer,
            roles=["likeness", "double"],
            uses=["train"],
            purpose="Tests.",
            scope=["*/*/*"],
            not_before=old.not_before,
            not_after=old.not_after,
        )
        path = folder / f"{performer}-both.json"
        trust.write_record(path, record)
        for kid in (f"perf-{performer}", "prod"):
            trust.sign(path, key_file=studio.root / "private" / f"{kid}.key.pem", passphrase=support.PASSPHRASE)
        made.append(path)
    return Gate(ring, made)


def leave(gate: Gate, **performers: str) -> Grant:
    roles: dict[Role, str] = {"likeness": performers["likeness"], "double": performers["double"]}
    return gate.authorize(shot=trust.ShotId.local("tests"), use="train", performers=roles)


@pytest.fixture
def told_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test preset, told what faces do, as the others are."""
    monkeypatch.setitem(models.PRESETS, "test", replace(PRESETS["test"], condition=expression.COUNT))


def trainer(folder: Path, grant: Grant, **fields: Any) -> Trainer:
    banks = {"likeness": fields.pop("likeness"), "double": fields.pop("double")}
    source = fields.pop("source", None)
    return Trainer(folder, config=synthetic.config(**fields), grant=grant, device="cpu", source=source, **banks)


# ------------------------------------------------------------------------------------------------------- who


@pytest.mark.parametrize(
    ("use", "likeness", "double", "said"),
    [
        ("swap", ("a",), ("a",), "both facesets are of a"),
        ("swap", ("a", "b"), ("c",), "the facesets are of a and b; give facesets of one performer for a role"),
        ("swap", ("a",), ("b", "c"), "the facesets are of b and c; give facesets of one double"),
        ("age", ("a",), ("b",), "--use age with facesets of a and b; give two facesets of one performer"),
        ("restore", ("a",), ("b",), "--use restore with facesets of a and b"),
        ("digital", ("a",), ("b",), "--use digital with facesets of a alone"),
        ("youth", ("a",), ("b",), "unknown use 'youth'; choose one of swap, age, digital, restore"),
    ],
)
def test_people_with_whom_a_use_makes_no_sense(
    use: str, likeness: tuple[str, ...], double: tuple[str, ...], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        uses.check_people(use, likeness=likeness, double=double)


def test_people_with_whom_it_does() -> None:
    for use, likeness, double in (
        ("swap", ("a",), ("b",)),
        ("age", ("a",), ("a",)),
        ("digital", ("a", "b"), ("a",)),
        ("restore", ("a",), ("a",)),
    ):
        uses.check_people(use, likeness=likeness, double=double)


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 0.0), (1.0, float("inf"))])
def test_weights_fit_the_performers(weights: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="for a likeness of 2 performers"):
        uses.check_people("digital", likeness=("a", "b"), double=("c",), weights=weights)


def test_decoders_and_what_they_begin_as() -> None:
    swap, age = Performers(likeness="b", double="a"), Performers(likeness="a", double="a")
    assert uses.painters(swap) == ("b", "a")
    assert uses.painters(age) == ("a", "a@double")
    assert uses.heirs(age, of=swap) == {"a": "a", "a@double": "a"}
    assert uses.heirs(age, of=age) == {"a": "a", "a@double": "a@double"}
    assert uses.heirs(Performers(likeness="c+a", double="d"), of=swap) == {"c+a": "a"}


# --------------------------------------------------------------------------------------- one performer twice


def test_one_performer_in_both_roles_has_two_decoders_and_needs_both_consents(
    tmp_path: Path, studio: support.Studio
) -> None:
    with pytest.raises(ConsentError, match="VS-CON-007"):
        leave(studio.gate(), likeness="ben", double="ben")
    grant = leave(both_roles(studio, "ben", folder=tmp_path), likeness="ben", double="ben")
    young, old = synthetic.bank(synthetic.BEN), synthetic.bank({**synthetic.BEN, "skin": (0.5, 0.4, 0.3)}, digest="o")
    fields = {"likeness": young, "double": old, "use": "age"}
    made = trainer(tmp_path / "m", grant, steps=3, **fields)
    names = {key.split(".")[1] for key in made.pair.net.state_dict() if key.startswith("decoders.")}
    assert names == {"ben", "ben@double"}
    made.run()
    state = checkpoint.load_state(tmp_path / "m")
    assert state is not None
    assert (state.config.use, state.performers) == ("age", Performers(likeness="ben", double="ben"))
    assert state.data == {"likeness": "d", "double": "o"}
    card = package.export_model(tmp_path / "m", tmp_path / "m.vfxmodel", grant=grant)
    assert card.training["config"]["use"] == "age"
    assert trainer(tmp_path / "m", grant, steps=5, **fields).run().step == 5
    with pytest.raises(ModelError, match=r"use age, .* not with .* use restore"):
        trainer(tmp_path / "m", grant, steps=6, **(fields | {"use": "restore"}))


# ------------------------------------------------------------------------------------------- a face of several


def test_a_face_of_several_needs_everyones_consent(tmp_path: Path, studio: support.Studio) -> None:
    with pytest.raises(ConsentError, match=r"VS-CON-007.*anna"):
        leave(studio.gate(), likeness="ben+anna", double="anna")
    with pytest.raises(ConsentError, match="VS-CON-001"):
        leave(studio.gate(), likeness="ben+carl", double="anna")
    grant = leave(both_roles(studio, "anna", folder=tmp_path), likeness="ben+anna", double="anna")
    assert grant.performers == {"likeness": "ben+anna", "double": "anna"}
    assert [ref.performer for ref in grant.consents if ref.role == "likeness"] == ["ben", "anna"]
    with pytest.raises(ConsentError, match="VS-CON-014"):
        grant.require(use="train", performers={"likeness": "ben", "double": "anna"})


def test_blended_crops_lie_between_the_performers() -> None:
    ben, anna = synthetic.bank(synthetic.BEN), synthetic.bank(synthetic.ANNA)
    half = blend([ben, anna], [1, 1])
    assert half.performer == "ben+anna"
    assert len(half) == len(ben) + len(anna)
    assert half.chance.sum() == pytest.approx(1)
    assert half.held_out == (*ben.held_out, *(len(ben) + i for i in anna.held_out))
    assert half.digest == "d d"
    # Both performers' crops come to about the same skin: the geometric mean of the two.
    wanted = np.sqrt(ben.skin * anna.skin)
    for start, before in ((0, ben), (len(ben), anna)):
        own = replace(half, rgb=half.rgb[start : start + 24], mask=half.mask[start : start + 24])
        assert np.abs(own.skin - wanted).max() < 0.4 * np.abs(before.skin - wanted).max()
    mostly = blend([ben, anna], [3, 1])
    assert np.abs(mostly.skin - ben.skin).max() < np.abs(mostly.skin - anna.skin).max()
    assert mostly.chance[: len(ben)].sum() == pytest.approx(0.75)


def test_blended_shapes_are_their_mean() -> None:
    ben, anna = synthetic.bank(synthetic.BEN), synthetic.bank(synthetic.ANNA)
    wide = tuple(replace(c, landmarks=(c.landmarks - 40) * [1.2, 1.0, 1.0] + 40) for c in anna.crops)
    anna = replace(anna, crops=wide)
    half = blend([ben, anna], [1, 1])
    shapes = [mean_shape(bank.crops, size=bank.source_size) for bank in (ben, anna)]
    found = [mean_shape(half.crops[part], size=half.source_size) for part in (slice(0, 24), slice(24, 48))]
    for one in found:
        assert np.abs(one - np.mean(shapes, axis=0)).max() < 1e-6
    assert np.abs(shapes[0] - shapes[1]).max() > 0.02


@pytest.mark.usefixtures("told_preset")
def test_a_model_of_several_records_all_of_them(tmp_path: Path, studio: support.Studio) -> None:
    gate = both_roles(studio, "anna", folder=tmp_path)
    ben, anna = synthetic.bank(synthetic.BEN, digest="b"), synthetic.bank(synthetic.ANNA, digest="a")
    grant = leave(gate, likeness="ben+anna", double="anna")
    fields = {"likeness": blend([ben, anna], [2, 1]), "double": anna, "use": "digital", "blend": (2.0, 1.0)}
    trainer(tmp_path / "m", grant, steps=2, **fields).run()
    card = package.export_model(tmp_path / "m", tmp_path / "m.vfxmodel", grant=grant)
    assert card.performers.likeness == "ben+anna"
    assert card.data == {"likeness": "b", "likeness 2": "a", "double": "a"}
    assert len(card.consents) == 3
    assert card.training["config"]["blend"] == [2.0, 1.0]
    with pytest.raises(ModelError, match=r"weights 2 1, .* not with .* weights 1 1"):
        trainer(tmp_path / "m", grant, steps=3, **(fields | {"blend": (1.0, 1.0)}))


def test_a_face_of_several_begins_as_the_first_who_is_known(tmp_path: Path, studio: support.Studio) -> None:
    synthetic.trainer(tmp_path / "old", studio, steps=2).run()
    source = Source.open(tmp_path / "old", grants=(synthetic.grant(studio),))
    grant = leave(both_roles(studio, "anna", folder=tmp_path), likeness="ben+anna", double="anna")
    ben, anna = synthetic.bank(synthetic.BEN), synthetic.bank(synthetic.ANNA)
    new = trainer(
        tmp_path / "new", grant, steps=2, likeness=blend([ben, anna], [1, 1]), double=anna, use="digital", source=source
    )
    weights, old = new.pair.average.state_dict(), checkpoint.load_tensors(tmp_path / "old", source.state)
    for ours, theirs in (("ben+anna", "ben"), ("anna", "anna")):
        for key in [key for key in weights if key.startswith(f"decoders.{ours}.")]:
            assert torch.equal(weights[key], old[f"average/{key.replace(ours, theirs, 1)}"])


# --------------------------------------------------------------------------------------------------- few pixels


def edges(x: torch.Tensor) -> float:
    return float((x[..., 1:] - x[..., :-1]).square().mean())


def test_inputs_are_made_coarse_and_targets_stay_sharp() -> None:
    bank = synthetic.bank(synthetic.BEN)
    plain, coarse = (
        draw(bank, count=8, size=64, seed=1, step=3, augment=Augment(coarse=most, noise=0.0)) for most in (1.0, 6.0)
    )
    assert torch.equal(plain.target, coarse.target)
    assert torch.equal(plain.mask, coarse.mask)
    assert edges(coarse.warped) < 0.7 * edges(plain.warped)
    assert torch.equal(
        coarse.warped, draw(bank, count=8, size=64, seed=1, step=3, augment=Augment(coarse=6.0, noise=0.0)).warped
    )


def test_how_coarse_is_drawn_anew_for_each() -> None:
    crop = synthetic.batch(synthetic.BEN, count=1).target[0]
    left = []
    for seed in range(40):
        made = crop.clone()
        coarsen(np.random.default_rng(seed), made, most=6.0, grain=0.0)
        left.append(edges(made) / edges(crop))
    assert 2 <= sum(part == 1.0 for part in left) <= 12  # some stay as they are
    assert min(left) < 0.5
    assert len({round(part, 3) for part in left}) > 20
    assert all(part <= 1.05 for part in left)


@pytest.mark.usefixtures("told_preset")
def test_restoring_begins_as_the_crop_and_learns_its_detail(tmp_path: Path, studio: support.Studio) -> None:
    grant = leave(both_roles(studio, "ben", folder=tmp_path), likeness="ben", double="ben")
    bank = synthetic.bank(synthetic.BEN)
    made = trainer(tmp_path / "m", grant, steps=20, likeness=bank, double=bank, use="restore", adversary_weight=0.0)
    coarse = centred(made.likeness, bank.held_out, size=64, coarse=uses.USES["restore"].coarse)
    assert made.pair.net.detail is not None

    def psnr(rgb: torch.Tensor) -> float:
        inside = (coarse.mask > 0.5).float()
        error = ((rgb - coarse.target).square() * inside).sum() / (3 * inside.sum())
        return float(-10 * torch.log10(error))

    assert edges(coarse.warped) < 0.9 * edges(coarse.target)
    with torch.no_grad():
        assert torch.equal(made.pair.average(coarse.warped, "ben", coarse.told)[0], coarse.warped)
    # What it is trained on lies where the target lies.
    likeness, _ = made._draw(0)
    assert float(((likeness.warped - likeness.target) * likeness.mask).abs().mean()) < 0.05
    made.run()
    with torch.no_grad():
        restored = psnr(made.pair.average(coarse.warped, "ben", coarse.told)[0])
    assert restored > psnr(coarse.warped) + 0.05
    state = checkpoint.load_state(tmp_path / "m")
    assert state is not None
    assert state.network["detail"] == uses.USES["restore"].detail
    # It is scored on what it is for: a sharp crop, which it leaves alone, would say nothing.
    assert state.scores["likeness_psnr"] == pytest.approx(restored, abs=0.01)
    # The exported network does the same (export compares it with the one that was trained).
    package.export_model(tmp_path / "m", tmp_path / "m.vfxmodel", grant=grant)
