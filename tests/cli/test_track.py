"""`track`, `track fix` and `track export`, as a user calls them; and what a key makes a swap render again."""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from vfxswap import cli, events, exr, faceset, pipeline
from vfxswap.cli import track_report
from vfxswap.cli.common import Run
from vfxswap.color import ColorConfig
from vfxswap.events import CancelToken, RecordingSink
from vfxswap.face import export
from vfxswap.face import track as tracks
from vfxswap.face.export import nk, nuke
from vfxswap.face.keys import REACH, Key
from vfxswap.face.track import Face, FaceFrame, Track
from vfxswap.geometry import Window
from vfxswap.trust import ShotId

from ..support import Studio, digests, face, job, write_plate

FRAMES = range(1001, 1009)


@dataclass(frozen=True)
class Ran:
    returncode: int
    stdout: str
    stderr: str


def vfxswap(*arguments: object) -> Ran:
    """The command line as `main` runs it; in this process, but for events, which take over stdout."""
    words = [str(argument) for argument in arguments]
    if "--events" in words:
        command = [sys.executable, "-m", "vfxswap", *words]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
        return Ran(ran.returncode, ran.stdout, ran.stderr)
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = cli.execute(Run.start(words))
    return Ran(code, out.getvalue(), err.getvalue())


def fails(ran: Ran, code: int, *words: str) -> None:
    """One line that holds the words, no traceback, and the exit code of the contract."""
    assert ran.returncode == code, ran.stdout + ran.stderr
    errors = [line for line in ran.stderr.splitlines() if line.startswith("vfxswap: error:")]
    assert len(errors) == 1, ran.stderr
    assert "Traceback" not in ran.stderr
    for word in words:
        assert word in errors[0], errors[0]


