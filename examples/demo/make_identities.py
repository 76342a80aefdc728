"""Maintainers' script: the mean identity embeddings that the demo scores against.

Usage: python examples/demo/make_identities.py LIKENESS_FACESET DOUBLE_FACESET
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from vfxswap import faceset
from vfxswap.face import EMBEDDERS

MOST_YAW_DEG = 30.0


def mean_embedding(folder: Path) -> list[float]:
    """The mean embedding of a faceset's crops that face the camera."""
    embed, source = EMBEDDERS["dlib"](), faceset.load(folder)
    found = [embed(source.load(c)[0], c.landmarks) for c in source.usable() if abs(c.pose_deg[1]) < MOST_YAW_DEG]
    return [round(float(value), 6) for value in np.mean(found, axis=0)]


if __name__ == "__main__":
    likeness, double = (mean_embedding(Path(argument)) for argument in sys.argv[1:3])
    text = json.dumps({"likeness": likeness, "double": double})
    (Path(__file__).resolve().parent / "identities.json").write_text(text + "\n")
