"""A config's identity: its text and the files it refers to, as its context resolves them.

OCIO's own cache id names files by device and inode: it differs from machine to machine and stays when a LUT is
rewritten in place. Here files count with their contents.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import PyOpenColorIO as ocio  # noqa: N813

_MISSING = "missing"


def config_hash(config: Any, archive: Path | None = None) -> str:
    """Hex digest of a config: the same for configs that convert alike, on every machine.

    A config without files or context variables has OCIO's cache id of its text.

    Args:
        config: the OCIO config, its context variables set.
        archive: the .ocioz it came from, whose files have no paths of their own.
    """
    plain = copy.deepcopy(config)
    # What variables and search paths lead to counts, not their values.
    plain.clearEnvironmentVars()
    plain.clearSearchPaths()
    text = str(plain.getCacheID(None)).rstrip(":")
    context = config.getCurrentContext()
    parts = [part for transform in _transforms(config) for part in _resolved(transform, context, archive is None)]
    if archive is not None:
        parts.append(_file_digest(archive))
    if not parts:
        return text
    joined = "\n".join([text, *sorted(set(parts))])
    return f"{text}:{hashlib.sha256(joined.encode()).hexdigest()[:32]}"


def _transforms(config: Any) -> Iterator[Any]:
    """Every transform of the config's spaces and looks, groups opened."""
    for name in config.getColorSpaceNames(ocio.SEARCH_REFERENCE_SPACE_ALL, ocio.COLORSPACE_ALL):
        space = config.getColorSpace(name)
        for direction in (ocio.COLORSPACE_DIR_TO_REFERENCE, ocio.COLORSPACE_DIR_FROM_REFERENCE):
            yield from _opened(space.getTransform(direction))
    for look in config.getLooks():
        yield from _opened(look.getTransform())
        yield from _opened(look.getInverseTransform())


def _opened(transform: Any) -> Iterator[Any]:
    if isinstance(transform, ocio.GroupTransform):
        for part in transform:
            yield from _opened(part)
    elif transform is not None:
        yield transform


def _resolved(transform: Any, context: Any, files: bool) -> Iterator[str]:
    """What of a transform is not in the config's text: contents of its file, and names that hold variables."""
    if isinstance(transform, ocio.FileTransform):
        if not files:
            yield str(context.resolveStringVar(transform.getSrc()))
        else:
            yield _located(transform, context)
        names = [transform.getCCCId()]
    elif isinstance(transform, ocio.ColorSpaceTransform):
        names = [transform.getSrc(), transform.getDst()]
    elif isinstance(transform, ocio.LookTransform):
        names = [transform.getSrc(), transform.getDst(), transform.getLooks()]
    else:
        return
    for name in names:
        if (value := str(context.resolveStringVar(name))) != name:
            yield f"{name}={value}"


def _located(transform: Any, context: Any) -> str:
    source = str(transform.getSrc())
    try:
        return f"{source} {_file_digest(Path(str(context.resolveFileLocation(source))))}"
    except ocio.ExceptionMissingFile:
        return f"{source} {_MISSING}"


def _file_digest(path: Path) -> str:
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError:
        return _MISSING
