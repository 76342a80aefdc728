"""An artist's keys: what they say holds, what they do not reach stays to the last bit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfxswap.errors import TrackError
from vfxswap.face import keys, mesh
from vfxswap.face.frame import FaceFrame
from vfxswap.face.keys import REACH, Key
from vfxswap.face.pose import face_similarity, head_pose
from vfxswap.geometry import invert, transform
from vfxswap.pixels import F64

from ..support import face

FRAMES = range(1001, 1061)


def solved_face(x: float, y: float, size: float, *, squeeze: float = 1.0) -> FaceFrame:
    """A face whose landmarks have depth and an expression, so that its similarity is a fit."""
    plain = face(x, y, size, squeeze=squeeze)
    points = plain.landmarks.copy()
    points[:, :2] += np.sin(np.arange(mesh.COUNT * 2).reshape(-1, 2)) * size * 0.01
    points[:468, 2] = -mesh.canonical().vertices[:, 2] * size / 20
    return dataclasses.replace(
        plain,
        landmarks=points,
        similarity=face_similarity(points, pixel_aspect=squeeze),
        pose_deg=head_pose(points * [squeeze, 1, 1]),
        confidence=0.6,
        reasons=("blurred",),
    )


@pytest.fixture(scope="module")
def walk() -> dict[int, FaceFrame]:
    """A face that walks along a curve and grows."""
    return {f: solved_face(300 + 6 * i + i * i / 8, 220 - i, 120 + i) for i, f in enumerate(FRAMES)}


def applied(solved, found, **more):
    return keys.apply(solved, found, frames=list(FRAMES), **more)


def matrix_of(key: Key) -> F64:
    assert key.similarity is not None
    return key.similarity


def nudged(one: FaceFrame, *, scale=1.0, rotate=0.0, move=(0.0, 0.0), squeeze=1.0) -> Key:
    correction = keys.relative(scale, rotate, move)
    return Key(similarity=keys.corrected_similarity(one.similarity, correction, pixel_aspect=squeeze))


def changed(a, b) -> list[int]:
    return [frame for frame in a if a[frame] is not b.get(frame)]


@pytest.mark.parametrize("reach", [0, 1, 5, REACH])
def test_one_key_reaches_so_far_and_no_further(walk, reach):
    key = dataclasses.replace(nudged(walk[1030], move=(8.0, 4.0)), reach=reach)
    out = applied(walk, {1030: key})
    assert list(out) == list(FRAMES)
    assert changed(walk, out) == list(range(1030 - reach, 1030 + reach + 1))
    shift = np.array([(out[f].landmarks - walk[f].landmarks)[:, 0].mean() for f in FRAMES])
    assert shift[29] == pytest.approx(8)
    assert (np.diff(shift[:30]) >= -1e-9).all()
    assert (np.diff(shift[29:]) <= 1e-9).all()
    assert abs(np.diff(shift)).max() <= 8 * 1.5 / (reach + 1) + 1e-9, "it fades, it does not jump"


def test_a_key_without_end_holds(walk):
    out = applied(walk, {1030: dataclasses.replace(nudged(walk[1030], scale=1.1, move=(5, 0)), reach=None)})
    for frame in FRAMES:
        grown = np.linalg.inv(out[frame].similarity[:, :2]) @ walk[frame].similarity[:, :2]
        assert np.allclose(grown, 1.1 * np.eye(2))


def test_a_nudge_does_what_it_says(walk):
    """1.1 times larger, 10 degrees clockwise as seen (y down), 3 right and 2 up, about the face's middle."""
    out = applied(walk, {1030: nudged(walk[1030], scale=1.1, rotate=10, move=(3, -2))})[1030]
    old, new = walk[1030].landmarks[:, :2], out.landmarks[:, :2]
    turn = np.radians(10)
    linear = 1.1 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    weights = mesh.canonical().rigid_weights / mesh.canonical().rigid_weights.sum()
    middle = weights @ old[mesh.canonical().rigid]
    assert np.allclose(new, (old - middle) @ linear.T + middle + [3, -2], atol=1e-9)
    assert np.allclose(out.landmarks[:, 2], walk[1030].landmarks[:, 2] * 1.1)
    assert out.pose_deg == pytest.approx(head_pose(out.landmarks), abs=1e-6)
    assert out.pose_deg[2] == pytest.approx(walk[1030].pose_deg[2] - 10)
    assert np.allclose(out.similarity, face_similarity(out.landmarks))
    assert (out.source, out.confidence, out.reasons) == ("key", 1.0, ())
    assert np.allclose(out.box, [*new.min(axis=0), *new.max(axis=0)])


def test_a_neighbour_keeps_its_doubts(walk):
    out = applied(walk, {1030: nudged(walk[1030], move=(3, -2))})
    assert (out[1031].source, out[1031].confidence, out[1031].reasons) == ("solve", 0.6, ("blurred",))


