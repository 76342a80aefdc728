"""The consent gate: no faceset, training, export, render or publish without a `Grant`.

It stops accidents and leaves evidence. It does not stop somebody who edits the source (docs/consent.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import InitVar, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NoReturn, final, get_args

from vfxswap.errors import ConsentError
from vfxswap.trust import rules
from vfxswap.trust.canonical import format_time, now_utc
from vfxswap.trust.keys import KeyRing
from vfxswap.trust.records import CONSENT, ReferenceEmbeddings, Role, SignedConsent, Use
from vfxswap.trust.refusals import Rule, refusal
from vfxswap.trust.rules import NEEDS_MODEL, SIGNERS, Request
from vfxswap.trust.scope import ShotId, checked_identifier

_TOKEN = object()

TOGETHER: Final = "+"
"""Between the identifiers of performers who fill a role together, as a face made of several does; each consents."""


@dataclass(frozen=True)
class ConsentRef:
    """One consent a grant stands on.

    Attributes:
        role: the role it was used for; for a faceset, one the record allows.
        sha256: of the record's canonical JSON.
        kids: identifiers of the keys whose signatures counted.
        delete_model_by: when what is made under it has to be gone.
        reference: what faces of the performer are compared with, where the consent names it.
    """

    role: Role
    performer: str
    id: str
    sha256: str
    kids: tuple[str, ...]
    delete_model_by: datetime | None = None
    reference: ReferenceEmbeddings | None = None

    def entry(self) -> dict[str, str]:
        """What a faceset, training or model records of it; `rules.check_origin` reads it."""
        found = {"id": self.id, "sha256": self.sha256}
        if self.delete_model_by is not None:
            found["delete_model_by"] = format_time(self.delete_model_by)
        if self.reference is not None:
            found["reference_sha256"] = self.reference.file_sha256
        return found


@final
@dataclass(frozen=True, kw_only=True)
class Grant:
    """Proof, within this process, that a gate said yes. Only `Gate` makes one; it is neither copied nor pickled.

    Attributes:
        model_sha256: sha256 of the ONNX bytes for swap and publish, else None.
        checked_at: when, by the gate's clock.
        origin: ids of the consents under which the material was made that the gate was asked about.
    """

    use: Use
    shot: ShotId
    consents: tuple[ConsentRef, ...]
    model_sha256: str | None
    checked_at: datetime
    origin: frozenset[str] = frozenset()
    token: InitVar[object] = None

    def __post_init__(self, token: object) -> None:
        if token is not _TOKEN:
            _bad_grant("a grant cannot be made by hand")
        object.__setattr__(self, "_issued", _TOKEN)

    def __reduce__(self) -> NoReturn:
        _bad_grant("a grant does not leave the process that checked it")

    @property
    def performers(self) -> dict[Role, str]:
        """Performer id by role, several joined by TOGETHER; a grant for a faceset has one role only."""
        roles = dict.fromkeys(ref.role for ref in self.consents)
        return {role: TOGETHER.join(ref.performer for ref in self.consents if ref.role == role) for role in roles}

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
        origin: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        """Check that this grant covers what is about to happen.

        Loaders call it on the class, `Grant.require(grant, ...)`: what is no grant is then refused too.

        Args:
            use: what is about to be done.
            performers: the performers of the material at hand, e.g. from the model's manifest, by role. Not
                optional: a consent that allows any model allows it for its own performers only.
            model_sha256: of the ONNX bytes that are about to be loaded; needed for swap and publish.
            shot: compared when given.
            origin: the consents under which the material was made; the gate must have been asked about them.

        Raises:
            ConsentError: VS-CON-014, naming the difference.
        """
        _require_issued(self)
        if use != self.use:
            _bad_grant(f"the grant is for {self.use}, not for {use}")
        if dict(performers) != self.performers:
            _bad_grant(f"the grant is for {_people(self.performers)}, not for {_people(performers)}")
        if model_sha256 != self.model_sha256:
            _bad_grant(f"the grant is for model {self.model_sha256}, not for {model_sha256}")
        if shot is not None and shot != self.shot:
            _bad_grant(f"the grant is for shot {self.shot}, not for {shot}")
        self._require_asked(origin)

    def require_performer(self, performer: str, *, origin: Iterable[Mapping[str, Any]] = ()) -> None:
        """Check that this is a grant for building a faceset of `performer`; raises ConsentError VS-CON-014.

        `origin`: the consents of the faceset that is added to; the gate must have been asked about them.
        """
        _require_issued(self)
        if self.use != "train" or len(self.consents) != 1 or self.consents[0].performer != performer:
            _bad_grant(f"the grant is for {self.use} of {_people(self.performers)}, not for a faceset of {performer}")
        self._require_asked(origin)

    def _require_asked(self, origin: Iterable[Mapping[str, Any]]) -> None:
        unasked = sorted({str(part.get("id")) for part in origin} - self.origin - {*self.consent_ids})
        if unasked:
            _bad_grant(f"the gate was not asked whether consent {unasked[0]} still holds")


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
        self,
        *,
        shot: ShotId,
        use: Use,
        performers: Mapping[Role, str],
        model_sha256: str | None = None,
        origin: Sequence[Mapping[str, Any]] = (),
    ) -> Grant:
        """Grant `use` on `shot` for a likeness and a double, or refuse.

        Args:
            shot: the shot as the operator names it.
            use: train, swap or publish.
            performers: performer ids by role; both roles are needed. Of several joined by TOGETHER each must consent.
            model_sha256: of the ONNX bytes; needed for swap and publish, ignored for train.
            origin: the consents that the model, training or facesets at hand record (`ConsentRef.entry`): none of them
                may have been withdrawn since.

        Raises:
            ConsentError: VS-CON-001 ... 012, the first rule that the best consent at hand breaks.
        """
        if use not in get_args(Use):
            raise refusal(Rule.USE, f"unknown use {use!r}", hint=f"uses are {', '.join(get_args(Use))}")
        if set(performers) != set(get_args(Role)):
            raise refusal(
                Rule.MISSING,
                f"performers for {', '.join(sorted(performers)) or 'no role'} only",
                hint="name the performer of the likeness and of the double",
            )
        model = model_sha256 if use in NEEDS_MODEL else None
        now = self._clock()
        requests = [
            Request(use, role, one, shot, model) for role in get_args(Role) for one in performers[role].split(TOGETHER)
        ]
        refs = tuple(self._find(request, now) for request in requests)
        return self._grant(use, shot, refs, model, now, origin)

    def authorize_faceset(self, *, performer: str, shot: ShotId, origin: Sequence[Mapping[str, Any]] = ()) -> Grant:
        """Grant collecting a faceset (use: train) of one performer, in whichever role.

        Args:
            performer: whose faces.
            shot: where they come from.
            origin: the consents that a faceset which is added to records.

        Raises:
            ConsentError: as `authorize`.
        """
        now = self._clock()
        ref = self._find(Request("train", None, performer, shot, None), now)
        return self._grant("train", shot, (ref,), None, now, origin)

    def _grant(
        self,
        use: Use,
        shot: ShotId,
        refs: tuple[ConsentRef, ...],
        model: str | None,
        now: datetime,
        origin: Sequence[Mapping[str, Any]],
    ) -> Grant:
        rules.check_origin(origin, self._consents, self._ring, now=now)
        return Grant(
            use=use,
            shot=shot,
            consents=refs,
            model_sha256=model,
            checked_at=now,
            origin=frozenset(str(part.get("id")) for part in origin),
            token=_TOKEN,
        )

    def _find(self, request: Request, now: datetime) -> ConsentRef:
        """The first consent that allows `request`; otherwise the refusal that got furthest is raised."""
        checked_identifier(request.performer, what="performer")
        furthest, reason = -1, _missing(request, any_given=bool(self._consents))
        for consent in self._consents:
            if consent.record.performer.id != request.performer:
                continue
            passed = 0
            try:
                for check in rules.RULES:
                    check(consent, request, self._ring, now)
                    passed += 1
            except ConsentError as refused:
                if passed > furthest:
                    furthest, reason = passed, refused
                    reason.path = reason.path or consent.path
                continue
            return _reference(consent, request, self._ring, now)
        raise reason


def _reference(consent: SignedConsent, request: Request, ring: KeyRing, now: datetime) -> ConsentRef:
    record = consent.record
    checks = ring.check(consent.envelope, kind=CONSENT, now=now, performer=record.performer.id)
    kids = tuple(check.kid for check in checks if not check.problem and check.role in SIGNERS)
    return ConsentRef(
        role=request.role or record.roles[0],
        performer=record.performer.id,
        id=record.id,
        sha256=consent.sha256,
        kids=kids,
        delete_model_by=record.retention.delete_model_by if record.retention else None,
        reference=record.reference_embeddings,
    )


def _missing(request: Request, *, any_given: bool) -> ConsentError:
    role = f" ({request.role})" if request.role else ""
    which = "none of the given consents is of" if any_given else "no consent was given for"
    return refusal(
        Rule.MISSING,
        f"{which} performer {request.performer}{role}",
        hint="give --consent FILE, signed by the performer and by production",
    )


def _people(performers: Mapping[Role, str]) -> str:
    return ", ".join(f"{role} {performers[role]}" for role in sorted(performers)) or "nobody"


def _require_issued(grant: object) -> None:
    """Refuse whatever no gate issued: a look-alike, a subclass, or an object that skipped its own making."""
    if type(grant) is not Grant or getattr(grant, "_issued", None) is not _TOKEN:
        _bad_grant("this is not a grant that a gate issued")


def _bad_grant(message: str) -> NoReturn:
    raise refusal(Rule.GRANT, message, hint="ask the gate: Gate.authorize")
