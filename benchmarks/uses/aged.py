# ruff: noqa: T201 - a command prints
"""How much of an aged look a swap has left, scale by scale.

    python benchmarks/uses/aged.py --shot WORK/old_shot 'SWAPPED/swap.####.exr'

In each band of scales the swap is fitted, inside the face, as so much of the truth and so much of what ageing added
(the plate less the truth): 1 and 0 would be perfect. On smooth skin, away from eyes, brows and lips, that is folds and
mottling; over the whole face it is that features hang lower, too. Beside it the cast of the face, in log gain against
the truth.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from vfxswap import exr
from vfxswap.pixels import F32
from vfxswap.plate import Plate, open_plate

BANDS = ((2, 4), (4, 8), (8, 16), (16, 32))
"""Standard deviations, in pixels, of the two Gaussians of whose blurs a band is the difference."""

FEATURE = 0.12
"""Contrast of the truth, log, above which there is no smooth skin."""


def band(x: F32, low: float, high: float) -> F32:
    """(H, W) what is between two scales."""
    return np.asarray(cv2.GaussianBlur(x, (0, 0), low) - cv2.GaussianBlur(x, (0, 0), high), np.float32)


def logs(plate: Plate, frame: int) -> F32:
    """(H, W, 3) log of scene-linear light."""
    return np.log(np.clip(np.asarray(plate.read(frame).rgb, np.float32), 1e-3, None))


def inside(path: Path) -> np.ndarray:
    """(H, W) bool, well within the face."""
    channels, _ = exr.read_channels(path)
    face = (np.asarray(channels["truth_face"], np.float32) > 0.9).astype(np.uint8)
    return np.asarray(cv2.erode(face, np.ones((25, 25), np.uint8)) > 0)


def skin(truth: F32) -> np.ndarray:
    """(H, W) bool, away from features."""
    features = (np.abs(band(truth, 1.5, 8)) > FEATURE).astype(np.uint8)
    return np.asarray(cv2.dilate(features, np.ones((11, 11), np.uint8)) == 0)


def main() -> None:
    """Print the fit of each band, and the cast."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--shot", type=Path, required=True)
    parser.add_argument("swapped")
    asked = parser.parse_args()
    aged, truth, swapped = (
        open_plate(str(pattern)) for pattern in (asked.shot / "plate", asked.shot / "truth", asked.swapped)
    )
    fits: dict[tuple[str, tuple[int, int]], list[np.ndarray]] = {}
    casts = []
    for frame, path in zip(truth.frames, sorted((asked.shot / "matte").glob("*.exr")), strict=True):
        a, t, s = (logs(plate, frame) for plate in (aged, truth, swapped))
        face = inside(path)
        casts.append([(a - t)[face].mean(axis=0), (s - t)[face].mean(axis=0)])
        a, t, s = (np.asarray(x.mean(axis=-1), np.float32) for x in (a, t, s))
        for name, where in (("skin", face & skin(t)), ("whole face", face)):
            for one in BANDS:
                true, found = band(t, *one)[where], band(s, *one)[where]
                mix = np.stack([true, band(a, *one)[where] - true], axis=1)
                fits.setdefault((name, one), []).append(np.linalg.lstsq(mix, found, rcond=None)[0])
    for (name, one), found in fits.items():
        kept, left = np.mean(found, axis=0)
        print(f"{name:10} {one[0]:2}-{one[1]:2} px: {kept:.2f} of the truth, {left:+.2f} of the ageing")
    for name, cast in zip(("plate", "swap"), np.mean(casts, axis=0), strict=True):
        print(f"{name}: log gain against the truth", *(f"{value:+.3f}" for value in cast))


if __name__ == "__main__":
    main()
