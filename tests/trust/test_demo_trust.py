"""The demo's committed trust material works today, for its own performers only."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from vfxswap import trust
from vfxswap.errors import ConsentError
from vfxswap.trust import Gate, KeyRing, ShotId

from .. import support

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo"
PEOPLE = {"likeness": "demo-ben", "double": "demo-anna"}


def ask(folder: Path, **changes):
    gate = Gate(KeyRing.load(folder / "keyring"), sorted(folder.glob("*.consent.json")))
    return gate.authorize(
        **{"shot": ShotId.local("plate"), "use": "swap", "performers": PEOPLE, "model_sha256": "0" * 64, **changes}
    )


@pytest.mark.parametrize("use", ["train", "swap", "publish"])
def test_the_demo_is_consented_to_today(use):
    assert ask(DEMO / "trust", use=use).performers == PEOPLE


def test_the_roles_are_not_exchangeable():
    with pytest.raises(ConsentError) as caught:
        ask(DEMO / "trust", performers={"likeness": "demo-anna", "double": "demo-ben"})
    assert caught.value.code == "VS-CON-007"


def test_the_keys_are_trusted_for_demo_performers_only():
    ring = KeyRing.load(DEMO / "trust" / "keyring")
    for key in ring.keys.values():
        assert all(glob.startswith("demo-") for glob in key.performers)
    assert {key.role for key in ring.keys.values()} == {"performer", "production", "revocation"}


def test_it_lasts_and_no_private_key_is_shipped():
    ring = KeyRing.load(DEMO / "trust" / "keyring")
    for path in (DEMO / "trust").glob("*.consent.json"):
        assert trust.verify(path, ring, clock=lambda: datetime(2035, 12, 31, tzinfo=UTC)).ok
    for path in DEMO.rglob("*"):
        if path.is_file() and path.suffix in {".json", ".pem", ".key"}:
            assert b"PRIVATE KEY" not in path.read_bytes()


def test_the_script_replaces_everything(tmp_path):
    script = support.script(DEMO / "make_trust.py")
    folder = tmp_path / "trust"
    script.make_trust(folder)
    first = ask(folder)
    (folder / "keyring" / "left-over.pub.json").write_text("{}")
    script.make_trust(folder)
    assert ask(folder).consent_ids != first.consent_ids
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    shipped = {p.relative_to(DEMO / "trust").as_posix() for p in (DEMO / "trust").rglob("*") if p.is_file()}
    assert names == shipped
