"""The speed page says what was measured, and is the one that the results make."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vfxswap.bench import CASES
from vfxswap.bench.timing import Ratio, Result, Stage

from . import support

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "speed"


@pytest.fixture(scope="module")
def speed() -> ModuleType:
    return support.script(ROOT / "tools" / "speed_page.py")


def write(folder: Path, name: str, value: float, *, stages: tuple[Stage, ...] = (), **machine: Any) -> None:
    ratios = (Ratio("a over b", value, at_least=2.0), Ratio("b over c", 0.5), Ratio("c over d", value, at_most=1.5))
    made = Result("net" if stages else "io", "noise", stages, ratios)
    record = json.loads(made.to_json())
    record["machine"] |= machine
    (folder / f"{name}.json").write_text(json.dumps(record))


def test_the_page_in_the_docs_is_what_the_results_make(speed: ModuleType, tmp_path: Path) -> None:
    speed.main([str(RESULTS), "--output", str(tmp_path / "speed.md")])
    assert (tmp_path / "speed.md").read_text() == (ROOT / "docs" / "speed.md").read_text()
    assert (tmp_path / "images" / "speed.svg").read_text() == (ROOT / "docs" / "images" / "speed.svg").read_text()


def test_results_are_of_cases_that_there_are(speed: ModuleType) -> None:
    found = {case.name for case in speed.read(sorted(RESULTS.glob("*.json")))}
    assert {"swap", "io", "color", "blend", "net"} <= found <= set(CASES)


def test_runs_are_told_as_a_range_and_judged_by_their_worst(speed: ModuleType, tmp_path: Path) -> None:
    write(tmp_path, "io.1", 1.25, load="0.5")
    write(tmp_path, "io.2", 2.5, load="9.2")
    (case,) = speed.read(sorted(tmp_path.glob("*.json")))
    text = speed.page([case], figure="x.svg")
    assert "| a over b | 1.25 to 2.50 | at least 2 | **missed** |" in text
    assert "| b over c | 0.50 |  |  |" in text
    assert "2 runs" in text
    assert "that 9 processes wanted" in text


def test_gpu_rows_are_not_run_without_one(speed: ModuleType, tmp_path: Path) -> None:
    write(tmp_path, "net", 3.0, stages=(Stage("detector, cpu", 9.0, 9.0),))
    text = speed.page(speed.read([tmp_path / "net.json"]), figure="x.svg")
    assert "| detector | not run | not run |" in text
    assert "No GPU took part" in text


def test_gpu_rows_are_filled_with_one(speed: ModuleType, tmp_path: Path) -> None:
    write(tmp_path, "net", 3.0, stages=(Stage("detector, cpu", 9.0, 9.0), Stage("detector, cuda", 1.5, 1.0)))
    record = json.loads((tmp_path / "net.json").read_text())
    record["ratios"].append({"name": "detector, cpu: CPU over GPU", "value": 6.0, "at_least": None, "at_most": None})
    (tmp_path / "net.json").write_text(json.dumps(record))
    text = speed.page(speed.read([tmp_path / "net.json"]), figure="x.svg")
    assert "| detector | 1.5 | 6.00 |" in text
    assert "No GPU took part" not in text


def test_the_plot_is_whole(speed: ModuleType, tmp_path: Path) -> None:
    write(tmp_path, "io", 1.25)
    root = ET.fromstring(speed.plot(speed.read([tmp_path / "io.json"])))
    names = {one.text for one in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"a over b", "b over c", "c over d", "io"} <= names
    assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) == 1, "a diamond for what missed its target"
    assert {one.get("fill") for one in root.iter("{http://www.w3.org/2000/svg}circle")} == {"#ffffff", "#0072B2"}
