"""The plug-ins in a host: found by PYBLISHPLUGINPATH, without vfxswap in that Python, with repairs that repair."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyblish.api
import pyblish.plugin
import pyblish.util
import pytest

from vfxswap.events import CancelToken, NullSink
from vfxswap.publish import RULES, Area, Repair, session

from .conftest import PLUGINS, Shot, rewrite, run

HOST = """
import sys
sys.modules["vfxswap"] = None  # a host's Python does not have it
import logging
logging.disable(logging.CRITICAL)
import pyblish.util
context = pyblish.util.publish()
for result in context.data["results"]:
    print(result["plugin"].__name__, "failed" if result["error"] else "passed")
"""


def in_a_host(shot: Shot, **values: str) -> dict[str, str]:
    """Plug-in -> passed or failed, published in another process, as a host does."""
    environment = {
        **os.environ, "PYBLISHPLUGINPATH": str(PLUGINS), "VFXSWAP_JOBS": shot.file, "VFXSWAP_PYTHON": sys.executable,
        "OMP_NUM_THREADS": "1", **values,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", HOST], capture_output=True, text=True, check=False, env=environment, cwd=shot.root
    )
    assert done.returncode == 0, done.stderr
    return dict(re.findall(r"^(\w+VfxSwap\w+) (passed|failed)$", done.stdout, re.MULTILINE))


def discovered() -> list[Any]:
    return [
        plugin for plugin in pyblish.plugin.discover(paths=[str(PLUGINS)]) if plugin.__module__.startswith(str(PLUGINS))
    ]


def validators() -> list[Any]:
    return [plugin for plugin in discovered() if plugin.__name__.startswith("Validate")]


def test_one_validator_for_each_area_and_none_can_be_left_out() -> None:
    assert {plugin.area for plugin in validators()} == set(Area)
    assert {plugin.__name__ for plugin in validators()} == set(session.VALIDATORS)
    assert len(discovered()) == len(Area) + 2 == len(list(PLUGINS.glob("*.py")))
    for plugin in discovered():
        assert (plugin.hosts, plugin.optional, plugin.active) == (["*"], False, True)
        assert plugin.targets == ["default"]
    for plugin in validators():
        assert 1.0 <= plugin.order <= 1.4


@pytest.mark.parametrize("plugin", validators(), ids=lambda plugin: plugin.area)
def test_a_validators_help_and_buttons_are_those_of_its_rules(plugin: Any) -> None:
    rules = [rule for rule in RULES if rule.area == plugin.area]
    assert re.findall(r"VS-[A-Z]+-\d+", plugin.__doc__) == sorted(rule.code for rule in rules)
    named = {"RenderAgain": Repair.RENDER, "Quarantine": Repair.QUARANTINE, "Rename": Repair.RENAME,
             "VersionUp": Repair.VERSION}  # fmt: skip
    assert {named[action.__name__] for action in plugin.actions} == {rule.repair for rule in rules if rule.repair}


@pytest.mark.parametrize("path", sorted(PLUGINS.parent.rglob("*.py")), ids=lambda path: path.stem)
def test_a_host_can_read_it(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not [name for name in names if name and (name == "vfxswap" or name.startswith("vfxswap."))]


def test_a_host_publishes(shot: Shot) -> None:
    found = in_a_host(shot)
    assert set(found.values()) == {"passed"} and len(found) == len(Area) + 2
    assert sorted(path.name for path in (shot.output / "publish").glob("v*")) == ["v001"]


def test_a_host_is_told_what_is_wrong(shot: Shot) -> None:
    rewrite(shot.frame(1002), lambda channels: channels["R"].fill(0.5))
    found = in_a_host(shot)
    assert (found["ValidateVfxSwapMatte"], found["ValidateVfxSwapProvenance"]) == ("failed", "failed")
    assert found["ValidateVfxSwapConsent"] == "passed"
    assert not (shot.output / "publish").exists()


def test_a_host_is_told_of_consent(shot: Shot) -> None:
    found = in_a_host(shot.change(consents=()))
    assert [name for name, how in found.items() if how == "failed"] == ["ValidateVfxSwapConsent"]
    assert not (shot.output / "publish").exists()


def test_nothing_to_publish_is_no_error(shot: Shot) -> None:
    """In a context that has no job of vfxswap the plug-ins keep out of the way."""
    assert in_a_host(shot, VFXSWAP_JOBS="") == {"CollectVfxSwapJobs": "passed", "IntegrateVfxSwapVersion": "passed"}


def test_what_goes_wrong_while_collecting_is_said_by_every_validator() -> None:
    """Pyblish would go on without a word: so the collector does not fail, it keeps the error."""
    context = pyblish.api.Context()
    context.data["vfxswapJobs"] = 5
    pyblish.util.publish(context, plugins=discovered())
    errors = {result["plugin"].__name__: str(result["error"]) for result in context.data["results"]}
    assert errors.pop("CollectVfxSwapJobs") == "None"
    assert set(errors) == set(session.VALIDATORS)
    assert {text.split(":")[0] for text in errors.values()} == {"the jobs to publish were not found"}


# ------------------------------------------------------------------------------------------------- repairs


def validated(shot: Shot, context: Any) -> dict[str, Any]:
    """Validator -> the result of running it now."""
    found = {}
    for plugin in discovered():
        if plugin.order < 1:
            pyblish.plugin.process(plugin, context)
        elif plugin.order < 2:
            (instance,) = context
            found[plugin.__name__] = pyblish.plugin.process(plugin, context, instance)
    return found


def repaired(shot: Shot, name: str, action: str) -> set[str]:
    """Press a button of a validator; the names of those that fail in a new context."""
    context = _context(shot)
    before = validated(shot, context)
    assert before[f"ValidateVfxSwap{name}"]["error"] is not None
    plugin = before[f"ValidateVfxSwap{name}"]["plugin"]
    (button,) = [found for found in plugin.actions if found.__name__ == action]
    result = pyblish.plugin.process(plugin, context, action=button.id)
    assert result["error"] is None, result["error"]
    return {name for name, found in validated(shot, _context(shot)).items() if found["error"]}


def _context(shot: Shot) -> Any:
    context = pyblish.api.Context()
    worker = session.Here(shot.request(), sink=NullSink(), cancel=CancelToken())
    context.data.update({session.WORKER: worker, session.JOBS: [shot.file]})
    return context


def test_missing_and_broken_frames_are_rendered_again(shot: Shot) -> None:
    before = {frame: shot.frame(frame).read_bytes() for frame in (1001, 1002, 1003)}
    shot.frame(1002).unlink()
    shot.frame(1003).write_bytes(before[1003][:1000])
    stamp = shot.frame(1001).stat().st_mtime_ns
    assert repaired(shot, "Sequence", "RenderAgain") == set()
    assert {frame: shot.frame(frame).read_bytes() for frame in before} == before
    assert shot.frame(1001).stat().st_mtime_ns == stamp  # which nobody complained of


def test_painted_frames_are_rendered_again_and_never_signed_as_they_are(shot: Shot) -> None:
    before = shot.frame(1002).read_bytes()
    rewrite(shot.frame(1002), lambda channels: channels["R"].fill(0.5))
    assert repaired(shot, "Matte", "RenderAgain") == set()
    assert shot.frame(1002).read_bytes() == before


def test_frames_too_many_are_put_aside(shot: Shot) -> None:
    shorter = shot.change(frames="1001-1003")
    whole = shot.frame(1004).read_bytes()
    assert repaired(shorter, "Sequence", "Quarantine") == set()
    assert (shot.output / ".vfxswap" / "out" / "quarantine" / "out.1004.exr").read_bytes() == whole
    assert not shot.frame(1004).exists()


def test_a_name_is_given_back(shot: Shot) -> None:
    shot.frame(1002).rename(shot.output / "take2_1002.exr")
    assert repaired(shot, "Sequence", "Rename") == set()
    assert shot.frame(1002).is_file() and not (shot.output / "take2_1002.exr").exists()


def test_the_next_version_is_taken(shot: Shot) -> None:
    assert run("publish", shot.file, "--into", shot.into) == 0
    context = pyblish.api.Context()
    worker = session.Here(shot.request(version=1), sink=NullSink(), cancel=CancelToken())
    context.data.update({session.WORKER: worker, session.JOBS: [shot.file]})
    found = validated(shot, context)["ValidateVfxSwapSequence"]
    assert "VS-SEQ-005" in str(found["error"])
    (button,) = [action for action in found["plugin"].actions if action.__name__ == "VersionUp"]
    assert pyblish.plugin.process(found["plugin"], context, action=button.id)["error"] is None
    assert pyblish.plugin.process(found["plugin"], context, found["instance"])["error"] is None
