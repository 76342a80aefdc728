"""What `vfxswap doctor` says of libraries, devices, color, weights and disks."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from vfxswap import __version__, infer
from vfxswap.cli.finding import Finding
from vfxswap.color import ColorConfig
from vfxswap.errors import ModelError, VfxSwapError

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
_REINSTALL = "pip install --force-reinstall vfxswap"

_GIB = 2**30
_SCARCE, _LITTLE = 1 * _GIB, 20 * _GIB

# SPDX identifiers of licences that a legal department knows and that ask for no more than their text.
_PERMISSIVE = frozenset({"MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "ISC"})


def version() -> Finding:
    """This package and its Python."""
    return Finding("vfxswap", "version", "ok", f"{__version__} on Python {platform.python_version()}")


def distribution(name: str) -> str:
    """The installed version of a distribution, empty when it is not there. Imports nothing."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def libraries() -> Iterator[Finding]:
    """What rendering needs, and that there is one ONNX Runtime."""
    for name in _LIBRARIES:
        found = distribution(name)
        yield Finding(
            "library", name, "ok" if found else "bad", found or "is not installed", "" if found else _REINSTALL
        )
    runtimes = [f"{name} {distribution(name)}" for name in _RUNTIMES if distribution(name)]
    if len(runtimes) == 1:
        yield Finding("library", "onnxruntime", "ok", runtimes[0])
    else:
        remedy = f"pip uninstall {' '.join(_RUNTIMES)}, then {_REINSTALL}"
        text = " and ".join(runtimes) + ": they overwrite each other" if runtimes else "is not installed"
        yield Finding("library", "onnxruntime", "bad", text, remedy)


def devices() -> Iterator[Finding]:
    """Where networks run, and why not on a GPU. CUDA that looks usable runs a network before it is called so."""
    yield Finding("device", "cpu", "ok", f"{_usable_cores()} of {os.cpu_count()} logical cores")
    problem = infer.providers()[infer.CUDA]
    if problem:
        yield Finding("device", "cuda", "off", f"not used: {problem}", infer.cuda_remedy())
    else:
        try:
            infer.session(infer.weights("detector"), device="cuda")
        except ModelError as error:
            yield Finding("device", "cuda", "look", f"not used: {error.message}", error.hint)
        else:
            yield Finding("device", "cuda", "ok", "usable: a network was loaded on it")
    asked = [name.removesuffix("ExecutionProvider") for name in infer.built_with()]
    yield Finding("device", "providers", "ok", f"{', '.join(asked)}; only CUDA and CPU are ever asked for")


def _usable_cores() -> int:
    """Logical cores that this process may use: a container or a farm's slot often has fewer than the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def telemetry() -> Finding:
    """That ONNX Runtime tells its maker nothing: `vfxswap/__init__.py` sees to it before it is loaded."""
    off = os.environ.get("ORT_DISABLE_TELEMETRY") == "1"
    if off:
        return Finding("network", "telemetry", "ok", f"onnxruntime {infer.runtime_version()}: off; nothing is fetched")
    return Finding(
        "network", "telemetry", "bad", "onnxruntime may report what it runs", "export ORT_DISABLE_TELEMETRY=1"
    )


def color(config: str) -> Finding:
    """The OCIO config that plates are read with."""
    source = "--color-config" if config else "$OCIO" if os.environ.get("OCIO", "").strip() else "built in"
    try:
        found = ColorConfig.load(config or None)
    except VfxSwapError as error:
        return Finding("color", "OCIO config", "bad", error.message, error.hint)
    text = f"{found.id} ({source}, {len(found.names())} color spaces, working space {found.working_space})"
    return Finding("color", "OCIO config", "ok", text)


def training() -> Finding:
    """torch, which only training wants."""
    found = distribution("torch")
    if not found:
        return Finding(
            "training", "torch", "off", "not installed; rendering needs none", "pip install 'vfxswap[train]'"
        )
    return Finding("training", "torch", "ok", found)


def weights() -> Iterator[Finding]:
    """The vendored networks: their sha256, their licences and the texts of them."""
    for role, entry in infer.catalog().items():
        try:
            infer.weights(role)
        except ModelError as error:
            yield Finding("weights", role, "bad", error.message, error.hint)
            continue
        text = f"{entry.name}, {entry.license}, sha256 {entry.sha256[:12]}"
        if not (infer.weights_folder() / entry.license_file).is_file():
            yield Finding("weights", role, "bad", f"{text}: the licence's text is missing", _REINSTALL)
        elif entry.license not in _PERMISSIVE:
            yield Finding("weights", role, "look", f"{text}: not a licence known to be permissive", "read its text")
        else:
            yield Finding("weights", role, "ok", text)


def disk(output: Path) -> Iterator[Finding]:
    """Room where frames and temporary files go."""
    there = output.absolute()
    while not there.exists():
        there = there.parent
    for name, folder in (("output", there), ("temporary", Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(folder).free
        text = f"{folder}: {free / _GIB:.1f} GiB free"
        if not os.access(folder, os.W_OK):
            yield Finding("disk", name, "bad", f"{folder}: this user may not write there", "give --output DIR")
        elif free < _SCARCE:
            yield Finding("disk", name, "bad", text, "make room, or work on another disk")
        elif free < _LITTLE:
            yield Finding(
                "disk",
                name,
                "look",
                text,
                "a long shot's ingredients may need more: make room, or work on another disk",
            )
        else:
            yield Finding("disk", name, "ok", text)
