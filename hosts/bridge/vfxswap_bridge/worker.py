"""The worker process: one for each job, or one that stays and does job after job.

It is started with a list of words (no shell), in a process group of its own, in an environment of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from typing import Any, Callable, Optional

from vfxswap_bridge import files, launch
from vfxswap_bridge.errors import BridgeError
from vfxswap_bridge.events import Event, parse
from vfxswap_bridge.handle import Handle

GRACE = 5.0
"""Seconds from being asked to stop until the worker is killed."""

_WINDOWS = os.name == "nt"

OnEvent = Optional[Callable[[Event], None]]


def start(
    job: str, *, frames: str = "", overwrite: bool = False, on_event: OnEvent = None, words: list[str] | None = None
) -> Handle:
    """Start a worker for one job.

    Args:
        job: path of the job file.
        frames: which of its frames; all without.
        overwrite: make frames again that are up to date.
        on_event: called with every event, on a thread of the bridge.
        words: what starts vfxswap; found without.

    Raises:
        BridgeError: vfxswap is not there or does not start.
    """
    chosen = ["--frames=" + frames] if frames else []
    again = ["--overwrite"] if overwrite else []
    return background(["run", *chosen, *again, "--events", "-", "--", job], job, on_event=on_event, words=words)


def background(
    arguments: list[str],
    job: str,
    *,
    on_event: OnEvent = None,
    words: list[str] | None = None,
    grace: float | None = None,
) -> Handle:
    """Start any long command of vfxswap that was asked for `--events -`.

    Args:
        arguments: the command line without the program.
        job: a path; the log is `<job>.log`.
        on_event: called with every event, on a thread of the bridge.
        words: what starts vfxswap; found without.
        grace: seconds from being asked to stop until it is killed; `GRACE` without.

    Raises:
        BridgeError: vfxswap is not there or does not start.
    """
    files.remove(job + ".cancel")
    process = _spawn([*(words or launch.command()), *arguments])
    handle = Handle(job, on_event, lambda: _stop(process, lambda: handle.running, grace))
    threading.Thread(target=_follow, args=(process, handle), daemon=True, name="vfxswap events").start()
    return handle


def _follow(process: subprocess.Popen[str], handle: Handle) -> None:
    """Hand on what the worker says, until it has ended: whatever a listener does, it is said how."""
    complaints = threading.Thread(target=_log, args=(process.stderr, lambda: handle.log), daemon=True)
    complaints.start()
    try:
        for line in process.stdout or ():
            event = parse(line)
            if event is not None:
                handle.feed(event)
    finally:
        if process.stdout is not None:
            process.stdout.close()
        code = process.wait()
        complaints.join(GRACE)
        handle.finish(code)


def call(arguments: list[str], *, timeout: float | None = None, words: list[str] | None = None) -> tuple[int, str, str]:
    """Run a short command of vfxswap and wait: (exit code, stdout, stderr); raises BridgeError as `start` does."""
    process = _spawn([*(words or launch.command()), *arguments])
    try:
        out, complaints = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired as error:
        _kill(process)
        process.communicate()
        raise BridgeError(
            f"vfxswap {arguments[0]} took more than {timeout:.0f} seconds", "run it in a shell"
        ) from error
    return process.returncode, out, complaints


class WarmWorker:
    """A worker that keeps its networks loaded from job to job; consent is asked for again for every job.

    It ends when it is closed and when its host ends, because both end its stdin. One job at a time: `submit` gives
    None while it is busy.
    """

    def __init__(self, words: list[str] | None = None) -> None:
        self._words = words
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._current: Handle | None = None
        self._log_file = ""
        self._count = 0

    @property
    def pid(self) -> int | None:
        """Of the process, None where there is none."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def submit(self, job: str, *, frames: str = "", overwrite: bool = False, on_event: OnEvent = None) -> Handle | None:
        """Hand over a job, or None while another one is done; raises BridgeError as `start` does."""
        with self._lock:
            if self._current is not None:
                return None
            if self.pid is None:
                self._open()
            process = self._process
            if process is None or process.stdin is None:
                raise BridgeError("the worker did not start", "run again")
            files.remove(job + ".cancel")
            handle = Handle(job, on_event, lambda: _stop(process, lambda: handle.running))
            # Complaints come by another pipe than events: the last ones of a job may come after its end.
            self._current, self._log_file = handle, handle.log
            self._count += 1
            request: dict[str, Any] = {"id": str(self._count), "job": job, "frames": frames, "overwrite": overwrite}
            try:
                process.stdin.write(json.dumps(request) + "\n")
                process.stdin.flush()
            except OSError as error:
                self._current = None
                raise BridgeError("the worker is gone", "run again") from error
            return handle

    def close(self) -> None:
        """End the process; a job at hand is cancelled."""
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            _kill(process)

    def _open(self) -> None:
        process = _spawn([*(self._words or launch.command()), "run", "--serve", "--events", "-"], stdin=True)
        self._process = process
        threading.Thread(target=self._read, args=(process,), daemon=True, name="vfxswap events").start()
        threading.Thread(
            target=_log, args=(process.stderr, lambda: self._log_file), daemon=True, name="vfxswap log"
        ).start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        try:
            for line in process.stdout or ():
                event, handle = parse(line), self._current
                if event is None or handle is None or event["event"] == "ready":
                    continue
                if event["event"] == "finished":
                    self._current = None
                    handle.finish(int(event.get("code", 1)))
                else:
                    handle.feed(event)
        finally:
            if process.stdout is not None:
                process.stdout.close()
            code = process.wait()
            with self._lock:
                left, self._current = self._current, None
                if self._process is process:
                    self._process = None
            if left is not None:
                left.finish(code or 1)


def _spawn(words: list[str], *, stdin: bool = False) -> subprocess.Popen[str]:
    group: dict[str, Any] = {"start_new_session": True}
    if _WINDOWS:
        group = {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
    try:
        return subprocess.Popen(
            words,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=launch.environment(),
            encoding="utf-8",
            errors="replace",
            bufsize=1,
            **group,
        )
    except OSError as error:
        raise BridgeError(
            f"{words[0]} does not start: {error.strerror}", f"set {launch.PYTHON} to the Python that has vfxswap"
        ) from error


def _log(stream: Any, where: Callable[[], str]) -> None:
    """Append what the worker complains of to the log of the job at hand."""
    for line in stream:
        path = where()
        if path:
            with contextlib.suppress(OSError), open(path, "a", encoding="utf-8") as file:
                file.write(line)


def _stop(process: subprocess.Popen[str], running: Callable[[], bool], grace: float | None = None) -> None:
    """Ask by signal now, and kill after a while if the job still runs."""
    if process.poll() is None:
        with contextlib.suppress(OSError):
            process.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGTERM) if _WINDOWS else signal.SIGTERM)

    def force() -> None:
        if running():
            _kill(process)

    timer = threading.Timer(GRACE if grace is None else grace, force)
    timer.daemon = True
    timer.start()


def _kill(process: subprocess.Popen[str]) -> None:
    """End our own child and what it started: they are a group of their own."""
    if process.poll() is not None:
        return
    with contextlib.suppress(OSError):
        if _WINDOWS:
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
