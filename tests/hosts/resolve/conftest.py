from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
DEMO = ROOT / "examples" / "demo"
PLATE = DEMO / "plate"

if str(ROOT / "hosts" / "resolve") not in sys.path:
    sys.path.insert(0, str(ROOT / "hosts" / "resolve"))

from vfxswap_bridge import Handle  # noqa: E402
from vfxswap_resolve.settings import Settings  # noqa: E402

from .fake import MediaPoolItem, Timeline, TimelineItem, World, bracketed  # noqa: E402


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def world() -> World:
    """A timeline with the demo plate at record frame 86410, from its third frame on, and something above."""
    made = World()
    path = bracketed(PLATE, "plate.", 4, ".exr", 1003, 1013)
    media = MediaPoolItem(made, path, 11, Resolution="960x540", Start_TC="01:00:10:00", Input_Color_Space="ACEScg")
    made.root.clips.append(media)
    timeline = Timeline(made, "Edit", tracks=2)
    made.project.timelines.append(timeline)
    made.project.timeline = timeline
    item = timeline.put(1, TimelineItem(made, media, 86410, 6, 2, "talk"))
    item.grade, item.properties["Pan"] = "warm", 12.5
    timeline.put(1, TimelineItem(made, media, 86420, 3, 8, "talk later"))
    timeline.put(2, TimelineItem(made, None, 86400, 40, 0, "Credits"))
    timeline.current = item
    made.film = [PLATE / f"plate.{number}.exr" for number in range(1003, 1014)]
    return made


def film(world: World, **properties: str) -> Any:
    """The clip as a film: it must be rendered."""
    media = MediaPoolItem(world, "/rushes/A001.mov", 11, Resolution="960x540", Start_TC="01:00:10:00", **properties)
    world.project.timeline.current.media = media
    return media


class Talk:
    """A front that says nothing and remembers."""

    def __init__(self, chosen: Settings, answers: list[str] | None = None, stop_at: str = "never") -> None:
        self.chosen, self.answers, self.stop_at = chosen, answers or [], stop_at
        self.said: list[str] = []
        self.asked: list[str] = []
        self.watched: list[tuple[str, int, int]] = []

    def settings(self, last: Settings) -> Settings | None:
        return self.chosen

    def question(self, key: str, asked: str) -> str:
        self.asked.append(asked)
        return self.answers.pop(0) if self.answers else ""

    def watch(self, what: str, done: int, total: int) -> bool:
        self.watched.append((what, done, total))
        return self.stop_at not in what

    def tell(self, said: str) -> None:
        self.said.append(said)

    def close(self) -> None:
        pass


@pytest.fixture
def chosen(tmp_path: Path) -> Settings:
    return Settings(
        model=str(DEMO / "ben_over_anna.vfxmodel"),
        consents=tuple(str(DEMO / "trust" / f"demo-{who}.consent.json") for who in ("anna", "ben")),
        keyring=str(DEMO / "trust" / "keyring"),
        shot="demo/rendered/talk",
        folder=str(tmp_path / "results"),
        handles=1,
        device="cpu",
    )


def with_(chosen: Settings, **changes: Any) -> Settings:
    return dataclasses.replace(chosen, **changes)


def copying(job: str) -> Handle:
    """A worker that gives the plate back: what this test is about comes after it."""
    told = json.loads(Path(job).read_text())
    first, last = (int(part) for part in told["frames"].split("-"))
    for frame in range(first, last + 1):
        shutil.copy(told["plate"] % frame, told["output"] % frame)
    handle = Handle(job, None, lambda: None)
    handle.finish(0)
    return handle
