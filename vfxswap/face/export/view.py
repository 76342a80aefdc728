"""What an exporter is given, and Nuke's coordinates.

Nuke counts pixels as geometry.py does, from a pixel's corner: the centre of a format's first pixel is (0.5, 0.5).
Only its y runs up from the bottom of the format, which is the plate's display window wherever that lies in the file.
So x stays, y becomes height - y, and no half pixel is added: the centre of the top-left pixel is (0.5, height - 0.5).
Squeezed pixels stay squeezed in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vfxswap.errors import TrackError
from vfxswap.face.frame import FaceFrame
from vfxswap.face.pose import face_similarity
from vfxswap.face.track import Track
from vfxswap.geometry import Matrix23
from vfxswap.pixels import F64
from vfxswap.plate import Lenses

LENS = "lens"
"""As `vfxswap.face.shot.LENS`: the key of a track's metadata that names its lens."""


@dataclass(frozen=True, eq=False)
class View:
    """One face of a track on its way out.

    Attributes:
        track: where it is from.
        face: its id.
        faces: frame -> the face with the artist's keys.
        size: width and height of the plate's display window.
        reference: the frame that others are compared with; None is the first with a face.
        focal: focal length in millimetres of the camera that poses are seen through.
        aperture: width of its film back in millimetres.
        crop: side of the face crop in pixels, for STMaps.
        inverse: STMaps lead from the crop to the plate instead of from the plate to the crop.
        lenses: the plate's distortion, for STMaps of a track that was made through it.
    """

    track: Track
    face: int
    faces: dict[int, FaceFrame]
    size: tuple[int, int]
    reference: int | None = None
    focal: float = 50.0
    aperture: float = 24.576
    crop: int = 512
    inverse: bool = False
    lenses: Lenses | None = None

    @property
    def frames(self) -> list[int]:
        """The frames that have the face."""
        return sorted(self.faces)

    @property
    def first(self) -> int:
        """The reference frame; raises TrackError where the face is not in it."""
        frame = self.frames[0] if self.reference is None else self.reference
        if frame not in self.faces:
            raise TrackError(f"face {self.face} is not in the reference frame {frame}", hint="choose another one")
        return frame

    @property
    def name(self) -> str:
        """The face's name, or its number in words."""
        named = next((face.name for face in self.track.faces if face.id == self.face), None)
        return named or f"face{self.face}"

    def up(self, points: F64) -> F64:
        """(N, 2) plate pixels -> Nuke's, and back."""
        return flipped(points, self.size[1])

    def landmarks(self, indices: Sequence[int]) -> F64:
        """(frames, points, 2) of `frames`, in Nuke's pixels."""
        found = np.array([self.faces[frame].landmarks[list(indices), :2] for frame in self.frames])
        return self.up(found)

    def in_plate(self, frame: int) -> Matrix23:
        """The plate as it is shot -> unit face frame."""
        return in_plate(self.track, self.faces[frame])


def flipped(points: F64, height: int) -> F64:
    """(..., 2) with y up from the bottom instead of down from the top, or back."""
    return np.stack([points[..., 0], height - points[..., 1]], axis=-1)


def in_plate(track: Track, face: FaceFrame) -> Matrix23:
    """The plate as it is shot -> unit face frame: with a lens the track's similarity is of the straight picture."""
    if not track.metadata.get(LENS):
        return face.similarity
    return face_similarity(face.landmarks, pixel_aspect=track.pixel_aspect)
