"""What `vfxswap track` says at the end, and `track report` again: whom it found, and which frames to check."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from vfxswap.cli.common import Debug
from vfxswap.events import EventSink, Warned
from vfxswap.face import track as tracks
from vfxswap.face.doubt import doubtful
from vfxswap.face.track import Track

CODE = "check_track"


@dataclass(frozen=True)
class Row:
    """Frames to check.

    Attributes:
        frames: in words, such as `1010-1019`.
        first: the first of them.
        last: the last of them.
        face: who, empty where nobody was found.
        confidence: the lowest among them, None where nobody was found.
        reason: why, in words.
    """

    frames: str
    first: int
    last: int
    face: str
    confidence: float | None
    reason: str

    def __str__(self) -> str:
        sure = "" if self.confidence is None else f" (confidence {self.confidence:.2f})"
        return f"check {self.frames}: " + (f"face {self.face}: " if self.face else "") + self.reason + sure


def rows(track: Track) -> list[Row]:
    """The frames to check, in their order."""
    names = {face.id: f"{face.id} {face.name}" if face.name else str(face.id) for face in track.faces}
    out = [
        Row(_words(doubt.first, doubt.last), doubt.first, doubt.last, names[doubt.face], doubt.confidence, doubt.reason)
        for doubt in doubtful(track)
    ]
    shown = track.fixed.frames
    empty = [i for i, frame in enumerate(shown) if not shown[frame]]
    listed = list(shown)
    for run in _runs(empty):
        first, last = listed[run[0]], listed[run[-1]]
        out.append(Row(_words(first, last), first, last, "", None, "no face"))
    return sorted(out, key=lambda row: (row.first, row.face))


def _words(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def _runs(numbers: Sequence[int]) -> list[list[int]]:
    """Neighbouring numbers together."""
    parts = itertools.groupby(enumerate(numbers), key=lambda item: item[1] - item[0])
    return [[number for _, number in part] for _, part in parts]


def warn(track: Track, sink: EventSink) -> None:
    """The same as events, for programs."""
    for row in rows(track):
        sink.emit(Warned(code=CODE, message=str(row), frame=row.first))


def show(track: Track, console: Console) -> None:
    """The table on a terminal, plain lines in a log."""
    found = rows(track)
    if not found:
        console.print("no frame asks to be checked", markup=False)
    elif console.is_terminal:
        table = Table("frames", "face", "confidence", "why", title="Check these frames", title_justify="left")
        for row in found:
            sure = "" if row.confidence is None else f"{row.confidence:.2f}"
            table.add_row(row.frames, row.face, sure, row.reason)
        console.print(table, markup=False)
    else:
        for row in found:
            console.print(str(row), markup=False, soft_wrap=True)


def report_command(
    track: Annotated[Path, typer.Argument(metavar="TRACK", help="A .vfxtrack.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    debug: Debug = False,
) -> None:
    """Say again whom a track found and which frames to check, with the artist's keys counted in."""
    found = tracks.load(track)
    if as_json:
        typer.echo(json.dumps(_as_json(found), indent=2))
        return
    console = Console(highlight=False)
    console.print(tracks.describe(found), markup=False, soft_wrap=True)
    show(found, console)


def _as_json(track: Track) -> dict[str, Any]:
    shown = track.fixed.frames
    return {
        "v": 1,
        "plate": track.plate,
        "frames": len(shown),
        "without_a_face": sum(not faces for faces in shown.values()),
        "faces": [
            {"id": face.id, "name": face.name or None, "frames": len(track.face(face.id))} for face in track.faces
        ],
        "check": [
            {"first": row.first, "last": row.last, "face": row.face, "confidence": row.confidence, "why": row.reason}
            for row in rows(track)
        ],
    }
