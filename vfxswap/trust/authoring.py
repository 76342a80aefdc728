"""Making, signing, reading and withdrawing consents: what `vfxswap consent` calls. Nothing here prints."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from vfxswap.errors import ConsentError, UsageError
from vfxswap.trust.canonical import Envelope, canonical_json, format_time, now_utc, parse_document, read_object
from vfxswap.trust.canonical import write_object as write_record
from vfxswap.trust.keys import KeyRing, PrivateKey, PublicKey, SignatureCheck
from vfxswap.trust.records import (
    CONSENT,
    REVOCATIONS,
    ConsentRecord,
    Grantor,
    Revocation,
    RevocationList,
    Role,
    SignedConsent,
    Use,
)
from vfxswap.trust.refusals import Rule, refusal
from vfxswap.trust.revocations import LIST_NAME, check_not_revoked, read_list
from vfxswap.trust.rules import check_dates, check_kept, signature_problem

__all__ = [
    "PROHIBITED",
    "VerifyReport",
    "new_consent",
    "read_record",
    "revoke",
    "show",
    "sign",
    "verify",
    "write_record",
]

PROHIBITED = ("nudity", "political", "advertising", "third_party_training")
_UPDATE = timedelta(days=7)


def new_consent(
    *,
    performer: str,
    roles: Sequence[Role],
    uses: Sequence[Use],
    purpose: str,
    scope: Sequence[str],
    not_before: datetime,
    not_after: datetime,
    scope_exclude: Sequence[str] = (),
    territories: Sequence[str] = ("*",),
    prohibited: Sequence[str] = PROHIBITED,
    models: Sequence[str] | Literal["any"] | None = None,
    grantor: Grantor = "self",
    contract_sha256: str | None = None,
    delete_model_by: datetime | None = None,
    legal_name_sha256_salted: str | None = None,
    reference_embeddings: Mapping[str, object] | None = None,
) -> dict[str, Any]:
    """An unsigned consent record with a new id, checked, as JSON (fields: `ConsentRecord`).

    A legal name goes in as `names.name_hash`, reference embeddings as `references.Reference.named`.

    Write it with `write_record`, let people read it, then `sign` it twice.

    Raises:
        ConsentError: VS-CON-012 naming the field that is wrong.
    """
    who = {"id": performer, "legal_name_sha256_salted": legal_name_sha256_salted}
    record: dict[str, Any] = {
        "schema": CONSENT,
        "id": uuid.uuid4().urn,
        "performer": {key: value for key, value in who.items() if value is not None},
        "grantor": grantor,
        "roles": list(roles),
        "uses": list(uses),
        "purpose": purpose,
        "scope": list(scope),
        "scope_exclude": list(scope_exclude),
        "not_before": format_time(not_before),
        "not_after": format_time(not_after),
        "territories": list(territories),
        "prohibited": list(prohibited),
    }
    if models is not None:
        record["models"] = models if isinstance(models, str) else list(models)
    if contract_sha256 is not None:
        record["contract_sha256"] = contract_sha256
    if reference_embeddings is not None:
        record["reference_embeddings"] = dict(reference_embeddings)
    if delete_model_by is not None:
        record["retention"] = {"delete_model_by": format_time(delete_model_by)}
    parse_document(ConsentRecord, canonical_json(record))
    return record


def sign(path: Path, *, key_file: Path, passphrase: str, output: Path | None = None) -> SignedConsent:
    """Add one signature to the record at `path` (unsigned, or signed by others), in place or to `output`.

    Raises:
        ConsentError: VS-CON-001/012, not a consent record.
        UsageError: the key is missing, its passphrase wrong, or it is of a role that signs no consents.
    """
    consent = _read_any(path)
    key = PrivateKey.load(key_file, passphrase=passphrase)
    if key.role not in ("performer", "production"):
        raise UsageError(
            f"a {key.role} key cannot sign a consent", path=key_file, hint="use the performer's or production's key"
        )
    envelope = consent.envelope.signed_by(kid=key.kid, key=key.secret, kind=CONSENT)
    target = output or path
    write_record(target, envelope.to_json())
    return SignedConsent(envelope, target)


@dataclass(frozen=True)
class VerifyReport:
    """What `verify` found.

    Attributes:
        signatures: each signature in the file and what it is worth.
        problems: why the gate would refuse, one line each, whatever the shot and use; empty when it would not.
    """

    consent: SignedConsent
    signatures: tuple[SignatureCheck, ...]
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the consent is signed, current and not revoked."""
        return not self.problems


def verify(path: Path, ring: KeyRing, *, clock: Callable[[], datetime] = now_utc) -> VerifyReport:
    """Check signatures, revocation and dates of a signed consent; raises ConsentError only if it cannot be read."""
    consent = SignedConsent.read(path)
    record, now = consent.record, clock()
    refusals = (
        signature_problem(consent, ring, now=now),
        _caught(lambda: check_not_revoked(record, ring, now=now)),
        _caught(lambda: check_dates(record, now=now)),
        _caught(lambda: check_kept(record, now=now)),
    )
    problems = tuple(str(refused) for refused in refusals if refused is not None)
    checks = ring.check(consent.envelope, kind=CONSENT, now=now, performer=record.performer.id)
    return VerifyReport(consent, checks, problems)


