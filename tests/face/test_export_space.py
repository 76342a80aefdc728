"""STMaps, head pose and USD: what they say is where the face is."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from vfxswap import align, exr
from vfxswap.errors import TrackError, UsageError
from vfxswap.face import mesh
from vfxswap.face.export import maps, pose3d
from vfxswap.face.export.view import View
from vfxswap.face.frame import FaceFrame
from vfxswap.face.pose import face_similarity, head_pose
from vfxswap.face.track import Face, Track
from vfxswap.geometry import transform
from vfxswap.plate import Lenses

from ..support import face

WIDTH, HEIGHT = 1920, 1080
FOCAL, APERTURE = 85.0, 24.576


def turned(pitch: float, yaw: float, roll: float) -> np.ndarray:
    """Rz Ry Rx, from the definition."""
    out = np.eye(3)
    for axis, angle in ((0, pitch), (1, yaw), (2, roll)):
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        i, j = (axis + 1) % 3, (axis + 2) % 3
        one = np.eye(3)
        one[i, i], one[i, j], one[j, i], one[j, j] = c, -s, s, c
        out = one @ out
    return out


def filmed(rotation: np.ndarray, position: np.ndarray, *, squeeze: float = 1.0) -> FaceFrame:
    """The canonical head seen by a real (perspective) camera at the origin."""
    points = mesh.canonical().vertices @ rotation.T + position
    pixels = WIDTH * squeeze * FOCAL / APERTURE
    seen = np.zeros((mesh.COUNT, 3))
    seen[:468, 0] = (WIDTH * squeeze / 2 + pixels * points[:, 0] / -points[:, 2]) / squeeze
    seen[:468, 1] = HEIGHT / 2 - pixels * points[:, 1] / -points[:, 2]
    # A landmarker sees a crop, as a camera aimed at the face would: depth is along the ray.
    seen[:468, 2] = (points - position) @ position / np.linalg.norm(position) * pixels / -position[2]
    seen[468:] = seen[:468].mean(axis=0)
    return FaceFrame(
        box=np.zeros(4),
        landmarks=seen,
        confidence=1.0,
        presence=1.0,
        pose_deg=head_pose(seen * [squeeze, 1, 1]),
        similarity=face_similarity(seen, pixel_aspect=squeeze),
    )


def view(faces: dict[int, FaceFrame], squeeze: float = 1.0, **fields) -> View:
    track = Track(
        plate="p.%04d.exr",
        frames={frame: ((0, one),) for frame, one in faces.items()},
        faces=(Face(0, None, np.zeros(128)),),
        pixel_aspect=squeeze,
    )
    given = {"size": (WIDTH, HEIGHT), "focal": FOCAL, "aperture": APERTURE, **fields}
    return View(track, 0, track.face(0), **given)


def nuke_axis(rx: float, ry: float, rz: float) -> np.ndarray:
    """Nuke's rotation order ZXY: z first, then x, then y."""
    return turned(0, ry, 0) @ turned(rx, 0, 0) @ turned(0, 0, rz)


@pytest.mark.parametrize("squeeze", [1.0, 2.0])
@pytest.mark.parametrize(
    ("angles", "position"),
    [
        ((0, 0, 0), (0, 0, -150)),
        ((5, -20, 3), (12, 4, -150)),
        ((-12, 30, -25), (-18, -9, -200)),
        ((20, 5, 120), (6, -3, -120)),
    ],
)
def test_a_chan_puts_the_head_where_the_camera_saw_it(angles, position, squeeze):
    """Weak perspective is what it costs: degrees and a few per cent of the distance, at a portrait's distance."""
    rotation = turned(*angles)
    one = view({1001: filmed(rotation, np.array(position, np.float64), squeeze=squeeze)}, squeeze)
    frame, *numbers = pose3d.chan(one).split()
    assert frame == "1001"
    tx, ty, tz, rx, ry, rz = map(float, numbers)
    assert tz == pytest.approx(position[2], rel=0.06)
    # On the ray of the landmarks' middle, which perspective moves by a few pixels.
    assert (tx / tz, ty / tz) == pytest.approx((position[0] / position[2], position[1] / position[2]), abs=0.006)
    between = nuke_axis(rx, ry, rz) @ rotation.T
    assert np.degrees(np.arccos((np.trace(between) - 1) / 2)) < 2.5


def test_a_chan_has_a_line_for_each_frame():
    head = filmed(np.eye(3), np.array([0.0, 0.0, -150.0]))
    text = pose3d.chan(view({1001: head, 1002: head, 1010: head}))
    assert [line.split()[0] for line in text.splitlines()] == ["1001", "1002", "1010"]
    assert {len(line.split("\t")) for line in text.splitlines()} == {7}


