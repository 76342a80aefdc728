"""The report as rows of words, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vfxswap.bench.quality.records import ROWS, Mean, QualityReport

HEAD: Final = (
    *("shot", "", "PSNR", "log", "SSIM", "FLIP", "likeness", "double", "landm. %", "gaze %", "lids %", "lips %"),
    *("edge", "IoU", "occl.", "flicker %", "ratio"),
)

SPLIT_HEAD: Final = (
    *("shot", "as is", "tone", "light", "placed", "warped", "grain", "tone %", "light %", "place %", "shape %"),
    *("grain %", "detail %", "shift %", "sharp"),
)

LAST: Final = ROWS[-1]
"""The row after which another shot begins."""

_PICTURE = (
    *(("psnr_db", 2), ("psnr_log_db", 2), ("ssim", 3), ("flip", 3), ("to_likeness", 3), ("to_double", 3)),
    *(("landmarks_pct", 2), ("gaze_pct", 2), ("lids_pct", 2), ("lips_pct", 2), ("edge_db", 2)),
)
_SPLIT = (
    *(("as_is_db", 2), ("tone_db", 2), ("light_db", 2), ("placed_db", 2), ("warped_db", 2), ("grain_db", 2)),
    *(("tone_pct", 1), ("light_pct", 1), ("placement_pct", 1), ("shape_pct", 1), ("grain_pct", 1), ("detail_pct", 1)),
    *(("shift_pct", 2), ("sharpness", 2)),
)


def rows(report: QualityReport) -> list[tuple[str, ...]]:
    """Three rows for each shot and overall, under HEAD."""
    return [line for name, mean in _means(report) for line in _rows(name, mean)]


def split(report: QualityReport) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The head of the diagnosis, and a row for each shot and overall."""
    return SPLIT_HEAD, [(name, *_words(mean.diagnosis, _SPLIT)) for name, mean in _means(report)]


def notes(report: QualityReport) -> list[str]:
    """What the tables cannot say."""
    lines = [
        f"frames with a yaw of at most {report.max_yaw_deg:g} degrees; {report.overall.frames} frames; "
        f"identity against {report.identity}; FLIP: {report.flip}"
    ]
    for shot in report.shots:
        worst = ", ".join(map(str, shot.worst))
        unread = f"; {shot.mean.unread} frames whose swapped face could not be read" if shot.mean.unread else ""
        lines.append(f"{shot.name}: {shot.mean.frames} frames, worst {worst}{unread}")
    return lines


def _means(report: QualityReport) -> list[tuple[str, Mean]]:
    return [*((shot.name, shot.mean) for shot in report.shots), ("overall", report.overall)]


def _rows(name: str, mean: Mean) -> list[tuple[str, ...]]:
    out = []
    for row in ROWS:
        score = mean.rows[row]
        mask = ("", "")
        if row == "swap":
            mask = (_word(mean.mask.iou_clear, 3), _word(mean.mask.iou_occluded, 3))
        ratio = _word(mean.flicker_ratio, 2) if row == "swap" else ""
        out.append(
            (name if row == ROWS[0] else "", row, *_words(score, _PICTURE), *mask, _word(score.flicker_pct, 2), ratio)
        )
    return out


def _words(score: object, fields: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    return tuple(_word(getattr(score, name), digits) for name, digits in fields)


def _word(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
