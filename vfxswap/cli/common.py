"""What commands share: their options, how they report, how they are cancelled, where consent is checked."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn, TextIO

import typer

import vfxswap
from vfxswap.cli.progress import BarSink, LineSink
from vfxswap.errors import UsageError, VfxSwapError
from vfxswap.events import CancelToken, EventSink, Failed, NdjsonSink, cancel_file

if TYPE_CHECKING:
    from vfxswap.cli.config import Config
    from vfxswap.trust import Gate, ShotId

Shot = Annotated[str, typer.Option(metavar="PROJECT/SEQUENCE/SHOT", help="The shot that the consents must cover.")]
Consents = Annotated[list[Path], typer.Option("--consent", metavar="FILE", help="Signed consent; give it repeatedly.")]
Keyring = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of trusted keys and revocation lists.")]
Frames = Annotated[str, typer.Option(metavar="RANGE", help="Frames such as 1001-1048, 1-30x5 or 1001,1003.")]
View = Annotated[str, typer.Option(metavar="NAME|all", help="View of a stereo plate.")]
Part = Annotated[str, typer.Option(metavar="NAME", help="Part of a multi-part EXR.")]
Face = Annotated[str, typer.Option(metavar="INDEX|NAME|X,Y", help="Which face of the plate.")]
ColorSpace = Annotated[str, typer.Option("--colorspace", metavar="NAME", help="The plate's color space.")]
ColorConfig = Annotated[str, typer.Option("--color-config", metavar="PATH", help="OCIO config; $OCIO without.")]
ColorContext = Annotated[
    list[str], typer.Option("--color-context", metavar="KEY=VALUE", help="Context variable of the config; repeatable.")
]
Lens = Annotated[str, typer.Option(metavar="STMAP", help="Undistorting STMap, one or one for each frame.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Make again what is there and up to date.")]
Events = Annotated[str, typer.Option(metavar="-", help="`-`: print NDJSON events on stdout, all else on stderr.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show a traceback when something fails.")]


@dataclass
class Run:
    """One run of the command line: what was asked for before any command was known. Travels as `ctx.obj`.

    Attributes:
        arguments: the command line without the program's name.
        started: `time.monotonic()` at the start, which events count from.
        events: stream of the NDJSON events; None where they are not wanted.
        config: the show's defaults, once a command is known; None for a command that wants none.
        at_once: end the process without tearing the interpreter down, once everything is written.
    """

    arguments: tuple[str, ...]
    started: float = field(default_factory=time.monotonic)
    events: TextIO | None = None
    config: Config | None = None
    at_once: bool = False

    @classmethod
    def start(cls, arguments: Sequence[str]) -> Run:
        """Begin a run. With `--events -` stdout is kept for events alone.

        Native libraries print to file descriptor 1 without asking, so the descriptor itself is turned to stderr
        and the events keep a private copy of it.
        """
        run = cls(tuple(arguments))
        if _wants_events(arguments):
            run.events = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
            os.dup2(2, 1)
        return run

    @property
    def debug(self) -> bool:
        """Whether tracebacks are wanted."""
        return "--debug" in self.arguments

    def leave(self, code: int) -> NoReturn:
        """End the process with `code`."""
        if not self.at_once:
            sys.exit(code)
        for stream in (self.events, sys.stdout, sys.stderr):
            if stream is not None:
                # Who read it may be gone; everything of value is in files.
                with contextlib.suppress(OSError, ValueError):
                    stream.flush()
        os._exit(code)

    def report(self, error: VfxSwapError) -> None:
        """Say why the run failed: one line on stderr, and the last event."""
        with contextlib.suppress(OSError):
            print(f"vfxswap: error: {error}", file=sys.stderr, flush=True)
        if self.events is not None:
            # A reader that is gone cannot be told anything; the exit code still says it.
            with contextlib.suppress(VfxSwapError, OSError):
                NdjsonSink(self.events, started=self.started).emit(Failed.of(error))


def _wants_events(arguments: Sequence[str]) -> bool:
    return "--events=-" in arguments or ("--events", "-") in itertools.pairwise(arguments)


@dataclass(frozen=True)
class Work:
    """What a long command hands down: where its events go and what stops it."""

    sink: EventSink
    cancel: CancelToken


@contextlib.contextmanager
def working(ctx: typer.Context, *, events: str = "", job: Path | None = None) -> Iterator[Work]:
    """Report and stay cancellable for the length of a `with`.

    Args:
        ctx: the command's context.
        events: the value of `--events`.
        job: a job file; `<job>.cancel` then stops the work too, and is removed when it has.

    Raises:
        UsageError: `--events` is anything but `-`.
    """
    if events not in ("", "-"):
        raise UsageError(f"--events is {events!r}", hint="only `-` (stdout) is possible")
    run = ctx.find_root().obj
    file = None if job is None else cancel_file(job)
    token = CancelToken(file)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_signals_cancel(token))
        if isinstance(run, Run) and run.events is not None:
            sink: EventSink = NdjsonSink(run.events, started=run.started)
        elif sys.stderr.isatty():
            sink = stack.enter_context(BarSink())
        else:
            sink = LineSink(sys.stderr)
        try:
            yield Work(sink, token)
        finally:
            if file is not None:
                with contextlib.suppress(OSError):  # jobs lie on read-only storage, too
                    file.unlink(missing_ok=True)


@contextlib.contextmanager
def _signals_cancel(token: CancelToken) -> Iterator[None]:
    """Ctrl-C, SIGTERM and (Windows) Ctrl-Break ask the work to stop; a second Ctrl-C stops it at once."""

    def ask(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and token.cancelled:
            raise KeyboardInterrupt
        token.cancel()

    names = [name for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)]
    before = {number: signal.signal(number, ask) for number in (getattr(signal, name) for name in names)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def gate(*, consents: Sequence[Path], keyring: Path | None) -> Gate:
    """The consent gate over `--consent` and `--keyring`; raises ConsentError (exit 77)."""
    from vfxswap.trust import Gate, KeyRing, Rule
    from vfxswap.trust.refusals import refusal

    if not consents:
        # Said before the key ring is looked for: whoever gave no consent needs no advice about keys.
        raise refusal(Rule.MISSING, "no consent was given", hint="give --consent FILE, one for each performer")
    return Gate(KeyRing.load(keyring), list(consents))


def shot_id(shot: str, *, folder: str) -> ShotId:
    """The shot of `--shot`, or `local/local/<folder>` without one; raises ConsentError (exit 77)."""
    from vfxswap.trust import ShotId

    return ShotId.parse(shot) if shot else ShotId.local(folder)


def check_shot(shot: str) -> None:
    """Refuse a malformed `--shot` as the gate would (exit 77), before a job description is made of it."""
    if shot:
        shot_id(shot, folder="")


def context(pairs: Sequence[str]) -> dict[str, str]:
    """The context variables of `--color-context`; raises UsageError for what is no KEY=VALUE."""
    found = [pair.partition("=") for pair in pairs]
    for key, equals, _ in found:
        if not (key and equals):
            raise UsageError(f"--color-context is {key!r}", hint="write KEY=VALUE, for example SHOT=sh010")
    return {key: value for key, _, value in found}


def passphrase(file: Path | None) -> str:
    """The passphrase from a file's first line, or typed on a terminal. Never from the command line or environment."""
    if file is None:
        if not sys.stdin.isatty():
            raise UsageError("a passphrase is needed", hint="give --passphrase-file FILE")
        return str(typer.prompt("Passphrase", hide_input=True))
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "cannot read the passphrase", path=file, hint="give --passphrase-file a text file that you may read"
        ) from error
    return lines[0] if lines else ""


def shipped(name: str) -> Path:
    """A folder that ships with vfxswap (`hosts`, `gizmos`, `examples/demo`), in a checkout as in a wheel."""
    package = Path(vfxswap.__file__).parent
    checkout = package.parent / name
    return checkout if (package.parent / "pyproject.toml").is_file() else package / "shipped" / name
