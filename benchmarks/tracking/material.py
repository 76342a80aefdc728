"""Clips with known landmarks, most of them synthesised from the rendered performers; see `calibration` and `held_out`.

Nothing here was filmed. Rendered shots and stills are taken as they are, or something is done to them that moves their
landmarks in a known way or not at all: occluders that stay with the face or cross it, exposure, blur, grain, size,
roll, a squeeze that stands for a turn beyond what the network reads. Both performers of a shot are used: the double's
plate and the perfect swap, which shows the likeness in the same performance.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import skimage

from vfxswap import exr
from vfxswap.color import ColorConfig, ModelSpace
from vfxswap.geometry import transform
from vfxswap.pixels import F32, F64, ModelRgb, WorkingRgb

SIZE = (480, 270)
FIRST = 1001

# iBUG 68-point number -> mesh point, for those that mean the same spot.
CORRESPONDING = {
    **dict(zip(range(17, 27), (70, 63, 105, 66, 107, 336, 296, 334, 293, 300), strict=True)),
    **dict(zip(range(27, 36), (168, 197, 5, 4, 98, 97, 2, 326, 327), strict=True)),
    **dict(zip(range(36, 48), (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380), strict=True)),
    **dict(zip(range(48, 60), (61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181), strict=True)),
    **dict(zip(range(60, 68), (78, 82, 13, 312, 308, 317, 14, 87), strict=True)),
}


@dataclass(frozen=True, eq=False)
class Clip:
    """Pictures in display code values and where the 68 landmarks truly are.

    Attributes:
        name: shot and performer.
        kind: what was done to it.
        pictures: each (H, W, 3).
        points: each (68, 2), pixels.
        between: pixels between the outer eye corners of the face seen from the front.
    """

    name: str
    kind: str
    pictures: list[F32]
    points: list[F64]
    between: float

    def frames(self) -> Iterator[tuple[int, ModelRgb, float]]:
        """What `track_frames` takes."""
        for i, picture in enumerate(self.pictures):
            yield FIRST + i, ModelRgb(np.clip(picture, 0, 1).astype(np.float32)), 1.0


# --------------------------------------------------------------------------------------------- as rendered


def shot(folder: Path, *, likeness: bool = False, there_and_back: bool = False) -> Clip:
    """A rendered shot, of the double or of the likeness."""
    plate, key = ("truth", "truth_landmarks68") if likeness else ("plate", "landmarks68")
    files = sorted((folder / plate).glob("*.exr"))
    real = _truth(folder / "shot.json", key)
    pictures = [_encoded(file, files[0]) for file in files]
    points = [real[int(file.name.split(".")[1])] for file in files]
    factor = SIZE[0] / pictures[0].shape[1]
    if factor != 1:
        pictures = [np.asarray(cv2.resize(p, SIZE, interpolation=cv2.INTER_AREA), np.float32) for p in pictures]
        points = [p * factor for p in points]
    between = max(_between(p) for p in points)
    if there_and_back:
        pictures, points = pictures + pictures[-2:0:-1], points + points[-2:0:-1]
    return Clip(f"{folder.name}{' (likeness)' if likeness else ''}", "as it is", pictures, points, between)


def _truth(path: Path, key: str = "landmarks68") -> dict[int, F64]:
    frames = json.loads(path.read_text())["frames"]
    return {int(frame): np.array(found[key])[:, :2] for frame, found in frames.items()}


def _encoded(file: Path, exposed_as: Path) -> F32:
    """A frame in display code values, exposed so that the brighter half of another one is at 0.18."""
    value = np.asarray(exr.read(exposed_as).rgb, np.float64) @ [0.2722, 0.6741, 0.0537]
    gain = float(0.18 / np.median(value[value > np.percentile(value, 40)]))
    light = WorkingRgb(np.asarray(exr.read(file).rgb, np.float32))
    return np.asarray(ModelSpace(ColorConfig.load(None), gain).encode(light), np.float32)


def stills(folder: Path, rng: np.random.Generator, *, count: int, length: int = 14) -> list[Clip]:
    """Single pictures of a performer, each moved about as if by a camera, with grain of its own."""
    real = _truth(folder / f"{folder.name}.json")
    eyes = np.quantile([_between(found) for found in real.values()], 0.95)
    clips = []
    for frame in rng.choice(sorted(real), count, replace=False).tolist():
        file = folder / f"{folder.name}.{frame}.exr"
        code, points = _encoded(file, file), real[frame]
        scale, turn, *drift = rng.uniform([0.6, -15, -2, -2], [0.95, 15, 2, 2]).tolist()
        pictures, moved = [], []
        for i in range(length):
            grown, angle = scale * (1 + 0.004 * i), np.radians(turn + 0.7 * i)
            rotate = grown * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            shift = np.array([240.0, 130.0]) + np.array(drift) * (i - length / 2) - rotate @ [144, 144]
            matrix = np.concatenate([rotate, shift[:, None]], axis=1)
            picture = _warped(code, matrix, SIZE)
            pictures.append(picture + rng.normal(0, 0.015, picture.shape).astype(np.float32))
            moved.append(transform(matrix, points))
        clips.append(Clip(f"{folder.name} {frame}", "as it is", pictures, moved, float(eyes * scale * 1.03)))
    return clips


def _between(points: F64) -> float:
    return float(np.linalg.norm(points[36] - points[45]))


def _warped(picture: F32, matrix: F64, size: tuple[int, int], *, border: int = cv2.BORDER_REPLICATE) -> F32:
    half = np.array([0.5, 0.5])
    placed = np.concatenate([matrix[:, :2], (matrix[:, 2] + matrix[:, :2] @ half - half)[:, None]], axis=1)
    return np.asarray(cv2.warpAffine(picture, placed, size, flags=cv2.INTER_CUBIC, borderMode=border), np.float32)


# ---------------------------------------------------------------------------------------------- occluders


def _grid(picture: F32) -> F64:
    height, width = picture.shape[:2]
    return np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1)


def _frame(points: F64) -> tuple[F64, F64]:
    """Where a face is and how it is turned and scaled: middle (2,), and (2, 2) from face heights to pixels."""
    down = points[8] - points[27]
    return points[27:].mean(axis=0), np.array([[down[1], down[0]], [-down[0], down[1]]])


Texture = Callable[[np.random.Generator], F32]


def plain_texture(rng: np.random.Generator) -> F32:
    """A colour with soft spots."""
    noise = cv2.GaussianBlur(rng.random((256, 256, 3)).astype(np.float32), (0, 0), float(rng.uniform(2, 20)))
    spots = (noise - noise.mean()) / noise.std() * rng.uniform(0.02, 0.15)
    return np.asarray(rng.uniform(0.1, 0.85, 3) + spots, np.float32)


def skin_texture(rng: np.random.Generator) -> F32:
    """The tone of a hand, with soft shading."""
    tone = np.array([0.72, 0.52, 0.43]) * rng.uniform(0.6, 1.15)
    noise = cv2.GaussianBlur(rng.random((256, 256, 1)).astype(np.float32), (0, 0), 25)
    shade = (noise - noise.mean()) / noise.std() * 0.08
    return np.asarray(tone * (1 + shade[..., None]), np.float32)


def photo_texture(rng: np.random.Generator) -> F32:
    """A part of a photograph that shows no face."""
    name = str(rng.choice(["coffee", "chelsea", "rocket"]))
    picture = getattr(skimage.data, name)().astype(np.float32) / 255
    y, x = (int(rng.integers(0, side - 200)) for side in picture.shape[:2])
    return np.asarray(cv2.resize(picture[y : y + 200, x : x + 200], (256, 256)), np.float32)


def _covered(picture: F32, inside: F64, texture: F32, place: F64) -> F32:
    """`texture` put over a picture where `inside` (H, W) is above 0, with an edge of two pixels."""
    alpha = np.clip(inside / 2 + 0.5, 0, 1)[..., None]
    where = (np.abs(place) * 200 % 255).astype(np.float32)
    shown = cv2.remap(texture, where[..., 0], where[..., 1], cv2.INTER_LINEAR)
    return np.asarray(picture * (1 - alpha) + shown * alpha, np.float32)


@dataclass(frozen=True)
class Occluder:
    """What is held before a face.

    Attributes:
        shape: `ball`, `box`, `bar` or `finger`.
        reach: half its size in face heights (brow to chin).
        texture: what it looks like.
        motion: `stays` with the face all the time, `comes` and goes at once, `slides` in and out, or `crosses`.
    """

    shape: str
    reach: float
    texture: Texture
    motion: str

    def over(self, clip: Clip, rng: np.random.Generator) -> Clip:
        """The clip with this before its face."""
        texture, count = self.texture(rng), len(clip.pictures)
        home, way = rng.uniform([-0.35, -0.35], [0.35, 0.6]), rng.uniform(0, 2 * np.pi)
        turn = rng.uniform(0, np.pi)
        start, end = sorted(rng.choice(np.arange(2, count - 1), 2, replace=False).tolist())
        start, end = (start, end) if end - start > 3 else (count // 3, 2 * count // 3)
        pictures = []
        for i, (picture, points) in enumerate(zip(clip.pictures, clip.points, strict=True)):
            offset = self._offset(i, count, start, end)
            if offset is None:
                pictures.append(picture)
                continue
            middle, axes = _frame(points)
            at = home + offset * np.array([np.cos(way), np.sin(way)])
            place = (_grid(picture) - middle) @ np.linalg.inv(axes).T - at
            spun = place @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
            inside = self._inside(spun) * float(np.linalg.norm(axes[:, 0]))
            pictures.append(_covered(picture, inside, texture, spun))
        return replace(clip, kind=f"{self.shape} {self.motion}", pictures=pictures)

    def _offset(self, i: int, count: int, start: int, end: int) -> float | None:
        """How far it is from its place in face heights, None where it is not to be seen."""
        if self.motion == "stays":
            return 0.0
        if self.motion == "comes":
            return 0.0 if start <= i < end else None
        if self.motion == "slides":
            outside = max(start - i, i - end, 0)
            return 0.35 * outside if outside < 8 else None
        return 3.2 * (i / (count - 1) - 0.5)

    def _inside(self, place: F64) -> F64:
        """How deep a place lies within, in face heights."""
        x, y = np.abs(place[..., 0]), np.abs(place[..., 1])
        if self.shape == "ball":
            return np.asarray(self.reach - np.hypot(x, y))
        if self.shape == "bar":
            return np.asarray(self.reach - x)
        wide, high = (self.reach, 0.7 * self.reach) if self.shape == "box" else (0.35 * self.reach, 1.6 * self.reach)
        return np.asarray(np.minimum(wide - x, high - y))


def hand(clip: Clip, folder: Path, rng: np.random.Generator) -> Clip:
    """The rendered hand of a shot held before another shot's face, moving with it."""
    numbers = list(range(1007, 1012))
    layers = []
    for number in numbers:
        file = folder / "plate" / f"plate.{number}.exr"
        matte = exr.read_channels(folder / "matte" / f"matte.{number}.exr")[0]
        code = _encoded(file, file)
        layers.append(np.dstack([code, np.asarray(matte["occluder"], np.float32)]))
    layers = [layer for layer in layers if layer[..., 3].sum() > 500]
    layer = layers[int(rng.integers(len(layers)))]
    rows, columns = np.nonzero(layer[..., 3] > 0.5)
    centre = np.array([columns.mean(), rows.mean()]) + 0.5
    at, pictures = rng.uniform([-0.4, 0.0], [0.4, 0.5]), []
    start, end = len(clip.pictures) // 4, 3 * len(clip.pictures) // 4
    for i, (picture, points) in enumerate(zip(clip.pictures, clip.points, strict=True)):
        middle, axes = _frame(points)
        place = middle + axes @ at + np.array([0.0, 14.0]) * max(start - i, i - end, 0)
        placed = _warped(layer, np.array([[1, 0, place[0] - centre[0]], [0, 1, place[1] - centre[1]]]), SIZE,
                         border=cv2.BORDER_CONSTANT)  # fmt: skip
        alpha = np.clip(placed[..., 3:], 0, 1)
        pictures.append(np.asarray(picture * (1 - alpha) + placed[..., :3] * alpha, np.float32))
    return replace(clip, kind="hand slides", pictures=pictures)


