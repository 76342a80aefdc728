"""`vfxswap doctor`: what works on this machine, and what to do about the rest. Nothing is changed or fetched."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Annotated, Literal

import typer

from vfxswap import __version__, infer
from vfxswap.cli.common import Debug, shipped
from vfxswap.color import ColorConfig
from vfxswap.errors import ModelError, VfxSwapError
from vfxswap.trust import KeyRing

Status = Literal["ok", "off", "bad"]
"""ok: works. off: not here, and nothing that is needed. bad: has to be repaired."""

_LIBRARIES = (
    "numpy",
    "opencv-python",
    "OpenImageIO",
    "opencolorio",
    "fileseq",
    "pydantic",
    "cryptography",
    "pyblish-base",
)
_RUNTIMES = ("onnxruntime", "onnxruntime-gpu")


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    area: str
    name: str
    status: Status
    text: str


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    debug: Debug = False,
) -> None:
    """Show what works on this machine."""
    findings = list(examine())
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _print(findings)
    broken = [finding.name for finding in findings if finding.status == "bad"]
    if broken:
        raise VfxSwapError(f"needs repair: {', '.join(broken)}", hint="reinstall vfxswap, or see above")


def examine() -> Iterator[Finding]:
    """Every finding, area by area."""
    yield Finding("vfxswap", "version", "ok", f"{__version__} on Python {platform.python_version()}")
    yield from _libraries()
    yield from _devices()
    yield _color()
    yield _training()
    yield from _weights()
    yield _keyring()
    yield _hosts()


def _version(name: str) -> str:
    """The installed version of a distribution, empty when it is not there. Imports nothing."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _libraries() -> Iterator[Finding]:
    for name in _LIBRARIES:
        version = _version(name)
        yield Finding("library", name, "ok" if version else "bad", version or "is not installed")
    runtimes = [f"{name} {_version(name)}" for name in _RUNTIMES if _version(name)]
    if len(runtimes) == 1:
        yield Finding("library", "onnxruntime", "ok", runtimes[0])
    else:
        text = " and ".join(runtimes) + ": they overwrite each other; uninstall both, then install one again"
        yield Finding("library", "onnxruntime", "bad", text)


def _devices() -> Iterator[Finding]:
    for provider, problem in infer.providers().items():
        name = provider.removesuffix("ExecutionProvider").lower()
        if name == "cpu":
            yield Finding("device", name, "ok", f"{os.cpu_count()} logical cores")
        else:
            yield Finding("device", name, "off" if problem else "ok", problem or "usable")


def _color() -> Finding:
    source = "from $OCIO" if os.environ.get("OCIO") else "built in"
    try:
        config = ColorConfig.load()
    except VfxSwapError as error:
        return Finding("color", "OCIO config", "bad", str(error))
    return Finding("color", "OCIO config", "ok", f"{config.id} ({source}, {len(config.names())} color spaces)")


def _training() -> Finding:
    version = _version("torch")
    if not version:
        return Finding("training", "torch", "off", "not installed, rendering needs none; pip install 'vfxswap[train]'")
    return Finding("training", "torch", "ok", version)


def _weights() -> Iterator[Finding]:
    for role, entry in infer.catalog().items():
        text = f"{entry.name}, {entry.license}"
        try:
            infer.weights(role)
        except ModelError as error:
            yield Finding("weights", role, "bad", str(error))
            continue
        license_there = (infer.weights_folder() / entry.license_file).is_file()
        yield Finding("weights", role, "ok" if license_there else "bad", text if license_there else f"{text}: no text")


def _keyring() -> Finding:
    try:
        ring = KeyRing.load()
    except VfxSwapError as error:
        return Finding("consent", "key ring", "off", error.message)
    return Finding("consent", "key ring", "ok", f"{ring.folder}: {len(ring.keys)} keys")


def _hosts() -> Finding:
    folder = shipped("hosts")
    adapters = sorted(path.parent.name for path in folder.glob("*/*.py"))
    if not adapters:
        return Finding("hosts", "adapters", "off", "none in this version; job files and events work without them")
    return Finding("hosts", "adapters", "ok", ", ".join(dict.fromkeys(adapters)))


def _print(findings: list[Finding]) -> None:
    marks = {"ok": "ok ", "off": " - ", "bad": "BAD"}
    area = ""
    for finding in findings:
        label = finding.area if finding.area != area else ""
        area = finding.area
        typer.echo(f"{label:<9} {marks[finding.status]} {finding.name:<14} {finding.text}")
