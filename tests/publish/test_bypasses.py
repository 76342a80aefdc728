"""Pyblish goes on to integration where something failed or did not run. Each of these ways ends without a publish."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyblish.api
import pyblish.logic
import pyblish.plugin
import pyblish.util
import pytest

from vfxswap.events import CancelToken, NullSink
from vfxswap.publish import session
from vfxswap.publish.integrate import RefusedError

from .conftest import PLUGINS, Shot, rewrite

BEGIN = "import pyblish.api\n\nclass Studio(pyblish.api.{kind}):\n    order = {order}\n    hosts = ['*']\n"
RAISES = BEGIN + "    def process(self, {what}):\n        raise ValueError('the studio is down')\n"

STUDIO = {
    "a collector fails": RAISES.format(kind="ContextPlugin", order=0.2, what="context"),
    "a validator comes too late": RAISES.format(kind="InstancePlugin", order=1.6, what="instance"),
    "a validator comes too early": RAISES.format(kind="InstancePlugin", order=0.49, what="instance"),
    "an extractor fails": RAISES.format(kind="InstancePlugin", order=2, what="instance"),
    "the family is changed": BEGIN.format(kind="ContextPlugin", order=0.4)
    + "    def process(self, context):\n        for one in context:\n"
    "            one.data.update(family='plate', families=['plate'])\n",
    "the instance is taken away": BEGIN.format(kind="ContextPlugin", order=0.4)
    + "    def process(self, context):\n        del context[:]\n",
    "the job is exchanged": BEGIN.format(kind="ContextPlugin", order=1.45)
    + "    def process(self, context):\n        context.data['vfxswapJobs'] = ['another.json']\n",
    "the results are forgotten": BEGIN.format(kind="ContextPlugin", order=0.4)
    + "    def process(self, context):\n        context.data['results'] = []\n"
    "        for one in context:\n            one.data.update(families=[], family='')\n",
}
"""What another plug-in in PYBLISHPLUGINPATH does."""

OURS = {
    "switched off": ("validate_consent.py", "optional = False", "optional = False\n    active = False"),
    "wrong families": ("validate_provenance.py", '["vfxswap"]', '["vfxswp"]'),
    "unregistered targets": ("validate_matte.py", "optional = False", "optional = False\n    targets = ['farm']"),
    "for Nuke only": ("validate_image.py", 'hosts = ["*"]', 'hosts = ["nuke"]'),
    "does not load": ("validate_model.py", "import os", "import no_such_module"),
    "does nothing": ("validate_sequence.py", 'area = "sequence"', 'area = "nothing"'),
    "the collector does not load": ("collect_jobs.py", "import os", "import no_such_module"),
    "the integrator does not load": ("integrate_version.py", "import os", "import no_such_module"),
}
"""What becomes of a plug-in of vfxswap's own."""


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What plug-ins register is forgotten again."""
    monkeypatch.delenv("PYBLISHPLUGINPATH", raising=False)
    yield
    pyblish.logic.deregister_test()
    pyblish.api.deregister_all_plugins()
    pyblish.plugin.deregister_all_discovery_filters()


def published(shot: Shot, plugins: Path = PLUGINS) -> None:
    session.publish(shot.request(), plugins, sink=NullSink(), cancel=CancelToken())


def studio(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder.mkdir()
    (folder / "studio.py").write_text(text)
    monkeypatch.setenv("PYBLISHPLUGINPATH", str(folder))
    return folder


def copied(folder: Path) -> Path:
    """A copy of vfxswap's plug-ins."""
    shutil.copytree(PLUGINS.parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder / "plugins"


def test_without_any_of_this_it_is_published(shot: Shot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = BEGIN.format(kind="InstancePlugin", order=1.3) + "    def process(self, instance):\n" + (
        "        instance.data['studio'] = 'was here'\n"
    )  # fmt: skip
    studio(tmp_path / "studio", ran, monkeypatch)
    published(shot)
    assert shot.versions == ["v001"]


@pytest.mark.parametrize("what", STUDIO)
def test_a_plug_in_of_the_studio(what: str, shot: Shot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    studio(tmp_path / "studio", STUDIO[what], monkeypatch)
    with pytest.raises(RefusedError) as found:
        published(shot)
    assert found.value.exit_code == 77
    assert shot.versions == []
    if "the studio is down" in STUDIO[what]:
        assert "Studio failed: the studio is down" in str(found.value)


@pytest.mark.parametrize("what", OURS)
def test_a_plug_in_of_our_own(what: str, shot: Shot, tmp_path: Path) -> None:
    name, old, new = OURS[what]
    plugins = copied(tmp_path / "publish")
    text = (plugins / name).read_text()
    assert old in text
    (plugins / name).write_text(text.replace(old, new))
    with pytest.raises(RefusedError, match="did not run"):
        published(shot, plugins)
    assert shot.versions == []


def test_a_test_that_lets_everything_pass(shot: Shot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pyblish asks a registered function whether to stop after validation failed."""
    rewrite(shot.frame(1002), lambda channels: channels["R"].fill(0.5))
    text = "import pyblish.logic\npyblish.logic.register_test(lambda **variables: None)\n"
    studio(tmp_path / "studio", text, monkeypatch)
    with pytest.raises(RefusedError, match="VS-"):
        published(shot)
    assert shot.versions == []


def test_a_validator_by_our_name_is_not_ours(shot: Shot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is discovered first, and does nothing: what counts is the file that a class came from."""
    text = BEGIN.format(kind="InstancePlugin", order=1.0).replace("Studio", "ValidateVfxSwapProvenance")
    text += "    area = 'provenance'\n    def process(self, instance):\n        pass\n"
    studio(tmp_path / "studio", text, monkeypatch)
    plugins = copied(tmp_path / "publish")
    (plugins / "validate_provenance.py").unlink()
    with pytest.raises(RefusedError, match="ValidateVfxSwapProvenance"):
        published(shot, plugins)
    rewrite(shot.frame(1002), lambda channels: channels["R"].fill(0.5))
    with pytest.raises(RefusedError, match="VS-"):
        published(shot)
    assert shot.versions == []


def test_a_discovery_filter(shot: Shot) -> None:
    pyblish.plugin.register_discovery_filter(lambda plugins: plugins.clear())
    with pytest.raises(RefusedError, match="did not run"):
        published(shot)
    assert shot.versions == []


def test_a_plug_in_that_fails_afterwards_is_said_and_changes_nothing(
    shot: Shot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio(tmp_path / "studio", RAISES.format(kind="ContextPlugin", order=3.2, what="context"), monkeypatch)
    with pytest.raises(Exception, match="v001 is published; the plug-in Studio failed after that"):
        published(shot)
    assert shot.versions == ["v001"]


def test_why_pyblishs_own_command_line_is_not_used(shot: Shot, tmp_path: Path) -> None:
    """It ends with 0 where validation failed; our integrator publishes nothing all the same."""
    rewrite(shot.frame(1002), lambda channels: channels["R"].fill(0.5))
    done = subprocess.run(
        [sys.executable, "-m", "pyblish", "publish"], capture_output=True, text=True, check=False, cwd=tmp_path,
        env=_environment(PYBLISHPLUGINPATH=str(PLUGINS), VFXSWAP_JOBS=shot.file, VFXSWAP_PYTHON=sys.executable),
    )  # fmt: skip
    assert done.returncode == 0
    assert "VS-PRV-002" in done.stdout + done.stderr, done.stderr
    assert not (shot.output / "publish").exists() and shot.versions == []


def _environment(**values: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", **values}
