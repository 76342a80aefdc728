"""The container of .vfxtrack, .vfxshot and .vfxmodel files: a zip of JSON and npy members, no pickle.

Every archive holds `manifest.json` with `schema` (`vfxswap.<kind>/<version>`) and the sha256 of every
other member. Older schema versions are migrated by the reader's `migrate` table, newer ones refused.
The same content gives the same bytes: members are sorted and carry a fixed date.

Members are read into memory and never written to a file, so that no name in an archive can lead anywhere. What it may
grow to is bounded by its own size.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.lib import format as npy

from vfxswap import atomic, documents
from vfxswap.errors import VfxSwapError
from vfxswap.pixels import AnyArray

MANIFEST = "manifest.json"
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_MOST_MEMBERS = 1000
_FREE, _RATIO = 512 << 20, 16
"""An archive may hold so many bytes, and so many more for each of its own: what never changes compresses well."""
_PIECE = 1 << 20
_NUMBERS = "biuf"
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
    """The array of numbers in .npy bytes. What its header claims is what there is, before anything is allocated.

    Raises:
        ValueError: not such bytes, objects or text in them, or another size than the header's.
    """
    stream = io.BytesIO(data)
    try:
        version = npy.read_magic(stream)
        readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
        if version not in readers:
            raise ValueError(f"npy version {version}")
        shape, fortran, kind = readers[version](stream)
    except (OverflowError, TypeError, SyntaxError, RecursionError, MemoryError, TokenError) as error:
        raise ValueError(f"not an array: {error}") from error
    if kind.kind not in _NUMBERS or kind.names or kind.subdtype:
        raise ValueError(f"an array of {kind}, numbers are expected")
    size = len(data) - stream.tell()
    if any(side < 0 for side in shape) or math.prod(shape) * kind.itemsize != size:
        raise ValueError(f"an array of {shape} in {size} bytes")
    flat = np.frombuffer(data, kind, offset=stream.tell())
    return flat.reshape(shape, order="F" if fortran else "C").copy()


def write(
    path: Path,
    *,
    kind: str,
    version: int,
    manifest: Mapping[str, Any],
    members: Mapping[str, bytes],
    swept: bool = False,
) -> None:
    """Write an archive atomically; `swept` as for `atomic.replacing`.

    `manifest` must not contain `schema` or `sha256`: they are added.
    """
    head: Manifest = dict(manifest)
    head["schema"] = f"vfxswap.{kind}/{version}"
    head["sha256"] = {name: sha256(data) for name, data in sorted(members.items())}
    text = json.dumps(head, indent=1, sort_keys=True, allow_nan=False).encode()
    with atomic.replacing(path, swept=swept) as temporary, zipfile.ZipFile(temporary, "w") as archive:
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
        error: the file is missing, not such an archive, larger than one can be, newer than `version`, of a version
            that nothing reads any more, or a member's hash differs.
    """
    if path.exists() and not path.is_file():
        raise error(f"not a .vfx{kind} file", path=path, hint="check the argument")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, size=path.stat().st_size)
            manifest: Manifest = documents.json_value(_member(archive, MANIFEST))
            found = _version(manifest, kind=kind, path=path, error=error)
            if found > version or any(step not in (migrations or {}) for step in range(found, version)):
                raise error(
                    f"schema vfxswap.{kind}/{found} is {'newer' if found > version else 'older'} than this vfxswap"
                    f" reads (vfxswap.{kind}/{version})",
                    path=path,
                    hint="update vfxswap" if found > version else "make it again with this vfxswap",
                )
            members = {name: _member(archive, name) for name in archive.namelist() if name != MANIFEST}
    except FileNotFoundError:
        raise error(f"no such file: {path}", hint=f"give the path of a .vfx{kind} file") from None
    except PermissionError:
        raise error("no permission to read it", path=path, hint="fix its permissions") from None
    except _DAMAGE as problem:
        said = f": {problem}" if type(problem) is ValueError else ""
        raise error(f"not a .vfx{kind} file or damaged{said}", path=path, hint="write it again") from problem
    expected = manifest.pop("sha256", {})
    if not isinstance(expected, dict) or set(expected) != set(members):
        raise error("members differ from the manifest's list", path=path, hint="write the file again")
    for name, data in members.items():
        if sha256(data) != expected[name]:
            raise error(f"member {name} does not match its sha256", path=path, hint="the file was altered or damaged")
    for step in range(found, version):
        manifest = (migrations or {})[step](manifest)
    return manifest, members


# What zipfile and its decompressors raise for bytes that are no archive.
_DAMAGE = (zipfile.BadZipFile, KeyError, ValueError, OSError, EOFError, zlib.error, NotImplementedError, RuntimeError)


def _check_members(archive: zipfile.ZipFile, *, size: int) -> None:
    """Refuse, before anything is unpacked, what no archive of ours holds; ValueError in words."""
    listed = archive.infolist()
    if len(listed) > _MOST_MEMBERS:
        raise ValueError(f"{len(listed)} members")
    if len({info.filename for info in listed}) != len(listed):
        raise ValueError("a member is there twice")
    for info in listed:
        if not _PLAIN.fullmatch(info.filename):
            raise ValueError(f"a member is named {info.filename[:80]!r}")
        if info.compress_type not in _METHODS or info.flag_bits & 1:
            raise ValueError(f"member {info.filename} is packed or encrypted in a way that is not read")
    claimed = sum(info.file_size for info in listed)
    if claimed > _FREE + _RATIO * size:
        raise ValueError(f"it claims {claimed >> 20} MiB in a file of {size >> 10} KiB")


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """A member's bytes, piece by piece: one that holds more than it claims is never unpacked further than that."""
    info = archive.getinfo(name)
    data = bytearray()
    with archive.open(info) as stream:
        while piece := stream.read(_PIECE):
            data += piece
    if len(data) != info.file_size:
        raise ValueError(f"member {name} is cut off")
    return bytes(data)


def _version(manifest: object, *, kind: str, path: Path, error: type[VfxSwapError]) -> int:
    schema = manifest.get("schema", "") if isinstance(manifest, dict) else ""
    found = documents.version_of(schema, kind=kind)
    if found is None:
        raise error(f"is not a .vfx{kind} file (schema {str(schema)[:80]!r})", path=path, hint="check the argument")
    return found
