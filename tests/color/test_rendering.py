"""A model is rendered in the encoding that its card names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vfxswap import exr, pipeline
from vfxswap.events import CancelToken, NullSink
from vfxswap.job import SwapParameters

from ..support import PASS_THROUGH, Studio, astronaut, job, network, write_frame

GLINT = 60.0
"""Far above what sRGB codes hold, well inside ACEScct's 222."""


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One frame of a real face with a glint on it."""
    rgb = astronaut(256).copy()
    y, x = np.mgrid[:256, :256]
    rgb[np.hypot(x - 100, y - 130) < 7] = GLINT
    return str(write_frame(tmp_path_factory.mktemp("glint") / "shot.1001.exr", rgb))


def glint(production: Studio, plate: str, folder: Path, encoding: str, **knobs: float) -> tuple[float, float]:
    """The comp's glint, and what changes elsewhere on the face, under a model that paints what it sees."""
    model = production.model(f"same-{encoding}", network(PASS_THROUGH), encoding=encoding)
    parameters = SwapParameters(relight=0, **knobs)
    made = job(production, plate, folder, model=model, layers="ingredients", parameters=parameters)
    pipeline.swap(made, gate=production.gate(), sink=NullSink(), cancel=CancelToken())
    found, _ = exr.read_channels(folder / "out.1001.exr")
    before, _ = exr.read_channels(Path(plate))
    assert found["face.A"][130, 100] == 1.0
    steady = (found["face.A"] == 1.0) & (before["G"] < 1.0)
    steady[110:150, 80:120] = False
    changed = np.abs(found["G"].astype(np.float64) - before["G"])[steady].mean()
    return float(found["G"][130, 100]), float(changed)


def test_acescct_models_keep_highlights_by_themselves(production: Studio, plate: str, tmp_path: Path):
    value, changed = glint(production, plate, tmp_path, "acescct", highlights=0)
    assert value == pytest.approx(GLINT, rel=0.05)
    assert changed < 0.035  # what a small crop loses in sharpness


def test_srgb_models_need_them_back(production: Studio, plate: str, tmp_path: Path):
    clipped, changed = glint(production, plate, tmp_path / "0", "srgb", highlights=0)
    assert clipped < 0.2 * GLINT
    assert changed < 0.035  # what a small crop loses in sharpness
    restored, _ = glint(production, plate, tmp_path / "1", "srgb", highlights=1)
    assert restored > 0.8 * GLINT
