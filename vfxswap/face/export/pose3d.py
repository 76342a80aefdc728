"""The head in space: as a .chan for a Nuke Axis, and as USD.

The camera stands at the origin and looks along -z, x right and y up, as Nuke's and USD's do; its focal length and
film back are the user's, since a track knows neither. Lengths are centimetres of the canonical head (ear to ear about
15): an average head's size is assumed, so a larger head is taken to be nearer.

Landmarks are weak perspective: the head's size in the picture says how far away it is, its place in the picture in
which direction, and its turn is one relative to that direction.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vfxswap import atomic
from vfxswap.errors import UsageError
from vfxswap.face import mesh
from vfxswap.face.export.view import View
from vfxswap.face.frame import FaceFrame
from vfxswap.pixels import F64

ROTATION_ORDER = "ZXY"
"""Nuke's default: a point is turned about z first, then about x, then about y."""


@dataclass(frozen=True, eq=False)
class Placement:
    """A head in space.

    Attributes:
        position: (3,) the canonical mesh's origin in centimetres, camera at the origin.
        rotation: (3, 3) head to camera.
    """

    position: F64
    rotation: F64

    def angles(self) -> tuple[float, float, float]:
        """Degrees about x, y and z, applied in the order `ROTATION_ORDER`."""
        r = self.rotation
        x = np.arcsin(np.clip(-r[1, 2], -1.0, 1.0))
        y, z = np.arctan2(r[0, 2], r[2, 2]), np.arctan2(r[1, 0], r[1, 1])
        rx, ry, rz = np.degrees([x, y, z]).tolist()
        return rx, ry, rz

    def matrix(self) -> F64:
        """(4, 4) head to camera for column vectors."""
        out = np.eye(4)
        out[:3, :3], out[:3, 3] = self.rotation, self.position
        return out


def placement(view: View, face: FaceFrame) -> Placement:
    """Where a face's head is."""
    aspect = view.track.pixel_aspect
    width, height = view.size[0] * aspect, view.size[1]
    focal_pixels = width * view.focal / view.aperture
    canonical = mesh.canonical()
    source = canonical.vertices[canonical.rigid]
    # The picture with square pixels, origin in its middle, y up, depth towards the camera.
    seen = face.landmarks[canonical.rigid] * [aspect, 1, 1] * [1, -1, -1] + [-width / 2, height / 2, 0]
    weights = canonical.rigid_weights / canonical.rigid_weights.sum()
    s, t = source - weights @ source, seen - weights @ seen
    rotation = _turn(face.pose_deg)
    scale = float(weights @ (t * (s @ rotation.T)).sum(axis=1)) / float(weights @ (s * s).sum(axis=1))
    x, y, _ = weights @ seen - scale * rotation @ (weights @ source)
    depth = focal_pixels / scale
    return Placement(np.array([x / scale, y / scale, -depth]), _aimed(x, y, focal_pixels) @ rotation)


def _turn(pose_deg: tuple[float, float, float]) -> F64:
    """(3, 3) of pitch, yaw and roll as `head_pose` gives them: Rz(roll) Ry(yaw) Rx(pitch)."""
    (cp, cy, cr), (sp, sy, sr) = np.cos(np.radians(pose_deg)), np.sin(np.radians(pose_deg))
    pitch = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    yaw = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    roll = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(roll @ yaw @ pitch, np.float64)


def _aimed(x: float, y: float, focal_pixels: float) -> F64:
    """(3, 3) the turn that takes the camera's axis to the ray through a point of the picture, by the shortest way."""
    towards = np.array([-x, -y, focal_pixels]) / np.linalg.norm([x, y, focal_pixels])
    axis = np.cross([0.0, 0.0, 1.0], towards)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.asarray(np.eye(3) + cross + cross @ cross / (1 + towards[2]), np.float64)


def chan(view: View) -> str:
    """A line for each frame: frame tx ty tz rx ry rz, rotation order `ROTATION_ORDER`."""
    lines = []
    for frame in view.frames:
        found = placement(view, view.faces[frame])
        numbers = [*found.position.tolist(), *found.angles()]
        lines.append("\t".join([str(frame), *(f"{number:.6f}" for number in numbers)]))
    return "\n".join(lines) + "\n"


def write_usd(view: View, path: Path) -> list[Path]:
    """Write /track/head, animated, with the canonical mesh in it, and /track/camera.

    Raises:
        UsageError: usd-core is not installed, or the name is no USD file's. OutputError, ResourceError.
    """
    try:
        from pxr import Gf, Usd, UsdGeom, Vt
    except ImportError as missing:
        raise UsageError("USD needs the package usd-core", hint="pip install 'vfxswap[usd]'") from missing
    if path.suffix not in (".usd", ".usda", ".usdc"):
        raise UsageError(f"{path.name} is no USD file's name", hint="call it .usda, .usdc or .usd")
    stage = Usd.Stage.CreateInMemory()
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 0.01)
    root = UsdGeom.Xform.Define(stage, "/track")
    stage.SetDefaultPrim(root.GetPrim())
    stage.SetStartTimeCode(view.frames[0])
    stage.SetEndTimeCode(view.frames[-1])
    camera = UsdGeom.Camera.Define(stage, "/track/camera")
    # USD counts film backs and focal lengths in tenths of a scene unit, which is a millimetre here.
    camera.CreateFocalLengthAttr(view.focal)
    camera.CreateHorizontalApertureAttr(view.aperture)
    camera.CreateVerticalApertureAttr(view.aperture * view.size[1] / (view.size[0] * view.track.pixel_aspect))
    head = UsdGeom.Xform.Define(stage, "/track/head")
    operation = head.AddTransformOp()
    for frame in view.frames:
        # USD's matrices are for row vectors.
        operation.Set(Gf.Matrix4d(placement(view, view.faces[frame]).matrix().T.tolist()), frame)
    _add_mesh(UsdGeom.Mesh.Define(stage, "/track/head/mesh"), Vt)
    with atomic.replacing(path) as temporary:
        # The name says the format, and the temporary one has another ending.
        written = temporary.with_name(f"{temporary.name}{path.suffix}")
        try:
            stage.GetRootLayer().Export(str(written))
            written.rename(temporary)
        finally:
            written.unlink(missing_ok=True)
    return [path]


def _add_mesh(target: Any, types: Any) -> None:
    canonical = mesh.canonical()
    target.CreatePointsAttr(types.Vec3fArray.FromNumpy(canonical.vertices.astype(np.float32)))
    target.CreateFaceVertexCountsAttr([3] * len(canonical.triangles))
    target.CreateFaceVertexIndicesAttr(canonical.triangles.ravel().tolist())
    target.CreateSubdivisionSchemeAttr("none")
