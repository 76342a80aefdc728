"""Signed JSON: an envelope of one payload and its signatures.

What is signed is `tag NUL kind NUL payload`, the payload in canonical JSON (RFC 8785). The kind is part of the
signed bytes, so a signature on one kind of document is worth nothing on another. Readers parse the canonical bytes,
which are exactly the bytes that were signed; keys given twice, which two parsers may read differently, are refused.
Signatures are Ed25519 (RFC 8032).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
)

from vfxswap import atomic, documents
from vfxswap.trust.refusals import Rule, refusal
from vfxswap.trust.scope import GLOB, IDENTIFIER, LONGEST, is_glob, is_identifier

Kind = Literal["vfxswap.consent/1", "vfxswap.revocations/1"]

_TAG = b"vfxswap signature v1"
_DOMAINS = (_TAG + b"\0", b"DSSEv1 ")
_LARGEST = 1 << 20  # bytes; a real record has about 1 KB
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")

_Document = TypeVar("_Document", bound="Document")


def now_utc() -> datetime:
    """The system clock, in UTC."""
    return datetime.now(UTC)


def parse_time(text: object) -> datetime:
    """Read `2026-01-31T12:00:00Z`, the only form of time in signed documents; raises ValueError."""
    if isinstance(text, datetime) and text.tzinfo is not None:
        return text.astimezone(UTC)
    if not isinstance(text, str) or _TIME.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not a UTC time like 2026-01-31T12:00:00Z")
    return datetime.fromisoformat(text)


def format_time(time: datetime) -> str:
    """Write an aware time as `2026-01-31T12:00:00Z`, fractions of a second cut off."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _require(test: bool, message: str) -> None:
    if not test:
        raise ValueError(message)


def _identifier(text: str) -> str:
    _require(is_identifier(text), f"{text!r} is not an identifier (letters, digits, '-', '_')")
    return text


def _glob(text: str) -> str:
    _require(is_glob(text), f"{text!r} is not a glob of letters, digits, '-', '_', '*', '?'")
    return text


def text_schema(pattern: str, **more: object) -> WithJsonSchema:
    """The JSON Schema of a string that matches `pattern` from end to end."""
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$", **more})


Time = Annotated[
    datetime,
    PlainValidator(parse_time),
    PlainSerializer(format_time, return_type=str),
    text_schema(_TIME.pattern, description="UTC, like 2026-01-31T12:00:00Z"),
]
Identifier = Annotated[str, AfterValidator(_identifier), text_schema(IDENTIFIER, maxLength=LONGEST)]
Glob = Annotated[str, AfterValidator(_glob), text_schema(GLOB, maxLength=LONGEST)]


class Document(BaseModel):
    """Base of everything read here: frozen, strict, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Signature(Document):
    """One Ed25519 signature (base64) and the identifier of the key that made it."""

    kid: Identifier
    alg: Literal["ed25519"] = "ed25519"
    sig: str


class _Signatures(Document):
    signatures: tuple[Signature, ...]


@dataclass(frozen=True)
class Envelope:
    """A payload in canonical JSON, as it was or will be signed, and its signatures."""

    canonical: bytes
    signatures: tuple[Signature, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a signed document; raises ConsentError VS-CON-012 (VS-CON-001 when the file is not there)."""
        data = read_object(path)
        if set(data) != {"payload", "signatures"} or not isinstance(data["payload"], dict):
            raise refusal(
                Rule.DOCUMENT,
                "is not a signed document (payload and signatures)",
                hint="sign it first: vfxswap consent sign",
                path=path,
            )
        listed = parse_document(_Signatures, canonical_json({"signatures": data["signatures"]}, path=path), path=path)
        return cls(canonical_json(data["payload"], path=path), listed.signatures)

    def signed_by(self, *, kid: str, key: Ed25519PrivateKey, kind: Kind) -> Envelope:
        """This envelope with a signature by `key`, in place of any earlier one of the same key."""
        sig = base64.b64encode(sign_bytes(key, signed_bytes(kind, self.canonical))).decode()
        others = tuple(signature for signature in self.signatures if signature.kid != kid)
        return Envelope(self.canonical, (*others, Signature(kid=kid, sig=sig)))

    def to_json(self) -> dict[str, Any]:
        """The JSON object to write."""
        signatures = [signature.model_dump() for signature in self.signatures]
        return {"payload": json.loads(self.canonical), "signatures": signatures}


