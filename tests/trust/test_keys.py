"""Keys at rest, the ring, signing by hand."""

from __future__ import annotations

import json
import stat
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from vfxswap import trust
from vfxswap.errors import EXIT_REFUSED, EXIT_USAGE, ConsentError, UsageError
from vfxswap.trust import KeyRing, default_keyring
from vfxswap.trust.keys import PrivateKey


def make(folder, kid="perf-1", **changes):
    fields = {"role": "performer", "performers": ["P-1"], "passphrase": "twelve chars!", **changes}
    return trust.keygen(folder, kid=kid, **fields)


def test_private_keys_are_encrypted_and_private(tmp_path):
    pair = make(tmp_path)
    text = pair.private.read_text()
    assert text.startswith("kid: perf-1\nrole: performer\n-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    if sys.platform != "win32":
        assert stat.S_IMODE(pair.private.stat().st_mode) == 0o600
    key = PrivateKey.load(pair.private, passphrase="twelve chars!")
    assert repr(key) == "PrivateKey(kid='perf-1', role='performer')"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["perf-1.key.pem", "perf-1.pub.json"]
    secret = key.secret.private_bytes_raw()
    assert secret not in pair.private.read_bytes() and secret not in pair.public.read_bytes()


@pytest.mark.parametrize("passphrase", ["", "wrong passphrase"])
def test_wrong_passphrase(tmp_path, passphrase):
    with pytest.raises(UsageError, match="wrong passphrase") as caught:
        PrivateKey.load(make(tmp_path).private, passphrase=passphrase)
    assert caught.value.exit_code == EXIT_USAGE


def test_not_a_private_key(tmp_path):
    pair = make(tmp_path)
    with pytest.raises(UsageError, match="is not a vfxswap private key"):
        PrivateKey.load(pair.public, passphrase="x")
    with pytest.raises(UsageError, match="cannot read the key"):
        PrivateKey.load(tmp_path / "nothing.pem", passphrase="x")
    pair.private.write_bytes(pair.private.read_bytes()[:-60])
    with pytest.raises(UsageError, match="damaged"):
        PrivateKey.load(pair.private, passphrase="twelve chars!")


def test_keygen_refuses(tmp_path):
    with pytest.raises(UsageError, match="fewer than 12"):
        make(tmp_path, passphrase="short")
    with pytest.raises(UsageError, match="unknown key role"):
        make(tmp_path, role="root")
    with pytest.raises(UsageError, match="before it starts"):
        make(tmp_path, not_after=datetime(2000, 1, 1, tzinfo=UTC))
    for performers in ([], ["../x"], [""]):
        with pytest.raises(ConsentError, match="performers"):
            make(tmp_path, performers=performers)
    for kid in ("../x", "", ".hidden"):
        with pytest.raises(ConsentError, match="VS-CON-011"):
            make(tmp_path, kid=kid)
    assert not list(tmp_path.iterdir())
    pair = make(tmp_path)
    before = pair.private.read_bytes()
    with pytest.raises(UsageError, match="already"):
        make(tmp_path)
    assert pair.private.read_bytes() == before


def bad_ring(folder: Path) -> str:
    with pytest.raises(ConsentError) as caught:
        KeyRing.load(folder)
    assert caught.value.exit_code == EXIT_REFUSED
    return f"{caught.value.code} {caught.value}"


def test_ring_holds_public_keys_by_name(tmp_path):
    make(tmp_path, "perf-1")
    make(tmp_path, "prod-1", role="production", performers=["P-*"])
    ring = KeyRing.load(tmp_path)
    assert {kid: key.role for kid, key in ring.keys.items()} == {"perf-1": "performer", "prod-1": "production"}
    assert ring.keys["prod-1"].may_sign_for("P-77") and not ring.keys["prod-1"].may_sign_for("p-77")
    assert not ring.keys["perf-1"].may_sign_for("P-12")


def test_ring_is_missing_or_contradicts_itself(tmp_path):
    assert "VS-CON-013" in bad_ring(tmp_path / "nothing")
    assert "VS-CON-013" in bad_ring(tmp_path)
    pair = make(tmp_path)
    value = json.loads(pair.public.read_text())
    (tmp_path / "other.pub.json").write_text(json.dumps(value))
    assert "under another name" in bad_ring(tmp_path)
    # One person with one key must not count as performer and as production.
    (tmp_path / "other.pub.json").write_text(json.dumps({**value, "kid": "other", "role": "production"}))
    assert "VS-CON-013" in bad_ring(tmp_path)
    changes: list[dict[str, object]] = [
        {"public_key": "AAAA"},
        {"performers": []},
        {"role": "root"},
        {"extra": 1},
        {"not_after": "2099"},
    ]
    for change in changes:
        (tmp_path / "other.pub.json").write_text(json.dumps({**value, "kid": "other", **change}))
        assert "VS-CON-012" in bad_ring(tmp_path)


def test_default_keyring_follows_the_platform(tmp_path):
    assert default_keyring({"XDG_CONFIG_HOME": str(tmp_path)}) == tmp_path / "vfxswap" / "keyring"
    home = Path.home() / ".config" / "vfxswap" / "keyring"
    if sys.platform != "win32":
        assert default_keyring({}) == default_keyring({"XDG_CONFIG_HOME": "relative"}) == home


def test_default_keyring_is_the_default(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert str(tmp_path) in bad_ring(None)  # type: ignore[arg-type]


# ---- consent documents


def test_new_consent_is_checked(studio):
    for field, value in {
        "scope": ["show1/*"],
        "scope_exclude": ["show1/../sh"],
        "roles": ["source"],
        "uses": [],
        "purpose": " ",
        "not_after": studio.start,
        "models": ["AB" * 32],
        "grantor": "friend",
        "contract_sha256": "x",
    }.items():
        with pytest.raises(ConsentError, match="VS-CON-012"):
            studio.record("ben", **{field: value})
    with pytest.raises(ConsentError, match=r"VS-CON-012 is not a valid document: performer\.id"):
        studio.record("../ben", roles=["double"])


def test_sign_adds_and_replaces(studio, tmp_path):
    path = studio.consent("ben", signers=["prod"])
    sha256 = trust.SignedConsent.read(path).sha256
    copy = tmp_path / "copy.json"
    signed = trust.sign(path, key_file=studio.private("perf-ben"), passphrase=studio.passphrase, output=copy)
    assert [signature.kid for signature in signed.signatures] == ["prod", "perf-ben"]
    assert [signature.kid for signature in trust.SignedConsent.read(path).signatures] == ["prod"]
    again = trust.sign(copy, key_file=studio.private("prod"), passphrase=studio.passphrase)
    assert [signature.kid for signature in again.signatures] == ["perf-ben", "prod"]
    assert again.sha256 == sha256 and again.path == copy
    assert trust.verify(copy, studio.ring, clock=studio.clock()).ok


def test_sign_refuses(studio):
    path = studio.consent("ben", signers=[])
    with pytest.raises(UsageError, match="a revocation key cannot sign a consent"):
        trust.sign(path, key_file=studio.private("revoker"), passphrase=studio.passphrase)
    listed = studio.ring_folder / "revocations.json"
    for other in (listed, studio.ring_folder / "prod.pub.json"):
        before = other.read_bytes()
        with pytest.raises(ConsentError, match="VS-CON-012"):
            trust.sign(other, key_file=studio.private("prod"), passphrase=studio.passphrase)
        assert other.read_bytes() == before


def test_show_says_what_is_signed(studio):
    path = studio.consent("ben", signers=["prod"], models=None)
    shown = trust.show(path)
    assert shown["performer"] == "ben"
    assert shown["models"] == "none: no swap, no publish"
    assert shown["shots"] == "show1/sq0*/*"
    assert shown["signed by (unchecked)"] == "prod"
    assert trust.show(studio.consent("ben", signers=[]))["signed by (unchecked)"] == "nobody"
