"""Performers that take no plates: ellipses with eyes that look around, drawn straight into banks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from vfxswap import align, trust
from vfxswap.color import PINNED_CONFIG, ColorConfig, ModelSpace
from vfxswap.face import mesh
from vfxswap.faceset import Crop
from vfxswap.pixels import F32, F64, ModelRgb
from vfxswap.train.bank import HELD_OUT_EVERY, Bank, core_map, rim_map, yaw_balance
from vfxswap.train.config import TrainConfig
from vfxswap.train.data import Batch, centred
from vfxswap.train.loop import Trainer
from vfxswap.trust import Grant

from .. import support

CONFIG = ColorConfig.load(PINNED_CONFIG)
RASTER = round(64 * align.FACESET_MARGIN)

BEN = {"performer": "ben", "skin": (0.75, 0.5, 0.4), "width": 0.30, "eyes": 0.045}
ANNA = {"performer": "anna", "skin": (0.4, 0.55, 0.75), "width": 0.24, "eyes": 0.06}


def landmarks(size: int, yaw: float) -> F64:
    """(478, 3) canonical mesh turned by `yaw` degrees, in crop pixels; depth points away from the camera."""
    points = mesh.canonical().vertices
    points = np.vstack([points, np.repeat(points[[33, 263]], 5, axis=0)])
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    x, y, z = points.T
    return np.stack([c * x + s * z, -y, s * x - c * z], axis=1) * (size / 30.0) + [size / 2, size / 2, 0]


def picture(size: int, yaw: float, *, skin: Any, width: float, eyes: float) -> tuple[F32, F32]:
    """(size, size, 3) face in model space and its (size, size) mask."""
    at = (np.arange(size) + 0.5) / size
    x, y = at[None, :], at[:, None]
    shift = yaw / 300.0

    def disc(cx: float, cy: float, rx: float, ry: float) -> F32:
        distance = np.hypot((x - cx) / rx, (y - cy) / ry)
        return np.clip((1 - distance) * min(rx, ry) * size + 0.5, 0, 1).astype(np.float32)

    mask = disc(0.5, 0.5, width, 0.36)
    rgb = np.full((size, size, 3), 0.15, np.float32)
    shade = (0.8 + 0.4 * (x - 0.5 + shift) * np.ones_like(y))[..., None]
    rgb += mask[..., None] * (np.asarray(skin, np.float32) * shade - rgb)
    for side in (-1, 1):
        white = disc(0.5 + side * 0.11 + shift, 0.45, eyes, eyes * 0.7)[..., None]
        pupil = disc(0.5 + side * 0.11 + 2 * shift, 0.45, eyes * 0.5, eyes * 0.5)[..., None]
        rgb += white * (0.95 - rgb)
        rgb += pupil * (0.05 - rgb)
    mouth = disc(0.5 + shift, 0.66, 0.09, 0.02 + abs(yaw) / 1500)[..., None]
    rgb += mouth * (np.asarray([0.6, 0.1, 0.1], np.float32) - rgb)
    return rgb.astype(np.float32), mask


def bank(
    person: dict[str, Any], *, count: int = 24, raster: int = RASTER, digest: str = "d", encoding: str = "srgb"
) -> Bank:
    """A performer's bank of `count` crops, yaw -40..40 degrees; the same pictures in every encoding."""
    look = {key: value for key, value in person.items() if key != "performer"}
    yaw = np.linspace(-40, 40, count)
    drawn = [picture(raster, value, **look) for value in yaw]
    masks = [mask for _, mask in drawn]
    pictures = [encoded(rgb, encoding) for rgb, _ in drawn]

    def plane(arrays: list[F32]) -> torch.Tensor:
        return torch.from_numpy(np.stack(arrays)[:, None].astype(np.float16))

    held = tuple(range(HELD_OUT_EVERY // 2, count, HELD_OUT_EVERY))
    chance = yaw_balance(yaw)
    chance[list(held)] = 0
    return Bank(
        performer=person["performer"],
        rgb=torch.from_numpy(np.stack([rgb.transpose(2, 0, 1) for rgb in pictures]).astype(np.float16)),
        mask=plane(masks),
        weight=plane([0.05 + 0.95 * rim_map(mask) for mask in masks]),
        core=plane([core_map(mask) for mask in masks]),
        front=plane([np.zeros_like(mask) for mask in masks]),
        chance=chance / chance.sum(),
        held_out=held,
        crops=tuple(_crop(raster, value) for value in yaw),
        source_size=raster,
        digest=digest,
        encoding=encoding,
    )


def encoded(rgb: F32, encoding: str) -> F32:
    """(..., 3) sRGB codes as the codes of another encoding."""
    srgb, wanted = (ModelSpace(CONFIG, 1.0, name) for name in ("srgb", encoding))
    return rgb if encoding == "srgb" else wanted.encode(srgb.decode(ModelRgb(rgb)))


def _crop(raster: int, yaw: float) -> Crop:
    return Crop(
        name=f"{yaw:.1f}",
        plate="drawn",
        frame=0,
        timecode=None,
        gain=1.0,
        pose_deg=(0.0, float(yaw), 0.0),
        confidence=1.0,
        quarantined=None,
        landmarks=landmarks(raster, float(yaw)),
    )


def batch(person: dict[str, Any], *, count: int = 4, size: int = 64) -> Batch:
    """The first crops of a performer, as the renderer frames them."""
    return centred(bank(person, count=count, raster=round(size * align.FACESET_MARGIN)), tuple(range(count)), size=size)


def config(**changes: Any) -> TrainConfig:
    """A run of the test preset that depends on no clock."""
    fields: dict[str, Any] = {
        "preset": "test",
        "batch": 4,
        "precision": "fp32",
        "warm_up": 5,
        "rate": 2e-3,
        "ema": 0.9,
        "score_every_steps": 1000,
    }
    return TrainConfig(**{**fields, **changes})


def grant(studio: support.Studio) -> Grant:
    """The real gate's leave to train ben over anna."""
    return studio.gate().authorize(
        shot=trust.ShotId.local("tests"), use="train", performers={"likeness": "ben", "double": "anna"}
    )


def trainer(folder: Path, studio: support.Studio, **fields: Any) -> Trainer:
    """A trainer of ben over anna on the CPU; `fields` are the config's."""
    more: dict[str, Any] = {
        key: fields.pop(key) for key in ("likeness", "double", "warn", "source", "others") if key in fields
    }
    encoding = fields.get("encoding", "srgb")
    banks: dict[str, Any] = {"likeness": bank(BEN, encoding=encoding), "double": bank(ANNA, encoding=encoding)}
    return Trainer(folder, config=config(**fields), grant=grant(studio), device="cpu", **{**banks, **more})
