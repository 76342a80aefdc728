"""A gizmo's text as a graph: its nodes, knobs and wires, and what is wrong with it.

The words of the language are those of `vfxswap.face.export.nk`; what is added here is Nuke's stack (a node takes its
inputs from it, the first one from the top, and puts itself there), user knobs, and a linter.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vfxswap.face.export import nk
from vfxswap.face.export.nk import Word

KINDS = {1, 2, 3, 4, 6, 7, 12, 13, 14, 15, 17, 18, 19, 20, 22, 26, 32, 41, 43}
"""Numbers of addUserKnob that occur in public gizmos."""

_COMMON = {"name", "xpos", "ypos", "disable", "inputs", "label", "tile_color", "help", "onCreate", "knobChanged"}
CLASSES: dict[str, set[str]] = {
    "Input": {"number"},
    "Output": set(),
    "Dot": set(),
    "Read": {
        "file",
        "file_type",
        "first",
        "last",
        "origfirst",
        "origlast",
        "origset",
        "raw",
        "on_error",
        "reload",
        "before",
        "after",
    },
    "Expression": {f"expr{i}" for i in range(4)} | {f"channel{i}" for i in range(4)},
    "FilterErode": {"channels", "size", "filter"},
    "Blur": {"channels", "size", "filter"},
    "Switch": {"which"},
    "OCIOColorSpace": {"channels", "in_colorspace", "out_colorspace"},
    "Copy": {f"{side}{i}" for side in ("from", "to") for i in range(4)} | {"channels"},
    "Multiply": {"channels", "value"},
    "Merge2": {"operation", "output", "bbox", "mix"},
    "CornerPin2D": {f"{side}{i}" for side in ("from", "to") for i in range(1, 5)} | {"filter", "black_outside"},
    "Transform": {"translate", "rotate", "scale", "center", "filter", "black_outside"},
    "Crop": {"box", "reformat", "crop", "intersect"},
    "Premult": set(),
    "Inference": {"modelFile", "useGPUIfAvailable", "halfPrecision", "serialiseKnob"},
}
"""Node classes that the gizmos use -> knobs of theirs that are known to exist."""

_MOST = {"Input": 0, "Read": 0, "Copy": 2, "Merge2": 2}
_BUILT_IN = {f"rgba.{c}" for c in ("red", "green", "blue", "alpha")} | {"mask.a", "depth.Z", "none"}


class GraphError(Exception):
    """The text is no graph: the stack runs empty, or something is pushed that was never set."""


@dataclass
class UserKnob:
    """A line of addUserKnob."""

    kind: int
    name: str
    label: str = ""
    tip: str = ""
    text: str = ""
    choices: tuple[str, ...] = ()
    limits: tuple[float, float] | None = None
    flags: tuple[str, ...] = ()


@dataclass(eq=False)
class Node:
    """A node, wired."""

    kind: str
    knobs: dict[str, tuple[Word, ...]]
    user: dict[str, UserKnob] = field(default_factory=dict)
    inputs: list[Node | None] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.value("name")

    def value(self, knob: str) -> str:
        """The words of a knob's value, without braces and quotes."""
        return " ".join(word.text for word in self.knobs.get(knob, ()))

    def child(self, name: str) -> Node:
        return next(node for node in self.children if node.name == name)

    @property
    def output(self) -> Node:
        (found,) = (node for node in self.children if node.kind == "Output")
        return found


@dataclass
class Script:
    """What a file holds."""

    nodes: list[Node]
    layers: dict[str, tuple[str, ...]]


@dataclass
class _Level:
    group: Node | None
    nodes: list[Node] = field(default_factory=list)
    stack: list[Node | None] = field(default_factory=list)
    named: dict[str, Node | None] = field(default_factory=dict)


