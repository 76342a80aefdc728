"""Pixel types, and half to float and back. The colour state is part of the type, so that mypy --strict guards it.

All arrays are numpy, RGB order, row 0 at the top.
"""

from __future__ import annotations

from typing import Any, NewType

import cv2
import numpy as np
from numpy.typing import NDArray

F16 = NDArray[np.float16]
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
AnyArray = NDArray[Any]

WorkingRgb = NewType("WorkingRgb", F32)
"""(H, W, 3) float32, scene-linear in the working space, unbounded, may be negative."""

ModelRgb = NewType("ModelRgb", F32)
"""(H, W, 3) float32, exposure-normalised and display-encoded, [0, 1]. What networks and trackers see."""

Matte = NewType("Matte", F32)
"""(H, W) float32, linear coverage in [0, 1]."""


def converted(pixels: AnyArray, dtype: np.dtype[Any]) -> AnyArray:
    """(H, W, C) pixels as float16 or float32: for numbers the same as numpy's `astype`, several times faster."""
    if pixels.size == 0 or dtype not in _DEPTHS:
        return pixels.astype(dtype)
    zero: Any = 0.0  # x - 0 keeps the sign of -0.0, x + 0 does not
    return np.asarray(cv2.subtract(np.ascontiguousarray(pixels), zero, dtype=_DEPTHS[dtype]))


_DEPTHS: dict[np.dtype[Any], int] = {np.dtype(np.float16): cv2.CV_16F, np.dtype(np.float32): cv2.CV_32F}
