"""Pyblish's plug-ins in a fake Nuke: what the script's VfxSwap nodes have rendered is found, checked and published."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyblish.api
import pyblish.plugin
import pyblish.util
import pytest

from vfxswap.cli.common import shipped

from .shot import Shot

PLUGINS = shipped("hosts") / "publish" / "plugins"


def published() -> dict[str, Any]:
    """Plug-in -> its error, or None."""
    found = list(pyblish.plugin.discover(paths=[str(PLUGINS)]))
    context = pyblish.util.publish(plugins=found)
    return {result["plugin"].__name__: result["error"] for result in context.data["results"]}


@pytest.mark.slow
def test_the_nodes_of_a_script_are_published(shot: Shot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VFXSWAP_JOBS", raising=False)
    nothing = published()  # the node has rendered nothing yet
    assert set(nothing) == {"CollectVfxSwapJobs", "IntegrateVfxSwapVersion"} and not any(nothing.values())
    shot.run()
    found = published()
    assert len(found) == 11 and not any(found.values()), found
    out = Path(shot.get("cache_file")).parent
    (version,) = (path for path in (out / "publish").iterdir() if not path.name.startswith("."))
    assert version.name == "v001"
    assert {path.name for path in version.glob("*.exr")} == {path.name for path in out.glob("*.exr")}
    frame = sorted(out.glob("*.exr"))[0]
    os.truncate(frame, 1000)
    errors = published()
    assert "VS-SEQ-003" in str(errors["ValidateVfxSwapSequence"])
    assert [path.name for path in (out / "publish").glob("v*")] == ["v001"]
