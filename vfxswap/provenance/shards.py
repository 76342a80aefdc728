"""Shards: one small JSON file for each frame, `.vfxswap/<sequence name>/<frame>.json` beside the output.

A shard gets its name before its frame does. Whatever moment a renderer is killed at, there is no frame without the
shard that says what it is; a shard without its frame is replaced when the frame is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import rfc8785
from pydantic import ValidationError

from vfxswap import atomic, exr
from vfxswap.cache import FOLDER
from vfxswap.provenance.records import FileEntry, Shard

_NAME = re.compile(r"-?\d+\.json")
_LARGEST = 4 << 20


def folder(output: Path, sequence: str) -> Path:
    """Where the shards of a sequence in the folder `output` are."""
    return output / FOLDER / sequence


def path(output: Path, sequence: str, frame: int) -> Path:
    """The shard of a frame."""
    return folder(output, sequence) / f"{frame}.json"


def entry(name: str, found: exr.Fingerprint) -> FileEntry:
    """A file's entry from what it was when it was written."""
    return FileEntry(name=name, size=found.size, sha256=found.sha256, pixels=found.pixels)


def write(output: Path, shard: Shard) -> None:
    """Write a shard atomically, into a folder that was swept; raises OutputError or ResourceError."""
    atomic.write_bytes(path(output, shard.sequence, shard.frame), encoded(shard), swept=True)


def encoded(shard: Shard) -> bytes:
    """The bytes of a shard's file."""
    return rfc8785.dumps(shard.model_dump(mode="json", by_alias=True)) + b"\n"


def read(file: Path) -> Shard | None:
    """The shard in `file`; None where it is missing, damaged or of another version."""
    try:
        with file.open("rb") as handle:
            data = handle.read(_LARGEST + 1)
        return Shard.model_validate_json(data) if len(data) <= _LARGEST else None
    except (OSError, ValidationError):
        return None


def fits(output: Path, shard: Shard) -> bool:
    """Whether every file of the shard is there, byte for byte."""
    try:
        return all(
            (output / file.name).stat().st_size == file.size and exr.file_sha256(output / file.name) == file.sha256
            for file in shard.files
        )
    except OSError:
        return False


@dataclass(frozen=True)
class Found:
    """The shards of a sequence by frame, and the files that should be shards and cannot be read."""

    shards: Mapping[int, Shard] = field(default_factory=dict)
    damaged: tuple[Path, ...] = ()


def read_all(output: Path, sequence: str) -> Found:
    """Every shard of a sequence; one of another frame or sequence than its name says is damaged."""
    there: dict[int, Shard] = {}
    damaged = []
    for file in sorted(_files(folder(output, sequence))):
        shard = read(file)
        if shard is None or shard.sequence != sequence or f"{shard.frame}.json" != file.name:
            damaged.append(file)
        else:
            there[shard.frame] = shard
    return Found(dict(sorted(there.items())), tuple(damaged))


def sequences(output: Path) -> list[str]:
    """Names of the sequences in the folder `output` that have shards."""
    try:
        inside = sorted(item for item in (output / FOLDER).iterdir() if item.is_dir())
    except OSError:
        return []
    return [item.name for item in inside if any(True for _ in _files(item))]


def _files(where: Path) -> Iterator[Path]:
    try:
        yield from (item for item in where.iterdir() if _NAME.fullmatch(item.name))
    except OSError:
        return
