"""Plate <-> crop: the matrices and the resampling.

A face's `similarity` maps the plate to the unit face frame (face/mesh.py). The model's crop is a square of
that frame; facesets store a wider one, so that training may move and turn crops without running out of
pixels. Coordinates: geometry.py.

Where a lens is given, faces were tracked without its distortion: `matrix` maps the UNDISTORTED plate to the crop, and
a point goes plate -> lens.from_plate -> matrix. Each pixel is still sampled once.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vfxswap.geometry import Matrix23, Window, compose, invert, scale_of, to_opencv, transform
from vfxswap.lens import Lens
from vfxswap.pixels import F32, F64

TEMPLATE = "rigid33/1"
"""Name of the alignment: weighted similarity of the 33 rigid mesh points, this frame."""

FRAME_CENTRE = (0.5, 0.5)
FRAME_SIZE = 1.2
"""The model's crop in the unit face frame: its centre and the length of its side."""

FACESET_MARGIN = 1.25
"""A faceset's crop is this much wider than the model's."""

_UPSCALE = 4
_STRIP = 64
"""Rows of an STMap made at a time: a lens's positions are double precision and many."""


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


@dataclass(frozen=True)
class Placement:
    """Where a painted crop is shown: turned and scaled about its centre, then moved.

    Attributes:
        x, y: the move in crop sides, right and down.
        scale: 1 shows it as large as it was painted.
        turn_deg: clockwise, as seen.
    """

    x: float = 0.0
    y: float = 0.0
    scale: float = 1.0
    turn_deg: float = 0.0

    @staticmethod
    def of(matrix: Matrix23, *, size: int) -> Placement:
        """The placement that is a similarity of crop pixels, painted -> shown, of crops of `size`."""
        move = (transform(matrix, np.full((1, 2), size / 2))[0] - size / 2) / size
        turn = math.degrees(math.atan2(matrix[1, 0], matrix[0, 0]))
        return Placement(float(move[0]), float(move[1]), scale_of(matrix), turn)

    def matrix(self, *, size: int) -> Matrix23:
        """Painted -> shown, in pixels of crops of `size`."""
        turn, half = math.radians(self.turn_deg), np.full(2, size / 2)
        linear = self.scale * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        move = half + size * np.array([self.x, self.y]) - linear @ half
        return np.concatenate([linear, move[:, None]], axis=1)


def placed(matrix: Matrix23, *, size: int, placement: Placement) -> Matrix23:
    """Plate -> painted crop of `size` pixels, for a crop that was taken with `matrix` and is shown as placed."""
    return compose(invert(placement.matrix(size=size)), matrix)


def to_crop(points: F64, *, matrix: Matrix23, lens: Lens | None = None) -> F64:
    """(N, 2) plate pixels -> crop pixels."""
    return transform(matrix, points if lens is None else lens.from_plate(points))


def to_plate(points: F64, *, matrix: Matrix23, lens: Lens | None = None) -> F64:
    """(N, 2) crop pixels -> plate pixels."""
    flat = transform(invert(matrix), points)
    return flat if lens is None else lens.to_plate(flat)


def crop_window(matrix: Matrix23, *, size: int, lens: Lens | None = None) -> Window:
    """The smallest window of the plate that holds the crop, with a pixel to spare for interpolation."""
    corners = np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float64)
    if lens is None:
        back = invert(matrix)
        return Window.around(corners @ back[:, :2].T + back[:, 2], margin=2.0)
    along = np.linspace(0.0, 1.0, 33)[:, None]
    sides = [start + (end - start) * along for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True)]
    return Window.around(to_plate(np.concatenate(sides), matrix=matrix, lens=lens), margin=2.0)


