"""A real swap of four small frames, rendered once; every test breaks a copy of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from vfxswap import cli, exr, publish, trust
from vfxswap.cli.common import Run, shipped
from vfxswap.events import CancelToken, NullSink
from vfxswap.job import SwapJob
from vfxswap.publish import Report, Request

from .. import support
from ..support import Studio

FRAMES = (1001, 1002, 1003, 1004)
PLUGINS = shipped("hosts") / "publish" / "plugins"


@dataclass(frozen=True)
class Shot:
    """A rendered job and where it lies."""

    root: Path
    job: SwapJob
    studio: Studio

    @property
    def file(self) -> str:
        return str(self.root / "job.json")

    @property
    def output(self) -> Path:
        return Path(self.job.output).parent

    @property
    def into(self) -> Path:
        return self.root / "published"

    def frame(self, number: int) -> Path:
        return self.output / f"out.{number}.exr"

    def request(self, **given: Any) -> Request:
        return publish.of_job(self.job, **{"into": self.into, **given})

    def examine(self, **given: Any) -> Report:
        return publish.examine(self.request(**given), sink=NullSink(), cancel=CancelToken())

    def codes(self, **given: Any) -> set[str]:
        return {finding.code for finding in self.examine(**given).findings}

    def change(self, **fields: Any) -> Shot:
        changed = replace(self, job=self.job.replace(**fields))
        changed.job.save(self.root / "job.json")
        return changed

    def elsewhere(self, root: Path) -> Shot:
        """A copy, by another output; the plate stays where it is."""
        shutil.copytree(self.output, root / "out")
        return replace(self, root=root).change(output=str(root / "out" / "out.####.exr"))

    def own_plate(self) -> Shot:
        """With a copy of the plate, to be changed; file times stay, so that the track is found."""
        shutil.copytree(Path(self.job.plate).parent, self.root / "plate")
        return self.change(plate=str(self.root / "plate" / Path(self.job.plate).name), shot="local/local/plate")

    @property
    def versions(self) -> list[str]:
        return sorted(path.name for path in self.into.glob("v*"))


def run(*arguments: object) -> int:
    return cli.execute(Run(tuple(map(str, arguments))))


def rendered(root: Path, studio: Studio, plate: str, **fields: Any) -> Shot:
    shot = Shot(root, support.job(studio, plate, root / "out", **fields), studio)
    shot.job.save(root / "job.json")
    assert run("run", shot.file) == 0
    return shot


def rewrite(
    path: Path,
    change: Callable[[dict[str, Any]], object] = lambda channels: None,
    *,
    drop: tuple[str, ...] = (),
    attributes: dict[str, exr.Attribute] | None = None,
    **layout: Any,
) -> None:
    """The file written again, with what a careless program, or somebody with a brush, does to it."""
    channels, found = exr.read_channels(path)
    info = exr.probe(path).parts[0]
    channels = {name: pixels.copy() for name, pixels in channels.items()}
    change(channels)
    kept: dict[str, exr.Attribute] = {
        name: value for name, value in found.items() if name.startswith(("vfx",)) and name not in drop
    }
    layout = {"data_window": info.data_window, "display_window": info.display_window, **layout}
    exr.write_channels(path, channels=channels, attributes={**kept, **(attributes or {})}, **layout)


def consent(studio: Studio, performer: str, folder: Path, **fields: Any) -> Path:
    """A fresh consent of a performer of the studio, signed by both."""
    now = datetime.now(UTC).replace(microsecond=0)
    record = trust.new_consent(
        performer=performer, roles=["likeness" if performer == support.LIKENESS else "double"], purpose="Tests.",
        **{"uses": ["train", "swap", "publish"], "scope": ["*/*/*"], "not_before": now - timedelta(days=1),
           "not_after": now + timedelta(days=9), "models": "any", **fields},
    )  # fmt: skip
    path = folder / f"{performer}.{len(list(folder.iterdir()))}.consent.json"
    trust.write_record(path, record)
    for kid in (f"perf-{performer}", "prod"):
        trust.sign(path, key_file=studio.root / "private" / f"{kid}.key.pem", passphrase=support.PASSPHRASE)
    return path


@pytest.fixture(scope="session")
def comp(tmp_path_factory: pytest.TempPathFactory, production: Studio, face_plate: str) -> Shot:
    return rendered(tmp_path_factory.mktemp("comp"), production, face_plate)


@pytest.fixture(scope="session")
def ingredients(tmp_path_factory: pytest.TempPathFactory, production: Studio, face_plate: str) -> Shot:
    return rendered(tmp_path_factory.mktemp("ingredients"), production, face_plate, layers="ingredients")


@pytest.fixture
def shot(comp: Shot, tmp_path: Path) -> Shot:
    """A copy of the comp."""
    return comp.elsewhere(tmp_path)


@pytest.fixture
def layered(ingredients: Shot, tmp_path: Path) -> Shot:
    """A copy of the ingredients."""
    return ingredients.elsewhere(tmp_path)
