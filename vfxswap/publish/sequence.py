"""What is on disk: which frames there are, what should not be there, and names that are not the job's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from vfxswap import exr
from vfxswap.provenance import Manifest
from vfxswap.publish.request import Item
from vfxswap.publish.rules import Finding
from vfxswap.sequence import FrameRange


@dataclass(frozen=True)
class OnDisk:
    """The frames of a sequence as they are found.

    Attributes:
        frames: of the job's, those that are there.
        misnamed: name of a file -> the name that its frame has.
        findings: what is wrong.
    """

    frames: tuple[int, ...]
    misnamed: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def on_disk(item: Item, manifest: Manifest | None) -> OnDisk:
    """Look into the folder of a sequence.

    Args:
        item: the sequence.
        manifest: tells what a file by another name is; None: nothing does.
    """
    there = sorted(frame for frame in _frames(item))
    wanted = set(item.frames)
    here = tuple(frame for frame in there if frame in wanted)
    misnamed = dict(_misnamed(item, manifest, missing=wanted - set(here)))
    name = item.name
    findings = [
        Finding("VS-SEQ-004", f"{old} is a frame by another name: it should be {new}", name, files=(old,))
        for old, new in misnamed.items()
    ]
    missing = FrameRange.of(sorted(wanted - set(here)))
    if missing.frames:
        text = f"{len(missing)} of {len(wanted)} frames are missing: {missing}"
        findings.append(Finding("VS-SEQ-001", text, name, missing.frames))
    outside = FrameRange.of(frame for frame in there if frame not in wanted)
    if outside.frames:
        text = f"frames {outside} are outside the job's range {FrameRange.of(item.frames)}"
        files = tuple(item.output.path(frame).name for frame in outside)
        findings.append(Finding("VS-SEQ-002", text, name, outside.frames, files))
    return OnDisk(here, misnamed, tuple(findings))


def _frames(item: Item) -> Iterator[int]:
    """Every frame that is there by its right name, whatever the job asks for."""
    for file in _files(item):
        match = re.fullmatch(re.escape(item.output.prefix) + r"(-?\d+)" + re.escape(item.output.suffix), file)
        if match and item.output.path(int(match[1])).name == file:
            yield int(match[1])


def _files(item: Item) -> Iterator[str]:
    try:
        yield from sorted(path.name for path in item.output.folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return


def _misnamed(item: Item, manifest: Manifest | None, *, missing: set[int]) -> Iterator[tuple[str, str]]:
    """Files that are, byte for byte, a frame that is missing under its own name."""
    if manifest is None or not missing:
        return
    wanted = {
        file.sha256: file.name
        for entry in manifest.statement.predicate.frames
        for file in entry.files
        if entry.frame in missing
    }
    sizes = {file.size for entry in manifest.statement.predicate.frames for file in entry.files}
    known = {file.name for entry in manifest.statement.predicate.frames for file in entry.files}
    for name in _files(item):
        path = item.output.folder / name
        if name in known or not path.is_file() or path.stat().st_size not in sizes:
            continue
        found = wanted.pop(exr.file_sha256(path), "")
        if found:
            yield name, found
