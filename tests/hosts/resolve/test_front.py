"""How an artist is spoken to, and what is remembered."""

from __future__ import annotations

import json
import os
import runpy
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from vfxswap_bridge import BridgeError
from vfxswap_resolve import main, settings, transfer
from vfxswap_resolve.api import RefusedError
from vfxswap_resolve.front import Console, window_possible
from vfxswap_resolve.running import Running
from vfxswap_resolve.settings import Settings
from vfxswap_resolve.window import Window

from .conftest import ROOT, Talk, copying, with_
from .fake import Dispatcher, Fusion, World
from .test_flow import above


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfxswap_bridge.start", copying)
    monkeypatch.setattr("vfxswap_bridge.WarmWorker.submit", lambda self, job: copying(job))


def module() -> Any:
    return types.SimpleNamespace(UIDispatcher=Dispatcher)


# -------------------------------------------------------------------------------------------------- window


def fill(**texts: str) -> Any:
    def before(items: dict[str, Any]) -> None:
        for name, text in texts.items():
            if items[name].kind == "ComboBox":
                items[name].CurrentIndex = items[name].choices.index(text)
            else:
                items[name].Text = text

    return before


def nothing(items: dict[str, Any]) -> None:
    """The artist changes nothing."""


def texts(chosen: Settings) -> dict[str, str]:
    return {"model": chosen.model, "consents": "; ".join(chosen.consents), "keyring": chosen.keyring,
            "shot": chosen.shot, "folder": chosen.folder, "handles": "1"}  # fmt: skip


def test_the_window(world: World, chosen: Settings, worker: None) -> None:
    said: list[str] = []

    def read(items: dict[str, Any]) -> None:
        said.append(items["said"].PlainText)

    world.project.settings["colorScienceMode"] = "davinciYRGB"
    Dispatcher.steps = []
    Dispatcher.script = [
        (nothing, "run"),  # no model: said, and the window stays
        (fill(**texts(chosen), scope="track"), "run"),
        (fill(answered="ACEScg"), "answer"),
        (read, "close"),
    ]
    assert main.start(world.resolve, Fusion(world), module())
    assert Dispatcher.script == []
    assert "no model is set" in said[0]
    assert "2 of 2 clips are swapped" in said[0]
    assert len(above(world)) == 2
    # Next time the form is as it was, the answer known.
    kept = settings.load(settings.path())
    assert (kept.scope, kept.model, kept.consents, kept.handles) == ("track", chosen.model, chosen.consents, 1)
    assert list(kept.answers.values()) == ["ACEScg"]


def test_closing_the_window_does_nothing(world: World) -> None:
    Dispatcher.script = [(nothing, "close")]
    before = world.snapshot()
    assert not main.start(world.resolve, Fusion(world), module())
    assert world.snapshot() == before