def read(text: str) -> Script:
    """The nodes of a script with their wires; raises GraphError where the stack does not work out."""
    levels, layers = [_Level(None)], {}
    for command in nk.commands(text):
        head, rest = command[0].text, command[1:]
        level = levels[-1]
        if head == "end_group":
            if level.group is None:
                raise GraphError("end_group without a group")
            levels.pop()
            level.group.children = level.nodes
        elif head == "add_layer":
            name, *channels = nk.words(rest[0].text)
            layers[name.text] = tuple(word.text for word in channels)
        elif head == "set":
            if rest[1].text == "[stack" and not level.stack and level.group is not None:
                raise GraphError(f"set {rest[0].text} of an empty stack")
            level.named[rest[0].text] = level.stack[-1] if level.stack else None
        elif head == "push":
            level.stack.append(_pushed(rest[0].text, level))
        elif head not in ("version",) and len(rest) == 1 and rest[0].braced:
            node = _node(head, rest[0].text, level)
            level.nodes.append(node)
            level.stack.append(node)
            if head == "Group":
                levels.append(_Level(node))
    if len(levels) > 1:
        raise GraphError("a group does not end")
    return Script(levels[0].nodes, layers)


def _pushed(word: str, level: _Level) -> Node | None:
    if word == "0":
        return None
    name = word.removeprefix("$")
    if name not in level.named:
        raise GraphError(f"push ${name}, which is not set")
    return level.named[name]


def _node(kind: str, body: str, level: _Level) -> Node:
    node = Node(kind, {})
    for words in nk.commands(body):
        if words[0].text == "addUserKnob":
            knob = _user_knob(words[1].text)
            if knob.name in node.user:
                raise GraphError(f"two knobs are named {knob.name}")
            node.user[knob.name] = knob
        else:
            node.knobs[words[0].text] = tuple(words[1:])
    count = sum(int(part) for part in (node.value("inputs") or "1").split("+"))
    if count > len(level.stack):
        raise GraphError(f"{node.name} takes {count} inputs, the stack has {len(level.stack)}")
    node.inputs = [level.stack.pop() for _ in range(count)]
    return node


def _user_knob(text: str) -> UserKnob:
    words = nk.words(text)
    knob = UserKnob(int(words[0].text), words[1].text)
    rest = iter(words[2:])
    for word in rest:
        if word.text == "l":
            knob.label = next(rest).text
        elif word.text == "t":
            knob.tip = next(rest).text
        elif word.text == "T":
            knob.text = next(rest).text
        elif word.text == "M":
            knob.choices = tuple(one.text for one in nk.words(next(rest).text))
        elif word.text == "R":
            knob.limits = (float(next(rest).text), float(next(rest).text))
        elif word.text[0] in "+-":
            knob.flags += (word.text,)
        else:
            raise GraphError(f"knob {knob.name}: {word.text!r} is no part of addUserKnob")
    return knob


def gizmo(path: Path) -> tuple[Node, Script]:
    """The one group of a gizmo's file."""
    script = read(path.read_text(encoding="utf-8"))
    (group,) = script.nodes
    return group, script


# -------------------------------------------------------------------------------------------------- lint


def lint(text: str) -> list[str]:
    """Everything that is wrong with a gizmo, a line each."""
    try:
        script = read(text)
    except (GraphError, ValueError, StopIteration) as error:
        return [f"grammar: {error}"]
    if [node.kind for node in script.nodes] != ["Group"]:
        return ["grammar: one Group is expected"]
    (group,) = script.nodes
    return [
        *_knobs(group),
        *_scripts(group),
        *_nodes(group),
        *_wires(group),
        *_targets(group),
        *_channels(group, script),
    ]


