"""What every file from outside passes first: so many bytes and no more, JSON without surprises, versions told apart.

A file may be anything: an endless device, 2 GB of brackets, a number of a million digits, a later version of its
format. Readers turn what is raised here into their own error.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:  # the command line starts without it
    from pydantic import ValidationError

SMALL: Final = 4 << 20
"""Bytes of a document that people write: a job, defaults, path rules, a file of keys."""

LARGE: Final = 256 << 20
"""Bytes of a document that grows with frames or crops."""

_LONGEST, _LONGEST_PART = 4095, 255
_SCHEMA = re.compile(r"(?P<kind>vfxswap\.[a-z-]+)/(?P<number>[1-9][0-9]{0,5})")
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)
_HALF = re.compile(r"\\u[dD][89abAB]|\\u[dD][c-fC-F]")
_FIELDS = ("schema", "schema_")


class TooLargeError(ValueError):
    """A file has more bytes than its kind can have."""


def read_bytes(path: Path, *, most: int) -> bytes:
    """The bytes of `path`, never more than `most` of them in memory.

    Raises:
        OSError: as `open`. TooLargeError: there are more.
    """
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise TooLargeError(f"larger than {most >> 20} MiB")
    return data


def read_text(path: Path, *, most: int) -> str:
    """The UTF-8 text of `path`; raises as `read_bytes`, and UnicodeDecodeError."""
    return read_bytes(path, most=most).decode("utf-8")


def json_value(text: str | bytes, *, constants: bool = False) -> Any:
    """Parse JSON.

    Args:
        text: the document.
        constants: take NaN and Infinity, which JSON does not have, for a reader that refuses them by name.

    Raises:
        ValueError: whatever is wrong with it, too deep a nesting and endless numbers included.
    """
    try:
        value = json.loads(text, parse_constant=None if constants else _no_constant)
        if _HALF.search(text if isinstance(text, str) else text.decode("utf-8", "replace")):
            json.dumps(value, ensure_ascii=False).encode()  # half a character, which no file and no log takes
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except UnicodeEncodeError as error:
        raise ValueError("a text holds half a character") from error
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def nesting(text: str, *, most: int) -> int:
    """How deep the brackets of a JSON text go, counted no further than one more than `most`."""
    depth = deepest = 0
    for token in _TOKENS.finditer(text):
        sign = token[0]
        if sign in "[{":
            depth += 1
            deepest = max(deepest, depth)
            if deepest > most:
                break
        elif sign in "]}":
            depth -= 1
    return deepest


def path_problem(text: str | os.PathLike[str]) -> str:
    """Why `text` cannot name a file on any system, in words; empty when it can."""
    try:
        name = os.fsencode(text)
    except UnicodeEncodeError:
        return "it holds half a character"
    if b"\0" in name:
        return "it holds a NUL"
    parts = re.split(rb"[\\/]", name)
    if len(name) > _LONGEST or any(len(part) > _LONGEST_PART for part in parts):
        return f"it is longer than {_LONGEST_PART} bytes in one part, or {_LONGEST} altogether"
    return ""


def version_of(schema: object, *, kind: str) -> int | None:
    """The number in `vfxswap.<kind>/<number>`; None for anything else."""
    found = _SCHEMA.fullmatch(schema) if isinstance(schema, str) else None
    return int(found["number"]) if found and found["kind"] == f"vfxswap.{kind}" else None


def other_version(schema: object, known: str) -> tuple[str, str] | None:
    """What to say of a document of another version: (message, hint); None where it is of this one, or of no version.

    Args:
        schema: what the document says.
        known: what this vfxswap reads, such as `vfxswap.job/1`.
    """
    ours = _SCHEMA.fullmatch(known)
    theirs = _SCHEMA.fullmatch(schema) if isinstance(schema, str) else None
    if ours is None or theirs is None or theirs["kind"] != ours["kind"] or schema == known:
        return None
    newer = int(theirs["number"]) > int(ours["number"])
    return (
        f"schema {schema} is {'newer' if newer else 'older'} than this vfxswap reads ({known})",
        "update vfxswap" if newer else "make it again with this vfxswap",
    )


def version_problem(error: ValidationError) -> tuple[str, str] | None:
    """What `other_version` says of a document that pydantic refused; None where its version is not what is wrong."""
    for problem in error.errors(include_url=False):
        expected = str(problem.get("ctx", {}).get("expected", "")).strip("'")
        if problem["type"] == "literal_error" and problem["loc"] and problem["loc"][-1] in _FIELDS:
            return other_version(problem["input"], expected)
    return None
