"""What `vfxswap doctor` says of the programs that hand it work: which are here, and which know it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from vfxswap.cli import hosts as installing
from vfxswap.cli.common import shipped
from vfxswap.cli.finding import Finding
from vfxswap.errors import OutputError

_TITLES: Final = {"nuke": "Nuke", "resolve": "Resolve"}


def programs(environ: Mapping[str, str], platform: str = sys.platform) -> dict[str, list[str]]:
    """Host -> patterns of where its makers' installers put it on this operating system."""
    if platform.startswith("win"):
        base = environ.get("ProgramFiles") or r"C:\Program Files"
        return {
            "nuke": [f"{base}/Nuke*/Nuke*.exe"],
            "resolve": [f"{base}/Blackmagic Design/DaVinci Resolve/Resolve.exe"],
        }
    if platform == "darwin":
        return {
            "nuke": ["/Applications/Nuke*/Nuke*.app"],
            "resolve": ["/Applications/DaVinci Resolve/DaVinci Resolve.app"],
        }
    return {
        "nuke": ["/usr/local/Nuke*/Nuke[0-9]*", "/opt/Nuke*/Nuke[0-9]*"],
        "resolve": ["/opt/resolve/bin/resolve"],
    }


def found(patterns: list[str]) -> list[Path]:
    """The folders of the programs that match, one for each installation."""
    matches: list[Path] = []
    for pattern in map(Path, patterns):
        matches += Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor)))
    return sorted({match.parent for match in matches})


def hosts() -> Iterator[Finding]:
    """Each host: whether it is on this machine, and whether it knows this installation."""
    if not any(shipped("hosts").glob("*/*.py")):
        yield Finding("hosts", "adapters", "bad", "the files for hosts are missing", "install vfxswap again")
        return
    places = programs(os.environ)
    for name, host in installing.HOSTS.items():
        here = found(places[name])
        where = ", ".join(str(path) for path in here) if here else "not found where its installer puts it"
        try:
            state, file = installing.state(name)
        except OutputError as error:
            yield Finding("hosts", _TITLES[name], "look", f"{where}; {error.message}", error.hint)
            continue
        by_path = bool(host.variable) and str(shipped("hosts") / name) in os.environ.get(host.variable, "").split(
            os.pathsep
        )
        install = f"vfxswap hosts install {name}"
        if state == "stale":
            yield Finding("hosts", _TITLES[name], "look", f"{where}; {file} leads to another vfxswap", install)
        elif state == "current" or by_path:
            how = f"{file} leads here" if state == "current" else f"${host.variable} leads here"
            yield Finding("hosts", _TITLES[name], "ok", f"{where}; {how}")
        else:
            yield Finding("hosts", _TITLES[name], "off", f"{where}; it does not know vfxswap", install if here else "")


def farms() -> Iterator[Finding]:
    """The clients of render farms that jobs can be submitted with from here."""
    beside = str(Path(sys.executable).parent)
    python = os.environ.get("VFXSWAP_OPENCUE_PYTHON", "")
    outline = python or ("pyoutline" if importlib.util.find_spec("outline") else "")
    yield _farm("openjd", _program("openjd", beside), "pip install 'vfxswap[farm]'")
    yield _farm("opencue", outline, "pip install opencue-pyoutline packaging, or set VFXSWAP_OPENCUE_PYTHON")
    deadline = _program("deadlinecommand", os.environ.get("DEADLINE_PATH", ""))
    yield _farm("deadline", deadline, "install the Deadline client, or set DEADLINE_PATH")


def _program(name: str, folder: str) -> str:
    return shutil.which(name, path=os.pathsep.join([folder, os.environ.get("PATH", "")])) or ""


def _farm(engine: str, client: str, remedy: str) -> Finding:
    if client:
        return Finding("farm", engine, "ok", client)
    text = "its client is not on this machine; farm submit --dry-run needs none"
    return Finding("farm", engine, "off", text, remedy)
