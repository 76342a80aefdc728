"""Where a face's points are in the next image: dense optical flow around the face's own motion, and the way back.

Source: T. Kroeger, R. Timofte, D. Dai, L. Van Gool, "Fast Optical Flow using Dense Inverse Search", ECCV 2016; the
check of Z. Kalal, K. Mikolajczyk, J. Matas, "Forward-Backward Error", ICPR 2010; the averages are the normalised
convolution of H. Knutsson, C.-F. Westin, CVPR 1993.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from vfxswap.face.protocols import Flow
from vfxswap.geometry import Matrix23, Window, compose, invert, scale_of, similarity, to_opencv, transform
from vfxswap.pixels import F32, F64, ModelRgb

Grey = NDArray[np.uint8]

# Height of the face in pixels and side of the crop in faces, for each pass: the first one finds how the face moved,
# wherever it went; the next ones look along that motion, so that what they have left to find is small.
_PASSES = ((64, 3.0), (128, 1.4), (256, 1.4))
_CHEAP = ((64, 3.0), (64, 1.4), (128, 1.4))

# A small face is not enlarged by more: there is nothing more to see.
_ENLARGE = 2.0

# The flow is computed on every fourth pixel.
_GRID = 4

# In pixels of the last pass: reach of the local average, and departure from it that is motion rather than noise.
_REACH = 12.0
_NOISE = 0.15

# The usual error from which on a second, less smooth flow is worth its time: something crosses the face, or it moves
# by itself.
_TORN = 0.15

# A face does not grow or shrink by more from one frame to the next; a fit that says so has lost it.
_GROWTH = 1.5

# Standard deviation, in code values of 255, below which a crop shows nothing that could be followed.
_BLANK = 1.0


class DisFlow:
    """The default flow.

    A similarity of the whole face is found from coarse to fine. The last pass sees both images along it, at one size
    whatever the face's, so the cost is bounded and what is left to find is a fraction of a pixel; each point's
    answer is averaged over its surroundings unless it departs from them by more than noise does.

    Args:
        cheap: half the size in the last pass: 0.6 of the time, nearly as exact on skin, less so on lids and lips.
    """

    def __init__(self, *, cheap: bool = False) -> None:
        self._passes = _CHEAP if cheap else _PASSES
        self._smooth = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._sharp = None if cheap else cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def __call__(self, before: ModelRgb, after: ModelRgb, points: F64) -> tuple[F64, F64]:
        """As `protocols.Flow`; the points are those of one face."""
        flat = np.asarray(points, np.float64)[:, :2]
        unknown = flat.copy(), np.full(len(flat), np.inf)
        inside = _inside(flat, before)
        if not inside.any():
            return unknown
        views = _Views(before, after, flat)
        motion, last = np.eye(2, 3), len(self._passes) - 1
        for number, (height, sides) in enumerate(self._passes):
            pair = views.look(motion, height=height, sides=sides)
            if min(pair.before.std(), pair.after.std()) < _BLANK:
                return unknown
            start = transform(pair.matrix, flat)
            look = _look(self._smooth, pair, start, averaged=number == last)
            if number < last:
                fit = compose(invert(pair.other), compose(_rigid(*look), pair.matrix))
                motion = fit if 1 / _GROWTH < scale_of(fit) < _GROWTH else motion
        _, moved, error = look
        if self._sharp is not None and np.median(error) > _TORN:
            _, other, less = _look(self._sharp, pair, start, averaged=True)
            moved = np.where((less < error)[:, None], other, moved)
            error = np.minimum(less, error)
        moved = transform(invert(pair.other), moved)
        error = np.where(inside & _inside(moved, after), error / scale_of(pair.matrix), np.inf)
        return moved, error


def steps(flow: Flow, before: ModelRgb, after: ModelRgb, points: F64) -> tuple[F64, F64]:
    """How far the points of one face move: (P, 2) steps in pixels and (P,) errors, as `protocols.Flow` gives them."""
    moved, error = flow(before, after, points)
    return moved - np.asarray(points, np.float64)[:, :2], error


class _Pair(NamedTuple):
    """Two crops of one size, and what maps each image's pixels to its crop's."""

    before: Grey
    after: Grey
    matrix: Matrix23
    other: Matrix23


class _Views:
    """The surroundings of a face in two images, grey, and crops of them."""

    def __init__(self, before: ModelRgb, after: ModelRgb, points: F64) -> None:
        low, high = points.min(axis=0), points.max(axis=0)
        self._centre = (low + high) / 2
        self._face = max(1.0, float((high - low).max()))
        reach = max(sides for _, sides in _PASSES) / 2 * self._face
        window = Window.around(self._centre[None], margin=reach + 2)
        self._pyramids = [_Pyramid(image, window) for image in (before, after)]

    def look(self, motion: Matrix23, *, height: int, sides: float) -> _Pair:
        """Crops `sides` times as large as a face of `height` pixels, the second one moved along."""
        zoom = min(height / self._face, _ENLARGE)
        size = int(np.ceil(zoom * self._face * sides / 8)) * 8
        matrix = np.array([[zoom, 0, 0], [0, zoom, 0.0]])
        matrix[:, 2] = size / 2 - zoom * self._centre
        other = compose(matrix, invert(motion))
        before, after = (p.crop(m, size=size) for p, m in zip(self._pyramids, (matrix, other), strict=True))
        return _Pair(before, after, matrix, other)


class _Pyramid:
    """A part of an image in grey, halved again and again."""

    def __init__(self, rgb: ModelRgb, window: Window) -> None:
        height, width = rgb.shape[:2]
        self._window = window.intersect(Window(0, 0, width, height))
        rows, columns = self._window.slices(Window(0, 0, width, height))
        self._levels = [np.asarray(cv2.cvtColor(rgb[rows, columns], cv2.COLOR_RGB2GRAY), np.float32)]

    def crop(self, matrix: Matrix23, *, size: int) -> Grey:
        """The image through `matrix` (its pixels -> the crop's), (size, size), areas averaged when shrinking."""
        level = max(0, int(np.floor(np.log2(1.0 / scale_of(matrix)) + 0.5)))
        while len(self._levels) <= level and min(self._levels[-1].shape) > 1:
            self._levels.append(_halved(self._levels[-1]))
        level = min(level, len(self._levels) - 1)
        placed = compose(matrix, np.array([[1, 0, self._window.x], [0, 1, self._window.y]], np.float64))
        placed[:, :2] *= 2.0**level
        grey = cv2.warpAffine(
            self._levels[level],
            to_opencv(placed),
            (size, size),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(cv2.convertScaleAbs(np.clip(grey, 0, 1), alpha=255), np.uint8)


def _halved(image: F32) -> F32:
    """Half the size, every pixel the mean of four; an odd last row or column is dropped, so positions stay exact."""
    rows, columns = (max(2, side - side % 2) for side in image.shape)
    half = (max(1, columns // 2), max(1, rows // 2))
    return np.asarray(cv2.resize(image[:rows, :columns], half, interpolation=cv2.INTER_AREA), np.float32)


def _look(dis: cv2.DISOpticalFlow, pair: _Pair, start: F64, *, averaged: bool) -> tuple[F64, F64, F64]:
    """`start` (P, 2) in pixels of the crops, where it is in the second crop, and the error there and back."""
    # The stub does not know that the flow to begin with may be left out.
    there = np.asarray(dis.calc(pair.before, pair.after, None), np.float32)  # type: ignore[call-overload]
    back = np.asarray(dis.calc(pair.after, pair.before, None), np.float32)  # type: ignore[call-overload]
    step = _read(there, start)
    error = np.linalg.norm(step + _read(back, start + step), axis=1)
    if averaged:
        mean = _averaged(there, back, start)
        own = ((step - mean) ** 2).sum(axis=1, keepdims=True)
        step = mean + (step - mean) * own / (own + _NOISE**2)
    return start, start + step, error


def _inside(points: F64, image: ModelRgb) -> NDArray[np.bool_]:
    height, width = image.shape[:2]
    return np.asarray(((points >= 0) & (points <= [width, height])).all(axis=1))


def _read(field: F32, points: F64, *, every: int = 1) -> F64:
    """A (H, W, C) field whose cells are `every` pixels wide, bilinearly at (P, 2) points."""
    x, y = (points / every - 0.5).astype(np.float32).T[:, None]
    found = cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
    return np.asarray(found, np.float64).reshape(len(points), -1)


def _averaged(there: F32, back: F32, points: F64) -> F64:
    """The flow around each point, (P, 2): a Gaussian mean of the cells by how well the way back agrees."""
    size = there.shape[0] // _GRID
    coarse, home = (
        np.asarray(cv2.resize(f, (size, size), interpolation=cv2.INTER_AREA), np.float32) for f in (there, back)
    )
    y, x = np.mgrid[:size, :size].astype(np.float32)
    x, y = x + coarse[..., 0] / _GRID, y + coarse[..., 1] / _GRID
    home = np.asarray(cv2.remap(home, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)
    trust = 1 / (_NOISE**2 / 9 + ((coarse + home) ** 2).sum(axis=2, keepdims=True))
    packed = cv2.GaussianBlur(np.concatenate([coarse * trust, trust], axis=2), (0, 0), _REACH / _GRID)
    found = _read(np.asarray(packed, np.float32), points, every=_GRID)
    return found[:, :2] / found[:, 2:]


def _rigid(before: F64, after: F64, error: F64, *, rounds: Sequence[int] = range(5)) -> Matrix23:
    """The similarity that most points agree on; those that err or move by themselves count little.

    Iteratively reweighted least squares with the weights of S. Geman, D. McClure, 1987.
    """
    trust = 1 / (_NOISE**2 + error**2)
    fit = similarity(before, after, weights=trust)
    for _ in rounds:
        apart = np.linalg.norm(transform(fit, before) - after, axis=1)
        usual = max(float(np.median(apart)), 0.01)
        fit = similarity(before, after, weights=trust / (1 + (apart / usual) ** 2) ** 2)
    return fit
