"""How good a swap is, against ground truth: `vfxswap bench quality`, and `score_swap` for frames in memory.

What each score means: docs/quality.md.
"""

from vfxswap.bench.quality.reading import FaceReader, Gallery
from vfxswap.bench.quality.records import (
    SCHEMA,
    Diagnosis,
    FrameScore,
    MaskScore,
    Mean,
    PictureScore,
    QualityReport,
    ShotScore,
    json_schema,
)
from vfxswap.bench.quality.runner import Request, run
from vfxswap.bench.quality.scoring import MAX_YAW, score_swap
from vfxswap.bench.quality.shots import ShotData
from vfxswap.bench.quality.views import View

__all__ = [
    "MAX_YAW",
    "SCHEMA",
    "Diagnosis",
    "FaceReader",
    "FrameScore",
    "Gallery",
    "MaskScore",
    "Mean",
    "PictureScore",
    "QualityReport",
    "Request",
    "ShotData",
    "ShotScore",
    "View",
    "json_schema",
    "run",
    "score_swap",
]
