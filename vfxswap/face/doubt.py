"""How far a frame of a track can be trusted, and why not, in words.

The confidence of a frame is meant as the probability that its landmarks are right. Its weights are rounded from a
logistic regression on what the tracker sees without knowing the truth; that of the misfit is set by hand, because the
calibration has few faces that turn. `benchmarks/tracking/confidence.py` has the material that they come from and other
material that they are checked on. By far the most is told by how far the perturbed crops disagree; a small or
soft face and flow that contradicts the reading add to it. Rules stand above it for what no rendered face can teach:
flow alone, bridges, strangers, a face that is bent out of its own shape, dissolves.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from vfxswap.face import mesh
from vfxswap.face.identity import SAME_PERSON
from vfxswap.face.landmarks import READABLE
from vfxswap.face.track import Track
from vfxswap.pixels import F64, ModelRgb

DOUBTFUL = 0.5
"""Confidence below which an artist should look."""

# Log odds that a frame is wrong, by evidence: when all is well, for a disagreement of the crops e times as large as
# usual, for a face e times lower than it should be, for detail e times less than is usual for the person, for flow that
# contradicts, and for a presence e times less than sure.
_ODDS, _PER_SPREAD, _PER_SMALL, _PER_SOFT, _PER_CONTRADICTION, _PER_PRESENCE = -2.3, 3.5, 1.4, 0.85, 1.15, 0.2

# The same for a face that misses its own shape e times more than usual, and on top of that for one that misses it e
# times more than `_BENT` times as much. The calibration has no face as bent as that.
_PER_MISFIT, _PER_BENT, _BENT = 0.7, 5.0, 2.5

# Height in pixels below which a part of a pixel begins to matter.
_LOW = 80.0

# Whoever seems right is even more so than that, by the calibration.
_SURER = 1.9

# What a reading weighs against flow, which is another question: the error that its spread and misfit predict, as % of
# the distance between the outer eye corners; that of a good reading, and what makes it worse.
_GOOD_PERCENT, _LIMIT_PERCENT, _STEEP = 2.95, 4.9, 4.0
_USUAL_SPREAD, _SPREAD_POWER = 0.002, 0.62
_SHAPE_POWER = 0.47

# Beyond this yaw the landmark network sees too little of a face.
TURNED_DEG = 45.0

# A face lower than this in pixels is read to a part of a pixel, but a part of a pixel is much of it.
_SMALL = 30.0

# Displacement per frame, in sizes of the face, and part of the person's usual detail, that make a reading blurred.
_FAST, _SOFT = 0.2, 0.6

# What is left of the confidence where flow carried the face, where it was bridged, where it could not be read,
# and where the picture is a mixture of two.
_CARRIED, _BRIDGED, _UNREAD, _MIXED = 0.45, 0.4, 0.3, 0.4

# Agreement of flow and reading below which the path begins to be flow's, and below which it is.
_AGREED, FLOWING = 0.3, 0.1


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known about each of N frames of one person, as (N,) arrays.

    Attributes:
        presence: as the landmark network says, 0 where it did not look.
        spread: disagreement of the crops as part of the face's size.
        shape: misfit to the person's own shape as part of the face's size, from `misfits`.
        identity: distance to the person's mean embedding.
        agreed: 0..1, how well flow and the reading agree; 1 where there is no flow.
        yaw_deg: of the head.
        height: of the face in pixels.
        motion: displacement since the last frame in sizes of the face.
        sharp: detail as part of what is usual for the person.
        carried: whether flow alone gives the points.
        missing: how long the gap is that the frame lies in, 0 where the face was seen.
        dissolving: whether the picture is a mixture of two shots.
    """

    presence: F64
    spread: F64
    shape: F64
    identity: F64
    agreed: F64
    yaw_deg: F64
    height: F64
    motion: F64
    sharp: F64
    carried: F64
    missing: F64
    dissolving: F64


