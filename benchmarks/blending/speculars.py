# ruff: noqa: T201 - a command prints
"""Hot speculars: a shot with spots of light on the face that no model's range holds, and what a swap makes of them.

    python benchmarks/blending/speculars.py make SHOT TRACK FOLDER          # FOLDER/plate and FOLDER/truth
    vfxswap swap FOLDER/plate ... --output FOLDER/NAME/swap.%04d.exr
    python benchmarks/blending/speculars.py score FOLDER NAME ...

The shots with ground truth have no light beyond 2.5 on the face, so spots are added to plate and truth alike: on the
forehead, a cheek and the nose, moving with the head, Gaussian, 3 % of the face's height wide, 2, 6 and 20 above what
is there. The score is the light beyond 1.5 within two radii of a spot over the truth's (1: kept, 0: lost, 2: doubled),
its peak over the truth's, and how far its centre lies from the truth's, in % of the face's height.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from vfxswap import exr
from vfxswap.face import track as tracks
from vfxswap.geometry import invert, scale_of, transform
from vfxswap.sequence import SequencePath

SPOTS = ((0.5, 0.12, 2.0), (0.72, 0.62, 6.0), (0.5, 0.5, 20.0))
"""Across and down in the face's unit square, and light."""
_RADIUS, _BEYOND = 0.03, 1.5


def spots(similarity: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray, float]:
    """(H, W) light of all spots, (3, 2) their centres, the face's height in pixels."""
    at = transform(invert(similarity), np.array([spot[:2] for spot in SPOTS]))
    size = 1.0 / scale_of(similarity)
    y, x = np.mgrid[:height, :width] + 0.5
    light = np.zeros((height, width), np.float32)
    for (u, v), (_, _, most) in zip(at, SPOTS, strict=True):
        light += most * np.exp(-0.5 * ((x - u) ** 2 + (y - v) ** 2) / (_RADIUS * size) ** 2)
    return light, at, size


def make(shot: Path, track: Path, folder: Path) -> None:
    """Write plate and truth with spots."""
    faces, told = tracks.load(track).face(), {}
    for name in ("plate", "truth"):
        source = SequencePath.parse(shot / name)
        for frame in sorted(faces):
            rgb = np.asarray(exr.read(source.path(frame)).rgb, np.float32)
            light, at, size = spots(faces[frame].similarity, *rgb.shape[:2])
            lit = (rgb + light[..., None]).astype(np.float16)
            channels = {letter: np.ascontiguousarray(lit[..., i]) for i, letter in enumerate("RGB")}
            exr.write_channels(folder / name / f"{name}.{frame:04d}.exr", channels=channels, attributes={})
            told[frame] = {"at": at.tolist(), "size": size}
    (folder / "spots.json").write_text(json.dumps(told))


def score(folder: Path, names: list[str]) -> None:
    """Print a row for each render and spot."""
    told = json.loads((folder / "spots.json").read_text())
    print("| render | spot | light beyond 1.5 over the truth's | peak over the truth's | aside, % |")
    print("|---|---|---|---|---|")
    truth = SequencePath.parse(folder / "truth")
    for name in names:
        found: list[list[tuple[float, float, float]]] = [[] for _ in SPOTS]
        for frame, entry in told.items():
            pair = [
                np.asarray(exr.read(path).rgb, np.float32).mean(axis=-1)
                for path in (folder / name / f"swap.{int(frame):04d}.exr", truth.path(int(frame)))
            ]
            y, x = np.mgrid[: pair[0].shape[0], : pair[0].shape[1]] + 0.5
            for number, (u, v) in enumerate(entry["at"]):
                near = np.hypot(x - u, y - v) < 2 * _RADIUS * entry["size"]
                hot = [np.where(near, np.maximum(light - _BEYOND, 0), 0) for light in pair]
                if hot[1].sum() <= 0:
                    continue
                share, peak = hot[0].sum() / hot[1].sum(), pair[0][near].max() / pair[1][near].max()
                middles = [np.array([(h * x).sum(), (h * y).sum()]) / max(h.sum(), 1e-9) for h in hot]
                aside = np.linalg.norm(middles[0] - middles[1]) / entry["size"] * 100 if hot[0].sum() > 0 else np.nan
                found[number].append((share, peak, aside))
        for (_, _, most), rows in zip(SPOTS, found, strict=True):
            share, peak, aside = np.nanmean(rows, axis=0)
            print(f"| {name} | {most:g} | {share:.2f} | {peak:.2f} | {aside:.2f} |")


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(*map(Path, sys.argv[2:5]))
    else:
        score(Path(sys.argv[2]), sys.argv[3:])
