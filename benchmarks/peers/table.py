# ruff: noqa: T201 - a command prints
"""One table of swaps of the same shots by several tools, against the perfect swap.

    python benchmarks/peers/table.py png EXR_DIR PNG_DIR                # what tools that read no EXR are given
    python benchmarks/peers/table.py spent NAME.json -- COMMAND ...     # runs it; notes seconds, CPU, memory
    python benchmarks/peers/table.py score SHOT_DIR NAME=FRAMES_DIR[,NAME.json] ...

FRAMES_DIR holds EXR frames, or the 8-bit sRGB PNG frames that other tools write, numbered as the plate. PNG is turned
into light by the sRGB curve. The plate has to be in the working space, as the rendered shots are.

Columns: seconds and CPU seconds a frame and peak memory of the command; PSNR, HDR-FLIP, flicker (its ratio to the
floor) and IoU as `vfxswap bench quality` has them; of the truth's pixels with a channel above 1, the part still above
1; of the pixels at least 24 pixels from the truth's face, the part with the plate's very bits.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vfxswap import exr
from vfxswap.bench.quality import Request, ShotData, ShotScore, run
from vfxswap.color import ModelSpace
from vfxswap.events import CancelToken, NullSink
from vfxswap.pixels import ModelRgb
from vfxswap.plate import open_plate
from vfxswap.sequence import SequencePath

_AWAY = 24
_COLUMNS = (
    "tool",
    "s/frame",
    "CPU s/frame",
    "memory",
    "PSNR",
    "HDR-FLIP",
    "flicker",
    "IoU",
    "> 1 kept",
    "same bits away",
)


@dataclass(frozen=True)
class Row:
    """A tool: its frames, and what making them cost."""

    name: str
    frames: Path
    spent: Path | None

    @classmethod
    def parse(cls, text: str) -> Row:
        """`NAME=FRAMES_DIR[,NAME.json]`."""
        name, _, rest = text.partition("=")
        frames, _, spent = rest.partition(",")
        return cls(name, Path(frames), Path(spent) if spent else None)


def png(given: argparse.Namespace) -> None:
    """Write a plate as 8-bit sRGB at its own exposure, clipped."""
    plate = open_plate(str(given.source))
    space = ModelSpace(plate.config, 1.0)
    given.target.mkdir(parents=True, exist_ok=True)
    for frame in plate.frames:
        image = plate.read(frame)
        codes = space.encode(plate.working(image, image.display_window)[0])
        path = given.target / f"{image.path.stem}.png"
        if not cv2.imwrite(str(path), np.round(codes[..., ::-1] * 255).astype(np.uint8)):
            raise SystemExit(f"{path}: cannot be written")


def spent(given: argparse.Namespace) -> None:
    """Run a command and note what it cost."""
    started = time.monotonic()
    code = subprocess.run(given.command, check=False).returncode
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cost = {
        "seconds": round(time.monotonic() - started, 3),
        "cpu": round(used.ru_utime + used.ru_stime, 3),
        "mib": round(used.ru_maxrss / 1024),
        "code": code,
    }
    given.file.write_text(json.dumps(cost) + "\n", encoding="utf-8")
    sys.exit(code)


@contextmanager
def as_exr(frames: Path, shot: ShotData) -> Iterator[SequencePath]:
    """The frames as EXR, PNG turned into light."""
    pictures = sorted(frames.glob("*.png"))
    if not pictures:
        yield SequencePath.parse(frames)
        return
    space = ModelSpace(shot.plate.config, 1.0)
    with tempfile.TemporaryDirectory() as folder:
        found = SequencePath.parse(str(frames / f"{_pattern(pictures[0])}.png"))
        for frame in found.frames_on_disk():
            read = cv2.imread(str(found.path(frame)), cv2.IMREAD_COLOR_RGB)
            if read is None:
                raise SystemExit(f"{found.path(frame)}: no PNG that can be read")
            light = space.decode(ModelRgb(read.astype(np.float32) / np.float32(255)))
            planes = dict(zip("RGB", np.moveaxis(light.astype(np.float16), -1, 0), strict=True))
            exr.write_channels(Path(folder) / f"f.{frame:04d}.exr", channels=planes)
        yield SequencePath.parse(str(Path(folder) / "f.%04d.exr"))


def _pattern(path: Path) -> str:
    """`merged.1001` -> `merged.%04d`, `shot_000123` -> `shot_%06d`."""
    digits = len(path.stem) - len(path.stem.rstrip("0123456789"))
    return f"{path.stem[: len(path.stem) - digits]}%0{digits}d"


def kept(shot: ShotData, swapped: SequencePath) -> tuple[float, float]:
    """Parts: of the truth's highlights still above 1; of what lies away from the face with its very bits."""
    bright = still = away = same = 0
    side = 2 * _AWAY + 1
    for frame in sorted(set(shot.frames) & set(swapped.frames_on_disk())):
        truth, plate, result = (
            np.stack([exr.read_channels(path)[0][letter] for letter in "RGB"], axis=-1)
            for path in (shot.truth.path(frame), shot.plate.read(frame).path, swapped.path(frame))
        )
        face = exr.read_channels(shot.matte.path(frame))[0]["truth_face"].astype(np.float32)
        high = (truth > 1).any(axis=-1)
        bright += int(high.sum())
        still += int(((result > 1).any(axis=-1) & high).sum())
        far = cv2.dilate(face, np.ones((side, side), np.uint8)) == 0
        equal = (result.astype(np.float16).view(np.uint16) == plate.astype(np.float16).view(np.uint16)).all(axis=-1)
        away += int(far.sum())
        same += int((equal & far).sum())
    return still / max(bright, 1), same / max(away, 1)