def _caught(check: Callable[[], None]) -> ConsentError | None:
    try:
        check()
    except ConsentError as refused:
        return refused
    return None


def show(path: Path) -> dict[str, str]:
    """A consent, signed or not, as label and value in plain words. Nothing is verified."""
    consent = _read_any(path)
    record = consent.record
    models = record.models if isinstance(record.models, str) else "\n".join(record.models or ())
    return {
        "consent": record.id,
        "performer": record.performer.id,
        "granted by": record.grantor,
        "role": ", ".join(record.roles),
        "uses": ", ".join(record.uses),
        "purpose": record.purpose,
        "shots": "\n".join(record.scope),
        "except shots": "\n".join(record.scope_exclude) or "none",
        "from": format_time(record.not_before),
        "until": format_time(record.not_after),
        "territories": ", ".join(record.territories),
        "prohibited": ", ".join(record.prohibited) or "nothing listed",
        "models": models or "none: no swap, no publish",
        "delete model by": format_time(record.retention.delete_model_by) if record.retention else "not stated",
        "legal name": "a salted hash; vfxswap consent name opens it"
        if record.performer.legal_name_sha256_salted
        else "not tied",
        "compared with": _reference(record),
        "contract sha256": record.contract_sha256 or "not stated",
        "signed by (unchecked)": ", ".join(signature.kid for signature in consent.signatures) or "nobody",
        "record sha256": consent.sha256,
    }


def _reference(record: ConsentRecord) -> str:
    named = record.reference_embeddings
    if named is None:
        return "nothing: faces are not compared"
    return f"reference file sha256 {named.file_sha256}, distance below {named.threshold}"


def revoke(
    consents: Sequence[Path] = (),
    *,
    consent_ids: Sequence[str] = (),
    ring: KeyRing,
    key_file: Path,
    passphrase: str,
    reason: str = "",
    valid_for: timedelta = _UPDATE,
    output: Path | None = None,
    clock: Callable[[], datetime] = now_utc,
) -> RevocationList:
    """Withdraw consents and issue the ring's revocation list anew. With no consents it only renews the list.

    Args:
        consents: files of the consents to withdraw; their performers must be ones the key may sign for.
        consent_ids: the same by id, for consents whose file is lost (no such check is possible).
        ring: the ring whose list is renewed; it must hold the key's public half.
        key_file: a revocation key.
        passphrase: of the key.
        reason: kept in the list, which every worker can read: no private details.
        valid_for: after this time the list is stale and every gate refuses.
        output: default `revocations.json` in the ring.
        clock: what `now` is.

    Raises:
        UsageError: the key cannot sign a revocation list that this ring trusts.
        ConsentError: VS-CON-005, the list there is not validly signed (re-signing would launder it); 012, a bad id.
    """
    now = clock()
    target = output or ring.folder / LIST_NAME
    key = PrivateKey.load(key_file, passphrase=passphrase)
    public = ring.keys.get(key.kid)
    if key.role != "revocation" or public is None or public.raw != key.secret.public_key().public_bytes_raw():
        raise UsageError(
            f"key {key.kid} is not a revocation key of {ring.folder}",
            path=key_file,
            hint="use the revocation key, and put its public half into the key ring",
        )
    ids = list(consent_ids)
    for consent in map(_read_any, consents):
        if not public.may_sign_for(consent.record.performer.id):
            raise UsageError(
                f"key {key.kid} may not sign for performer {consent.record.performer.id}",
                path=consent.path,
                hint="use the revocation key that speaks for this performer",
            )
        ids.append(consent.record.id)
    kept = _kept(target, ring, public, now=now)
    known = {entry.id for entry in kept}
    new = [{"id": id_, "revoked": format_time(now), "reason": reason} for id_ in dict.fromkeys(ids) if id_ not in known]
    payload = {
        "schema": REVOCATIONS,
        "issued": format_time(now),
        "next_update": format_time(now + valid_for),
        "revoked": [*(entry.model_dump() for entry in kept), *new],
    }
    canonical = canonical_json(payload)
    content = parse_document(RevocationList, canonical)
    write_record(target, Envelope(canonical).signed_by(kid=key.kid, key=key.secret, kind=REVOCATIONS).to_json())
    return content


def _kept(target: Path, ring: KeyRing, key: PublicKey, *, now: datetime) -> tuple[Revocation, ...]:
    """The entries of the list that `key` is about to replace."""
    if not target.exists():
        return ()
    existing = read_list(target, ring, now=now)
    if existing.key.performers != key.performers:
        raise UsageError(
            f"{existing.key.kid} speaks there for other performers than {key.kid}",
            path=target,
            hint=f"keep both lists: give --output {target.with_name(f'revocations-{key.kid}.json')}",
        )
    return existing.content.revoked


def read_record(path: Path) -> ConsentRecord:
    """The record of a consent, signed or not, unverified; raises ConsentError VS-CON-001 or 012."""
    return _read_any(path).record


def _read_any(path: Path) -> SignedConsent:
    """A consent file, signed or still a bare record."""
    value = read_object(path)
    if "payload" in value:
        return SignedConsent.read(path)
    if value.get("schema") != CONSENT:
        raise refusal(Rule.DOCUMENT, "is not a consent record", hint="make one: vfxswap consent new", path=path)
    return SignedConsent(Envelope(canonical_json(value, path=path)), path)
