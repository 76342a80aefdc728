"""A report of `vfxswap qc` as evidence: what somebody else has measured need not be measured again.

Read by its published format (docs/schemas/qc.json) and no further. What it says of a frame counts only where it names
the sha256 that the signed manifest has of that frame's file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from vfxswap import documents
from vfxswap.archive import sha256
from vfxswap.errors import OutputError

SCHEMA: Final = "vfxswap.qc/1"


@dataclass(frozen=True)
class Measured:
    """What QC says of one frame. `alarms`: names of the measures beyond their limits; `reasons`: in words."""

    flicker: float | None
    stray: float | None
    alarms: tuple[str, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Evidence:
    """What a report says of the frames at hand.

    Attributes:
        frames: of those whose file is the one that was measured.
        foreign: frames of the report whose file is another one now.
        limit: of flicker, as the report states it.
        sha256: of the report's file.
    """

    frames: Mapping[int, Measured] = field(default_factory=dict)
    foreign: tuple[int, ...] = ()
    limit: float | None = None
    sha256: str = ""


def read(path: Path, hashes: Mapping[int, str]) -> Evidence:
    """Read a report.

    Args:
        path: the report.
        hashes: frame -> sha256 of its file by the signed manifest.

    Raises:
        OutputError: there is none, or it is none.
    """
    try:
        data = documents.read_bytes(path, most=documents.LARGE)
        value = documents.json_value(data)
        if value["schema"] != SCHEMA:
            if other := documents.other_version(value["schema"], SCHEMA):
                raise OutputError(other[0], path=path, hint=other[1])
            raise ValueError(f"it says schema {str(value['schema'])[:80]!r}, not {SCHEMA!r}")
        found = {int(entry["frame"]): entry for entry in value["frames"]}
        limits = {str(entry["name"]): entry["most"] for entry in value["limits"]}
        limit = None if limits.get("flicker") is None else float(limits["flicker"])
        ours = {frame: _measured(entry) for frame, entry in found.items() if hashes.get(frame) == entry["sha256"]}
    except FileNotFoundError:
        raise OutputError(f"no such file: {path}", hint="make it with vfxswap qc, or leave --qc out") from None
    except OSError as error:
        raise OutputError(f"cannot read it: {error.strerror}", path=path, hint="check its permissions") from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise OutputError(f"no QC report: {error}", path=path, hint="make it again with vfxswap qc") from error
    foreign = tuple(sorted(frame for frame in found if frame not in ours and frame in hashes))
    return Evidence(ours, foreign, limit, sha256(data))


def _measured(entry: Mapping[str, Any]) -> Measured:
    values = entry["values"]
    flicker, stray = (values.get(name) for name in ("flicker", "stray"))
    return Measured(
        None if flicker is None else float(flicker),
        None if stray is None else float(stray),
        tuple(str(name) for name in entry["alarms"]),
        tuple(str(text) for text in entry["reasons"]),
    )
