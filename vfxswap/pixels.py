"""Pixel types. The colour state is part of the type, so that mypy --strict guards it.

All arrays are numpy, RGB order, row 0 at the top.
"""

from __future__ import annotations

from typing import Any, NewType

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
