"""The UV pass: which point of the canonical face each plate pixel shows."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from vfxswap.face import mesh
from vfxswap.geometry import Window
from vfxswap.pixels import F32, F64

_Ints = NDArray[np.int64]


def uv_pass(points: F64, *, window: Window) -> F32:
    """Texture coordinates of the face over a plate rectangle.

    The mesh is flat between its points, so that u, v and depth are affine inside each triangle. The nearest triangle
    wins each pixel; triangles that face away are left out. Two triangles that share an edge never both hold a pixel
    on it, and never leave one between them.

    Args:
        points: (468 or 478, 3) landmarks in plate pixels (as the plate shows them: with a lens, through
            `Lens.to_plate`); z in the same units, negative is nearer.
        window: the plate rectangle wanted.

    Returns:
        (window.height, window.width, 3) float32: u and v of the canonical mesh (0..1, v up, Nuke's convention) at
        each pixel's centre, and coverage, 1 or 0. All are 0 where there is no face.
    """
    out = np.zeros((window.height, window.width, 3), np.float32)
    if window.empty:
        return out
    corners = np.asarray(points[: mesh.MESH_COUNT], np.float64) - [window.x, window.y, 0.0]
    triangles = mesh.canonical().triangles
    # Negative as seen from the front, with y down; what is thinner than this shows on no pixel.
    triangles = triangles[_turn(corners[triangles]) < -1e-6]
    which, row, first, last = _spans(corners, triangles, window)
    if not len(which):
        return out
    planes = _planes(corners, triangles)
    count = last - first
    span = np.repeat(np.arange(len(which)), count)
    column = np.arange(len(span)) - np.repeat(np.cumsum(count) - count, count) + first[span]
    pixel = row[span] * window.width + column
    # Along a span each value is its start and a step per pixel.
    start = planes[which, :, 1] * (row + 0.5)[:, None] + planes[which, :, 2] + planes[which, :, 0] * 0.5
    depth = start[span, 2] + planes[which[span], 2, 0] * column
    nearest = np.full(window.width * window.height, np.inf)
    np.minimum.at(nearest, pixel, depth)
    won = np.flatnonzero(depth == nearest[pixel])
    span, column, pixel = span[won], column[won], pixel[won]
    flat = out.reshape(-1, 3)
    for i in (0, 1):
        flat[pixel, i] = start[span, i] + planes[which[span], i, 0] * column
    flat[pixel, 2] = 1.0
    return out


@functools.cache
def _texture() -> F64:
    """(468, 2) u and v, v up."""
    uv = mesh.canonical().uv * [1.0, -1.0] + [0.0, 1.0]
    uv.setflags(write=False)
    return uv


def _turn(corners: F64) -> F64:
    """(T,) twice the signed area of (T, 3, 2 or 3) triangles."""
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0], np.float64)


def _planes(corners: F64, triangles: _Ints) -> F64:
    """(T, 3, 3): of u, v and z, the change per pixel across and down and the value at the origin."""
    flat = corners[triangles]
    values = np.concatenate([_texture()[triangles], flat[..., 2:3]], axis=-1)
    across, down = flat[:, 1:, :2] - flat[:, :1, :2], values[:, 1:] - values[:, :1]
    turn = _turn(flat)
    (ax, ay), (bx, by) = across[:, 0].T, across[:, 1].T
    first, second = down[:, 0], down[:, 1]
    dx = (first * by[:, None] - second * ay[:, None]) / turn[:, None]
    dy = (second * ax[:, None] - first * bx[:, None]) / turn[:, None]
    rest = values[:, 0] - dx * flat[:, 0, 0:1] - dy * flat[:, 0, 1:2]
    return np.stack([dx, dy, rest], axis=-1)


def _spans(corners: F64, triangles: _Ints, window: Window) -> tuple[_Ints, _Ints, _Ints, _Ints]:
    """Triangle, row, first column and one past the last, of every row of every triangle that shows."""
    y = corners[triangles, 1]
    # Rows whose centre lies in [lowest, highest).
    top = np.clip(np.ceil(y.min(axis=1) - 0.5), 0, window.height).astype(np.int64)
    bottom = np.clip(np.ceil(y.max(axis=1) - 0.5), 0, window.height).astype(np.int64)
    count = np.maximum(bottom - top, 0)
    which = np.repeat(np.arange(len(triangles)), count)
    row = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count) + top[which]
    centre = row + 0.5
    left, right = np.full(len(row), np.inf), np.full(len(row), -np.inf)
    for i in range(3):
        # From the lower index to the higher: both triangles of an edge compute the very same crossing.
        ends = np.sort(triangles[:, [i, (i + 1) % 3]], axis=1)[which]
        (x0, y0), (x1, y1) = corners[ends[:, 0], :2].T, corners[ends[:, 1], :2].T
        crossed = (y0 <= centre) != (y1 <= centre)
        x = x0 + (centre - y0) * (x1 - x0) / np.where(crossed, y1 - y0, 1.0)
        left, right = np.where(crossed, np.minimum(left, x), left), np.where(crossed, np.maximum(right, x), right)
    first = np.ceil(np.clip(left, 0.0, window.width) - 0.5).astype(np.int64)
    last = np.ceil(np.clip(right, 0.0, window.width) - 0.5).astype(np.int64)
    some = last > first
    return which[some], row[some], first[some], last[some]
