"""Putting the face into the plate: relight it to its surroundings, then `over` in linear light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vfxswap.pixels import F32, F64, AnyArray, Matte, WorkingRgb, converted

GRID = 64
"""Side of the relight grid over the crop."""

# Boundary interpolation kernels of Z. Farbman, R. Fattal, D. Lischinski, "Convolution pyramids",
# ACM Transactions on Graphics 30(6), 2011.
_H1 = np.array([0.1507, 0.6836, 1.0334, 0.6836, 0.1507], np.float32)
_H2 = 0.0270
_G = np.array([0.0312, 0.7753, 0.0312], np.float32)

_SCREEN = 0.5
"""How soon the edge's correction fades towards the inside: 0 never, and then the plate's shading follows it in."""

_BRIGHTER, _DARKER = 0.6, 4.0
"""Stops from the face's tone within which a sample of the edge counts. Brighter is an occluder or the background;
what is darker is the shade that hair and jaw throw around them, which the face has to meet."""
_MOST = 3.0
"""Stops that a sample may ask for."""

_SHADE, _SHADE_REACH = 0.6, 1.0 / 16
"""A shadow or a light on the plate's bare skin differs from the painted face by more than so many stops over more than
such a part of the crop; less than that is the performers' own shading, which the network knows better."""


def log_light(rgb: F32, *, skin: float) -> F32:
    """log2(max(x, 0) + skin / 256): light in stops, with a floor far below skin so that black stays finite."""
    return np.log2(np.maximum(rgb, 0.0) + np.float32(skin / 256.0)).astype(np.float32)


COARSE: Final = 32
"""Side of the grid that the bands are kept on."""
_BANDS: Final = (1 / 4, 1 / 8, 1 / 16)
"""Bands reach down to such parts of the crop, as twice the standard deviations of their blurs."""


@dataclass(frozen=True, eq=False)
class Match:
    """How a frame's painted face lies against the plate's, for whoever wants another match than the membrane's.

    Attributes:
        tones: (3, 3), rows over the channels: stops from the face to the plate on bare skin, the median; that of the
            log of the face's light there; log2 of the plate's spread (standard deviation) over the face's.
        coarse: (COARSE, COARSE, 3) stops between them, blurred to the finest of the bands; samples that are not
            believed, and what lies outside the face, have their neighbours' values.
    """

    tones: F32
    coarse: F32

    @staticmethod
    def nothing() -> Match:
        """Of a face that is as the plate."""
        return Match(np.zeros((3, 3), np.float32), np.zeros((COARSE, COARSE, 3), np.float32))

    def toned(self) -> F32:
        """(GRID, GRID, 3) stops: one tone for the face."""
        return np.broadcast_to(self.tones[0], (GRID, GRID, 3)).astype(np.float32)

    def spread(self, light: F32) -> F32:
        """(h, w, 3) stops that give the painted face the plate's spread of log light around its own middle.

        Reinhard, Ashikhmin, Gooch, Shirley, "Color transfer between images", IEEE CG&A 2001, on log light.

        Args:
            light: (h, w, 3) of `log_light` of the painted face.
        """
        more = np.exp2(self.tones[2]) - np.float32(1)
        return np.asarray(np.clip((light - self.tones[1]) * more, -_MOST, _MOST), np.float32)

    def banded(self, weights: Sequence[float]) -> F32:
        """(GRID, GRID, 3) stops: the tone, and so much of each band of the plate's light, the coarsest first.

        P. J. Burt, E. H. Adelson, "A multiresolution spline with application to image mosaics", ACM ToG 1983, on log
        light: what is finer than the bands is the face's.
        """
        coarser = np.broadcast_to(self.tones[0], self.coarse.shape).astype(np.float32)
        gain = coarser.copy()
        for part, weight in zip(_BANDS, weights, strict=True):
            # The grid was blurred to the finest band when it was made; the rest is missing.
            sigma = COARSE / 2 * np.sqrt(max(part**2 - _BANDS[-1] ** 2, 0.0))
            band = self.coarse if sigma == 0 else np.asarray(cv2.GaussianBlur(self.coarse, (0, 0), sigma), np.float32)
            gain += np.float32(weight) * (band - coarser)
            coarser = band
        return np.asarray(cv2.resize(gain, (GRID, GRID), interpolation=cv2.INTER_CUBIC), np.float32)


@dataclass(frozen=True, eq=False)
class Comparison:
    """A painted face beside the plate, in one crop; S its side.

    Attributes:
        coverage: (S, S) the face's matte.
        light: (S, S, 3) `log_light` of the painted face.
        difference: (S, S, 3) stops from it to the plate.
        smooth: (S, S, 3) the same, blurred a little, so that a freckle or a grain of noise does not count.
        at: (M, 2) pixels of bare skin that the face covers.
        tone: (3,) stops: the median difference there; 0 without any.
    """

    coverage: F32
    light: F32
    difference: F32
    smooth: F32
    at: NDArray[np.intp]
    tone: F32


