"""`vfxswap faceset` as installed: from pictures to a faceset, looked through and corrected, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from vfxswap import faceset

from .. import support
from .facesets import Done, files, look, trusted, vfxswap, write_plate


class Place:
    """A studio with a faceset of each performer: ben's of pictures, anna's of a shot."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.studio = support.Studio.make(root / "studio")
        self.trust = trusted(self.studio)
        self.plate = write_plate(root / "ben_plate", frames=5)
        self.shot = write_plate(root / "anna_plate", frames=4, tint=(0.7, 0.9, 1.1))
        self.ben = self.build(self.plate, output=root / "ben", stills=True)
        self.anna = self.build(self.shot, output=root / "anna", performer="anna")

    def build(
        self, *plates: object, output: Path, performer: str = "ben", stills: bool = False, more: tuple[object, ...] = ()
    ) -> Done:
        options = ["--stills"] if stills else []
        return vfxswap("faceset", "build", *plates, "--performer", performer, "--output", output, "--size", 80,
                       "--device", "cpu", *options, *self.trust, *more)  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    made = Place(tmp_path_factory.mktemp("place"))
    assert [done.returncode for done in (made.ben, made.anna)] == [0, 0], [made.ben.stderr, made.anna.stderr]
    return made


@pytest.fixture
def copy(place: Place, tmp_path: Path) -> Path:
    """Ben's faceset, to be changed."""
    return Path(shutil.copytree(place.root / "ben", tmp_path / "copy"))


# -------------------------------------------------------------------------------------------------- build


def test_a_faceset_holds_the_faces_of_its_plate(place: Place) -> None:
    found = faceset.load(place.root / "ben")
    assert found.performer == "ben"
    assert found.size == 80
    assert len(found.usable()) == 5
    assert [crop.frame for crop in found.crops] == list(range(1001, 1006))
    roll = [crop.pose_deg[2] for crop in found.crops]
    np.testing.assert_allclose(np.diff(roll), 3.0, atol=1.5)  # the pictures are turned by three degrees each
    rgb, mask = found.load(found.crops[0])
    assert rgb.shape == (80, 80, 3)
    assert 0.1 < float(mask.mean()) < 0.6
    assert "done: 5 crops" in place.ben.stderr


def test_a_faceset_leaves_what_people_and_programs_read(place: Place) -> None:
    names = files(place.root / "ben")
    assert [name for name in names if "/" not in name] == [
        "contact_sheet.html", "contact_sheet.png", "embeddings.npy", "expressions.npy", "faceset.json",
        "landmarks.npy", "thumbnails.npy",
    ]  # fmt: skip
    assert [name for name in names if "/" in name] == [f"crops/look-00.{1001 + i:06d}.exr" for i in range(5)]


def test_a_faceset_names_its_consent(place: Place) -> None:
    consents = json.loads((place.root / "ben" / faceset.INDEX).read_text())["consents"]
    assert [sorted(entry) for entry in consents] == [["id", "sha256"]]
    shown = [vfxswap("consent", "show", path).stdout for path in place.studio.consents]
    ids = [line.split()[-1] for text in shown for line in text.splitlines() if line.startswith("consent ")]
    assert len({entry["id"] for entry in consents} & set(ids)) == 1


def test_stills_have_exposures_of_their_own_and_shots_one(place: Place) -> None:
    stills, shot = (faceset.load(place.root / name) for name in ("ben", "anna"))
    assert len({crop.gain for crop in stills.crops}) > 1
    assert len({crop.gain for crop in shot.crops}) == 1


def test_frames_choose(place: Place, tmp_path: Path) -> None:
    done = place.build(place.plate, output=tmp_path / "f", stills=True, more=("--frames", "1001-1005x2"))
    assert done.returncode == 0, done.stderr
    assert [crop.frame for crop in faceset.load(tmp_path / "f").crops] == [1001, 1003, 1005]


def test_plates_of_all_kinds_in_one_command(place: Place, tmp_path: Path) -> None:
    for i, name in enumerate(("a portrait", "B")):
        support.write_frame(tmp_path / "pictures" / f"{name}.exr", look(i + 7, count=18))
    done = place.build(
        f"{place.shot},frames=1001-1002", f"{tmp_path / 'pictures'},stills,colorspace=ACEScg", output=tmp_path / "f"
    )
    assert done.returncode == 0, done.stderr
    found = faceset.load(tmp_path / "f")
    assert [crop.name for crop in found.crops] == [
        "look-00.001001", "look-00.001002", "B-01.000001", "a portrait-02.000001",
    ]  # fmt: skip
    assert [plate.stills for plate in found.plates] == [False, True, True]


def test_rendered_performers_are_found_and_strangers_are_told_apart(shared: Path, place: Place, tmp_path: Path) -> None:
    """A few frames of the test material, a quarter of them of somebody else."""
    train = shared / "data" / "train"
    if not train.is_dir():
        pytest.skip("needs the rendered performers")
    done = place.build(
        f"{train}/ben/ben.1001-1012#.exr", f"{train}/anna/anna.1004-1007#.exr", output=tmp_path / "f", stills=True
    )
    assert done.returncode == 0, done.stderr
    found = faceset.load(tmp_path / "f")
    strangers: dict[str, list[bool]] = {crop.name[:4]: [] for crop in found.crops}
    for crop in found.crops:
        strangers[crop.name[:4]].append("identity" in crop.kinds)
    assert strangers == {"ben-": [False] * 12, "anna": [True] * 4}
    assert "not consistent with ben" in (found.crops[-1].quarantined or "")
    assert "4 for identity" in done.stderr


