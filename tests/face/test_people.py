from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from vfxswap.face.frame import FaceFrame
from vfxswap.face.identity import distance
from vfxswap.face.keys import Key
from vfxswap.face.people import Person, Sight, assign, cheapest, merged, name_faces
from vfxswap.face.track import Face, Track, choose
from vfxswap.pixels import F64


def who(number: int, *, off: float = 0.0) -> F64:
    """An identity; two of them are 0.9 apart, `off` moves one."""
    result = np.zeros(128)
    result[number] = 0.9 / np.sqrt(2)
    result[100] = off
    return result


def sight(frame: int, x: float, *, identity: F64 | None = None, presence: float = 1.0) -> Sight:
    """A face of 60 x 80 pixels whose left edge is at x."""
    points = np.random.default_rng(0).random((478, 3)) * [60, 80, 10]
    points[:2, :2] = [[0, 0], [60, 80]]
    return Sight(frame, points + np.array([x, 50.0, 0.0]), presence, 0.9, np.ones(2), embedding=identity)


# ---------------------------------------------------------------------------------------- assignment


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 2**31))
def test_the_cheapest_pairs_are_found(rows, columns, seed):
    rng = np.random.default_rng(seed)
    cost = rng.random((rows, columns)) * 2
    cost[rng.random(cost.shape) < 0.3] = np.inf
    found = cheapest(cost, apart=1.1)
    total = sum(cost[i, j] for i, j in found.items()) + 1.1 * (rows - len(found))
    wide = np.full((rows, columns + rows), 1e6)
    wide[:, :columns] = np.where(np.isfinite(cost), cost, 1e6)
    wide[np.arange(rows), columns + np.arange(rows)] = 1.1
    assert total == pytest.approx(wide[linear_sum_assignment(wide)].sum())
    assert len(set(found.values())) == len(found)


def test_two_who_cross_are_told_apart_by_identity():
    """Where each one was expected lies nearer to the other: only both together can be right."""
    a, b = Person([sight(1, 0, identity=who(0))]), Person([sight(1, 100, identity=who(1))])
    boxes = [sight(2, 52).box, sight(2, 48).box]
    seen = [sight(2, 48, identity=who(0, off=0.3)), sight(2, 52, identity=who(1, off=0.3))]
    pairs, nobody = assign([a, b], boxes, seen)
    assert (pairs, nobody) == ({0: 0, 1: 1}, [])


def test_place_decides_where_identity_is_unknown():
    a, b = Person([sight(1, 0, identity=who(0))]), Person([sight(1, 100, identity=who(1))])
    pairs, _ = assign([a, b], [sight(2, 4).box, sight(2, 96).box], [sight(2, 90), sight(2, 8)])
    assert pairs == {0: 1, 1: 0}


def test_somebody_else_at_the_same_place_is_somebody_else():
    a = Person([sight(1, 0, identity=who(0))])
    assert assign([a], [sight(2, 0).box], [sight(2, 0, identity=who(1))]) == ({}, [0])


def test_somebody_lost_is_known_again_anywhere_by_identity_only():
    a = Person([sight(1, 0, identity=who(0))])
    assert assign([a], [None], [sight(9, 400, identity=who(0, off=0.4))]) == ({0: 0}, [])
    assert assign([a], [None], [sight(9, 0, identity=who(0, off=0.65))]) == ({}, [0])
    assert assign([a], [None], [sight(9, 0)]) == ({}, [0])


def test_nobody_and_nothing():
    assert assign([], [], [sight(1, 0)]) == ({}, [0])
    assert assign([Person([sight(1, 0)])], [None], []) == ({}, [])


def test_expected_goes_on_as_it_went():
    person = Person([sight(1, 0), sight(2, 10)])
    assert person.expected([1, 2, 3]) - sight(2, 10).box == pytest.approx([10, 0, 10, 0])
    assert person.expected([1, 2, 3, 4, 5, 6])[0] == pytest.approx(30), "two frames far, no further"
    assert Person([sight(1, 0)]).expected([1, 2])[0] == 0