def signed_bytes(kind: Kind, canonical: bytes) -> bytes:
    """The bytes that a signature on a document of this kind covers."""
    return b"\0".join((_TAG, kind.encode(), canonical))


def dsse_bytes(payload_type: str, payload: bytes) -> bytes:
    """The bytes that a signature in a DSSE envelope covers: its pre-authentication encoding (DSSE v1.0.2).

    The payload's type is the kind of the document; `DSSEv1` in front keeps it apart from `signed_bytes`.
    """
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign_bytes(key: Ed25519PrivateKey, message: bytes) -> bytes:
    """64 bytes, the signature of a message that says what kind of document it is (`signed_bytes`, `dsse_bytes`).

    Raises:
        ValueError: it does not say so; a signature on it could count for anything.
    """
    _require(message.startswith(_DOMAINS), "what is signed has to say what kind of document it is")
    return key.sign(message)


def is_bytes_signature(signature: bytes, *, public_key: bytes, message: bytes) -> bool:
    """Whether `signature` is one of `message`, its kind included, by the raw 32-byte Ed25519 `public_key`."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return message.startswith(_DOMAINS)


def is_signature(signature: Signature, *, public_key: bytes, kind: Kind, canonical: bytes) -> bool:
    """Whether `signature` is a valid signature of `canonical` by the raw 32-byte Ed25519 `public_key`."""
    try:
        sig = base64.b64decode(signature.sig, validate=True)
    except (binascii.Error, ValueError):
        return False
    return is_bytes_signature(sig, public_key=public_key, message=signed_bytes(kind, canonical))


def canonical_json(value: object, *, path: Path | None = None) -> bytes:
    """`value` in canonical JSON (RFC 8785); raises ConsentError VS-CON-012 for what JSON cannot hold exactly."""
    try:
        return rfc8785.dumps(value)  # type: ignore[arg-type]  # any JSON value; others raise
    except (ValueError, RecursionError) as problem:
        raise refusal(
            Rule.DOCUMENT, f"cannot be signed: {problem}", hint="write it again from `consent new`", path=path
        ) from problem


def parse_document(model: type[_Document], data: bytes, *, path: Path | None = None) -> _Document:
    """Parse JSON bytes as `model`; raises ConsentError VS-CON-012 naming the first wrong field."""
    try:
        return model.model_validate_json(data)
    except ValidationError as problem:
        if (other := documents.version_problem(problem)) is not None:
            raise refusal(Rule.DOCUMENT, other[0], hint=other[1], path=path) from problem
        first = problem.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "document"
        raise refusal(
            Rule.DOCUMENT,
            f"is not a valid document: {where}: {first['msg'].removeprefix('Value error, ')}",
            hint="ask whoever made it for a correct one",
            path=path,
        ) from problem


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object strictly: UTF-8, at most 1 MiB, no key twice, no NaN. Raises ConsentError VS-CON-012/001."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except FileNotFoundError:
        raise refusal(Rule.MISSING, f"no such file: {path}", hint="give the path of a signed document") from None
    except OSError as problem:
        raise refusal(
            Rule.DOCUMENT, f"cannot be read: {problem.strerror}", hint="check the path and its permissions", path=path
        ) from problem
    try:
        _require(len(data) <= _LARGEST, "larger than 1 MiB")
        value = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
        _require(isinstance(value, dict), "not a JSON object")
    except (ValueError, RecursionError) as problem:
        raise refusal(Rule.DOCUMENT, f"is not JSON: {problem}", hint="the file is damaged", path=path) from problem
    return dict(value)


def write_object(path: Path, value: object) -> None:
    """Write indented JSON atomically; raises OutputError or ResourceError."""
    atomic.write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    _require(len(value) == len(pairs), "an object has the same key twice")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not allowed")
