"""A copy of crops that was killed between its index and the names of its arrays is made whole by the next."""

from __future__ import annotations

from pathlib import Path

from vfxswap import faceset
from vfxswap.train.retrain import copy_crops

from .facesets import Place, files


def test_arrays_that_have_no_name_yet_get_theirs(place: Place, tmp_path: Path) -> None:
    source, folder = faceset.load(place.root / "ben"), tmp_path / "likeness"
    names = {crop.name for crop in source.crops[:2]}
    assert copy_crops(source, names, folder) is not None
    whole = {name: (folder / name).read_bytes() for name in files(folder)}
    for array in ("embeddings.npy", "thumbnails.npy"):
        (folder / array).rename(folder / f"{array}.next")
    again = copy_crops(source, names, folder)
    assert again is not None
    assert len(again.crops) == 2
    assert {name: (folder / name).read_bytes() for name in files(folder)} == whole
    times = {name: (folder / name).stat().st_mtime_ns for name in whole}
    assert copy_crops(source, names, folder) is not None
    assert {name: (folder / name).stat().st_mtime_ns for name in whole} == times
