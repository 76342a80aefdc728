"""What goes wrong around a run: disks, folders, permissions, clocks, locales, names, files that are still written."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from vfxswap import atomic, cli, pipeline
from vfxswap.cli.common import Run
from vfxswap.errors import OutputError, ResourceError
from vfxswap.events import CancelToken, Event, FrameDone, NullSink, RecordingSink
from vfxswap.job import SwapJob
from vfxswap.trust import canonical

from .. import support
from ..support import Studio

FRAMES = ("1001", "1002", "1003", "1004")
POWERLESS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--")
"""In front of a command: root without the right to open what is forbidden."""


def run(*arguments: object) -> int:
    return cli.execute(Run(tuple(map(str, arguments))))


def installed(*arguments: object, before: tuple[str, ...] = (), **environment: str) -> tuple[int, str]:
    """Exit code and the last line of stderr of a process of its own; empty values are taken out of its environment."""
    given = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run(
        [*before, sys.executable, "-m", "vfxswap", *map(str, arguments)],
        capture_output=True, text=True, timeout=120, check=False, env={k: v for k, v in given.items() if v},
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.returncode, (done.stderr.strip().splitlines() or [""])[-1]


def powerless(*arguments: object) -> tuple[int, str]:
    if os.name != "posix" or (os.geteuid() == 0 and shutil.which("setpriv") is None):
        pytest.skip("needs setpriv, or not to be root")
    return installed(*arguments, before=POWERLESS if os.geteuid() == 0 else ())


class Shot:
    """A job over four small frames."""

    def __init__(self, root: Path, studio: Studio, plate: str, **fields: Any) -> None:
        self.root, self.studio = root, studio
        self.plate = Path(shutil.copytree(Path(plate).parent, root / "plate"))
        self.job = support.job(studio, str(self.plate / Path(plate).name), root / "out", **fields)
        self.file = root / "job.json"
        self.job.save(self.file)

    @property
    def out(self) -> Path:
        return self.root / "out"

    def frame(self, number: str) -> Path:
        return self.plate / f"shot.{number}.exr"

    def digests(self) -> dict[str, str]:
        return support.digests(self.out)

    def swap(self, sink: Any) -> None:
        pipeline.swap(self.job, gate=self.studio.gate(), sink=sink, cancel=CancelToken())


@pytest.fixture(scope="module")
def untroubled(tmp_path_factory: pytest.TempPathFactory, production: Studio, face_plate: str) -> Shot:
    made = Shot(tmp_path_factory.mktemp("whole"), production, face_plate)
    made.swap(NullSink())
    return made


@pytest.fixture
def bare(tmp_path: Path, production: Studio, face_plate: str) -> Shot:
    """A job that has to be tracked and measured."""
    return Shot(tmp_path, production, face_plate)


@pytest.fixture
def shot(tmp_path: Path, production: Studio, face_plate: str, untroubled: Shot) -> Shot:
    """A job that was."""
    made = [next(untroubled.out.rglob(f"*.{kind}")) for kind in ("vfxtrack", "vfxshot")]
    return Shot(tmp_path, production, face_plate, track=made[0], measurements=made[1])


@pytest.fixture(scope="module")
def whole(untroubled: Shot) -> dict[str, str]:
    """What an untroubled run leaves."""
    return untroubled.digests()


class When:
    """Does something once the first frame is there."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act, self._done = act, False

    def emit(self, event: Event) -> None:
        if isinstance(event, FrameDone) and not self._done:
            self._done = True
            self._act()


# -------------------------------------------------------------------------------------------------- disks


@pytest.mark.slow
def test_a_disk_that_fills_up_is_3_and_more_room_is_all_it_needs(shot: Shot, whole: dict[str, str]) -> None:
    """A real one: a file system of so many kilobytes, that the third frame has no room on."""
    if os.geteuid() or subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs to mount a file system")
    size = sum((shot.plate / f"shot.{frame}.exr").stat().st_size for frame in FRAMES[:2]) // 1024 + 100
    shot.out.mkdir()
    swap = f"{sys.executable} -m vfxswap run {shot.file}"
    script = f"""
mount -t tmpfs -o size={size}k none {shot.out} || exit 90
{swap} 2> {shot.root}/said; echo $? > {shot.root}/code
find {shot.out} -name '*.tmp' > {shot.root}/left
mount -o remount,size=64m {shot.out}
{swap} || exit 91
cp {shot.out}/*.exr {shot.root}/
"""
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = (shot.root / "said").read_text().splitlines()
    assert (shot.root / "code").read_text().strip() == "3"
    assert "the disk is full" in said[-1] and "free space and run again" in said[-1]
    assert (shot.root / "left").read_text() == ""
    assert support.digests(shot.root) == whole


