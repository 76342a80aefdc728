"""What vfxswap's Pyblish plug-ins share. Standard library and pyblish only: they run in any host's own Python.

The checks themselves are vfxswap's: a plug-in asks for them, in a host through `vfxswap publish` in a process of its
own.
"""

from __future__ import annotations

from vfxswap_publish.actions import Quarantine, Rename, RenderAgain, VersionUp
from vfxswap_publish.collecting import collect
from vfxswap_publish.integrating import integrate
from vfxswap_publish.validating import FoundError, validate

__all__ = [
    "FoundError",
    "Quarantine",
    "Rename",
    "RenderAgain",
    "VersionUp",
    "collect",
    "integrate",
    "validate",
]
