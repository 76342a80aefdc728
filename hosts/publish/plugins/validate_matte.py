"""Validator: outside the face is the plate."""

from __future__ import annotations

import os
import sys
from typing import Any

import pyblish.api

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if _HERE not in sys.path:
    sys.path.append(_HERE)  # Pyblish reads this file, not its package

from vfxswap_publish import RenderAgain, validate  # noqa: E402 - found there


class ValidateVfxSwapMatte(pyblish.api.InstancePlugin):
    """There is a matte where a face is, and every pixel outside it is the plate's, bit for bit.

    VS-MAT-001 the matte's channels are missing. VS-MAT-002 the face is tracked and nothing was replaced: look at mattes
    and knobs. VS-MAT-003 pixels outside the matte were changed: render again, and paint downstream. VS-MAT-004 (a
    warning) without mattes and track it cannot be told.
    """

    label = "Outside the face is the plate"
    area = "matte"
    order = pyblish.api.ValidatorOrder + 0.2
    families = ["vfxswap"]
    hosts = ["*"]
    optional = False
    actions = [RenderAgain]

    def process(self, instance: Any) -> None:
        """Called by Pyblish."""
        validate(self, instance)
