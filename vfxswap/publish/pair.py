"""A finished frame beside the plate's: where they differ, and where they may.

Nothing is resampled or converted: values are compared as the files have them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vfxswap import exr
from vfxswap.exr.values import PartInfo
from vfxswap.geometry import Window
from vfxswap.pixels import AnyArray

Mask = NDArray[np.bool_]

LAYERS = ("face", "raw", "gain", "grain", "matte", "delta", "quality", "stmap")
"""The layers beside the picture of an `ingredients` file (docs/layers.md); of a second face with a 2 behind."""

_PICTURE = ("R", "G", "B")

_LAYER = re.compile(rf"({'|'.join(LAYERS)})\d*\..+")
_COVERAGE = re.compile(r"(face\d*\.([^.]+\.)?A|matte\d*\..+)")
_ALPHA = re.compile(r"face\d*\.([^.]+\.)?A")


def is_layer(name: str) -> bool:
    """Whether a channel is one of the layers that vfxswap writes beside the picture."""
    return _LAYER.fullmatch(name) is not None


def is_coverage(name: str) -> bool:
    """Whether a channel is a matte, 0..1."""
    return _COVERAGE.fullmatch(name) is not None


def is_alpha(name: str) -> bool:
    """Whether a channel is what a face was composited with."""
    return _ALPHA.fullmatch(name) is not None


@dataclass(frozen=True)
class Spot:
    """So many values, and the first of them."""

    count: int = 0
    where: str = ""


@dataclass(frozen=True, eq=False)
class Compared:
    """What the pixels of a frame are, beside the plate's.

    Attributes:
        bad: NaN or Inf that the plate does not have there.
        range: least and greatest coverage that is outside 0..1; None where all is within.
        negative: of the picture, where the plate's picture has no negative value at all.
        stray: pixels that differ where nothing was to be replaced, and the greatest difference.
        differ: (H, W) of the data window where the picture differs at all; None for a patch.
        covered: whether any coverage is above 0; None where the file has no mattes.
    """

    bad: Spot = field(default_factory=Spot)
    range: tuple[float, float] | None = None
    negative: int = 0
    stray: tuple[int, float] = (0, 0.0)
    differ: Mask | None = None
    covered: bool | None = None


def compare(plate: exr.Frame, result: exr.Frame, *, allowed: list[Window] | None, altered: bool) -> Compared:
    """Compare a comp or ingredients with the plate.

    Args:
        plate: the plate's frame.
        result: the finished frame, with the plate's parts and windows.
        allowed: windows of the plate within which a comp without mattes may differ; None: it is not known where.
        altered: whether a face was replaced in this frame; else no pixel may differ.
    """
    bad, negative, covered, changed = Spot(), 0, None, None
    outside, stray = _WITHIN, (0, 0.0)
    for index, (before, after) in enumerate(zip(plate.info.parts, result.info.parts, strict=True)):
        old, new = plate.pixels[index], result.pixels[index]
        if old is None or new is None:  # channels of whole numbers: copied without a look at them
            continue
        names = [channel.name for channel in after.channels]
        shared = [(at, names.index(c.name)) for at, c in enumerate(before.channels) if c.name in names]
        shared = [(a, b) for a, b in shared if not (is_layer(names[b]) and len(names) > len(before.channels))]
        low, high = new.min(axis=(0, 1)), new.max(axis=(0, 1))  # NaN where a channel has one
        if not np.isfinite([low, high]).all():
            bad = _sum(bad, _bad(old, new, names, shared))
        theirs = [b for _, b in shared]
        mattes = [at for at, name in enumerate(names) if is_coverage(name) and at not in theirs]
        outside = _wider(outside, [_range(new[..., at], low[at], high[at]) for at in mattes])
        alphas = [at for at in mattes if is_alpha(names[at])]
        free = _free(before, new, alphas, allowed, altered=altered)
        if alphas:
            covered = bool(covered) or bool(free is not None and free.any())
        found = _differences(old, new, shared, free, names)
        stray = (stray[0] + int(found.stray.sum()), max(stray[1], found.most))
        if index == plate.selected:
            changed = found.picture
            for a, b in shared:
                if a in plate.rgb_index and not low[b] >= 0 and not (old[..., a] < 0).any():
                    negative += int((new[..., b] < 0).sum())
    return Compared(bad, None if outside == _WITHIN else outside, negative, stray, changed, covered)


def compare_patch(result: exr.Frame) -> Compared:
    """What can be said of a patch, which holds the face alone: R, G, B, A."""
    bad, outside, covered = Spot(), _WITHIN, False
    for info, new in zip(result.info.parts, result.pixels, strict=True):
        if new is None:
            continue
        names = [channel.name for channel in info.channels]
        bad = _sum(bad, _bad(np.zeros_like(new), new, names, [(at, at) for at in range(len(names))]))
        if "A" in names:
            alpha = new[..., names.index("A")]
            outside = _wider(outside, [_range(alpha, alpha.min(), alpha.max())])
            covered = covered or bool((alpha > 0).any())
    return Compared(bad, None if outside == _WITHIN else outside, covered=covered)


_WITHIN = (0.0, 1.0)


def _range(plane: AnyArray, low: Any, high: Any) -> tuple[float, float]:
    """The least and greatest finite value of a plane, whose least and greatest of all are known."""
    if not np.isfinite([low, high]).all():
        finite = plane[np.isfinite(plane)]
        return (float(finite.min()), float(finite.max())) if finite.size else _WITHIN
    return float(low), float(high)


def _wider(found: tuple[float, float], ranges: list[tuple[float, float]]) -> tuple[float, float]:
    return min([found[0], *(low for low, _ in ranges)]), max([found[1], *(high for _, high in ranges)])


def _free(
    part: PartInfo, new: AnyArray, alphas: list[int], allowed: list[Window] | None, *, altered: bool
) -> Mask | None:
    """(H, W) where the part may differ from the plate; None: anywhere, for nothing is known."""
    shape = new.shape[:2]
    if not altered:
        return np.zeros(shape, bool)
    if alphas:
        return np.asarray((new[..., alphas] > 0).any(axis=-1))
    if allowed is None:
        return None
    free = np.zeros(shape, bool)
    data = part.data_window.moved(-part.display_window.x, -part.display_window.y)
    for window in allowed:
        free[window.intersect(data).slices(data)] = True
    return free


@dataclass(frozen=True, eq=False)
class _Differ:
    """(H, W) where the picture differs, where something does that must not, and by how much that does at most."""

    picture: Mask
    stray: Mask
    most: float


def _differences(
    old: AnyArray, new: AnyArray, shared: list[tuple[int, int]], free: Mask | None, names: list[str]
) -> _Differ:
    """The picture may differ in `free` (None: anywhere), channels beside it nowhere."""
    picture, stray, most = np.zeros(new.shape[:2], bool), np.zeros(new.shape[:2], bool), 0.0
    for a, b in shared:
        differ = _unequal(old[..., a], new[..., b])
        if names[b].rpartition(".")[2] in _PICTURE:
            picture |= differ
            differ = np.zeros_like(differ) if free is None else differ & ~free
        if differ.any():
            stray |= differ
            with np.errstate(invalid="ignore", over="ignore"):
                by = np.abs(new[..., b][differ].astype(np.float64) - old[..., a][differ].astype(np.float64))
            most = max(most, float(np.nanmax(by, initial=0.0)))
    return _Differ(picture, stray, most)


def _unequal(old: AnyArray, new: AnyArray) -> Mask:
    """Where values differ. NaN equals NaN; where both are of one type, bits count and -0 is not 0."""
    if old.dtype == new.dtype:
        kind = np.dtype(f"u{old.dtype.itemsize}")
        return np.asarray(old.view(kind) != new.view(kind))
    return np.asarray((old != new) & ~(np.isnan(old) & np.isnan(new)))


def _bad(old: AnyArray, new: AnyArray, names: list[str], shared: list[tuple[int, int]]) -> Spot:
    """NaN and Inf of `new` that `old` does not have at the same place."""
    finite = np.isfinite(new)
    if finite.all():
        return Spot()
    wrong = ~finite
    for a, b in shared:
        wrong[..., b] &= np.isfinite(old[..., a])
    if not wrong.any():
        return Spot()
    y, x, channel = (int(value) for value in np.argwhere(wrong)[0])
    return Spot(int(wrong.sum()), f"at {x}, {y} in {names[channel]}")


def _sum(a: Spot, b: Spot) -> Spot:
    return Spot(a.count + b.count, a.where or b.where)
