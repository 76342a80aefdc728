"""Consent and keys: who allowed what, and the gate that asks before anything is built, trained, rendered or published.

gate = Gate(KeyRing.load(), [Path("likeness.consent.json"), Path("double.consent.json")])
grant = gate.authorize(shot=ShotId.parse("show1/sq010/sh020"), use="swap",
                       performers={"likeness": "P-0042", "double": "P-0043"}, model_sha256=digest)
grant.require(use="swap", performers=manifest_performers, model_sha256=digest)   # in the loader
"""

from __future__ import annotations

from vfxswap.trust.authoring import (
    PROHIBITED,
    VerifyReport,
    new_consent,
    read_record,
    revoke,
    show,
    sign,
    verify,
    write_record,
)
from vfxswap.trust.consent import ConsentRef, Gate, Grant
from vfxswap.trust.keys import KeyPair, KeyRing, KeyRole, PublicKey, default_keyring, keygen
from vfxswap.trust.records import CONSISTENT, ConsentRecord, RevocationList, Role, SignedConsent, Use
from vfxswap.trust.refusals import Rule
from vfxswap.trust.scope import ShotId

__all__ = [
    "CONSISTENT",
    "PROHIBITED",
    "ConsentRecord",
    "ConsentRef",
    "Gate",
    "Grant",
    "KeyPair",
    "KeyRing",
    "KeyRole",
    "PublicKey",
    "RevocationList",
    "Role",
    "Rule",
    "ShotId",
    "SignedConsent",
    "Use",
    "VerifyReport",
    "default_keyring",
    "keygen",
    "new_consent",
    "read_record",
    "revoke",
    "show",
    "sign",
    "verify",
    "write_record",
]
