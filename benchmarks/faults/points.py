"""Faults at chosen moments of a process: at the n-th time that it touches the disk, or at the n-th byte of a file.

Python tells an audit hook of every open, rename, removal and new folder before it happens; `os.fsync` is told of by a
wrapper. Whatever the process does between two of these moments, the disk between them is as the first left it, so that
stopping before every one of them stands for stopping at any moment but in the middle of one write. That is what
`at_byte` is for: the kernel ends the process in the middle of the write that would make a file longer.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_PATHS = {
    "os.rename": (0, 1),
    "os.remove": (0,),
    "os.mkdir": (0,),
    "os.rmdir": (0,),
    "os.chmod": (0,),
    "os.link": (1,),
    "os.symlink": (1,),
    "os.truncate": (0,),
}
_NEEDS_ROOM = {"open", "os.mkdir", "os.link", "os.symlink", "fsync"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclass
class Points:
    """Counts the moments at which a process is about to change something below `root`.

    Attributes:
        root: what is below it counts, nothing else.
        at: the moment, from 1, at which `act` is called; 0: never.
        act: what happens there; what it raises is what the process meets in place of the disk.
        lasting: `act` is called at every later moment as well.
        note: told of every moment: name and path.
    """

    root: Path
    at: int = 0
    act: Callable[[str, str], None] = lambda name, path: None
    lasting: bool = False
    note: Callable[[str, str], None] = lambda name, path: None
    seen: int = 0
    _lock: Any = field(default_factory=threading.Lock)

    def install(self) -> None:
        """From now on, to the end of the process."""
        below, fsync = os.path.realpath(self.root) + os.sep, os.fsync

        def moment(name: str, path: object) -> None:
            if not isinstance(path, str | bytes | os.PathLike):
                return
            text = str(Path.cwd() / os.fsdecode(path))
            if not text.startswith(below):
                return
            with self._lock:
                self.seen += 1
                now = self.seen
            self.note(name, text.removeprefix(below))
            if self.at and (now == self.at or (self.lasting and now > self.at)):
                self.act(name, text)

        def told(name: str, arguments: tuple[Any, ...]) -> None:
            if name == "open":
                if isinstance(arguments[2], int) and arguments[2] & _WRITES:
                    moment(name, arguments[0])
            elif name in _PATHS:
                for index in _PATHS[name]:
                    if isinstance(arguments[index], str | bytes | os.PathLike):
                        moment(name, arguments[index])
                        break

        def synced(handle: Any) -> None:
            number = handle if isinstance(handle, int) else handle.fileno()
            moment("fsync", Path(f"/proc/self/fd/{number}").readlink())
            fsync(handle)

        os.fsync = synced
        sys.addaudithook(told)


def killed(name: str, path: str) -> None:
    """Ends the process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def failing(code: int) -> Callable[[str, str], None]:
    """What needs room fails as it does on a full disk; or, with another code, everything fails."""

    def act(name: str, path: str) -> None:
        if code not in (errno.ENOSPC, errno.EDQUOT) or name in _NEEDS_ROOM:
            raise OSError(code, os.strerror(code), path)

    return act


def at_byte(length: int, *, kill: bool) -> None:
    """No file of this process becomes longer than this: the write that would make it so ends it, or fails."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL if kill else signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, length))
