"""Legal names: tied by a salted hash, opened with the salt, never in clear."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

import pytest

from vfxswap.errors import UsageError
from vfxswap.trust import names

from ..cli.facesets import vfxswap

SALT = "5a" * 32


def test_spacing_and_accents_do_not_count_but_spelling_does():
    held = names.name_hash("José  Example", SALT)
    assert names.is_name(" Jose\u0301 Example\n", salt=SALT, sha256=held)
    for other in ("Jose Example", "josé example", "José Example Jr"):
        assert not names.is_name(other, salt=SALT, sha256=held)
    assert not names.is_name("José Example", salt="5b" * 32, sha256=held)


@pytest.mark.parametrize(("name", "salt"), [("", SALT), ("  ", SALT), ("x", "5A" * 32), ("x", ""), ("x", SALT + "\n")])
def test_what_cannot_be_hashed(name: str, salt: str):
    with pytest.raises(UsageError):
        names.name_hash(name, salt)


def test_salts_differ_and_are_private(tmp_path: Path):
    first, second = names.new_salt(tmp_path / "a.salt"), names.new_salt(tmp_path / "b.salt")
    assert first != second
    assert names.read_salt(tmp_path / "a.salt") == first
    if sys.platform != "win32":
        assert stat.S_IMODE((tmp_path / "a.salt").stat().st_mode) == 0o600
    with pytest.raises(UsageError, match="already"):
        names.new_salt(tmp_path / "a.salt")
    with pytest.raises(UsageError, match="cannot read the salt"):
        names.read_salt(tmp_path / "c.salt")


def test_a_consent_holds_no_name_and_proves_it(tmp_path: Path):
    record, name, contract = tmp_path / "c.json", tmp_path / "name.txt", tmp_path / "contract.pdf"
    name.write_text("Ben Example\n")
    contract.write_bytes(b"the contract of Ben Example")
    done = vfxswap("consent", "new", "--performer", "P-1", "--role", "likeness", "--use", "train", "--purpose", "x",
                   "--scope", "a/*/*", "--until", "2090-01-01", "--legal-name-file", name, "--contract", contract,
                   "--prohibit", "smoking", "--territory", "EU", "--output", record)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Ben" not in record.read_text() + done.stdout
    held = json.loads(record.read_text())
    assert held["prohibited"] == ["nudity", "political", "advertising", "third_party_training", "smoking"]
    assert len(held["contract_sha256"]) == len(held["performer"]["legal_name_sha256_salted"]) == 64
    salt = tmp_path / "c.json.salt"
    assert vfxswap("consent", "name", record, "--salt", salt, "--legal-name-file", name).returncode == 0
    name.write_text("Carl Example")
    wrong = vfxswap("consent", "name", record, "--salt", salt, "--legal-name-file", name)
    assert wrong.returncode == 77
    assert "tied to another name" in wrong.stderr and "Carl" not in wrong.stderr
    again = vfxswap("consent", "new", "--performer", "P-1", "--role", "likeness", "--use", "train", "--purpose", "x",
                    "--scope", "a/*/*", "--until", "2090-01-01", "--legal-name-file", name,
                    "--output", tmp_path / "c.json")  # fmt: skip
    assert again.returncode == 2
