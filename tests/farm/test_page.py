"""docs/farm.md lists every message of the farm's own code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "farm.md").read_text(encoding="utf-8")
FILES = [
    *(ROOT / "hosts" / "farm").rglob("*.py"),
    *(ROOT / "vfxswap" / "cli").glob("farm*.py"),
    ROOT / "vfxswap" / "color" / "bundling.py",
]


def _messages(path: Path) -> Iterator[str]:
    """The longest fixed part of the first argument of each error that is made."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and node.args and isinstance(node.func, ast.Name)):
            continue
        if not node.func.id.endswith(("Error", "Cancelled")):
            continue
        first = node.args[0]
        parts = first.values if isinstance(first, ast.JoinedStr) else [first]
        fixed = [str(part.value) for part in parts if isinstance(part, ast.Constant)]
        if fixed:
            yield max(fixed, key=len).strip(" :'").removesuffix(" (")


def _shell_messages(path: Path) -> Iterator[str]:
    """The fixed part of what a script tells openjd of a failure."""
    for found in re.findall(r"openjd_fail: ([^$\"]+)", path.read_text(encoding="utf-8")):
        yield found.strip()


MESSAGES = sorted(
    {message for path in FILES for message in _messages(path)}
    | {message for path in (ROOT / "hosts" / "farm").rglob("*.yaml") for message in _shell_messages(path)}
)


def test_there_are_messages() -> None:
    assert len(MESSAGES) > 20


@pytest.mark.parametrize("message", MESSAGES)
def test_every_message_is_on_the_page(message: str) -> None:
    assert message in PAGE
