"""The clip of known motion, what measures a track of it, and how our track and frame-by-frame landmarks do."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import skimage

from vfxswap.bench.known_motion import (
    GRAIN,
    STAGES,
    Clip,
    departures,
    drag,
    frame_by_frame,
    one_euro,
    steadiness,
    tracked,
)
from vfxswap.errors import TrackError
from vfxswap.face.solve import Networks
from vfxswap.geometry import transform
from vfxswap.pixels import F64, ModelRgb

SIZE = (960, 540)
"""Half of what the targets are for: the face is 150 pixels high."""


@pytest.fixture(scope="module")
def networks() -> Networks:
    return Networks.load(device="cpu", threads=1)


@pytest.fixture(scope="module")
def clip(networks: Networks) -> Clip:
    photo = ModelRgb((skimage.data.astronaut() / 255.0).astype(np.float32))
    return replace(Clip.of(photo, networks, size=SIZE), length=24)


@pytest.fixture(scope="module")
def plain(clip: Clip, networks: Networks) -> F64:
    return tracked(clip, networks)[0]


@pytest.fixture(scope="module")
def naive(clip: Clip, networks: Networks) -> F64:
    return frame_by_frame(clip, networks)


def true(clip: Clip) -> F64:
    return np.stack([transform(matrix, clip.points) for matrix in clip.motion])


def test_the_face_is_as_high_as_it_says_and_always_in_the_frame(clip: Clip):
    heights = np.ptp(true(clip)[..., 1], axis=1)
    assert heights.mean() == pytest.approx(150, rel=0.06)
    assert (true(clip) > 0).all()
    assert (true(replace(clip, kind="rolled", length=48)) < SIZE).all()


def test_frames_have_new_grain_and_are_the_same_every_time(clip: Clip):
    first = list(replace(clip, length=3).frames())
    again = list(replace(clip, length=3).frames())
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert first[0].shape == (540, 960, 3)
    assert first[0].min() >= 0
    assert first[0].max() <= 1
    still = replace(clip, length=3)
    corner = [frame - cv2.GaussianBlur(frame, (0, 0), 3) for frame in still.frames()]
    assert np.std(corner[0][:60, :60]) == pytest.approx(GRAIN, rel=0.3)
    assert abs(np.corrcoef(corner[0].ravel(), corner[1].ravel())[0, 1]) < 0.1


def test_a_perfect_track_is_perfectly_steady(clip: Clip):
    found = steadiness(clip, true(clip))
    assert found.std == pytest.approx(0, abs=1e-9)
    assert found.step == pytest.approx(0, abs=1e-9)
    assert found.lag == pytest.approx(0, abs=1e-9)


def test_an_offset_that_goes_with_the_face_is_no_wobble(clip: Clip):
    shifted = np.stack([transform(matrix, clip.points + np.array([7, -3])) for matrix in clip.motion])
    assert steadiness(clip, shifted).std == pytest.approx(0, abs=1e-9)


def test_wobble_and_lag_are_measured(clip: Clip):
    noise = np.random.default_rng(0).normal(0, 0.2, (clip.length, 478, 2))
    found = steadiness(clip, true(clip) + noise)
    assert found.std == pytest.approx(0.2, rel=0.05)
    assert found.step == pytest.approx(0.2 * 2**0.5, rel=0.05)
    assert abs(found.lag) < 0.02
    late = replace(clip, length=48)
    points = true(late)
    points[1:] = 0.5 * points[1:] + 0.5 * points[:-1]
    assert steadiness(late, points).lag == pytest.approx(0.5, abs=0.05)
    assert departures(late, points).shape == (48, 478, 2)


def test_the_bar_crosses_the_face_and_leaves_it(clip: Clip):
    crossed = replace(clip, kind="bar", length=48)
    hidden = crossed.hidden(true(crossed)).mean(axis=1)
    assert hidden[0] == hidden[-1] == 0
    assert 0.2 < hidden.max() < 0.5
    assert 10 < np.count_nonzero(hidden) < 35
    middle = int(hidden.argmax())
    frames = [list(replace(crossed, kind=kind).frames())[middle] for kind in ("plain", "bar")]
    changed = np.abs(frames[0] - frames[1]).max(axis=2).mean(axis=0) > 0.1
    assert np.count_nonzero(changed) == pytest.approx(25, abs=3)
    assert (clip.hidden(true(clip)) == 0).all()


def test_drag_counts_what_is_away_from_the_bar(clip: Clip):
    crossed = replace(clip, kind="bar", length=48)
    points = true(crossed)
    at_bar = points + 30 * crossed.hidden(points)[..., None]
    assert drag(crossed, points, at_bar)["rms"] == 0
    during = np.asarray(crossed.hidden(points).any(axis=1), np.float64)
    pulled = points + np.array([3.0, 4.0]) * during[:, None, None]
    found = drag(crossed, points, pulled)
    assert found["rms"] == pytest.approx(5)
    assert found["median"] == pytest.approx(5)
    assert found["after"] == 0


def test_no_face_to_move_is_said(networks: Networks):
    with pytest.raises(TrackError, match="no face"):
        Clip.of(ModelRgb(np.full((200, 200, 3), 0.5, np.float32)), networks)


def test_our_track_is_steady_and_not_late(clip: Clip, plain: F64):
    found = steadiness(clip, plain)
    assert found.std < 0.15
    assert found.step < 0.09
    assert abs(found.lag) < 0.05


def test_it_is_much_steadier_than_frame_by_frame(clip: Clip, plain: F64, naive: F64):
    ours, theirs = steadiness(clip, plain), steadiness(clip, naive)
    assert theirs.std > 2 * ours.std
    assert theirs.step > 4 * ours.step


def test_one_euro_comes_late(clip: Clip, naive: F64):
    smoothed = one_euro(naive)
    assert smoothed.shape == naive.shape
    assert np.array_equal(smoothed[0], naive[0])
    assert steadiness(clip, smoothed).lag > steadiness(clip, naive).lag + 0.03


@pytest.mark.slow
def test_the_bar_drags_it_little(networks: Networks, clip: Clip):
    long = replace(clip, length=42)
    crossed = replace(long, kind="bar")
    found = drag(crossed, tracked(long, networks)[0], tracked(crossed, networks)[0])
    theirs = drag(crossed, frame_by_frame(long, networks), frame_by_frame(crossed, networks))
    assert found["median"] < 0.5
    assert theirs["median"] > 2 * found["median"]


def test_stages_add_up(clip: Clip, networks: Networks):
    short = replace(clip, length=8)
    _, spent = tracked(short, networks, quality="fast")
    assert list(spent) == list(STAGES)
    assert spent["crops and mesh"] > 1
    assert all(cost >= 0 for cost in spent.values())
