"""What is installed: the wheel holds everything that the commands hand out, and works away from the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, unpacked as pip would; built without a network by the backend that pyproject.toml names."""
    pytest.importorskip("hatchling", reason="the group dev is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(folder / "site")
    return folder / "site"


def vfxswap(installed: Path, folder: Path, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(installed), "HOME": str(folder), "XDG_DATA_HOME": ""}
    done = subprocess.run(
        [sys.executable, "-m", "vfxswap", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_hosts_and_gizmos_are_in_it(installed: Path, tmp_path: Path) -> None:
    nuke = Path(vfxswap(installed, tmp_path, "hosts", "path", "nuke").strip())
    assert installed in nuke.parents
    assert (nuke / "init.py").is_file()
    # hosts/nuke/init.py looks for them beside hosts/.
    assert (nuke.parent.parent / "gizmos" / "VfxSwap.gizmo").is_file()
    assert (Path(vfxswap(installed, tmp_path, "hosts", "path", "pyblish").strip()) / "validate_consent.py").is_file()
    vfxswap(installed, tmp_path, "hosts", "install", "nuke")
    assert nuke.as_posix() in (tmp_path / ".nuke" / "init.py").read_text()
    vfxswap(installed, tmp_path, "hosts", "install", "resolve")


@pytest.mark.slow
def test_the_demo_and_the_doctor_work_from_it(installed: Path, tmp_path: Path) -> None:
    vfxswap(installed, tmp_path, "demo", "--material", "lesson")
    checkout = ROOT / "examples" / "demo"
    kept = {
        path.relative_to(checkout)
        for path in checkout.rglob("*")
        if path.is_file() and path.suffix in (".exr", ".json")
    }
    copied = {path.relative_to(tmp_path / "lesson") for path in (tmp_path / "lesson").rglob("*") if path.is_file()}
    assert kept <= copied
    assert not [path for path in copied if path.suffix == ".py"]
    vfxswap(installed, tmp_path, "farm", "submit", "lesson/job.json", "--to", "openjd", "--dry-run")
    found = json.loads(vfxswap(installed, tmp_path, "doctor", "--json"))
    assert {one["name"] for one in found if one["status"] == "bad"} == set()


@pytest.mark.slow
def test_licences_types_and_nothing_that_is_not_meant_for_users(installed: Path) -> None:
    assert (installed / "vfxswap" / "py.typed").is_file()
    licences = {path.name for path in installed.rglob("*.dist-info/licenses/*")}
    assert {"LICENSE", "MODEL_LICENSES.md"} <= licences
    top = {path.name for path in installed.iterdir()}
    assert {name for name in top if not name.startswith("vfxswap")} == set()
    assert not [path for path in installed.rglob("*") if path.suffix == ".pem"]


def test_the_rez_package_names_what_is_there() -> None:
    text = (ROOT / "package.py").read_text(encoding="utf-8")
    assert 'name = "vfxswap"' in text
    assert (ROOT / "tools" / "rez_build.sh").is_file()
    compile(text, "package.py", "exec")
