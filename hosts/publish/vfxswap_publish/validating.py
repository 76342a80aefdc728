"""What a validator does: it shows what vfxswap found in its area."""

from __future__ import annotations

from typing import Any

from vfxswap_publish import asking, collecting


class FoundError(Exception):
    """Something that stops the publish: a line each."""


def validate(plugin: Any, instance: Any) -> None:
    """Show what was found in the area of a plug-in; warnings are logged.

    Raises:
        FoundError: something stops the publish.
        WorkerError: nothing could be looked at.
    """
    kept = instance.data.get(collecting.ERROR)
    if kept:
        raise FoundError(kept)
    report = asking.worker(instance.context).check(instance.data[collecting.JOB])
    found = [one for one in report["findings"] if one["area"] == plugin.area]
    for one in found:
        if not one["stops"]:
            plugin.log.warning(line(one))
    stops = [line(one) for one in found if one["stops"]]
    if stops:
        raise FoundError("\n".join(stops))


def line(finding: Any) -> str:
    """A finding as artists read it: what, and what to do."""
    return f"{finding['code']} {finding['message']}. What to do: {finding['do']}."
