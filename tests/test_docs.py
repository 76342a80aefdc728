"""The documentation says what is: its links lead somewhere, and what it names exists."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from vfxswap import blend, exr, output, render
from vfxswap.cli import COMMANDS, app, config, load
from vfxswap.job import SwapJob, SwapParameters, knobs
from vfxswap.measure import Measurements
from vfxswap.plate import open_plate
from vfxswap.train import worst

from .support import Studio, astronaut, face, write_frame

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
CONFIG = ROOT / "docs" / "config.md"
LAYERS = ROOT / "docs" / "layers.md"

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def every_page(test: Any) -> Any:
    return pytest.mark.parametrize("page", PAGES, ids=name)(test)


def prose(text: str) -> str:
    """`text` without its fenced code."""
    return _FENCE.sub("", text)


# -------------------------------------------------------------------------------------------------- links


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(page: Path) -> list[str]:
    dead = []
    for target in _LINK.findall(prose(page.read_text(encoding="utf-8"))):
        if re.match(r"https?:|mailto:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file) if file else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            dead.append(target)
    return dead


@every_page
def test_links_lead_somewhere(page: Path):
    assert dead_links(page) == []


def test_a_dead_link_is_found(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("# One two\n[a](page.md#one-two) [b](#one-two) [c](gone.md) [d](page.md#three) [e](https://x.y)\n")
    assert dead_links(page) == ["gone.md", "page.md#three"]


# ----------------------------------------------------------------------------------------------- commands


def command_lines(text: str) -> Iterator[list[str]]:
    """The arguments of every `vfxswap ...` in fenced and indented code and in spans."""
    blocks = [code for kind, code in _FENCE.findall(text) if kind != "json"]
    rest = prose(text)
    blocks += re.findall(r"^ {4,}(?:.*\\\n)*.*$", rest, re.MULTILINE)
    blocks += _SPAN.findall(rest)
    for block in blocks:
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip().startswith("vfxswap "):
                # In a shell, and unlike in shlex, a comment starts with a word: shot.####.exr is none.
                yield shlex.split(re.sub(r"\s#.*", "", line))[1:]


def unknown(arguments: list[str]) -> list[str]:
    """The command of a command line if it is none, else its options that do not exist."""
    command: Any = typer.main.get_command(app)
    context, rest = typer.Context(command, info_name="vfxswap"), arguments
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        if rest[0] == "COMMAND":
            return []
        try:
            word, command, rest = command.resolve_command(context, rest)
        except typer.TyperException:
            return rest[:1]
        context = typer.Context(command, info_name=word, parent=context)
    there = {"--help", *(flag for option in command.params for flag in (*option.opts, *option.secondary_opts))}
    flags = [word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)]
    return [flag for flag in flags if flag not in there]


@every_page
def test_commands_and_their_options_exist(page: Path):
    lines = list(command_lines(page.read_text(encoding="utf-8")))
    assert [line for line in lines if unknown(line)] == []


def test_there_are_commands_to_look_at():
    found = [line for page in PAGES for line in command_lines(page.read_text(encoding="utf-8"))]
    assert {line[0] for line in found if line} >= {"swap", "run", "track", "faceset", "train", "export", "consent"}


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("swap plate --view all --pass uv", []),
        ("swap plate.####.exr --views all", ["--views"]),
        ("faceset build stills --stills", []),
        ("faceset make stills", ["make"]),
        ("track plate.####.exr --lens x.exr", []),
        ("track export t.vfxtrack --to json --view left", ["--view"]),
        ("swop plate", ["swop"]),
        ("--help", []),
        ("--halp", ["--halp"]),
    ],
)
def test_a_wrong_command_line_is_found(line: str, wrong: list[str]):
    (arguments,) = command_lines(f"```sh\nvfxswap {line}   # words --nothing\n```\n")
    assert unknown(arguments) == wrong


def test_options_in_the_tables_of_the_command_line_exist():
    there = {flag for option in load("swap").params for flag in option.opts}
    rows = [
        row for row in (ROOT / "docs" / "cli.md").read_text(encoding="utf-8").splitlines() if row.startswith("| `--")
    ]
    named = {flag for row in rows for flag in re.findall(r"`(--[a-z-]+)", row.split(" | ")[0])}
    assert len(named) > 20
    assert named <= there


# ------------------------------------------------------------------------------------------ what is really run

_RUN = re.compile(r"^<!-- run -->\n```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)

RUN = [page for page in PAGES if _RUN.search(page.read_text(encoding="utf-8"))]


def test_the_first_pages_are_run():
    assert {page.stem for page in RUN} >= {"compositor", "editor", "td", "producer"}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the pages' commands are those of a POSIX shell")
@pytest.mark.parametrize("page", RUN, ids=name)
def test_commands_of_a_page_run_one_after_the_other(page: Path, tmp_path: Path):
    """All that is marked to be run, as a reader would type it, in a new folder and a new home."""
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    script = "\n".join(_RUN.findall(page.read_text(encoding="utf-8")))
    here = str(Path(sys.executable).parent)
    variables = {"HOME": str(home), "PATH": here + os.pathsep + os.environ["PATH"], "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=work,
        env={**os.environ, **variables, "XDG_CONFIG_HOME": str(home / ".config"), "OCIO": ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@every_page
def test_knobs_exist(page: Path):
    named = set(re.findall(r"\bknobs? `(\w+)`", page.read_text(encoding="utf-8")))
    assert named <= {knob.name for knob in knobs()}


@every_page
def test_job_files_are_jobs(page: Path, tmp_path: Path):
    for kind, code in _FENCE.findall(page.read_text(encoding="utf-8")):
        schema = json.loads(code).get("schema") if kind == "json" else None
        if schema == worst.SCHEMA:
            assert worst.read_worst(code.encode(), path=page)
        elif schema is not None:
            (tmp_path / "job.json").write_text(code)
            assert SwapJob.load(tmp_path / "job.json").swaps


def test_configs_of_a_show_hold(tmp_path: Path):
    """Files in fences, and the table of what a file may hold."""
    text = CONFIG.read_text(encoding="utf-8")
    files = [code for kind, code in _FENCE.findall(text) if kind == "toml"]
    assert files
    for code in files:
        assert tomllib.loads(code)
        (tmp_path / config.NAME).write_text(code)
        found = config.Config.load(tmp_path / config.NAME, commands=tuple(COMMANDS))
        assert [found.defaults(command, load(command)) for command in COMMANDS]
    may, may_not = text.split("## What it may not hold")
    named = set(re.findall(r"`([a-z-]+)`", may.partition("## What it may hold")[2]))
    assert set(config.PERMITTED) <= named
    assert set(config.WITHHELD) <= set(re.findall(r"`([a-z-]+)`", may_not))


# ------------------------------------------------------------------------------------------------- layers


def rows(heading: str) -> Iterator[list[str]]:
    """The cells of each row of the table under a heading of layers.md."""
    (section,) = re.findall(
        rf"^## {heading}\n(.*?)(?=^## )", LAYERS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    for line in section.splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


@pytest.fixture(scope="module")
def written(production: Studio, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """Channels and attributes of a frame's ingredients with two faces in it."""
    folder = tmp_path_factory.mktemp("written")
    plate = open_plate(str(write_frame(folder / "p.1001.exr", astronaut(160)[:140])))
    image = plate.read(1001)
    model = production.open(production.model())
    measurements = Measurements(1.0, "", {1001: np.zeros((blend.GRID, blend.GRID, 3), np.float16)})
    targets = [
        render.Target(plate, model, {1001: face(80, 70, 60)}, measurements, SwapParameters(), (), suffix)
        for suffix in ("", "2")
    ]
    swaps = {target.suffix: render.swap_face(target, image, frame=1001, everything=True) for target in targets}
    picture = render.compose(image, swaps, plate=plate, everything=True)
    hints = output.header(key="0", targets=targets, pictures=[picture], consents={"id": "hash"}, frame=1001)
    output.write([picture], folder / "out.1001.exr", layers="ingredients", hints=hints)
    return exr.read_channels(folder / "out.1001.exr")


