"""Tracks of a clip whose motion is known: one picture of a face, moved smoothly, with new grain in every frame.

What a track says is held against where the first answer would have been carried. Nothing moves within the face, so
this measures how steady a track is, not how right.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, ParamSpec, TypeVar

import cv2
import numpy as np

from vfxswap.errors import TrackError
from vfxswap.face.exposed import Source
from vfxswap.face.landmarks import locate, roi_from_landmarks
from vfxswap.face.solve import Networks, Quality, track_frames
from vfxswap.geometry import Matrix23, invert, to_opencv, transform
from vfxswap.pixels import F32, F64, ModelRgb

HEIGHT = 300
"""Height of the face in pixels that the targets are for."""

LENGTH = 48
"""Frames of a clip."""

GRAIN = 0.02
"""Standard deviation of the grain, as a part of the code range."""

_P = ParamSpec("_P")
_R = TypeVar("_R")

Kind = Literal["plain", "rolled", "bar"]
"""`plain`: up to 16 pixels a frame, 5 degrees, 6 % of zoom; `rolled`: three times as much of each; `bar`: plain, and a
textured bar of a fifth of the face's width crosses it within twenty frames."""

# The picture is kept this many times larger than it is shown, and smooth enough for it, so that a bilinear look puts
# everything exactly where the motion says.
_FINE = 2.0
_SOFT = 1.0

_BAR_WIDTH, _BAR_SPEED, _BAR_START = 50.0, 12.0, -250.0


