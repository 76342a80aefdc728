"""Where a plate cuts from one shot to another, and where the picture only flashes or pans.

Frames are compared as thumbnails, block by block: a block of one picture is looked for around the same place in the
other, whatever its exposure. A pan, a zoom or a walk leave most blocks to be found; a cut hardly any. A cut also
holds: the frames after it do not look like the last one before it, as they do after a flash, and they look like each
other, as they do not in a whip pan. A dissolve counts as a cut in its middle (`vfxswap.face.dissolves`).

Source: the structure and contrast terms of Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image Quality
Assessment: From Error Visibility to Structural Similarity", IEEE TIP 2004, as a block distance.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import cv2
import numpy as np

from vfxswap.face.dissolves import Dissolve, DissolveFinder
from vfxswap.pixels import F32, ModelRgb

SAME_SCENE = 0.25
"""Pictures no further apart than this show the same scene."""

# (difference, how many times as large as any of the last steps, how many of those must be known, part of it that the
# next step may reach): between two scenes, between alike scenes while little moves, and within one scene (a jump cut)
# where it stands out by far.
_JUMPS = ((0.55, 1.0, 0, 0.7), (0.3, 3.0, 2, 0.7), (0.08, 5.0, 4, 0.3))

# So many steps say how much the picture usually changes.
_USUAL = 4

# So many frames are remembered: a face that was hidden for a while may be where it was.
_KEPT = 9

# What comes after a cut stays away from what was before it by this part of the jump.
_HOLDS = 0.6

# What is on the two sides of a dissolve differs by this.
_DISSOLVES = 0.35

_ROWS, _COLUMNS, _BLOCK, _REACH = 4, 6, 8, 3
_HEIGHT, _WIDTH = _ROWS * _BLOCK + 2 * _REACH, _COLUMNS * _BLOCK + 2 * _REACH

# Contrast within a block, and difference of its colour, below which there is only noise, in code values.
_FLAT = 0.02
_TINT = 0.1

_THIN = 4


def thumbnail(rgb: ModelRgb) -> F32:
    """A (H, W, 3) picture, small and without its exposure: code values scaled to a common mean, float32."""
    step = max(1, min(rgb.shape[0] // _HEIGHT, rgb.shape[1] // _WIDTH) // _THIN)
    small = cv2.resize(np.ascontiguousarray(rgb[::step, ::step]), (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA)
    return np.asarray(small * (0.4 / max(float(small.mean()), 0.02)), np.float32)


def difference(a: F32, b: F32) -> float:
    """How little two thumbnails have in common: 0 the same scene, 1 nothing alike."""
    return float(changes(a, b).mean())


def changes(a: F32, b: F32) -> F32:
    """Where two thumbnails differ: (rows, columns) of blocks, 0..1."""
    still = _blockwise(a, b, reach=0)
    # Looking around costs much and can only find more in common.
    return still if still.mean() < SAME_SCENE / 2 else np.minimum(_blockwise(a, b), _blockwise(b, a))


def _blockwise(a: F32, b: F32, *, reach: int = _REACH) -> F32:
    """For each block of `a`, how little it resembles the best place in `b` up to `reach` pixels away."""
    inner = (slice(_REACH, _HEIGHT - _REACH), slice(_REACH, _WIDTH - _REACH))
    mine, centre = a.mean(axis=2), a[inner]
    flat_a, theirs = mine[inner], b.mean(axis=2)
    mean_a, var_a = _moments(flat_a)
    tint_a = _blocks(centre) - mean_a[..., None]
    best = np.ones((_ROWS, _COLUMNS), np.float32)
    for dy, dx in itertools.product(range(_REACH - reach, _REACH + reach + 1), repeat=2):
        there = (slice(dy, dy + _ROWS * _BLOCK), slice(dx, dx + _COLUMNS * _BLOCK))
        flat_b = theirs[there]
        mean_b, var_b = _moments(flat_b)
        common = _blocks(flat_a * flat_b) - mean_a * mean_b
        structure = 1 - (2 * common + _FLAT**2) / (var_a + var_b + _FLAT**2)
        tint = np.abs(_blocks(b[there]) - mean_b[..., None] - tint_a).max(axis=2) / _TINT
        best = np.minimum(best, np.maximum(structure, np.minimum(tint, 1)))
    return np.clip(best, 0, 1)


def _blocks(values: F32) -> F32:
    """The mean of each block of a (rows, columns, ...) array."""
    shape = (_ROWS, _BLOCK, _COLUMNS, _BLOCK, *values.shape[2:])
    return np.asarray(values.reshape(shape).mean(axis=(1, 3)), np.float32)


def _moments(values: F32) -> tuple[F32, F32]:
    mean = _blocks(values)
    return mean, _blocks(values * values) - mean * mean


@dataclass(frozen=True, eq=False)
class _Step:
    """A frame's thumbnail, how far it is from the one before, and how far the last ones were from each other."""

    frame: int
    thumb: F32
    size: float
    usual: tuple[float, ...]

    @property
    def calm(self) -> float:
        """How large the next step may be if this one is a cut; 0 if it cannot be one."""
        highest = max(self.usual, default=0.0)
        allowed = [
            calm * self.size
            for least, times, known, calm in _JUMPS
            if self.size > least and self.size > times * highest and len(self.usual) >= known
        ]
        return max(allowed, default=0.0)


