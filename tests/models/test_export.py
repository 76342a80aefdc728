"""The shipped network as ONNX: the same answers as torch, stored in half, the same bytes each time."""

from __future__ import annotations

import copy
import dataclasses
import io
from typing import Any, cast

import numpy as np
import onnx
import pytest
import torch

from vfxswap import infer
from vfxswap.errors import ModelError
from vfxswap.models import PRESETS, build, export, preset
from vfxswap.models.autoencoder import Swapper
from vfxswap.pixels import AnyArray


def swapper(name: str = "test", *, seed: int = 0, **changes: int) -> Swapper:
    """A network whose outputs fill 0..1, as a trained one's do."""
    torch.manual_seed(seed)
    config: Any = dataclasses.replace(cast(Any, preset(name)), **changes)
    net = Swapper(build(config.architecture, config, ("ben", "anna")), "ben")
    with torch.no_grad():
        for part, factor in (("head", 150), ("face.6", 100), ("cover.3", 100)):
            if f"{part}.weight" in net.decoder.state_dict():
                net.decoder.get_parameter(f"{part}.weight").mul_(factor)
    return net


def thin(name: str) -> Swapper:
    """A preset's network, as deep, of a few channels only."""
    config: Any = preset(name)
    fewer: dict[str, Any] = {
        key: tuple(max(4, v // 16) for v in value)
        for key, value in config.to_json().items()
        if key in ("encoder", "decoder")
    }
    fewer |= {
        key: max(2, value // 8) for key, value in config.to_json().items() if key in ("neck", "code", "ae", "e", "d")
    }
    config = dataclasses.replace(config, **fewer)
    torch.manual_seed(0)
    return Swapper(build(config.architecture, config, ("ben",)), "ben")


def feeds(net: Swapper, size: int, *, count: int) -> dict[str, AnyArray]:
    """Random crops by input name, with a condition where the network wants one."""
    random = np.random.default_rng(1)
    crops = random.uniform(0, 1, (count, 3, size, size)).astype(np.float32)
    told = random.normal(0, 1, (count, net.condition)).astype(np.float32)
    return {"crop": crops} | ({"condition": told} if net.condition else {})


def tensors(given: dict[str, AnyArray]) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(value) for value in given.values())


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_exports_to_onnx(name: str) -> None:
    size = preset(name).resolution
    session = infer.session(export.to_onnx(thin(name), resolution=size), device="cpu")
    found = dict(zip(session.outputs, session.run(feeds(thin(name), size, count=1)), strict=True))
    assert found.pop("rgb").shape == (1, 3, size, size)
    assert {value.shape for value in found.values()} == {(1, 1, size, size)}
    assert tuple(found) in (("mask",), ("mask", "outline", "front"))
    if "front" in found:
        np.testing.assert_allclose(found["mask"], found["outline"] * (1 - found["front"]), atol=1e-6)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_exports_to_torchscript(name: str) -> None:
    """Nuke's Cat files are TorchScript. The saved file paints other batches than the one it was traced with."""
    net, size = thin(name).eval(), preset(name).resolution
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(net, tensors(feeds(net, size, count=1))), buffer)
    buffer.seek(0)
    given = tensors(feeds(net, size, count=2))
    with torch.no_grad():
        for a, b in zip(torch.jit.load(buffer)(*given), net(*given), strict=True):
            assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("name", ["test", "df-test"])
def test_a_condition_is_a_second_input(name: str) -> None:
    net = swapper(name, condition=3)
    session = infer.session(export.to_onnx(net, resolution=64), device="cpu")
    assert session.inputs == ("crop", "condition")
    given = feeds(net, 64, count=2)
    with torch.no_grad():
        wanted = net(*tensors(given))
    for answer, tensor in zip(session.run(given), wanted, strict=True):
        assert np.abs(answer - tensor.numpy()).max() < export.STORED


@pytest.mark.parametrize(("name", "size"), [("test", 64), ("tiny", 128), ("df-test", 64)])
def test_onnx_equals_torch(name: str, size: int) -> None:
    net = swapper(name)
    session = infer.session(export.to_onnx(net, resolution=size), device="cpu")
    given = feeds(net, size, count=3)
    assert session.inputs == tuple(given)
    with torch.no_grad():
        wanted = net.parts(*tensors(given))
    assert session.outputs == export.OUTPUTS[: len(wanted)]
    for output, answer, tensor in zip(session.outputs, session.run(given), wanted, strict=True):
        assert answer.dtype == np.float32
        assert np.ptp(answer) > (0.03 if output == "front" else 0.05)
        assert np.abs(answer - tensor.numpy()).max() < export.STORED


@pytest.mark.parametrize("count", [1, 2, 5])
def test_batches_of_any_size(count: int) -> None:
    session = infer.session(export.to_onnx(swapper(), resolution=64), device="cpu")
    rgb, mask = session.run(crop=np.zeros((count, 3, 64, 64), np.float32))
    assert rgb.shape == (count, 3, 64, 64)
    assert mask.shape == (count, 1, 64, 64)


def test_weights_are_stored_in_half_and_used_in_single() -> None:
    net = swapper()
    data = export.to_onnx(net, resolution=64)
    model = onnx.load_from_string(data)
    kinds = {weight.data_type for weight in model.graph.initializer}
    assert kinds == {onnx.TensorProto.FLOAT16}
    values = sum(p.numel() for p in net.parameters())
    assert 2 * values < len(data) < 2 * values + 20_000
    assert {v.type.tensor_type.elem_type for v in (*model.graph.input, *model.graph.output)} == {onnx.TensorProto.FLOAT}


def test_same_weights_same_bytes() -> None:
    net = swapper()
    before = copy.deepcopy(net.state_dict())
    assert export.to_onnx(net, resolution=64) == export.to_onnx(swapper(), resolution=64)
    assert export.to_onnx(swapper(seed=1), resolution=64) != export.to_onnx(net, resolution=64)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_weights_that_half_cannot_hold_are_refused(value: float) -> None:
    net = swapper()
    with torch.no_grad():
        net.encoder.get_parameter("dense.weight")[0, 0] = value
    with pytest.raises(ModelError, match=r"weight encoder\.dense\.weight has values that half cannot hold"):
        export.to_onnx(net, resolution=64)


def test_a_network_that_half_storage_would_change_is_refused() -> None:
    """Weights whose differences matter and drown in rounding: large, and cancelling each other."""
    net = swapper()
    with torch.no_grad():
        weight = net.encoder.get_parameter("dense.weight")
        weight.copy_(torch.randn_like(weight) * 3000)
        net.decoder.get_parameter("dense.weight").mul_(30)
    with pytest.raises(ModelError, match=r"ONNX and torch differ by .* in (rgb|mask)"):
        export.to_onnx(net, resolution=64)