@dataclass(frozen=True, eq=False)
class Clip:
    """A face in known motion.

    Attributes:
        picture: (h, w, 3) display-encoded [0, 1], larger than it is shown.
        points: (478, 2) the face's landmarks in it, as good as they are.
        size: width and height of the frames.
        kind: how it moves.
        length: number of frames.
    """

    picture: ModelRgb
    points: F64
    size: tuple[int, int] = (1920, 1080)
    kind: Kind = "plain"
    length: int = LENGTH

    @staticmethod
    def of(picture: ModelRgb, networks: Networks, *, size: tuple[int, int] = (1920, 1080)) -> Clip:
        """The clip of the best face in a picture.

        Raises:
            TrackError: there is none.
        """
        found = networks.detector(picture)
        if not found:
            raise TrackError("no face in the picture that is to be moved", hint="take one whose face is 60 pixels high")
        points = locate(networks.landmarker, picture, found[0]).points[:, :2]
        scale = _FINE * HEIGHT * (size[1] / 1080) / float(np.ptp(points[:, 1]))
        how = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
        large = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=how)
        soft = cv2.GaussianBlur(large, (0, 0), _SOFT)
        enlarged = np.array([large.shape[1] / picture.shape[1], large.shape[0] / picture.shape[0]])
        return Clip(ModelRgb(np.clip(soft, 0, 1).astype(np.float32)), points * enlarged, size)

    @cached_property
    def motion(self) -> list[Matrix23]:
        """Picture -> frame, for each frame."""
        strength = 3.0 if self.kind == "rolled" else 1.0
        unit, turn = self.size[1] / 1080, 2 * np.pi * np.arange(self.length)
        pivot = self.points.mean(axis=0)
        zoom = (1 + strength * 0.06 * np.sin(turn / 41)) / _FINE
        angle = np.radians(strength * 5 * np.sin(turn / 53 + 1))
        x = self.size[0] / 2 + strength * unit * 120 * np.sin(turn / 48)
        y = self.size[1] / 2 + strength * unit * 60 * np.sin(turn / 37 + 0.5)
        result = []
        for k, a, *place in zip(zoom, angle, x, y, strict=True):
            linear = k * np.array([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])
            result.append(np.concatenate([linear, (np.array(place) - linear @ pivot)[:, None]], axis=1))
        return result

    def frames(self) -> Iterator[ModelRgb]:
        """The frames, made one by one; the same ones every time."""
        rng = np.random.default_rng(0)
        width, height = self.size
        grain = np.float32(GRAIN) * rng.standard_normal((height, width, 3), np.float32)
        for number, matrix in enumerate(self.motion):
            frame = cv2.warpAffine(
                self.picture, to_opencv(matrix), self.size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            left, right = (round(edge) for edge in self._bar(number))
            if self.kind == "bar" and left < width and right > 0:
                frame[:, max(left, 0) : right] = self._cloth[:, max(-left, 0) : right - left][:, : width - max(left, 0)]
            moved = np.roll(grain, rng.integers(0, [height, width]), axis=(0, 1))
            yield ModelRgb(np.clip(frame + moved, 0, 1))

    def hidden(self, points: F64, *, margin: float = 0.0) -> F64:
        """(N, P) 1 where the bar is over a point of (N, P, 2), or nearer than `margin` face heights."""
        if self.kind != "bar":
            return np.zeros(points.shape[:2])
        edges = np.array([self._bar(number) for number in range(len(points))])[..., None]
        reach = margin * HEIGHT * self.size[1] / 1080
        return ((points[..., 0] > edges[:, 0] - reach) & (points[..., 0] < edges[:, 1] + reach)).astype(np.float64)

    def _bar(self, number: int) -> tuple[float, float]:
        unit = self.size[1] / 1080
        centre = float(transform(self.motion[number], self.points).mean(axis=0)[0])
        middle = centre + unit * (_BAR_START + _BAR_SPEED * number)
        return middle - unit * _BAR_WIDTH / 2, middle + unit * _BAR_WIDTH / 2

    @cached_property
    def _cloth(self) -> F32:
        """What the bar is made of: coloured blotches, (H, width of the bar and some more, 3)."""
        shape = (self.size[1], math.ceil(_BAR_WIDTH * self.size[1] / 1080) + 2, 3)
        noise = cv2.GaussianBlur(np.random.default_rng(1).random(shape, np.float32), (0, 0), 3.0)
        return np.asarray(0.1 + 0.5 * (noise - noise.min()) / np.ptp(noise), np.float32)


@dataclass(frozen=True)
class Steadiness:
    """How a track departs from the known motion, in pixels of the frame, on one axis.

    Attributes:
        std: root mean square, each landmark's mean taken off.
        step: the same of its change from frame to frame.
        lag: by how many frames it comes late (the departure over the speed); negative is early.
    """

    std: float
    step: float
    lag: float


def steadiness(clip: Clip, points: F64) -> Steadiness:
    """Hold (N, P, 2 or more) tracked points against the clip's motion."""
    departure = departures(clip, points)
    centre = np.stack([transform(matrix, clip.points).mean(axis=0) for matrix in clip.motion])
    speed = np.gradient(centre, axis=0)
    speed -= speed.mean(axis=0)
    late = -float((departure.mean(axis=1) * speed).sum() / max(float((speed**2).sum()), 1e-12))
    return Steadiness(_rms(departure), _rms(np.diff(departure, axis=0)), late)


def departures(clip: Clip, points: F64) -> F64:
    """(N, P, 2) pixels between tracked points and their own mean in the picture, carried by the motion."""
    still = np.stack([transform(invert(m), p[:, :2]) for m, p in zip(clip.motion, points, strict=True)])
    apart = still - still.mean(axis=0)
    return np.stack([a @ m[:, :2].T for a, m in zip(apart, clip.motion, strict=True)])


def drag(clip: Clip, clean: F64, crossed: F64) -> Mapping[str, float]:
    """What the bar does to a track: `crossed` against `clean`, the track of the same clip without it, both (N, P, 2+).

    Returns:
        Pixels, over the frames in which it hides something, where it is further than a tenth of the face's height:
        "rms", and "median" over all those points. "after" is the rms over the frames without it.
    """
    apart = np.linalg.norm((crossed - clean)[..., :2], axis=2)
    during = np.asarray(clip.hidden(clean).any(axis=1))
    away = (clip.hidden(clean, margin=0.1) == 0) & during[:, None]
    return {
        "rms": float(np.sqrt((apart[away] ** 2).mean())),
        "median": float(np.median(apart[away])),
        "after": float(np.sqrt((apart[~during] ** 2).mean())),
    }


def _rms(values: F64) -> float:
    return float(np.sqrt((values**2).mean()))


# -------------------------------------------------------------------------------------------- ways to track


@dataclass
class Clock:
    """CPU seconds of this process by stage."""

    spent: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def on(self, stage: str) -> Iterator[None]:
        """Count what is done in a `with` to `stage`."""
        started = time.process_time()
        try:
            yield
        finally:
            self.spent[stage] = self.spent.get(stage, 0.0) + time.process_time() - started


def _watched(call: Callable[_P, _R], clock: Clock, stage: str) -> Callable[_P, _R]:
    """`call`, with its time counted."""

    def timed(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with clock.on(stage):
            return call(*args, **kwargs)

    return timed


class _Watched:
    """A source whose time is counted; `exposed.Source`."""

    def __init__(self, source: Source, clock: Clock) -> None:
        self.size, self.deep = source.size, source.deep
        self.part = _watched(source.part, clock, "encode")
        self.shrunk = _watched(source.shrunk, clock, "encode")
        self.thin = _watched(source.thin, clock, "encode")


STAGES = ("encode", "detect", "crops and mesh", "flow", "embedding", "association, fusion, doubt")
"""What a solve's time goes to, in the order of work; the last is the rest."""

Read = Callable[[ModelRgb], Callable[[], Source]]
"""Makes a frame of a plate of a picture, and hands back how the tracker is to see it."""


def tracked(
    clip: Clip, networks: Networks, *, quality: Quality = "default", read: Read | None = None
) -> tuple[F64, Mapping[str, float]]:
    """Track a clip as `vfxswap track` does.

    Args:
        clip: what is tracked.
        networks: what it is tracked with.
        quality: how much is done for each frame.
        read: makes its pictures frames of a plate, so that exposure and encoding count; without it nothing is encoded.

    Returns:
        (N, 478, 3) landmarks, and stage -> CPU milliseconds a frame, the clip's own making left out.

    Raises:
        TrackError: the face is not there in every frame.
    """
    clock = Clock()
    encode, detect, mesh, flow, embedding = STAGES[:-1]
    watched = Networks(
        detector=_watched(networks.detector, clock, detect),
        landmarker=_watched(networks.landmarker, clock, mesh),
        flow=_watched(networks.flow, clock, flow),
        embedder=_watched(networks.embedder, clock, embedding),
    )

    def images() -> Iterator[tuple[int, ModelRgb | Source, float]]:
        making = iter(clip.frames())
        for number in range(clip.length):
            with clock.on("making"):
                image = next(making)
                seen = None if read is None else read(image)
            if seen is None:
                yield number, image, 1.0
                continue
            with clock.on(encode):
                source = _Watched(seen(), clock)
            yield number, source, 1.0

    started = time.process_time()
    track = track_frames(images(), networks=watched, quality=quality)
    whole = time.process_time() - started
    faces = track.face(0) if track.faces else {}
    if len(faces) != clip.length:
        raise TrackError(f"the moved face was found in {len(faces)} of {clip.length} frames")
    spent = {stage: clock.spent.get(stage, 0.0) for stage in STAGES[:-1]}
    spent[STAGES[-1]] = whole - clock.spent["making"] - sum(spent.values())
    points = np.stack([faces[number].landmarks for number in range(clip.length)])
    return points, {stage: 1e3 * seconds / clip.length for stage, seconds in spent.items()}


def frame_by_frame(clip: Clip, networks: Networks) -> F64:
    """Landmarks as MediaPipe's face landmarker takes them: one crop, placed around the last frame's: (N, 478, 3)."""
    points: F64 | None = None
    result = []
    for image in clip.frames():
        if points is None:
            points = locate(networks.landmarker, image, networks.detector(image)[0]).points
        points = networks.landmarker(image, roi_from_landmarks(points), crops=1).points
        result.append(points)
    return np.stack(result)


def one_euro(points: F64, *, fps: float = 24.0, least: float = 0.05, gain: float = 80.0) -> F64:
    """(N, P, D) points through the filter that MediaPipe smooths landmarks with, and its constants.

    Source: G. Casiez, N. Roussel, D. Vogel, "1 Euro Filter", CHI 2012. Speeds count in faces a second.
    """

    def share(cutoff: F64 | float) -> F64:
        return np.asarray(1 / (1 + fps / (2 * np.pi * cutoff)))

    size = float(np.mean(np.ptp(points[..., :2], axis=1)))
    result = np.array(points, np.float64)
    speed = np.zeros_like(result[0])
    for number in range(1, len(points)):
        now = (points[number] - points[number - 1]) * fps / size
        speed = speed + share(1.0) * (now - speed)
        result[number] = result[number - 1] + share(least + gain * np.abs(speed)) * (
            points[number] - result[number - 1]
        )
    return result