def test_between_keys_corrections_are_interpolated(walk):
    a, b = nudged(walk[1010], scale=1.2, move=(10, 0)), nudged(walk[1050], rotate=-20, move=(0, 6))
    out = applied(walk, {1010: a, 1050: b})
    assert np.array_equal(out[1010].similarity, matrix_of(a))
    assert np.array_equal(out[1050].similarity, matrix_of(b))
    halfway = keys.between(walk[1030].similarity, out[1030].similarity)
    assert halfway.log_scale == pytest.approx(np.log(1.2) / 2)
    assert np.degrees(halfway.angle) == pytest.approx(-10)
    assert halfway.move == pytest.approx([5, 3])
    assert changed(walk, out) == list(FRAMES)


def test_a_correction_of_nothing_changes_nothing_to_speak_of(walk):
    out = applied(walk, {1030: Key(similarity=walk[1030].similarity)})
    for frame in FRAMES:
        assert np.abs(out[frame].landmarks - walk[frame].landmarks).max() < 1e-9


def test_a_scale_between_keys_stays_about_the_moving_face(walk):
    """Both keys make the face larger in its place; half way it is larger in its place too, wherever it walked."""
    out = applied(walk, {f: nudged(walk[f], scale=1.3) for f in (1005, 1055)})
    rigid = mesh.canonical().rigid
    weights = mesh.canonical().rigid_weights / mesh.canonical().rigid_weights.sum()
    for frame in range(1005, 1056):
        was, now = (weights @ faces[frame].landmarks[rigid, :2] for faces in (walk, out))
        assert np.allclose(was, now, atol=1e-9)


def test_one_landmark_moves_the_face(walk):
    target = tuple(walk[1030].landmarks[4, :2] + [4.0, -1.5])
    out = applied(walk, {1030: Key(landmarks={4: target})})
    assert np.allclose(out[1030].landmarks[:, :2] - walk[1030].landmarks[:, :2], [4.0, -1.5])
    assert np.allclose(out[1030].similarity, face_similarity(out[1030].landmarks))


def test_several_landmarks_place_the_face_and_bend_it_around_them(walk):
    """All but one follow a similarity; the one that does not pulls its neighbours and nobody far away."""
    points = (33, 263, 1, 61, 291, 152, 10)
    old = walk[1030].landmarks
    linear = 1.05 * np.array([[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]])
    target = {p: tuple(old[p, :2] @ linear.T + [5.0, 6.0]) for p in points}
    placed = applied(walk, {1030: Key(landmarks=target)})[1030]
    assert np.allclose(placed.landmarks[:, :2], old[:, :2] @ linear.T + [5.0, 6.0], atol=1e-6)
    target[61] = (target[61][0] - 9.0, target[61][1])
    bent = applied(walk, {1030: Key(landmarks=target)})[1030]
    for point, where in target.items():
        assert tuple(bent.landmarks[point, :2]) == where
    pull = np.abs(bent.landmarks[:, :2] - placed.landmarks[:, :2]).max(axis=1)
    far = [105, 334, 454]
    near = [76, 62, 185]  # of the same mouth corner
    assert pull[near].min() > 2 * pull[far].max()
    assert np.allclose(bent.similarity, face_similarity(bent.landmarks))


def test_a_bend_turns_and_grows_with_the_face(walk):
    target = {p: tuple(walk[1010].landmarks[p, :2]) for p in (33, 263, 1, 61, 291, 152)}
    target[61] = (target[61][0], target[61][1] + 6.0)
    out = applied(walk, {1010: Key(landmarks=target, reach=None)})
    rates = []
    for frame in (1010, 1060):
        off = out[frame].landmarks[:, 1] - walk[frame].landmarks[:, 1]
        rates.append((off[61] - off[10]) * np.linalg.norm(walk[frame].similarity[:, 0]))
    assert rates[0] == pytest.approx(rates[1], rel=1e-3)


@settings(max_examples=25, deadline=None)
@given(
    st.floats(0.5, 2),
    st.floats(-170, 170),
    st.tuples(st.floats(-300, 300), st.floats(-300, 300)),
    st.sampled_from([0.5, 1.0, 2.0]),
)
def test_a_similarity_is_reached_exactly_also_in_squeezed_plates(scale, rotate, move, squeeze):
    one = solved_face(400, 300, 100, squeeze=squeeze)
    key = nudged(one, scale=scale, rotate=rotate, move=move, squeeze=squeeze).check(pixel_aspect=squeeze)
    out = keys.apply({5: one}, {5: key}, frames=[5], pixel_aspect=squeeze)[5]
    assert np.array_equal(out.similarity, matrix_of(key))
    assert np.allclose(out.similarity, face_similarity(out.landmarks, pixel_aspect=squeeze), rtol=1e-9, atol=1e-9)
    unit = transform(out.similarity, out.landmarks[:, :2])
    assert np.allclose(unit, transform(one.similarity, one.landmarks[:, :2]), atol=1e-9)


