"""A track for other programs, and an artist's changes back from them.

Adding a format: a function that writes a `View` to a path, and a line in `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vfxswap import atomic
from vfxswap.face.export import live, maps, nuke, pose3d
from vfxswap.face.export.edits import Edits, fixes_schema, from_json, from_nk
from vfxswap.face.export.jsonfile import SCHEMA, TrackJson, json_schema, json_text, to_json, write_json
from vfxswap.face.export.view import View

__all__ = [
    "FORMATS",
    "SCHEMA",
    "Edits",
    "TrackJson",
    "View",
    "fixes_schema",
    "from_json",
    "from_nk",
    "json_schema",
    "json_text",
    "to_json",
    "write_json",
]


def _text(make: Callable[[View], str]) -> Callable[[View, Path], list[Path]]:
    def write(view: View, path: Path) -> list[Path]:
        atomic.write_text(path, make(view))
        return [path]

    return write


FORMATS: dict[str, Callable[[View, Path], list[Path]]] = {
    "nuke-tracker": _text(nuke.tracker),
    "nuke-cornerpin": _text(nuke.corner_pin),
    "nuke-roto": _text(nuke.roto),
    "nuke-live": _text(live.live),
    "stmap": maps.write_stmaps,
    "chan": _text(pose3d.chan),
    "usd": pose3d.write_usd,
}
"""Name -> what writes one face's view to a path and returns the files; JSON, which holds all faces, is `write_json`."""
