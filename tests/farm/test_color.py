"""The show's OCIO config on a worker: named by its hash, or copied with its LUTs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from vfxswap import exr

from ..color import configs
from ..support import Studio
from .conftest import Farm, made


def test_another_lut_is_refused_and_a_copy_needs_none(
    tmp_path: Path, production: Studio, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The environment of who submits says which config and which shot; a worker has neither."""
    show = tmp_path / "show"
    configs.write_show(show, grades={"s010": 1.0, "s020": 1.5})
    shot = made(tmp_path / "shot", production, color_space="plate")
    monkeypatch.setenv("OCIO", str(show / "show.ocio"))
    monkeypatch.setenv("SHOT", "s020")
    assert shot.submit("--to", "openjd") == 0
    fields = json.loads(Path(shot.worked).read_text())
    assert (fields["color_config"], fields["color_context"]) == (str(show / "show.ocio"), {"SHOT": "s020"})
    known = fields["color_config_hash"]

    monkeypatch.delenv("OCIO")
    monkeypatch.setenv("SHOT", "s010")
    for step in ("track", "measure", "swap"):
        assert shot.work(step) == 0
    wanted = {path.name: exr.read(path).rgb for path in shot.output.glob("*.exr")}

    configs.write_lut(show / "luts" / "grade_s020.spi1d", 1.6)
    capfd.readouterr()
    assert shot.work("swap") == 4
    said = capfd.readouterr().err
    assert "is not the one the job was written with; restore it, or save the job again" in said
    assert said.count("vfxswap: error: ") == 1 and said.rstrip().count("\n") == 0
    configs.write_lut(show / "luts" / "grade_s020.spi1d", 1.5)

    monkeypatch.setenv("OCIO", str(show / "show.ocio"))
    monkeypatch.setenv("SHOT", "s020")
    capfd.readouterr()
    assert shot.submit("--to", "openjd", "--bundle-color", "--dry-run") == 0
    assert '"name": "ColorConfig",\n      "value": ' in capfd.readouterr().out
    assert not list(shot.folder.rglob("*.ocioz"))
    assert shot.submit("--to", "openjd", "--bundle-color") == 0
    (bundle,) = shot.folder.glob("color-*/show.ocioz")
    fields = json.loads(Path(shot.worked).read_text())
    assert (fields["color_config"], fields["color_config_hash"]) == (str(bundle), known)
    monkeypatch.delenv("OCIO")
    monkeypatch.delenv("SHOT")
    shutil.rmtree(show)
    shutil.rmtree(shot.output)
    capfd.readouterr()
    assert shot.work("track") == shot.work("measure") == 0
    assert capfd.readouterr().err.count("skipped") == 2, "the copy has the hash of the config"
    assert shot.work("swap") == 0
    for name, rgb in wanted.items():
        np.testing.assert_array_equal(exr.read(shot.output / name).rgb, rgb)
    assert len(wanted) == 4


def test_what_is_part_of_ocio_is_not_copied(shot: Farm) -> None:
    assert shot.submit("--to", "openjd", "--bundle-color") == 0
    assert not list(shot.folder.rglob("*.ocioz"))