def done(*arguments: object) -> Ran:
    ran = vfxswap(*arguments)
    assert ran.returncode == 0, ran.stderr
    return ran


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A track of two faces over eight frames; nobody is in the fifth."""
    pairs = {f: ((0, face(100 + f - 1001, 90, 60)), (1, face(250, 90, 50))) if f != 1005 else () for f in FRAMES}
    track = Track(
        plate=str(tmp_path / "p.####.exr"),
        frames=pairs,
        faces=(Face(0, "Anna", np.zeros(128)), Face(1, None, np.ones(128))),
        size=(320, 240),
    )
    track.save(tmp_path / "t.vfxtrack")
    return tmp_path / "t.vfxtrack"


# --------------------------------------------------------------------------------------------------- fix


def test_set_list_and_remove(made: Path):
    before = tracks.load(made)
    said = done("track", "fix", made, "--frame", 1003, "--set", "scale=1.02,rotate=-1.5,move=3,-2", "--reach", 1)
    assert said.stdout == "face 0: 1 key; 3 frames changed: 1002-1004\n"
    track = tracks.load(made)
    assert track.face(0)[1003].source == "key"
    assert track.face(1)[1003].source == "solve"
    for frame, one in before.face(0).items():
        assert np.array_equal(track.solved(0)[frame].landmarks, one.landmarks), "the solve stays"
    listed = done("track", "fix", made, "--list").stdout
    assert listed == "face 0 Anna frame 1003: similarity, scale 1.0200 rotate -1.50 move 3.00,-2.00, reach 1\n"
    # The same words again mean the same key: they count from the solve.
    done("track", "fix", made, "--frame", 1003, "--set", "scale=1.02,rotate=-1.5", "--set", "move=3,-2", "--reach", 1)
    assert done("track", "fix", made, "--list").stdout == listed
    said = done("track", "fix", made, "--face", 1, "--frame", 1002, "--set", "landmark:4=250.5,91,landmark:10=251,60")
    assert said.stdout.startswith("face 1: 1 key; ")
    assert tracks.load(made).keys[1][1002].landmarks == {4: (250.5, 91.0), 10: (251.0, 60.0)}
    assert "2 landmarks" in done("track", "fix", made, "--list", "--face", 1).stdout
    assert done("track", "fix", made, "--remove", "--frame", "1001-1004").stdout.count("0 keys") == 2
    assert done("track", "fix", made, "--list").stdout == "no keys\n"
    assert tracks.load(made).face(0)[1003].source == "solve"


def test_a_similarity_elsewhere_and_held(made: Path, tmp_path: Path):
    matrix = tracks.load(made).face("Anna")[1003].similarity * 1.5
    numbers = ",".join(repr(float(number)) for number in matrix.ravel())
    other = tmp_path / "other.vfxtrack"
    before = made.read_bytes()
    done(
        *("track", "fix", made, "--face", "Anna", "--frame", "1003"),
        *(f"--similarity={numbers}", "--hold", "--output", other),
    )
    assert made.read_bytes() == before
    fixed = tracks.load(other)
    assert np.array_equal(fixed.face(0)[1003].similarity, matrix)
    assert fixed.keys[0][1003].reach is None
    assert "holds" in done("track", "fix", other, "--list").stdout
    fails(
        vfxswap("track", "fix", made, "--frame", 1003, "--set", "scale=2", "--output", other),
        *(4, "already", "--overwrite"),
    )


def test_a_key_where_nobody_was_found(made: Path):
    fails(vfxswap("track", "fix", made, "--frame", 1005, "--set", "scale=2"), 4, "not found there", "frame 1005")
    said = done("track", "fix", made, "--frame", 1005, "--set", "landmark:4=104,96,landmark:10=104,60", "--reach", 0)
    assert said.stdout == "face 0: 1 key; 1 frame changed: 1005\n"
    assert tracks.load(made).face(0)[1005].source == "key"
    assert "not solved there" in done("track", "fix", made, "--list").stdout


def test_keys_from_files(made: Path, tmp_path: Path):
    keys = {"schema": "vfxswap.fixes/1", "face": 1, "keys": {"1002": {"move": [5, 0], "reach": 0}}}
    (tmp_path / "keys.json").write_text(json.dumps(keys))
    assert done("track", "fix", made, "--from", tmp_path / "keys.json").stdout.endswith("1 frame changed: 1002\n")
    # An exported tracker with a dragged point.
    script = tmp_path / "tracker.nk"
    done("track", "export", made, "--to", "nuke-tracker", "--output", script)
    fails(vfxswap("track", "fix", made, "--from", script), 4, "nothing was changed")
    text = script.read_text()
    x = float(tracks.load(made).face(0)[1004].landmarks[nuke.POINTS["chin"], 0])
    start = text.index('"chin"')
    where = re.compile(r"\{curve [^}]*\}").search(text, start)
    assert where is not None
    curve = nk.number_or_curve(nk.Word(where[0].strip("{}")))
    assert isinstance(curve, dict)
    curve[1004.0] += 4
    frames = [int(frame) for frame in curve]
    script.write_text(text[: where.start()] + nk.curve(frames, list(curve.values())) + text[where.end() :])
    said = done("track", "fix", made, "--from", script, "--reach", 2)
    assert said.stdout.startswith("face 0: 1 key; ")
    fixed = tracks.load(made)
    assert sorted(fixed.keys) == [0, 1]
    assert fixed.face(0)[1004].landmarks[nuke.POINTS["chin"], 0] == pytest.approx(x + 4, abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, ["nothing"]),
        (["--list", "--remove"], 2, ["--remove", "--list"]),
        (["--set", "scale=2"], 2, ["--frame"]),
        (["--frame", "ten", "--set", "scale=2"], 2, ["ten"]),
        (["--frame", "1003", "--set", "scale"], 2, ["scale=1.02"]),
        (["--frame", "1003", "--set", "scale=-2"], 2, ["scale of -2"]),
        (["--frame", "1003", "--set", "size=2"], 2, ["'size'"]),
        (["--frame", "1003", "--set", "move=3"], 2, ["move"]),
        (["--frame", "1003", "--set", "scale=2,landmark:4=1,2"], 2, ["one of the two"]),
        (["--frame", "1003", "--set", "landmark:900=1,2"], 4, ["landmark 900"]),
        (["--frame", "1003", "--similarity", "1,2,3"], 2, ["six numbers"]),
        (["--frame", "1003", "--similarity", "1,2,3,4,5,6"], 4, ["no similarity"]),
        (["--frame", "900", "--set", "scale=2"], 4, ["frame 900", "1001-1008"]),
        (["--frame", "1003", "--set", "scale=2", "--face", "Ben"], 4, ["'Ben'", "0 Anna"]),
        (["--frame", "1003", "--set", "scale=2", "--hold", "--reach", "3"], 2, ["--hold"]),
        (["--remove"], 2, ["--frame"]),
        (["--remove", "--frame", "1003"], 4, ["no key"]),
        (["--from", "none.json"], 4, ["none.json"]),
        (["--from", "none.json", "--frame", "1003"], 2, ["--frame"]),
    ],
)
def test_refusals(made: Path, arguments: list[str], code: int, words: list[str]):
    before = made.read_bytes()
    fails(vfxswap("track", "fix", made, *arguments), code, *words)
    assert made.read_bytes() == before


def test_a_file_that_is_no_script_is_named(made: Path, tmp_path: Path):
    (tmp_path / "x.nk").write_text("Blur {\n size 3\n")
    fails(vfxswap("track", "fix", made, "--from", tmp_path / "x.nk"), 4, "x.nk", "brace")
    (tmp_path / "x.json").write_text("{}")
    fails(vfxswap("track", "fix", made, "--from", tmp_path / "x.json"), 4, "x.json", "schema")


# ------------------------------------------------------------------------------------------------ export


def test_exports(made: Path, tmp_path: Path):
    for to, name in (
        *(("nuke-tracker", "t.nk"), ("nuke-cornerpin", "c.nk"), ("nuke-roto", "r.nk")),
        *(("json", "t.json"), ("chan", "t.chan")),
    ):
        said = done("track", "export", made, "--to", to, "--output", tmp_path / name)
        assert said.stdout.strip() == str(tmp_path / name)
        assert (tmp_path / name).stat().st_size
        fails(vfxswap("track", "export", made, "--to", to, "--output", tmp_path / name), 4, "already", "--overwrite")
        done("track", "export", made, "--to", to, "--output", tmp_path / name, "--overwrite")
    kinds = {node.kind for name in "tcr" for node in nk.parse((tmp_path / f"{name}.nk").read_text())}
    assert kinds == {"Tracker4", "CornerPin2D", "Roto"}
    said = done(
        *("track", "export", made, "--to", "stmap", "--crop", 16, "--frames", "1002-1006"),
        *("--output", tmp_path / "st.####.exr"),
    )
    assert "4 files" in said.stdout
    assert sorted(path.name for path in tmp_path.glob("st.*.exr")) == [f"st.{f}.exr" for f in (1002, 1003, 1004, 1006)]
    found, _ = exr.read_channels(tmp_path / "st.1002.exr")
    assert found["u"].shape == (240, 320)


def test_what_an_export_needs(made: Path, tmp_path: Path):
    tracker = ("track", "export", made, "--to", "nuke-tracker", "--output", tmp_path / "x.nk")
    fails(vfxswap(*tracker, "--face", "Ben"), 4, "Ben")
    fails(vfxswap(*tracker, "--reference", 1005), 4, "reference frame 1005")
    fails(vfxswap(*tracker, "--frames", "1-5"), 4, "none of the frames")
    fails(vfxswap(*tracker, "--frames", "1005"), 4, "none of the frames")
    fails(vfxswap(*tracker, "--size", "wide"), 2, "1920x1080")
    fails(vfxswap("track", "export", made, "--to", "stmap", "--output", tmp_path / "x.exr"), 2, "####")
    assert not list(tmp_path.glob("x.*"))
    # A track that does not know its size, and whose plate is gone.
    old = replace(tracks.load(made), size=None)
    old.save(made)
    fails(vfxswap(*tracker), 4, "--size")
    done(*tracker, "--size", "320x240")
    # A display window that does not begin at 0, 0 changes nothing: plate pixels count from its corner.
    pixels = np.zeros((60, 80), np.float16)
    shown, held = Window(-16, 8, 320, 240), Window(-4, 20, 80, 60)
    channels = dict.fromkeys("RGB", pixels)
    exr.write_channels(tmp_path / "p.1001.exr", channels=channels, display_window=shown, data_window=held)
    done(*tracker[:-1], tmp_path / "y.nk")
    assert (tmp_path / "y.nk").read_text() == (tmp_path / "x.nk").read_text()


# --------------------------------------------------------------------------------------- solve, and again


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_plate(tmp_path_factory.mktemp("plate"), frames=4, size=256)


def test_a_new_solve_keeps_the_keys(plate: str, tmp_path: Path):
    path = tmp_path / "t.vfxtrack"
    said = done("track", plate, "--output", path, "--fast", "--events", "-")
    told = [json.loads(line) for line in said.stdout.splitlines()]
    assert told[-1]["event"] == "done"
    assert tracks.load(path).size == (256, 256)
    done("track", "fix", path, "--frame", 1002, "--set", "move=9,0", "--reach", 0)
    where = tracks.load(path).face(0)[1002].similarity
    fails(vfxswap("track", plate, "--output", path), 4, "already")
    done("track", plate, "--output", path, "--overwrite")
    again = tracks.load(path)
    assert list(again.keys[0]) == [1002]
    assert np.array_equal(again.face(0)[1002].similarity, where)
    path.write_bytes(path.read_bytes()[:500])
    fails(vfxswap("track", plate, "--output", path, "--overwrite"), 4, "damaged", "--discard-fixes")
    done("track", plate, "--output", path, "--overwrite", "--discard-fixes", "--fast")
    assert tracks.load(path).keys == {}


def test_a_faceset_names_the_face(production: Studio, plate: str, tmp_path: Path):
    grant = production.gate().authorize_faceset(performer="anna", shot=ShotId.local("plate"))
    footage = faceset.open_footage(plate, config=ColorConfig.load(None))
    faceset.build(tmp_path / "anna", performer="anna", plates=footage, grant=grant)
    path = tmp_path / "t.vfxtrack"
    said = done("track", plate, "--output", path, "--fast", "--faceset", tmp_path / "anna", "--face", "anna")
    assert tracks.load(path).faces[0].name == "anna"
    assert "0 anna around" in said.stderr
    twice = ("--faceset", tmp_path / "anna", "--faceset", tmp_path / "anna")
    fails(vfxswap("track", plate, "--output", tmp_path / "u.vfxtrack", *twice), 2, "one performer")
    fails(vfxswap("track", plate, "--output", tmp_path / "u.vfxtrack", "--faceset", tmp_path / "none"), 4, "none")
    assert not (tmp_path / "u.vfxtrack").exists()


def test_a_track_of_unreadable_frames_says_so_in_the_end(plate: str, tmp_path: Path):
    """A frame whose face is hidden is in the table, in plain lines and in the events."""
    folder = tmp_path / "plate"
    folder.mkdir()
    for frame in range(1001, 1005):
        source = Path(plate).parent / f"shot.{frame}.exr"
        (folder / source.name).write_bytes(source.read_bytes())
    dark = {letter: np.zeros((256, 256), np.float16) for letter in "RGB"}
    exr.write_channels(folder / "shot.1005.exr", channels=dark)
    for frame in range(1006, 1012):
        exr.write_channels(folder / f"shot.{frame}.exr", channels=dark)
    said = done("track", folder, "--output", tmp_path / "t.vfxtrack", "--events", "-")
    warnings = [event for event in map(json.loads, said.stdout.splitlines()) if event["event"] == "warning"]
    checks = [event for event in warnings if event["code"] == "check_track"]
    assert any("no face" in event["message"] for event in checks)
    assert all(isinstance(event["frame"], int) for event in checks)
    assert [event["message"] for event in checks] == [line for line in said.stderr.splitlines() if "check " in line]


def doubted() -> Track:
    sure = face(100, 90, 60)
    doubt = replace(sure, confidence=0.25, reasons=("turned 52 degrees [away]",))
    pairs: dict[int, tuple[tuple[int, FaceFrame], ...]] = {
        f: ((0, doubt if f in (1003, 1004) else sure),) for f in FRAMES
    }
    pairs[1006] = pairs[1007] = ()
    return Track(plate="p", frames=pairs, faces=(Face(0, "Anna", np.zeros(128)),))


def shown(track: Track, *, terminal: bool) -> str:
    console = Console(force_terminal=terminal, width=100, record=True, file=io.StringIO())
    track_report.show(track, console)
    return console.export_text()


def test_the_table_of_frames_to_check():
    plain = shown(doubted(), terminal=False)
    assert plain.splitlines() == [
        "check 1003-1004: face 0 Anna: turned 52 degrees [away] (confidence 0.25)",
        "check 1006-1007: no face",
    ]
    table = shown(doubted(), terminal=True)
    for word in ("Check these frames", "1003-1004", "0 Anna", "0.25", "turned 52 degrees [away]", "1006-1007"):
        assert word in table
    sink = RecordingSink()
    track_report.warn(doubted(), sink)
    assert sink.events == [
        events.Warned(code="check_track", message=plain.splitlines()[0], frame=1003),
        events.Warned(code="check_track", message=plain.splitlines()[1], frame=1006),
    ]


def test_keyed_frames_need_no_check():
    track = doubted()
    key = Key(similarity=track.frames[1003][0][1].similarity)
    assert "1003" not in shown(track.with_keys(0, {1003: key, 1004: key}), terminal=False)
    good = replace(track, frames={1001: track.frames[1001]})
    assert shown(good, terminal=False).strip() == "no frame asks to be checked"


# ------------------------------------------------------------------------------------- rendering again


@pytest.fixture(scope="module")
def long_plate(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_plate(tmp_path_factory.mktemp("long"), frames=8, size=128)


def swapped(production: Studio, made: object) -> dict[int, str]:
    """Frame -> what became of it."""
    sink = RecordingSink()
    pipeline.swap(made, gate=production.gate(), sink=sink, cancel=CancelToken())  # type: ignore[arg-type]
    return {event.frame: event.status for event in sink.events if isinstance(event, events.FrameDone)}


@pytest.mark.parametrize("reach", [0, 2])
def test_a_key_renders_again_what_it_reaches_and_no_more(
    production: Studio, long_plate: str, tmp_path: Path, reach: int
):
    """With measurements given. Without, they are made again, since they hang on the whole track."""
    pairs = {f: ((0, face(64 + i, 62, 60)),) for i, f in enumerate(FRAMES)}
    track = Track(plate=long_plate, frames=pairs, faces=(Face(0, None, np.zeros(128)),), size=(128, 128))
    path = tmp_path / "t.vfxtrack"
    track.save(path)
    first = job(production, long_plate, tmp_path / "out", track=path)
    ready = pipeline.measured(first, gate=production.gate(), sink=RecordingSink(), cancel=CancelToken())
    ready.save(tmp_path / "s.vfxshot")
    fixed_job = first.replace(measurements=tmp_path / "s.vfxshot")
    assert set(swapped(production, fixed_job).values()) == {"rendered"}
    before = digests(tmp_path / "out")
    assert set(swapped(production, fixed_job).values()) == {"skipped"}
    done("track", "fix", path, "--frame", 1004, "--set", "move=3,1", "--reach", reach)
    changed = {f for f in FRAMES if abs(f - 1004) <= reach}
    assert {f for f, status in swapped(production, fixed_job).items() if status == "rendered"} == changed
    after = digests(tmp_path / "out")
    assert {int(name.split(".")[1]) for name in after if after[name] != before[name]} == changed
    done("track", "fix", path, "--remove", "--frame", "all")
    assert {f for f, status in swapped(production, fixed_job).items() if status == "rendered"} == changed
    assert digests(tmp_path / "out") == before


def test_default_reach_is_said_in_the_help():
    said = done("track", "fix", "--help").stdout
    assert str(REACH) in said
    assert export.FORMATS.keys() | {"json"} == {
        *("nuke-tracker", "nuke-cornerpin", "nuke-roto", "nuke-live", "stmap", "json", "chan", "usd")
    }
