"""Scores against a truth."""

from __future__ import annotations

import numpy as np
import pytest

from vfxswap import qc


def test_psnr_of_a_known_error_inside_the_matte() -> None:
    truth = np.full((8, 8, 3), 0.5, np.float32)
    image = truth + np.float32(0.1)
    image[:, 4:] = 1.0  # far off, but outside the matte
    coverage = np.zeros((8, 8), np.float32)
    coverage[:, :4] = 1.0
    assert qc.psnr(image, truth, coverage) == pytest.approx(20.0, abs=1e-4)


def test_psnr_weighs_by_coverage() -> None:
    truth = np.zeros((1, 2, 3), np.float32)
    image = np.array([[[0.1] * 3, [0.2] * 3]], np.float32)
    coverage = np.array([[1.0, 0.5]], np.float32)
    mean = (0.01 + 0.5 * 0.04) / 1.5
    assert qc.psnr(image, truth, coverage) == pytest.approx(-10 * np.log10(mean), abs=1e-4)


def test_equal_pictures_have_no_error() -> None:
    image = np.random.default_rng(1).random((4, 4, 3)).astype(np.float32)
    assert qc.psnr(image, image, np.ones((4, 4), np.float32)) == float("inf")
