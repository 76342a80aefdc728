"""One job that a worker does: what it says, how it is stopped, how it ended."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, Callable

from vfxswap_bridge import files
from vfxswap_bridge.events import Event

DONE, CANCELLED = 0, 75

_CODES = {
    1: ("vfxswap failed with an internal error", "look into the log"),
    2: ("vfxswap did not understand how it was called", "host and vfxswap are of different versions"),
    3: ("some frames failed", "look into the log and run again"),
    4: ("there was nothing to render", "look into the log"),
    CANCELLED: ("cancelled", "frames that are done are kept; run again to go on"),
    77: ("consent was refused", "look into the log"),
}


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        code: the exit code of the contract; negative where the worker was killed.
        message: why it is not 0, in one line.
        hint: what to do.
        counts: frames by status, where it got that far.
        failed: (frame, reason) of frames that could not be made.
        warnings: in the worker's words.
    """

    code: int
    message: str = ""
    hint: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    failed: tuple[tuple[int, str], ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Everything was made."""
        return self.code == DONE

    @property
    def cancelled(self) -> bool:
        """Somebody stopped it."""
        return self.code == CANCELLED

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class Handle:
    """A job under way. Its events arrive on a thread of the bridge; `on_event` is called there.

    Args:
        job: path of the job file.
        on_event: called with every event, in order.
        stop: how the worker is asked, and then forced, to stop.
    """

    def __init__(self, job: str, on_event: Callable[[Event], None] | None, stop: Callable[[], None]) -> None:
        self.job = job
        self.log = job + ".log"
        self.stage = ""
        self.done = 0
        self.total = 0
        self.outcome: Outcome | None = None
        self._cancelled = False
        self._ended = threading.Event()
        self._on_event = on_event
        self._stop = stop
        self._error: dict[str, Any] = {}
        self._counts: dict[str, int] = {}
        self._failed: list[tuple[int, str]] = []
        self._warnings: list[str] = []

    @property
    def running(self) -> bool:
        """It has not ended."""
        return not self._ended.is_set()

    def cancel(self) -> None:
        """Ask the worker to stop after the frame at hand: by file and signal; it is killed if it does not."""
        if self.running and not self._cancelled:
            self._cancelled = True
            files.write_text(self.job + ".cancel", "")
            self._stop()

    def wait(self, timeout: float | None = None) -> Outcome | None:
        """How it ended, or None when it has not within `timeout` seconds."""
        self._ended.wait(timeout)
        return self.outcome

    def feed(self, event: Event) -> None:
        """Take one event."""
        kind = event["event"]
        if kind == "progress":
            self.stage = str(event.get("stage", ""))
            self.done, self.total = int(event.get("done", 0)), int(event.get("total", 0))
        elif kind == "warning":
            where = f"frame {event['frame']}: " if "frame" in event else ""
            self._warnings.append(where + str(event.get("message", "")))
        elif kind == "frame_failed":
            self._failed.append((int(event.get("frame", 0)), str(event.get("message", ""))))
        elif kind == "done":
            self._counts = dict(event.get("counts", {}))
        elif kind == "error":
            self._error = event
        if self._on_event is not None:
            self._on_event(event)

    def finish(self, code: int) -> None:
        """The worker is through with it."""
        if self._cancelled:
            files.remove(self.job + ".cancel")
            code = DONE if code == DONE else CANCELLED
        message, hint = ("", "") if code == DONE else _CODES.get(code, (f"vfxswap ended with code {code}", ""))
        if code < 0:
            message, hint = f"vfxswap was killed by signal {-code}", "it may have run out of memory; look into the log"
        if self._error and code not in (DONE, CANCELLED):
            message, hint = str(self._error.get("message", message)), str(self._error.get("hint", ""))
        self.outcome = Outcome(
            code, message, hint, self._counts, tuple(self._failed), tuple(dict.fromkeys(self._warnings))
        )
        self._ended.set()
