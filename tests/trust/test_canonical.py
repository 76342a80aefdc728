"""Canonical JSON and signatures, against facts from the RFCs."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vfxswap.errors import ConsentError
from vfxswap.trust.canonical import (
    Envelope,
    Signature,
    canonical_json,
    dsse_bytes,
    is_bytes_signature,
    is_signature,
    parse_time,
    read_object,
    sign_bytes,
    signed_bytes,
)
from vfxswap.trust.records import CONSENT


def test_canonical_json_is_rfc_8785():
    # RFC 8785, sections 3.2.2 and 3.2.3: shortest numbers, sorted by UTF-16 code units, minimal escapes.
    value = {"numbers": [333333333.33333329, 1e30, 4.50, 2e-3], "\u20ac": "\u000f\nA'\"\\", "\r": True, "1": None}
    expected = '{"\\r":true,"1":null,"numbers":[333333333.3333333,1e+30,4.5,0.002],"\u20ac":"\\u000f\\nA\'\\"\\\\"}'
    assert canonical_json(value).decode() == expected


def test_what_is_signed_starts_with_the_kind():
    assert signed_bytes(CONSENT, b"{}") == b"vfxswap signature v1\0vfxswap.consent/1\0{}"


def test_signatures():
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public = key.public_key().public_bytes_raw()
    envelope = Envelope(b'{"a":1}').signed_by(kid="k", key=key, kind=CONSENT)
    signature = envelope.signatures[0]

    def good(**changes):
        fields = {"public_key": public, "kind": CONSENT, "canonical": envelope.canonical, **changes}
        return is_signature(signature, **fields)

    assert good()
    assert not good(kind="vfxswap.revocations/1")
    assert not good(canonical=b'{"a":2}')
    assert not good(public_key=bytes(32))
    assert not good(public_key=b"short")
    raw = base64.b64decode(signature.sig)
    for bad in (raw[:-1], raw + b"\0", bytes(64), b""):
        forged = Signature(kid="k", sig=base64.b64encode(bad).decode())
        assert not is_signature(forged, public_key=public, kind=CONSENT, canonical=envelope.canonical)
    spaced = Signature(kid="k", sig=signature.sig[:8] + "\n" + signature.sig[8:])
    assert not is_signature(spaced, public_key=public, kind=CONSENT, canonical=envelope.canonical)


def test_dsse_bytes_are_those_of_the_specification():
    # The example of the DSSE protocol, v1.0.2.
    assert dsse_bytes("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_only_bytes_that_say_their_kind_are_signed():
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public = key.public_key().public_bytes_raw()
    for message in (signed_bytes(CONSENT, b"{}"), dsse_bytes("text/plain", b"x")):
        signature = sign_bytes(key, message)
        assert len(signature) == 64
        assert is_bytes_signature(signature, public_key=public, message=message)
        assert not is_bytes_signature(signature, public_key=public, message=message + b" ")
        assert not is_bytes_signature(signature[:-1], public_key=public, message=message)
    for message in (b"", b"{}", b"vfxswap signature v1", b"dssev1 1 a 1 b"):
        with pytest.raises(ValueError, match="what kind"):
            sign_bytes(key, message)
        assert not is_bytes_signature(key.sign(message), public_key=public, message=message)


def test_a_signature_of_one_kind_is_none_of_another():
    """A statement that reads like a consent does not become one."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public = key.public_key().public_bytes_raw()
    signature = sign_bytes(key, dsse_bytes(CONSENT, b"{}"))
    assert not is_bytes_signature(signature, public_key=public, message=signed_bytes(CONSENT, b"{}"))


@pytest.mark.parametrize("value", [{"a": float("nan")}, {"a": 2**60}, {"a": "\ud800"}])
def test_what_json_cannot_hold_is_not_signed(value):
    with pytest.raises(ConsentError, match="VS-CON-012"):
        canonical_json(value)


@pytest.mark.parametrize(
    "data",
    [b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":Infinity}', b"[]", b"1", b"", b"\xff", b" " * (1 << 20) + b"{}"],
)
def test_reading_is_strict(tmp_path, data):
    path = tmp_path / "x.json"
    path.write_bytes(data)
    with pytest.raises(ConsentError, match="VS-CON-012"):
        read_object(path)


@pytest.mark.parametrize(
    "text", ["2026-01-01", "2026-01-01T00:00:00", "2026-01-01T00:00:00+00:00", 0, None, "2026-13-01T00:00:00Z", "now"]
)
def test_times_have_one_form(text):
    with pytest.raises(ValueError, match=r"time|month"):
        parse_time(text)
