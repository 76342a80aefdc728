"""Flow: points of a photograph that is moved in a known way, with grain, and what cannot be followed."""

from __future__ import annotations

import numpy as np
import pytest

from tests.face.conftest import moved, placement
from vfxswap.face import FLOWS, DisFlow
from vfxswap.face.flow import steps
from vfxswap.face.protocols import Landmarks
from vfxswap.geometry import transform
from vfxswap.pixels import F64, ModelRgb

SIZE = (640, 480)


def pair(
    astronaut: ModelRgb, face: Landmarks, first: F64, second: F64, *, size: tuple[int, int] = SIZE
) -> tuple[ModelRgb, ModelRgb, F64, F64]:
    """The photograph through two placements, and where the landmarks are in both."""
    before, after = (moved(astronaut, m, size, grain=0.02, seed=i) for i, m in enumerate((first, second)))
    start, end = (transform(m, face.points[:, :2]) for m in (first, second))
    return before, after, start, end


def distances(a: F64, b: F64) -> F64:
    return np.asarray(np.linalg.norm(a - b, axis=1))


@pytest.mark.parametrize(
    ("second", "median"),
    [
        (placement(1.6, 0, 320, 240), 0.06),
        (placement(1.6, 0, 323.4, 238.7), 0.08),
        (placement(1.65, 2, 330, 243), 0.08),
        (placement(1.7, -6, 300, 262), 0.10),
        (placement(1.6, 0, 385, 210), 0.10),
    ],
    ids=["still", "pan", "zoom and roll", "more of both", "a third of the face's height"],
)
def test_points_are_found_where_the_motion_put_them(astronaut, astronaut_landmarks, second, median):
    before, after, start, end = pair(astronaut, astronaut_landmarks, placement(1.6, 0, 320, 240), second)
    found, error = DisFlow()(before, after, start)
    assert found.shape == (478, 2)
    assert error.shape == (478,)
    missed = distances(found, end)
    assert np.median(missed) < median
    assert np.percentile(missed, 95) < 3 * median
    assert np.median(error) < 0.1


@pytest.mark.parametrize("scale", [0.5, 1.0, 5.0])
def test_it_is_as_exact_on_small_and_large_faces(astronaut, astronaut_landmarks, scale):
    """Relative to the face: 54, 109 and 545 pixels high."""
    size = (round(400 * scale), round(300 * scale))
    first, second = placement(scale, 0, size[0] / 2, size[1] / 2), placement(scale, 1, size[0] / 2 + 2, size[1] / 2)
    before, after, start, end = pair(astronaut, astronaut_landmarks, first, second, size=size)
    found, _ = DisFlow()(before, after, start)
    assert np.median(distances(found, end)) < 0.0008 * 109 * scale + 0.02


def test_cheap_is_nearly_as_exact(astronaut, astronaut_landmarks):
    before, after, start, end = pair(
        astronaut, astronaut_landmarks, placement(1.6, 0, 320, 240), placement(1.62, 1, 326, 236)
    )
    assert np.median(distances(DisFlow(cheap=True)(before, after, start)[0], end)) < 0.08


def test_what_is_covered_does_not_come_back(astronaut, astronaut_landmarks):
    before, after, start, end = pair(
        astronaut, astronaut_landmarks, placement(1.6, 0, 320, 240), placement(1.6, 0, 322, 240)
    )
    after = ModelRgb(after.copy())
    after[:, 300:345] = np.random.default_rng(3).random((SIZE[1], 45, 3), np.float32)
    found, error = DisFlow()(before, after, start)
    covered = (end[:, 0] > 305) & (end[:, 0] < 340)
    far = (end[:, 0] < 275) | (end[:, 0] > 370)
    assert np.median(error[covered]) > 1.0
    assert np.median(error[far]) < 0.2
    assert np.median(distances(found, end)[far]) < 0.2


def test_points_outside_the_image_cannot_be_used(astronaut, astronaut_landmarks):
    before, after, start, end = pair(
        astronaut, astronaut_landmarks, placement(1.6, 0, 50, 240), placement(1.6, 0, 40, 240)
    )
    found, error = DisFlow()(before, after, start)
    assert (start[:, 0] < 0).any()
    assert np.isinf(error[start[:, 0] < 0]).all()
    left = (start[:, 0] > 0) & (end[:, 0] < -2)
    assert left.any()
    assert np.isinf(error[left]).mean() > 0.8
    inside = end[:, 0] > 20
    assert np.isfinite(error[inside]).all()
    assert np.median(distances(found, end)[inside]) < 0.2
    assert np.isinf(DisFlow()(before, after, start - 5000)[1]).all()


def test_nothing_to_see_is_nothing_followed(astronaut_landmarks):
    black = ModelRgb(np.zeros((480, 640, 3), np.float32))
    points = transform(placement(1.6, 0, 320, 240), astronaut_landmarks.points[:, :2])
    found, error = DisFlow()(black, black, points)
    assert np.isinf(error).all()
    assert np.array_equal(found, points)


def test_an_unrelated_image_has_large_errors(astronaut, astronaut_landmarks):
    before, _, start, _ = pair(astronaut, astronaut_landmarks, *[placement(1.6, 0, 320, 240)] * 2)
    noise = np.random.default_rng(0).random((15, 20, 3), np.float32).repeat(32, axis=0).repeat(32, axis=1)
    _, error = DisFlow()(before, ModelRgb(noise), start)
    assert np.median(error) > 1.0


def test_steps_are_differences_and_the_registry_knows_the_default(astronaut, astronaut_landmarks):
    before, after, start, _ = pair(
        astronaut, astronaut_landmarks, placement(1.6, 0, 320, 240), placement(1.6, 0, 323, 238)
    )
    flow = FLOWS["dis"]()
    with_depth = np.concatenate([start, np.ones((478, 1))], axis=1)
    step, error = steps(flow, before, after, with_depth)
    assert np.allclose(step, flow(before, after, start)[0] - start)
    assert np.abs(np.median(step, axis=0) - [3, -2]).max() < 0.05
    assert error.shape == (478,)
