"""The hash that consents name covers the network whole: nothing of it may lie elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from vfxswap import infer, vfxmodel
from vfxswap.errors import ModelError

from .. import support


def outside(folder: Path, location: str) -> bytes:
    """The test network, its weights in a file beside it."""
    model = onnx.load_from_string(support.network())
    weight = model.graph.initializer[0]
    (folder / "weights.bin").write_bytes(weight.raw_data)
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    entry = weight.external_data.add()
    entry.key, entry.value = "location", location
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("location", ["weights.bin", "./weights.bin", "{folder}/weights.bin"])
def test_weights_beside_the_network_are_refused(
    production: support.Studio, tmp_path: Path, location: str, monkeypatch: pytest.MonkeyPatch
):
    """A consent to such a network would be one to whatever the file holds that day."""
    monkeypatch.chdir(tmp_path)
    data = outside(tmp_path, location.format(folder=tmp_path))
    vfxmodel.write(tmp_path / "m.vfxmodel", card=support.card(), onnx=data)
    with pytest.raises(ModelError, match="weights in another file"):
        production.open(tmp_path / "m.vfxmodel")
    with pytest.raises(ModelError, match="cannot load the network"):  # nor would the runtime take it
        infer.session(data, device="cpu")


def test_the_same_network_with_its_weights_in_it_opens(tmp_path: Path):
    session = infer.session(support.network(), device="cpu")
    assert session.run(crop=np.zeros((1, 3, support.SIZE, support.SIZE), np.float32))[0].shape[1] == 3
