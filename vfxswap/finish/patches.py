"""Patches of a shot's frames, and what is kept of each: enough to tell grain from texture (`fitting`).

Only the part of a patch counts that no quadratic surface explains.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vfxswap.finish.grain import REACH
from vfxswap.pixels import F32, F64, AnyArray

SIDE = 20
"""Of a patch, in pixels."""

PER_FRAME, FRAMES = 600, 10
"""Patches in a frame and frames of a shot that are looked at, about."""

LAGS = tuple((dy, dx) for dy in range(REACH + 1) for dx in range(-REACH, REACH + 1) if dy > 0 or dx >= 0)
"""Half of all displacements: noise looks the same in the other direction."""

_LESS = 0.8
"""The difference to the next frame is taken where it has less than this part of a patch's own variance."""


@dataclass(frozen=True, eq=False)
class Patches:
    """What is kept of patches.

    Attributes:
        level: (N, 3) float64 mean light.
        products: (N, 3, 3) float64 mean products of the channels.
        lagged: (N, 3, len(LAGS)) float32 mean products of each channel with itself, displaced.
        fine: (N, 3) float64 mean square of the second difference across and down, of which texture has little.
    """

    level: F64
    products: F64
    lagged: F32
    fine: F64

    @staticmethod
    def joined(some: Sequence[Patches]) -> Patches:
        """All of them."""
        names = ("level", "products", "lagged", "fine")
        return Patches(*(np.concatenate([getattr(one, name) for one in some]) for name in names))

    def where(self, kept: NDArray[np.bool_]) -> Patches:
        """Some of them."""
        return Patches(self.level[kept], self.products[kept], self.lagged[kept], self.fine[kept])


