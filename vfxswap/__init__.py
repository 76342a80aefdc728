"""vfxswap: consented, performer-specific face replacement in scene-linear light.

From Python: `vfxswap.swap_shot`, `run_job`, `track_shot` (docs/python.md). They are imported when they are first named:
importing the package alone imports nothing else.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vfxswap.api import run_job, swap_shot, track_shot
    from vfxswap.errors import VfxSwapError
    from vfxswap.events import CancelToken
    from vfxswap.job import SwapJob, SwapParameters

__all__ = [
    "CancelToken",
    "SwapJob",
    "SwapParameters",
    "VfxSwapError",
    "__version__",
    "run_job",
    "swap_shot",
    "track_shot",
]

__version__ = "0.1.0"

# Nothing phones home. ONNX Runtime's own packages, from 1.29 on, write a device id and send what they run to their
# maker, from the moment that they are loaded, unless this is set before: so it stands where every import passes.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

_HOMES = {
    "run_job": "vfxswap.api",
    "swap_shot": "vfxswap.api",
    "track_shot": "vfxswap.api",
    "VfxSwapError": "vfxswap.errors",
    "CancelToken": "vfxswap.events",
    "SwapJob": "vfxswap.job",
    "SwapParameters": "vfxswap.job",
}


def __getattr__(name: str) -> Any:
    """What the package offers, from where it lives."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
