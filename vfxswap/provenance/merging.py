"""Shards become one manifest: under a lock, atomically, the same whoever rendered which frame and when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vfxswap import atomic, exr
from vfxswap.archive import sha256
from vfxswap.errors import ProvenanceError
from vfxswap.provenance import lock, manifest, naming, reports, shards, sidecar
from vfxswap.provenance.manifest import Clock, Rule, refusal
from vfxswap.provenance.records import FrameEntry, Making, Predicate, QcEntry, Shard, Sidecar, Signing, Statement
from vfxswap.trust.canonical import now_utc
from vfxswap.trust.keys import PrivateKey


@dataclass(frozen=True)
class Merged:
    """What a merge made.

    Attributes:
        path: the manifest.
        frames: how many it is about.
        signed_anew: False where the manifest said all this already.
        missing: frames of the jobs that are not there, as a range; empty when there are none.
        unrecorded: files of the sequence that no shard speaks of: they are not in the manifest.
        damaged: shards that cannot be read.
        c2pa: why there is no C2PA sidecar; empty where there is one.
        qc: the QC reports that the manifest names.
        other_qc: QC reports that are not of these frames, and not in it.
    """

    path: Path
    frames: int
    signed_anew: bool
    missing: str
    unrecorded: tuple[str, ...]
    damaged: tuple[Path, ...]
    c2pa: str
    qc: tuple[str, ...] = ()
    other_qc: tuple[str, ...] = ()

    @property
    def flaws(self) -> tuple[str, ...]:
        """What was found and could not be used, one line each."""
        lines = [f"{file}: the shard is damaged: render its frame again" for file in self.damaged]
        if self.unrecorded:
            some = ", ".join(self.unrecorded[:3]) + (" ..." if len(self.unrecorded) > 3 else "")
            count = len(self.unrecorded)
            lines.append(f"{count} files have no record and are not in the manifest ({some}): render them again")
        return tuple(lines)

    @property
    def gaps(self) -> tuple[str, ...]:
        """Why this is not yet the whole sequence, one line each."""
        missing = (f"frames {self.missing} of the job are not there",) if self.missing else ()
        return (*self.flaws, *missing)


def merge(
    folder: Path, sequence: str, *, signer: PrivateKey, clock: Clock = now_utc, with_sidecar: bool = True
) -> Merged:
    """Merge the shards of a sequence into its manifest, and sign it.

    Args:
        folder: where the frames are.
        sequence: its name.
        signer: a key with the role render or production.
        clock: what `now` is.
        with_sidecar: whether a C2PA sidecar is made where that is possible.

    Raises:
        ProvenanceError: VS-PRV-001 no shards; 003 the key's role; 004 the frames are of several shots or models.
        ResourceError, OutputError: the folder cannot be written, or another merge does not end.
    """
    if signer.role not in manifest.SIGNERS:
        hint = f"use a key with the role {' or '.join(manifest.SIGNERS)}"
        raise refusal(Rule.SIGNATURE, f"a {signer.role} key may not sign a manifest", hint=hint)
    with lock.held(shards.folder(folder, sequence) / ".lock"):
        for swept in (folder, shards.folder(folder, sequence)):
            atomic.sweep(swept)
        found = shards.read_all(folder, sequence)
        there = {frame: shard for frame, shard in found.shards.items() if _exists(folder, shard)}
        if not there:
            hint = "render it; frames that were rendered without a record are rendered again by the same command"
            raise refusal(Rule.MANIFEST, f"no frame of {sequence} in {folder} has a record", hint=hint)
        _check_alike(there.values())
        found_qc = reports.beside(folder, sequence, {frame: shard.main.sha256 for frame, shard in there.items()})
        bare = _predicate(sequence, there.values(), Signing(time=clock()), qc=found_qc.entry)
        path = manifest.manifest_path(folder, sequence)
        problem = sidecar.problem() if with_sidecar else "it was not asked for"
        fresh = not _stands(path, bare, signer, with_sidecar=not problem)
        if fresh:
            problem = _write(folder, bare, signer, problem)
    recorded = {file.name for shard in there.values() for file in shard.files}
    known = naming.shapes(there.values())
    loose = tuple(n for n in naming.visible(folder) if n not in recorded and naming.frame_of(n, known) is not None)
    missing = naming.asked(shard.made.job.frames for shard in there.values()) - set(there)
    qc = tuple(entry.name for entry in found_qc.ours)
    return Merged(path, len(there), fresh, naming.compact(missing), loose, found.damaged, problem, qc, found_qc.others)


def _exists(folder: Path, shard: Shard) -> bool:
    """Files that were changed stay in the manifest as they were rendered: verifying then names them."""
    return all((folder / file.name).is_file() for file in shard.files)


def _check_alike(found: Iterable[Shard]) -> None:
    frames = {shard.frame: shard.made.work for shard in found}
    counts = Counter(frames.values())
    if len(counts) < 2:
        return
    usual = counts.most_common(1)[0][0]
    odd = naming.compact(frame for frame, work in frames.items() if work != usual)
    what = "shot" if len({shot for shot, _ in counts}) > 1 else "model"
    raise refusal(
        Rule.FOREIGN,
        f"frames {odd} were made for another {what} than the other {counts[usual]}",
        hint="render them again with the job of the others, or move them to a folder of their own",
    )


def _predicate(sequence: str, found: Iterable[Shard], signing: Signing, *, qc: tuple[QcEntry, ...] | None) -> Predicate:
    makings: list[Making] = []
    frames = []
    for shard in found:
        if shard.made not in makings:
            makings.append(shard.made)
        frames.append(
            FrameEntry(
                frame=shard.frame,
                key=shard.key,
                altered=shard.altered,
                plate=shard.plate,
                files=shard.files,
                made=makings.index(shard.made),
            )
        )
    return Predicate.model_validate(
        {"sequence": sequence, "signing": signing, "made": tuple(makings), "frames": tuple(frames), "qc": qc}
    )


def _stands(path: Path, wanted: Predicate, signer: PrivateKey, *, with_sidecar: bool) -> bool:
    """Whether the manifest at `path` says the same already, signed with the same key, and all beside it is there."""
    try:
        there = manifest.read(path)
        data = path.read_bytes()
    except (ProvenanceError, OSError):
        return False
    said = there.statement.predicate
    if said.model_copy(update={"signing": wanted.signing}) != wanted:
        return False
    if data != manifest.envelope(there.statement, signer):  # Ed25519: the same key signs the same in the same way
        return False
    beside = said.signing.c2pa
    if (beside is not None) != with_sidecar:
        return False
    if not _is(manifest.list_path(path.parent, said.sequence), sha256(manifest.hash_list(there.statement))):
        return False
    return beside is None or _is(path.parent / beside.name, beside.sha256)


def _is(file: Path, wanted: str) -> bool:
    try:
        return exr.file_sha256(file) == wanted
    except OSError:
        return False


def _write(folder: Path, bare: Predicate, signer: PrivateKey, problem: str) -> str:
    """Hash list, sidecar, manifest, in this order: the manifest names the sidecar. Returns why there is no sidecar."""
    listed = manifest.hash_list(Statement.about(bare))
    beside = manifest.sidecar_path(folder, bare.sequence)
    signing = bare.signing
    atomic.write_bytes(manifest.list_path(folder, bare.sequence), listed)
    if not problem:
        data, problem = sidecar.make(listed, bare, signer)
        if data:
            atomic.write_bytes(beside, data)
            signing = Signing(time=signing.time, c2pa=Sidecar(name=beside.name, sha256=sha256(data)))
    statement = Statement.about(bare.model_copy(update={"signing": signing}))
    atomic.write_bytes(manifest.manifest_path(folder, bare.sequence), manifest.envelope(statement, signer))
    if problem:
        beside.unlink(missing_ok=True)  # one of an earlier merge is about other hashes
    return problem
