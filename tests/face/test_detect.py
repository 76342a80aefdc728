from __future__ import annotations

import cv2
import numpy as np
import pytest

from vfxswap.face import DETECTORS, YuNet, detect
from vfxswap.face.detect import Found, overlap
from vfxswap.face.exposed import Exposed
from vfxswap.face.landmarks import locate, roi_from_landmarks
from vfxswap.face.pose import head_pose
from vfxswap.geometry import Window, to_opencv
from vfxswap.pixels import ModelRgb

from . import plates
from .conftest import placement


@pytest.mark.parametrize("name", sorted(DETECTORS))
def test_every_registered_detector_finds_the_face(name, astronaut):
    (face,) = DETECTORS[name](device="cpu", threads=1)(astronaut)
    assert overlap(face.box[None], np.array([[178.0, 63.0, 268.0, 176.0]]))[0, 0] > 0.8
    assert 0.8 < face.score <= 1
    right_eye, left_eye, nose, right_mouth, left_mouth = face.points
    assert right_eye[0] < nose[0] < left_eye[0]
    assert right_mouth[0] < left_mouth[0]
    assert right_eye[1] < nose[1] < right_mouth[1]


def test_agrees_with_opencv(astronaut, detector, tmp_path):
    from vfxswap import infer

    reference = cv2.FaceDetectorYN.create(str(infer.weights("detector")), "", (512, 512), 0.6, 0.3)
    bgr = np.round(astronaut[:, :, ::-1] * 255).astype(np.uint8)
    _, rows = reference.detect(np.ascontiguousarray(bgr))
    (face,) = detector(astronaut)
    x, y, width, height = rows[0, :4]
    assert face.box == pytest.approx([x, y, x + width, y + height], abs=1e-2)
    assert face.points.ravel() == pytest.approx(rows[0, 4:14], abs=1e-2)
    assert face.score == pytest.approx(rows[0, 14], abs=1e-4)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_face_is_found_where_it_is(turns, astronaut, detector):
    """Positions follow the picture through a rotation by quarter turns."""
    upright = detector(astronaut)[0]
    turned = detector(ModelRgb(np.ascontiguousarray(np.rot90(astronaut, turns))))[0]
    centre = (upright.box[:2] + upright.box[2:]) / 2
    x, y = centre
    expected = {1: (y, 512 - x), 2: (512 - x, 512 - y), 3: (512 - y, x)}[turns]
    assert (turned.box[:2] + turned.box[2:]) / 2 == pytest.approx(expected, abs=12)


def test_upside_down_needs_the_thorough_look(astronaut):
    strict = YuNet(device="cpu", threads=1, threshold=0.92)
    turned = ModelRgb(np.ascontiguousarray(np.rot90(astronaut, 2)))
    assert strict(turned, thorough=False) == ()
    (face,) = strict(turned)
    assert overlap(face.box[None], np.array([[244.0, 336.0, 334.0, 449.0]]))[0, 0] > 0.8
    assert face.points[0, 0] > face.points[1, 0], "upside down, the right eye is on the right"


def test_a_tiny_face_in_a_wide_frame_is_found_at_full_resolution(astronaut, detector):
    wide = np.full((1080, 1920, 3), 0.3, np.float32)
    small = cv2.resize(astronaut, (128, 128), interpolation=cv2.INTER_AREA)
    wide[500:628, 1500:1628] = small
    (face,) = detector(ModelRgb(wide))
    assert (face.box[:2] + face.box[2:]) / 2 == pytest.approx([1500 + 223 / 4, 500 + 120 / 4], abs=4)


def test_no_face_no_detection(detector):
    noise = np.random.default_rng(0).random((270, 480, 3)).astype(np.float32)
    assert detector(ModelRgb(noise)) == ()
    assert detector(ModelRgb(np.zeros((40, 30, 3), np.float32))) == ()