# ------------------------------------------------------------------------------------------- other troubles


def exposed(clip: Clip, stops: float, rng: np.random.Generator) -> Clip:
    """Darker or brighter by so many stops, with grain that a camera adds afterwards."""
    pictures = []
    for picture in clip.pictures:
        light = np.where(picture <= 0.04045, picture / 12.92, ((np.maximum(picture, 0) + 0.055) / 1.055) ** 2.4)
        light = light * 2.0**stops + rng.normal(0, 0.0008, picture.shape)
        code = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-8) ** (1 / 2.4) - 0.055)
        pictures.append(np.clip(code, 0, 1).astype(np.float32))
    return replace(clip, kind="dark" if stops < 0 else "bright", pictures=pictures)


def blurred(clip: Clip, most: float) -> Clip:
    """Out of focus in the middle third."""
    count, pictures = len(clip.pictures), []
    for i, picture in enumerate(clip.pictures):
        part = np.sin(np.clip((i - count / 4) / (count / 2), 0, 1) * np.pi)
        sigma = most * part * clip.between / 90
        blur = cv2.GaussianBlur(picture, (0, 0), sigma) if sigma > 0.3 else picture
        pictures.append(np.asarray(blur, np.float32))
    return replace(clip, kind="blurred", pictures=pictures)


