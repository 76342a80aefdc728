"""One process at a time. The lock is the operating system's: it ends with the process, however that ends."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from vfxswap import atomic
from vfxswap.errors import ResourceError

_STEP_S = 0.02


@contextlib.contextmanager
def held(path: Path, *, patience: float = 120.0) -> Iterator[None]:
    """Hold the lock file `path` for the length of a `with`.

    Args:
        path: made where it is missing, and left there.
        patience: seconds to wait for whoever holds it.

    Raises:
        ResourceError: it is still held. OutputError: it cannot be made.
    """
    atomic.make_folder(path.parent)
    try:
        file = path.open("a+b")
    except OSError as error:
        raise atomic.writing_error(error, path) from error
    with file:
        deadline = time.monotonic() + patience
        while not _taken(file):
            if time.monotonic() > deadline:
                raise ResourceError("another process holds the lock", path=path, hint="wait for it and run again")
            time.sleep(_STEP_S)
        yield  # closing the file lets go


if sys.platform == "win32":
    import msvcrt

    def _taken(file: IO[bytes]) -> bool:
        file.seek(0)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _taken(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True  # a file system without locks: writing is atomic, the last merge wins
        return True
