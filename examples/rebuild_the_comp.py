"""Rebuild the comp of an ingredients frame without inference, with the relight halved and the edge as it was.

    python examples/rebuild_the_comp.py PLATE.exr INGREDIENTS.exr OUTPUT.exr

Needs nothing of vfxswap but its reader: any program that reads multichannel EXR can do the same (docs/layers.md).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from vfxswap import exr

RELIGHT = 0.5


def main(plate: Path, ingredients: Path, output: Path) -> int:
    """Write comp = plate * (1 - A) + face * 2 ** ((relight - 1) * gain), and say how far it is from the written one."""
    channels, _ = exr.read_channels(ingredients)
    layers = {name: pixels.astype(np.float32) for name, pixels in channels.items()}

    def rgb(layer: str) -> np.ndarray:
        return np.stack([layers[f"{layer}.{letter}" if layer else letter] for letter in "RGB"], axis=-1)

    frame = exr.read(plate)
    behind = frame.rgb.astype(np.float32) * (1 - layers["face.A"][..., None])
    same = behind + rgb("face")
    halved = behind + rgb("face") * 2 ** ((RELIGHT - 1) * rgb("gain"))
    exr.write_channels(output, channels={letter: halved[..., i].astype(np.float16) for i, letter in enumerate("RGB")})
    print(f"as written: {np.abs(same - rgb('')).max():.5f} off at most; {output}: relight {RELIGHT}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:4])))