def grainy(clip: Clip, sigma: float, rng: np.random.Generator) -> Clip:
    """With grain of so much of the code range."""
    pictures = [np.asarray(p + rng.normal(0, sigma, p.shape), np.float32) for p in clip.pictures]
    return replace(clip, kind="grainy", pictures=pictures)


def small(clip: Clip, factor: float) -> Clip:
    """Smaller."""
    size = (round(SIZE[0] * factor), round(SIZE[1] * factor))
    pictures = [np.asarray(cv2.resize(p, size, interpolation=cv2.INTER_AREA), np.float32) for p in clip.pictures]
    scale = np.array(size) / SIZE
    return replace(clip, kind="small", pictures=pictures, points=[p * scale for p in clip.points],
                   between=clip.between * factor)  # fmt: skip


def rolled(clip: Clip, degrees: float) -> Clip:
    """Turned in the picture, further from frame to frame."""
    pictures, points = [], []
    for i, (picture, found) in enumerate(zip(clip.pictures, clip.points, strict=True)):
        middle, _ = _frame(found)
        angle = np.radians(degrees * i / max(1, len(clip.pictures) - 1))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = np.concatenate([turn, (np.array([240.0, 135.0]) - turn @ middle)[:, None]], axis=1)
        pictures.append(_warped(picture, matrix, SIZE))
        points.append(transform(matrix, found))
    return replace(clip, kind="rolled", pictures=pictures, points=points)


