"""Facesets made by hand: rows of figures without pictures, and what writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vfxswap.color import PINNED_CONFIG, ColorConfig
from vfxswap.face import mesh
from vfxswap.faceset import crops, index
from vfxswap.faceset.crops import Crop, Row
from vfxswap.pixels import F64

SIZE = 64
CONFIG = ColorConfig.load(PINNED_CONFIG)
PLATE = "plates/look.%04d.exr"


def landmarks(seed: int = 0, *, moved: float = 0.0) -> F64:
    """(478, 3) points of a face in a crop of SIZE, those of each seed another expression, all `moved` to the right."""
    points = np.zeros((mesh.COUNT, 3))
    points[: mesh.MESH_COUNT, :2] = mesh.template() * SIZE / 1.5 + SIZE / 6
    points[mesh.MESH_COUNT :, :2] = SIZE / 2
    points[:, 0] += moved
    return points + np.random.default_rng(seed).normal(scale=1.0, size=points.shape) * (seed > 0)


def row(name: str, *, seed: int = 0, person: int = 0, spread: float = 0.2, **fields: Any) -> Row:
    """A crop that nothing is wrong with, different for each seed; `person` is whose face it is.

    Args:
        name: of the crop.
        seed: of expression, picture and embedding.
        person: people are 0.9 apart.
        spread: distance of an embedding from its person's.
        fields: of the crop; `figures` are added to the usual ones.
    """
    rng = np.random.default_rng(seed + 1000)
    away = rng.normal(size=crops.IDENTITY)
    embedding = np.zeros(crops.IDENTITY)
    embedding[person] = 0.9 / np.sqrt(2)
    figures = {"sharpness": 2.0, "presence": 1.0, "inside": 1.0, "height": 200.0, "enlarged": 1.0, "guessed": 0.0}
    values: dict[str, Any] = {
        "name": name,
        "plate": PLATE,
        "frame": int(name.rpartition(".")[2]) if name.rpartition(".")[2].isdigit() else 1,
        "timecode": "01:00:00:00",
        "gain": 1.0,
        "pose_deg": (0.0, 0.0, 0.0),
        "confidence": 0.9,
        "quarantined": None,
        "landmarks": landmarks(seed),
    }
    more = fields.pop("figures", {})
    crop = Crop(**{**values, "figures": {**figures, "clipped": 0.0, "white": 0.0, **more}, **fields})
    return Row(
        crop,
        embedding + spread * away / np.linalg.norm(away),
        rng.uniform(0, 0.3, crops.BLENDSHAPES).astype(np.float32),
        rng.integers(0, 256, (crops.THUMBNAIL, crops.THUMBNAIL, 3)).astype(np.uint8),
    )


def rows(count: int, *, first: int = 1, **fields: Any) -> list[Row]:
    """`count` different crops `look-00.000001` and on."""
    return [row(f"look-00.{i:06d}", seed=i, **fields) for i in range(first, first + count)]


def write(folder: Path, made: list[Row], *, performer: str = "ben") -> index.Faceset:
    """The rows as a faceset without pictures."""
    return index.write(
        folder, performer=performer, size=SIZE, config=CONFIG, consents=[{"id": "c", "sha256": "0"}], plates=[],
        limits={}, rows=made,
    )  # fmt: skip
