"""A config with its files in one archive: the same conversions, the same hash, and nothing that it does not need."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from vfxswap.color import PINNED_CONFIG, ColorConfig
from vfxswap.errors import ColorError

from . import configs


def grade(config: ColorConfig) -> float:
    return float(config.to_working("plate").apply(np.full((1, 3), 0.25, np.float32))[0, 0])


@pytest.mark.parametrize("search", ["luts", "{folder}/luts", "nowhere:{folder}/luts", "../{name}/luts", "$ROOT/luts"])
def test_wherever_its_files_lie(search: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOT", raising=False)
    folder = tmp_path / "show"
    monkeypatch.setenv("ROOT", str(folder))
    text = configs.SHOW.replace("search_path: luts", "search_path: " + search.format(folder=folder, name=folder.name))
    text = text.replace("{SHOT: s010}", "{SHOT: s010, ROOT: /none}")
    path = configs.write_show(folder, grades={"s010": 2.0, "s020": 3.0}, text=text)
    (folder / "luts" / "other.spi1d").write_text("of nobody")
    config = ColorConfig.load(path, context={"SHOT": "s020"})
    value, known = grade(config), config.hash
    bundle = tmp_path / "b" / "show.ocioz"
    config.bundle(bundle)
    assert [Path(name).name for name in sorted(zipfile.ZipFile(bundle).namelist())] == [
        "config.ocio",
        "grade_s020.spi1d",
    ]
    shutil.rmtree(folder)
    monkeypatch.delenv("ROOT")
    again = ColorConfig.load(bundle, context={"SHOT": "s020"})
    assert again.hash == known
    assert grade(again) == value == pytest.approx(0.75)
    copy = tmp_path / "copy.ocioz"
    again.bundle(copy)
    assert copy.read_bytes() == bundle.read_bytes()


def test_another_variable_needs_another_bundle(tmp_path: Path) -> None:
    path = configs.write_show(tmp_path, grades={"s010": 2.0, "s020": 3.0})
    one = ColorConfig.load(path, context={"SHOT": "s010"})
    one.bundle(tmp_path / "b.ocioz")
    other = ColorConfig.load(tmp_path / "b.ocioz", context={"SHOT": "s020"})
    assert other.hash not in (one.hash, ColorConfig.load(path, context={"SHOT": "s020"}).hash)
    with pytest.raises(ColorError, match=r"grade_s020\.spi1d"):
        other.to_working("plate")


def test_a_file_that_is_missing_stays_missing(tmp_path: Path) -> None:
    config = ColorConfig.load(configs.write_show(tmp_path, grades={}))
    config.bundle(tmp_path / "b.ocioz")
    assert ColorConfig.load(tmp_path / "b.ocioz").hash == config.hash


@pytest.mark.parametrize("source", ["/show/luts/grade.spi1d", "../grade.spi1d"])
def test_a_file_that_is_named_by_where_it_lies(source: str, tmp_path: Path) -> None:
    text = configs.SHOW.replace("grade_${SHOT}.spi1d", source)
    config = ColorConfig.load(configs.write_show(tmp_path, grades={}, text=text))
    with pytest.raises(ColorError, match="names a file by where it lies"):
        config.bundle(tmp_path / "b.ocioz")
    assert not (tmp_path / "b.ocioz").exists()


def test_what_is_part_of_ocio(tmp_path: Path) -> None:
    with pytest.raises(ColorError, match="part of OCIO"):
        ColorConfig.load(PINNED_CONFIG).bundle(tmp_path / "b.ocioz")


def test_what_the_environment_adds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = configs.write_show(tmp_path, grades={"s010": 2.0, "s020": 3.0})
    monkeypatch.delenv("SHOT", raising=False)
    assert ColorConfig.load(path).environment() == {}
    monkeypatch.setenv("SHOT", "s020")
    assert ColorConfig.load(path).environment() == {"SHOT": "s020"}
    assert ColorConfig.load(path, context={"SHOT": "s010"}).environment() == {}
