"""Facesets on disk: what comes back, what is refused, what a crash leaves."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest

from vfxswap import align, archive, faceset
from vfxswap.errors import FacesetError, OutputError
from vfxswap.faceset import crops

from . import made


def bare(folder: Path, **changes: object) -> Path:
    """A faceset index without crops, with `changes`."""
    data = {"schema": faceset.SCHEMA, "template": align.TEMPLATE, "performer": "P-1", "size": 64, "crops": []}
    (folder / faceset.INDEX).write_text(json.dumps(data | {"consents": [], "config": None} | changes))
    (folder / faceset.LANDMARKS).write_bytes(archive.npy_bytes(np.zeros((0, 478, 3))))
    return folder


def test_an_empty_index_opens(tmp_path: Path) -> None:
    opened = faceset.load(bare(tmp_path))
    assert opened.performer == "P-1"
    assert opened.usable() == ()
    assert opened.embeddings.shape == (0, 128)


def test_a_folder_without_a_faceset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FacesetError, match="no faceset in"):
        faceset.load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema": "vfxswap.faceset/9"}, "vfxswap.faceset/9.*update vfxswap"),
        ({"schema": "vfxswap.shot/2"}, "vfxswap.shot/2.*build it again"),
        ({"schema": "vfxswap.faceset/x"}, "vfxswap.faceset/x"),
        ({"template": "other/1"}, "other/1"),
        ({"crops": [{}]}, r"incomplete: crops.0.name"),
        ({"size": None}, "incomplete: size"),
        ({"size": 0}, "incomplete: size"),
        ({"schema": "vfxswap.faceset/1", "crops": [{}]}, "incomplete"),
        ({"schema": "vfxswap.faceset/1", "crops": [1]}, "incomplete"),
    ],
)
def test_another_version_alignment_or_content_is_named(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(FacesetError, match=words):
        faceset.load(bare(tmp_path, **changes))


@pytest.mark.parametrize("text", ["", "[]", "{", '"x"', "\x00"])
def test_what_is_no_index_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / faceset.INDEX).write_text(text)
    with pytest.raises(FacesetError):
        faceset.load(tmp_path)


def test_everything_comes_back(tmp_path: Path) -> None:
    reason = faceset.Reason("blur", "blurred")
    rows = [*made.rows(2), made.row("look-00.000009", seed=9, reasons=(reason,), verdict="keep", note="fine")]
    written = made.write(tmp_path, rows)
    for row, again in zip(rows, faceset.load(tmp_path).rows(), strict=True):
        for field in dataclasses.fields(row.crop):
            if field.name != "landmarks":
                assert getattr(again.crop, field.name) == getattr(row.crop, field.name), field.name
        np.testing.assert_array_equal(again.crop.landmarks, row.crop.landmarks)
        np.testing.assert_array_equal(again.embedding, row.embedding)
        np.testing.assert_array_equal(again.expression, row.expression)
        np.testing.assert_array_equal(again.thumbnail, row.thumbnail)
    assert len(written.usable()) == 3
    assert written.crops[2].kinds == {"blur"}


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        made.write(tmp_path / name, made.rows(3))
    for file in sorted((tmp_path / "a").iterdir()):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_version_1_is_brought_up_to_date(tmp_path: Path) -> None:
    old = {"timecode": None, "gain": 2.0, "pose_deg": [1, 2, 3], "confidence": 0.9}
    entries = [
        {"name": "ben-00.001001", "plate": "a.%04d.exr", "frame": 1001, "quarantined": None, **old},
        {"name": "ben-01.001001", "plate": "b.exr", "frame": 1, "quarantined": "track confidence 0.12", **old},
        {"name": "ben-01.001002", "plate": "b.exr", "frame": 2, "quarantined": "no light on the face", **old},
    ]
    folder = bare(tmp_path, schema="vfxswap.faceset/1", crops=entries)
    (folder / faceset.LANDMARKS).write_bytes(archive.npy_bytes(np.ones((3, 478, 3))))
    opened = faceset.load(folder)
    assert [crop.quarantined for crop in opened.crops] == [None, "track confidence 0.12", "no light on the face"]
    assert [crop.kinds for crop in opened.crops] == [set(), {"unreadable"}, {"extreme"}]
    assert [(plate.id, plate.pattern) for plate in opened.plates] == [(0, "a.%04d.exr"), (1, "b.exr")]
    assert len(opened.usable()) == 1
    assert not opened.embeddings.any()
    assert np.isnan(opened.expressions).all()
    assert not any(row.measured for row in opened.rows())


@pytest.mark.parametrize("name", [faceset.LANDMARKS, faceset.EMBEDDINGS, faceset.EXPRESSIONS, faceset.THUMBNAILS])
@pytest.mark.parametrize("harm", ["gone", "other", "cut"])
def test_arrays_that_are_not_the_index_s_are_refused(tmp_path: Path, name: str, harm: str) -> None:
    made.write(tmp_path, made.rows(2))
    path = tmp_path / name
    if harm == "gone":
        path.unlink()
    if harm == "other":
        path.write_bytes(archive.npy_bytes(np.zeros(3)))
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FacesetError, match=f"damaged: {name}"):
        faceset.load(tmp_path)


@pytest.mark.parametrize("step", range(9))
def test_a_crash_while_writing_leaves_the_old_faceset_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Four arrays, the index, four renames: whichever is the last that happens."""
    made.write(tmp_path, made.rows(2))
    real, done = os.replace, 0

    def replace(source: Path, target: Path) -> None:
        nonlocal done
        if done == step:
            raise OSError("the power is gone")
        done += 1
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises((OutputError, OSError)):
        made.write(tmp_path, made.rows(3))
    monkeypatch.undo()
    assert len(faceset.load(tmp_path).crops) == (2 if step < 5 else 3)
    assert len(made.write(tmp_path, made.rows(4)).crops) == 4


def test_the_digest_is_of_what_is_trained_on(tmp_path: Path) -> None:
    one = made.write(tmp_path / "a", made.rows(2)).digest()
    assert one == made.write(tmp_path / "b", made.rows(2)).digest()
    assert (
        one
        != made.write(tmp_path / "c", [made.rows(2)[0], made.row("look-00.000002", seed=2, verdict="drop")]).digest()
    )
    assert made.write(tmp_path / "a", made.rows(3)).digest() != one


def test_the_artist_s_word_is_above_the_reasons() -> None:
    reasons = (crops.Reason("blur", "blurred"), crops.Reason("extreme", "yaw"))
    assert crops.quarantined(reasons, None) == "blurred; yaw"
    assert crops.quarantined(reasons, "keep") is None
    assert crops.quarantined((), "drop", "not her best") == "dropped by hand: not her best"
    assert crops.quarantined((), None) is None


def test_landmarks_move_with_the_crop_and_depth_scales_alike() -> None:
    matrix = np.array([[0.5, 0.0, 3.0], [0.0, 0.5, -2.0]])
    moved = faceset.landmarks_in(np.array([[10.0, 20.0, 4.0]]), matrix)
    np.testing.assert_allclose(moved, [[8.0, 8.0, 2.0]])
