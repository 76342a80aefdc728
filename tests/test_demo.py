"""The shipped demo, as a user runs it: its result is the product's promise."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vfxswap import exr, marks, provenance
from vfxswap.cli.common import shipped
from vfxswap.provenance import sidecar

DEMO = shipped("examples/demo")


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("demo") / "out"
    done = subprocess.run(
        [sys.executable, "-m", "vfxswap", "demo", "--output", str(output)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "PSNR inside the face" in done.stdout
    return output


def test_swap_is_nearer_the_truth_than_doing_nothing(result: Path) -> None:
    mean = json.loads((result / "scores.json").read_text())["mean"]
    assert mean["swapped_db"] - mean["nothing_db"] >= 3.0


def test_every_frame_is_recognised_as_the_likeness(result: Path) -> None:
    for score in json.loads((result / "scores.json").read_text())["frames"]:
        assert score["swapped_to_likeness"] < score["swapped_to_double"], score


def test_plate_is_bit_identical_outside_the_matte(result: Path) -> None:
    for frame in (1003, 1008, 1013):
        plate = exr.read(DEMO / "plate" / f"plate.{frame}.exr")
        swapped = exr.read(result / f"swapped.{frame}.exr")
        channels, _ = exr.read_channels(result / f"swapped.{frame}.exr")
        outside = channels["matte.face"] == 0
        assert 0.5 < outside.mean() < 0.99
        assert np.array_equal(plate.rgb[outside].view(np.uint16), swapped.rgb[outside].view(np.uint16))
        assert (plate.rgb[~outside] != swapped.rgb[~outside]).any()


def test_comp_can_be_rebuilt_from_the_ingredients(result: Path) -> None:
    plate = exr.read(DEMO / "plate" / "plate.1008.exr").rgb.astype(np.float32)
    channels, _ = exr.read_channels(result / "swapped.1008.exr")
    layers = {name: value.astype(np.float32) for name, value in channels.items()}
    for i, letter in enumerate("RGB"):
        comp = plate[..., i] * (1 - layers["face.A"]) + layers[f"face.{letter}"]
        assert np.allclose(comp, layers[letter], rtol=2e-3, atol=2e-4)


def test_sheet_is_a_picture(result: Path) -> None:
    assert (result / "contact_sheet.png").read_bytes().startswith(b"\x89PNG")


def test_the_result_is_signed_and_the_sheet_marked(result: Path) -> None:
    report = provenance.verify(result, provenance.Trust(own=provenance.own_ring()))
    assert [str(finding) for finding in report.findings] == []
    assert report.sequences[0].files == 11
    sheet = (result / "contact_sheet.png").read_bytes()
    assert marks.SOURCE_TYPE.encode() in sheet
    assert (b"caBX" in sheet[:64]) == (not sidecar.problem()), "C2PA, where the extra is installed"


def test_demo_needs_no_torch() -> None:
    code = "import sys, vfxswap.demo; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_model_is_small_and_says_where_it_comes_from() -> None:
    from vfxswap.vfxmodel import read_card

    model = next(DEMO.glob("*.vfxmodel"))
    assert model.stat().st_size <= 20 * 2**20
    card = read_card(model)
    assert card.performers.likeness == "demo-ben"
    assert card.performers.double == "demo-anna"
    assert {"likeness", "double"} <= set(card.data)
    assert card.consents
