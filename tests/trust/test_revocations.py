"""Revocation lists: who may sign them, how old they may be, whom they speak for."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta

import pytest

from vfxswap import trust
from vfxswap.errors import ConsentError, UsageError
from vfxswap.trust.canonical import Envelope, canonical_json, format_time
from vfxswap.trust.keys import PrivateKey

DAY = timedelta(days=1)


@pytest.fixture
def consents(studio):
    return studio.consent("ben"), studio.consent("anna")


def why(studio, consents, **changes):
    with pytest.raises(ConsentError) as caught:
        studio.ask(*consents, **changes)
    return caught.value.code, str(caught.value)


def sign_list(studio, kid, *, path=None, kind="vfxswap.revocations/1", **changes):
    """A list signed by any key: what `revoke` refuses to do."""
    payload = {
        "schema": "vfxswap.revocations/1",
        "issued": format_time(studio.now),
        "next_update": format_time(studio.now + 7 * DAY),
        "revoked": [],
        **changes,
    }
    key = PrivateKey.load(studio.private(kid), passphrase=studio.passphrase)
    envelope = Envelope(canonical_json(payload)).signed_by(kid=kid, key=key.secret, kind=kind)
    trust.write_record(path or studio.ring_folder / "revocations.json", envelope.to_json())


def test_a_revoked_consent_is_refused_even_by_a_gate_that_granted_before(studio, consents):
    gate = studio.gate(*consents)
    asked = {"shot": studio.shot, "use": "train", "performers": {"likeness": "ben", "double": "anna"}}
    gate.authorize(**asked)
    studio.revoke(consents[0], reason="withdrawn")
    with pytest.raises(ConsentError) as caught:
        gate.authorize(**asked)
    assert caught.value.code == "VS-CON-004"
    assert "was revoked on 2026-06-01" in str(caught.value)


def test_revocations_are_kept_when_the_list_is_renewed(studio, consents):
    studio.revoke(consents[0])
    studio.revoke(consents[1], at=studio.now + DAY)
    content = trust.revoke(
        ring=studio.ring,
        key_file=studio.private("revoker"),
        passphrase=studio.passphrase,
        clock=studio.clock(studio.now + 2 * DAY),
    )
    assert [entry.revoked.day for entry in content.revoked] == [1, 2]
    assert content.next_update - content.issued == 7 * DAY
    assert why(studio, consents, at=studio.now + 2 * DAY)[0] == "VS-CON-004"


def test_revoking_by_id_and_twice(studio, consents):
    id_ = trust.show(consents[0])["consent"]
    studio.revoke(consents[0], consent_ids=[id_])
    studio.revoke(consent_ids=[id_], at=studio.now + DAY)
    value = json.loads((studio.ring_folder / "revocations.json").read_text())
    assert [entry["revoked"] for entry in value["payload"]["revoked"]] == ["2026-06-01T12:00:00Z"]
    with pytest.raises(ConsentError, match="urn:uuid"):
        studio.revoke(consent_ids=[id_.upper()])


def test_a_stale_list_refuses(studio, consents):
    assert studio.ask(*consents, at=studio.now + 7 * DAY - timedelta(seconds=1))
    code, text = why(studio, consents, at=studio.now + 7 * DAY)
    assert code == "VS-CON-006"
    assert "is 7 days old (next update was due 2026-06-08)" in text


def test_a_list_from_the_future_refuses(studio, consents):
    assert studio.ask(*consents, at=studio.now - timedelta(minutes=4))  # clocks differ a little
    code, text = why(studio, consents, at=studio.now - DAY)
    assert code == "VS-CON-005"
    assert "issued 2026-06-01 12:00, now it is 2026-05-31 12:00" in text


def test_no_list_refuses(studio, consents):
    (studio.ring_folder / "revocations.json").unlink()
    assert why(studio, consents)[0] == "VS-CON-005"


@pytest.mark.parametrize("kid", ["prod", "perf-ben"])
def test_only_a_revocation_key_signs_a_list(studio, consents, kid):
    with pytest.raises(UsageError, match="is not a revocation key"):
        studio.revoke(kid=kid)
    sign_list(studio, kid)
    code, text = why(studio, consents)
    assert code == "VS-CON-005"
    assert "key may not sign it" in text


def test_a_list_signed_by_an_unknown_key_refuses(studio, consents):
    studio.key("stranger", "revocation", "*", trusted=False)
    with pytest.raises(UsageError, match="is not a revocation key"):
        studio.revoke(kid="stranger")
    sign_list(studio, "stranger")
    assert why(studio, consents)[0] == "VS-CON-005"


def test_a_signature_counts_for_one_kind_of_document(studio, consents):
    sign_list(studio, "revoker", kind="vfxswap.consent/1")
    code, text = why(studio, consents)
    assert code == "VS-CON-005"
    assert "does not fit the document" in text


def test_a_consent_is_no_list_and_a_list_no_consent(studio, consents):
    listed = studio.ring_folder / "revocations.json"
    with pytest.raises(ConsentError) as caught:
        studio.gate(listed)
    assert caught.value.code == "VS-CON-012"
    shutil.copy(consents[0], listed)
    assert why(studio, consents)[0] == "VS-CON-005"


@pytest.mark.parametrize("change", ["tampered", "damaged", "unsigned", "ends before it starts"])
def test_an_invalid_list_refuses(studio, consents, change):
    path = studio.ring_folder / "revocations.json"
    studio.revoke(consents[0])
    value = json.loads(path.read_text())
    if change == "tampered":
        value["payload"]["revoked"] = []
    elif change == "unsigned":
        value["signatures"] = []
    path.write_text("{" if change == "damaged" else json.dumps(value))
    if change.startswith("ends"):
        sign_list(studio, "revoker", next_update=format_time(studio.now))
    assert why(studio, consents)[0] == "VS-CON-005"
    with pytest.raises(ConsentError) as caught:  # nor is it laundered by signing it again
        studio.revoke()
    assert caught.value.code == "VS-CON-005"


def test_a_list_speaks_only_for_the_performers_of_its_key(studio, consents):
    studio.key("demo-revoker", "revocation", "demo-*")
    path = studio.ring_folder / "revocations.json"
    path.unlink()
    studio.revoke(kid="demo-revoker", valid_for=3650 * DAY)
    code, text = why(studio, consents)
    assert code == "VS-CON-005"  # somebody else's fresh list does not vouch for ben
    assert "speaks for performer ben" in text
    with pytest.raises(UsageError, match="may not sign for performer ben"):
        studio.revoke(consents[0], kid="demo-revoker")
    with pytest.raises(UsageError, match=r"revocations-revoker\.json"):
        studio.revoke(consents[0], kid="revoker")
    studio.revoke(kid="revoker", output=studio.ring_folder / "revocations-studio.json")
    assert studio.ask(*consents)


def test_any_list_may_revoke_and_every_list_must_be_current(studio, consents):
    studio.key("agency", "revocation", "ben")
    agency = studio.ring_folder / "revocations-agency.json"
    studio.revoke(kid="agency", output=agency, valid_for=2 * DAY)
    assert studio.ask(*consents)
    assert why(studio, consents, at=studio.now + 3 * DAY)[0] == "VS-CON-006"
    studio.revoke(consents[0], kid="agency", output=agency)
    assert why(studio, consents)[0] == "VS-CON-004"


def test_a_list_has_one_signature(studio, consents):
    path = studio.ring_folder / "revocations.json"
    value = json.loads(path.read_text())
    value["signatures"] *= 2
    path.write_text(json.dumps(value))
    code, text = why(studio, consents)
    assert code == "VS-CON-005"
    assert "exactly one signature" in text


def test_another_key_of_the_same_name_does_not_sign(studio):
    stranger = studio.root / "stranger"
    pair = trust.keygen(stranger, kid="revoker", role="revocation", performers=["*"], passphrase=studio.passphrase)
    with pytest.raises(UsageError, match="is not a revocation key"):
        trust.revoke(ring=studio.ring, key_file=pair.private, passphrase=studio.passphrase, clock=studio.clock())


def test_a_key_may_be_called_revocations(studio, consents):
    studio.key("revocations", "revocation", "*")
    assert studio.ask(*consents)
