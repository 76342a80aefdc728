"""Realism: do small tiles of the painted face look as usual as the plate's own, to a judge who knows the plate alone?

What a camera leaves in a picture (fine contrast of brightness and colours, how far the channels and the octaves go
together, how peaked it is, whether neighbours agree) is read in tiles of the plate's face, and how these vary is fitted
to the shot's own plate: a Gaussian around what a tile of that brightness has. Nothing that was learnt elsewhere is
in it. The judge of a frame never saw it: frames are judged by the other half of the shot. A tile's
strangeness is its Mahalanobis distance; a frame's score compares the output's tiles with the plate's at the same
places. Whose face it is does not matter much: a perfect swap of another performer is nearly as usual as the plate.

Sources: P. C. Mahalanobis, "On the generalised distance in statistics", 1936; the area under the ROC curve as a
rank sum: J. A. Hanley and B. J. McNeil, Radiology 143, 1982.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vfxswap.pixels import F32, F64, AnyArray
from vfxswap.qc.chip import Chip, Mask, luma

_TILES = 96
"""Tiles of a frame at most."""
_LEAST_TILES = 12
_SMALLEST, _LARGEST = 13, 33
_PART = 8.0
"""A tile is such a part of the face's height wide, within these sides in pixels; they overlap by half."""

_FINE, _COARSE = 0.8, 1.6
"""Standard deviations of the blurs that part two octaves, in pixels."""
_MARGIN = 7
"""What the blurs reach."""

_LEAST_FRAMES = 6
_LEAST_KNOWN = 120
"""Tiles that a judge has seen at least: several for each number of its covariance's diagonal."""

_BLOCKS = 4
"""The shot is cut into so many stretches, of which every other one belongs to the same half: frames that follow each
other are alike."""

_Inner = Callable[[F32], F64]
_TOLERATED = np.array([0.15] * 6 + [0.06] * 2 + [0.1] * 5 + [0.06] * 3)
"""What a tile may differ by in each feature, however alike the plate's are: 15 % of contrast, 0.06 of a correlation."""
_RIDGE = 0.02
_TINY = 1e-9


@dataclass(frozen=True, eq=False)
class Tiles:
    """What is kept of a frame's tiles.

    Attributes:
        plate, output: (n, FEATURES) float16, at the same places.
        plate_light, output_light: (n,) float16 mean brightness, sRGB codes.
    """

    plate: AnyArray
    output: AnyArray
    plate_light: AnyArray
    output_light: AnyArray


def tiles(chip: Chip, where: Mask) -> Tiles | None:
    """Read a frame's tiles.

    Args:
        chip: the frame.
        where: (h, w) pixels of `chip.near_plate` that were replaced: `surface.face_pixels`.

    Returns:
        None where fewer than a dozen tiles fit in.
    """
    side = int(np.clip(round(chip.height / _PART), _SMALLEST, _LARGEST)) | 1
    kernel = np.ones((side, side), np.uint8)
    fits = cv2.erode(where.astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    half, step = side // 2, max(4, side // 2)
    rows, columns = np.nonzero(np.asarray(fits)[half::step, half::step])
    if len(rows) < _LEAST_TILES:
        return None
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(_TILES, len(rows))).round().astype(int))
    at = np.stack([rows[chosen], columns[chosen]], axis=1) * step + half
    (plate, dark), (output, light) = (_read(codes, at, side) for codes in (chip.near_plate, chip.near_output))
    return Tiles(*(np.asarray(part, np.float16) for part in (plate, output, dark, light)))


