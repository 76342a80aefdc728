"""The calls that are declared, and the calls that are made, against fusionscript-stubs."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest
from vfxswap_resolve import api

from . import fake
from .conftest import ROOT
from .fake import SURFACE, World

SOURCES = sorted((ROOT / "hosts" / "resolve" / "vfxswap_resolve").glob("*.py"))

PROTOCOLS = {
    name: found
    for name, found in vars(api).items()
    if inspect.isclass(found) and getattr(found, "_is_protocol", False) and found.__module__ == api.__name__
}


def methods(protocol: type) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(value)
        for name, value in vars(protocol).items()
        if name[0].isupper() and inspect.isfunction(value)
    }


CALLS = [(name, method) for name, protocol in PROTOCOLS.items() for method in methods(protocol)]


@pytest.mark.parametrize(("name", "method"), CALLS, ids=[f"{name}.{method}" for name, method in CALLS])
def test_every_declared_call_is_in_the_stub(name: str, method: str) -> None:
    """With the same arguments in the same order; those that our declaration leaves out are optional there."""
    declared = SURFACE.methods[name]
    assert method in declared, f"fusionscript-stubs has no {name}.{method}"
    ours = [one.name for one in methods(PROTOCOLS[name])[method].parameters.values() if one.name != "self"]
    for signature in declared[method]:
        theirs = list(signature.parameters.values())
        if ours == [one.name for one in theirs][: len(ours)] and all(
            one.default is None for one in theirs[len(ours) :]
        ):
            return
    raise AssertionError(f"{name}.{method}{ours} is none of {[str(one) for one in declared[method]]}")


def test_constants_are_in_the_stub() -> None:
    named = set(api.Resolve.__annotations__)
    assert named == {"EXPORT_OTIO", "EXPORT_NONE"}
    assert named <= SURFACE.constants


def test_every_call_that_is_made_is_declared() -> None:
    """mypy sees the same; this also sees calls on things that it takes for Any."""
    declared = {method for protocol in PROTOCOLS.values() for method in methods(protocol)}
    fusion = {"AddWindow", "GetItems", "Show", "Hide", "RunLoop", "StepLoop", "ExitLoop", "AddItems",
              "ComboBox", "LineEdit", "HGroup", "VGroup", "Label", "Button", "TextEdit"}  # fmt: skip
    made = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr[0].isupper():
                made.add(node.func.attr)
    ours = {name for path in SOURCES for name in _classes(path)}
    assert made - declared - fusion - ours <= {"UIDispatcher", "WarmWorker"}
    assert declared - made == set(), "declared and never called"


def _classes(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)}


def test_nobody_asks_hasattr() -> None:
    """Resolve makes up attributes: hasattr says yes to anything."""
    for path in SOURCES:
        names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
        assert "hasattr" not in names, path


def test_the_fake_is_no_more_than_the_stub(world: World) -> None:
    resolve: Any = world.resolve
    assert hasattr(resolve, "GetTimelineOfTheMoon")
    assert not api.offers(resolve, "GetTimelineOfTheMoon")
    with pytest.raises(TypeError):
        resolve.GetTimelineOfTheMoon()
    with pytest.raises(TypeError, match="missing a required argument"):
        resolve.OpenPage()
    with pytest.raises(TypeError, match="too many positional"):
        resolve.GetProductName("x")
    with pytest.raises(NotImplementedError):
        resolve.GetMediaStorage()

    class Folder(fake.Thing):
        def GetAnything(self) -> None: ...  # noqa: N802

    with pytest.raises(fake.NotInStubError, match=r"Folder\.GetAnything"):
        fake.strict(Folder)
    world.lacking.add("GetCurrentPage")
    assert not api.offers(resolve, "GetCurrentPage")
