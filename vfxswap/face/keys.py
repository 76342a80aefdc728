"""An artist's keys on a track: kept beside the solve, applied when the track is read, never written over it.

A key says where the face IS in a frame: its similarity, or some of its landmarks. Against the solve of that frame it
is a correction: scale, turn and move about the face's middle, and for landmarks also what each is off by beyond that.
Corrections are interpolated between keys; before the first and after the last they fade out over the key's reach. A
key never reaches over a cut. When the plate is tracked anew the same keys give new corrections.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vfxswap.errors import TrackError
from vfxswap.face import mesh
from vfxswap.face.frame import FaceFrame
from vfxswap.face.pose import face_similarity, head_pose
from vfxswap.geometry import Matrix23, invert, scale_of, similarity, transform
from vfxswap.pixels import F64

REACH = 12
"""Frames over which a key's correction fades out where no further key follows: half a second of film."""

# How far, in face heights, landmarks follow a neighbour that was put elsewhere.
_FOLLOW = 0.08
_STIFF = 1e-3
# Landmarks nearer together than this part of the face say nothing about its size and turn.
_APART = 0.05
_LEAST_PLACED = 2
_FARTHEST = 1e7  # plate pixels
# A matrix whose axes differ by more than this is no similarity.
_SHEAR = 1e-3


@dataclass(frozen=True, eq=False)
class Key:
    """Where a face is in one frame, by an artist: exactly one of `similarity` and `landmarks`.

    Attributes:
        similarity: (2, 3) float64 plate -> unit face frame, as `FaceFrame.similarity`.
        landmarks: mesh point -> (x, y) in plate pixels; one or more of the 478. One moves the face, two and more
            place it, and what they are off by beyond that bends the mesh around them.
        reach: frames over which the correction fades out where no further key follows; None holds it.
    """

    similarity: Matrix23 | None = None
    landmarks: Mapping[int, tuple[float, float]] | None = None
    reach: int | None = REACH

    def check(self, *, pixel_aspect: float = 1.0) -> Key:
        """This key; raises TrackError for one that cannot mean anything."""
        if (self.similarity is None) == (self.landmarks is None) or self.landmarks == {}:
            raise TrackError("a key is either a similarity or landmarks", hint="give one of them")
        if self.reach is not None and self.reach < 0:
            raise TrackError(f"a key's reach is {self.reach} frames", hint="give 0 or more")
        for index, point in (self.landmarks or {}).items():
            if not 0 <= index < mesh.COUNT:
                raise TrackError(f"landmark {index} does not exist", hint=f"there are 0..{mesh.COUNT - 1}")
            if len(point) != 2 or not all(abs(value) <= _FARTHEST for value in point):
                raise TrackError(f"landmark {index} is at {point}", hint="give x,y in plate pixels")
        if self.similarity is not None:
            _check_similarity(self.similarity, pixel_aspect)
        return self


def _check_similarity(matrix: Matrix23, pixel_aspect: float) -> None:
    hint = "give a,b,tx,c,d,ty, plate pixels to the unit face frame, as `track export --to json` writes them"
    if matrix.shape != (2, 3) or not np.isfinite(matrix).all():
        raise TrackError("a key's similarity is no 2x3 matrix of numbers", hint=hint)
    (a, b), (c, d) = _square(matrix, pixel_aspect)
    size = float(np.hypot(a, c))
    if size <= 0 or a * d - b * c <= 0 or max(abs(a - d), abs(b + c)) > _SHEAR * size:
        raise TrackError("a key's matrix is no similarity: it shears, squeezes or mirrors", hint=hint)


# -------------------------------------------------------------------------------------------- corrections


