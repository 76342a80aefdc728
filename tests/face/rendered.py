"""Reading the rendered performers, and which of their 68 true landmarks correspond to which mesh points."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from vfxswap import exr
from vfxswap.color import ColorConfig, ModelSpace
from vfxswap.pixels import F32, F64, ModelRgb, WorkingRgb

# iBUG 68-point number -> mesh point, for those that mean the same spot.
CORRESPONDING = {
    **dict(zip(range(17, 27), (70, 63, 105, 66, 107, 336, 296, 334, 293, 300), strict=True)),
    **dict(zip(range(27, 36), (168, 197, 5, 4, 98, 97, 2, 326, 327), strict=True)),
    **dict(zip(range(36, 48), (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380), strict=True)),
    **dict(zip(range(48, 60), (61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181), strict=True)),
    **dict(zip(range(60, 68), (78, 82, 13, 312, 308, 317, 14, 87), strict=True)),
}


def linear(path: Path) -> WorkingRgb:
    """An ACEScg frame."""
    return WorkingRgb(np.asarray(exr.read(path).rgb, np.float32))


def exposure(rgb: F32) -> float:
    """A rough gain that puts the picture's brighter half, which is the face here, at 0.18."""
    value = np.asarray(rgb, np.float64) @ [0.2722, 0.6741, 0.0537]
    return float(0.18 / np.median(value[value > np.percentile(value, 40)]))


def encoded(path: Path, *, gain: float | None = None) -> ModelRgb:
    """A frame as networks see it."""
    rgb = linear(path)
    return ModelSpace(ColorConfig.load(None), gain or exposure(rgb)).encode(rgb)


def truth(path: Path) -> dict[int, dict[str, F64]]:
    """Frame -> true landmarks (68, 4: x, y, depth, visible) and head angles."""
    frames = json.loads(path.read_text())["frames"]
    return {int(k): {n: np.array(v[n]) for n in ("landmarks68", "head_deg")} for k, v in frames.items()}
