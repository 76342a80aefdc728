"""What networks cost: counted as by hand, within what presets promise, and as the documents say."""

from __future__ import annotations

from pathlib import Path

import pytest

from vfxswap.models import PRESETS
from vfxswap.models.convolutional import ConvolutionalConfig
from vfxswap.models.cost import cost, table

README = Path(__file__).parents[2] / "benchmarks" / "architectures" / "README.md"


def one_stage() -> ConvolutionalConfig:
    return ConvolutionalConfig(
        resolution=16, encoder=(4,), encoder_residuals=(0,), neck=2, code=3, decoder=(5, 6), decoder_residuals=(0,)
    )


def test_operations_are_counted_as_by_hand() -> None:
    """A multiply-add is two operations, biases are not counted."""
    encoder = 2 * (8 * 8 * 4 * 3 * 25 + 8 * 8 * 2 * 4 + 128 * 3)
    decoder = 2 * (3 * 128 + 8 * 8 * 5 * 2 * 9 + 8 * 8 * 24 * 5 * 9 + 16 * 16 * 4 * 6 * 9)
    assert cost(one_stage()).operations == encoder + decoder


def test_parameters_are_counted_as_by_hand() -> None:
    encoder = (4 * 3 * 25 + 4) + (2 * 4 + 2) + (3 * 128 + 3)
    decoder = (128 * 3 + 128) + (5 * 2 * 9 + 5) + (24 * 5 * 9 + 24) + (4 * 6 * 9 + 4)
    assert cost(one_stage()).parameters == encoder + decoder


def test_activations_hold_at_least_what_each_layer_was_given() -> None:
    inputs = 3 * 16 * 16 + 4 * 8 * 8 + 128 + 3 + 2 * 8 * 8 + 5 * 8 * 8 + 6 * 16 * 16
    assert inputs <= cost(one_stage()).activations <= 3 * inputs


@pytest.mark.parametrize("name", ["tiny", "df-tiny", "df-ud-tiny"])
def test_small_networks_stay_within_what_a_cpu_can_train(name: str) -> None:
    counted = cost(PRESETS[name])
    assert counted.parameters <= 5_000_000
    assert counted.gflop <= 1.5


@pytest.mark.parametrize("name", ["df-tiny", "df-ud-tiny"])
def test_the_baseline_has_the_size_of_what_it_is_compared_with(name: str) -> None:
    ours, theirs = cost(PRESETS["tiny"]), cost(PRESETS[name])
    assert theirs.gflop == pytest.approx(ours.gflop, rel=0.05)
    assert theirs.parameters == pytest.approx(ours.parameters, rel=0.05)


def test_film_trains_on_one_large_gpu() -> None:
    assert cost(PRESETS["film"]).training_bytes(crops=8) < 40e9


def test_the_table_in_the_documents_is_true() -> None:
    assert table() in README.read_text(encoding="utf-8"), "run python benchmarks/architectures/sizes.py"
