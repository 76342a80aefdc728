"""Plate <-> crop: the matrices and the resampling.

A face's `similarity` maps the plate to the unit face frame (face/mesh.py). The model's crop is a square of
that frame; facesets store a wider one, so that training may move and turn crops without running out of
pixels. Coordinates: geometry.py.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np

from vfxswap.geometry import Matrix23, Window, compose, invert, scale_of, to_opencv, transform
from vfxswap.pixels import F32

TEMPLATE = "rigid33/1"
"""Name of the alignment: weighted similarity of the 33 rigid mesh points, this frame."""

FRAME_CENTRE = (0.5, 0.5)
FRAME_SIZE = 1.2
"""The model's crop in the unit face frame: its centre and the length of its side."""

FACESET_MARGIN = 1.25
"""A faceset's crop is this much wider than the model's."""

_UPSCALE = 4


def crop_matrix(similarity: Matrix23, *, size: int, margin: float = 1.0) -> Matrix23:
    """Plate -> crop of `size` pixels, from a face's plate -> unit frame matrix.

    Args:
        similarity: (2, 3) plate -> unit face frame.
        size: side of the crop in pixels.
        margin: 1 for the model's crop, FACESET_MARGIN for a faceset's.
    """
    scale = size / (FRAME_SIZE * margin)
    place = np.array(
        [
            [scale, 0.0, size / 2 - scale * FRAME_CENTRE[0]],
            [0.0, scale, size / 2 - scale * FRAME_CENTRE[1]],
        ]
    )
    return compose(place, similarity)


def placed(matrix: Matrix23, *, size: int, placement: tuple[float, float]) -> Matrix23:
    """Plate -> crop for a painted crop that is moved by `placement` crop sides (x right, y down) in the plate."""
    moved = matrix.copy()
    moved[:, 2] -= size * np.asarray(placement, np.float64)
    return moved


def crop_window(matrix: Matrix23, *, size: int) -> Window:
    """The smallest window of the plate that holds the crop, with a pixel to spare for interpolation."""
    corners = np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float64)
    back = invert(matrix)
    return Window.around(corners @ back[:, :2].T + back[:, 2], margin=2.0)


def take(image: F32, *, window: Window, matrix: Matrix23, size: int) -> F32:
    """Resample a crop out of the plate.

    Args:
        image: (H, W[, C]) float32, the plate's pixels in `window` (plate coordinates).
        window: where `image` lies.
        matrix: plate -> crop.
        size: side of the crop.

    Returns:
        (size, size[, C]) float32. Area prefilter when minifying, bilinear otherwise; beyond the image its
        border repeats.
    """
    here = compose(matrix, np.array([[1.0, 0.0, window.x], [0.0, 1.0, window.y]]))
    factor = int(1.0 / max(scale_of(here), 1e-6))
    if factor >= 2:
        height, width = image.shape[0] // factor, image.shape[1] // factor
        image = np.asarray(
            cv2.resize(image[: height * factor, : width * factor], (width, height), interpolation=cv2.INTER_AREA)
        )
        here = compose(here, np.array([[factor, 0.0, 0.0], [0.0, factor, 0.0]], np.float64))
    out = cv2.warpAffine(
        np.ascontiguousarray(image, np.float32),
        to_opencv(here),
        (size, size),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(out, np.float32)


def put(crop: F32, *, matrix: Matrix23, window: Window) -> F32:
    """Resample a crop onto the plate's raster.

    Enlarging goes through a cubic resize by four, whose phases are fixed, then bilinear: OpenCV's cubic warp
    rounds positions to 1/32 pixel, which would jitter, and its cubic kernel moves edges by up to 1/25 pixel.
    Shrinking filters first, evenly around each pixel.

    Args:
        crop: (S, S[, C]) float32.
        matrix: plate -> crop.
        window: the plate rectangle to fill.

    Returns:
        (window.height, window.width[, C]) float32; outside the crop its border repeats.
    """
    here = compose(matrix, np.array([[1.0, 0.0, window.x], [0.0, 1.0, window.y]]))
    planes = crop.reshape(*crop.shape[:2], -1)
    # Four at a time: for more OpenCV falls back to positions of 1/32 pixel.
    parts = [_put(planes[..., i : i + 4], here, window) for i in range(0, planes.shape[2], 4)]
    out = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)
    return out.reshape(window.height, window.width, *crop.shape[2:])


