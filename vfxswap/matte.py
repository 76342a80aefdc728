"""Coverage: where the face is, by cause."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vfxswap.face import mesh, uv
from vfxswap.geometry import Window
from vfxswap.pixels import F32, F64, Matte

_SUBPIXEL = 4
_LINES = 16
"""Lines per pixel along which an outline's coverage is measured."""
_FINE = 4
"""Samples per pixel, each way, of what the face hides of itself."""
_AROUND = 0.03
"""Texture coordinates by which a feature's surroundings still count as the feature."""

SEEN = 1.0 / 512
"""Coverage below half a code of 8 bits is not seen, but would rewrite plate pixels: it counts as none."""

Sides = tuple[float, float, float, float]
"""Top, right, bottom, left."""
EVEN: Sides = (0.0, 0.0, 0.0, 0.0)

# The feather is a Gaussian of a quarter of its width, so that its middle half is the visible ramp. What such an
# edge still covers two standard deviations out, where the matte must have ended, is taken off.
SIGMA = 0.25
_TAIL = 0.02275
_LEAST_SIGMA = 1e-3
"""Pixels; a blur below that changes nothing."""

_TOP, _CHIN = 10, 152
_LEFT, _RIGHT = 454, 234
_FOREHEAD = (67, 109, 10, 338, 297)
_RIM: tuple[tuple[tuple[int, ...], float, float], ...] = (
    (_FOREHEAD, 0.03, 0.0),
    ((54, 103, 67, 284, 332, 297), 0.03, 0.04),
    ((176, 148, 152, 377, 400), -0.06, 0.2),
    ((136, 150, 149, 365, 379, 378), 0.0, 0.15),
)
"""Where the face goes on beyond the mesh: which points are moved, how far up and back, in heights of the face.

Forehead, temples, the underside of chin and jaw. Measured on rendered performers with known outlines.
"""


def oval(points: F64, *, size: int, soft: float = 0.0) -> Matte:
    """(size, size) coverage of the face from its landmarks: the hull of the mesh, carried on at its rim.

    The mesh ends below the hairline and at the chin's edge; forehead, temples and the jaw's underside, which shows
    when the head is raised or turned, are part of the likeness.

    Args:
        points: (468 or 478, 3) landmarks in crop pixels, depth away from the camera.
        size: side of the crop.
        soft: standard deviation of the edge in pixels; 0 is one pixel of antialiasing.
    """
    scale = 2
    flat = points[: mesh.MESH_COUNT, :2]
    hull = cv2.convexHull(np.concatenate([flat, _beyond(points)]).astype(np.float32)) * scale
    image = np.zeros((size * scale, size * scale), np.uint8)
    fixed = np.round(hull * 2**_SUBPIXEL - 2 ** (_SUBPIXEL - 1)).astype(np.int32)
    cv2.fillConvexPoly(image, fixed, 255, lineType=cv2.LINE_AA, shift=_SUBPIXEL)
    out = np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA), np.float32) / np.float32(255.0)
    if soft > 0:
        out = np.asarray(cv2.GaussianBlur(out, (0, 0), soft), np.float32)
    return Matte(np.asarray(out, np.float32))


def _beyond(points: F64) -> F64:
    """(M, 2) positions beyond the mesh's rim, where the face goes on: _RIM moved along the head's own axes."""
    up = points[_TOP] - points[_CHIN]
    across = points[_LEFT] - points[_RIGHT]
    back = np.cross(across, up)
    back *= -np.linalg.norm(up) / np.linalg.norm(back)
    return np.concatenate([(points[list(ids)] + rise * up + deep * back)[:, :2] for ids, rise, deep in _RIM])


def eyes(points: F64, *, window: Window) -> Matte:
    """Coverage of the eyes between the lids, over `window`, without what the face itself hides.

    Args:
        points: (468 or 478, 3) landmarks in plate pixels.
        window: the plate rectangle wanted.
    """
    # The mesh names the points of the two eyes in opposite directions.
    left, right = (_feature(points, ring, window) for ring in (mesh.LEFT_EYE, mesh.RIGHT_EYE[::-1]))
    return Matte(np.maximum(left, right))


