"""What is signed: the consent record and the revocation list."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from vfxswap.trust.canonical import Document, Envelope, Identifier, Signature, Time, parse_document, text_schema
from vfxswap.trust.scope import DEPTH, GLOB, is_scope

Role = Literal["likeness", "double"]
Use = Literal["train", "swap", "publish"]
Grantor = Literal["self", "estate", "guardian"]
CONSENT: Literal["vfxswap.consent/1"] = "vfxswap.consent/1"
REVOCATIONS: Literal["vfxswap.revocations/1"] = "vfxswap.revocations/1"

_ID = re.compile(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def is_sha256(text: str) -> bool:
    """Whether `text` is a sha256 in lower-case hex."""
    return _SHA256.fullmatch(text) is not None


def _consent_id(text: str) -> str:
    # Lower case only: a revocation compares text, and must not miss the same number spelled otherwise.
    if _ID.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not a lower-case urn:uuid")
    return text


def _sha256(text: str) -> str:
    if not is_sha256(text):
        raise ValueError(f"{text!r} is not a sha256 in lower-case hex")
    return text


def _scope(text: str) -> str:
    if not is_scope(text):
        raise ValueError(f"{text!r} is not a glob PROJECT/SEQUENCE/SHOT of three parts")
    return text


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    return text


ConsentId = Annotated[str, AfterValidator(_consent_id), text_schema(_ID.pattern)]
Sha256 = Annotated[str, AfterValidator(_sha256), text_schema(_SHA256.pattern)]
Scope = Annotated[str, AfterValidator(_scope), text_schema("/".join([GLOB] * DEPTH))]
Text = Annotated[str, AfterValidator(_filled), WithJsonSchema({"type": "string", "pattern": r"\S"})]


CONSISTENT: Final = 0.5
"""Distance to the middle of the references below which faces are consistent with them; docs/consent.md measures it."""

MOST_THRESHOLD: Final = 0.6
"""The customary limit for the same person: beyond it a comparison says nothing."""


class Performer(Document):
    """Who consents. The legal name stays in the contract; here at most a salted hash of it (trust/names.py)."""

    id: Identifier
    legal_name_sha256_salted: Sha256 | None = None


class Retention(Document):
    """When the trained model has to be gone; from then on no use is granted."""

    delete_model_by: Time


class ReferenceEmbeddings(Document):
    """Which file of reference embeddings the performer's faces are compared with. The vectors stay with production.

    Attributes:
        model_sha256: of the network that made them.
        file_sha256: of the file, `vfxswap.reference/1`.
        threshold: faces as near as this to the references' middle are consistent with them.
    """

    model_sha256: Sha256
    file_sha256: Sha256
    threshold: Annotated[float, Field(gt=0, le=MOST_THRESHOLD)]


class ConsentRecord(Document):
    """One performer's consent, `vfxswap.consent/1`. Fields marked (people) are not evaluated by the gate.

    Attributes:
        roles: `likeness`: the face may appear; `double`: the face may be replaced.
        uses: train (facesets, training, export), swap (measure, render), publish.
        purpose: (people) the specific description of the use.
        scope: globs PROJECT/SEQUENCE/SHOT, case-sensitive.
        scope_exclude: globs that win over `scope`, case-insensitive.
        not_before: first moment; `not_after`: first moment after the end.
        territories: (people) where the result may be shown.
        prohibited: (people) uses that are excluded whatever else is said.
        models: sha256 of the ONNX bytes of each model that may swap, or "any"; absent: none.
        reference_embeddings: what faces are compared with when a faceset is built; absent: with nothing.
        contract_sha256: (people) hash of the contract this record stands for.
    """

    schema_: Literal["vfxswap.consent/1"] = Field(alias="schema")
    id: ConsentId
    performer: Performer
    grantor: Grantor
    roles: Annotated[tuple[Role, ...], Field(min_length=1)]
    uses: Annotated[tuple[Use, ...], Field(min_length=1)]
    purpose: Text
    scope: Annotated[tuple[Scope, ...], Field(min_length=1)]
    scope_exclude: tuple[Scope, ...] = ()
    not_before: Time
    not_after: Time
    territories: Annotated[tuple[Text, ...], Field(min_length=1)]
    prohibited: tuple[Text, ...]
    models: Literal["any"] | tuple[Sha256, ...] | None = None
    retention: Retention | None = None
    reference_embeddings: ReferenceEmbeddings | None = None
    contract_sha256: Sha256 | None = None

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        if self.not_after <= self.not_before:
            raise ValueError("not_after is not later than not_before")
        return self


class Revocation(Document):
    """One withdrawn consent."""

    id: ConsentId
    revoked: Time
    reason: str = ""


class RevocationList(Document):
    """Withdrawn consents, `vfxswap.revocations/1`; good from `issued` until `next_update`."""

    schema_: Literal["vfxswap.revocations/1"] = Field(alias="schema")
    issued: Time
    next_update: Time
    revoked: tuple[Revocation, ...]

    @model_validator(mode="after")
    def _is_updated_later(self) -> Self:
        if self.next_update <= self.issued:
            raise ValueError("next_update is not later than issued")
        return self


@dataclass(frozen=True)
class SignedConsent:
    """A consent as read. Its record is parsed from the signed bytes, so the two cannot disagree.

    Attributes:
        sha256: of the canonical payload; signatures may be added without changing it.
    """

    envelope: Envelope
    path: Path | None = None
    record: ConsentRecord = field(init=False)
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        record = parse_document(ConsentRecord, self.envelope.canonical, path=self.path)
        object.__setattr__(self, "record", record)
        object.__setattr__(self, "sha256", hashlib.sha256(self.envelope.canonical).hexdigest())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a signed consent; raises ConsentError VS-CON-001 (no file) or VS-CON-012. Signatures: see `Gate`."""
        return cls(Envelope.read(path), path)

    @property
    def signatures(self) -> tuple[Signature, ...]:
        """The signatures, unchecked."""
        return self.envelope.signatures
