"""Where Resolve looks for a user's scripts, and the script that `vfxswap hosts install resolve` puts there."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Final

SCRIPT: Final = "VfxSwap.py"
"""Its name is what the menu shows: Workspace > Scripts > VfxSwap."""

_BELOW: Final = "Fusion/Scripts/Utility"
"""Scripts of this folder are in the menu on every page."""


def folder(environ: Mapping[str, str], home: Path, platform: str = sys.platform) -> Path:
    """The folder of a user's scripts for every page: of Resolve's documentation, by operating system."""
    if platform.startswith("win"):
        base = environ.get("APPDATA") or str(PureWindowsPath(home) / "AppData" / "Roaming")
        return Path(base) / "Blackmagic Design" / "DaVinci Resolve" / "Support" / _BELOW
    if platform == "darwin":
        return home / "Library" / "Application Support" / "Blackmagic Design" / "DaVinci Resolve" / _BELOW
    return Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "DaVinciResolve" / _BELOW


def block(hosts: Path, python: str) -> str:
    """The lines of the script: they lead to the shipped one, so that an update of vfxswap is one of the script too."""
    shipped = PurePosixPath(hosts.as_posix()) / SCRIPT
    return "\n".join(
        [
            "try:",
            "    import os",
            f"    os.environ.setdefault('VFXSWAP_PYTHON', {python!a})",
            f"    VFXSWAP_RESOLVE = {hosts.as_posix()!a}",
            f"    with open({str(shipped)!a}, 'rb') as opened:",
            f"        code = compile(opened.read(), {str(shipped)!a}, 'exec')",
            "    exec(code, dict(globals()))",
            "except Exception as error:",
            "    print('vfxswap: it is not available: %s; run `vfxswap hosts install resolve`' % error)",
        ]
    )
