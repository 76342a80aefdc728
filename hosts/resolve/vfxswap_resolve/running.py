"""One run at a time. A run without a window is cancelled by starting the script a second time."""

from __future__ import annotations

import contextlib
import os
import time

from vfxswap_bridge import files
from vfxswap_resolve.front import Front
from vfxswap_resolve.settings import Settings

_WINDOW = "window"
_BEAT = 2.0
_SILENCE = 30.0
"""Seconds after which a run that gave no sign is taken for gone."""


class Running:
    """The sign that a run is going on, in two files beside the settings.

    Args:
        settings: file of the settings.
    """

    def __init__(self, settings: str) -> None:
        stem = os.path.splitext(settings)[0]
        self.mark, self.stop = stem + ".running", stem + ".cancel"
        self._last = 0.0

    def other(self) -> bool:
        """Whether another run is going on."""
        try:
            return abs(time.time() - os.path.getmtime(self.mark)) < _SILENCE
        except OSError:
            return False

    def has_window(self) -> bool:
        """Whether the other run can be cancelled where it is seen."""
        try:
            with open(self.mark, encoding="utf-8") as file:
                return file.read().strip() == _WINDOW
        except OSError:
            return False

    def ask_to_stop(self) -> None:
        """Let the other run end; raises BridgeError where the folder cannot be written."""
        files.write_text(self.stop, "")

    def begin(self, *, window: bool) -> None:
        """Say that this run is going on; raises BridgeError where the folder cannot be written."""
        files.remove(self.stop)
        files.write_text(self.mark, _WINDOW if window else "")
        self._last = time.monotonic()

    def beat(self) -> bool:
        """Say so again, now and then; whether to go on."""
        if time.monotonic() - self._last > _BEAT:
            self._last = time.monotonic()
            with contextlib.suppress(OSError):  # the run is worth more than its sign
                os.utime(self.mark)
        return not os.path.exists(self.stop)

    def end(self) -> None:
        """There is nothing to be cancelled any more."""
        files.remove(self.mark)
        files.remove(self.stop)


class Watched:
    """A front whose run can be cancelled from elsewhere.

    Args:
        front: speaks with the artist.
        running: the sign.
    """

    def __init__(self, front: Front, running: Running) -> None:
        self._front, self._running = front, running

    def settings(self, last: Settings) -> Settings | None:
        """As the front."""
        return self._front.settings(last)

    def question(self, key: str, asked: str) -> str:
        """As the front."""
        return self._front.question(key, asked)

    def watch(self, what: str, done: int, total: int) -> bool:
        """As the front, unless the run was asked to stop."""
        return self._front.watch(what, done, total) and self._running.beat()

    def tell(self, said: str) -> None:
        """As the front."""
        self._front.tell(said)

    def close(self) -> None:
        """As the front."""
        self._front.close()
