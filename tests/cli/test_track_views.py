"""`track --view all`: a run that was stopped between two views is gone on with, and nothing else is taken for one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from vfxswap.face import track as tracks
from vfxswap.geometry import Window

from .. import support
from ..plates import Layout
from .test_track import Ran, done, fails, vfxswap

EYES = ("left", "right")
SIZE = 160


@dataclass(frozen=True)
class Stereo:
    """A plate of two views in folders of their own, and the tracks that an undisturbed run leaves."""

    plate: str
    tracks: Path

    def track(self, folder: Path, *more: object) -> Ran:
        """Track both views into a folder."""
        return vfxswap("track", self.plate, "--view", "all", "--fast", "--output", folder / "%V.vfxtrack", *more)

    def begun(self, folder: Path, *eyes: str) -> Path:
        """A folder with the tracks of these views."""
        folder.mkdir()
        for eye in eyes:
            shutil.copy2(self.tracks / f"{eye}.vfxtrack", folder)
        return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def stereo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stereo]:
    root = tmp_path_factory.mktemp("stereo")
    for eye, aside in zip(EYES, (0.0, -3.0), strict=True):
        (root / eye).mkdir()
        for frame in (1001, 1002):
            picture = support.astronaut(SIZE, shift=aside + frame - 1001)
            support.write_frame(root / eye / f"shot.{frame}.exr", picture, frame=frame)
    made = Stereo(str(root / "%V" / "shot.####.exr"), root / "tracks")
    ran = made.track(made.tracks)
    assert ran.returncode == 0, ran.stderr
    assert "is kept" not in ran.stderr
    yield made


@pytest.mark.parametrize("there", EYES)
def test_what_is_missing_is_made_and_what_is_there_is_kept(stereo: Stereo, tmp_path: Path, there: str) -> None:
    folder = stereo.begun(tmp_path / "t", there)
    before = (folder / f"{there}.vfxtrack").stat()
    ran = stereo.track(folder)
    assert ran.returncode == 0, ran.stderr
    said = [line for line in ran.stderr.splitlines() if line.startswith("warning:")]
    assert said == [f"warning: {folder}/{there}.vfxtrack is there already and is kept; --overwrite makes it again"]
    after = (folder / f"{there}.vfxtrack").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert contents(folder) == contents(stereo.tracks)
    # Both are reported, the kept one like the other.
    assert ran.stderr.count("there are: 0 around") == 2
    fails(stereo.track(folder), 4, "the track is there already (", "--overwrite")


def test_programs_are_told_what_is_kept(stereo: Stereo, tmp_path: Path) -> None:
    folder = stereo.begun(tmp_path / "t", "left")
    events = [json.loads(line) for line in stereo.track(folder, "--events", "-").stdout.splitlines()]
    kept = [event for event in events if event["event"] == "warning" and event["code"] == "track_kept"]
    assert len(kept) == 1
    assert str(folder / "left.vfxtrack") in kept[0]["message"]
    assert (events[-1]["event"], events[-1]["counts"]) == ("done", {"frames": 2, "faces": 2})


def test_keys_of_a_kept_track_stay(stereo: Stereo, tmp_path: Path) -> None:
    folder = stereo.begun(tmp_path / "t", "right")
    done("track", "fix", folder / "right.vfxtrack", "--frame", 1002, "--set", "move=2,0", "--reach", 0)
    keyed = (folder / "right.vfxtrack").read_bytes()
    assert stereo.track(folder).returncode == 0
    assert (folder / "right.vfxtrack").read_bytes() == keyed
    assert (folder / "left.vfxtrack").read_bytes() == (stereo.tracks / "left.vfxtrack").read_bytes()


def test_a_track_of_something_else_is_not_taken_for_one(stereo: Stereo, tmp_path: Path) -> None:
    """Another plate, other frames, another colour space, a damaged file: refused, and left as they are."""
    left = tracks.load(stereo.tracks / "left.vfxtrack")
    first = {1001: left.frames[1001]}
    others = {
        "of another plate": replace(left, plate=left.plate.replace("left", "right")),
        "of other frames": replace(left, frames=first),
        "another color space": replace(left, colorspace="ACES2065-1"),
        "lens": replace(left, metadata={"lens": "0" * 64}),
        "of another view: right": replace(left, metadata={"view": "right"}),
    }
    for i, (said, other) in enumerate(others.items()):
        folder = stereo.begun(tmp_path / str(i))
        other.save(folder / "left.vfxtrack")
        before = contents(folder)
        fails(stereo.track(folder), 4, "the track is there already", said, "--overwrite")
        assert contents(folder) == before
    folder = stereo.begun(tmp_path / "damaged", "left")
    (folder / "left.vfxtrack").write_bytes(b"PK" * 20)
    fails(stereo.track(folder), 4, "the track is there already", "cannot be read", "--overwrite")
    fails(stereo.track(stereo.begun(tmp_path / "fewer", "left"), "--frames", "1002"), 4, "of other frames")


def test_a_plate_that_was_made_again_is_tracked_again(stereo: Stereo, tmp_path: Path) -> None:
    folder = stereo.begun(tmp_path / "t", "right")
    os.utime(folder / "right.vfxtrack", (1, 1))
    fails(stereo.track(folder), 4, "the track is there already", "older than its plate", "--overwrite")
    ran = stereo.track(folder, "--overwrite")
    assert ran.returncode == 0, ran.stderr
    assert contents(folder) == contents(stereo.tracks)


def test_a_frame_that_cannot_be_read_is_rightly_missing(stereo: Stereo, tmp_path: Path) -> None:
    """The track that an earlier run made without it is kept until the frame can be read."""
    source = Path(stereo.plate.partition("%V")[0])
    for eye in EYES:
        shutil.copytree(source / eye, tmp_path / "plate" / eye)
    bad = tmp_path / "plate" / "left" / "shot.1002.exr"
    whole = bad.read_bytes()
    bad.write_bytes(b"")
    here = Stereo(stereo.plate.replace(str(source), str(tmp_path / "plate")), tmp_path / "t")
    ran = here.track(here.tracks)
    assert ran.returncode == 0, ran.stderr
    made = contents(here.tracks)
    (here.tracks / "right.vfxtrack").unlink()
    assert here.track(here.tracks).returncode == 0
    assert contents(here.tracks) == made
    (here.tracks / "right.vfxtrack").unlink()
    bad.write_bytes(whole)
    os.utime(bad, (1, 1))
    fails(here.track(here.tracks), 4, "left.vfxtrack", "of other frames")


def test_views_that_share_files_say_which_they_are(tmp_path: Path) -> None:
    picture = support.astronaut(SIZE)
    layout = Layout(Window(0, 0, SIZE, SIZE), Window(0, 0, SIZE, SIZE), views=EYES)
    layout.write(tmp_path / "shot.1001.exr", light=picture)
    one = Stereo(str(tmp_path / "shot.####.exr"), tmp_path / "t")
    assert one.track(one.tracks).returncode == 0
    left, right = (one.tracks / f"{eye}.vfxtrack" for eye in EYES)
    assert [tracks.load(path).metadata["view"] for path in (left, right)] == list(EYES)
    made = contents(one.tracks)
    right.unlink()
    assert one.track(one.tracks).returncode == 0
    assert contents(one.tracks) == made
    left.replace(right)
    fails(one.track(one.tracks), 4, "right.vfxtrack", "the track is there already", "of another view: left")


def test_two_views_want_two_files(tmp_path: Path) -> None:
    for eye in ("left", "lower"):
        (tmp_path / eye).mkdir()
        support.write_frame(tmp_path / eye / "shot.1001.exr", support.astronaut(SIZE))
    plate = tmp_path / "%V" / "shot.####.exr"
    fails(
        vfxswap("track", plate, "--view", "all", "--fast", "--output", tmp_path / "%v.vfxtrack"),
        *(2, "two views have the same output", "%V"),
    )
    assert not list(tmp_path.glob("*.vfxtrack"))
