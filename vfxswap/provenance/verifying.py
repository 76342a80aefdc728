"""Is this what was rendered? Answered by the manifest, the files and a ring of public keys; nothing else is needed."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from vfxswap import exr
from vfxswap.archive import sha256
from vfxswap.errors import ProvenanceError, VfxSwapError
from vfxswap.provenance import manifest, naming, reports, shards, sidecar
from vfxswap.provenance.manifest import Clock, Manifest, Rule
from vfxswap.provenance.records import FileEntry, FrameEntry
from vfxswap.trust.canonical import now_utc
from vfxswap.trust.keys import KeyRing, KeyRole

Kind = Literal[
    "no_manifest",
    "signature",
    "unknown_key",
    "changed",
    "rewritten",
    "unreadable",
    "foreign",
    "missing",
    "extra",
    "sidecar",
    "shard",
    "report",
]
"""rewritten: other bytes, the same pixels, such as after another compression."""

_SKEW = timedelta(minutes=5)


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be. `file` and `frame` where it is about one."""

    rule: Rule
    kind: Kind
    message: str
    file: str = ""
    frame: int | None = None

    def __str__(self) -> str:
        where = "" if self.frame is None else f"frame {self.frame}: "
        name = f"{self.file}: " if self.file else ""
        return f"{self.rule.value} {self.kind}: {where}{name}{self.message}"


@dataclass(frozen=True)
class Signer:
    """Whose signature it is. `role` is None where no ring at hand holds the key; `own`: this user's own render key."""

    kid: str
    role: KeyRole | None
    own: bool
    problem: str


@dataclass(frozen=True)
class SequenceReport:
    """What verifying a sequence found.

    Attributes:
        manifest: its manifest.
        signed: when, by the signer's clock.
        signers: the keys that signed.
        files: how many are as they were signed.
        c2pa: what the sidecar is worth, in words.
        findings: empty where everything is as it was signed, by a key that is trusted.
        qc: what the QC reports beside it are worth, in words.
    """

    manifest: Path
    sequence: str
    signed: datetime | None
    signers: tuple[Signer, ...]
    files: int
    c2pa: str
    findings: tuple[Finding, ...]
    qc: str = "none"


