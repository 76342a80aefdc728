# ruff: noqa: T201 - a command prints
"""Does a damaged EXR bring the reading process down? Mutate good files and read each in a child.

    python benchmarks/exr_reading/fuzz.py --minutes 12 --output /tmp/fuzz
    python benchmarks/exr_reading/fuzz.py --output /tmp/fuzz --only 4711      (one mutation again, with its outcome)

Mutation number i of a seed is always the same bytes, so a finding is named by two numbers. The child writes the
number of the file it is about to read into shared memory; when it dies, hangs or grows too large the parent knows
which file did it, keeps that file, and starts a new child behind it. Needs the test-only package OpenEXR, which makes
the good files, and Linux.

Outcomes: `refused` (a VfxSwapError of one line), `read`, and the bad ones: `crash` (the process died), `hang` (more
than 10 s), `memory` (more than 4 GB resident), `escaped` (another exception than VfxSwapError), `unstable` (read, but
the picture holds memory that the file does not define: two reads differ).
"""

from __future__ import annotations

import argparse
import collections
import ctypes
import json
import mmap
import os
import platform
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

HANG_S = 10.0
MEMORY_BYTES = 4 << 30
_M_PERTURB = -6
"""mallopt: fill fresh memory with a byte of choice (glibc)."""
_SMALL_BYTES = 64 << 20
"""Larger pictures are not compared: filling the memory that they claim would cost more than reading them."""
_NOTE = struct.Struct("<qd")
_NAMES = (
    "NO", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "B44", "B44A", "DWAA", "DWAB", "HTJ2K32", "HTJ2K256", "LJ2K", "ZSTD",
)  # fmt: skip

# ------------------------------------------------------------------------------------------- good files


