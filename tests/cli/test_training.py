"""`train` and `export` as installed: from facesets to a model, and everything that is refused."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from vfxswap import faceset, vfxmodel
from vfxswap.pixels import ModelRgb

from .. import support
from .facesets import COMMAND, ENVIRONMENT, Done, files, trusted, vfxswap, write_plate


class Place:
    """A studio with a faceset of each performer."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.studio = support.Studio.make(root / "studio")
        self.trust = trusted(self.studio)
        self.plate = write_plate(root / "ben_plate", frames=5)
        other = write_plate(root / "anna_plate", frames=4, tint=(0.7, 0.9, 1.1))
        common = ("--size", 80, "--device", "cpu", *self.trust)
        self.built = [
            vfxswap(
                "faceset", "build", self.plate, "--performer", "ben", "--output", root / "ben", "--stills", *common
            ),
            vfxswap("faceset", "build", other, "--performer", "anna", "--output", root / "anna", *common),
        ]

    def train(self, folder: Path, *more: object, **environment: str) -> Done:
        return vfxswap("train", folder, *self.facesets, *self.trust, "--device", "cpu", *more, **environment)

    @property
    def facesets(self) -> tuple[object, ...]:
        return ("--likeness", self.root / "ben", "--double", self.root / "anna")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    made = Place(tmp_path_factory.mktemp("place"))
    assert [done.returncode for done in made.built] == [0, 0], [done.stderr for done in made.built]
    return made


@pytest.fixture(scope="module")
def model_dir(place: Place) -> Path:
    folder = place.root / "model"
    done = place.train(folder, "--preset", "test", "--steps", "4", "--batch", "2", "--precision", "fp32")
    assert done.returncode == 0, done.stderr
    return folder


def _consent_ids(place: Place) -> list[str]:
    shown = [vfxswap("consent", "show", path).stdout for path in place.studio.consents]
    return [line.split()[-1] for text in shown for line in text.splitlines() if line.startswith("consent ")]


# ------------------------------------------------------------------------------------------------- training


def test_a_training_leaves_what_people_and_programs_read(model_dir: Path) -> None:
    names = files(model_dir)
    assert names == ["checkpoint-00000000.safetensors", "checkpoint-00000004.safetensors", "metrics.jsonl",
                     "preview.png", "state.json"]  # fmt: skip
    line = json.loads((model_dir / "metrics.jsonl").read_text())
    assert line["step"] == 4
    assert 0 <= line["scores"]["judge_accuracy"] <= 1


def test_the_same_command_goes_on(place: Place, tmp_path: Path) -> None:
    first = place.train(tmp_path / "m", "--preset", "test", "--steps", "2", "--batch", "2")
    assert first.returncode == 0, first.stderr
    more = place.train(tmp_path / "m", "--steps", "3", "--events", "-")
    assert more.returncode == 0, more.stderr
    events = [json.loads(line) for line in more.stdout.splitlines()]
    assert [event["event"] for event in events] == ["started", "progress", "scored", "done"]
    assert events[0]["job"] == "train test"
    assert (events[1]["done"], events[1]["total"]) == (3, 3)
    assert events[2]["step"] == 3
    assert events[2]["rate"] > 0
    assert {"likeness_psnr", "judge_accuracy"} <= set(events[2]["scores"])
    assert events[3]["counts"] == {"steps": 3}


