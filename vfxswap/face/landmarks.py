"""478 landmarks and 52 expression coefficients.

Source: Y. Kartynnik et al., "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs", CVPR workshop
2019 (the mesh); I. Grishchenko et al., "Attention Mesh", 2020 (irises). Region-of-interest rules as in MediaPipe's
face landmarker, which `tests/face/test_landmarks.py` compares with.

Where MediaPipe's numbers lie, and ours:
    The network itself answers in crop coordinates whose pixel centres are at .5. That is measured, not documented: on
    120 faces the answers to a crop and to its mirror image meet at the middle 128 (off by 0.03 +- 0.02 px), while
    whole-number centres would have them meet at 127.5; and on rendered faces the mean error across the face's two
    halves then vanishes. So `Roi.matrix` and its inverse are all it takes, and the points are physically right.

    MediaPipe on a CPU treats whole numbers as pixel centres, in the plate and in the crop alike. Its point p
    (normalised coordinate times image size) from a region with side s and angle a lies at
    p + (.5, .5) - s / 256 * R(a) (.5, .5) in our coordinates; and its region's centre maps in the very same way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from vfxswap import infer
from vfxswap.face import mesh
from vfxswap.face.protocols import Detection, Landmarker, Landmarks, Roi
from vfxswap.geometry import Matrix23, Window, compose, invert, to_opencv, transform
from vfxswap.pixels import F32, F64, ModelRgb

CROP = 256

# The crop is this much larger than the box of the face.
_MARGIN = 1.5

READABLE = 0.5
"""Presence below which the network's answer is not to be trusted."""

# A face upright in its region is read with about 1.0, and with crops that agree to this part of its size; one that is
# seen sideways may reach 1.0 too, but its crops are at least twice as far apart.
_SURE, _AGREE = 0.9, 0.005

# Reach of the perturbed crops: shift and scale as fractions of the side, rotation in radians.
_REACH = np.array([0.02, 0.02, 0.04, 0.07])

# Pixels that are resampled at once.
_BAND = 2**15
_LEAST_ROWS = 16
"""Of the crop: lower bands cost more in calls and margins than the cache gives back."""

# The crop that they are all taken from is larger by this: what the reach asks for, and a pixel.
_SHARED = 1.25


def roi_from_detection(face: Detection) -> Roi:
    """The square to look at for a detected face: upright in the face's own frame, 1.5 times its box."""
    eyes = face.points[1] - face.points[0]
    x, y = (face.box[:2] + face.box[2:]) / 2
    return Roi(float(x), float(y), _MARGIN * face.size, float(np.arctan2(eyes[1], eyes[0])))


def roi_from_landmarks(points: F64) -> Roi:
    """The square to look at when the face's landmarks, (478, 2 or 3), are known already."""
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    eyes = points[263, :2] - points[33, :2]
    x, y = (low + high) / 2
    return Roi(float(x), float(y), _MARGIN * float((high - low).max()), float(np.arctan2(eyes[1], eyes[0])))


def locate(landmarker: Landmarker, rgb: ModelRgb, face: Detection) -> Landmarks:
    """First look at a detected face, whichever way up it is.

    A detector may find a face that lies on its side and still report its eyes as level, and the network reads a face
    in a region that is turned with full presence and wrong points. But then its answers scatter. So each region is
    looked at again around what was seen in it, in a few crops; where those disagree, the region is tried at every
    eighth of a turn until crops agree. Where none do, the face is as the detector said: covered or blurred, say.
    """
    roi = roi_from_detection(face)
    best = _confirmed(landmarker, rgb, roi)
    for turns in (0, 1, -1, 2, -2, 3, -3, 4):
        turned = replace(roi, angle=roi.angle + turns * np.pi / 4)
        look = _confirmed(landmarker, rgb, turned) if turns else best
        if look.presence >= _SURE and look.spread <= _AGREE * face.size:
            return look
    return best


def _confirmed(landmarker: Landmarker, rgb: ModelRgb, roi: Roi) -> Landmarks:
    """A look, and another one around what it saw."""
    first = landmarker(rgb, roi)
    second = landmarker(rgb, roi_from_landmarks(first.points), crops=3)
    return second if second.presence >= READABLE or first.presence < READABLE else replace(first, presence=0.0)


