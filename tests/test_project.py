"""The project itself: what importing costs, pins, licences, and that hosts stay apart from the core."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WEIGHTS = ROOT / "vfxswap" / "weights"


def imported_by(statement: str) -> set[str]:
    """Top-level names of the modules that are loaded after `statement` and were not before it."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # Python's own build record has a name that depends on the machine and is not in `sys.stdlib_module_names`.
    return {name.split(".")[0] for name in done.stdout.split() if not name.startswith("_sysconfigdata")}


def names(requirements: list[str]) -> set[str]:
    return {normal(re.split(r"[\s;<>=!~\[]", text, maxsplit=1)[0]) for text in requirements}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {normal(line.split("==")[0]): line for line in lines if line and not line.startswith("#")}


def test_the_package_imports_nothing() -> None:
    code = "import vfxswap, sys; print(*(name for name in sys.modules if name.startswith('vfxswap')))"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["vfxswap"]


@pytest.mark.parametrize("module", ["errors", "atomic", "events"])
def test_the_vocabulary_is_standard_library_only(module: str) -> None:
    assert imported_by(f"import vfxswap.{module}") <= sys.stdlib_module_names | {"vfxswap"}


def test_a_job_costs_no_heavy_library() -> None:
    allowed = {"vfxswap", "pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection"}
    assert imported_by("import vfxswap.job") <= sys.stdlib_module_names | allowed


HEAVY = {"torch", "onnxruntime", "OpenImageIO", "PyOpenColorIO", "cv2", "numpy", "pydantic"}


def test_the_command_line_starts_without_heavy_libraries() -> None:
    assert not imported_by("import vfxswap.cli") & HEAVY


@pytest.mark.parametrize("module", ["vfxswap.pipeline", "vfxswap.demo"])
def test_rendering_loads_no_torch(module: str) -> None:
    assert not imported_by(f"import {module}") & {"torch", "safetensors", "onnx"}


def test_one_onnxruntime_is_installed() -> None:
    installed = {normal(found.name) for found in metadata.distributions()}
    assert len(installed & {"onnxruntime", "onnxruntime-gpu"}) == 1


def test_no_machine_gets_two_onnxruntimes() -> None:
    from packaging.requirements import Requirement

    asked = [Requirement(text) for text in PROJECT["project"]["dependencies"] if text.startswith("onnxruntime")]
    machines = [
        ("linux", "x86_64", "onnxruntime-gpu"),
        ("win32", "AMD64", "onnxruntime-gpu"),
        ("linux", "aarch64", "onnxruntime"),
        ("darwin", "arm64", "onnxruntime"),
        ("darwin", "x86_64", "onnxruntime"),
        ("win32", "ARM64", "onnxruntime"),
    ]
    for system, processor, expected in machines:
        environment = {"sys_platform": system, "platform_machine": processor}
        chosen = [one.name for one in asked if one.marker is None or one.marker.evaluate(environment)]
        assert chosen == [expected]


def test_everything_the_project_asks_for_is_pinned() -> None:
    asked = names(PROJECT["project"]["dependencies"])
    asked |= names(PROJECT["project"]["optional-dependencies"]["train"]) | names(PROJECT["dependency-groups"]["dev"])
    assert asked <= set(pins())


def test_pins_are_exact_and_portable() -> None:
    for line in pins().values():
        assert re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9A-Za-z.]*", line), line


def test_everything_installed_for_the_project_is_pinned() -> None:
    """What the base package brings along on this machine, down to the last, is in the constraints."""
    seen: set[str] = set()
    waiting = ["vfxswap"]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        waiting += [normal(one) for one in _needs(name)]
    assert seen - {"vfxswap"} <= set(pins())


def _needs(name: str) -> list[str]:
    from packaging.requirements import Requirement

    asked = [Requirement(text) for text in metadata.requires(name) or ()]
    return [one.name for one in asked if one.marker is None or one.marker.evaluate({"extra": ""})]


def catalog() -> dict[str, dict[str, str]]:
    return tomllib.loads((WEIGHTS / "models.toml").read_text())


def test_every_vendored_weight_has_its_licence() -> None:
    text = (ROOT / "MODEL_LICENSES.md").read_text()
    for entry in catalog().values():
        assert f"`{entry['file']}`" in text
        assert entry["license"] in text
        assert entry["source"] in text
        assert entry["changes"] in text
        assert (WEIGHTS / entry["license_file"]).stat().st_size > 500


def test_no_weight_is_vendored_without_an_entry() -> None:
    listed = {entry["file"] for entry in catalog().values()}
    found = {path.name for path in WEIGHTS.iterdir() if path.is_file() and path.suffix != ".toml"}
    assert found == listed


def test_the_licence_is_apache() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert PROJECT["project"]["license"] == "Apache-2.0"


@pytest.mark.parametrize("folder", ["hosts", "gizmos"])
def test_hosts_never_import_the_core(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                found = [node.module or ""]
            else:
                continue
            assert not [name for name in found if name.split(".")[0] == "vfxswap"], path
