from __future__ import annotations

import numpy as np
import pytest

from vfxswap.face import PARSERS
from vfxswap.geometry import Window


@pytest.mark.parametrize("name", sorted(PARSERS))
def test_every_registered_parser_finds_the_person(name, astronaut, astronaut_landmarks):
    parse = PARSERS[name](device="cpu", threads=1)
    matte = parse(astronaut, astronaut_landmarks.points)
    assert matte.shape == (512, 512)
    assert matte.dtype == np.float32
    assert matte.min() >= 0
    assert matte.max() <= 1
    points = astronaut_landmarks.points[:468].astype(int)
    assert np.median(matte[points[:, 1], points[:, 0]]) > 0.95
    assert matte[120, 330] < 0.1, "the background beside the head"
    assert matte[500, 10] == 0, "outside the square that the network looked at"

    window = Window(150, -20, 160, 200)
    part = parse(astronaut, astronaut_landmarks.points, window=window)
    assert part.shape == (200, 160)
    assert part[20:] == pytest.approx(matte[:180, 150:310], abs=1e-3)
