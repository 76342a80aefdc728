"""Everything that is looked at before a publish, in one pass: the validators show what it found, area by area."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from vfxswap import exr, provenance
from vfxswap.errors import ColorError, OutputError, ProvenanceError
from vfxswap.events import CancelToken, EventSink
from vfxswap.provenance import Making, Manifest
from vfxswap.publish import consent, evidence, look, sequence, temporal
from vfxswap.publish.evidence import Evidence
from vfxswap.publish.look import Look
from vfxswap.publish.request import Item, Request, name_of
from vfxswap.publish.rules import Area, Finding, stopping
from vfxswap.sequence import FrameRange

REPORT: Final = "vfxswap.publish-report/1"

EVERY: Final = 10
"""Of frames that a QC report is about the pixels of every so-manieth are read again."""


@dataclass(frozen=True, eq=False)
class Seen:
    """One sequence as it was found. `manifest` is None where there is none to be read."""

    item: Item
    manifest: Manifest | None
    findings: tuple[Finding, ...]
    misnamed: Mapping[str, str]
    read: tuple[int, ...]
    """Frames whose pixels were looked at."""


@dataclass(frozen=True, eq=False)
class Report:
    """What was found.

    Attributes:
        request: what was asked.
        seen: its sequences.
        facts: figures for the record of the publish.
    """

    request: Request
    seen: tuple[Seen, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All of them, in the order of the areas."""
        order = list(Area)
        return tuple(sorted((f for one in self.seen for f in one.findings), key=lambda f: order.index(f.area)))

    @property
    def ok(self) -> bool:
        """Whether nothing stops the publish."""
        return not stopping(self.findings)

    def of(self, area: Area, name: str) -> list[Finding]:
        """What one validator says of one sequence."""
        return [finding for finding in self.findings if finding.area == area and finding.sequence == name]

    def to_json(self) -> dict[str, Any]:
        """What hosts read."""
        return {
            "schema": REPORT,
            "ok": self.ok,
            "shot": str(self.request.shot),
            "sequences": [one.item.name for one in self.seen],
            "findings": [finding.to_json() for finding in self.findings],
            "facts": dict(self.facts),
        }


def examine(request: Request, *, sink: EventSink, cancel: CancelToken) -> Report:
    """Look at everything.

    Args:
        request: what is to be published.
        sink: told of progress.
        cancel: polled between frames.

    Raises:
        ConsentError: consent is refused; nothing was read but the models and manifests.
        OutputError: no frame is there at all, or the QC report cannot be read. ModelError: a model cannot be read.
        Cancelled.
    """
    manifests = [_manifest(item) for item in request.items]
    makings = [made for found in manifests if found is not None for made in found.statement.predicate.made]
    grants = consent.authorize(request, makings)
    locks = consent.locks(request, grants)
    refuse_nothing(request)
    facts: dict[str, Any] = {}
    taken = list(_taken(request))
    seen = [
        _seen(request, item, found, facts, sink=sink, cancel=cancel)
        for item, found in zip(request.items, manifests, strict=True)
    ]
    if locks and not any(f.code == "VS-SEQ-003" for one in seen for f in one.findings):
        taken += _identity(request, locks, facts, cancel)
    seen[0] = replace(seen[0], findings=(*seen[0].findings, *taken))
    return Report(request, tuple(seen), facts)


def _taken(request: Request) -> Iterator[Finding]:
    """VS-SEQ-005."""
    if request.into is None or request.version is None:
        return
    name = name_of(request.version)
    if (request.into / name).exists():
        yield Finding("VS-SEQ-005", f"the version is there already: {name}", request.items[0].name)


def refuse_nothing(request: Request) -> None:
    """Raise OutputError where not one frame was rendered: that is no publish to validate."""
    for item in request.items:
        if not any(item.output.path(frame).is_file() for frame in item.frames):
            raise OutputError("no frame of the job is there", path=item.output.pattern, hint="render it first")


