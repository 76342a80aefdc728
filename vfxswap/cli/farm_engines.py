"""What `farm submit` and `farm train` share: the engines of hosts/farm, and how a job is handed to one."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Final, Literal, cast

import typer

from vfxswap import atomic
from vfxswap.cli.common import Work, shipped
from vfxswap.errors import (
    EXIT_BAD_INPUT,
    EXIT_CANCELLED,
    EXIT_REFUSED,
    EXIT_RETRY,
    Cancelled,
    ConsentError,
    FrameError,
    JobError,
    UsageError,
    VfxSwapError,
)

JOB: Final = "job.json"
"""The file that workers read, in the folder of the farm's files."""

_RAISED: Final[dict[int, type[VfxSwapError]]] = {
    EXIT_RETRY: FrameError,
    EXIT_BAD_INPUT: JobError,
    EXIT_CANCELLED: Cancelled,
    EXIT_REFUSED: ConsentError,
}

Engine = Literal["openjd", "opencue", "deadline"]
To = Annotated[Engine, typer.Option("--to", help="The farm's engine.")]
Into = Annotated[Path | None, typer.Option(metavar="DIR", help="Where the farm's files go; beside the output without.")]
Command = Annotated[str, typer.Option(metavar="PROGRAM", help="What starts vfxswap on the workers.")]
Pool = Annotated[str, typer.Option(metavar="NAME", help="The engine's pool, where it has them.")]
Group = Annotated[str, typer.Option(metavar="NAME", help="The engine's group or tag of machines.")]
Priority = Annotated[int, typer.Option(min=0, max=100, help="Among the engine's jobs.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the files and write nothing.")]
RunHere = Annotated[bool, typer.Option("--run", help="With openjd: do it on this machine, task after task.")]


@dataclass(frozen=True)
class Handing:
    """How a job is handed on, as the command line said it."""

    to: Engine
    dry_run: bool
    run: bool
    command: str

    def __post_init__(self) -> None:
        """Raises UsageError for --run where it means nothing."""
        if self.run and (self.to != "openjd" or self.dry_run):
            raise UsageError(
                "--run is for --to openjd, without --dry-run", hint="other engines start jobs by themselves"
            )

    @property
    def program(self) -> str:
        """What starts vfxswap on the workers."""
        return self.command or (_own_program() if self.run else "vfxswap")

    def hand_on(self, plan: Any, folder: Path, job: str, work: Work) -> None:
        """Write the files of a plan and the job that its workers read, and submit it.

        Raises:
            JobError, FrameError, ConsentError, Cancelled: as the worker that failed, or the engine's own refusal.
        """
        engine = farm().ENGINES[self.to]
        files: Mapping[str, str] = {JOB: job, **engine.files(plan)}
        if self.dry_run:
            for name, text in files.items():
                typer.echo(f"--- {folder / name}\n{text}", nl=False)
            return
        for name, text in files.items():
            atomic.write_text(folder / name, text)
        typer.echo(f"written to {folder}: {', '.join(files)}")
        outcome = engine.submit(
            plan, str(folder), say=typer.echo, cancelled=lambda: work.cancel.cancelled, run=self.run
        )
        if work.cancel.cancelled:
            raise Cancelled("cancelled", hint="whole files are kept; run the same command again to go on")
        if outcome.code:
            raise _RAISED.get(outcome.code, VfxSwapError)(
                outcome.message or f"openjd ended with code {outcome.code}", hint="its log is above"
            )


def _own_program() -> str:
    """The `vfxswap` of this installation."""
    beside = Path(sys.executable).with_name("vfxswap")
    found = str(beside) if beside.is_file() else shutil.which("vfxswap")
    if found is None:
        raise UsageError("the program vfxswap is not on the path", hint="give --command PROGRAM")
    return found


def farm() -> ModuleType:
    """The engines of hosts/farm: no part of the package, as hosts use them too."""
    name = "vfxswap_farm"
    if name not in sys.modules:
        place = shipped("hosts") / "farm" / name
        spec = importlib.util.spec_from_file_location(
            name, place / "__init__.py", submodule_search_locations=[str(place)]
        )
        if spec is None or spec.loader is None:
            raise UsageError("the farm's files are missing", path=place, hint="install vfxswap again")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@contextmanager
def told() -> Iterator[None]:
    """What an engine refuses becomes one line and exit code 4."""
    refused = cast("type[Exception]", farm().FarmError)
    try:
        yield
    except refused as error:
        raise JobError(str(error.args[0]), hint=getattr(error, "hint", "")) from error
