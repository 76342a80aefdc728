# ruff: noqa: T201 - a command prints
"""What retraining gave on the frames it was for, against as much training without them.

    python benchmarks/uses/retrained.py --rounds MODEL_DIR/retrain/rounds.json BEFORE.json CONTROL.json RETRAINED.json

takes three reports of `vfxswap bench quality` on the same shot, and prints means over the last round's frames and over
the others that count, and how far the retrained model is above the control, frame by frame.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

FIGURES = ("psnr_db", "ssim", "flip", "to_likeness", "landmarks_pct", "gaze_pct", "lids_pct", "lips_pct")


def scores(path: Path) -> dict[int, dict[str, Any]]:
    """The swap's figures of each frame that counts."""
    (shot,) = json.loads(path.read_text())["shots"]
    return {frame["frame"]: frame["rows"]["swap"] for frame in shot["frames"] if frame["counted"]}


def mean(found: dict[int, dict[str, Any]], frames: Sequence[int], figure: str) -> float:
    """Over the frames that have it."""
    return float(np.mean([found[frame][figure] for frame in frames if found[frame][figure] is not None]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=Path, required=True)
    parser.add_argument("reports", type=Path, nargs=3)
    asked = parser.parse_args()
    reports = [scores(path) for path in asked.reports]
    listed = {one["frame"] for one in json.loads(asked.rounds.read_text())["rounds"][-1]["frames"]}
    parts = {"worst": [f for f in reports[0] if f in listed], "others": [f for f in reports[0] if f not in listed]}
    for name, frames in parts.items():
        print(f"{name}, {len(frames)} frames: before, control, retrained")
        for figure in FIGURES:
            print(f"  {figure:14}", *(f"{mean(report, frames, figure):8.3f}" for report in reports))
        apart = np.array([reports[2][f]["psnr_db"] - reports[1][f]["psnr_db"] for f in frames])
        error = apart.std(ddof=1) / len(apart) ** 0.5
        print(f"  retrained above control: {apart.mean():+.2f} dB, standard error {error:.2f}")


if __name__ == "__main__":
    main()
