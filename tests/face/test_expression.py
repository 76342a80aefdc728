"""What a face does in numbers: the same at any size, place and roll, mirrored in a mirror, 0 at rest."""

from __future__ import annotations

import numpy as np
import pytest

from vfxswap.errors import ModelError
from vfxswap.face import expression, mesh
from vfxswap.face.frame import FaceFrame
from vfxswap.face.pose import face_similarity, head_pose
from vfxswap.pixels import F64

# Left and right of the canonical mesh, as the outlines name them; the middle points are their own.
_MIRROR = {
    **dict(zip(mesh.LEFT_EYE, mesh.RIGHT_EYE, strict=True)),
    **dict(zip(mesh.LEFT_BROW, mesh.RIGHT_BROW, strict=True)),
    61: 291,
    81: 311,
    178: 402,
    468: 473,
}

_EYES = ((33, 133, 468, (160, 144, 159, 145, 158, 153)), (263, 362, 473, (387, 373, 386, 374, 385, 380)))


def face(*, lids: float = 1.0, jaw: float = 0.0, look: float = 0.0) -> F64:
    """(478, 3) the canonical face with its lids opened, its lower lip and chin lowered, its eyes turned aside."""
    vertices = mesh.canonical().vertices * [1, -1, -1]
    points = np.vstack([vertices, np.zeros((10, 3))])
    for outer, inner, iris, pairs in (
        (33, 133, 468, (160, 144, 159, 145, 158, 153)),
        (263, 362, 473, (387, 373, 386, 374, 385, 380)),
    ):
        points[iris : iris + 5] = (points[outer] + points[inner]) / 2 + [look, 0, 0]
        for upper, lower in zip(pairs[::2], pairs[1::2], strict=True):
            middle = (points[upper] + points[lower]) / 2
            points[[upper, lower]] = middle + lids * (points[[upper, lower]] - middle)
    points[[14, 178, 402, 17, 152], 1] += jaw
    return points


def values(points: F64, pose: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> dict[str, float]:
    return dict(zip(expression.NAMES, expression.measured(points, pose).tolist(), strict=True))


def test_each_number_says_what_its_name_says() -> None:
    rest, shut, open_, aside = (values(face(**k)) for k in ({}, {"lids": 0.1}, {"jaw": 2.0}, {"look": 0.4}))
    assert shut["lids right"] == pytest.approx(0.1 * rest["lids right"])
    assert shut["lips"] == pytest.approx(rest["lips"])
    for name in ("lips", "lips right", "lips left", "mouth", "jaw"):
        assert open_[name] > rest[name] + 0.1
    assert open_["lids left"] == pytest.approx(rest["lids left"])
    assert aside["gaze right x"] > 0.1
    assert aside["gaze left x"] == pytest.approx(aside["gaze right x"], abs=0.02)
    assert values(face(), (10.0, -30.0, 5.0))["yaw"] == -1.5


def test_size_place_and_roll_do_not_matter() -> None:
    points = face(lids=0.7, jaw=1.0, look=0.2)
    angle = np.radians(37)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    moved = points @ turn.T * 31.0 + [900, 400, 0]
    assert expression.measured(moved, (1, 2, 3)) == pytest.approx(expression.measured(points, (1, 2, 99)))


def test_in_a_mirror_the_numbers_are_mirrored() -> None:
    points = face(lids=0.8, jaw=1.0, look=0.3)
    points[[105, 107], 1] -= 0.4  # one brow raised
    points[[61, 81], 0] -= 0.3  # and a corner of the mouth pulled
    seen = points.copy()
    for one, other in _MIRROR.items():
        seen[[one, other]] = points[[other, one]]
    seen[:, 0] *= -1
    found = expression.measured(seen, (5, -20, 0))
    assert found == pytest.approx(expression.mirrored(expression.measured(points, (5, 20, 0))), abs=1e-5)
    assert abs(found - expression.measured(points, (5, -20, 0))).max() > 0.05


def test_a_tracked_face_reads_like_its_crop_even_squeezed() -> None:
    points = face(lids=0.6, jaw=0.5, look=0.1) * 40 + [600, 500, 0]
    squeezed = points / [2.0, 1, 1]
    frame = FaceFrame(
        box=np.zeros(4),
        landmarks=squeezed,
        confidence=1.0,
        presence=1.0,
        pose_deg=head_pose(points),
        similarity=face_similarity(squeezed, pixel_aspect=2.0),
    )
    assert expression.of(frame) == pytest.approx(expression.measured(points, head_pose(points)), abs=1e-6)


def test_what_a_face_is_at_rest_is_taken_out() -> None:
    random = np.random.default_rng(3)
    moves = np.stack([expression.measured(face(jaw=j), (0, 0, 0)) for j in random.uniform(0, 1, 41)])
    # Another face, as symmetric as faces are on the whole; turns are everybody's.
    shape = (0.3 + expression.mirrored(np.full(expression.COUNT, 0.3))) / 2
    shape[-2:] = 0
    other = moves + shape
    one, two = expression.neutrals([moves, other])
    assert expression.told(moves, one) == pytest.approx(expression.told(other, two), abs=1e-3)
    assert one.spread == two.spread
    lips = expression.NAMES.index("lips")
    told = expression.told(moves, one)[:, lips]
    assert abs(np.median(told)) < 0.05
    assert 0.5 < told.std() < 1.5
    assert np.abs(expression.told(moves * 50, one)).max() == 3


def test_numbers_of_another_kind_are_refused() -> None:
    (known,) = expression.neutrals([np.zeros((3, expression.COUNT))])
    with pytest.raises(ModelError, match="told 'face99/1'"):
        expression.told(np.zeros(expression.COUNT), known.model_copy(update={"kind": "face99/1"}))
