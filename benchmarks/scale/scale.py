# ruff: noqa: T201 - a command prints
"""Long shots, many faces, large frames, many jobs: docs/scale.md.

    python benchmarks/scale/scale.py long FOLDER [--frames 10000] [--tracked 1000] [--size 128] [--layers comp]
    python benchmarks/scale/scale.py whole FOLDER [--frames 10000] [--size 128] [--fast]
    python benchmarks/scale/scale.py faces FOLDER DATA [--count 20] [--frames 24]
    python benchmarks/scale/scale.py large FOLDER [--frames 3]
    python benchmarks/scale/scale.py jobs FOLDER [--count 100]

Each works in a new folder, runs the commands as installed, and prints one JSON object; `--json FILE` keeps it. `DATA`
is a folder of rendered performers, `NAME/*.exr` with a face in each (the first frames are composed side by side).
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.modules["tests"] = types.ModuleType("tests")
sys.modules["tests"].__path__ = [str(Path(__file__).resolve().parents[2] / "tests")]

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from watched import COMMAND, Taken, resident, watched  # noqa: E402

from tests import support  # noqa: E402
from tests.cli.facesets import trusted  # noqa: E402

Found = dict[str, Any]
CYCLE = 25
"""Different frames that a long shot repeats."""


class Place:
    """A folder with keys, consents and the hand-built model, which costs nothing: what is left is vfxswap's."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True)
        self.root = root
        os.environ["XDG_CONFIG_HOME"] = str(root / "config")
        self.studio = support.Studio.make(root / "studio")
        self.trust = (*trusted(self.studio), "--device", "cpu")
        self.model = self.studio.model()

    def swap(self, plate: object, *more: object) -> tuple[object, ...]:
        """The arguments of a swap into `out`."""
        return (
            "swap",
            plate,
            "--model",
            self.model,
            "--output",
            self.root / "out" / "out.####.exr",
            *self.trust,
            *more,
        )


def brief(taken: Taken, *stages: str) -> Found:
    """What is printed of a command."""
    found: Found = {
        "code": taken.code,
        "seconds": round(taken.seconds, 2),
        "cpu": round(taken.cpu, 2),
        "peak MiB": round(taken.peak),
    }
    if taken.code and taken.code != -9:
        found["said"] = taken.said
    for stage in stages:
        if stage in taken.marks:
            early, most = taken.memory(stage)
            found[f"{stage}: MiB after a tenth, at most"] = [round(early), round(most)]
            found[f"{stage}: seconds of each tenth"] = [round(part, 2) for part in taken.thousands(stage)]
    return found


# --------------------------------------------------------------------------------------------------- long


