"""What a model and a consent say of themselves, read without vfxswap: for the panel only, nothing is decided here."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterable
from typing import Any


def model(path: str) -> str:
    """A line about a .vfxmodel."""
    if not path:
        return "no model"
    try:
        with zipfile.ZipFile(path) as archive:
            card = json.loads(archive.read("manifest.json"))
        performers = card["performers"]
        words = f"{performers['likeness']} over {performers['double']}, {card['resolution']} px, {card['encoding']}"
    except FileNotFoundError:
        return "no such file"
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return "not a .vfxmodel"
    precision = card.get("precision", "fp32")
    return words if precision == "fp32" else f"{words}, {precision}"


def consents(paths: Iterable[str]) -> str:
    """A line about consents, as they say; whether they hold is checked by every run."""
    told = []
    for path in paths:
        try:
            with open(path, encoding="utf-8") as file:
                said: dict[str, Any] = json.load(file)["payload"]
            told.append(f"{said['performer']['id']} ({', '.join(said['roles'])}, until {said['not_after'][:10]})")
        except (OSError, ValueError, KeyError, TypeError):
            told.append(f"{os.path.basename(path)}: unreadable")
    return "; ".join(told) or "no consent given"
