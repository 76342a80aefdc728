"""What other parts ask of a faceset's people: embeddings that name a face in a plate, and expressions."""

from __future__ import annotations

from typing import Final

import numpy as np

from vfxswap.face import EMBEDDERS
from vfxswap.face.landmarks import Blendshapes
from vfxswap.faceset import quarantine
from vfxswap.faceset.index import Faceset
from vfxswap.infer import Device
from vfxswap.pixels import F32, F64

MOST: Final = 64
"""So many crops at most are embedded for a faceset that holds no embeddings."""


def references(source: Faceset, *, device: Device = "auto") -> F64:
    """(N, 128) float64 embeddings of the usable crops: what a face is compared with to name it.

    A faceset of version 1 holds none: then up to 64 of its crops, evenly spread, are embedded now.

    Args:
        source: the faceset.
        device: where the embedder runs, if it has to.

    Raises:
        FrameError, PlateError: a crop cannot be read. ModelError.
    """
    usable = np.array([crop.quarantined is None for crop in source.crops], bool)
    known = source.embeddings[usable & source.embeddings.any(axis=1)]
    crops = source.usable()
    if len(known) or not crops:
        return known
    embed = EMBEDDERS["dlib"](device=device)
    chosen = sorted(set(np.linspace(0, len(crops) - 1, min(MOST, len(crops))).round().astype(int).tolist()))
    return np.stack([embed(source.load(crops[at])[0], crops[at].landmarks) for at in chosen])


def reference(source: Faceset, *, device: Device = "auto") -> F64:
    """(128,) float64, the middle of `references`; zeros where there are none."""
    found = references(source, device=device)
    return quarantine.centre(found) if len(found) else np.zeros(source.embeddings.shape[1])


def expressions(source: Faceset) -> F32:
    """(N, 52) float32 ARKit coefficients of all crops, in `face.landmarks.BLENDSHAPES`' order.

    Those that the faceset does not hold (version 1) are read off the landmarks now.
    """
    missing = np.isnan(source.expressions).any(axis=1)
    if not missing.any():
        return source.expressions
    found, read = source.expressions.copy(), Blendshapes()
    for at in np.flatnonzero(missing):
        found[at] = read(source.crops[at].landmarks)
    return found
