"""Validator: frames are what was rendered."""

from __future__ import annotations

import os
import sys
from typing import Any

import pyblish.api

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if _HERE not in sys.path:
    sys.path.append(_HERE)  # Pyblish reads this file, not its package

from vfxswap_publish import Quarantine, RenderAgain, validate  # noqa: E402 - found there


class ValidateVfxSwapProvenance(pyblish.api.InstancePlugin):
    """Every file is the one that was rendered and signed.

    VS-PRV-001 there is no manifest: vfxswap provenance finalise. VS-PRV-002 a file was changed: render it again.
    VS-PRV-003 no signature counts: get the signer's public key. VS-PRV-004 a frame of another render. VS-PRV-005 a file
    is missing. VS-PRV-006 a file too many: put it aside. VS-PRV-007 hash list or C2PA sidecar are not the manifest's:
    finalise again. VS-PRV-008 a shard says something else: render again. VS-PRV-009 a QC report was changed: make it
    again. VS-PRV-010 the job names another shot, plate or layers. Signing again never makes a changed frame good.
    """

    label = "Frames are what was rendered"
    area = "provenance"
    order = pyblish.api.ValidatorOrder + 0.4
    families = ["vfxswap"]
    hosts = ["*"]
    optional = False
    actions = [RenderAgain, Quarantine]

    def process(self, instance: Any) -> None:
        """Called by Pyblish."""
        validate(self, instance)