@dataclass(frozen=True, eq=False)
class Correction:
    """How a face differs from its solve, about its middle and in square pixels.

    Attributes:
        log_scale: natural logarithm of how much larger it is.
        angle: radians it is turned by, x towards y (clockwise as seen).
        move: (2,) plate pixels its middle is moved by.
        rest: (478, 3) in the turned face's own frame and size, what each landmark is off by besides; None is nothing.
    """

    log_scale: float
    angle: float
    move: F64
    rest: F64 | None = None

    def times(self, part: float) -> Correction:
        """This much of it; exactly itself at 1."""
        rest = None if self.rest is None else self.rest * part
        return Correction(self.log_scale * part, self.angle * part, self.move * part, rest)

    def towards(self, other: Correction, part: float) -> Correction:
        """Between this (0) and `other` (1)."""
        turn = (other.angle - self.angle + np.pi) % (2 * np.pi) - np.pi
        rests = [np.zeros((mesh.COUNT, 3)) if one.rest is None else one.rest for one in (self, other)]
        return Correction(
            self.log_scale + part * (other.log_scale - self.log_scale),
            self.angle + part * float(turn),
            self.move + part * (other.move - self.move),
            None if self.rest is None and other.rest is None else rests[0] + part * (rests[1] - rests[0]),
        )

    @property
    def linear(self) -> F64:
        """(2, 2) scale and turn in square pixels."""
        a, b = np.exp(self.log_scale) * np.array([np.cos(self.angle), np.sin(self.angle)])
        return np.array([[a, -b], [b, a]])


def relative(scale: float, rotate_deg: float, move: tuple[float, float]) -> Correction:
    """A correction in an artist's words: times larger, degrees clockwise, plate pixels right and down."""
    if not scale > 0 or not np.isfinite([scale, rotate_deg, *move]).all():
        raise TrackError(f"a scale of {scale:g}, a turn of {rotate_deg:g}", hint="give a scale above 0 and numbers")
    return Correction(float(np.log(scale)), float(np.radians(rotate_deg)), np.array(move, np.float64))


def corrected_similarity(matrix: Matrix23, correction: Correction, *, pixel_aspect: float = 1.0) -> Matrix23:
    """Plate -> unit frame of a face that lies `correction` away from `matrix`."""
    squeeze = np.array([pixel_aspect, 1.0])
    linear = _square(matrix, pixel_aspect) @ np.linalg.inv(correction.linear) * squeeze
    target = transform(invert(matrix), _middle()[None])[0] + correction.move
    return np.concatenate([linear, (_middle() - linear @ target)[:, None]], axis=1)


def _corrected_points(points: F64, correction: Correction, *, onto: Matrix23, pixel_aspect: float) -> F64:
    """(478, 3) landmarks after a correction; `onto` is the corrected similarity."""
    squeeze = np.array([pixel_aspect, 1.0])
    canonical = mesh.canonical()
    middle = canonical.rigid_weights @ points[canonical.rigid, :2] / canonical.rigid_weights.sum()
    out = points.copy()
    turned = ((points[:, :2] - middle) * squeeze) @ correction.linear.T
    out[:, :2] = middle + correction.move + turned / squeeze
    out[:, 2] *= np.exp(correction.log_scale)
    if correction.rest is not None:
        unit = _square(onto, pixel_aspect)
        out[:, :2] += correction.rest[:, :2] @ np.linalg.inv(unit).T / squeeze
        out[:, 2] += correction.rest[:, 2] / scale_of(unit)
    return out


def between(old: Matrix23, new: Matrix23, *, pixel_aspect: float = 1.0) -> Correction:
    """The correction that leads from one similarity to the other."""
    (a, _), (b, _) = np.linalg.inv(_square(new, pixel_aspect)) @ _square(old, pixel_aspect)
    was, now = (transform(invert(matrix), _middle()[None])[0] for matrix in (old, new))
    return Correction(float(np.log(np.hypot(a, b))), float(np.arctan2(b, a)), now - was)


def _with_rest(base: FaceFrame, landmarks: F64, onto: Correction, pixel_aspect: float) -> Correction:
    """`onto`, with what each landmark is off by besides."""
    matrix = corrected_similarity(base.similarity, onto, pixel_aspect=pixel_aspect)
    off = landmarks - _corrected_points(base.landmarks, onto, onto=matrix, pixel_aspect=pixel_aspect)
    unit = _square(matrix, pixel_aspect)
    rest = np.concatenate([(off[:, :2] * [pixel_aspect, 1.0]) @ unit.T, off[:, 2:] * scale_of(unit)], axis=1)
    return replace(onto, rest=rest)