def test_the_table_of_layers_is_what_is_written(written: tuple[dict[str, Any], dict[str, Any]]):
    channels, _ = written
    kinds = {np.dtype(np.float16): "half", np.dtype(np.float32): "float"}
    made = {channel: kinds[pixels.dtype] for channel, pixels in channels.items() if channel not in ("R", "G", "B")}
    table: dict[str, str] = {}
    for cell, kind, _ in rows("Ingredients"):
        layer, _, letters = cell.strip("`").partition(".")
        table |= {f"{layer}.{letter}": kind for letter in letters.split("/")}
    first = {channel: kind for channel, kind in made.items() if not channel.partition(".")[0].endswith("2")}
    assert table == first
    second = {channel.replace("2.", "."): kind for channel, kind in made.items() if channel not in first}
    assert second == {channel: kind for channel, kind in table.items() if not channel.startswith("delta.")}


def test_the_table_of_the_header_is_what_is_written(written: tuple[dict[str, Any], dict[str, Any]]):
    _, attributes = written
    table = [cells[0].strip("`") for cells in rows("Header")]
    assert sorted(table) == sorted(name for name in attributes if name.startswith("vfxswap:"))


@every_page
def test_layers_and_hints_that_are_named_exist(page: Path, written: tuple[dict[str, Any], dict[str, Any]]):
    channels, attributes = written
    spans = [span for span in _SPAN.findall(prose(page.read_text(encoding="utf-8"))) if " " not in span]
    for span in spans:
        if span.startswith("vfxswap:") and not span.endswith(":*"):
            assert span in attributes
        # A further face has a number, another view its name: matte2.right.model.
        found = re.fullmatch(r"(face|raw|gain|delta|matte|quality|stmap)\d?(?:\.(?:left|right))?\.(\w+)", span)
        if found and found[2] != "py":
            assert f"{found[1]}.{found[2]}" in channels, span
