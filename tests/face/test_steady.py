"""Fusing networks and flow: against a dense solve, without lag, past occlusions, with blinks left alone."""

from __future__ import annotations

import numpy as np
import pytest

from vfxswap.face import mesh
from vfxswap.face.steady import fuse, settle
from vfxswap.pixels import F64

HEIGHT = 300.0


def dense(net: F64, w: F64, steps: F64, v: F64) -> F64:
    """The same least squares, written out as one system per point."""
    count = len(net)
    result = np.zeros_like(net)
    for p in range(net.shape[1]):
        rows = np.concatenate([np.eye(count), np.diff(np.eye(count), axis=0)])
        root = np.sqrt(np.concatenate([w[:, p], v[:, p]]))[:, None]
        right = np.concatenate([net[:, p], steps[:, p]])
        result[:, p] = np.linalg.lstsq(rows * root, right * root, rcond=None)[0]
    return result


def test_it_solves_the_least_squares_it_says():
    rng = np.random.default_rng(0)
    net, steps = rng.normal(size=(12, 5, 3)), rng.normal(size=(11, 5, 3))
    w, v = rng.uniform(0.1, 4, (12, 5)), rng.uniform(0.1, 40, (11, 5))
    w[3:6, 0] = 0
    v[4, 1] = 0
    assert np.allclose(fuse(np.arange(12.0), net, w, steps, v), dense(net, w, steps, v), atol=1e-8)


def test_gaps_are_carried_by_flow():
    truth = np.cumsum(np.random.default_rng(1).normal(size=(20, 4, 2)), axis=0)
    net, w = truth.copy(), np.ones((20, 4))
    net[5:12] = np.nan
    w[14:16] = 0
    net[14:16] += 50
    assert np.allclose(fuse(np.arange(20.0), net, w, np.diff(truth, axis=0), np.full((19, 4), 9.0)), truth, atol=1e-6)


def test_nothing_crosses_a_cut():
    net = np.zeros((10, 3, 2))
    net[6:] = 100
    v = np.full((9, 3), 1e4)
    v[5] = 0
    assert np.allclose(fuse(np.arange(10.0), net, np.ones((10, 3)), np.zeros((9, 3, 2)), v), net, atol=1e-6)


def test_without_any_weight_the_network_stays_and_gaps_are_straight():
    times = np.array([1.0, 2.0, 4.0, 5.0])
    net = np.array([0.0, np.nan, np.nan, 8.0]).reshape(4, 1, 1)
    found = fuse(times, net, np.zeros((4, 1)), np.zeros((3, 1, 1)), np.zeros((3, 1)))
    assert np.allclose(found[:, 0, 0], [0, 2, 6, 8])


def test_a_single_frame_is_itself():
    net = np.random.default_rng(0).normal(size=(1, 478, 3))
    empty = np.zeros((0, 478))
    assert np.allclose(fuse(np.zeros(1), net, np.ones((1, 478)), np.zeros((0, 478, 3)), empty), net)
    alone = settle(np.zeros(1), net, np.ones(1), np.zeros((0, 478, 2)), empty)
    assert np.allclose(alone.points, net)
    assert alone.followed.shape == (0,)


# ------------------------------------------------------------------------------------------------- settle


def face() -> F64:
    """(478, 3) a face 300 pixels high, seen from the front."""
    vertices = mesh.canonical().vertices * [1, -1, -1]
    whole = np.concatenate([vertices, np.zeros((10, 3))])
    for iris, eye in ((mesh.RIGHT_IRIS, mesh.RIGHT_EYE), (mesh.LEFT_IRIS, mesh.LEFT_EYE)):
        whole[list(iris)] = vertices[list(eye)].mean(axis=0)
    return np.asarray((whole - whole.mean(axis=0)) / np.ptp(whole[:, 1]) * HEIGHT + [600, 400, 0])


def in_motion(count: int = 40) -> F64:
    """(N, 478, 3) the face panned fast, nodded and turned in space."""
    t = np.arange(count)
    still = face()
    centre = still.mean(axis=0)
    result = []
    for yaw, x, y in zip(
        np.radians(15 * np.sin(t / 9)), 120 * np.sin(t / 7), 30 * np.sin(t / 5), strict=True
    ):  # up to 17 pixels a frame
        turn = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
        result.append((still - centre) @ turn.T + centre + [x, y, 0])
    return np.stack(result)


def observed(truth: F64, *, net: float = 0.2, flow: float = 0.03, seed: int = 0) -> tuple[F64, F64, F64]:
    """What networks and flow would say: points, steps, errors there and back."""
    rng = np.random.default_rng(seed)
    points = truth + rng.normal(0, net, truth.shape)
    steps = np.diff(truth[..., :2], axis=0)
    return points, steps + rng.normal(0, flow, steps.shape), np.abs(rng.normal(0, 0.03, steps.shape[:2]))


def rms(values: F64) -> float:
    return float(np.sqrt((values**2).mean()))


