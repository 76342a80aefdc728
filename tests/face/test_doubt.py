from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from vfxswap.face import doubt, solve
from vfxswap.face.doubt import Evidence, doubtful, judge
from vfxswap.face.frame import FaceFrame, Source
from vfxswap.face.landmarks import roi_from_detection, roi_from_landmarks
from vfxswap.face.track import Face, Track
from vfxswap.pixels import ModelRgb

from . import plates
from .conftest import moved, placement
from .rendered import truth


def evidence(**changed: float) -> Evidence:
    """One frame about which all is well, but for what is named."""
    well = {
        "presence": 1.0,
        "spread": 0.002,
        "shape": 0.007,
        "identity": 0.3,
        "agreed": 1.0,
        "yaw_deg": 5.0,
        "height": 200.0,
        "motion": 0.01,
        "sharp": 1.0,
        "carried": 0.0,
        "missing": 0.0,
        "dissolving": 0.0,
    }
    return Evidence(**{name: np.array([value]) for name, value in {**well, **changed}.items()})


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"yaw_deg": -58.0, "carried": 1.0, "presence": 0.1}, "turned 58 degrees away"),
        ({"spread": 0.012}, "something covers the face"),
        ({"shape": 0.04}, "something covers the face"),
        ({"agreed": 0.0}, "something covers the face"),
        ({"height": 12.0, "spread": 0.004}, "too small, 12 pixels high"),
        ({"spread": 0.01, "sharp": 0.3}, "out of focus or moving fast"),
        ({"spread": 0.01, "motion": 0.4}, "out of focus or moving fast"),
        ({"missing": 3.0, "presence": 0.0}, "bridged over a gap of 3 frames"),
        ({"missing": 1.0, "presence": 0.0}, "bridged over a gap of 1 frame"),
        ({"identity": 0.85}, "does not look like the same person"),
        ({"presence": 0.2}, "something covers the face"),
        ({"dissolving": 1.0}, "dissolve"),
    ],
)
def test_what_is_wrong_is_said(changed, reason):
    (confidence,), (reasons,) = judge(evidence(**changed))
    assert confidence < doubt.DOUBTFUL
    assert reasons[0] == reason


def test_nothing_is_said_against_a_good_frame():
    (confidence,), (reasons,) = judge(evidence())
    assert confidence > 0.85
    assert reasons == ()


def test_what_flow_carries_says_so():
    _, (reasons,) = judge(evidence(carried=1.0, yaw_deg=50.0, presence=0.3))
    assert reasons == ("turned 50 degrees away", "carried by flow")


@pytest.mark.parametrize(
    ("name", "worse"),
    [("spread", [0.002, 0.004, 0.008, 0.02]), ("shape", [0.007, 0.012, 0.03]), ("presence", [1.0, 0.7, 0.4])],
)
def test_more_evidence_against_means_less_confidence(name, worse):
    found = [float(judge(evidence(**{name: value}))[0][0]) for value in worse]
    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1] + 0.3


def test_a_longer_gap_is_trusted_less():
    found = [float(judge(evidence(missing=n, presence=0.0))[0][0]) for n in (1.0, 2.0, 5.0)]
    assert 0.5 > found[0] > found[1] > found[2] > 0


# ------------------------------------------------------------------------------------------ measures


def test_a_turned_head_fits_its_own_shape(astronaut_landmarks):
    points = astronaut_landmarks.points
    angle = np.radians(20)
    turned = points - points.mean(axis=0)
    turned = turned @ np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    shape = doubt.usual_shape(np.stack([points, points * 2 + 5]))
    assert doubt.misfits(np.stack([points, turned * 3 + 400]), shape) == pytest.approx([0, 0], abs=1e-6)
    bent = points.copy()
    bent[:, 0] += 0.25 * np.abs(bent[:, 1] - bent[:, 1].mean())
    assert doubt.misfits(bent[None], shape)[0] > 0.015


def test_sharpness_falls_with_blur_and_ignores_exposure(astronaut, astronaut_landmarks):
    points = astronaut_landmarks.points
    sharp = doubt.sharpness(astronaut, points)
    assert doubt.sharpness(ModelRgb(astronaut * 0.5), points) == pytest.approx(sharp, rel=0.02)
    soft = [doubt.sharpness(ModelRgb(cv2.GaussianBlur(astronaut, (0, 0), s)), points) for s in (1, 2, 4)]
    assert sharp > soft[0] > soft[1] > soft[2]
    assert soft[1] < 0.6 * sharp


