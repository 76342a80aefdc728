"""Faces read off pictures with the trackers' networks: landmarks, gaze, openings, and whose face it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vfxswap import infer
from vfxswap.face import DETECTORS, EMBEDDERS, LANDMARKERS, mesh
from vfxswap.face.landmarks import READABLE, locate, roi_from_landmarks
from vfxswap.face.pose import face_similarity
from vfxswap.face.protocols import Landmarks, Roi
from vfxswap.geometry import scale_of
from vfxswap.pixels import F64, ModelRgb

CROPS = 8
"""Perturbed crops averaged for each reading, as in tracking."""

# Outer and inner corner, iris, upper and lower lid of each eye; middle of the inner lips.
_EYES = ((33, 133, 468, 159, 145), (263, 362, 473, 386, 374))
_LIPS = (13, 14)

# An eye that is less open than this part of its width shows no gaze.
_OPEN = 0.08


@dataclass(frozen=True, eq=False)
class Reading:
    """What a picture's face looks like to the networks.

    Attributes:
        points: (478, 3) in pixels.
        embedding: (128,) whose face it is.
    """

    points: F64
    embedding: F64


class FaceReader:
    """Reads faces in display-encoded pictures; holds the networks.

    Args:
        device: where they run.
        threads: CPU threads, 0 for one per core.
    """

    def __init__(self, *, device: infer.Device = "auto", threads: int = 0) -> None:
        self._landmarker = LANDMARKERS["mesh478"](device=device, threads=threads)
        self._embedder = EMBEDDERS["dlib"](device=device, threads=threads)
        self._detector = DETECTORS["yunet"](device=device, threads=threads)

    def region(self, rgb: ModelRgb, *, near: F64 | None, centre: F64) -> Roi | None:
        """Where to look for the face: the same region is then read in all pictures of a frame.

        Args:
            rgb: (H, W, 3) the truth.
            near: (478, 2 or 3) landmarks of the frame, from the plate's track, say; None looks for a face.
            centre: (2,) the middle of the face's mask.

        Returns:
            None where no face can be read.
        """
        if near is None:
            found = self._detector(rgb)
            if not found:
                return None
            face = min(found, key=lambda one: float(np.linalg.norm(one.box.reshape(2, 2).mean(axis=0) - centre)))
            seen = locate(self._landmarker, rgb, face)
        else:
            seen = self._landmarker(rgb, roi_from_landmarks(near), crops=CROPS)
        return roi_from_landmarks(seen.points) if seen.presence >= READABLE else None

    def read(self, rgb: ModelRgb, region: Roi) -> Reading | None:
        """The face in `region`, None where it cannot be read."""
        seen: Landmarks = self._landmarker(rgb, region, crops=CROPS)
        if seen.presence < READABLE:
            return None
        return Reading(seen.points, self._embedder(rgb, seen.points))


@dataclass(frozen=True, eq=False)
class Difference:
    """How far one reading is from the truth's, %; None where what it needs is covered."""

    landmarks: float | None
    gaze: float | None
    lids: float | None
    lips: float | None


def face_height(points: F64) -> float:
    """Forehead to chin in pixels, as if seen from the front (the unit of `mesh.template`)."""
    return 1.0 / scale_of(face_similarity(points))


def compare(found: F64, truth: F64, *, covered: NDArray[np.bool_]) -> Difference:
    """Compare (478, 3) landmarks with the truth's; `covered` (478,) says which are behind something there."""
    height = face_height(truth)
    inner = [point for point in sorted({*mesh.INNER}) if not covered[point]]
    off = np.linalg.norm(found[inner, :2] - truth[inner, :2], axis=1)
    gazes, lids = [], []
    for eye in _EYES:
        if covered[list(eye)].any():
            continue
        (gaze, opening), (true_gaze, true_opening) = _eye(found, eye), _eye(truth, eye)
        lids.append(abs(opening - true_opening))
        if true_opening >= _OPEN:
            gazes.append(float(np.linalg.norm(gaze - true_gaze)))
    lips = None if covered[list(_LIPS)].any() else abs(_gap(found, _LIPS) - _gap(truth, _LIPS)) / height
    return Difference(
        landmarks=100 * float(off.mean()) / height if inner else None,
        gaze=100 * float(np.mean(gazes)) if gazes else None,
        lids=100 * float(np.mean(lids)) if lids else None,
        lips=None if lips is None else 100 * lips,
    )


def _eye(points: F64, eye: tuple[int, ...]) -> tuple[F64, float]:
    """(2,) where the iris is from the middle of the corners, along and across, and how open the lids are; in widths."""
    outer, inner, iris = (points[point, :2] for point in eye[:3])
    along = inner - outer
    width = float(np.linalg.norm(along))
    unit = along / max(width, 1e-6)
    away = (iris - (outer + inner) / 2) / max(width, 1e-6)
    gaze = np.array([away @ unit, away @ np.array([-unit[1], unit[0]])])
    return gaze, _gap(points, eye[3:]) / max(width, 1e-6)


def _gap(points: F64, pair: tuple[int, ...]) -> float:
    return float(np.linalg.norm(points[pair[0], :2] - points[pair[1], :2]))


# ---------------------------------------------------------------------------------------------- identity

Key = tuple[str, int]
"""Shot and frame."""


@dataclass
class Gallery:
    """Embeddings that faces are compared with: given ones, or those of the shots themselves.

    Attributes:
        given: performer -> (128,) reference embedding.
    """

    given: Mapping[str, F64] = field(default_factory=dict)
    _seen: dict[str, dict[Key, F64]] = field(default_factory=dict)

    def add(self, performer: str, key: Key, embedding: F64) -> None:
        """Keep the embedding of a frame that certainly shows `performer`: of the truth, or of the plate."""
        self._seen.setdefault(performer, {})[key] = embedding

    def distance(self, embedding: F64, performer: str, *, leaving: Key) -> float | None:
        """Distance to a performer's mean embedding; the frame `leaving` is left out of it where it is the shots'."""
        known = self.given.get(performer)
        if known is None:
            others = [value for key, value in self._seen.get(performer, {}).items() if key != leaving]
            if not others:
                return None
            known = np.mean(others, axis=0)
        return float(np.linalg.norm(embedding - known))
