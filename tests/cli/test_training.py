"""`train` and `export` as installed: from facesets to a model, and everything that is refused."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vfxswap import faceset, vfxmodel
from vfxswap.pixels import ModelRgb

from .facesets import COMMAND, ENVIRONMENT, Place, files, vfxswap


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
                     "preview.png", "previews/step-00000004.png", "state.json", "training.html"]  # fmt: skip
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


def state_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "state.json").read_text())
    return found


def test_more_is_on_top_of_what_is_spent(place: Place, tmp_path: Path) -> None:
    folder, small = tmp_path / "m", ("--preset", "test", "--batch", "2")
    assert place.train(folder, *small, "--steps", "+2").returncode == 0
    assert place.train(folder, "--steps", "+3").returncode == 0
    assert state_of(folder)["step"] == 5
    before = state_of(folder)["seconds"]
    more = place.train(folder, "--minutes", "+0.02")
    assert more.returncode == 0, more.stderr
    after = state_of(folder)
    assert after["config"]["steps"] is None
    assert after["config"]["minutes"] == pytest.approx(before / 60 + 0.02)
    assert after["seconds"] >= before + 1.2


def test_frames_that_went_wrong_join_the_faceset(place: Place, tmp_path: Path) -> None:
    """A few frames of the double's plate as a faceset of their own, and training goes on with both."""
    folder, worst = tmp_path / "m", tmp_path / "worst"
    assert place.train(folder, "--preset", "test", "--batch", "2", "--steps", "2").returncode == 0
    built = vfxswap("faceset", "build", place.root / "anna_plate" / "look.####.exr", "--frames", "1001-1004",
                    "--performer", "anna", "--output", worst, "--size", 80, "--device", "cpu",
                    *place.trust)  # fmt: skip
    assert built.returncode == 0, built.stderr
    more = place.train(folder, "--double", worst, "--steps", "+2")
    assert more.returncode == 0, more.stderr
    assert "the faceset of the double is not the one of the first 2 steps" in more.stderr
    state = state_of(folder)
    assert (state["step"], set(state["data"])) == (4, {"likeness", "double", "double 2"})
    assert state["data"]["double 2"] == faceset.load(worst).digest()

    wrong = place.train(tmp_path / "other", "--double", place.root / "ben", "--steps", "1")
    assert wrong.returncode == 2
    assert "the facesets are of anna and ben" in wrong.stderr
    assert not (tmp_path / "other").exists()


def test_a_training_begins_from_another(place: Place, model_dir: Path, tmp_path: Path) -> None:
    small = ("--preset", "test", "--batch", "2", "--steps", "2")
    done = place.train(tmp_path / "new", "--from", model_dir, *small, "--seed", "7")
    assert done.returncode == 0, done.stderr
    state = state_of(tmp_path / "new")
    assert (state["warm_start"]["name"], state["warm_start"]["step"]) == ("model", 4)
    assert state["earlier"][0]["consents"] == state["consents"]
    # The same command again goes on; a run that was begun without it cannot be begun from elsewhere.
    assert place.train(tmp_path / "new", "--from", model_dir, "--steps", "+1").returncode == 0
    late = place.train(model_dir, "--from", tmp_path / "new", "--steps", "+1")
    assert late.returncode == 4
    assert "begun without --from" in late.stderr
    assert vfxswap("export", tmp_path / "new", "--output", tmp_path / "n.vfxmodel", *place.trust).returncode == 0

    other = place.train(tmp_path / "tiny", "--from", model_dir, "--preset", "tiny", "--steps", "1")
    assert other.returncode == 4
    assert "has another network (preset test); use --preset test" in other.stderr
    assert not (tmp_path / "tiny").exists()


def test_without_tensorboard_it_is_said(place: Place, tmp_path: Path) -> None:
    absent = tmp_path / "absent" / "tensorboard"
    absent.mkdir(parents=True)
    (absent / "__init__.py").write_text("raise ModuleNotFoundError('no tensorboard', name='tensorboard')\n")
    done = place.train(tmp_path / "m", "--preset", "test", "--steps", "1", "--tensorboard",
                       PYTHONPATH=str(tmp_path / "absent"))  # fmt: skip
    assert done.returncode == 4
    assert "tensorboard is not installed; pip install 'vfxswap[tensorboard]'" in done.stderr


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
    rgb, mask, *_ = model.swap(ModelRgb(crop))
    assert rgb.shape == (64, 64, 3)
    assert mask.shape == (64, 64)

    again = vfxswap("export", model_dir, "--output", path, *place.trust)
    assert again.returncode == 4
    assert "give --overwrite" in again.stderr
    before = path.read_bytes()
    assert vfxswap("export", model_dir, "--output", path, "--overwrite", *place.trust).returncode == 0
    assert path.read_bytes() == before