def test_cancel_stops_the_work(world: World, chosen: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from vfxswap_bridge import Handle

    handles: list[Handle] = []

    def slow(job: str) -> Handle:
        handles.append(Handle(job, None, lambda: handles[-1].finish(75)))
        return handles[-1]

    monkeypatch.setattr("vfxswap_bridge.start", slow)
    Dispatcher.script = [(fill(**texts(chosen)), "run")]
    Dispatcher.steps = ["", "cancel"]
    window = Window(Fusion(world), Dispatcher)
    assert not main.start(world.resolve, Fusion(world), module(), front=window)
    assert handles[0].outcome is not None
    assert handles[0].outcome.cancelled
    assert "cancelled: talk: cancelled" in window._items["said"].PlainText


@pytest.mark.parametrize(
    ("studio", "version", "possible"), [(True, [20, 1], True), (False, [20, 1], False), (False, [18, 6], True)]
)
def test_where_a_window_may_be_made(world: World, studio: bool, version: list[int], possible: bool) -> None:
    world.studio, world.version = studio, version
    if possible and not studio:
        world.resolve.only_in_studio = lambda: True  # type: ignore[method-assign]
    assert window_possible(world.resolve, Fusion(world)) == possible
    assert not world.dialog
    assert not window_possible(world.resolve, None)


# ------------------------------------------------------------------------------------------------- console


def test_the_free_edition_uses_the_console(world: World, chosen: Settings, worker: None, capsys: Any) -> None:
    """Nothing can be typed there: the settings are those of the file."""
    world.studio = False
    settings.save(settings.path(), chosen)
    assert main.start(world.resolve, Fusion(world), module())
    assert not world.dialog
    assert len(above(world)) == 1
    out = capsys.readouterr().out
    assert settings.path() in out
    assert "1 of 1 clips are swapped" in out


def test_without_settings_the_free_edition_gets_a_form(world: World, capsys: Any) -> None:
    world.studio = False
    assert not main.start(world.resolve)
    assert "no model is set" in capsys.readouterr().out
    form = json.loads(Path(settings.path()).read_text())
    assert form["model"] == ""
    assert set(form) >= {"consents", "shot", "scope", "folder", "answers"}


def test_a_run_without_a_window_is_cancelled_by_another_start(
    world: World, chosen: Settings, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    from vfxswap_bridge import Handle

    starts: list[bool] = []

    def slow(job: str) -> Handle:
        handle = Handle(job, None, lambda: handle.finish(75))
        starts.append(main.start(world.resolve))  # the artist, meanwhile
        return handle

    monkeypatch.setattr("vfxswap_bridge.start", slow)
    monkeypatch.setattr(sys, "stdin", None)
    world.studio = False
    settings.save(settings.path(), chosen)
    before = world.snapshot()
    assert not main.start(world.resolve)
    assert starts == [False]
    said = capsys.readouterr().out.splitlines()
    assert "vfxswap: to cancel, start VfxSwap from the menu once more" in said
    assert "vfxswap: a run was going on and is asked to stop; start again for another" in said
    assert said[-1].startswith("vfxswap: cancelled: talk: cancelled")
    assert world.snapshot() == before
    assert [path.name for path in Path(settings.path()).parent.iterdir()] == ["resolve.json"]


def test_one_run_at_a_time(world: World, chosen: Settings, worker: None) -> None:
    running = Running(settings.path())
    running.begin(window=True)
    talk = Talk(chosen)
    assert not main.start(world.resolve, front=talk)
    assert "busy: vfxswap is at work already" in talk.said[-1]
    # A run that was killed is not waited for.
    os.utime(running.mark, (1, 1))
    assert main.start(world.resolve, front=talk)
    assert not running.other()


def test_prompts(chosen: Settings) -> None:
    lines = iter(["", "track", "/m.vfxmodel", "/a.json; /b.json", "", "", "", "", "3", "", "", "ACEScg"])
    said: list[str] = []
    labels: list[str] = []

    def read(label: str) -> str:
        labels.append(label)
        return next(lines)

    console = Console("/settings.json", read, said.append)
    found = console.settings(chosen)
    assert found is not None
    assert (found.scope, found.model, found.consents, found.handles) == (
        "track",
        "/m.vfxmodel",
        ("/a.json", "/b.json"),
        3,
    )
    assert (found.shot, found.folder) == (chosen.shot, chosen.folder)
    assert "[demo/rendered/talk]" in labels[5]
    assert console.question("key", "which?") == "ACEScg"
    for done in range(101):
        assert console.watch("talk: swap", done, 100)
    assert len(said) == 12
    with pytest.raises(StopIteration):
        console.question("key", "which?")


def test_a_question_that_cannot_be_answered_says_where_to_write() -> None:
    said: list[str] = []

    def lost(label: str) -> str:
        raise RuntimeError("input(): lost sys.stdin")

    console = Console("/settings.json", lost, said.append)
    assert console.question("ARRI Odd", "which?") == ""
    assert said == ['vfxswap: which? Write it into /settings.json as "answers": {"ARRI Odd": "..."}']


# ------------------------------------------------------------------------------------------------ settings


def test_settings_there_and_back(chosen: Settings) -> None:
    full = with_(chosen, parameters={"relight": 0.5}, answers={"Linear": "ACEScg"})
    settings.save(settings.path(), full)
    assert settings.load(settings.path()) == full


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot read the settings"),
        ("[]", "holds no settings"),
        ('{"modell": "x"}', "there is no setting 'modell'"),
        ('{"handles": "8"}', "handles is '8'; a int is expected"),
        ('{"handles": true}', "handles is True"),
        ('{"consents": "x"}', "consents is 'x'; a list is expected"),
    ],
)
def test_settings_that_are_none(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "resolve.json"
    path.write_text(text)
    with pytest.raises(BridgeError) as caught:
        settings.load(str(path))
    assert said in str(caught.value)
    assert path.read_text() == text


@pytest.mark.parametrize(
    "change",
    [{"action": "x"}, {"scope": "x"}, {"handles": -1}, {"handles": 999}, {"parameters": {"mixx": 1}}, {"consents": ()}],
)
def test_settings_that_cannot_be_run(chosen: Settings, change: dict[str, Any]) -> None:
    with pytest.raises(BridgeError):
        with_(chosen, **change).check()
    chosen.check()


def test_where_settings_are() -> None:
    assert settings.path({"HOME": "/h"}, "linux") == "/h/.config/vfxswap/resolve.json"
    assert settings.path({"HOME": "/h"}, "darwin") == "/h/Library/Application Support/vfxswap/resolve.json"
    assert settings.path({"APPDATA": "C:/u/Roaming"}, "win32") == "C:/u/Roaming/vfxswap/resolve.json"


# ---------------------------------------------------------------------------------------------------- main


def test_refusals_are_said_by_name(world: World, chosen: Settings) -> None:
    world.project.timeline.current.speed = 2.0
    talk = Talk(chosen)
    assert not main.start(world.resolve, front=talk)
    assert talk.said[-1].startswith("retimed: talk is retimed")


def test_a_bug_does_not_get_out(world: World, chosen: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(job: str) -> Any:
        raise ZeroDivisionError("here")

    monkeypatch.setattr("vfxswap_bridge.start", broken)
    talk = Talk(chosen)
    assert not main.start(world.resolve, front=talk)
    assert "internal error" in talk.said[-1]
    assert "ZeroDivisionError: here" in talk.said[-1]
    assert not main.start(None, front=talk)
    assert "Resolve does not answer" in talk.said[-1]


def test_the_menu_entry(world: World, chosen: Settings, worker: None, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.save(settings.path(), chosen)
    monkeypatch.setattr(sys, "stdin", None)
    world.studio = False
    runpy.run_path(str(ROOT / "hosts" / "resolve" / "VfxSwap.py"), {"resolve": world.resolve})
    assert len(above(world)) == 1


def test_the_menu_entry_never_raises(capsys: Any) -> None:
    runpy.run_path(str(ROOT / "hosts" / "resolve" / "VfxSwap.py"), {"VFXSWAP_RESOLVE": "/nowhere/hosts/resolve"})
    assert "Resolve does not answer" in capsys.readouterr().out


# ---------------------------------------------------------------------------------------------------- OTIO


def test_otio_out_and_in(world: World, chosen: Settings) -> None:
    """What goes out comes back at its place, under a name of its own."""
    talk = Talk(with_(chosen, action="otio"))
    assert main.start(world.resolve, front=talk)
    assert f"{chosen.folder}/Edit.otio is written; `vfxswap otio " in talk.said[0]
    inward = Talk(with_(chosen, action="otio-in"))
    assert not main.start(world.resolve, front=inward)
    assert "otio: there is no" in inward.said[-1]
    assert "Edit.vfxswap.otio" in inward.said[-1]
    assert world.root.folders == []
    Path(f"{chosen.folder}/Edit.otio").rename(f"{chosen.folder}/Edit.vfxswap.otio")
    before, edit = world.snapshot(), world.project.timeline
    for name in ("Edit vfxswap", "Edit vfxswap 2"):
        world.project.timeline = edit
        assert main.start(world.resolve, front=Talk(with_(chosen, action="otio-in")))
        assert world.project.timeline.name == name
        there = [[(item.start, item.length, item.offset, item.media) for item in row["items"]] for row in edit.tracks]
        assert there == [
            [(item.start, item.length, item.offset, item.media) for item in row["items"]]
            for row in world.project.timeline.tracks
        ]
    after = world.snapshot()
    assert (after["folder"], after["page"], after["timelines"][0]) == ("Master", before["page"], before["timelines"][0])
    assert [clip.name for clip in world.root.folders[0].clips] == ["Edit vfxswap", "Edit vfxswap 2"]
    world.refuses_timelines = True
    world.project.timeline = edit
    refused = Talk(with_(chosen, action="otio-in"))
    assert not main.start(world.resolve, front=refused)
    assert "Resolve did not take" in refused.said[-1]


def test_a_version_without_otio(world: World, chosen: Settings) -> None:
    world.lacking.add("Export")
    with pytest.raises(RefusedError, match="writes no OTIO"):
        transfer.export(world.resolve, world.project.timeline, chosen.folder)
