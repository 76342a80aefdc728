"""Facesets on disk: what is refused. Building one is tested through the command (tests/cli/test_training.py)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vfxswap import align, archive, faceset
from vfxswap.errors import FacesetError


def index(folder: Path, **changes: object) -> Path:
    """A faceset index without crops, with `changes`."""
    data = {"schema": faceset.SCHEMA, "template": align.TEMPLATE, "performer": "P-1", "size": 64, "crops": []}
    (folder / faceset.INDEX).write_text(json.dumps(data | {"consents": [], "config": None} | changes))
    (folder / faceset.LANDMARKS).write_bytes(archive.npy_bytes(np.zeros((0, 478, 3))))
    return folder


def test_an_empty_index_opens(tmp_path: Path) -> None:
    opened = faceset.load(index(tmp_path))
    assert opened.performer == "P-1"
    assert opened.usable() == ()


def test_a_folder_without_a_faceset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FacesetError, match="no faceset in"):
        faceset.load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema": "vfxswap.faceset/9"}, "vfxswap.faceset/9"),
        ({"template": "other/1"}, "other/1"),
        ({"crops": [{}]}, "incomplete"),
        ({"size": None}, "incomplete"),
    ],
)
def test_another_version_alignment_or_content_is_named(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(FacesetError, match=words):
        faceset.load(index(tmp_path, **changes))


def test_landmarks_move_with_the_crop_and_depth_scales_alike() -> None:
    matrix = np.array([[0.5, 0.0, 3.0], [0.0, 0.5, -2.0]])
    moved = faceset.landmarks_in(np.array([[10.0, 20.0, 4.0]]), matrix)
    np.testing.assert_allclose(moved, [[8.0, 8.0, 2.0]])
