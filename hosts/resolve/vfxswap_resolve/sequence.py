"""Image sequences as Resolve writes them (`plate.[1001-1048].exr`), and as jobs do (`plate.%04d.exr`)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

from vfxswap_bridge import BridgeError
from vfxswap_resolve import exr

_BRACKETS = re.compile(r"\[(-?\d+)-(-?\d+)\]")
_LAST_NUMBER = re.compile(r"(\d+)(\.[A-Za-z0-9]+)$")


@dataclass(frozen=True)
class Sequence:
    """Files with a running number.

    Attributes:
        folder: with forward slashes.
        prefix: before the number.
        digits: of the number, at least.
        suffix: after it.
        first: number of the first frame.
        last: number of the last frame.
    """

    folder: str
    prefix: str
    digits: int
    suffix: str
    first: int
    last: int

    @property
    def pattern(self) -> str:
        """As jobs name it; a `%` in the name's own text is refused where it is read."""
        return f"{self.folder}/{self.prefix}%0{self.digits}d{self.suffix}"

    def path(self, frame: int) -> str:
        """One frame's file."""
        return f"{self.folder}/{self.prefix}{frame:0{self.digits}d}{self.suffix}"


def parse(path: str) -> Sequence | None:
    """The sequence that a media pool clip's path names; None for a film or a single picture."""
    given = path.replace("\\", "/")
    folder, _, name = given.rpartition("/")
    found = list(_BRACKETS.finditer(name))
    if len(found) != 1:
        return None
    match = found[0]
    first, last = int(match[1]), int(match[2])
    if last < first:
        return None
    return Sequence(folder, name[: match.start()], len(match[1]), name[match.end() :], first, last)


def scan(folder: str, suffix: str = ".exr") -> Sequence:
    """The one sequence in a folder that we own: what a render left there, whatever it was named.

    Raises:
        BridgeError: none, or several.
    """
    try:
        names = sorted(name for name in os.listdir(folder) if name.lower().endswith(suffix))
    except OSError as error:
        raise BridgeError(f"cannot look into {folder}: {error.strerror}", "render again") from error
    groups: dict[tuple[str, str], list[str]] = {}
    for name in names:
        match = _LAST_NUMBER.search(name)
        if match is not None:
            groups.setdefault((name[: match.start()], match[2]), []).append(match[1])
    if len(groups) != 1:
        what = "no frames" if not groups else f"{len(groups)} sequences"
        raise BridgeError(f"Resolve left {what} in {folder}", "look at the render queue, then run again")
    ((prefix, ending), numbers), = groups.items()  # fmt: skip
    found = sorted(int(text) for text in numbers)
    return Sequence(folder.replace("\\", "/"), prefix, min(map(len, numbers)), ending, found[0], found[-1])


def check(sequence: Sequence, wanted: Iterable[int], *, size: tuple[int, int] | None = None) -> list[str]:
    """Look at every frame: there, whole, RGB, all of one size.

    Returns:
        What is wrong, a line for each frame; empty where all is well.
    """
    problems = []
    expected = size
    for frame in wanted:
        path = sequence.path(frame)
        if not os.path.isfile(path):
            problems.append(f"frame {frame} is missing: {path}")
            continue
        try:
            header = exr.read(path)
        except BridgeError as error:
            problems.append(f"frame {frame}: {error.message}")
            continue
        there = (header.width, header.height)
        expected = expected or there
        if there != expected:
            problems.append(f"frame {frame} is {there[0]}x{there[1]}, {expected[0]}x{expected[1]} is expected: {path}")
        elif not {"R", "G", "B"} <= {name.rpartition(".")[2] for name in header.channels}:
            problems.append(f"frame {frame} has no RGB, its channels are {', '.join(header.channels)}: {path}")
    return problems
