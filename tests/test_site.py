"""The documentation's site: built strictly, without a network, from pages and from the program itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vfxswap import cli
from vfxswap.job import FaceSwap, SwapJob, SwapParameters

from . import support

ROOT = Path(__file__).parents[1]

NO_NETWORK = """
import socket
def refuse(*_, **__):
    raise RuntimeError("the network was asked for")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
"""


def _reference() -> ModuleType:
    return support.script(ROOT / "tools" / "docs_reference.py")


PAGES: dict[str, str] = _reference().pages(ROOT)


def options(command: Any) -> set[str]:
    if hasattr(command, "commands"):
        return {flag for one in command.commands.values() for flag in options(one)}
    return {flag for one in command.params for flag in getattr(one, "opts", ()) if not getattr(one, "hidden", False)}


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_reference_has_every_command_and_option(name: str) -> None:
    text = PAGES["reference/commands.md"]
    section = re.split(r"^## ", text.partition(f"## vfxswap {name}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    command = cli.load(name)
    for word in getattr(command, "commands", {}):
        assert f"### vfxswap {name} {word}\n" in section
    missing = {flag for flag in options(command) if flag.startswith("--") and f"`{flag}`" not in section}
    assert missing - {"--help"} == set()


def test_the_reference_has_every_field_of_a_job() -> None:
    text = PAGES["reference/job.md"]
    for record in (SwapJob, FaceSwap, SwapParameters):
        for name, field in record.model_fields.items():
            rows = [line for line in text.splitlines() if line.startswith(f"| `{field.alias or name}` |")]
            words = " ".join((field.description or "").split()).replace("|", "\\|")
            assert words, f"{name} says nothing of itself"
            assert any(words in row for row in rows), name


def test_the_least_job_is_one(tmp_path: Path) -> None:
    text = PAGES["reference/job.md"].partition("```json\n")[2].partition("```")[0]
    (tmp_path / "job.json").write_text(text)
    assert SwapJob.load(tmp_path / "job.json").frames == ""


class Outside(HTMLParser):
    """What a browser would fetch from elsewhere by itself: links that somebody has to click are none."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag == "a" or given.get("rel") == "canonical":
            return
        self.found += [
            text for key in ("src", "href", "data") if re.match(r"(https?:)?//", text := given.get(key) or "")
        ]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("material", reason="the group docs is not installed: make docs")
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(NO_NETWORK)
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder / "site")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(folder), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


@pytest.mark.slow
def test_the_site_is_built_strictly_and_without_a_network(site: Path) -> None:
    """Strict: a dead link, a dead anchor or a page that nothing leads to is an error."""
    assert {"index.html", "cli.html", "start", "reference", "decisions", "search"} <= {
        one.name for one in site.iterdir()
    }
    assert len(list(site.rglob("*.html"))) > len(list((ROOT / "docs").rglob("*.md")))


@pytest.mark.slow
def test_nothing_is_fetched_when_it_is_read(site: Path) -> None:
    outside = {}
    for page in site.rglob("*.html"):
        parser = Outside()
        parser.feed(page.read_text(encoding="utf-8"))
        if parser.found:
            outside[page.name] = parser.found
    assert outside == {}
    for sheet in site.rglob("*.css"):
        assert re.findall(r"url\(['\"]?(?:https?:)?//", sheet.read_text(encoding="utf-8")) == [], sheet.name


@pytest.mark.slow
def test_pages_are_in_the_navigation(site: Path) -> None:
    home = (site / "concepts.html").read_text(encoding="utf-8")
    for name in ("start/compositor", "start/editor", "start/td", "start/producer", "reference/commands", "config"):
        assert f'href="{name}.html"' in home, name


@pytest.mark.slow
def test_code_in_tables_is_as_it_is_typed(site: Path) -> None:
    assert "<code>--view NAME|all</code>" in (site / "cli.html").read_text(encoding="utf-8")
