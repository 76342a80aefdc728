"""The lines that a worker prints, one JSON object each."""

from __future__ import annotations

import json
from typing import Any

Event = dict[str, Any]

VERSION = 1
"""Of the lines; a newer one is read as far as it is understood."""


def parse(line: str) -> Event | None:
    """The event of a line, None for a line that is none: a library may print what it likes."""
    text = line.strip()
    if not text.startswith("{"):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("event"), str) else None
