"""A lens's distortion, from the STMap that removes it.

A matchmove hands over an undistorting STMap: the pixel at (i, j) of the UNDISTORTED raster holds u, v, where in the
distorted plate to look: 0..1 over the plate's display window, v up, pixel centres at .5 (Nuke's STMap node; in a file
from its LensDistortion node, the layer `forward`). Nothing in the values tells it from its inverse, the redistorting
map: only the user knows which one was handed over, unless the layer is called `backward`.

Undistorted coordinates follow geometry.py over the map's own display window, which may be larger than the plate
(overscan). The map's data window may be smaller or larger than that.

The map is kept as an affine part and what it bends beyond it, in pixels: the bend changes slowly, so that reading it
between its samples costs no accuracy, whatever positions OpenCV rounds to.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vfxswap import exr
from vfxswap.errors import PlateError
from vfxswap.geometry import Matrix23, Window, invert, transform
from vfxswap.pixels import F32, F64, AnyArray

_NAMES = (("stmap.u", "stmap.v"), ("forward.u", "forward.v"), ("u", "v"), ("r", "g"))
_MAP_HINT = "write the undistorting STMap as a 32-bit float EXR (Nuke: u and v 0..1, v up)"

_ROUGH = 0.1
"""Plate pixels by which neighbours of a smooth map never jump; half does by 0.25 at 1024 pixels."""
_SCALES = (0.1, 10.0)
"""Plate pixels per undistorted pixel that a lens can mean."""

_GRID = 240
"""Samples of the inverse along the plate's longer side, which one more step then refines."""
_NEWTON = 12
_SOLVED = 1e-3
_REACH = 4
"""Samples over which the slope is taken that a fill continues."""
_CHUNK = 1 << 15
_ROW = 1 << 12