def turned(clip: Clip, least: float) -> Clip:
    """Squeezed across, down to `least` in the middle: what a turn further away looks like."""
    pictures, points, count = [], [], len(clip.pictures)
    for i, (picture, found) in enumerate(zip(clip.pictures, clip.points, strict=True)):
        k = 1 - (1 - least) * np.sin(np.pi * i / (count - 1)) ** 2
        middle, _ = _frame(found)
        matrix = np.array([[k, 0.0, middle[0] * (1 - k)], [0.0, 1.0, 0.0]])
        pictures.append(_warped(picture, matrix, SIZE))
        points.append(transform(matrix, found))
    return replace(clip, kind="turned away", pictures=pictures, points=points)


# --------------------------------------------------------------------------------------------------- split


def _troubled(clip: Clip, rng: np.random.Generator, textures: list[Texture], each: int) -> Iterator[Clip]:
    """A clip as it is, and with everything done to it once or a few times."""
    yield clip
    shapes = itertools.cycle(rng.permutation(["ball", "box", "bar", "finger"]).tolist())
    looks = itertools.cycle(textures)
    for motion in ("stays", "comes", "slides", "crosses"):
        for _ in range(each):
            reach = float(rng.uniform(0.2, 0.6))
            yield Occluder(next(shapes), reach, next(looks), motion).over(clip, rng)
    yield exposed(clip, float(rng.uniform(-6, -3)), rng)
    yield exposed(clip, float(rng.uniform(1, 3)), rng)
    yield blurred(clip, float(rng.uniform(2, 4)))
    yield blurred(clip, float(rng.uniform(4, 9)))
    yield grainy(clip, float(rng.uniform(0.04, 0.15)), rng)
    yield small(clip, float(rng.uniform(0.3, 0.6)))
    yield small(clip, float(rng.uniform(0.12, 0.25)))
    yield rolled(clip, float(rng.choice([-1, 1]) * rng.uniform(30, 180)))
    yield turned(clip, float(rng.uniform(0.5, 0.8)))


def calibration(data: Path) -> Iterator[Clip]:
    """What the constants of `doubt` may be chosen on: talk_studio, the demo shot and single pictures."""
    rng = np.random.default_rng(11)
    textures: list[Texture] = [plain_texture, skin_texture]
    for base in (shot(data / "shots" / "talk_studio"), shot(data / "shots" / "talk_studio", likeness=True)):
        yield from _troubled(base, rng, textures, 3)
    yield from _troubled(shot(data / "demo"), rng, textures, 2)
    for name in ("anna", "ben"):
        for clip in stills(data / "train" / name, rng, count=10):
            yield clip
            reach, shape = float(rng.uniform(0.2, 0.6)), str(rng.choice(["ball", "box", "bar", "finger"]))
            motion = str(rng.choice(["stays", "comes", "slides", "crosses"]))
            yield Occluder(shape, reach, textures[int(rng.integers(2))], motion).over(clip, rng)


def held_out(data: Path) -> Iterator[Clip]:
    """What they are checked on: two other shots, other seeds, and occluders that look otherwise."""
    rng = np.random.default_rng(97)
    textures: list[Texture] = [photo_texture, skin_texture, plain_texture]
    for name, likeness in itertools.product(("turn_hot_hand", "walk_day"), (False, True)):
        base = shot(data / "shots" / name, likeness=likeness, there_and_back=name == "walk_day")
        yield from _troubled(base, rng, textures, 3)
        if name == "walk_day":
            for _ in range(2):
                yield hand(base, data / "shots" / "turn_hot_hand", rng)
