"""An exported network in 8-bit integers, for CPUs.

Weights and activations of the convolutions become integers, each weight channel with its own scale; the first
convolution and the one that paints the picture stay in float, because the picture's own steps would show: in them alone
lies most of the loss.
Weights keep to 7 bits, so that CPUs with and without VNNI instructions add the same sums without overflow.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime import quantization

from vfxswap import infer
from vfxswap.errors import ModelError
from vfxswap.pixels import AnyArray

Feeds = Mapping[str, AnyArray]
"""Input name -> one row for each crop."""

MOST_LOSS_DB = 0.2
"""How much PSNR against the truth integers may cost."""

_LEAST_CROPS = 8

_KINDS = ("Conv", "Gemm", "MatMul", "LeakyRelu", "Add", "Concat", "Resize")
_WEIGHTED = ("Conv", "Gemm", "MatMul")
_PICTURE = "rgb"


def to_int8(data: bytes, calibration: Feeds) -> bytes:
    """Quantise what `export.to_onnx` gave.

    Args:
        data: ONNX bytes.
        calibration: by input, (N, ...) float32 such as it will see: `crop` (N, 3, S, S) in model space, and what else
            it takes; at least 8, never those it is then measured on: they set the range of each activation.

    Returns:
        ONNX bytes with the same inputs and outputs, the same for the same arguments and library versions.

    Raises:
        ModelError: too few crops, or the network has other inputs.
    """
    count = len(calibration["crop"])
    if count < _LEAST_CROPS:
        raise ModelError(
            f"{count} crops are too few to find the ranges of integers", hint=f"give at least {_LEAST_CROPS}"
        )
    model = _single(onnx.load_from_string(data))
    wanted = [value.name for value in model.graph.input]
    if set(wanted) != set(calibration):
        raise ModelError(
            f"the network takes {', '.join(wanted)}, there is {', '.join(calibration)}", hint="export in float32"
        )
    first = next(node.name for node in model.graph.node if node.op_type in _WEIGHTED)
    in_float = [first, _painting(model)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        logger = logging.getLogger()
        level = logger.level
        # The quantiser advises preprocessing steps that an exported network has behind it.
        logger.setLevel(logging.ERROR)
        try:
            quantization.quantize_static(
                model,
                path,
                _Reader(calibration),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=list(_KINDS),
                nodes_to_exclude=in_float,
                per_channel=True,
                reduce_range=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
        finally:
            logger.setLevel(level)
        small = onnx.load(path)
    return bytes(small.SerializeToString(deterministic=True))


def _painting(model: onnx.ModelProto) -> str:
    """The name of the layer that the picture comes from: other outputs may be computed after it."""
    makers = {output: node for node in model.graph.node for output in node.output}
    node = makers[_PICTURE]
    while node.op_type not in _WEIGHTED:
        node = makers[node.input[0]]
    return str(node.name)


def loss_db(full: bytes, small: bytes, *, feeds: Feeds, truth: AnyArray, inside: AnyArray) -> float:
    """How much PSNR `small` loses against `full`.

    Args:
        full: ONNX bytes.
        small: ONNX bytes.
        feeds: by input as for `to_int8`, not those of the calibration.
        truth: (N, 3, S, S) float32 in model space, what should be painted.
        inside: (N, 1, S, S) bool, where it counts.
    """
    errors = []
    for data in (full, small):
        session = infer.session(data, device="cpu")
        squares = [
            (session.run(feed)[0][0] - wanted) ** 2 for feed, wanted in zip(_single_feeds(feeds), truth, strict=True)
        ]
        errors.append(float((np.stack(squares) * inside).sum()))
    return float(10 * np.log10(errors[1] / errors[0]))


class _Reader(quantization.CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    def __init__(self, feeds: Feeds) -> None:
        self._left = _single_feeds(feeds)

    def get_next(self) -> dict[str, AnyArray] | None:
        return next(self._left, None)


def _single_feeds(feeds: Feeds) -> Iterator[dict[str, AnyArray]]:
    """One crop after the other, with what belongs to it."""
    for i in range(len(feeds["crop"])):
        yield {name: np.ascontiguousarray(values[i : i + 1], np.float32) for name, values in feeds.items()}


def _single(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with weights stored in single: the quantiser does not look behind the casts of half storage."""
    weights = {weight.name: weight for weight in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        weight = weights.get(node.input[0]) if node.op_type == "Cast" else None
        if weight is None or weight.data_type != onnx.TensorProto.FLOAT16:
            nodes.append(node)
            continue
        value = numpy_helper.to_array(weight).astype(np.float32)
        weight.CopyFrom(numpy_helper.from_array(value, node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model
