"""The container of .vfxtrack, .vfxshot and .vfxmodel files: a zip of JSON and npy members, no pickle.

Every archive holds `manifest.json` with `schema` (`vfxswap.<kind>/<version>`) and the sha256 of every
other member. Older schema versions are migrated by the reader's `migrate` table, newer ones refused.
The same content gives the same bytes: members are sorted and carry a fixed date.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vfxswap import atomic
from vfxswap.errors import VfxSwapError
from vfxswap.pixels import AnyArray

MANIFEST = "manifest.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)

Manifest = dict[str, Any]
Migration = Callable[[Manifest], Manifest]


def sha256(data: bytes) -> str:
    """Hex sha256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def npy_bytes(array: AnyArray) -> bytes:
    """`array` as .npy bytes (no pickle)."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def npy_array(data: bytes) -> AnyArray:
    """The array in .npy bytes; object arrays are refused by numpy."""
    return np.asarray(np.load(io.BytesIO(data), allow_pickle=False))


def write(path: Path, *, kind: str, version: int, manifest: Mapping[str, Any], members: Mapping[str, bytes]) -> None:
    """Write an archive atomically. `manifest` must not contain `schema` or `sha256`: they are added."""
    head: Manifest = dict(manifest)
    head["schema"] = f"vfxswap.{kind}/{version}"
    head["sha256"] = {name: sha256(data) for name, data in sorted(members.items())}
    text = json.dumps(head, indent=1, sort_keys=True, allow_nan=False).encode()
    with atomic.replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, data in [(MANIFEST, text), *sorted(members.items())]:
            info = zipfile.ZipInfo(name, _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)


def read(
    path: Path,
    *,
    kind: str,
    version: int,
    error: type[VfxSwapError],
    migrations: Mapping[int, Migration] | None = None,
) -> tuple[Manifest, dict[str, bytes]]:
    """Read and verify an archive; returns its manifest (migrated to `version`) and its members.

    Raises:
        error: the file is missing, not such an archive, newer than `version`, or a member's hash differs.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            manifest: Manifest = json.loads(archive.read(MANIFEST))
            members = {name: archive.read(name) for name in archive.namelist() if name != MANIFEST}
    except FileNotFoundError:
        raise error(f"no such file: {path}", hint=f"give the path of a .vfx{kind} file") from None
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, EOFError, zlib.error) as problem:
        raise error(f"not a .vfx{kind} file or damaged", path=path, hint="write it again") from problem
    found = _version(manifest, kind=kind, path=path, error=error)
    if found > version:
        raise error(
            f"schema vfxswap.{kind}/{found} is newer than this vfxswap reads ({version})",
            path=path,
            hint="update vfxswap",
        )
    expected = manifest.pop("sha256", {})
    if not isinstance(expected, dict) or set(expected) != set(members):
        raise error("members differ from the manifest's list", path=path, hint="write the file again")
    for name, data in members.items():
        if sha256(data) != expected[name]:
            raise error(f"member {name} does not match its sha256", path=path, hint="the file was altered or damaged")
    for step in range(found, version):
        manifest = (migrations or {})[step](manifest)
    return manifest, members


def _version(manifest: object, *, kind: str, path: Path, error: type[VfxSwapError]) -> int:
    schema = manifest.get("schema", "") if isinstance(manifest, dict) else ""
    name, _, number = str(schema).partition("/")
    if name != f"vfxswap.{kind}" or not number.isdigit():
        raise error(f"is not a .vfx{kind} file (schema {schema!r})", path=path, hint="check the argument")
    return int(number)
