"""Frame ranges and sequences in every notation that hosts hand over."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfxswap.errors import PlateError, UsageError
from vfxswap.sequence import FrameRange, SequencePath, views_on_disk

FRAMES = st.lists(st.integers(-2000, 20000), min_size=1, max_size=40)


def touch(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


@pytest.mark.parametrize(
    ("text", "frames"),
    [
        ("1001", [1001]),
        ("1001-1004", [1001, 1002, 1003, 1004]),
        ("1-30x5", [1, 6, 11, 16, 21, 26]),
        ("1-30:5", [1, 6, 11, 16, 21, 26]),  # a step, not fileseq's stagger
        ("1001,1003,1010-1012", [1001, 1003, 1010, 1011, 1012]),
        ("-3--1", [-3, -2, -1]),
        ("-2-2x2", [-2, 0, 2]),
        ("-5", [-5]),
        ("5-1x2", [5, 3, 1]),
        (" 1 - 3 ", [1, 2, 3]),
        ("1-3 7 9", [1, 2, 3, 7, 9]),  # and not 1-379
        ("1-3,2-4,", [1, 2, 3, 4]),
    ],
)
def test_notations(text, frames):
    assert list(FrameRange.parse(text)) == frames


@pytest.mark.parametrize("text", ["", "  ", ",", "abc", "1-", "x2", "--", "1.5", "1-3x0", "1-10y3", "1-2000000", "#"])
def test_nonsense_is_refused_with_a_remedy(text):
    with pytest.raises(UsageError) as caught:
        FrameRange.parse(text)
    assert repr(text) in caught.value.message
    assert "1001-1048" in caught.value.hint


@given(FRAMES)
def test_text_parses_back(frames):
    frame_range = FrameRange.of(frames)
    assert FrameRange.parse(str(frame_range)) == frame_range


@given(FRAMES, FRAMES)
def test_intersection_keeps_order(left, right):
    common = FrameRange.of(left).intersect(FrameRange.of(right))
    assert list(common) == [frame for frame in dict.fromkeys(left) if frame in right]


def test_range_is_a_value():
    frame_range = FrameRange.parse("1001-1048")
    assert str(frame_range) == "1001-1048"
    assert (frame_range.first, frame_range.last, len(frame_range)) == (1001, 1048, 48)
    assert 1010 in frame_range
    assert 1049 not in frame_range
    assert frame_range == FrameRange.of(range(1001, 1049))
    assert len({frame_range, FrameRange.of(range(1001, 1049))}) == 1
    assert str(FrameRange.of([1, 3, 5, 7, 40])) == "1-7x2,40"


def test_empty_range():
    empty = FrameRange.of([])
    assert not empty
    assert str(empty) == ""
    with pytest.raises(UsageError):
        _ = empty.first


@pytest.mark.parametrize(
    ("text", "pattern", "embedded"),
    [
        ("shot.%04d.exr", "shot.%04d.exr", None),
        ("shot.%d.exr", "shot.%d.exr", None),
        ("shot.####.exr", "shot.%04d.exr", None),
        ("shot.######.exr", "shot.%06d.exr", None),
        ("shot.#.exr", "shot.%04d.exr", None),
        ("shot.@@@.exr", "shot.%03d.exr", None),
        ("shot.$F4.exr", "shot.%04d.exr", None),
        ("shot.$F.exr", "shot.%d.exr", None),
        ("shot.1001-1048#.exr", "shot.%04d.exr", "1001-1048"),
        ("shot.1-9:2%03d.exr", "shot.%03d.exr", "1-9x2"),
        ("shot.-10--5####.exr", "shot.%04d.exr", "-10--5"),
        ("shot.[1001-1048].exr", "shot.%04d.exr", "1001-1048"),
        ("a-b-1001-1048#.exr", "a-b-%04d.exr", "1001-1048"),
        ("shot_v003#.exr", "shot_v003%04d.exr", None),
        ("x.1001.exr", "x.%04d.exr", "1001"),
        ("shot-1001.exr", "shot-%04d.exr", "1001"),
        ("shot.-012.exr", "shot.%04d.exr", "-12"),
        ("plate_v002.exr", "plate_v002.exr", None),
        ("take2.exr", "take2.exr", None),
    ],
)
def test_path_notations(text, pattern, embedded):
    sequence = SequencePath.parse(f"/plates/100%/{text}")
    assert sequence.pattern == f"/plates/100%/{pattern}"
    assert sequence.folder == Path("/plates/100%")
    assert (str(sequence.embedded) if sequence.embedded else None) == embedded
    if sequence.embedded:
        assert sequence.path(sequence.embedded.first).parent == sequence.folder


@pytest.mark.parametrize("text", ["", "shot.####.%04d.exr", "shot.%4d.exr"])
def test_paths_that_mean_nothing(text):
    with pytest.raises(UsageError):
        SequencePath.parse(text)


def test_names_and_numbers():
    sequence = SequencePath.parse("/p/shot.####.exr")
    assert sequence.name == "shot"
    assert sequence.path(7) == Path("/p/shot.0007.exr")
    assert sequence.path(12345) == Path("/p/shot.12345.exr")
    assert sequence.path(-7) == Path("/p/shot.-007.exr")  # as printf does
    assert SequencePath.parse("/plates/sh010/####.exr").name == "sh010"
    assert SequencePath.parse("/p/still_v002.exr").name == "still_v002"
    assert SequencePath.parse(str(sequence)) == sequence
    assert len({sequence, SequencePath.parse("/p/shot.%04d.exr")}) == 1


@given(frame=st.integers(-99999, 99999), padding=st.integers(1, 8))
def test_a_file_leads_back_to_its_frame(frame, padding):
    path = SequencePath(Path("/p"), "shot.", ".exr", padding).path(frame)
    again = SequencePath.parse(path)
    assert again.embedded == FrameRange.of([frame])
    assert again.path(frame) == path


def test_frames_on_disk(tmp_path):
    touch(tmp_path, "s.0003.exr", "s.0001.exr", "s.-002.exr", "s.10000.exr", "s.12.exr", "s.0002.jpg", ".s.0009.exr")
    sequence = SequencePath.parse(tmp_path / "s.####.exr")
    assert list(sequence.frames_on_disk()) == [-2, 1, 3, 10000]
    assert list(SequencePath.parse(tmp_path / "s.0003.exr").frames_on_disk()) == [3]
    assert list(SequencePath.parse(tmp_path / "s.2-9#.exr").frames_on_disk()) == [3]


def test_resolve_frames(tmp_path):
    touch(tmp_path, "s.0001.exr", "s.0002.exr", "s.0004.exr")
    sequence = SequencePath.parse(tmp_path / "s.####.exr")
    assert str(sequence.resolve_frames()) == "1-2,4"
    assert str(sequence.resolve_frames(FrameRange.parse("2-5"))) == "2-5"  # missing ones are reported frame by frame
    assert str(SequencePath.parse(tmp_path / "s.1-4#.exr").resolve_frames()) == "1-4"
    assert str(SequencePath.parse(tmp_path / "s.0001.exr").resolve_frames()) == "1"
    with pytest.raises(PlateError, match=r"none of the frames 7-9 exist.*1-2,4"):
        sequence.resolve_frames(FrameRange.parse("7-9"))


def test_one_file_stands_for_every_frame(tmp_path):
    touch(tmp_path, "still.exr")
    still = SequencePath.parse(tmp_path / "still.exr")
    assert list(still.frames_on_disk()) == [1]
    assert still.path(1) == still.path(1017) == tmp_path / "still.exr"
    assert str(still.resolve_frames(FrameRange.parse("1001-1003"))) == "1001-1003"


def test_folders(tmp_path):
    plate = tmp_path / "plate"
    touch(plate, "s.0998.exr", "s.1002.exr", "notes.txt")
    assert SequencePath.parse(plate).pattern == str(plate / "s.%04d.exr")
    touch(plate, "other.0001.exr")
    with pytest.raises(PlateError, match=r"2 sequences.*other\.%04d\.exr, s\.%04d\.exr"):
        SequencePath.parse(plate)
    touch(tmp_path / "dpx", "s.0001.dpx")
    with pytest.raises(PlateError, match=r"no EXR.*\.dpx"):
        SequencePath.parse(tmp_path / "dpx")
    touch(tmp_path / "unpadded", "s.8.exr", "s.9.exr", "s.10.exr")
    assert list(SequencePath.parse(tmp_path / "unpadded").frames_on_disk()) == [8, 9, 10]


def test_nothing_there_says_what_is(tmp_path):
    touch(tmp_path, "shot.0001.exr", "shot.0002.exr")
    with pytest.raises(PlateError, match=r"shto\.%04d\.exr.*in that folder: shot\.%04d\.exr"):
        SequencePath.parse(tmp_path / "shto.####.exr").frames_on_disk()
    with pytest.raises(PlateError, match="no such folder"):
        SequencePath.parse(tmp_path / "nope" / "a" / "shot.####.exr").resolve_frames()


def test_outputs_need_a_token():
    sequence = SequencePath.parse("/out/shot.####.exr")
    assert sequence.require_token() is sequence
    with pytest.raises(UsageError, match="####"):
        SequencePath.parse("/out/comp.exr").require_token()


def test_views_are_what_has_files(tmp_path):
    """Other folders beside those of the views are no views; an eye without files is one, so that it is missed."""
    for name in ("left/p.1001.exr", "right/p.1001.exr", "proxy/small.1001.exr", "notes/readme.txt", "tech/deep/x.exr"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    for text in ("%V/p.####.exr", "%V/p.%04d.exr", "%V/p.[1001-1001].exr"):
        assert views_on_disk(str(tmp_path / text)) == ("left", "right"), text
    # Any sequence will do where the path names none.
    assert views_on_disk(str(tmp_path / "%V")) == ("left", "proxy", "right")
    (tmp_path / "right" / "p.1001.exr").unlink()
    assert views_on_disk(str(tmp_path / "%V/p.%04d.exr")) == ("left", "right")
    with pytest.raises(PlateError, match="no view found"):
        views_on_disk(str(tmp_path / "tech" / "%V" / "p.####.exr"))


def test_views_in_file_names(tmp_path):
    for name in (
        "s.left.1001.exr",
        "s.right.1001.exr",
        "s.witness.1001.exr",
        "s.left.txt",
        "t.l.1001.exr",
        "t.r.1001.exr",
    ):
        (tmp_path / name).touch()
    assert views_on_disk(str(tmp_path / "s.%V.####.exr")) == ("left", "right", "witness")
    assert views_on_disk(str(tmp_path / "t.%v.####.exr")) == ("left", "right")
    assert views_on_disk(str(tmp_path / "t.%V.####.exr")) == ("l", "r")
