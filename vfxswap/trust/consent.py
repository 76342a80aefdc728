"""The consent gate: no faceset, training, export, render or publish without a `Grant`.

It stops accidents and leaves evidence. It does not stop somebody who edits the source (docs/consent.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass
from datetime import datetime
from pathlib import Path
from typing import NoReturn, final, get_args

from vfxswap.errors import ConsentError
from vfxswap.trust.canonical import now_utc
from vfxswap.trust.keys import KeyRing, KeyRole
from vfxswap.trust.records import CONSENT, ConsentRecord, Role, SignedConsent, Use, is_sha256
from vfxswap.trust.refusals import Rule, refusal
from vfxswap.trust.revocations import check_not_revoked
from vfxswap.trust.scope import ShotId, checked_identifier, matches_any

_SIGNERS: tuple[KeyRole, ...] = ("performer", "production")
_NEEDS_MODEL: frozenset[Use] = frozenset({"swap", "publish"})  # training has no model yet
_TOKEN = object()


@dataclass(frozen=True)
class ConsentRef:
    """One consent a grant stands on.

    Attributes:
        role: the role it was used for; for a faceset, one the record allows.
        sha256: of the record's canonical JSON.
        kids: identifiers of the keys whose signatures counted.
    """

    role: Role
    performer: str
    id: str
    sha256: str
    kids: tuple[str, ...]


@final
@dataclass(frozen=True, kw_only=True)
class Grant:
    """Proof, within this process, that a gate said yes. Only `Gate` makes one; it is neither copied nor pickled.

    Attributes:
        model_sha256: sha256 of the ONNX bytes for swap and publish, else None.
        checked_at: when, by the gate's clock.
    """

    use: Use
    shot: ShotId
    consents: tuple[ConsentRef, ...]
    model_sha256: str | None
    checked_at: datetime
    token: InitVar[object] = None

    def __post_init__(self, token: object) -> None:
        if token is not _TOKEN:
            _bad_grant("a grant cannot be made by hand")

    def __reduce__(self) -> NoReturn:
        _bad_grant("a grant does not leave the process that checked it")

    @property
    def performers(self) -> dict[Role, str]:
        """Performer id by role; a grant for a faceset has one role only."""
        return {ref.role: ref.performer for ref in self.consents}

    @property
    def consent_ids(self) -> tuple[str, ...]:
        """Ids of the consents, for manifests and provenance."""
        return tuple(ref.id for ref in self.consents)

    @property
    def record_sha256s(self) -> tuple[str, ...]:
        """Record hashes, in the order of `consent_ids`."""
        return tuple(ref.sha256 for ref in self.consents)

    def require(
        self,
        *,
        use: Use,
        performers: Mapping[Role, str],
        model_sha256: str | None = None,
        shot: ShotId | None = None,
    ) -> None:
        """Check that this grant covers what is about to happen.

        Args:
            use: what is about to be done.
            performers: the performers of the material at hand, e.g. from the model's manifest, by role. Not
                optional: a consent that allows any model allows it for its own performers only.
            model_sha256: of the ONNX bytes that are about to be loaded; needed for swap and publish.
            shot: compared when given.

        Raises:
            ConsentError: VS-CON-014, naming the difference.
        """
        if use != self.use:
            _bad_grant(f"the grant is for {self.use}, not for {use}")
        if dict(performers) != self.performers:
            _bad_grant(f"the grant is for {_people(self.performers)}, not for {_people(performers)}")
        if model_sha256 != self.model_sha256:
            _bad_grant(f"the grant is for model {self.model_sha256}, not for {model_sha256}")
        if shot is not None and shot != self.shot:
            _bad_grant(f"the grant is for shot {self.shot}, not for {shot}")

    def require_performer(self, performer: str) -> None:
        """Check that this is a grant for building a faceset of `performer`; raises ConsentError VS-CON-014."""
        if self.use != "train" or len(self.consents) != 1 or self.consents[0].performer != performer:
            _bad_grant(f"the grant is for {self.use} of {_people(self.performers)}, not for a faceset of {performer}")


@dataclass(frozen=True)
class _Request:
    use: Use
    role: Role | None  # None: whichever role the record allows
    performer: str
    shot: ShotId
    model_sha256: str | None


class Gate:
    """Checks consents against a key ring and issues grants. Takes about a millisecond.

    Args:
        ring: whose signatures count.
        consents: the signed consents at hand, as files or as read.
        clock: the current time; anything but the default is for tests.

    Raises:
        ConsentError: VS-CON-001 or 012, a consent file that is missing or not a consent.
    """

    def __init__(
        self,
        ring: KeyRing,
        consents: Sequence[Path | SignedConsent],
        clock: Callable[[], datetime] = now_utc,
    ) -> None:
        self._ring = ring
        self._consents = tuple(c if isinstance(c, SignedConsent) else SignedConsent.read(Path(c)) for c in consents)
        self._clock = clock

    def authorize(
        self, *, shot: ShotId, use: Use, performers: Mapping[Role, str], model_sha256: str | None = None
    ) -> Grant:
        """Grant `use` on `shot` for a likeness and a double, or refuse.

        Args:
            shot: the shot as the operator names it.
            use: train, swap or publish.
            performers: performer ids by role; both roles are needed.
            model_sha256: of the ONNX bytes; needed for swap and publish, ignored for train.

        Raises:
            ConsentError: VS-CON-001 ... 011, the first rule that the best consent at hand breaks.
        """
        if use not in get_args(Use):
            raise refusal(Rule.USE, f"unknown use {use!r}", hint=f"uses are {', '.join(get_args(Use))}")
        if set(performers) != set(get_args(Role)):
            raise refusal(
                Rule.MISSING,
                f"performers for {', '.join(sorted(performers)) or 'no role'} only",
                hint="name the performer of the likeness and of the double",
            )
        model = model_sha256 if use in _NEEDS_MODEL else None
        now = self._clock()
        requests = [_Request(use, role, performers[role], shot, model) for role in get_args(Role)]
        refs = tuple(self._find(request, now) for request in requests)
        return Grant(use=use, shot=shot, consents=refs, model_sha256=model, checked_at=now, token=_TOKEN)

    def authorize_faceset(self, *, performer: str, shot: ShotId) -> Grant:
        """Grant collecting a faceset (use: train) of one performer, in whichever role; raises ConsentError."""
        now = self._clock()
        ref = self._find(_Request("train", None, performer, shot, None), now)
        return Grant(use="train", shot=shot, consents=(ref,), model_sha256=None, checked_at=now, token=_TOKEN)

    def _find(self, request: _Request, now: datetime) -> ConsentRef:
        """The first consent that allows `request`; otherwise the refusal that got furthest is raised."""
        checked_identifier(request.performer, what="performer")
        furthest, reason = -1, _missing(request, any_given=bool(self._consents))
        for consent in self._consents:
            if consent.record.performer.id != request.performer:
                continue
            passed = 0
            try:
                for _ in _checks(consent, request, self._ring, now):
                    passed += 1
            except ConsentError as refused:
                if passed > furthest:
                    furthest, reason = passed, refused
                    reason.path = reason.path or consent.path
                continue
            return _reference(consent, request, self._ring, now)
        raise reason


def signature_problem(consent: SignedConsent, ring: KeyRing, *, now: datetime) -> ConsentError | None:
    """The refusal VS-CON-002 when the performer's or production's signature is missing or does not count."""
    checks = ring.check(consent.envelope, kind=CONSENT, now=now, performer=consent.record.performer.id)
    missing = [role for role in _SIGNERS if not any(c.role == role and not c.problem for c in checks)]
    if not missing:
        return None
    why = "; ".join(f"{check.kid}: {check.problem}" for check in checks if check.problem)
    return refusal(
        Rule.SIGNATURE,
        f"{_name(consent.record)} lacks a valid signature of: {', '.join(missing)}" + (f" [{why}]" if why else ""),
        hint="have it signed (vfxswap consent sign) by keys that the key ring trusts for this performer",
    )


def check_dates(record: ConsentRecord, *, now: datetime) -> None:
    """Raise ConsentError VS-CON-003 outside the record's dates, or after the model had to be deleted."""
    if not record.not_before <= now < record.not_after:
        span = f"{record.not_before:%Y-%m-%d}..{record.not_after:%Y-%m-%d}"
        raise refusal(
            Rule.DATES,
            f"{_name(record)} is valid {span}, not on {now:%Y-%m-%d}",
            hint="ask the performer for a consent that covers today",
        )
    if record.retention is not None and now >= record.retention.delete_model_by:
        raise refusal(
            Rule.DATES,
            f"{_name(record)}: the model had to be deleted by {record.retention.delete_model_by:%Y-%m-%d}",
            hint="delete it, or ask the performer for a new consent",
        )


