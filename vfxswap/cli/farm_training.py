"""A training as a farm's job: what its worker reads, and what it does.

The worker asks for consent, then starts `vfxswap train`: by itself, or through torchrun in several processes on this
machine. A training goes on from its newest checkpoint, so a task that was stopped is begun again as it is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, Self, TextIO

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vfxswap import documents
from vfxswap.cli import lifeline
from vfxswap.cli.common import Work, gate, shot_id
from vfxswap.cli.training_run import STATE, allowed, load_facesets, origin, performers, require_extra
from vfxswap.errors import EXIT_BUG, Cancelled, JobError, ResourceError, VfxSwapError
from vfxswap.events import Event, Failed
from vfxswap.faceset import Faceset
from vfxswap.train import uses

SCHEMA: Final = "vfxswap.training/1"

_NOTICE: Final = 240
"""Seconds that torchrun gives its processes to save a checkpoint: less than engines give the task."""

_COMPLAINT: Final = "vfxswap: error: "
"""What the last line of a command that failed begins with: said once, by the worker."""


class TrainJob(BaseModel):
    """A training, complete: any worker that reads it trains, or goes on with, the same model."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, populate_by_name=True)

    schema_version: Literal["vfxswap.training/1"] = Field(alias="schema")
    model_dir: str = Field(min_length=1)
    likeness: list[str] = Field(min_length=1)
    double: list[str] = Field(min_length=1)
    consents: list[str]
    keyring: str = ""
    shot: str = ""
    start: str = ""
    """Folder of the training to take the first weights from; empty: none."""
    processes: int = Field(default=1, ge=1, le=64)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    options: dict[str, str | bool | list[str]] = {}
    """Further options of `vfxswap train` by their long names; true: a flag."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        for name in self.options:
            if name not in OPTIONS:
                raise ValueError(f"no option {name[:60]!r}, allowed are {', '.join(OPTIONS)}")
        return self

    @staticmethod
    def load(path: Path) -> TrainJob:
        """Read and validate a job file.

        Raises:
            JobError: not there, or it is no training's job.
        """
        try:
            job = TrainJob.model_validate_json(documents.read_bytes(path, most=documents.SMALL))
        except OSError as error:
            raise JobError(f"cannot read the training's job: {error.strerror}", path=path) from error
        except documents.TooLargeError as error:
            raise JobError(
                f"not a training's job: {error}", path=path, hint="make it with vfxswap farm train"
            ) from error
        except ValidationError as error:
            message, hint = documents.version_problem(error) or (_explained(error), "make it with vfxswap farm train")
            raise JobError(f"not a training's job: {message}", path=path, hint=hint) from error
        for text in job.paths():
            if problem := documents.path_problem(text):
                raise JobError(f"not a training's job: {text[:60]!r}: {problem}", path=path)
        return job

    def to_json(self) -> str:
        """The job as the text of a job file."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"

    def mapped(self, here: Callable[[str], str]) -> TrainJob:
        """The same job with every path where it lies on this machine.

        Raises:
            JobError: a path of another system, which no rule is about.
        """
        changes: dict[str, Any] = {name: here(text) for name in _ONE if (text := getattr(self, name))}
        changes |= {name: [here(text) for text in getattr(self, name)] for name in _MANY}
        mapped = self.model_copy(update=changes)
        for path in mapped.paths():
            if not Path(path).is_absolute():
                raise JobError(f"{path!r} is no path of this machine", hint="give --path-rules FILE")
        return mapped

    def paths(self) -> list[str]:
        """Every path that it names."""
        single = [text for name in _ONE if (text := getattr(self, name))]
        return [*single, *(text for name in _MANY for text in getattr(self, name))]

    def words(self) -> list[str]:
        """The command line of `vfxswap` that does it."""
        # In one word each: a value may begin with a dash.
        words = ["train", self.model_dir, f"--device={self.device}"]
        for option, paths in (("likeness", self.likeness), ("double", self.double), ("consent", self.consents)):
            words += [f"--{option}={path}" for path in paths]
        for option, value in (("keyring", self.keyring), ("shot", self.shot), ("from", self.start)):
            words += [f"--{option}={value}"] if value else []
        for name, given in self.options.items():
            if isinstance(given, bool):
                words += [f"--{name}"] if given else []
            else:
                words += [f"--{name}={one}" for one in ([given] if isinstance(given, str) else given)]
        return words


OPTIONS: Final = (
    "use", "weight", "preset", "encoding", "steps", "minutes", "batch", "micro-batch", "seed", "precision", "compile",
    "score-every", "stop-early", "full-budget", "keep", "tensorboard",
)  # fmt: skip
"""Options of `vfxswap train` that a job may hold."""

_ONE = ("model_dir", "keyring", "start")
_MANY = ("likeness", "double", "consents")


