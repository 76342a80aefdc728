"""What holds for every job: any split, any process and any end of one gives the same whole files.

As test_invariants.py, for whole jobs. Their tracks and measurements are made up, so that no face has to be found.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfxswap import frames, pipeline
from vfxswap.events import CancelToken, Event, NullSink, Warned
from vfxswap.face import track as tracks
from vfxswap.geometry import Window
from vfxswap.job import SwapJob, SwapParameters
from vfxswap.sequence import FrameRange

from .plates import Double, Layout, Pose, examples, pixels
from .support import PASS_THROUGH, Studio, digests, job, network, write_frame

RGB = ("R", "G", "B")
SHOT = (1001, 1002, 1003, 1004, 1005, 1006, 1007)
FACELESS = 1004

ARTIST = SwapParameters(edge_erode=-1.5, relight=0.7)


def write_shot(studio: Studio, folder: Path, *, views: tuple[str, ...] = (), size: int = 61, **fields: Any) -> SwapJob:
    """A job of two doubles in a plate with everything on it: nothing is left to track or to measure.

    Args:
        studio: whose models and consents.
        folder: for the plate, the tracks and all the rest.
        views: of a stereo plate.
        size: width of the plate.
        **fields: of the job.
    """
    display = Window(-3, 5, size, size * 3 // 4)
    data = Window(display.x - 6, display.y + 3, display.width + 9, display.height)
    layout = Layout(display, data, extra=(("A", "half"), ("Z", "float")), ids=True, views=views, aspect=1.333)
    doubles = [
        Double(Pose(0.35, 0.5, 30.0, 20.0), "tint", gain=0.8, stops=0.3, seed=1, curve=True),
        Double(Pose(0.6, 0.45, 36.0, -10.0), "same", gain=0.9, stops=0.5, seed=2),
    ]
    models = [studio.model(), studio.model("same", network(PASS_THROUGH))]
    for frame in SHOT:
        layout.write(folder / "plate" / f"p.{frame}.exr", shift=frame)
        hold = np.zeros((display.height, display.width, 3), np.float32)
        hold[frame % 9 : display.height // 3] = 1.0
        write_frame(folder / "mattes" / f"hold.{frame}.exr", hold)
    known = tuple(tracks.Face(number, None, np.full(128, float(number))) for number in range(2))
    for number, view in enumerate(views or ("",)):
        there = {
            frame: tuple(
                (i, replace(double.pose, x=double.pose.x + 0.01 * (frame % 5 - number)).face(layout))
                for i, double in enumerate(doubles)
                if frame != FACELESS
            )
            for frame in SHOT
        }
        tracks.Track(str(folder / "plate" / "p.####.exr"), there, known).save(folder / f"t{view}.vfxtrack")
    measured = []
    for i, (double, model) in enumerate(zip(doubles, models, strict=True)):
        measured.append(folder / f"{i}.vfxshot")
        sha = studio.open(model).card.onnx_sha256
        double.measured(sha, tuple(frame for frame in SHOT if frame != FACELESS)).save(measured[-1])
    made = job(
        studio,
        str(folder / "plate" / "p.####.exr"),
        folder / "out",
        track=folder / ("t%V.vfxtrack" if views else "t.vfxtrack"),
        measurements=measured[0],
        matte=f"{folder}/mattes/hold.####.exr:G,holdout,feather=3",
        also=[{"face": "1", "model": models[1], "measurements": measured[1], "parameters": ARTIST}],
        view="all" if views else "",
    )
    return made.replace(**fields)


def to(made: SwapJob, folder: Path) -> SwapJob:
    return made.replace(output=str(folder / "out.####.exr"))


def render_all(studio: Studio, made: SwapJob, wanted: str = "") -> frames.Report:
    chosen = FrameRange.parse(wanted) if wanted else None
    return pipeline.swap(made, gate=studio.gate(), sink=NullSink(), cancel=CancelToken(), frames=chosen)


class Told:
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.warnings: list[Warned] = []

    def emit(self, event: Event) -> None:
        if isinstance(event, Warned):
            self.warnings.append(event)


def test_a_job_tells_of_every_number_that_it_scrubbed(production: Studio, tmp_path: Path):
    made = write_shot(production, tmp_path, layers="ingredients")
    told = Told()
    pipeline.swap(made, gate=production.gate(), sink=told, cancel=CancelToken())
    counts = {}
    for frame in SHOT:
        (before, *_), (after, *_) = (
            pixels(tmp_path / name) for name in (f"plate/p.{frame}.exr", f"out/out.{frame}.exr")
        )
        bad = ~np.isfinite(np.stack([before[letter] for letter in RGB], axis=-1))
        if count := sum(int(bad[after[f"{face}.A"] > 0].sum()) for face in ("face", "face2")):
            counts[frame] = count
    assert {w.frame: int(w.message.split()[0]) for w in told.warnings if w.code == "scrubbed"} == counts
    assert [w.frame for w in told.warnings if w.code == "no_face"] == [FACELESS]
    assert len(counts) > 2


@st.composite
def splits(draw: st.DrawFn) -> list[str]:
    """The shot's frames in any order, cut into chunks anywhere."""
    order = draw(st.permutations(SHOT))
    cuts = sorted(draw(st.sets(st.integers(1, len(SHOT) - 1), max_size=3)))
    return [",".join(map(str, order[a:b])) for a, b in zip([0, *cuts], [*cuts, len(SHOT)], strict=True)]


