"""Repairs, as buttons of the validators that offer them. Each repairs what its validator found, and nothing else."""

from __future__ import annotations

from typing import Any

import pyblish.api

from vfxswap_publish import asking, collecting


class _Repair(pyblish.api.Action):
    """Ask vfxswap to repair what the plug-in found in its failed instances."""

    on = "failedOrWarning"
    how = ""

    def process(self, context: Any, plugin: Any) -> None:
        """Called by Pyblish."""
        worker = asking.worker(context)
        for instance in collecting.ours(context):
            for text in worker.repair(instance.data[collecting.JOB], self.how, plugin.area):
                self.log.info(text)


class RenderAgain(_Repair):
    """Render the frames again that the validator names, with the job that made them."""

    label = "Render these frames again"
    icon = "refresh"
    how = "render"


class Quarantine(_Repair):
    """Move files that do not belong to the publish into .vfxswap/<sequence>/quarantine."""

    label = "Put these files aside"
    icon = "archive"
    how = "quarantine"


class Rename(_Repair):
    """Give frames that are what was rendered their names back."""

    label = "Rename these files"
    icon = "pencil"
    how = "rename"


class VersionUp(pyblish.api.Action):
    """Publish as the next version that is not there."""

    label = "Take the next version"
    icon = "level-up"
    on = "failedOrWarning"

    def process(self, context: Any, plugin: Any) -> None:
        """Called by Pyblish."""
        asking.worker(context).next_version()
