# ruff: noqa: T201 - a command prints
"""Kills commands at every moment that counts, runs them again, and compares: docs/faults.md.

    python benchmarks/faults/kill.py WORK_FOLDER [--kills 200] [--only NAME]... [--seed N] [--json FILE]

Each command is first run to its end, which says what it has to leave and how long it takes. Then it is killed

- at points: right before the n-th time that it opens a file for writing, syncs, renames or removes one, or makes a
  folder (points.py); the n are spread evenly over all there are;
- in writes: in the middle of the write that would make a file longer than n bytes;
- at times: with SIGKILL after a random part of the time that it takes, as installed, in a process of its own.

With `--kind` it meets something else than its end, from the n-th moment on, and has to say so with the exit code of
the contract: `full` a full disk, `short` one that fills up in the middle of a write, `denied` a folder that became
read-only, `away` storage that does not answer.

After each no file may be half: every one is as it was before, or as it is in the end. The same command again has
to end with what an unkilled run leaves, byte for byte but for times (scenarios.py), and with nothing beside it.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import points
import scenarios
from scenarios import Material, Scenario

EXIT_USAGE = 2

COMMAND = [sys.executable, "-m", "vfxswap"]
KINDS = {"points": 0.5, "writes": 0.2, "times": 0.3}
"""Share of the kills that each kind has."""

CODES = {
    "points": (-signal.SIGKILL, 0),
    "writes": (-signal.SIGXFSZ, 0),
    "times": (-signal.SIGKILL, 0),
    "full": (3, 0),
    "short": (3, 0),
    "denied": (4, 0),
    "away": (3, 4, 0),
}
"""What a command may end with; 0: nothing stopped it. Storage that is away when it begins is bad input."""

_ERRORS = {"full": errno.ENOSPC, "denied": errno.EROFS, "away": errno.ESTALE}

Fault = Callable[[], None]


@dataclass(frozen=True)
class Kill:
    """One kill. `code`: how the command ended; `problems`: what was found, in words."""

    command: str
    kind: str
    at: float
    code: int
    problems: tuple[str, ...]

    @property
    def met(self) -> bool:
        """Whether it came to that: False where the command had ended before."""
        return self.code != 0


class Killer:
    """Runs commands in forks of a process that has loaded everything. `said`: what the last one said."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True)
        self.said = ""
        self.made = Material(root, self._makes)
        os.environ.update(self.made.environment())
        if self.run((), self.made.draw) != EXIT_USAGE:  # no command: that is its help
            raise SystemExit(f"no material: {self.said}")

    def _makes(self, arguments: Sequence[str]) -> int:
        """Run a command that makes material, and show what it says where it fails."""
        if code := self.run(arguments):
            print(self.said[-2000:])
        return code

    def run(self, arguments: Sequence[object], fault: Fault = lambda: None, *, seconds: float = 180) -> int:
        """Run a command in a fork, with a fault in it; its exit code, negative where a signal ended it."""
        sys.stdout.flush()
        ours, its = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(ours)
            self._command([str(part) for part in arguments], fault, its)
        os.close(its)
        os.set_blocking(ours, False)
        said, end = b"", time.monotonic() + seconds
        try:
            while True:
                done, status = os.waitpid(child, os.WNOHANG)
                with contextlib.suppress(BlockingIOError):
                    while part := os.read(ours, 1 << 16):
                        said += part
                if done:
                    return os.waitstatus_to_exitcode(status)
                if time.monotonic() > end:
                    os.kill(child, signal.SIGKILL)
                    os.waitpid(child, 0)
                    raise SystemExit(f"{' '.join(map(str, arguments))} does not end: {said.decode()[-500:]}")
                time.sleep(0.002)
        finally:
            os.close(ours)
            self.said = said.decode(errors="replace")

    def _command(self, arguments: list[str], fault: Fault, out: int) -> None:
        """In the fork; does not return."""
        for number in (1, 2):
            os.dup2(out, number)
        code = 99
        try:
            fault()
            from vfxswap import cli

            sys.argv = ["vfxswap", *arguments]
            cli.main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 98
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def installed(self, one: Scenario, after: float | None = None) -> tuple[int, float]:
        """Run a command as installed and kill it after so many seconds; its exit code, and how long it took."""
        begun = time.monotonic()
        process = subprocess.Popen(
            [*COMMAND, *one.arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            said, _ = process.communicate(timeout=after)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            said, _ = process.communicate()
        self.said = said.decode(errors="replace")
        return process.returncode, time.monotonic() - begun


@dataclass
class Trial:
    """A command: what it starts from, what it leaves, and how many moments and bytes there are to kill it at."""

    killer: Killer
    name: str
    one: Scenario
    before: dict[str, str]
    after: dict[str, str]
    moments: list[str]
    longest: int
    seconds: float

    @classmethod
    def of(cls, killer: Killer, name: str, *, timed: bool) -> Trial:
        """Run it to its end."""
        made, log = killer.made, killer.made.root / "points.txt"
        one = made.scenarios[name]
        made.reset(one.start)
        before = scenarios.state(made.work)
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        seen = points.Points(made.work, note=lambda name, path: write_all(handle, f"{name} {path}\n"))
        code = killer.run(one.arguments, seen.install)
        os.close(handle)
        if code:
            raise SystemExit(f"{name} ended with {code}: {killer.said[-2000:]}")
        after = scenarios.state(made.work)
        sizes = [path.stat().st_size for path in made.work.rglob("*") if path.is_file()]
        seconds = 0.0
        if timed:
            made.reset(one.start)
            code, seconds = killer.installed(one)
            if code or scenarios.state(made.work) != after:
                found = differences(scenarios.state(made.work), after)
                raise SystemExit(f"{name} as installed ended with {code} and left others: {found}")
        return cls(killer, name, one, before, after, log.read_text().splitlines(), max(sizes), seconds)

    def kill(self, kind: str, at: float) -> Kill:
        """Kill it once, look at what is there, run it again and look again."""
        made, one = self.killer.made, self.one
        made.reset(one.start)
        if kind == "times":
            code, _ = self.killer.installed(one, at)
        else:
            code = self.killer.run(one.arguments, self._fault(kind, int(at)))
        problems = [] if code in CODES[kind] else [f"ended with {code}: {self._said()}"]
        if code > 0 and (lines := self._errors()) != 1:
            problems.append(f"{lines} lines of error: {self._said()}")
        problems += self._half()
        again = self.killer.run(one.arguments)
        now = scenarios.state(made.work)
        if again and not (again == one.there and now == self.after):
            problems.append(f"again, it ended with {again}: {self._said()}")
        problems += [f"again: {text}" for text in differences(now, self.after, one.once)]
        return Kill(self.name, kind, at, code, tuple(problems))

    def _fault(self, kind: str, at: int) -> Fault:
        if kind in ("writes", "short"):
            return lambda: points.at_byte(at, kill=kind == "writes")
        act = points.failing(_ERRORS[kind]) if kind in _ERRORS else points.killed
        return points.Points(self.killer.made.work, at, act, lasting=kind in _ERRORS).install

    def _errors(self) -> int:
        text = self.killer.said
        return len(re.findall(r"^vfxswap: error: ", text, re.MULTILINE)) + 9 * ("Traceback" in text)

    def _half(self) -> list[str]:
        """Files that are neither what they were before nor what they are in the end."""
        found = []
        for path in sorted(self.killer.made.work.rglob("*")):
            name = str(path.relative_to(self.killer.made.work))
            if not path.is_file() or scenarios.UNFINISHED.search(name):
                continue
            try:
                now = scenarios.digest(path)
            except ValueError as error:
                found.append(str(error))
                continue
            if re.search(self.one.growing, name):
                continue
            if now not in (self.before.get(name), self.after.get(name)):
                found.append(f"{name} is neither as before nor as in the end")
        found += [f"{name} is lost" for name in self.before if not (self.killer.made.work / name).exists()
                  and name in self.after]  # fmt: skip
        return found

    def _said(self) -> str:
        lines = self.killer.said.strip().splitlines()
        return lines[-1] if lines else ""

    def moments_for(self, kind: str, count: int, dice: random.Random) -> list[float]:
        """When to kill it: spread over all the points there are, all the bytes, all the time."""
        end = {"writes": self.longest, "short": self.longest, "times": self.seconds}.get(kind, len(self.moments))
        if kind not in ("writes", "short", "times"):
            return [1.0 + int(end * (i + dice.random()) / count) for i in range(count)]
        if kind != "times":  # most files are small
            return [float(int(end ** ((i + dice.random()) / count))) for i in range(count)]
        return [end * (i + dice.random()) / count for i in range(count)]


def write_all(handle: int, text: str) -> None:
    """To a file descriptor, which no audit hook sees."""
    os.write(handle, text.encode())


def differences(found: dict[str, str], wanted: dict[str, str], once: str = "(?!)") -> list[str]:
    """In words; what only `found` has is fine where its name fits `once`."""
    lines = [f"{name} is missing" for name in sorted(wanted.keys() - found.keys())]
    lines += [f"{name} is left over" for name in sorted(found.keys() - wanted.keys()) if not re.search(once, name)]
    return lines + [f"{name} differs" for name in sorted(wanted.keys() & found.keys()) if wanted[name] != found[name]]


def shares(total: int, names: Sequence[str]) -> list[tuple[str, str, int]]:
    """(command, kind, how often), as even as it can be."""
    cells = [(name, kind) for name in names for kind in KINDS]
    exact = [total * KINDS[kind] / len(names) for _, kind in cells]
    counts, owed = [], 0.0
    for share in exact:
        owed += share
        counts.append(round(owed) - sum(counts))
    return [(name, kind, count) for (name, kind), count in zip(cells, counts, strict=True)]


def main() -> None:
    """Kill, compare, and say what was found; exit code 1 where anything was."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder", type=Path, help="a new folder to work in")
    arguments.add_argument("--kills", type=int, default=200)
    arguments.add_argument("--only", action="append", default=[], help="this command; repeatable")
    arguments.add_argument("--kind", action="append", default=[], choices=CODES)
    arguments.add_argument("--every", action="store_true", help="at every point there is, in place of --kills")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    if given.kind:
        KINDS.clear()
        KINDS.update(dict.fromkeys(given.kind, 1 / len(given.kind)))
    loaded()
    killer = Killer(given.folder.resolve())
    names = [name for name in killer.made.scenarios if name in given.only or not given.only]
    dice, kills, known = random.Random(given.seed), [], {}
    for name, kind, count in shares(given.kills, names):
        if name not in known:
            known[name] = Trial.of(killer, name, timed="times" in KINDS)
            print(f"{name}: {len(known[name].moments)} points, {known[name].seconds:.1f} s", flush=True)
        trial = known[name]
        moments = trial.moments_for(kind, count, dice)
        if given.every and kind not in ("writes", "short", "times"):
            moments = [1.0 + i for i in range(len(trial.moments))]
        for at in moments:
            kills.append(trial.kill(kind, at))
            timed = kind in ("writes", "short", "times")
            where = "" if timed else f" ({trial.moments[int(at) - 1]})"
            for problem in kills[-1].problems:
                print(f"{name}, {kind} at {at:.6g}{where}: {problem}", flush=True)
    report(kills, known, given.json)


def loaded() -> None:
    """Import what the commands import, once for all forks; nothing of it is used here, so no thread is started."""
    import vfxswap.cli.faceset
    import vfxswap.cli.farm_work
    import vfxswap.cli.otio
    import vfxswap.cli.provenance
    import vfxswap.cli.publish
    import vfxswap.cli.qc
    import vfxswap.cli.retrain
    import vfxswap.cli.review
    import vfxswap.cli.shot
    import vfxswap.cli.track
    import vfxswap.cli.training
    import vfxswap.conform
    import vfxswap.models
    import vfxswap.publish.session
    import vfxswap.train.loop
    import vfxswap.train.retrain  # noqa: F401


def report(kills: list[Kill], known: dict[str, Trial], file: Path | None) -> None:
    """Print a table, write what was found, end with 1 where something was."""
    bad = [kill for kill in kills if kill.problems]
    died = Counter((kill.command, kill.kind) for kill in kills if kill.met)
    print(f"| command | moments | {' | '.join(KINDS)} |\n|---|---|{'---|' * len(KINDS)}")
    for name, trial in known.items():
        print(f"| {name} | {len(trial.moments)} | {' | '.join(str(died[name, kind]) for kind in KINDS)} |")
    print(f"{len(kills)} runs, {sum(kill.met for kill in kills)} of them met it, {len(bad)} with something to say")
    if file is not None:
        value = {
            "kills": [asdict(kill) for kill in kills],
            "moments": {name: len(trial.moments) for name, trial in known.items()},
        }
        file.write_text(json.dumps(value, indent=1))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
