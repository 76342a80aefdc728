"""What flickers in the painted face and not in the plate, and what takes it out.

A network paints each frame by itself. What changes in the plate from frame to frame (a lid that closes, a head that
turns, a lamp that dims) changes in the painted face too, whoever it is; so the difference between the two, which holds
both performers' features, changes slowly. What of it comes and goes within a frame or two is the network's own.

Worked out for a whole shot at once and kept in the .vfxshot, in cells of the crop: no frame is read for another's sake,
and every chunk of a shot gives the same pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import cv2
import numpy as np

from vfxswap.pixels import F16, F32

CELLS: Final = 32
"""Side of the grid over the crop: finer cells would bring the plate's grain along."""

_REACH, _FRAMES = 2, 1.0
"""Frames to either side that are looked at, and the standard deviation of their weights."""
_STOPS = 0.33
"""A cell that differs by much more than so many stops (r.m.s. of the channels) shows something else: it has no say. So
no cell is changed by more than about a third of a stop."""


def cells(difference: F32, coverage: F32) -> F32:
    """A frame's difference, cell by cell.

    Args:
        difference: (S, S, 3) stops from the painted face to the plate (blend.Comparison).
        coverage: (S, S) the face's matte.

    Returns:
        (CELLS, CELLS, 4) float32: mean stops under the matte, and how much of the cell it covers.
    """
    weighted = np.concatenate([difference * coverage[..., None], coverage[..., None]], axis=-1)
    small = np.asarray(cv2.resize(weighted, (CELLS, CELLS), interpolation=cv2.INTER_AREA), np.float32)
    small[..., :3] /= np.maximum(small[..., 3:], np.float32(1e-3))
    return small


def corrections(frames: Mapping[int, F32]) -> dict[int, F16]:
    """The gain that leaves of every cell's difference only what its neighbours in time have, too.

    A bilateral filter over time (C. Tomasi, R. Manduchi, "Bilateral filtering for gray and color images", ICCV 1998),
    zero phase: cells of other frames count the less, the further off they are and the more they differ.

    Args:
        frames: number -> `cells`.

    Returns:
        Number -> (CELLS, CELLS, 3) float16, stops to add to the painted face; 0 where the matte does not reach.
    """
    out: dict[int, F16] = {}
    for frame, here in frames.items():
        stops, covered = here[..., :3], here[..., 3:]
        total, weights = np.zeros_like(stops), np.zeros_like(covered)
        for away in range(-_REACH, _REACH + 1):
            other = frames.get(frame + away)
            if other is None:
                continue
            apart = ((other[..., :3] - stops) ** 2).mean(axis=-1, keepdims=True)
            weight = other[..., 3:] * np.exp(-0.5 * ((away / _FRAMES) ** 2 + apart / _STOPS**2), dtype=np.float32)
            total += weight * other[..., :3]
            weights += weight
        gone = stops - total / np.maximum(weights, np.float32(1e-6))
        inside = np.clip(2 * covered - np.float32(0.5), 0.0, 1.0)
        out[frame] = np.asarray(gone * inside, np.float16)
    return out
