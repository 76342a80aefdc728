"""What goes on while Nuke is open: the warm worker, and the job of each node."""

from __future__ import annotations

import os
import threading
from typing import Any, Callable

import nuke

import vfxswap_bridge as bridge
from vfxswap_bridge import BridgeError, Handle, Outcome

WARM = "VFXSWAP_WARM"
"""Variable; `0`: every job gets a worker of its own."""

_GLANCE = 0.2
"""Seconds between looks at whether somebody pressed Cancel."""


class Session:
    """The jobs under way, by the id of their node. One for each Nuke.

    Args:
        worker: does the jobs; one of its own without.
    """

    def __init__(self, worker: bridge.WarmWorker | None = None) -> None:
        self._worker = worker or bridge.WarmWorker()
        self._running: dict[str, Handle] = {}
        self._lock = threading.Lock()

    def start(self, identity: str, job: str, *, frames: str = "") -> Handle:
        """Start a node's job: on the warm worker, or on one of its own while that is busy.

        Raises:
            BridgeError: the node has one under way, or vfxswap does not start.
        """
        self._free(identity)
        handle = None
        if nuke.GUI and os.environ.get(WARM, "1") != "0":
            handle = self._worker.submit(job, frames=frames)
        return self._keep(identity, handle or bridge.start(job, frames=frames))

    def background(self, identity: str, arguments: list[str], log: str, *, grace: float) -> Handle:
        """Start another long command, which gets `grace` seconds to stop; raises BridgeError as `start` does."""
        self._free(identity)
        return self._keep(identity, bridge.background(arguments, log, grace=grace))

    def running(self, identity: str) -> Handle | None:
        """The node's job under way."""
        with self._lock:
            handle = self._running.get(identity)
        return handle if handle is not None and handle.running else None

    def cancel(self, identity: str) -> bool:
        """Ask the node's job to stop; False where there is none."""
        handle = self.running(identity)
        if handle is None:
            return False
        handle.cancel()
        return True

    def close(self) -> None:
        """Stop everything: Nuke closes."""
        with self._lock:
            handles = list(self._running.values())
        for handle in handles:
            handle.cancel()
        self._worker.close()

    def _free(self, identity: str) -> None:
        if self.running(identity) is not None:
            raise BridgeError("this node is at work already", "wait, or press Cancel")

    def _keep(self, identity: str, handle: Handle) -> Handle:
        with self._lock:
            self._running[identity] = handle
        return handle


_sessions: list[Session] = []


def current() -> Session:
    """The session, begun when something is first asked of it."""
    if not _sessions:
        _sessions.append(Session())
        nuke.addOnScriptClose(_forget)
    return _sessions[0]


def _forget() -> None:
    """The script closes: its nodes are gone, and so is whoever waits for them."""
    while _sessions:
        _sessions.pop().close()


def follow(handle: Handle, title: str, done: Callable[..., Any], *given: Any) -> None:
    """Wait for a job and then call `done(*given, outcome)` on the main thread: at once without a GUI.

    With a GUI it is waited for on a thread, under a progress bar whose Cancel stops the job.
    """
    if not nuke.GUI:
        done(*given, _wait(handle, title))
        return
    threading.Thread(target=_watch, args=(handle, title, done, given), daemon=True, name=title).start()


def _wait(handle: Handle, title: str) -> Outcome:
    """Wait in a terminal, and say how far it is."""
    said = ""
    while True:
        outcome = handle.wait(_GLANCE)
        now = f"{title}: {handle.stage} {handle.done}/{handle.total}"
        if handle.total and now != said:
            said = now
            nuke.tprint(now)
        if outcome is not None:
            return outcome


def _watch(handle: Handle, title: str, done: Callable[..., Any], given: tuple[Any, ...]) -> None:
    task = nuke.ProgressTask(title)
    outcome = None
    while outcome is None:
        if task.isCancelled():
            handle.cancel()
        task.setMessage(handle.stage or "starting")
        task.setProgress(int(100 * handle.done / handle.total) if handle.total else 0)
        outcome = handle.wait(_GLANCE)
    del task  # the bar goes with it
    # Never the variant that waits for a result: it swallows what goes wrong, and this thread wants none.
    nuke.executeInMainThread(done, (*given, outcome))