def test_all_landmarks_hold_to_the_last_bit(walk):
    rng = np.random.default_rng(3)
    where = walk[1030].landmarks[:, :2] + rng.normal(size=(mesh.COUNT, 2)) * 3
    key = Key(landmarks={i: (float(x), float(y)) for i, (x, y) in enumerate(where)})
    out = applied(walk, {1030: key})[1030]
    assert np.array_equal(out.landmarks[:, :2], where)
    assert np.allclose(out.similarity, face_similarity(out.landmarks))


def test_a_key_does_not_reach_over_a_cut(walk):
    out = applied(walk, {1030: nudged(walk[1030], move=(9, 9))}, cuts=(1033,))
    assert changed(walk, out) == list(range(1030 - REACH, 1033))
    out = applied(walk, {1030: nudged(walk[1030], move=(9, 9)), 1040: nudged(walk[1040])}, cuts=(1033,))
    assert np.allclose(out[1033].landmarks, walk[1033].landmarks)


def test_a_key_where_no_face_was_found_makes_one(walk):
    lost = {frame: one for frame, one in walk.items() if not 1020 < frame < 1040}
    key = Key(similarity=nudged(walk[1030], move=(2, 0)).similarity)
    out = applied(lost, {1030: key})
    assert list(out) == list(FRAMES)
    assert out[1030].source == "key"
    assert out[1030].presence == 0
    assert np.array_equal(out[1030].similarity, matrix_of(key))
    for frame in (*range(1021, 1030), *range(1031, 1040)):
        assert (out[frame].source, out[frame].presence) == ("gap", 0.0)
        assert out[frame].confidence <= 0.5
    # Half way between its neighbours, in place, size and shape.
    middle = out[1025].landmarks[4, :2]
    assert np.allclose(middle, (out[1020].landmarks[4, :2] + out[1030].landmarks[4, :2]) / 2, atol=0.5)
    sizes = [np.ptp(out[f].landmarks[:, 1]) for f in (1020, 1025, 1030)]
    assert sizes == sorted(sizes)


def test_a_key_beyond_the_last_face_makes_no_more_than_the_way_there(walk):
    lost = {frame: one for frame, one in walk.items() if frame <= 1040}
    out = applied(lost, {1050: Key(similarity=walk[1050].similarity)})
    assert list(out) == list(range(1001, 1051))
    assert {out[f].source for f in range(1041, 1050)} == {"gap"}
    across = applied(lost, {1050: Key(similarity=walk[1050].similarity)}, cuts=(1045,))
    assert list(across) == [*range(1001, 1041), 1050]


def test_a_face_that_was_never_solved_stays_unseen():
    assert keys.apply({}, {5: Key(similarity=np.eye(3)[:2])}, frames=[4, 5, 6]) == {}


def test_keys_in_frames_that_were_not_tracked_are_passed_over(walk):
    out = keys.apply(walk, {900: nudged(walk[1001], move=(5, 5))}, frames=list(FRAMES))
    assert changed(walk, out) == []


@pytest.mark.parametrize("values", [(0.0, 0.0, (0.0, 0.0)), (-1.0, 0.0, (0.0, 0.0)), (1.0, np.inf, (0.0, 0.0))])
def test_nudges_that_mean_nothing(values):
    with pytest.raises(TrackError, match="scale"):
        keys.relative(*values)


def test_what_a_similarity_says_is_where_the_face_is(walk):
    """The unit frame's middle lands where the key's inverse puts it."""
    key = nudged(walk[1030], scale=0.9, rotate=33, move=(-20, 14))
    out = applied(walk, {1030: key})[1030]
    middle = np.array([[0.5, 0.5]])
    assert np.allclose(transform(invert(out.similarity), middle), transform(invert(matrix_of(key)), middle))


def test_with_a_lens_points_and_matrix_are_corrected_alike(walk):
    """Landmarks lie in the plate as shot, the similarity in the straight picture: each turns about its own middle."""
    bent = dataclasses.replace(walk[1030], landmarks=walk[1030].landmarks + np.array([15.0, -7.0, 0.0]))
    key = nudged(bent, scale=1.1, rotate=12, move=(4, 3))
    (plain,), (out,) = (applied({1030: one}, {1030: key}).values() for one in (walk[1030], bent))
    assert np.array_equal(out.similarity, plain.similarity)
    assert np.allclose(out.landmarks, plain.landmarks + np.array([15.0, -7.0, 0.0]))
