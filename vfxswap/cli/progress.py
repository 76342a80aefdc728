"""Events for people: bars with rate and time left on a terminal, plain lines elsewhere. Both write to stderr."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from vfxswap import events
from vfxswap.events import Event

# Seconds between two plain lines of one stage.
_INTERVAL = 5.0


def describe(event: Event) -> str:
    """One line for a person, empty for events that only move a bar."""
    match event:
        case events.Started():
            return f"{event.job}: frames {event.frames}" if event.frames else event.job
        case events.Scored():
            values = ", ".join(f"{name} {value:.4g}" for name, value in event.scores.items())
            end = (
                f"; likeness_psnr then {event.expected:.1f} ± {event.spread:.1f}" if event.expected is not None else ""
            )
            return f"step {event.step}: {values} ({event.rate:.1f} steps/s, {event.left / 60:.0f} min left{end})"
        case events.Warned():
            return f"warning: {_at(event.frame)}{event.message}"
        case events.FrameFailed():
            return f"failed: {_at(event.frame)}{event.message}" + (f"; {event.hint}" if event.hint else "")
        case events.Done():
            counts = ", ".join(f"{count} {status}" for status, count in event.counts.items() if count)
            return "done" + (f": {counts}" if counts else "") + (f"; {event.reason}" if event.reason else "")
        case _:
            return ""


def _at(frame: int | None) -> str:
    return "" if frame is None else f"frame {frame}: "


class LineSink:
    """Plain lines for logs: one per stage every few seconds, and one when it is complete."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._due: dict[str, float] = {}
        self._began: dict[str, tuple[float, int]] = {}

    def emit(self, event: Event) -> None:
        """Print the event if a reader of a log wants it now."""
        text = self._progress(event) if isinstance(event, events.Progress) else describe(event)
        if text:
            print(text, file=self._stream, flush=True)

    def _progress(self, event: events.Progress) -> str:
        now = time.monotonic()
        began, at = self._began.setdefault(event.stage, (now, event.done))
        if event.done < event.total and now < self._due.setdefault(event.stage, now):
            return ""
        self._due[event.stage] = now + _INTERVAL
        if event.done == event.total:
            # The next shot's stage of that name has a pace of its own.
            del self._began[event.stage], self._due[event.stage]
        return (
            f"{event.stage}: {event.done}/{event.total}{_pace(event.done - at, event.total - event.done, now - began)}"
        )


def _pace(done: int, left: int, seconds: float) -> str:
    """Rate and time left, once there is enough to tell them by."""
    if done < 1 or seconds < 1:
        return ""
    rate = done / seconds
    paced = f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each"
    return f" ({paced}, {_clock(left / rate)} left)" if left else f" ({paced})"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class _Rate(ProgressColumn):
    """Steps per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f}/s" if speed else "", style="progress.data.speed")


class BarSink:
    """A bar for each stage, on a terminal. Use as a context manager, so that the cursor comes back."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), _Rate())
        self._bars = Progress(*columns, TimeRemainingColumn(), console=self._console)
        self._stages: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def emit(self, event: Event) -> None:
        """Move a bar, or print a line above the bars."""
        if isinstance(event, events.Progress):
            if event.stage not in self._stages:
                self._stages[event.stage] = self._bars.add_task(event.stage, total=event.total)
            self._bars.update(self._stages[event.stage], completed=event.done, total=event.total)
            return
        text = describe(event)
        if text:
            # No markup: paths and messages may hold brackets.
            self._console.print(text, markup=False, style=_STYLES.get(event.event))


_STYLES = {"warning": "yellow", "frame_failed": "red"}