def run(net: F64, steps: F64, error: F64, trust: F64 | None = None):
    return settle(np.arange(float(len(net))), net, np.ones(len(net)) if trust is None else trust, steps, error)


def test_it_is_steadier_than_either_and_never_late():
    truth = in_motion()
    net, steps, error = observed(truth)
    found = run(net, steps, error)
    off = (found.points - truth)[..., :2]
    assert rms(off) < 0.1
    assert rms(np.diff(off, axis=0)) < 0.07
    drifted = net[0, :, :2] + np.concatenate([np.zeros((1, 478, 2)), np.cumsum(steps, axis=0)])
    assert rms(off) < 0.5 * min(rms((net - truth)[..., :2]), rms(drifted - truth[..., :2]))
    speed = np.gradient(truth[..., :2].mean(axis=1), axis=0)
    assert abs((off.mean(axis=1) * speed).sum() / (speed**2).sum()) < 0.005
    assert found.agreed.min() > 0.9
    assert found.followed.min() > 0.9


@pytest.mark.parametrize("speed", [8.0, 14.0])
def test_what_crosses_the_face_takes_no_points_along(speed):
    """A bar hides a stripe: flow goes with it, without any error, and the networks are dragged by pixels."""
    truth = in_motion(100)
    net, steps, error = observed(truth)
    stripe = truth[..., 0].mean(axis=1)[:, None] - 150 + speed * (np.arange(100)[:, None] - 25)
    hidden = np.abs(truth[..., 0] - stripe) < 25
    own = np.diff(stripe, axis=0)[..., None] * [1, 0]
    steps = np.where(hidden[:-1, :, None], own, steps)
    during = hidden.mean(axis=1) > 0.03
    net[during, :, 0] += 4 * np.sin(np.arange(during.sum()) / max(during.sum(), 1) * np.pi)[:, None]
    found = run(net, steps, error)
    off = np.linalg.norm((found.points - truth)[..., :2], axis=2)
    away = during[:, None] & (np.abs(truth[..., 0] - stripe) > 45)
    assert rms((net - truth)[..., :2][away]) > 1.5
    assert rms(off[away]) < 0.5
    assert rms(off[hidden]) < 0.6 * rms((net - truth)[..., :2][hidden]) + 0.5
    assert found.agreed[during].min() < 0.2


LIDS = (159, 158, 160, 161, 157, 386, 385, 387, 384, 388)


@pytest.mark.parametrize("seen", ["not at all", "half", "whole"])
def test_a_blink_of_three_frames_keeps_its_height(seen):
    truth = in_motion()
    truth[19:22, LIDS, 1] += np.array([4.0, 8.0, 4.0])[:, None]
    net, _, error = observed(truth)
    shown = in_motion()
    shown[19:22, LIDS, 1] += {"not at all": 0.0, "half": 0.5, "whole": 1.0}[seen] * np.array([4.0, 8.0, 4.0])[:, None]
    _, steps, _ = observed(shown)
    blinked = (run(net, steps, error).points - in_motion())[:, LIDS, 1].mean(axis=1)
    assert blinked[20] == pytest.approx(8.0, rel=0.1)
    assert blinked[19] == pytest.approx(4.0, abs=0.8)
    assert np.abs(blinked[:17]).max() < 0.3


def test_frames_that_cannot_be_read_are_carried():
    truth = in_motion()
    net, steps, error = observed(truth)
    trust = np.ones(40)
    trust[10:18] = 0
    net[10:18] += 60
    net[14] = np.nan
    found = run(net, steps, error, trust)
    assert rms((found.points - truth)[10:18, :, :2]) < 0.2
    assert (found.agreed[10:18] == 0).all()
    assert np.isfinite(found.points).all()


def test_flow_that_left_with_something_else_is_not_believed():
    """Over frames that cannot be read, flow ends far from where the face is next: a straight line is better."""
    truth = np.repeat(face()[None], 30, axis=0)
    net, steps, error = observed(truth)
    trust = np.ones(30)
    trust[10:18] = 0
    steps[9:18] += [9.0, 0.0]
    found = run(net, steps, error, trust)
    assert rms((found.points - truth)[..., :2]) < 0.5


def test_a_cut_is_no_motion():
    truth = in_motion()
    truth[20:, :, :2] += [400, -100]
    net, steps, error = observed(truth)
    steps[19] = 3.0
    error[19] = np.inf
    found = run(net, steps, error)
    assert rms((found.points - truth)[..., :2]) < 0.1


def test_nothing_readable_is_given_back():
    net = np.full((5, 478, 3), np.nan)
    found = run(net, np.zeros((4, 478, 2)), np.full((4, 478), np.inf), np.zeros(5))
    assert found.points.shape == (5, 478, 3)
    assert (found.agreed == 0).all()


def test_wrong_flow_everywhere_leaves_the_networks():
    truth = in_motion()
    net, steps, error = observed(truth)
    for bad in (np.full_like(error, np.inf), np.full_like(error, 5.0)):
        assert rms((run(net, np.zeros_like(steps), bad).points - net)[..., :2]) < 1e-3
