"""`vfxswap hosts`: make vfxswap known to the programs that hand it work."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from vfxswap import atomic
from vfxswap.cli import hosts_resolve
from vfxswap.cli.common import Debug, shipped
from vfxswap.errors import OutputError, UsageError

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Make vfxswap known to Nuke and Resolve.")

_BEGIN: Final = b"# >>> vfxswap >>>"
_END: Final = b"# <<< vfxswap <<<"

# What the file was before stands in the marker, so that it can be again: without a line end at its end, or not there.
_UNENDED: Final = b" the line before had no end"
_ABSENT: Final = b" the file was made by this"
# From the last beginning on: whatever else stands in the file is its owner's.
_BLOCK = re.compile(
    re.escape(_BEGIN)
    + rb"(?P<note>[^\r\n]*)(?P<end>\r?\n)(?:(?!"
    + re.escape(_BEGIN)
    + rb").)*?"
    + re.escape(_END)
    + rb"[^\r\n]*(\r?\n|\Z)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Host:
    """A program whose start-up file gets a block.

    Attributes:
        file: the start-up file below the folder.
        folder: below the user's home.
        variable: environment variable that does the same without an installation; empty: there is none.
    """

    file: str
    folder: str
    variable: str


HOSTS: Final = {
    "nuke": Host("init.py", ".nuke", "NUKE_PATH"),
    "resolve": Host(hosts_resolve.SCRIPT, "", ""),  # its folder depends on the operating system
}
"""Name -> host."""

FOLDERS: Final = {**{name: name for name in HOSTS}, "pyblish": "publish/plugins", "farm": "farm/environments"}
"""Name -> what belongs on its path, below the shipped hosts; of a farm, the environments of its tasks."""

Name = Annotated[str, typer.Argument(metavar="HOST", help=f"Which: {', '.join(HOSTS)}.")]
Folder = Annotated[
    Path | None, typer.Option(metavar="DIR", help="The program's folder in place of the one in your home.")
]


@app.command("install")
def install_command(host: Name, folder: Folder = None, debug: Debug = False) -> None:
    """Add a block to the host's start-up file or script; again: bring it up to date. All its versions read it."""
    found, path = _host(host, folder)
    before = _content(path)
    bare = without_block(before)
    after = with_block(bare, _code(host))
    if after == before:
        typer.echo(f"{path} is up to date")
        return
    _write(path, after)
    then = "start the host again" if found.variable else "it is in Workspace > Scripts"
    typer.echo(f"{path}: vfxswap's block is {'added' if bare == before else 'up to date now'}; {then}")
    if found.variable:
        typer.echo(f"without this: {found.variable}={shipped('hosts') / host}")


@app.command("uninstall")
def uninstall_command(host: Name, folder: Folder = None, debug: Debug = False) -> None:
    """Take the block out again; the rest of the file stays as it is, to the last byte."""
    _, path = _host(host, folder)
    before = _content(path)
    after = without_block(before)
    if after == before:
        typer.echo(f"{path} has no block of vfxswap")
        return
    if after is None:
        path.unlink()
        typer.echo(f"{path} is removed: it held nothing else")
        return
    _write(path, after)
    typer.echo(f"{path}: vfxswap's block is removed")


@app.command("path")
def path_command(
    host: Annotated[str, typer.Argument(metavar="HOST", help=f"Which: {', '.join(FOLDERS)}.")], debug: Debug = False
) -> None:
    """Print the folder that belongs on the host's path where nothing is installed (NUKE_PATH, PYBLISHPLUGINPATH)."""
    if host not in FOLDERS:
        raise UsageError(f"no host is named {host!r}", hint=f"there is {', '.join(FOLDERS)}")
    typer.echo(str(shipped("hosts") / FOLDERS[host]))


def nuke_block(folder: Path, python: str) -> str:
    """The lines that Nuke runs at its start, whatever its version; they never stop it."""
    # ascii(): a start-up file may be in any encoding.
    return "\n".join(
        [
            "try:",
            "    import os",
            "    import nuke",
            f"    os.environ.setdefault('VFXSWAP_PYTHON', {python!a})",
            f"    if os.path.isdir({folder.as_posix()!a}):",
            f"        nuke.pluginAddPath({folder.as_posix()!a})",
            "except Exception as error:",
            "    print('vfxswap: its nodes are not available: %s' % error)",
        ]
    )


def with_block(before: bytes | None, code: str) -> bytes:
    """A start-up file with a block at its end.

    Args:
        before: the file without one; None where there is none.
        code: the block's lines.
    """
    end = b"\r\n" if before is not None and b"\r\n" in before else b"\n"
    unended = bool(before) and not (before or b"").endswith(b"\n")
    note = _ABSENT if before is None else _UNENDED if unended else b""
    lines = [_BEGIN + note, *code.encode("ascii").split(b"\n"), _END]
    return (before or b"") + (end if unended else b"") + end.join(lines) + end


def without_block(content: bytes | None) -> bytes | None:
    """A start-up file as it was before `with_block`; None where it was not there."""
    found = None if content is None else _BLOCK.search(content)
    if content is None or found is None:
        return content
    after = content[found.end() :]
    # The line end that was added before goes too, unless a line was written below since.
    added = len(found["end"]) if found["note"] == _UNENDED and not after else 0
    rest = content[: found.start() - added] + after
    return None if found["note"] == _ABSENT and not rest else rest


def state(name: str) -> tuple[Literal["absent", "current", "stale"], Path]:
    """Whether a host's start-up file in the user's home has the block, as `install` would write it; and the file.

    Raises:
        OutputError: the file cannot be read.
    """
    _, path = _host(name, None)
    content = _content(path)
    bare = without_block(content)
    if bare == content:
        return "absent", path
    return ("current" if with_block(bare, _code(name)) == content else "stale"), path


def _code(host: str) -> str:
    """The lines of the block for this installation."""
    return (hosts_resolve.block if host == "resolve" else nuke_block)(shipped("hosts") / host, sys.executable)


def _host(name: str, folder: Path | None) -> tuple[Host, Path]:
    if name not in HOSTS:
        raise UsageError(f"no host is named {name!r}", hint=f"there is {', '.join(HOSTS)}")
    host = HOSTS[name]
    # Nuke looks into $HOME first, on Windows too.
    home = Path(os.environ.get("HOME") or Path.home())
    own = hosts_resolve.folder(os.environ, home) if name == "resolve" else home / host.folder
    path = (own if folder is None else folder.absolute()) / host.file
    return host, path.resolve()  # a link stays one: what it leads to is written


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OutputError(f"cannot read it: {error.strerror}", path=path, hint="give --folder") from error


def _write(path: Path, content: bytes) -> None:
    mode = path.stat().st_mode if path.exists() else None
    atomic.write_bytes(path, content)
    if mode is not None:
        path.chmod(mode)