def perturbed(roi: Roi, *, crops: int) -> tuple[Roi, ...]:
    """`crops` slightly moved, scaled and turned squares whose mean is `roi`; (roi,) for one.

    The network answers each crop with a slightly different wobble, so that their average is steadier. The offsets
    are a fixed low-discrepancy sequence (M. Roberts' R4), so a frame always gets the same ones.
    """
    if crops <= 1:
        return (roi,)
    phi = 1.1673039782614187  # the real root of x^5 = x + 1, the generalised golden ratio in four dimensions
    steps = (1 / phi) ** np.arange(1, 5)
    unit = (np.arange(1, crops + 1)[:, None] * steps) % 1.0 * 2 - 1
    offsets = (unit - unit.mean(axis=0)) * _REACH
    return tuple(
        Roi(roi.x + dx * roi.side, roi.y + dy * roi.side, roi.side * (1 + ds), roi.angle + da)
        for dx, dy, ds, da in offsets.tolist()
    )


def crop(rgb: ModelRgb, matrix: Matrix23, *, size: int, border: int = cv2.BORDER_REPLICATE) -> F32:
    """Resample `rgb` through `matrix` (plate -> crop) into (size, size, 3), averaging areas when shrinking.

    Shrinking samples a crop that is a whole number of times larger and averages it down: unlike a prefilter on the
    plate's own pixel grid, that does not wobble as the face moves across the grid.
    """
    return np.asarray(cv2.cvtColor(_crop(rgb, matrix, size=size, border=border), cv2.COLOR_RGBA2RGB), np.float32)


