"""The rules of the consent gate, one function each: it returns when the consent allows the request, or refuses.

`RULES` is their order, which is also how far a consent got. The first is the signatures': nothing that an unsigned
record says counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vfxswap.errors import ConsentError
from vfxswap.trust.canonical import parse_time
from vfxswap.trust.keys import KeyRing, KeyRole
from vfxswap.trust.records import CONSENT, ConsentRecord, Role, SignedConsent, Use, is_sha256
from vfxswap.trust.refusals import Rule, refusal
from vfxswap.trust.revocations import check_not_revoked, withdrawn
from vfxswap.trust.scope import ShotId, matches_any

SIGNERS: tuple[KeyRole, ...] = ("performer", "production")
NEEDS_MODEL: frozenset[Use] = frozenset({"swap", "publish"})  # training has no model yet


@dataclass(frozen=True)
class Request:
    """What one performer is asked for.

    Attributes:
        role: None: whichever role the record allows.
        model_sha256: of the ONNX bytes, for swap and publish.
    """

    use: Use
    role: Role | None
    performer: str
    shot: ShotId
    model_sha256: str | None


Check = Callable[[SignedConsent, Request, KeyRing, datetime], None]


def check_signatures(consent: SignedConsent, request: Request, ring: KeyRing, now: datetime) -> None:
    """VS-CON-002: performer and production signed, with keys that may."""
    problem = signature_problem(consent, ring, now=now)
    if problem is not None:
        raise problem


def check_revocation(consent: SignedConsent, request: Request, ring: KeyRing, now: datetime) -> None:
    """VS-CON-004, 005, 006: not withdrawn, by lists that are signed and current."""
    check_not_revoked(consent.record, ring, now=now)


def check_validity(consent: SignedConsent, request: Request, ring: KeyRing, now: datetime) -> None:
    """VS-CON-003: within the dates."""
    check_dates(consent.record, now=now)


def check_retention(consent: SignedConsent, request: Request, ring: KeyRing, now: datetime) -> None:
    """VS-CON-003: before the day by which the model had to be deleted."""
    check_kept(consent.record, now=now)


def check_role(consent: SignedConsent, request: Request, ring: KeyRing, now: datetime) -> None:
    """VS-CON-007: the performer agreed to this side of the swap."""
    record = consent.record
    if request.role is not None and request.role not in record.roles:
        raise _not_covered(Rule.ROLE, record, f"allows the role {', '.join(record.roles)}, not {request.role}")


def check_use(consent: SignedConsent, request: Request, ring: KeyRing, now: datetime) -> None:
    """VS-CON-008: the performer agreed to this use."""
    record = consent.record
    if request.use not in record.uses:
        raise _not_covered(Rule.USE, record, f"allows {', '.join(record.uses)}, not {request.use}")


def check_scope(consent: SignedConsent, request: Request, ring: KeyRing, now: datetime) -> None:
    """VS-CON-009: the shot is one of those."""
    if not matches_any(request.shot, consent.record.scope):
        raise _outside(consent.record, request.shot)


def check_exclusions(consent: SignedConsent, request: Request, ring: KeyRing, now: datetime) -> None:
    """VS-CON-009: the shot is none of those that are excluded, however it is spelled."""
    if matches_any(request.shot, consent.record.scope_exclude, ignore_case=True):
        raise _outside(consent.record, request.shot)


def check_model(consent: SignedConsent, request: Request, ring: KeyRing, now: datetime) -> None:
    """VS-CON-010: the model is one of those. A record that lists none allows none."""
    if request.use not in NEEDS_MODEL:
        return
    record, model = consent.record, request.model_sha256
    if model is None or not is_sha256(model):
        raise refusal(
            Rule.MODEL, f"no model sha256 for {request.use} (got {model})", hint="give the hash of the ONNX bytes"
        )
    if record.models != "any" and model not in (record.models or ()):
        count = len(record.models or ())
        raise _not_covered(Rule.MODEL, record, f"does not list model sha256 {model} (it lists {count})")


RULES: tuple[Check, ...] = (
    check_signatures,
    check_revocation,
    check_validity,
    check_retention,
    check_role,
    check_use,
    check_scope,
    check_exclusions,
    check_model,
)


def signature_problem(consent: SignedConsent, ring: KeyRing, *, now: datetime) -> ConsentError | None:
    """The refusal VS-CON-002 when the performer's or production's signature is missing or does not count."""
    checks = ring.check(consent.envelope, kind=CONSENT, now=now, performer=consent.record.performer.id)
    missing = [role for role in SIGNERS if not any(c.role == role and not c.problem for c in checks)]
    if not missing:
        return None
    why = "; ".join(f"{check.kid}: {check.problem}" for check in checks if check.problem)
    return refusal(
        Rule.SIGNATURE,
        f"{_name(consent.record)} lacks a valid signature of: {', '.join(missing)}" + (f" [{why}]" if why else ""),
        hint="have it signed (vfxswap consent sign) by keys that the key ring trusts for this performer",
    )


def check_dates(record: ConsentRecord, *, now: datetime) -> None:
    """Raise ConsentError VS-CON-003 outside the record's dates."""
    if not record.not_before <= now < record.not_after:
        span = f"{record.not_before:%Y-%m-%d}..{record.not_after:%Y-%m-%d}"
        raise refusal(
            Rule.DATES,
            f"{_name(record)} is valid {span}, not on {now:%Y-%m-%d}",
            hint="ask the performer for a consent that covers today",
        )


