"""How good a swap is: errors against a known truth, and whose face it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vfxswap.face import EMBEDDERS, identity
from vfxswap.face.protocols import Embedder
from vfxswap.infer import Device
from vfxswap.pixels import F32, F64, ModelRgb


def psnr(image: F32, truth: F32, coverage: F32) -> float:
    """Peak signal-to-noise ratio in dB inside a matte.

    Args:
        image: (H, W, 3) display-encoded, [0, 1]; the peak is 1.
        truth: (H, W, 3), what it should be, encoded alike.
        coverage: (H, W) weight of each pixel.

    Returns:
        dB; infinite for equal pictures.
    """
    weight = coverage.astype(np.float64)[..., None]
    error = float((((image - truth).astype(np.float64) ** 2) * weight).sum() / (weight.sum() * 3))
    return float("inf") if error == 0 else -10.0 * float(np.log10(error))


@dataclass(frozen=True, eq=False)
class Identity:
    """Distances of a face's embedding to two performers' mean embeddings; same person below about 0.6."""

    likeness: float
    double: float


class IdentityScore:
    """Tells whose face it is, by distance to two reference embeddings."""

    def __init__(self, *, likeness: F64, double: F64, device: Device = "auto") -> None:
        """Load the embedder.

        Args:
            likeness: (128,) mean embedding of the likeness.
            double: (128,) mean embedding of the double.
            device: where the network runs.
        """
        self._embed: Embedder = EMBEDDERS["dlib"](device=device)
        self._likeness, self._double = likeness, double

    def __call__(self, rgb: ModelRgb, points: F64) -> Identity:
        """Distances of the face at (478, 3) `points` in (H, W, 3) display-encoded `rgb`."""
        found = self._embed(rgb, points)
        return Identity(identity.distance(found, self._likeness), identity.distance(found, self._double))
