"""Whose face it is: dlib's 128 numbers, and whether faces are consistent with a performer's.

Source: D. E. King, "Dlib-ml", JMLR 2009, and dlib's dnn_face_recognition_ex; 0.6 is the customary limit for the same
person, measured here to separate with a wide margin on photographs (same .32 on average, different .90).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vfxswap import infer
from vfxswap.face.landmarks import crop
from vfxswap.geometry import similarity
from vfxswap.pixels import F64, ModelRgb
from vfxswap.trust.records import CONSISTENT

SAME_PERSON = 0.6
"""Distances below are customarily one person."""

CHIP = 150
_PADDING = 0.25

# Outer and inner corner of the left eye, of the right eye, and the base of the nose.
_POINTS = (263, 362, 33, 133, 2)
# Where dlib's mean face has them in a unit square without padding (dlib get_face_chip_details, five points).
_MEAN_FACE = np.array(
    [
        [0.8595674595992, 0.2134981538014],
        [0.6460604764104, 0.2289674387677],
        [0.1205750620789, 0.2137274526848],
        [0.3340850613712, 0.2290642403242],
        [0.4901123135679, 0.6277975316475],
    ]
)


class Embedder:
    """The default embedder.

    Args:
        device: where the network runs.
        threads: CPU threads, 0 for one per core.
    """

    def __init__(self, *, device: infer.Device = "auto", threads: int = 0) -> None:
        self._session = infer.session(infer.weights("identity"), device=device, threads=threads)

    def __call__(self, rgb: ModelRgb, points: F64) -> F64:
        """(128,) float64 from a (H, W, 3) display-encoded image and (478, 2 or 3) landmarks with square pixels."""
        target = (_PADDING + _MEAN_FACE) / (2 * _PADDING + 1) * CHIP
        matrix = similarity(np.asarray(points, np.float64)[list(_POINTS), :2], target)
        chip = np.clip(crop(rgb, matrix, size=CHIP), 0, 1) * 255
        return np.asarray(self._session.run(input=chip.transpose(2, 0, 1)[None])[0][0], np.float64)


def distance(a: F64, b: F64) -> float:
    """Euclidean distance of two embeddings: below `SAME_PERSON` is customarily the same person."""
    return float(np.linalg.norm(np.asarray(a) - np.asarray(b)))


@dataclass(frozen=True, eq=False)
class Consistency:
    """How faces compare with a performer's references. It is never a proof of who somebody is.

    Attributes:
        distances: (N,) float64 of each face from the references' middle.
        threshold: faces nearer than this are consistent.
    """

    distances: F64
    threshold: float

    @property
    def median(self) -> float:
        """The distance of the faces as a whole; infinite for none."""
        return float(np.median(self.distances)) if len(self.distances) else float("inf")

    @property
    def outliers(self) -> tuple[int, ...]:
        """Which faces are not consistent, each by itself."""
        return tuple(int(at) for at in np.flatnonzero(self.distances >= self.threshold))

    @property
    def ok(self) -> bool:
        """Whether the faces as a whole are consistent with the references. Without a face nothing is."""
        return self.median < self.threshold

    def words(self, performer: str) -> str:
        """The finding as a sentence's end, for reports and refusals."""
        how = "consistent" if self.ok else "not consistent"
        return (
            f"{how} with the references of {performer}: median distance {self.median:.2f} of"
            f" {len(self.distances)} faces, below {self.threshold} is consistent; {len(self.outliers)} are not"
        )


def consistency(embeddings: F64, references: F64, *, threshold: float = CONSISTENT) -> Consistency:
    """Compare faces with a performer's references: of a faceset that is built, of frames that are published.

    Args:
        embeddings: (N, 128) of the faces.
        references: (M, 128) of the performer, M at least 1.
        threshold: in Euclidean distance.

    Raises:
        ValueError: there is no reference.
    """
    if len(references) == 0:
        raise ValueError("no reference to compare with")
    away = np.linalg.norm(np.asarray(embeddings, np.float64).reshape(-1, 128) - references.mean(axis=0), axis=1)
    return Consistency(np.asarray(away, np.float64), threshold)
