"""Side-by-side strips: plate, swap, truth, and the error four times as large."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from vfxswap import atomic, marks, provenance
from vfxswap.bench.quality.records import FrameScore
from vfxswap.bench.quality.views import View
from vfxswap.color import ColorConfig, ModelSpace
from vfxswap.geometry import Window
from vfxswap.pixels import F32, AnyArray, WorkingRgb
from vfxswap.plate import scrub

AMPLIFIED = 4.0

_TILE = 320
_HEAD = 26
_COLUMNS = ("plate", "swap (altered)", "truth", f"|swap - truth| x{AMPLIFIED:g}")
_FONT, _SIZE, _INK = cv2.FONT_HERSHEY_SIMPLEX, 0.5, (220, 220, 220)


def chosen(frames: Sequence[int], worst: Sequence[int], *, count: int = 4) -> tuple[int, ...]:
    """Frames to show: the worst one and evenly spread others, in their order."""
    spread = [frames[i] for i in np.linspace(0, len(frames) - 1, max(1, count - 1)).round().astype(int)]
    return tuple(sorted({*spread, *worst[:1]}))


def row(view: View, config: ColorConfig, label: str) -> AnyArray:
    """(TILE + HEAD, 4 * TILE, 3) uint8: the region around the face four ways, under a label."""
    height, width = view.face.shape
    rows, columns = np.nonzero(view.face > 0.5)
    box = np.array([[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]], float)
    centre, half = box.mean(axis=0), 0.62 * float((box[1] - box[0]).max())
    display = Window(0, 0, width, height)
    where = Window.around(np.array([centre - half, centre + half])).intersect(display).slices(display)
    space = ModelSpace(config, 1.0)
    plate, swap, truth = (
        space.encode(scrub(WorkingRgb(np.ascontiguousarray(x[where])))) for x in (view.plate, view.swap, view.truth)
    )
    wrong = np.clip(np.abs(swap - truth) * AMPLIFIED, 0, 1)
    tiles = np.concatenate([_tile(x) for x in (plate, swap, truth, wrong)], axis=1)
    return np.concatenate([_line((label,), tiles.shape[1]), tiles], axis=0)


def write(path: Path, rows: Sequence[AnyArray]) -> None:
    """Write the rows under their titles as a PNG; raises OutputError or ResourceError."""
    sheet = np.concatenate([_line(_COLUMNS, rows[0].shape[1]), *rows], axis=0)
    atomic.make_folder(path.parent)
    atomic.write_bytes(path, marks.altered_png(sheet))
    provenance.embed(path)


def _line(words: Sequence[str], width: int) -> AnyArray:
    line = np.full((_HEAD, width, 3), 24, np.uint8)
    for i, word in enumerate(words):
        cv2.putText(line, word, (i * _TILE + 6, 18), _FONT, _SIZE, _INK, 1, cv2.LINE_AA)
    return line


def _tile(image: F32) -> AnyArray:
    scale = _TILE / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = np.asarray(cv2.resize(np.ascontiguousarray(image), size, interpolation=how))
    tile = np.zeros((_TILE, _TILE, 3), np.uint8)
    tile[: size[1], : size[0]] = np.clip(small * 255 + 0.5, 0, 255).astype(np.uint8)
    return tile


def label(score: FrameScore, *, worst: Sequence[int]) -> str:
    """What a frame's strip says."""
    decibels = score.rows["swap"].psnr_db
    words = f"frame {score.frame}" + ("" if decibels is None else f": {decibels:.2f} dB")
    if not score.counted:
        return words + " (does not count)"
    return words + (" (worst)" if score.frame in worst[:1] else "")
