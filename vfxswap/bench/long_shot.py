"""Memory over a long shot."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from vfxswap import measure
from vfxswap.bench.material import FRAMES, Material, Mirror
from vfxswap.bench.timing import Ratio, Result, Stage
from vfxswap.color import ColorConfig
from vfxswap.errors import UsageError
from vfxswap.events import CancelToken, Event, FrameDone
from vfxswap.frames import Sheet, Shot, render_frames
from vfxswap.job import SwapJob, SwapParameters
from vfxswap.measure import Sight
from vfxswap.plate import Plate, open_plate
from vfxswap.render import Target
from vfxswap.sequence import SequencePath

LENGTH = 1000
"""Frames of the shot."""

TARGET = 1.05
"""How much more may be held at the end than after a tenth of the shot."""

_STATUS = Path("/proc/self/status")


def memory(material: Material, _rounds: int) -> Result:
    """Measure and render a shot of LENGTH frames; what the process holds at its end over what it held after a tenth.

    The shot repeats a few frames under many names. Rendered frames are removed as soon as they are told of.
    """
    plate = _long(material)
    clock = [_now()]
    faces = dict.fromkeys(plate.frames, material.face)
    held = [resident()]

    def step(done: int, total: int) -> None:
        if done % (total // 10) == 0:
            held.append(resident())

    found = measure.measure([Sight(plate, faces)], model=Mirror(), progress=step)
    measuring, watch = held[1:], _Watch()
    clock.append(_now())
    output = SequencePath.parse(str(material.folder / "long_out" / "out.####.exr"))
    job = SwapJob.make(plate=plate.sequence.pattern, output=output.pattern, model="none", overwrite=True)
    target = Target(plate, Mirror(), faces, found, SwapParameters())
    render_frames(Shot(job, (Sheet(plate, output, {None: (target,)}),), {}), sink=watch, cancel=CancelToken())
    clock.append(_now())
    stages = tuple(
        Stage(f"{name}, a frame", *(1e3 * (after - before) / LENGTH for before, after in zip(*ends, strict=True)))
        for name, ends in zip(("measure", "render"), itertools.pairwise(clock), strict=True)
    )
    words = ", ".join(
        f"{name} {' '.join(f'{size:.0f}' for size in sizes)}"
        for name, sizes in (("measuring", measuring), ("rendering", watch.held))
    )
    setup = f"{material.words}; {LENGTH} frames; MiB held after every tenth: {words}"
    ratios = (
        Ratio("measuring, end over a tenth", measuring[-1] / measuring[0], at_most=TARGET),
        Ratio("rendering, end over a tenth", watch.held[-1] / watch.held[0], at_most=TARGET),
    )
    return Result("memory", setup, stages, ratios)


def _now() -> tuple[float, float]:
    """Seconds on the wall and of CPU time."""
    return time.perf_counter(), time.process_time()


def resident() -> float:
    """MiB of memory that this process holds.

    Raises:
        UsageError: the system does not say.
    """
    with contextlib.suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    raise UsageError("bench memory reads /proc, which this system does not have", hint="run it on Linux")


@dataclass
class _Watch:
    """Notes what is held after every tenth of the frames, and removes them."""

    held: list[float] = field(default_factory=list)
    done: int = 0

    def emit(self, event: Event) -> None:
        if isinstance(event, FrameDone):
            Path(event.path).unlink()
            self.done += 1
            if self.done % (LENGTH // 10) == 0:
                self.held.append(resident())


def _long(material: Material) -> Plate:
    """The material's frames, LENGTH times."""
    short = material.plate
    folder = material.folder / "long"
    folder.mkdir()
    for frame in range(1, LENGTH + 1):
        os.link(short.sequence.path((frame - 1) % FRAMES + 1), folder / f"plate.{frame:04d}.exr")
    return open_plate(str(folder), config=ColorConfig.load(None))
