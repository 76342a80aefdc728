"""Where a task finds vfxswap: the conda and rez environments that are shipped, entered by openjd itself."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from .conftest import PROGRAM, Farm, environment

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "hosts" / "farm" / "environments"
OPENJD = str(Path(PROGRAM).with_name("openjd"))

needs_openjd = pytest.mark.skipif(not Path(OPENJD).exists(), reason="needs the extra `farm`")


def entered(shot: Farm, name: str, *parameters: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Track, whose program is found by nothing but the environment."""
    assert shot.submit("--to", "openjd") == 0
    values = json.loads((shot.folder / "parameter_values.json").read_text())["parameterValues"]
    words = [OPENJD, "run", str(shot.folder / "template.json"), "--step", "Track", "--environment", str(FOLDER / name)]
    for one in [*(f"{value['name']}={value['value']}" for value in values), *parameters]:
        words += ["--job-param", one]
    known = {**environment(), "PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": "1", **variables}
    return subprocess.run(words, capture_output=True, text=True, check=False, env=known)


@needs_openjd
def test_conda(shot: Farm, tmp_path: Path) -> None:
    prefix = tmp_path / "a prefix"
    for folder in ("bin", "conda-meta", "etc/conda/activate.d"):
        (prefix / folder).mkdir(parents=True)
    (prefix / "bin" / "vfxswap").write_text(f'#!/bin/sh\necho "prefix $CONDA_PREFIX lut $LUT"\nexec "{PROGRAM}" "$@"\n')
    (prefix / "bin" / "vfxswap").chmod(0o755)
    (prefix / "etc" / "conda" / "activate.d" / "a.sh").write_text(
        'export LUT="two words" \nexport MANY="a\nb"\nfalse\necho "$unset"\n'
    )
    done = entered(shot, "conda.yaml", f"CondaPrefix={prefix}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"prefix {prefix} lut two words" in done.stdout
    assert "not handed on, as it has several lines: MANY" in done.stdout
    assert list(shot.folder.glob("*.vfxtrack"))


@needs_openjd
def test_no_conda_environment_is_said_before_any_task(shot: Farm, tmp_path: Path) -> None:
    done = entered(shot, "conda.yaml", f"CondaPrefix={tmp_path}")
    assert done.returncode != 0
    assert f"openjd_fail: there is no conda environment in {tmp_path}" in done.stdout
    assert not list(shot.folder.glob("*.vfxtrack"))


@needs_openjd
@pytest.mark.skipif(shutil.which("rez") is None, reason="needs rez on the path")
def test_rez(shot: Farm, tmp_path: Path) -> None:
    package = tmp_path / "packages" / "vfxswap" / "0.1.0"
    (package / "bin").mkdir(parents=True)
    (package / "package.py").write_text(
        'name = "vfxswap"\nversion = "0.1.0"\n\n\ndef commands():\n'
        '    env.PATH.prepend("{root}/bin")\n    env.LUT = "two words"\n'
    )
    (package / "bin" / "vfxswap").write_text(f'#!/bin/sh\necho "lut $LUT"\nexec "{PROGRAM}" "$@"\n')
    (package / "bin" / "vfxswap").chmod(0o755)
    path = f"{Path(shutil.which('rez') or '').parent}:/usr/bin:/bin"
    done = entered(shot, "rez.yaml", PATH=path, REZ_PACKAGES_PATH=str(tmp_path / "packages"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lut two words" in done.stdout


def test_the_conda_environment_names_what_pyproject_does() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [line.strip().removeprefix("- ") for line in (FOLDER / "environment.yml").read_text().splitlines()]
    assert f"python {project['requires-python']}" in lines
    assert f"name: {project['name']}" in lines
    (wanted,) = (line for line in lines if line.startswith(f"{project['name']}["))
    extras = re.findall(r"[\w-]+", wanted)[1:]
    assert extras and set(extras) <= set(project["optional-dependencies"]) and "train" not in extras


def test_what_is_shipped_is_entered_by_no_other_name() -> None:
    text = (FOLDER / "rez.yaml").read_text()
    package = (ROOT / "package.py").read_text()
    (name,) = re.findall(r'^name = "(.+)"$', package, re.MULTILINE)
    assert f"default: {name}\n" in text
    assert os.access(ROOT / "tools" / "rez_build.sh", os.R_OK)
