"""Reference embeddings of a performer: the file that production keeps, and that a consent names by its hash.

An embedding tells people apart: it is biometric data. The consent, which travels, holds the file's hash alone; the
vectors stay in the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from vfxswap import documents
from vfxswap.errors import ConsentError, UsageError
from vfxswap.trust.canonical import Document, Identifier, parse_document, read_object
from vfxswap.trust.keys import write_private
from vfxswap.trust.records import ReferenceEmbeddings, Sha256
from vfxswap.trust.refusals import Rule, refusal

LEAST, MOST = 5, 64
"""So many embeddings a reference file holds."""

_LENGTH = 128
_DECIMALS = 6

_Vector = Annotated[tuple[float, ...], Field(min_length=_LENGTH, max_length=_LENGTH)]


class ReferenceFile(Document):
    """Embeddings of one performer's face, `vfxswap.reference/1`; `model_sha256` is the network that made them."""

    schema_: Literal["vfxswap.reference/1"] = Field(alias="schema")
    performer: Identifier
    model_sha256: Sha256
    embeddings: Annotated[tuple[_Vector, ...], Field(min_length=LEAST, max_length=MOST)]


@dataclass(frozen=True)
class Reference:
    """A reference file as read, and its hash."""

    content: ReferenceFile
    sha256: str
    path: Path

    def named(self, threshold: float) -> dict[str, object]:
        """What a consent record says of it."""
        return {"model_sha256": self.content.model_sha256, "file_sha256": self.sha256, "threshold": threshold}


def write_reference(
    path: Path, *, performer: str, model_sha256: str, embeddings: Sequence[Sequence[float]]
) -> Reference:
    """Write a reference file, readable for its owner alone.

    Raises:
        UsageError: there is such a file, or too few faces. ConsentError: VS-CON-011/012, a bad performer or vector.
    """
    if path.exists():
        raise UsageError("there is a file of this name already", path=path, hint="choose another --output")
    if len(embeddings) < LEAST:
        raise UsageError(
            f"{len(embeddings)} faces of {performer} can be compared with, at least {LEAST} are needed",
            hint="give more pictures of the face from the front",
        )
    rows = [[round(float(value), _DECIMALS) for value in row] for row in embeddings]
    value = {
        "schema": "vfxswap.reference/1",
        "performer": performer,
        "model_sha256": model_sha256,
        "embeddings": rows,
    }
    data = (json.dumps(value, allow_nan=False) + "\n").encode()
    parse_document(ReferenceFile, data, path=path)
    write_private(path, data)
    return read_reference(path)


def read_reference(path: Path) -> Reference:
    """Read a reference file; raises ConsentError VS-CON-001 (no file) or 012."""
    read_object(path)  # strict about what JSON is
    try:
        data = documents.read_bytes(path, most=documents.SMALL)
    except (OSError, documents.TooLargeError) as error:  # another file than a moment ago
        raise _refused(f"the reference file cannot be read: {error}", "give it again", path) from error
    return Reference(parse_document(ReferenceFile, data, path=path), hashlib.sha256(data).hexdigest(), path)


def require_reference(path: Path | None, named: ReferenceEmbeddings | None, *, performer: str) -> Reference | None:
    """The reference file that a consent names, or None where it names none and none is given.

    Args:
        path: the file at hand.
        named: what the consent says.
        performer: whose consent it is.

    Raises:
        ConsentError: VS-CON-015, the file is missing, another one, or of another performer.
    """
    if named is None:
        if path is None:
            return None
        raise _refused(
            f"the consent of {performer} names no reference file", "sign one made with consent new --reference", path
        )
    if path is None:
        raise _refused(
            f"the consent of {performer} names a reference file", "give it: --reference FILE; production keeps it"
        )
    found = read_reference(path)
    if found.sha256 != named.file_sha256:
        raise _refused(
            f"the reference file has sha256 {found.sha256}, the consent of {performer} names {named.file_sha256}",
            "get the file that was made with this consent",
            path,
        )
    if (found.content.performer, found.content.model_sha256) != (performer, named.model_sha256):
        raise _refused(f"the reference file is of {found.content.performer}", "get the one of this consent", path)
    return found


def _refused(message: str, hint: str, path: Path | None = None) -> ConsentError:
    return refusal(Rule.REFERENCE, message, hint=hint, path=path)
