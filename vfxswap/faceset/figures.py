"""What is measured of a crop: the figures that quarantine, contact sheet and report stand on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vfxswap.face import EMBEDDERS, mesh
from vfxswap.face.landmarks import Blendshapes
from vfxswap.face.protocols import Embedder
from vfxswap.face.track import FaceFrame
from vfxswap.faceset.crops import THUMBNAIL, U8
from vfxswap.geometry import Window, scale_of
from vfxswap.infer import Device
from vfxswap.pixels import F32, F64, Matte, ModelRgb, WorkingRgb

_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
_FEATURES = (*(mesh.LEFT_EYE, mesh.RIGHT_EYE, mesh.LEFT_BROW, mesh.RIGHT_BROW, mesh.LIPS_OUTER, mesh.NOSTRILS),)
_SKIN = (mesh.FOREHEAD_SKIN, mesh.LEFT_CHEEK_SKIN, mesh.RIGHT_CHEEK_SKIN)

_FINE = 0.7
"""Standard deviation in crop pixels of the finer of the two scales that sharpness compares."""
_COARSE = 3.0 / 320.0
"""The coarser one, as a part of the crop's side."""
_DIRECTIONS = 4
_EDGE, _BEST = 70.0, 80.0
"""Percentiles: the edges that count are the strongest of the features, and of their sharpness a high one is taken."""
_MEDIAN_OF_SQUARES = 0.4549
"""The median of the square of a normal variable, in units of its mean."""

_CLIP = 2e-3
"""Values this close (relative) to the highest one of the face lie on the same plateau."""

_DIGITS = 5


@dataclass(frozen=True)
class Measuring:
    """The networks that look at crops."""

    embedder: Embedder
    expression: Blendshapes

    @staticmethod
    def load(*, device: Device = "auto") -> Measuring:
        """Load them; raises ModelError."""
        return Measuring(EMBEDDERS["dlib"](device=device), Blendshapes())


def of_picture(encoded: ModelRgb, linear: WorkingRgb, mask: Matte, points: F64) -> dict[str, float]:
    """The figures that a stored crop tells by itself.

    Args:
        encoded: (S, S, 3) the crop at its own exposure.
        linear: (S, S, 3) working space.
        mask: (S, S) where the face is.
        points: (478, 3) landmarks in crop pixels.

    Returns:
        `sharpness` (see `sharpness`), `clipped` (`clipped`) and `white`, the part of the face that is brighter than
        the model's brightest code.
    """
    face = mask > 0.5
    white = float((encoded[face] >= 1.0).all(axis=-1).mean()) if face.any() else 0.0
    return rounded({"sharpness": sharpness(encoded, points), "clipped": clipped(linear, mask), "white": white})


def of_track(found: FaceFrame, *, inside: float, scale: float) -> dict[str, float]:
    """The figures that need the plate.

    Returns:
        The face's `height` in rows, `enlarged` (crop pixels for one of the plate), `inside` (the part of the face
        within the picture), `presence`, and `guessed`: 1 where the landmarks are interpolated over a gap.
    """
    return rounded(
        {
            "height": 1.0 / scale_of(found.similarity),
            "enlarged": scale,
            "inside": inside,
            "presence": found.presence,
            "guessed": float(found.source == "gap"),
        }
    )


def rounded(figures: dict[str, float]) -> dict[str, float]:
    """The same with as many digits as mean something; what is not finite is left out."""
    return {name: round(float(value), _DIGITS) for name, value in figures.items() if np.isfinite(value)}


def sharpness(rgb: ModelRgb, points: F64) -> float:
    """How fine the edges of the features are, blind to their contrast, to light and to grain.

    At the strongest edges of eyes, brows, lips and nostrils: the gradient at 0.7 pixels over the one at a hundredth of
    the crop, in four directions; the mean of the two weakest, so that a smear in one direction shows. Grain is what
    the skin of forehead and cheeks has at the fine scale (the median, which a wrinkle does not move); it is taken off.

    Args:
        rgb: (S, S, 3) the crop as networks see it.
        points: (478, 3) landmarks in crop pixels.

    Returns:
        About 2 for a sharp crop of 320 pixels, 1.4 after a blur of 2 pixels, 0 where nothing but grain is left; NaN
        where there is no skin to measure grain on. Only crops of one size can be compared.
    """
    gray = np.asarray(rgb @ _LUMA, np.float32)
    features, skin = _regions(points, gray.shape[0])
    if not (features.any() and skin.any()):
        return float("nan")
    coarse = max(1.5, _COARSE * gray.shape[0])
    ratios = []
    for small, large in zip(_slopes(gray, _FINE), _slopes(gray, coarse), strict=True):
        grain = float(np.median(small[skin] ** 2)) / _MEDIAN_OF_SQUARES
        energy = cv2.GaussianBlur(small**2, (0, 0), coarse) - grain
        contrast = cv2.GaussianBlur(large**2, (0, 0), coarse)
        edges = features & (contrast >= np.percentile(contrast[features], _EDGE))
        ratio = np.maximum(energy[edges], 0.0) / np.maximum(contrast[edges], 1e-12)
        ratios.append(math.sqrt(float(np.percentile(ratio, _BEST))))
    return float(np.mean(sorted(ratios)[:2]))


def _regions(points: F64, size: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(S, S) where features are and where bare skin is, from landmarks in crop pixels."""
    features, skin = (np.zeros((size, size), np.uint8) for _ in range(2))
    for canvas, parts in ((features, _FEATURES), (skin, _SKIN)):
        for part in parts:
            hull = cv2.convexHull(points[list(part), :2].astype(np.float32))
            cv2.fillConvexPoly(canvas, np.round(hull).astype(np.int32), 1)
    side = max(3, size // 45) | 1
    features = np.asarray(cv2.dilate(features, np.ones((side, side), np.uint8)), np.uint8)
    return features > 0, (skin > 0) & (features == 0)


def _slopes(gray: F32, sigma: float) -> list[F32]:
    """The (S, S) derivatives of the smoothed picture in four directions."""
    smooth = cv2.GaussianBlur(gray, (0, 0), sigma)
    x, y = (np.asarray(cv2.Sobel(smooth, cv2.CV_32F, *order, ksize=3), np.float32) / 8 for order in ((1, 0), (0, 1)))
    angles = np.arange(_DIRECTIONS) * np.pi / _DIRECTIONS
    return [np.asarray(np.cos(angle) * x + np.sin(angle) * y, np.float32) for angle in angles]


def clipped(rgb: WorkingRgb, mask: Matte) -> float:
    """The part of the face that lies on a plateau at its highest value, in the worst channel.

    A camera or a conversion that clipped leaves many pixels with the same highest value; a picture that was not
    clipped has one such pixel, whatever its exposure.
    """
    face = rgb[mask > 0.5]
    if not len(face):
        return 0.0
    highest = face.max(axis=0)
    return float((face >= highest - _CLIP * np.abs(highest)).mean(axis=0).max())


def inside(points: F64, window: Window) -> float:
    """The part of the face's surface, by the triangles of its mesh, whose centres lie in `window` (plate pixels)."""
    centres = points[mesh.canonical().triangles, :2].mean(axis=1)
    within = (centres >= [window.x, window.y]) & (centres < [window.x1, window.y1])
    return float(within.all(axis=1).mean())


def thumbnail(rgb: ModelRgb) -> U8:
    """(24, 24, 3) uint8 sRGB codes."""
    small = cv2.resize(rgb, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    return np.asarray(np.clip(np.round(small * 255.0), 0, 255), np.uint8)
