"""Names of files: as text, and which of a folder look like frames of a recorded sequence."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from vfxswap.errors import UsageError
from vfxswap.provenance.records import FrameEntry, Shard
from vfxswap.sequence import FrameRange


def text(name: str) -> str:
    """A file's name as text that JSON can hold."""
    return os.fsencode(name).decode("utf-8", "replace")


def shapes(entries: Iterable[Shard | FrameEntry]) -> set[tuple[str, str]]:
    """What stands before and after the frame number in the names of the entries' files."""
    return {split for entry in entries for file in entry.files if (split := _split(file.name, entry.frame))}


def _split(name: str, frame: int) -> tuple[str, str] | None:
    """The last number in `name` that is the frame's."""
    for match in reversed(list(re.finditer(r"\d+", name))):
        if int(match[0]) == abs(frame):
            start = match.start() - (frame < 0)
            if frame >= 0 or name[start] == "-":
                return name[:start], name[match.end() :]
    return None


def frame_of(name: str, known: Iterable[tuple[str, str]]) -> int | None:
    """The frame number of a file with one of the shapes `known`, else None."""
    for prefix, suffix in known:
        if match := re.fullmatch(re.escape(prefix) + r"(-?\d+)" + re.escape(suffix), name):
            return int(match[1])
    return None


def visible(folder: Path) -> Iterator[str]:
    """The names of the EXR files in a folder, hidden ones left out."""
    try:
        names = sorted(item.name for item in folder.iterdir())
    except OSError:
        return
    yield from (name for name in names if name.lower().endswith(".exr") and not name.startswith("."))


def asked(ranges: Iterable[str]) -> set[int]:
    """All the frames of ranges as jobs write them; one that cannot be read names none."""
    wanted: set[int] = set()
    for text in set(ranges):  # ten thousand frames of one job name the same ten thousand frames
        try:
            wanted |= set(FrameRange.parse(text))
        except UsageError:
            continue
    return wanted


def compact(frames: Iterable[int]) -> str:
    """Frame numbers as a range, in ascending order."""
    return str(FrameRange.of(sorted(frames)))
