"""Validator: picture is as large as the plate and sound."""

from __future__ import annotations

import os
import sys
from typing import Any

import pyblish.api

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if _HERE not in sys.path:
    sys.path.append(_HERE)  # Pyblish reads this file, not its package

from vfxswap_publish import RenderAgain, validate  # noqa: E402 - found there


class ValidateVfxSwapImage(pyblish.api.InstancePlugin):
    """Size, windows, channels and values are what they should be.

    VS-IMG-001 another size than the plate. VS-IMG-002 another data window. VS-IMG-003 another display window or pixel
    aspect. VS-IMG-004 channels missing or added. VS-IMG-005 a channel of another type. VS-IMG-006 a compression that
    loses. VS-IMG-007 NaN or Inf that the plate does not have. VS-IMG-008 mattes outside 0..1. All of these: render the
    frames again. VS-IMG-009 negative values that the plate does not have: look at them; it is a warning.
    """

    label = "Picture is as large as the plate and sound"
    area = "image"
    order = pyblish.api.ValidatorOrder + 0.05
    families = ["vfxswap"]
    hosts = ["*"]
    optional = False
    actions = [RenderAgain]

    def process(self, instance: Any) -> None:
        """Called by Pyblish."""
        validate(self, instance)