@dataclass(eq=False)
class Pool:
    """Gathers patches from a shot's frames, in order: always the same ones, whoever measures it.

    Attributes:
        frames: those that patches are taken from.
        seen: what was gathered, by itself and with differences.
    """

    frames: frozenset[int]
    seen: list[tuple[Patches, Patches]] = field(default_factory=list)
    _waiting: dict[int, tuple[int, NDArray[np.int64], F32]] = field(default_factory=dict)

    @staticmethod
    def of(frames: Sequence[int]) -> Pool:
        """For a shot of these frames."""
        return Pool(frozenset(sorted(frames)[:: max(1, -(-len(frames) // FRAMES))]))

    def see(self, frame: int, image: AnyArray, light: Callable[[F32], F32], *, view: int = 0) -> None:
        """Look at a frame.

        Args:
            frame: its number.
            image: (H, W, 3) as in the file.
            light: turns such pixels into working space.
            view: which of the plate's views it is.
        """
        earlier = self._waiting.pop(view, None)
        if earlier is not None:
            number, at, before = earlier
            follows = number + 1 == frame and len(at) != 0 and (at.max(axis=0) + SIDE <= image.shape[:2]).all()
            self.seen.append(_looked_at(before, light(_cut(image, at)) if follows else None))
        if frame in self.frames:
            at = _corners(*image.shape[:2])
            self._waiting[view] = (frame, at, light(_cut(image, at)))

    def patches(self, *, differences: bool = True) -> Patches | None:
        """All that was gathered; None where that is nothing.

        Args:
            differences: take the difference to the next frame where that holds less: a patch that is textured, but
                stays where it is, then counts.
        """
        self.seen += [_looked_at(before, None) for _, _, before in self._waiting.values()]
        self._waiting.clear()
        some = [changed if differences else alone for alone, changed in self.seen]
        some = [one for one in some if len(one.level)]
        return Patches.joined(some) if some else None


def _looked_at(now: F32, after: F32 | None) -> tuple[Patches, Patches]:
    """The patches by themselves; and with those replaced whose difference to the next frame has clearly less in it."""
    finite = _finite(now)
    alone = look(now[finite])
    if after is None:
        return alone, alone
    finite_after = _finite(after)
    both = finite & finite_after
    if not both.any():
        return alone, alone
    same = alone.where(finite_after[finite])
    change = look(_difference(now[both], after[both]))
    own, changed = (one.lagged[..., 0].mean(axis=1) for one in (same, change))
    plain = 0.5 * (now[both] - after[both]).var(axis=(1, 2)).mean(axis=1)  # with the drift: grain itself does not drift
    less = (changed < _LESS * own) & (plain < own) & (changed > 0)
    return alone, Patches(
        same.level,
        np.where(less[:, None, None], change.products, same.products),
        np.where(less[:, None, None], change.lagged, same.lagged),
        np.where(less[:, None], change.fine, same.fine),
    )


def _difference(now: F32, after: F32) -> F32:
    """(N, SIDE, SIDE, 3) what changes from a frame to the next, but for a drift; scaled to the variance of one frame.

    A slow drift adds a multiple of the gradients, the same for a whole patch (Lucas and Kanade 1981). They are those of
    the patch without its grain, as far as that goes: grain in them would make the drift look smaller than it is.
    """
    change, mean = now - after, _soft(_soft((now + after) * np.float32(0.5)))
    slopes = np.stack([np.gradient(mean, axis=axis) for axis in (1, 2)]).reshape(2, len(now), -1)
    flat = change.reshape(len(now), -1)
    gram = np.einsum("inp,jnp->nij", slopes, slopes).astype(np.float64)
    right = np.einsum("inp,np->ni", slopes, flat).astype(np.float64)
    gram += np.eye(2) * (1e-6 * np.trace(gram, axis1=1, axis2=2) + 1e-30)[:, None, None]
    drift = np.linalg.solve(gram, right[..., None])[..., 0].astype(np.float32)
    rest = flat - np.einsum("ni,inp->np", drift, slopes)
    return np.asarray(rest.reshape(now.shape) * np.float32(np.sqrt(0.5)), np.float32)


def _soft(patches: F32) -> F32:
    """(N, SIDE, SIDE, 3) each pixel averaged with its neighbours, weights 1, 2, 1."""
    for axis in (1, 2):
        ends = [(1, 1) if a == axis else (0, 0) for a in range(patches.ndim)]
        wide = np.moveaxis(np.pad(patches, ends, mode="edge"), axis, 0)
        patches = np.asarray(np.moveaxis(wide[:-2] + 2 * wide[1:-1] + wide[2:], 0, axis) * np.float32(0.25), np.float32)
    return patches


def _finite(rgb: F32) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(rgb).all(axis=(1, 2, 3)), bool)


def look(rgb: F32) -> Patches:
    """The statistics of (N, SIDE, SIDE, 3) finite patches."""
    pixels = np.ascontiguousarray(rgb.transpose(0, 3, 1, 2), np.float32).reshape(-1, 3, SIDE * SIDE)
    level = pixels.mean(axis=2, dtype=np.float64)
    pixels = pixels - level[..., None].astype(np.float32)
    basis = surfaces().astype(np.float32)
    rest = pixels - (pixels @ basis) @ basis.T
    products = (rest @ rest.transpose(0, 2, 1)).astype(np.float64) / SIDE**2
    grid = rest.reshape(-1, SIDE, SIDE)
    lagged = np.empty((len(grid), len(LAGS)), np.float32)
    start = 0
    for dy in range(REACH + 1):
        # The products of every column with every column, dy rows apart; the means of their diagonals are the lags.
        columns = grid[:, : SIDE - dy].transpose(0, 2, 1) @ grid[:, dy:]
        means = _diagonals(0 if dy == 0 else -REACH)
        lagged[:, start : start + means.shape[1]] = columns.reshape(-1, SIDE * SIDE) @ means / np.float32(SIDE - dy)
        start += means.shape[1]
    square = pixels.reshape(-1, 3, SIDE, SIDE)
    across = square[..., 2:] - 2 * square[..., 1:-1] + square[..., :-2]
    both = across[..., 2:, :] - 2 * across[..., 1:-1, :] + across[..., :-2, :]
    fine = np.asarray((both**2).mean(axis=(2, 3), dtype=np.float64))
    return Patches(level, products, lagged.reshape(-1, 3, len(LAGS)), fine)


@functools.cache
def surfaces() -> F64:
    """(SIDE * SIDE, 6) orthonormal columns that span the quadratic surfaces over a patch."""
    t = (np.arange(SIDE) + 0.5) / SIDE - 0.5
    y, x = (a.ravel() for a in np.meshgrid(t, t, indexing="ij"))
    return np.asarray(np.linalg.qr(np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1))[0])


@functools.cache
def _diagonals(first: int) -> F32:
    """(SIDE * SIDE, n) what takes the means of the diagonals `first` to REACH of flattened matrices."""
    offsets = np.arange(SIDE)[None, :] - np.arange(SIDE)[:, None]
    columns = [(offsets == dx).ravel() / (SIDE - abs(dx)) for dx in range(first, REACH + 1)]
    return np.stack(columns, axis=1).astype(np.float32)


def _corners(height: int, width: int) -> NDArray[np.int64]:
    """(N, 2) (y, x) of evenly spread patches in a picture."""
    rows, columns = height // SIDE, width // SIDE
    step = max(1.0, np.sqrt(rows * columns / PER_FRAME))
    y, x = (np.arange(0, n, step).astype(np.int64) * SIDE for n in (rows, columns))
    return np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1).reshape(-1, 2)


def _cut(image: AnyArray, at: NDArray[np.int64]) -> F32:
    """(N, SIDE, SIDE, 3) the patches of (H, W, 3) at corners."""
    within = np.arange(SIDE)
    found = image[at[:, 0, None, None] + within[:, None], at[:, 1, None, None] + within]
    return np.ascontiguousarray(found, np.float32)