def compare(*, plate: F32, face: F32, coverage: F32, bare: F64, skin: float) -> Comparison:
    """Lay a painted face beside the plate.

    Args:
        plate: (S, S, 3) linear crop of the plate.
        face: (S, S, 3) linear crop of the painted face, same space.
        coverage: (S, S) the face's matte.
        bare: (M, 2) positions of bare skin in the crop, in pixels (face.mesh.bare_points).
        skin: linear value of the double's median skin.
    """
    light = log_light(face, skin=skin)
    difference = log_light(plate, skin=skin) - light
    smooth = _softened(difference)
    at = _on_skin(bare, coverage)
    stops = smooth[at[:, 1], at[:, 0]]
    tone = np.median(stops, axis=0).astype(np.float32) if len(at) else np.zeros(3, np.float32)
    return Comparison(coverage, light, difference, smooth, at, tone)


def matched(found: Comparison) -> Match:
    """What a match other than the membrane's needs to know of a frame."""
    if len(found.at) == 0:
        return Match.nothing()
    columns, rows = found.at.T
    stops, own = found.smooth[rows, columns], _softened(found.light)[rows, columns]
    wide, narrow = (np.std(own + stops, axis=0), np.std(own, axis=0))
    ratio = np.clip(np.log2(np.maximum(wide, 1e-3) / np.maximum(narrow, 1e-3)), -1.0, 1.0)
    weight = np.clip((found.coverage - 0.5) * 4.0, 0.0, 1.0) * _near(found.difference - found.tone)
    tones = np.stack([found.tone, np.median(own, axis=0), ratio]).astype(np.float32)
    return Match(tones, _coarse(found.difference, weight, found.tone))


def _softened(values: F32) -> F32:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), len(values) / 64), np.float32)


def _coarse(difference: F32, weight: F32, tone: F32) -> F32:
    """(COARSE, COARSE, 3) the weighted difference, blurred to the finest band; the tone where nothing is near."""
    size = len(difference)
    held = np.clip(difference - tone, -_MOST, _MOST)
    samples = np.concatenate([held * weight[..., None], weight[..., None]], axis=-1).astype(np.float32)
    spread = np.asarray(cv2.GaussianBlur(samples, (0, 0), _BANDS[-1] * size / 2), np.float32)
    small = np.asarray(cv2.resize(spread, (COARSE, COARSE), interpolation=cv2.INTER_AREA), np.float32)
    filled = membrane(small, levels=5)  # what is outside continues what is inside
    inside = np.minimum(small[..., 3:] * 4.0, 1.0)
    near = small[..., :3] / np.maximum(small[..., 3:], 1e-4)
    far = filled[..., :3] / np.maximum(filled[..., 3:], 1e-6)
    return np.asarray(tone + inside * near + (1.0 - inside) * far, np.float32)


def _on_skin(bare: F64, coverage: F32) -> NDArray[np.intp]:
    """(M, 2) pixels of bare skin that the face covers."""
    at = np.floor(bare).astype(int)
    at = at[(at >= 0).all(axis=1) & (at < coverage.shape[0]).all(axis=1)]
    return np.asarray(at[coverage[at[:, 1], at[:, 0]] > 0.5])


def relight_grid(found: Comparison) -> F32:
    """The gain that takes the face's light to the plate's: one tone for the face, its edge's remainder, cast shadows.

    The tone is the median difference on bare skin, a constant: anything finer than that measured inside the face
    would carry the double's features over. Along the edge the face then meets the plate; that remainder is spread
    inwards by a membrane that fades, so that seams close and the inside keeps the light the network painted. What
    is then left on bare skin is far less than a shadow thrown over the face: only what exceeds that is taken over.

    Returns:
        (GRID, GRID, 3) float32, stops.
    """
    if len(found.at) == 0:
        return np.zeros((GRID, GRID, 3), np.float32)
    coverage, tone = found.coverage, found.tone
    remainder = found.difference - tone
    inner = _inner(coverage)
    edge = np.clip((coverage - 0.5) * 4.0, 0.0, 1.0) * (1.0 - inner)
    weight = edge * _near(remainder)
    held = np.clip(remainder, -_MOST, _MOST)
    weighted = np.concatenate([held * weight[..., None], weight[..., None]], axis=-1).astype(np.float32)
    spread = membrane(np.asarray(cv2.resize(weighted, (GRID, GRID), interpolation=cv2.INTER_AREA), np.float32))
    floor = _SCREEN * max(float(spread[..., 3].max()), 1e-6)
    gain = np.asarray(tone + spread[..., :3] / (spread[..., 3:] + floor), np.float32)
    left = found.smooth - cv2.resize(gain, found.smooth.shape[1::-1])
    return gain + _thrown(np.asarray(left, np.float32), found.at)[..., None]


