"""The grammar of Nuke scripts: nodes, values and animation curves, read and written.

A script is a list of commands, one a line; a node is `Class {` knobs `}`, a group's children follow it up to
`end_group`. Values are words: bare, "quoted" or {in braces}, which nest; a backslash takes the meaning from the next
character. Source: the scripts themselves; curves after Foundry's NDK guide, "Curve serialisation format".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from vfxswap.errors import TrackError

_NODE = re.compile(r"[A-Za-z_]\w*(\.\w+)*")
_NOT_NODES = {"define_window_layout_xml", "addUserKnob"}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_INTERPOLATION = set("KLSRCkliI")
_NUMBER = re.compile(r"-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_HINT = "give a script as Nuke saves or copies it"


@dataclass(frozen=True)
class Word:
    """One word of a command: its text without the outer braces or quotes, and whether it stood in braces."""

    text: str
    braced: bool = False


@dataclass(frozen=True)
class Node:
    """A node.

    Attributes:
        kind: its class, such as `Tracker4`.
        knobs: name -> the words after it; of a name that comes twice, the last.
        children: the nodes of a group.
    """

    kind: str
    knobs: dict[str, tuple[Word, ...]]
    children: tuple[Node, ...] = field(default=())

    def text(self, name: str) -> str:
        """The first word of a value, empty without one."""
        return next((word.text for word in self.knobs.get(name, ())), "")


Curve = dict[float, float]
"""Frame -> value at the keys of an animation."""


def parse(text: str) -> tuple[Node, ...]:
    """The nodes of a script, in their order.

    Raises:
        TrackError: braces or quotes do not match, or a group does not end.
    """
    groups: list[tuple[Node | None, list[Node]]] = [(None, [])]
    for command in commands(text):
        head, *rest = command
        if head.text == "end_group" and not head.braced:
            node, children = groups.pop()
            if node is None:
                raise TrackError("not a Nuke script: end_group without a group", hint=_HINT)
            groups[-1][1].append(Node(node.kind, node.knobs, tuple(children)))
        elif len(rest) == 1 and rest[0].braced and _NODE.fullmatch(head.text) and head.text not in _NOT_NODES:
            node = Node(head.text, {words[0].text: tuple(words[1:]) for words in commands(rest[0].text)})
            if head.text in ("Group", "LiveGroup", "Gizmo"):
                groups.append((node, []))
            else:
                groups[-1][1].append(node)
    while len(groups) > 1 and groups[-1][0] is not None and groups[-1][0].kind == "Gizmo":
        node, children = groups.pop()  # a gizmo's file ends with it
        groups[-1][1].append(Node("Gizmo", {} if node is None else node.knobs, tuple(children)))
    if len(groups) > 1:
        raise TrackError("not a Nuke script: a group does not end", hint=_HINT)
    return tuple(groups[0][1])


def every(nodes: Sequence[Node]) -> Iterator[Node]:
    """The nodes and all that lie in their groups."""
    waiting = list(reversed(nodes))
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(node.children))


def commands(text: str) -> Iterator[list[Word]]:
    """The commands of a script or of a node's body."""
    found: list[Word] = []
    for word in _words(text, lines=True):
        if word is not None:
            found.append(word)
        elif found:
            yield found
            found = []
    if found:
        yield found


def words(text: str) -> list[Word]:
    """The words of a list."""
    return [word for word in _words(text) if word is not None]


def _words(text: str, *, lines: bool = False) -> Iterator[Word | None]:
    """The words of a text, with None for the end of a command where `lines` matter."""
    at, fresh = 0, True
    while at < len(text):
        letter = text[at]
        if letter.isspace() or (lines and letter == ";"):
            if lines and letter in "\n;":
                yield None
                fresh = True
            at += 1
        elif lines and fresh and letter == "#":
            at = end if (end := text.find("\n", at)) >= 0 else len(text)
        else:
            word, at = _word(text, at)
            fresh = False
            yield word


def _word(text: str, at: int) -> tuple[Word, int]:
    """The word that begins at a position, and the position after it."""
    if text[at] == "{":
        end = _closing(text, at)
        return Word(text[at + 1 : end], braced=True), end + 1
    quoted = text[at] == '"'
    start = at = at + quoted
    while at < len(text) and (text[at] != '"' if quoted else not text[at].isspace()):
        at += 2 if text[at] == "\\" else 1
    if quoted and at >= len(text):
        raise TrackError("not a Nuke script: a quote does not end", hint=_HINT)
    plain = re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), text[start:at], flags=re.DOTALL)
    return Word(plain), min(at + quoted, len(text))


def _closing(text: str, start: int) -> int:
    """Where the brace that opens at `start` closes."""
    depth, at = 0, start
    for found in _BRACES.finditer(text, start):
        at = found.start()
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if depth == 0:
            return at
    raise TrackError("not a Nuke script: a brace does not close", hint=_HINT)


_BRACES = re.compile(r"\\.|[{}]", re.DOTALL)


def number_or_curve(word: Word) -> float | Curve:
    """A value: a number that holds for all frames, or the keys of an animation (none of them for an empty word).

    Raises:
        TrackError: an expression, or no number at all.
    """
    text = word.text.strip()
    if _NUMBER.fullmatch(text):
        return _bounded(text)
    if not text:
        return {}
    head, *tokens = text.split()
    if head != "curve":
        raise TrackError(f"{text[:40]!r} is no number and no curve", hint="bake expressions to keys first")
    keys: Curve = {}
    times: list[float] = []
    following = 0.0
    for token in tokens:
        if token in _INTERPOLATION or token[0] in "stuv":
            continue  # how it runs between keys
        if token[0] == "x" and _NUMBER.fullmatch(token[1:]):
            following = _bounded(token[1:])
            continue
        if not _NUMBER.fullmatch(token):
            raise TrackError(f"a curve holds {token[:40]!r}", hint="bake expressions to keys first")
        times.append(following)
        keys[following] = _bounded(token)
        following = times[-1] + (times[-1] - times[-2] if len(times) > 1 else 1.0)
    return keys


_LARGEST = 1e9


def _bounded(text: str) -> float:
    number = float(text)
    if not abs(number) <= _LARGEST:
        raise TrackError(f"a value is {text[:40]}", hint="pixels and frames are smaller")
    return number


def curve(frames: Sequence[int], values: Sequence[float], *, kind: str = "") -> str:
    """An animation as Nuke writes it: `{curve x1001 1 2 3}`.

    Args:
        frames: increasing.
        values: as many.
        kind: `K` for steps, `L` for straight lines; Nuke's own smooth interpolation without.
    """
    parts = ["curve", *([kind] if kind else [])]
    times: list[int] = []
    expected: int | None = None
    for frame, value in zip(frames, values, strict=True):
        if frame != expected:
            parts.append(f"x{frame}")
        parts.append(number(value))
        times.append(frame)
        expected = frame + (times[-1] - times[-2] if len(times) > 1 else 1)
    return "{" + " ".join(parts) + "}"


def number(value: float) -> str:
    """A number as text: a ten-thousandth is far below any error."""
    text = f"{value:.4f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def quoted(text: str) -> str:
    """A string as one word."""
    escaped = re.sub(r'(["\\\[\]{}$])', r"\\\1", text).replace("\n", "\\n")
    return f'"{escaped}"'
