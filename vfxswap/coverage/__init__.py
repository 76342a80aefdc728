"""Coverage: what the double's plates ask for and the likeness's faceset does not have (docs/coverage.md).

samples (what each face does) -> metric (how far its nearest example is) -> report -> JSON, HTML page
"""

from __future__ import annotations

from vfxswap.coverage.features import Look, gaze, look
from vfxswap.coverage.metric import NEAR, Examples, Part
from vfxswap.coverage.page import MOST, write_html
from vfxswap.coverage.report import Coverage, Match, Need, Run, compare, write_json
from vfxswap.coverage.samples import Sample, Side, of_faceset, of_track

__all__ = [
    "MOST",
    "NEAR",
    "Coverage",
    "Examples",
    "Look",
    "Match",
    "Need",
    "Part",
    "Run",
    "Sample",
    "Side",
    "compare",
    "gaze",
    "look",
    "of_faceset",
    "of_track",
    "write_html",
    "write_json",
]
