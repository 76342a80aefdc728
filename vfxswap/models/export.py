"""The shipped network as ONNX: weights stored in half, computed in float32.

Half storage halves the file; each weight is cast back where it is used, and runtimes fold those casts when they
load the file, so nothing is computed in half.
"""

from __future__ import annotations

import copy
import io
import warnings

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from vfxswap import infer
from vfxswap.errors import ModelError
from vfxswap.models.autoencoder import Swapper
from vfxswap.pixels import F32

OPSET = 17
FAITHFUL = 1e-4
"""Largest difference allowed between ONNX and torch with the same half-rounded weights, of outputs in 0..1."""
STORED = 0.01
"""Largest difference allowed between ONNX and torch with the weights as trained: what half storage costs."""

OUTPUTS = ("rgb", "mask", "outline", "front")
"""What a network gives; the last two where it leaves out what covers the face."""

_HALF = "_half"
_PROBES = 3


def to_onnx(swapper: Swapper, *, resolution: int) -> bytes:
    """Serialize encoder and likeness decoder, and check that the result is the same network.

    Args:
        swapper: the network; not changed.
        resolution: side S of its crops.

    Returns:
        ONNX bytes, the same for the same weights and library versions. Input `crop` (N, 3, S, S) float32, outputs
        `rgb` (N, 3, S, S) and `mask` (N, 1, S, S) float32, all 0..1; N is free. A network that leaves out what covers
        the face also has `outline` and `front` (N, 1, S, S), of which `mask` is made. A conditioned network has a
        second input `condition` (N, condition) float32.

    Raises:
        ModelError: a weight is not finite or too large for half, or ONNX Runtime's answer differs by more than
            FAITHFUL or STORED.
    """
    trained = copy.deepcopy(swapper).cpu().float().eval()
    halved = rounded(trained)
    data = _half_storage(_trace(halved, resolution=resolution))
    _check(data, rounded=halved, trained=trained, resolution=resolution)
    return data


def rounded(swapper: Swapper) -> Swapper:
    """A copy whose weights are what half can hold; raises ModelError for one that half cannot."""
    found = copy.deepcopy(swapper)
    with torch.no_grad():
        for name, weight in found.named_parameters():
            weight.copy_(weight.half().float())
            if not bool(torch.isfinite(weight).all()):
                raise ModelError(
                    f"weight {name} has values that half cannot hold", hint="train again, the run diverged"
                )
    return found


def _trace(swapper: Swapper, *, resolution: int) -> onnx.ModelProto:
    buffer = io.BytesIO()
    examples = [torch.zeros(1, 3, resolution, resolution), torch.zeros(1, swapper.condition)]
    inputs = ["crop", "condition"][: 2 if swapper.condition else 1]
    outputs = list(OUTPUTS if swapper.occlusion is not None else OUTPUTS[:2])
    with warnings.catch_warnings():
        # The tracing exporter is enough for these networks; its successor needs onnxscript on top of onnx.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            _Parts(swapper),
            tuple(examples[: len(inputs)]),
            buffer,  # type: ignore[arg-type]  # the tracing exporter takes a stream
            input_names=inputs,
            output_names=outputs,
            dynamic_axes={name: {0: "N"} for name in (*inputs, *outputs)},
            opset_version=OPSET,
            dynamo=False,
        )
    return onnx.load_from_string(buffer.getvalue())


class _Parts(nn.Module):
    """The network with all that it tells."""

    def __init__(self, swapper: Swapper) -> None:
        super().__init__()
        self.swapper = swapper

    def forward(self, crop: Tensor, condition: Tensor | None = None) -> tuple[Tensor, ...]:
        return self.swapper.parts(crop, condition)


def _half_storage(model: onnx.ModelProto) -> bytes:
    """The same graph with float32 weights stored as half behind a Cast each."""
    casts = []
    for weight in model.graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT:
            continue
        name = weight.name
        half = numpy_helper.to_array(weight).astype(np.float16)
        weight.CopyFrom(numpy_helper.from_array(half, name + _HALF))
        casts.append(helper.make_node("Cast", [name + _HALF], [name], name=f"{name}_cast", to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.producer_name, model.producer_version = "vfxswap", ""
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


@torch.no_grad()
def _check(data: bytes, *, rounded: Swapper, trained: Swapper, resolution: int) -> None:
    """Compare on noise of three sizes of detail: outputs of a network that was traced wrongly differ everywhere."""
    random = np.random.default_rng(0)
    crops = probes(random, size=resolution)
    feeds = {"crop": crops}
    if trained.condition:
        feeds["condition"] = random.normal(0, 1, (_PROBES, trained.condition)).astype(np.float32)
    answers = infer.session(data, device="cpu").run(feeds)
    for reference, limit in ((rounded, FAITHFUL), (trained, STORED)):
        wanted = reference.parts(*(torch.from_numpy(feed) for feed in feeds.values()))
        for name, answer, tensor in zip(OUTPUTS[: len(wanted)], answers, wanted, strict=True):
            if answer.shape != tuple(tensor.shape):
                raise ModelError(f"ONNX gives {name} of shape {answer.shape}, torch {tuple(tensor.shape)}")
            worst = float(np.abs(answer - tensor.numpy()).max())
            if not worst <= limit:
                raise ModelError(
                    f"ONNX and torch differ by {worst:.2g} in {name} (allowed: {limit:g})",
                    hint="check the versions of torch, onnx and onnxruntime against constraints.txt",
                )


def probes(random: np.random.Generator, *, size: int) -> F32:
    """(N, 3, size, size) noise of several sizes of detail, 0..1."""
    return np.stack([_noise(random, detail=2**i, size=size) for i in range(_PROBES)])


def _noise(random: np.random.Generator, *, detail: int, size: int) -> F32:
    coarse = random.uniform(0, 1, (3, size // detail, size // detail))
    return coarse.repeat(detail, axis=1).repeat(detail, axis=2).astype(np.float32)
