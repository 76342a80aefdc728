"""The network as Nuke runs it: the ONNX's answers, in words of torch 1.6, with a knob for each number it is told.

Which versions of torch were really given these files is written in docs/nuke.md: they are too old to be installed here.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vfxswap import align, infer
from vfxswap.errors import ModelError
from vfxswap.models import PRESETS, export, preset, torchscript
from vfxswap.models.autoencoder import Swapper

from .test_export import feeds, swapper, thin

NAMES = ("told_a", "told_b", "told_c")
TOLD = torchscript.Told(names=NAMES, rest=(0.3, -0.1, 0.0), spread=(0.05, 0.2, 1.0), reach=3.0)


def written(net: Swapper, size: int, told: torchscript.Told | None = None) -> bytes:
    onnx = export.to_onnx(net, resolution=size)
    window = align.frame_weight(size=size)
    return torchscript.to_torchscript(net, onnx=onnx, resolution=size, told=told, window=window)


pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")


def opened(data: bytes) -> Any:
    return torch.jit.load(io.BytesIO(data))


@pytest.mark.parametrize("name", sorted(set(PRESETS) - {"test"}))
def test_every_preset_is_said_in_old_words(name: str) -> None:
    """To write it compares the answers with ONNX Runtime's; what is not among the words torch 1.6 knows is refused."""
    net, size = thin(name), preset(name).resolution
    count = net.condition
    told = torchscript.Told(names=[f"told_{i}" for i in range(count)], rest=[0.1] * count, spread=[0.5] * count,
                            reach=3.0)  # fmt: skip
    data = written(net, size, told if count else None)
    assert torchscript.words(data) <= torchscript._WORDS
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        text = b"".join(archive.read(one) for one in names if one.endswith((".py", "data.pkl")))
        assert archive.read("archive/version").strip() == b"3"  # what torch 1.6 reads
    assert not [one for one in names if one.endswith("debug_pkl")]
    assert str(Path(torch.__file__).parent).encode() not in data
    assert str(Path(torchscript.__file__).parent).encode() not in data
    # Nothing that would hold it to one precision or device.
    assert b"NoneType" not in text
    assert b'device("' not in text


def test_the_answer_is_the_networks() -> None:
    net = swapper("test", condition=3)
    module = opened(written(net, 64, TOLD))
    random = np.random.default_rng(3)
    crop = random.uniform(-0.2, 1.3, (1, 3, 64, 64)).astype(np.float32)
    for given in ((0.3, -0.1, 0.0), (0.35, 0.1, -9.0)):
        for name, value in zip(NAMES, given, strict=True):
            setattr(module, name, value)
        away = [(v - r) / s for v, r, s in zip(given, TOLD.rest, TOLD.spread, strict=True)]
        session = infer.session(export.to_onnx(net, resolution=64), device="cpu")
        rgb, mask = session.run(crop=np.clip(crop, 0, 1), condition=np.clip([away], -3, 3).astype(np.float32))
        found = module(torch.from_numpy(crop)).numpy()
        assert found.shape == (1, 4, 64, 64)
        assert np.abs(found[:, :3] - rgb).max() < torchscript.CLOSE
        assert np.abs(found[:, 3:] - mask * align.frame_weight(size=64)).max() < torchscript.CLOSE
    assert {name: getattr(opened(written(net, 64, TOLD)), name) for name in NAMES} == dict(
        zip(NAMES, TOLD.rest, strict=True)
    )


def test_half_precision_further_channels_and_no_numbers() -> None:
    net = swapper("test", condition=3)
    data = written(net, 64, TOLD)
    crop = torch.from_numpy(feeds(net, 64, count=1)["crop"])
    clean = opened(data)(crop)
    assert float((opened(data).half()(crop.half()).float() - clean).abs().max()) < 0.02
    with_alpha = torch.cat([crop, torch.ones(1, 1, 64, 64)], 1)
    assert torch.equal(opened(data)(with_alpha), clean)
    broken, black = crop.clone(), crop.clone()
    broken[0, :, 10, 10], black[0, :, 10, 10] = float("nan"), 0.0
    assert torch.equal(opened(data)(broken), opened(data)(black))


def test_a_picture_of_another_size_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"shape '\[1, 3, 64, 64\]' is invalid"):
        opened(written(swapper(), 64))(torch.zeros(1, 3, 64, 80))


def test_the_network_is_left_as_it_was() -> None:
    net = swapper()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    bridge = net.bridge
    written(net, 64)
    assert net.bridge is bridge
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


class _New(nn.Module):
    """A word that older versions of torch do not have."""

    def forward(self, code: Tensor) -> Tensor:
        return torch.nan_to_num(code)


def test_words_that_nuke_may_not_know_are_refused() -> None:
    net = swapper()
    net.bridge = _New()
    with pytest.raises(ModelError, match="the network computes nan_to_num, which Nuke's torch may not know"):
        torchscript.to_torchscript(net, onnx=b"", resolution=64, told=None, window=align.frame_weight(size=64))


def test_another_network_than_the_onnx_is_refused() -> None:
    net, other = swapper(), swapper(seed=1)
    onnx = export.to_onnx(other, resolution=64)
    with pytest.raises(ModelError, match="TorchScript and ONNX differ by"):
        torchscript.to_torchscript(net, onnx=onnx, resolution=64, told=None, window=align.frame_weight(size=64))


def test_told_and_network_have_to_fit() -> None:
    with pytest.raises(ValueError, match="a network with a condition of 0 numbers"):
        torchscript.to_torchscript(swapper(), onnx=b"", resolution=64, told=TOLD, window=align.frame_weight(size=64))
