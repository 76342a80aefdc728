"""A config's identity: its text and the files it refers to, as its context resolves them.

OCIO's own cache id names files by device and inode: it differs from machine to machine and stays when a LUT is
rewritten in place. Here files count with their contents.
"""

from __future__ import annotations

import copy
import hashlib
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

import PyOpenColorIO as ocio  # noqa: N813

_MISSING = "missing"


def config_hash(config: Any, archive: Path | None = None) -> str:
    """Hex digest of a config: the same for configs that convert alike, on every machine.

    A config without files or context variables has OCIO's cache id of its text.

    Args:
        config: the OCIO config, its context variables set.
        archive: the .ocioz it came from, whose files have no paths of their own. It has the digest of the config and
            the files that were put into it.
    """
    plain = copy.deepcopy(config)
    # What variables and search paths lead to counts, not their values.
    plain.clearEnvironmentVars()
    plain.clearSearchPaths()
    text = str(plain.getCacheID(None)).rstrip(":")
    context = config.getCurrentContext()
    opened = _file if archive is None else partial(_member, archive)
    parts = [part for transform in transforms(config) for part in _resolved(transform, context, opened)]
    if not parts:
        return text
    joined = "\n".join([text, *sorted(set(parts))])
    return f"{text}:{hashlib.sha256(joined.encode()).hexdigest()[:32]}"


def transforms(config: Any) -> Iterator[Any]:
    """Every transform of the config's spaces and looks, groups opened."""
    for name in config.getColorSpaceNames(ocio.SEARCH_REFERENCE_SPACE_ALL, ocio.COLORSPACE_ALL):
        space = config.getColorSpace(name)
        for direction in (ocio.COLORSPACE_DIR_TO_REFERENCE, ocio.COLORSPACE_DIR_FROM_REFERENCE):
            yield from _opened(space.getTransform(direction))
    for look in config.getLooks():
        yield from _opened(look.getTransform())
        yield from _opened(look.getInverseTransform())


def files(config: Any) -> tuple[Path, ...]:
    """The files that a config refers to, wherever in it, as its context resolves them; missing ones are left out."""
    context, found = config.getCurrentContext(), set()
    for transform in (*transforms(config), *_unnamed(config)):
        if isinstance(transform, ocio.FileTransform):
            with suppress(ocio.ExceptionMissingFile):
                found.add(Path(str(context.resolveFileLocation(str(transform.getSrc())))))
    return tuple(sorted(found))


def _unnamed(config: Any) -> Iterator[Any]:
    """What no space and no look holds: view transforms and named transforms."""
    for direction in (ocio.VIEWTRANSFORM_DIR_TO_REFERENCE, ocio.VIEWTRANSFORM_DIR_FROM_REFERENCE):
        for view in config.getViewTransforms():
            yield from _opened(view.getTransform(direction))
    for named in config.getNamedTransforms():
        for way in (ocio.TRANSFORM_DIR_FORWARD, ocio.TRANSFORM_DIR_INVERSE):
            yield from _opened(named.getTransform(way))


def _opened(transform: Any) -> Iterator[Any]:
    if isinstance(transform, ocio.GroupTransform):
        for part in transform:
            yield from _opened(part)
    elif transform is not None:
        yield transform


_Opener = Callable[[str], AbstractContextManager[IO[bytes]]]


def _resolved(transform: Any, context: Any, opened: _Opener) -> Iterator[str]:
    """What of a transform is not in the config's text: contents of its file, and names that hold variables."""
    if isinstance(transform, ocio.FileTransform):
        yield _located(transform, context, opened)
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


def _located(transform: Any, context: Any, opened: _Opener) -> str:
    source = str(transform.getSrc())
    try:
        with opened(str(context.resolveFileLocation(source))) as handle:
            return f"{source} {_digest(handle)}"
    except (ocio.ExceptionMissingFile, OSError, KeyError):
        return f"{source} {_MISSING}"


def _file(path: str) -> AbstractContextManager[IO[bytes]]:
    return Path(path).open("rb")


@contextmanager
def _member(archive: Path, name: str) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(archive) as file, file.open(name) as handle:
        yield handle


def _digest(handle: IO[bytes]) -> str:
    found = hashlib.sha256()
    while part := handle.read(1 << 20):
        found.update(part)
    return found.hexdigest()
