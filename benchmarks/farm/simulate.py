# ruff: noqa: T201 - a command prints
"""A farm of many workers on many shots, simulated: which chunk size, and what gives way first.

    python benchmarks/farm/simulate.py [--workers 1000] [--frames 1000000] [--chunks 1,20,200] [--storage 20000]

What is simulated is the way a job runs here (docs/farm.md): each shot is tracked, measured, swapped in chunks and
signed; a task costs its start before its first frame; an engine hands tasks out at a limited rate; workers share the
storage; some are slow; some die, are away for a while, and their task is done again, by then without the frames that
are whole.
Times are what was measured on a two-core machine (Costs) and what is assumed of a farm (Farm); change them to your own.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Any

import simpy


@dataclass(frozen=True)
class Costs:
    """Seconds of a worker, and megabytes through the storage."""

    task: float = 0.65
    """Before a task's first frame: Python, model, plate, track (docs/farm.md)."""
    kept: float = 0.02
    """To find that a frame is there and whole."""
    swap: float = 1.2
    """A 1080p frame, network and blend, on two cores."""
    spread: float = 0.25
    """Of a frame's time: the standard deviation of its logarithm."""
    track: float = 0.15
    """A frame of the shot's track."""
    measure: float = 0.5
    """A frame of the shot's measuring."""
    frame_mb: float = 24.0
    """Read and written for a swapped frame: a half 1080p comp, ZIP, 12 MB each way."""
    glance_mb: float = 12.0
    """Read for a frame that is tracked or measured."""


@dataclass(frozen=True)
class Farm:
    """What is assumed of the farm."""

    workers: int = 1000
    frames: int = 1_000_000
    shot: int = 200
    """Frames of a shot; no chunk is larger."""
    chunk: int = 20
    rate: float = 20.0
    """Tasks that the engine hands out in a second."""
    begin: float = 2.0
    """Seconds from handing out to the worker's first instruction."""
    storage: float = 20_000.0
    """MB/s for all together."""
    client: float = 800.0
    """MB/s for one worker."""
    slow: float = 0.02
    """Share of the workers that take four times as long."""
    hours_between_deaths: float = 48.0
    away: float = 300.0
    """Seconds until a dead worker is back."""
    resume: bool = True
    """Frames that a dead worker finished are kept; False: the whole task is done again."""
    seed: int = 1
    costs: Costs = field(default_factory=Costs)


@dataclass
class Shot:
    """What is left of a shot before its next step can begin."""

    left: int
    step: str = "track"


@dataclass
class Task:
    """A step of a shot; for `swap` a chunk, `kept` of whose frames are there."""

    shot: Shot
    step: str
    frames: int
    kept: int = 0


@dataclass
class Outcome:
    """Seconds unless said otherwise."""

    makespan: float = 0.0
    busy: float = 0.0
    """Of all workers, tasks and their start."""
    useful: float = 0.0
    """Of that, what the frames' work takes by itself."""
    tasks: int = 0
    repeated: int = 0
    """Frames that were rendered again."""
    tail: float = 0.0
    """From the last chunk that was handed out to the end: workers stand idle."""
    starved: float = 0.0
    """Share of the frames' time that the storage was waited for."""


