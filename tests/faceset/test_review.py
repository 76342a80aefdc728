"""The artist's word: recorded, above the figures, taken back."""

from __future__ import annotations

from pathlib import Path

import pytest

from vfxswap import faceset
from vfxswap.errors import FacesetError, UsageError

from . import made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    bad = made.row("wide-01.000001", seed=50, pose_deg=(0.0, 70.0, 0.0))
    faceset.edit(made.write(tmp_path, [*made.rows(8), bad]).folder)
    return tmp_path


def used(folder: Path) -> set[str]:
    return {crop.name for crop in faceset.load(folder).usable()}


def test_looking_changes_no_byte(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    faceset.edit(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert len(used(folder)) == 8


def test_the_word_counts_is_recorded_and_can_be_taken_back(folder: Path) -> None:
    before = (folder / faceset.INDEX).read_bytes()
    faceset.edit(folder, keep=["wide-01.000001"], drop=["look-00.00000[12]"], note="her best profile")
    crops = {crop.name: crop for crop in faceset.load(folder).crops}
    assert crops["wide-01.000001"].quarantined is None
    assert crops["wide-01.000001"].kinds == {"extreme"}
    assert crops["look-00.000001"].quarantined == "dropped by hand: her best profile"
    assert len(used(folder)) == 7
    faceset.edit(folder, drop=["look-00.000003"])
    assert len(used(folder)) == 6
    faceset.edit(folder, forget=["*"])
    assert (folder / faceset.INDEX).read_bytes() == before


def test_a_name_that_no_crop_has_changes_nothing(folder: Path) -> None:
    before = (folder / faceset.INDEX).read_bytes()
    with pytest.raises(UsageError, match=r"no crop is named 'nobody'; names are such as look-00\.000001"):
        faceset.edit(folder, keep=["look-00.000001", "nobody"])
    with pytest.raises(UsageError, match=r"two different words for look-00\.000001"):
        faceset.edit(folder, keep=["look-00.000001"], drop=["look-*"])
    assert (folder / faceset.INDEX).read_bytes() == before


def test_there_must_be_a_faceset(tmp_path: Path) -> None:
    with pytest.raises(FacesetError, match="no faceset"):
        faceset.edit(tmp_path, keep=["x"])
