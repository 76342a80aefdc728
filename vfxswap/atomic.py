"""Files appear whole or not at all: temporary name in the target folder, fsync, rename.

Temporary files are `.NAME.<host>.<pid>.tmp`; those whose process is gone are swept by the next writer of the same file,
or, where many files are written into one folder, once for the folder.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from vfxswap.errors import OutputError, ResourceError, VfxSwapError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_AWAY = {
    getattr(errno, name)
    for name in ("EIO", "ENOENT", "ENODEV", "ENXIO", "ENOTCONN", "ESTALE", "ETIMEDOUT", "EHOSTDOWN", "EHOSTUNREACH")
    if hasattr(errno, name)
}
"""What storage says that is not there any more: a share that was unmounted, a folder that was removed."""

LONGEST = 255
"""Bytes of a file's name."""

_FOLDERS = ".tmpdir"
_HOST = "".join(c if c.isalnum() else "-" for c in socket.gethostname()) or "localhost"
_ROOM = len(os.fsencode(_HOST)) + 32
"""What a temporary name has beside the name: host, process, endings."""


def writing_error(error: OSError, path: Path) -> VfxSwapError:
    """Translate an OSError met while writing `path` into the error a user can act on."""
    if error.errno in _FULL:
        return ResourceError("the disk is full", path=path, hint="free space and run again; whole frames are kept")
    if error.errno in _FORBIDDEN:
        return OutputError("no permission to write", path=path, hint="choose another --output or fix the permissions")
    if error.errno == errno.ENAMETOOLONG:
        return OutputError("the name is too long for this file system", path=path, hint="choose a shorter --output")
    if error.errno in _AWAY:
        reason = (error.strerror or str(error)).lower()
        hint = "see that the folder is there and its storage answers, and run again; whole frames are kept"
        return ResourceError(f"the folder cannot be reached: {reason}", path=path, hint=hint)
    return OutputError(f"cannot write: {error.strerror or error}", path=path)


def system_error(error: OSError) -> VfxSwapError | None:
    """What a user can do about an OSError that nobody expected; None where only a bug can be to blame."""
    path = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else None
    if error.errno in _FULL:
        return ResourceError("the disk is full", path=path, hint="free space and run again; what is whole is kept")
    if error.errno in _FORBIDDEN:
        return OutputError("no permission", path=path, hint="fix the permissions, or choose another place")
    if error.errno == errno.ENAMETOOLONG:
        return OutputError("the name is too long for this file system", path=path, hint="choose a shorter one")
    if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN}:
        reason = (error.strerror or str(error)).lower()
        return ResourceError(f"the system is out of resources: {reason}", path=path, hint="see `ulimit -a`; run again")
    if error.errno in _AWAY and path is not None:
        reason = (error.strerror or str(error)).lower()
        hint = "see that it is there and its storage answers, and run again; what is whole is kept"
        return ResourceError(f"cannot be reached: {reason}", path=path, hint=hint)
    return None


def make_folder(folder: Path) -> Path:
    """Create `folder` and its parents; raises OutputError or ResourceError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise writing_error(error, folder) from error
    return folder


def temporary_name(path: Path) -> Path:
    """The temporary sibling of `path` for this host and process."""
    return path.with_name(f"{_hidden(path.name)}.{_HOST}.{os.getpid()}.tmp")


def _hidden(name: str) -> str:
    """`.NAME`; of a name that leaves no room for what follows its beginning and a hash."""
    data = os.fsencode(name)
    if len(data) > LONGEST - _ROOM:
        digest = hashlib.sha256(data).hexdigest()[:8]
        name = f"{data[: LONGEST - _ROOM - len(digest) - 1].decode('utf-8', 'ignore')}~{digest}"
    return f".{name}"


def sweep(folder: Path) -> int:
    """Remove temporary files in `folder` left by dead processes of this host; returns how many."""
    return _swept(folder, f".*.{_HOST}.*.tmp")


def _swept(folder: Path, pattern: str) -> int:
    removed = 0
    for stale in folder.glob(pattern):
        pid = stale.name.rsplit(".", 2)[-2]
        if pid.isdigit() and int(pid) != os.getpid() and not alive(int(pid)):
            with contextlib.suppress(OSError):  # somebody else's, or gone by now
                stale.unlink()
                removed += 1
    return removed


def alive(pid: int) -> bool:
    """Whether a process of this machine is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def replacing(path: Path, *, swept: bool = False) -> Iterator[Path]:
    """Yield a temporary path to write to; on success it is fsynced and renamed to `path`.

    On any failure the temporary file is removed and `path` is left as it was.

    Args:
        path: the file.
        swept: what dead processes left of it was removed before, with `sweep`: looking for it reads the whole folder,
            which is for once where a folder gets many files.

    Raises:
        OutputError: no permission. ResourceError: the disk is full.
    """
    make_folder(path.parent)
    temporary = temporary_name(path)
    try:
        if not swept:
            _swept(path.parent, f"{glob.escape(_hidden(path.name))}.{_HOST}.*.tmp")
        yield temporary
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise writing_error(error, path) from error
    finally:
        # Only still there when something went wrong: after os.replace the name is gone.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes, *, swept: bool = False) -> None:
    """Write `data` to `path` atomically, as `replacing`; raises OutputError or ResourceError."""
    with replacing(path, swept=swept) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 `text` to `path` atomically; raises OutputError or ResourceError."""
    write_bytes(path, text.encode())


def check_writable(folder: Path) -> None:
    """Find out now, not after an hour of work, that files cannot be made in `folder`; raises OutputError."""
    probe = temporary_name(folder / "probe")
    _swept(folder, f".probe.{_HOST}.*.tmp")
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise writing_error(error, folder) from error


class Anchor:
    """Notices that a folder in which files were written was removed or unmounted: what was in it is not there now.

    It is held open: no other folder gets its number meanwhile.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: int | None = None

    def check(self) -> None:
        """Raise ResourceError where the folder is not the one that it was when it was first there."""
        try:
            if self._held is None:
                self._held = os.open(self._folder, os.O_RDONLY)
            elif os.path.samestat(os.fstat(self._held), self._folder.stat()):
                return
            else:
                raise ResourceError(
                    "the folder was replaced while it was written to",
                    path=self._folder,
                    hint="see that its storage is mounted and run again; what is gone is made again",
                )
        except OSError as error:
            if self._held is not None:
                raise writing_error(error, self._folder) from error
            # Not there yet; or a system that opens no folders.

    def close(self) -> None:
        """Let it go."""
        if self._held is not None:
            os.close(self._held)
            self._held = None


@contextlib.contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder to fill; on success its files are fsynced and it takes the place of `folder`.

    On any failure it is removed and `folder` is left as it was. What dead processes of this host left is removed, too.

    Raises:
        OutputError: no permission. ResourceError: the disk is full.
    """
    make_folder(folder.parent)
    for stale in folder.parent.glob(f"{glob.escape(_hidden(folder.name))}.{_HOST}.*{_FOLDERS}"):
        pid = stale.name.rsplit(".", 2)[-2]
        if pid.isdigit() and not alive(int(pid)):
            if ".old." in stale.name and not folder.exists():  # killed between the two renames
                os.replace(stale, folder)
            shutil.rmtree(stale, ignore_errors=True)
    mine = [f"{_HOST}.{part}{os.getpid()}{_FOLDERS}" for part in ("", "old.")]
    temporary, before = (folder.with_name(f"{_hidden(folder.name)}.{end}") for end in mine)
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
