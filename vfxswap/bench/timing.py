"""Measuring steps in turns."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field

import cv2
import numpy as np

from vfxswap import __version__

Step = Callable[[], object]


@dataclass(frozen=True)
class Stage:
    """What a step costs: medians in milliseconds of the clock on the wall and of this process's CPU time."""

    name: str
    wall_ms: float
    cpu_ms: float


@dataclass(frozen=True)
class Ratio:
    """How much one step costs in terms of another.

    Attributes:
        name: what is compared with what.
        value: the median over rounds of the ratio within each round.
        at_least: the target, where more is better.
        at_most: the target, where less is better.
    """

    name: str
    value: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.at_least is not None:
            return self.value >= self.at_least
        return None if self.at_most is None else self.value <= self.at_most


@dataclass(frozen=True)
class Result:
    """A case measured.

    Attributes:
        case: its name.
        setup: what was measured, in words.
        stages: each step.
        ratios: what the case is about.
        machine: where.
    """

    case: str
    setup: str
    stages: tuple[Stage, ...]
    ratios: tuple[Ratio, ...]
    machine: Mapping[str, str] = field(default_factory=lambda: machine())

    def to_json(self) -> str:
        """One JSON object, for records and plots."""
        ratios = [{**asdict(ratio), "met": ratio.met} for ratio in self.ratios]
        whole = {"case": self.case, "setup": self.setup, "stages": [asdict(stage) for stage in self.stages]}
        return json.dumps({**whole, "ratios": ratios, "machine": dict(self.machine)}, indent=2) + "\n"


def machine() -> dict[str, str]:
    """What the figures were measured on; `load` is how many processes wanted a core meanwhile, where it can be told."""
    return {
        "vfxswap": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": str(cv2.__version__),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(os.cpu_count()),
        **({"load": f"{os.getloadavg()[0]:.1f}"} if hasattr(os, "getloadavg") else {}),
    }


@dataclass(frozen=True)
class Timings:
    """Seconds of every step in every round."""

    wall: Mapping[str, list[float]]
    cpu: Mapping[str, list[float]]

    def stages(self) -> tuple[Stage, ...]:
        """Medians, in the order of the steps."""
        return tuple(
            Stage(name, 1e3 * statistics.median(seconds), 1e3 * statistics.median(self.cpu[name]))
            for name, seconds in self.wall.items()
        )

    def ratio(self, name: str, over: str, *, cpu: bool = False) -> float:
        """The median of the rounds' ratios: what slows the machine for a while slows both."""
        source = self.cpu if cpu else self.wall
        return statistics.median(a / max(b, 1e-9) for a, b in zip(source[name], source[over], strict=True))


def interleaved(steps: Mapping[str, Step], *, rounds: int) -> Timings:
    """Run every step once to warm up, then all of them in turns.

    Args:
        steps: name -> what to time; their results are dropped.
        rounds: how often.
    """
    wall: dict[str, list[float]] = {name: [] for name in steps}
    cpu: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    for _ in range(max(1, rounds)):
        for name, step in steps.items():
            started, used = time.perf_counter(), time.process_time()
            step()
            wall[name].append(time.perf_counter() - started)
            cpu[name].append(time.process_time() - used)
    return Timings(wall, cpu)


@contextlib.contextmanager
def opencv_threads(count: int) -> Iterator[None]:
    """OpenCV on `count` threads for the length of a `with`."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(count)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