@dataclass(frozen=True)
class Report:
    """What verifying a folder found: its sequences, and what belongs to none."""

    sequences: tuple[SequenceReport, ...]
    loose: tuple[Finding, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All of them."""
        return (*(finding for one in self.sequences for finding in one.findings), *self.loose)


@dataclass(frozen=True)
class Trust:
    """Whose signatures count: a ring, and this user's own render keys."""

    ring: KeyRing | None = None
    own: KeyRing | None = None

    def signers(self, found: Manifest) -> tuple[Signer, ...]:
        """What each signature is worth."""
        signers = []
        rings = [(ring, own) for ring, own in ((self.ring, False), (self.own, True)) if ring is not None]
        for index, (kid, _) in enumerate(found.signatures):
            known = next(((ring, own) for ring, own in rings if kid in ring.keys), None)
            if known is None:
                signers.append(Signer(kid, None, False, "the key is in no key ring here"))
                continue
            check = found.check(known[0])[index]
            signers.append(Signer(kid, check.role, known[1], check.problem))
        return tuple(signers)


def verify(
    out: Path,
    trust: Trust,
    *,
    frames: Sequence[int] | None = None,
    accept_rewritten: bool = False,
    clock: Clock = now_utc,
) -> Report:
    """Verify the sequences of a folder.

    Args:
        out: the folder, or one manifest in it.
        trust: whose signatures count.
        frames: the frames that should be there; None: those of the jobs.
        accept_rewritten: files with other bytes but the same pixels are no findings.
        clock: what `now` is.
    """
    single = out.name.endswith(manifest.SUFFIX)
    folder = out.parent if single else out
    paths = [out] if single else sorted(folder.glob(f"*{manifest.SUFFIX}"))
    reports, known, named = [], set(), set()
    for path in paths:
        try:
            found = manifest.read(path)
        except ProvenanceError as error:
            finding = Finding(Rule.MANIFEST, "no_manifest", _words(error))
            reports.append(SequenceReport(path, path.name.removesuffix(manifest.SUFFIX), None, (), 0, "", (finding,)))
            continue
        known |= naming.shapes(found.statement.predicate.frames)
        named |= {subject.name for subject in found.statement.subject}
        reports.append(_sequence(found, trust, frames=frames, accept_rewritten=accept_rewritten, now=clock()))
    extra = [name for name in naming.visible(folder) if name not in named]
    if single:
        extra = [name for name in extra if naming.frame_of(name, known) is not None]
    loose = [_extra(folder, name, known) for name in extra]
    if not paths:
        what = "its frames are recorded but not signed" if shards.sequences(folder) else "nothing says what this is"
        loose.insert(0, Finding(Rule.MANIFEST, "no_manifest", f"there is no manifest in {folder}: {what}"))
    return Report(tuple(reports), tuple(loose))


def _words(error: VfxSwapError) -> str:
    return error.message.removeprefix(Rule.MANIFEST.value).strip()


def _extra(folder: Path, name: str, known: set[tuple[str, str]]) -> Finding:
    frame = naming.frame_of(name, known)
    for sequence in shards.sequences(folder) if frame is not None else ():
        shard = shards.read(shards.path(folder, sequence, frame)) if frame is not None else None
        if shard is not None and name in [file.name for file in shard.files] and shards.fits(folder, shard):
            text = f"no manifest names it; its shard says it was rendered for job {shard.made.job_sha256[:12]}"
            return Finding(Rule.EXTRA, "extra", text, name, frame)
    return Finding(Rule.EXTRA, "extra", "no manifest names it", name, frame)


def _sequence(
    found: Manifest, trust: Trust, *, frames: Sequence[int] | None, accept_rewritten: bool, now: datetime
) -> SequenceReport:
    predicate = found.statement.predicate
    signers = trust.signers(found)
    findings = list(_signature_findings(signers, predicate.signing.time, now))
    good, about_files = _files(found)
    findings += [one for one in about_files if not (accept_rewritten and one.kind == "rewritten")]
    listed = {entry.frame for entry in predicate.frames}
    wanted = naming.asked(made.job.frames for made in predicate.made) if frames is None else set(frames)
    if absent := wanted - listed:
        text = f"frames {naming.compact(absent)} belong to the job and are not in the manifest"
        findings.append(Finding(Rule.MISSING, "missing", text))
    findings += _shard_findings(found, besides={one.frame for one in about_files})
    said, beside = _beside(found)
    findings += beside
    qc, about_reports = _reports(found)
    findings += about_reports
    if accept_rewritten:
        good += sum(one.kind == "rewritten" for one in about_files)
    return SequenceReport(found.path, found.sequence, predicate.signing.time, signers, good, said, tuple(findings), qc)


def _signature_findings(signers: Sequence[Signer], signed: datetime, now: datetime) -> Iterator[Finding]:
    if signed > now + _SKEW:
        text = f"signed at {signed:%Y-%m-%d %H:%M} UTC, which has not come yet: check this machine's clock"
        yield Finding(Rule.SIGNATURE, "signature", text)
    if any(not signer.problem for signer in signers):
        return
    for signer in signers:
        if signer.role is None:
            text = f"signed by {signer.kid}, {signer.problem}: whose it is, and whether it is theirs, is not known"
            yield Finding(Rule.SIGNATURE, "unknown_key", text)
        else:
            yield Finding(Rule.SIGNATURE, "signature", f"{signer.kid}: {signer.problem}")


# -------------------------------------------------------------------------------------------------- files


def _files(found: Manifest) -> tuple[int, list[Finding]]:
    """How many files are as they were signed, and what is the matter with the others."""
    all_files = [(entry, file) for entry in found.statement.predicate.frames for file in entry.files]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1), "hash") as pool:
        hashes = list(pool.map(lambda item: _hash(found.folder / item[1].name), all_files))
    elsewhere = _Elsewhere.of(found)
    findings = []
    for (entry, file), now in zip(all_files, hashes, strict=True):
        if now != file.sha256:
            findings.append(_difference(found, entry, file, now, elsewhere))
    return len(all_files) - len(findings), findings


def _hash(path: Path) -> str | None:
    try:
        return exr.file_sha256(path)
    except OSError:
        return None


@dataclass(frozen=True)
class _Elsewhere:
    """Which frame a hash belongs to."""

    files: Mapping[str, int] = field(default_factory=dict)
    pixels: Mapping[str, int] = field(default_factory=dict)

    @staticmethod
    def of(found: Manifest) -> _Elsewhere:
        entries = [(entry.frame, file) for entry in found.statement.predicate.frames for file in entry.files]
        return _Elsewhere({file.sha256: n for n, file in entries}, {file.pixels: n for n, file in entries})


