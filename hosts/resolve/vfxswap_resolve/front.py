"""How an artist is spoken to: a window where UIManager may be used, else the console."""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, Protocol

from vfxswap_bridge import BridgeError
from vfxswap_resolve import api
from vfxswap_resolve.clips import SCOPES
from vfxswap_resolve.settings import ACTIONS, Settings, text

_GATED = (19, 1)
"""From this version on UIManager is Studio's, and touching it on the free edition opens a dialog."""


class Front(Protocol):
    """What a run needs of either."""

    def settings(self, last: Settings) -> Settings | None:
        """What to do; None: nothing."""

    def question(self, key: str, asked: str) -> str:
        """An answer; empty for none."""

    def watch(self, what: str, done: int, total: int) -> bool:
        """Show how far it is; whether to go on."""

    def tell(self, said: str) -> None:
        """Say a line."""

    def close(self) -> None:
        """There is nothing more to say."""


def window_possible(resolve: api.Resolve, fusion: Any) -> bool:
    """Whether UIManager may be touched."""
    if api.free_edition(resolve) and api.version(resolve) >= _GATED:
        return False
    return fusion is not None and getattr(fusion, "UIManager", None) is not None


FIELDS = (
    ("action", f"What to do: {', '.join(ACTIONS)}"),
    ("scope", f"Which clips: {', '.join(SCOPES)}"),
    ("model", "Model (.vfxmodel)"),
    ("consents", "Signed consents, separated by ;"),
    ("keyring", "Key ring (empty: the machine's)"),
    ("shot", "Shot, PROJECT/SEQUENCE/SHOT ({project}, {timeline}, {clip} are filled in)"),
    ("face", "Face: index, name or X,Y"),
    ("folder", "Folder of the results"),
    ("handles", "Handles, frames"),
    ("device", "Device: auto, cpu, cuda"),
    ("color_space", "Color space (OCIO) where Resolve does not say (empty: ask)"),
)
"""Settings that are asked for -> what for."""


def shown(settings: Settings, name: str) -> str:
    """A setting as text."""
    value = getattr(settings, name)
    return "; ".join(value) if isinstance(value, tuple) else str(value)


def taken(settings: Settings, said: dict[str, str]) -> Settings:
    """Settings with what an artist wrote; raises BridgeError for a number that is none."""
    changes: dict[str, Any] = {}
    for name, words in said.items():
        before = getattr(settings, name)
        if isinstance(before, tuple):
            changes[name] = tuple(part.strip() for part in words.split(";") if part.strip())
        elif isinstance(before, int):
            try:
                changes[name] = int(words)
            except ValueError as error:
                raise BridgeError(f"{name} is {words!r}", "a whole number is expected") from error
        else:
            changes[name] = words.strip()
    return dataclasses.replace(settings, **changes)


class Console:
    """Resolve's console, or a terminal. Where nothing can be typed the last settings are used as they are.

    Args:
        file: of the last settings, for an artist who wants others.
        read: gives a line; raises EOFError, OSError or RuntimeError where nothing can be typed.
        write: prints a line.
    """

    def __init__(self, file: str, read: Callable[[str], str] = input, write: Callable[[str], None] = print) -> None:
        self._file, self._read, self._write = file, read, write
        self._typed = True
        self._last = ("", -1)

    def settings(self, last: Settings) -> Settings | None:
        """Ask for each; a line without text keeps what it was."""
        said = {}
        self._write("vfxswap: press return to keep what is in brackets")
        for name, label in FIELDS:
            answer = self._line(f"{label} [{shown(last, name)}]: ")
            if not self._typed:
                self._write(f"vfxswap: nothing can be typed here; the settings are those of {self._file}:")
                self._write(text(last))
                return last
            if answer.strip():
                said[name] = answer
        return taken(last, said)

    def question(self, key: str, asked: str) -> str:
        """Ask, if anything can be typed."""
        answer = self._line(f"vfxswap: {asked} ") if self._typed else ""
        if not self._typed:
            self._write(f'vfxswap: {asked} Write it into {self._file} as "answers": {{"{key}": "..."}}')
        return answer.strip()

    def watch(self, what: str, done: int, total: int) -> bool:
        """A line for every tenth."""
        now = (what, 10 * done // total if total else 0)
        if now != self._last:
            self._last = now
            self._write(f"vfxswap: {what} {done}/{total}")
        return True

    def tell(self, said: str) -> None:
        """Print."""
        self._write(f"vfxswap: {said}")

    def close(self) -> None:
        """Nothing to close."""

    def _line(self, label: str) -> str:
        try:
            return self._read(label)
        except (EOFError, OSError, RuntimeError):
            self._typed = False
            return ""
