"""What a cached render was made from, as one short text: where it differs from now, the cache is stale."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

_NOT_PIXELS = (
    "schema",
    "host",
    "host_version",
    "frames",
    "consents",
    "keyring",
    "output",
    "device",
    "overwrite",
    "color_config_hash",
    "model_sha256",
)
"""Fields of a job that do not change what a frame looks like."""


def fingerprint(job: Mapping[str, Any], *, files: Iterable[str] = (), upstream: str = "") -> str:
    """32 hexadecimal digits that change when a frame may look different.

    Args:
        job: the job's fields.
        files: what it reads: plate, mattes; a file counts by its size and time. The job's model, track and
            measurements are looked at without being named here.
        upstream: the host's own word for what is above the node, where the plate is not read from files.
    """
    fields = {name: value for name, value in sorted(job.items()) if name not in _NOT_PIXELS and value not in (None, "")}
    named = [str(job[name]) for name in ("model", "track", "measurements") if job.get(name)]
    facts: list[Any] = [fields, upstream, sorted(_facts(path) for path in {*named, *files})]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:32]


def _facts(path: str) -> list[Any]:
    try:
        found = os.stat(path)
    except OSError:
        return [path, -1, 0]
    return [path, found.st_size, found.st_mtime_ns]
