"""Making the file of reference embeddings that a performer's consent names."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vfxswap.color import ColorConfig
from vfxswap.faceset.build import measured
from vfxswap.faceset.footage import open_footage
from vfxswap.faceset.lock import comparable, model_sha256
from vfxswap.infer import Device
from vfxswap.trust.references import MOST, Reference, write_reference


def measure_reference(
    path: Path,
    pictures: Sequence[str],
    *,
    performer: str,
    face: str = "",
    color_space: str = "",
    config: str = "",
    device: Device = "auto",
) -> Reference:
    """Write the reference file of a performer from pictures that were made for it.

    No consent is asked for: it is the consent that will name the file. Crops are made in a folder that is removed.
    Faces that differ from the others, or are turned away, do not go in.

    Args:
        path: the file to write.
        pictures: as the command line names them; each frame is looked at by itself.
        performer: whose face they show.
        face: which face of a picture; empty for the most prominent.
        color_space: of files that do not say theirs.
        config: OCIO config; the environment's or the shipped one without.
        device: where networks run.

    Raises:
        UsageError: too few faces, or the file is there. TrackError: no face. PlateError, FrameError, ColorError.
    """
    colors = ColorConfig.load(config or None)
    footage = [
        one
        for text in pictures
        for one in open_footage(text, config=colors, stills=True, colorspace=color_space, face=face)
    ]
    with tempfile.TemporaryDirectory(prefix="vfxswap-reference-") as folder:
        rows = measured(Path(folder), footage, performer=performer, device=device)
    good = [row for row in rows if comparable(row) and not row.crop.kinds & {"identity", "extreme"}]
    chosen = sorted(set(np.linspace(0, len(good) - 1, min(MOST, len(good))).round().astype(int).tolist()))
    return write_reference(
        path,
        performer=performer,
        model_sha256=model_sha256(),
        embeddings=[good[at].embedding.tolist() for at in chosen] if good else [],
    )
