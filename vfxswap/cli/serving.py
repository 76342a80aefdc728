"""`vfxswap run --serve`: job after job in one process, for a host that wants the next one to start at once.

Each line of stdin is a request, `{"id": "7", "job": "/shot/job.json", "frames": "1001-1010"}`; `frames` and
`"overwrite": true` may be left out. Each is done exactly as `vfxswap run JOB.json` does it, consent included: only
loaded networks are kept. Its events end with `finished`, which says the exit code that `run` would have had. A job
is cancelled by its file `<job>.cancel`. The worker ends when stdin ends, which it also does when the host dies.
"""

from __future__ import annotations

import _thread
import os
import queue
import signal
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from vfxswap import cli, documents, infer
from vfxswap.cli.common import Run
from vfxswap.errors import EXIT_CANCELLED, Cancelled, UsageError, VfxSwapError
from vfxswap.events import Event, NdjsonSink

_PATIENCE: Final = 10.0
"""Seconds in which a job may reach its next whole step after the host is gone."""

_GLANCE: Final = 0.05


@dataclass(frozen=True, kw_only=True)
class Ready(Event):
    """The worker waits for requests."""

    event: ClassVar[str] = "ready"
    pid: int


@dataclass(frozen=True, kw_only=True)
class Finished(Event):
    """The request `id` is done; `code` is the exit code of the contract."""

    event: ClassVar[str] = "finished"
    id: str
    code: int


class Request(BaseModel):
    """What a host asks for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = ""
    job: str
    frames: str = ""
    overwrite: bool = False

    def arguments(self) -> tuple[str, ...]:
        """The command line that does the same; a job's path is never taken for an option."""
        chosen = ("--frames=" + self.frames,) if self.frames else ()
        again = ("--overwrite",) if self.overwrite else ()
        return ("run", *chosen, *again, "--events", "-", "--", self.job)


def serve(run: Run) -> None:
    """Do the requests of stdin until it ends; then the job at hand is cancelled and those that wait are dropped.

    Raises:
        UsageError: there is nobody to tell of events. Cancelled: nobody reads them any more.
    """
    if run.events is None:
        raise UsageError("--serve needs --events -")
    inbox = _Inbox()
    threading.Thread(target=inbox.listen, daemon=True, name="requests").start()
    NdjsonSink(run.events).emit(Ready(pid=os.getpid()))
    with infer.keeping_sessions():
        while (line := inbox.lines.get()) is not None and not inbox.ended.is_set():
            inbox.busy.set()
            name, code = _answer(line, run)
            inbox.busy.clear()  # before it is said: a host that then ends stdin interrupts nothing
            NdjsonSink(_stream(run), started=run.started).emit(Finished(id=name, code=code))


class _Inbox:
    """The lines of stdin, taken on a thread of its own, so that its end is seen while a job is done."""

    def __init__(self) -> None:
        self.lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.busy = threading.Event()
        self.ended = threading.Event()

    def listen(self) -> None:
        """Take lines; when there are no more the host is gone: stop what is being done, in the end the process."""
        for line in sys.stdin:
            if line.strip():
                self.lines.put(line)
        self.ended.set()
        self.lines.put(None)
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until and not self.busy.wait(_GLANCE):
            pass
        _thread.interrupt_main(signal.SIGTERM)  # as if somebody had asked: whole files are kept
        time.sleep(max(0.0, until - time.monotonic()))
        os._exit(EXIT_CANCELLED)  # nobody is left to wait for a step that hangs


def _answer(line: str, run: Run) -> tuple[str, int]:
    """Do one request: its id, and how it ended."""
    name: Any = ""
    try:
        data = documents.json_value(line)
        name = data.get("id", "") if isinstance(data, dict) else ""
        request = Request.model_validate(data)
    except (ValueError, ValidationError) as error:
        problem = UsageError(f"not a request: {str(error).splitlines()[0]}", hint='write {"id": "1", "job": FILE}')
        Run((), events=run.events).report(problem)
        return str(name), problem.exit_code
    return str(name), _do(request, run)


def _do(request: Request, run: Run) -> int:
    try:
        return cli.execute(Run(request.arguments(), events=run.events))
    except VfxSwapError as error:  # a signal that came just beside the work
        return error.exit_code


def _stream(run: Run) -> Any:
    if run.events is None or run.events.closed:
        raise Cancelled("the reader of the events is gone")
    return run.events
