"""Sharpness and defocus: how soft the plate's face is, octave by octave, and the painted face made as soft.

The plate's own face was seen through the same lens as the one that replaces it. Where it has less energy in an octave
of detail than the painted face, the painted one was not out of focus as it should be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vfxswap import align
from vfxswap.geometry import Matrix23, Window, compose, scale_of
from vfxswap.lens import Lens
from vfxswap.pixels import F32, F64, Matte

FINEST: Final = 0.6
"""Standard deviation of the blur that takes off the finest octave, in crop pixels; every further one doubles it."""
_COARSEST = 0.07
"""... and the widest is about this part of the crop's side."""

_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
_FLOOR = 0.18 / 16
"""Light that is added before the logarithm: darker detail than that is not compared."""
_INSIDE, _RIM = 0.9, 0.03
"""Where the matte is at least so high, this part of the crop's side away from its edge."""
_ALIKE = 1.0
"""Stops, in the coarse: where plate and face are further apart something is in front of it."""
_SEEN_PIXELS = 400
_FURTHEST = 100.0
"""Pixels of a way in x and in y; beyond that nothing is left of the detail that counts here."""
_LEFT = 0.02
"""This part of an octave's energy is never the grain's."""
_NYQUIST = 0.45
"""Standard deviation in the plate's pixels of the finest blur that takes anything off."""

_FRAMES = 2.0
"""Standard deviation over time, in frames."""
_RANGE = 4.0
"""Octaves are never told to differ by more stops of contrast than this."""
_STEADY = 0.15
"""Contrast by which the plate must be softer before the face is touched."""
_CONTRAST = 0.5
"""Two faces never differ in contrast by more stops than this."""
_FINE_BLUR = 2.0
"""Standard deviation on the raster on which a wide blur is made, at least."""
_FAINT = 1e-3
"""What the colours beyond the matte weigh, so that there are some."""
_ROUNDS = 6
_SHARPEST = 2.0
"""No octave is made stronger than by this."""
_MARGIN = 0.3
"""Stops of contrast by which the face stays below the plate: the measurement is no better."""


def octaves(size: int) -> int:
    """How many octaves of detail a crop of `size` has here."""
    return max(2, 1 + round(math.log2(_COARSEST * size / FINEST)))


def compared(
    face: F32,
    mask: Matte,
    plate: F32,
    *,
    window: Window,
    matrix: Matrix23,
    lens: Lens | None = None,
    grain: tuple[F32, F32] | None = None,
    way: F64 | None = None,
) -> F32 | None:
    """How much detail the plate's face has over the painted one's.

    Args:
        face: (S, S, 3) the painted crop, exposure-normalised linear light.
        mask: (S, S) its matte.
        plate: (h, w, 3) the plate's pixels in `window`, likewise.
        window: where they lie.
        matrix: plate -> crop.
        lens: the plate's, or None.
        grain: a part of the plate without its grain and with it, likewise: what the grain adds is taken off.
        way: (2,) crop pixels per frame that the face moves. Across the way motion takes no detail.

    Returns:
        (octaves,) log2 of the plate's contrast over the face's, the finest octave first; NaN in octaves finer than the
        plate's pixels. None where too little of the face is seen.
    """
    size = mask.shape[0]
    per = 1.0 / scale_of(matrix)  # plate pixels per crop pixel; a lens changes it little
    factor = max(1, int(per)) if lens is None else 1
    plate = _reduced(plate, factor)
    if factor > 1:
        to_plate = np.array([[factor, 0.0, window.x], [0.0, factor, window.y]], np.float64)
        window, matrix = Window(0, 0, plate.shape[1], plate.shape[0]), compose(matrix, to_plate)
        per /= factor
    shown = align.put(face, matrix=matrix, window=window, lens=lens)
    cover = align.put(mask, matrix=matrix, window=window, lens=lens, coverage=True)
    ours, theirs = (_log_luma(x) for x in (shown, plate))
    weight = _looked_at(ours, theirs, cover, rim=_RIM * size * per, coarse=FINEST * per * 2 ** (octaves(size) - 1))
    if weight is None:
        return None
    count = octaves(size)
    noise = None if grain is None else _log_luma(_reduced(grain[1], factor)) - _log_luma(_reduced(grain[0], factor))
    ratio = _ratio(ours, theirs, noise, weight, per, count)
    if way is not None and np.linalg.norm(way) * per >= 1.0:
        smear = np.clip(way * per, -_FURTHEST, _FURTHEST)
        # Motion takes detail from the plate, and never adds any: both are lower limits, the second is the vaguer.
        blurred = None if noise is None else _smeared(noise, smear)
        ratio = np.maximum(ratio, _ratio(_smeared(ours, smear), _smeared(theirs, smear), blurred, weight, per, count))
    seen = FINEST * per * 2.0 ** np.arange(count) >= _NYQUIST
    return np.where(seen, np.clip(ratio, -_RANGE, _RANGE), np.nan).astype(np.float32)