def _read(codes: F32, at: NDArray[np.intp], side: int) -> tuple[F32, F32]:
    """(n, FEATURES) of the tiles around `at` (rows, columns), and (n,) their mean brightness."""
    reach = side // 2 + _MARGIN
    padded = cv2.copyMakeBorder(codes, *(reach,) * 4, cv2.BORDER_REFLECT_101)
    view = np.lib.stride_tricks.sliding_window_view(padded, (2 * reach + 1, 2 * reach + 1), axis=(0, 1))
    cut = np.moveaxis(view[at[:, 0], at[:, 1]], 1, -1)  # (n, s, s, 3)
    # Side by side in one picture, with their margins: blurs then do not reach from one into another's middle.
    sheet = np.ascontiguousarray(cut.reshape(-1, 2 * reach + 1, 3), np.float32)
    count = len(at)

    def inner(plane: F32) -> F64:
        middle = plane.reshape(count, 2 * reach + 1, 2 * reach + 1)[:, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
        return np.asarray(middle, np.float64)

    return _features(sheet, inner), np.asarray(inner(luma(sheet)).mean(axis=(1, 2)), np.float32)


def _features(sheet: F32, inner: _Inner) -> F32:
    """(n, FEATURES) of a sheet of tiles."""
    y = luma(sheet)
    opposed = (sheet[..., 0] - sheet[..., 1], sheet[..., 2] - y)

    def blur(plane: F32, sigma: float) -> F32:
        return np.asarray(cv2.GaussianBlur(np.ascontiguousarray(plane), (0, 0), sigma), np.float32)

    def octaves(plane: F32) -> tuple[F32, F32]:
        fine, coarse = blur(plane, _FINE), blur(plane, _COARSE)
        return plane - fine, fine - coarse

    def mean(plane: F32) -> F64:
        return np.asarray(inner(plane).mean(axis=(1, 2)), np.float64)

    def together(a: F32, b: F32) -> F64:
        return np.asarray(mean(a * b) / np.sqrt(mean(a * a) * mean(b * b) + _TINY**2), np.float64)

    def log(values: F64) -> F64:
        return np.asarray(np.log(values + _TINY), np.float64)

    first, second = octaves(y)
    colors = [octaves(plane) for plane in opposed]
    channels = [sheet[..., i] - blur(sheet[..., i], _FINE) for i in range(3)]
    right, down = np.diff(y, axis=1, append=y[:, -1:]), np.diff(y, axis=0, append=y[-1:])
    diagonal = np.diff(right, axis=0, append=right[-1:])
    across, along = mean(right * right), mean(down * down)
    shifted = [np.roll(first, shift, axis) for shift, axis in ((1, 1), (1, 0), (2, 1), (2, 0))]
    return np.stack(
        [
            *(log(mean(band * band)) / 2 for band in (first, second, *colors[0], *colors[1])),
            together(channels[0], channels[1]),
            together(channels[1], channels[2]),
            log(mean(np.abs(first) * np.abs(second))) - log(mean(np.abs(first)) * mean(np.abs(second))),
            *(log(mean(band**4)) - 2.0 * np.log(mean(band * band) + _TINY**0.5) for band in (first, second)),
            log(across) - log(along),
            log(mean(diagonal * diagonal)) - log(across + along),
            together(first, shifted[0]),
            together(first, shifted[1]),
            (together(first, shifted[2]) + together(first, shifted[3])) / 2.0,
        ],
        axis=1,
    ).astype(np.float32)


# ------------------------------------------------------------------------------------------------- judging


@dataclass(frozen=True, eq=False)
class _Judge:
    """How a plate's tiles vary: (3, FEATURES) what brightness makes of them, and the inverse covariance of the rest."""

    trend: F64
    inverse: F64

    @staticmethod
    def of(known: Sequence[Tiles]) -> _Judge | None:
        features = np.concatenate([one.plate for one in known]).astype(np.float64) if known else np.zeros((0, 1))
        if len(features) < _LEAST_KNOWN:
            return None
        light = _light(np.concatenate([one.plate_light for one in known]))
        trend = np.linalg.lstsq(light, features, rcond=None)[0]
        covariance = np.cov((features - light @ trend).T)
        own = np.diag(np.diag(covariance))
        inverse = np.linalg.inv((1.0 - _RIDGE) * covariance + _RIDGE * own + np.diag(_TOLERATED**2))
        return _Judge(np.asarray(trend, np.float64), np.asarray(inverse, np.float64))

    def strange(self, features: AnyArray, light: AnyArray) -> F64:
        """(n,) squared Mahalanobis distance of tiles from what the plate has at their brightness."""
        rest = features.astype(np.float64) - _light(light) @ self.trend
        return np.asarray(np.einsum("ni,ij,nj->n", rest, self.inverse, rest), np.float64)


def _light(codes: AnyArray) -> F64:
    """(n, 3) powers of the logarithm of brightness: what contrast follows."""
    log = np.log(np.maximum(codes.astype(np.float64), 0.02))
    return np.stack([np.ones_like(log), log, log * log], axis=1)


def scores(frames: Sequence[Tiles | None]) -> list[float | None]:
    """Each frame's realism: 1 where its tiles are as usual as the plate's, 0 where each of them is stranger.

    It is 2 * (1 - p), 1 at most; p is the chance that of a tile of the output and one of the plate, of the same frame,
    the output's is the stranger.

    Args:
        frames: of a shot, in order; None where nothing was read.

    Returns:
        None for frames without tiles, and for all of a shot of too few frames or tiles.
    """
    known = [n for n, one in enumerate(frames) if one is not None]
    found: list[float | None] = [None] * len(frames)
    if len(known) < _LEAST_FRAMES:
        return found
    half = {n: rank * _BLOCKS // len(known) % 2 for rank, n in enumerate(known)}
    judges = [_Judge.of([one for n in known if half[n] != side and (one := frames[n]) is not None]) for side in (0, 1)]
    for n in known:
        one, judge = frames[n], judges[half[n]]
        if one is not None and judge is not None:
            usual, painted = judge.strange(one.plate, one.plate_light), judge.strange(one.output, one.output_light)
            found[n] = min(1.0, 2.0 * (1.0 - _stranger(painted, usual)))
    return found


def _stranger(these: F64, those: F64) -> float:
    """The chance that one of `these` is larger than one of `those`; ties count half."""
    order = np.sort(those)
    below = np.searchsorted(order, these, "left") + np.searchsorted(order, these, "right")
    return float(below.mean()) / (2.0 * len(order))
