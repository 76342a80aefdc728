"""The job file: what is to be done, in the schema `vfxswap.job/1`.

Only names are checked here; values are the worker's business, which says what is wrong with them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from vfxswap_bridge import files
from vfxswap_bridge.errors import BridgeError

SCHEMA = "vfxswap.job/1"

FIELDS = (
    "schema",
    "host",
    "host_version",
    "shot",
    "plate",
    "frames",
    "view",
    "part",
    "face",
    "color_config",
    "color_config_hash",
    "color_context",
    "color_space",
    "lens",
    "model",
    "model_sha256",
    "consents",
    "keyring",
    "track",
    "measurements",
    "matte",
    "also",
    "output",
    "layers",
    "passes",
    "device",
    "overwrite",
    "parameters",
)
"""Every field of a job."""

PARAMETERS = ("mix", "relight", "match", "band_coarse", "band_middle", "band_fine", "steady", "edge_erode",
              "edge_feather", "edge_top", "edge_right", "edge_bottom", "edge_left", "highlights", "skin_tone", "person",
              "hands", "grain", "defocus", "sharpen", "motion_blur", "shutter")  # fmt: skip
"""Every knob of `parameters`."""


def write(path: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Write a job file, whole or not at all; fields that are None are left out.

    Returns:
        What was written.

    Raises:
        BridgeError: a field that no job has, or the file cannot be written.
    """
    job = {"schema": SCHEMA, **{name: value for name, value in fields.items() if value is not None}}
    parameters = job.get("parameters", {})
    unknown = [name for name in job if name not in FIELDS] + [name for name in parameters if name not in PARAMETERS]
    if unknown:
        raise BridgeError(f"a job has no field {unknown[0]!r}", "host and bridge are of different versions")
    files.write_text(path, json.dumps(job, indent=2, ensure_ascii=False) + "\n")
    return job


def read(path: str) -> dict[str, Any]:
    """A job file as it is; raises BridgeError where it is none."""
    try:
        with open(path, encoding="utf-8") as file:
            job = json.load(file)
    except OSError as error:
        raise BridgeError(f"cannot read the job {path}: {error.strerror}", "run the node again") from error
    except ValueError as error:
        raise BridgeError(f"the job {path} is not JSON: {error}", "run the node again") from error
    if not isinstance(job, dict) or job.get("schema") != SCHEMA:
        raise BridgeError(f"{path} is no job of this version", f"its schema is to be {SCHEMA}")
    return job
