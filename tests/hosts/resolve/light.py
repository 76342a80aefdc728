"""What the fake Resolve makes of pixels: each clip is taken for what it is said to be, and shown in one space."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
from vfxswap_resolve.color import CONFIG

from tests.support import write_frame
from vfxswap.color import ColorConfig
from vfxswap.exr import read_channels

SPACES = {
    "ACES (AP1) Linear": "ACEScg",
    "ACEScg": "ACEScg",
    "ACEScg - CSC": "ACEScg",
    "ARRI LogC4": "ARRI LogC4",
    "Rec.709 Linear": "Linear Rec.709 (sRGB)",
}
"""Resolve's words -> OCIO, apart from the table that is tested."""


@functools.cache
def config() -> ColorConfig:
    return ColorConfig.load(CONFIG)


def taken_for(world: Any, media: Any) -> str:
    """The OCIO space that a clip's pixels are taken for; empty where pixels are left as they are."""
    science, told = world.project.settings["colorScienceMode"], media.properties
    if science == "davinciYRGB":
        return ""
    said = told["IDT"] if science.startswith("aces") else f"{told['Input Color Space']} {told['Input Gamma']}".strip()
    return SPACES[said]


def pixels(path: Path | str) -> Any:
    channels, _ = read_channels(Path(path))
    return np.stack([channels[name] for name in "RGB"], axis=-1).astype(np.float32)


def shown(world: Any, media: Any, path: Path | str) -> Any:
    """A frame of a clip as the timeline has it: scene-linear AP1, or its pixels where nothing is managed."""
    space, rgb = taken_for(world, media), pixels(path)
    return config().to_working(space).apply(rgb) if space else rgb


def render(world: Any, job: dict[str, Any], media: Any, source: Path, target: Path) -> None:
    """A frame of a clip in the output space of a render's timeline."""
    rgb, told = shown(world, media, source), job["timeline"].settings
    science = world.project.settings["colorScienceMode"]
    if science != "davinciYRGB":
        aces = science.startswith("aces")
        said = told["colorAcesODT"] if aces else f"{told['colorSpaceOutput']} {told['colorSpaceOutputGamma']}"
        rgb = config().from_working(SPACES[said]).apply(rgb)
    write_frame(target, rgb, dtype=np.float32 if "Float" in job["codec"] else np.float16)