def _explained(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{first['msg'].removeprefix('Value error, ')}{f' in {where[:80]}' if where else ''}"


def check(job: TrainJob) -> None:
    """Ask for consent to train, without torch: no engine starts what is refused.

    What was trained before in a folder that `start` names asks for consents of its own, which `vfxswap train` does.

    Raises:
        ConsentError: exit 77. FacesetError: not facesets. UsageError: performers with whom the use makes no sense.
    """
    guard = gate(consents=[Path(path) for path in job.consents], keyring=Path(job.keyring) if job.keyring else None)
    likeness, double = (load_facesets([Path(path) for path in paths]) for paths in (job.likeness, job.double))
    of_likeness, of_double = performers(likeness), performers(double)
    folder = Path(job.model_dir)
    use = job.options.get("use")
    if isinstance(use, str) or not (folder / STATE).exists():
        uses.check_people(use if isinstance(use, str) else "swap", likeness=of_likeness, double=of_double)
    sets: list[Faceset] = [*likeness, *double]
    grant = guard.authorize(
        shot=shot_id(job.shot, folder=folder.name),
        use="train",
        performers=uses.together(likeness=of_likeness, double=of_double).by_role(),
        origin=origin(sets, folder, *([Path(job.start)] if job.start else [])),
    )
    allowed(sets, grant)


def work(job: TrainJob, told: Work) -> None:
    """Train to the end of the budget, or until somebody asks to stop: then a checkpoint is saved first.

    Raises:
        Cancelled: exit 75; the same task again goes on. Else as `vfxswap train`.
    """
    check(job)
    require_extra()
    with _started(job) as process:
        ended = threading.Event()
        watcher = threading.Thread(target=_stop_with, args=(process, told, ended), daemon=True)
        watcher.start()
        failed = None
        # To the last line: the standard output ends when the last of the processes has.
        for event in filter(None, map(_event, process.stdout or ())):
            if isinstance(event, Failed):
                failed = failed or event
            else:
                told.sink.emit(event)
        code = process.wait()
        ended.set()
        watcher.join()
    if told.cancel.cancelled:
        raise Cancelled("cancelled", hint="the checkpoint is saved; run the same task again to go on")
    if failed is not None:
        raise _raised(failed)
    if code:
        raise ResourceError(f"the training ended with code {code}", hint="see what it said above; run the task again")


def launched(job: TrainJob) -> list[str]:
    """What is started on this machine: `vfxswap train`, in several processes through torchrun."""
    inside = ["-m", "vfxswap", *job.words(), "--events", "-"]
    if job.processes == 1:
        return [sys.executable, *inside]
    run = ["-m", "torch.distributed.run", "--standalone", "--nnodes", "1", "--nproc-per-node", str(job.processes)]
    return [sys.executable, *run, *inside]


@contextmanager
def _started(job: TrainJob) -> Iterator[subprocess.Popen[str]]:
    """The processes, which end when this one does, however that is."""
    environment = {**os.environ, lifeline.VARIABLE: "stdin", "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(_NOTICE)}
    if job.processes > 1:
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // job.processes)))
    process = subprocess.Popen(
        launched(job),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
        start_new_session=True,  # asked to stop once, from here: torchrun takes a second signal for an order
    )
    complaints = threading.Thread(target=_pass_on, args=(process.stderr,), daemon=True)
    complaints.start()
    try:
        yield process
    finally:
        for end in (process.stdin, process.stdout):
            if end is not None:
                end.close()
        process.wait()
        complaints.join()


def _stop_with(process: subprocess.Popen[str], told: Work, ended: threading.Event) -> None:
    while not ended.wait(0.05):
        if told.cancel.cancelled:
            process.terminate()
            return


def _pass_on(complaints: TextIO | None) -> None:
    for line in complaints or ():
        if not line.startswith(_COMPLAINT):
            print(line, end="", file=sys.stderr, flush=True)


def _event(line: str) -> Event | None:
    """An event of a line that a training printed; None for what is none."""
    try:
        fields = json.loads(line)
        kind = _EVENTS[fields.pop("event")]
        return kind(**{name: value for name, value in fields.items() if name not in ("v", "t")})
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


_EVENTS: Final = {kind.event: kind for kind in Event.__subclasses__()}


def _raised(failed: Failed) -> VfxSwapError:
    """The error that a training ended with."""
    kinds: Sequence[type[VfxSwapError]] = [VfxSwapError]
    while kinds:
        for kind in kinds:
            if kind.code == failed.code:
                return kind(failed.message, hint=failed.hint)
        kinds = [one for kind in kinds for one in kind.__subclasses__()]
    unexpected = VfxSwapError(failed.message, hint=failed.hint)
    unexpected.code, unexpected.exit_code = failed.code, EXIT_BUG
    return unexpected
