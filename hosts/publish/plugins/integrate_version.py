"""Integrator: the version, once everything is validated."""

from __future__ import annotations

import os
import sys
from typing import Any

import pyblish.api

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if _HERE not in sys.path:
    sys.path.append(_HERE)  # Pyblish reads this file, not its package

from vfxswap_publish import integrate  # noqa: E402 - found there


class IntegrateVfxSwapVersion(pyblish.api.ContextPlugin):
    """Publish as a version that nobody changes.

    It looks for itself whether every validator ran without an error, and vfxswap asks for consent and compares every
    file with the signed record once more.
    """

    label = "Publish the version"
    order = pyblish.api.IntegratorOrder
    hosts = ["*"]
    optional = False

    def process(self, context: Any) -> None:
        """Called by Pyblish."""
        integrate(self, context)
