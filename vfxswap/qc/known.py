"""Whose face an output is compared with: a file or folder that a person has of the likeness."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vfxswap import documents, faceset
from vfxswap.errors import UsageError
from vfxswap.infer import Device
from vfxswap.pixels import F64
from vfxswap.trust.references import read_reference

_LENGTH = 128


def reference(path: Path, *, role: str = "likeness", device: Device = "auto") -> F64:
    """(128,) the middle of a performer's embeddings.

    Args:
        path: a faceset's folder, a reference file that a consent names (`vfxswap.reference/1`), or a JSON file with
            one embedding under the name of the role, as examples/demo/identities.json.
        role: "likeness" or "double".
        device: where the embedder runs, for facesets that hold no embeddings.

    Raises:
        UsageError: it is none of these. FacesetError, ConsentError: a damaged faceset or reference file.
    """
    if path.is_dir():
        return faceset.reference(faceset.load(path), device=device)
    try:
        data = documents.json_value(documents.read_bytes(path, most=documents.SMALL))
    except FileNotFoundError:
        raise UsageError(f"no such file: {path}", hint=_HINT) from None
    except (OSError, ValueError) as error:
        raise UsageError("the reference cannot be read", path=path, hint=_HINT) from error
    if isinstance(data, dict) and str(data.get("schema", "")).startswith("vfxswap.reference/"):
        return np.asarray(np.mean(read_reference(path).content.embeddings, axis=0), np.float64)
    found = data.get(role) if isinstance(data, dict) else None
    if not (isinstance(found, list) and len(found) == _LENGTH and all(map(_is_number, found))):
        raise UsageError(f"no embedding of the {role} in {path.name}", path=path, hint=_HINT)
    return np.asarray(found, np.float64)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) <= _MOST


_MOST = 1e6
_HINT = "give a faceset's folder or the performer's reference file"
