"""A small evaluator of the node types that the gizmos use, on numpy arrays: what each is documented to compute.

A stream is a dict of channel name -> (H, W) float32, whose bottom left corner is the picture's. It knows nothing of
formats, boxes and time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from vfxswap.face.export import nk

from .graph import Node

Stream = dict[str, Any]

_RGBA = ("rgba.red", "rgba.green", "rgba.blue", "rgba.alpha")
_SHORT = dict(zip("rgba", _RGBA, strict=True))


class UnknownError(Exception):
    """Something that is not evaluated here."""


@dataclass
class Evaluator:
    """Evaluates a group.

    Attributes:
        group: the gizmo.
        knobs: values of its knobs that are not the defaults.
        inputs: number -> stream; what is missing is not connected.
        read: what its Read gives.
        network: what its Inference computes, from the stream and the values that the node's knobs are given.
        spaces: OCIOColorSpace by name -> what it does to (..., 3).
    """

    group: Node
    knobs: Mapping[str, Any]
    inputs: Mapping[int, Stream]
    read: Stream | None = None
    network: Callable[[Stream, dict[str, float]], Stream] | None = None
    spaces: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)

    def run(self) -> Stream:
        """What the group puts out."""
        return self._node(self.group.output.inputs[0], {})

    # ------------------------------------------------------------------------------------------- nodes

    def _node(self, node: Node | None, done: dict[int, Stream]) -> Stream:
        if node is None:
            return {}
        if id(node) not in done:
            if self._truth(node, "disable"):
                done[id(node)] = self._node(node.inputs[0], done) if node.inputs else {}
                return done[id(node)]
            make: Callable[[Node, dict[int, Stream]], Stream] | None = getattr(self, f"_{node.kind.lower()}", None)
            if make is None:
                raise UnknownError(node.kind)
            done[id(node)] = make(node, done)
        return done[id(node)]

    def _input(self, node: Node, done: dict[int, Stream]) -> Stream:
        return dict(self.inputs.get(int(node.value("number") or 0), {}))

    def _read(self, node: Node, done: dict[int, Stream]) -> Stream:
        return dict(self.read or {})

    def _dot(self, node: Node, done: dict[int, Stream]) -> Stream:
        return self._node(node.inputs[0], done)

    def _switch(self, node: Node, done: dict[int, Stream]) -> Stream:
        return self._node(node.inputs[int(self._number(node, "which"))], done)

    def _expression(self, node: Node, done: dict[int, Stream]) -> Stream:
        stream = self._node(node.inputs[0], done)
        out = dict(stream)
        for i, channel in enumerate(_RGBA):
            if text := node.value(f"expr{i}"):
                out[channel] = np.broadcast_to(self._value(text, stream), _shape(stream)).astype(np.float32)
        return out

    def _copy(self, node: Node, done: dict[int, Stream]) -> Stream:
        onto, source = (self._node(one, done) for one in node.inputs)
        out = dict(onto)
        for i in range(4):
            if name := node.value(f"from{i}"):
                out[node.value(f"to{i}")] = _fitted(_channel(source, name, _shape(onto)), _shape(onto))
        return out

    def _multiply(self, node: Node, done: dict[int, Stream]) -> Stream:
        stream, value = self._node(node.inputs[0], done), np.float32(self._number(node, "value"))
        assert node.value("channels") == "rgba"
        return {**stream, **{name: _channel(stream, name, _shape(stream)) * value for name in _RGBA}}

    def _merge2(self, node: Node, done: dict[int, Stream]) -> Stream:
        below, above = (self._node(one, done) for one in node.inputs)  # input 0 is B
        assert node.value("output") == "rgb"
        shape, out = _shape(below), dict(below)
        through = 1 - _channel(above, "rgba.alpha", shape)
        for name in _RGBA[:3]:
            a, b = _channel(above, name, shape), _channel(below, name, shape)
            out[name] = a - b if node.value("operation") == "minus" else a + b * through
        return out

    def _filtererode(self, node: Node, done: dict[int, Stream]) -> Stream:
        """Positive sizes shrink what is white. Only the direction and the reach are like Nuke's."""
        size = self._number(node, "size")

        def change(plane: Any) -> Any:
            kernel = np.ones((2 * round(abs(size)) + 1,) * 2, np.uint8)
            return (cv2.erode if size > 0 else cv2.dilate)(plane, kernel)

        return self._filtered(node, done, change)

    def _blur(self, node: Node, done: dict[int, Stream]) -> Stream:
        size = self._number(node, "size")
        return self._filtered(node, done, lambda plane: cv2.GaussianBlur(plane, (0, 0), size / 3) if size else plane)

    def _filtered(self, node: Node, done: dict[int, Stream], change: Callable[[Any], Any]) -> Stream:
        stream = self._node(node.inputs[0], done)
        assert node.value("channels") == "alpha"
        return {**stream, "rgba.alpha": change(stream["rgba.alpha"])}

    # ---------------------------------------------------------------------------------- where things are

    def _cornerpin2d(self, node: Node, done: dict[int, Stream]) -> Stream:
        stream = self._node(node.inputs[0], done)
        source, target = (
            np.array([self._numbers(node, f"{side}{i}") for i in range(1, 5)], np.float32) for side in ("from", "to")
        )
        far = np.ceil(np.maximum(target.max(axis=0), _shape(stream)[::-1])).astype(int)
        matrix = cv2.getPerspectiveTransform(source, target)
        return _warped(stream, matrix, (far[1], far[0]), black=node.value("black_outside") != "false")

    def _transform(self, node: Node, done: dict[int, Stream]) -> Stream:
        stream = self._node(node.inputs[0], done)
        move, middle = np.array(self._numbers(node, "translate")), np.array(self._numbers(node, "center"))
        turn = np.radians(self._number(node, "rotate"))  # counterclockwise, and y is up
        linear = self._number(node, "scale") * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        matrix = np.eye(3)
        matrix[:2, :2], matrix[:2, 2] = linear, middle + move - linear @ middle
        height, width = _shape(stream)
        return _warped(stream, matrix, (height, width), black=True)

    def _crop(self, node: Node, done: dict[int, Stream]) -> Stream:
        stream = self._node(node.inputs[0], done)
        left, bottom, right, top = (round(value) for value in self._numbers(node, "box"))
        assert (left, bottom, node.value("reformat")) == (0, 0, "true")
        return {name: _fitted(plane, (top, right)) for name, plane in stream.items()}

    def _premult(self, node: Node, done: dict[int, Stream]) -> Stream:
        stream = self._node(node.inputs[0], done)
        return {**stream, **{name: stream[name] * stream["rgba.alpha"] for name in _RGBA[:3]}}

    def _ociocolorspace(self, node: Node, done: dict[int, Stream]) -> Stream:
        if node.name not in self.spaces:
            raise UnknownError("OCIOColorSpace")
        stream = self._node(node.inputs[0], done)
        found = self.spaces[node.name](np.stack([stream[name] for name in _RGBA[:3]], axis=-1))
        return {**stream, **{name: np.ascontiguousarray(found[..., i]) for i, name in enumerate(_RGBA[:3])}}

    def _inference(self, node: Node, done: dict[int, Stream]) -> Stream:
        if self.network is None:
            raise UnknownError("the network")
        given = dict(part.split(":") for part in node.value("serialiseKnob").split(";") if part)
        return self.network(
            self._node(node.inputs[0], done), {name: float(self._value(text, {})) for name, text in given.items()}
        )

    # --------------------------------------------------------------------------------------- expressions

    def _numbers(self, node: Node, knob: str) -> list[float]:
        """A value of several numbers."""
        return [float(self._value(word.text, {})) for word in nk.words(node.value(knob))]

    def _knob(self, name: str) -> Any:
        name, _, part = name.partition(".")
        knob = self.group.user[name]
        if part:
            found = self.knobs.get(name) or tuple(map(float, self.group.value(name).split()))
            return found["xy".index(part)]
        value = self.knobs.get(name, self.group.value(name) or (knob.choices[0] if knob.choices else 0))
        if knob.choices:
            return knob.choices.index(value)
        words = {"true": 1.0, "false": 0.0}
        return words[value] if value in words else float(value)

    def _number(self, node: Node, knob: str) -> float:
        return float(self._value(node.value(knob), {}))

    def _truth(self, node: Node, knob: str) -> bool:
        return bool(node.value(knob)) and self._number(node, knob) != 0

    def _value(self, text: str, stream: Stream) -> Any:
        def exists(found: re.Match[str]) -> str:
            return str(int(int(found[1]) in self.inputs))

        text = text.strip("{}").strip('"').replace("\\[", "[").replace("\\]", "]")
        tokens = _TOKEN.findall(re.sub(r"\[exists parent\.input(\d+)\]", exists, text))
        value, rest = _Parser(self._knob, stream).ternary(tokens)
        if rest:
            raise UnknownError(f"{text!r} from {rest[0]!r} on")
        return value