def _manifest(item: Item) -> Manifest | None:
    try:
        return provenance.read_manifest(provenance.manifest_path(item.output.folder, item.name))
    except ProvenanceError:
        return None  # verifying says so, in words


def _seen(
    request: Request,
    item: Item,
    manifest: Manifest | None,
    facts: dict[str, Any],
    *,
    sink: EventSink,
    cancel: CancelToken,
) -> Seen:
    there = sequence.on_disk(item, manifest)
    entries = [] if manifest is None else list(manifest.statement.predicate.frames)
    altered = {entry.frame: entry.altered for entry in entries}
    hashes = {entry.frame: entry.main.sha256 for entry in entries}
    found = Evidence() if request.qc is None else evidence.read(request.qc, hashes)
    pixels = _to_read(there.frames, found)
    looked = look.looks(item, there.frames, pixels=pixels, altered=altered, sink=sink, cancel=cancel)
    unpainted = list(_unpainted(item, altered, looked))
    findings = [
        *there.findings,
        *look.gathered(item.name, looked),
        *unpainted,
        *_uncompared(item, looked),
        *temporal.flicker(item.name, looked, found),
        *temporal.gaps(item, altered, approved=request.approved,
                       unpainted=[frame for one in unpainted for frame in one.frames]),
        *temporal.alarms(item.name, found),
        *([] if manifest is None else _same_work(request, item, manifest)),
        *_record(request, item, there, looked),
    ]  # fmt: skip
    read = tuple(one.frame for one in looked if one.pixels)
    facts.setdefault("frames_read", {})[item.name] = f"{len(read)} of {len(item.frames)}"
    if request.qc is not None:
        named = () if manifest is None else manifest.statement.predicate.qc or ()
        facts["qc_sha256"] = found.sha256
        facts.setdefault("qc_signed", {})[item.name] = found.sha256 in {entry.sha256 for entry in named}
    return Seen(item, manifest, tuple(findings), there.misnamed, read)


def _to_read(frames: Sequence[int], found: Evidence) -> frozenset[int]:
    """The frames whose pixels are read: all that no QC report clears, and a sample of the others."""
    known = [frame for frame in frames if frame in found.frames]
    doubted = (frame for frame in known if found.frames[frame].stray != 0)  # or not measured
    sample = {*known[::EVERY], *known[-1:], *doubted}
    return frozenset(frame for frame in frames if frame not in found.frames or frame in sample)


def _unpainted(item: Item, altered: Mapping[int, bool], looked: Sequence[Look]) -> Iterator[Finding]:
    """VS-MAT-002: the track has the face, and nothing was replaced; or the mattes that should be there are empty."""
    tracked = {frame for faces in item.faces or () for frame in faces}
    empty = {one.frame for one in looked if one.covered is False and altered.get(one.frame)}
    frames = tuple(f for f in item.frames if (f in tracked and altered.get(f) is False) or f in empty)
    if frames:
        text = f"frames {FrameRange.of(frames)}: the matte is empty though the face is tracked"
        yield Finding("VS-MAT-002", text, item.name, frames)


def _uncompared(item: Item, looked: Sequence[Look]) -> Iterator[Finding]:
    frames = tuple(one.frame for one in looked if one.pixels and one.covered is None)
    if item.faces is None and item.layers == "comp" and frames:
        text = f"frames {FrameRange.of(frames)}: outside the face nothing could be compared, no track is at hand"
        yield Finding("VS-MAT-004", text, item.name, frames)


# -------------------------------------------------------------------------------------- against the record