def _square(matrix: Matrix23, pixel_aspect: float) -> F64:
    """The (2, 2) part of plate -> unit frame for square pixels."""
    return np.asarray(matrix[:, :2] / np.array([pixel_aspect, 1.0]), np.float64)


def _middle() -> F64:
    """(2,) the face's middle in its unit frame: the weighted mean of the points that expression moves least."""
    canonical = mesh.canonical()
    middle = canonical.rigid_weights @ mesh.template()[canonical.rigid] / canonical.rigid_weights.sum()
    return np.asarray(middle, np.float64)


def correction_of(key: Key, base: FaceFrame, *, pixel_aspect: float = 1.0) -> Correction:
    """What a key makes of a face in its frame."""
    if key.similarity is not None:
        return between(base.similarity, key.similarity, pixel_aspect=pixel_aspect)
    landmarks = _placed(base, key.landmarks or {}, pixel_aspect)
    was, now = (face_similarity(points, pixel_aspect=pixel_aspect) for points in (base.landmarks, landmarks))
    return _with_rest(base, landmarks, between(was, now, pixel_aspect=pixel_aspect), pixel_aspect)


def _placed(base: FaceFrame, given: Mapping[int, tuple[float, float]], pixel_aspect: float) -> F64:
    """(478, 3) landmarks of which some are given: the rest follow as one face, and bend near those that differ."""
    which = np.array(sorted(given), np.intp)
    target = np.array([given[int(index)] for index in which], np.float64)
    squeeze = np.array([pixel_aspect, 1.0])
    old, new = base.landmarks[which, :2] * squeeze, target * squeeze
    spread = np.ptp(old, axis=0).max() * scale_of(_square(base.similarity, pixel_aspect))
    if len(which) >= _LEAST_PLACED and spread > _APART:
        fit = similarity(old, new)
    else:
        fit = np.concatenate([np.eye(2), (new - old).mean(axis=0)[:, None]], axis=1)
    out = base.landmarks.copy()
    out[:, :2] = transform(fit, base.landmarks[:, :2] * squeeze) / squeeze
    out[:, 2] *= scale_of(fit)
    off = target - out[which, :2]
    if len(which) < mesh.COUNT and np.abs(off).max() > 0:
        at = transform(base.similarity, base.landmarks[:, :2])
        near = np.exp(-((at[:, None] - at[which][None]) ** 2).sum(axis=2) / (2 * _FOLLOW**2))
        out[:, :2] += near @ np.linalg.solve(near[which] + _STIFF * np.eye(len(which)), off)
    out[which, :2] = target
    return out


# ----------------------------------------------------------------------------------------------- applying


def apply(
    solved: Mapping[int, FaceFrame],
    keys: Mapping[int, Key],
    *,
    frames: Sequence[int],
    cuts: Sequence[int] = (),
    pixel_aspect: float = 1.0,
) -> dict[int, FaceFrame]:
    """A face with its keys.

    Args:
        solved: frame -> the face as tracked, where it was.
        keys: frame -> the artist's key; those in frames that were not tracked are passed over.
        frames: the frames that were tracked.
        cuts: frames that begin a new shot.
        pixel_aspect: of the plate.

    Returns:
        Frame -> face, increasing. Frames that no key reaches hold the very objects of `solved`. A frame that was not
        solved has a face where it has a key, and between such a key and the nearest frame with a face (`gap`).
    """
    out: dict[int, FaceFrame] = {}
    parts = itertools.groupby(sorted(frames), key=lambda frame: bisect.bisect_right(cuts, frame))
    for part in (list(group) for _, group in parts):
        here = {frame: solved[frame] for frame in part if frame in solved}
        out |= _applied(here, {f: keys[f] for f in part if f in keys}, part, solved, pixel_aspect)
    return out