def take(image: F32, *, window: Window, matrix: Matrix23, size: int, lens: Lens | None = None) -> F32:
    """Resample a crop out of the plate.

    Args:
        image: (H, W[, C]) float32, the plate's pixels in `window` (plate coordinates).
        window: where `image` lies.
        matrix: plate -> crop; undistorted plate -> crop with a lens.
        size: side of the crop.
        lens: the distortion that the crop shall not show.

    Returns:
        (size, size[, C]) float32. Area prefilter when minifying, bilinear otherwise; beyond the image its
        border repeats.
    """
    here = compose(matrix, np.array([[1.0, 0.0, window.x], [0.0, 1.0, window.y]]))
    shape = (size, size, *image.shape[2:])
    factor = int(1.0 / max(scale_of(here) if lens is None else _scale(matrix, size, lens), 1e-6))
    factor = min(factor, *image.shape[:2])  # a sliver of a large face at the picture's border
    if factor >= 2:
        height, width = image.shape[0] // factor, image.shape[1] // factor
        image = np.asarray(
            cv2.resize(image[: height * factor, : width * factor], (width, height), interpolation=cv2.INTER_AREA)
        )
        here = compose(here, np.array([[factor, 0.0, 0.0], [0.0, factor, 0.0]], np.float64))
    planes = image.reshape(*image.shape[:2], -1)
    if lens is not None:
        points = to_plate(_centres(Window(0, 0, size, size)), matrix=matrix, lens=lens)
        points = (points - [window.x, window.y]) / max(factor, 1)
        return _sampled(planes, points.reshape(size, size, 2)).reshape(shape)
    out = np.empty((size, size, planes.shape[2]), np.float32)
    for some in _exact(planes.shape[2]):
        found = cv2.warpAffine(
            np.ascontiguousarray(planes[..., some], np.float32),
            to_opencv(here),
            (size, size),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        out[..., some] = np.asarray(found).reshape(size, size, -1)
    return out.reshape(shape)


def put(crop: F32, *, matrix: Matrix23, window: Window, lens: Lens | None = None, coverage: bool = False) -> F32:
    """Resample a crop onto the plate's raster.

    Enlarging goes through a cubic resize by four, whose phases are fixed, then bilinear: OpenCV's cubic warp
    rounds positions to 1/32 pixel, which would jitter, and its cubic kernel moves edges by up to 1/25 pixel.
    Shrinking filters first, evenly around each pixel.

    Args:
        crop: (S, S[, C]) float32.
        matrix: plate -> crop; undistorted plate -> crop with a lens.
        window: the plate rectangle to fill.
        lens: the distortion that the plate shows and the crop does not.
        coverage: what the crop holds says where something is.

    Returns:
        (window.height, window.width[, C]) float32; outside the crop its border repeats, or nothing is covered.
    """
    planes = crop.reshape(*crop.shape[:2], -1)
    if coverage:
        scale = scale_of(matrix) if lens is None else _scale(matrix, crop.shape[0], lens)
        # As far as filters look: what lies beyond repeats their zeros.
        rim = 3 + math.ceil(5 * scale)
        planes = np.pad(planes, ((rim, rim), (rim, rim), (0, 0)))
        matrix = compose(np.array([[1.0, 0.0, rim], [0.0, 1.0, rim]]), matrix)
    if lens is not None:
        return _put_bent(planes, matrix, window, lens).reshape(window.height, window.width, *crop.shape[2:])
    here = compose(matrix, np.array([[1.0, 0.0, window.x], [0.0, 1.0, window.y]]))
    parts = [_put(planes[..., some], here, window) for some in _exact(planes.shape[2])]
    out = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)
    return out.reshape(window.height, window.width, *crop.shape[2:])


def _put_bent(planes: F32, matrix: Matrix23, window: Window, lens: Lens) -> F32:
    """(H, W, C) over `window` of (S, S, C), through a lens."""
    points = transform(matrix, lens.from_window(window))
    scale = _scale(matrix, planes.shape[0], lens)
    if scale <= 1.0:
        planes, low = _needed(planes, points)
        points = points - low
    # In one piece, whatever the number of channels: OpenCV drops the axis of a single one.
    source, grow = _prefiltered(planes if planes.shape[2] > 1 else planes[..., 0], scale)
    source, grow = _enlarged(np.ascontiguousarray(source)), grow * _UPSCALE
    return _sampled(source.reshape(*source.shape[:2], -1), (points * grow).reshape(window.height, window.width, 2))


def _scale(matrix: Matrix23, size: int, lens: Lens) -> float:
    """Crop pixels per plate pixel in the middle of the crop: the same for every window."""
    middle = np.full((1, 2), size / 2)
    half = np.array([[0.5, 0.0], [0.0, 0.5]])
    across = to_plate(middle + half, matrix=matrix, lens=lens) - to_plate(middle - half, matrix=matrix, lens=lens)
    return float(1.0 / np.sqrt(abs(np.linalg.det(across))))


def _centres(window: Window) -> F64:
    """(height * width, 2) positions of the pixel centres of `window`, row by row."""
    x, y = np.arange(window.x, window.x1) + 0.5, np.arange(window.y, window.y1) + 0.5
    out = np.empty((window.height, window.width, 2), np.float64)
    out[..., 0], out[..., 1] = x[None, :], y[:, None]
    return out.reshape(-1, 2)