def test_two_faces_best_first(astronaut, detector):
    pair = ModelRgb(np.concatenate([astronaut, astronaut[:, ::-1]], axis=1))
    first, second = detector(pair)
    assert first.score >= second.score
    assert {round(f.box[0] // 512) for f in (first, second)} == {0, 1}


def test_overlap():
    boxes = np.array([[0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 3.0, 3.0], [5.0, 5.0, 6.0, 6.0]])
    assert overlap(boxes, boxes) == pytest.approx(np.array([[1, 1 / 7, 0], [1 / 7, 1, 0], [0, 0, 1]]))


# ------------------------------------------------------------------------------------------ the chain


def wide(astronaut: ModelRgb, *, height: float, degrees: float = 0.0, at: tuple[float, float] = (1300, 620)):
    """The astronaut's face, `height` pixels high and turned, somewhere in a plate of 1920 x 1080."""
    wall = cv2.GaussianBlur(np.random.default_rng(2).random((1080, 1920, 3)).astype(np.float32), (0, 0), 20)
    scale = height / 113
    blurred = astronaut if scale >= 1 else cv2.GaussianBlur(astronaut, (0, 0), 0.4 / scale)
    matrix = placement(scale, degrees, *at)
    face = cv2.warpAffine(blurred, to_opencv(matrix), (1920, 1080), flags=cv2.INTER_LINEAR)
    # Her head and shoulders without the picture's own edges, which would be level.
    disc = np.zeros(astronaut.shape[:2], np.float32)
    cv2.circle(disc, (223, 140), 135, 1.0, -1)
    there = cv2.warpAffine(disc, to_opencv(matrix), (1920, 1080), flags=cv2.INTER_LINEAR)[..., None]
    return ModelRgb(np.clip(wall * (1 - there) + face * there, 0, 1).astype(np.float32))


def near(found: list[Found], x: float, y: float, height: float) -> list[Found]:
    return [f for f in found if np.linalg.norm((f.face.box[:2] + f.face.box[2:]) / 2 - (x, y)) < 0.35 * height]


@pytest.mark.parametrize("height", [20, 28, 60, 150, 400])
def test_faces_of_every_size_are_found(height, astronaut, detector):
    picture = Exposed(wide(astronaut, height=height))
    assert len(near(detect.search(detector, picture), 1300, 620, height)) == 1
    assert len(near(detect.sweep(detector, picture), 1300, 620, height)) == 1


@pytest.mark.parametrize("degrees", range(0, 360, 30))
def test_faces_are_found_and_read_at_any_angle(degrees, astronaut, detector, landmarker):
    picture = Exposed(wide(astronaut, height=160, degrees=degrees))
    (found,) = near(detect.sweep(detector, picture), 1300, 620, 160)
    first = locate(landmarker, picture.rgb, found.face)
    look = landmarker(picture.rgb, roi_from_landmarks(first.points))
    assert look.presence > 0.9
    roll = head_pose(look.points)[2]
    assert abs((roll + degrees + 180) % 360 - 180) < 8


def test_a_sweep_lists_a_face_once_and_finds_the_small_and_the_turned_beside_it(astronaut, detector):
    picture = wide(astronaut, height=200, at=(450, 500))
    for height, degrees, x in ((24, 0, 1000), (150, 180, 1500)):
        other = wide(astronaut, height=height, degrees=degrees, at=(x, 500))
        reach = 1.4 * height
        columns = slice(int(x - reach), int(x + reach))
        picture[:, columns] = other[:, columns]
    assert len(near(detect.plain(detector, Exposed(picture)), 1000, 500, 24)) == 0, "the plain look misses it"
    found = detect.sweep(detector, Exposed(picture))
    for x, height in ((450, 200), (1000, 24), (1500, 150)):
        assert len(near(found, x, 500, height)) == 1


@pytest.mark.parametrize("stops", [-5.0, 5.0])
def test_a_face_in_another_light_than_the_shot_is_exposed_for(stops, astronaut, detector, landmarker):
    """Five stops below or above the rest of the frame: found, and read as well as in good light."""
    code = wide(astronaut, height=160)
    light = plates.lit(code)
    columns = slice(1300 - 240, 1300 + 240)
    light[:, columns] *= 2.0**stops
    noise = np.random.default_rng(0).normal(size=light.shape) * 0.012 * np.sqrt(0.5 * light + 0.004)
    picture = Exposed(plates.hdr(np.asarray(light + noise, np.float32))[1])
    (found,) = near(detect.sweep(detector, picture), 1300, 620, 160)
    assert (found.stops != 0) == (stops > 0), "shadows hide nothing from the detector, clipping does"
    first = locate(landmarker, picture.at(found.stops), found.face)
    suited = picture.suited(first.points, found.stops)
    assert np.sign(suited) == -np.sign(stops)
    truth = landmarker(code, roi_from_landmarks(first.points), crops=8).points[:, :2]
    look = landmarker(picture.at(suited, first.points), roi_from_landmarks(first.points), crops=8)
    assert np.linalg.norm(look.points[:, :2] - truth, axis=1).mean() < 0.01 * 160


def test_tiles_cover_the_picture():
    for height, width in ((1080, 1920), (2160, 4096), (540, 960), (3000, 500)):
        seen = np.zeros((height, width), bool)
        tiles = detect._tiles(height, width)
        for tile in tiles:
            part = seen[tile.slices(Window(0, 0, width, height))]
            assert part.shape == (tile.height, tile.width)
            part[:] = True
        assert seen.all() or not tiles
        assert bool(tiles) == (max(height, width) > 960)
