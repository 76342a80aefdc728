"""What makes one performer's crops look like the other's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vfxswap import align
from vfxswap.face.pose import head_pose
from vfxswap.train import disguise

from . import synthetic


def test_nobody_needs_a_disguise_as_themselves() -> None:
    bank = synthetic.bank(synthetic.BEN)
    same = disguise.disguised(bank, bank)
    assert same.bend is not None and same.veil is not None
    assert float(same.bend.abs().max()) < 1e-6
    assert float(same.veil.abs().max()) < 1e-6


def test_the_mean_shape_does_not_depend_on_the_pose() -> None:
    shapes = [disguise.mean_shape(synthetic.bank(synthetic.BEN).crops[i : i + 1], size=80) for i in (0, 12, 23)]
    # The drawn crops are projected without perspective, so turning back is exact.
    np.testing.assert_allclose(shapes[0], shapes[1], atol=1e-9)
    np.testing.assert_allclose(shapes[2], shapes[1], atol=1e-9)


def test_a_pose_is_what_the_tracker_means_by_it() -> None:
    points = synthetic.landmarks(80, 25.0)
    np.testing.assert_allclose(head_pose(points), (0, 25, 0), atol=1e-6)
    centred = (points - points.mean(axis=0)) * [1, -1, -1] @ disguise.rotation((0.0, 25.0, 0.0))
    straight = synthetic.landmarks(80, 0.0)
    np.testing.assert_allclose(centred, (straight - straight.mean(axis=0)) * [1, -1, -1], atol=1e-9)


def test_a_wider_face_bends_outwards() -> None:
    crop = synthetic.bank(synthetic.BEN, count=25).crops[12]
    shape = disguise.mean_shape((crop,), size=80)
    field = disguise.field(crop, shape * [0.2, 0, 0], size=80)
    assert field.shape == (2, disguise.GRID, disguise.GRID)
    middle = disguise.GRID // 2
    assert field[0, middle, middle + 5] > 0.005
    assert field[0, middle, middle - 6] < -0.005
    assert np.abs(field[1]).max() < 0.005
    assert np.abs(field[:, 0, 0]).max() < 0.005


def test_nobody_is_moved_to_be_themselves() -> None:
    bank = synthetic.bank(synthetic.BEN)
    assert disguise.placement(bank, bank) == (0.0, 0.0)


def test_features_that_sit_higher_in_the_double_move_the_likeness_up() -> None:
    bank = synthetic.bank(synthetic.BEN)
    up = np.array([2.0, -4.0, 0.0])
    moved = replace(bank, crops=tuple(replace(crop, landmarks=crop.landmarks + up) for crop in bank.crops))
    x, y = disguise.placement(bank, moved)
    side = bank.source_size / align.FACESET_MARGIN
    assert x == pytest.approx(2.0 / side, abs=1e-5)
    assert y == pytest.approx(-4.0 / side, abs=1e-5)
