# ruff: noqa: T201 - a command prints
"""Make the changed networks of `vfxswap/weights` anew from the files that they were made of. For maintainers.

    python tools/rebuild_weights.py SOURCES            # write them
    python tools/rebuild_weights.py SOURCES --check    # only compare: the same bytes, and the sources' answers

SOURCES is a folder with the files whose sha256 `models.toml` gives as `original_sha256`, under the same names. After a
change here, put the new sha256 into `models.toml`. Needs `pip install 'vfxswap[train]'` (for onnx).

What is done to the landmark network changes its speed and not its function. Its source writes each PReLU,
a x + (1 - a) relu(x) with a slope for each channel, as a Relu, two 1x1 convolutions of single channels and a sum: ONNX
Runtime can keep that in its blocked layout, but it is a third of the network's time, as such passes only move memory.
Three identities take most of it away:

- Between a convolution and one of single channels: PReLU(x) = relu(x) - a relu(-x). The convolution computes x and -x,
  with a Relu that is fused into it, and what follows takes them together again. That pays where there are so few
  channels that the blocked layout would be half empty.
- Anywhere else: a x + (1 - a) relu(x) = (1 - a) (relu(x) + a / (1 - a) x). The convolutions that follow take the first
  factor, so that Relu needs none. Where what follows is a sum, the other summand must have it, too: so the channels of
  the network's trunk carry factors along, of either sign, which grow from block to block.
- The sum with a convolution that is the identity appends channels of zeros without leaving the blocked layout.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from vfxswap import infer

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

WEIGHTS = Path(__file__).resolve().parents[1] / "vfxswap" / "weights"

TOLERANCE = 1e-3
"""How far answers may be from the source's, in pixels of the landmarks' crop and in logits: float32's own noise."""

# Channels up to which there are twice as many: the blocked layout has blocks of 8 or 16.
_NARROW = 8

# A slope nearer to 1 than this is not divided by.
_FLAT = 2.0**-12