def predicted_error(spread: F64, shape: F64, yaw_deg: F64) -> F64:
    """(N,) expected mean landmark error in % of the distance between the outer eye corners.

    Args:
        spread: (N,) as in `Evidence`.
        shape: (N,) as in `Evidence`.
        yaw_deg: (N,); a turned head fits its own frontal shape less well without being read any worse.
    """
    wide, bent = _beyond(spread, _USUAL_SPREAD), _beyond(shape, _usual_misfit(yaw_deg))
    return np.asarray(_GOOD_PERCENT * np.exp(_SPREAD_POWER * wide + _SHAPE_POWER * bent))


def trust(presence: F64, spread: F64, shape: F64, yaw_deg: F64) -> F64:
    """(N,) 0..1: what a reading of the network weighs when it is joined with flow."""
    error = predicted_error(spread, shape, yaw_deg)
    return np.asarray(np.clip(presence, 0, 1) / (1 + (error / _LIMIT_PERCENT) ** _STEEP))


def judge(evidence: Evidence) -> tuple[F64, list[tuple[str, ...]]]:
    """The confidence of each frame, (N,) 0..1, and what speaks against those below `DOUBTFUL`."""
    e = evidence
    confidence = 1 / (1 + np.exp(_odds(e)))
    stranger = np.clip((e.identity - SAME_PERSON) / 0.2, 0, 1)
    confidence *= 1 - 0.5 * stranger
    confidence = np.minimum(confidence, _CARRIED + (1 - _CARRIED) * np.clip(e.agreed / _AGREED, 0, 1))
    confidence = np.where(e.carried > 0, np.minimum(_CARRIED, 0.25 + 0.5 * confidence), confidence)
    confidence = np.where((e.presence < READABLE) & (e.carried == 0), np.minimum(confidence, _UNREAD), confidence)
    confidence = np.where(e.dissolving > 0, np.minimum(confidence, _MIXED), confidence)
    confidence = np.where(e.missing > 0, _BRIDGED / np.sqrt(np.maximum(e.missing, 1)), confidence)
    return confidence, [reasons(e, i) if confidence[i] < DOUBTFUL else () for i in range(len(confidence))]


def _odds(e: Evidence) -> F64:
    """(N,) log odds that a reading is wrong."""
    odds = np.asarray(
        _ODDS
        + _PER_SPREAD * _beyond(e.spread, _USUAL_SPREAD)
        + _PER_SMALL * _beyond(_LOW, e.height)
        + _PER_SOFT * _beyond(1.0, np.maximum(e.sharp, 0.05))
        + _PER_CONTRADICTION * (1 - np.clip(e.agreed, 0, 1))
        + _PER_PRESENCE * _beyond(1.0, np.maximum(e.presence, 0.02))
        + _PER_MISFIT * _beyond(e.shape, _usual_misfit(e.yaw_deg))
        + _PER_BENT * _beyond(e.shape, _BENT * _usual_misfit(e.yaw_deg))
    )
    return np.where(odds < 0, _SURER * odds, odds)


def _beyond(value: F64 | float, usual: F64 | float) -> F64:
    """How many e times `value` is larger than `usual`, 0 where it is not."""
    return np.asarray(np.maximum(np.log(np.maximum(value, 1e-9) / np.maximum(usual, 1e-9)), 0))


def _usual_misfit(yaw_deg: F64) -> F64:
    """What a face misses its own shape by without being read badly; more where it is turned."""
    return np.asarray(0.007 + 2e-5 * np.abs(yaw_deg) + 5.6e-6 * yaw_deg**2)


def reasons(evidence: Evidence, index: int) -> tuple[str, ...]:
    """What speaks against one frame, the likeliest cause first."""
    e, i = evidence, index
    if e.missing[i]:
        count = int(e.missing[i])
        return (f"bridged over a gap of {count} frame{'s' if count > 1 else ''}",)
    found = ["dissolve"] if e.dissolving[i] else []
    if abs(e.yaw_deg[i]) > TURNED_DEG - 5:
        found.append(f"turned {abs(e.yaw_deg[i]):.0f} degrees away")
    if e.height[i] < _SMALL:
        found.append(f"too small, {e.height[i]:.0f} pixels high")
    if e.sharp[i] < _SOFT or e.motion[i] > _FAST:
        found.append("out of focus or moving fast")
    if e.identity[i] > SAME_PERSON:
        found.append("does not look like the same person")
    if not found:
        found.append("something covers the face")
    if e.carried[i] or e.agreed[i] < FLOWING:
        found.append("carried by flow")
    return tuple(found)


