# ruff: noqa: T201 - a command prints
"""What would it cost to read plates in a child process, so that a decoder crash cannot take a farm worker with it?

    python benchmarks/exr_reading/guard_cost.py [--rounds 15]

Compares, in turns within one run: reading in this process; reading in a child that hands the pixels over in shared
memory (a ring of blocks that the child touches before, so that no page is new while measuring); and reading in this
process after naming the frame in a small file. Prints medians over the rounds and the median of the ratio within each
round, of the clock on the wall and of CPU time, which for the child is that of both processes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import cv2
import numpy as np

from vfxswap import exr
from vfxswap.pixels import AnyArray

RING = 4
"""Frames in flight: one read ahead, one worked on, one written behind, one spare."""


def serve(pipe: Connection, names: list[str]) -> None:
    """The child: a path comes in, pixels go into the next block, their shape and type go out."""
    blocks = [SharedMemory(name) for name in names]
    for block in blocks:
        np.ndarray(block.size, np.uint8, block.buf)[::4096] = 0  # every page is there before anything is measured
    pipe.send("ready")
    turn = 0
    while path := pipe.recv():
        begun = time.process_time()
        frame = exr.read(path)
        block, at, shapes = blocks[turn % RING], 0, []
        for part in frame.pixels:
            if part is not None:
                np.ndarray(part.shape, part.dtype, block.buf, at)[...] = part
                shapes.append((at, part.shape, part.dtype.str))
                at += part.nbytes
        pipe.send((turn % RING, shapes, frame.info, time.process_time() - begun))
        turn += 1
    for block in blocks:
        block.close()


class Guarded:
    """A reading child of this process."""

    def __init__(self, size: int) -> None:
        begun = time.perf_counter()
        self._blocks = [SharedMemory(create=True, size=size) for _ in range(RING)]
        self._pipe, far = multiprocessing.Pipe()
        spawn = multiprocessing.get_context("spawn")
        self._child = spawn.Process(target=serve, args=(far, [block.name for block in self._blocks]), daemon=True)
        self._child.start()
        self._pipe.recv()
        self.start_s = time.perf_counter() - begun
        self.child_cpu: list[float] = []

    def read(self, path: Path) -> list[AnyArray]:
        """The parts' pixels as views of a block, and the headers parsed here too, for writing later."""
        self._pipe.send(path)
        turn, shapes, _, cpu = self._pipe.recv()
        self.child_cpu.append(cpu)
        exr.probe(path)
        return [np.ndarray(shape, kind, self._blocks[turn].buf, at) for at, shape, kind in shapes]

    def close(self) -> None:
        """End the child and free the blocks."""
        self._pipe.send(None)
        self._child.join()
        for block in self._blocks:
            block.close()
            block.unlink()


@dataclass(frozen=True)
class Times:
    """Seconds of each way, per round."""

    wall: dict[str, list[float]]
    cpu: dict[str, list[float]]


def in_turns(ways: dict[str, Callable[[], object]], rounds: int) -> Times:
    """Each way once per round, after two rounds that do not count."""
    found = Times({name: [] for name in ways}, {name: [] for name in ways})
    for turn in range(-2, rounds):
        for name, way in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            way()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            if turn >= 0:
                found.wall[name].append(wall)
                found.cpu[name].append(cpu)
    return found


def picture(width: int, height: int) -> AnyArray:
    """(height, width, 3) half: smooth colours with the grain of a well exposed digital camera."""
    rng = np.random.default_rng(0)
    small = rng.gamma(2.0, 0.09, (height // 40, width // 40, 3)).astype(np.float32)
    large = np.maximum(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), 0.0)
    grain = rng.standard_normal(large.shape, np.float32)
    return np.asarray(large + 0.0064 * np.sqrt(large) * grain, np.float16)


def _words(own: list[float], other: list[float]) -> str:
    ratio = statistics.median(a / b for a, b in zip(own, other, strict=True))
    more = statistics.median(a - b for a, b in zip(own, other, strict=True))
    return f"{1e3 * statistics.median(own):6.1f} ms x{ratio:.2f} {1e3 * more:+6.2f} ms"


def measure(label: str, size: tuple[int, int], folder: Path, rounds: int) -> None:
    """One picture size."""
    half = picture(*size)
    path = folder / f"{label}.exr"
    exr.write_channels(path, channels={name: np.ascontiguousarray(half[..., i]) for i, name in enumerate("RGB")})
    frame = exr.read(path)
    guard = Guarded(sum(part.nbytes for part in frame.pixels if part is not None))
    note = folder / "reading.json"

    def noted() -> exr.Frame:
        note.write_text(f'{{"frame": 1001, "pid": {os.getpid()}}}')
        found = exr.read(path)
        note.unlink()
        return found

    first = guard.read(path)
    if first[0].tobytes() != frame.selected_pixels().tobytes():
        raise SystemExit("the child's pixels are others")
    ways = {"in process": lambda: exr.read(path), "child": lambda: guard.read(path), "note": noted}
    begun = len(guard.child_cpu)
    times = in_turns(ways, rounds)
    # The two warming rounds come first in the child's own list too.
    times.cpu["child"] = [a + b for a, b in zip(times.cpu["child"], guard.child_cpu[begun + 2 :], strict=True)]
    print(f"{label} {size[0]}x{size[1]} half RGB zip, {path.stat().st_size >> 20} MB")
    for name in ways:
        wall, cpu = times.wall[name], times.cpu[name]
        print(
            f"  {name:10s} wall {_words(wall, times.wall['in process'])}   cpu {_words(cpu, times.cpu['in process'])}"
        )
    del first
    guard.close()
    print(f"  start of the child: {guard.start_s:.2f} s")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} cores, medians of {args.rounds} rounds in turns")
    with tempfile.TemporaryDirectory() as name:
        for label, size in (("1080p", (1920, 1080)), ("UHD", (3840, 2160))):
            measure(label, size, Path(name), args.rounds)


if __name__ == "__main__":
    main()