def _crop(rgb: ModelRgb, matrix: Matrix23, *, size: int, border: int = cv2.BORDER_REPLICATE) -> F32:
    """`crop` with a fourth channel that says nothing: four are resampled in half the time of three.

    Bands of rows are made one by one, so that what lies between plate and crop stays in the processor's cache. A turned
    band slants over the plate; it is made as high as that, or most of the plate's rows would be taken many times.
    """
    zoom = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    factor, back = max(1, round(1 / zoom)), invert(matrix)
    whole = Window(0, 0, rgb.shape[1], rgb.shape[0])
    result = np.empty((size, size, 4), np.float32)
    slant = size * abs(float(matrix[0, 1])) / max(zoom, 1e-9)
    rows = max(_LEAST_ROWS, _BAND // (size * factor**2), math.ceil(slant))
    for top in range(0, size, rows):
        low = min(size, top + rows)
        corners = np.array([[0, top], [size, top], [0, low], [size, low]], np.float64)
        seen = Window.around(transform(back, corners), margin=2).intersect(whole)
        seen = whole if seen.empty else seen
        four = np.asarray(cv2.cvtColor(rgb[seen.slices(whole)], cv2.COLOR_RGB2RGBA), np.float32)
        placed = compose(matrix, np.array([[1, 0, seen.x], [0, 1, seen.y]], np.float64)) - [[0, 0, 0], [0, 0, top]]
        large = _resampled(four, placed * factor, size=(size * factor, (low - top) * factor), border=border)
        result[top:low] = large if factor == 1 else cv2.resize(large, (size, low - top), interpolation=cv2.INTER_AREA)
    return result


def _resampled(image: F32, matrix: Matrix23, *, size: tuple[int, int], border: int = cv2.BORDER_REPLICATE) -> F32:
    warped = cv2.warpAffine(image, to_opencv(matrix), size, flags=cv2.INTER_LINEAR, borderMode=border)
    return np.asarray(warped, np.float32)


def cropped(rgb: ModelRgb, roi: Roi, matrices: Sequence[Matrix23]) -> F32:
    """The crops (n, CROP, CROP, 3) of `perturbed` squares of `roi`, whose matrices are given.

    Several are taken from one larger crop, upright as the face is: the plate's pixels are averaged once.
    """
    if len(matrices) == 1:
        return crop(rgb, matrices[0], size=CROP)[None]
    wide = replace(roi, side=roi.side * _SHARED).matrix(round(CROP * _SHARED))
    shared, back = _crop(rgb, wide, size=round(CROP * _SHARED)), invert(wide)
    result = np.empty((len(matrices), CROP, CROP, 3), np.float32)
    for number, matrix in enumerate(matrices):
        four = _resampled(shared, compose(matrix, back), size=(CROP, CROP))
        result[number] = cv2.cvtColor(four, cv2.COLOR_RGBA2RGB)
    return result


class Mesh478:
    """The default landmarker. Reads faces up to about 45 degrees of yaw; beyond that `presence` falls below 0.5.

    Args:
        device: where the network runs.
        threads: CPU threads, 0 for one per core.
    """

    def __init__(self, *, device: infer.Device = "auto", threads: int = 0) -> None:
        self._session = infer.session(infer.weights("landmarks"), device=device, threads=threads)
        # A batch pays on a GPU only; on a CPU it is slower than one by one.
        self._batched = self._session.provider != infer.CPU

    def __call__(self, rgb: ModelRgb, roi: Roi, *, crops: int = 1) -> Landmarks:
        """Landmarks of the face in `roi`.

        Args:
            rgb: (H, W, 3) float32, display-encoded, [0, 1], square pixels.
            roi: where the face is, from `roi_from_detection` or `roi_from_landmarks`.
            crops: how many perturbed crops to average; 8 halve the jitter of 1.

        Returns:
            (478, 3) points, the mean presence, and how far the crops disagree.
        """
        matrices = [square.matrix(CROP) for square in perturbed(roi, crops=crops)]
        points, presence = self._run(cropped(rgb, roi, matrices))
        placed = np.stack([_to_plate(p, matrix) for p, matrix in zip(points, matrices, strict=True)])
        spread = float(placed[:, :, :2].std(axis=0).mean())
        return Landmarks(points=placed.mean(axis=0), presence=float(presence.mean()), spread=spread)

    def _run(self, images: F32) -> tuple[F64, F64]:
        """(n, 478, 3) points in crop pixels and (n,) presence."""
        step = len(images) if self._batched else 1
        name = self._session.inputs[0]
        answers = [self._session.run({name: images[i : i + step]}) for i in range(0, len(images), step)]
        points = np.concatenate([a[0].reshape(-1, mesh.COUNT, 3) for a in answers]).astype(np.float64)
        logits = np.concatenate([a[1].reshape(-1) for a in answers]).astype(np.float64)
        return points, 1 / (1 + np.exp(-logits))


def _to_plate(points: F64, matrix: Matrix23) -> F64:
    """(478, 3) crop points through the inverse of `matrix`; z takes its scale."""
    back = invert(matrix)
    scale = np.sqrt(abs(np.linalg.det(back[:, :2])))
    return np.concatenate([transform(back, points[:, :2]), points[:, 2:] * scale], axis=1)


BLENDSHAPES = (
    *("_neutral", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff"),
    *("cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight"),
    *("eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight"),
    *("eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen"),
    *("jawRight", "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight"),
    *("mouthFunnel", "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight"),
    *("mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper"),
    *("mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft"),
    *("mouthUpperUpRight", "noseSneerLeft", "noseSneerRight"),
)

# The landmarks that the expression network reads, in its order.
_EXPRESSION_POINTS = (
    *(0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70, 78),
    *(80, 81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152),
    *(153, 154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246),
    *(249, 251, 263, 267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312),
    *(314, 317, 318, 321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381),
    *(382, 384, 385, 386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, 468, 469, 470, 471, 472),
    *(473, 474, 475, 476, 477),
)


class Blendshapes:
    """The 52 ARKit expression coefficients of a face's landmarks.

    Args:
        threads: CPU threads, 0 for one per core. The network is far too small for a GPU.
    """

    def __init__(self, *, threads: int = 0) -> None:
        self._session = infer.session(infer.weights("blendshapes"), device="cpu", threads=threads)

    def __call__(self, points: F64) -> F64:
        """(52,) float64 in [0, 1], in the order of `BLENDSHAPES`, from (478, 2 or 3) points with square pixels."""
        chosen = np.asarray(points, np.float32)[list(_EXPRESSION_POINTS), :2][None]
        return self._session.run({self._session.inputs[0]: chosen})[0].reshape(-1).astype(np.float64)
