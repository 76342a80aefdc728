"""Knobs on the command line are the job's knobs."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from vfxswap.cli.knobs import (
    DEFAULTS,
    Device,
    EdgeErode,
    EdgeFeather,
    Highlights,
    Layers,
    Mix,
    Person,
    Relight,
    SkinTone,
)
from vfxswap.job import SwapParameters, knobs

app = typer.Typer()


@app.command()
def dial(
    mix: Mix = DEFAULTS.mix,
    relight: Relight = DEFAULTS.relight,
    edge_erode: EdgeErode = DEFAULTS.edge_erode,
    edge_feather: EdgeFeather = DEFAULTS.edge_feather,
    highlights: Highlights = DEFAULTS.highlights,
    skin_tone: SkinTone = DEFAULTS.skin_tone,
    person: Person = DEFAULTS.person,
    layers: Layers = "comp",
    device: Device = "auto",
) -> None:
    values = {name: value for name, value in locals().items() if name in SwapParameters.model_fields}
    typer.echo(SwapParameters(**values).model_dump_json())


def test_every_knob_is_an_option_with_the_same_default() -> None:
    shown = CliRunner().invoke(app, [])
    assert json.loads(shown.output) == SwapParameters().model_dump()


def test_values_arrive() -> None:
    shown = CliRunner().invoke(app, ["--mix", "0.25", "--edge-erode", "-2.5", "--skin-tone", "likeness"])
    expected = SwapParameters(mix=0.25, edge_erode=-2.5, skin_tone="likeness")
    assert json.loads(shown.output) == expected.model_dump()


@pytest.mark.parametrize(
    "arguments",
    [["--mix", "1.5"], ["--edge-erode", "-11"], ["--skin-tone", "mine"], ["--layers", "all"], ["--device", "tpu"]],
)
def test_values_out_of_range_are_wrong_usage(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 2


def test_help_is_the_jobs_help() -> None:
    shown = " ".join(CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output.split())
    for knob in knobs():
        assert knob.help in shown
