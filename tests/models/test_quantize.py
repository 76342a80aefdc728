"""Networks in integers: the same pictures within little, smaller, and the same bytes each time."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from vfxswap import infer
from vfxswap.errors import ModelError
from vfxswap.models import export, quantize

from .test_export import swapper


def crops(seed: int, count: int = 8, size: int = 64) -> np.ndarray:
    """Smooth pictures, as faces are."""
    coarse = torch.from_numpy(np.random.default_rng(seed).uniform(0, 1, (count, 3, 4, 4)).astype(np.float32))
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1).numpy()


@pytest.fixture(scope="module")
def both() -> tuple[bytes, bytes]:
    data = export.to_onnx(swapper(), resolution=64)
    return data, quantize.to_int8(data, {"crop": crops(0)})


def test_integers_paint_nearly_the_same(both: tuple[bytes, bytes]) -> None:
    full, small = (infer.session(data, device="cpu") for data in both)
    unseen = crops(1)
    for a, b in zip(full.run(crop=unseen), small.run(crop=unseen), strict=True):
        assert a.shape == b.shape
        assert b.dtype == np.float32
        assert 0 < float(np.abs(a - b).mean()) < 0.02 * float(np.ptp(a))


def test_the_loss_is_that_of_psnr_against_the_truth(both: tuple[bytes, bytes]) -> None:
    unseen = crops(1, count=2)
    truth = np.random.default_rng(2).uniform(0, 1, unseen.shape).astype(np.float32)
    inside = np.zeros((2, 1, 64, 64), bool)
    inside[:, :, 10:50, 20:40] = True
    psnr = []
    for data in both:
        rgb = infer.session(data, device="cpu").run(crop=unseen)[0]
        psnr.append(-10 * np.log10(((rgb - truth) ** 2)[:, :, 10:50, 20:40].mean()))
    lost = quantize.loss_db(*both, feeds={"crop": unseen}, truth=truth, inside=inside)
    assert lost == pytest.approx(psnr[0] - psnr[1], abs=1e-3)
    assert quantize.loss_db(both[0], both[0], feeds={"crop": unseen}, truth=truth, inside=inside) == 0


def test_same_network_same_bytes(both: tuple[bytes, bytes]) -> None:
    assert quantize.to_int8(both[0], {"crop": crops(0)}) == both[1]
    assert quantize.to_int8(both[0], {"crop": crops(3)}) != both[1]


def test_what_cannot_be_quantised_is_refused(both: tuple[bytes, bytes]) -> None:
    with pytest.raises(ModelError, match="7 crops are too few"):
        quantize.to_int8(both[0], {"crop": crops(0, count=7)})
    told = export.to_onnx(swapper(condition=3), resolution=64)
    with pytest.raises(ModelError, match="the network takes crop, condition, there is crop"):
        quantize.to_int8(told, {"crop": crops(0)})


def test_a_conditioned_network_is_quantised_with_its_conditions() -> None:
    told = export.to_onnx(swapper(condition=3), resolution=64)
    random = np.random.default_rng(2)
    feeds = {"crop": crops(0), "condition": random.normal(0, 1, (len(crops(0)), 3)).astype(np.float32)}
    small = quantize.to_int8(told, feeds)
    session = infer.session(small, device="cpu")
    answers = [
        session.run({"crop": feeds["crop"][:1], "condition": np.full((1, 3), value, np.float32)})[0]
        for value in (-1.0, 1.0)
    ]
    assert np.abs(answers[0] - answers[1]).max() > 1e-3


def test_the_layer_that_paints_stays_in_float_though_others_come_after_it() -> None:
    covered = export.to_onnx(swapper(occlusion=4), resolution=64)
    small = onnx.load_from_string(quantize.to_int8(covered, {"crop": crops(0)}))
    makers = {output: node for node in small.graph.node for output in node.output}
    convolutions = [node for node in small.graph.node if node.op_type == "Conv"]
    painter = makers["rgb"]
    while painter.op_type != "Conv":
        painter = makers[painter.input[0]]
    assert convolutions[-1].name != painter.name, "the network that finds what covers the face comes last"
    in_float = [node.name for node in convolutions if node.input[1] not in makers]
    assert in_float == [convolutions[0].name, painter.name]
