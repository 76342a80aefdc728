# ruff: noqa: T201 - a command prints
"""Two things that a comp may not have: an edge that shows, and light that flickers.

    python benchmarks/blending/steady.py RENDERED:SHOT:TRACK ... [--plain DIR]

RENDERED/swap.%04d.exr are ingredients of the default knobs, DIR/<name of SHOT>/swap.%04d.exr those of `--match none
--steady 0`; SHOT is a shot with ground truth, TRACK its plate's .vfxtrack.

**Edge**: delta-E (CIE 1976, sRGB codes): the comp from the plate 3 pixels inside the matte's edge, which is the step
that the swap puts there; then from there to 3 pixels outside, of the plate at the very same places (its own local
variation), of the comp and of the truth. **Flicker**: how far a frame's difference from the truth is from the middle
of its own and its neighbours', in cells of the upright face (delta-E, mean), of the comp and of the network's face
put in as it is; the same of the difference between these two, which is the blending's alone; and of the network's face
under one light for the whole shot, the mean of what the comp was relit by: a brighter face shows its flicker more, and
this is what the comp would have if its light did not move at all.
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


def upright(picture: F32, matrix: np.ndarray) -> F32:
    """(S, S, 3) the upright face."""
    return crop(ModelRgb(picture), matrix, size=chips.SIZE)


def off(picture: F32, truth: F32) -> F32:
    """(CELLS, CELLS, 3) L*a*b* of upright codes less that of the truth's."""
    pair = [chips.cells(chips.lab(codes)) for codes in (picture, truth)]
    return np.asarray(pair[0] - pair[1], np.float32)


def evenly_lit(pictures: list[F32], gains: list[F32], weights: list[F32], space: ModelSpace) -> list[F32]:
    """(S, S, 3) upright codes, all under the mean of the shot's gains (stops), which the weights say where to take."""
    total = np.maximum(np.sum(weights, axis=0), 1e-3)[..., None]
    mean = np.sum([gain * weight[..., None] for gain, weight in zip(gains, weights, strict=True)], axis=0) / total
    light = [space.decode_linear(ModelRgb(codes)) * np.exp2(mean, dtype=np.float32) for codes in pictures]
    encode = space.config.model_curve(space.encoding, decode=False)
    return [np.clip(np.asarray(encode.apply(np.asarray(one, np.float32))), 0.0, 1.0) for one in light]


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
    parser.add_argument("--plain", type=Path, required=True, help="renders of --match none --steady 0")
    arguments = parser.parse_args()
    print(
        "| shot | edge: step | plate across | comp across | truth across | flicker: comp | network | "
        "network, one light | blending |\n|---|---|---|---|---|---|---|---|---|"
    )
    for text in arguments.shots:
        folder, data, track = (Path(part) for part in text.split(":"))
        shot = ShotData.load(data)
        faces = tracks.load(track).face()
        swapped = SequencePath.parse(str(folder / "swap.%04d.exr"))
        rows, ours, plain, truths, covers, gains, weights = [], [], [], [], [], [], []
        for frame in shot.frames:
            view = shot.view(frame, swapped)
            it = material(view, layers_of(folder, frame), shot.plate.config)
            if abs(shot.yaw_deg.get(frame, 0.0)) <= 40.0:
                rows.append(edges(it))
            matrix, space = chips.matrix(faces[frame]), ModelSpace(it.config, it.gain)
            other = layers_of(arguments.plain / shot.name, frame)
            alone = np.stack([other[letter] for letter in "RGB"], axis=-1)
            for kept, picture in ((ours, view.swap), (plain, alone), (truths, view.truth)):
                kept.append(upright(np.asarray(space.encode(WorkingRgb(picture)), np.float32), matrix))
            layers = layers_of(folder, frame)
            clear = layers["matte.face"]
            if view.occluder is not None:
                clear = clear * (view.occluder < 0.1)
            weights.append(upright(cv2.merge([clear] * 3), matrix)[..., 0])
            covers.append(chips.cells(cv2.merge([weights[-1]] * 3))[..., 0])
            gains.append(upright(cv2.merge([layers[f"gain.{letter}"] for letter in "RGB"]), matrix))
        step, plate, comp, true = np.mean(rows, axis=0)
        even = evenly_lit(plain, gains, weights, space)
        errors = [[off(a, b) for a, b in zip(kept, truths, strict=True)] for kept in (ours, plain, even)]
        added = [a - b for a, b in zip(errors[0], errors[1], strict=True)]
        scores = " | ".join(f"{flicker(error, covers):.3f}" for error in (*errors, added))
        print(f"| {shot.name} | {step:.2f} | {plate:.2f} | {comp:.2f} | {true:.2f} | {scores} |")


if __name__ == "__main__":
    main()
