"""Coverage: where the face is, by cause."""

from __future__ import annotations

import cv2
import numpy as np

from vfxswap.face import mesh
from vfxswap.pixels import F32, F64, Matte

_SUBPIXEL = 4

SEEN = 1.0 / 512
"""Coverage below half a code of 8 bits is not seen, but would rewrite plate pixels: it counts as none."""

# The feather is a Gaussian of a quarter of its width, so that its middle half is the visible ramp. What such an
# edge still covers two standard deviations out, where the matte must have ended, is taken off.
SIGMA = 0.25
_TAIL = 0.02275

_TOP, _CHIN = 10, 152
_FOREHEAD = (67, 109, 10, 338, 297)
_RAISE = 0.05
"""How far the forehead's rim is raised, as a part of the face's height."""


def oval(points: F64, *, size: int, soft: float = 0.0) -> Matte:
    """(size, size) coverage of the face from its landmarks: the hull of the mesh, the forehead raised.

    The mesh ends well below the hairline; a performer's forehead is part of the likeness.

    Args:
        points: (468 or 478, 2 or 3) landmarks in crop pixels.
        size: side of the crop.
        soft: standard deviation of the edge in pixels; 0 is one pixel of antialiasing.
    """
    scale = 2
    flat = points[: mesh.MESH_COUNT, :2]
    up = flat[_TOP] - flat[_CHIN]
    raised = flat[list(_FOREHEAD)] + _RAISE * up
    hull = cv2.convexHull(np.concatenate([flat, raised]).astype(np.float32)) * scale
    image = np.zeros((size * scale, size * scale), np.uint8)
    fixed = np.round(hull * 2**_SUBPIXEL - 2 ** (_SUBPIXEL - 1)).astype(np.int32)
    cv2.fillConvexPoly(image, fixed, 255, lineType=cv2.LINE_AA, shift=_SUBPIXEL)
    out = np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA), np.float32) / np.float32(255.0)
    if soft > 0:
        out = np.asarray(cv2.GaussianBlur(out, (0, 0), soft), np.float32)
    return Matte(np.asarray(out, np.float32))


def shape(coverage: F32, *, erode: float = 0.0, feather: float = 0.0) -> Matte:
    """Move and soften the edge of a matte.

    Args:
        coverage: (H, W) float32 in [0, 1].
        erode: pixels the edge moves inwards (negative: outwards).
        feather: width of the soft edge in pixels. It reaches inwards only: where `erode` is not negative, nothing
            outside `coverage` is touched.

    Returns:
        (H, W) float32 in [0, 1]; exactly 0 outside.
    """
    out = _moved(coverage, erode + feather / 2)
    if feather > 0:
        blurred = np.asarray(cv2.GaussianBlur(out, (0, 0), feather * SIGMA), np.float32)
        out = (blurred - _TAIL) / (1.0 - 2 * _TAIL)
    # In hollows of the outline the tail is longer than along a straight edge.
    out = np.minimum(out, coverage if erode >= 0 else _moved(coverage, erode))
    out[out < SEEN] = 0.0
    return Matte(np.asarray(np.clip(out, 0.0, 1.0), np.float32))


def _moved(coverage: F32, pixels: float) -> F32:
    """`coverage` with its edge moved inwards by a disc (outwards when negative); parts of a pixel interpolate."""
    whole, part = divmod(abs(pixels), 1.0)
    near = _morphed(coverage, int(whole), inwards=pixels > 0)
    if part == 0.0:
        return near
    return np.asarray(near + (_morphed(coverage, int(whole) + 1, inwards=pixels > 0) - near) * part, np.float32)


def _morphed(coverage: F32, radius: int, *, inwards: bool) -> F32:
    if radius == 0:
        return coverage
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.erode(coverage, kernel) if inwards else cv2.dilate(coverage, kernel), np.float32)
