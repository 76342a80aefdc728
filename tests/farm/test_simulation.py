"""The simulated farm of benchmarks/farm: what must hold of any farm, and what the documentation concludes from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from .. import support

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "farm" / "simulate.py"


@pytest.fixture(scope="module")
def farm() -> ModuleType:
    return support.script(SCRIPT)


@pytest.fixture(scope="module")
def small(farm):
    """Forty healthy workers on fifty shots."""
    return farm.Farm(workers=40, frames=5000, shot=100, chunk=10, slow=0.0, hours_between_deaths=1e9, storage=1e9)


def test_a_healthy_farm_does_each_task_once(farm, small):
    out = farm.simulate(small)
    assert out.tasks == 50 * (1 + 1 + 10 + 1)
    assert out.repeated == 0
    assert out.starved == 0.0
    assert 0 < out.useful <= out.busy <= out.makespan * small.workers
    costs = small.costs
    work = small.frames * (costs.swap + costs.track + costs.measure)
    assert out.useful == pytest.approx(work, rel=0.1)
    assert farm.simulate(small) == out, "the same farm, the same outcome"


def test_deaths_lose_a_frame_with_resume_and_a_chunk_without(farm, small):
    deadly = replace(small, hours_between_deaths=0.05, chunk=50)
    kept, lost = farm.simulate(deadly), farm.simulate(replace(deadly, resume=False))
    assert kept.repeated == 0
    assert lost.repeated > 100
    assert lost.busy > kept.busy


def test_small_chunks_are_held_up_by_the_engine_and_large_ones_have_a_tail(farm, small):
    one, ten, whole = (farm.simulate(replace(small, chunk=chunk, rate=5.0, slow=0.05)) for chunk in (1, 10, 100))
    assert one.makespan > ten.makespan
    assert one.busy > ten.busy
    assert whole.tail > ten.tail


def test_storage_that_is_too_slow_sets_the_pace(farm, small):
    out = farm.simulate(replace(small, storage=100.0))
    assert out.starved > 0.5
    costs = small.costs
    assert out.makespan >= 0.9 * small.frames * (costs.frame_mb + 2 * costs.glance_mb) / 100.0 * 0.5