def _sampled(image: F32, points: F64) -> F32:
    """(h, w, C) bilinear values of (H, W, C) at (h, w, 2) positions; beyond the image its border repeats."""
    where = (points - 0.5).astype(np.float32)
    # Bounded: OpenCV wraps positions that its integers do not hold.
    x, y = (np.clip(where[..., i], -2.0, image.shape[1 - i] + 1.0) for i in (0, 1))
    out = np.empty((*points.shape[:2], image.shape[2]), np.float32)
    for some in _exact(image.shape[2]):
        part = np.ascontiguousarray(image[..., some])
        found = cv2.remap(part, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        out[..., some] = np.asarray(found).reshape(*points.shape[:2], -1)
    return out


def _exact(count: int) -> Iterator[slice]:
    """`count` channels in parts of one, three or four: for others OpenCV rounds positions to 1/32 pixel."""
    start = 0
    while start < count:
        step = next(step for step in (4, 3, 1) if start + step <= count)
        yield slice(start, start + step)
        start += step


def _put(planes: F32, matrix: Matrix23, window: Window) -> F32:
    """(H, W, C) of (S, S, C), C at most 4, by a matrix from `window`'s own corner -> crop."""
    scale = scale_of(matrix)
    if scale <= 1.0:
        ends = np.array([[0, 0], [window.width, 0], [window.width, window.height], [0, window.height]], np.float64)
        planes, low = _needed(planes, transform(matrix, ends))
        matrix = compose(np.array([[1.0, 0.0, -low[0]], [0.0, 1.0, -low[1]]]), matrix)
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


def _needed(planes: F32, points: F64) -> tuple[F32, NDArray[np.int64]]:
    """The part of the crop that shows when (N, 2) `points` of it are looked at, and its corner (x, y)."""
    size = planes.shape[0]
    # Two pixels for the cubic kernel and one for rounding; at least one pixel, whose repetition fills the rest.
    low = np.clip(np.floor(points.min(axis=0)).astype(np.int64) - 3, 0, size - 1)
    high = np.clip(np.ceil(points.max(axis=0)).astype(np.int64) + 3, low + 1, size)
    return planes[low[1] : high[1], low[0] : high[0]], low


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


def frame_weight(*, size: int, rim: float = 0.02) -> F32:
    """(size, size) float32: 1 inside the crop, falling to 0 at its border over `rim` of its side."""
    distance = np.minimum(np.arange(size) + 0.5, size - np.arange(size) - 0.5) / (rim * size)
    ramp = np.clip(distance, 0.0, 1.0)
    ramp = ramp * ramp * (3 - 2 * ramp)
    return np.asarray(np.minimum(ramp[:, None], ramp[None, :]), np.float32)


def stmap(*, matrix: Matrix23, window: Window, size: int, lens: Lens | None = None) -> F32:
    """(H, W, 2) float32 STMap over `window`: plate raster -> crop position, Nuke's convention (0..1, y up)."""
    out = np.empty((window.height, window.width, 2), np.float32)
    if lens is not None:
        for top in range(0, window.height, _STRIP):
            strip = Window(window.x, window.y + top, window.width, min(_STRIP, window.height - top))
            points = to_crop(_centres(strip), matrix=matrix, lens=lens) / size
            out[top : top + strip.height] = _upwards(points).reshape(strip.height, strip.width, 2)
        return out
    x = np.arange(window.x, window.x1) + 0.5
    y = np.arange(window.y, window.y1) + 0.5
    # In double precision: single would lose hundredths of a pixel in a large plate before it is even written.
    (a, b, left), (c, d, down) = matrix / size
    np.add((a * x + left)[None, :], (b * y)[:, None], out=out[..., 0], casting="same_kind")
    np.subtract((1.0 - down - c * x)[None, :], (d * y)[:, None], out=out[..., 1], casting="same_kind")
    return out


def inverse_stmap(*, matrix: Matrix23, size: int, display: tuple[int, int], lens: Lens | None = None) -> F32:
    """(size, size, 2) float32 STMap over the crop: crop raster -> plate position, Nuke's convention.

    Args:
        matrix: plate -> crop; undistorted plate -> crop with a lens.
        size: side of the crop.
        display: width and height of the plate's display window, over which 0..1 run.
        lens: the plate's distortion.
    """
    points = to_plate(_centres(Window(0, 0, size, size)), matrix=matrix, lens=lens) / display
    return _upwards(points).reshape(size, size, 2).astype(np.float32)


def _upwards(points: F64) -> F64:
    """(N, 2) positions in 0..1 with y up instead of down."""
    return np.stack([points[:, 0], 1.0 - points[:, 1]], axis=-1)
