"""A command as installed, and what it took: seconds, CPU time, memory over time, and when it said how far it was."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-m", "vfxswap"]
_LOOK_S = 0.2


@dataclass
class Taken:
    """What a command took.

    Attributes:
        code: how it ended.
        seconds: on the wall.
        cpu: seconds of CPU, of the process and its children.
        peak: MiB that it held at most.
        held: (seconds, MiB) over time.
        spent: (seconds, seconds of CPU of the process alone) over time.
        marks: stage -> (seconds, done, total) whenever it said how far it was.
        said: the last lines of stderr.
    """

    code: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    peak: float = 0.0
    held: list[tuple[float, float]] = field(default_factory=list)
    spent: list[tuple[float, float]] = field(default_factory=list)
    marks: dict[str, list[tuple[float, int, int]]] = field(default_factory=dict)
    said: str = ""

    def memory(self, stage: str) -> tuple[float, float]:
        """MiB held a tenth into a stage, and the most from there to its end."""
        marks = self.marks[stage]
        begin, end = marks[0][0], marks[-1][0]
        inside = [(t, size) for t, size in self.held if begin + (end - begin) / 10 <= t <= end]
        inside = inside or self.held[-1:]  # it took no time
        return inside[0][1], max(size for _, size in inside)

    def when(self, stage: str, done: int) -> float:
        """Seconds after which so many frames of a stage were done; its last mark, where it said no more."""
        marks = self.marks[stage]
        return next((t for t, count, _ in marks if count >= done), marks[-1][0])

    def peak_until(self, seconds: float) -> float:
        """The most MiB that it held up to then."""
        return max((size for t, size in self.held if t <= seconds), default=self.held[0][1])

    def cpu_between(self, begin: float, end: float) -> float:
        """Seconds of CPU that it took between two moments."""
        first, last = (next((cpu for t, cpu in self.spent if t >= at), self.spent[-1][1]) for at in (begin, end))
        return last - first

    def thousands(self, stage: str, *, parts: int = 10) -> list[float]:
        """Seconds of each of so many equal parts of a stage."""
        marks = self.marks[stage]
        total, found, last, start = marks[-1][2], [], 0, marks[0][0]
        for part in range(1, parts + 1):
            at = next((t for t, done, _ in marks if done >= total * part / parts), marks[-1][0])
            found.append(at - start)
            last, start = part, at
        return found[:last]


def watched(arguments: Sequence[object], *, stop_at: tuple[str, int] | None = None, events: bool = True) -> Taken:
    """Run a command and watch it.

    Args:
        arguments: of the command line.
        stop_at: (stage, frames): kill it (-9) when it says that so many are done.
        events: whether the command takes `--events -`.
    """
    found, begun, before = Taken(), time.monotonic(), os.times()
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments), *(("--events", "-") if events else ())],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    ended = threading.Event()
    looking = threading.Thread(target=_look, args=(process.pid, begun, found, ended))
    errors: list[str] = []
    draining = threading.Thread(target=lambda: errors.extend(process.stderr or ()))
    looking.start()
    draining.start()
    for line in process.stdout or ():
        event: dict[str, Any] = {}
        with contextlib.suppress(ValueError):
            event = json.loads(line) if line.startswith("{") else {}
        if event.get("event") == "progress":
            mark = (time.monotonic() - begun, int(event["done"]), int(event["total"]))
            found.marks.setdefault(event["stage"], []).append(mark)
            if stop_at is not None and event["stage"] == stop_at[0] and mark[1] >= stop_at[1]:
                process.send_signal(signal.SIGKILL)
    found.code = process.wait()
    found.seconds = time.monotonic() - begun
    ended.set()
    looking.join()
    draining.join()
    after = os.times()
    found.cpu = after.children_user + after.children_system - before.children_user - before.children_system
    found.said = "".join(errors[-5:])
    return found


def _look(pid: int, begun: float, found: Taken, ended: threading.Event) -> None:
    while not ended.wait(_LOOK_S):
        size, cpu = resident(pid), spent(pid)
        if size:
            found.held.append((time.monotonic() - begun, size))
            found.spent.append((time.monotonic() - begun, cpu))
            found.peak = max(found.peak, size)


def resident(pid: int) -> float:
    """MiB that a process holds; 0 where it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


def spent(pid: int) -> float:
    """Seconds of CPU that a process took so far; 0 where it is gone."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0
