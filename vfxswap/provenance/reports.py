"""QC reports beside their frames, and the manifest that names them (docs/qc.md, docs/provenance.md).

A report lies beside its frames as `<sequence>.qc.json`, or `<sequence>.<anything>.qc.json` where there are several, of
views or faces. It is read by its published format and no further than to see whose frames it is about.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vfxswap import atomic, documents
from vfxswap.archive import sha256
from vfxswap.provenance import lock, manifest, naming, shards
from vfxswap.provenance.manifest import Clock, Manifest, Rule, refusal
from vfxswap.provenance.own_key import own_key, own_ring
from vfxswap.provenance.records import QcEntry, Signing, Statement
from vfxswap.trust.canonical import now_utc

SUFFIX: Final = ".qc.json"
_SCHEMA: Final = "vfxswap.qc/1"


@dataclass(frozen=True)
class Reports:
    """The reports beside a sequence. `ours`: of its frames as they were recorded; `others`: names of the rest."""

    ours: tuple[QcEntry, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def entry(self) -> tuple[QcEntry, ...] | None:
        """As the manifest has them."""
        return self.ours or None


def report_path(folder: Path, sequence: str) -> Path:
    """Where the QC report of a sequence is that its manifest is to name."""
    return folder / f"{sequence}{SUFFIX}"


def names(folder: Path, sequence: str) -> tuple[str, ...]:
    """The names of the files that are reports of the sequence by their names."""
    try:
        found = sorted(item.name for item in folder.iterdir() if item.name.endswith(SUFFIX))
    except OSError:
        return ()
    alike = (name for name in found if name == sequence + SUFFIX or name.startswith(f"{sequence}."))
    return tuple(name for name in alike if naming.text(name) == name)


def beside(folder: Path, sequence: str, hashes: Mapping[int, str]) -> Reports:
    """The reports beside a sequence; `hashes`: frame -> sha256 of its file, as recorded."""
    ours, others = [], []
    for name in names(folder, sequence):
        data = _bytes(folder / name)
        if data is not None and _is_of(data, hashes):
            ours.append(QcEntry(name=name, sha256=sha256(data)))
        else:
            others.append(name)
    return Reports(tuple(ours), tuple(others))


def _bytes(path: Path) -> bytes | None:
    try:
        return documents.read_bytes(path, most=documents.LARGE)
    except (OSError, documents.TooLargeError):
        return None


def _is_of(data: bytes, hashes: Mapping[int, str]) -> bool:
    """Whether it is a report, and every frame it speaks of is the one that was recorded."""
    try:
        value = documents.json_value(data)
        frames = [(entry["frame"], entry["sha256"]) for entry in value["frames"]]
        return value["schema"] == _SCHEMA and bool(frames) and all(hashes.get(f) == found for f, found in frames)
    except (ValueError, KeyError, TypeError):
        return False


def cover(report: Path, sequence: str, *, clock: Clock = now_utc) -> str:
    """Let the manifest of a sequence name a report beside it, and sign it again with this user's own key.

    Nothing else of the manifest changes, and it is signed again only where this user's own key signed it before: a
    farm's or a production's signature is not replaced. Replaced atomically.

    Args:
        report: the report, as it is on disk.
        sequence: name of the sequence it is about, in the same folder.
        clock: what `now` is.

    Returns:
        Empty where the manifest names it now; else why it does not, in words, and what to do.

    Raises:
        ProvenanceError: VS-PRV-001, the manifest is damaged; 003, no signature of it counts. OutputError,
            ResourceError: the folder cannot be written. UsageError, ConsentError: this user's key is damaged.
    """
    folder = report.parent
    again = f"vfxswap provenance finalise {folder}"
    if report.name not in names(folder, sequence):
        return f"only a report beside its frames is signed with them: {report_path(Path(), sequence)}"
    path = manifest.manifest_path(folder, sequence)
    if not path.is_file():
        return f"its frames are not signed either: {again}"
    with lock.held(shards.folder(folder, sequence) / ".lock"):
        there = manifest.read(path)
        kids = ", ".join(kid for kid, _ in there.signatures)
        if not _own(there):
            return f"the manifest is signed with another key, {kids}: {again} --key FILE signs both"
        predicate = there.statement.predicate
        found = beside(folder, sequence, {entry.frame: entry.main.sha256 for entry in predicate.frames})
        if report.name in found.others:
            return "it speaks of frames that are not those in the manifest: vfxswap provenance verify names them"
        if predicate.qc == found.entry:
            return ""
        signing = Signing(time=clock(), c2pa=predicate.signing.c2pa)
        said = predicate.model_copy(update={"signing": signing, "qc": found.entry})
        signer = own_key(clock=clock)
        atomic.write_bytes(path, manifest.envelope(Statement.about(said), signer))
    return ""


def _own(there: Manifest) -> bool:
    """Whether this user's own key signed it, and no other; raises where that signature does not hold."""
    ring = own_ring()
    if ring is None or any(kid not in ring.keys for kid, _ in there.signatures):
        return False
    wrong = next((check for check in there.check(ring) if check.problem), None)
    if wrong is not None:
        hint = "verify the frames: vfxswap provenance verify"
        raise refusal(Rule.SIGNATURE, f"{wrong.kid}: {wrong.problem}", hint=hint, path=there.path)
    return True
