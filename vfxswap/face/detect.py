"""Finding faces: YuNet, with a chain of harder looks when it finds nothing, and sweeps for whoever is hard to see.

Source: W. Wu, H. Peng, S. Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 2023;
anchor-free decoding as in OpenCV's FaceDetectorYN.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from vfxswap import infer
from vfxswap.face.exposed import DARKER, Exposed
from vfxswap.face.protocols import Detection, Detector
from vfxswap.geometry import Window
from vfxswap.pixels import F32, F64, ModelRgb

_STRIDES = (8, 16, 32)


class YuNet:
    """The default detector.

    Faces down to about 40 px height in 1920 x 1080 are found in the first look, about 20 px in the second.

    Args:
        device: where the network runs.
        threads: CPU threads, 0 for one per core.
        long_side: images are shrunk to this long side for the first look.
        threshold: least score of a face.
    """

    def __init__(
        self,
        *,
        device: infer.Device = "auto",
        threads: int = 0,
        long_side: int = 960,
        threshold: float = 0.6,
    ) -> None:
        self._session = infer.session(infer.weights("detector"), device=device, threads=threads)
        self._long_side = long_side
        self._threshold = threshold

    def __call__(self, rgb: ModelRgb, *, thorough: bool = True) -> tuple[Detection, ...]:
        """Faces in a (H, W, 3) float32 image with square pixels, best score first.

        Args:
            rgb: display-encoded, exposure-normalised, [0, 1].
            thorough: on a miss look again at full resolution, then at the image turned by 90, 180 and 270 degrees.
        """
        scale = min(1.0, self._long_side / max(rgb.shape[:2]))
        found = self._look(rgb, scale=scale)
        if found or not thorough:
            return found
        if scale < 1.0:
            found = self._look(rgb, scale=1.0)
        for size in dict.fromkeys((scale, 1.0)):
            for turns in (1, 2, 3):
                if found:
                    break
                turned = self._look(_turned(rgb, turns), scale=size)
                found = tuple(_turn_back(face, turns=turns, shape=rgb.shape[:2]) for face in turned)
        return found

    def _look(self, rgb: ModelRgb, *, scale: float) -> tuple[Detection, ...]:
        height, width = (max(1, round(side * scale)) for side in rgb.shape[:2])
        small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA) if scale < 1.0 else rgb
        padded = np.zeros((1, 3, _pad(height), _pad(width)), np.float32)
        # The network was trained on OpenCV's channel order and code range.
        for plane, channel in zip(padded[0], (2, 1, 0), strict=True):
            plane[:height, :width] = cv2.extractChannel(small, channel)
        np.clip(padded, 0, 1, out=padded)
        padded *= np.float32(255.0)
        raw = dict(zip(self._session.outputs, self._session.run(input=padded), strict=True))
        boxes, points, scores = _decode(raw, columns=padded.shape[3], threshold=self._threshold)
        back = np.array([rgb.shape[1] / width, rgb.shape[0] / height])
        return tuple(
            Detection(box=boxes[i] * np.tile(back, 2), points=points[i] * back, score=float(scores[i]))
            for i in suppress(boxes, scores)
        )


def _pad(side: int) -> int:
    """Next multiple of the largest stride."""
    return -(-side // 32) * 32


def _decode(raw: dict[str, F32], *, columns: int, threshold: float) -> tuple[F64, F64, F64]:
    """(N, 4) boxes, (N, 5, 2) points and (N,) scores in pixels of the network's input."""
    boxes, points, scores = [], [], []
    for stride in _STRIDES:
        quality = np.clip(raw[f"cls_{stride}"][0, :, 0], 0, 1) * np.clip(raw[f"obj_{stride}"][0, :, 0], 0, 1)
        score = np.sqrt(quality.astype(np.float64))
        keep = np.flatnonzero(score >= threshold)
        row, column = np.divmod(keep, columns // stride)
        cell = np.stack([column, row], axis=1).astype(np.float64)
        box = raw[f"bbox_{stride}"][0, keep].astype(np.float64)
        centre, half = (cell + box[:, :2]) * stride, np.exp(box[:, 2:]) * stride / 2
        boxes.append(np.concatenate([centre - half, centre + half], axis=1))
        offsets = raw[f"kps_{stride}"][0, keep].astype(np.float64).reshape(-1, 5, 2)
        points.append((offsets + cell[:, None]) * stride)
        scores.append(score[keep])
    return np.concatenate(boxes), np.concatenate(points), np.concatenate(scores)


def overlap(a: F64, b: F64) -> F64:
    """Intersection over union of boxes (N, 4) and (M, 4): (N, M)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2)
    area_a, area_b = (np.clip(x[:, 2:] - x[:, :2], 0, None).prod(axis=1) for x in (a, b))
    union = area_a[:, None] + area_b[None] - common
    return np.asarray(common / np.maximum(union, 1e-12))


def suppress(boxes: F64, scores: F64, *, limit: float = 0.3) -> list[int]:
    """Indices of the faces that no better one covers, best score first."""
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable"):
        if not kept or overlap(boxes[[index]], boxes[kept]).max() <= limit:
            kept.append(int(index))
    return kept


def _turn_back(face: Detection, *, turns: int, shape: tuple[int, int]) -> Detection:
    """A face found in `np.rot90(image, turns)`, in the coordinates of an image of `shape` (rows, columns)."""
    height, width = shape

    def back(points: F64) -> F64:
        x, y = points[:, 0], points[:, 1]
        if turns == 1:
            return np.stack([width - y, x], axis=1)
        if turns == 2:
            return np.stack([width - x, height - y], axis=1)
        return np.stack([y, height - x], axis=1)

    corners = back(face.box.reshape(2, 2))
    box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    return Detection(box=box, points=back(face.points), score=face.score)


# ------------------------------------------------------------------------------------------------- sweep

# Side of a tile that is looked at unshrunk, and how far tiles overlap: faces larger than that are seen in the whole.
_TILE = 960
_SHARED = 160

# What turned and darkened looks find must be surer than what the others do.
_SURE = 0.7


class Found(NamedTuple):
    """A detected face, and the exposure in stops at which it was seen."""

    face: Detection
    stops: float = 0.0


def plain(detector: Detector, image: Exposed) -> list[Found]:
    """The faces of one look at the picture as it is."""
    small, factor = image.small(_TILE)
    return [Found(_scaled(face, factor)) for face in detector(small, thorough=False)]


def search(detector: Detector, image: Exposed) -> list[Found]:
    """The chain of ever harder looks, up to the first that finds anybody; the last one is into the highlights."""
    found = [Found(face) for face in detector(image.rgb)]
    dark = None if found else image.darker(_TILE)
    return found if dark is None else [Found(_scaled(face, dark[1]), DARKER) for face in detector(dark[0])]


def sweep(detector: Detector, image: Exposed) -> list[Found]:
    """All looks, whatever each of them finds: a second face may be small, turned, or in another light.

    The whole picture, its parts at full resolution, the picture turned by 90, 180 and 270 degrees, and the
    highlights if much is clipped. A face seen in several looks is listed once.
    """
    found = plain(detector, image)
    whole = Window(0, 0, *image.size)
    for tile in _tiles(whole.height, whole.width):
        part = ModelRgb(image.rgb[tile.slices(whole)])
        _add(found, [Found(_shifted(face, tile)) for face in detector(part, thorough=False)], least=0.0)
    small, factor = image.small(_TILE)
    for turns in (1, 2, 3):
        turned = detector(_turned(small, turns), thorough=False)
        back = (_turn_back(face, turns=turns, shape=small.shape[:2]) for face in turned)
        _add(found, [Found(_scaled(face, factor)) for face in back])
    dark = image.darker(_TILE)
    if dark is not None:
        _add(found, [Found(_scaled(face, dark[1]), DARKER) for face in detector(dark[0], thorough=False)])
    return found


def _add(found: list[Found], more: list[Found], *, least: float = _SURE) -> None:
    """Append the faces of a harder look that no other look has seen."""
    for new in more:
        centre = (new.face.box[:2] + new.face.box[2:]) / 2
        if new.face.score >= least and not any(
            overlap(new.face.box[None], old.face.box[None])[0, 0] > 0.2
            or ((old.face.box[:2] < centre) & (centre < old.face.box[2:])).all()
            for old in found
        ):
            found.append(new)


def _tiles(height: int, width: int) -> list[Window]:
    """Overlapping parts of a picture, none larger than a tile; none at all for a picture that is no larger."""
    if max(height, width) <= _TILE:
        return []
    return [Window(x, y, w, h) for y, h in _spans(height) for x, w in _spans(width)]


def _spans(length: int) -> list[tuple[int, int]]:
    """Start and size of the tiles along one side."""
    count = max(1, -(-(length - _SHARED) // (_TILE - _SHARED)))
    size = -(-(length + (count - 1) * _SHARED) // count)
    return [(round(i * (length - size) / max(1, count - 1)), size) for i in range(count)]


def _shifted(face: Detection, tile: Window) -> Detection:
    corner = np.array([tile.x, tile.y], np.float64)
    return Detection(box=face.box + np.tile(corner, 2), points=face.points + corner, score=face.score)


def _scaled(face: Detection, factor: float) -> Detection:
    return Detection(box=face.box * factor, points=face.points * factor, score=face.score)


def _turned(rgb: ModelRgb, turns: int) -> ModelRgb:
    return ModelRgb(np.ascontiguousarray(np.rot90(rgb, turns)))
