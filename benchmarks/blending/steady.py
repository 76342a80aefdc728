# ruff: noqa: T201 - a command prints
"""Two things that a comp may not have: an edge that shows, and light that flickers.

    python benchmarks/blending/steady.py RENDERED:SHOT:TRACK ... [--plain DIR]

RENDERED/swap.%04d.exr are ingredients of the default knobs, DIR/<name of SHOT>/swap.%04d.exr those of `--match none`;
SHOT is a shot with ground truth, TRACK its plate's .vfxtrack.

**Edge**: delta-E (CIE 1976, sRGB codes): the comp from the plate 3 pixels inside the matte's edge, which is the step
that the swap puts there; then from there to 3 pixels outside, of the plate at the very same places (its own local
variation), of the comp and of the truth. **Flicker**: how far a frame's difference from the truth is from the middle
of its own and its neighbours', in cells of the upright face (delta-E, mean), of the comp and of the network's face
put in as it is; and the same of the difference between these two, which is the blending's alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from compare import Material, material, seam, sides

from vfxswap import exr
from vfxswap.bench.quality.shots import ShotData
from vfxswap.color import ModelSpace
from vfxswap.face import track as tracks
from vfxswap.face.landmarks import crop
from vfxswap.pixels import F32, ModelRgb, WorkingRgb
from vfxswap.qc import chip as chips
from vfxswap.sequence import SequencePath

_WHOLE = 0.9


def layers_of(folder: Path, frame: int) -> dict[str, F32]:
    """A frame's layers."""
    channels, _ = exr.read_channels(SequencePath.parse(str(folder / "swap.%04d.exr")).path(frame))
    return {name: plane.astype(np.float32) for name, plane in channels.items()}


def edges(it: Material) -> tuple[float, float, float, float]:
    """The comp's step from the plate inside the edge; across the edge: plate, comp, truth."""
    space = ModelSpace(it.config, it.gain)
    comp, plate, truth = (
        np.asarray(space.encode(WorkingRgb(rgb)), np.float32) for rgb in (it.comp, it.plate, it.truth)
    )
    (ours, _), (theirs, _) = sides(comp, it), sides(plate, it)
    step = float(np.linalg.norm(ours - theirs, axis=-1).mean())
    return step, seam(plate, it), seam(comp, it), seam(truth, it)


def upright(picture: F32, truth: F32, matrix: np.ndarray) -> F32:
    """(CELLS, CELLS, 3) L*a*b* of a picture less that of the truth, both as codes, in the upright face."""
    pair = [chips.cells(chips.lab(crop(ModelRgb(codes), matrix, size=chips.SIZE))) for codes in (picture, truth)]
    return np.asarray(pair[0] - pair[1], np.float32)


def flicker(frames: list[F32], covers: list[F32]) -> float:
    """Mean distance of each inner frame from the middle of three."""
    found = []
    for n in range(1, len(frames) - 1):
        three = np.stack(frames[n - 1 : n + 2])
        inside = np.min(covers[n - 1 : n + 2], axis=0) > _WHOLE
        found.append(np.linalg.norm(three[1] - np.median(three, axis=0), axis=-1)[inside].mean())
    return float(np.mean(found))


def main() -> None:
    """Print a row for each shot."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("shots", nargs="+", metavar="RENDERED:SHOT:TRACK")
    parser.add_argument("--plain", type=Path, required=True, help="renders of --match none")
    arguments = parser.parse_args()
    print(
        "| shot | edge: step | plate across | comp across | truth across | flicker: comp | network | blending |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    for text in arguments.shots:
        folder, data, track = (Path(part) for part in text.split(":"))
        shot = ShotData.load(data)
        faces = tracks.load(track).face()
        swapped = SequencePath.parse(str(folder / "swap.%04d.exr"))
        rows, ours, plain, covers = [], [], [], []
        for frame in shot.frames:
            view = shot.view(frame, swapped)
            it = material(view, layers_of(folder, frame), shot.plate.config)
            if abs(shot.yaw_deg.get(frame, 0.0)) <= 40.0:
                rows.append(edges(it))
            matrix, space = chips.matrix(faces[frame]), ModelSpace(it.config, it.gain)
            other = layers_of(arguments.plain / shot.name, frame)
            alone = np.stack([other[letter] for letter in "RGB"], axis=-1)
            truth = np.asarray(space.encode(WorkingRgb(view.truth)), np.float32)
            for kept, picture in ((ours, view.swap), (plain, alone)):
                kept.append(upright(np.asarray(space.encode(WorkingRgb(picture)), np.float32), truth, matrix))
            clear = layers_of(folder, frame)["matte.face"]
            if view.occluder is not None:
                clear = clear * (view.occluder < 0.1)
            covers.append(chips.cells(crop(ModelRgb(cv2.merge([clear] * 3)), matrix, size=chips.SIZE))[..., 0])
        step, plate, comp, true = np.mean(rows, axis=0)
        added = [a - b for a, b in zip(ours, plain, strict=True)]
        print(
            f"| {shot.name} | {step:.2f} | {plate:.2f} | {comp:.2f} | {true:.2f} | {flicker(ours, covers):.3f} "
            f"| {flicker(plain, covers):.3f} | {flicker(added, covers):.3f} |"
        )


if __name__ == "__main__":
    main()
