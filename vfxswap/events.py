"""What a running job says: events for machines and people, and the token that stops it.

As NDJSON every line is `{"v":1,"event":NAME,"t":SECONDS SINCE START,...}`. An event's fields are its
dataclass's fields; those that are None are left out.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol, TextIO

from vfxswap.errors import Cancelled, VfxSwapError

VERSION = 1

FrameStatus = Literal["rendered", "skipped", "passthrough"]
"""rendered: made now. skipped: there and up to date. passthrough: no face, the plate as it is."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Base of all events; `event` is the name in NDJSON."""

    event: ClassVar[str]


@dataclass(frozen=True, kw_only=True)
class Started(Event):
    """The work begins. `job`: what is done, in a word or a path; `frames`: the range, such as `1001-1048`."""

    event: ClassVar[str] = "started"
    job: str
    frames: str


@dataclass(frozen=True, kw_only=True)
class Progress(Event):
    """`done` of `total` steps of `stage` are finished; `frame` is the one just finished, if frames are counted."""

    event: ClassVar[str] = "progress"
    stage: str
    done: int
    total: int
    frame: int | None = None


@dataclass(frozen=True, kw_only=True)
class FrameDone(Event):
    """One frame has its final name."""

    event: ClassVar[str] = "frame_done"
    frame: int
    path: str
    status: FrameStatus


@dataclass(frozen=True, kw_only=True)
class Scored(Event):
    """A training was scored on crops it never trains on (docs/training.md).

    `rate`: steps per second; `left`: seconds until the budget is spent. `expected`: held-out PSNR of the likeness then,
    dB, as far as the scores so far suggest, `spread` to either side; None while there are too few.
    """

    event: ClassVar[str] = "scored"
    step: int
    rate: float
    left: float
    losses: dict[str, float]
    scores: dict[str, float]
    expected: float | None = None
    spread: float | None = None


@dataclass(frozen=True, kw_only=True)
class Warned(Event):
    """Something a person should look at; the work goes on."""

    event: ClassVar[str] = "warning"
    code: str
    message: str
    frame: int | None = None


@dataclass(frozen=True, kw_only=True)
class FrameFailed(Event):
    """One frame could not be made; the others go on."""

    event: ClassVar[str] = "frame_failed"
    frame: int
    code: str
    message: str
    hint: str = ""

    @classmethod
    def of(cls, error: VfxSwapError, *, frame: int) -> FrameFailed:
        """The event of a frame's error: its hint apart, path and frame in the message."""
        return cls(frame=frame, code=error.code, message=_without_hint(error), hint=error.hint)


@dataclass(frozen=True, kw_only=True)
class Done(Event):
    """The work ended. `manifest`: its record, or empty; `counts`: frames by status; `reason`: why, or None."""

    event: ClassVar[str] = "done"
    manifest: str
    counts: dict[str, int]
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Failed(Event):
    """The work stopped for this reason. Always the last line; the exit code agrees."""

    event: ClassVar[str] = "error"
    code: str
    message: str
    hint: str = ""

    @classmethod
    def of(cls, error: VfxSwapError) -> Failed:
        """The event of an error: its hint apart, path and frame in the message."""
        return cls(code=error.code, message=_without_hint(error), hint=error.hint)


def _without_hint(error: VfxSwapError) -> str:
    return str(error).removesuffix("; " + " ".join(error.hint.split())) if error.hint else str(error)


class EventSink(Protocol):
    """Where events go. `emit` may be called from any thread."""

    def emit(self, event: Event) -> None:
        """Take one event."""


class NullSink:
    """Takes every event and says nothing."""

    def emit(self, event: Event) -> None:
        """Do nothing."""


class RecordingSink:
    """Keeps every event in `events`, for a caller that looks at them afterwards."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        """Append the event."""
        self.events.append(event)


class NdjsonSink:
    """Writes one JSON line per event and flushes it, so that a reader sees it at once.

    Args:
        stream: text stream the lines go to.
        started: `time.monotonic()` value that `t` counts from; now when left out.
    """

    def __init__(self, stream: TextIO, *, started: float | None = None) -> None:
        self._stream = stream
        self._started = time.monotonic() if started is None else started
        self._lock = threading.Lock()

    def emit(self, event: Event) -> None:
        """Write the event.

        Raises:
            Cancelled: nobody reads any more, so nobody waits for the work.
        """
        fields = {name: value for name, value in dataclasses.asdict(event).items() if value is not None}
        with self._lock:
            seconds = round(time.monotonic() - self._started, 3)
            record = {"v": VERSION, "event": event.event, "t": seconds, **fields}
            line = json.dumps(record, allow_nan=False, separators=(",", ":"))
            try:
                self._stream.write(line + "\n")
                self._stream.flush()
            except BrokenPipeError as error:
                raise Cancelled("the reader of the events is gone") from error


class CancelToken:
    """Says whether somebody asked to stop; the work polls it between whole steps.

    Args:
        file: the work also stops when this file appears (`<job>.cancel`), for hosts that cannot send signals.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask to stop. Safe in signal handlers and from any thread."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """True once somebody asked to stop."""
        if not self._event.is_set() and self._file is not None:
            with contextlib.suppress(OSError):  # a name that is too long, storage that is gone: nobody said stop
                if self._file.exists():
                    self._event.set()
        return self._event.is_set()

    def check(self) -> None:
        """Raise Cancelled once somebody asked to stop; otherwise return at once."""
        if self.cancelled:
            raise Cancelled("cancelled", hint="whole files are kept; run the same command again to go on")


def cancel_file(job: Path) -> Path:
    """The file whose appearance cancels the work on `job`: `<job>.cancel`, beside it."""
    return job.with_name(job.name + ".cancel")
