"""C2PA inside of pictures and movies that people look at, whose formats can hold it; EXR cannot (sidecar.py).

A viewing copy is made from a sequence, so what it holds names the signed manifests of that: their hashes, the people,
models and consents. It is no substitute for the line that people see (marks.py): most programs drop it.

Source: C2PA Specification 2.x, c2pa.org; calls of c2pa-python 0.38.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from vfxswap import atomic
from vfxswap.archive import sha256
from vfxswap.errors import VfxSwapError
from vfxswap.marks import SOURCE_TYPE
from vfxswap.provenance import manifest, sidecar
from vfxswap.provenance.own_key import own_key
from vfxswap.trust.keys import PrivateKey

TYPES: Final = {
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".mov": "video/quicktime",
    ".mp4": "video/mp4",
    ".png": "image/png",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
}
"""File name's end -> media type, of what can hold C2PA and is written somewhere for people to look at."""


def embed(path: Path, *, shows: Iterable[Path] = (), sign: Callable[[], PrivateKey] = own_key) -> str:
    """Put C2PA into a finished picture or movie of swaps. Its pixels stay; whatever changes it later is found.

    Args:
        path: the file, which carries its visible mark already; replaced atomically.
        shows: the signed manifests of the sequences that it is made from.
        sign: gives the key; this user's render key without.

    Returns:
        Why it holds none, and then it is as it was; empty where it does. A copy to look at is never lost for this.
    """
    kind = TYPES.get(path.suffix.lower())
    if kind is None:
        return f"{path.suffix or path.name} files cannot hold C2PA"
    if problem := sidecar.problem():
        return problem
    import c2pa

    try:
        builder = c2pa.Builder(json.dumps(_claim(path, shows)), context=sidecar.context())
        with (
            sidecar.credential(sign()) as signing,
            atomic.replacing(path) as temporary,
            path.open("rb") as source,
            temporary.open("w+b") as target,
        ):
            builder.sign(signing, kind, source, target)
    except (c2pa.C2paError, VfxSwapError, OSError) as error:
        return f"c2pa could not be put into {path.name}: {error}"
    return ""


def _claim(path: Path, shows: Iterable[Path]) -> dict[str, Any]:
    sequences = []
    for file in shows:
        predicate = manifest.read(file).statement.predicate
        record = {"name": file.name, "sha256": sha256(file.read_bytes())}
        sequences.append({**sidecar.said(predicate), "manifest": record})
    actions = [{"action": "c2pa.created", "digitalSourceType": SOURCE_TYPE, "description": sidecar.DONE}]
    return sidecar.claim(path.name, actions=actions, said={"sequences": sequences})
