"""The bench: steps run in turns, every case measures, what is not built is refused by name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from vfxswap import bench, exr, infer
from vfxswap.bench.cases import input_shape
from vfxswap.bench.material import FRAMES
from vfxswap.bench.timing import Ratio, Timings, interleaved, opencv_threads
from vfxswap.errors import UsageError

COMMAND = str(Path(sys.executable).parent / "vfxswap")


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> bench.Material:
    return bench.Material(tmp_path_factory.mktemp("bench"), (320, 180))


def test_steps_take_turns_after_warming_up():
    ran: list[str] = []
    found = interleaved({"a": lambda: ran.append("a"), "b": lambda: ran.append("b")}, rounds=3)
    assert ran == ["a", "b"] * 4
    assert [stage.name for stage in found.stages()] == ["a", "b"]
    assert len(found.wall["a"]) == len(found.cpu["b"]) == 3


def test_a_ratio_is_the_median_of_the_rounds():
    found = Timings({"a": [1.0, 20.0, 3.0], "b": [2.0, 40.0, 1.0]}, {"a": [1.0], "b": [4.0]})
    assert found.ratio("a", "b") == 0.5
    assert found.ratio("a", "b", cpu=True) == 0.25


def test_targets_are_met_or_missed():
    assert Ratio("x", 5.1, at_least=5).met is True
    assert Ratio("x", 4.9, at_least=5).met is False
    assert Ratio("x", 1.4, at_most=1.5).met is True
    assert Ratio("x", 1.6, at_most=1.5).met is False
    assert Ratio("x", 1.6).met is None


def test_threads_are_put_back():
    before = cv2.getNumThreads()
    with opencv_threads(1):
        assert cv2.getNumThreads() == 1
    assert cv2.getNumThreads() == before


@pytest.mark.parametrize("case", sorted(bench.CASES))
def test_every_case_measures(material: bench.Material, case: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("vfxswap.bench.long_shot.LENGTH", 20)
    monkeypatch.setattr("vfxswap.bench.record.LENGTH", 20)
    result = bench.run(case, material, rounds=1)
    assert result.case == case
    assert result.stages
    assert all(stage.wall_ms > 0 for stage in result.stages)
    assert all(np.isfinite(ratio.value) for ratio in result.ratios)
    record = json.loads(result.to_json())
    assert [stage["name"] for stage in record["stages"]] == [stage.name for stage in result.stages]
    assert {"cores", "opencv", "python", "vfxswap"} <= set(record["machine"])
    targets = [ratio for ratio in result.ratios if ratio.met is not None]
    assert bool(targets) == (case in ("blend", "io", "memory", "provenance", "swap"))


def test_both_ways_of_pasting_show_the_same_face(material: bench.Material):
    from vfxswap.bench.paste import _Ready

    ready = _Ready.of(material)
    ours, naive = ready.ours().astype(np.float32), ready.naive(cv2.INTER_CUBIC)
    assert ready.sure.any()
    assert np.median(np.abs(ours - naive)[ready.sure]) < 0.02


def test_the_swap_that_is_timed_goes_through_every_frame(material: bench.Material):
    bench.run("swap", material, rounds=1)
    comps, patches = (sorted((material.folder / layers).glob("out.*.exr")) for layers in ("comp", "patch"))
    assert len(comps) == len(patches) == FRAMES
    assert exr.read(comps[0]).rgb.shape == (180, 320, 3)
    assert exr.read(patches[0]).data_window.width < 320


def test_a_picture_is_enlarged_and_gets_grain(tmp_path: Path):
    flat = {name: np.full((18, 32), 0.18, np.float16) for name in "RGB"}
    exr.write_channels(tmp_path / "p.exr", channels=flat)
    picture = bench.Material(tmp_path, (320, 180), source=tmp_path / "p.exr").picture
    assert picture.shape == (180, 320, 3)
    assert picture.mean() == pytest.approx(0.18, rel=0.01)
    assert picture.std() == pytest.approx(0.015 * 0.18, rel=0.05)


@pytest.mark.parametrize("role", [role for role, entry in infer.catalog().items() if entry.file.endswith(".onnx")])
def test_the_shape_of_every_network_is_understood(role: str):
    shape = input_shape(infer.catalog()[role].input)
    assert shape is not None
    assert all(isinstance(side, int) and side > 0 for side in shape)


def test_what_is_no_shape_is_none():
    assert input_shape("read by vfxswap.face.mesh") is None
    assert input_shape("(five, sides)") is None


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("warp", "not built yet"),
        ("train", "not built yet"),
        ("swop", "did you mean swap"),
    ],
)
def test_unknown_cases_are_refused_by_name(case: str, said: str):
    with pytest.raises(UsageError) as caught:
        bench.check(case)
    assert case in str(caught.value)
    assert said in str(caught.value)


def test_the_command_shows_and_records(tmp_path: Path):
    record = tmp_path / "net.json"
    command = [COMMAND, "bench", "net", "--rounds", "1", "--json", str(record)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "landmarks, cpu" in done.stdout
    assert "wall ms" in done.stdout
    assert json.loads(record.read_text())["case"] == "net"
    refused = subprocess.run([COMMAND, "bench", "train"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "not built yet" in refused.stderr
