"""A script with a plate and a VfxSwap in the fake Nuke, and what an artist does with it."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import fake_nuke
from .fake_nuke import FakeNuke, Node

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "examples" / "demo"


def pick(module: str) -> Any:
    """One of our modules, as this fake's Nuke imported it."""
    return importlib.import_module(f"vfxswap_nuke.{module}")


class Shot:
    """A script with a Read of the shipped plate and a VfxSwap below it."""

    def __init__(self, fake: FakeNuke, folder: Path, fields: dict[str, Any]) -> None:
        self.nuke, self.folder, self.fields = fake, folder, fields
        fake.root.name = str(folder / "shot.nk")
        self.read = fake.module.nodes.Read(file=fields["plate"], first=1003, last=1005, raw=True)
        self.node: Node = fake.module.createNode("VfxSwap")
        self.node.setInput(0, self.read)
        self.set(
            model=fields["model"],
            shot=fields["shot"],
            consents="\n".join(fields["consents"]),
            keyring=fields["keyring"],
            track=fields["track"],
            measurements=str(fields.pop("measured", "")),
            device="cpu",
        )
        fake.steps.clear()

    def set(self, **values: Any) -> None:
        for name, value in values.items():
            self.node[name].setValue(value)

    def get(self, name: str) -> Any:
        return self.node[name].value()

    @property
    def cache(self) -> Path:
        return self.folder / "vfxswap" / self.get("vfxswap_id") / f"v{self.get('cache_version'):03d}"

    @property
    def job(self) -> dict[str, Any]:
        return dict(json.loads((self.cache / "job.json").read_text(encoding="utf-8")))

    def press(self, button: str, node: Node | None = None) -> None:
        (node or self.node)[button].execute()  # type: ignore[attr-defined]

    def wait(self, node: Node | None = None) -> None:
        """Until the node is no longer at work."""
        self.nuke.pump(lambda: (node or self.node)["status"].value() != "at work", 120)

    def run(self, button: str = "run") -> None:
        self.press(button)
        self.wait()

    def frames(self) -> list[str]:
        return sorted(path.name for path in self.cache.glob("*.exr"))


def started(*, gui: bool) -> Iterator[FakeNuke]:
    fake = FakeNuke(gizmos=ROOT / "gizmos", gui=gui)
    fake_nuke.install(fake)
    yield fake
    for call in fake.closing:
        call()
    fake_nuke.uninstall()
