"""A faceset held in memory as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch
from torch import Tensor

from vfxswap import align, faceset
from vfxswap.errors import FacesetError
from vfxswap.face import mesh
from vfxswap.pixels import F32, F64

HELD_OUT_EVERY = 10
"""Every tenth crop is never trained on: it scores the model."""

LEAST_CROPS = 4

_EYE_WEIGHT = 6.0
_MOUTH_WEIGHT = 2.5


@dataclass(frozen=True)
class Bank:
    """One performer's crops as tensors, wider than the model's frame by align.FACESET_MARGIN."""

    performer: str
    rgb: Tensor
    """(N, 3, R, R) float16, model space, RGB."""
    mask: Tensor
    """(N, 1, R, R) float16 coverage."""
    weight: Tensor
    """(N, 1, R, R) float16, where errors count: the face and its rim 1, eyes and mouth more, the rest a little."""
    core: Tensor
    """(N, 1, R, R) float16, the inside of the face, soft: what the judge sees. The outline must be no clue."""
    front: Tensor
    """(N, 1, R, R) float16 coverage of what is before the face, where the faceset's mattes say it; 0 elsewhere."""
    chance: F64
    """(N,) probability of drawing each training crop: yaw is balanced; 0 for held-out crops."""
    held_out: tuple[int, ...]
    crops: tuple[faceset.Crop, ...] = ()
    """Where the tensors come from, in their order."""
    source_size: int = 1
    """Side in pixels that the crops' landmarks refer to."""
    digest: str = ""
    """sha256 of the faceset (Faceset.digest), for the record."""
    bend: Tensor | None = None
    """(N, 2, G, G) float32 displacement towards the other performer's shape, in crop sides; None: no disguise."""
    veil: Tensor | None = None
    """(N, 3, V, V) float16 logarithms of gains of encoded values towards the other performer's complexion."""
    encoding: str = "srgb"
    """What `rgb` is encoded in (color.ModelSpace)."""
    told: Tensor | None = None
    """(N, C) float32 what a conditioned network is told of each crop (told.py); None: nothing."""

    def __len__(self) -> int:
        return int(self.rgb.shape[0])

    @cached_property
    def covered(self) -> bool:
        """Whether anything is known to be before the face."""
        return bool(self.front.any())

    @cached_property
    def skin(self) -> F64:
        """(3,) mean encoded colour inside the masks."""
        sums, areas = self._inside
        return np.asarray(sums.sum(axis=0) / areas.sum(), np.float64)

    @cached_property
    def tones(self) -> F64:
        """(N, 3) mean encoded colour inside each crop's mask; of a crop without a face the mean of all."""
        sums, areas = self._inside
        return np.asarray(np.where(areas > 0, sums / np.maximum(areas, 1e-6), self.skin), np.float64)

    @cached_property
    def ladder(self) -> F64:
        """(N,) cumulative chance, its last exactly 1: where a random number of 0..1 falls, that crop is drawn."""
        steps = np.cumsum(self.chance)
        return np.asarray(steps / steps[-1], np.float64)

    @cached_property
    def _inside(self) -> tuple[F64, F64]:
        """(N, 3) sums of the encoded colour inside the masks, and (N, 1) their areas; crop by crop, to save memory."""
        sums = [(rgb.float() * mask.float()).sum(dim=(1, 2)) for rgb, mask in zip(self.rgb, self.mask, strict=True)]
        areas = [mask.float().sum().reshape(1) for mask in self.mask]
        return torch.stack(sums).numpy().astype(np.float64), torch.stack(areas).numpy().astype(np.float64)