def test_people_who_are_one_are_joined_unless_seen_together():
    first = Person([sight(1, 0, identity=who(0))])
    again = Person([sight(5, 0, identity=who(0, off=0.2))])
    other = Person([sight(5, 200, identity=who(1))])
    assert [len(p.sights) for p in merged([first, again, other])] == [2, 1]
    twin = Person([sight(1, 100, identity=who(0))])
    assert len(merged([Person([sight(1, 0, identity=who(0))]), twin])) == 2


# -------------------------------------------------------------------------------------------- names


def track(*faces: tuple[int, F64, tuple[int, ...]]) -> Track:
    one = FaceFrame(np.zeros(4), np.zeros((478, 3)), 1.0, 1.0, (0.0, 0.0, 0.0), np.eye(2, 3))
    numbers = sorted(set(itertools.chain.from_iterable(frames for _, _, frames in faces)))
    return Track(
        plate="p",
        frames={n: tuple((key, one) for key, _, frames in faces if n in frames) for n in numbers},
        faces=tuple(Face(key, None, embedding) for key, embedding, _ in faces),
    )


def test_faces_are_named_after_the_nearest_performer():
    found = name_faces(
        track((0, who(0, off=0.2), (1, 2)), (1, who(1), (1, 2)), (2, who(2), (2,))),
        {"anna": np.stack([who(0), who(0, off=0.1)]), "ben": who(1)[None], "nobody": np.zeros((0, 128))},
    )
    assert [face.name for face in found.faces] == ["anna", "ben", None]
    assert choose(found, "ben") == 1
    assert found.metadata["names"].startswith("0 is consistent with anna (distance 0.15); 1 is consistent with ben")


def test_a_face_that_fits_nobody_stays_unnamed():
    plain = track((0, who(0), (1,)), (1, np.zeros(128), (1,)))
    found = name_faces(plain, {"anna": who(3)[None]})
    assert [face.name for face in found.faces] == [None, None]
    assert found.metadata == {}
    assert name_faces(plain, {}).faces[0].name is None


def test_two_in_one_frame_cannot_both_be_her_but_two_apart_are():
    both = name_faces(track((0, who(0, off=0.3), (1, 2)), (1, who(0), (2, 3))), {"anna": who(0)[None]})
    assert [(face.id, face.name) for face in both.faces] == [(0, None), (1, "anna")]
    two = replace(track((0, who(0, off=0.3), (1, 2)), (1, who(0), (3, 4))), keys={1: {4: Key(similarity=np.eye(2, 3))}})
    apart = name_faces(two, {"anna": who(0)[None]})
    assert [(face.id, face.name) for face in apart.faces] == [(0, "anna")]
    assert list(apart.solved(choose(apart, "anna"))) == [1, 2, 3, 4]
    assert list(apart.keys) == [0] and list(apart.keys[0]) == [4], "her keys go with her"


def test_rendered_performers_are_named_from_their_photographs(shared, networks):
    """Anna's and Ben's faceset pictures against a shot of each; the astronaut is neither."""
    from vfxswap.face import solve

    from .rendered import encoded

    references = {}
    for name in ("anna", "ben"):
        folder = shared / "data" / "train" / name
        pictures = [(i, encoded(folder / f"{name}.{i}.exr"), 1.0) for i in range(1001, 1007)]
        references[name] = np.stack(
            [f.embedding for f in solve.track_frames(pictures, still=True, networks=networks).faces]
        )
    folder = shared / "data" / "shots" / "talk_studio"
    for kind, name in (("plate", "anna"), ("truth", "ben")):
        pictures = [(i, encoded(folder / kind / f"{kind}.{i}.exr"), 1.0) for i in range(1001, 1004)]
        found = solve.track_frames(pictures, networks=networks, crops=1)
        assert distance(found.faces[0].embedding, references[name].mean(axis=0)) < 0.6
        assert name_faces(found, references).faces[0].name == name
