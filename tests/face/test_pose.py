from __future__ import annotations

import numpy as np
import pytest

from vfxswap.face import mesh, pose
from vfxswap.geometry import transform


def rotation(axis: str, degrees: float):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array(
        {
            "x": [[1, 0, 0], [0, c, -s], [0, s, c]],
            "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
            "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
        }[axis]
    )


def turned(pitch: float, yaw: float, roll: float):
    """The canonical face turned and drawn into an image: y down, z away from the camera."""
    spun = mesh.canonical().vertices @ (rotation("z", roll) @ rotation("y", yaw) @ rotation("x", pitch)).T
    return spun * [1, -1, -1] * 17.0 + [320.0, 240.0, 0.0]


@pytest.mark.parametrize(
    "angles", [(0, 0, 0), (20, 0, 0), (-15, 0, 0), (0, 40, 0), (0, -35, 0), (0, 0, 25), (10, -30, 140), (-12, 44, -7)]
)
def test_a_known_pose_comes_back(angles):
    assert pose.head_pose(turned(*angles)) == pytest.approx(angles, abs=1e-6)


def test_signs_are_as_documented():
    nose, middle = turned(0, 30, 0)[1], turned(0, 30, 0).mean(axis=0)
    assert nose[0] > middle[0] + 10, "yaw > 0: the nose points to the image's right"
    assert turned(20, 0, 0)[1, 1] > turned(0, 0, 0)[1, 1] + 10, "pitch > 0: the nose goes down"
    right_eye, left_eye = turned(0, 0, 20)[[33, 263], :2]
    assert left_eye[1] < right_eye[1], "roll > 0: counterclockwise, the eye at the image's right goes up"


def test_similarity_puts_the_face_on_the_template():
    points = turned(0, 0, 0)
    unit = pose.face_similarity(points)
    assert transform(unit, points[:, :2]) == pytest.approx(mesh.template(), abs=1e-9)
    assert transform(unit, points[[10, 152], :2])[:, 1] == pytest.approx([0, 1])


def test_similarity_of_smoothed_points_is_the_smoothed_similarity():
    a, b = turned(0, 3, 2), turned(2, -3, 4) + np.array([10.0, 5.0, 0.0])
    inverses = [np.linalg.inv(np.vstack([pose.face_similarity(p), [0, 0, 1]])) for p in (a, b, (a + b) / 2)]
    assert inverses[2] == pytest.approx((inverses[0] + inverses[1]) / 2)


def test_squeezed_pixels():
    points = turned(0, 0, 10)
    squeezed = points / [2.0, 1.0, 1.0]
    unit = pose.face_similarity(squeezed, pixel_aspect=2.0)
    assert transform(unit, squeezed[:, :2]) == pytest.approx(transform(pose.face_similarity(points), points[:, :2]))


def test_astronaut(astronaut_landmarks):
    pitch, yaw, roll = pose.head_pose(astronaut_landmarks.points)
    assert abs(yaw) < 8
    assert -8 < roll < 0, "the head leans clockwise a little"
    assert abs(pitch) < 20
