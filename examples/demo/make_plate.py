"""Maintainers' script: make the demo's plate, truth and truth mattes from the rendered originals.

Usage: python examples/demo/make_plate.py FOLDER

FOLDER holds plate/, truth/ and matte/ of the rendered shot. Frames are stored as DWAA (a wheel must stay
small); the truth's matte is where the perfect swap differs from the plate and no occluder is.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import OpenImageIO as oiio  # noqa: N813 - its own documentation's name

HERE = Path(__file__).resolve().parent
FRAMES = range(1003, 1014)
QUALITY = 45
"""DWA compression level: OpenEXR's default."""


def load(path: Path) -> tuple[oiio.ImageSpec, np.ndarray]:
    """The header and the half pixels of a one-part EXR."""
    reader = oiio.ImageInput.open(str(path))
    spec = oiio.ImageSpec(reader.spec())
    pixels = reader.read_image(0, 0, 0, spec.nchannels, "half")
    reader.close()
    return spec, pixels


def save(path: Path, spec: oiio.ImageSpec, pixels: np.ndarray, compression: str) -> None:
    """Write half pixels under the header `spec`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    spec.attribute("compression", compression)
    writer = oiio.ImageOutput.create("openexr")
    if not writer.open(str(path), spec) or not writer.write_image(pixels) or not writer.close():
        raise SystemExit(f"{path}: {writer.geterror()}")


def main(source: Path) -> None:
    """Convert the frames."""
    for frame in FRAMES:
        spec, pixels = load(source / "plate" / f"plate.{frame}.exr")
        save(HERE / "plate" / f"plate.{frame}.exr", spec, pixels, f"dwaa:{QUALITY}")
        truth = source / "truth" / f"truth.{frame}.exr"
        if truth.exists():
            spec, pixels = load(truth)
            save(HERE / "truth" / f"truth.{frame}.exr", spec, pixels, f"dwaa:{QUALITY}")
            spec, mattes = load(source / "matte" / f"matte.{frame}.exr")
            names = list(spec.channelnames)
            face = mattes[..., names.index("truth_face")] * (1 - mattes[..., names.index("occluder")])
            one = oiio.ImageSpec(spec.width, spec.height, 1, "half")
            one.channelnames = ("A",)
            one.attribute("DateTime", "")
            save(HERE / "truth" / f"matte.{frame}.exr", one, face[..., None].astype(np.float16), "zip")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