def _applied(
    solved: dict[int, FaceFrame],
    keys: dict[int, Key],
    frames: Sequence[int],
    anywhere: Mapping[int, FaceFrame],
    pixel_aspect: float,
) -> dict[int, FaceFrame]:
    """`apply` within one shot."""
    if not keys or not anywhere:
        return solved
    bases = {}
    for frame in keys:
        shapes = solved or anywhere
        bases[frame] = shapes[min(shapes, key=lambda other: (abs(other - frame), other))]
    found = {f: correction_of(key, bases[f], pixel_aspect=pixel_aspect) for f, key in keys.items()}
    faces = dict(solved)
    for frame, face in solved.items():
        correction = _at(frame, found, keys)
        if correction is not None and frame not in keys:
            faces[frame] = _corrected(face, correction, pixel_aspect)
    for frame, key in keys.items():
        faces[frame] = _keyed(bases[frame], found[frame], key, solved=frame in solved, pixel_aspect=pixel_aspect)
    return _bridged(faces, {frame for frame in keys if frame not in solved}, frames, pixel_aspect)


def _at(frame: int, found: Mapping[int, Correction], keys: Mapping[int, Key]) -> Correction | None:
    """The correction in a frame, None where no key reaches."""
    times = sorted(found)
    index = bisect.bisect_left(times, frame)
    if 0 < index < len(times):
        before, after = times[index - 1], times[index]
        return found[before].towards(found[after], (frame - before) / (after - before))
    nearest = times[0] if index == 0 else times[-1]
    reach = keys[nearest].reach
    if reach is None:
        return found[nearest]
    left = 1.0 - abs(frame - nearest) / (reach + 1)
    # Fades in and out without a jerk.
    return found[nearest].times(left * left * (3 - 2 * left)) if left > 0 else None


def _corrected(face: FaceFrame, correction: Correction, pixel_aspect: float) -> FaceFrame:
    matrix = corrected_similarity(face.similarity, correction, pixel_aspect=pixel_aspect)
    points = _corrected_points(face.landmarks, correction, onto=matrix, pixel_aspect=pixel_aspect)
    pitch, yaw, roll = face.pose_deg
    # Within the image only roll changes, and it counts the other way round.
    pose = (pitch, yaw, roll - float(np.degrees(correction.angle)))
    if correction.rest is not None:
        pose = head_pose(points * [pixel_aspect, 1.0, 1.0])
    return replace(face, landmarks=points, box=_bounds(points), similarity=matrix, pose_deg=pose)


def _keyed(base: FaceFrame, correction: Correction, key: Key, *, solved: bool, pixel_aspect: float) -> FaceFrame:
    """The face in a key's own frame, where the artist's numbers hold to the last bit."""
    face = _corrected(base, correction, pixel_aspect)
    points = face.landmarks
    for index, point in (key.landmarks or {}).items():
        points[index, :2] = point
    return replace(
        face,
        similarity=face.similarity if key.similarity is None else np.array(key.similarity, np.float64),
        box=_bounds(points),
        confidence=1.0,
        presence=face.presence if solved else 0.0,
        source="key",
        reasons=(),
    )


def _bridged(
    faces: dict[int, FaceFrame], made: set[int], frames: Sequence[int], pixel_aspect: float
) -> dict[int, FaceFrame]:
    """`faces` in order, frames between a key that was `made` out of nothing and its neighbours interpolated."""
    out = {frame: faces[frame] for frame in sorted(faces)}
    for before, after in itertools.pairwise(list(out)):
        if before in made or after in made:
            start, end = out[before], out[after]
            way = _with_rest(
                start, end.landmarks, between(start.similarity, end.similarity, pixel_aspect=pixel_aspect), pixel_aspect
            )
            for frame in (frame for frame in frames if before < frame < after):
                part = (frame - before) / (after - before)
                confidence = 0.5 * (start.confidence + part * (end.confidence - start.confidence))
                face = _corrected(start, way.times(part), pixel_aspect)
                out[frame] = replace(face, source="gap", presence=0.0, confidence=confidence, reasons=())
    return {frame: out[frame] for frame in sorted(out)}


def _bounds(points: F64) -> F64:
    return np.concatenate([points[:, :2].min(axis=0), points[:, :2].max(axis=0)])