def long(root: Path, *, frames: int, size: int, tracked: int, layers: str) -> Found:
    """Track, measure, swap, killed in the middle and gone on, again, verify; sizes of what is left.

    The first `tracked` frames are tracked and measured; beyond them, where the plate repeats itself, so do they.
    """
    place = Place(root)
    repeat(root / "plate", frames=frames, size=size)
    plate, track, shot = root / "plate" / "shot.#####.exr", root / "t.vfxtrack", root / "m.vfxshot"
    found: Found = {"frames": frames, "size": size, "tracked": tracked, "layers": layers}
    some = ("--frames", f"1-{tracked}")
    found["track"] = brief(watched(("track", plate, *some, "--output", track)), "track")
    given = ("measure", plate, *some, "--track", track, "--model", place.model, "--output", shot, *place.trust)
    found["measure"] = brief(watched(given), "measure")
    found["sizes"] = {"track": track.stat().st_size / tracked, "measurements": shot.stat().st_size / tracked}
    repeat_tracks(track, shot, frames=frames, tracked=tracked)
    more = ("--track", track, "--measurements", shot, "--layers", layers, *place.trust)
    out = root / "out" / "out.#####.exr"
    swap = ("swap", plate, "--model", place.model, "--output", out, *more)
    found["swap, killed in the middle"] = brief(watched(swap, stop_at=("swap", frames // 2)), "swap")
    found["swap, gone on"] = brief(watched(swap), "swap")
    found["swap, all there"] = brief(watched(swap), "swap")
    found["verify"] = brief(watched(("provenance", "verify", out.parent), events=False))
    found["sizes"] |= sizes(root, frames)
    return found


# -------------------------------------------------------------------------------------------------- whole


def whole(root: Path, *, frames: int, size: int, fast: bool) -> Found:
    """Track and measure all frames in one go, each killed in the middle first: memory and time as frames go by."""
    place = Place(root)
    repeat(root / "plate", frames=frames, size=size)
    plate, track, shot = root / "plate" / "shot.#####.exr", root / "t.vfxtrack", root / "m.vfxshot"
    found: Found = {"frames": frames, "size": size, "fast": fast}
    commands = {
        "track": ("track", plate, "--output", track, *(("--fast",) if fast else ())),
        "measure": ("measure", plate, "--track", track, "--model", place.model, "--output", shot, *place.trust),
    }
    for stage, command in commands.items():
        before = frames if stage == "measure" else 0  # it looks at every frame twice, the second time for longer
        stopped = watched(command, stop_at=(stage, before + frames // 2))
        left = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and _ours(path, root))
        for name, taken in ((f"{stage}, killed in the middle", stopped), (stage, watched(command))):
            found[name] = grown(taken, stage, before=before, frames=frames)
            print(json.dumps({name: found[name]}), flush=True)
        found[f"{stage}, killed in the middle"]["left"] = left
    found["bytes"] = {"track": track.stat().st_size, "measurements": shot.stat().st_size}
    return found


def _ours(path: Path, root: Path) -> bool:
    return path.relative_to(root).parts[0] not in ("plate", "studio", "config") and path.suffix != ".vfxmodel"


def grown(taken: Taken, stage: str, *, before: int, frames: int) -> Found:
    """Memory and CPU of a command as the frames of a stage go by, once `before` steps of it are done."""
    found = brief(taken)
    last, done, _ = taken.marks[stage][-1]
    looks = [count for count in (frames // 10, frames // 2, frames) if before + count <= done]
    edges = [frames * part // 10 for part in range(11) if before + frames * part // 10 <= done]
    times = [taken.when(stage, before + edge) for edge in edges]
    found["first frame done after"] = round(taken.when(stage, before + 1), 2)
    found["peak MiB up to frame"] = {n: round(taken.peak_until(taken.when(stage, before + n))) for n in looks}
    found["CPU ms a frame of each tenth"] = [
        round(1e4 * taken.cpu_between(a, b) / frames, 2) for a, b in itertools.pairwise(times)
    ]
    found["after the last frame"] = {
        "seconds": round(taken.seconds - last, 2),
        "peak MiB": round(max((size for t, size in taken.held if t >= last), default=0)),
    }
    return found


def repeat_tracks(track: Path, shot: Path, *, frames: int, tracked: int) -> None:
    """What is known of the first frames, for all."""
    from vfxswap import measure
    from vfxswap.face import track as tracks

    def every(known: Any) -> Any:
        return {f: known[(f - 1) % tracked + 1] for f in range(1, frames + 1) if (f - 1) % tracked + 1 in known}

    seen, found = tracks.load(track), measure.load(shot)
    replace(seen, frames=every(seen.frames)).save(track)
    known = {name: every(getattr(found, name)) for name in ("relight", "curve", "match", "detail")}
    replace(found, **known).save(shot)


def repeat(folder: Path, *, frames: int, size: int) -> None:
    """A face that sways, as CYCLE files under as many names as frames are wanted."""
    folder.mkdir()
    shifts = np.abs(np.arange(CYCLE) - CYCLE // 2)  # forth and back, so that the end fits the beginning
    for i, shift in enumerate(shifts):
        support.write_frame(folder / f".{i}.exr", support.astronaut(size, shift=1.25 * float(shift)))
    for frame in range(1, frames + 1):
        os.link(folder / f".{frame % CYCLE}.exr", folder / f"shot.{frame:05d}.exr")


def sizes(root: Path, frames: int) -> Found:
    """Bytes a frame of what a shot leaves beside its pictures."""
    kinds = {
        "shards": [*(root / "out" / ".vfxswap").rglob("[0-9]*.json")],
        "manifest": [*root.glob("out/*.provenance.json")],
        "hash list": [*root.glob("out/*.sha256")],
        "pictures": [*root.glob("out/*.exr")],
    }
    return {
        f"{kind}, bytes a frame": round(sum(path.stat().st_size for path in paths if path.exists()) / frames)
        for kind, paths in kinds.items()
    }


# -------------------------------------------------------------------------------------------------- faces


def faces(root: Path, data: Path, *, count: int, frames: int) -> Found:
    """Faces side by side, each swaying in its own way: how many are found, how they keep their names, two swapped."""
    place, folder = Place(root), root / "plate"
    folder.mkdir()
    tiles = [tile for tile in (_tile(path) for path in _pictures(data, count)) if tile is not None]
    columns, side = 5, 288
    rows = -(-count // columns)
    centers = [((i % columns + 0.5) * side, (i // columns + 0.5) * side) for i in range(len(tiles))]
    for frame in range(frames):
        canvas = np.full((rows * side, columns * side, 3), 0.02, np.float32)
        for i, tile in enumerate(tiles):
            x, y = (6 * np.sin(2 * np.pi * frame / frames * (1 + i % 3) + i), 4 * np.cos(frame / 4 + i))
            moved = cv2.warpAffine(
                tile, np.array([[1, 0, x], [0, 1, y]]), (side, side), borderMode=cv2.BORDER_REPLICATE
            )
            top, left = i // columns * side, i % columns * side
            canvas[top : top + side, left : left + side] = moved
        support.write_frame(folder / f"shot.{1001 + frame}.exr", canvas, frame=1001 + frame)
    plate, track = folder / "shot.####.exr", root / "t.vfxtrack"
    found: Found = {"faces": len(tiles), "frames": frames, "size": [columns * side, rows * side]}
    found["track"] = brief(watched(("track", plate, "--output", track)), "track")
    said = root / "t.json"
    watched(("track", "export", track, "--to", "json", "--output", said), events=False)
    found["identities"] = identities(json.loads(said.read_text()), centers, side)
    one = (*place.swap(plate, "--track", track), "--face", 0)
    found["swap of one"] = brief(watched(one), "swap")
    many = [part for i in range(5) for part in ("--model", place.model, "--face", f"{centers[i][0]},{centers[i][1]}")]
    five = ("swap", plate, *many, "--output", root / "five" / "out.####.exr", "--track", track, *place.trust)
    found["swap of five"] = brief(watched(five), "swap")
    return found


def _pictures(data: Path, count: int) -> list[Path]:
    """Pictures of the performers in turns."""
    each = [sorted(p for p in folder.glob("*.exr") if "matte" not in p.name) for folder in sorted(data.iterdir())]
    return [path for row in zip(*each, strict=False) for path in row][:count]


def _tile(path: Path) -> Any:
    from vfxswap import exr

    return np.asarray(exr.read(path).rgb, np.float32)


def identities(track: Found, centers: list[tuple[float, float]], side: int) -> Found:
    """How many of the tiles were followed by one face through all frames, and how many faces there are in all."""
    seen: dict[int, list[int]] = {i: [] for i in range(len(centers))}
    every = set()
    for frame in track["frames"].values():
        for face in frame["faces"]:
            x0, y0, x1, y1 = face["box"]
            x, y = (x0 + x1) / 2, (y0 + y1) / 2
            at = min(seen, key=lambda i: (centers[i][0] - x) ** 2 + (centers[i][1] - y) ** 2)
            every.add(face["id"])
            if abs(centers[at][0] - x) < side / 2 and abs(centers[at][1] - y) < side / 2:
                seen[at].append(face["id"])
    whole = [i for i, ids in seen.items() if len(ids) == len(track["frames"]) and len(set(ids)) == 1]
    return {
        "followed through all frames by one id": len(whole),
        "tiles of": len(centers),
        "ids in all": len(every),
        "with a gap or two ids": {str(i): [len(ids), len(set(ids))] for i, ids in seen.items() if i not in whole},
    }


# -------------------------------------------------------------------------------------------------- large


def large(root: Path, *, frames: int) -> Found:
    """The same picture at 1080p, UHD and 8K, the face as high in each: seconds and memory of a frame's swap."""
    place, found = Place(root), {}
    for name, width, height in (("1080p", 1920, 1080), ("UHD", 3840, 2160), ("8K", 7680, 4320)):
        folder = root / name
        folder.mkdir()
        side = height // 2
        picture = np.full((height, width, 3), 0.18, np.float32)
        noise = np.random.default_rng(1).normal(0, 0.01, (height, width, 1)).astype(np.float32)
        for i in range(frames):
            canvas = picture + noise
            left = (width - side) // 2 + 2 * i
            canvas[side // 2 : side // 2 + side, left : left + side] = support.astronaut(side)
            support.write_frame(folder / f"shot.{1001 + i}.exr", canvas, frame=1001 + i)
        plate, track, out = folder / "shot.####.exr", folder / "t.vfxtrack", folder / "out"
        raw = width * height * 6 / 2**20
        swap = ("swap", plate, "--model", place.model, "--track", track, *place.trust, "--no-sign")
        found[name] = {
            "MiB of a frame's pixels": round(raw),
            "track": brief(watched(("track", plate, "--output", track))),
            "comp": brief(watched((*swap, "--output", out / "comp.####.exr"))),
            "patch": brief(watched((*swap, "--output", out / "patch.####.exr", "--layers", "patch"))),
        }
        comp = found[name]["comp"]
        comp["peak over a frame's pixels"] = round(comp["peak MiB"] / raw, 1)
        comp["CPU ms a megapixel"] = round(1e3 * comp["cpu"] / frames / (width * height / 1e6), 1)
    return found


# --------------------------------------------------------------------------------------------------- jobs


def jobs(root: Path, *, count: int) -> Found:
    """Job after job in one worker, and as many submitted to a farm."""
    place = Place(root)
    plate = support.write_plate(root / "plate", frames=3, size=192)
    files = []
    for i in range(count):
        files.append(root / "jobs" / f"{i:03d}.json")
        support.job(place.studio, plate, root / "out" / f"{i:03d}").save(files[-1])
    held, seconds = _served(files)
    begun, times = time.monotonic(), []
    for file in files:
        taken = watched(("farm", "submit", file, "--to", "openjd"), events=False)
        times.append(taken.seconds)
        if taken.code:
            raise SystemExit(taken.said)
    tenth = max(1, count // 10)
    return {
        "jobs": count,
        "MiB held after the first, a tenth, all": [round(held[0]), round(held[tenth - 1]), round(held[-1])],
        "seconds a job, first tenth and last": [
            round(statistics.median(part), 3) for part in (seconds[1 : tenth + 1], seconds[-tenth:])
        ],
        "open files after the first and all": list(_files),
        "submitted": {"seconds": round(time.monotonic() - begun, 1), "median": round(statistics.median(times), 2)},
    }


_files: list[int] = []


def _served(files: list[Path]) -> tuple[list[float], list[float]]:
    """MiB held, and seconds, after each job of one worker."""
    worker = subprocess.Popen(
        [*COMMAND, "run", "--serve", "--events", "-"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1,
    )  # fmt: skip
    if worker.stdin is None or worker.stdout is None:
        raise SystemExit("no pipes")
    held, seconds = [], []
    for file in files:
        begun = time.monotonic()
        worker.stdin.write(json.dumps({"id": file.stem, "job": str(file)}) + "\n")
        for line in worker.stdout:
            event = json.loads(line)
            if event["event"] == "finished":
                if event["code"]:
                    raise SystemExit(f"{file} ended with {event['code']}")
                break
        seconds.append(time.monotonic() - begun)
        held.append(resident(worker.pid))
        if len(held) in (1, len(files)):
            _files.append(len(list(Path(f"/proc/{worker.pid}/fd").iterdir())))
    worker.stdin.close()
    worker.wait()
    return held, seconds


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["long", "whole", "faces", "large", "jobs"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--frames", type=int)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--tracked", type=int, default=1000)
    parser.add_argument("--layers", default="comp")
    parser.add_argument("--count", type=int)
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    root = given.folder.resolve()
    if given.what == "long":
        found = long(root, frames=given.frames or 10_000, size=given.size, tracked=given.tracked, layers=given.layers)
    elif given.what == "whole":
        found = whole(root, frames=given.frames or 10_000, size=given.size, fast=given.fast)
    elif given.what == "faces":
        found = faces(root, given.data, count=given.count or 20, frames=given.frames or 24)
    elif given.what == "large":
        found = large(root, frames=given.frames or 3)
    else:
        found = jobs(root, count=given.count or 100)
    text = json.dumps(found, indent=1)
    print(text)
    if given.json is not None:
        given.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
