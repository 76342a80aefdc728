"""Defects that are put into perfect swaps are caught, and perfect swaps are left alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from vfxswap import cli, exr, qc
from vfxswap.cli.common import Run
from vfxswap.face.shot import track_plate
from vfxswap.face.track import Track
from vfxswap.plate import open_plate
from vfxswap.qc import chip as chips
from vfxswap.sequence import FrameRange
from vfxswap.train.worst import read_worst

from . import defects
from .defects import Footage, Frames

FRAMES = range(1007, 1016)  # the eyes close and open again
# Several defects in one sequence, none in reach of another: (how, in which frames, what speaks up).
MIXED: dict[str, list[tuple[Callable[..., Frames], list[int], set[str]]]] = {
    "in single frames": [
        (defects.holed, [1008], {"hole"}),
        (defects.brighter, [1010], {"flicker"}),
        (lambda shot, frames: defects.shifted(shot, frames, part=0.015), [1012], {"jitter"}),
        (defects.unswapped, [1014], {"covered"}),
    ],
    "for some frames": [
        (defects.frozen, [1009, 1010, 1011, 1012], {"lids"}),
        (defects.other_person, [1014, 1015], {"to_double", "to_likeness"}),
    ],
    "throughout": [
        (defects.cast, list(FRAMES), {"tone"}),
        (defects.checkered, list(FRAMES), {"realism"}),
        (defects.shifted, list(FRAMES), {"shift"}),
    ],
}


@dataclass(frozen=True)
class Scene:
    footage: Footage
    track: Track
    plate: str
    folder: Path

    def report(self, swaps) -> qc.QcReport:
        return defects.judged(self.footage, self.plate, self.track, swaps, self.folder / "swap")


@pytest.fixture(scope="module")
def scene(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = shared / "data" / "shots" / "talk_studio"
    track = track_plate(open_plate(str(folder / "plate"), frames=FrameRange.of(FRAMES)))
    footage = defects.with_own_matte(defects.read_shot(folder, track, FRAMES))
    return Scene(footage, track, str(folder / "plate"), tmp_path_factory.mktemp("qc"))


@pytest.fixture(scope="module")
def clean(scene: Scene) -> qc.QcReport:
    return scene.report(scene.footage.swaps)


def test_a_perfect_swap_raises_no_alarm(clean: qc.QcReport) -> None:
    assert clean.summary.alarmed == 0
    assert clean.summary.swapped == len(FRAMES) == clean.summary.frames
    assert clean.worst == () and clean.failed == () and clean.missing == ""
    assert clean.unmeasured == {}
    assert min(one.values["realism"] or 0 for one in clean.frames) > 0.6
    assert all((one.values["to_likeness"] or 9) < 0.3 and (one.values["to_double"] or 0) > 0.5 for one in clean.frames)


@pytest.mark.parametrize("name", MIXED)
def test_defects_are_caught(scene: Scene, name: str) -> None:
    footage = scene.footage
    for make, frames, _ in MIXED[name]:
        footage = replace(footage, swaps=make(footage, frames))
    report = scene.report(footage.swaps)
    alarms = {one.frame: set(one.alarms) for one in report.frames}
    for make, frames, wanted in MIXED[name]:
        # A frozen face looks right again where the plate is back as it was.
        there = [frame for frame in frames if make is not defects.frozen or frame in (1011, 1012)]
        assert all(wanted <= alarms[frame] for frame in there), (alarms, wanted)
    touched = {frame for _, frames, _ in MIXED[name] for frame in frames}
    assert not [frame for frame in set(FRAMES) - touched if alarms[frame]]
    assert [entry.score for entry in report.worst] == sorted((entry.score for entry in report.worst), reverse=True)
    assert {entry.frame for entry in report.worst} == {frame for frame in alarms if alarms[frame]}
    everywhere = set().union(*(wanted for *_, wanted in MIXED[name])) if name == "throughout" else set()
    assert everywhere <= set(report.summary.throughout)


def test_mattes_of_ingredients_say_more_than_pixels(scene: Scene) -> None:
    """A hole that an artist's holdout asks for is none; pixels outside the matte are found one by one."""
    footage, frame = scene.footage, 1010
    folder = scene.folder / "ingredients"
    swaps = {f: footage.swaps[f].copy() for f in (1009, 1010, 1011)}
    row, column = np.argwhere(footage.masks[frame] == 0)[777]
    swaps[frame][row, column] += 0.01
    masks = {f: footage.masks[f] * (1 - (defects.hole_mask(footage, f) if f == frame else 0)) for f in swaps}
    defects.write(footage, swaps, folder, masks=masks, keep=(row, column))
    opened = open_plate(scene.plate, frames=FrameRange.of(swaps))
    output = open_plate(str(folder), config=opened.config, color_space=opened.space)
    plate, after = opened.read(frame), output.read(frame)
    found = chips.cut(opened, plate, output, after, scene.track.face()[frame], gain=1.0)
    hole = int((defects.hole_mask(footage, frame) >= 1).sum())
    assert chips.mattes(after, after.origin_window).keys() == {"face"}
    assert hole < found.stray <= hole + 1 + int(((masks[frame] < 1) & (footage.masks[frame] > 0)).sum())


def test_the_command(scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A report with its schema, worst frames that retraining reads, no torch and no consent; then exit codes."""
    footage = scene.footage
    out = defects.write(footage, defects.brighter(footage, [1010]), tmp_path / "out")
    (out / "swap.1013.exr").write_bytes((out / "swap.1013.exr").read_bytes()[:5000])
    (out / "swap.1014.exr").unlink()
    scene.track.save(tmp_path / "t.vfxtrack")
    asked = ("qc", str(out), "--plate", scene.plate, "--frames", "1009-1014", "--track", str(tmp_path / "t.vfxtrack"))
    files = ("--output", str(tmp_path / "qc.json"), "--worst", str(tmp_path / "worst.json"))
    assert cli.execute(Run((*asked, *files))) == 3
    said = capsys.readouterr()
    assert "1 frames could not be looked at" in said.err and "frame 1010: light or colour flickers" in said.out
    assert f"{files[1]}: not signed: only a report beside its frames is" in said.out
    data = json.loads((tmp_path / "qc.json").read_text())
    jsonschema.validate(data, qc.json_schema())
    assert (data["missing"], [one["frame"] for one in data["failed"]]) == ("1014", [1013])
    assert data["unmeasured"]["to_likeness"] == "no reference of the likeness was given"
    worst = read_worst((tmp_path / "worst.json").read_bytes(), path=tmp_path / "worst.json")
    assert (worst[0].frame, worst[0].shot) == (1010, "plate")
    assert cli.execute(Run((*asked, *files))) == 4
    assert "give --overwrite" in capsys.readouterr().err
    assert cli.execute(Run(("qc", scene.plate, "--plate", scene.plate, "--output", str(tmp_path / "x.json")))) == 2
    small = tmp_path / "small" / "swap.1009.exr"
    exr.write_channels(small, channels={name: np.zeros((8, 8), np.float16) for name in "RGB"})
    assert cli.execute(Run(("qc", str(small.parent), *asked[2:], "--output", str(tmp_path / "x.json")))) == 4
    assert "the output is 8 x 8, the plate 480 x 270" in capsys.readouterr().err
    assert not (tmp_path / "x.json").exists() and not list(small.parent.glob(".vfxswap"))