def _knobs(group: Node) -> Iterator[str]:
    own = {"name", "help", "onCreate", "knobChanged", "tile_color", "label"}
    for name in group.knobs:
        if name not in group.user and name not in own:
            yield f"a value for the knob {name}, which does not exist"
    for knob in group.user.values():
        value = group.value(knob.name)
        if knob.kind not in KINDS:
            yield f"{knob.name}: knobs of kind {knob.kind} do not exist"
        if knob.kind == 4 and (not knob.choices or (value and value not in knob.choices)):
            yield f"{knob.name}: {value!r} is none of {knob.choices}"
        if knob.kind == 2 and re.match(r"/|[A-Za-z]:", value):
            yield f"{knob.name}: a path of one machine: {value}"
        if knob.kind not in (20, 26) and not knob.tip and "+INVISIBLE" not in knob.flags:
            yield f"{knob.name}: no tooltip"


def _scripts(group: Node) -> Iterator[str]:
    found = {event: group.value(event) for event in ("onCreate", "knobChanged")}
    found |= {knob.name: knob.text for knob in group.user.values() if knob.kind == 22}
    for name, code in found.items():
        try:
            tree = ast.parse(code, feature_version=(3, 9))
        except SyntaxError as error:
            yield f"script of {name}: {error}"
            continue
        # Python that has no vfxswap must pass over it.
        if "vfxswap_nuke" in code and not any(isinstance(node, ast.Try) for node in tree.body):
            yield f"script of {name}: imports unguarded"


def _nodes(group: Node) -> Iterator[str]:
    names = [node.name for node in group.children]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"two nodes are named {name}"
    for node in group.children:
        if node.kind not in CLASSES:
            yield f"{node.name}: no class {node.kind} is known"
            continue
        for knob in node.knobs.keys() - CLASSES[node.kind] - _COMMON:
            yield f"{node.name}: {node.kind} has no knob {knob}"
        if len(node.inputs) > _MOST.get(node.kind, 1 if node.kind != "Switch" else 99):
            yield f"{node.name}: {len(node.inputs)} inputs"


def _wires(group: Node) -> Iterator[str]:
    outputs = [node for node in group.children if node.kind == "Output"]
    if len(outputs) != 1:
        yield f"{len(outputs)} outputs"
        return
    reached: set[int] = set()
    waiting = [outputs[0]]
    while waiting:
        node = waiting.pop()
        if id(node) in reached:
            continue
        reached.add(id(node))
        if None in node.inputs:
            yield f"{node.name}: an input is not connected"
        waiting += [one for one in node.inputs if one is not None]
    for node in group.children:
        if id(node) not in reached:
            yield f"{node.name} leads nowhere"
    numbers = sorted(int(node.value("number") or 0) for node in group.children if node.kind == "Input")
    if numbers != list(range(len(numbers))):
        yield f"inputs are numbered {numbers}"


def _targets(group: Node) -> Iterator[str]:
    inputs = sum(node.kind == "Input" for node in group.children)
    for node in group.children:
        for knob in node.knobs:
            value = node.value(knob)
            for name in re.findall(r"\bparent\.(\w+)", value):
                number = re.fullmatch(r"input(\d+)", name)
                if name not in group.user and not (number and int(number[1]) < inputs):
                    yield f"{node.name}.{knob}: parent.{name} does not exist"
    for link in (knob for knob in group.user.values() if knob.kind == 41):
        name, _, inner = link.text.partition(".")
        target = next((node for node in group.children if node.name == name), None)
        if target is None or inner not in CLASSES.get(target.kind, set()):
            yield f"link {link.name}: {link.text} does not exist"


def _channels(group: Node, script: Script) -> Iterator[str]:
    known = _BUILT_IN | {channel for channels in script.layers.values() for channel in channels}
    for node in group.children:
        for knob in node.knobs:
            value = node.value(knob)
            named = []
            if node.kind == "Copy" and knob.startswith(("from", "to")):
                named = [value]
            elif knob.startswith("expr"):
                named = [
                    one for one in re.findall(r"\b[A-Za-z]\w*\.[A-Za-z]\w*", value) if not one.startswith("parent.")
                ]
            for channel in named:
                if channel not in known:
                    yield f"{node.name}.{knob}: no channel {channel}"
