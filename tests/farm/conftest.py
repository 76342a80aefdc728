"""A job of four small frames with real consents, and the farm's own command lines."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from vfxswap import cli
from vfxswap.cli import farm_engines
from vfxswap.cli.common import Run

from .. import support
from ..support import Studio

FRAMES = (1001, 1002, 1003, 1004)
PROGRAM = str(Path(sys.executable).with_name("vfxswap"))

farm = farm_engines.farm()

_GOLDEN = Path(__file__).parent / "golden"


def check_golden(name: str, files: dict[str, str]) -> None:
    """Files by name against golden/NAME/*.golden; with VFXSWAP_GOLDEN=1 those are written again first."""
    folder = _GOLDEN / name
    if os.environ.get("VFXSWAP_GOLDEN"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for file, text in files.items():
            (folder / f"{file}.golden").write_text(text)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {f"{n}.golden": t for n, t in files.items()}


@dataclass(frozen=True)
class Farm:
    """One job and where it lies."""

    root: Path
    studio: Studio

    @property
    def job(self) -> Path:
        return self.root / "job.json"

    @property
    def output(self) -> Path:
        return self.root / "out"

    @property
    def plate(self) -> Path:
        return self.root / "plate"

    @property
    def folder(self) -> Path:
        """Where the farm's files of the job go."""
        return self.root / "farm"

    @property
    def worked(self) -> str:
        """The job file that workers read."""
        return str(self.folder / "job.json")

    def submit(self, *options: str) -> int:
        return execute("farm", "submit", str(self.job), "--into", str(self.folder), *options)

    def work(self, step: str, *options: str) -> int:
        return execute("farm", "work", step, self.worked, *options)

    def prepared(self) -> Farm:
        """Submitted, tracked and measured."""
        for code in (self.submit("--to", "openjd", "--chunk", "2"), self.work("track"), self.work("measure")):
            assert code == 0
        return self

    def elsewhere(self, name: str) -> Farm:
        """The same tracked job with another output."""
        other = Farm(self.root / name, self.studio)
        other.folder.mkdir(parents=True)
        fields = json.loads(Path(self.worked).read_text())
        Path(other.worked).write_text(json.dumps({**fields, "output": str(other.output / "out.####.exr")}))
        return other

    def digests(self) -> dict[str, str]:
        return support.digests(self.output)


def execute(*arguments: str) -> int:
    return cli.execute(Run(arguments))


def environment() -> dict[str, str]:
    """As it is now: the tests' configuration folder is set after this module is read."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def started(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "vfxswap", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(), **options,
    )  # fmt: skip


def nobody_special() -> list[str]:
    """What comes before a command so that it is not root's, who may write anywhere and for whom rqd starts nothing."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return []
    words = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    if shutil.which("unshare") is None or subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs a user other than root, or user namespaces")
    return words


def made(root: Path, studio: Studio, **fields: Any) -> Farm:
    """A new job in `root`."""
    found = Farm(root, studio)
    support.write_plate(found.plate, frames=len(FRAMES))
    support.job(studio, str(found.plate / "shot.####.exr"), found.output, **fields).save(found.job)
    return found


@pytest.fixture
def shot(tmp_path: Path, production: Studio) -> Farm:
    return made(tmp_path, production)


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory, production: Studio) -> Farm:
    """Tracked and measured, and rendered whole: for `elsewhere`."""
    found = made(tmp_path_factory.mktemp("tracked"), production).prepared()
    assert found.work("swap") == 0
    return found
