"""Steady points from two witnesses: networks, which wobble but never drift, and flow, which drifts but never wobbles.

`settle` weighs the witnesses and `fuse` joins them. Everything looks both ways in time, so nothing lags; fast motion
is not rounded off, because it is in the steps and only the disagreement of the witnesses is averaged.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vfxswap.face import mesh, smooth
from vfxswap.pixels import F64

# All lengths below are in pixels of a face 300 pixels high.
_FACE = 300.0

# What the networks' answer is off by on a face they can read.
_NET = 0.25

# What a step of flow is off by: a part of its own, and so many times its error there and back. Parts that move by
# themselves hide and show what they are made of, so flow along them is less sure.
_STEP, _STEP_ERROR = 0.04, 1.5
_STEP_MOVING, _STEP_ERROR_MOVING = 0.15, 1.0

# Error there and back above which a step says nothing.
_LOST = 1.0

# Where a step is not believed the face's own motion stands in: fair for skin, a last resort for lids and lips.
_STAND_IN = 0.4
_STAND_IN_MOVING = 3.0

# Disagreement at which trust ends: so many times what is usual in the shot, and at least so much. Of a step, over one
# frame and over five; of the face's motion as flow and as the networks see it; of the networks with the path.
_UNUSUAL = 4.0
_STRAY, _STRAY_LONG, _LONG = 1.5, 4.0, 5
_APART = 3.0
_OFF = 1.5

# What steps may miss by over frames that cannot be read.
_MISSED = 6.0

# So many points of skin around a lid or a lip say whether it is hidden.
_AROUND = 8

# How far off the networks are first taken to be: while that is much, the path is flow's, and a stretch of frames
# that does not fit it is seen as such.
_SCHEDULE = (1.5, 1.5, 1.0)

# Weight, relative to the largest, of an answer that is not trusted: it only keeps the system solvable.
_LEAST = 1e-12

_TINY = 1e-12  # no division by nothing


@dataclass(frozen=True, eq=False)
class Settled:
    """Steady points and how the witnesses agreed.

    Attributes:
        points: (N, P, 3) float64, x and y in pixels, depth as the networks have it, smoothed.
        agreed: (N,) 0..1, the usual trust in the networks' answer in a frame: low where flow contradicts it, as when
            something covers a part of the face; 0 where it was not readable.
        followed: (N - 1,) 0..1, the part of the skin whose step from a frame to the next was believed.
    """

    points: F64
    agreed: F64
    followed: F64


def settle(times: F64, net: F64, trust: F64, steps: F64, error: F64) -> Settled:
    """Weigh the witnesses against each other and join them.

    A step is believed when the way back agrees and it fits the motion that the whole face has (a turn in space seen
    from afar: linear in x, y and depth) or the one that the networks see in that point; so a hand that crosses the
    face takes no points with it. The networks are believed where they fit the path. Trust is taken away with the
    weights of S. Geman, D. McClure, 1987, from a stiff path to a supple one (A. Blake, A. Zisserman, "Visual
    Reconstruction", 1987), so that a stretch of bad frames cannot hold its own place.

    Args:
        times: (N,) increasing frame numbers of one face in one shot.
        net: (N, 478, 3) landmarks with square pixels; not finite where there are none.
        trust: (N,) 0..1, how readable the face was; 0 where only flow is left to carry the points.
        steps: (N - 1, 478, 2) from each frame to the next, as of `flow.steps`, taken from the networks' points or
            from points near them.
        error: (N - 1, 478) in pixels; inf where a step cannot be used, so for all points at a cut.
    """
    seen = np.asarray(np.isfinite(net).all(axis=(1, 2)) & (trust > 0))
    if not seen.any():
        return Settled(np.array(net, np.float64), np.zeros(len(net)), np.zeros(len(net) - 1))
    filled = _bridged(times, net, np.repeat(seen[:, None], net.shape[1], axis=1))
    flat, unit = filled[..., :2], np.maximum(np.ptp(filled[..., 1], axis=1), 1.0)[:, None] / _FACE
    readable = np.where(seen, np.clip(trust, 0, 1), 0.0)
    skin = ~_moving(net.shape[1])
    flow = _believed(filled, np.where(np.isfinite(steps), steps, 0.0), error, seen=seen, unit=unit)
    carried, weight = _arriving(flat, flow.steps, seen, unit), flow.weight
    fits, whole = np.ones(flat.shape[:2]), np.ones(len(flat))
    for off in _SCHEDULE:
        path = fuse(times, flat, readable[:, None] * fits / (off * unit) ** 2, carried, weight)
        apart = _length(path - flat) / unit
        usual = np.median(apart[:, skin], axis=1)
        limit = max(_OFF, _UNUSUAL * float(np.quantile(usual[seen], 0.25)))
        whole = _fading(usual, limit)
        # Lids and lips leave a path that flow got wrong: there the networks only stand with their whole frame.
        fits = whole[:, None] * np.where(skin, _fading(apart, limit), 1.0)
    # Where the networks see a lid or a lip leave the way that flow says, they are right as far as their frames are.
    sound = np.clip(whole / max(float(np.median(whole[seen])), _TINY), 0, 1)
    weight = weight * np.where(skin, 1.0, 1 - np.minimum(sound[1:], sound[:-1])[:, None] * flow.doubted) ** 2
    path = fuse(times, flat, readable[:, None] * fits**2 / (_NET * unit) ** 2, carried, weight)
    agreed = whole * readable
    depth = smooth.adaptive(times, filled[..., 2:], weights=np.clip(agreed, 0.02, 1))
    return Settled(np.concatenate([path, depth], axis=2), agreed, flow.followed)


def fuse(times: F64, net: F64, net_weight: F64, steps: F64, step_weight: F64) -> F64:
    """The paths that fit best what the networks say of each frame and what flow says from each frame to the next.

    Minimises, for each point by itself, the sum of `net_weight` |p_f - net_f|^2 and `step_weight`
    |p_(f+1) - p_f - step_f|^2. That is the smoother of H. E. Rauch, F. Tung, C. T. Striebel, AIAA Journal 1965, for a
    walk whose steps are known with some error; here it is one tridiagonal system, solved as by L. H. Thomas, 1949.

    Args:
        times: (N,) increasing frame numbers; they only matter to frames without any weight.
        net: (N, P, D) positions; what is not finite has no weight.
        net_weight: (N, P) inverse variances in 1 / pixel^2; 0 where the networks cannot be trusted.
        steps: (N - 1, P, D) from each frame to the next; what is not finite has no weight.
        step_weight: (N - 1, P) inverse variances in 1 / pixel^2; 0 at a cut.

    Returns:
        (N, P, D). A point that no weight holds stays at its `net`, interpolated over time if that is not finite.
    """
    seen = np.asarray(np.isfinite(net).all(axis=2))
    stepped = np.asarray(np.isfinite(steps).all(axis=2))
    anchor = _bridged(times, net, seen)
    v = np.where(stepped, step_weight, 0.0)
    w = np.where(seen, net_weight, 0.0)
    w = w + _LEAST * max(float(w.max(initial=0.0)), float(v.max(initial=0.0)), 1.0)
    pushed = v[..., None] * np.where(stepped[..., None], steps, 0.0)
    diagonal, right = w.copy(), w[..., None] * anchor
    diagonal[:-1] += v
    diagonal[1:] += v
    right[:-1] -= pushed
    right[1:] += pushed
    for i in range(1, len(anchor)):
        pull = v[i - 1] / diagonal[i - 1]
        diagonal[i] -= pull * v[i - 1]
        right[i] += pull[:, None] * right[i - 1]
    result = right / diagonal[..., None]
    for i in range(len(anchor) - 2, -1, -1):
        result[i] += (v[i] / diagonal[i])[:, None] * result[i + 1]
    return np.asarray(result, np.float64)


class _Steps(NamedTuple):
    """What is left of flow's steps.

    Attributes:
        steps: (N - 1, P, 2), the face's motion where flow is not believed.
        weight: (N - 1, P) inverse variances.
        followed: (N - 1,) the believed part of the skin.
        doubted: (N - 1, P) 0..1, how far the networks see a point go another way.
    """

    steps: F64
    weight: F64
    followed: F64
    doubted: F64


def _believed(points: F64, steps: F64, error: F64, *, seen: NDArray[np.bool_], unit: F64) -> _Steps:
    """Weigh steps (N - 1, P, 2) by their error and by what the face and the networks do.

    `points` (N, P, 3); `seen` (N,) where the networks did; `unit` (N, 1) pixels.
    """
    moving, unit = _moving(points.shape[1]), np.minimum(unit[1:], unit[:-1])
    witness = np.where(seen[1:] & seen[:-1], 1.0, 0.0)[:, None]
    usable = np.where(error <= _LOST * unit, 1.0, 0.0)
    own, per = np.where(moving, [[_STEP_MOVING], [_STEP_ERROR_MOVING]], [[_STEP], [_STEP_ERROR]])
    variance = (own * unit) ** 2 + (per * np.where(usable > 0, error, 0.0)) ** 2
    skin = usable * ~moving / variance
    shown = np.diff(points[..., :2], axis=0)
    # Where the networks see the face, flow that follows something else must not be the one that the most points share.
    alike = np.where(witness > 0, _fading(_length(steps - shown) / unit, _APART), 1.0)
    whole = _face_motion(points[:-1], steps, skin * alike, unit)
    nets = _face_motion(points[:-1], shown, np.where(moving, 0.0, np.ones_like(skin)), unit)
    apart = np.median(_length(whole - nets), axis=1, keepdims=True) / unit
    common = np.where(witness > 0, _fading(apart, _limit(apart, _APART)), 1.0)
    common = common * (skin.sum(axis=1, keepdims=True) > 0)
    # Either the point goes with the face, or the networks see it leave as flow does.
    strays = steps - whole
    shared = _fits(strays - (shown - nets), unit)
    good = np.maximum(common * _fits(strays, unit), witness * shared)
    # A lid may do what neither the face nor the networks do; what hides it also hides the skin around it.
    good = usable * np.where(moving, good[:, _skin_around()].mean(axis=2), good)
    flowing = good / variance
    standing = common * (1 - good) / (np.where(moving, _STAND_IN_MOVING, _STAND_IN) * unit) ** 2
    weight = flowing + standing
    part = (flowing / np.maximum(weight, _TINY))[..., None]
    mixed = part * steps + (1 - part) * whole
    return _Steps(mixed, weight, good[:, ~moving].mean(axis=1), witness * (1 - shared))


def _arriving(points: F64, steps: F64, seen: NDArray[np.bool_], unit: F64) -> F64:
    """`steps` (N - 1, P, 2) that, across frames the networks cannot read, arrive where the face is next.

    What they miss by is spread evenly over them, unless it is so little that the fusion may weigh it.
    """
    result = steps.copy()
    for before, after in itertools.pairwise(np.flatnonzero(seen).tolist()):
        if after > before + 1:
            missed = points[after] - points[before] - steps[before:after].sum(axis=0)
            doubt = 1 - _fading(_length(missed) / unit[before], _MISSED)
            result[before:after] += doubt[:, None] * missed / (after - before)
    return result


def _fits(stray: F64, unit: F64) -> F64:
    """Trust (N - 1, P) in steps that stray by (N - 1, P, 2) pixels: each by itself, and summed over some frames."""
    half = _LONG // 2
    total = np.cumsum(np.concatenate([np.zeros((1, *stray.shape[1:])), stray]), axis=0)
    at = np.arange(len(stray))
    long = total[np.minimum(at + half + 1, len(stray))] - total[np.maximum(at - half, 0)]
    short, long = _length(stray) / unit, _length(long) / unit
    return _fading(short, _limit(short, _STRAY)) * _fading(long, _limit(long, _STRAY_LONG))


def _limit(distances: F64, least: float) -> float:
    """Where a disagreement is no longer usual."""
    return max(least, _UNUSUAL * float(np.median(distances))) if distances.size else least


def _face_motion(points: F64, steps: F64, weight: F64, unit: F64) -> F64:
    """The steps (N - 1, P, 2) of a face that moves as a whole.

    The linear function of x, y and depth that most steps agree on: how a turn in space looks from afar.
    """
    inner = np.concatenate([points - points.mean(axis=1, keepdims=True), np.ones((*points.shape[:2], 1))], axis=2)
    inner[..., :3] /= _FACE * unit[..., None]
    w = weight
    motion = np.zeros_like(steps)
    for _ in range(6):
        normal = np.einsum("npi,np,npj->nij", inner, w, inner)
        normal += np.eye(4) * (1e-6 * np.trace(normal, axis1=1, axis2=2)[:, None, None] + 1e-12)
        motion = inner @ np.linalg.solve(normal, np.einsum("npi,np,npk->nik", inner, w, steps))
        apart = _length(steps - motion) / unit
        usual = np.maximum(np.median(apart, axis=1, keepdims=True), _STEP)
        w = weight * _fading(apart, 2 * usual)
    return np.asarray(motion)


def _fading(distance: F64, limit: float | F64) -> F64:
    """Trust by disagreement, after Geman and McClure: 1 at none, a quarter at `limit`."""
    return np.asarray(1 / (1 + (distance / limit) ** 2) ** 2)


def _length(vectors: F64) -> F64:
    return np.asarray(np.linalg.norm(vectors, axis=-1))


def _moving(count: int) -> NDArray[np.bool_]:
    """(count,) whether a point belongs to a part that moves by itself."""
    result = np.zeros(count, bool)
    result[[index for part in mesh.MOVING_PARTS for index in part if index < count]] = True
    return result


@functools.cache
def _skin_around() -> NDArray[np.int64]:
    """(478, _AROUND) the nearest points that do not move by themselves, on the mean face."""
    place = np.concatenate([mesh.template(), np.zeros((mesh.COUNT - mesh.MESH_COUNT, 2))])
    for iris, eye in ((mesh.RIGHT_IRIS, mesh.RIGHT_EYE), (mesh.LEFT_IRIS, mesh.LEFT_EYE)):
        place[list(iris)] = place[list(eye)].mean(axis=0)
    skin = np.flatnonzero(~_moving(mesh.COUNT))
    apart = np.linalg.norm(place[:, None] - place[None, skin], axis=2)
    return np.asarray(skin[np.argsort(apart, axis=1)[:, :_AROUND]], np.int64)


def _bridged(times: F64, values: F64, seen: NDArray[np.bool_]) -> F64:
    """(N, P, D) `values` with what is not `seen` (N, P) interpolated over time; zeros for a point that never is."""
    result = np.where(seen[..., None], values, 0.0)
    for point in np.flatnonzero(~seen.all(axis=0)):
        known = np.flatnonzero(seen[:, point])
        for axis in range(values.shape[2]) if len(known) else ():
            result[:, point, axis] = np.interp(times, times[known], values[known, point, axis])
    return result