def _same_work(request: Request, item: Item, manifest: Manifest) -> Iterator[Finding]:
    """The job and the signed record speak of the same shot, plate, models and colour."""
    makings = manifest.statement.predicate.made
    given = [card.onnx_sha256 for card in consent.cards(request)]
    for made in makings:
        if made.job.shot != str(request.shot):
            text = f"the frames were rendered for something else: shot {made.job.shot}, not {request.shot}"
            yield Finding("VS-PRV-010", text, item.name)
        if sorted({model.sha256 for model in made.models}) != sorted(set(given)):
            models = ", ".join(model.sha256[:12] for model in made.models)
            text = f"the model is {', '.join(one[:12] for one in given)}, the frames were rendered with {models}"
            yield Finding("VS-MOD-001", text, item.name)
        if made.job.layers != item.layers:
            text = f"the frames were rendered for something else: layers {made.job.layers}, not {item.layers}"
            yield Finding("VS-PRV-010", text, item.name)
        yield from _same_color(item, made)
    changed = [entry.frame for entry in manifest.statement.predicate.frames if _plate_hash(item, entry.frame) not in
               (entry.plate.sha256, "")]  # fmt: skip
    if changed:
        text = f"frames {FrameRange.of(changed)} were rendered for something else: the plate is another one now"
        yield Finding("VS-PRV-010", text, item.name, tuple(changed))


def _plate_hash(item: Item, frame: int) -> str:
    """Empty where it cannot be read: that is said elsewhere."""
    try:
        return exr.file_sha256(item.plate.sequence.path(frame))
    except OSError:
        return ""


def _same_color(item: Item, made: Making) -> Iterator[Finding]:
    config = item.plate.config
    if made.job.color_config != config.hash:
        text = f"the OCIO config {config.id} is not the one that the frames were rendered with"
        yield Finding("VS-COL-002", text, item.name)
        return
    try:
        space = config.file_space(explicit=made.job.color_space)
    except ColorError as error:
        yield Finding("VS-COL-002", error.message, item.name)
        return
    if space != item.plate.space:
        text = f"the colour space is {space!r} by the record of the render, the plate is read as {item.plate.space!r}"
        yield Finding("VS-COL-001", text, item.name)


def _record(request: Request, item: Item, there: sequence.OnDisk, looked: Sequence[Look]) -> Iterator[Finding]:
    """What verifying the manifest says, without what the other areas say already."""
    report = provenance.verify(
        provenance.manifest_path(item.output.folder, item.name), request.trust(), frames=item.frames
    )
    absent = {frame for f in there.findings if f.code == "VS-SEQ-001" for frame in f.frames}
    broken = {one.frame for one in looked if any(fault.code == "VS-SEQ-003" for fault in one.faults)}
    aside = {file for f in there.findings if f.code in ("VS-SEQ-002", "VS-SEQ-004") for file in f.files}
    several: dict[tuple[str, str], list[Any]] = {}
    for one in report.findings:
        if one.kind == "missing" and one.frame in absent:
            continue
        if one.kind == "missing" and one.frame is None and absent:
            continue  # frames of the job that the manifest lacks, and the disk too
        if (one.kind == "unreadable" and one.frame in broken) or (one.kind == "extra" and one.file in aside):
            continue
        several.setdefault((one.rule.value, one.message), []).append(one)
    for (code, message), same in several.items():
        files = tuple(one.file for one in same if one.file)
        frames = tuple(one.frame for one in same if one.frame is not None)
        where = f"frames {FrameRange.of(frames)}: " if frames else f"{files[0]}: " if files else ""
        yield Finding(code, f"{where}{message}", item.name, frames, files)


def _identity(
    request: Request, locks: Sequence[consent.Locked], facts: dict[str, Any], cancel: CancelToken
) -> Iterator[Finding]:
    """VS-MOD-002: the finished faces are not consistent with the references that the consent names."""
    for lock in locks:
        found = consent.compared(request.items, lock, device=request.job.device, cancel=cancel)
        words = found.words(lock.performer) if len(found.distances) else "no face could be compared"
        facts.setdefault("identity", []).append(
            {
                "performer": lock.performer,
                "reference_sha256": lock.reference.sha256,
                "threshold": lock.threshold,
                "median": round(found.median, 4) if len(found.distances) else None,
                "faces": len(found.distances),
                "words": words,
            }
        )
        if not found.ok:
            yield Finding("VS-MOD-002", f"the swapped faces are {words}" if len(found.distances) else words,
                          request.items[0].name)  # fmt: skip
