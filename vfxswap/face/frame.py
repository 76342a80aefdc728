"""One face in one frame: what a track is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from vfxswap.face.pose import PoseDeg
from vfxswap.geometry import Matrix23
from vfxswap.pixels import F64

Source = Literal["solve", "flow", "key", "gap"]
"""Where a frame's numbers come from: the networks, optical flow, an artist's key, or interpolated over a gap."""

SOURCES: tuple[Source, ...] = get_args(Source)


@dataclass(frozen=True, eq=False)
class FaceFrame:
    """One face in one frame. Coordinates are plate pixels (see `vfxswap.geometry`), never unsqueezed.

    Attributes:
        box: (4,) float64 x0, y0, x1, y1 around the landmarks.
        landmarks: (478, 3) float64; z in rows, negative towards the camera.
        confidence: 0..1; below 0.5 an artist should look.
        presence: 0..1, what the landmark network itself says; 0 where interpolated.
        pose_deg: pitch, yaw, roll in degrees, signs as in `pose.head_pose`.
        similarity: (2, 3) float64, plate -> unit face frame (`mesh.template`); with a pixel aspect other than 1 it
            is a similarity of square pixels and holds the squeeze too.
        source: where these numbers come from.
        reasons: why an artist should look at this frame, in words; empty where the numbers can be trusted.
    """

    box: F64
    landmarks: F64
    confidence: float
    presence: float
    pose_deg: PoseDeg
    similarity: Matrix23
    source: Source = "solve"
    reasons: tuple[str, ...] = ()