def _thrown(left: F32, at: NDArray[np.intp]) -> F32:
    """(GRID, GRID) stops of the shadows and lights on bare skin that the face does not have yet.

    Args:
        left: (S, S, 3) stops between plate and relit face.
        at: (M, 2) pixels of bare skin.
    """
    size = len(left)
    samples = np.zeros((size, size, 2), np.float32)
    stops = np.clip(left[at[:, 1], at[:, 0]].mean(axis=-1), -_MOST, _MOST)
    # What is far brighter is an occluder, a lamp or a highlight: it throws nothing.
    weight = 1.0 / (1.0 + (np.maximum(stops, 0.0) / (2 * _BRIGHTER)) ** 4)
    np.add.at(samples, (at[:, 1], at[:, 0]), np.stack([stops * weight, weight], axis=-1))
    reach = _SHADE_REACH * size
    spread = cv2.GaussianBlur(samples, (0, 0), reach, borderType=cv2.BORDER_CONSTANT)
    # A fiftieth of a lone sample: far from any, nothing is thrown.
    shade = spread[..., 0] / (spread[..., 1] + 0.02 / (2 * np.pi * reach**2))
    beyond = np.sign(shade) * np.maximum(np.abs(shade) - _SHADE, 0.0)
    return np.asarray(cv2.resize(beyond, (GRID, GRID), interpolation=cv2.INTER_AREA), np.float32)


def _inner(coverage: F32) -> F32:
    """The face less a band of a twelfth of the crop along its edge."""
    reach = max(2, coverage.shape[0] // 12)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(cv2.erode(coverage, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0.0), np.float32)


def _near(remainder: F32) -> F32:
    """1 for samples near the tone, falling to 0 beyond what is believed: occluders and lamps do not count."""
    stops = remainder.mean(axis=-1)
    away = stops / np.where(stops > 0, np.float32(_BRIGHTER), np.float32(_DARKER))
    return np.asarray(1.0 / (1.0 + away**4), np.float32)


def membrane(samples: F32, *, levels: int = 6) -> F32:
    """Convolve (H, W, C) with the pyramid whose quotient interpolates boundary values smoothly.

    Divide the spread values by the spread weights. Source: see `_H1`.

    Args:
        samples: values times weights, and weights, in channels.
        levels: halvings; log2 of the side reaches every corner.
    """
    pad = len(_H1)
    padded = np.asarray(cv2.copyMakeBorder(samples, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0.0), np.float32)
    out = _convolve(padded, _G)
    if levels > 0:
        spread = np.zeros_like(padded)
        spread[::2, ::2] = membrane(np.ascontiguousarray(_convolve(padded, _H1)[::2, ::2]), levels=levels - 1)
        out = out + _H2 * _convolve(spread, _H1)
    return np.ascontiguousarray(out[pad:-pad, pad:-pad])


def _convolve(image: F32, kernel: F32) -> F32:
    out = cv2.sepFilter2D(image, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(out, np.float32).reshape(image.shape)


def relight(raw: WorkingRgb, gain_stops: F32) -> WorkingRgb:
    """(H, W, 3) raw * 2 ** gain."""
    out = np.exp2(gain_stops, dtype=np.float32)
    out *= raw
    return WorkingRgb(out)


def over(plate: AnyArray, face: F32, alpha: AnyArray) -> AnyArray:
    """The premultiplied face over the plate, written only where alpha is above 0.

    Assigning, not arithmetic, keeps the rest bit-exact: -0.0, NaN payloads and infinities stay.

    Args:
        plate: (H, W, 3) in its own type.
        face: (H, W, 3) float32, premultiplied, linear, the plate's space.
        alpha: (H, W), as quantised for output.

    Returns:
        (H, W, 3) of the plate's type.
    """
    out = np.empty_like(plate)
    # In strips that stay in the processor's cache: a face's whole arrays are far larger than it.
    for top in range(0, len(plate), _STRIP):
        rows = slice(top, top + _STRIP)
        out[rows] = _over(plate[rows], face[rows], alpha[rows])
    return out


_STRIP = 32


def _over(plate: AnyArray, face: F32, alpha: AnyArray) -> AnyArray:
    mixed = converted(plate, np.dtype(np.float32))
    finite = np.isfinite(mixed)
    if not finite.all():
        # What is not finite behind the face counts as black: it must not shine through, and 0 * inf is NaN.
        mixed[~finite] = 0.0
    cover = _as_rgb(alpha)
    covered = cover > 0
    mixed *= np.subtract(1.0, cover, out=cover)
    mixed += face
    return np.where(covered, converted(mixed, plate.dtype), plate)


def premultiplied(color: F32, alpha: AnyArray) -> F32:
    """(H, W, 3) color * alpha of (H, W)."""
    out = _as_rgb(alpha)
    out *= color
    return out


def _as_rgb(alpha: AnyArray) -> F32:
    """(H, W) -> (H, W, 3): numpy is several times slower where it has to repeat a last axis of one itself."""
    plane = alpha.astype(np.float32)
    return np.asarray(cv2.merge((plane, plane, plane)), np.float32)


def quantised(coverage: Matte) -> AnyArray:
    """(H, W) float16: the matte as it will be written, so that comp = plate * (1 - A) + face holds."""
    return coverage.astype(np.float16)
