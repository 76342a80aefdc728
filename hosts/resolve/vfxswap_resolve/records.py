"""Where results are, and what a marker says of them.

`<folder>/<project>/<clip>-<id>/` holds `plate/` where one was rendered and `v001/`, `v002/` ... with job and frames.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from typing import Any

from vfxswap_bridge import BridgeError, files
from vfxswap_resolve import api

KEY = "vfxswap"
"""Begins the custom data of a marker."""

TRACK = "vfxswap"
"""Name of the tracks and the bin that are ours."""


PLACED = "placed.json"
"""The file of a version that came onto a timeline."""


@dataclass(frozen=True)
class Record:
    """What a result on the timeline is of; it travels in the marker's custom data.

    Attributes:
        job: id of the job, as on the marker: how the sha256 of its job.json begins.
        plate: Resolve's id of the plate's timeline item.
        folder: of its versions.
        version: shown.
        start: record frame of the plate.
        end: record frame after it.
        source: frame of the plate's media at `start`.
        head: frames before the clip.
        first: number of the result's first frame.
        last: number of the result's last frame.
        part: whether it is of a marked part of its plate.
    """

    job: str
    plate: str
    folder: str
    version: int
    start: int
    end: int
    source: int
    head: int
    first: int
    last: int
    part: bool = False

    def text(self) -> str:
        """As custom data."""
        return json.dumps({KEY: 1, **asdict(self)}, sort_keys=True)


def parse(data: object) -> Record | None:
    """The record of a marker's custom data; None for another's."""
    try:
        found = json.loads(str(data))
        if not isinstance(found, dict) or found.pop(KEY, None) != 1:
            return None
        return Record(**found)
    except (ValueError, TypeError):
        return None


def of_item(item: api.TimelineItem) -> Record | None:
    """What an item is a result of; None for anything else."""
    for marker in (item.GetMarkers() or {}).values():
        record = parse(marker.get("customData", ""))
        if record is not None:
            return record
    return None


def safe(name: str) -> str:
    """A name that may be a folder anywhere, and a part of a shot."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_-") or "clip"


def folder_of(base: str, project: str, clip: str, identity: str) -> str:
    """The folder of a clip's versions."""
    short = hashlib.sha256(identity.encode()).hexdigest()[:8]
    root = os.path.expanduser(base).replace("\\", "/").rstrip("/")
    return f"{root}/{safe(project)}/{safe(clip)}-{short}"


def version_for(folder: str, plate: str, frames: str) -> int:
    """The version that a run writes: a new one, or the last if its run did not come to its end.

    What that one rendered is not lost then: the worker makes what is missing or stale.

    Args:
        folder: of the clip's versions.
        plate: pattern of the plate.
        frames: range of the plate.
    """
    try:
        names = os.listdir(folder)
    except OSError:
        names = []
    last = max((int(name[1:]) for name in names if re.fullmatch(r"v\d{3,}", name)), default=0)
    where = f"{folder}/v{last:03d}"
    job = recall(f"{where}/job.json")
    begun = isinstance(job, dict) and (job.get("plate"), job.get("frames")) == (plate, frames)
    return last if begun and not os.path.exists(f"{where}/{PLACED}") else last + 1


def make(folder: str) -> str:
    """Make a folder; raises BridgeError where it cannot be."""
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise BridgeError(f"cannot make {folder}: {error.strerror}", "choose another folder") from error
    return folder


def remember(path: str, facts: dict[str, Any]) -> None:
    """Write down what something was made from; raises BridgeError where it cannot be."""
    files.write_text(path, json.dumps(facts, indent=2) + "\n")


def recall(path: str) -> Any:
    """What was written down; None where nothing was."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None
