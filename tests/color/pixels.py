"""The pinned config, random pixels, and sRGB as a second opinion."""

from __future__ import annotations

import numpy as np

from vfxswap import color
from vfxswap.color import ColorConfig
from vfxswap.pixels import F32, WorkingRgb

CONFIG = ColorConfig.load(color.PINNED_CONFIG)
RNG = np.random.default_rng(11)


def working(shape: tuple[int, ...] = (40, 30, 3), *, high: float = 1.0) -> WorkingRgb:
    """Pixels that stay inside Rec.709 and, for high = 1, inside 0..1 there."""
    rec709 = RNG.uniform(0.0, high, shape).astype(np.float32)
    return WorkingRgb(CONFIG.model_linear_to_working().apply(rec709))


def srgb(linear: F32) -> F32:
    """IEC 61966-2-1, as a second opinion."""
    curve = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    return np.asarray(np.where(linear <= 0.0031308, 12.92 * linear, curve), np.float32)
