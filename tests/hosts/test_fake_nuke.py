"""The fake Nuke: that it refuses what Nuke would refuse."""

from __future__ import annotations

from typing import Any

import pytest
import vfxswap_bridge as bridge

from . import surface
from .fake_nuke import FakeNuke
from .shot import ROOT, pick

# -------------------------------------------------------------------------------------------- the fake


def test_the_fake_offers_only_what_the_stub_has() -> None:
    with pytest.raises(surface.NotInStubError, match=r"Knob\.setWhatever"):
        surface.strict(type("Knob", (), {"setWhatever": lambda self: None}))


def test_calls_that_the_stub_lacks_fail(gui: FakeNuke) -> None:
    nuke = gui.module
    with pytest.raises(AttributeError, match="types-nuke: nuke has no WIN32"):
        nuke.WIN32  # noqa: B018
    with pytest.raises(AttributeError, match="types-nuke: nuke has no messageBox"):
        nuke.messageBox("x")
    with pytest.raises(TypeError, match=r"nuke\.message"):
        nuke.message()
    with pytest.raises(TypeError, match=r"nuke\.delete"):
        nuke.delete()
    node = nuke.createNode("VfxSwap")
    with pytest.raises(AttributeError, match="Group has no selectMe"):
        node.selectMe()
    with pytest.raises(NotImplementedError, match=r"Group\.showControlPanel is not faked"):
        node.showControlPanel()
    with pytest.raises(TypeError, match=r"Node\.setInput"):
        node.setInput(1)
    with pytest.raises(NameError, match="knob mixx does not exist"):
        node["mixx"]
    with pytest.raises(TypeError, match="none of"):
        node["show"].setValue("compp")
    nuke.delete(node)
    with pytest.raises(ValueError, match="not attached to a node"):
        node.name()


def test_the_traps_of_threads(gui: FakeNuke) -> None:
    import threading

    nuke = gui.module
    with pytest.raises(RuntimeError, match="would hang"):
        nuke.executeInMainThread(print)
    with pytest.raises(RuntimeError, match="would hang"):
        nuke.executeInMainThreadWithResult(print)
    got: list[Any] = []

    def beside() -> None:
        got.append(nuke.executeInMainThreadWithResult(lambda: 1 / 0))
        try:
            nuke.message("hello")
        except RuntimeError as error:
            got.append(str(error))

    thread = threading.Thread(target=beside)
    thread.start()
    thread.join()
    assert got[0] is None
    assert "on a thread" in got[1]


def test_code_and_gizmo_agree(gui: FakeNuke) -> None:
    from . import graph

    group, _ = graph.gizmo(ROOT / "gizmos" / "VfxSwap.gizmo")
    knobs, buttons = pick("knobs"), pick("buttons")
    both = [group, graph.gizmo(ROOT / "gizmos" / "VfxSwapLive.gizmo")[0]]
    assert set(buttons.BUTTONS) == {knob.name for one in both for knob in one.user.values() if knob.kind == 22}
    assert {*knobs.RENDERED, *knobs.LIVE} == set(bridge.PARAMETERS)
    assert set(knobs.JOB_KNOBS) <= set(group.user)
    assert int(group.value("vfxswap_schema")) == knobs.SCHEMA


def test_every_item_of_the_checklist_names_a_test_that_exists() -> None:
    import re

    text = (ROOT / "docs" / "host-checklist.md").read_text()
    code = "".join(path.read_text() for path in (ROOT / "tests" / "hosts").glob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", text))
    assert len(named) > 20
    assert {name for name in named if f"def {name}(" not in code} == set()
    rows = re.findall(r"^\| (\d+) \|.*\| (.+) \|$", text, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, len(rows) + 1))
    assert {result for _, result in rows} == {"not run"}
