# ruff: noqa: T201 - a command prints
"""Does any file from outside end in anything but a named error? Damage good files and read each in a child process.

    python benchmarks/hostile/fuzz.py --minutes 10
    python benchmarks/hostile/fuzz.py --examples 2000 --only vfxtrack,onnx
    python benchmarks/hostile/fuzz.py --only job --example 4711          (one of them again, with its traceback)

The formats, their good files and what damages them are those of tests/hostile_formats.py; beside them `run:...`
renders a whole small job with the damaged file in it, through `vfxswap farm work swap`, and looks at the folder
around it afterwards. Example number i of a format is always the same bytes, so a finding is named by both.

The child may map so much memory (`--memory`, GiB) and no more, and writes down which example it is at: when it dies,
or works longer than the format allows, the parent notes that example, and starts another child behind it.

Outcomes: `refused` (one line of the class that the format may raise), `read`; and the bad ones: `other` (a named error
of another class), `escaped` (no named error), `memory` (MemoryError), `line` (an error that is no single line),
`wrote` (a file outside of the output), `hang`, `crash`.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import importlib
import json
import mmap
import os
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
NOTE = struct.Struct("<qd")
BAD = ("other", "escaped", "memory", "line", "wrote", "hang", "crash")
PATIENCE = 20.0
"""Seconds that one file may take."""

CONTRACT = (0, 2, 3, 4, 75, 77)


def tests(name: str) -> Any:
    """A module of tests/: other packages of that name may be installed."""
    if "vfxswap_tests" not in sys.modules:
        package = types.ModuleType("vfxswap_tests")
        package.__path__ = [str(ROOT / "tests")]
        sys.modules["vfxswap_tests"] = package
        sys.path.insert(0, str(ROOT))
    return importlib.import_module(f"vfxswap_tests.{name}")


# ------------------------------------------------------------------------------------------------- whole jobs


class Refused(Exception):  # noqa: N818 - it is a message between this file's functions
    """A job ended with a code of the contract."""


WHOLE = ("run:job", "run:vfxtrack", "run:vfxshot", "run:vfxmodel", "run:onnx", "run:plate")


def make_job(root: Path, studio_root: Path) -> None:
    """A good job of one frame, tracked and measured."""
    support = tests("support")
    studio = support.Studio(studio_root, tuple(sorted(studio_root.glob("*.consent.json"), reverse=True)))
    support.write_plate(root / "plate", frames=1, size=128)
    for path in (*studio.consents, studio.model()):
        shutil.copy(path, root)
    shutil.copytree(studio.keyring, root / "ring")
    job = support.job(
        studio, "plate/shot.####.exr", Path("out"), model=studio.model().name, keyring="ring",
        consents=[path.name for path in studio.consents], track="t.vfxtrack", measurements="s.vfxshot",
    )  # fmt: skip
    (root / "job.json").write_text(job.to_json())
    for step in ("track", "measure"):
        # In a process of its own: networks leave threads behind.
        subprocess.run([sys.executable, "-m", "vfxswap", "farm", "work", step, str(root / "job.json")], check=True)
    for note in root.glob("*.made.json"):
        note.unlink()
    shutil.rmtree(root / "out", ignore_errors=True)


def whole_jobs(root: Path, studio: Any) -> dict[str, Any]:
    """`run:...`: a job of one frame, rendered with one of its files damaged."""
    from vfxswap import cli
    from vfxswap.cli.common import Run

    formats, hostile = tests("hostile_formats"), tests("hostile")
    files = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    def render(path: Path) -> None:
        folder = next(parent for parent in path.parents if (parent / "ring").is_dir())
        shutil.rmtree(folder / "out", ignore_errors=True)
        before = _tree(folder.parent)
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere), contextlib.redirect_stdout(nowhere):
            code = cli.execute(Run(("farm", "work", "swap", str(folder / "job.json"), "--root", str(folder))))
        after = _tree(folder.parent)
        changed = sorted(name for name in after | before if after.get(name) != before.get(name))
        # A job may name another output within its root; what was there before is nobody's to change.
        if any(name in before for name in changed):
            raise PermissionError(f"changed {changed[:3]}")
        if code not in CONTRACT:
            raise RuntimeError(f"exit code {code}")
        if code:
            raise Refused(str(code))

    def made(name: str, file: str, mutate: Callable[[Random, bytes], bytes]) -> Any:
        others = {path: data for path, data in files.items() if path != file}
        return formats.Format(f"run:{name}", file, (files[file],), mutate, render, (), beside=others, seconds=60)

    model = studio.model().name
    return {
        one.name: one
        for one in (
            made("job", "job.json", hostile.mutated_json),
            made("vfxtrack", "t.vfxtrack", hostile.mutated_archive),
            made("vfxshot", "s.vfxshot", hostile.mutated_archive),
            made("vfxmodel", model, hostile.mutated_archive),
            made("onnx", model, formats._graph),
            made("plate", "plate/shot.1001.exr", hostile.mutated_bytes),
        )
    }


def _tree(folder: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and ".made.json" not in path.name:
            about = path.stat()
            found[str(path.relative_to(folder))] = (about.st_size, about.st_mtime_ns)
    return found


# ------------------------------------------------------------------------------------------------- the child


def outcome(one: Any, path: Path) -> tuple[str, str]:
    """(outcome, in words) of reading one damaged file."""
    from vfxswap.errors import VfxSwapError

    try:
        one.read(path)
    except Refused as code:
        return "refused", f"exit {code}"
    except VfxSwapError as error:
        text = str(error)
        if "\n" in text or not text.isprintable():
            return "line", text[:200]
        return ("refused" if isinstance(error, one.refused) else "other"), f"{type(error).__name__}: {text[:200]}"
    except MemoryError as error:
        return "memory", _where(error)
    except PermissionError as error:
        return ("wrote" if str(error).startswith("changed") else "escaped"), f"{error} {_where(error)}"
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return "escaped", f"{type(error).__name__}: {str(error)[:150]} at {_where(error)}"
    return "read", ""


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/vfxswap/" in frame.filename] or frames
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"


def child(root: Path, name: str, first: int, last: int, until: float) -> int:
    """Read examples of a format until the count or the time is used up; a line of JSON for each."""
    one = prepared(root, name)
    memory = int(float(os.environ["FUZZ_GIB"]) * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    said = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="backslashreplace")
    os.dup2(2, 1)
    with open(root / "note", "r+b") as handle:
        note = mmap.mmap(handle.fileno(), NOTE.size)
    folder = root / "work" / name.replace(":", "-")
    for good in one.good:
        shutil.rmtree(folder, ignore_errors=True)
        if (found := outcome(one, one.lay(folder / "case", good)))[0] != "read":
            raise SystemExit(f"a good file is refused: {found}")
    for number in range(first, last):
        if time.time() > until:
            break
        shutil.rmtree(folder, ignore_errors=True)
        path = one.lay(folder / "case", one.example(Random(f"{name} {number}")))
        NOTE.pack_into(note, 0, number, time.time())
        print(json.dumps([number, *outcome(one, path)]), file=said, flush=True)
        NOTE.pack_into(note, 0, -1, time.time())
    return 0


def prepared(root: Path, name: str) -> Any:
    """A format over the keys and consents of this run."""
    formats, support = tests("hostile_formats"), tests("support")
    studio = support.Studio(root / "studio", tuple(sorted((root / "studio").glob("*.consent.json"), reverse=True)))
    if name.startswith("run:"):
        return whole_jobs(root / "whole", studio)[name]
    made = root / "made" / str(os.getpid())
    return formats.formats(made, studio)[name]


# ------------------------------------------------------------------------------------------------- the parent


def fuzz(
    root: Path, name: str, *, examples: int, seconds: float, patience: float
) -> tuple[collections.Counter[str], list[list[Any]], int]:
    """Outcomes of a format, its bad examples, and the most memory that a child had resident, in bytes."""
    counts: collections.Counter[str] = collections.Counter()
    bad: list[list[Any]] = []
    until, first, peak = time.time() + seconds, 0, 0
    (root / "note").write_bytes(NOTE.pack(-1, time.time()))
    with open(root / "note", "r+b") as handle:
        note = mmap.mmap(handle.fileno(), NOTE.size)
    while first < examples and time.time() < until:
        NOTE.pack_into(note, 0, -1, time.time())
        words = [sys.executable, __file__, "--child", name, "--root", str(root), str(first), str(examples), str(until)]
        with (root / "said").open("w+") as said, (root / "errors").open("w") as errors:
            running = subprocess.Popen(words, stdout=said, stderr=errors)
            ended, late = "", 0
            while running.poll() is None:
                peak = max(peak, _resident(running.pid))
                number, since = NOTE.unpack_from(note, 0)
                # More than once: a note may be read while it is written.
                late = late + 1 if number >= 0 and time.time() - since > patience else 0
                if late > 5:
                    running.kill()
                    ended = "hang"
                time.sleep(0.05)
            said.seek(0)
            for line in said:
                number, what, text = json.loads(line)
                counts[what] += 1
                if what in BAD:
                    bad.append([number, what, text])
        at, _ = NOTE.unpack_from(note, 0)
        if at < 0:  # nothing was under way
            if running.returncode:
                bad.append([-1, "crash", (root / "errors").read_text()[-500:]])
                counts["crash"] += 1
            break
        ended = ended or "crash"
        counts[ended] += 1
        bad.append([at, ended, f"exit code {running.returncode}"])
        first = at + 1
    return counts, bad, peak


def _resident(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) << 10
    except OSError:
        pass
    return 0


def main() -> int:
    """Fuzz what was asked for; 1 when anything was bad."""
    parse = argparse.ArgumentParser()
    parse.add_argument("--minutes", type=float, default=0.0, help="for all formats together")
    parse.add_argument("--examples", type=int, default=0, help="of each format")
    parse.add_argument("--only", default="", help="formats, with commas between")
    parse.add_argument("--example", type=int, help="this one alone, with its traceback")
    parse.add_argument("--memory", type=float, default=6.0, help="GiB of address space of a child")
    parse.add_argument("--json", type=Path, help="write the figures here")
    parse.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    parse.add_argument("--child", help=argparse.SUPPRESS)
    parse.add_argument("span", nargs="*", help=argparse.SUPPRESS)
    asked = parse.parse_args()
    if asked.child:
        first, last, until = asked.span
        return child(asked.root, asked.child, int(first), int(last), float(until))
    root = asked.root or Path(tempfile.mkdtemp(prefix="hostile-"))
    os.environ |= {"XDG_CONFIG_HOME": str(root / "config"), "FUZZ_GIB": str(asked.memory), "OMP_NUM_THREADS": "1"}
    os.environ.pop("OCIO", None)
    try:
        tests("support").Studio.make(root / "studio")
        make_job(root / "whole", root / "studio")
        return _main(asked, root)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _main(asked: argparse.Namespace, root: Path) -> int:
    if asked.example is not None:
        return _again(prepared(root, asked.only), root, asked.example)
    formats = tests("hostile_formats")
    names = [name for name in asked.only.split(",") if name] or [*formats.NAMES, *WHOLE]
    examples = asked.examples or (1 << 40 if asked.minutes else 200)
    seconds = asked.minutes * 60 / len(names) if asked.minutes else 1e9
    rows: dict[str, Any] = {}
    trouble = 0
    print(
        f"{'format':16} {'examples':>9} {'refused':>9} {'read':>8} {'bad':>5} {'ms each':>8} {'peak MB':>8}", flush=True
    )
    for name in names:
        started = time.perf_counter()
        counts, bad, peak = fuzz(root, name, examples=examples, seconds=seconds, patience=PATIENCE)
        spent, total = time.perf_counter() - started, sum(counts.values())
        wrong = sum(counts[kind] for kind in BAD)
        trouble += wrong
        print(
            f"{name:16} {total:9} {counts['refused']:9} {counts['read']:8} {wrong:5}"
            f" {1000 * spent / max(1, total):8.1f} {peak >> 20:8}",
            flush=True,
        )
        for number, what, words in bad[:20]:
            print(f"    {what} in example {number}: {words}", flush=True)
        rows[name] = {**counts, "seconds": round(spent, 1), "peak_mb": peak >> 20, "bad": bad[:100]}
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 1 if trouble else 0


def _again(one: Any, root: Path, number: int) -> int:
    path = one.lay(root / "work" / "case", one.example(Random(f"{one.name} {number}")))
    data = path.read_bytes()
    print(f"{one.name} {number}: {len(data)} bytes, begins {data[:200]!r}")
    one.read(path)
    print("read")
    return 0


if __name__ == "__main__":
    sys.exit(main())
