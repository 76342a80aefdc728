"""Validator: colour space is the plate's."""

from __future__ import annotations

import os
import sys
from typing import Any

import pyblish.api

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if _HERE not in sys.path:
    sys.path.append(_HERE)  # Pyblish reads this file, not its package

from vfxswap_publish import RenderAgain, validate  # noqa: E402 - found there


class ValidateVfxSwapColor(pyblish.api.InstancePlugin):
    """Frames are in the plate's colour space, and say so.

    VS-COL-001 the header or the record names another space: render again. VS-COL-002 another OCIO config than that of
    the render: use that one. VS-COL-003 other chromaticities: render again. Nothing is converted or relabelled.
    """

    label = "Colour space is the plate's"
    area = "color"
    order = pyblish.api.ValidatorOrder + 0.1
    families = ["vfxswap"]
    hosts = ["*"]
    optional = False
    actions = [RenderAgain]

    def process(self, instance: Any) -> None:
        """Called by Pyblish."""
        validate(self, instance)
