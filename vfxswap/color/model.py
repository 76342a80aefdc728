"""The space that networks see: exposure, then an encoding; and the highlights it clipped, given back."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from vfxswap.color.config import ColorConfig
from vfxswap.color.encodings import checked
from vfxswap.errors import ColorError
from vfxswap.pixels import F32, ModelRgb, WorkingRgb, converted

MAX_RATIO = 64.0
"""Highlight restoration never brightens by more than 6 stops: a sun glint is no reason to paint a sun."""

GATE = (0.7, 1.0)
"""Encoded brightness of the prediction between which the plate's highlight energy comes back."""


@dataclass(frozen=True)
class ModelSpace:
    """The space that networks see: exposure `gain`, then Rec.709 and the sRGB curve (or ACEScct).

    `gain` is linear and belongs to the shot, never to a frame (unless an exposure curve says so).
    """

    config: ColorConfig
    gain: float
    encoding: str = "srgb"

    def __post_init__(self) -> None:
        """Refuse gains and encodings that cannot mean anything."""
        checked(self.encoding)
        if not (math.isfinite(self.gain) and self.gain > 0):
            raise ColorError(f"exposure gain {self.gain} is not a positive number", hint="measure the shot again")

    def linear(self, rgb: WorkingRgb) -> F32:
        """(..., 3) working -> exposure-normalised linear (Rec.709 for srgb), unclipped."""
        result = self.config.working_to_model_linear(self.encoding).apply(rgb)
        result *= np.float32(self.gain)
        return result

    def unlinear(self, rgb: F32) -> WorkingRgb:
        """The inverse of `linear`."""
        result = self.config.model_linear_to_working(self.encoding).apply(rgb)
        result /= np.float32(self.gain)
        return WorkingRgb(result)

    def encode(self, rgb: WorkingRgb) -> ModelRgb:
        """(..., 3) working -> encoded, clipped to [0, 1]."""
        encoded = self.config.model_curve(self.encoding, decode=False).apply(self.linear(rgb))
        return ModelRgb(np.clip(encoded, 0.0, 1.0, out=encoded))

    def glance(self, rgb: WorkingRgb) -> ModelRgb:
        """`encode` to within 1/1000 of the range at a fraction of its cost: for whole frames that only trackers see.

        The matrix is applied as one, and the curve looked up for each of the 65536 half floats.
        """
        linear = cv2.transform(np.ascontiguousarray(rgb, np.float32), self._matrix)
        halves = converted(np.asarray(linear, np.float32), np.dtype(np.float16))
        codes = cv2.LUT(halves.view(np.uint16), self.config.half_codes(self.encoding))
        return ModelRgb(np.asarray(codes, np.float32))

    @functools.cached_property
    def _matrix(self) -> F32:
        """(3, 3) what `linear` multiplies with."""
        rows = self.config.working_to_model_linear(self.encoding).apply(np.eye(3, dtype=np.float32))
        return np.asarray(rows.T * self.gain, np.float32)

    def decode_linear(self, rgb: ModelRgb) -> F32:
        """(..., 3) encoded -> exposure-normalised linear."""
        return self.config.model_curve(self.encoding, decode=True).apply(rgb)

    def decode(self, rgb: ModelRgb) -> WorkingRgb:
        """(..., 3) encoded -> working. Inverse of `encode` for what was not clipped."""
        return self.unlinear(self.decode_linear(rgb))

    def restore(self, prediction: ModelRgb, plate: WorkingRgb, strength: float = 1.0) -> WorkingRgb:
        """Decode `prediction` and give back what clipping took from `plate` at the same pixels.

        out = pred * (P / clip(P)) per channel, P the plate in exposure-normalised linear light. The ratio is 1
        wherever the plate was in range, is capped at MAX_RATIO, and fades in with the prediction's own
        brightness (its largest encoded channel, smoothstep over GATE): where the likeness is dark, such as
        brows and pupils, the double's highlights are not painted on it. Negative components (colours outside
        Rec.709) come back by their residual, but nothing gets negative where the plate is not. A perfect prediction,
        encode(plate), gives the plate back.

        Args:
            prediction: (..., 3) in [0, 1].
            plate: (..., 3), the same shape, finite.
            strength: 0 decodes only, 1 restores in full.
        """
        low, high = self._range()
        scene = self.linear(plate)
        ratio = np.clip(scene / high, 1.0, np.float32(MAX_RATIO))
        # Pairwise, because numpy reduces an axis of three slowly.
        brightness = np.maximum(np.maximum(prediction[..., :1], prediction[..., 1:2]), prediction[..., 2:])
        t = np.clip((brightness - GATE[0]) / (GATE[1] - GATE[0]), 0.0, 1.0)
        gate = np.float32(strength) * t * t * (3.0 - 2.0 * t)
        result = self.decode_linear(prediction)
        result *= 1.0 + gate * (ratio - 1.0)
        result += np.float32(strength) * np.minimum(scene - low, 0.0)
        restored = self.unlinear(result)
        np.maximum(restored, 0.0, out=restored, where=plate >= 0)
        return restored

    def to_json(self) -> dict[str, Any]:
        """What a model or measurement file records."""
        return {
            "encoding": self.encoding,
            "gain": float(self.gain),
            "config": self.config.record(),
        }

    @staticmethod
    def from_json(data: Mapping[str, Any], config: ColorConfig) -> ModelSpace:
        """The space of `to_json` under `config`; another config than the recorded one is fine, Rec.709 is Rec.709.

        Raises:
            ColorError: missing or senseless values.
        """
        try:
            return ModelSpace(config, float(data["gain"]), str(data["encoding"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ColorError(f"not a model space record: {error!r}", hint="make the file again") from error

    def _range(self) -> tuple[np.float32, np.float32]:
        """The linear values of codes 0 and 1."""
        ends = self.decode_linear(ModelRgb(np.array([[0, 0, 0], [1, 1, 1]], np.float32)))
        return np.float32(ends[0, 0]), np.float32(ends[1, 0])
