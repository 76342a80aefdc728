from __future__ import annotations

import numpy as np
import pytest

from vfxswap.face import EMBEDDERS, identity
from vfxswap.pixels import F64, ModelRgb

from .conftest import moved, placement


@pytest.mark.parametrize("name", sorted(EMBEDDERS))
def test_the_same_face_elsewhere_is_the_same_person(name, astronaut, detector, landmarker, astronaut_landmarks):
    from vfxswap.face.landmarks import roi_from_detection

    embed = EMBEDDERS[name](device="cpu", threads=1)
    here = embed(astronaut, astronaut_landmarks.points)
    assert here.shape == (128,)
    assert here.dtype == np.float64
    there = moved(astronaut, placement(1.7, 15.0, 400.0, 250.0), (800, 500), grain=0.02)
    points = landmarker(there, roi_from_detection(detector(there)[0])).points
    assert identity.distance(here, embed(there, points)) < 0.25
    mirrored = ModelRgb(np.ascontiguousarray(astronaut[:, ::-1]))
    points = landmarker(mirrored, roi_from_detection(detector(mirrored)[0])).points
    assert identity.distance(here, embed(mirrored, points)) < identity.SAME_PERSON


def test_distance():
    assert identity.distance(np.zeros(128), np.ones(128) * 0.5) == pytest.approx(np.sqrt(32))


def test_performers_differ(shared, performers):
    anna, ben = performers["anna"], performers["ben"]
    same = [identity.distance(a, b) for group in (anna, ben) for i, a in enumerate(group) for b in group[:i]]
    other = [identity.distance(a, b) for a in anna for b in ben]
    assert np.mean(same) < identity.SAME_PERSON - 0.1
    assert np.mean(other) > np.mean(same) + 0.15
    assert identity.distance(np.mean(anna, axis=0), np.mean(ben, axis=0)) > 0.4


@pytest.fixture(scope="module")
def performers(shared, detector, landmarker, embedder):
    from vfxswap.face.landmarks import roi_from_detection, roi_from_landmarks

    from .rendered import encoded

    result: dict[str, list[F64]] = {}
    for name in ("anna", "ben"):
        result[name] = []
        for frame in range(1001, 1200, 20):
            rgb = encoded(shared / "data" / "train" / name / f"{name}.{frame}.exr")
            first = landmarker(rgb, roi_from_detection(detector(rgb)[0]))
            if first.presence > 0.5:
                found = landmarker(rgb, roi_from_landmarks(first.points))
                result[name].append(embedder(rgb, found.points))
    return result