def mouth(points: F64, *, window: Window) -> Matte:
    """Coverage of the lips and what is between them, over `window`; otherwise as `eyes`."""
    return _feature(points, mesh.LIPS_OUTER[::-1], window)


def _feature(points: F64, ring: tuple[int, ...], window: Window) -> Matte:
    """Coverage of what `ring` encloses on the face, where the face shows that very part of itself."""
    out = np.zeros((window.height, window.width), np.float32)
    corners = points[list(ring), :2]
    here = Window.around(corners, margin=1.0).intersect(window)
    if here.empty:
        return Matte(out)
    fine = Window(here.x * _FINE, here.y * _FINE, here.width * _FINE, here.height * _FINE)
    u, v, shown = np.moveaxis(uv.uv_pass(points * _FINE, window=fine), -1, 0)
    texture = mesh.canonical().uv[list(ring)] * [1.0, -1.0] + [0.0, 1.0]
    (u0, v0), (u1, v1) = texture.min(axis=0) - _AROUND, texture.max(axis=0) + _AROUND
    seen = ((shown > 0) & (u > u0) & (u < u1) & (v > v0) & (v < v1)).astype(np.float32)
    seen = np.asarray(cv2.resize(seen, (here.width, here.height), interpolation=cv2.INTER_AREA), np.float32)
    out[here.slices(window)] = np.minimum(_covered([corners], here), seen)
    return Matte(out)


def outlines(rings: Sequence[F64], *, window: Window) -> Matte:
    """Coverage of closed outlines, antialiased: the part of each pixel that any of them encloses.

    Args:
        rings: (N, 2) corners in plate pixels each; the last joins the first. Where a ring crosses itself, the parts
            that run against the greater one are outside.
        window: the plate rectangle wanted; rings may lie partly or wholly outside.

    Returns:
        (window.height, window.width) float32 in [0, 1]; exact across, sampled _LINES times per pixel down.
    """
    return _covered([ring if _area(ring) > 0 else ring[::-1] for ring in rings], window)


def _covered(rings: Sequence[F64], window: Window) -> Matte:
    """As `outlines`, of what the rings enclose clockwise as the picture shows it: what faces the camera."""
    found = [_crossings(ring - [window.x, window.y], window.height) for ring in rings]
    if window.empty or not found:
        return Matte(np.zeros((window.height, window.width), np.float32))
    line, x, turn = (np.concatenate(parts) for parts in zip(*found, strict=True))
    x = np.clip(x, 0.0, window.width)
    ring = np.repeat(np.arange(len(found)), [len(lines) for lines, _, _ in found])
    order = np.lexsort((x, line))
    line, x, ring, turn = line[order], x[order], ring[order], turn[order]
    # Along a line each ring is entered and left in turn; a line ends outside of all of them.
    winding = np.cumsum((ring[:, None] == np.arange(len(found))) * turn[:, None], axis=0)
    inside = np.asarray((winding > 0).any(axis=1))
    edge = inside != np.concatenate([[False], inside[:-1]])
    sign, x, row = np.where(inside, 1.0, -1.0)[edge], x[edge], line[edge] // _LINES
    # From an entry on every pixel is covered, the one it falls in by what lies right of it; a leaving takes that off.
    x = np.round(x * 4096.0) / 4096.0  # their sums are exact then: 0 outside and 1 inside
    column = np.floor(x).astype(np.int64)
    part = x - column
    start = row * (window.width + 2) + column
    size = window.height * (window.width + 2)
    change = np.bincount(start, sign * (1.0 - part), size) + np.bincount(start + 1, sign * part, size)
    cover = np.cumsum(change.reshape(window.height, -1), axis=1)[:, : window.width] / _LINES
    return Matte(np.clip(cover, 0.0, 1.0).astype(np.float32))


