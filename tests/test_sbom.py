"""The bill of materials is of the pinned versions, whole, and of licences that a studio can take."""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from . import support

ROOT = Path(__file__).parents[1]
BILL: dict[str, Any] = json.loads((ROOT / "sbom.cdx.json").read_text())
EXTRAS = ("", "train", "c2pa", "otio", "farm", "review")


def tool() -> Any:
    return support.script(ROOT / "tools" / "sbom.py")


sbom = tool()
LISTED = {sbom.normal(one["name"]): one for one in BILL["components"]}


def pins() -> dict[str, str]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    return {sbom.normal(line.split("==")[0]): line.split("==")[1] for line in lines}


def test_every_component_is_pinned_to_that_version() -> None:
    known = pins()
    for name, one in LISTED.items():
        assert known.get(name) == one["version"], name


def test_the_bill_is_whole() -> None:
    """Whatever the package and its extras need on this machine, down to the last, is in it."""
    from packaging.requirements import Requirement

    waiting = [("vfxswap", extra) for extra in EXTRAS]
    seen: set[tuple[str, str]] = set()
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            asked = [Requirement(text) for text in metadata.requires(name) or ()]
        except metadata.PackageNotFoundError:
            continue
        for one in asked:
            if one.marker is None or one.marker.evaluate({"extra": extra}):
                waiting += [(sbom.normal(one.name), inner) for inner in ("", *one.extras)]
    needed = {name for name, _ in seen} - {"vfxswap"}
    assert {"numpy", "cryptography", "torch", "pydantic-core"} <= needed
    cuda = {name for name in needed if name.startswith(("nvidia-", "cuda-", "triton"))}  # a torch for GPUs
    other = {"onnxruntime", "onnxruntime-gpu"}  # one of them, by the machine
    assert needed - cuda - other - {"setuptools"} <= set(LISTED)


def test_no_licence_of_theirs_reaches_into_the_code() -> None:
    for name, one in LISTED.items():
        found = sbom.licence(one)
        assert found != "not said", name
        assert not re.search(r"(?<!L)GPL|AGPL|SSPL|BUSL|Commons.Clause|Non.?Commercial", found, re.IGNORECASE), name


def test_what_is_not_said_by_a_package_is_looked_up_and_still_needed() -> None:
    for name in sbom.UNSAID:
        assert not LISTED[name].get("licenses")
    assert set(sbom.BUNDLED) <= set(LISTED)


def test_the_page_is_of_the_bill() -> None:
    assert (ROOT / "docs" / "dependencies.md").read_text() == sbom.page(BILL), "make sbom"


@pytest.mark.parametrize("word", ["bomFormat", "specVersion", "components", "dependencies"])
def test_it_is_cyclonedx(word: str) -> None:
    assert word in BILL
    assert BILL["bomFormat"] == "CycloneDX"
    assert all(one["purl"] == f"pkg:pypi/{name}@{one['version']}" for name, one in LISTED.items())