def held_out(count: int) -> tuple[int, ...]:
    """Which of `count` usable crops are never trained on."""
    return tuple(range(min(HELD_OUT_EVERY // 2, count - 1), count, HELD_OUT_EVERY))


def spread(indices: Sequence[int], most: int) -> tuple[int, ...]:
    """At most `most` of them, evenly spread."""
    return tuple(indices[:: max(1, -(-len(indices) // most))])


def load_bank(source: faceset.Faceset, *, resolution: int, encoding: str = "srgb", further: bool = False) -> Bank:
    """Read a faceset's crops into memory at the raster that a model of `resolution` needs.

    Args:
        source: the faceset; its crops are scene-linear, so any encoding can be learned from it.
        resolution: side of the model's crop.
        encoding: what the model sees and paints (color.ModelSpace).
        further: it joins another faceset of the performer (joined.py), which scores: none of its crops is held out,
            and one is enough.

    Raises:
        FacesetError: too few usable crops: LEAST_CROPS are needed. ColorError: unknown encoding.
    """
    crops = source.usable()
    least = 1 if further else LEAST_CROPS
    if len(crops) < least:
        raise FacesetError(
            f"faceset of {source.performer} has {len(crops)} usable crops, at least {least} are needed",
            path=source.folder,
            hint="build it from more frames",
        )
    raster = min(source.size, round(resolution * align.FACESET_MARGIN))
    rgb = np.empty((len(crops), 3, raster, raster), np.float16)
    mask = np.empty((len(crops), 1, raster, raster), np.float16)
    weight = np.empty((len(crops), 1, raster, raster), np.float16)
    core = np.empty((len(crops), 1, raster, raster), np.float16)
    front = np.empty((len(crops), 1, raster, raster), np.float16)
    for i, crop in enumerate(crops):
        encoded, coverage, before = source.load_with_front(crop, encoding=encoding)
        rgb[i] = _fit(encoded, raster).transpose(2, 0, 1)
        covered = _fit(coverage, raster)
        mask[i, 0] = covered
        focus = focus_map(crop.landmarks[:, :2] * (raster / source.size), size=raster)
        weight[i, 0] = 0.05 + 0.95 * rim_map(covered) + focus * covered
        core[i, 0] = core_map(covered)
        front[i, 0] = _fit(before, raster)
    held = () if further else held_out(len(crops))
    chance = yaw_balance(np.array([crop.pose_deg[1] for crop in crops]))
    chance[list(held)] = 0.0
    return Bank(
        source.performer,
        torch.from_numpy(rgb),
        torch.from_numpy(mask),
        torch.from_numpy(weight),
        torch.from_numpy(core),
        torch.from_numpy(front),
        chance / chance.sum(),
        held,
        crops,
        source.size,
        source.digest(),
        encoding=encoding,
    )


def _fit(image: F32, raster: int) -> F32:
    if image.shape[0] == raster:
        return image
    return np.asarray(cv2.resize(image, (raster, raster), interpolation=cv2.INTER_AREA), np.float32)


def focus_map(points: F64, *, size: int) -> F32:
    """(size, size) extra loss weight from landmarks (478, 2) in crop pixels: eyes, then mouth."""
    out = np.zeros((size, size), np.float32)
    for region, weight in (
        (mesh.LIPS_OUTER, _MOUTH_WEIGHT),
        (mesh.LEFT_EYE, _EYE_WEIGHT),
        (mesh.RIGHT_EYE, _EYE_WEIGHT),
    ):
        hull = cv2.convexHull(points[list(region)].astype(np.float32))
        cv2.fillConvexPoly(out, np.round(hull * 16).astype(np.int32), weight, lineType=cv2.LINE_8, shift=4)
    grow = max(3, size // 24) | 1
    out = np.asarray(cv2.dilate(out, np.ones((grow, grow), np.uint8)), np.float32)
    return np.asarray(cv2.GaussianBlur(out, (0, 0), size / 64), np.float32)


def rim_map(mask: F32) -> F32:
    """(S, S) the face and a rim of a sixteenth of its crop around it."""
    size = max(3, mask.shape[0] // 16) | 1
    return np.asarray(cv2.dilate(mask, np.ones((size, size), np.uint8)), np.float32)


def core_map(mask: F32) -> F32:
    """(S, S) the face less a rim of about a twentieth of its crop, soft."""
    size = max(3, mask.shape[0] // 10) | 1
    inner = cv2.erode(mask, np.ones((size, size), np.uint8), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.GaussianBlur(inner, (0, 0), mask.shape[0] / 80), np.float32)


def yaw_balance(yaw: F64) -> F64:
    """(N,) draw weights that lift rare yaw angles: the inverse square root of each one's density (10 degree kernel)."""
    density = np.exp(-0.5 * ((yaw[:, None] - yaw[None, :]) / 10.0) ** 2).sum(axis=1)
    return np.asarray(1.0 / np.sqrt(density), np.float64)
