"""An exported network in 8-bit integers, for CPUs.

Weights and activations of the convolutions become integers, each weight channel with its own scale; the first and the
last convolution stay in float, because the picture's own steps would show: in them alone lies most of the loss.
Weights keep to 7 bits, so that CPUs with and without VNNI instructions add the same sums without overflow.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime import quantization

from vfxswap import infer
from vfxswap.errors import ModelError
from vfxswap.pixels import AnyArray

MOST_LOSS_DB = 0.2
"""How much PSNR against the truth integers may cost."""

_LEAST_CROPS = 8
_KINDS = ("Conv", "Gemm", "MatMul", "LeakyRelu", "Add")
_WEIGHTED = ("Conv", "Gemm", "MatMul")


def to_int8(data: bytes, calibration: AnyArray) -> bytes:
    """Quantise what `export.to_onnx` gave.

    Args:
        data: ONNX bytes of a network without a condition.
        calibration: (N, 3, S, S) float32 crops in model space such as it will see, at least 8, never those it is then
            measured on: they set the range of each activation.

    Returns:
        ONNX bytes with the same inputs and outputs, the same for the same arguments and library versions.

    Raises:
        ModelError: too few crops, or the network has other inputs than `crop`.
    """
    if len(calibration) < _LEAST_CROPS:
        raise ModelError(
            f"{len(calibration)} crops are too few to find the ranges of integers", hint=f"give at least {_LEAST_CROPS}"
        )
    model = _single(onnx.load_from_string(data))
    if [value.name for value in model.graph.input] != ["crop"]:
        raise ModelError("only networks with the one input crop can be quantised", hint="export in float32")
    weighted = [node.name for node in model.graph.node if node.op_type in _WEIGHTED]
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
                _Crops(calibration),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=list(_KINDS),
                nodes_to_exclude=[weighted[0], weighted[-1]],
                per_channel=True,
                reduce_range=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
        finally:
            logger.setLevel(level)
        small = onnx.load(path)
    return bytes(small.SerializeToString(deterministic=True))


def loss_db(full: bytes, small: bytes, *, crops: AnyArray, truth: AnyArray, inside: AnyArray) -> float:
    """How much PSNR `small` loses against `full`.

    Args:
        full: ONNX bytes.
        small: ONNX bytes.
        crops: (N, 3, S, S) float32 in model space, not those of the calibration.
        truth: the same, what should be painted.
        inside: (N, 1, S, S) bool, where it counts.
    """
    errors = []
    for data in (full, small):
        session = infer.session(data, device="cpu")
        squares = [
            (session.run(crop=crop[None])[0][0] - wanted) ** 2 for crop, wanted in zip(crops, truth, strict=True)
        ]
        errors.append(float((np.stack(squares) * inside).sum()))
    return float(10 * np.log10(errors[1] / errors[0]))


class _Crops(quantization.CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    def __init__(self, crops: AnyArray) -> None:
        self._left: Iterator[AnyArray] = iter(crops)

    def get_next(self) -> dict[str, Any] | None:
        crop = next(self._left, None)
        return None if crop is None else {"crop": np.ascontiguousarray(crop[None], np.float32)}


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
