"""An OCIO config in one file, with the files that it refers to and no others.

`Config.archive` takes every LUT below the config's folder, and refuses configs whose search path leads out of it, as
those of studios do. Here the files are gathered first: each search path becomes a folder beside a copy of the config.
"""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import PyOpenColorIO as ocio  # noqa: N813

from vfxswap import atomic
from vfxswap.color import digest
from vfxswap.errors import ColorError

_FOLDER = "luts"


def write(config: Any, path: Path, *, identifier: str) -> None:
    """Archive a config and its files, as its context resolves them. A file that is missing stays missing.

    Args:
        config: the OCIO config, its context variables set.
        path: the .ocioz to write.
        identifier: how people know the config.

    Raises:
        ColorError: a file is named by its whole path or upwards. OutputError, ResourceError.
    """
    with tempfile.TemporaryDirectory(prefix="vfxswap-ocio-") as folder:
        staged = _staged(config, Path(folder), identifier)
        with atomic.replacing(path) as temporary:
            staged.archive(str(temporary))


def _staged(config: Any, folder: Path, identifier: str) -> Any:
    """A copy of the config in `folder`, whose files lie below it."""
    context = config.getCurrentContext()
    # Last the folder itself, where OCIO looks when no search path has the file.
    roots = [*(str(context.resolveStringVar(root)) for root in config.getSearchPaths()), ""]
    for transform in digest.transforms(config):
        if isinstance(transform, ocio.FileTransform):
            _gather(str(transform.getSrc()), context, roots, folder, identifier)
    staged = copy.deepcopy(config)
    staged.clearSearchPaths()
    for number in range(len(roots)):
        staged.addSearchPath(f"{_FOLDER}/{number}")
        (folder / _FOLDER / str(number)).mkdir(parents=True, exist_ok=True)
    staged.setWorkingDir(str(folder))
    return staged


def _gather(source: str, context: Any, roots: list[str], folder: Path, identifier: str) -> None:
    name = str(context.resolveStringVar(source))
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ColorError(
            f"OCIO config {identifier} names a file by where it lies: {source}",
            hint="name it by its search path, or do not bundle the config: it is known by its hash anyway",
        )
    try:
        found = str(context.resolveFileLocation(source))
    except ocio.ExceptionMissingFile:
        return
    here = str(context.getWorkingDir())
    number = next(
        (i for i, root in enumerate(roots) if os.path.normpath(Path(here, root, name)) == os.path.normpath(found)),
        len(roots) - 1,
    )
    target = folder / _FOLDER / str(number) / name
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(found, target)
    except OSError as error:
        raise ColorError(
            f"OCIO config {identifier}: cannot read {found}: {error.strerror}", hint="repair it"
        ) from error
