"""Brightness of scene-linear pixels, and a first exposure from it."""

from __future__ import annotations

import math

import numpy as np

from vfxswap.color.config import ColorConfig
from vfxswap.pixels import F32, WorkingRgb

MIDDLE_GREY = 0.18
"""Where exposure normalisation puts the skin (or, before any detection, the picture)."""

MAX_STOPS = 8.0
"""No first exposure guess is further than this from the plate as it is."""


def luminance(rgb: WorkingRgb, config: ColorConfig) -> F32:
    """(..., 3) working -> (...) relative luminance, linear, unbounded."""
    return np.asarray(np.asarray(rgb, np.float32) @ config.luminance_weights().astype(np.float32), np.float32)


def exposure_from_percentiles(rgb: WorkingRgb, config: ColorConfig) -> float:
    """A first exposure gain for a picture nobody has found a face in yet.

    Puts the median luminance at 0.18, but never so high that the 95th percentile passes 0.8: in a low-key set
    the face is among the brightest things. Black (letterbox), NaN and Inf do not count; the result stays within
    +-8 stops and is 1.0 for a picture without light. At most about 2^18 pixels are looked at.

    Args:
        rgb: (H, W, 3) working space.
        config: what the working space is.
    """
    step = max(1, math.ceil(math.sqrt(rgb.shape[0] * rgb.shape[1] / 2**18)))
    values = luminance(WorkingRgb(rgb[::step, ::step]), config)
    values = values[np.isfinite(values) & (values > 1e-6)]
    if values.size == 0:
        return 1.0
    median, bright = np.percentile(values.astype(np.float64), [50.0, 95.0])
    gain = min(MIDDLE_GREY / median, 0.8 / bright)
    return float(np.clip(gain, 2.0**-MAX_STOPS, 2.0**MAX_STOPS))
