"""Files appear whole or not at all: temporary name in the target folder, fsync, rename.

Temporary files are `.NAME.<host>.<pid>.tmp`; those whose process is gone are swept by the next writer.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from vfxswap.errors import OutputError, ResourceError, VfxSwapError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FOLDERS = ".tmpdir"
_HOST = "".join(c if c.isalnum() else "-" for c in socket.gethostname()) or "localhost"


def writing_error(error: OSError, path: Path) -> VfxSwapError:
    """Translate an OSError met while writing `path` into the error a user can act on."""
    if error.errno in _FULL:
        return ResourceError("the disk is full", path=path, hint="free space and run again; whole frames are kept")
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return OutputError("no permission to write", path=path, hint="choose another --output or fix the permissions")
    return OutputError(f"cannot write: {error.strerror or error}", path=path)


def make_folder(folder: Path) -> Path:
    """Create `folder` and its parents; raises OutputError or ResourceError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise writing_error(error, folder) from error
    return folder


def temporary_name(path: Path) -> Path:
    """The temporary sibling of `path` for this host and process."""
    return path.with_name(f".{path.name}.{_HOST}.{os.getpid()}.tmp")


def sweep(folder: Path) -> int:
    """Remove temporary files in `folder` left by dead processes of this host; returns how many."""
    removed = 0
    for stale in folder.glob(f".*.{_HOST}.*.tmp"):
        pid = stale.name.rsplit(".", 2)[-2]
        if pid.isdigit() and int(pid) != os.getpid() and not _alive(int(pid)):
            stale.unlink(missing_ok=True)
            removed += 1
    return removed


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; on success it is fsynced and renamed to `path`.

    On any failure the temporary file is removed and `path` is left as it was.

    Raises:
        OutputError: no permission. ResourceError: the disk is full.
    """
    make_folder(path.parent)
    temporary = temporary_name(path)
    try:
        yield temporary
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise writing_error(error, path) from error
    finally:
        # Only still there when something went wrong: after os.replace the name is gone.
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically; raises OutputError or ResourceError."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 `text` to `path` atomically; raises OutputError or ResourceError."""
    write_bytes(path, text.encode())


def check_writable(folder: Path) -> None:
    """Find out now, not after an hour of work, that files cannot be made in `folder`; raises OutputError."""
    probe = temporary_name(folder / "probe")
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise writing_error(error, folder) from error


@contextlib.contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder to fill; on success its files are fsynced and it takes the place of `folder`.

    On any failure it is removed and `folder` is left as it was. What dead processes of this host left is removed, too.

    Raises:
        OutputError: no permission. ResourceError: the disk is full.
    """
    make_folder(folder.parent)
    for stale in folder.parent.glob(f".{folder.name}.{_HOST}.*{_FOLDERS}"):
        pid = stale.name.rsplit(".", 2)[-2]
        if pid.isdigit() and not _alive(int(pid)):
            if ".old." in stale.name and not folder.exists():  # killed between the two renames
                os.replace(stale, folder)
            shutil.rmtree(stale, ignore_errors=True)
    mine = [f"{_HOST}.{part}{os.getpid()}{_FOLDERS}" for part in ("", "old.")]
    temporary, before = (folder.with_name(f".{folder.name}.{end}") for end in mine)
    try:
        temporary.mkdir()
        yield temporary
        for path in temporary.rglob("*"):
            if path.is_file():
                with open(path, "rb+") as handle:
                    os.fsync(handle.fileno())
        if folder.exists():
            os.replace(folder, before)
        os.replace(temporary, folder)
    except OSError as error:
        raise writing_error(error, folder) from error
    finally:
        if before.exists() and not folder.exists():
            os.replace(before, folder)
        for left in (temporary, before):
            shutil.rmtree(left, ignore_errors=True)