def _checks(consent: SignedConsent, request: _Request, ring: KeyRing, now: datetime) -> Iterator[None]:
    """Every rule in turn; yields after each one that holds and raises at the first that does not."""
    record = consent.record
    problem = signature_problem(consent, ring, now=now)
    if problem is not None:  # first of all: nothing an unsigned record says counts
        raise problem
    yield
    check_not_revoked(record, ring, now=now)
    yield
    check_dates(record, now=now)
    yield
    if request.role is not None and request.role not in record.roles:
        raise _not_covered(Rule.ROLE, record, f"allows the role {', '.join(record.roles)}, not {request.role}")
    yield
    if request.use not in record.uses:
        raise _not_covered(Rule.USE, record, f"allows {', '.join(record.uses)}, not {request.use}")
    yield
    _check_scope(record, request.shot)
    yield
    _check_model(record, request)
    yield


def _check_scope(record: ConsentRecord, shot: ShotId) -> None:
    inside = matches_any(shot, record.scope)
    if not inside or matches_any(shot, record.scope_exclude, ignore_case=True):
        exclude = f" without {' '.join(record.scope_exclude)}" if record.scope_exclude else ""
        raise refusal(
            Rule.SCOPE,
            f"shot {shot} is outside the scope of {_name(record)}: {' '.join(record.scope)}{exclude}",
            hint="give the right --shot PROJECT/SEQUENCE/SHOT, or ask the performer for a wider consent",
        )