def _warped(stream: Stream, matrix: Any, shape: tuple[int, int], *, black: bool) -> Stream:
    """Through source -> target in pixels, y up: cubic, over the area of a pixel where that makes it smaller."""
    back = np.linalg.inv(matrix)
    finer = int(np.clip(np.ceil(np.sqrt(abs(np.linalg.det(back[:2, :2])))), 1, 8))
    shift = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
    whole = shift @ back @ np.diag([1 / finer, 1 / finer, 1]) @ np.linalg.inv(shift)
    out = {}
    for name, plane in stream.items():
        large = cv2.warpPerspective(
            np.ascontiguousarray(plane[::-1]), whole, (shape[1] * finer, shape[0] * finer),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT if black else cv2.BORDER_REPLICATE,
        )  # fmt: skip
        out[name] = cv2.resize(large, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)[::-1]
    return out


def _fitted(plane: Any, shape: tuple[int, ...]) -> Any:
    """Cut or filled up with black, at the top and at the right."""
    cut = plane[::-1][: shape[0], : shape[1]]
    return np.pad(cut, [(0, shape[0] - cut.shape[0]), (0, shape[1] - cut.shape[1])])[::-1]


def _shape(stream: Stream) -> tuple[int, ...]:
    return next(iter(stream.values())).shape if stream else ()


