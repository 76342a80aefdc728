"""What is above a node, as text: when it changes, what was made from it is stale."""

from __future__ import annotations

import hashlib
import os

import nuke

# What a node looks like in the graph, not what it does.
_LOOKS = ("name ", "xpos ", "ypos ", "selected ", "label ", "note_", "tile_color ", "gl_color ", "postage_stamp ",
          "bookmark ", "hide_input ", "dope_sheet ", "indicators ", "cached ")  # fmt: skip


def describe(node: nuke.Node) -> str:
    """32 hexadecimal digits over the nodes above and their knobs, and the files that Reads among them name."""
    told: dict[str, int] = {}
    facts: list[str] = []
    _tell(node, told, facts)
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:32]


def _tell(node: nuke.Node, told: dict[str, int], facts: list[str]) -> int:
    """Describe a node and what is above it once; its number."""
    name = node.fullName()
    if name in told:
        return told[name]
    told[name] = -1  # a loop through an expression ends here
    above = [_number(node.input(i), told, facts) for i in range(node.inputs())]
    inside = [_tell(one, told, facts) for one in node.nodes()] if isinstance(node, nuke.Group) else []
    knobs = [line for line in node.writeKnobs(nuke.TO_SCRIPT).splitlines() if not line.strip().startswith(_LOOKS)]
    facts.append(f"{node.Class()} {above} {inside} {' '.join(knobs)} {_file(node)}")
    told[name] = len(facts)
    return told[name]


def _number(node: nuke.Node | None, told: dict[str, int], facts: list[str]) -> int:
    return 0 if node is None else _tell(node, told, facts)


def _file(node: nuke.Node) -> str:
    """The time of a Read's folder: frames that are written anew change it."""
    if node.Class() != "Read":
        return ""
    folder = os.path.dirname(nuke.filename(node) or "")
    try:
        return str(os.stat(folder).st_mtime_ns)
    except OSError:
        return "missing"
