"""Collector: the jobs to publish."""

from __future__ import annotations

import os
import sys
from typing import Any

import pyblish.api

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if _HERE not in sys.path:
    sys.path.append(_HERE)  # Pyblish reads this file, not its package

from vfxswap_publish import collect  # noqa: E402 - found there


class CollectVfxSwapJobs(pyblish.api.ContextPlugin):
    """The job files to publish: those that the host names, VFXSWAP_JOBS, or the VfxSwap nodes of the Nuke script."""

    label = "VfxSwap jobs"
    order = pyblish.api.CollectorOrder
    hosts = ["*"]
    optional = False

    def process(self, context: Any) -> None:
        """Called by Pyblish."""
        collect(context)