def _check_model(record: ConsentRecord, request: _Request) -> None:
    if request.use not in _NEEDS_MODEL:
        return
    model = request.model_sha256
    if model is None or not is_sha256(model):
        raise refusal(
            Rule.MODEL, f"no model sha256 for {request.use} (got {model})", hint="give the hash of the ONNX bytes"
        )
    if record.models != "any" and model not in (record.models or ()):
        count = len(record.models or ())
        raise _not_covered(Rule.MODEL, record, f"does not list model sha256 {model} (it lists {count})")


def _reference(consent: SignedConsent, request: _Request, ring: KeyRing, now: datetime) -> ConsentRef:
    record = consent.record
    checks = ring.check(consent.envelope, kind=CONSENT, now=now, performer=record.performer.id)
    kids = tuple(check.kid for check in checks if not check.problem and check.role in _SIGNERS)
    return ConsentRef(request.role or record.roles[0], record.performer.id, record.id, consent.sha256, kids)


def _missing(request: _Request, *, any_given: bool) -> ConsentError:
    role = f" ({request.role})" if request.role else ""
    which = "none of the given consents is of" if any_given else "no consent was given for"
    return refusal(
        Rule.MISSING,
        f"{which} performer {request.performer}{role}",
        hint="give --consent FILE, signed by the performer and by production",
    )


def _not_covered(rule: Rule, record: ConsentRecord, message: str) -> ConsentError:
    return refusal(rule, f"{_name(record)} {message}", hint="ask the performer for a consent that covers it")


def _name(record: ConsentRecord) -> str:
    return f"consent {record.id} of {record.performer.id}"


def _people(performers: Mapping[Role, str]) -> str:
    return ", ".join(f"{role} {performers[role]}" for role in sorted(performers)) or "nobody"


def _bad_grant(message: str) -> NoReturn:
    raise refusal(Rule.GRANT, message, hint="ask the gate: Gate.authorize")