def test_no_room_for_the_record_alone_is_3_as_well(shot: Shot, whole: dict[str, str]) -> None:
    def full() -> Any:
        raise ResourceError("the disk is full")

    with pytest.raises(ResourceError):
        pipeline.swap(shot.job, gate=shot.studio.gate(), sink=NullSink(), cancel=CancelToken(), sign=full)
    assert shot.digests() == whole


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (errno.ENOSPC, 3, "the disk is full"),
        (errno.ESTALE, 3, "cannot be reached: stale"),
        (errno.ENOENT, 3, "cannot be reached: no such"),
        (errno.EMFILE, 3, "out of resources"),
        (errno.EROFS, 4, "no permission"),
        (errno.ENAMETOOLONG, 4, "too long"),
        (errno.EINVAL, 1, "internal error"),
    ],
)
def test_what_the_system_refuses_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int, code: int, said: str
) -> None:
    """Wherever an error of the system comes through that nobody expected there."""

    def refused(self: Any, **options: Any) -> None:
        raise OSError(number, os.strerror(number), "/shows/sh010/plate")

    monkeypatch.setattr("typer.core.TyperGroup.main", refused)
    assert run("doctor") == code
    line = capsys.readouterr().err.strip()
    assert said in line and len(line.splitlines()) == 1 and "/shows/sh010/plate" in line


@pytest.mark.parametrize("gone", ["removed", "replaced"])
def test_a_folder_that_vanishes_is_noticed_and_made_again(shot: Shot, whole: dict[str, str], gone: str) -> None:
    def away() -> None:
        shutil.rmtree(shot.out)
        if gone == "replaced":  # as a mount point is that lost its share
            shot.out.mkdir()

    with pytest.raises(ResourceError, match=r"was replaced|cannot be reached") as found:
        shot.swap(When(away))
    assert (found.value.exit_code, found.value.path) == (3, shot.out)
    shot.swap(NullSink())
    assert shot.digests() == whole


def test_a_plate_that_vanishes_fails_frame_by_frame(shot: Shot, whole: dict[str, str]) -> None:
    aside, plate = shot.root / "aside", shot.plate
    sink = RecordingSink()

    class Both(When):
        def emit(self, event: Event) -> None:
            super().emit(event)
            sink.emit(event)

    shot.swap(Both(lambda: plate.rename(aside)))
    failed = [event for event in sink.events if event.event == "frame_failed"]
    assert failed and all("file not found" in getattr(event, "message", "") for event in failed)
    aside.rename(plate)
    shot.swap(NullSink())
    assert shot.digests() == whole


# -------------------------------------------------------------------------------------------- permissions


def test_a_frame_that_could_not_be_read_is_tracked_when_it_can(bare: Shot, whole: dict[str, str]) -> None:
    """Its size and time stay the same, so the cached track has to be asked whether it knows the frame."""
    shot = bare
    shot.frame("1002").chmod(0)
    code, line = powerless("run", shot.file)
    assert code == 3
    assert "1 frames failed" in line and "Permission denied" in line and str(shot.frame("1002")) in line
    assert line.count("check its permissions") == 1
    assert sorted(shot.digests()) == [f"out.{frame}.exr" for frame in FRAMES if frame != "1002"]
    shot.frame("1002").chmod(0o644)
    assert run("run", shot.file) == 0
    assert shot.digests() == whole


def test_what_may_not_be_read_or_written_is_said_by_name(shot: Shot) -> None:
    model, folder = shot.root / "other.vfxmodel", shot.root / "closed"
    shutil.copy(shot.job.model, model)
    folder.mkdir()
    shot.job.replace(model=model).save(shot.file)
    model.chmod(0)
    code, line = powerless("run", shot.file)
    assert code == 4 and "no permission to read it" in line and str(model) in line
    model.chmod(0o644)
    shot.out.mkdir()
    shot.out.chmod(0o555)
    code, line = powerless("run", shot.file)
    assert code == 4 and "no permission to write" in line and "choose another --output" in line
    assert list(shot.out.iterdir()) == []
    shot.plate.chmod(0)
    code, line = powerless("track", shot.plate, "--output", shot.root / "t.vfxtrack")
    assert code == 4 and "no permission to read the folder" in line
    shot.plate.chmod(0o755)
    shot.out.chmod(0o755)


# ------------------------------------------------------------------------------------------------- clocks


@pytest.fixture
def clock() -> Any:
    """Sets the clock that consents, keys and records go by, wherever it was imported to."""
    real = canonical.now_utc.__code__

    def jumped(after: int, by: timedelta) -> None:
        """The clock is right so many times, then wrong by so much."""
        canonical.__dict__["_looks"], canonical.__dict__["_jump"] = [after], by

        def now_utc() -> datetime:
            from datetime import UTC

            _looks[0] -= 1  # type: ignore[name-defined]  # noqa: F821
            return datetime.now(UTC) + (_jump if _looks[0] < 0 else 0 * _jump)  # type: ignore[name-defined]  # noqa: F821

        canonical.now_utc.__code__ = now_utc.__code__

    yield jumped
    canonical.now_utc.__code__ = real
    for name in ("_looks", "_jump"):
        canonical.__dict__.pop(name, None)


