"""Head pose from landmarks, and the face's similarity in the plate."""

from __future__ import annotations

import numpy as np

from vfxswap.face import mesh
from vfxswap.geometry import Matrix23, invert, similarity
from vfxswap.pixels import F64

PoseDeg = tuple[float, float, float]
"""(pitch, yaw, roll) in degrees; see `head_pose` for signs."""


def head_pose(points: F64) -> PoseDeg:
    """Pitch, yaw and roll of the head in degrees from (468 or 478, 3) landmarks with square pixels.

    Signs are those of right-handed rotations about the axes x right, y up, z towards the camera, as in Nuke's 3D:
    pitch > 0 looks down, yaw > 0 turns the nose towards the right edge of the image, roll > 0 tilts the head
    counterclockwise as seen in the image. (0, 0, 0) faces the camera upright. R = Rz(roll) Ry(yaw) Rx(pitch).

    The canonical mesh is fitted to the landmarks by a weighted similarity in space. The landmarks' depth is
    weak-perspective, so the angles are relative to the ray from the camera to the face, not to the camera's axis.

    Source: S. Umeyama, PAMI 1991; weights of MediaPipe's pose points.
    """
    canonical = mesh.canonical()
    source = canonical.vertices[canonical.rigid]
    # An image has y down and our z away from the camera, the mesh the opposite of both.
    target = np.asarray(points, np.float64)[canonical.rigid, :3] * [1, -1, -1]
    weights = canonical.rigid_weights / canonical.rigid_weights.sum()
    s, t = source - weights @ source, target - weights @ target
    u, _, vt = np.linalg.svd((t * weights[:, None]).T @ s)
    handedness = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ handedness @ vt
    pitch = np.arctan2(rotation[2, 1], rotation[2, 2])
    yaw = np.arcsin(np.clip(-rotation[2, 0], -1, 1))
    roll = np.arctan2(rotation[1, 0], rotation[0, 0])
    pitch_deg, yaw_deg, roll_deg = np.degrees([pitch, yaw, roll]).tolist()
    return pitch_deg, yaw_deg, roll_deg


def face_similarity(points: F64, *, pixel_aspect: float = 1.0) -> Matrix23:
    """Plate -> unit face frame (see `mesh.template`) from (468 or 478, 2 or 3) landmarks in plate pixels.

    The template is fitted to the rigid points in the plate and the fit inverted: the noise is in the plate's points,
    and this way the fit is linear in them, so smoothing the points smooths the fit alike.

    With `pixel_aspect` other than 1 the fit is a similarity of square pixels and the matrix holds the squeeze too.
    """
    canonical = mesh.canonical()
    squeeze = np.array([pixel_aspect, 1.0])
    target = np.asarray(points, np.float64)[canonical.rigid, :2] * squeeze
    fit = similarity(mesh.template()[canonical.rigid], target, weights=canonical.rigid_weights)
    unit = invert(fit)
    unit[:, :2] *= squeeze
    return unit
