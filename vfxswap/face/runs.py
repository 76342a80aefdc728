"""From what was seen of a person to the frames of a track: fuse, bridge, smooth, and say what to doubt."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vfxswap.face import doubt, mesh, smooth, steady
from vfxswap.face.dissolves import Dissolve
from vfxswap.face.frame import FaceFrame, Source
from vfxswap.face.identity import distance
from vfxswap.face.people import Person, Sight, bounds
from vfxswap.face.pose import face_similarity, head_pose
from vfxswap.pixels import F64

MAX_GAP = 5
"""So many missing frames are bridged; a longer gap stays one."""


def apart(person: Person) -> list[tuple[int, FaceFrame]]:
    """The frames of a face in unrelated images, each by itself."""
    return [(s.frame, _face_frame(s.points, s.presence, s.confidence, s.scale, "solve", ())) for s in person.sights]


def together(
    person: Person, frames: Sequence[int], *, cuts: Sequence[int], dissolves: Sequence[Dissolve] = ()
) -> list[tuple[int, FaceFrame]]:
    """The frames of a person in a shot, in the order of `frames`, which are all that were looked at.

    Gaps of up to `MAX_GAP` frames are bridged; nothing crosses a cut. Frames within `dissolves` are doubted.
    """
    usual = _Usual.of(person)
    by_frame = {s.frame: s for s in person.sights}
    starts = sorted(i for i, frame in enumerate(frames) if frame in set(cuts))
    result: list[tuple[int, FaceFrame]] = []
    for first, end in zip([0, *starts], [*starts, len(frames)], strict=True):
        positions = [i for i in range(first, end) if frames[i] in by_frame]
        for run in smooth.runs(positions, gap=MAX_GAP):
            span = list(frames[run[0] : run[-1] + 1])
            result += _run([by_frame.get(frame) for frame in span], span, usual, dissolves)
    return result


@dataclass(frozen=True, eq=False)
class _Usual:
    """What is usual for a person: shape, identity and detail."""

    shape: F64 | None
    embedding: F64 | None
    sharp: float

    @staticmethod
    def of(person: Person) -> _Usual:
        good = [s for s in person.sights if s.readable]
        steady_half = sorted(good, key=lambda s: s.spread / s.size)[: max(1, (len(good) + 1) // 2)]
        sharp = [s.sharp for s in good if s.sharp > 0]
        return _Usual(
            doubt.usual_shape(np.stack([s.points for s in steady_half])) if good else None,
            person.embedding if person.known else None,
            float(np.median(sharp)) if sharp else 0.0,
        )


def _run(
    sights: Sequence[Sight | None], frames: Sequence[int], usual: _Usual, dissolves: Sequence[Dissolve]
) -> list[tuple[int, FaceFrame]]:
    """One run of a person without long gaps; None where nobody was seen."""
    times = np.array(frames, np.float64)
    blank = np.full((mesh.COUNT, 3), np.nan)
    net = np.stack([blank if s is None else s.points for s in sights])
    yaw = np.array([0.0 if s is None else head_pose(s.points)[1] for s in sights])
    shape = np.zeros(len(sights))
    if usual.shape is not None:
        shape = np.array([0.0 if s is None else doubt.misfits(s.points[None], usual.shape)[0] for s in sights])
    presence = np.array([0.0 if s is None else s.presence for s in sights])
    spread = np.array([0.0 if s is None else s.spread / s.size for s in sights])
    carried = np.array([s is not None and s.carried for s in sights], np.float64)
    trusted = np.where(carried > 0, 0.0, doubt.trust(presence, spread, shape, yaw))
    steps, error = _steps(sights)
    flowing = np.isfinite(error).any()
    if len(frames) > 1 and flowing:
        settled = steady.settle(times, net, trusted, steps, error)
        points, agreed = settled.points, np.where(trusted > 0, settled.agreed / np.maximum(trusted, 1e-9), 1.0)
    else:
        points, agreed = _smoothed(times, net, trusted), np.ones(len(frames))
    points = np.where(np.isfinite(points), points, 0.0)
    if usual.shape is not None:
        shape = doubt.misfits(points, usual.shape)
    poses = [head_pose(p) for p in points]
    heights = np.ptp(points[:, :, 1], axis=1)
    centres = points[:, :, :2].mean(axis=1)
    motion = np.zeros(len(frames))
    motion[1:] = np.linalg.norm(np.diff(centres, axis=0), axis=1) / np.maximum(heights[1:], 1.0)
    evidence = doubt.Evidence(
        presence=presence,
        spread=spread,
        shape=shape,
        identity=_between(times, [_stranger(s, usual) for s in sights], 0.0),
        agreed=agreed,
        yaw_deg=np.array([pose[1] for pose in poses]),
        height=heights,
        motion=motion,
        sharp=_between(times, [s.sharp / usual.sharp if s and s.sharp and usual.sharp else None for s in sights], 1.0),
        carried=carried,
        missing=_missing(sights),
        dissolving=np.array([float(any(d.first <= f <= d.last for d in dissolves)) for f in frames]),
    )
    confidence, why = doubt.judge(evidence)
    scale = next(s.scale for s in sights if s is not None)
    result = []
    for i, (frame, sight) in enumerate(zip(frames, sights, strict=True)):
        flowed = sight is not None and (sight.carried or agreed[i] < doubt.FLOWING)
        source: Source = "gap" if sight is None else "flow" if flowed else "solve"
        result.append((frame, _face_frame(points[i], float(presence[i]), float(confidence[i]), scale, source, why[i])))
    return result


def _steps(sights: Sequence[Sight | None]) -> tuple[F64, F64]:
    """(N - 1, 478, 2) steps of flow and their (N - 1, 478) errors, inf where flow did not look."""
    count = max(0, len(sights) - 1)
    steps, error = np.zeros((count, mesh.COUNT, 2)), np.full((count, mesh.COUNT), np.inf)
    for i, (before, sight) in enumerate(itertools.pairwise(sights)):
        if before is not None and sight is not None and sight.step is not None and sight.error is not None:
            steps[i], error[i] = sight.step, sight.error
    return steps, error


def _smoothed(times: F64, net: F64, trusted: F64) -> F64:
    """Readings alone: gaps bridged in straight lines, then smoothed with as much of each frame as can be trusted."""
    seen = np.isfinite(net).all(axis=(1, 2))
    points = _interpolate(times, times[seen], net[seen])
    confidence = np.interp(times, times[seen], trusted[seen])
    confidence[~seen] *= 0.5
    # A frame that cannot be trusted must not pull its neighbours along; it leans on them instead.
    weights = np.clip(confidence, 0.02, 1) ** 2
    return smooth.adaptive(times, points, groups=mesh.MOVING_PARTS, weights=weights)


def _interpolate(times: F64, known: F64, values: F64) -> F64:
    """Values (N, ...) at `known` times, read linearly at `times`."""
    if len(known) == 1:
        return np.repeat(values, len(times), axis=0)
    right = np.clip(np.searchsorted(known, times), 1, len(known) - 1)
    left = right - 1
    part = (times - known[left]) / (known[right] - known[left])
    part = part.reshape(-1, *([1] * (values.ndim - 1)))
    return np.asarray(values[left] * (1 - part) + values[right] * part)


def _stranger(sight: Sight | None, usual: _Usual) -> float | None:
    """How far a sight is from the person's identity, None where nobody looked."""
    if sight is None or sight.embedding is None or usual.embedding is None:
        return None
    return distance(sight.embedding, usual.embedding)


def _between(times: F64, values: Sequence[float | None], otherwise: float) -> F64:
    """Values at all times from those that are known."""
    known = [i for i, value in enumerate(values) if value is not None]
    if not known:
        return np.full(len(times), otherwise)
    return np.interp(times, times[known], np.array([values[i] for i in known], np.float64))


def _missing(sights: Sequence[Sight | None]) -> F64:
    """For each frame the length of the gap it lies in, 0 where somebody was seen."""
    result = np.zeros(len(sights))
    gone = [i for i, sight in enumerate(sights) if sight is None]
    for run in smooth.runs(gone, gap=0):
        result[run] = len(run)
    return result


def _face_frame(
    points: F64, presence: float, confidence: float, scale: F64, source: Source, why: tuple[str, ...]
) -> FaceFrame:
    """Back from square pixels to the plate's; depth is counted in rows."""
    plate = points / np.array([scale[0], scale[1], scale[1]])
    return FaceFrame(
        box=bounds(plate),
        landmarks=plate,
        confidence=confidence,
        presence=presence,
        pose_deg=head_pose(points),
        similarity=face_similarity(plate, pixel_aspect=float(scale[0] / scale[1])),
        source=source,
        reasons=why,
    )
