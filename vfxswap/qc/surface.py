"""Measures of one frame's pixels: the seam, the matte's coverage, grain and sharpness beside the plate's."""

from __future__ import annotations

import math

import cv2
import numpy as np

from vfxswap.face import mesh
from vfxswap.pixels import F32, F64
from vfxswap.qc.chip import FACE, SIZE, Chip, Mask, lab, luma, polygon

_RING = 0.025
"""How far inside the edge the seam is looked for, in face heights."""
_SECTORS = 12
_LEAST_SECTOR = 20
_WORST_SECTORS = 75.0

_LEAST = 200
"""So many pixels at least make a measure of grain."""

_NO_GRAIN = 0.0008
"""A plate whose noise is below this, in codes, has no grain to match."""

_HOLE = 0.02
"""Holes narrower than this part of the face's height are the feathering of hair and lashes."""


def disc(radius: float) -> F32:
    """The kernel of a morphological step."""
    size = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))


def seam(chip: Chip) -> float | None:
    """How far the output is from the plate right inside the matte's edge, where both should meet: CIE 1976.

    Medians over the sectors of a narrow ring, so that single hairs and shadows do not count; of the sectors the
    worst quarter does, so that a seam on one cheek is not averaged away by the rest. None where nothing was replaced.
    """
    inside = chip.inside.astype(np.uint8)
    if inside.sum() < _LEAST:
        return None
    core = cv2.erode(inside, disc(_RING * FACE), borderType=cv2.BORDER_CONSTANT, borderValue=1)
    rows, columns = np.nonzero((inside > 0) & (np.asarray(core) == 0))
    middle = [x.mean() for x in np.nonzero(inside)]
    angle = np.arctan2(rows - middle[0], columns - middle[1])
    sector = np.floor((angle / (2 * math.pi) + 0.5) * _SECTORS).astype(int) % _SECTORS
    away = (lab(chip.output) - lab(chip.plate))[rows, columns]
    steps = [
        float(np.linalg.norm(np.median(away[sector == number], axis=0)))
        for number in range(_SECTORS)
        if (sector == number).sum() >= _LEAST_SECTOR
    ]
    return float(np.percentile(steps, _WORST_SECTORS)) if steps else None


def coverage(chip: Chip, points: F64) -> tuple[float, float]:
    """How much of the inner face was replaced, and how much of it lies in holes of the matte, both in %.

    A hole is surrounded by the swap, nothing of an artist's says that it should be there, and it is wider than a
    fiftieth of the face. `points`: (478, 3) of the plate, in chip pixels.
    """
    face = polygon(points, mesh.INNER_51)
    area = max(1, int(face.sum()))
    inside = chip.inside
    around = np.pad(~inside, 1, constant_values=True).astype(np.uint8)
    cv2.floodFill(around, None, (0, 0), 2)
    hole = (around[1:-1, 1:-1] == 1) & ~chip.let
    wide = cv2.morphologyEx(hole.astype(np.uint8), cv2.MORPH_OPEN, disc(_HOLE * FACE / 2)) > 0
    return 100.0 * float((inside & face).sum()) / area, 100.0 * float(np.asarray(wide).sum()) / area


def face_pixels(chip: Chip) -> Mask:
    """(h, w) of the plate's own pixels: well inside the swap."""
    cover = (chip.near_cover > 0.95).astype(np.uint8)
    core = cv2.erode(cover, disc(0.03 * chip.height), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(core) > 0


def grain(chip: Chip, where: Mask) -> float | None:
    """The output's grain over the plate's, in the replaced face; None where the plate has none to speak of.

    Sigma is the median of the diagonal detail of a Haar transform over 0.6745 (D. L. Donoho and I. M. Johnstone,
    "Ideal spatial adaptation by wavelet shrinkage", Biometrika 1994).
    """
    rows, columns = where.shape[0] // 2 * 2, where.shape[1] // 2 * 2
    full = where[0:rows:2, 0:columns:2] & where[1:rows:2, 1:columns:2]
    if full.sum() < _LEAST:
        return None

    def sigma(codes: F32) -> float:
        y = luma(codes)[:rows, :columns]
        detail = (y[0::2, 0::2] - y[0::2, 1::2] - y[1::2, 0::2] + y[1::2, 1::2]) / 2
        return float(np.median(np.abs(detail[full]))) / 0.6745

    plate = sigma(chip.near_plate)
    return sigma(chip.near_output) / plate if plate > _NO_GRAIN else None


def sharpness(chip: Chip, where: Mask) -> float | None:
    """The output's contrast between 1/200 and 1/80 of the face's height over the plate's: 1 is as sharp."""
    if where.sum() < _LEAST:
        return None
    fine = max(0.6, chip.height / 200)
    coarse = max(2 * fine, chip.height / 80)

    def contrast(codes: F32) -> float:
        y = luma(codes)
        band = np.asarray(cv2.GaussianBlur(y, (0, 0), fine)) - np.asarray(cv2.GaussianBlur(y, (0, 0), coarse))
        return float(np.std(band[where]))

    there = contrast(chip.near_plate)
    return contrast(chip.near_output) / there if there > 1e-5 else None


def soft(codes: F32) -> F32:
    """(SIZE, SIZE) luma without grain and without what resampling leaves: what motion is compared in."""
    return np.asarray(cv2.GaussianBlur(luma(codes), (0, 0), 0.012 * FACE), np.float32)


def moved(now: F32, before: F32, where: Mask) -> float | None:
    """Root mean square of what changed between two `soft` chips, % of the code range, the common change taken off."""
    if where.sum() < SIZE:
        return None
    change = (now - before)[where]
    return 100.0 * float(np.std(change))
