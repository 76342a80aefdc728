"""Validator: steady over time."""

from __future__ import annotations

import os
import sys
from typing import Any

import pyblish.api

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if _HERE not in sys.path:
    sys.path.append(_HERE)  # Pyblish reads this file, not its package

from vfxswap_publish import validate  # noqa: E402 - found there


class ValidateVfxSwapTemporal(pyblish.api.InstancePlugin):
    """The face does not flicker, and the plate's own face does not show for some frames.

    VS-TMP-001 a frame is lighter or darker than its neighbours: fix the track. VS-TMP-002 frames without a swap between
    frames with one: fix the track, or have them approved. VS-TMP-003 (a warning) QC found frames to look at. VS-TMP-004
    (a warning) the QC report is not of these frames.
    """

    label = "Steady over time"
    area = "temporal"
    order = pyblish.api.ValidatorOrder + 0.25
    families = ["vfxswap"]
    hosts = ["*"]
    optional = False

    def process(self, instance: Any) -> None:
        """Called by Pyblish."""
        validate(self, instance)
