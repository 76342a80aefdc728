"""The artist's word on crops: kept or dropped by name, recorded in the faceset, above every measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from vfxswap.errors import UsageError
from vfxswap.faceset import quarantine
from vfxswap.faceset.crops import Row, Verdict
from vfxswap.faceset.index import Faceset, load, write


def edit(
    folder: Path,
    *,
    keep: Sequence[str] = (),
    drop: Sequence[str] = (),
    forget: Sequence[str] = (),
    note: str = "",
) -> Faceset:
    """Record what an artist says of crops, judge the rest again in its light, and write the faceset.

    Args:
        folder: of the faceset.
        keep: names of crops that are used whatever was measured; `*` and `?` stand for many.
        drop: names of crops that are not used.
        forget: names of crops whose word is taken back: they are judged by their figures again.
        note: why, recorded with each of them.

    Raises:
        FacesetError: no faceset. UsageError: a name that no crop has, or two words for one crop.
    """
    there = load(folder)
    words: dict[str, Verdict | None] = {}
    lists: tuple[tuple[Verdict | None, Sequence[str]], ...] = (("keep", keep), ("drop", drop), (None, forget))
    for word, patterns in lists:
        for name in _named(there, patterns):
            if words.setdefault(name, word) != word:
                raise UsageError(f"two different words for {name}", hint="give each crop one")
    rows = quarantine.judge(
        [_with_word(row, words, note) for row in there.rows()], size=there.size, performer=there.performer
    )
    return write(
        folder,
        performer=there.performer,
        size=there.size,
        config=there.config,
        consents=there.consents,
        plates=there.plates,
        limits=quarantine.LIMITS.to_json(),
        rows=rows,
    )


def _with_word(row: Row, words: dict[str, Verdict | None], note: str) -> Row:
    if row.crop.name not in words:
        return row
    word = words[row.crop.name]
    return replace(row, crop=replace(row.crop, verdict=word, note=note if word else ""))


def _named(there: Faceset, patterns: Sequence[str]) -> list[str]:
    names = [crop.name for crop in there.crops]
    found = []
    for pattern in patterns:
        matching = [name for name in names if fnmatchcase(name, pattern)]
        if not matching:
            raise UsageError(f"no crop is named {pattern!r}", hint=f"names are such as {', '.join(names[:3])}")
        found += matching
    return found
