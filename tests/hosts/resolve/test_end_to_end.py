"""The fake Resolve, the real worker, the shipped shot."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from vfxswap_resolve import main, records
from vfxswap_resolve.settings import Settings

from . import light
from .conftest import PLATE, Talk, film, with_
from .fake import World


@pytest.mark.slow
@pytest.mark.parametrize("media", ["files", "film"])
def test_the_right_clip_is_at_the_right_record_frame(world: World, chosen: Settings, media: str) -> None:
    item = world.project.timeline.current
    item.offset, item.length = 1, 2
    if media == "film":
        film(world, Input_Color_Space="Rec.709 Linear")
        world.manages_color = True
    plate = item.media
    before = world.snapshot()
    talk = Talk(with_(chosen, handles=1))
    assert main.start(world.resolve, front=talk), talk.said
    (result,) = world.project.timeline.tracks[1]["items"]
    assert (result.start, result.length, result.offset) == (86410, 2, 1)
    first = 1003 if media == "files" else 1000
    assert result.media.properties["File Path"].endswith(f"/v001/swap.[{first:04d}-{first + 3:04d}].exr")
    record = records.of_item(result)
    assert record is not None
    folder = Path(record.folder) / "v001"
    for index in range(4):
        made = light.shown(world, result.media, folder / f"swap.{first + index:04d}.exr")
        there = light.shown(world, plate, PLATE / f"plate.{1003 + index}.exr")
        # The face, and nothing else: what is outside it is the plate's to the bit, or to half's rounding of a render.
        changed = np.any(np.abs(made - there) > (0 if media == "files" else 2e-3 * np.abs(there) + 1e-4), axis=-1)
        assert 0.005 < changed.mean() < 0.3, index
        rows, columns = np.nonzero(changed)
        assert np.ptp(rows) < 420, index
        assert np.ptp(columns) < 400, index
    job = json.loads((folder / "job.json").read_text())
    assert job["color_space"] == "ACEScg"
    assert any("swap" in what for what, _, _ in talk.watched)
    assert not list(folder.rglob("*.tmp"))
    assert main.start(world.resolve, front=Talk(with_(chosen, action="remove")))
    assert world.snapshot() == before


@pytest.mark.slow
def test_by_otio_and_the_command_line(world: World, chosen: Settings, tmp_path: Path) -> None:
    """Where no script may do the work: out, `vfxswap otio`, in."""
    item = world.project.timeline.current
    item.offset, item.length = 1, 2
    assert main.start(world.resolve, front=Talk(with_(chosen, action="otio")))
    command = [
        sys.executable,
        "-m",
        "vfxswap",
        "otio",
        f"{chosen.folder}/Edit.otio",
        "--clip",
        "talk",
        "--handles",
        "1",
    ]
    command += ["--model", chosen.model, "--output", chosen.folder, "--shot", chosen.shot, "--keyring", chosen.keyring]
    command += [word for one in chosen.consents for word in ("--consent", one)]
    done = subprocess.run([*command, "--device", "cpu"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert main.start(world.resolve, front=Talk(with_(chosen, action="otio-in")))
    timeline = world.project.timeline
    assert timeline.name == "Edit vfxswap"
    assert [track["name"] for track in timeline.tracks] == ["", "vfxswap", ""]
    (result,) = timeline.tracks[1]["items"]
    assert (result.start, result.length, result.offset) == (86410, 2, 1)
    assert result.media.properties["File Path"] == f"{chosen.folder}/talk/talk.[1003-1006].exr"
    # The plate begins at 01:00:10:00 with file 1003.
    assert result.media.properties["Start TC"] == "01:00:10:00"
    assert Path(f"{chosen.folder}/talk/talk.1004.exr").is_file()


@pytest.mark.slow
def test_a_batch_has_one_worker(world: World, chosen: Settings) -> None:
    """Two clips of one frame each; the second finds the networks loaded."""
    first, second = world.project.timeline.tracks[0]["items"]
    first.length = second.length = 1
    talk = Talk(with_(chosen, scope="track", handles=0))
    assert main.start(world.resolve, front=talk), talk.said
    assert [item.start for item in world.project.timeline.tracks[1]["items"]] == [86410, 86420]
    assert "2 of 2 clips are swapped" in talk.said


@pytest.mark.slow
def test_consent_is_refused_by_name_and_nothing_is_placed(world: World, chosen: Settings) -> None:
    before = world.snapshot()
    talk = Talk(with_(chosen, consents=chosen.consents[:1]))
    assert not main.start(world.resolve, front=talk)
    assert "VS-CON-001" in talk.said[-1]
    assert world.snapshot() == before
