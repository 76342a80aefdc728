"""QC: how good a swap looks without a truth to compare it with, and errors against one where there is.

`check` reads finished frames and their plate, once and in order; `records` is what it writes (docs/qc.md).
"""

from __future__ import annotations

from vfxswap.qc.limits import MEASURES, Measure
from vfxswap.qc.records import FrameReport, QcReport, WorstEntry, json_schema, read
from vfxswap.qc.run import Request, check
from vfxswap.qc.truth import Identity, IdentityScore, psnr

__all__ = [
    "MEASURES",
    "FrameReport",
    "Identity",
    "IdentityScore",
    "Measure",
    "QcReport",
    "Request",
    "WorstEntry",
    "check",
    "json_schema",
    "psnr",
    "read",
]
