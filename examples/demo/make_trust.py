"""Make the demo's trust material anew: public keys, signed consents, revocation list. For maintainers.

    python examples/demo/make_trust.py

The demo's performers are rendered, nobody is harmed by a consent that covers every shot. The keys are trusted for
`demo-*` performers only, and the private halves are thrown away: nobody can sign anything else with them.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from vfxswap import trust
from vfxswap.trust import KeyPair, KeyRing, KeyRole, Role

TRUST = Path(__file__).resolve().parent / "trust"
START = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2036, 1, 1, tzinfo=UTC)
PERFORMERS: dict[str, Role] = {"demo-anna": "double", "demo-ben": "likeness"}


def make_trust(folder: Path) -> None:
    """Replace `folder` by fresh material: `keyring/` and `<performer>.consent.json`."""
    shutil.rmtree(folder, ignore_errors=True)
    ring_folder = folder / "keyring"
    ring_folder.mkdir(parents=True)
    passphrase = secrets.token_urlsafe(32)
    with tempfile.TemporaryDirectory() as name:
        private = Path(name)

        def key(kid: str, role: KeyRole, performers: str) -> KeyPair:
            pair = trust.keygen(
                private,
                kid=kid,
                role=role,
                performers=[performers],
                passphrase=passphrase,
                not_before=START,
                not_after=END,
            )
            shutil.copy(pair.public, ring_folder)
            return pair

        production = key("demo-production", "production", "demo-*")
        revocation = key("demo-revocation", "revocation", "demo-*")
        for performer, role in PERFORMERS.items():
            own = key(performer, "performer", performer)
            path = folder / f"{performer}.consent.json"
            trust.write_record(path, consent_of(performer, role))
            for signer in (own, production):
                trust.sign(path, key_file=signer.private, passphrase=passphrase)
        trust.revoke(
            ring=KeyRing.load(ring_folder),
            key_file=revocation.private,
            passphrase=passphrase,
            valid_for=END - START,
            clock=lambda: START,
        )


def consent_of(performer: str, role: Role) -> dict[str, object]:
    """The unsigned consent of one demo performer."""
    return trust.new_consent(
        performer=performer,
        roles=[role],
        uses=["train", "swap", "publish"],
        purpose="Demonstration and tests of vfxswap with a rendered performer who does not exist.",
        scope=["*/*/*"],
        not_before=START,
        not_after=END,
        models="any",
    )


if __name__ == "__main__":
    make_trust(TRUST)
