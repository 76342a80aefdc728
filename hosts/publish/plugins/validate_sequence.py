"""Validator: frames are all there."""

from __future__ import annotations

import os
import sys
from typing import Any

import pyblish.api

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if _HERE not in sys.path:
    sys.path.append(_HERE)  # Pyblish reads this file, not its package

from vfxswap_publish import Quarantine, Rename, RenderAgain, VersionUp, validate  # noqa: E402 - found there


class ValidateVfxSwapSequence(pyblish.api.InstancePlugin):
    """Every frame of the job is there, readable, by its name, and no other.

    VS-SEQ-001 frames are missing: render them. VS-SEQ-002 frames outside the range: put them aside. VS-SEQ-003 a file
    cannot be read: render it again. VS-SEQ-004 a frame has another name: rename it. VS-SEQ-005 the version is there
    already: take the next. VS-SEQ-006 the plate cannot be read: restore it.
    """

    label = "Frames are all there"
    area = "sequence"
    order = pyblish.api.ValidatorOrder + 0.0
    families = ["vfxswap"]
    hosts = ["*"]
    optional = False
    actions = [RenderAgain, Quarantine, Rename, VersionUp]

    def process(self, instance: Any) -> None:
        """Called by Pyblish."""
        validate(self, instance)
