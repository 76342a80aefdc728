"""Disguise: the encoder sees a performer bent to the other's face shape, with the other's complexion (texture.py).

The target stays the performer as shot.
Without it the encoder tells the performers apart by shape and tone, their codes lie apart, and the likeness's
decoder, shown the double's code, paints the double's shape. With it the decoder learns on inputs that look
like the double's. Both differences are measured on the facesets: the mean face in space, turned into each
crop's pose, and the mean look of each spot of the face.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from vfxswap import align
from vfxswap.face import mesh
from vfxswap.faceset import Crop
from vfxswap.pixels import F32, F64
from vfxswap.train.bank import Bank
from vfxswap.train.texture import veils

GRID = 24
"""Side of a displacement field."""

_SPREAD = 0.05
"""Standard deviation of a landmark's influence, as a part of the crop."""

_FRONTAL_DEG = 25.0


def rotation(pose_deg: tuple[float, float, float]) -> F64:
    """(3, 3) head rotation of a pose, axes x right, y up, z towards the camera (face/pose.py)."""
    pitch, yaw, roll = np.radians(pose_deg)
    cx, sx, cy, sy, cz, sz = np.cos(pitch), np.sin(pitch), np.cos(yaw), np.sin(yaw), np.cos(roll), np.sin(roll)
    rx = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    ry = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    rz = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(rz @ ry @ rx, np.float64)


def _frontal(crops: tuple[Crop, ...]) -> tuple[Crop, ...]:
    """The crops that face the camera, all if none does."""
    facing = tuple(c for c in crops if abs(c.pose_deg[1]) < _FRONTAL_DEG and abs(c.pose_deg[0]) < _FRONTAL_DEG)
    return facing or crops


def mean_shape(crops: tuple[Crop, ...], *, size: int) -> F64:
    """(478, 3) mean face in head space, in crop sides, from crops that face the camera (all if none does)."""
    shapes = []
    for crop in _frontal(crops):
        points = crop.landmarks / size * [1, -1, -1]
        shapes.append((points - points.mean(axis=0)) @ rotation(crop.pose_deg))
    return np.asarray(np.mean(shapes, axis=0), np.float64)


def placement(likeness: Bank, double: Bank) -> tuple[float, float]:
    """(x, y) in sides of the model's crop from the likeness's eyes, nose and mouth to the double's, facing the camera.

    The alignment fits the whole head, so with another jaw or forehead the inner features come to lie elsewhere.
    """
    features = list(mesh.INNER)
    means = [
        np.mean([crop.landmarks[features, :2].mean(axis=0) for crop in _frontal(bank.crops)], axis=0) / bank.source_size
        for bank in (likeness, double)
    ]
    x, y = (means[1] - means[0]) * align.FACESET_MARGIN
    return round(float(x), 5), round(float(y), 5)


def field(crop: Crop, difference: F64, *, size: int) -> F32:
    """(2, GRID, GRID) displacement in crop sides that bends this crop's face by a difference in head space."""
    turned = difference @ rotation(crop.pose_deg).T
    moved = turned[:, :2] * [1, -1]
    at = crop.landmarks[:, :2] / size + moved
    centres = (np.arange(GRID) + 0.5) / GRID
    gx, gy = np.meshgrid(centres, centres)
    distance = (gx[..., None] - at[:, 0]) ** 2 + (gy[..., None] - at[:, 1]) ** 2
    influence = np.exp(-0.5 * distance / _SPREAD**2)
    # The constant lets the field fade to nothing away from the face.
    total = influence.sum(axis=-1, keepdims=True) + 0.5
    return np.asarray(((influence / total) @ moved).transpose(2, 0, 1), np.float32)


def disguised(bank: Bank, other: Bank) -> Bank:
    """The bank with what it takes to make its crops look like the other performer's."""
    difference = mean_shape(other.crops, size=other.source_size) - mean_shape(bank.crops, size=bank.source_size)
    fields = np.stack([field(crop, difference, size=bank.source_size) for crop in bank.crops])
    veil = torch.from_numpy(veils(bank, other).astype(np.float16))
    return replace(bank, bend=torch.from_numpy(fields), veil=veil)
