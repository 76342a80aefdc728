"""Checkpoints: whole or not at all, read back exactly, never believed blindly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from vfxswap.errors import ModelError, ResourceError
from vfxswap.train import checkpoint
from vfxswap.train.checkpoint import State
from vfxswap.vfxmodel import Performers

from ..exr.files import disk_limit
from . import synthetic


def state(step: int = 3) -> State:
    return State(
        step=step,
        config=synthetic.config(steps=10),
        architecture="autoencoder",
        network={},
        performers=Performers(likeness="ben", double="anna"),
        seconds=1.5,
        scores={"mask_iou": 0.5},
        precision="fp32",
        device="cpu",
    )


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    tensors = {"net/a": torch.rand(2, 3, 4, 4).contiguous(memory_format=torch.channels_last), "n": torch.tensor(7)}
    checkpoint.save(tmp_path, tensors=tensors, state=state())
    found = checkpoint.load_state(tmp_path)
    assert found == state().model_copy(update={"tensors": "checkpoint-00000003.safetensors"})
    loaded = checkpoint.load_tensors(tmp_path, found)
    assert all(torch.equal(loaded[key], value) for key, value in tensors.items())


def steps(folder: Path) -> list[int]:
    return [found.step for found in checkpoint.kept(folder)]


def save(folder: Path, step: int, *, psnr: float | None = None, **changes: Any) -> None:
    scored = {} if psnr is None else {"scores": {"likeness_psnr": psnr}, "scored": step}
    checkpoint.save(
        folder, tensors={"a": torch.tensor(step)}, state=state(step).model_copy(update={**scored, **changes})
    )


def test_the_newest_is_named_and_two_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save(tmp_path, step)
    found = checkpoint.load_state(tmp_path)
    assert found is not None
    assert int(checkpoint.load_tensors(tmp_path, found)["a"]) == 3
    names = sorted(path.name for path in tmp_path.glob("checkpoint-*"))
    assert names == ["checkpoint-00000002.safetensors", "checkpoint-00000003.safetensors"]


def test_the_best_is_kept_beside_the_newest(tmp_path: Path) -> None:
    for step, psnr in ((1, 20.0), (2, 24.0), (3, 22.0), (4, 23.0), (5, 23.5)):
        save(tmp_path, step, psnr=psnr)
    assert steps(tmp_path) == [2, 4, 5]
    # Scores of an earlier step do not make these weights the best.
    save(tmp_path, 6, scores={"likeness_psnr": 30.0}, scored=5)
    assert steps(tmp_path) == [2, 5, 6]
    best = checkpoint.find(tmp_path, "best")
    assert best is not None
    assert (best.step, int(checkpoint.load_tensors(tmp_path, best)["a"])) == (2, 2)


def test_how_many_are_kept_is_the_runs_wish(tmp_path: Path) -> None:
    for step in range(1, 7):
        save(tmp_path, step, config=synthetic.config(steps=10, keep=4))
    assert steps(tmp_path) == [3, 4, 5, 6]


def test_a_score_on_other_facesets_makes_nothing_the_best(tmp_path: Path) -> None:
    save(tmp_path, 1, psnr=30.0, data={"likeness": "one", "double": "d"})
    for step in (2, 3, 4):
        save(tmp_path, step, psnr=20.0 + step, data={"likeness": "two", "double": "d"})
    assert steps(tmp_path) == [3, 4]


def test_a_run_that_went_back_forgets_what_came_after(tmp_path: Path) -> None:
    for step in (4, 8, 6):
        save(tmp_path, step)
    assert steps(tmp_path) == [4, 6]
    found = checkpoint.load_state(tmp_path)
    assert found is not None
    assert found.step == 6


def test_checkpoints_are_found_by_word_and_by_step(tmp_path: Path) -> None:
    assert checkpoint.find(tmp_path, "latest") is None
    for step in (1, 2):
        save(tmp_path, step)
    for which, step in (("latest", 2), ("2", 2), ("1", 1)):
        found = checkpoint.find(tmp_path, which)
        assert found is not None
        assert found.step == step
    with pytest.raises(ModelError, match="no kept checkpoint was scored"):
        checkpoint.find(tmp_path, "best")
    with pytest.raises(ModelError, match=r"no checkpoint '7' is kept \(.*\); there are latest, best, 1, 2"):
        checkpoint.find(tmp_path, "7")


def test_a_run_that_dies_between_tensors_and_state_keeps_the_old_checkpoint(tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path / "other", 2)
    name = "checkpoint-00000002.safetensors"
    (tmp_path / name).write_bytes((tmp_path / "other" / name).read_bytes())
    found = checkpoint.load_state(tmp_path)
    assert found is not None
    assert found.step == 1
    assert int(checkpoint.load_tensors(tmp_path, found)["a"]) == 1


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path) -> None:
    said: list[str] = []
    for step in (1, 2, 3):
        save(tmp_path, step, config=synthetic.config(steps=10, keep=3))
    found = checkpoint.load_state(tmp_path)
    assert found is not None
    (tmp_path / found.tensors).write_bytes(b"")
    older, tensors = checkpoint.load_whole(tmp_path, found, warn=lambda _code, message: said.append(message))
    assert (older.step, int(tensors["a"])) == (2, 2)
    assert said == ["checkpoint is missing or damaged (checkpoint-00000003.safetensors): going on from step 2"]
    for path in tmp_path.glob("checkpoint-*"):
        path.unlink()
    with pytest.raises(ModelError, match="checkpoint is missing or damaged"):
        checkpoint.load_whole(tmp_path, found)


def test_a_full_disk_is_said_and_the_old_checkpoint_stays(tmp_path: Path) -> None:
    save(tmp_path, 1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with disk_limit(5_000), pytest.raises(ResourceError, match="the disk is full"):
        checkpoint.save(tmp_path, tensors={"a": torch.rand(10_000)}, state=state(2))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    save(tmp_path, 2)
    assert steps(tmp_path) == [1, 2]


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    assert checkpoint.load_state(tmp_path) is None
    assert checkpoint.load_state(tmp_path / "absent") is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": "vfxswap.trening/1"}, "schema"),
        ({"step": -1}, "step"),
        ({"surprise": 1}, "surprise"),
        ({"tensors": "../../elsewhere.safetensors"}, "tensors"),
    ],
)
def test_another_state_is_refused_by_name(tmp_path: Path, change: dict[str, object], said: str) -> None:
    checkpoint.save(tmp_path, tensors={}, state=state())
    path = tmp_path / checkpoint.STATE
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ModelError, match=f"damaged or of another version: {said}"):
        checkpoint.load_state(tmp_path)


def test_a_later_version_is_refused_by_name(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, tensors={}, state=state())
    path = tmp_path / checkpoint.STATE
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": "vfxswap.training/9", "more": 1}))
    with pytest.raises(
        ModelError, match=r"training/9 is newer than this vfxswap reads \(vfxswap.training/1\)"
    ) as caught:
        checkpoint.load_state(tmp_path)
    assert caught.value.hint == "update vfxswap"


def test_damage_is_said(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, tensors={"a": torch.zeros(100)}, state=state())
    found = checkpoint.load_state(tmp_path)
    assert found is not None
    tensors = tmp_path / found.tensors
    tensors.write_bytes(tensors.read_bytes()[:50])
    with pytest.raises(ModelError, match="checkpoint is missing or damaged"):
        checkpoint.load_tensors(tmp_path, found)
    tensors.unlink()
    with pytest.raises(ModelError, match="checkpoint is missing or damaged"):
        checkpoint.load_tensors(tmp_path, found)
    (tmp_path / checkpoint.STATE).write_text("{")
    with pytest.raises(ModelError, match="training state is damaged"):
        checkpoint.load_state(tmp_path)


def test_weights_of_another_shape_are_refused() -> None:
    packed = checkpoint.pack("net", torch.nn.Linear(3, 4))
    with pytest.raises(ModelError, match="does not fit this architecture"):
        checkpoint.unpack("net", torch.nn.Linear(4, 3), packed)


def test_moments_come_back_in_the_memory_order_of_their_weights() -> None:
    def optimizer() -> torch.optim.Optimizer:
        weight = torch.nn.Parameter(torch.ones(4, 3, 5, 5).contiguous(memory_format=torch.channels_last))
        return torch.optim.AdamW([weight], fused=True)

    one, two = optimizer(), optimizer()
    (weight,) = one.param_groups[0]["params"]
    weight.grad = torch.rand(4, 3, 5, 5).contiguous(memory_format=torch.channels_last)
    one.step()
    # Files hold the plain order.
    saved = {key: value.contiguous() for key, value in checkpoint.pack_optimizer("opt", one).items()}
    checkpoint.unpack_optimizer("opt", two, saved)
    (other,) = two.param_groups[0]["params"]
    assert two.state[other]["exp_avg"].stride() == other.stride()
    assert torch.equal(two.state[other]["exp_avg"], one.state[weight]["exp_avg"])


def test_what_a_killed_run_left_goes_with_the_next_save_or_at_the_end(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save(tmp_path, step)
        (tmp_path / ".tmpA1b2C3").write_bytes(b"half")  # safetensors' own
    old = tmp_path / "checkpoint-00000001.safetensors"
    old.write_bytes((tmp_path / "checkpoint-00000002.safetensors").read_bytes())
    checkpoint.tidy(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-00000002.safetensors",
        "checkpoint-00000003.safetensors",
        "state.json",
    ]
    checkpoint.tidy(tmp_path / "nothing there")
