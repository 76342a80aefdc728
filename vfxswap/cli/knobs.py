"""Options that mirror the job description. Limits, choices and help come from `vfxswap.job` alone.

Give a knob its default from `DEFAULTS`: `mix: Mix = DEFAULTS.mix`.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from vfxswap import job
from vfxswap.job import SwapJob, SwapParameters, knobs

DEFAULTS = SwapParameters()


def _knob(name: str) -> Any:
    knob = next(knob for knob in knobs() if knob.name == name)
    unit = f" In {knob.unit}." if knob.unit else ""
    return typer.Option(min=knob.low, max=knob.high, help=knob.help + unit)


def _field(name: str) -> Any:
    return typer.Option(help=SwapJob.model_fields[name].description)


Mix = Annotated[float, _knob("mix")]
Relight = Annotated[float, _knob("relight")]
Match = Annotated[job.LightMatch, _knob("match")]
BandCoarse = Annotated[float, _knob("band_coarse")]
BandMiddle = Annotated[float, _knob("band_middle")]
BandFine = Annotated[float, _knob("band_fine")]
Steady = Annotated[float, _knob("steady")]
EdgeErode = Annotated[float, _knob("edge_erode")]
EdgeFeather = Annotated[float, _knob("edge_feather")]
EdgeTop = Annotated[float, _knob("edge_top")]
EdgeRight = Annotated[float, _knob("edge_right")]
EdgeBottom = Annotated[float, _knob("edge_bottom")]
EdgeLeft = Annotated[float, _knob("edge_left")]
Highlights = Annotated[float, _knob("highlights")]
SkinTone = Annotated[job.SkinTone, _knob("skin_tone")]
Person = Annotated[float, _knob("person")]
Hands = Annotated[float, _knob("hands")]
Grain = Annotated[float, _knob("grain")]
Defocus = Annotated[float, _knob("defocus")]
Sharpen = Annotated[float, _knob("sharpen")]
MotionBlur = Annotated[float, _knob("motion_blur")]
Shutter = Annotated[float, _knob("shutter")]
Layers = Annotated[job.Layers, _field("layers")]
Device = Annotated[job.Device, _field("device")]
