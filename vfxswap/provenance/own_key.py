"""The key that signs what this user renders, made when it is first needed.

It has the role `render` and lies in `vfxswap/render/` beside the default key ring, readable by its owner alone, with
its passphrase in a second file: nobody is there to type one. That keeps a copied key file useless and no more; what
protects the key is the folder. It says "rendered on this account", and counts for others only once its public half is
in their key ring.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from vfxswap import atomic, trust
from vfxswap.errors import UsageError
from vfxswap.provenance import lock
from vfxswap.trust.canonical import now_utc
from vfxswap.trust.keys import PRIVATE_SUFFIX, PUBLIC_SUFFIX, KeyRing, PrivateKey, default_keyring

PASSPHRASE_SUFFIX = ".passphrase"


def own_folder() -> Path:
    """Where this user's render key lies."""
    return default_keyring().parent / "render"


def own_ring() -> KeyRing | None:
    """This user's own render keys, old ones too; None where there are none.

    Raises:
        ConsentError: a file there is no key, or holds another one than its name says.
    """
    there = any(own_folder().glob(f"*{PUBLIC_SUFFIX}"))
    return KeyRing.load(own_folder()) if there else None


def own_key(*, clock: Callable[[], datetime] = now_utc) -> PrivateKey:
    """This user's render key, made if there is none that is valid now.

    Raises:
        OutputError, ResourceError: the folder cannot be written. UsageError, ConsentError: the key there is damaged.
    """
    where = own_folder()
    atomic.make_folder(where)
    try:
        where.chmod(0o700)
    except OSError as error:
        raise atomic.writing_error(error, where) from error
    with lock.held(where / ".lock"):
        kid = _valid(where, clock()) or _make(where, clock=clock)
    file = where / (kid + PASSPHRASE_SUFFIX)
    try:
        passphrase = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        hint = f"remove {kid}.passphrase: another key is made"
        raise UsageError("the render key's passphrase cannot be read", path=file, hint=hint) from error
    return PrivateKey.load(where / (kid + PRIVATE_SUFFIX), passphrase=passphrase)


def public_file(kid: str) -> Path:
    """The public half of an own key, to be handed out."""
    return own_folder() / (kid + PUBLIC_SUFFIX)


def _valid(where: Path, now: datetime) -> str | None:
    """The own key that is valid the longest, if one is."""
    ring = own_ring()
    keys = sorted(ring.keys.values(), key=lambda key: key.not_after) if ring is not None else []
    for key in reversed(keys):
        whole = all((where / (key.kid + suffix)).is_file() for suffix in (PRIVATE_SUFFIX, PASSPHRASE_SUFFIX))
        if whole and key.role == "render" and key.not_before <= now < key.not_after:
            return key.kid
    return None


def _make(where: Path, *, clock: Callable[[], datetime]) -> str:
    kid, passphrase = f"render-{secrets.token_hex(6)}", secrets.token_urlsafe(32)
    file = where / (kid + PASSPHRASE_SUFFIX)
    with atomic.replacing(file) as temporary:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(passphrase)
    # The public file comes last: a key without one was not finished, and another is made.
    trust.keygen(where, kid=kid, role="render", performers=["*"], passphrase=passphrase, clock=clock)
    return kid
