"""Where a swap's error inside the mask comes from: corrections laid one upon the other, and what each takes away."""

from __future__ import annotations

import cv2
import numpy as np

from vfxswap.bench.quality.pixelwise import LUMA, Mask, decibels, squared_error
from vfxswap.bench.quality.records import Diagnosis
from vfxswap.pixels import F32, F64

# Lengths in parts of the face's height.
_LIGHT = 1 / 6
_PLACING = 1 / 60
_FLOWING = 1 / 24
_FURTHEST = 0.06
_FINE, _COARSE = 1 / 300, 1 / 100
_RIM = 1 / 40

_STEPS = 10
_SAMPLES = 40_000


def diagnose(swap: F32, truth: F32, mask: Mask, *, height: float, clean: float | None) -> Diagnosis:
    """Split the error of a swap.

    Args:
        swap: (h, w, 3) display codes around the face.
        truth: (h, w, 3).
        mask: (h, w) where errors count.
        height: of the face in pixels.
        clean: mean squared error of a perfect swap without grain; None where the grain is not known.
    """
    as_is = squared_error(swap, truth, mask)
    gains = _gains(swap, truth, mask)
    tone = squared_error(swap * gains, truth, mask)
    lit = swap + lowpass(truth - swap, mask, sigma=_LIGHT * height)
    light = min(tone, squared_error(lit, truth, mask))
    matrix = _placement(lit, truth, mask, height=height)
    moved = _warped(lit, _positions(matrix, lit.shape))
    placed = min(light, squared_error(moved, truth, mask))
    if placed == light:
        moved, matrix = lit, np.eye(2, 3)
    flow = _flow(moved, truth, mask, height=height)
    warped = min(placed, squared_error(_warped(moved, _grid(lit.shape) + flow), truth, mask))
    # Grain that the corrections have hidden is not grain.
    noise = None if clean is None else min(clean, warped)
    steps = _positions(matrix, lit.shape) - _grid(lit.shape)

    def part(error: float) -> float:
        return 100.0 * error / max(as_is, 1e-30)

    def reach(way: F32) -> float:
        return 100.0 * float(np.sqrt((way[mask] ** 2).sum(axis=-1).mean())) / height

    return Diagnosis(
        as_is_db=decibels(as_is),
        tone_db=decibels(tone),
        light_db=decibels(light),
        placed_db=decibels(placed),
        warped_db=decibels(warped),
        grain_db=None if clean is None else decibels(clean),
        tone_pct=part(as_is - tone),
        light_pct=part(tone - light),
        placement_pct=part(light - placed),
        shape_pct=part(placed - warped),
        grain_pct=None if noise is None else part(noise),
        detail_pct=part(warped - (noise or 0.0)),
        shift_pct=reach(steps),
        warp_pct=reach(flow) if warped < placed else 0.0,
        sharpness=_sharpness(swap, truth, mask, height=height),
    )


def _gains(swap: F32, truth: F32, mask: Mask) -> F32:
    """(3,) the factors of the codes that bring the swap nearest to the truth."""
    s, t = swap[mask].astype(np.float64), truth[mask].astype(np.float64)
    return np.asarray((s * t).sum(axis=0) / np.maximum((s * s).sum(axis=0), 1e-12), np.float32)


