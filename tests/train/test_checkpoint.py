"""Checkpoints: whole or not at all, read back exactly, never believed blindly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from vfxswap.errors import ModelError
from vfxswap.train import checkpoint
from vfxswap.train.checkpoint import State
from vfxswap.vfxmodel import Performers

from . import synthetic


class Dying(State):
    """The run ends at the moment when its state would be written."""

    def model_dump_json(self, **options: Any) -> str:
        raise KeyboardInterrupt


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


def test_the_newest_is_named_and_two_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        checkpoint.save(tmp_path, tensors={"a": torch.tensor(step)}, state=state(step))
    found = checkpoint.load_state(tmp_path)
    assert found is not None
    assert int(checkpoint.load_tensors(tmp_path, found)["a"]) == 3
    names = sorted(path.name for path in tmp_path.glob("checkpoint-*"))
    assert names == ["checkpoint-00000002.safetensors", "checkpoint-00000003.safetensors"]


def test_a_run_that_dies_between_tensors_and_state_keeps_the_old_checkpoint(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, tensors={"a": torch.tensor(1)}, state=state(1))
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(tmp_path, tensors={"a": torch.tensor(2)}, state=Dying(**dict(state(2))))
    assert (tmp_path / "checkpoint-00000002.safetensors").exists()
    found = checkpoint.load_state(tmp_path)
    assert found is not None
    assert found.step == 1
    assert int(checkpoint.load_tensors(tmp_path, found)["a"]) == 1


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    assert checkpoint.load_state(tmp_path) is None
    assert checkpoint.load_state(tmp_path / "absent") is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": "vfxswap.training/9"}, "schema"),
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