@dataclass(eq=False)
class CutFinder:
    """Looks at a plate frame by frame; a suspicion is voiced at once, what became of it is known two frames later.

    Attributes:
        changed: where the last frame differs from the one before, (rows, columns) of blocks, 0..1.
    """

    changed: F32 = field(default_factory=lambda: np.zeros((_ROWS, _COLUMNS), np.float32))
    _kept: list[_Step] = field(default_factory=list)
    _mixtures: DissolveFinder = field(
        default_factory=lambda: DissolveFinder(lambda a, b: difference(a, b) > _DISSOLVES)
    )
    _cuts: list[int] = field(default_factory=list)

    def look(self, frame: int, thumb: F32) -> bool:
        """Take the next frame's thumbnail; True when the picture jumps here, by a cut or by a flash."""
        self._mixtures.look(frame, thumb)
        if self._kept:
            self.changed = changes(self._kept[-1].thumb, thumb)
        # What was usual before a jump says nothing about what is after it.
        usual = [step.size for step in itertools.takewhile(lambda step: not step.calm, reversed(self._kept[1:]))]
        self._kept = [*self._kept[1 - _KEPT :], _Step(frame, thumb, float(self.changed.mean()), tuple(usual[:_USUAL]))]
        self._decide(len(self._kept) - 3)
        return self._kept[-1].calm > 0

    def close(self) -> tuple[int, ...]:
        """The frames that begin a new shot, when all frames have been seen; of a dissolve that is its middle."""
        self._decide(len(self._kept) - 2)
        self._decide(len(self._kept) - 1)
        return tuple(sorted({*self._cuts, *(dissolve.middle for dissolve in self.dissolves)}))

    @property
    def dissolves(self) -> tuple[Dissolve, ...]:
        """The dissolves that have ended, but for those that hold a hard cut."""
        found = self._mixtures.found
        return tuple(d for d in found if not any(d.first - 1 <= cut <= d.last + 1 for cut in self._cuts))

    def connected(self, frame: int) -> bool:
        """Whether the frame looked at last shows the scene of an earlier `frame`; False for one long ago."""
        then = next((i for i, step in enumerate(self._kept) if step.frame == frame), None)
        if then is None:
            return False
        jumps = [step.size for step in self._kept[then + 1 :] if step.calm]
        return not jumps or difference(self._kept[then].thumb, self._kept[-1].thumb) <= _HOLDS * max(jumps)

    def _decide(self, index: int) -> None:
        """Judge the step to the frame at `index` by up to three frames before it and up to two after it."""
        if index < 1:
            return
        step, after = self._kept[index], self._kept[index + 1 : index + 3]
        pairs = itertools.product(self._kept[max(0, index - 3) : index], (step, *after))
        calm = all(other.size < step.calm for other in (self._kept[index - 1], *after[:1]))
        if step.calm and calm and all(difference(a.thumb, b.thumb) > _HOLDS * step.size for a, b in pairs):
            self._cuts.append(step.frame)