def test_integers_are_calibrated_on_the_facesets_of_the_training(place: Place, model_dir: Path, tmp_path: Path) -> None:
    """That they paint nearly the same is tested where there are enough crops (tests/train/test_package.py)."""
    path = tmp_path / "small.vfxmodel"
    sets = ("--likeness", place.root / "ben", "--double", place.root / "anna")
    done = vfxswap("export", model_dir, "--output", path, "--precision", "int8", *sets, *place.trust)
    assert done.returncode == 4
    assert "crops are too few to find the ranges of integers" in done.stderr
    assert not path.exists()
    swapped = ("--likeness", place.root / "anna", "--double", place.root / "ben")
    done = vfxswap("export", model_dir, "--output", path, "--precision", "int8", *swapped, *place.trust)
    assert done.returncode == 2
    assert "give those that the training was on" in done.stderr
    assert vfxswap("export", model_dir, "--output", path, "--precision", "int8", *place.trust).returncode == 2


def test_the_best_and_older_checkpoints_are_exported(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    run = ("--preset", "test", "--batch", "2", "--steps", "4", "--score-every", "1", "--keep", "3")
    assert place.train(folder, *run).returncode == 0
    hashes = {}
    for which in ("latest", "4", "3", "best"):
        done = vfxswap(
            "export", folder, "--checkpoint", which, "--output", tmp_path / f"{which}.vfxmodel", *place.trust
        )
        assert done.returncode == 0, done.stderr
        hashes[which] = vfxmodel.read_card(tmp_path / f"{which}.vfxmodel").onnx_sha256
    assert hashes["latest"] == hashes["4"] != hashes["3"]
    assert hashes["best"] in hashes.values()
    gone = vfxswap("export", folder, "--checkpoint", "77", "--output", tmp_path / "x.vfxmodel", *place.trust)
    assert gone.returncode == 4
    assert "no checkpoint '77' is kept" in gone.stderr
    assert not (tmp_path / "x.vfxmodel").exists()


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_folder_for_nuke(place: Place, model_dir: Path, tmp_path: Path) -> None:
    """What Nuke paints is what a .vfxmodel of the same training paints."""
    import torch

    out, model = tmp_path / "ben_live", tmp_path / "ben.vfxmodel"
    done = vfxswap("export", model_dir, "--to", "nuke-cat", "--output", out, *place.trust)
    assert done.returncode == 0, done.stderr
    assert files(out) == ["ben_live.gizmo", "ben_live.pt", "cat.json", "make_cat.py"]
    about = json.loads((out / "cat.json").read_text())
    assert about["cats"] == [{"filepath": "ben_live.gizmo", "name": "ben_live", "icon": ""}]
    ours = about["vfxswap"]
    assert {consent["id"] for consent in ours["consents"]} == set(_consent_ids(place))
    assert ours["network_sha256"] in done.stdout

    assert vfxswap("export", model_dir, "--output", model, *place.trust).returncode == 0
    assert vfxmodel.read_card(model).onnx_sha256 == ours["network_sha256"]
    crop = np.random.default_rng(0).uniform(0, 1, (64, 64, 3)).astype(np.float32)
    rgb, *_ = place.studio.open(model).swap(ModelRgb(crop))
    painted = torch.jit.load(out / "ben_live.pt")(torch.from_numpy(crop.transpose(2, 0, 1)[None].copy()))
    assert np.abs(painted[0, :3].numpy().transpose(1, 2, 0) - rgb).max() < 1e-5

    before = {name: (out / name).read_bytes() for name in files(out)}
    again = ("export", model_dir, "--to", "nuke-cat", "--output", out, *place.trust)
    refused = vfxswap(*again)
    assert refused.returncode == 4
    assert "the folder is there already" in refused.stderr
    (out / "ben_live.cat").write_bytes(b"made by Nuke from the old one")
    assert vfxswap(*again, "--overwrite").returncode == 0
    assert files(out) == sorted(before)
    assert all((out / name).read_bytes() == before[name] for name in before if name != "cat.json")
    assert files(tmp_path) == sorted(["ben.vfxmodel", *(f"ben_live/{name}" for name in before)])


@pytest.mark.parametrize(
    ("name", "said"),
    [("ben live", "a folder whose name Nuke takes for a node"), ("mine", "that is no folder of vfxswap's")],
)
def test_a_folder_that_cannot_be_written_for_nuke(
    place: Place, model_dir: Path, tmp_path: Path, name: str, said: str
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "cat.json").write_text('{"cats": []}')
    out = tmp_path / name
    done = vfxswap("export", model_dir, "--to", "nuke-cat", "--output", out, "--overwrite", *place.trust)
    assert done.returncode in (2, 4)
    assert said in done.stderr
    assert files(tmp_path) == ["mine/cat.json"]


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (("--output", "m.vfxmodel", "--to", "tflite"), 2, "--to is 'tflite'; use one of vfxmodel, nuke-cat"),
        (("--output", "m.onnx"), 2, "a model's name ends in .vfxmodel"),
        (("--output", "m.live", "--to", "nuke-cat", "--precision", "int8"), 2, "--precision int8 is not for Nuke"),
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
