"""What an ONNX file may hold before a runtime reads it: plain arithmetic on numbers that lie in the file itself.

A .vfxmodel comes from somewhere else. The runtime would also take loops, branches, functions and operators of other
libraries, and weights in files beside it; none of ours has them, so none is let through. Only the file's outline is
read here, after "ONNX IR" (github.com/onnx/onnx, onnx.proto) and protobuf's wire format.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from vfxswap.errors import ModelError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

_DOMAINS: Final = ("", "ai.onnx")

_NAMES: Final = """
Abs Add ArgMax ArgMin AveragePool BatchNormalization Cast Ceil Clip Concat Constant Conv ConvTranspose Cos
DepthToSpace DequantizeLinear Div Dropout Elu Equal Erf Exp Flatten Floor Gather GatherElements Gelu Gemm
GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GridSample GroupNormalization HardSigmoid HardSwish Identity
InstanceNormalization LayerNormalization LeakyRelu Less LessOrEqual Log MatMul Max MaxPool Mean Min Mish Mul Neg Not
And Or PRelu Pad Pow QuantizeLinear Reciprocal ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
ReduceSumSquare Relu Reshape Resize Round Selu Shape Sigmoid Sign Sin Size Slice Softmax Softplus Softsign
SpaceToDepth Split Sqrt Squeeze Sub Sum Tanh Transpose Unsqueeze Upsample Where
"""
OPERATORS: Final = frozenset(_NAMES.split())
"""Operators of ONNX itself that compute numbers from numbers, each once."""

_MOST_NODES: Final = 20_000
_MOST_VALUES: Final = 1 << 32

# Bits of a number of each TensorProto.DataType; text (8) and the complex ones are not here.
_BITS: Final = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 16: 16,
    17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4,
}  # fmt: skip


@dataclass(frozen=True)
class Outline:
    """What a network is made of.

    Attributes:
        operators: those that it computes.
        nodes: how many there are.
        values: numbers in its weights.
    """

    operators: frozenset[str]
    nodes: int
    values: int


def check(data: bytes) -> Outline:
    """The outline of a network's ONNX bytes.

    Raises:
        ModelError: they are none, or hold something else than plain arithmetic on numbers of their own.
    """
    try:
        return _model(memoryview(data))
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise ModelError(f"cannot load the network: {error}", hint="the file is damaged or not ONNX") from error


def _model(data: memoryview) -> Outline:
    graphs = []
    for field, value in _fields(data):
        if field in (20, 25):
            raise _refused("a training" if field == 20 else "functions of its own")
        if field == 8:
            _check_domain(b"".join(bytes(part) for number, part in _parts(value) if number == 1))
        if field == 7:
            graphs.append(_message(value))
    if len(graphs) != 1:
        raise ValueError(f"{len(graphs)} graphs")
    return _graph(graphs[0])


def _graph(data: memoryview) -> Outline:
    operators, nodes, values = set(), 0, 0
    for field, value in _fields(data):
        if field == 1:
            name, inside = _node(_message(value))
            operators.add(name)
            nodes, values = nodes + 1, values + inside
        elif field == 5:
            values += _tensor(_message(value))
        elif field == 15:
            raise _refused("sparse weights")
    if nodes > _MOST_NODES or values > _MOST_VALUES:
        raise _refused(f"{nodes} nodes and {values} weights")
    return Outline(frozenset(operators), nodes, values)


def _node(data: memoryview) -> tuple[str, int]:
    """A node's operator, and how many numbers its attributes hold."""
    name, domain, values = "", b"", 0
    for field, value in _fields(data):
        if field == 4:
            name = bytes(_message(value)).decode()
        elif field == 7:
            domain = bytes(_message(value))
        elif field == 5:
            values += _attribute(_message(value))
    _check_domain(domain)
    if name not in OPERATORS:
        raise _refused(f"the operator {name[:40]!r}")
    return name, values


def _attribute(data: memoryview) -> int:
    values = 0
    for field, value in _fields(data):
        if field in (6, 11):
            raise _refused("a graph within a graph")
        if field in (22, 23):
            raise _refused("sparse weights")
        if field in (5, 10):
            values += _tensor(_message(value))
    return values


def _tensor(data: memoryview) -> int:
    """How many numbers a tensor holds, which have to be in the file."""
    dims: list[int] = []
    kind = held = 0
    for field, value in _fields(data):
        if field == 13 or (field == 14 and value):
            raise _refused("weights in another file")
        if field == 1:
            dims += [value] if isinstance(value, int) else list(_varints(value))
        elif field == 2 and isinstance(value, int):
            kind = value
        elif field in (4, 5, 7, 9, 10, 11):
            held += 1 if isinstance(value, int) else len(value)
    if kind not in _BITS:
        raise _refused(f"weights of the type {kind}")
    count = math.prod(dims)
    # Numbers in their own lists take at least a byte each.
    if not 0 <= count <= _MOST_VALUES or count * min(_BITS[kind], 8) > held * 8:
        raise ValueError(f"a weight of {'x'.join(map(str, dims[:8]))} in {held} bytes")
    return count


def _check_domain(domain: bytes) -> None:
    name = domain.decode()
    if name not in _DOMAINS:
        raise _refused(f"operators of {name[:40]!r}")


def _refused(what: str) -> ModelError:
    return ModelError(
        f"the network has {what}, which no network of a .vfxmodel has", hint="make it with vfxswap export"
    )


# ------------------------------------------------------------------------------------------------- wire format


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(number, value) of every field of a message."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"no protobuf message (wire type {kind})")
        if size > len(data) - at:
            raise ValueError("cut off")
        yield number, data[at : at + size]
        at += size


def _parts(value: int | memoryview) -> Iterator[tuple[int, memoryview]]:
    for number, part in _fields(_message(value)):
        if not isinstance(part, int):
            yield number, part


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message is expected")
    return value


def _varints(data: memoryview) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("no protobuf message")
