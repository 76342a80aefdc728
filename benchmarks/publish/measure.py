# ruff: noqa: T201 - a command prints
"""What a publish costs beside the render of the same frames: docs/publish.md.

    python benchmarks/publish/measure.py WORK_FOLDER --frames 1000 --layers comp

The plate is the shipped demo's, its frames played forth and back until there are enough of them. Render, first
publish, and publish with a QC report run one after the other in processes of their own; CPU time and wall time are
those of the processes. Rendering includes tracking and measuring, as it does on one machine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo"
FIRST, LAST = 1003, 1013


def main() -> None:
    """Measure, and print one JSON object."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--frames", type=int, default=1000)
    arguments.add_argument("--layers", choices=["comp", "ingredients"], default="comp")
    given = arguments.parse_args()
    folder: Path = given.folder
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "plate").mkdir(parents=True)
    source = [*range(FIRST, LAST + 1), *range(LAST - 1, FIRST, -1)]
    for at in range(given.frames):
        os.link(_copied(folder, source[at % len(source)]), folder / "plate" / f"plate.{1001 + at}.exr")
    job = json.loads((DEMO / "job.json").read_text())
    job |= {name: str(DEMO / job[name]) for name in ("model", "keyring")}
    job |= {"consents": [str(DEMO / path) for path in job["consents"]], "layers": given.layers, "device": "cpu"}
    job |= {"plate": "plate/plate.%04d.exr", "output": "out/out.%04d.exr", "frames": f"1001-{1000 + given.frames}"}
    (folder / "job.json").write_text(json.dumps(job))
    name = str(folder / "job.json")
    said = {"frames": given.frames, "layers": given.layers, "render": _timed("run", name)}
    said["publish"] = _timed("publish", name)
    _report(folder, given.frames)
    said["publish with a QC report"] = _timed("publish", name, "--qc", str(folder / "qc.json"))
    bytes_ = sum(path.stat().st_size for path in (folder / "out").glob("*.exr"))
    said["MB of a frame"] = round(bytes_ / given.frames / 1e6, 2)
    print(json.dumps(said, indent=1))


def _copied(folder: Path, frame: int) -> Path:
    """A demo frame on the disk that is measured."""
    path = folder / f"source.{frame}.exr"
    if not path.exists():
        shutil.copy(DEMO / "plate" / f"plate.{frame}.exr", path)
    return path


def _report(folder: Path, frames: int) -> None:
    """A QC report without an alarm: what it costs to make is not this page's."""
    lines = (folder / "out" / "out.sha256").read_text().splitlines()
    hashes = {name: sha256 for sha256, name in (line.split("  ") for line in lines)}
    entries = [
        {
            "frame": f,
            "sha256": hashes[f"out.{f:04d}.exr"],
            "alarms": [],
            "reasons": [],
            "values": {"flicker": 0.0, "stray": 0.0},
        }
        for f in range(1001, 1001 + frames)
    ]
    report = {"schema": "vfxswap.qc/1", "limits": [{"name": "flicker", "most": 2.0}], "frames": entries}
    (folder / "qc.json").write_text(json.dumps(report))


def _timed(*words: str) -> dict[str, float]:
    """Seconds of a run of vfxswap: on the clock, and of all processors together."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([sys.executable, "-m", "vfxswap", *words], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": round(time.monotonic() - started, 1), "cpu_s": round(processor, 1)}


if __name__ == "__main__":
    main()
