"""A probe tells what can be told, and says when nothing can."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vfxswap.train.probe import probe


def faces(count: int, *, seed: int, soft: bool = False, size: int = 64) -> Tensor:
    """Smooth blobs, all different; `soft` ones lack the fine texture."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand((count, 3, 8, 8), generator=generator)
    fine = 0.0 if soft else 0.08 * torch.randn((count, 3, size, size), generator=generator)
    large = torch.nn.functional.interpolate(coarse, size=size, mode="bicubic")
    return (0.3 + 0.4 * large + fine).clamp(0, 1)


def test_pictures_of_one_kind_cannot_be_told_apart():
    found = [probe(faces(40, seed=1 + i), faces(40, seed=100 + i), seed=i).accuracy for i in range(3)]
    assert abs(sum(found) / 3 - 0.5) < 0.1


def test_soft_pictures_are_told_from_sharp_ones():
    found = probe(faces(24, seed=1), faces(24, seed=2, soft=True))
    assert found.accuracy > 0.9 and not found.cannot_tell
    assert found.realism.shape == (24,) and found.realism.mean() < 0.3


def test_the_realism_of_each_picture_names_the_bad_ones():
    painted = faces(30, seed=2)
    painted[::3] = faces(10, seed=3, soft=True)
    found = probe(faces(30, seed=1), painted)
    assert found.realism[::3].mean() < found.realism[1::3].mean() - 0.2
    assert 0.5 < found.accuracy < 0.9
    assert 0 < found.error < 0.1


def test_nobody_is_asked_about_what_they_have_seen():
    """Pure noise is easily learned by heart; a probe asked about its own lessons would tell it all apart."""
    generator = torch.Generator().manual_seed(0)
    real, painted = torch.rand((16, 3, 32, 32), generator=generator), torch.rand((16, 3, 32, 32), generator=generator)
    assert probe(real, painted).accuracy < 0.8


def test_the_same_seed_gives_the_same_opinion():
    first, second = (probe(faces(8, seed=1), faces(8, seed=2), seed=5) for _ in range(2))
    assert first.accuracy == second.accuracy and torch.equal(first.realism, second.realism)


def test_a_probe_needs_pictures():
    with pytest.raises(ValueError, match="four pictures"):
        probe(faces(3, seed=1), faces(8, seed=2))