def _channel(stream: Stream, name: str, shape: tuple[int, ...]) -> Any:
    """A channel; one that a stream does not have is black."""
    return stream.get(name, np.zeros(shape, np.float32))


_TOKEN = re.compile(r"\d+\.?\d*|[A-Za-z_][\w.]*|\|\||&&|[!=<>]=|[-+*/()?:,<>!]")


@dataclass
class _Parser:
    """Nuke's expressions: each method takes tokens and gives (value, tokens that are left)."""

    knob: Callable[[str], Any]
    stream: Stream

    def ternary(self, tokens: list[str]) -> tuple[Any, list[str]]:
        value, rest = self.binary(tokens, 0)
        if rest[:1] != ["?"]:
            return value, rest
        yes, rest = self.ternary(rest[1:])
        if rest[:1] != [":"]:
            raise UnknownError(": is missing")
        no, rest = self.ternary(rest[1:])
        return np.where(np.asarray(value) != 0, yes, no), rest

    def binary(self, tokens: list[str], level: int) -> tuple[Any, list[str]]:
        if level == len(_LEVELS):
            return self.unary(tokens)
        value, rest = self.binary(tokens, level + 1)
        while rest and rest[0] in _LEVELS[level]:
            right, after = self.binary(rest[1:], level + 1)
            with np.errstate(divide="ignore", invalid="ignore"):
                value, rest = _LEVELS[level][rest[0]](value, right), after
        return value, rest

    def unary(self, tokens: list[str]) -> tuple[Any, list[str]]:
        head, rest = tokens[0], tokens[1:]
        if head in "-!":
            value, rest = self.unary(rest)
            return (-value if head == "-" else np.asarray(value) == 0), rest
        if head == "(":
            value, rest = self.ternary(rest)
            return value, rest[1:]
        if head in _FUNCTIONS:
            given: list[Any] = []
            while rest[0] != ")":
                value, rest = self.ternary(rest[1:])
                given.append(np.float32(value))
            with np.errstate(invalid="ignore", divide="ignore"):  # of the branch that is not taken, too
                return _FUNCTIONS[head](*given), rest[1:]
        if head[0].isdigit():
            return np.float32(head), rest
        if head.startswith("parent."):
            return np.float32(self.knob(head.removeprefix("parent."))), rest
        return _channel(self.stream, _SHORT.get(head, head), _shape(self.stream)), rest


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "pow": np.power,
    "log": np.log,
    "sqrt": np.sqrt,
    "clamp": lambda value: np.clip(value, 0, 1),
}

_LEVELS: list[dict[str, Callable[[Any, Any], Any]]] = [
    {"||": lambda a, b: (np.asarray(a) != 0) | (np.asarray(b) != 0)},
    {"&&": lambda a, b: (np.asarray(a) != 0) & (np.asarray(b) != 0)},
    {"==": np.equal, "!=": np.not_equal, "<": np.less, ">": np.greater, "<=": np.less_equal, ">=": np.greater_equal},
    {"+": np.add, "-": np.subtract},
    {"*": np.multiply, "/": np.divide},
]