def _scored(shot: ShotData, swapped: SequencePath) -> ShotScore:
    request = Request(shots=(shot.folder,), swapped=(str(swapped),))
    return run(request, sink=NullSink(), cancel=CancelToken()).shots[0]


def score(given: argparse.Namespace) -> None:
    """Print the table."""
    shot = ShotData.load(given.shot)
    print(f"| {' | '.join(_COLUMNS)} |\n{'|---' * len(_COLUMNS)}|")
    for row in map(Row.parse, given.rows):
        with as_exr(row.frames, shot) as swapped:
            found = _scored(shot, swapped).mean
            bright, same = kept(shot, swapped)
            count = len(set(swapped.frames_on_disk()) & set(shot.frames))
        picture = found.rows["swap"]
        cost = ["", "", ""]
        if row.spent is not None:
            told = json.loads(row.spent.read_text(encoding="utf-8"))
            cost = [f"{told['seconds'] / count:.2f}", f"{told['cpu'] / count:.2f}", f"{told['mib']} MiB"]
        cells = [
            *cost,
            f"{picture.psnr_db:.2f} dB",
            "" if picture.flip is None else f"{picture.flip:.3f}",
            "" if found.flicker_ratio is None else f"{found.flicker_ratio:.1f}",
            "" if found.mask.iou is None else f"{found.mask.iou:.3f}",
            f"{100 * bright:.1f} %",
            f"{100 * same:.1f} %",
        ]
        print(f"| {row.name} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Note costs or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    converting = commands.add_parser("png")
    converting.add_argument("source", type=Path)
    converting.add_argument("target", type=Path)
    converting.set_defaults(do=png)
    noting = commands.add_parser("spent")
    noting.add_argument("file", type=Path)
    noting.add_argument("command", nargs=argparse.REMAINDER)
    noting.set_defaults(do=spent)
    scoring = commands.add_parser("score")
    scoring.add_argument("shot", type=Path)
    scoring.add_argument("rows", nargs="+")
    scoring.set_defaults(do=score)
    given = parser.parse_args()
    if getattr(given, "command", [])[:1] == ["--"]:
        given.command = given.command[1:]
    given.do(given)


if __name__ == "__main__":
    main()
