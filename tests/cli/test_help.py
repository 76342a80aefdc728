"""What a new user meets first: examples that are true, completion, and nothing that a console cannot show."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from vfxswap import cli
from vfxswap.cli.examples import EXAMPLES

COMMAND = str(Path(sys.executable).parent / "vfxswap")


def leaves() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in cli.COMMANDS:
        command = cli.load(name)
        inside = getattr(command, "commands", None)
        found |= {f"{name} {word}": one for word, one in inside.items()} if inside else {name: command}
    return found


LEAVES = leaves()


def test_every_command_has_an_example() -> None:
    assert set(EXAMPLES) == set(LEAVES)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_example_is_a_command_line_that_parses(name: str) -> None:
    """Options, values, choices and ranges: all but the files."""
    for example in EXAMPLES[name]:
        words = shlex.split(example)[1:]
        command = typer.main.get_command(cli.app)
        context = typer.Context(command, info_name="vfxswap", resilient_parsing=False)
        while hasattr(command, "commands"):
            word, command, words = command.resolve_command(context, words)  # type: ignore[attr-defined]
            context = typer.Context(command, info_name=word, parent=context)
        assert context.command_path.removeprefix("vfxswap ") == name
        command.make_context(name, words)


@pytest.mark.parametrize("name", ["swap", "track fix", "consent new"])
def test_help_shows_it(name: str) -> None:
    done = subprocess.run(
        [COMMAND, *name.split(), "--help"],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "400"},
        check=True,
    )
    assert EXAMPLES[name][0] in done.stdout


def completed(line: str, *, shell: str = "bash") -> list[str]:
    words = line.split(" ")
    environment = {
        **os.environ,
        "_VFXSWAP_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run([COMMAND], capture_output=True, text=True, env=environment, check=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("vfxswap do", ["doctor"]),
        ("vfxswap track ex", ["export"]),
        ("vfxswap swap --lay", ["--layers"]),
        ("vfxswap swap --layers ", ["comp", "ingredients", "patch"]),
        ("vfxswap farm submit --to open", ["openjd", "opencue"]),
    ],
)
def test_the_shell_completes(line: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vfxswap.toml").write_text("wrong = 1")  # what is wrong with a show's defaults is said when it runs
    assert completed(line) == expected


def test_a_console_that_is_no_unicode_is_written_to() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "COLUMNS": "100"}
    for words in (["--help"], ["swap", "--help"], ["doctor"]):
        done = subprocess.run([COMMAND, *words], capture_output=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr.decode("cp1252")
