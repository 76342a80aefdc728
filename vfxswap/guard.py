"""A decoder that crashes takes one frame with it, not the shot: docs/decisions/0005-damaged-files.md.

The file that is being decoded is named in a note on disk. A process that dies leaves its note behind; the next one
decodes that file in a child first, and where the child dies too that frame fails and the others go on.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from vfxswap import atomic, documents, exr
from vfxswap.errors import FrameError, VfxSwapError

_PATTERN = "reading.*.json"
_CHECK_S = 300.0
"""A file that takes longer than this to decode hangs."""


class Watch:
    """Notes which files this process is decoding, in `folder`; knows those that others did not come back from."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._note = folder / f"reading.{socket.gethostname()}.{os.getpid()}.json"
        self._lock = threading.Lock()
        self._now: list[str] = []
        self._made: list[Path] = []
        self._suspects = _suspects(folder)

    @contextlib.contextmanager
    def reading(self, path: Path, *, frame: int) -> Iterator[None]:
        """Around the decoding of a file.

        Raises:
            FrameError: decoding it has killed a process, and does so again.
        """
        name = str(path.absolute())
        if name in self._suspects:
            _check_apart(path, frame)
            # Harmless after all: whoever left that note was stopped by something else.
            for note in self._suspects.pop(name):
                note.unlink(missing_ok=True)
        with self._lock:
            self._now.append(name)
            self._write()
        try:
            yield
        finally:
            with self._lock:
                self._now.remove(name)
                self._write()

    def tidy(self) -> None:
        """Remove the folders that were made for the note and hold nothing else."""
        while self._made:
            with contextlib.suppress(OSError):
                self._made.pop().rmdir()

    def _make_folder(self) -> None:
        missing = [folder for folder in (self._folder, *self._folder.parents) if not folder.exists()]
        self._folder.mkdir(parents=True, exist_ok=True)
        self._made += missing[::-1]

    def _write(self) -> None:
        """Leaves nothing behind where nothing is being read. A folder that cannot be written to is said elsewhere."""
        with contextlib.suppress(OSError):
            if self._now:
                self._make_folder()
                self._note.write_text(json.dumps(self._now))
                return
            self._note.unlink(missing_ok=True)


def _suspects(folder: Path) -> dict[str, list[Path]]:
    """File -> the notes that name it."""
    found: dict[str, list[Path]] = {}
    for note in sorted(folder.glob(_PATTERN)):
        with contextlib.suppress(OSError):  # gone again
            try:
                for name in documents.json_value(documents.read_text(note, most=documents.SMALL)):
                    found.setdefault(str(name), []).append(note)
            except (ValueError, TypeError):  # cut off: its process was stopped before it decoded anything
                if _is_left(note):
                    note.unlink()
    return found


def _is_left(note: Path) -> bool:
    """Whether the process that wrote a note was one of this machine and is gone."""
    pid = note.name.removeprefix(f"reading.{socket.gethostname()}.").removesuffix(".json")
    return pid.isdigit() and not atomic.alive(int(pid))


def _check_apart(path: Path, frame: int) -> None:
    """Decode a file in a child; raises FrameError when that kills it."""
    command = [sys.executable, "-m", "vfxswap.guard", str(path)]
    try:
        code = subprocess.run(command, capture_output=True, timeout=_CHECK_S, check=False).returncode
    except subprocess.TimeoutExpired:
        code = -1
    # A child that ends by itself, whatever it says, has not been killed: the reader then says what is wrong.
    if code < 0 or code >= 128:
        raise FrameError(
            "decoding this file kills the process",
            path=path,
            frame=frame,
            hint="render or copy it again: it is damaged",
        )


def _main(path: str) -> int:
    try:
        exr.check(path)
    except VfxSwapError as error:
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1]))
