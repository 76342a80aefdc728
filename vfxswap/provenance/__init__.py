"""Provenance: what was rendered, from what, under which consents, and whether it still is that (docs/provenance.md).

Every frame is written with a shard. `merge` signs the shards of a sequence as one manifest; `verify` compares files
with it and needs nothing but the public keys. `embed` puts C2PA into copies that people look at.
"""

from __future__ import annotations

from vfxswap.provenance.embedded import embed
from vfxswap.provenance.manifest import Manifest, Rule, manifest_path
from vfxswap.provenance.manifest import read as read_manifest
from vfxswap.provenance.merging import Merged, merge
from vfxswap.provenance.own_key import own_key, own_ring, public_file
from vfxswap.provenance.records import (
    ConsentEntry,
    FaceOrder,
    FileEntry,
    Job,
    Making,
    ModelEntry,
    Shard,
    Source,
    Statement,
)
from vfxswap.provenance.reports import cover, report_path
from vfxswap.provenance.shards import sequences
from vfxswap.provenance.verifying import Finding, Report, SequenceReport, Trust, verify
from vfxswap.provenance.words import facts

__all__ = [
    "ConsentEntry",
    "FaceOrder",
    "FileEntry",
    "Finding",
    "Job",
    "Making",
    "Manifest",
    "Merged",
    "ModelEntry",
    "Report",
    "Rule",
    "SequenceReport",
    "Shard",
    "Source",
    "Statement",
    "Trust",
    "cover",
    "embed",
    "facts",
    "manifest_path",
    "merge",
    "own_key",
    "own_ring",
    "public_file",
    "read_manifest",
    "report_path",
    "sequences",
    "verify",
]
