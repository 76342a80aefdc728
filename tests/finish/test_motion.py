"""Motion blur: what the shutter saw of a known motion, and which shutter a header names."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from vfxswap.finish import motion
from vfxswap.geometry import Matrix23, compose
from vfxswap.pixels import F32, Matte

SIZE = 96
CENTRE = np.full(2, SIZE / 2)


def move(x: float, y: float = 0.0, turn_deg: float = 0.0, scale: float = 1.0) -> Matrix23:
    """Crop of frame 0 -> where it is, turned and scaled about the middle."""
    a = np.deg2rad(turn_deg)
    linear = scale * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    return np.concatenate([linear, (CENTRE + np.array([x, y]) - linear @ CENTRE)[:, None]], axis=1)


def inverse(matrix: Matrix23) -> Matrix23:
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    return back[:2]


def picture() -> tuple[F32, Matte]:
    rng = np.random.default_rng(3)
    light = np.exp2(6 * ndimage.gaussian_filter(rng.standard_normal((SIZE, SIZE)), 3))
    mask = np.clip((26 - np.hypot(*np.indices((SIZE, SIZE)) - (SIZE - 1) / 2)) / 3 + 0.5, 0, 1)
    return np.asarray(np.repeat(0.18 * light[..., None], 3, axis=2), np.float32), Matte(mask.astype(np.float32))


def seen(image: np.ndarray, matrix: Matrix23) -> np.ndarray:
    """(S, S) `image` moved, by spline interpolation."""
    y, x = np.indices((SIZE, SIZE)) + 0.5
    at = inverse(matrix) @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    found = ndimage.map_coordinates(image, [at[1] - 0.5, at[0] - 0.5], order=3, mode="nearest")
    return np.asarray(found.reshape(SIZE, SIZE))


def path(t: float) -> Matrix23:
    return move(9.0 * t, -4.0 * t + 1.5 * t * t, 5.0 * t, 1.0 + 0.03 * t)


@pytest.mark.parametrize("open_for", [0.25, 0.5, 1.0])
def test_the_blur_is_the_mean_of_known_moves(open_for: float) -> None:
    face, mask = picture()
    # The plate -> crop matrices of a face that is where `path` says.
    way = motion.of(inverse(path(-1)), np.eye(2, 3), inverse(path(1)), size=SIZE)
    assert way is not None
    blurred, cover = motion.blurred(face, mask, way, open_for=open_for)
    times = ((np.arange(64) + 0.5) / 64 - 0.5) * open_for
    truth_mask = np.mean([seen(mask, path(t)) for t in times], axis=0)
    truth = np.mean([seen(face[..., 0] * mask, path(t)) for t in times], axis=0)
    still = np.abs(face[..., 0] * mask - truth).mean()
    made = np.abs(blurred[..., 0] * cover - truth).mean()
    assert made < 0.2 * still
    assert np.abs(cover - truth_mask).max() < 0.06
    assert np.abs(cover - truth_mask).mean() < 0.2 * np.abs(mask - truth_mask).mean()


def test_a_face_at_the_ends_moves_as_beside_them() -> None:
    only_after = motion.of(None, np.eye(2, 3), inverse(move(6.0)), size=SIZE)
    only_before = motion.of(inverse(move(-6.0)), np.eye(2, 3), None, size=SIZE)
    assert only_after is not None
    assert only_before is not None
    np.testing.assert_allclose(only_after.middle, [6.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(only_before.middle, [6.0, 0.0], atol=1e-9)
    assert motion.of(None, np.eye(2, 3), None, size=SIZE) is None


def test_a_cut_is_no_motion() -> None:
    assert motion.of(None, np.eye(2, 3), inverse(move(0.5 * SIZE)), size=SIZE) is None
    assert motion.of(None, np.eye(2, 3), inverse(move(0.0, scale=1.5)), size=SIZE) is None
    beside = motion.of(inverse(move(-3.0)), np.eye(2, 3), inverse(move(0.9 * SIZE)), size=SIZE)
    assert beside is not None
    np.testing.assert_allclose(beside.middle, [3.0, 0.0], atol=1e-9)


def test_a_way_that_nobody_sees_changes_nothing() -> None:
    face, mask = picture()
    way = motion.of(inverse(move(-0.2)), np.eye(2, 3), inverse(move(0.2)), size=SIZE)
    assert way is not None
    blurred, cover = motion.blurred(face, mask, way, open_for=0.5)
    assert blurred is face
    assert cover is mask


def test_the_plate_may_lie_anywhere() -> None:
    """The crop's motion is the same, however the crop lies in the plate."""
    crop = compose(np.array([[0.4, 0.1, 30.0], [-0.1, 0.4, 12.0]]), np.eye(2, 3))
    plain = motion.of(inverse(path(-1)), np.eye(2, 3), inverse(path(1)), size=SIZE)
    placed = motion.of(compose(inverse(path(-1)), crop), crop, compose(inverse(path(1)), crop), size=SIZE)
    assert plain is not None
    assert placed is not None
    np.testing.assert_allclose(placed.velocity, plain.velocity, atol=1e-9)
    np.testing.assert_allclose(placed.bend, plain.bend, atol=1e-9)


@pytest.mark.parametrize(
    ("header", "angle"),
    [
        ({"shutterAngle": 172.8}, 172.8),
        ({"com.arri.camera.ShutterAngle": 180.0}, 180.0),
        ({"arri/shutter_angle": "90"}, 90.0),
        ({"ExposureTime": 1 / 48, "framesPerSecond": (24, 1)}, 180.0),
        ({"ExposureTime": 1 / 48, "captureRate": (48, 1), "framesPerSecond": (24, 1)}, 360.0),
        ({"ExposureTime": 1 / 48}, None),
        ({"framesPerSecond": (24, 0), "ExposureTime": 0.02}, None),
        ({"shutterAngle": "open"}, None),
        ({"shutterAngle": 900.0}, None),
        ({"shutterAngle": float("nan")}, None),
        ({"Shutterangles": 180.0}, None),
        ({"ExposureTime": 2.0, "framesPerSecond": (24, 1)}, None),
        ({}, None),
    ],
)
def test_headers_name_the_shutter(header: dict[str, object], angle: float | None) -> None:
    found = motion.shutter_deg(header)
    assert found == (None if angle is None else pytest.approx(angle))
