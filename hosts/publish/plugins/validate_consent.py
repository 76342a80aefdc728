"""Validator: consent covers the publish."""

from __future__ import annotations

import os
import sys
from typing import Any

import pyblish.api

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if _HERE not in sys.path:
    sys.path.append(_HERE)  # Pyblish reads this file, not its package

from vfxswap_publish import validate  # noqa: E402 - found there


class ValidateVfxSwapConsent(pyblish.api.InstancePlugin):
    """Likeness and double consented to this shot being published, and nobody has withdrawn.

    VS-CON-000 stands for every rule of the consent gate (docs/consent.md). There is no button: ask production, and do
    not try again.
    """

    label = "Consent covers the publish"
    area = "consent"
    order = pyblish.api.ValidatorOrder + 0.3
    families = ["vfxswap"]
    hosts = ["*"]
    optional = False

    def process(self, instance: Any) -> None:
        """Called by Pyblish."""
        validate(self, instance)
