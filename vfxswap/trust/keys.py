"""Ed25519 keys and the key ring: whose signature counts, as what, and for which performers.

A ring is a folder that production keeps read-only for artists and workers:
`KID.pub.json` (public keys) and `revocations*.json` (signed lists). A private key, `KID.key.pem`, belongs to one
person and is encrypted at rest; rings need none. The ring is the root of trust: whoever can write to it decides.
"""

from __future__ import annotations

import base64
import binascii
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from pydantic import AfterValidator, Field

from vfxswap import atomic
from vfxswap.errors import UsageError
from vfxswap.trust.canonical import (
    Document,
    Envelope,
    Glob,
    Identifier,
    Kind,
    Time,
    canonical_json,
    format_time,
    is_bytes_signature,
    is_signature,
    now_utc,
    parse_document,
    read_object,
    sign_bytes,
    write_object,
)
from vfxswap.trust.refusals import Rule, refusal
from vfxswap.trust.scope import checked_identifier

KeyRole = Literal["performer", "production", "revocation", "render"]
KEY_SCHEMA = "vfxswap.key/1"
PUBLIC_SUFFIX = ".pub.json"
PRIVATE_SUFFIX = ".key.pem"
MIN_PASSPHRASE = 12  # PEM derives its key with 2048 rounds of PBKDF2 only, so the passphrase has to be long
_LIFETIME = timedelta(days=5 * 365)


def _raw_key(text: str) -> str:
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        raw = b""
    if len(raw) != 32:
        raise ValueError("not a base64 Ed25519 public key of 32 bytes")
    return text


class PublicKey(Document):
    """A public key as the ring trusts it.

    Attributes:
        performers: globs of the performer ids that the key may sign for.
        public_key: base64 of the raw 32 bytes.
    """

    schema_: Literal["vfxswap.key/1"] = Field(alias="schema")
    kid: Identifier
    role: KeyRole
    performers: Annotated[tuple[Glob, ...], Field(min_length=1)]
    public_key: Annotated[str, AfterValidator(_raw_key)]
    not_before: Time
    not_after: Time

    @property
    def raw(self) -> bytes:
        """The raw 32 bytes of the key."""
        return base64.b64decode(self.public_key)

    def may_sign_for(self, performer: str) -> bool:
        """Whether the ring trusts this key for documents about `performer`."""
        return any(fnmatchcase(performer, glob) for glob in self.performers)


@dataclass(frozen=True)
class SignatureCheck:
    """What one signature is worth: `problem` is empty when it counts as the key's `role`."""

    kid: str
    role: KeyRole | None
    problem: str = ""


@dataclass(frozen=True)
class KeyRing:
    """The public keys of one folder, by identifier. Make it with `KeyRing.load`."""

    folder: Path
    keys: Mapping[str, PublicKey]

    @classmethod
    def load(cls, folder: Path | None = None) -> Self:
        """Read the ring in `folder` (default: `default_keyring()`).

        Raises:
            ConsentError: VS-CON-013, there is no ring, a key file is not named after its key, or two key files
                hold the same key (one person could then sign as two).
        """
        folder = default_keyring() if folder is None else folder
        keys: dict[str, PublicKey] = {}
        owners: dict[bytes, str] = {}
        for path in sorted(folder.glob(f"*{PUBLIC_SUFFIX}")):
            key = parse_document(PublicKey, canonical_json(read_object(path), path=path), path=path)
            if path.name != key.kid + PUBLIC_SUFFIX:
                raise _bad_ring(f"holds key {key.kid!r} under another name", path)
            if key.raw in owners:
                raise _bad_ring(f"holds the same key as {owners[key.raw]}", path)
            owners[key.raw] = key.kid
            keys[key.kid] = key
        if not keys:
            raise refusal(
                Rule.RING,
                f"no key ring at {folder}",
                hint="give --keyring DIR, the folder of public keys that production hands out",
            )
        return cls(folder, keys)

    def check(
        self, envelope: Envelope, *, kind: Kind, now: datetime, performer: str | None
    ) -> tuple[SignatureCheck, ...]:
        """Check every signature of a document about `performer` (None: about no one performer)."""
        return tuple(self._check(envelope, index, kind, now, performer) for index in range(len(envelope.signatures)))

    def _check(
        self, envelope: Envelope, index: int, kind: Kind, now: datetime, performer: str | None
    ) -> SignatureCheck:
        signature = envelope.signatures[index]
        key = self.keys.get(signature.kid)
        fits = key is not None and is_signature(signature, public_key=key.raw, kind=kind, canonical=envelope.canonical)
        return _worth(signature.kid, key, fits=fits, now=now, performer=performer)

    def check_bytes(
        self, kid: str, signature: bytes, *, message: bytes, now: datetime, performer: str | None = None
    ) -> SignatureCheck:
        """What a signature on other bytes is worth, e.g. of a DSSE envelope (`canonical.dsse_bytes`)."""
        key = self.keys.get(kid)
        fits = key is not None and is_bytes_signature(signature, public_key=key.raw, message=message)
        return _worth(kid, key, fits=fits, now=now, performer=performer)


def _worth(kid: str, key: PublicKey | None, *, fits: bool, now: datetime, performer: str | None) -> SignatureCheck:
    if key is None:
        return SignatureCheck(kid, None, "the key is not in the key ring")
    problem = ""
    if not fits:
        problem = "the signature does not fit the document"
    elif not key.not_before <= now < key.not_after:
        problem = f"the key is valid {key.not_before:%Y-%m-%d}..{key.not_after:%Y-%m-%d}"
    elif performer is not None and not key.may_sign_for(performer):
        problem = f"the key may not sign for performer {performer}"
    return SignatureCheck(kid, key.role, problem)


