"""What every host needs to hand work to vfxswap: a job file, a worker process, its events, its end.

Standard library only and Python 3.9, because it runs in the host's own interpreter. It never imports the `vfxswap`
package: the job file and the events are the boundary.
"""

from __future__ import annotations

from vfxswap_bridge.errors import BridgeError
from vfxswap_bridge.events import parse
from vfxswap_bridge.files import sha256
from vfxswap_bridge.handle import Handle, Outcome
from vfxswap_bridge.job import FIELDS, PARAMETERS, SCHEMA, read, write
from vfxswap_bridge.launch import command, environment
from vfxswap_bridge.stale import fingerprint
from vfxswap_bridge.worker import WarmWorker, background, call, start

__all__ = [
    "FIELDS",
    "PARAMETERS",
    "SCHEMA",
    "BridgeError",
    "Handle",
    "Outcome",
    "WarmWorker",
    "background",
    "call",
    "command",
    "environment",
    "fingerprint",
    "parse",
    "read",
    "sha256",
    "start",
    "write",
]