@pytest.mark.parametrize("views", [(), ("left", "right")], ids=["mono", "stereo"])
def test_any_split_of_the_frames_gives_the_same_bytes(production: Studio, tmp_path: Path, views: tuple[str, ...]):
    given_all = write_shot(production, tmp_path, views=views)
    left_to_measure = given_all.replace(
        measurements=None, also=[given_all.also[0].model_copy(update={"measurements": None})]
    )
    jobs = {"given": given_all, "measured": left_to_measure}
    whole: dict[tuple[str, str], dict[str, str]] = {}

    def job_of(kind: str, layers: str) -> SwapJob:
        return jobs[kind].replace(layers=layers, passes=["uv"] if layers == "patch" else [])

    def of_whole(kind: str, layers: str) -> dict[str, str]:
        if (kind, layers) not in whole:
            folder = tmp_path / "whole" / kind / layers
            report = render_all(production, to(job_of(kind, layers), folder))
            assert (report.rendered, report.passthrough) == (len(SHOT) - 1, 1)
            whole[kind, layers] = digests(folder)
        return whole[kind, layers]

    @examples(12)
    @given(
        splits(),
        st.sampled_from(["comp", "ingredients", "patch"]),
        st.sampled_from(["given", "measured"]),
        st.booleans(),
    )
    def holds(chunks: list[str], layers: str, kind: str, prepared: bool) -> None:
        folder = tmp_path / "split"
        shutil.rmtree(folder, ignore_errors=True)
        made = job_of(kind, layers)
        found: dict[str, str] = {}
        ready = None
        for number, chunk in enumerate(chunks):
            if not prepared:  # a worker that shares nothing with the others
                render_all(production, to(made, folder / str(number)), chunk)
                found |= digests(folder / str(number))
                continue
            if ready is None:
                ready = pipeline.prepare(
                    to(made, folder), gate=production.gate(), sink=NullSink(), cancel=CancelToken()
                )
            frames.render_frames(ready, sink=NullSink(), cancel=CancelToken(), frames=FrameRange.parse(chunk))
        assert (found or digests(folder)) == of_whole(kind, layers)

    holds()
    assert len({tuple(files.values()) for files in whole.values()}) == len(whole) > 3


WORKER = """
import sys
from pathlib import Path
from vfxswap import pipeline
from vfxswap.events import CancelToken, NullSink
from vfxswap.job import SwapJob
from vfxswap.trust import Gate, KeyRing

def work(path):
    job = SwapJob.load(Path(path))
    gate = Gate(KeyRing.load(job.keyring), job.consents)
    pipeline.swap(job, gate=gate, sink=NullSink(), cancel=CancelToken())
"""