def _ratio(ours: F32, theirs: F32, noise: F32 | None, weight: F32, per: float, count: int) -> F64:
    """(count,) log2 of the contrast of the plate, without what its grain adds, over that of the face."""
    face_energy, plate_energy = (_energies(x, per, count, weight) for x in (ours, theirs))
    if noise is not None:
        added = _energies(noise, per, count, np.ones_like(noise))
        plate_energy = np.maximum(plate_energy - added, _LEFT * plate_energy)
    ratio = np.log2(np.maximum(plate_energy, 1e-12)) - np.log2(np.maximum(face_energy, 1e-12))
    return np.asarray(0.5 * ratio, np.float64)


def _reduced(rgb: F32, factor: int) -> F32:
    """The same on a raster `factor` times as coarse."""
    if factor == 1:
        return rgb
    rows, columns = rgb.shape[0] // factor, rgb.shape[1] // factor
    held = np.ascontiguousarray(rgb[: rows * factor, : columns * factor], np.float32)
    return np.asarray(cv2.resize(held, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)


def _log_luma(rgb: F32) -> F32:
    return np.asarray(np.log2(np.maximum(rgb @ _LUMA, 0.0) + np.float32(_FLOOR)), np.float32)


def _looked_at(ours: F32, theirs: F32, cover: F32, *, rim: float, coarse: float) -> F32 | None:
    """(h, w) where the two are compared: inside the face, where nothing hides it; None if that is too little."""
    inner = _inner(cover, rim)
    if inner.sum() < _SEEN_PIXELS:
        return None
    away = _blurred(theirs - ours, max(coarse, 1.0))
    alike = inner & (np.abs(away - np.median(away[inner])) < _ALIKE)
    return alike.astype(np.float32) if alike.sum() >= _SEEN_PIXELS else None


def _inner(cover: F32, rim: float) -> NDArray[np.bool_]:
    """(h, w) the inside of the face, so many pixels away from its edge."""
    reach = max(1, round(rim))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    inside = (cover >= _INSIDE).astype(np.uint8)
    return np.asarray(cv2.erode(inside, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0, bool)


def _smeared(log: F32, way: F64) -> F32:
    """(h, w) blurred along the way of a frame: what motion may have taken is then gone from plate and face alike."""
    reach = math.ceil(float(np.linalg.norm(way)) / 2) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for x, y in np.linspace(-0.5, 0.5, 8 * reach)[:, None] * way + reach:
        column, row = int(x), int(y)
        right, below = x - column, y - row
        kernel[row : row + 2, column : column + 2] += np.outer([1 - below, below], [1 - right, right])
    return np.asarray(cv2.filter2D(log, cv2.CV_32F, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE), np.float32)


def _blurred(image: F32, sigma: float) -> F32:
    """(h, w[, c]) Gaussian blur; a wide one on a coarser raster."""
    factor = max(1, int(sigma / _FINE_BLUR))
    height, width = image.shape[:2]
    small = image
    if factor > 1:
        size = (max(1, round(width / factor)), max(1, round(height / factor)))
        small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)
    soft = cv2.GaussianBlur(small, (0, 0), sigma / factor, borderType=cv2.BORDER_REPLICATE)
    out = soft if factor == 1 else cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(out, np.float32)


def _energies(log: F32, per: float, count: int, weight: F32) -> F64:
    """(count,) mean squares of the octaves."""
    out, before = np.empty(count), log
    for i in range(count):
        blurred = _blurred(log, FINEST * per * 2.0**i)
        out[i] = float(((before - blurred) ** 2 * weight).sum()) / float(weight.sum())
        before = blurred
    return out


def settled(found: Mapping[int, F32]) -> dict[int, F32]:
    """The shot's: smoothed over time with zero phase, and relative to what is no matter of sharpness.

    Two people differ in contrast. That difference is read in the coarsest octave, which a lens takes least from: the
    upper quartile over the shot counts as sharp. It tells softness alone; nothing is to be sharpened beyond the plate.

    Args:
        found: frame -> what `compared` says.

    Returns:
        Frame -> (octaves,) float32, log2 of what the face's octaves want to be multiplied by, no NaN.
    """
    frames = np.array(sorted(found))
    if not len(frames):
        return {}
    rows = np.stack([found[int(frame)] for frame in frames]).astype(np.float64)
    rows[np.isnan(rows)] = 0.0  # finer than the plate's pixels
    level = float(np.clip(np.quantile(rows[:, -1], 0.75), -_CONTRAST, _CONTRAST))
    softer, sharper = np.minimum(rows - level, 0.0), np.clip(np.minimum(rows, rows - level), 0.0, None)
    rows = np.where(rows < level, softer, sharper)
    out = {}
    for frame in frames:
        near = np.abs(frames - frame) <= 3 * _FRAMES
        weights = np.exp(-0.5 * ((frames[near] - frame) / _FRAMES) ** 2)
        out[int(frame)] = np.asarray(weights @ rows[near] / weights.sum(), np.float32)
    return out


def finished(face: F32, mask: Matte, ratio: F32 | None, *, defocus: float, sharpen: float) -> F32:
    """A painted face as soft or sharp as the plate.

    Args:
        face: (S, S, 3) linear light.
        mask: (S, S) its matte.
        ratio: of `settled`, for this frame; None leaves the face as it is.
        defocus: how far it is made as soft as the plate, 0 to 1.
        sharpen: how far it is made as sharp, 0 to 1; never sharper.

    Returns:
        (S, S, 3); the very face where there is nothing to do.
    """
    if ratio is None:
        return face
    softer = np.minimum(0.0, ratio + math.log2(1.0 + _STEADY))
    sharper = np.clip(ratio - _MARGIN, 0.0, math.log2(_SHARPEST))
    wanted = np.asarray(defocus * softer + sharpen * sharper, np.float64)
    if np.abs(wanted).max() < 1e-3:
        return face
    octaves_of = _split(face, mask, len(ratio))
    factors = np.exp2(wanted)
    # Octaves overlap: strengthening one strengthens its neighbours, too.
    for _ in range(_ROUNDS if (wanted > 0).any() else 0):
        missed = wanted - _reached(octaves_of, factors, mask)
        factors *= np.exp2(np.where(wanted > 0, missed, np.minimum(missed, 0.0)))
    return np.asarray(np.maximum(_joined(octaves_of, factors), 0.0), np.float32)


def _split(face: F32, mask: Matte, count: int) -> list[F32]:
    """The octaves of a face, the finest first, and what is left; what lies beyond the matte does not bleed in."""
    weight = mask + np.float32(_FAINT)
    out, before = [], face
    for i in range(count):
        planes = np.dstack([face * weight[..., None], weight])
        soft = _blurred(planes, FINEST * 2.0**i)
        blurred = np.asarray(soft[..., :3] / soft[..., 3:], np.float32)
        out.append(before - blurred)
        before = blurred
    return [*out, before]


def _joined(octaves_of: list[F32], factors: F64) -> F32:
    out = octaves_of[-1].copy()
    for factor, octave in zip(factors, octaves_of, strict=False):
        out += np.float32(factor) * octave
    return out


def _reached(octaves_of: list[F32], factors: F64, mask: Matte) -> F64:
    """log2 of how much stronger the octaves of the sum are than those of the face."""
    inside = _inner(mask, _RIM * mask.shape[0]).astype(np.float32)
    if not inside.any():
        return np.zeros(len(factors))
    plain = np.ones(len(factors))
    before, after = (
        _energies(_log_luma(_joined(octaves_of, some)), 1.0, len(factors), inside) for some in (plain, factors)
    )
    return np.asarray(0.5 * np.log2(np.maximum(after, 1e-12) / np.maximum(before, 1e-12)), np.float64)
