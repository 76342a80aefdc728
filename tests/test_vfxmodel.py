"""The .vfxmodel package: whole, known, and opened with a grant for exactly it."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from vfxswap import archive, trust, vfxmodel
from vfxswap.errors import ConsentError, ModelError
from vfxswap.pixels import ModelRgb

from .support import SIZE, TINT, Studio, card, disc, network


def grant(production: Studio, digest: str, *, use: trust.Use = "swap") -> trust.Grant:
    return production.gate().authorize(
        shot=trust.ShotId.local("x"),
        use=use,
        performers={"likeness": "ben", "double": "anna"},
        model_sha256=digest,
        origin=card().origin(),
    )


def test_the_card_comes_back_with_the_networks_hash(tmp_path: Path):
    data = network()
    made = card(metrics={"psnr": 31.5}, training={"steps": 10}, data={"ben": "ab" * 32})
    vfxmodel.write(tmp_path / "m.vfxmodel", card=made, onnx=data)
    found = vfxmodel.read_card(tmp_path / "m.vfxmodel")
    assert found.onnx_sha256 == archive.sha256(data)
    assert found == made.model_copy(update={"onnx_sha256": found.onnx_sha256})
    assert found.performers.by_role() == {"likeness": "ben", "double": "anna"}


def test_the_same_model_is_the_same_file(tmp_path: Path):
    for name in ("a", "b"):
        vfxmodel.write(tmp_path / f"{name}.vfxmodel", card=card(), onnx=network())
    assert (tmp_path / "a.vfxmodel").read_bytes() == (tmp_path / "b.vfxmodel").read_bytes()


def test_a_model_paints_what_its_network_says(production: Studio):
    model = production.open(production.model())
    crop = ModelRgb(np.random.default_rng(0).random((SIZE, SIZE, 3)).astype(np.float32))
    rgb, mask, *_ = model.swap(crop)
    assert model.resolution == SIZE
    np.testing.assert_allclose(rgb, crop @ TINT.T, atol=1e-6)
    np.testing.assert_array_equal(mask, disc())
    assert rgb.dtype == mask.dtype == np.float32


def test_what_a_network_paints_is_kept_in_range_and_must_be_numbers(production: Studio):
    bright = production.model("bright", network(np.eye(3, dtype=np.float32) * 5 - 2, mask=disc() * 3 - 1))
    rgb, mask, *_ = production.open(bright).swap(ModelRgb(np.full((SIZE, SIZE, 3), 0.5, np.float32)))
    for values in (rgb, mask):
        assert values.min() >= 0
        assert values.max() <= 1
    broken = production.model("broken", network(constant=np.array([np.nan, 0, 0], np.float32)))
    with pytest.raises(ModelError, match="not numbers"):
        production.open(broken).swap(ModelRgb(np.zeros((SIZE, SIZE, 3), np.float32)))


def test_no_model_without_a_grant_for_exactly_it(production: Studio):
    path = production.model()
    digest = vfxmodel.read_card(path).onnx_sha256
    with pytest.raises(ConsentError, match="is for model"):
        vfxmodel.SwapModel(path, grant=grant(production, "ab" * 32))
    with pytest.raises(ConsentError, match="is for publish"):
        vfxmodel.SwapModel(path, grant=grant(production, digest, use="publish"))
    others = production.model("others", performers=vfxmodel.Performers(likeness="ben", double="carl"))
    with pytest.raises(ConsentError, match="carl"):
        vfxmodel.SwapModel(others, grant=grant(production, digest))
    vfxmodel.SwapModel(path, grant=grant(production, digest), device="cpu")


def rewritten(source: Path, target: Path, **replaced: bytes) -> Path:
    """A copy with some members' bytes exchanged and the manifest as it was."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, replaced.get(name.replace(".", "_"), old.read(name)))
    return target


def test_damaged_altered_and_foreign_files_are_refused(production: Studio, tmp_path: Path):
    path = production.model()
    with pytest.raises(ModelError, match="no such file"):
        vfxmodel.read_card(tmp_path / "absent.vfxmodel")
    (tmp_path / "text.vfxmodel").write_text("hello")
    with pytest.raises(ModelError, match=r"not a \.vfxmodel file or damaged"):
        vfxmodel.read_card(tmp_path / "text.vfxmodel")
    (tmp_path / "weights.onnx").write_bytes(network())
    with pytest.raises(ModelError, match=r"is not a \.vfxmodel") as caught:
        vfxmodel.read_card(tmp_path / "weights.onnx")
    assert "export" in caught.value.hint
    (tmp_path / "short.vfxmodel").write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ModelError, match="damaged"):
        vfxmodel.read_card(tmp_path / "short.vfxmodel")
    other = rewritten(path, tmp_path / "other.vfxmodel", network_onnx=network(np.eye(3, dtype=np.float32)))
    with pytest.raises(ModelError, match="does not match its sha256"):
        vfxmodel.read_card(other)
    archive.write(tmp_path / "track.vfxmodel", kind="track", version=1, manifest={}, members={})
    with pytest.raises(ModelError, match=r"is not a \.vfxmodel file"):
        vfxmodel.read_card(tmp_path / "track.vfxmodel")


def test_a_newer_schema_and_an_incomplete_manifest_are_named(tmp_path: Path):
    archive.write(tmp_path / "new.vfxmodel", kind="model", version=99, manifest={}, members={})
    with pytest.raises(ModelError, match="newer than this vfxswap"):
        vfxmodel.read_card(tmp_path / "new.vfxmodel")
    archive.write(tmp_path / "old.vfxmodel", kind="model", version=1, manifest={"resolution": 4}, members={})
    with pytest.raises(ModelError, match="manifest field"):
        vfxmodel.read_card(tmp_path / "old.vfxmodel")


def test_a_network_that_does_not_fit_its_card_is_refused(production: Studio):
    path = production.model("misfit", network(size=32), size=64)
    with pytest.raises(ModelError, match="network failed"):
        production.open(path).swap(ModelRgb(np.zeros((64, 64, 3), np.float32)))
    not_onnx = production.model("rubbish", b"not onnx")
    with pytest.raises(ModelError, match="cannot load the network"):
        production.open(not_onnx)


def test_a_copied_model_is_the_same_model(production: Studio, tmp_path: Path):
    copy = tmp_path / "elsewhere.vfxmodel"
    shutil.copy(production.model(), copy)
    assert production.open(copy).card == production.open(production.model()).card


def test_a_model_that_paints_elsewhere_is_another_painting():
    here = card()
    assert here.painting() == card().painting()
    assert here.painting() != here.model_copy(update={"placement": (0.0, -0.01)}).painting()
    assert here.painting() != here.model_copy(update={"onnx_sha256": "0" * 64}).painting()