@pytest.mark.parametrize("layers", ["ingredients", "patch"])
def test_another_process_elsewhere_gives_the_same_bytes(production: Studio, tmp_path: Path, layers: str):
    """Other folders, another hash seed, another clock, paths written otherwise."""
    made = write_shot(production, tmp_path / "here", layers=layers, passes=["uv", "stmap_inverse"])
    render_all(production, made)
    there = shutil.copytree(tmp_path / "here", tmp_path / "a place, elsewhere", ignore=shutil.ignore_patterns("out"))
    inside = made.replace(
        plate="plate",
        matte="mattes:G,holdout,feather=3",
        track=Path("t.vfxtrack"),
        measurements=Path("0.vfxshot"),
        also=[made.also[0].model_copy(update={"measurements": Path("1.vfxshot")})],
        output="deep/er/out.%04d.exr",
    )
    (there / "job.json").write_text(inside.to_json())
    environment = os.environ | {"PYTHONHASHSEED": "12345", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    subprocess.run(
        [sys.executable, "-c", f"{WORKER}\nwork(sys.argv[1])", str(there / "job.json")],
        cwd=tmp_path,
        env=environment,
        check=True,
    )
    assert digests(there / "deep" / "er") == digests(tmp_path / "here" / "out")
    assert len(digests(tmp_path / "here" / "out")) == 4 * len(SHOT)


def listed(folder: Path) -> set[str]:
    return {item.name for item in folder.iterdir()}


def loop(path: str) -> str:
    """A program that renders a job over and over."""
    return f"{WORKER}\nwhile True:\n    work({path!r})\n"


@st.composite
def moments(draw: st.DrawFn) -> tuple[str, int, bool, float]:
    """What is written, after how many files the end comes, whether in the middle of one, and seconds after that."""
    return (
        draw(st.sampled_from(["ingredients", "comp", "patch"])),
        draw(st.integers(0, len(SHOT) - 2)),
        draw(st.sampled_from([True, True, False])),
        draw(st.floats(0, 0.01)),
    )


def test_a_killed_worker_leaves_whole_files_and_a_rerun_completes_them(production: Studio, tmp_path: Path):
    made = write_shot(production, tmp_path, size=301, passes=["uv"])
    whole = {}
    for layers in ("ingredients", "comp", "patch"):
        render_all(production, to(made.replace(layers=layers), tmp_path / layers))
        whole[layers] = digests(tmp_path / layers)
    processes = multiprocessing.get_context("forkserver")  # one that has imported everything, and forks quickly
    processes.set_forkserver_preload(["vfxswap.pipeline"])
    broken: list[int] = []

    @examples(12)
    @given(moments())
    def holds(moment: tuple[str, int, bool, float]) -> None:
        layers, files, within, seconds = moment
        out = tmp_path / "killed"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        mine = to(made.replace(layers=layers, overwrite=True), out)
        mine.save(tmp_path / "job.json")
        running = processes.Process(target=exec, args=(loop(str(tmp_path / "job.json")), {}))
        running.start()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and running.is_alive():
            names = listed(out)
            started = any(name.endswith(".tmp") for name in names) or not within
            if started and sum(name.endswith(".exr") for name in names) >= files:
                break
            time.sleep(0.0003)
        time.sleep(seconds)
        running.kill()
        running.join()
        assert running.exitcode == -9
        visible = digests(out)
        assert visible.items() <= whole[layers].items(), "part of a file has a final name"
        left = listed(out) - set(visible)
        assert all(name.startswith(".") for name in left)
        broken.append(len(left - {".vfxswap"}))
        report = render_all(production, mine.replace(overwrite=False))
        assert report.skipped + report.rendered + report.passthrough == len(SHOT)
        assert report.failed == ()
        assert report.skipped == sum(name.startswith("out.") for name in visible)
        assert digests(out) == whole[layers]
        assert listed(out) - {".vfxswap"} == set(whole[layers]), "swept by the next run"

    holds()
    assert sum(count > 0 for count in broken) > len(broken) / 4
