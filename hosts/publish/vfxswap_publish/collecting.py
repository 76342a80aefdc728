"""Jobs become instances. What goes wrong is kept and said by every validator: a collector that fails stops nothing."""

from __future__ import annotations

import os
from typing import Any

from vfxswap_publish import asking

FAMILY = "vfxswap"
JOB = "vfxswapJob"
ERROR = "vfxswapError"


def collect(context: Any) -> None:
    """One instance for each job. Never raises."""
    try:
        found = asking.jobs(context)
    except Exception as error:  # noqa: BLE001 - Pyblish would go on without a word
        made = _instance(context, "vfxswap", "")
        made.data[ERROR] = f"the jobs to publish were not found: {error}"
        return
    for job in found:
        _instance(context, _name(job), job)


def _instance(context: Any, name: str, job: str) -> Any:
    made = context.create_instance(name, family=FAMILY, families=[FAMILY])
    made.data[JOB] = job
    made.data["label"] = name
    return made


def _name(job: str) -> str:
    """The folder and the name: job files are often called alike."""
    folder, file = os.path.split(os.path.abspath(job))
    return os.path.basename(folder) + "/" + os.path.splitext(file)[0]


def ours(context: Any) -> list[Any]:
    """The instances of vfxswap, whatever has become of their family since."""
    return [instance for instance in context if JOB in instance.data]