# ------------------------------------------------------------------------------------------ evidence


def sharpness(rgb: ModelRgb, points: F64) -> float:
    """How much fine detail a face shows: strength of its Laplacian in units of its contrast, at a fixed size."""
    height, width = rgb.shape[:2]
    low = np.clip(np.floor(points[:, :2].min(axis=0)), 0, [width - 1, height - 1]).astype(int)
    high = np.clip(np.ceil(points[:, :2].max(axis=0)), low + 1, [width, height]).astype(int)
    face = cv2.resize(rgb[low[1] : high[1], low[0] : high[0]], (96, 96), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).std() / max(float(grey.std()), 1e-3))


def misfits(points: F64, shape: F64) -> F64:
    """How badly each of (N, 478, 3) faces fits a shape of (468, 3) as seen in the image, part of its size, (N,)."""
    return np.array([_misfit(face[: mesh.MESH_COUNT], shape) for face in points])


def usual_shape(points: F64) -> F64:
    """The median shape of (N, 478, 3) faces of one person, (468, 3), turned and scaled as the canonical mesh."""
    shape = mesh.canonical().vertices * [1, -1, -1]
    for _ in range(3):
        shape = np.median([_onto(face[: mesh.MESH_COUNT], shape) for face in points], axis=0)
    return np.asarray(shape)


def _misfit(face: F64, shape: F64) -> float:
    apart = np.linalg.norm((_onto(shape, face) - face)[:, :2], axis=1)
    return float(np.median(apart) / np.sqrt(np.prod(np.maximum(np.ptp(face[:, :2], axis=0), 1e-6))))


def _onto(source: F64, target: F64) -> F64:
    """`source` turned, scaled and moved in space to fit `target` best (S. Umeyama, PAMI 1991)."""
    s, t = source - source.mean(axis=0), target - target.mean(axis=0)
    u, strength, vt = np.linalg.svd(t.T @ s)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    scale = float((strength * sign).sum() / max(float((s * s).sum()), 1e-12))
    return np.asarray(scale * s @ (u * sign @ vt).T + target.mean(axis=0))


# ---------------------------------------------------------------------------------------------- list


class Doubt(NamedTuple):
    """Frames of one face that an artist should check.

    Attributes:
        first, last: the frames, both included.
        face: its id.
        confidence: the lowest among them.
        reason: why, in words.
    """

    first: int
    last: int
    face: int
    confidence: float
    reason: str


def doubtful(track: Track, *, limit: float = DOUBTFUL) -> list[Doubt]:
    """The frames of a track to check, neighbours with one reason joined, the worst first.

    Args:
        track: any track; an artist's own keys are never doubted.
        limit: confidence below which a frame is listed.
    """
    order = {frame: i for i, frame in enumerate(sorted(track.frames))}
    result: list[Doubt] = []
    for face in track.faces:
        seen = sorted(track.face(face.id).items())
        listed = [(f, s) for f, s in seen if s.confidence < limit and s.source != "key"]
        for run in _runs([order[f] for f, _ in listed], [_cause(s.reasons) for _, s in listed]):
            part = [listed[i] for i in run]
            worst = min(part, key=lambda item: item[1].confidence)[1]
            reason = "; ".join(worst.reasons) or "low confidence"
            result.append(Doubt(part[0][0], part[-1][0], face.id, worst.confidence, reason))
    return sorted(result, key=lambda doubt: (doubt.confidence, doubt.first))


def _runs(places: Sequence[int], causes: Sequence[str]) -> list[list[int]]:
    """Indices in runs of neighbouring places with one cause."""
    runs: list[list[int]] = []
    for i, (place, cause) in enumerate(zip(places, causes, strict=True)):
        if runs and places[runs[-1][-1]] == place - 1 and causes[runs[-1][-1]] == cause:
            runs[-1].append(i)
        else:
            runs.append([i])
    return runs


def _cause(said: Sequence[str]) -> str:
    """A reason without its numbers, so that neighbours of one kind can be joined."""
    return "".join(itertools.filterfalse(str.isdigit, said[0])) if said else ""
