"""What mkdocs asks while it builds the site: pages made from the program itself, and a navigation of what is there.

Generated pages have no files, so they cannot differ from the program: see docs_reference.py.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

import docs_reference
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

MORE = "More"

_UNLISTED = "decisions/"
"""Pages below it are found from its index, which lists them."""


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the generated pages; cut the navigation to what is there, and put what it does not name under More."""
    root = Path(config.config_file_path).parent
    for path, text in docs_reference.pages(root).items():
        files.append(File.generated(config, path, content=text))
    there = {file.src_uri for file in files.documentation_pages()}
    config.nav, named = _cut(config.nav, there)
    rest = sorted(there - named)
    decisions = [path for path in rest if path.startswith(_UNLISTED)]
    others = [path for path in rest if path not in decisions]
    for part in config.nav:
        if isinstance(part, dict) and "Project" in part:
            part["Project"] = [
                {"Decisions": ["decisions/index.md", *decisions]}
                if entry == {"Decisions": "decisions/index.md"}
                else entry
                for entry in part["Project"]
            ]
    if others:
        config.nav.append({MORE: others})
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """What GitHub reads otherwise: a pipe in code in a table, and links that are called as their file is."""
    folder = posixpath.dirname(page.file.src_uri)

    def titled(match: re.Match[str]) -> str:
        found = files.get_file_from_path(posixpath.normpath(posixpath.join(folder, match[1])))
        heading = found and re.search(r"^# (.+)$", found.content_string, re.MULTILINE)
        return f"[{heading[1]}]({match[1]}{match[2] or ''})" if heading else match[0]

    linked = re.sub(r"\[[\w/.-]+\.md\]\(([^)#\s:]+\.md)(#[^)]*)?\)", titled, markdown)
    lines = [
        re.sub(r"`[^`]*`", lambda span: span[0].replace("\\|", "|"), line) if line.startswith("|") else line
        for line in linked.split("\n")
    ]
    return "\n".join(lines)


def _cut(nav: Any, there: set[str]) -> tuple[Any, set[str]]:
    """A navigation without the pages that are not there, and the pages that it names."""
    if isinstance(nav, str):
        return (nav, {nav}) if nav in there else (None, set())
    if isinstance(nav, dict):
        ((title, inside),) = nav.items()
        kept, named = _cut(inside, there)
        return ({title: kept} if kept else None), named
    parts = [_cut(part, there) for part in nav]
    return [kept for kept, _ in parts if kept], {path for _, named in parts for path in named}
