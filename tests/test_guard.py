"""A file that kills its decoder costs that frame and no other, in whichever process it is met again."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vfxswap import exr, guard
from vfxswap.errors import FrameError
from vfxswap.plate import Plate, open_plate

from .support import write_frame

DYING = """
import os, signal, sys
from pathlib import Path
from vfxswap.guard import Watch

with Watch(Path(sys.argv[1])).reading(Path(sys.argv[2]), frame=2):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def plate(tmp_path: Path) -> Plate:
    for frame in (1, 2, 3):
        write_frame(tmp_path / "plate" / f"p.{frame:04d}.exr", np.full((8, 8, 3), 0.2, np.float32), frame=frame)
    return open_plate(str(tmp_path / "plate"))


def die_at(folder: Path, path: Path) -> None:
    """A process that is killed while it decodes `path`."""
    done = subprocess.run([sys.executable, "-c", DYING, str(folder), str(path)], check=False)
    assert done.returncode == -signal.SIGKILL


def watched(plate: Plate, folder: Path) -> Plate:
    from dataclasses import replace

    return replace(plate, watch=guard.Watch(folder))


def test_a_note_is_there_while_a_file_is_read_and_no_longer(plate: Plate, tmp_path: Path):
    folder = tmp_path / "a" / "b"
    watch = guard.Watch(folder)
    with watch.reading(plate.sequence.path(1), frame=1), watch.reading(plate.sequence.path(2), frame=2):
        (note,) = folder.iterdir()
        assert json.loads(note.read_text()) == [str(plate.sequence.path(frame)) for frame in (1, 2)]
    assert not list(folder.iterdir())
    watch.tidy()
    assert not (tmp_path / "a").exists()


def test_folders_that_hold_something_stay(plate: Plate, tmp_path: Path):
    watch = guard.Watch(tmp_path / "a" / "b")
    with watch.reading(plate.sequence.path(1), frame=1):
        (tmp_path / "a" / "kept").touch()
    watch.tidy()
    assert [item.name for item in (tmp_path / "a").iterdir()] == ["kept"]


def test_a_file_whose_reader_was_stopped_by_something_else_is_read(plate: Plate, tmp_path: Path):
    folder = tmp_path / "notes"
    die_at(folder, plate.sequence.path(2))
    assert len(list(folder.iterdir())) == 1
    again = watched(plate, folder)
    assert [again.read(frame).rgb.shape for frame in (1, 2, 3)] == [(8, 8, 3)] * 3
    assert not list(folder.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="processes are not killed by signals")
def test_a_file_that_kills_its_decoder_fails_by_name_every_time(
    plate: Plate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The child dies because its Python does: nothing short of a broken decoder kills the real one on purpose."""
    folder = tmp_path / "notes"
    die_at(folder, plate.sequence.path(2))
    killer = tmp_path / "python"
    killer.write_text(f"#!/bin/sh\ntest \"$3\" = '{plate.sequence.path(2)}' && kill -SEGV $$\nexit 0\n")
    killer.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(killer))
    for _ in range(2):  # the verdict outlives the run
        again = watched(plate, folder)
        outcomes = dict(again.ahead([1, 2, 3]))
        assert isinstance(outcomes[2], FrameError)
        assert "kills the process" in str(outcomes[2])
        assert outcomes[2].frame == 2
        assert all(isinstance(outcomes[frame], exr.Frame) for frame in (1, 3))


def test_the_child_decodes_the_file(plate: Plate, tmp_path: Path):
    good = plate.sequence.path(1)
    cut = tmp_path / "cut.exr"
    cut.write_bytes(good.read_bytes()[:-20])
    codes = [
        subprocess.run([sys.executable, "-m", "vfxswap.guard", str(path)], check=False).returncode
        for path in (good, cut, tmp_path / "absent.exr")
    ]
    assert codes == [0, 3, 3]


def test_a_note_that_was_cut_off_does_no_harm_and_goes_with_its_process(plate: Plate, tmp_path: Path):
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    here = f"reading.{socket.gethostname()}"
    for name in ("reading.host.1.json", f"{here}.{os.getppid()}.json", f"{here}.{int(gone.stdout)}.json"):
        (tmp_path / name).write_text('["/some/wh')
    assert watched(plate, tmp_path).read(1).rgb.shape == (8, 8, 3)
    left = {path.name for path in tmp_path.glob("*.json")}
    assert left == {"reading.host.1.json", f"{here}.{os.getppid()}.json"}