def _difference(found: Manifest, entry: FrameEntry, file: FileEntry, now: str | None, elsewhere: _Elsewhere) -> Finding:
    """What became of a file that is not as it was signed."""
    path, frame = found.folder / file.name, entry.frame
    if now is None:
        if path.exists():
            return Finding(Rule.CHANGED, "unreadable", "it cannot be read", file.name, frame)
        return Finding(Rule.MISSING, "missing", "it is gone", file.name, frame)
    if now in elsewhere.files:
        return Finding(Rule.FOREIGN, "foreign", f"this is frame {elsewhere.files[now]}", file.name, frame)
    shard = shards.read(shards.path(found.folder, found.sequence, frame))
    if shard is not None and (file.name, now) in [(one.name, one.sha256) for one in shard.files]:
        text = _other_render(found, entry, shard.key, shard.made.job_sha256, [m.sha256 for m in shard.made.models])
        return Finding(Rule.FOREIGN, "foreign", f"{text} by its shard", file.name, frame)
    try:
        pixels = exr.pixel_sha256(path)
        hints = exr.probe(path).parts[0].attributes
    except VfxSwapError as error:
        return Finding(Rule.CHANGED, "unreadable", f"damaged: {error.message}", file.name, frame)
    if pixels == file.pixels:
        text = "written again: other bytes, the pixels are those that were rendered"
        return Finding(Rule.CHANGED, "rewritten", text, file.name, frame)
    if pixels in elsewhere.pixels:
        text = f"this is frame {elsewhere.pixels[pixels]}, written again"
        return Finding(Rule.FOREIGN, "foreign", text, file.name, frame)
    key = str(hints.get("vfxswap:job", ""))
    if key and key != entry.key:
        models = str(hints.get("vfxswap:model", "")).split()
        text = _other_render(found, entry, key, "", models)
        return Finding(Rule.FOREIGN, "foreign", f"{text} by its header", file.name, frame)
    return Finding(Rule.CHANGED, "changed", "the picture is not the one that was rendered", file.name, frame)


def _other_render(found: Manifest, entry: FrameEntry, key: str, job: str, models: Sequence[str]) -> str:
    made = found.statement.predicate.made[entry.made]
    if list(models) != [model.sha256 for model in made.models]:
        return f"of another render, with model {', '.join(one[:12] for one in models) or 'unknown'},"
    if job and job != made.job_sha256:
        return f"of another render, job {job[:12]},"
    return f"of another render, {key},"


# -------------------------------------------------------------------------------------------- what is beside


def _shard_findings(found: Manifest, *, besides: Collection[int | None]) -> Iterator[Finding]:
    """Shards need not be there. Those that are have to say what the manifest says; `besides` are known to differ."""
    there = shards.read_all(found.folder, found.sequence)
    for path in there.damaged:
        yield Finding(Rule.SHARD, "shard", "damaged", str(path.relative_to(found.folder)))
    predicate = found.statement.predicate
    for entry in predicate.frames:
        shard = there.shards.get(entry.frame)
        if shard is None or entry.frame in besides:
            continue
        same = all(getattr(shard, name) == getattr(entry, name) for name in ("key", "altered", "plate", "files"))
        if not same or shard.made != predicate.made[entry.made]:
            name = str(shards.path(found.folder, found.sequence, entry.frame).relative_to(found.folder))
            text = "says something else than the manifest: rendered again since, or put there"
            yield Finding(Rule.SHARD, "shard", text, name, entry.frame)


def _beside(found: Manifest) -> tuple[str, list[Finding]]:
    """What the C2PA sidecar is worth, and what is wrong with it and the hash list."""
    findings = []
    wanted = manifest.hash_list(found.statement)
    listed = manifest.list_path(found.folder, found.sequence)
    if (there := _bytes(listed)) is not None and there != wanted:
        findings.append(Finding(Rule.SIDECAR, "sidecar", "the hash list is not that of the manifest", listed.name))
    named = found.statement.predicate.signing.c2pa
    path = manifest.sidecar_path(found.folder, found.sequence)
    if named is None:
        if path.exists():
            text = "the manifest knows of no C2PA sidecar"
            findings.append(Finding(Rule.SIDECAR, "sidecar", text, path.name))
        return "none", findings
    data = _bytes(found.folder / named.name)
    if data is None:
        findings.append(Finding(Rule.SIDECAR, "sidecar", "the C2PA sidecar is gone", named.name))
        return "gone", findings
    if sha256(data) != named.sha256:
        text = "the C2PA sidecar is not the one that was made with the manifest"
        findings.append(Finding(Rule.SIDECAR, "sidecar", text, named.name))
        return "changed", findings
    if problem := sidecar.problem():
        return f"as it was made; not looked into: {problem}", findings
    wrong, trusted = sidecar.check(data, wanted)
    if wrong:
        findings.append(Finding(Rule.SIDECAR, "sidecar", f"C2PA says: {wrong}", named.name))
        return "not valid", findings
    return "valid" + ("" if trusted else ", by a self-made certificate that C2PA tools do not trust"), findings


def _reports(found: Manifest) -> tuple[str, list[Finding]]:
    """What the QC reports are worth, and which of those that were signed are not there as they were."""
    named = found.statement.predicate.qc or ()
    findings, words = [], []
    for entry in named:
        now = _hash(found.folder / entry.name)
        if now == entry.sha256:
            words.append(f"{entry.name} as signed")
            continue
        state, text = (
            ("gone", "the QC report is gone") if now is None else ("changed", "it is not the one that was signed")
        )
        findings.append(Finding(Rule.REPORT, "report", text, entry.name))
        words.append(f"{entry.name} {state}")
    known = {entry.name for entry in named}
    words += [f"{name} not signed" for name in reports.names(found.folder, found.sequence) if name not in known]
    return ", ".join(words) or "none", findings


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
