"""Pictures with known grain, softness and motion. Nothing here uses the code that is tested."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from vfxswap.pixels import F32, F64

Law = Callable[[F64], F64]
"""Level of light -> variance of the grain."""


def scene(height: int, width: int, *, seed: int, texture: float = 1.0) -> F32:
    """(height, width, 3) light from 0.01 to 1: soft shapes, and an area of texture in its right third."""
    rng = np.random.default_rng(seed)
    soft = np.stack([ndimage.gaussian_filter(rng.standard_normal((height, width)), 40) for _ in range(3)], axis=-1)
    light = 0.12 * np.exp2(soft / soft.std() * 1.1 + np.linspace(-1.5, 1.5, height)[:, None, None])
    rough = ndimage.gaussian_filter(rng.standard_normal((height, width)), 0.9)[..., None]
    where = (np.arange(width) > 2 * width / 3)[None, :, None]
    return np.asarray(light * np.exp2(np.where(where, texture * rough / rough.std() * 0.3, 0.0)), np.float32)


def grain(light: F32, law: Law, *, blur: tuple[float, float], shared: float, seed: int) -> F32:
    """(H, W, 3) noise of variance `law`, correlated by a blur (down, across) and between channels."""
    rng = np.random.default_rng(seed)
    planes = rng.standard_normal((*light.shape[:2], 4))
    if max(blur) > 0:
        planes = ndimage.gaussian_filter(planes, (*blur, 0))
    planes /= planes.std()
    mixed = np.sqrt(shared) * planes[..., 3:] + np.sqrt(1 - shared) * planes[..., :3]
    return np.asarray(mixed * np.sqrt(law(np.maximum(light.astype(np.float64), 0.0))), np.float32)


def lag1(blur: tuple[float, float]) -> F64:
    """(2,) the correlation of neighbours across and down of noise with that blur, from a large take."""
    plane = ndimage.gaussian_filter(np.random.default_rng(9).standard_normal((1500, 1500)), blur)
    power = (plane**2).mean()
    return np.array([(plane[:, 1:] * plane[:, :-1]).mean() / power, (plane[1:] * plane[:-1]).mean() / power])


def octave(picture: F32, inside: F32, number: int) -> float:
    """The contrast of an octave of detail of (H, W) `inside` a mask, 0 the finest."""
    low, high = (ndimage.gaussian_filter(picture, 0.6 * 2.0**n) if n >= 0 else picture for n in (number, number - 1))
    return float(np.std((high - low)[inside > 0.5]))
