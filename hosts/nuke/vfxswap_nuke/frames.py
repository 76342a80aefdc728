"""Ranges of frames: what the node is to work on, and how it is written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import nuke

from vfxswap_bridge import BridgeError
from vfxswap_nuke import knobs

_PART = re.compile(r"(-?\d+)(?:-(-?\d+)(?:[x:](\d+))?)?")


def parse(written: str) -> list[int]:
    """The frames of `1001-1010,1020` or `1-30x5`, in order; raises BridgeError for anything else."""
    found: set[int] = set()
    for part in re.split(r"[,\s]+", written.strip()):
        match = _PART.fullmatch(part)
        if match is None:
            raise BridgeError(f"{part!r} is no range of frames", "write it as 1001-1010,1020 or 1-30x5")
        first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
        if last < first or step < 1:
            raise BridgeError(f"the range {part!r} holds no frame", "write it as 1001-1010,1020 or 1-30x5")
        found.update(range(first, last + 1, step))
    return sorted(found)


def runs(wanted: Iterable[int]) -> Iterator[tuple[int, int]]:
    """First and last of each run of frames that follow each other."""
    first = last = None
    for frame in sorted(wanted):
        if first is None or last is None:
            first = frame
        elif frame != last + 1:
            yield first, last
            first = frame
        last = frame
    if first is not None and last is not None:
        yield first, last


def text(wanted: Iterable[int]) -> str:
    """`1001-1010,1020`."""
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in runs(wanted))


def wanted(node: nuke.Node) -> list[int]:
    """The frames that the node's knobs ask for; raises BridgeError where they ask for none."""
    kind = str(node["frame_range"].value())
    if kind == "custom":
        written = knobs.text(node, "frames")
        if not written:
            raise BridgeError("the range is custom, and none is given", "write one, such as 1001-1010")
        return parse(written)
    source = node.input(0)
    if kind == "input" and source is not None:
        found = source.frameRange()
        return list(range(int(found.first()), int(found.last()) + 1))
    root = nuke.root()
    return list(range(int(root.firstFrame()), int(root.lastFrame()) + 1))
