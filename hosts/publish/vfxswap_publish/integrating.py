"""The last step. It counts results by itself: Pyblish comes here after a collector failed or a validator was off."""

from __future__ import annotations

import os
from typing import Any

from vfxswap_publish import asking, collecting

AREAS = ("sequence", "image", "color", "metadata", "matte", "temporal", "consent", "model", "provenance")

_PLUGINS = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "plugins")


class NotValidatedError(Exception):
    """A validator did not run, or something failed: nothing is published."""


def integrate(plugin: Any, context: Any) -> None:
    """Publish every job of the context; does nothing where there is none.

    Raises:
        NotValidatedError: not everything was validated, or something failed.
        WorkerError: vfxswap refused.
    """
    wanted = list(context.data.get(asking.JOBS, ()))
    instances = collecting.ours(context)
    if not wanted and not instances:
        return
    if sorted(wanted) != sorted(instance.data[collecting.JOB] for instance in instances):
        raise NotValidatedError("the jobs that were collected are not those that would be published")
    check(context, instances)
    for instance in instances:
        done = asking.worker(context).publish(instance.data[collecting.JOB])
        instance.data["vfxswapPublished"] = done
        plugin.log.info("published: %s", done.get("folder"))


def check(context: Any, instances: list[Any]) -> None:
    """Every validator has run on every instance, and nothing in the whole context failed; raises NotValidatedError."""
    latest: dict[Any, Any] = {}
    for result in context.data.get("results", ()):
        if not result["action"]:
            latest[result["plugin"], id(result["instance"]), result["instance"] is None] = result
    failed = [result for result in latest.values() if result["error"]]
    if failed:
        name = failed[0]["plugin"].__name__
        raise NotValidatedError(f"{name} failed: {failed[0]['error']}")
    for instance in instances:
        ran = {
            result["plugin"].area
            for result in latest.values()
            # An instance is a list, and empty: it is falsy.
            if result["instance"] is instance and result["success"] and _ours(result["plugin"])
        }
        absent = [area for area in AREAS if area not in ran]
        if absent:
            raise NotValidatedError(f"these validators did not run: {', '.join(absent)}")


def _ours(plugin: Any) -> bool:
    """Whether a class is one of our validators: by the file that Pyblish read it from, not by its name."""
    return hasattr(plugin, "area") and os.path.dirname(os.path.realpath(plugin.__module__)) == _PLUGINS
