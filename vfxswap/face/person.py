"""Person matte: which pixels around the face belong to a person (head, hair, body) and not to the background.

Source: MediaPipe selfie segmentation (Apache-2.0). It knows no difference between a person's face and a hand in
front of it.
"""

from __future__ import annotations

import cv2
import numpy as np

from vfxswap import infer
from vfxswap.face.landmarks import crop
from vfxswap.face.protocols import Roi
from vfxswap.geometry import Window, compose, invert, to_opencv
from vfxswap.pixels import F64, Matte, ModelRgb

_SIZE = 256

# Side of the square it looks at, in face sizes: it wants head and shoulders, but a wider view costs resolution.
_REACH = 2.4


class PersonMatte:
    """The default parser.

    Args:
        device: where the network runs.
        threads: CPU threads, 0 for one per core.
    """

    def __init__(self, *, device: infer.Device = "auto", threads: int = 0) -> None:
        self._session = infer.session(infer.weights("person"), device=device, threads=threads)

    def __call__(self, rgb: ModelRgb, points: F64, *, window: Window | None = None) -> Matte:
        """Coverage 0..1 of the person over `window`, (H, W) float32.

        Args:
            rgb: (H, W, 3) float32, display-encoded, [0, 1], square pixels.
            points: (478, 2 or 3) landmarks of the face, in pixels of `rgb`.
            window: the pixels of `rgb` wanted, the whole image if None. It may reach outside the image.

        Returns:
            The matte; 0 outside the square around the face that the network looked at.
        """
        wanted = window or Window(0, 0, rgb.shape[1], rgb.shape[0])
        matrix = _around(points).matrix(_SIZE)
        view = crop(rgb, matrix, size=_SIZE)
        matte = self._session.run({self._session.inputs[0]: view[None]})[0].reshape(_SIZE, _SIZE)
        shift = np.array([[1.0, 0.0, -wanted.x], [0.0, 1.0, -wanted.y]])
        back = to_opencv(compose(shift, invert(matrix)))
        placed = cv2.warpAffine(
            matte, back, (wanted.width, wanted.height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
        )
        return Matte(np.clip(placed, 0, 1).astype(np.float32))


def _around(points: F64) -> Roi:
    """An upright square around the face, a little lower than its centre so that the shoulders are in it."""
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    side = float((high - low).max())
    x, y = (low + high) / 2
    return Roi(float(x), float(y) + 0.1 * side, _REACH * side, 0.0)
