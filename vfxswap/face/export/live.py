"""A face as values of the knobs of VfxSwapLive: where the crop goes, and what the face does, frame by frame.

The text is what Nuke's `Node.readKnobs` takes, and what a node's knobs look like in a saved script.
"""

from __future__ import annotations

import numpy as np

from vfxswap.face import expression
from vfxswap.face.export.nk import curve
from vfxswap.face.export.nuke import corners, seen
from vfxswap.face.export.view import View

TOLD = tuple("told_" + name.replace(" ", "_") for name in expression.NAMES)
"""Knob of each number of `expression.NAMES`: of the Inference node and of VfxSwapLive."""

PINS = ("pin1", "pin2", "pin3", "pin4")
"""Knobs of the crop's corners, from the bottom left counterclockwise."""


def live(view: View) -> str:
    """A line for each knob, with a key on each frame that has the face; `shown` is 0 where it is not."""
    frames = view.frames
    found = view.up(np.array([corners(view.in_plate(frame)) for frame in frames]))
    lines = []
    for i, name in enumerate(PINS):
        x, y = (curve(frames, found[:, i, axis].tolist()) for axis in (0, 1))
        lines.append(f"{name} {{{x} {y}}}")
    does = np.array([expression.of(view.faces[frame]) for frame in frames])
    for i, name in enumerate(TOLD):
        lines.append(f"{name} {{{curve(frames, does[:, i].tolist())}}}")
    there = seen(view)
    lines.append(f"shown {{{curve(list(there), list(there.values()), kind='K')}}}")
    return "\n".join(lines) + "\n"
