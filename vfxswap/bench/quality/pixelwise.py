"""Errors of pixels inside a mask: PSNR, SSIM, FLIP, and what grain alone would cost.

Pictures are (h, w, 3) float32, the mask (h, w) bool.
"""

from __future__ import annotations

import importlib.metadata
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vfxswap.color import ColorConfig, luminance
from vfxswap.pixels import F32, WorkingRgb

Mask = NDArray[np.bool_]

MOST_DB: Final = 100.0
"""The PSNR of equal pictures: JSON has no infinity."""

LUMA: Final = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Rec.709 weights, applied to codes."""

FLIP_MISSING: Final = "not measured (pip install 'vfxswap[bench]')"

_C1, _C2 = 0.01**2, 0.03**2
_SIGMA, _RADIUS = 1.5, 5

# Half of grain's variance is shared with the next pixel, two thirds with the other channels: film, and the rendered
# shots, measured on still parts of their plates.
_GRAIN_BLUR, _GRAIN_SHARED = 0.62, 0.65


def squared_error(picture: F32, truth: F32, mask: Mask) -> float:
    """The mean of squared differences inside the mask."""
    difference = (picture - truth)[mask].astype(np.float64)
    return float((difference**2).mean())


def decibels(error: float) -> float:
    """PSNR of a mean squared error, the peak being 1."""
    return float(min(MOST_DB, -10.0 * np.log10(max(error, 1e-30))))


def psnr(picture: F32, truth: F32, mask: Mask) -> float:
    """PSNR in dB of codes with the peak 1, over all channels."""
    return decibels(squared_error(picture, truth, mask))


def ssim(picture: F32, truth: F32, mask: Mask) -> float:
    """Mean structural similarity of luma over the mask's pixels.

    Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment", IEEE TIP 2004: Gaussian window of 11 x 11
    with standard deviation 1.5, K1 = .01, K2 = .03. Windows reach over the mask's edge, where both show the plate.
    """
    x, y = picture.astype(np.float64) @ LUMA, truth.astype(np.float64) @ LUMA

    def local(plane: NDArray[np.float64]) -> NDArray[np.float64]:
        size = 2 * _RADIUS + 1
        return np.asarray(cv2.GaussianBlur(plane, (size, size), _SIGMA, borderType=cv2.BORDER_REFLECT))

    mx, my = local(x), local(y)
    vx, vy, common = local(x * x) - mx * mx, local(y * y) - my * my, local(x * y) - mx * my
    similar = ((2 * mx * my + _C1) * (2 * common + _C2)) / ((mx**2 + my**2 + _C1) * (vx + vy + _C2))
    return float(similar[mask].mean())


def flip_name() -> str:
    """What measures FLIP here, or why nothing does."""
    try:
        return f"HDR-FLIP, flip-evaluator {importlib.metadata.version('flip-evaluator')}"
    except importlib.metadata.PackageNotFoundError:
        return FLIP_MISSING


def flip(picture: F32, truth: F32, mask: Mask) -> float | None:
    """Mean HDR-FLIP inside the mask, None where `flip-evaluator` is not installed.

    Args:
        picture: linear Rec.709, unbounded.
        truth: alike; the exposures are chosen by it.
        mask: where.

    Source: Andersson et al., "Visualizing Errors in Rendered High Dynamic Range Images", Eurographics 2021, by the
    authors' own package, at its 67 pixels per degree.
    """
    try:
        import flip_evaluator
    except ImportError:
        return None
    there, here = (np.ascontiguousarray(np.maximum(x, 0.0), np.float32) for x in (truth, picture))
    errors, _, _ = flip_evaluator.evaluate(there, here, "HDR", False, False, False, {})
    return float(np.asarray(errors)[..., 0][mask].mean())


def grain(light: WorkingRgb, *, amount: float, times: float, config: ColorConfig, seed: int) -> F32:
    """(h, w, 3) float32 working-space noise with the statistics of a shot's grain.

    Args:
        light: the picture that decides how strong it is.
        amount: the shot's grain g: its standard deviation is g * sqrt(0.5 * Y + 0.004), Y the linear luminance.
        times: variance in takes of the grain: 1 is one take, 2 the difference of two.
        config: what the working space is.
        seed: the same seed gives the same noise.
    """
    random = np.random.default_rng(seed)
    height, width = light.shape[:2]
    planes = random.standard_normal((height, width, 4)).astype(np.float32)
    soft = np.asarray(cv2.GaussianBlur(planes, (0, 0), _GRAIN_BLUR), np.float32)
    soft /= soft.std(dtype=np.float64)
    common, own = np.float32(np.sqrt(_GRAIN_SHARED)), np.float32(np.sqrt(1 - _GRAIN_SHARED))
    mixed = common * soft[..., 3:] + own * soft[..., :3]
    level = np.maximum(cv2.GaussianBlur(luminance(light, config), (0, 0), 1.0), 0.0)
    sigma = np.float32(amount * np.sqrt(times)) * np.sqrt(0.5 * level + 0.004)
    return np.asarray(mixed * sigma[..., None], np.float32)


def flicker(now: F32, before: F32, truth: F32, truth_before: F32, mask: Mask) -> float:
    """Mean absolute error of the difference to the frame before, % of the code range."""
    return 100.0 * float(np.abs((now - before) - (truth - truth_before))[mask].mean(dtype=np.float64))