def make_seeds(folder: Path, width: int, height: int) -> None:
    """Good files of every kind: compressions, storage, channel formats, parts, views, deep, levels."""
    import OpenEXR

    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)

    def plane(kind: str) -> Any:
        if kind == "uint":
            return ((x // 9).astype(np.uint32) << 20) + (y // 7).astype(np.uint32)
        smooth = 0.4 + 0.3 * np.sin(x / 7) * np.cos(y / 5) + 0.02 * rng.standard_normal(x.shape, np.float32)
        return smooth.astype(np.float16 if kind == "half" else np.float32)

    def header(compression: str, storage: Any) -> dict[str, Any]:
        tiles = OpenEXR.TileDescription()
        tiles.xSize, tiles.ySize = 16, 16
        head = {"compression": getattr(OpenEXR, f"{compression}_COMPRESSION"), "type": storage}
        return head | ({"tiles": tiles} if storage in (OpenEXR.tiledimage, OpenEXR.deeptile) else {})

    def deep(kind: type[np.generic]) -> Any:
        column = np.empty((height, width), object)
        for at in np.ndindex(column.shape):
            column[at] = np.linspace(0, 1, 1 + sum(at) % 3).astype(kind)
        return column

    rgb = dict.fromkeys("RGB", "half")
    kinds: dict[str, dict[str, str]] = {
        "half": {**rgb, "A": "half"},
        "float": dict.fromkeys("RGB", "float"),
        "mixed": {**rgb, "Z": "float"},
    }
    for compression in _NAMES:
        for storage, word in ((OpenEXR.scanlineimage, "scan"), (OpenEXR.tiledimage, "tile")):
            for kind, channels in kinds.items():
                path = folder / f"{compression.lower()}_{word}_{kind}.exr"
                pixels = {name: plane(format_) for name, format_ in channels.items()}
                OpenEXR.File(header(compression, storage), pixels).write(str(path))
        if compression != "LJ2K":
            pieces = ({name: plane("half") for name in "RGB"}, {"id": plane("uint")})
            OpenEXR.File(
                [
                    OpenEXR.Part(header(compression, OpenEXR.scanlineimage) | {"name": name}, pixels, name)
                    for name, pixels in zip(("rgb", "ids"), pieces, strict=True)
                ]
            ).write(str(folder / f"{compression.lower()}_uint_part.exr"))
    for compression in ("NO", "RLE", "ZIPS", "ZSTD"):
        for storage, word in ((OpenEXR.deepscanline, "scan"), (OpenEXR.deeptile, "tile")):
            pixels = {**{name: deep(np.float16) for name in "RGBA"}, "Z": deep(np.float32)}
            OpenEXR.File(header(compression, storage), pixels).write(
                str(folder / f"deep_{compression.lower()}_{word}.exr")
            )
    rich = {
        "timeCode": OpenEXR.TimeCode(),
        "keyCode": OpenEXR.KeyCode(),
        "chromaticities": (0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.32168, 0.33767),
        "framesPerSecond": Fraction(24000, 1001),
        "worldToCamera": np.eye(4, dtype=np.float32),
        "preview": OpenEXR.PreviewImage(8, 6),
        "names": ["left", "right"],
        "multiView": ["right", "left"],
        "camera": "A",
    }
    channels = {**{name: plane("half") for name in "RGB"}, **{f"left.{name}": plane("half") for name in "RGB"}}
    OpenEXR.File(header("ZIP", OpenEXR.scanlineimage) | rich, channels).write(str(folder / "rich.exr"))
    parts = []
    for name, compression, storage, kind in (
        ("rgba.left", "ZIP", OpenEXR.scanlineimage, "half"),
        ("rgba.right", "PIZ", OpenEXR.tiledimage, "half"),
        ("depth.left", "ZIPS", OpenEXR.scanlineimage, "float"),
        ("diffuse.left", "HTJ2K32", OpenEXR.scanlineimage, "mixed"),
    ):
        head = header(compression, storage) | {"name": name, "view": "right" if "right" in name else "left"}
        pixels = {channel: plane(format_) for channel, format_ in kinds[kind].items()}
        parts.append(OpenEXR.Part(head, pixels, name))
    OpenEXR.File(parts).write(str(folder / "parts.exr"))
    for level, word in ((OpenEXR.MIPMAP_LEVELS, "mip"), (OpenEXR.RIPMAP_LEVELS, "rip")):
        head = header("ZIP", OpenEXR.tiledimage)
        head["tiles"].mode = level
        OpenEXR.File(head, {name: plane("half") for name in "RGB"}).write(str(folder / f"{word}.exr"))


# ------------------------------------------------------------------------------------------- mutations


@dataclass(frozen=True)
class Layout:
    """Where things lie in an EXR file: attributes as (name start, value start, value size), chunk table, chunks."""

    attributes: tuple[tuple[int, int, int], ...]
    table: int
    chunks: tuple[int, ...]


def layout_of(data: bytes) -> Layout:
    """The parts of a good file. Source: "OpenEXR File Layout", openexr.com."""
    multipart = bool(data[5] & 0x10)
    at, attributes = 8, []
    while data[at]:
        while data[at]:
            start = at
            at = data.index(0, data.index(0, at) + 1) + 1
            (size,) = struct.unpack_from("<i", data, at)
            attributes.append((start, at + 4, size))
            at += 4 + size
        at += 1
        if not multipart:
            break
    table = at + (1 if multipart else 0)
    (first,) = struct.unpack_from("<Q", data, table)
    count = (first - table) // 8
    return Layout(tuple(attributes), table, struct.unpack_from(f"<{count}Q", data, table))


_NUMBERS = (0, 1, 2, -1, -2, 3, 7, 255, 256, 32767, 65535, 65536, 2**24, 2**30, 2**31 - 1, -(2**31), -(2**31) + 1)


def _number(rng: np.random.Generator) -> bytes:
    pick = int(rng.integers(len(_NUMBERS) + 2))
    value = _NUMBERS[pick] if pick < len(_NUMBERS) else int(rng.integers(-(2 ** (8 * (pick - 15))), 2**20))
    return struct.pack("<i", value)


def _flip(rng: np.random.Generator, data: bytearray, low: int, high: int, most: int) -> None:
    for _ in range(int(rng.integers(1, most + 1))):
        data[int(rng.integers(low, high))] ^= 1 << int(rng.integers(8))


def bits(rng: np.random.Generator, data: bytearray, _: Layout) -> None:
    """Flip bits anywhere."""
    _flip(rng, data, 4, len(data), 32)


def header_bits(rng: np.random.Generator, data: bytearray, where: Layout) -> None:
    """Flip bits in the header."""
    _flip(rng, data, 4, where.table, 4)


def byte_run(rng: np.random.Generator, data: bytearray, _: Layout) -> None:
    """Overwrite a run with zeros, ones, noise or bytes from elsewhere in the file."""
    length = int(rng.integers(1, 400))
    at = int(rng.integers(4, len(data)))
    other = int(rng.integers(4, len(data)))
    fills = (b"\0" * length, b"\xff" * length, rng.bytes(length), bytes(data[other : other + length]))
    run = fills[int(rng.integers(4))][: len(data) - at]
    data[at : at + len(run)] = run


def truncate(rng: np.random.Generator, data: bytearray, where: Layout) -> None:
    """Cut the end off, often just behind the header."""
    low, high = ((4, len(data)), (where.table, len(data)), (len(data) - 64, len(data)))[int(rng.integers(3))]
    del data[int(rng.integers(low, high)) :]


def splice(rng: np.random.Generator, data: bytearray, _: Layout) -> None:
    """Take bytes out or put bytes in, so that everything behind lies elsewhere."""
    at, length = int(rng.integers(8, len(data))), int(rng.integers(1, 64))
    data[at : at + (length if rng.integers(2) else 0)] = rng.bytes(length if rng.integers(2) else 0)


def field(rng: np.random.Generator, data: bytearray, where: Layout) -> None:
    """Put a number at the edge of its range into an attribute's value or size."""
    for _ in range(int(rng.integers(1, 3))):
        _, value, size = where.attributes[int(rng.integers(len(where.attributes)))]
        if rng.integers(5) == 0 or size == 0:
            data[value - 4 : value] = _number(rng)
        elif size < 4:
            data[value] = int(rng.integers(256))
        else:
            at = value + 4 * int(rng.integers(size // 4))
            data[at : at + 4] = _number(rng)


def kind(rng: np.random.Generator, data: bytearray, where: Layout) -> None:
    """Change one byte of a small field (compression, line order, channel list) or of an attribute's name or type."""
    start, value, size = where.attributes[int(rng.integers(len(where.attributes)))]
    low, high = (start, value - 4) if rng.integers(3) == 0 or not size else (value, value + min(size, 80))
    data[int(rng.integers(low, high))] = int(rng.integers(16 if rng.integers(2) else 256))


def table(rng: np.random.Generator, data: bytearray, where: Layout) -> None:
    """Point chunk offsets at nothing, at the header, at each other, or far outside."""
    for _ in range(int(rng.integers(1, 4))):
        at = where.table + 8 * int(rng.integers(len(where.chunks)))
        near = where.chunks[int(rng.integers(len(where.chunks)))]
        values = (0, near, near + 1, near - 1, 8, len(data), len(data) - 4, 2**31, 2**63, 2**64 - 1)
        data[at : at + 8] = struct.pack("<Q", values[int(rng.integers(len(values)))] % 2**64)


def chunk_head(rng: np.random.Generator, data: bytearray, where: Layout) -> None:
    """Damage the first numbers of a chunk: part, line or tile, level, sizes."""
    for _ in range(int(rng.integers(1, 3))):
        at = where.chunks[int(rng.integers(len(where.chunks)))] + 4 * int(rng.integers(8))
        data[at : at + 4] = _number(rng)[: max(len(data) - at, 0)]


def payload(rng: np.random.Generator, data: bytearray, where: Layout) -> None:
    """Damage a chunk's compressed data, mostly its beginning, where codecs keep their tables."""
    at = where.chunks[int(rng.integers(len(where.chunks)))] + 8
    room = min(len(data) - at, 64 if rng.integers(2) else 2000)
    for _ in range(int(rng.integers(1, 5))):
        spot = at + int(rng.integers(room))
        if rng.integers(2):
            data[spot] = int(rng.integers(256))
        else:
            data[spot : spot + 4] = _number(rng)[: len(data) - spot]


MUTATIONS: tuple[Callable[[np.random.Generator, bytearray, Layout], None], ...] = (
    bits, header_bits, byte_run, truncate, splice, field, field, kind, table, chunk_head, payload, payload,
)  # fmt: skip


class Mutator:
    """Mutations by number."""

    def __init__(self, seeds: list[Path], seed: int) -> None:
        self.names = [path.stem for path in seeds]
        self._data = [path.read_bytes() for path in seeds]
        self._layouts = [layout_of(data) for data in self._data]
        self._seed = seed

    def make(self, number: int) -> tuple[bytes, str, str]:
        """The bytes of mutation `number`, the good file's name, and what was done to it."""
        rng = np.random.default_rng((self._seed, number))
        pick = number % len(self._data)
        data, done = bytearray(self._data[pick]), []
        for _ in range(1 if rng.integers(4) else 2):
            mutate = MUTATIONS[int(rng.integers(len(MUTATIONS)))]
            if len(data) == len(self._data[pick]):  # a second one needs the layout to be still true
                mutate(rng, data, self._layouts[pick])
                done.append(mutate.__name__)
        return bytes(data), self.names[pick], "+".join(done)


# ------------------------------------------------------------------------------------------------ child


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def read_one(path: Path) -> tuple[str, str]:
    """The outcome of reading `path` and a word on it."""
    from vfxswap import exr
    from vfxswap.errors import VfxSwapError

    try:
        frame = exr.read(path)
    except VfxSwapError as error:
        return ("refused", type(error).__name__) if "\n" not in str(error) else ("escaped", "two lines")
    except Exception as error:  # noqa: BLE001 - which ones there are is the question
        return "escaped", f"{type(error).__name__}: {error}"[:200]
    return "read", str(sum(part.nbytes for part in frame.pixels if part is not None))


def stable(path: Path) -> bool:
    """Whether a file that can be read gives the same picture whatever was in memory before."""
    from vfxswap import exr
    from vfxswap.errors import VfxSwapError

    libc = ctypes.CDLL(None)
    seen: list[list[bytes | None]] = []
    for fill in (0x11, 0xEE):
        libc.mallopt(_M_PERTURB, fill)
        try:
            seen.append([None if part is None else part.tobytes() for part in exr.read(path).pixels])
        except VfxSwapError:
            return False
        finally:
            libc.mallopt(_M_PERTURB, 0)
    return seen[0] == seen[1]


def child(mutator: Mutator, note: mmap.mmap, first: int, last: int, scratch: Path) -> None:
    """Read mutations first to last-1, one line each to stdout; `note` names the one being read."""
    # Far above the limit that is measured, so that one file cannot take the machine.
    resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in range(first, last):
        data, name, done = mutator.make(number)
        scratch.write_bytes(data)
        _reset_peak()
        note[: _NOTE.size] = _NOTE.pack(number, time.monotonic())
        outcome, detail = read_one(scratch)
        peak = _peak()
        if peak > MEMORY_BYTES:
            outcome, detail = "memory", f"{peak >> 20} MB"
        elif outcome == "read" and int(detail) < _SMALL_BYTES and not stable(scratch):
            outcome = "unstable"
        print(json.dumps([number, outcome, detail, name, done, peak >> 20]), flush=True)


# ----------------------------------------------------------------------------------------------- parent


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * mmap.PAGESIZE
    except (OSError, IndexError):
        return 0


def heap_checks(args: argparse.Namespace) -> dict[str, str]:
    """The environment in which a heap written outside its blocks aborts the process."""
    if not args.heap_checks:
        return {}
    library = args.output / "heap_canary.so"
    if not library.exists():
        source = Path(__file__).with_name("heap_canary.c")
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return {"LD_PRELOAD": str(library)}


def _run(args: argparse.Namespace, first: int, last: int, note_file: Path, log: Path) -> tuple[int, str, str]:
    """One child from `first` on; returns the last number it began, and the outcome if it did not end by itself."""
    command = [sys.executable, __file__, "--output", str(args.output), "--seed", str(args.seed)]
    command += ["--kinds", *args.kinds, "--child", str(first), str(last)]
    with open(note_file, "r+b") as handle, mmap.mmap(handle.fileno(), _NOTE.size) as note, open(log, "ab") as out:
        note[: _NOTE.size] = _NOTE.pack(first, time.monotonic() + 30)  # time to import
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL, env=os.environ | heap_checks(args))
        while process.poll() is None:
            time.sleep(0.05)
            number, since = _NOTE.unpack(note[: _NOTE.size])
            if time.monotonic() > args.until:
                process.send_signal(signal.SIGKILL)
                process.wait()
                return number, "", ""
            late, large = time.monotonic() - since > HANG_S, _resident(process.pid) > 1.5 * MEMORY_BYTES
            if late or large:
                process.kill()
                process.wait()
                return number, "hang" if late else "memory", ""
        number, _ = _NOTE.unpack(note[: _NOTE.size])
        code = process.returncode
        return number, "" if code == 0 else "crash", f"signal {-code}" if code < 0 else f"exit {code}"


def campaign(args: argparse.Namespace, mutator: Mutator) -> None:
    """Run children until the time is over, and print the figures."""
    note_file, log = args.output / "note", args.output / "log.ndjson"
    note_file.write_bytes(bytes(_NOTE.size))
    log.unlink(missing_ok=True)
    bad = args.output / "bad"
    shutil.rmtree(bad, ignore_errors=True)
    bad.mkdir()
    begun = time.monotonic()
    args.until = begun + 60 * args.minutes
    number = 0
    while time.monotonic() < args.until:
        at, outcome, detail = _run(args, number, number + 20_000, note_file, log)
        if outcome:
            _, name, done = mutator.make(at)
            with open(log, "a") as handle:
                handle.write(json.dumps([at, outcome, detail, name, done, 0]) + "\n")
        number = at + 1
    report(args, mutator, time.monotonic() - begun)


def _lines(log: Path) -> Iterator[list[Any]]:
    for line in log.read_text().splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:  # cut off by the end of the time
            continue


def report(args: argparse.Namespace, mutator: Mutator, seconds: float) -> None:
    """Figures of a campaign; every bad file is kept beside the log."""
    rows = list(_lines(args.output / "log.ndjson"))
    outcomes = collections.Counter(row[1] for row in rows)
    print(f"{len(rows)} mutations of {len(mutator.names)} files in {seconds / 60:.1f} min, seed {args.seed}")
    print("with heap checks" if args.heap_checks else "without heap checks")
    print(f"{platform.platform()}, Python {platform.python_version()}, OpenImageIO {_oiio()}")
    print("   ".join(f"{name} {outcomes[name]}" for name in ("refused", "read")))
    print("   ".join(f"{name} {outcomes[name]}" for name in ("crash", "hang", "memory", "escaped", "unstable")))
    print(f"largest resident size {max(row[5] for row in rows)} MB")
    kinds = collections.Counter(row[3].split("_")[0] for row in rows)
    print("   ".join(f"{name} {count}" for name, count in kinds.items()))
    for number, outcome, *_ in rows:
        if outcome not in ("refused", "read"):
            (args.output / "bad" / f"{outcome}_{number}.exr").write_bytes(mutator.make(number)[0])
    found = collections.Counter(
        (row[1], row[2] if row[1] != "unstable" else "", row[3]) for row in rows if row[1] not in ("refused", "read")
    )
    for (outcome, detail, name), count in found.most_common(40):
        print(f"  {count:6d} {outcome:9s} {name:20s} {detail}")


def _oiio() -> str:
    import OpenImageIO

    return str(OpenImageIO.VERSION_STRING)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, nargs=2, default=(52, 40), help="of the good files")
    parser.add_argument("--only", type=int, help="read this mutation, in this process")
    parser.add_argument("--heap-checks", action="store_true", help="abort where the heap is written outside its blocks")
    parser.add_argument("--kinds", nargs="*", default=[], help="only good files whose names start so")
    parser.add_argument("--child", type=int, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    seeds = args.output / "good"
    if not seeds.is_dir():
        seeds.mkdir(parents=True)
        make_seeds(seeds, *args.size)
    chosen = [path for path in sorted(seeds.glob("*.exr")) if path.name.startswith(tuple(args.kinds) or "")]
    mutator = Mutator(chosen, args.seed)
    scratch = args.output / f"scratch.{os.getpid()}.exr"
    try:
        if args.only is not None:
            data, name, done = mutator.make(args.only)
            scratch.write_bytes(data)
            print(name, done, flush=True)
            outcome, detail = read_one(scratch)
            print("unstable" if outcome == "read" and not stable(scratch) else outcome, detail)
        elif args.child:
            with open(args.output / "note", "r+b") as handle, mmap.mmap(handle.fileno(), _NOTE.size) as note:
                first, last = args.child
                child(mutator, note, first, last, scratch)
        else:
            campaign(args, mutator)
    finally:
        scratch.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
