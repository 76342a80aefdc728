"""What a job makes on the way (tracks, measurements), kept beside its output and keyed by what it depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

FOLDER = ".vfxswap"


def key(*facts: object) -> str:
    """A name for "made from exactly these": 20 hex digits of a sha256."""
    return hashlib.sha256("\0".join(str(fact) for fact in facts).encode()).hexdigest()[:20]


@dataclass(frozen=True)
class Cache:
    """Files under `<folder>/<name>/`."""

    folder: Path
    name: str

    def path(self, file: str) -> Path:
        """Where `file` is, or would be."""
        return self.folder / self.name / file

    def get(self, file: str, make: Callable[[Path], None]) -> Path:
        """The path of `file`, made by `make(path)` when it is not there.

        `make` must write atomically and make the folder, so that one that fails leaves nothing. Two workers that
        start together may both make it, with the same content.
        """
        path = self.path(file)
        if not path.exists():
            make(path)
        return path
