"""Whom the plug-ins ask: a worker that was put into the context, else `vfxswap publish` in a process of its own."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

WORKER = "vfxswapWorker"
JOBS = "vfxswapJobs"
OPTIONS = "vfxswapOptions"
"""Keys of a context's data: the worker, the job files, and further words for `vfxswap publish`."""

VARIABLE = "VFXSWAP_JOBS"
"""Job files to publish, where nothing else names them; several are separated as in PATH."""

_BRIDGE = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "bridge")


class WorkerError(Exception):
    """`vfxswap publish` refused or failed, in its own words."""


class Apart:
    """Asks `vfxswap publish` in a process of its own; what it found is kept until something is repaired."""

    def __init__(self, options: list[str]) -> None:
        self.options = options
        self._found: dict[str, Any] = {}

    def check(self, job: str) -> Any:
        """What was found."""
        if job not in self._found:
            try:
                _, out, complaints = self._call(job, "--check", "--json")
                self._found[job] = _parsed(out, complaints)
            except WorkerError as error:  # every validator would wait for the same answer
                self._found[job] = error
        if isinstance(self._found[job], WorkerError):
            raise self._found[job]
        return self._found[job]

    def repair(self, job: str, how: str, area: str) -> list[str]:
        """Repair what a validator found; says what was done."""
        code, out, complaints = self._call(job, "--repair", how, "--area", area)
        self._found.pop(job, None)
        if code:
            raise WorkerError(_last(complaints))
        return out.splitlines()

    def next_version(self) -> None:
        """Take the next version in place of the one that was asked for."""
        if "--version" in self.options:
            at = self.options.index("--version")
            del self.options[at : at + 2]
        self._found.clear()

    def publish(self, job: str) -> Any:
        """Check everything once more, there, and write the version."""
        code, out, complaints = self._call(job, "--json")
        if code:
            raise WorkerError(_last(complaints))
        return _parsed(out, complaints)

    def _call(self, job: str, *words: str) -> tuple[int, str, str]:
        if _BRIDGE not in sys.path:
            sys.path.append(_BRIDGE)
        from vfxswap_bridge import BridgeError, call

        # The studio's plug-ins run here; there they would run a second time.
        held = os.environ.pop("PYBLISHPLUGINPATH", None)
        try:
            return call(["publish", *words, *self.options, "--", job])
        except BridgeError as error:
            raise WorkerError(str(error)) from error
        finally:
            if held is not None:
                os.environ["PYBLISHPLUGINPATH"] = held


def worker(context: Any) -> Any:
    """The worker of a context."""
    if WORKER not in context.data:
        context.data[WORKER] = Apart(list(context.data.get(OPTIONS, ())))
    return context.data[WORKER]


def jobs(context: Any) -> list[str]:
    """The job files to publish: those of the context, of the environment, or of the nodes of a Nuke script."""
    if JOBS not in context.data:
        named = os.environ.get(VARIABLE, "")
        found = [path for path in named.split(os.pathsep) if path]
        context.data[JOBS] = found or _of_nuke()
    return list(context.data[JOBS])


def _of_nuke() -> list[str]:
    """The jobs of the script's VfxSwap nodes that were rendered; none outside Nuke."""
    if "nuke" not in sys.modules:
        return []
    try:
        from vfxswap_nuke import knobs
    except ImportError:  # a Nuke without vfxswap's node
        return []
    paths = [str(node["job_file"].value()) for node in knobs.ours()]
    return [path for path in paths if path and os.path.isfile(path)]


def _parsed(out: str, complaints: str) -> Any:
    try:
        return json.loads(out)
    except ValueError as error:
        raise WorkerError(_last(complaints)) from error


def _last(complaints: str) -> str:
    lines = [line for line in complaints.splitlines() if line.strip()]
    return lines[-1].replace("vfxswap: error: ", "") if lines else "vfxswap ended without a word"