class Run:
    """One simulation."""

    def __init__(self, farm: Farm) -> None:
        self.farm, self.costs = farm, farm.costs
        self.random = random.Random(farm.seed)
        self.world = simpy.Environment()
        self.queue: simpy.PriorityStore = simpy.PriorityStore(self.world)
        self.desk = simpy.Resource(self.world, capacity=1)
        self.running = 0
        self.done_frames, self.last_chunk = 0, 0.0
        self.number = 0
        self.waited = self.worked = 0.0
        self.out = Outcome()
        self.shots = -(-farm.frames // farm.shot)
        self.shots_frames = self.shots * farm.shot
        self.finished = self.world.event()

    def result(self) -> Outcome:
        """Simulate until the last shot is signed."""
        for _ in range(self.shots):
            self.put(Task(Shot(1), "track", self.farm.shot), last=True)
        for index in range(self.farm.workers):
            slow = index < round(self.farm.slow * self.farm.workers)
            self.world.process(self.worker(4.0 if slow else 1.0))
        self.world.run(until=self.finished)
        if self.done_frames != self.shots_frames:
            raise RuntimeError(f"{self.done_frames} of {self.shots_frames} frames were rendered")
        self.out.makespan = self.world.now
        self.out.tail = self.world.now - self.last_chunk
        self.out.starved = self.waited / max(self.worked + self.waited, 1e-9)
        return self.out

    def put(self, task: Task, *, last: bool = False) -> None:
        """Steps of shots that have begun come before new shots."""
        self.number += 1
        self.queue.put(simpy.PriorityItem((last, self.number), task))

    def worker(self, slowness: float) -> Generator[Any, Any, None]:
        """Take a task, do it, die now and then."""
        farm, costs = self.farm, self.costs
        dies = self.random.expovariate(1 / (farm.hours_between_deaths * 3600))
        while True:
            task: Task = (yield self.queue.get()).item
            with self.desk.request() as turn:
                yield turn
                yield self.world.timeout(1 / farm.rate)
            self.out.tasks += 1
            self.running += 1
            start = self.world.now
            if task.step == "swap":
                self.last_chunk = start
            opening = farm.begin + costs.task * slowness + task.kept * costs.kept
            each, wait = self.frame(task, slowness)
            whole = opening + each * (task.frames - task.kept)
            if start + whole < dies:
                yield self.world.timeout(whole)
                self.running -= 1
                self.account(whole, each - wait, wait, task.frames - task.kept)
                self.complete(task)
                continue
            lived = max(dies - start, 0.0)
            yield self.world.timeout(lived)
            self.running -= 1
            made = min(int(max(lived - opening, 0.0) / each), task.frames - task.kept)
            self.account(lived, each - wait, wait, made)
            if task.step == "swap" and farm.resume:
                self.progress(made)
                task.kept += made
            else:
                self.out.repeated += made if task.step == "swap" else 0
            self.put(task)
            yield self.world.timeout(farm.away)
            dies = self.world.now + self.random.expovariate(1 / (farm.hours_between_deaths * 3600))

    def frame(self, task: Task, slowness: float) -> tuple[float, float]:
        """A frame's seconds as things are now, and how many of them wait for the storage.

        Reading and writing run beside the work, so that the slower of both counts.
        """
        work = {"swap": self.costs.swap, "track": self.costs.track, "measure": self.costs.measure, "finalise": 0.01}
        amount = {"swap": self.costs.frame_mb, "finalise": 0.0}.get(task.step, self.costs.glance_mb)
        # The mean of a chunk's frames varies less than one frame.
        spread = self.costs.spread / max(task.frames, 1) ** 0.5
        seconds = work[task.step] * slowness * self.random.lognormvariate(0.0, spread)
        share = min(self.farm.client, self.farm.storage / max(self.running, 1))
        return max(seconds, amount / share), max(amount / share - seconds, 0.0)

    def account(self, busy: float, work: float, wait: float, frames: int) -> None:
        """Add a task's time."""
        self.out.busy += busy
        self.out.useful += work * frames
        self.worked += work * frames
        self.waited += wait * frames

    def progress(self, frames: int) -> None:
        """So many frames more are whole."""
        self.done_frames += frames

    def complete(self, task: Task) -> None:
        """What a finished task makes possible."""
        shot = task.shot
        if task.step == "swap":
            self.progress(task.frames - task.kept)
        shot.left -= 1
        if shot.left:
            return
        following = {"track": "measure", "measure": "swap", "swap": "finalise"}.get(task.step)
        if following is None:
            self.shots -= 1
            if not self.shots:
                self.finished.succeed()
            return
        size, frames = self.farm.chunk if following == "swap" else self.farm.shot, self.farm.shot
        chunks = [min(size, frames - first) for first in range(0, frames, size)]
        shot.left = len(chunks)
        for count in chunks:
            self.put(Task(shot, following, count))


def simulate(farm: Farm) -> Outcome:
    """Simulate a farm; the same farm gives the same outcome."""
    return Run(farm).result()


def row(farm: Farm) -> str:
    """A line of the table."""
    out = simulate(farm)
    hours = out.makespan / 3600
    return (
        f"| {farm.workers} | {farm.frames} | {farm.chunk} | {hours:.2f} | {out.busy / 3600:.0f} "
        f"| {100 * out.useful / out.busy:.0f} % | {100 * out.starved:.0f} % | {out.tail / 60:.0f} | {out.tasks} |"
    )


HEAD = (
    "| workers | frames | chunk | hours | worker hours | of that frames' own work | waiting for storage"
    " | after the last chunk was begun, minutes | tasks |\n|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Print a row for each chunk size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--workers", type=int, default=Farm.workers)
    parser.add_argument("--frames", type=int, default=Farm.frames)
    parser.add_argument("--shot", type=int, default=Farm.shot)
    parser.add_argument("--chunks", default="1,2,5,10,20,50,100,200")
    parser.add_argument("--storage", type=float, default=Farm.storage, help="MB/s for all together")
    parser.add_argument("--rate", type=float, default=Farm.rate, help="tasks that the engine hands out in a second")
    parser.add_argument("--no-resume", action="store_true", help="a task that died is done again whole")
    given = parser.parse_args()
    farm = Farm(workers=given.workers, frames=given.frames, shot=given.shot, storage=given.storage, rate=given.rate,
                resume=not given.no_resume)  # fmt: skip
    print(HEAD)
    for chunk in given.chunks.split(","):
        print(row(replace(farm, chunk=int(chunk))), flush=True)


if __name__ == "__main__":
    main()
