"""Validator: model is the one that was consented to."""

from __future__ import annotations

import os
import sys
from typing import Any

import pyblish.api

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if _HERE not in sys.path:
    sys.path.append(_HERE)  # Pyblish reads this file, not its package

from vfxswap_publish import validate  # noqa: E402 - found there


class ValidateVfxSwapModel(pyblish.api.InstancePlugin):
    """The frames were rendered with the job's model, and the faces are consistent with the likeness's references.

    VS-MOD-001 another model. VS-MOD-002 the faces are not consistent with the references that the consent names. That
    is never a proof of who somebody is; let people look.
    """

    label = "Model is the one that was consented to"
    area = "model"
    order = pyblish.api.ValidatorOrder + 0.35
    families = ["vfxswap"]
    hosts = ["*"]
    optional = False

    def process(self, instance: Any) -> None:
        """Called by Pyblish."""
        validate(self, instance)
