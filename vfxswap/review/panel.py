"""What a page says of where a swap comes from: the signed manifest, and what its signatures are worth here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vfxswap import provenance, trust
from vfxswap.errors import ProvenanceError
from vfxswap.provenance import Trust

MOST_FINDINGS = 12


@dataclass(frozen=True)
class Panel:
    """Provenance for people.

    Attributes:
        state: what was found when the page was made.
        verdict: the same in words.
        facts: label -> text, of several lines perhaps.
        findings: what does not hold, one line each.
    """

    state: Literal["none", "holds", "fails"]
    verdict: str
    facts: Mapping[str, str]
    findings: tuple[str, ...] = ()


def panel(folder: Path, sequence: str, *, ring: trust.KeyRing | None) -> Panel:
    """The panel of a sequence's output; its files are compared with the manifest.

    Args:
        folder: where the frames are.
        sequence: their name.
        ring: keys that count, beside this user's own render keys.
    """
    path = provenance.manifest_path(folder, sequence)
    if not path.is_file():
        return Panel("none", "No manifest: nothing says where these frames come from.", {})
    try:
        found = provenance.read_manifest(path)
    except ProvenanceError as error:
        return Panel("fails", "The manifest cannot be read.", {}, (error.message,))
    report = provenance.verify(path, Trust(ring, provenance.own_ring()))
    findings = tuple(str(finding) for finding in report.findings)
    facts = provenance.facts(found)
    if not findings:
        return Panel("holds", "Every file was as signed when this page was made.", facts)
    more = len(findings) - MOST_FINDINGS
    listed = (*findings[:MOST_FINDINGS], *([f"and {more} more"] if more > 0 else []))
    return Panel("fails", f"{len(findings)} findings when this page was made.", facts, listed)
