"""A legal name that a consent is tied to without holding it: a salted hash, opened later with the salt.

The salt is not in the consent: whoever holds the consent alone cannot try names. It belongs with the contract.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import unicodedata
from pathlib import Path
from typing import Final

from vfxswap.errors import UsageError
from vfxswap.trust.keys import write_private

SUFFIX: Final = ".salt"
"""Of the file beside a record that holds the salt."""

_TAG = b"vfxswap legal name v1"
_SALT = re.compile(r"[0-9a-f]{64}")


def name_hash(name: str, salt: str) -> str:
    """sha256 in hex of a legal name and a salt (64 hex digits).

    Spelling counts, spacing and the way in which accents are encoded do not.

    Raises:
        UsageError: no name, or no such salt.
    """
    plain = " ".join(unicodedata.normalize("NFC", name).split())
    if not plain:
        raise UsageError("the legal name is empty", hint="give the name as the contract has it")
    if _SALT.fullmatch(salt) is None:
        raise UsageError("the salt is not 64 hex digits", hint="give the file that consent new wrote")
    return hashlib.sha256(b"\0".join((_TAG, bytes.fromhex(salt), plain.encode()))).hexdigest()


def new_salt(path: Path) -> str:
    """Write a fresh salt to `path`, for its owner alone to read; raises UsageError when the file is there."""
    if path.exists():
        raise UsageError("there is a salt already", path=path, hint="choose another name for the consent")
    salt = secrets.token_hex(32)
    write_private(path, f"{salt}\n".encode())
    return salt


def read_salt(path: Path) -> str:
    """The salt in a file; raises UsageError."""
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("cannot read the salt", path=path, hint="give the file that consent new wrote") from error


def is_name(name: str, *, salt: str, sha256: str) -> bool:
    """Whether `sha256` is that of this name and salt."""
    return hmac.compare_digest(name_hash(name, salt), sha256)
