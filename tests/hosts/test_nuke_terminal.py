"""`nuke -t`, and what Nuke reads at its start."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from .fake_nuke import FakeNuke
from .shot import DEMO, ROOT, Shot, pick

# ---------------------------------------------------------------------------------------------- terminal


def call(shot: Shot, *arguments: str) -> int:
    return int(pick("terminal").main(["--script", str(shot.folder / "shot.nk"), *arguments]))


@pytest.mark.slow
def test_a_terminal_waits_and_says_how_far_it_is(terminal: Shot) -> None:
    assert call(terminal, "--frames=1003-1004") == 0
    assert terminal.frames() == ["swap.1003.exr", "swap.1004.exr"]
    assert any(line.startswith("VfxSwap VfxSwap1: swap") for line in terminal.nuke.printed)
    assert call(terminal) == 0
    assert len(terminal.frames()) == 3


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"model": ""}, 4, "no model is set"),
        ({"consents": str(DEMO / "trust" / "demo-anna.consent.json")}, 77, "VS-CON-001"),
        ({"face": "7"}, 4, "face"),
    ],
)
def test_exit_codes_of_a_terminal(terminal: Shot, change: dict[str, str], code: int, said: str) -> None:
    terminal.set(**change)
    assert call(terminal) == code
    assert said in "\n".join(terminal.nuke.printed)
    assert terminal.nuke.messages == []


def test_a_cancelled_terminal_says_so(terminal: Shot) -> None:
    import threading

    node = pick("node")
    begin = node.session.Session.start

    def start(*given: Any, **named: Any) -> Any:
        handle = begin(*given, **named)
        threading.Timer(0.3, handle.cancel).start()
        return handle

    node.session.Session.start = start
    assert call(terminal) == 75


def test_wrong_calls_of_a_terminal(terminal: Shot) -> None:
    assert pick("terminal").main([]) == 2
    assert pick("terminal").main(["--script", "/no.nk"]) == 4
    assert call(terminal, "--node", "Other") == 4
    assert "has no VfxSwap named Other" in terminal.nuke.printed[-1]


# ----------------------------------------------------------------------------------------------- start-up


def start_up(fake: FakeNuke, name: str, folder: Path | None = None) -> None:
    """Run init.py or menu.py as Nuke does."""
    path = (folder or ROOT / "hosts" / "nuke") / name
    exec(compile(path.read_text(), str(path), "exec"), {"__file__": str(path), "__name__": name})


def test_start_up_finds_gizmos_and_code(gui: FakeNuke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    start_up(gui, "init.py")
    assert gui.paths == [str(ROOT / "gizmos")]
    assert sys.path == [str(ROOT / "hosts" / "nuke"), str(ROOT / "hosts" / "bridge")]
    start_up(gui, "menu.py")
    entries = gui.menus["Nodes"]._entries["VfxSwap"]._entries
    for command in entries.values():
        exec(command, {"nuke": gui.module})
    assert [node.name for node in gui.nodes] == ["VfxSwap1", "VfxSwapComp1", "VfxSwapLive1"]


def test_start_up_never_raises(gui: FakeNuke, capsys: pytest.CaptureFixture[str]) -> None:
    gui.menus.clear()
    start_up(gui, "menu.py")
    assert "vfxswap: its menu is not available" in capsys.readouterr().err
    gui.module.__dict__.pop("pluginAddPath")
    start_up(gui, "init.py")
    assert "vfxswap: its nodes are not available" in capsys.readouterr().err
    del sys.modules["nuke"]
    start_up(gui, "init.py")
    start_up(gui, "menu.py")