def test_no_face_is_4_and_writes_nothing(place: Place, tmp_path: Path) -> None:
    support.write_frame(tmp_path / "wall" / "wall.1001.exr", np.full((96, 96, 3), 0.18, np.float32))
    for stills in (False, True):
        done = place.build(tmp_path / "wall", output=tmp_path / "f", stills=stills, more=("--shot", "a/b/c"))
        assert done.returncode == 4
        assert "no face in any of 1 frames" in done.stderr
        assert not (tmp_path / "f").exists()


def test_a_broken_frame_is_left_out_and_said(place: Place, tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "plate", frames=3)
    broken = tmp_path / "plate" / "look.1002.exr"
    broken.write_bytes(broken.read_bytes()[:5000])
    done = place.build(plate, output=tmp_path / "f", stills=True, more=("--shot", "a/b/c", "--events", "-"))
    assert done.returncode == 3, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(event["frame"], event["code"]) for event in events if event["event"] == "warning"] == [(1002, "frame")]
    assert events[-1]["event"] == "error"
    assert "1 frames could not be read" in events[-1]["message"]
    assert [crop.frame for crop in faceset.load(tmp_path / "f").crops] == [1001, 1003]


def test_a_faceset_is_not_overwritten_but_added_to(place: Place, copy: Path) -> None:
    before = (copy / faceset.INDEX).read_bytes()
    done = place.build(place.shot, output=copy, stills=True)
    assert done.returncode == 2
    assert "already holds a faceset; choose another --output, or add to it with --append" in done.stderr
    assert (copy / faceset.INDEX).read_bytes() == before
    times = {path: path.stat().st_mtime_ns for path in copy.rglob("*.exr")}
    done = place.build(place.plate, f"{place.shot},stills", output=copy, stills=True, more=("--append",))
    assert done.returncode == 0, done.stderr
    assert [crop.name for crop in faceset.load(copy).crops] == [
        *(f"look-00.{1001 + i:06d}" for i in range(5)), *(f"look-01.{1001 + i:06d}" for i in range(4)),
    ]  # fmt: skip
    assert {path: path.stat().st_mtime_ns for path in times} == times


@pytest.mark.parametrize("given", ["none", "one", "unsigned"])
@pytest.mark.parametrize("append", [False, True])
def test_without_consent_nothing_is_written(place: Place, copy: Path, tmp_path: Path, given: str, append: bool) -> None:
    output = copy if append else tmp_path / "out"
    consents: list[object] = []
    if given == "one":
        consents = ["--consent", place.studio.consents[1]]  # anna's
    if given == "unsigned":
        bare = tmp_path / "bare.json"
        bare.write_text(json.dumps({**json.loads(place.studio.consents[0].read_text()), "signatures": []}))
        consents = ["--consent", bare]
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done = vfxswap("faceset", "build", place.shot, "--performer", "ben", "--output", output, *consents,
                   *(["--append"] if append else []), "--keyring", place.studio.keyring)  # fmt: skip
    assert done.returncode == 77
    assert done.stderr.startswith("vfxswap: error: VS-CON-0")
    assert done.stderr.count("\n") == 1
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_strange_notation_is_2(place: Place, tmp_path: Path) -> None:
    done = place.build("plate.####.exr,stills=yes", output=tmp_path / "f")
    assert done.returncode == 2
    assert "write PLATE[,KEY[=VALUE]]" in done.stderr
    assert not (tmp_path / "f").exists()


# ------------------------------------------------------------------------------------------- sheet, edit


def test_a_sheet_is_made_without_consent(copy: Path, tmp_path: Path) -> None:
    done = vfxswap("faceset", "sheet", copy, "--sort", "exposure", "--output", tmp_path / "s")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(tmp_path / "s" / f"contact_sheet.{kind}") for kind in ("png", "html")]
    assert files(tmp_path / "s") == ["contact_sheet.html", "contact_sheet.png"]
    refused = vfxswap("faceset", "sheet", copy, "--sort", "beauty")
    assert refused.returncode == 2
    assert "choose one of yaw" in refused.stderr


def test_sheets_can_be_left_out(place: Place, tmp_path: Path) -> None:
    done = place.build(f"{place.plate},frames=1001", output=tmp_path / "f", stills=True, more=("--no-sheet",))
    assert done.returncode == 0, done.stderr
    assert not list((tmp_path / "f").glob("contact_sheet.*"))


def test_the_artist_s_word_wins_and_is_recorded(copy: Path) -> None:
    done = vfxswap("faceset", "edit", copy, "--drop", "look-00.00100[12]", "--keep", "look-00.001003", "--note", "eyes")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "look-00.001001: dropped by hand: eyes [drop by hand]",
        "look-00.001002: dropped by hand: eyes [drop by hand]",
        "look-00.001003: used [keep by hand]",
        "3 crops are used, 2 are quarantined",
    ]
    assert [crop.frame for crop in faceset.load(copy).usable()] == [1003, 1004, 1005]
    entry = json.loads((copy / faceset.INDEX).read_text())["crops"][0]
    assert (entry["verdict"], entry["note"]) == ("drop", "eyes")
    assert vfxswap("faceset", "edit", copy, "--forget", "*").stdout == "5 crops are used, 0 are quarantined\n"


def test_a_name_that_no_crop_has_is_2(copy: Path) -> None:
    before = (copy / faceset.INDEX).read_bytes()
    done = vfxswap("faceset", "edit", copy, "--drop", "nobody")
    assert done.returncode == 2
    assert "no crop is named 'nobody'" in done.stderr
    assert (copy / faceset.INDEX).read_bytes() == before


@pytest.mark.parametrize("command", ["sheet", "edit"])
def test_a_missing_faceset_is_4(tmp_path: Path, command: str) -> None:
    done = vfxswap("faceset", command, tmp_path)
    assert done.returncode == 4
    assert "no faceset in" in done.stderr
    assert files(tmp_path) == []