def _put(planes: F32, matrix: Matrix23, window: Window) -> F32:
    """(H, W, C) of (S, S, C), C at most 4, by a matrix from `window`'s own corner -> crop."""
    scale = scale_of(matrix)
    if scale <= 1.0:
        planes, matrix = _needed(planes, matrix, window)
    # OpenCV has no channel axis where there is one channel.
    source = np.ascontiguousarray(planes if planes.shape[2] > 1 else planes[..., 0])
    source, grow = _prefiltered(source, scale)
    source, grow = _enlarged(source), grow * _UPSCALE
    matrix = compose(np.array([[grow, 0.0, 0.0], [0.0, grow, 0.0]]), matrix)
    out = cv2.warpAffine(
        source,
        to_opencv(matrix),
        (window.width, window.height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(out, np.float32).reshape(window.height, window.width, planes.shape[2])


def _needed(planes: F32, matrix: Matrix23, window: Window) -> tuple[F32, Matrix23]:
    """The part of the crop that a window as large as `window` shows, and the matrix into it."""
    size = planes.shape[0]
    ends = np.array([[0, 0], [window.width, 0], [window.width, window.height], [0, window.height]], np.float64)
    corners = transform(matrix, ends)
    # Two pixels for the cubic kernel and one for rounding; at least one pixel, whose repetition fills the rest.
    low = np.clip(np.floor(corners.min(axis=0)).astype(int) - 3, 0, size - 1)
    high = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 3, low + 1, size)
    return planes[low[1] : high[1], low[0] : high[0]], compose(
        np.array([[1.0, 0.0, -low[0]], [0.0, 1.0, -low[1]]]), matrix
    )


def _prefiltered(crop: F32, scale: float) -> tuple[F32, float]:
    """`crop` without the detail that shrinking it by `scale` would alias, and how much smaller it has become."""
    if scale <= 1.0:
        return crop, 1.0
    factor = int(scale)
    if factor > 1:
        short = -crop.shape[0] % factor
        whole = cv2.copyMakeBorder(crop, 0, short, 0, short, cv2.BORDER_REPLICATE)
        side = whole.shape[0] // factor
        crop = np.asarray(cv2.resize(whole, (side, side), interpolation=cv2.INTER_AREA), np.float32)
    sigma = 0.5 * np.sqrt((scale / factor) ** 2 - 1.0)
    if sigma > 0.1:
        blurred = cv2.GaussianBlur(crop, (0, 0), float(sigma), borderType=cv2.BORDER_REPLICATE)
        crop = np.asarray(blurred, np.float32)
    return crop, 1.0 / factor


def _enlarged(crop: F32) -> F32:
    """`crop` enlarged by _UPSCALE with the Catmull-Rom cubic, which keeps straight ramps straight.

    Source: R. Keys, "Cubic convolution interpolation for digital image processing", IEEE Trans. ASSP 29(6), 1981,
    a = -1/2 (OpenCV's resize has a = -3/4).
    """
    height, width = crop.shape[:2]
    one = np.ones(1, np.float32)
    wide = np.empty((height, width, _UPSCALE, *crop.shape[2:]), np.float32)
    for phase, kernel in enumerate(_kernels()):
        wide[:, :, phase] = cv2.sepFilter2D(crop, cv2.CV_32F, kernel, one, borderType=cv2.BORDER_REPLICATE)
    wide = wide.reshape(height, width * _UPSCALE, *crop.shape[2:])
    out = np.empty((height, _UPSCALE, *wide.shape[1:]), np.float32)
    for phase, kernel in enumerate(_kernels()):
        out[:, phase] = cv2.sepFilter2D(wide, cv2.CV_32F, one, kernel, borderType=cv2.BORDER_REPLICATE)
    return out.reshape(height * _UPSCALE, *wide.shape[1:])


@functools.cache
def _kernels() -> tuple[F32, ...]:
    """(5,) taps of each of the _UPSCALE positions inside a pixel."""
    out = []
    for phase in range(_UPSCALE):
        away = np.abs(np.arange(-2, 3) - ((phase + 0.5) / _UPSCALE - 0.5))
        near = 1.5 * away**3 - 2.5 * away**2 + 1.0
        far = -0.5 * away**3 + 2.5 * away**2 - 4.0 * away + 2.0
        out.append(np.where(away < 1.0, near, np.where(away < 2.0, far, 0.0)).astype(np.float32))
    return tuple(out)


def frame_weight(*, size: int, rim: float = 0.06) -> F32:
    """(size, size) float32: 1 inside the crop, falling to 0 at its border over `rim` of its side."""
    distance = np.minimum(np.arange(size) + 0.5, size - np.arange(size) - 0.5) / (rim * size)
    ramp = np.clip(distance, 0.0, 1.0)
    ramp = ramp * ramp * (3 - 2 * ramp)
    return np.asarray(np.minimum(ramp[:, None], ramp[None, :]), np.float32)


def stmap(*, matrix: Matrix23, window: Window, size: int) -> F32:
    """(H, W, 2) float32 STMap over `window`: plate raster -> crop position, Nuke's convention (0..1, y up)."""
    x = np.arange(window.x, window.x1) + 0.5
    y = np.arange(window.y, window.y1) + 0.5
    # In double precision: single would lose hundredths of a pixel in a large plate before it is even written.
    (a, b, left), (c, d, top) = matrix / size
    out = np.empty((window.height, window.width, 2), np.float32)
    np.add((a * x + left)[None, :], (b * y)[:, None], out=out[..., 0], casting="same_kind")
    np.subtract((1.0 - top - c * x)[None, :], (d * y)[:, None], out=out[..., 1], casting="same_kind")
    return out
