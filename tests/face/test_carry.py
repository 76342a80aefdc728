"""Keys go on when a plate is tracked anew, on the face they were made for."""

from __future__ import annotations

import dataclasses

import numpy as np

from vfxswap.face.carry import carried
from vfxswap.face.keys import Key
from vfxswap.face.track import Face, Track

from ..support import face

KEY = Key(landmarks={4: (111.0, 99.0)})
OTHER = Key(landmarks={4: (311.0, 99.0)})


def embedding(number: int) -> np.ndarray:
    return np.eye(128)[number]


def solved(*people: tuple[int, str | None, int, float]) -> Track:
    """Faces as (id, name, whose embedding, x)."""
    return Track(
        plate="p",
        frames={f: tuple((key, face(x + f, 90, 60)) for key, _, _, x in people) for f in range(1, 6)},
        faces=tuple(Face(key, name, embedding(who)) for key, name, who, _ in people),
    )


OLD = dataclasses.replace(solved((0, None, 0, 100), (1, None, 1, 300)), keys={0: {2: KEY}, 1: {3: OTHER}})


def test_faces_that_change_places_in_the_list_keep_their_keys():
    new, notes = carried(OLD, solved((0, None, 1, 300), (1, None, 0, 100)))
    assert notes == []
    assert new.keys == {1: {2: KEY}, 0: {3: OTHER}}
    assert np.allclose(new.face(1)[2].landmarks[4, :2], (111, 99))


def test_a_name_is_stronger_than_a_place():
    old = dataclasses.replace(solved((0, "Anna", 0, 100), (1, "Ben", 1, 300)), keys={0: {2: KEY}})
    new, notes = carried(old, solved((0, "Ben", 1, 100), (1, "Anna", 0, 300)))
    assert (new.keys, notes) == ({1: {2: KEY}}, [])


def test_a_face_that_looks_else_is_known_by_its_place():
    """An embedding from blurred frames says little; the box does."""
    new, notes = carried(dataclasses.replace(OLD, keys={0: {2: KEY}}), solved((0, None, 5, 102), (1, None, 1, 300)))
    assert (new.keys, notes) == ({0: {2: KEY}}, [])


def test_keys_of_a_face_that_is_gone_are_kept_and_change_nothing():
    new, notes = carried(OLD, solved((0, None, 0, 100)))
    assert new.keys == {0: {2: KEY}, 1: {3: OTHER}}
    (note,) = notes
    assert "not found again" in note
    assert "face 1" in note
    assert new.face(1) == {}
    assert [one.id for one in new.faces] == [0, 1]
    again, _ = carried(new, OLD)
    assert again.keys == {0: {2: KEY}, 1: {3: OTHER}}, "and find their face when it comes back"


def test_no_keys_change_nothing():
    plain = solved((0, None, 0, 100))
    new, notes = carried(dataclasses.replace(OLD, keys={}), plain)
    assert (new.keys, notes, new.frames) == ({}, [], plain.frames)
