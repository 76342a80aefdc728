"""From a training folder to a model that opens with a real grant and paints what training painted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vfxswap import align, trust, vfxmodel
from vfxswap.errors import ConsentError, ModelError
from vfxswap.models import quantize
from vfxswap.models.export import STORED
from vfxswap.pixels import ModelRgb
from vfxswap.train import checkpoint, package
from vfxswap.train.data import centred
from vfxswap.train.loop import Trainer

from .. import support
from . import synthetic


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, studio: support.Studio) -> Trainer:
    trainer = synthetic.trainer(tmp_path_factory.mktemp("run") / "model", studio, steps=6, adversary_from=0.5)
    trainer.run()
    return trainer


def copied(trained: Trainer, folder: Path, **changes: object) -> Path:
    """The training in another folder, its state changed; None removes a field."""
    folder.mkdir()
    for path in (path for path in trained.folder.iterdir() if path.is_file()):
        (folder / path.name).write_bytes(path.read_bytes())
    path = folder / checkpoint.STATE
    state = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in state.items() if value is not None}))
    return folder


def test_the_model_paints_what_training_painted(tmp_path: Path, trained: Trainer, studio: support.Studio) -> None:
    path = tmp_path / "m.vfxmodel"
    card = package.export_model(trained.folder, path, grant=synthetic.grant(studio))
    model = studio.open(path)
    assert model.card == card
    assert model.resolution == 64
    double = centred(trained.double, trained.double.held_out, size=64)
    with torch.no_grad():
        wanted, mask = trained.pair.average(double.target, "ben")
    for i in range(len(double)):
        rgb, coverage, *_ = model.swap(ModelRgb(double.target[i].permute(1, 2, 0).numpy()))
        assert np.abs(rgb - wanted[i].permute(1, 2, 0).numpy()).max() < STORED
        assert np.abs(coverage - mask[i, 0].numpy()).max() < STORED


def test_integers_paint_nearly_the_same_and_are_said(tmp_path: Path, trained: Trainer, studio: support.Studio) -> None:
    banks = (synthetic.bank(synthetic.BEN), synthetic.bank(synthetic.ANNA))
    grant = synthetic.grant(studio)
    full = package.export_model(trained.folder, tmp_path / "full.vfxmodel", grant=grant)
    small = package.export_model(trained.folder, tmp_path / "small.vfxmodel", grant=grant, int8_on=banks)
    assert (full.precision, small.precision) == ("fp32", "int8")
    assert -0.2 < small.metrics["int8_loss_db"] <= quantize.MOST_LOSS_DB
    assert small.painting() != full.painting()
    with pytest.raises(ModelError, match="are encoded as acescct, the training is in srgb"):
        other = synthetic.bank(synthetic.BEN, encoding="acescct")
        package.export_model(trained.folder, tmp_path / "x.vfxmodel", grant=grant, int8_on=(other, banks[1]))


def test_the_card_says_where_the_model_comes_from(tmp_path: Path, trained: Trainer, studio: support.Studio) -> None:
    grant = synthetic.grant(studio)
    card = package.export_model(trained.folder, tmp_path / "m.vfxmodel", grant=grant)
    assert card.performers == vfxmodel.Performers(likeness="ben", double="anna")
    assert (card.architecture, card.template, card.encoding) == ("autoencoder", align.TEMPLATE, "srgb")
    assert card.consents == tuple({"id": ref.id, "sha256": ref.sha256} for ref in grant.consents)
    assert card.data == {"likeness": "d", "double": "d"}
    assert card.metrics == trained.progress.scores
    assert card.training["steps"] == 6
    assert card.training["network"] == json.loads(json.dumps(trained.network.to_json()))
    assert card.training["config"]["preset"] == "test"
    assert {"vfxswap", "torch", "onnx", "onnxruntime", "numpy"} == set(card.versions)
    assert len(card.onnx_sha256) == 64


def test_the_same_training_exports_the_same_bytes(tmp_path: Path, trained: Trainer, studio: support.Studio) -> None:
    paths = tmp_path / "a.vfxmodel", tmp_path / "b.vfxmodel"
    for path in paths:
        package.export_model(trained.folder, path, grant=synthetic.grant(studio))
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_the_judge_and_the_double_stay_at_home(tmp_path: Path, trained: Trainer, studio: support.Studio) -> None:
    package.export_model(trained.folder, tmp_path / "m.vfxmodel", grant=synthetic.grant(studio))
    shipped = sum(
        p.numel() for m in (trained.pair.net.encoder, trained.pair.net.decoders["ben"]) for p in m.parameters()
    )
    assert (tmp_path / "m.vfxmodel").stat().st_size < 2 * shipped + 30_000


def test_a_grant_for_something_else_exports_nothing(tmp_path: Path, trained: Trainer, studio: support.Studio) -> None:
    swap = studio.gate().authorize(
        shot=trust.ShotId.local("tests"),
        use="swap",
        performers={"likeness": "ben", "double": "anna"},
        model_sha256="0" * 64,
    )
    with pytest.raises(ConsentError, match="the grant is for swap, not for train"):
        package.export_model(trained.folder, tmp_path / "m.vfxmodel", grant=swap)
    others = copied(trained, tmp_path / "others", performers={"likeness": "carl", "double": "anna"})
    with pytest.raises(ConsentError, match="VS-CON-014"):
        package.export_model(others, tmp_path / "m.vfxmodel", grant=synthetic.grant(studio))
    assert not (tmp_path / "m.vfxmodel").exists()


def test_other_consents_than_those_of_the_training_are_refused(
    tmp_path: Path, trained: Trainer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stranger = support.Studio.make(tmp_path_factory.mktemp("other") / "studio")
    with pytest.raises(ConsentError, match=r"VS-CON-014 the training stands on consent urn:uuid:.*, the grant"):
        package.export_model(trained.folder, tmp_path / "m.vfxmodel", grant=synthetic.grant(stranger))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"consents": None}, "the training does not say its consents"),
        ({"data": {}}, "the training does not say its data"),
        ({"earlier": [{"until": 2}]}, "the training does not say its consents and data"),
        ({"architecture": "unet"}, "unknown architecture 'unet'"),
        ({"tensors": "checkpoint-99999999.safetensors"}, "checkpoint is missing or damaged"),
    ],
)
def test_a_training_that_is_not_whole_is_refused(
    tmp_path: Path, trained: Trainer, studio: support.Studio, changes: dict[str, object], said: str
) -> None:
    folder = copied(trained, tmp_path / "changed", **changes)
    with pytest.raises(ModelError, match=said):
        package.export_model(folder, tmp_path / "m.vfxmodel", grant=synthetic.grant(studio))
    assert not (tmp_path / "m.vfxmodel").exists()


def test_a_folder_without_training_is_said(tmp_path: Path, studio: support.Studio) -> None:
    with pytest.raises(ModelError, match="no training in"):
        package.read_performers(tmp_path)
    with pytest.raises(ModelError, match="no training in"):
        package.export_model(tmp_path, tmp_path / "m.vfxmodel", grant=synthetic.grant(studio))
