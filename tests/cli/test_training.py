"""`faceset build`, `train`, `export` as installed: from pictures to a model, and everything that is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from vfxswap import faceset, vfxmodel
from vfxswap.pixels import ModelRgb

from .. import support

COMMAND = str(Path(sys.executable).parent / "vfxswap")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}

Done = subprocess.CompletedProcess[str]


def vfxswap(*arguments: object, **environment: str) -> Done:
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        env={**ENVIRONMENT, **environment},
        check=False,
    )


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def trusted(studio: support.Studio) -> list[str]:
    """The options that every gated command takes."""
    consents = [part for path in studio.consents for part in ("--consent", str(path))]
    return [*consents, "--keyring", str(studio.keyring)]


def write_plate(folder: Path, *, frames: int, tint: tuple[float, float, float]) -> str:
    """The astronaut, leaning a little in each frame, the light `tint`ed."""
    folder.mkdir()
    rgb = support.astronaut(220) * np.asarray(tint, np.float32)
    for i in range(frames):
        matrix = cv2.getRotationMatrix2D((110, 110), 3.0 * (i - frames / 2), 1.0)
        turned = cv2.warpAffine(rgb, matrix, (220, 220), borderMode=cv2.BORDER_REPLICATE)
        support.write_frame(folder / f"look.{1001 + i}.exr", turned, frame=1001 + i)
    return str(folder / "look.####.exr")


class Place:
    """A studio with a faceset of each performer."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.studio = support.Studio.make(root / "studio")
        self.trust = trusted(self.studio)
        self.plate = write_plate(root / "ben_plate", frames=5, tint=(1, 1, 1))
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


# ------------------------------------------------------------------------------------------------- facesets


def test_a_faceset_holds_the_faces_of_its_plate(place: Place) -> None:
    found = faceset.load(place.root / "ben")
    assert found.performer == "ben"
    assert found.size == 80
    assert len(found.usable()) == 5
    assert [crop.frame for crop in found.crops] == list(range(1001, 1006))
    roll = [crop.pose_deg[2] for crop in found.crops]
    np.testing.assert_allclose(np.diff(roll), 3.0, atol=1.5)  # the pictures are turned by three degrees each
    rgb, mask = found.load(found.crops[0])
    assert rgb.shape == (80, 80, 3)
    assert 0.1 < float(mask.mean()) < 0.6
    assert "done: 5 crops" in place.built[0].stderr


def test_a_faceset_names_its_consent(place: Place) -> None:
    consents = json.loads((place.root / "ben" / faceset.INDEX).read_text())["consents"]
    assert [sorted(entry) for entry in consents] == [["id", "sha256"]]
    assert len({entry["id"] for entry in consents} & set(_consent_ids(place))) == 1


def _consent_ids(place: Place) -> list[str]:
    shown = [vfxswap("consent", "show", path).stdout for path in place.studio.consents]
    return [line.split()[-1] for text in shown for line in text.splitlines() if line.startswith("consent ")]


def test_stills_have_exposures_of_their_own_and_shots_one(place: Place) -> None:
    stills, shot = (faceset.load(place.root / name) for name in ("ben", "anna"))
    assert len({crop.gain for crop in stills.crops}) > 1
    assert len({crop.gain for crop in shot.crops}) == 1


def test_frames_choose(place: Place, tmp_path: Path) -> None:
    done = vfxswap(
        "faceset", "build", place.plate, "--performer", "ben", "--output", tmp_path / "f", "--frames", "1001-1005x2",
        "--stills", "--size", "64", *place.trust,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [crop.frame for crop in faceset.load(tmp_path / "f").crops] == [1001, 1003, 1005]


def test_rendered_performers_are_found(shared: Path, place: Place, tmp_path: Path) -> None:
    """A few frames of the test material, through the same door."""
    folders = sorted(path for path in (shared / "data" / "train").glob("*") if any(path.rglob("*.exr")))
    if not folders:
        pytest.skip("needs the rendered performers")
    plate = sorted(folders[-1].rglob("*.exr"))[0]
    done = vfxswap(
        "faceset", "build", plate, "--performer", "ben", "--output", tmp_path / "f", "--stills", "--size", "96",
        *place.trust,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(faceset.load(tmp_path / "f").usable()) == 1


def test_no_face_is_4_and_writes_nothing(place: Place, tmp_path: Path) -> None:
    support.write_frame(tmp_path / "wall" / "wall.1001.exr", np.full((96, 96, 3), 0.18, np.float32))
    done = vfxswap(
        "faceset", "build", tmp_path / "wall", "--performer", "ben", "--output", tmp_path / "f", "--shot", "a/b/c",
        *place.trust,
    )  # fmt: skip
    assert done.returncode == 4
    assert "no face in any of 1 frames" in done.stderr
    assert not (tmp_path / "f").exists()


def test_a_broken_frame_is_left_out_and_said(place: Place, tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "plate", frames=3, tint=(1, 1, 1))
    broken = tmp_path / "plate" / "look.1002.exr"
    broken.write_bytes(broken.read_bytes()[:5000])
    done = vfxswap(
        "faceset", "build", plate, "--performer", "ben", "--output", tmp_path / "f", "--stills", "--size", "64",
        "--shot", "a/b/c", "--events", "-", *place.trust,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(event["frame"], event["code"]) for event in events if event["event"] == "warning"] == [(1002, "frame")]
    assert events[-1]["event"] == "error"
    assert "1 frames could not be read" in events[-1]["message"]
    assert [crop.frame for crop in faceset.load(tmp_path / "f").crops] == [1001, 1003]


def test_a_faceset_is_not_overwritten(place: Place) -> None:
    before = (place.root / "ben" / faceset.INDEX).read_bytes()
    done = vfxswap("faceset", "build", place.plate, "--performer", "ben", "--output", place.root / "ben", *place.trust)
    assert done.returncode == 2
    assert "already holds a faceset" in done.stderr
    assert (place.root / "ben" / faceset.INDEX).read_bytes() == before


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


@pytest.mark.parametrize("command", ["faceset", "train", "export"])
@pytest.mark.parametrize("given", ["none", "one", "unsigned"])
def test_without_consent_nothing_is_written(
    place: Place, model_dir: Path, tmp_path: Path, command: str, given: str
) -> None:
    out = tmp_path / "out"
    arguments: dict[str, tuple[object, ...]] = {
        "faceset": ("faceset", "build", place.plate, "--performer", "ben", "--output", out),
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