def test_ctrl_c_saves_a_checkpoint_and_exits_75(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    process = subprocess.Popen(
        [COMMAND, *map(str, ("train", folder, *place.facesets, *place.trust, "--preset", "test", "--minutes", "5",
                             "--batch", "1", "--events", "-"))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["event"] == "progress":
            break
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert err.count("\n") == 1
    state = json.loads((folder / "state.json").read_text())
    assert state["step"] > 0
    assert (folder / state["tensors"]).exists()


def test_training_needs_the_extra_and_says_so(place: Place, tmp_path: Path) -> None:
    # An empty module would hide what is asked for here: that the package is not there at all.
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n")
    done = place.train(tmp_path / "m", "--steps", "1", PYTHONPATH=str(tmp_path))
    assert done.returncode == 4
    assert done.stderr == "vfxswap: error: torch is not installed; pip install 'vfxswap[train]'\n"
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--steps", "1", "--minutes", "1"), "--steps and --minutes are both given"),
        (("--preset", "huge", "--steps", "1"), "unknown preset 'huge'; choose one of tiny, hd"),
        (("--steps", "0"), "--steps"),
        (("--precision", "fp8"), "--precision"),
    ],
)
def test_wrong_usage_is_2_and_writes_nothing(place: Place, tmp_path: Path, more: tuple[str, ...], said: str) -> None:
    done = place.train(tmp_path / "m", *more)
    assert done.returncode == 2
    assert said in done.stderr
    assert not (tmp_path / "m").exists()


def test_one_performer_is_no_swap(place: Place, tmp_path: Path) -> None:
    ben = place.root / "ben"
    done = vfxswap("train", tmp_path / "m", "--likeness", ben, "--double", ben, "--steps", "1", *place.trust)
    assert done.returncode == 2
    assert "both facesets are of ben" in done.stderr


def test_a_missing_faceset_is_4(place: Place, tmp_path: Path) -> None:
    done = vfxswap("train", tmp_path / "m", "--likeness", tmp_path / "nobody", "--double", place.root / "anna",
                   "--steps", "1", *place.trust)  # fmt: skip
    assert done.returncode == 4
    assert "no faceset in" in done.stderr
    assert not (tmp_path / "m").exists()


# ------------------------------------------------------------------------------------------------- export


def test_an_exported_model_opens_with_a_real_grant(place: Place, model_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "ben.vfxmodel"
    done = vfxswap("export", model_dir, "--output", path, *place.trust)
    assert done.returncode == 0, done.stderr
    card = vfxmodel.read_card(path)
    assert card.onnx_sha256 in done.stdout
    assert card.data == {"likeness": faceset.load(place.root / "ben").digest(),
                         "double": faceset.load(place.root / "anna").digest()}  # fmt: skip
    assert {consent["id"] for consent in card.consents} == set(_consent_ids(place))
    model = place.studio.open(path)
    crop = np.random.default_rng(0).uniform(0, 1, (64, 64, 3)).astype(np.float32)
    rgb, mask = model.swap(ModelRgb(crop))
    assert rgb.shape == (64, 64, 3)
    assert mask.shape == (64, 64)

    again = vfxswap("export", model_dir, "--output", path, *place.trust)
    assert again.returncode == 4
    assert "give --overwrite" in again.stderr
    before = path.read_bytes()
    assert vfxswap("export", model_dir, "--output", path, "--overwrite", *place.trust).returncode == 0
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (("--output", "m.vfxmodel", "--to", "nuke-cat"), 2, "--to nuke-cat is not built in this version"),
        (("--output", "m.vfxmodel", "--to", "tflite"), 2, "--to is 'tflite'"),
        (("--output", "m.onnx"), 2, "a model's name ends in .vfxmodel"),
    ],
)
def test_other_formats_are_refused(
    model_dir: Path, tmp_path: Path, more: tuple[str, ...], code: int, said: str
) -> None:
    done = vfxswap("export", model_dir, *[str(tmp_path / word) if word.startswith("m.") else word for word in more])
    assert done.returncode == code
    assert said in done.stderr
    assert files(tmp_path) == []


def test_a_folder_without_training_is_4(place: Place, tmp_path: Path) -> None:
    done = vfxswap("export", tmp_path, "--output", tmp_path / "m.vfxmodel", *place.trust)
    assert done.returncode == 4
    assert "no training in" in done.stderr
    assert files(tmp_path) == []


# ------------------------------------------------------------------------------------------------- consent


@pytest.mark.parametrize("command", ["train", "export"])
@pytest.mark.parametrize("given", ["none", "one", "unsigned"])
def test_without_consent_nothing_is_written(
    place: Place, model_dir: Path, tmp_path: Path, command: str, given: str
) -> None:
    out = tmp_path / "out"
    arguments: dict[str, tuple[object, ...]] = {
        "train": ("train", out, *place.facesets, "--preset", "test", "--steps", "1"),
        "export": ("export", model_dir, "--output", tmp_path / "out.vfxmodel"),
    }
    consents: list[object] = []
    if given == "one":
        consents = ["--consent", place.studio.consents[1]]  # anna's
    if given == "unsigned":
        for path in place.studio.consents:
            bare = tmp_path / path.name
            bare.write_text(json.dumps({**json.loads(path.read_text()), "signatures": []}))
            consents += ["--consent", bare]
    before = files(tmp_path), files(model_dir)
    done = vfxswap(*arguments[command], *consents, "--keyring", place.studio.keyring)
    assert done.returncode == 77
    assert done.stderr.startswith("vfxswap: error: VS-CON-0")
    assert done.stderr.count("\n") == 1
    if given == "none":
        assert "no consent was given; give --consent FILE" in done.stderr
    assert (files(tmp_path), files(model_dir)) == before
