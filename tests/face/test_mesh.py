from __future__ import annotations

import numpy as np
import pytest

from vfxswap.face import mesh


def test_the_canonical_mesh_is_a_face():
    face = mesh.canonical()
    assert face.vertices.shape == (468, 3)
    assert face.uv.shape == (468, 2)
    assert face.triangles.shape == (898, 3)
    assert face.triangles.max() == 467
    assert len(face.rigid) == len(face.rigid_weights) == 33
    assert face.rigid_weights.min() > 0
    assert 12 < np.ptp(face.vertices[:, 0]) < 17, "a head is about 15 cm wide"
    assert face.uv.min() >= 0
    assert face.uv.max() <= 1
    assert face.uv[10, 1] < face.uv[152, 1], "texture rows run from the forehead down"


def test_its_arrays_cannot_be_spoilt():
    with pytest.raises(ValueError, match="read-only"):
        mesh.canonical().vertices[0] = 0


def test_rubbish_is_not_parsed():
    for data in (b"\x0a\x05abc", b"\xff" * 40, b""):
        with pytest.raises((ValueError, IndexError)):
            mesh.parse(data)


def test_template_is_the_face_as_an_image_shows_it():
    flat = mesh.template()
    assert flat.shape == (468, 2)
    assert flat[10, 1] == pytest.approx(0)
    assert flat[152, 1] == pytest.approx(1)
    assert flat[[10, 152], 0] == pytest.approx(0.5, abs=1e-3)
    assert flat[33, 0] < 0.5 < flat[263, 0], "the subject's right eye is on the image's left"
    assert flat[33, 1] < flat[1, 1] < flat[13, 1], "eyes above nose above mouth"


def test_mirror_is_an_involution_and_swaps_the_sides():
    pairs = mesh.mirror()
    assert np.array_equal(pairs[pairs], np.arange(478))
    assert [pairs[i] for i in (33, 133, 61, 468, 469)] == [263, 362, 291, 473, 476]
    for right, left in (
        (mesh.RIGHT_EYE, mesh.LEFT_EYE),
        (mesh.RIGHT_BROW, mesh.LEFT_BROW),
        (mesh.RIGHT_CHEEK_SKIN, mesh.LEFT_CHEEK_SKIN),
        (mesh.RIGHT_IRIS, mesh.LEFT_IRIS),
    ):
        assert {int(pairs[i]) for i in right} == set(left)


@pytest.mark.parametrize(
    "outline", [mesh.OVAL, mesh.LEFT_EYE, mesh.RIGHT_EYE, mesh.LIPS_OUTER, mesh.LIPS_INNER], ids=len
)
def test_outlines_do_not_cross_themselves(outline):
    assert len(set(outline)) == len(outline)
    points = mesh.template()[list(outline)]
    centre = points.mean(axis=0)
    turn = np.unwrap(np.arctan2(*(points - centre).T[::-1]))
    assert abs(turn[-1] - turn[0]) > 1.5 * np.pi
    steps = np.diff(turn)
    assert (steps > 0).mean() > 0.9 or (steps < 0).mean() > 0.9


def test_the_oval_holds_the_face():
    flat = mesh.template()
    low, high = flat[list(mesh.OVAL)].min(axis=0), flat[list(mesh.OVAL)].max(axis=0)
    assert ((flat >= low - 1e-6) & (flat <= high + 1e-6)).all()


def test_skin_keeps_away_from_features():
    features = {index for part in mesh.MOVING_PARTS for index in part} | set(mesh.OVAL)
    assert not features & set(mesh.SKIN)
    points = mesh.skin_points(mesh.template())
    assert points.shape[1] == 2
    assert len(points) > len(mesh.SKIN)
    for eye in (mesh.LEFT_EYE, mesh.RIGHT_EYE, mesh.LIPS_OUTER):
        shape = mesh.template()[list(eye)]
        inside = ((points > shape.min(axis=0)) & (points < shape.max(axis=0))).all(axis=1)
        assert not inside.any()