@pytest.mark.parametrize("years", [-10, 10])
def test_a_clock_that_jumps_never_makes_consent(
    shot: Shot, whole: dict[str, str], clock: Any, years: int, capsys: pytest.CaptureFixture[str]
) -> None:
    clock(0, timedelta(days=365 * years))
    assert run("run", shot.file) == 77
    assert "VS-CON-" in capsys.readouterr().err and not shot.out.exists()
    # Between consent and signature: the frames are right, and the record says what the clock said.
    clock(2, timedelta(days=365 * years))
    assert run("run", shot.file) == 0
    assert shot.digests() == whole
    # A publish asks once more at its end.
    into = shot.root / "published"
    clock(0, timedelta(0))
    assert run("run", shot.file) == 0
    assert run("provenance", "finalise", shot.out) == 0
    clock(4, timedelta(days=365 * years))
    code = run("publish", shot.file, "--into", into)
    assert code == 77 and not list(into.glob("v*"))
    clock(0, timedelta(0))
    capsys.readouterr()


# -------------------------------------------------------------------------------------- locales and names


def test_no_locale_no_home_no_user(shot: Shot, whole: dict[str, str]) -> None:
    name = "Björk 山田"
    job = shot.job.replace(output=str(shot.root / name / "out.####.exr"))
    job.save(shot.file)
    code, line = installed("run", shot.file, LC_ALL="C", LANG="", HOME="", USER="", LOGNAME="")
    assert code == 0, line
    assert support.digests(shot.root / name) == whole


def test_names_of_every_script_and_length(
    bare: Shot, whole: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    shot = bare
    folder = unicodedata.normalize("NFD", "прёвет é 🎬 [x] *'\"%20;")
    stem = unicodedata.normalize("NFD", "é") * 60
    stem += "x" * (255 - len((stem + ".1001.exr").encode()) - 10)
    for plate in sorted(shot.plate.iterdir()):
        plate.rename(plate.with_name(plate.name.replace("shot", stem)))
    job = shot.job.replace(
        plate=str(shot.plate / f"{stem}.####.exr"), output=str(shot.root / folder / f"{stem}.####.exr")
    )
    job.save(shot.file)
    assert run("run", shot.file) == 0, capsys.readouterr().err
    assert [*support.digests(shot.root / folder).values()] == [*whole.values()]
    manifest = shot.root / folder / f"{stem}.provenance.json"
    assert manifest.is_file() and run("provenance", "verify", manifest) == 0
    # One that leaves no room for its record is refused before anything is made.
    job.replace(output=str(shot.root / "long" / f"{'y' * 246}.####.exr")).save(shot.file)
    assert run("run", shot.file) == 4
    assert "too long" in capsys.readouterr().err and not (shot.root / "long").exists()


def test_a_temporary_name_fits_and_is_swept(tmp_path: Path) -> None:
    for name in ("x" * 255, "é" * 127, "[a]*?.json"):
        path = tmp_path / name
        script = f"""
import os
from pathlib import Path
from vfxswap import atomic
with atomic.replacing(Path({str(path)!r})) as temporary:
    temporary.write_text("half")
    os._exit(9)
"""
        assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
        assert len(list(tmp_path.iterdir())) == 1 and not path.exists()
        atomic.write_text(path, "whole")
        assert [found.name for found in tmp_path.iterdir()] == [name]
        path.unlink()
    with pytest.raises(OutputError, match="name is too long"):
        atomic.write_text(tmp_path / ("x" * 256), "")


# ------------------------------------------------------------------------------------------------- growing


def test_a_frame_that_is_still_written_fails_and_is_made_when_it_is_whole(
    shot: Shot, whole: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    data = {frame: shot.frame(frame).read_bytes() for frame in ("1002", "1003", "1004")}
    shot.frame("1002").write_bytes(b"")
    shot.frame("1003").write_bytes(data["1003"][:100])
    shot.frame("1004").write_bytes(data["1004"][: len(data["1004"]) // 2])
    assert run("run", shot.file) == 3
    said = capsys.readouterr().err.splitlines()[-1]
    assert "3 frames failed" in said and "0 bytes" in said and "1002" in said
    assert sorted(shot.digests()) == ["out.1001.exr"]
    for frame, whole_file in data.items():
        shot.frame(frame).write_bytes(whole_file)
    assert run("run", shot.file) == 0
    assert shot.digests() == whole


def test_a_frame_that_changes_while_it_is_read_is_never_recorded(shot: Shot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the hash that goes into the record and the pixels that go into the picture."""
    from vfxswap.plate import Plate

    read = Plate.read

    def growing(plate: Plate, frame: int) -> Any:
        image = read(plate, frame)
        if frame == 1003:
            with shot.frame("1003").open("ab") as file:
                file.write(b"\0")
        return image

    monkeypatch.setattr(Plate, "read", growing)
    sink = RecordingSink()
    shot.swap(sink)
    failed = [event for event in sink.events if event.event == "frame_failed"]
    assert [getattr(event, "frame", 0) for event in failed] == [1003]
    assert "changed while it was read" in json.dumps([str(event) for event in failed])
    assert not (shot.out / "out.1003.exr").exists()


def test_a_read_only_job_is_no_bug(shot: Shot) -> None:
    """`<job>.cancel` cannot be removed there, nor looked for beside a name of 255 bytes."""
    long = shot.root / f"{'j' * 250}.json"
    SwapJob.load(shot.file).save(long)
    assert run("run", long) == 0