@dataclass(frozen=True)
class Op:
    """One step of a network.

    Attributes:
        kind: ONNX operator.
        inputs: names of tensors, weights not among them.
        output: name of its tensor.
        weights: of a convolution its kernel (out, in / group, h, w) and its bias (out,), if there is one; of a PRelu
            its slope (channels,); of others what they take besides `inputs`.
        attributes: as in ONNX.
        rows, columns: by what the kernel is to be multiplied for each output and input, beside `weights` so that these
            stay what they are in the source.
    """

    kind: str
    inputs: tuple[str, ...]
    output: str
    weights: tuple[NDArray[Any], ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    rows: F64 | None = None
    columns: F64 | None = None

    @property
    def single(self) -> bool:
        """Whether it is a convolution of each channel by itself."""
        return self.kind == "Conv" and self.attributes.get("group", 1) == len(self.weights[0]) > 1

    @property
    def dense(self) -> bool:
        """Whether it is a convolution of all channels."""
        return self.kind == "Conv" and self.attributes.get("group", 1) == 1


# ------------------------------------------------------------------------------------------------- reading


def read(model: onnx.ModelProto) -> list[Op]:
    """The steps of a network, halves as float32, its PReLUs put together."""
    known = {value.name: numpy_helper.to_array(value) for value in model.graph.initializer}
    ops = []
    for node in model.graph.node:
        if node.op_type == "Cast" and node.input[0] in known:
            known[node.output[0]] = known[node.input[0]].astype(np.float32)
            continue
        inputs = tuple(name for name in node.input if name not in known)
        weights = tuple(known[name] for name in node.input if name in known)
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        ops.append(Op(node.op_type, inputs, node.output[0], weights, attributes))
    return list(_joined(ops))


def _joined(ops: list[Op]) -> Iterator[Op]:
    """The steps with PReLUs in the place of what they are split into."""
    made = {op.output: op for op in ops}
    found: dict[str, Op] = {}
    parts: set[str] = set()
    for op in ops:
        pair = [made[name] for name in op.inputs if name in made]
        if op.kind != "Add" or len(pair) != 2 or any(not p.single or p.weights[0][0].size != 1 for p in pair):
            continue
        straight, bent = pair
        relu = made.get(bent.inputs[0])
        if relu is None or relu.kind != "Relu" or relu.inputs != straight.inputs:
            continue
        slope = straight.weights[0].reshape(-1).astype(np.float64)
        if np.allclose(slope + bent.weights[0].reshape(-1), 1.0, atol=1e-6):
            found[op.output] = Op("PRelu", straight.inputs, op.output, (slope,))
            parts |= {straight.output, bent.output, relu.output}
    return (found.get(op.output, op) for op in ops if op.output not in parts)


# ----------------------------------------------------------------------------------------------- rewriting


def rewrite(ops: list[Op]) -> list[Op]:
    """The same function in fewer passes over memory; see the module's docstring.

    Raises:
        ValueError: it is built in a way that this does not know.
    """
    return _Rewriting(ops).result


class _Rewriting:
    """Walks through the steps in order, and knows by what the channels of each tensor are multiplied."""

    def __init__(self, ops: list[Op]) -> None:
        self._made = {op.output: op for op in ops}
        self._users: dict[str, list[Op]] = {}
        for op in ops:
            for name in op.inputs:
                self._users.setdefault(name, []).append(op)
        self._factor: dict[str, F64] = {}
        self._doubled: set[str] = set()
        self._done: set[str] = set()
        self.result: list[Op] = []
        for op in ops:
            if op.output not in self._done:
                self._take(op)

    def _take(self, op: Op) -> None:
        if op.kind == "Conv":
            self._convolution(op)
        elif op.kind == "PRelu":
            self._prelu(op)
        elif op.kind == "Add":
            self._sum(op)
        elif any(name in self._factor for name in op.inputs):
            raise ValueError(f"{op.kind} {op.output} cannot take factors")
        else:
            self.result.append(self._appended(op) or op)

    def _only_user(self, name: str) -> Op | None:
        users = self._users.get(name, [])
        return users[0] if len(users) == 1 else None

    def _other(self, op: Op, name: str) -> Op | None:
        """What makes the other summand of a sum."""
        return next((self._made.get(n) for n in op.inputs if n != name), None)

    # -------------------------------------------------------------------------------------- convolutions

    def _convolution(self, op: Op) -> None:
        bottleneck = self._bottleneck(op)
        if bottleneck is not None:
            self._double(op, *bottleneck)
            return
        (name,) = op.inputs
        if name in self._doubled:
            op = replace(op, weights=(np.concatenate([op.weights[0]] * 2, axis=1), *op.weights[1:]))
        if name in self._factor:
            away = 1 / self._factor[name]
            op = replace(op, rows=away) if op.single else replace(op, columns=away)
        after = self._only_user(op.output)
        other = self._other(after, op.output) if after is not None and after.kind == "Add" else None
        if other is not None and other.output in self._factor:
            # What it is added to has factors, so it needs the same.
            factor = self._factor[op.output] = self._factor[other.output]
            bias = tuple(np.asarray(b * factor, np.float32) for b in op.weights[1:])
            op = replace(op, weights=(op.weights[0], *bias), rows=factor if op.rows is None else op.rows * factor)
        self.result.append(op)

    def _bottleneck(self, op: Op) -> tuple[Op, Op] | None:
        """The PReLU and the convolution of single channels between `op` and the next dense one, if it is narrow."""
        chain = [op]
        for wanted in ("PRelu", "Conv", "Conv"):
            after = self._only_user(chain[-1].output)
            if after is None or after.kind != wanted:
                return None
            chain.append(after)
        narrow = op.dense and len(op.weights[0]) <= _NARROW
        return (chain[1], chain[2]) if narrow and chain[2].single and chain[3].dense else None

    def _double(self, op: Op, prelu: Op, single: Op) -> None:
        """What is x and -x, each with its Relu; the convolution of single channels gives the second one its slope."""
        factor = self._factor.get(op.inputs[0])
        twice = replace(op, weights=tuple(np.concatenate([w, -w]) for w in op.weights))
        self.result.append(twice if factor is None else replace(twice, columns=1 / factor))
        relu = f"{prelu.output}_relu"
        self.result.append(Op("Relu", (op.output,), relu))
        kernel, *bias = single.weights
        both = np.concatenate([kernel, -prelu.weights[0].reshape(-1, 1, 1, 1) * kernel])
        wide = {**single.attributes, "group": len(both)}
        weights = (both, *(np.concatenate([b, np.zeros_like(b)]) for b in bias))
        self.result.append(replace(single, inputs=(relu,), weights=weights, attributes=wide))
        self._doubled.add(single.output)
        self._done |= {prelu.output, single.output}

    # ------------------------------------------------------------------------------------ sums and PReLUs

    def _sum(self, op: Op) -> None:
        factors = [self._factor.get(name) for name in op.inputs]
        known = [f for f in factors if f is not None]
        if known and (len(known) != len(factors) or any(not np.array_equal(f, known[0]) for f in known)):
            raise ValueError(f"the summands of {op.output} have different factors")
        if known:
            self._factor[op.output] = known[0]
        self.result.append(op)

    def _prelu(self, op: Op) -> None:
        (name,), slope = op.inputs, op.weights[0]
        factor = self._factor.get(name, np.ones_like(slope))
        # Of channels with a negative factor relu sees the other side: prelu(x) = x + (1 - slope) relu(-x).
        straight, bent = np.where(factor > 0, slope, 1.0) / factor, (1 - slope) / np.abs(factor)
        relu, part = f"{op.output}_relu", f"{op.output}_part"
        self.result.append(Op("Relu", (name,), relu))
        if np.abs(1 - slope).min() > _FLAT and all(self._takes(user, op.output) for user in self._users[op.output]):
            self._factor[op.output] = 1 / bent
            self.result.append(_scaled(name, straight / bent, part))
            self.result.append(Op("Add", (part, relu), op.output))
        else:
            self.result.append(_scaled(name, straight, part))
            self.result.append(_scaled(relu, bent, f"{relu}_part"))
            self.result.append(Op("Add", (part, f"{relu}_part"), op.output))

    def _takes(self, op: Op, name: str) -> bool:
        """Whether `op` takes a tensor with factors: a convolution, or a sum with a convolution made for it alone."""
        if op.kind != "Add":
            return op.kind == "Conv"
        other = self._other(op, name)
        return other is not None and other.kind == "Conv" and self._only_user(other.output) is op

    def _appended(self, op: Op) -> Op | None:
        """A Pad that appends channels, as a convolution."""
        if op.kind != "Pad" or len(op.weights[0]) != 8 or op.weights[0].nonzero()[0].tolist() != [5]:
            return None
        after = self._only_user(op.output)
        other = self._other(after, op.output) if after is not None and after.kind == "Add" else None
        if other is None or other.kind != "Conv":
            return None
        wide, more = len(other.weights[0]), int(op.weights[0][5])
        kernel = np.eye(wide, wide - more, dtype=np.float32)[:, :, None, None]
        return Op("Conv", op.inputs, op.output, (kernel,), _pointwise(1))


def _scaled(name: str, factor: F64, output: str) -> Op:
    """Each channel times a number, as a convolution, which the blocked layout knows."""
    return Op("Conv", (name,), output, (factor.reshape(-1, 1, 1, 1),), _pointwise(len(factor)))


def _pointwise(group: int) -> dict[str, Any]:
    return {"kernel_shape": [1, 1], "pads": [0] * 4, "strides": [1, 1], "dilations": [1, 1], "group": group}


# ------------------------------------------------------------------------------------------------- writing


def write(ops: list[Op], like: onnx.ModelProto) -> onnx.ModelProto:
    """An ONNX model of the steps, with the inputs and outputs of `like`.

    What halves hold exactly is stored so. Casts and products of constants are folded when the file is loaded.
    """
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def stored(values: NDArray[Any], name: str) -> str:
        half = np.clip(values, -65504, 65504).astype(np.float16) if values.dtype.kind == "f" else None
        if half is None:
            constants.append(numpy_helper.from_array(values, name))
        elif values.size > 16 and np.array_equal(half.astype(values.dtype), values):
            constants.append(numpy_helper.from_array(half, f"{name}_half"))
            nodes.append(helper.make_node("Cast", [f"{name}_half"], [name], to=onnx.TensorProto.FLOAT))
        else:
            constants.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    for op in ops:
        names = [stored(values, f"{op.output}_{number}") for number, values in enumerate(op.weights)]
        for side, factor, shape in (("rows", op.rows, (-1, 1, 1, 1)), ("columns", op.columns, (1, -1, 1, 1))):
            if factor is not None:
                by, product = stored(factor.reshape(shape), f"{op.output}_{side}"), f"{names[0]}_{side}"
                nodes.append(helper.make_node("Mul", [names[0], by], [product]))
                names[0] = product
        nodes.append(helper.make_node(op.kind, [*op.inputs, *names], [op.output], name=op.output, **op.attributes))
    graph = helper.make_graph(nodes, like.graph.name, like.graph.input, like.graph.output, constants)
    made = helper.make_model(
        graph, opset_imports=like.opset_import, ir_version=like.ir_version, producer_name=like.producer_name
    )
    onnx.checker.check_model(made)
    return made


# -------------------------------------------------------------------------------------------------- models


def landmarks(source: onnx.ModelProto) -> onnx.ModelProto:
    """The landmark network, rewritten."""
    return write(rewrite(read(source)), source)


def detector(source: onnx.ModelProto) -> onnx.ModelProto:
    """The detector for any height and width."""
    made = onnx.ModelProto()
    made.CopyFrom(source)
    for axis, name in ((2, "height"), (3, "width")):
        made.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    for value in made.graph.output:
        value.type.tensor_type.shape.dim[1].dim_param = f"cells_{value.name.rsplit('_', 1)[1]}"
    del made.graph.value_info[:]  # what lies between, for one size
    return made


CHANGES = {"landmarks": landmarks, "detector": detector}
"""Role -> what is done to its source."""


def apart(source: bytes, made: bytes, images: Iterable[F32]) -> float:
    """The largest difference of any answer to any of the inputs."""
    sessions = [infer.session(data, device="cpu", threads=1) for data in (source, made)]
    name = sessions[0].inputs[0]
    answers = ([session.run({name: image}) for session in sessions] for image in images)
    return max(float(np.abs(a - b).max()) for pair in answers for a, b in zip(*pair, strict=True))


def pictures(role: str, *, count: int = 8) -> Iterator[F32]:
    """Inputs for a network: smooth noise of several grains, as nothing better is needed to tell weights apart."""
    rng = np.random.default_rng(0)
    for number in range(count):
        cells = 4 << number % 4
        noise = rng.random((cells, cells, 3), np.float32)
        if role == "landmarks":
            yield cv2.resize(noise, (256, 256), interpolation=cv2.INTER_CUBIC).clip(0, 1)[None]
        else:
            large = cv2.resize(noise, (640, 640), interpolation=cv2.INTER_CUBIC).clip(0, 1)
            yield np.ascontiguousarray(255 * large.transpose(2, 0, 1)[None])


def main() -> int:
    """Write the networks, or compare them; 1 if they differ from what they should be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sources", type=Path, metavar="SOURCES", help="folder of the files they were made of")
    parser.add_argument("--output", type=Path, default=WEIGHTS, metavar="DIR", help="where to, if not vfxswap/weights")
    parser.add_argument("--check", action="store_true", help="write nothing, only compare")
    asked = parser.parse_args()
    entries = tomllib.loads((WEIGHTS / "models.toml").read_text(encoding="utf-8"))
    wrong = False
    for role, change in CHANGES.items():
        source = (asked.sources / entries[role]["file"]).read_bytes()
        if digest(source) != entries[role]["original_sha256"]:
            sys.exit(f"{asked.sources / entries[role]['file']} is not the file that {role} was made of")
        made = change(onnx.load_from_string(source)).SerializeToString(deterministic=True)
        target = asked.output / entries[role]["file"]
        same = target.is_file() and target.read_bytes() == made
        if not asked.check:
            target.write_bytes(made)
        off = apart(source, made, pictures(role))
        wrong |= off > TOLERANCE or (asked.check and not same)
        print(f"{role}: sha256 {digest(made)}, {'the same' if same else 'not'} as before, answers within {off:.1e}")
    return int(wrong)


def digest(data: bytes) -> str:
    """sha256 as hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