def default_keyring(environ: Mapping[str, str] | None = None) -> Path:
    """`vfxswap/keyring` under XDG_CONFIG_HOME, APPDATA (Windows) or ~/.config."""
    environ = os.environ if environ is None else environ
    configured = environ.get("XDG_CONFIG_HOME", "")
    if configured and Path(configured).is_absolute():  # the XDG specification says to ignore relative ones
        base = Path(configured)
    elif sys.platform == "win32" and environ.get("APPDATA"):
        base = Path(environ["APPDATA"])
    else:
        base = Path.home() / ".config"
    return base / "vfxswap" / "keyring"


@dataclass(frozen=True)
class KeyPair:
    """The two files that `keygen` wrote."""

    public: Path
    private: Path


def keygen(
    folder: Path,
    *,
    kid: str,
    role: KeyRole,
    performers: Sequence[str],
    passphrase: str,
    not_before: datetime | None = None,
    not_after: datetime | None = None,
    clock: Callable[[], datetime] = now_utc,
) -> KeyPair:
    """Make a key: `KID.pub.json` for the ring, `KID.key.pem` (mode 0600, encrypted) for its owner alone.

    Args:
        folder: where both files go; not the shared ring, which needs the public file only.
        kid: identifier of the key.
        role: what its signatures count as.
        performers: globs of the performer ids it may sign for, e.g. `["P-0042"]` or `["show1-*"]`.
        passphrase: at least 12 characters.
        not_before: start of validity, default now.
        not_after: end of validity, default five years after the start.
        clock: what `now` is.

    Raises:
        UsageError: short passphrase, unknown role, empty validity, or a file that exists already.
        ConsentError: VS-CON-011/012, a malformed identifier or glob.
    """
    checked_identifier(kid, what="key id")
    if role not in get_args(KeyRole):
        raise UsageError(f"unknown key role {role!r}", hint=f"use one of {', '.join(get_args(KeyRole))}")
    _check_passphrase(passphrase)
    start = clock() if not_before is None else not_before
    end = start + _LIFETIME if not_after is None else not_after
    if end <= start:
        raise UsageError(f"the key would end {end:%Y-%m-%d}, before it starts", hint="give a later end")
    pair = KeyPair(folder / (kid + PUBLIC_SUFFIX), folder / (kid + PRIVATE_SUFFIX))
    for path in (pair.public, pair.private):
        if path.exists():
            raise UsageError("there is a key of this name already", path=path, hint="choose another key id")
    private = Ed25519PrivateKey.generate()
    public = {
        "schema": KEY_SCHEMA,
        "kid": kid,
        "role": role,
        "performers": list(performers),
        "public_key": base64.b64encode(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode(),
        "not_before": format_time(start),
        "not_after": format_time(end),
    }
    parse_document(PublicKey, canonical_json(public))
    _write_private(pair.private, private, kid=kid, role=role, passphrase=passphrase)
    write_object(pair.public, public)
    return pair


@dataclass(frozen=True)
class PrivateKey:
    """A private key in memory. Its secret has no printed form."""

    kid: str
    role: KeyRole
    secret: Ed25519PrivateKey

    def sign_bytes(self, message: bytes) -> bytes:
        """64 bytes, the Ed25519 signature of a message that says its kind (`canonical.dsse_bytes`)."""
        return sign_bytes(self.secret, message)

    def __repr__(self) -> str:
        return f"PrivateKey(kid={self.kid!r}, role={self.role!r})"

    @classmethod
    def load(cls, path: Path, *, passphrase: str) -> Self:
        """Decrypt a `KID.key.pem`; raises UsageError: missing, not such a file, or wrong passphrase."""
        try:
            data = path.read_bytes()
        except OSError as problem:
            raise UsageError(f"cannot read the key: {problem.strerror}", path=path, hint="give --key FILE") from problem
        head, found, _ = data.partition(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
        lines = dict(line.split(": ", 1) for line in head.decode("ascii", "replace").splitlines() if ": " in line)
        kid, role = lines.get("kid", ""), _role(lines.get("role", ""))
        if not found or role is None:
            raise UsageError("is not a vfxswap private key", path=path, hint="make one: vfxswap consent keygen")
        try:
            secret = load_pem_private_key(data, passphrase.encode() or b"\0")
        except ValueError as problem:
            raise UsageError("wrong passphrase, or a damaged key", path=path, hint="check both") from problem
        if not isinstance(secret, Ed25519PrivateKey):
            raise UsageError("is not an Ed25519 key", path=path, hint="make one: vfxswap consent keygen")
        return cls(checked_identifier(kid, what="key id"), role, secret)


def _role(text: str) -> KeyRole | None:
    for role in get_args(KeyRole):
        if text == role:
            return role  # type: ignore[no-any-return]  # get_args is typed as tuple of Any
    return None


def _check_passphrase(passphrase: str) -> None:
    if len(passphrase) < MIN_PASSPHRASE:
        raise UsageError(
            f"the passphrase has {len(passphrase)} characters, fewer than {MIN_PASSPHRASE}", hint="use a longer one"
        )


def _write_private(path: Path, key: Ed25519PrivateKey, *, kid: str, role: KeyRole, passphrase: str) -> None:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase.encode()))
    # RFC 7468 lets explanatory text stand before the key; it names the key so that a copied file still signs as itself.
    head = f"kid: {kid}\nrole: {role}\n".encode()
    write_private(path, head + pem)


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all; raises OutputError or ResourceError."""
    with atomic.replacing(path) as temporary:
        # Never readable by others, not even for the moment between creating and writing.
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)


def _bad_ring(message: str, path: Path) -> Exception:
    return refusal(Rule.RING, message, hint="repair the key ring", path=path)
