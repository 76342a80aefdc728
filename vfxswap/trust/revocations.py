"""Revocation lists: read from the ring at every check, so that a withdrawal stops work that has already begun."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from vfxswap.errors import ConsentError
from vfxswap.trust.canonical import Envelope, parse_document
from vfxswap.trust.keys import PUBLIC_SUFFIX, KeyRing, PublicKey
from vfxswap.trust.records import REVOCATIONS, ConsentRecord, RevocationList
from vfxswap.trust.refusals import Rule, refusal

LIST_NAME = "revocations.json"
_PATTERN = "revocations*.json"
_SKEW = timedelta(minutes=5)  # clocks of two machines; more than that is a list from the future
_GET_IT = "get the current revocation list from production and put it into the key ring"


@dataclass(frozen=True)
class TrustedList:
    """A list whose signature was checked, with the key that made it; not yet checked for its age."""

    content: RevocationList
    key: PublicKey
    path: Path


def read_list(path: Path, ring: KeyRing, *, now: datetime) -> TrustedList:
    """Read one list; raises ConsentError VS-CON-005 unless a revocation key of `ring` signed it."""
    try:
        envelope = Envelope.read(path)
        content = parse_document(RevocationList, envelope.canonical)
    except ConsentError as problem:
        raise refusal(
            Rule.LIST_INVALID, f"revocation list invalid: {problem.message}", hint=_GET_IT, path=path
        ) from problem
    checks = ring.check(envelope, kind=REVOCATIONS, now=now, performer=None)
    if len(checks) != 1 or checks[0].problem or checks[0].role != "revocation":
        why = "it needs exactly one signature"
        if len(checks) == 1:
            why = f"{checks[0].kid}: {checks[0].problem or f'a {checks[0].role} key may not sign it'}"
        raise refusal(Rule.LIST_INVALID, f"revocation list invalid: {why}", hint=_GET_IT, path=path)
    return TrustedList(content, ring.keys[checks[0].kid], path)


def check_current(listed: TrustedList, *, now: datetime) -> None:
    """Raise ConsentError VS-CON-005 for a list dated in the future, VS-CON-006 for one past its next update."""
    issued, due = listed.content.issued, listed.content.next_update
    if issued > now + _SKEW:
        raise refusal(
            Rule.LIST_INVALID,
            f"revocation list invalid: issued {issued:%Y-%m-%d %H:%M}, now it is {now:%Y-%m-%d %H:%M} UTC",
            hint="check the clock of this machine, then " + _GET_IT,
            path=listed.path,
        )
    if now >= due:
        raise refusal(
            Rule.LIST_STALE,
            f"revocation list is {(now - issued).days} days old (next update was due {due:%Y-%m-%d})",
            hint=_GET_IT,
            path=listed.path,
        )


def files(ring: KeyRing) -> list[Path]:
    """The files of the ring that should be lists, unread."""
    return sorted(path for path in ring.folder.glob(_PATTERN) if not path.name.endswith(PUBLIC_SUFFIX))


def lists(ring: KeyRing, *, now: datetime) -> tuple[TrustedList, ...]:
    """Every list in the ring; raises ConsentError VS-CON-005 if one of them is not validly signed."""
    return tuple(read_list(path, ring, now=now) for path in files(ring))


def withdrawn(ring: KeyRing, *, now: datetime) -> dict[str, datetime]:
    """Consent id -> when it was withdrawn, of all lists in the ring: whoever a consent was of, it is gone."""
    return {entry.id: entry.revoked for listed in lists(ring, now=now) for entry in listed.content.revoked}


def check_not_revoked(record: ConsentRecord, ring: KeyRing, *, now: datetime) -> None:
    """Check `record` against every list in the ring that speaks for its performer.

    A list speaks for the performers its key may sign for: a list of somebody else's neither revokes nor vouches.

    Raises:
        ConsentError: VS-CON-004 revoked; 005 no list, an invalid one, or one from the future; 006 a stale one.
    """
    performer = record.performer.id
    speaking = [listed for listed in lists(ring, now=now) if listed.key.may_sign_for(performer)]
    if not speaking:
        raise refusal(
            Rule.LIST_INVALID, f"no revocation list in {ring.folder} speaks for performer {performer}", hint=_GET_IT
        )
    for listed in speaking:
        check_current(listed, now=now)
        for entry in listed.content.revoked:
            if entry.id == record.id:
                raise refusal(
                    Rule.REVOKED,
                    f"consent {record.id} of {performer} was revoked on {entry.revoked:%Y-%m-%d}",
                    hint="stop using this performer's material and ask production",
                )
