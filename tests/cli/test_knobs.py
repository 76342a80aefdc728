"""Knobs on the command line are the job's knobs."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from vfxswap import cli
from vfxswap.cli import knobs as options
from vfxswap.job import SwapParameters, knobs

app = typer.Typer()


def dial(**values: Any) -> None:
    named = {name: value for name, value in values.items() if name in SwapParameters.model_fields}
    typer.echo(SwapParameters(**named).model_dump_json())


def option(name: str, default: Any) -> inspect.Parameter:
    kind = getattr(options, name.title().replace("_", ""))
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


# A command with every knob there is, as `vfxswap swap` has them.
named = [option(knob.name, knob.default) for knob in knobs()]
dial.__signature__ = inspect.Signature([*named, option("layers", "comp"), option("device", "auto")])  # type: ignore[attr-defined]
app.command()(dial)


def test_every_knob_is_an_option_of_swap_with_the_same_default_and_help() -> None:
    offered: dict[str, Any] = {one.name: one for one in cli.load("swap").params if one.name}
    for knob in knobs():
        assert offered[knob.name].default == knob.default
        assert offered[knob.name].help.startswith(knob.help)


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
