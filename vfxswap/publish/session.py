"""A publish with Pyblish: its plug-ins, the studio's, and a look at what became of them. The one home of pyblish.

Pyblish goes on to integration after a collector or extractor failed and when a validator was switched off; its own
command line ends with 0 when validation failed. So results are counted here, and integration counts them itself.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pyblish.api
import pyblish.plugin
import pyblish.util

from vfxswap.errors import VfxSwapError
from vfxswap.events import CancelToken, EventSink
from vfxswap.publish import repair as repairs
from vfxswap.publish.examine import Report, examine
from vfxswap.publish.integrate import Published, RefusedError, integrate, refuse
from vfxswap.publish.request import Request
from vfxswap.publish.rules import Area, Repair

WORKER: Final = "vfxswapWorker"
JOBS: Final = "vfxswapJobs"
"""Keys of a context's data that the plug-ins look at (hosts/publish)."""

VALIDATORS: Final = tuple(f"ValidateVfxSwap{area.value.capitalize()}" for area in Area)
"""Every one of them has to have run, on every sequence, without an error."""


class Here:
    """What the plug-ins ask, in this process. In a host they ask the same of `vfxswap publish`, in another."""

    def __init__(self, request: Request, *, sink: EventSink, cancel: CancelToken) -> None:
        self.request, self.sink, self.cancel = request, sink, cancel
        self.report: Report | None = None
        self.published: Published | None = None
        self.error: Exception | None = None

    def check(self, job: str) -> Mapping[str, Any]:
        """What was found, as JSON; looked at once."""
        return self._examined().to_json()

    def repair(self, job: str, how: str, area: str) -> list[str]:
        """Repair what a validator found; says what was done."""
        said = repairs.repair(self._examined(), Repair(how), sink=self.sink, cancel=self.cancel, area=Area(area))
        self.report = None
        return list(said)

    def next_version(self) -> None:
        """Take the next version in place of the one that was asked for."""
        self.request = replace(self.request, version=None)
        self.report = None

    def publish(self, job: str) -> Mapping[str, Any]:
        """Write the version; consent and record are checked once more."""
        with self._noted():
            self.published = integrate(self._examined(), sink=self.sink, cancel=self.cancel)
        return {"folder": str(self.published.folder), "version": self.published.version}

    def _examined(self) -> Report:
        if self.error is not None:
            raise self.error
        if self.report is None:
            with self._noted():
                self.report = examine(self.request, sink=self.sink, cancel=self.cancel)
        return self.report

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        """Pyblish takes every error for a plug-in's own; who ends the process needs the error itself."""
        try:
            yield
        except Exception as error:
            self.error = error
            raise


def publish(
    request: Request,
    plugins: Path,
    *,
    sink: EventSink,
    cancel: CancelToken,
    found: Callable[[Report], None] = lambda report: None,
) -> tuple[Published, Report]:
    """Validate and publish, with the plug-ins in `plugins` and those of PYBLISHPLUGINPATH.

    Args:
        request: what, and where to.
        plugins: the folder of vfxswap's own plug-ins.
        sink: where events go.
        cancel: polled between frames and files.
        found: told what was found, whatever becomes of it.

    Raises:
        RefusedError: something was found, a plug-in failed, or a validator did not run; nothing was published.
        ConsentError, ProvenanceError, OutputError, ResourceError, Cancelled: as `examine` and `integrate`.
        VfxSwapError: it is published, and a plug-in of the studio failed after that.
    """
    worker = Here(request, sink=sink, cancel=cancel)
    context = pyblish.api.Context()
    context.data.update({WORKER: worker, JOBS: [request.job.output]})
    with _quiet():
        own = _own(plugins)
        pyblish.util.publish(context, plugins=_with_studio(own))
    results = [result for result in context.data.get("results", ()) if not result["action"]]
    if worker.report is not None:
        found(worker.report)
    if worker.published is not None:
        _check_after(worker.published, results)
        return worker.published, worker._examined()
    if worker.error is not None:
        raise worker.error
    if worker.report is not None:
        refuse(worker.report)
    raise _refused(results, own, worker.report is not None)


def _own(folder: Path) -> list[Any]:
    """Vfxswap's plug-ins, in their order, by where they come from: another one of the same name is not ours."""
    found = pyblish.plugin.discover(paths=[str(folder)])
    return [plugin for plugin in found if Path(plugin.__module__).resolve().parent == folder.resolve()]


def _with_studio(own: list[Any]) -> list[Any]:
    names = {plugin.__name__ for plugin in own}
    studio = [plugin for plugin in pyblish.plugin.discover() if plugin.__name__ not in names]
    together = [*own, *studio]
    pyblish.plugin.sort(together)
    return together


def _check_after(done: Published, results: list[Any]) -> None:
    failed = [result for result in results if result["error"]]
    if failed:
        name, why = failed[0]["plugin"].__name__, failed[0]["error"]
        text = f"{done.folder} is published; the plug-in {name} failed after that: {why}"
        raise VfxSwapError(text, hint="repair the plug-in; the version stays")


def _refused(results: list[Any], own: list[Any], examined: bool) -> RefusedError:
    """Why nothing was published though vfxswap itself found nothing."""
    failed = [result for result in results if result["error"]]
    ran = {result["plugin"] for result in results if result["success"] and result["instance"] is not None}
    absent = [name for name in VALIDATORS if name not in {plugin.__name__ for plugin in own if plugin in ran}]
    if absent:
        text = f"validators did not run: {', '.join(absent)}"
    elif failed:
        text = f"the plug-in {failed[0]['plugin'].__name__} failed: {failed[0]['error']}"
    else:
        text = "nothing was published: the integrator did not run"
    hint = (
        "look at the plug-ins in PYBLISHPLUGINPATH" if examined else "install vfxswap again, and look at the studio's"
    )
    return RefusedError(text, hint=hint)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Pyblish prints errors to stdout and logs tracebacks: what is said is said by whoever called."""
    log = logging.getLogger("pyblish")
    before = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        log.setLevel(before)
