"""Validator: metadata of the plate is kept."""

from __future__ import annotations

import os
import sys
from typing import Any

import pyblish.api

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if _HERE not in sys.path:
    sys.path.append(_HERE)  # Pyblish reads this file, not its package

from vfxswap_publish import RenderAgain, validate  # noqa: E402 - found there


class ValidateVfxSwapMetadata(pyblish.api.InstancePlugin):
    """Timecode, frame rate and whatever else the plate's header holds is in the frames.

    VS-MET-001 something was lost or changed: render the frames again, and let no other program write them.
    """

    label = "Metadata of the plate is kept"
    area = "metadata"
    order = pyblish.api.ValidatorOrder + 0.15
    families = ["vfxswap"]
    hosts = ["*"]
    optional = False
    actions = [RenderAgain]

    def process(self, instance: Any) -> None:
        """Called by Pyblish."""
        validate(self, instance)
