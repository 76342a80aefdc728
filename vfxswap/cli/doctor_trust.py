"""What `vfxswap doctor` says of the key ring, its revocation lists and this user's render key."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from vfxswap import provenance
from vfxswap.cli.finding import Finding
from vfxswap.errors import ConsentError, VfxSwapError
from vfxswap.trust import KeyRing, default_keyring, revocations
from vfxswap.trust.canonical import now_utc
from vfxswap.trust.keys import PRIVATE_SUFFIX

_SOON = timedelta(days=30)
_TIGHT = timedelta(days=2)
_ASK = "ask production for the key ring and put it there, or give --keyring DIR"


def keyring(folder: Path | None) -> Iterator[Finding]:
    """The ring that consents are checked against: its keys, and how old its lists of withdrawn consents are."""
    try:
        ring = KeyRing.load(folder)
    except ConsentError as error:
        # A machine without one is not broken: jobs may name theirs. One that was asked for has to be there.
        missing = folder is None and not default_keyring().is_dir()
        yield Finding(
            "consent", "key ring", "off" if missing else "bad", error.message, _ASK if missing else error.hint
        )
        return
    yield _ring(ring)
    private = sorted(path.name for path in ring.folder.glob(f"*{PRIVATE_SUFFIX}"))
    if private:
        text = f"private keys lie in the key ring: {', '.join(private)}"
        yield Finding("consent", "private keys", "look", text, "move each to its owner; a ring needs public keys only")
    now = now_utc()
    yield from _keys(ring, now)
    listed = revocations.files(ring)
    if not listed:
        remedy = "get the current list from production; without one every consent is refused"
        yield Finding("consent", "revocations", "bad", f"no revocation list in {ring.folder}", remedy)
    for path in listed:
        yield _list(path, ring, now)


def _ring(ring: KeyRing) -> Finding:
    roles = Counter(key.role for key in ring.keys.values())
    words = ", ".join(f"{count} {role}" for role, count in sorted(roles.items()))
    open_to = "; this user can write to it, so decides whom it trusts" if os.access(ring.folder, os.W_OK) else ""
    return Finding("consent", "key ring", "ok", f"{ring.folder}: {len(ring.keys)} keys ({words}){open_to}")


def _keys(ring: KeyRing, now: datetime) -> Iterator[Finding]:
    """Keys that count no more, or soon will not."""
    for kid, key in sorted(ring.keys.items()):
        if now >= key.not_after:
            text = f"expired on {key.not_after:%Y-%m-%d}: what it signed counts no more"
            yield Finding("consent", f"key {kid}", "look", text, "have a new key made and the documents signed again")
        elif key.not_after - now < _SOON:
            text = f"expires on {key.not_after:%Y-%m-%d}"
            yield Finding("consent", f"key {kid}", "look", text, "have a new key made before")


def _list(path: Path, ring: KeyRing, now: datetime) -> Finding:
    try:
        found = revocations.read_list(path, ring, now=now)
        revocations.check_current(found, now=now)
    except ConsentError as error:
        return Finding("consent", path.name, "bad", error.message, error.hint)
    issued, due = found.content.issued, found.content.next_update
    text = (
        f"{(now - issued).days} days old, good until {due:%Y-%m-%d}; by {found.key.kid}"
        f" for {', '.join(found.key.performers)}; {len(found.content.revoked)} withdrawn"
    )
    if due - now < _TIGHT:
        return Finding(
            "consent", path.name, "look", text, "get the next one from production: after that date all stops"
        )
    return Finding("consent", path.name, "ok", text)


def render_key() -> Iterator[Finding]:
    """The key that this user's renders are signed with."""
    try:
        ring = provenance.own_ring()
    except VfxSwapError as error:
        yield Finding("consent", "render key", "bad", error.message, error.hint)
        return
    if ring is None:
        yield Finding("consent", "render key", "off", "none yet; the first render makes it")
    else:
        yield Finding("consent", "render key", "ok", f"{', '.join(sorted(ring.keys))} in {ring.folder}")
