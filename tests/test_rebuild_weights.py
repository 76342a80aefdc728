"""The rewriting of the landmark network: the same function in fewer passes, and what is shipped is what it makes."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from vfxswap import infer

from . import support

onnx = pytest.importorskip("onnx", reason="needs the extra train")
helper, numpy_helper = onnx.helper, onnx.numpy_helper

TOOL = Path(__file__).resolve().parents[1] / "tools" / "rebuild_weights.py"


@pytest.fixture(scope="module")
def tool():
    return support.script(TOOL)


class Network:
    """A small network written as the source writes its own, with random weights."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.nodes: list = []
        self.constants: list = []

    def constant(self, values, name: str) -> str:
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def conv(self, name: str, source: str, into: int, out: int, *, size: int = 1, stride: int = 1, group: int = 1):
        kernel = self.rng.normal(0, (size * size * into / group) ** -0.5, (out, into // group, size, size))
        kernel, bias = kernel.astype(np.float16), self.rng.normal(0, 0.3, out).astype(np.float32)
        half = self.constant(kernel, f"{name}_k")
        self.nodes.append(helper.make_node("Cast", [half], [f"{name}_w"], to=onnx.TensorProto.FLOAT))
        pad = [0] * 4 if stride > 1 else [size // 2] * 4
        attributes = {"kernel_shape": [size] * 2, "pads": pad, "strides": [stride] * 2, "group": group}
        inputs = [source, f"{name}_w", self.constant(bias, f"{name}_b")]
        self.nodes.append(helper.make_node("Conv", inputs, [name], **attributes))
        return name

    def prelu(self, name: str, source: str, slope) -> str:
        slope = np.asarray(slope, np.float32)
        self.nodes.append(helper.make_node("Relu", [source], [f"{name}_r"]))
        for part, origin, values in (("p", source, slope), ("q", f"{name}_r", 1 - slope)):
            weights = self.constant(values.reshape(-1, 1, 1, 1), f"{name}_w{part}")
            attributes = {"kernel_shape": [1, 1], "group": len(slope)}
            self.nodes.append(helper.make_node("Conv", [origin, weights], [f"{name}_{part}"], **attributes))
        return self.add(name, f"{name}_p", f"{name}_q")

    def add(self, name: str, *inputs: str) -> str:
        self.nodes.append(helper.make_node("Add", list(inputs), [name]))
        return name

    def block(self, name: str, source: str, wide: int, narrow: int, slopes) -> str:
        """A bottleneck beside the trunk, as in the landmark network."""
        self.conv(f"{name}_in", source, wide, narrow)
        self.prelu(f"{name}_act", f"{name}_in", slopes(narrow))
        self.conv(f"{name}_dw", f"{name}_act", narrow, narrow, size=3, group=narrow)
        self.conv(f"{name}_out", f"{name}_dw", narrow, wide)
        self.add(f"{name}_sum", source, f"{name}_out")
        return self.prelu(name, f"{name}_sum", slopes(wide))

    def model(self, output: str):
        shapes = {"image": ["n", 3, 16, 16], output: ["n", "channels", "height", "width"]}
        ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in shapes.items()]
        graph = helper.make_graph(self.nodes, "g", ends[:1], ends[1:], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def trunk(wide: int, narrow: int, slopes):
    """Two blocks, a smaller picture with more channels, and a block."""
    net = Network()
    net.conv("first", "image", 3, wide, size=3)
    net.prelu("a", "first", slopes(wide))
    net.block("b", "a", wide, narrow, slopes)
    net.block("c", "b", wide, narrow, slopes)
    net.conv("down", "c", wide, wide, size=2, stride=2)
    net.prelu("down_act", "down", slopes(wide))
    net.conv("down_dw", "down_act", wide, wide, size=3, group=wide)
    net.conv("down_out", "down_dw", wide, 2 * wide)
    net.nodes.append(helper.make_node("MaxPool", ["c"], ["pool"], kernel_shape=[2, 2], strides=[2, 2]))
    ends = net.constant(np.array([0, 0, 0, 0, 0, wide, 0, 0]), "ends")
    net.nodes.append(helper.make_node("Pad", ["pool", ends], ["padded"]))
    net.add("d_sum", "padded", "down_out")
    net.prelu("d", "d_sum", slopes(2 * wide))
    net.block("e", "d", 2 * wide, wide, slopes)
    return net.model(net.conv("answer", "e", 2 * wide, 5))


def some(count: int):
    """Slopes of every kind but 1: between 0 and 1, above, below, and close to it."""
    return np.resize([0.25, 1.7, -0.8, 0.99, 0.0, 1.002, 5.0, 0.6], count)


def one_is_1(count: int):
    return np.resize([0.3, 1.0, -0.5], count)


def answer(model, image):
    session = infer.session(model.SerializeToString(), device="cpu", threads=1)
    return session.run({"image": image})[0]


@pytest.mark.parametrize("slopes", [some, one_is_1])
@pytest.mark.parametrize(("wide", "narrow"), [(16, 8), (32, 16)])
def test_the_function_stays(tool, wide: int, narrow: int, slopes):
    source = trunk(wide, narrow, slopes)
    made = tool.write(tool.rewrite(tool.read(source)), source)
    image = np.random.default_rng(1).normal(0, 1, (3, 3, 16, 16)).astype(np.float32)
    before, after = answer(source, image), answer(made, image)
    assert before.shape == after.shape == (3, 5, 8, 8)
    assert before.std() > 0.1
    np.testing.assert_allclose(after, before, atol=2e-5 * float(np.abs(before).max()))


def test_a_prelu_costs_less(tool):
    """Of nine PReLUs two are doubled and need no scaling; six need one, and the one before a maximum both."""
    source = trunk(16, 8, some)
    made = tool.write(tool.rewrite(tool.read(source)), source)
    before, after = (
        Counter(node.output[0].rpartition("_")[2] for node in model.graph.node if node.op_type == "Conv")
        for model in (source, made)
    )
    assert before["p"] + before["q"] == 2 * 9
    assert after["part"] == 6 + 2
    assert [node.op_type for node in made.graph.node].count("Relu") == 9
    assert "Pad" not in [node.op_type for node in made.graph.node]


def test_what_cannot_take_factors_is_refused(tool):
    net = Network()
    net.conv("first", "image", 3, 16)
    net.prelu("a", "first", some(16))
    net.conv("b", "a", 16, 16)
    net.add("c", "a", "b")
    net.nodes.append(helper.make_node("Sigmoid", ["c"], ["answer"]))
    with pytest.raises(ValueError, match="Sigmoid answer cannot take factors"):
        tool.rewrite(tool.read(net.model("answer")))


def test_halves_stay_halves_and_are_the_sources(tool):
    source = trunk(32, 16, some)
    made = tool.write(tool.rewrite(tool.read(source)), source)
    halves = {numpy_helper.to_array(i).tobytes() for i in source.graph.initializer if i.data_type == 10}
    kept = {numpy_helper.to_array(i).tobytes() for i in made.graph.initializer if i.data_type == 10}
    assert len(halves) == 14
    assert halves <= kept


@pytest.mark.parametrize("role", ["landmarks", "detector"])
def test_what_is_shipped_is_what_the_tool_makes(tool, shared: Path, role: str):
    entry = tomllib.loads((infer.weights_folder() / "models.toml").read_text(encoding="utf-8"))[role]
    data = (shared / "face_models" / entry["file"]).read_bytes()
    assert tool.digest(data) == entry["original_sha256"]
    made = tool.CHANGES[role](onnx.load_from_string(data))
    shipped = onnx.load(infer.weights(role))
    assert made.graph == shipped.graph
    assert [value.name for value in shipped.graph.input] == [entry["input"].split(":")[0]]


def test_landmarks_are_the_sources(shared: Path):
    """On crops of a photograph at many places, sizes and angles, singly and as a batch: to a thousandth of a pixel."""
    skimage = pytest.importorskip("skimage")
    photo = (skimage.data.astronaut() / 255.0).astype(np.float32)
    entry = infer.catalog()["landmarks"]
    source, ours = (
        infer.session(path, device="cpu", threads=1)
        for path in (shared / "face_models" / entry.file, infer.weights("landmarks"))
    )
    assert (source.inputs, source.outputs) == (ours.inputs, ours.outputs)
    rng = np.random.default_rng(0)
    crops = []
    for zoom, degrees, dx, dy in rng.uniform([0.8, -40, -20, -20], [2.5, 40, 20, 20], (12, 4)):
        matrix = cv2.getRotationMatrix2D((224 + dx, 125 + dy), degrees, zoom)
        matrix[:, 2] += [128 - 224 - dx, 128 - 125 - dy]
        crops.append(cv2.warpAffine(photo, matrix, (256, 256), borderMode=cv2.BORDER_REPLICATE))
    batch = np.stack(crops)
    for image in (*batch[:, None], batch):
        theirs, found = (session.run({session.inputs[0]: image}) for session in (source, ours))
        assert [a.shape for a in theirs] == [a.shape for a in found]
        assert max(float(np.abs(a - b).max()) for a, b in zip(theirs, found, strict=True)) < 1e-3
