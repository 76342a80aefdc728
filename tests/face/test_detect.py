from __future__ import annotations

import cv2
import numpy as np
import pytest

from vfxswap.face import DETECTORS, YuNet
from vfxswap.face.detect import overlap
from vfxswap.pixels import ModelRgb


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