def _crossings(ring: F64, height: int) -> tuple[NDArray[np.int64], F64, NDArray[np.int64]]:
    """Which lines (_LINES per pixel row) the closed `ring` crosses, the x where it does; 1 going up, -1 going down."""
    start, end = ring, np.roll(ring, -1, axis=0)
    y = (np.arange(height * _LINES) + 0.5) / _LINES
    line, edge = np.nonzero((start[:, 1] <= y[:, None]) != (end[:, 1] <= y[:, None]))
    (x0, y0), (x1, y1) = start[edge].T, end[edge].T
    return line, x0 + (y[line] - y0) * (x1 - x0) / (y1 - y0), np.where(y1 < y0, 1, -1)


def _area(ring: F64) -> float:
    """Signed area: positive where the corners run clockwise as the picture shows them."""
    after = np.roll(ring, -1, axis=0)
    return 0.5 * float((ring[:, 0] * after[:, 1] - ring[:, 1] * after[:, 0]).sum())


def shape(coverage: F32, *, erode: float = 0.0, feather: float = 0.0, sides: Sides = EVEN) -> Matte:
    """Move and soften the edge of a matte.

    Args:
        coverage: (H, W) float32 in [0, 1].
        erode: pixels the edge moves inwards (negative: outwards).
        feather: width of the soft edge in pixels, half of it on either side: its half value stays where the edge is.
            Nothing further out is touched.
        sides: pixels by which the edge moves further inwards at the top, right, bottom and left of the matte's
            middle; between them they mix by direction.

    Returns:
        (H, W) float32 in [0, 1]; exactly 0 outside.
    """
    if sides == EVEN:
        return Matte(_shaped(coverage, erode, feather))
    done = {side: _shaped(coverage, erode + side, feather) for side in set(sides)}
    parts = zip(_towards(coverage), sides, strict=True)
    return Matte(np.asarray(sum(weight * done[side] for weight, side in parts), np.float32))


def _towards(coverage: F32) -> tuple[F32, F32, F32, F32]:
    """(H, W) how much each pixel lies to the top, right, bottom and left of the matte's middle; they add up to 1."""
    height, width = coverage.shape
    rows, columns = np.nonzero(coverage >= SEEN)
    middle = (rows.mean(), columns.mean()) if len(rows) else (height / 2, width / 2)
    y, x = np.arange(height)[:, None] - middle[0], np.arange(width)[None, :] - middle[1]
    down = np.asarray(y**2 / np.maximum(y**2 + x**2, 1e-6), np.float32)
    across = np.float32(1.0) - down
    zero = np.float32(0.0)
    return (
        np.where(y < 0, down, zero),
        np.where(x >= 0, across, zero),
        np.where(y >= 0, down, zero),
        np.where(x < 0, across, zero),
    )


def _shaped(coverage: F32, erode: float, feather: float) -> F32:
    out = _moved(coverage, erode)
    if feather * SIGMA > _LEAST_SIGMA:
        blurred = np.asarray(cv2.GaussianBlur(out, (0, 0), feather * SIGMA), np.float32)
        out = (blurred - _TAIL) / (1.0 - 2 * _TAIL)
        # In hollows of the outline the tail is longer than along a straight edge.
        out = np.minimum(out, _moved(coverage, erode - feather / 2))
    out[out < SEEN] = 0.0
    return np.asarray(np.clip(out, 0.0, 1.0), np.float32)


def _moved(coverage: F32, pixels: float) -> F32:
    """`coverage` with its edge moved inwards by a disc (outwards when negative); parts of a pixel interpolate."""
    whole, part = divmod(abs(pixels), 1.0)
    near = morphed(coverage, int(whole), inwards=pixels > 0)
    if part == 0.0:
        return near
    return np.asarray(near + (morphed(coverage, int(whole) + 1, inwards=pixels > 0) - near) * part, np.float32)


def morphed(coverage: F32, radius: int, *, inwards: bool) -> F32:
    """(H, W) coverage with its edge moved by a disc of whole pixels; what lies outside of the picture has no say."""
    if radius == 0:
        return coverage
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.erode(coverage, kernel) if inwards else cv2.dilate(coverage, kernel), np.float32)
