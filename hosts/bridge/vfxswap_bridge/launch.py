"""How vfxswap is found and in which environment it runs: its own, not the host's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from vfxswap_bridge.errors import BridgeError

PYTHON = "VFXSWAP_PYTHON"
"""Variable that names the Python which has vfxswap."""

LIBRARIES = "VFXSWAP_LD_LIBRARY_PATH"
"""Variable with the library path of the worker, where it needs one."""

_DROPPED = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONEXECUTABLE", "LD_LIBRARY_PATH", "LD_PRELOAD")
_DROPPED_PREFIXES = ("QT_", "DYLD_")


def command(environ: Mapping[str, str] | None = None) -> list[str]:
    """The words that start vfxswap.

    Raises:
        BridgeError: it is nowhere.
    """
    known = os.environ if environ is None else environ
    python = known.get(PYTHON, "").strip()
    if python:
        found = shutil.which(os.path.expanduser(python), path=known.get("PATH"))
        if found is None:
            raise BridgeError(
                f"{PYTHON} is {python!r}, which is no program", "point it to the Python that has vfxswap installed"
            )
        return [found, "-m", "vfxswap"]
    script = shutil.which("vfxswap", path=known.get("PATH"))
    if script is None:
        raise BridgeError(
            "vfxswap was not found on this machine",
            f"run `vfxswap hosts install nuke` where it is installed, or set {PYTHON} to its Python",
        )
    return [script]


def environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The worker's environment: the host's without what would load the host's libraries; OCIO stays."""
    known = os.environ if environ is None else environ
    kept = {
        name: value for name, value in known.items() if name not in _DROPPED and not name.startswith(_DROPPED_PREFIXES)
    }
    kept["PYTHONUTF8"] = "1"
    if known.get(LIBRARIES):
        kept["LD_LIBRARY_PATH"] = known[LIBRARIES]
    return kept
