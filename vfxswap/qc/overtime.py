"""Measures that need the frames around a frame, or the whole shot: made when all frames have been looked at.

Of every frame some 17 KB are kept (`Look`), so that a long shot fits in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vfxswap.face import mesh
from vfxswap.pixels import F64, AnyArray
from vfxswap.qc import realism
from vfxswap.qc.chip import FACE
from vfxswap.qc.reading import Doing

_FEW = 5
"""A shot of fewer frames has no usual value."""

_STILL_PCT = 0.25
"""A plate that changes less than this, in % of the code range, stands still."""

_USUAL = 0.6
_SAME_DELTA_E = 7.0
_LEAST_CELLS = 12


@dataclass(eq=False)
class Look:
    """What is kept of a frame.

    Attributes:
        frame: its number.
        values: measure -> number; filled up by `finish`.
        away: (CELLS, CELLS, 3) float16 output minus plate, L*a*b*.
        seen: (CELLS, CELLS, 3) float16 the plate, L*a*b*.
        cover: (CELLS, CELLS) uint8, how much of a cell was replaced, 255 is all.
        face: (CELLS, CELLS) bool, cells of the inner face.
        offset: (51, 2) float32 the output's inner landmarks minus the plate's, chip pixels; None unread.
        place: (4,) `reading.placement`; None unread.
        does: what plate and output do; None unread.
        who: (2, 128) embeddings of plate and output; None unread.
        motion: change of plate and output since the frame before; None where there is none.
        tiles: of the replaced face's texture, and the plate's; None where too little of it is seen.
    """

    frame: int
    values: dict[str, float | None]
    away: AnyArray
    seen: AnyArray
    cover: AnyArray
    face: AnyArray
    offset: AnyArray | None = None
    place: F64 | None = None
    does: tuple[Doing, Doing] | None = None
    who: F64 | None = None
    motion: tuple[float, float] | None = None
    turned: bool = False
    tiles: realism.Tiles | None = None
    notes: list[str] = field(default_factory=list)


def finish(looks: Sequence[Look], *, cuts: Sequence[int], likeness: F64 | None, double: F64 | None) -> None:
    """Fill in the measures that need other frames.

    Args:
        looks: the frames with a face that was replaced, in order.
        cuts: frames at which another shot begins.
        likeness: (128,) reference of the likeness; None is not known.
        double: (128,) reference of the double; None takes the plate's own frames.
    """
    _identity(looks, likeness, double)
    _agreement(looks)
    _tone(looks)
    _gap(looks)
    for look, score in zip(looks, realism.scores([look.tiles for look in looks]), strict=True):
        look.values["realism"] = score
    for run in runs(looks, cuts):
        _within(run)


def runs(looks: Sequence[Look], cuts: Sequence[int]) -> list[list[Look]]:
    """The frames in stretches without a missing frame and without a cut."""
    found: list[list[Look]] = []
    for look in looks:
        if found and look.frame == found[-1][-1].frame + 1 and look.frame not in cuts:
            found[-1].append(look)
        else:
            found.append([look])
    return found


def _identity(looks: Sequence[Look], likeness: F64 | None, double: F64 | None) -> None:
    known = [look for look in looks if look.who is not None and not look.turned]
    if not known:
        return
    who = np.stack([look.who for look in known if look.who is not None])
    plate = np.median(who[:, 0], axis=0) if double is None else double
    usual = np.median(who[:, 1], axis=0)
    for look, (_, output) in zip(known, who, strict=True):
        look.values["to_double"] = float(np.linalg.norm(output - plate))
        look.values["to_likeness"] = None if likeness is None else float(np.linalg.norm(output - likeness))
        look.values["to_shot"] = float(np.linalg.norm(output - usual)) if len(known) >= _FEW else None


def _agreement(looks: Sequence[Look]) -> None:
    """Landmarks, gaze, lids and lips against the plate; what is always so is the likeness's own."""
    known = [look for look in looks if look.offset is not None]
    if not known:
        return
    few = len(known) < _FEW
    usual = np.median([look.offset for look in known if look.offset is not None], axis=0)
    usual = np.zeros_like(usual) if few else usual
    rest = _usual_difference(known)
    for look in known:
        if look.offset is None or look.does is None:
            continue
        off = np.asarray(look.offset, np.float64) - usual
        look.values["landmarks"] = 100.0 * float(np.linalg.norm(off, axis=1).mean()) / FACE
        plate, output = look.does
        look.values["lids"] = None if few else abs(output.lids - plate.lids - rest[0])
        look.values["lips"] = None if few else abs(output.lips - plate.lips - rest[1])
        if plate.gaze is not None and output.gaze is not None and not few:
            look.values["gaze"] = float(np.linalg.norm(output.gaze - plate.gaze - rest[2:]))


