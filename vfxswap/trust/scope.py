"""Identifiers, shots and scope globs.

A shot is always `project/sequence/shot`, a scope glob always has the same three parts, and no part can hold a
separator or a dot: a scope can then be compared part by part, and `../` tricks are not even spellable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Self

from vfxswap.trust.refusals import Rule, refusal

DEPTH = 3
IDENTIFIER = r"[A-Za-z0-9][A-Za-z0-9_-]*"
GLOB = r"[A-Za-z0-9_*?-]+"
LONGEST = 128
_IDENTIFIER = re.compile(IDENTIFIER, re.ASCII)
_GLOB = re.compile(GLOB, re.ASCII)


def is_identifier(text: str) -> bool:
    """Whether `text` is `[A-Za-z0-9][A-Za-z0-9_-]*` and at most 128 characters."""
    return len(text) <= LONGEST and _IDENTIFIER.fullmatch(text) is not None


def is_glob(text: str) -> bool:
    """Whether `text` is one glob part: identifier characters, `*` and `?`."""
    return len(text) <= LONGEST and _GLOB.fullmatch(text) is not None


def is_scope(text: str) -> bool:
    """Whether `text` is three glob parts joined by `/`."""
    parts = text.split("/")
    return len(parts) == DEPTH and all(is_glob(part) for part in parts)


def checked_identifier(text: str, *, what: str) -> str:
    """Return `text` if it is an identifier; raises ConsentError VS-CON-011 naming `what` otherwise."""
    if not is_identifier(text):
        raise refusal(
            Rule.IDENTIFIER,
            f"{what} {text!r} is not an identifier",
            hint="use letters, digits, '-' and '_', starting with a letter or digit",
        )
    return text


@dataclass(frozen=True)
class ShotId:
    """A shot, `project/sequence/shot`. Raises ConsentError VS-CON-011 when a part is not an identifier."""

    project: str
    sequence: str
    shot: str

    def __post_init__(self) -> None:
        for part in self.parts:
            checked_identifier(part, what="shot part")

    @property
    def parts(self) -> tuple[str, str, str]:
        """The three parts."""
        return (self.project, self.sequence, self.shot)

    def __str__(self) -> str:
        return "/".join(self.parts)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `PROJECT/SEQUENCE/SHOT`; raises ConsentError VS-CON-011."""
        parts = text.split("/")
        if len(parts) != DEPTH:
            raise refusal(
                Rule.IDENTIFIER,
                f"shot {text!r} has {len(parts)} parts, not {DEPTH}",
                hint="give --shot PROJECT/SEQUENCE/SHOT",
            )
        return cls(*parts)

    @classmethod
    def local(cls, folder_name: str) -> Self:
        """The shot of a plate that was given no `--shot`: `local/local/<folder name>`.

        Characters that no identifier has become `-`; different folders may so share one identifier.
        """
        clean = re.sub(r"[^A-Za-z0-9_-]", "-", folder_name, flags=re.ASCII).lstrip("_-")[:LONGEST]
        return cls("local", "local", clean or "unnamed")


def matches_any(shot: ShotId, globs: Iterable[str], *, ignore_case: bool = False) -> bool:
    """Whether one of the scope globs matches `shot`, part by part.

    A glob of another depth matches nothing. `ignore_case` is for exclusions: `Sq099` must not slip past `sq099`.
    """
    fold = str.lower if ignore_case else str
    parts = [fold(part) for part in shot.parts]
    for glob in globs:
        patterns = fold(glob).split("/")
        if len(patterns) == DEPTH and all(map(fnmatchcase, parts, patterns)):
            return True
    return False
