"""A manifest in plain words, for people who never saw the program."""

from __future__ import annotations

from collections.abc import Iterable

from vfxswap.provenance import naming
from vfxswap.provenance.manifest import Manifest
from vfxswap.provenance.records import Making
from vfxswap.trust.canonical import format_time


def facts(found: Manifest) -> dict[str, str]:
    """What a manifest says, as label and text; a text may have several lines. Nothing is verified."""
    predicate = found.statement.predicate
    frames = predicate.frames
    altered = [entry.frame for entry in frames if entry.altered]
    plain = [entry.frame for entry in frames if not entry.altered]
    per = {len(entry.files) for entry in frames}
    swaps = dict.fromkeys(
        f"the face of {model.double} was replaced by that of {model.likeness}"
        for made in predicate.made
        for model in made.models
    )
    return {
        "sequence": f"{predicate.sequence}, {len(frames)} frames: {naming.compact(entry.frame for entry in frames)}",
        "what was done": "\n".join(swaps) or "nothing",
        "altered frames": naming.compact(altered) or "none",
        "untouched frames": naming.compact(plain) or "none",
        "shot": _each(made.job.shot for made in predicate.made),
        "plate": _each(made.job.plate for made in predicate.made),
        "model sha256": _each(model.sha256 for made in predicate.made for model in made.models),
        "consents": _each(_consents(predicate.made)) or "none recorded",
        "settings": _each(_settings(predicate.made)),
        "software": _each(", ".join(f"{k} {v}" for k, v in made.software.items()) for made in predicate.made),
        "files": f"{len(found.statement.subject)}" + (f", {max(per)} for each frame" if max(per) > 1 else ""),
        "signed": format_time(predicate.signing.time) + ", by the signer's own clock",
        "signed by (unchecked)": ", ".join(kid for kid, _ in found.signatures),
        "QC reports": ", ".join(entry.name for entry in predicate.qc or ()) or "none",
        "C2PA sidecar": predicate.signing.c2pa.name if predicate.signing.c2pa else "none",
    }


def _each(texts: Iterable[str]) -> str:
    return "\n".join(dict.fromkeys(texts))


def _consents(makings: Iterable[Making]) -> Iterable[str]:
    for made in makings:
        for consent in made.consents:
            role = "whose face appears" if consent.role == "likeness" else "whose face is replaced"
            yield f"{consent.performer} ({consent.role}, {role}): {consent.id}, record sha256 {consent.sha256}"


def _settings(makings: Iterable[Making]) -> Iterable[str]:
    for made in makings:
        for face in made.job.faces:
            knobs = ", ".join(f"{name} {value}" for name, value in face.parameters.items())
            mattes = f"; mattes {', '.join(face.mattes)}" if face.mattes else ""
            yield f"job {made.job_sha256[:12]}, {made.job.layers}, face {face.face}: {knobs}{mattes}"
