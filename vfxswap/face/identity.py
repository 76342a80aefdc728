"""Whose face it is: dlib's 128 numbers.

Source: D. E. King, "Dlib-ml", JMLR 2009, and dlib's dnn_face_recognition_ex; 0.6 is the customary limit for the same
person, measured here to separate with a wide margin on photographs (same .32 on average, different .90).
"""

from __future__ import annotations

import numpy as np

from vfxswap import infer
from vfxswap.face.landmarks import crop
from vfxswap.geometry import similarity
from vfxswap.pixels import F64, ModelRgb

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
