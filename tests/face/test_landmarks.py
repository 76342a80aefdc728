from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from vfxswap.face import LANDMARKERS, landmarks, mesh
from vfxswap.face.protocols import Roi
from vfxswap.geometry import to_opencv
from vfxswap.pixels import ModelRgb

from .conftest import moved, placement

# MediaPipe 1.2.2's own region for this photograph: what its detector gave, in its coordinates.
MEDIAPIPE_REGION = (225.2374267578125, 130.5432891845703, 143.01638793945312, 0.09438870847225189)


@pytest.fixture(scope="module")
def reference():
    with np.load(Path(__file__).parents[1] / "data" / "astronaut_mediapipe.npz") as data:
        return {name: data[name] for name in data.files}


def half_pixel(side: float, angle: float):
    """What to add to MediaPipe's coordinates to get ours; see `landmarks`' docstring."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([0.5, 0.5]) - side / landmarks.CROP * np.array([[cos, -sin], [sin, cos]]) @ [0.5, 0.5]


@pytest.mark.parametrize("name", sorted(LANDMARKERS))
def test_every_registered_landmarker_matches_mediapipe(name, astronaut, reference):
    x, y, side, angle = MEDIAPIPE_REGION
    shift = half_pixel(side, angle)
    found = LANDMARKERS[name](device="cpu", threads=1)(astronaut, Roi(x + shift[0], y + shift[1], side, angle))
    theirs = reference["L"][0] * 512
    assert np.abs(found.points[:, :2] - shift - theirs[:, :2]).max() < 0.15
    assert np.abs(found.points[:, 2] - theirs[:, 2]).max() < 0.2
    assert found.presence > 0.99


def test_expression_matches_mediapipe(reference):
    found = landmarks.Blendshapes(threads=1)(reference["L"][0] * 512)
    assert found.shape == (len(landmarks.BLENDSHAPES),) == (52,)
    assert np.abs(found - reference["B"][0]).max() < 0.005


def test_a_smile_is_a_smile(astronaut_landmarks):
    found = dict(zip(landmarks.BLENDSHAPES, landmarks.Blendshapes(threads=1)(astronaut_landmarks.points), strict=True))
    assert found["mouthSmileLeft"] > 0.5
    assert found["mouthSmileRight"] > 0.5
    assert found["jawOpen"] < 0.2


def test_points_are_where_the_picture_is(astronaut, landmarker):
    """The half-pixel convention, measured: a crop and its mirror image must agree about the middle of the face.

    If the network counted from whole pixel centres the sum of both answers would be off by one crop pixel.
    """
    pairs = mesh.mirror()
    roi = Roi(224.0, 125.0, 163.0, 0.05)
    width = astronaut.shape[1]
    flipped = ModelRgb(np.ascontiguousarray(astronaut[:, ::-1]))
    offsets = []
    for zoom in (0.95, 1.0, 1.05, 1.1):
        there = landmarker(astronaut, Roi(roi.x, roi.y, roi.side * zoom, roi.angle)).points
        back = landmarker(flipped, Roi(width - roi.x, roi.y, roi.side * zoom, -roi.angle)).points[pairs]
        offsets.append((there[:, 0] + back[:, 0] - width).mean() / 2 * landmarks.CROP / (roi.side * zoom))
    assert abs(np.mean(offsets)) < 0.25, "in crop pixels; whole-number centres would give -0.5"


def test_points_follow_the_picture_through_scale_and_shift(astronaut, landmarker, astronaut_landmarks):
    roi = landmarks.roi_from_landmarks(astronaut_landmarks.points)
    matrix = placement(2.5, 0.0, 640.3, 360.7)
    large = moved(astronaut, matrix, (1280, 720))
    x, y = matrix[:, :2] @ [roi.x, roi.y] + matrix[:, 2]
    there = landmarker(large, Roi(float(x), float(y), roi.side * 2.5, roi.angle)).points
    here = landmarker(astronaut, roi).points
    expected = here[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs((there[:, :2] - expected).mean(axis=0)).max() < 0.15
    assert there[:, 2] == pytest.approx(here[:, 2] * 2.5, abs=4)


def test_large_faces_are_averaged_and_not_aliased(astronaut):
    """A crop of a 6 x enlarged, finely noisy plate is as calm as the crop of the plate itself."""
    matrix = placement(6.0, 0.0, 700.0, 700.0)
    clean = moved(astronaut, matrix, (1400, 1400))
    noisy = moved(astronaut, matrix, (1400, 1400), grain=0.1, seed=3)
    square = Roi(700.0, 700.0, 1000.0, 0.0).matrix(256)
    error = landmarks.crop(noisy, square, size=256) - landmarks.crop(clean, square, size=256)
    assert error.std() < 0.1 / 3


def test_crop_samples_pixel_centres():
    plate = np.zeros((8, 8, 3), np.float32)
    plate[3, 5] = 1
    matrix = np.array([[1.0, 0.0, -4.0], [0.0, 1.0, -2.0]])
    crop = landmarks.crop(ModelRgb(plate), matrix, size=4)
    assert np.argwhere(crop[:, :, 0] == 1).tolist() == [[1, 1]]
    assert crop.sum() == 3


@pytest.mark.parametrize(
    "roi",
    [Roi(300.0, 250.0, 400.0, 0.4), Roi(20.0, 30.0, 700.0, -1.0), Roi(-300.0, 900.0, 90.0, 0.0), Roi(350, 240, 100, 3)],
)
@pytest.mark.parametrize("border", [cv2.BORDER_REPLICATE, cv2.BORDER_CONSTANT])
def test_crops_in_bands_are_crops_in_one(roi, border):
    """Inside the plate, across its edge and outside of it; shrunk and enlarged."""
    noise = np.random.default_rng(0).random((480, 640, 3)).astype(np.float32)
    plate = ModelRgb(np.asarray(cv2.GaussianBlur(noise, (0, 0), 1.5), np.float32))
    matrix = roi.matrix(256)
    factor = max(1, round(roi.side / 256))
    size = (256 * factor, 256 * factor)
    large = cv2.warpAffine(plate, to_opencv(matrix * factor), size, flags=cv2.INTER_LINEAR, borderMode=border)
    expected = cv2.resize(large, (256, 256), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(landmarks.crop(plate, matrix, size=256, border=border), expected, atol=1e-4)


def test_several_crops_are_those_of_each_square():
    noise = np.random.default_rng(0).random((480, 640, 3)).astype(np.float32)
    plate = ModelRgb(np.asarray(cv2.GaussianBlur(noise, (0, 0), 6), np.float32))
    roi = Roi(300.0, 250.0, 300.0, 0.2)
    matrices = [square.matrix(landmarks.CROP) for square in landmarks.perturbed(roi, crops=4)]
    several = landmarks.cropped(plate, roi, matrices)
    assert several.shape == (4, landmarks.CROP, landmarks.CROP, 3)
    for found, matrix in zip(several, matrices, strict=True):
        assert np.abs(found - landmarks.crop(plate, matrix, size=landmarks.CROP)).max() < 0.02
        assert np.abs(found - several.mean(axis=0)).max() > 0.02, "they differ"


def test_regions():
    roi = Roi(10.0, 20.0, 64.0, np.pi / 2)
    corner = roi.matrix(256) @ [10.0, 20.0, 1.0]
    assert corner == pytest.approx([128, 128])
    below = roi.matrix(256) @ [10.0, 30.0, 1.0]
    assert below == pytest.approx([168, 128]), "a head lying on its side: its x axis points down in the plate"


def test_perturbed_regions_balance():
    roi = Roi(100.0, 50.0, 200.0, 0.3)
    assert landmarks.perturbed(roi, crops=1) == (roi,)
    for count in (2, 4, 8, 5):
        moved_rois = landmarks.perturbed(roi, crops=count)
        assert len(set(moved_rois)) == count
        mean = np.mean([(r.x, r.y, r.side, r.angle) for r in moved_rois], axis=0)
        assert mean == pytest.approx([100, 50, 200, 0.3])
        assert max(abs(r.x - 100) for r in moved_rois) < 0.05 * 200


def test_averaging_crops_steadies(astronaut, landmarker, astronaut_landmarks):
    """Spread of the answers over small random shifts of the region, one crop against eight."""
    roi = landmarks.roi_from_landmarks(astronaut_landmarks.points)
    rng = np.random.default_rng(1)
    spread = []
    for crops in (1, 8):
        answers = [
            landmarker(
                astronaut,
                Roi(roi.x + dx, roi.y + dy, roi.side * (1 + 0.02 * ds), roi.angle + 0.03 * da),
                crops=crops,
            ).points[:, :2]
            for dx, dy, ds, da in rng.uniform(-2, 2, (8, 4))
        ]
        spread.append(np.std(answers, axis=0).mean())
    assert spread[1] < 0.7 * spread[0]


def test_no_face_is_not_present(landmarker):
    noise = np.random.default_rng(0).random((300, 300, 3)).astype(np.float32)
    blurred = np.asarray(cv2.GaussianBlur(noise, (0, 0), 4), np.float32)
    assert landmarker(ModelRgb(blurred), Roi(150.0, 150.0, 200.0, 0.0)).presence < 0.5