@dataclass(frozen=True, eq=False)
class Lens:
    """Distorted plate <-> undistorted raster. Points are pixels as in geometry.py, (N, 2) float64.

    Attributes:
        size: width and height of the undistorted raster (the map's display window).
        display: width and height of the plate's display window.
        hash: sha256 of the map's values, its windows and `display`.
    """

    size: tuple[int, int]
    display: tuple[int, int]
    hash: str
    _affine: Matrix23 = field(repr=False)
    _bend: _Field = field(repr=False)
    _last: list[tuple[Window, F64]] = field(default_factory=list, repr=False)

    @staticmethod
    def load(path: str | os.PathLike[str], *, display: tuple[int, int], frame: int | None = None) -> Lens:
        """Read an undistorting STMap from the first part of an EXR.

        Args:
            path: the file. Channels, the first pair there is: stmap.u/v, forward.u/v, u/v, R/G, the first two of
                32-bit float.
            display: width and height of the plate's display window, to which u and v refer.
            frame: frame number, for messages only.

        Raises:
            FrameError: the file is missing or corrupt. PlateError: not an EXR, no such channels, half channels (off by
                up to 0.9 pixel at UHD), or values that are no STMap of a lens.
        """
        source = Path(path)
        head = exr.probe(source, frame=frame).parts[0]
        channels, _ = exr.read_channels(source)
        u, v = _pair(channels, source, frame)
        shown, held = head.display_window, head.data_window
        return Lens.from_map(
            np.stack([u, v], axis=-1),
            display=display,
            size=(shown.width, shown.height),
            window=held.moved(-shown.x, -shown.y),
            path=source,
            frame=frame,
        )

    @staticmethod
    def from_map(
        uv: F32,
        *,
        display: tuple[int, int],
        size: tuple[int, int] | None = None,
        window: Window | None = None,
        path: Path | None = None,
        frame: int | None = None,
    ) -> Lens:
        """A lens from a map in memory.

        Args:
            uv: (H, W, 2) float32, Nuke's convention. Where a value is NaN, infinite, 0 or 1 exactly (black, clamped),
                or where the map folds over, it says nothing there: it is continued straight from its nearest good
                pixel.
            display: width and height of the plate's display window.
            size: width and height of the undistorted raster; None is that of `uv`.
            window: where `uv` lies in it; None is all of it.
            path: for messages.
            frame: for messages.

        Raises:
            PlateError: as `load`.
        """
        held = Window(0, 0, uv.shape[1], uv.shape[0]) if window is None else window
        size = (held.width, held.height) if size is None else size
        digest = hashlib.sha256(repr((size, (held.x, held.y, held.width, held.height), display)).encode())
        digest.update(np.ascontiguousarray(uv, "<f4").tobytes())
        x, y = _positions(uv, display)
        try:
            good = _good(x, y, display)
            affine = _fitted(x, y, good, held)
        except ValueError as error:
            raise PlateError(f"not an STMap of a lens: {error}", hint=_MAP_HINT, path=path, frame=frame) from error
        whole = Window.union(held, Window(0, 0, *size))
        known = np.zeros((whole.height, whole.width), bool)
        known[held.slices(whole)] = good
        planes = []
        for plane, row in ((x, affine[0]), (y, affine[1])):
            bend = np.zeros(known.shape, np.float32)
            bend[held.slices(whole)] = plane - _ramp(row, held)
            planes.append(_filled(bend, known))
        return Lens(
            size, display, digest.hexdigest(), affine, _Field((planes[0], planes[1]), whole.x + 0.5, whole.y + 0.5)
        )

    def to_plate(self, points: F64) -> F64:
        """(N, 2) undistorted pixels -> plate pixels. Beyond the map it goes on straight; never NaN for numbers."""
        return _chunked(self._to_plate, points)

    def from_plate(self, points: F64) -> F64:
        """(N, 2) plate pixels -> undistorted pixels, the inverse of `to_plate`. Never NaN for numbers."""
        return _chunked(self._from_plate, points)

    def from_window(self, window: Window) -> F64:
        """(height * width, 2) undistorted positions of the pixel centres of `window`, row by row; read only.

        The last answer is kept: a frame puts several pictures into one window.
        """
        for known, points in self._last:
            if known == window:
                return points
        x, y = np.arange(window.x, window.x1) + 0.5, np.arange(window.y, window.y1) + 0.5
        centres = np.stack(np.broadcast_arrays(x[None, :], y[:, None]), axis=-1).reshape(-1, 2)
        found = self.from_plate(centres)
        found.setflags(write=False)
        self._last[:] = [(window, found)]
        return found

    def undistort(self, image: F32) -> F32:
        """The plate as the map undistorts it, for a tracker.

        Args:
            image: (H, W, 3) float32 over the plate's display window, any colour state, finite.

        Returns:
            (h, w, 3) float32 of `size`, bilinear; 0 where the plate does not reach.
        """
        shown = Window(0, 0, *self.size)
        where = shown.slices(Window(int(self._bend.x - 0.5), int(self._bend.y - 0.5), *self._bend.size))
        x, y = (
            (_ramp(row, shown) + plane[where] - 0.5).astype(np.float32)
            for row, plane in zip(self._affine, self._bend.planes, strict=True)
        )
        source = np.ascontiguousarray(image, np.float32)
        return np.asarray(cv2.remap(source, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), np.float32)

    def _to_plate(self, rows: F64) -> F64:
        return _affine(self._affine, rows) + self._bend.at(rows)

    def _from_plate(self, rows: F64) -> F64:
        back, bend = self._inverse
        near = _affine(back, rows) + bend.at(rows)
        return _affine(back, rows - self._bend.at(near))

    @cached_property
    def _inverse(self) -> tuple[Matrix23, _Field]:
        """The inverse as an affine part and a bend, on a grid over the plate and a margin."""
        back = invert(self._affine)
        margin, step = max(64, max(self.display) // 8), max(2, max(self.display) // _GRID)
        x, y = (np.arange(-margin, side + margin + step, step).astype(np.float64) for side in self.display)
        targets = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        points, solved = self._solved(targets, transform(back, targets))
        bend = (points - transform(back, targets)).astype(np.float32).reshape(len(y), len(x), 2)
        known = solved.reshape(len(y), len(x))
        if not _core(known).any():
            known = np.ones_like(known)
        planes = [_filled(np.ascontiguousarray(bend[..., i]), known) for i in (0, 1)]
        return back, _Field((planes[0], planes[1]), float(x[0]), float(y[0]), step)

    def _solved(self, targets: F64, points: F64) -> tuple[F64, NDArray[np.bool_]]:
        """Newton's method from `points`, and where it arrived."""
        points = points.copy()
        regular = float(np.linalg.det(self._affine[:, :2]))
        reach = 0.1 * max(self.size)
        halves = np.array([[0.5, 0.0], [0.0, 0.5]])
        left = np.arange(len(points))
        for _ in range(_NEWTON):
            here = points[left]
            miss = targets[left] - self.to_plate(here)
            far = np.abs(miss).max(axis=1) > _SOLVED
            left, here, miss = left[far], here[far], miss[far]
            if not len(left):
                break
            (a, c), (b, d) = ((self.to_plate(here + half) - self.to_plate(here - half)).T for half in halves)
            det = a * d - b * c
            det = np.where(np.abs(det) > 0.05 * regular, det, regular)
            move = np.stack([d * miss[:, 0] - b * miss[:, 1], a * miss[:, 1] - c * miss[:, 0]], axis=-1) / det[:, None]
            points[left] = here + np.clip(move, -reach, reach)
        solved = np.ones(len(points), bool)
        solved[left] = False
        return points, solved


@dataclass(frozen=True, eq=False)
class _Field:
    """Two values at the points of a grid; bilinear between them, straight on beyond.

    Attributes:
        planes: two (H, W) float32.
        x, y: position of the first sample.
        step: distance of the samples.
    """

    planes: tuple[F32, F32]
    x: float
    y: float
    step: float = 1.0

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in samples."""
        height, width = self.planes[0].shape
        return width, height

    def at(self, rows: F64) -> F64:
        """(2, N) values at (2, N) positions."""
        grid = (rows - [[self.x], [self.y]]) / self.step
        held = np.clip(grid, 0.0, np.array(self.size, np.float64)[:, None] - 1.0)
        out = self._within(held)
        beyond = np.flatnonzero((held[0] != grid[0]) | (held[1] != grid[1]))
        if len(beyond):
            edge = held[:, beyond]
            out[:, beyond] += self._slope(edge, grid[:, beyond] - edge, out[:, beyond])
        return out

    def _slope(self, edge: F64, over: F64, value: F64) -> F64:
        """How much a straight continuation adds `over` samples beyond the `edge`, where it is `value`."""
        added = np.zeros_like(value)
        for axis, count in enumerate(self.size):
            back = min(8.0, count - 1.0)
            inner = edge.copy()
            inner[axis] -= np.sign(over[axis]) * back
            added += (value - self._within(inner)) * (np.abs(over[axis]) / back)
        return added

    def _within(self, grid: F64) -> F64:
        count = grid.shape[1]
        out = np.empty((2, count), np.float64)
        if not count:
            return out
        columns = min(count, _ROW)
        where = np.zeros((2, -(-count // columns) * columns), np.float32)
        where[:, :count] = grid
        x, y = where.reshape(2, -1, columns)
        for row, plane in zip(out, self.planes, strict=True):
            # One plane at a time: for two together OpenCV 5 rounds positions, and is slower.
            found = cv2.remap(plane, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            row[:] = np.asarray(found).reshape(-1)[:count]
        return out


def _affine(matrix: Matrix23, rows: F64) -> F64:
    """(2, N) positions through a matrix."""
    return np.asarray(matrix[:, :2] @ rows + matrix[:, 2:], np.float64)


def _chunked(function: Callable[[F64], F64], points: F64) -> F64:
    """(N, 2) of (N, 2) by a `function` of (2, N), over few points at a time, which stay in the cache."""
    points = np.asarray(points, np.float64)
    out = np.empty_like(points)
    for i in range(0, len(points), _CHUNK):
        out[i : i + _CHUNK] = function(np.ascontiguousarray(points[i : i + _CHUNK].T)).T
    return out


def _pair(channels: dict[str, AnyArray], path: Path, frame: int | None) -> tuple[F32, F32]:
    """The two channels of the map."""
    named = {name.lower(): name for name in channels}
    pair = next(([named[u], named[v]] for u, v in _NAMES if u in named and v in named), [])
    for kind in (np.float32, np.float16):
        pair = pair or [name for name, values in channels.items() if values.dtype == kind][:2]
        pair = pair if len(pair) == 2 else []
    if not pair:
        found = ", ".join(channels) or "none"
        raise PlateError(f"no STMap channels, only {found}", hint=_MAP_HINT, path=path, frame=frame)
    if pair[0].lower().startswith("backward."):
        raise PlateError(
            "only the layer `backward`, which puts distortion on",
            hint="write the layer `forward`, which takes it off",
            path=path,
            frame=frame,
        )
    u, v = channels[pair[0]], channels[pair[1]]
    if u.dtype != np.float32 or v.dtype != np.float32:
        raise PlateError(
            f"the STMap channels {pair[0]} and {pair[1]} are {u.dtype} and {v.dtype}, too coarse for positions",
            hint="write them as 32-bit float",
            path=path,
            frame=frame,
        )
    return u, v


def _positions(uv: F32, display: tuple[int, int]) -> tuple[F64, F64]:
    """Plate x and y that the map's pixels name, NaN where they name none: not a number, black or clamped."""
    width, height = display
    u, v = uv[..., 0].astype(np.float64), uv[..., 1].astype(np.float64)
    none = ~np.isfinite(u) | ~np.isfinite(v) | (u == 0) | (u == 1) | (v == 0) | (v == 1)
    x, y = u * width, (1.0 - v) * height
    x[none] = y[none] = np.nan
    return x, y


def _good(x: F64, y: F64, display: tuple[int, int]) -> NDArray[np.bool_]:
    """Where the map can be believed; ValueError in words when it is no map of a lens."""
    known = np.isfinite(x)
    if min(x.shape) < 4 or known.sum() < 16:
        raise ValueError("it has no pixels with numbers between 0 and 1")
    across, down = np.gradient(x, axis=1), np.gradient(y, axis=0)
    inside = known & (x > 0) & (x < display[0]) & (y > 0) & (y < display[1])
    inside &= np.isfinite(across) & np.isfinite(down)
    if inside.sum() < 16:
        u, v = x[known] / display[0], 1.0 - y[known] / display[1]
        raise ValueError(f"its values run from {min(u.min(), v.min()):.4g} to {max(u.max(), v.max()):.4g}")
    right, below = float((across[inside] > 0).mean()), float((down[inside] > 0).mean())
    if right > 0.9 and below < 0.1:
        raise ValueError("its v runs down, Nuke's runs up")
    if min(right, below) < 0.9:
        raise ValueError("u does not grow to the right and v upwards all over the picture")
    some = slice(None, None, max(1, max(x.shape) // 256))
    rough = float(np.nanpercentile(np.abs(np.diff(x[some], 2, axis=1)), 90))
    rough = max(rough, float(np.nanpercentile(np.abs(np.diff(y[:, some], 2, axis=0)), 90)))
    if rough > _ROUGH * max(1.0, float(np.median(across[inside]))):
        raise ValueError(f"its values are too coarse (steps of {rough:.2f} pixels), as if they had been half floats")
    turn = across * down - np.gradient(x, axis=0) * np.gradient(y, axis=1)
    return known & (across > 0) & (down > 0) & (turn > 0)


def _fitted(x: F64, y: F64, good: NDArray[np.bool_], window: Window) -> Matrix23:
    """The affine map nearest to the positions; ValueError when its scale is not that of any lens."""
    if not _core(good).any():
        raise ValueError("it says nothing about any larger part of the plate")
    rows, columns = np.nonzero(good)
    some = slice(None, None, max(1, len(rows) // 20_000))
    rows, columns = rows[some], columns[some]
    at = np.stack([columns + window.x + 0.5, rows + window.y + 0.5, np.ones(len(rows))], axis=-1)
    found = np.linalg.lstsq(at, np.stack([x[rows, columns], y[rows, columns]], axis=-1), rcond=None)[0].T
    for scale in (found[0, 0], found[1, 1]):
        if not _SCALES[0] < scale < _SCALES[1]:
            raise ValueError(f"it scales by {scale:.3g}, as if it held something other than positions 0..1")
    return np.asarray(found, np.float64)


def _ramp(row: F64, window: Window) -> F64:
    """(h, w) values of one row of an affine matrix at the pixel centres of `window`."""
    x, y = np.arange(window.x, window.x1) + 0.5, np.arange(window.y, window.y1) + 0.5
    return np.asarray((row[0] * x + row[2])[None, :] + (row[1] * y)[:, None], np.float64)


def _core(known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The samples whose neighbours within _REACH are all known."""
    kernel = np.ones((2 * _REACH + 1, 2 * _REACH + 1), np.uint8)
    return np.asarray(cv2.erode(known.astype(np.uint8), kernel), bool)


def _filled(plane: F32, known: NDArray[np.bool_]) -> F32:
    """`plane` with its unknown samples continued straight from the nearest known ones."""
    if known.all():
        return plane
    core = _core(known)
    height, width = plane.shape
    _, labels = cv2.distanceTransformWithLabels(
        (~core).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    home = np.zeros(int(labels.max()) + 1, np.int64)
    home[labels[core]] = np.flatnonzero(core)
    rows, columns = np.nonzero(~known)
    y, x = np.divmod(home[labels[rows, columns]], width)
    left, right = np.maximum(x - _REACH, 0), np.minimum(x + _REACH, width - 1)
    above, below = np.maximum(y - _REACH, 0), np.minimum(y + _REACH, height - 1)
    across = (plane[y, right] - plane[y, left]) / (right - left)
    down = (plane[below, x] - plane[above, x]) / (below - above)
    out = plane.copy()
    out[rows, columns] = plane[y, x] + across * (columns - x) + down * (rows - y)
    return out
