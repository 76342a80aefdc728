# ruff: noqa: T201 - a command prints
"""From what cyclonedx-py found in an environment to sbom.cdx.json and docs/dependencies.md: `make sbom`.

The environment's own description has this machine in it: vfxswap itself as a component, and the local build of torch.
Both are made what every machine has. `page` makes the table of the documentation out of the bill alone.
"""

from __future__ import annotations

import json
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BILL = ROOT / "sbom.cdx.json"
PAGE = ROOT / "docs" / "dependencies.md"

NEEDED = "vfxswap:needed-for"
"""Property of a component: the extras that need it, nothing between the commas for the package itself."""

EXTRAS = ("train", "c2pa", "otio", "farm", "review")

UNSAID = {"opencolorio": "BSD-3-Clause", "protobuf": "BSD-3-Clause"}
"""Licences that the packages' metadata does not say, from the licence files inside them."""

BUNDLED = {
    "av": "the wheel holds FFmpeg (LGPL-3.0-or-later as built) with libx264 and libx265 (GPL-2.0-or-later)",
    "opencv-python": "the wheel holds FFmpeg (LGPL-2.1-or-later) and Qt 5 (LGPL-3.0), which vfxswap does not call",
    "pyblish-base": "LGPL: a library that is imported as it is, and may be exchanged",
    "certifi": "MPL: a list of certificates, not changed",
}
"""What a licence officer asks about."""

_CLASSIFIERS = {
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: BSD License": "BSD",
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
_HEAD = """# Dependencies and their licences

What `pip install "vfxswap[train,c2pa,otio,farm,review]"` brings along on Linux with an x86-64 processor, in the
versions of constraints.txt. Made from `sbom.cdx.json` (CycloneDX 1.6) by `make sbom`; CUDA's own packages, which a
torch for GPUs brings, are NVIDIA's and not in it. Licences are what the packages declare of themselves.

| package | version | licence | needed for |
|---|---|---|---|
"""
_TAIL = """
## What a licence officer asks about

{bundled}

No dependency is declared under the GPL or AGPL (`tests/test_sbom.py`). The licences of the networks that come with
vfxswap are in MODEL_LICENSES.md.
"""


def normal(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def cleaned(bill: dict[str, Any]) -> dict[str, Any]:
    """The bill without what is of one machine."""
    components = [one for one in bill["components"] if normal(one["name"]) != "vfxswap"]
    for one in components:
        one["version"] = one["version"].partition("+")[0]
        one["purl"] = one.get("purl", "").partition("%2B")[0]
    return _without_indexes({**bill, "components": components})


def _without_indexes(value: Any) -> Any:
    """The same without references to package indexes: where a package is got from is a site's own affair."""
    if isinstance(value, list):
        kept = [one for one in value if not (isinstance(one, dict) and "pypi" in str(one.get("url", "")))]
        return [_without_indexes(one) for one in kept]
    if isinstance(value, dict):
        return {key: _without_indexes(inner) for key, inner in value.items()}
    return value


def licence(component: dict[str, Any]) -> str:
    """A component's licence in SPDX's words where it uses them."""
    said = []
    for entry in component.get("licenses", ()):
        found = entry.get("expression") or entry["license"].get("id") or entry["license"].get("name", "")
        said.append(_CLASSIFIERS.get(found, found))
    precise = [one for one in dict.fromkeys(said) if one != "BSD" or len(said) == 1]
    return ", ".join(precise) or UNSAID.get(normal(component["name"]), "not said")


def page(bill: dict[str, Any]) -> str:
    """docs/dependencies.md."""
    rows = []
    for one in sorted(bill["components"], key=lambda one: normal(one["name"])):
        asked = next(item["value"] for item in one["properties"] if item["name"] == NEEDED).split(",")
        why = "rendering" if "" in asked else ", ".join(f"`[{extra}]`" for extra in asked)
        rows.append(f"| {one['name']} | {one['version']} | {licence(one)} | {why} |")
    notes = "\n".join(f"- **{name}**: {text}." for name, text in sorted(BUNDLED.items()))
    return _HEAD + "\n".join(rows) + "\n" + _TAIL.format(bundled=notes)


def wanted(folder: Path) -> dict[str, list[str]]:
    """Package -> the extras that need it, "" for the package itself; of the distributions in a site-packages folder."""
    from packaging.requirements import Requirement

    found = {normal(one.name): one for one in metadata.distributions(path=[str(folder)])}
    needed: dict[str, list[str]] = {}
    for extra in ("", *EXTRAS):
        waiting, seen = [("vfxswap", extra)], set()
        while waiting:
            name, inner = waiting.pop()
            if (name, inner) in seen or name not in found:
                continue
            seen.add((name, inner))
            for one in map(Requirement, found[name].requires or ()):
                if one.marker is None or one.marker.evaluate({"extra": inner}):
                    waiting += [(normal(one.name), more) for more in ("", *one.extras)]
        for name in {name for name, _ in seen}:
            needed.setdefault(name, []).append(extra)
    return needed


def main() -> None:
    """Write both files from what cyclonedx-py wrote, and the site-packages folder that it is about."""
    bill = cleaned(json.loads(Path(sys.argv[1]).read_text()))
    needed = wanted(Path(sys.argv[2]))
    for one in bill["components"]:
        one.setdefault("properties", []).append({"name": NEEDED, "value": ",".join(needed[normal(one["name"])])})
    BILL.write_text(json.dumps(bill, indent=1, sort_keys=True) + "\n")
    PAGE.write_text(page(bill))
    print(f"{BILL.name}: {len(bill['components'])} components")


if __name__ == "__main__":
    main()