def test_usd_holds_the_same_matrix(tmp_path):
    pytest.importorskip("pxr", reason="needs usd-core (the extra `usd`)")
    from pxr import Gf, Usd, UsdGeom

    heads = {f: filmed(turned(5, f - 1000, 3), np.array([12.0, 4.0, -150.0 - f + 1000])) for f in (1001, 1002)}
    one = view(heads, 2.0)
    for suffix in (".usda", ".usdc"):
        (path,) = pose3d.write_usd(one, tmp_path / f"head{suffix}")
        stage = Usd.Stage.Open(str(path))
        assert UsdGeom.GetStageMetersPerUnit(stage) == 0.01
        assert UsdGeom.GetStageUpAxis(stage) == "Y"
        assert (stage.GetStartTimeCode(), stage.GetEndTimeCode()) == (1001, 1002)
        for frame in heads:
            place = pose3d.placement(one, one.faces[frame])
            world = UsdGeom.XformCache(frame).GetLocalToWorldTransform(stage.GetPrimAtPath("/track/head"))
            nose = mesh.canonical().vertices[4]
            expected = place.rotation @ nose + place.position
            assert np.allclose(world.Transform(Gf.Vec3d(*nose.tolist())), expected, atol=1e-4)
        camera = UsdGeom.Camera(stage.GetPrimAtPath("/track/camera")).GetCamera(1001)
        # Anamorphic: the plate is twice as wide as its pixels say.
        expected = np.degrees(2 * np.arctan(APERTURE * HEIGHT / (WIDTH * 2) / 2 / FOCAL))
        assert camera.GetFieldOfView(Gf.Camera.FOVVertical) == pytest.approx(expected, rel=1e-5)
        points = UsdGeom.Mesh(stage.GetPrimAtPath("/track/head/mesh")).GetPointsAttr().Get()
        assert np.allclose(points, mesh.canonical().vertices, atol=1e-4)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["head.usda", "head.usdc"]


def test_usd_wants_a_name_of_its_kind(tmp_path):
    pytest.importorskip("pxr", reason="needs usd-core (the extra `usd`)")
    with pytest.raises(UsageError, match="usda"):
        pose3d.write_usd(view({1: filmed(np.eye(3), np.array([0, 0, -100.0]))}), tmp_path / "head.nk")


# ----------------------------------------------------------------------------------------------- STMaps


def test_stmaps_lead_to_the_crop_and_back(tmp_path):
    small = view({1001: face(40, 30, 30), 1003: face(44, 31, 30)}, size=(96, 64), crop=32)
    paths = maps.write_stmaps(small, tmp_path / "a.%04d.exr")
    assert [path.name for path in paths] == ["a.1001.exr", "a.1003.exr"]
    back = maps.write_stmaps(dataclasses.replace(small, inverse=True), tmp_path / "b.####.exr")
    for frame, there, home in zip((1001, 1003), paths, back, strict=True):
        matrix = align.crop_matrix(small.faces[frame].similarity, size=32)
        forward, _ = exr.read_channels(there)
        inverse, _ = exr.read_channels(home)
        assert sorted(forward) == ["u", "v"]
        assert forward["u"].dtype == np.float32
        assert forward["u"].shape == (64, 96)
        assert inverse["u"].shape == (32, 32)
        for x, y in ((0, 0), (95, 63), (40, 20)):
            crop = transform(matrix, np.array([[x + 0.5, y + 0.5]]))[0]
            assert (forward["u"][y, x] * 32, 32 - forward["v"][y, x] * 32) == pytest.approx(crop, abs=1e-3)
        for x, y in ((0, 0), (31, 31), (7, 20)):
            plate = np.array([[inverse["u"][y, x] * 96, 64 - inverse["v"][y, x] * 64]], np.float64)
            assert transform(matrix, plate)[0] == pytest.approx((x + 0.5, y + 0.5), abs=1e-3)


def test_stmaps_of_a_lens_want_the_lens(tmp_path):
    plain = view({1001: face(40, 30, 30)}, size=(96, 64), crop=32)
    bent = dataclasses.replace(plain, track=dataclasses.replace(plain.track, metadata={"lens": "hash"}))
    with pytest.raises(TrackError, match="lens"):
        maps.write_stmaps(bent, tmp_path / "a.%04d.exr")
    x, y = (np.arange(96) + 0.5) / 96, 1 - (np.arange(64) + 0.5) / 64
    # A lens that only shifts: the straight picture looks 3 pixels further right in the plate.
    exr.write_channels(
        tmp_path / "lens.exr",
        channels={
            "u": np.broadcast_to(x + 3 / 96, (64, 96)).astype(np.float32),
            "v": np.broadcast_to(y[:, None], (64, 96)).astype(np.float32),
        },
    )
    lenses = Lenses.parse(str(tmp_path / "lens.exr"), display=(96, 64))
    (path,) = maps.write_stmaps(dataclasses.replace(bent, lenses=lenses), tmp_path / "a.%04d.exr")
    (other,) = maps.write_stmaps(plain, tmp_path / "b.%04d.exr")
    with pytest.raises(TrackError, match="lens"):
        maps.write_stmaps(dataclasses.replace(plain, lenses=lenses), tmp_path / "a.%04d.exr")
    one, two = (exr.read_channels(item)[0]["u"] for item in (path, other))
    assert np.allclose(one[:, 40], two[:, 37], atol=1e-4)


def test_stmaps_want_a_frame_number(tmp_path):
    with pytest.raises(UsageError):
        maps.write_stmaps(view({1001: face(40, 30, 30)}, size=(96, 64)), tmp_path / "a.exr")
