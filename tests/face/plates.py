"""Clips made of what there is: performers that cross, shots joined by cuts, faces small, turned, dark or bright, and
how near a track is to the truth. All of it is synthesised from the rendered performers and the astronaut."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vfxswap import exr
from vfxswap.color import ColorConfig, ModelSpace
from vfxswap.face.exposed import Whole
from vfxswap.face.track import FaceFrame, Track
from vfxswap.geometry import similarity
from vfxswap.pixels import F32, F64, ModelRgb

from .rendered import CORRESPONDING, exposure, linear

Clip = list[tuple[int, ModelRgb, float]]


@functools.cache
def config() -> ColorConfig:
    return ColorConfig.load(None)


def shot(folder: Path, *, kind: str = "plate", count: int | None = None) -> list[ModelRgb]:
    """The frames of a rendered shot as networks see them, with one exposure."""
    files = sorted((folder / kind).glob("*.exr"))[:count]
    gain = exposure(linear(sorted((folder / "plate").glob("*.exr"))[0]))
    return [ModelSpace(config(), gain).encode(linear(file)) for file in files]


def performer(folder: Path, *, kind: str = "plate", count: int) -> list[F32]:
    """The frames of a rendered shot with the performer's coverage as a fourth channel."""
    files = sorted((folder / "matte").glob("*.exr"))[:count]
    mattes = [exr.read_channels(file)[0] for file in files]
    covers = [np.clip(sum(np.asarray(m[n], np.float32) for n in ("face", "hair", "skin")), 0, 1) for m in mattes]
    return [np.dstack([rgb, a]) for rgb, a in zip(shot(folder, kind=kind, count=count), covers, strict=True)]


def over(picture: F32, layer: F32, x: float, y: float, *, scale: float = 1.0) -> F32:
    """`layer` (R, G, B, coverage) put on a picture with its top-left corner at (x, y)."""
    matrix = np.array([[scale, 0, x], [0, scale, y]], np.float64)
    size = (picture.shape[1], picture.shape[0])
    if scale < 1:
        layer = np.asarray(cv2.GaussianBlur(layer, (0, 0), 0.4 / scale), np.float32)
    placed = cv2.warpAffine(layer, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    inside = cv2.warpAffine(np.ones(layer.shape[:2], np.float32), matrix, size)
    alpha = (placed[..., 3] * (inside > 0.99))[..., None]
    return np.asarray(picture * (1 - alpha) + placed[..., :3] * alpha, np.float32)


def crossing(front: list[F32], back: list[F32], *, size: tuple[int, int] = (640, 270)) -> Clip:
    """Two performers walk past each other: `front` from left to right, before `back`, who goes the other way."""
    count = min(len(front), len(back))
    rng = np.random.default_rng(0)
    wall = cv2.GaussianBlur(rng.random((size[1], size[0], 3)).astype(np.float32), (0, 0), 6) - 0.1
    clip: Clip = []
    for i in range(count):
        part = i / (count - 1)
        picture = over(wall, back[i], size[0] * (0.5 - 0.65 * part), 30)
        picture = over(picture, front[i], size[0] * (-0.15 + 0.65 * part), 30)
        grain = rng.normal(0, 0.01, picture.shape)
        clip.append((1001 + i, ModelRgb(np.clip(picture + grain, 0, 1).astype(np.float32)), 1.0))
    return clip


def joined(*shots: list[ModelRgb], size: tuple[int, int] = (480, 270)) -> tuple[Clip, tuple[int, ...]]:
    """Shots one after the other, and the frames that begin a new one."""
    pictures = [cv2.resize(p, size, interpolation=cv2.INTER_AREA) for frames in shots for p in frames]
    starts = np.cumsum([len(frames) for frames in shots])[:-1]
    clip: Clip = [(1001 + i, ModelRgb(np.asarray(p, np.float32)), 1.0) for i, p in enumerate(pictures)]
    return clip, tuple(int(1001 + start) for start in starts)


def hdr(light: F32, *, gain: float = 1.0) -> tuple[int, Whole, float]:
    """Frame 1 of a scene in linear light."""

    def made(stops: float) -> ModelRgb:
        shown = np.maximum(light, 0) * gain * 2.0**stops
        curve = np.where(shown <= 0.0031308, 12.92 * shown, 1.055 * np.maximum(shown, 1e-9) ** (1 / 2.4) - 0.055)
        return ModelRgb(np.clip(curve, 0, 1).astype(np.float32))

    return 1, Whole(made, deep=True), 1.0


def lit(code: F32) -> F32:
    """The linear light that an sRGB picture stands for."""
    return np.asarray(np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4), np.float32)


# ------------------------------------------------------------------------------------------- scoring


@dataclass(frozen=True, eq=False)
class Score:
    """A track of a rendered performer against the truth.

    The 68 rendered points mean almost, not quite, the same spots as ours; `departure` is the error less what each
    point is off by in the middle of the shot. Both are in % of the distance between the outer eye corners, its largest
    in the shot because a turn shortens it. Jitter is that of track minus truth, in pixels.
    """

    frames: list[int]
    error: F64
    departure: F64
    confidence: F64
    between_eyes: float
    std: float
    step: float

    @property
    def pixels(self) -> float:
        return float(self.error.mean() * self.between_eyes / 100)


def score(track: Track, real: dict[int, dict[str, F64]], *, face: int = 0) -> Score:
    """How near the track is to the truth (`rendered.truth`)."""
    found: dict[int, FaceFrame] = track.face(face)
    ours = np.stack([f.landmarks[list(CORRESPONDING.values()), :2] for f in found.values()])
    theirs = np.stack([real[frame]["landmarks68"][list(CORRESPONDING), :2] for frame in found])
    eyes = max(float(np.linalg.norm(t["landmarks68"][36, :2] - t["landmarks68"][45, :2])) for t in real.values())
    error = ours - theirs
    turns = [similarity(theirs[0], there)[:, :2] for there in theirs]
    usual = np.median([e @ np.linalg.inv(turn).T for e, turn in zip(error, turns, strict=True)], axis=0)
    departure = np.stack([e - usual @ turn.T for e, turn in zip(error, turns, strict=True)])

    def percent(values: Any) -> F64:
        return np.asarray(np.linalg.norm(values, axis=2).mean(axis=1) / eyes * 100)

    return Score(
        frames=list(found),
        error=percent(error),
        departure=percent(departure),
        confidence=np.array([f.confidence for f in found.values()]),
        between_eyes=eyes,
        std=float(error.std(axis=0).mean()),
        step=float(np.diff(error, axis=0).std(axis=0).mean()) if len(found) > 1 else 0.0,
    )