def _usual_difference(looks: Sequence[Look]) -> F64:
    """(4,) the shot's median difference between output and plate: lids, lips, gaze along and across."""
    pairs = [look.does for look in looks if look.does is not None]
    plain = np.array([[output.lids - plate.lids, output.lips - plate.lips] for plate, output in pairs])
    gazes = [o.gaze - p.gaze for p, o in pairs if p.gaze is not None and o.gaze is not None]
    gaze = np.median(gazes, axis=0) if gazes else np.zeros(2)
    return np.concatenate([np.median(plain, axis=0), gaze])


def _inside(look: Look) -> AnyArray:
    return np.asarray(look.cover > 230)


def _tone(looks: Sequence[Look]) -> None:
    """The mean colour against the plate, and against what that usually is in the shot."""
    means = {look.frame: look.away[_inside(look)].astype(np.float64).mean(axis=0) for look in looks if _enough(look)}
    usual = np.median(list(means.values()), axis=0) if means else np.zeros(3)
    for look in looks:
        if look.frame in means:
            look.values["tone"] = float(np.linalg.norm(means[look.frame]))
            if len(means) >= _FEW:
                look.values["cast"] = float(np.linalg.norm(means[look.frame] - usual))


def _enough(look: Look) -> bool:
    return int(_inside(look).sum()) >= _LEAST_CELLS


def _gap(looks: Sequence[Look]) -> None:
    """What the matte usually covers and leaves out here, although nothing is in front of it."""
    if len(looks) < _FEW:
        return
    cover = np.stack([_inside(look) for look in looks])
    usually = cover.mean(axis=0) >= _USUAL
    if not usually.any():
        return
    plates = np.stack([look.seen for look in looks]).astype(np.float32)
    plates[~cover] = np.nan
    usual = np.zeros(plates.shape[1:], np.float32)
    usual[usually] = np.nanmedian(plates[:, usually], axis=0)
    for look in looks:
        same = np.linalg.norm(look.seen.astype(np.float32) - usual, axis=-1) < _SAME_DELTA_E
        left = usually & (look.cover < 128) & same & look.face
        look.values["gap"] = 100.0 * float(left.sum()) / max(1, int(look.face.sum()))


def _within(run: Sequence[Look]) -> None:
    """Jitter, flicker and motion of frames that follow each other."""
    for at, look in enumerate(run):
        around = _neighbours(run, at)
        if around is None:
            continue
        look.values["jitter"] = _jitter(look, around)
        look.values["flicker"] = _flicker(look, around)
    for at, look in enumerate(run):
        near = [other.motion for other in run[max(0, at - 1) : at + 2] if other.motion is not None]
        if look.motion is None or not near:
            continue
        plate, output = np.sum(near, axis=0)
        if plate / len(near) >= _STILL_PCT:
            look.values["motion"] = float(output / plate)


def _neighbours(run: Sequence[Look], at: int) -> tuple[Look, Look] | None:
    """The frames before and after; at the ends of a run the two next ones. None in runs of fewer than three."""
    if len(run) < 3:
        return None
    if at == 0:
        return run[1], run[2]
    if at == len(run) - 1:
        return run[-3], run[-2]
    return run[at - 1], run[at + 1]


def _jitter(look: Look, around: tuple[Look, Look]) -> float | None:
    if look.place is None or around[0].place is None or around[1].place is None:
        return None
    middle = np.median([around[0].place, look.place, around[1].place], axis=0)
    return float(np.linalg.norm(look.place - middle))


def _flicker(look: Look, around: tuple[Look, Look]) -> float | None:
    where = _inside(look) & _inside(around[0]) & _inside(around[1])
    if where.sum() < _LEAST_CELLS:
        return None
    three = np.stack([other.away[where] for other in (around[0], look, around[1])]).astype(np.float64)
    return float(np.linalg.norm(three[1] - np.median(three, axis=0), axis=-1).mean())


INNER = tuple(mesh.INNER_51)