def test_crops_disagree_about_a_face_that_is_covered(astronaut, detector, landmarker):
    def spread(rgb: ModelRgb) -> float:
        first = landmarker(astronaut, roi_from_detection(detector(astronaut)[0]))
        look = landmarker(rgb, roi_from_landmarks(first.points), crops=8)
        return float(look.spread / np.ptp(look.points[:, 1]))

    covered = astronaut.copy()
    covered[110:200, 170:280] = 0.4
    assert spread(ModelRgb(covered)) > 2 * spread(astronaut)
    assert landmarker(astronaut, roi_from_detection(detector(astronaut)[0])).spread == 0, "one crop agrees with itself"


# ---------------------------------------------------------------------------------------------- list


def track(*frames: tuple[int, float, str, Source]) -> Track:
    points = np.random.default_rng(0).random((478, 3)) * 100
    one = FaceFrame(np.zeros(4), points, 1.0, 1.0, (0.0, 0.0, 0.0), np.eye(2, 3))
    listed = {
        f: ((0, replace(one, confidence=c, reasons=(why,) if why else (), source=source)),)
        for f, c, why, source in frames
    }
    return Track(plate="p", frames=listed, faces=(Face(0, None, np.zeros(128)),))


def test_neighbours_are_joined_and_the_worst_comes_first():
    found = doubtful(
        track(
            (1001, 0.9, "", "solve"),
            (1002, 0.4, "turned 51 degrees away", "flow"),
            (1003, 0.3, "turned 58 degrees away", "flow"),
            (1004, 0.35, "something covers the face", "solve"),
            (1005, 0.8, "", "solve"),
            (1006, 0.1, "something covers the face", "solve"),
        )
    )
    assert found == [
        (1006, 1006, 0, 0.1, "something covers the face"),
        (1002, 1003, 0, 0.3, "turned 58 degrees away"),
        (1004, 1004, 0, 0.35, "something covers the face"),
    ]


def test_every_second_frame_of_a_plate_still_has_neighbours():
    found = doubtful(track(*((f, 0.2, "too small, 12 pixels high", "solve") for f in (1001, 1003, 1005))))
    assert [(d.first, d.last) for d in found] == [(1001, 1005)]


def test_keys_are_not_doubted_and_nothing_is_nothing():
    assert doubtful(track((1, 0.1, "something covers the face", "key"), (2, 0.9, "", "solve"))) == []
    assert doubtful(Track(plate="p", frames={1: ()}, faces=())) == []


# --------------------------------------------------------------------------------------------- truth


def test_confidence_finds_the_frames_that_are_wrong(shared, networks):
    """A ball is held before the face for a while: where the landmarks leave the truth, the track says so."""
    folder = shared / "data" / "shots" / "talk_studio"
    real = truth(folder / "shot.json")
    pictures = plates.shot(folder, count=20)
    ball = np.stack(np.meshgrid(np.arange(480), np.arange(270)), axis=-1)
    clip = []
    for i, picture in enumerate(pictures):
        points = real[1001 + i]["landmarks68"][:, :2]
        centre = points[27:].mean(axis=0) + np.array([(i - 12) * 8.0, 12.0])
        shown = picture.copy()
        shown[np.linalg.norm(ball - centre, axis=2) < 52] = (0.3, 0.5, 0.2)
        clip.append((1001 + i, ModelRgb(shown), 1.0))
    found = solve.track_frames(clip, networks=networks)
    scored = plates.score(found, real)
    assert len(scored.frames) == 20
    wrong = scored.error > 4
    assert 3 <= wrong.sum() <= 15
    assert (scored.confidence[wrong] < 0.5).mean() > 0.7
    assert (scored.confidence[scored.error < 3] > 0.7).mean() > 0.7
    listed = doubtful(found)
    assert listed and listed[0].first <= 1013 <= max(d.last for d in listed)
    assert "something covers the face" in {d.reason.split(";")[0] for d in listed}


def test_a_blurred_stretch_is_named(astronaut, networks):
    clip = []
    for i in range(10):
        picture = moved(astronaut, placement(1.2, 0.0, 240.0 + i, 130.0), (480, 270), grain=0.01, seed=i)
        if 4 <= i < 7:
            picture = ModelRgb(np.asarray(cv2.GaussianBlur(picture, (0, 0), 7.0), np.float32))
        clip.append((1001 + i, picture, 1.0))
    face = solve.track_frames(clip, networks=networks).face(0)
    assert len(face) == 10
    assert all(face[f].confidence > 0.7 for f in (1001, 1002, 1010))
    assert any("out of focus or moving fast" in face[f].reasons for f in (1005, 1006, 1007))
