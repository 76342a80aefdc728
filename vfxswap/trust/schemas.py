"""JSON Schemas of the documents, as published in docs/schemas: what other tools need to write or read them.

A schema cannot say everything that is checked: that dates follow each other, that keys are not given twice, that
signatures count.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from vfxswap.trust.canonical import Document, Signature
from vfxswap.trust.keys import PublicKey
from vfxswap.trust.records import ConsentRecord, RevocationList
from vfxswap.trust.references import ReferenceFile


class SignedConsentDocument(Document):
    """A signed consent, `NAME.consent.json`."""

    payload: ConsentRecord
    signatures: tuple[Signature, ...]


class SignedRevocationList(Document):
    """A signed revocation list, `revocations.json` in the key ring: one signature, of a revocation key."""

    payload: RevocationList
    signatures: Annotated[tuple[Signature, ...], Field(min_length=1, max_length=1)]


PUBLISHED: dict[str, TypeAdapter[Any]] = {
    "consent": TypeAdapter(SignedConsentDocument | ConsentRecord),
    "consent-revocations": TypeAdapter(SignedRevocationList),
    "consent-key": TypeAdapter(PublicKey),
    "consent-reference": TypeAdapter(ReferenceFile),
}
"""File name without suffix -> what it describes. A consent may still be an unsigned record."""


def json_schema(name: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one of `PUBLISHED`."""
    found = PUBLISHED[name].json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}