def check_kept(record: ConsentRecord, *, now: datetime) -> None:
    """Raise ConsentError VS-CON-003 when the model had to be deleted."""
    if record.retention is not None and now >= record.retention.delete_model_by:
        raise _overdue(_name(record), record.retention.delete_model_by)


def check_origin(
    origin: Sequence[Mapping[str, Any]], given: Sequence[SignedConsent], ring: KeyRing, *, now: datetime
) -> None:
    """What a model or faceset was made under still holds, however good the consents are that were given now.

    Args:
        origin: its consents, as recorded (`ConsentRef.entry`): id, sha256, and delete_model_by where there is one.
        given: the consents at hand.
        ring: the lists of any performer in it count.
        now: the time.

    Raises:
        ConsentError: VS-CON-004 one was revoked, 003 the model had to be deleted, 012 one at hand has the same id and
            other words.
    """
    gone = withdrawn(ring, now=now)
    texts = {consent.record.id: consent.sha256 for consent in given}
    for part in origin:
        name, sha256 = str(part.get("id")), part.get("sha256")
        if name in gone:
            raise refusal(
                Rule.REVOKED,
                f"consent {name}, under which this was made, was revoked on {gone[name]:%Y-%m-%d}",
                hint="do not use it, and ask production whether it has to be deleted",
            )
        if texts.get(name, sha256) != sha256:
            raise refusal(
                Rule.DOCUMENT,
                f"consent {name} is not the one under which this was made: its words are others",
                hint="give the consent as it was signed then",
            )
        if "delete_model_by" in part:
            due = _time(part["delete_model_by"], name)
            if now >= due:
                raise _overdue(f"consent {name}, under which this was made", due)


def _time(text: object, consent: str) -> datetime:
    try:
        return parse_time(text)
    except ValueError as error:
        raise refusal(
            Rule.DOCUMENT, f"the record of consent {consent} is damaged: {error}", hint="export the model again"
        ) from error


def _overdue(name: str, due: datetime) -> ConsentError:
    return refusal(
        Rule.DATES,
        f"{name}: the model had to be deleted by {due:%Y-%m-%d}",
        hint="delete it, or ask the performer for a new consent",
    )


def _outside(record: ConsentRecord, shot: ShotId) -> ConsentError:
    exclude = f" without {' '.join(record.scope_exclude)}" if record.scope_exclude else ""
    return refusal(
        Rule.SCOPE,
        f"shot {shot} is outside the scope of {_name(record)}: {' '.join(record.scope)}{exclude}",
        hint="give the right --shot PROJECT/SEQUENCE/SHOT, or ask the performer for a wider consent",
    )


def _not_covered(rule: Rule, record: ConsentRecord, message: str) -> ConsentError:
    return refusal(rule, f"{_name(record)} {message}", hint="ask the performer for a consent that covers it")


def _name(record: ConsentRecord) -> str:
    return f"consent {record.id} of {record.performer.id}"