def lowpass(values: F32, mask: Mask, *, sigma: float) -> F32:
    """(h, w, 3) `values` blurred by a Gaussian, from the mask's pixels only (normalised convolution).

    Wide Gaussians are made on a smaller raster.
    """
    factor = max(1, int(sigma / 8))
    height, width = mask.shape
    size = (max(1, width // factor), max(1, height // factor))
    weight = mask.astype(np.float32)
    planes = np.concatenate([values * weight[..., None], weight[..., None]], axis=-1)
    small = planes if factor == 1 else cv2.resize(planes, size, interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), max(sigma / factor, 0.1), borderType=cv2.BORDER_CONSTANT)
    out = soft[..., :3] / np.maximum(soft[..., 3:], 1e-6)
    return np.asarray(out if factor == 1 else cv2.resize(out, (width, height)), np.float32)


def _placement(swap: F32, truth: F32, mask: Mask, *, height: float) -> F64:
    """(2, 3) the similarity, truth's pixels -> swap's pixels (corner of the first pixel's centre at 0), that fits best.

    Gauss-Newton on slightly blurred luma (S. Baker and I. Matthews, "Lucas-Kanade 20 years on", IJCV 2004).
    """
    s, t = (cv2.GaussianBlur(np.asarray(x @ LUMA), (0, 0), max(0.8, _PLACING * height)) for x in (swap, truth))
    rows, columns = np.nonzero(mask)
    thin = slice(None, None, max(1, len(rows) // _SAMPLES))
    rows, columns = rows[thin], columns[thin]
    centre = np.array([columns.mean(), rows.mean()])
    x, y = (columns - centre[0]) / height, (rows - centre[1]) / height
    best, least = np.zeros(4), np.inf
    p = np.zeros(4)
    for _ in range(_STEPS):
        matrix = _similarity(p, centre, height)
        seen = np.asarray(_warped(np.asarray(s, np.float32), _positions(matrix, s.shape)))
        difference = (np.asarray(t) - seen)[rows, columns].astype(np.float64)
        error = float((difference**2).mean())
        if error >= least * (1 - 1e-4):
            break
        best, least = p.copy(), error
        gx, gy = (np.asarray(cv2.Sobel(seen, cv2.CV_32F, *d, ksize=3, scale=1 / 8)) for d in ((1, 0), (0, 1)))
        dx, dy = gx[rows, columns] * height, gy[rows, columns] * height
        jacobian = np.stack([dx * x + dy * y, dy * x - dx * y, dx, dy], axis=1).astype(np.float64)
        p = p + np.linalg.lstsq(jacobian, difference, rcond=None)[0]
        p = np.clip(p, -_FURTHEST, _FURTHEST)
    return _similarity(best, centre, height)


def _similarity(p: F64, centre: F64, height: float) -> F64:
    linear = np.array([[1 + p[0], -p[1]], [p[1], 1 + p[0]]])
    return np.concatenate([linear, (centre - linear @ centre + p[2:] * height)[:, None]], axis=1)


def _grid(shape: tuple[int, ...]) -> F32:
    """(h, w, 2) x and y of every pixel, the first one's centre at 0 as OpenCV counts."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return np.stack([x, y], axis=-1)


def _positions(matrix: F64, shape: tuple[int, ...]) -> F32:
    return np.asarray(_grid(shape) @ matrix[:, :2].T.astype(np.float32) + matrix[:, 2].astype(np.float32), np.float32)


def _warped(picture: F32, positions: F32) -> F32:
    """`picture` looked up at (h, w, 2) positions."""
    seen = cv2.remap(picture, positions[..., 0], positions[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(seen, np.float32)


def _flow(swap: F32, truth: F32, mask: Mask, *, height: float) -> F32:
    """(h, w, 2) where in the swap the truth's pixels are found, in pixels away; smooth and short."""
    codes = [np.clip(np.asarray(x @ LUMA) * 255 + 0.5, 0, 255).astype(np.uint8) for x in (truth, swap)]
    seeker = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    found = np.asarray(seeker.calc(codes[0], codes[1], np.zeros((*mask.shape, 2), np.float32)), np.float32)
    length = np.sqrt((found**2).sum(axis=-1, keepdims=True))
    found *= np.minimum(1.0, _FURTHEST * height / np.maximum(length, 1e-6))
    third = np.zeros_like(found[..., :1])
    return lowpass(np.concatenate([found, third], axis=-1), mask, sigma=_FLOWING * height)[..., :2]


def _sharpness(swap: F32, truth: F32, mask: Mask, *, height: float) -> float | None:
    """The swap's contrast between two fine scales over the truth's, away from the mask's edge."""
    size = 2 * round(_RIM * height) + 1
    inside = np.asarray(cv2.erode(mask.astype(np.uint8), np.ones((size, size), np.uint8))) > 0
    if not inside.any():
        return None

    def contrast(picture: F32) -> float:
        luma = np.asarray(picture @ LUMA)
        fine, coarse = (cv2.GaussianBlur(luma, (0, 0), max(0.3, part * height)) for part in (_FINE, _COARSE))
        return float(np.std((np.asarray(fine) - np.asarray(coarse))[inside]))

    there = contrast(truth)
    return contrast(swap) / there if there > 1e-6 else None
