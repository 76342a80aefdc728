"""The manifest of a sequence: an in-toto statement in a DSSE envelope, `<sequence name>.provenance.json`.

Sources: in-toto Statement v1 (github.com/in-toto/attestation), DSSE v1.0.2 (github.com/secure-systems-lab/dsse).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError

from vfxswap import documents
from vfxswap.errors import ProvenanceError
from vfxswap.provenance.records import Statement
from vfxswap.trust.canonical import Document, dsse_bytes
from vfxswap.trust.keys import KeyRing, PrivateKey, SignatureCheck

SUFFIX: Final = ".provenance.json"
LIST_SUFFIX: Final = ".sha256"
SIDECAR_SUFFIX: Final = ".c2pa"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
SIGNERS: Final = ("render", "production")
"""The key roles that may sign a manifest."""

_LARGEST = 1 << 28
"""Bytes of a manifest: 100,000 frames with three passes each have less."""

_MOST_COMMAS = 10_000
"""An envelope is one long text and its signatures: what holds more parts than this is none, and is not taken apart."""


class Rule(StrEnum):
    """What is wrong with a sequence or its record. The values are a contract (docs/provenance.md)."""

    MANIFEST = "VS-PRV-001"  # there is none, or it cannot be read
    CHANGED = "VS-PRV-002"  # a file is not the one that was signed
    SIGNATURE = "VS-PRV-003"  # no signature counts
    FOREIGN = "VS-PRV-004"  # a frame of another render, or made by other models than the rest
    MISSING = "VS-PRV-005"  # a frame that should be there is not
    EXTRA = "VS-PRV-006"  # a file that no manifest names
    SIDECAR = "VS-PRV-007"  # the C2PA sidecar or the hash list does not belong to the manifest
    SHARD = "VS-PRV-008"  # a frame's shard is damaged, or says something else than the manifest
    REPORT = "VS-PRV-009"  # a QC report is not the one that was signed


def refusal(rule: Rule, message: str, *, hint: str, path: Path | None = None) -> ProvenanceError:
    """A ProvenanceError (exit 77) whose `code` is the rule's and whose one line starts with it."""
    error = ProvenanceError(f"{rule.value} {message}", hint=hint, path=path)
    error.code = rule.value
    return error


class _Signature(Document):
    keyid: str
    sig: str


class _Envelope(Document):
    payload_type: Literal["application/vnd.in-toto+json"] = Field(alias="payloadType")
    payload: str
    signatures: Annotated[tuple[_Signature, ...], Field(min_length=1)]


@dataclass(frozen=True)
class Manifest:
    """A manifest as it was read. Nothing of it counts before `check` finds a signature that does.

    Attributes:
        signatures: key id and raw signature.
    """

    path: Path
    statement: Statement
    payload: bytes
    signatures: tuple[tuple[str, bytes], ...]

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self.path.parent

    @property
    def sequence(self) -> str:
        """Name of the sequence."""
        return self.statement.predicate.sequence

    def check(self, ring: KeyRing) -> tuple[SignatureCheck, ...]:
        """What each signature is worth to whoever trusts `ring`, at the time that the statement says.

        A key counts only for the performers that the ring trusts it for, and only with one of the roles `SIGNERS`.
        """
        predicate = self.statement.predicate
        message = dsse_bytes(PAYLOAD_TYPE, self.payload)
        found = []
        for kid, signature in self.signatures:
            checks = [
                ring.check_bytes(kid, signature, message=message, now=predicate.signing.time, performer=performer)
                for performer in predicate.performers or (None,)
            ]
            worst = next((check for check in checks if check.problem), checks[0])
            if not worst.problem and worst.role not in SIGNERS:
                worst = SignatureCheck(kid, worst.role, f"a {worst.role} key may not sign a manifest")
            found.append(worst)
        return tuple(found)


def manifest_path(folder: Path, sequence: str) -> Path:
    """Where the manifest of a sequence is."""
    return folder / f"{sequence}{SUFFIX}"


def list_path(folder: Path, sequence: str) -> Path:
    """Where the plain hash list of a sequence is."""
    return folder / f"{sequence}{LIST_SUFFIX}"


def sidecar_path(folder: Path, sequence: str) -> Path:
    """Where the C2PA sidecar of the hash list is; c2patool looks for it there."""
    return folder / f"{sequence}{SIDECAR_SUFFIX}"


def hash_list(statement: Statement) -> bytes:
    """The hashes of all files of the frames as `sha256sum -c` reads them."""
    files = (file for entry in statement.predicate.frames for file in entry.files)
    return "".join(f"{file.sha256}  {file.name}\n" for file in files).encode()


def envelope(statement: Statement, signer: PrivateKey) -> bytes:
    """The manifest's bytes, signed."""
    payload = statement.canonical()
    signature = signer.sign_bytes(dsse_bytes(PAYLOAD_TYPE, payload))
    value = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": signer.kid, "sig": base64.b64encode(signature).decode()}],
    }
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def read(path: Path) -> Manifest:
    """Read a manifest strictly: nothing in it can be read in two ways.

    Raises:
        ProvenanceError: VS-PRV-001, it is missing, damaged or no manifest; 77 as every refusal.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except FileNotFoundError:
        hint = "finish the render, or make one: vfxswap provenance finalise"
        raise refusal(Rule.MANIFEST, f"there is no manifest {path}", hint=hint) from None
    except OSError as error:
        raise refusal(
            Rule.MANIFEST, f"the manifest cannot be read: {error.strerror}", hint="check its permissions", path=path
        ) from error
    try:
        return _parsed(data, path)
    except (ValueError, RecursionError) as error:
        other = documents.version_problem(error) if isinstance(error, ValidationError) else None
        if other is not None:
            raise refusal(Rule.MANIFEST, other[0], hint=other[1], path=path) from error
        reason = _first(error) if isinstance(error, ValidationError) else str(error)
        raise refusal(
            Rule.MANIFEST, f"the manifest is damaged: {reason}", hint="get it again from whoever made it", path=path
        ) from error


def _parsed(data: bytes, path: Path) -> Manifest:
    if len(data) > _LARGEST:
        raise ValueError(f"larger than {_LARGEST >> 20} MiB")
    if data.count(b",") + data.count(b"[") + data.count(b"{") > _MOST_COMMAS:
        raise ValueError("no envelope")
    json.loads(data.decode(), object_pairs_hook=_unique)
    outer = _Envelope.model_validate_json(data)
    payload = _bytes(outer.payload)
    statement = Statement.model_validate_json(payload)
    if statement.canonical() != payload:
        raise ValueError("the statement is not in canonical JSON")
    predicate = statement.predicate
    if path.name != predicate.sequence + SUFFIX:
        raise ValueError(f"it is about {predicate.sequence!r}, but is named {path.name}")
    return Manifest(path, statement, payload, tuple((one.keyid, _bytes(one.sig)) for one in outer.signatures))


def _bytes(text: str) -> bytes:
    """Strict base64: the last character of `text` may hold bits that no byte is made of."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error
    if base64.b64encode(data).decode() != text:
        raise ValueError("not canonical base64")
    return data


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("an object has the same key twice")
    return value


def _first(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(step) for step in problem["loc"])
    text = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {text}" if where else text


Clock = Callable[[], datetime]
