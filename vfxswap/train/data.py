"""Batches: a faceset held in memory, and crops drawn from it, each draw a pure function of (seed, step).

The random warp is put on the input only; affine and colour changes on input and target alike. Because a
batch depends on nothing but its step, a resumed run sees exactly what an unbroken one would have seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vfxswap import align, faceset
from vfxswap.errors import FacesetError
from vfxswap.face import mesh
from vfxswap.pixels import F32, F64

HELD_OUT_EVERY = 10
"""Every tenth crop is never trained on: it scores the model."""

_EYE_WEIGHT = 3.0
_MOUTH_WEIGHT = 1.5


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
    chance: F64
    """(N,) probability of drawing each training crop: yaw is balanced; 0 for held-out crops."""
    held_out: tuple[int, ...]

    def __len__(self) -> int:
        return int(self.rgb.shape[0])


@dataclass(frozen=True)
class Batch:
    """(N, C, S, S) float32 tensors on the training device."""

    warped: Tensor
    target: Tensor
    mask: Tensor
    weight: Tensor
    core: Tensor

    def __len__(self) -> int:
        return int(self.target.shape[0])

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`, channels last."""

        def move(x: Tensor) -> Tensor:
            return x.to(device, non_blocking=True).contiguous(memory_format=torch.channels_last)

        return Batch(move(self.warped), move(self.target), move(self.mask), move(self.weight), move(self.core))


def load_bank(source: faceset.Faceset, *, resolution: int, held_out: bool = True) -> Bank:
    """Read a faceset's crops into memory at the raster that `resolution` needs.

    Raises:
        FacesetError: fewer than 4 usable crops.
    """
    crops = source.usable()
    if len(crops) < 4:
        raise FacesetError(
            f"faceset of {source.performer} has {len(crops)} usable crops, at least 4 are needed",
            path=source.folder,
            hint="build it from more frames",
        )
    raster = min(source.size, round(resolution * align.FACESET_MARGIN))
    rgb = np.empty((len(crops), 3, raster, raster), np.float16)
    mask = np.empty((len(crops), 1, raster, raster), np.float16)
    weight = np.empty((len(crops), 1, raster, raster), np.float16)
    core = np.empty((len(crops), 1, raster, raster), np.float16)
    for i, crop in enumerate(crops):
        encoded, coverage = source.load(crop)
        rgb[i] = _fit(encoded, raster).transpose(2, 0, 1)
        covered = _fit(coverage, raster)
        mask[i, 0] = covered
        focus = focus_map(crop.landmarks[:, :2] * (raster / source.size), size=raster)
        weight[i, 0] = 0.05 + 0.95 * rim_map(covered) + focus * covered
        core[i, 0] = core_map(covered)
    held = tuple(range(HELD_OUT_EVERY // 2, len(crops), HELD_OUT_EVERY)) if held_out else ()
    chance = yaw_balance(np.array([crop.pose_deg[1] for crop in crops]))
    chance[list(held)] = 0.0
    return Bank(
        source.performer,
        torch.from_numpy(rgb),
        torch.from_numpy(mask),
        torch.from_numpy(weight),
        torch.from_numpy(core),
        chance / chance.sum(),
        held,
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


@dataclass(frozen=True)
class Augment:
    """How far crops are moved before the network sees them."""

    rotate_deg: float = 8.0
    scale: float = 0.08
    shift: float = 0.04
    flip: float = 0.3
    warp: float = 0.025
    """Standard deviation of the input's control points, as a part of the crop."""
    color: float = 0.08
    """Standard deviation of the gain of each channel, log."""
    exposure: float = 0.15
    """Standard deviation of the gain of all channels, log, encoded values."""
    noise: float = 0.02
    """Largest standard deviation of the noise put on the input: grain the painter must not learn."""


def draw(bank: Bank, *, count: int, size: int, seed: int, step: int, augment: Augment) -> Batch:
    """The batch of `step`: `count` crops of `size` pixels, moved, recoloured, the input warped."""
    digest = (seed * 1_000_003 + step) * 97 + sum(bank.performer.encode())
    rng = np.random.default_rng(digest)
    chosen = rng.choice(len(bank), size=count, p=bank.chance)
    affine = _affines(rng, count, augment)
    grid = functional.affine_grid(torch.from_numpy(affine), [count, 3, size, size], align_corners=False)
    stack = _stack(bank, chosen)
    target = functional.grid_sample(stack, grid, align_corners=False, padding_mode="border")
    offsets = torch.from_numpy(
        rng.normal(0, augment.warp * 2 / align.FACESET_MARGIN, (count, 2, 5, 5)).astype(np.float32)
    )
    offsets = functional.interpolate(offsets, size=(size, size), mode="bicubic", align_corners=True)
    warped = functional.grid_sample(
        stack[:, :3], grid + offsets.permute(0, 2, 3, 1), align_corners=False, padding_mode="border"
    )
    # A gain on encoded values is a gain on linear ones: the curve is close to a power.
    gain = np.exp(rng.normal(0, augment.exposure, (count, 1)) + rng.normal(0, augment.color, (count, 3)))
    scale = torch.from_numpy(gain.astype(np.float32))[:, :, None, None]
    noise = torch.from_numpy(rng.normal(0, 1, tuple(warped.shape)).astype(np.float32))
    sigma = torch.from_numpy(rng.uniform(0, augment.noise, (count, 1, 1, 1)).astype(np.float32))
    return Batch(
        warped=(warped * scale + noise * sigma).clamp(0, 1),
        target=(target[:, :3] * scale).clamp(0, 1),
        mask=target[:, 3:4],
        weight=target[:, 4:5],
        core=target[:, 5:6],
    )


def _stack(bank: Bank, chosen: NDArray[np.int64]) -> Tensor:
    """(n, 6, R, R) float32: what moves together."""
    parts = (bank.rgb, bank.mask, bank.weight, bank.core)
    return torch.cat([part[torch.from_numpy(chosen)] for part in parts], dim=1).float()


def _affines(rng: np.random.Generator, count: int, augment: Augment) -> F32:
    """(count, 2, 3) sampling matrices, output -> bank, in normalised -1..1 coordinates."""
    out = np.empty((count, 2, 3), np.float32)
    for i in range(count):
        angle = math.radians(rng.normal(0, augment.rotate_deg / 2))
        scale = math.exp(rng.normal(0, augment.scale / 2)) / align.FACESET_MARGIN
        c, s = scale * math.cos(angle), scale * math.sin(angle)
        mirror = -1.0 if rng.random() < augment.flip else 1.0
        dx, dy = rng.normal(0, augment.shift / 2, 2) * 2 / align.FACESET_MARGIN
        out[i] = [[c * mirror, -s, dx], [s * mirror, c, dy]]
    return out


def centred(bank: Bank, indices: tuple[int, ...], *, size: int) -> Batch:
    """Crops as the renderer frames them: no warp, no change. For scores and previews."""
    scale = 1.0 / align.FACESET_MARGIN
    matrix = torch.tensor([[scale, 0, 0], [0, scale, 0]]).expand(len(indices), 2, 3)
    grid = functional.affine_grid(matrix, [len(indices), 3, size, size], align_corners=False)
    stack = _stack(bank, np.array(indices, np.int64))
    x = functional.grid_sample(stack, grid, align_corners=False, padding_mode="border")
    return Batch(warped=x[:, :3], target=x[:, :3], mask=x[:, 3:4], weight=x[:, 4:5], core=x[:, 5:6])
