"""The command line. Only this package prints, and only `main` turns errors into exit codes.

Adding a command: one file with a typer function (or a `typer.Typer` for a group), one line in `COMMANDS`.
Command modules are imported when they are run, so that `vfxswap --help` is quick and rendering never loads torch.
"""

from __future__ import annotations

import importlib
import signal
import sys
import traceback
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from vfxswap import __version__, atomic
from vfxswap.cli import config, examples
from vfxswap.cli.common import Debug, Run
from vfxswap.errors import EXIT_BUG, EXIT_DONE, EXIT_USAGE, Cancelled, ResourceError, UsageError, VfxSwapError

COMMANDS = {
    "doctor": ("vfxswap.cli.doctor:doctor", "Show what works on this machine."),
    "demo": ("vfxswap.cli.demo:demo_command", "Do the whole job on the shipped shot."),
    "track": ("vfxswap.cli.track:app", "Track the faces of a plate."),
    "measure": ("vfxswap.cli.shot:measure_command", "Measure a shot once for the swap of any of its frames."),
    "swap": ("vfxswap.cli.shot:swap_command", "Swap the face in a plate."),
    "run": ("vfxswap.cli.shot:run_command", "Do a job from its description."),
    "qc": ("vfxswap.cli.qc:qc_command", "Measure a finished swap against its plate and name its worst frames."),
    "review": ("vfxswap.cli.review:review_command", "Write a page, or a movie, that shows a swap beside its plate."),
    "faceset": ("vfxswap.cli.faceset:app", "Collect aligned crops of one performer."),
    "train": ("vfxswap.cli.training:train", "Train a model that paints the likeness over the double."),
    "retrain": (
        "vfxswap.cli.retrain:retrain",
        "Go on training with the frames that came out worst, and the likeness's nearest poses, drawn more often.",
    ),
    "export": ("vfxswap.cli.training:export", "Write a trained model as a .vfxmodel, or for Nuke's Inference node."),
    "otio": (
        "vfxswap.cli.otio:otio_command",
        "Swap faces in clips of an OpenTimelineIO timeline; without --clip, list them.",
    ),
    "farm": ("vfxswap.cli.farm:app", "Share a job out among the machines of a render farm."),
    "hosts": ("vfxswap.cli.hosts:app", "Make vfxswap known to Nuke and Resolve."),
    "bench": ("vfxswap.cli.bench:bench_command", "Measure speed, as ratios of steps that run in turns."),
    "consent": ("vfxswap.cli.consent:app", "Make, sign, check and withdraw consents."),
    "publish": ("vfxswap.cli.publish:publish", "Validate finished frames and publish them as a version."),
    "provenance": ("vfxswap.cli.provenance:app", "Sign, check and read the record of what was rendered."),
}
"""Command -> (`module:attribute`, help line), in the order in which `--help` lists them."""

# What typer answers for Ctrl-C that reaches it.
_INTERRUPTED = 130


class CommandTable(TyperGroup):
    """A group that lists `COMMANDS` without importing them and imports the one that is run."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, (_, text) in COMMANDS.items():
            self.commands[name] = TyperCommand(name=name, help=text, rich_markup_mode=self.rich_markup_mode)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Swap the listed stand-in for the real command."""
        name, _, rest = super().resolve_command(ctx, args)
        if not name:
            return name, None, rest
        command = load(name)
        run = ctx.obj
        # Who asks for help or for a word to complete wants no defaults, nor does a doctor, who looks at them himself.
        if isinstance(run, Run) and name != "doctor" and not ctx.resilient_parsing and "--help" not in rest:
            found = config.Config.find(run.arguments, commands=tuple(COMMANDS))
            run.config = found
            ctx.default_map = {name: found.defaults(name, command)}
        return name, command, rest


def load(name: str) -> Any:
    """The command object of an entry of `COMMANDS`."""
    module, attribute = COMMANDS[name][0].split(":")
    target = getattr(importlib.import_module(module), attribute)
    if not isinstance(target, typer.Typer):
        function, target = target, typer.Typer(add_completion=False)
        target.command(name)(function)
    return examples.shown(name, config.with_option(typer.main.get_command(target)))


app = typer.Typer(cls=CommandTable, epilog=examples.START)


@app.callback(invoke_without_command=True)
def vfxswap(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    config_file: Annotated[str, typer.Option("--config", metavar="FILE", help=config.HELP)] = "",
    debug: Debug = False,
) -> None:
    """Replace one consenting performer's face with another's in a film plate, in scene-linear light."""
    if version:
        typer.echo(f"vfxswap {__version__}")
    elif ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
        raise typer.Exit(EXIT_USAGE)


def main() -> NoReturn:
    """Run the command line and exit with the code of the contract (see `vfxswap.errors`)."""
    run = Run.start(sys.argv[1:])
    signal.signal(signal.SIGTERM, _stop)
    run.leave(execute(run))


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM outside of interruptible work, where nothing is half done."""
    raise Cancelled("cancelled")


def execute(run: Run) -> int:
    """Run one command line; every exception becomes one line and an exit code here, and only here."""
    try:
        code = typer.main.get_command(app).main(
            args=list(run.arguments), prog_name="vfxswap", standalone_mode=False, obj=run
        )
    except VfxSwapError as error:
        return _fail(run, error)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "vfxswap"
        # "Value error" is pydantic's word for it, not a person's.
        message = error.format_message().replace("Value error, ", "").rstrip(".") or "no command was given"
        return _fail(run, UsageError(message, hint=f"see {command} --help"))
    except (KeyboardInterrupt, typer.Abort):
        return _fail(run, Cancelled("cancelled"))
    except MemoryError:
        return _fail(run, ResourceError("out of memory", hint="close other programs, or use a larger machine"))
    except OSError as error:
        known = atomic.system_error(error)
        return _bug(run, error) if known is None else _fail(run, known)
    except Exception as error:
        return _bug(run, error)
    if code == _INTERRUPTED:
        return _fail(run, Cancelled("cancelled"))
    return code if isinstance(code, int) else EXIT_DONE


def _fail(run: Run, error: VfxSwapError) -> int:
    if run.debug:
        traceback.print_exc()
    run.report(error)
    return error.exit_code


def _bug(run: Run, error: Exception) -> int:
    hint = "" if run.debug else "this is a bug: run again with --debug and report what it prints"
    unexpected = VfxSwapError(f"internal error: {type(error).__name__}: {error}", hint=hint)
    unexpected.code = "internal"
    _fail(run, unexpected)
    return EXIT_BUG
