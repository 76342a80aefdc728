"""What `vfxswap doctor` says of one thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "off", "look", "bad"]
"""ok: works. off: not here, and nothing that is needed. look: works, somebody should look. bad: has to be repaired."""


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        area: what it belongs to: library, device, color ...
        name: the thing.
        status: how it is.
        text: what was found.
        remedy: what to do about it; empty where there is nothing to do.
    """

    area: str
    name: str
    status: Status
    text: str
    remedy: str = ""
