"""The gate: everything it must refuse, and what it grants."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from vfxswap import trust
from vfxswap.errors import EXIT_REFUSED, ConsentError
from vfxswap.trust import ConsentRef, Gate, Grant, Role, ShotId, SignedConsent
from vfxswap.trust.canonical import Envelope

BOTH: dict[Role, str] = {"likeness": "ben", "double": "anna"}


def refused(code: str, text: str = "") -> Any:
    """The next statement raises ConsentError with this code, exit 77, one line."""
    return _Refused(code, text)


class _Refused:
    def __init__(self, code: str, text: str) -> None:
        self.code, self.text = code, text

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        assert isinstance(error, ConsentError), f"not refused, but {error!r}"
        assert error.code == self.code, error
        assert error.exit_code == EXIT_REFUSED == 77
        assert str(error).startswith(self.code) and "\n" not in str(error) and error.hint
        assert self.text in str(error)
        return True


def edit(path: Path, change: Any) -> Path:
    """Rewrite a signed document by hand, keeping its signatures."""
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
    return path


# ---- granted


@pytest.mark.parametrize("use", ["train", "swap", "publish"])
def test_grants_what_was_consented_to(studio, use):
    ben, anna = studio.consent("ben"), studio.consent("anna")
    grant = studio.ask(ben, anna, use=use)
    records = [SignedConsent.read(path) for path in (ben, anna)]
    assert grant.performers == BOTH
    assert grant.consent_ids == tuple(consent.record.id for consent in records)
    assert grant.record_sha256s == tuple(consent.sha256 for consent in records)
    assert grant.shot == studio.shot
    assert grant.checked_at == studio.now
    assert grant.consents[0].kids == ("perf-ben", "prod")
    model = None if use == "train" else studio.model
    assert grant.model_sha256 == model
    grant.require(use=use, performers=BOTH, model_sha256=model, shot=studio.shot)


def test_any_model_needs_the_word_any(studio):
    ben, anna = studio.consent("ben", models="any"), studio.consent("anna", models="any")
    assert studio.ask(ben, anna, model_sha256="0" * 64).model_sha256 == "0" * 64


def test_one_of_several_consents_is_enough(studio):
    ben = [studio.consent("ben", scope=[f"show1/{sequence}/*"]) for sequence in ("sq030", "sq010", "sq020")]
    grant = studio.ask(*ben, studio.consent("anna"))
    assert grant.consent_ids[0] == SignedConsent.read(ben[1]).record.id


def test_one_person_may_be_both_with_consent_for_both_roles(studio):
    both = studio.consent("ben", roles=["likeness", "double"])
    assert studio.ask(both, performers={"likeness": "ben", "double": "ben"}).performers["double"] == "ben"


@pytest.mark.parametrize("performer", ["ben", "anna"])
def test_a_faceset_needs_one_performer_in_either_role(studio, performer):
    gate = studio.gate(studio.consent("ben"), studio.consent("anna"))
    grant = gate.authorize_faceset(performer=performer, shot=studio.shot)
    grant.require_performer(performer)
    with refused("VS-CON-014", "not for a faceset of carl"):
        grant.require_performer("carl")
    with refused("VS-CON-014"):  # a grant to collect is no grant to train
        grant.require(use="train", performers=BOTH)


def test_authorize_takes_milliseconds(studio):
    gate = studio.gate(studio.consent("ben"), studio.consent("anna"))
    best = 1.0
    for _ in range(5):
        start = time.perf_counter()
        gate.authorize(shot=studio.shot, use="swap", performers=BOTH, model_sha256=studio.model)
        best = min(best, time.perf_counter() - start)
    assert best < 0.05  # about 1.3 ms; the margin is for busy machines


# ---- no consent at all


def test_no_consent(studio):
    with refused("VS-CON-001", "performer ben (likeness)"):
        studio.ask()
    with refused("VS-CON-001", "--consent FILE"):
        studio.gate().authorize_faceset(performer="ben", shot=studio.shot)


def test_both_people_must_consent(studio):
    with refused("VS-CON-001", "anna (double)"):
        studio.ask(studio.consent("ben"))
    with refused("VS-CON-001", "ben (likeness)"):
        studio.ask(studio.consent("anna"))


@pytest.mark.parametrize(
    "performers", [{}, {"likeness": "ben"}, {"double": "anna"}, {"likeness": "ben", "double": "anna", "extra": "ben"}]
)
def test_both_roles_must_be_named(studio, performers):
    with refused("VS-CON-001"):
        studio.ask(studio.consent("ben"), studio.consent("anna"), performers=performers)


def test_missing_and_damaged_files(studio):
    with refused("VS-CON-001", "no such file"):
        studio.gate(studio.root / "nothing.json")
    damaged = studio.root / "damaged.json"
    for text in ("", "{", "[]", '{"payload": {}}', '{"payload": {}, "signatures": []}', "\xff", "[" * 100_000):
        damaged.write_text(text, encoding="latin-1")
        with refused("VS-CON-012"):
            studio.gate(damaged)


# ---- each rule, broken by either person's consent


BREAKS: dict[str, tuple[str, dict[str, Any]]] = {
    "wrong role": ("VS-CON-007", {"roles": None}),
    "wrong use": ("VS-CON-008", {"uses": ["train"]}),
    "wrong shot": ("VS-CON-009", {"scope": ["show1/sq011/*", "show2/sq010/*"]}),
    "excluded shot": ("VS-CON-009", {"scope_exclude": ["show1/sq010/*"]}),
    "excluded in other case": ("VS-CON-009", {"scope_exclude": ["SHOW1/SQ010/SH*"]}),
    "wrong model": ("VS-CON-010", {"models": ["cd" * 32]}),
    "no models": ("VS-CON-010", {"models": None}),
    "empty models": ("VS-CON-010", {"models": []}),
}


@pytest.mark.parametrize("performer", ["ben", "anna"])
@pytest.mark.parametrize("case", BREAKS)
def test_each_rule_refuses(studio, performer, case):
    code, changes = BREAKS[case]
    if "roles" in changes:
        changes = {"roles": ["double" if performer == "ben" else "likeness"]}
    other = "anna" if performer == "ben" else "ben"
    with refused(code, performer):
        studio.ask(studio.consent(performer, **changes), studio.consent(other))


def test_dates(studio):
    consents = studio.consent("ben"), studio.consent("anna")
    moment = timedelta(seconds=1)
    studio.revoke(at=studio.start, valid_for=timedelta(days=900))
    assert studio.ask(*consents, at=studio.start)
    assert studio.ask(*consents, at=studio.end - moment)
    studio.key("early", "revocation", "carl")  # unrelated
    with refused("VS-CON-003", "valid 2026-01-01..2027-01-01, not on 2027-01-01"):
        studio.ask(*consents, at=studio.end)
    later = studio.consent("ben", not_before=studio.now + moment)
    with refused("VS-CON-003", "not on 2026-06-01"):
        studio.ask(later, consents[1])


def test_no_use_after_the_model_had_to_be_deleted(studio):
    due = studio.now + timedelta(days=1)
    consents = studio.consent("ben", delete_model_by=due), studio.consent("anna")
    assert studio.ask(*consents)
    with refused("VS-CON-003", "had to be deleted by 2026-06-02"):
        studio.ask(*consents, at=due)


@pytest.mark.parametrize("model", [None, "", "any", "AB" * 32, "ab" * 31])
def test_a_swap_needs_a_real_model_hash(studio, model):
    ben, anna = studio.consent("ben", models="any"), studio.consent("anna", models="any")
    with refused("VS-CON-010", "no model sha256"):
        studio.ask(ben, anna, model_sha256=model)


@pytest.mark.parametrize("use", ["view", "", "*", "export"])
def test_unknown_use(studio, use):
    with refused("VS-CON-008"):
        studio.ask(studio.consent("ben"), studio.consent("anna"), use=use)


@pytest.mark.parametrize("performer", ["../ben", "", "be*", "ben\n", "*"])
def test_performers_are_identifiers(studio, performer):
    with refused("VS-CON-011"):
        studio.ask(studio.consent("ben"), performers={"likeness": performer, "double": "anna"})


def test_the_refusal_that_got_furthest_is_told(studio):
    expired = studio.consent("ben", not_after=studio.now)
    wrong_shot = studio.consent("ben", scope=["show2/*/*"])
    unsigned = studio.consent("ben", signers=["prod"])
    with refused("VS-CON-009", "show2/*/*"):
        studio.ask(expired, wrong_shot, unsigned, studio.consent("anna"))


# ---- signatures


@pytest.mark.parametrize("field", ["scope", "not_after", "models", "id", "purpose"])
def test_tampering_is_seen(studio, field):
    new = {
        "scope": ["*/*/*"],
        "not_after": "2099-01-01T00:00:00Z",
        "models": "any",
        "id": "urn:uuid:00000000-0000-4000-8000-000000000000",
        "purpose": "Anything.",
    }[field]
    ben = edit(studio.consent("ben"), lambda value: value["payload"].update({field: new}))
    with refused("VS-CON-002", "performer, production"):
        studio.ask(ben, studio.consent("anna"))


@pytest.mark.parametrize(("signers", "missing"), [(["prod"], "performer"), (["perf-ben"], "production")])
def test_one_signature_is_not_enough(studio, signers, missing):
    with refused("VS-CON-002", f"lacks a valid signature of: {missing}"):
        studio.ask(studio.consent("ben", signers=signers), studio.consent("anna"))


def test_only_signatures_that_counted_are_recorded(studio):
    studio.key("prod-old", "production", "*", not_after=studio.now)
    ben = studio.consent("ben", signers=["prod-old", "perf-anna", "perf-ben", "prod"])
    assert studio.ask(ben, studio.consent("anna")).consents[0].kids == ("perf-ben", "prod")


def test_no_signature(studio):
    ben = studio.consent("ben")
    edit(ben, lambda value: value["signatures"].clear())
    with refused("VS-CON-002", "performer, production"):
        studio.ask(ben, studio.consent("anna"))


def test_a_bare_record_is_not_a_consent(studio):
    with refused("VS-CON-012", "consent sign"):
        studio.gate(studio.consent("ben", signers=[]))


def test_forged_by_an_unknown_key(studio):
    studio.key("forger", "performer", "*", trusted=False)
    with refused("VS-CON-002", "forger: the key is not in the key ring"):
        studio.ask(studio.consent("ben", signers=["forger", "prod"]), studio.consent("anna"))


def test_forged_under_a_known_name(studio, tmp_path):
    studio.key("forger", "performer", "*", trusted=False)
    ben = studio.consent("ben", signers=["forger", "prod"])
    edit(ben, lambda value: value["signatures"][0].update(kid="perf-ben"))
    with refused("VS-CON-002", "perf-ben: the signature does not fit the document"):
        studio.ask(ben, studio.consent("anna"))


def test_a_performer_key_does_not_sign_as_production(studio):
    studio.key("perf-ben-2", "performer", "ben")
    with refused("VS-CON-002", "lacks a valid signature of: production"):
        studio.ask(studio.consent("ben", signers=["perf-ben", "perf-ben-2"]), studio.consent("anna"))


def test_production_does_not_sign_as_performer(studio):
    studio.key("prod-2", "production", "*")
    with refused("VS-CON-002", "lacks a valid signature of: performer"):
        studio.ask(studio.consent("ben", signers=["prod", "prod-2"]), studio.consent("anna"))


def test_one_performer_does_not_sign_for_another(studio):
    with refused("VS-CON-002", "perf-anna: the key may not sign for performer ben"):
        studio.ask(studio.consent("ben", signers=["perf-anna", "prod"]), studio.consent("anna"))


def test_production_signs_only_for_its_performers(studio):
    studio.key("perf-carl", "performer", "carl")
    carl = studio.consent("carl", roles=["likeness"])
    with refused("VS-CON-002", "prod: the key may not sign for performer carl"):
        studio.ask(carl, studio.consent("anna"), performers={"likeness": "carl", "double": "anna"})


def test_a_key_signs_only_while_it_is_valid(studio):
    studio.key("prod-old", "production", "*", not_after=studio.now)
    with refused("VS-CON-002", "prod-old: the key is valid 2026-01-01..2026-06-01"):
        studio.ask(studio.consent("ben", signers=["perf-ben", "prod-old"]), studio.consent("anna"))


def test_signatures_are_not_carried_from_one_consent_to_another(studio):
    ben, wide = studio.consent("ben"), studio.consent("ben", scope=["*/*/*"], signers=["prod"])
    stolen = json.loads(ben.read_text())["signatures"][0]
    edit(wide, lambda value: value["signatures"].append(stolen))
    with refused("VS-CON-002", "performer"):
        studio.ask(wide, studio.consent("anna"))


def test_a_key_given_twice_is_refused(studio):
    ben = studio.consent("ben")
    ben.write_text(ben.read_text().replace('"scope":', '"scope": ["*/*/*"], "scope":'))
    with refused("VS-CON-012", "same key twice"):
        studio.gate(ben)


def test_a_record_cannot_be_swapped_behind_its_signature(studio):
    narrow, wide = SignedConsent.read(studio.consent("ben")), SignedConsent.read(studio.consent("anna"))
    with pytest.raises(TypeError):
        SignedConsent(envelope=narrow.envelope, record=wide.record)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="init=False"):
        dataclasses.replace(narrow, record=wide.record)
    assert dataclasses.replace(narrow, envelope=Envelope(wide.envelope.canonical)).record == wide.record


# ---- the grant


def test_a_grant_is_not_made_by_hand(studio):
    fields: dict[str, Any] = {
        "use": "swap",
        "shot": studio.shot,
        "model_sha256": studio.model,
        "checked_at": studio.now,
    }
    refs = tuple(ConsentRef(role, BOTH[role], "urn:uuid:x", "0" * 64, ()) for role in ("likeness", "double"))
    with refused("VS-CON-014", "by hand"):
        Grant(**fields, consents=refs)
    with refused("VS-CON-014", "by hand"):
        Grant(**fields, consents=refs, token=object())


def test_a_grant_is_not_changed_copied_or_sent(studio):
    grant = studio.ask(studio.consent("ben"), studio.consent("anna"), use="train")
    with refused("VS-CON-014", "by hand"):
        dataclasses.replace(grant, use="swap", model_sha256=studio.model)
    with pytest.raises(dataclasses.FrozenInstanceError):
        grant.use = "swap"
    for leave in (copy.copy, copy.deepcopy, pickle.dumps):
        with refused("VS-CON-014", "does not leave the process"):
            leave(grant)
    grant.performers["likeness"] = "carl"
    assert grant.performers == BOTH


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"use": "publish"}, "is for swap, not for publish"),
        ({"use": "train"}, "is for swap, not for train"),
        ({"performers": {"likeness": "anna", "double": "ben"}}, "not for double ben, likeness anna"),
        ({"performers": {"likeness": "ben"}}, "not for likeness ben"),
        ({"performers": {}}, "not for nobody"),
        ({"model_sha256": None}, "not for None"),
        ({"model_sha256": "cd" * 32}, "not for cdcd"),
        ({"shot": ShotId("show1", "sq010", "sh030")}, "not for show1/sq010/sh030"),
    ],
)
def test_require_refuses_what_the_grant_does_not_cover(studio, changes, text):
    grant = studio.ask(studio.consent("ben"), studio.consent("anna"))
    asked: dict[str, Any] = {"use": "swap", "performers": BOTH, "model_sha256": studio.model, "shot": studio.shot}
    grant.require(**asked)
    with refused("VS-CON-014", text):
        grant.require(**{**asked, **changes})


def test_a_training_grant_opens_no_model(studio):
    grant = studio.ask(studio.consent("ben"), studio.consent("anna"), use="train")
    with refused("VS-CON-014"):
        grant.require(use="train", performers=BOTH, model_sha256=studio.model)


def test_refusing_writes_nothing(studio):
    ben, anna = studio.consent("ben", uses=["train"]), studio.consent("anna")
    before = sorted(studio.root.rglob("*"))
    with refused("VS-CON-008"):
        studio.ask(ben, anna)
    assert sorted(studio.root.rglob("*")) == before


def test_a_gate_takes_consents_as_read(studio):
    consents = [SignedConsent.read(studio.consent(name)) for name in ("ben", "anna")]
    gate = Gate(studio.ring, consents, clock=studio.clock())
    assert gate.authorize(shot=studio.shot, use="train", performers=BOTH)


def test_verify_reports_every_problem(studio):
    good = trust.verify(studio.consent("ben"), studio.ring, clock=studio.clock())
    assert good.ok and [check.role for check in good.signatures] == ["performer", "production"]
    bad = studio.consent("ben", signers=["prod"], not_after=studio.now)
    studio.revoke(bad)
    report = trust.verify(bad, studio.ring, clock=studio.clock())
    assert not report.ok
    assert [problem[:10] for problem in report.problems] == ["VS-CON-002", "VS-CON-004", "VS-CON-003"]
