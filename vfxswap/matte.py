"""Coverage: where the face is, by cause."""

from __future__ import annotations

import cv2
import numpy as np

from vfxswap.pixels import F32, F64, Matte

_SUBPIXEL = 4


def oval(points: F64, *, size: int, soft: float = 0.0) -> Matte:
    """(size, size) coverage of the face from its landmarks: the hull of the mesh.

    Args:
        points: (468 or 478, 2 or 3) landmarks in crop pixels.
        size: side of the crop.
        soft: standard deviation of the edge in pixels; 0 is one pixel of antialiasing.
    """
    scale = 2
    hull = cv2.convexHull(points[:468, :2].astype(np.float32)) * scale
    image = np.zeros((size * scale, size * scale), np.uint8)
    fixed = np.round(hull * 2**_SUBPIXEL - 2 ** (_SUBPIXEL - 1)).astype(np.int32)
    cv2.fillConvexPoly(image, fixed, 255, lineType=cv2.LINE_AA, shift=_SUBPIXEL)
    out = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
    if soft > 0:
        out = cv2.GaussianBlur(out, (0, 0), soft)
    return Matte(np.asarray(out, np.float32))


def shape(coverage: F32, *, erode: float = 0.0, feather: float = 0.0) -> Matte:
    """Move and soften the edge of a matte.

    Args:
        coverage: (H, W) float32 in [0, 1].
        erode: pixels the edge moves inwards (negative: outwards).
        feather: width of the soft edge in pixels. It reaches inwards only, so that nothing outside is touched.

    Returns:
        (H, W) float32 in [0, 1]; exactly 0 outside.
    """
    out = coverage.astype(np.float32, copy=True)
    reach = erode + feather / 2
    if reach:
        radius = max(1, round(abs(reach)))
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        out = np.asarray(cv2.erode(out, kernel) if reach > 0 else cv2.dilate(out, kernel), np.float32)
    if feather > 0:
        out = np.asarray(cv2.GaussianBlur(out, (0, 0), feather / 4), np.float32)
    # Coverage below half a code of 8 bits is not seen, but would rewrite plate pixels.
    out[out < 1.0 / 512] = 0.0
    return Matte(np.clip(out, 0.0, 1.0))
