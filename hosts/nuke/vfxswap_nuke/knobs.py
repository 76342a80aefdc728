"""The node's knobs, read and set as plain Python values."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import nuke

SCHEMA = 1
"""Of the knobs of VfxSwap.gizmo; a node with an older one is migrated when it is loaded."""

RENDERED = ("match", "band_coarse", "band_middle", "band_fine", "steady", "edge_erode", "edge_feather", "edge_top",
            "edge_right", "edge_bottom", "edge_left", "highlights", "skin_tone", "person", "hands",
            "defocus", "sharpen", "motion_blur", "shutter")  # fmt: skip
"""Parameters that are rendered."""

LIVE = ("mix", "relight", "grain")
"""Parameters that the graph applies, so that they are rendered at their defaults."""

JOB_KNOBS = (*RENDERED, "model", "shot", "face", "frames", "frame_range", "view", "lens", "matte", "track",
             "measurements", "color_space")  # fmt: skip
"""Knobs that make the cache stale when they change."""


def text(node: nuke.Node, name: str) -> str:
    """A text, evaluated where it is a path: without surrounding spaces, with forward slashes."""
    knob = node[name]
    if isinstance(knob, nuke.EvalString_Knob):
        return str(knob.value() if "%" in str(knob.value()) else knob.evaluate() or "").strip().replace("\\", "/")
    return str(knob.value() or "").strip()


def lines(node: nuke.Node, name: str) -> list[str]:
    """The lines of a text that are not empty."""
    return [line.strip() for line in str(node[name].value() or "").splitlines() if line.strip()]


def number(node: nuke.Node, name: str) -> float:
    """A number at the current frame."""
    return float(node[name].value())


def whole(node: nuke.Node, name: str) -> int:
    """A whole number."""
    return int(node[name].value())


def put(node: nuke.Node, values: Mapping[str, Any]) -> None:
    """Set knobs as one step that can be undone."""
    nuke.Undo.name("VfxSwap")
    nuke.Undo.begin()
    try:
        for name, value in values.items():
            node[name].setValue(value)
    finally:
        nuke.Undo.end()


@contextlib.contextmanager
def unrecorded() -> Iterator[None]:
    """What is set within leaves no step to undo: marks that only report."""
    nuke.Undo.disable()
    try:
        yield
    finally:
        nuke.Undo.enable()


def note(node: nuke.Node, **texts: str) -> None:
    """Set lines of text that report."""
    with unrecorded():
        for name, value in texts.items():
            node[name].setValue(value)


def inner(node: nuke.Node, name: str) -> nuke.Node:
    """A node inside the group; the gizmo always has it."""
    found = node.node(name) if isinstance(node, nuke.Group) else None
    if found is None:
        raise ValueError(f"{node.name()} has no {name} inside: it was taken apart")
    return found


def around(node: nuke.Node) -> nuke.Group:
    """The group or script that the node lies in, for a `with`: a button's script runs inside the node."""
    return node.parent()


def ours() -> list[nuke.Node]:
    """Every VfxSwap of the script, in groups too, wherever Python runs."""
    every = nuke.allNodes(group=nuke.root(), recurseGroups=True)
    return [node for node in every if node.knob("vfxswap_id") is not None]


def find(identity: str) -> nuke.Node | None:
    """The node with this id: nodes are renamed, copied and deleted while they are rendered."""
    return next((node for node in ours() if node["vfxswap_id"].value() == identity), None)
