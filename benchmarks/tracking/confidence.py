# ruff: noqa: T201 - a command prints
"""Is the confidence of a track worth its name? Figures of docs/tracking.md.

    python benchmarks/tracking/confidence.py --data DATA --output FIGURES.json [--figure FILE.png]

DATA holds the rendered performers. Both halves of `material` are tracked: the one that the weights in
`vfxswap.face.doubt` come from, and one they have not seen, with other shots, other seeds and other occluders. Prints
and keeps, for each half and each kind of trouble:

- recall and precision of the list of frames to check (confidence below 0.5), where a frame is wrong if its mean
  landmark error is above 4 % of the distance between the outer eye corners;
- the same for departures: the error without what each rendered point is off by on the untouched shot, which is a matter
  of where a point is drawn and no tracker's mistake; wrong above 1.5 %;
- the share of good frames with a confidence above 0.7, and the area under the ROC curve;
- how many frames of a stated confidence are within 4 %.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import material
import numpy as np
from material import CORRESPONDING, FIRST, Clip

from vfxswap.face.doubt import DOUBTFUL
from vfxswap.face.solve import Networks, track_frames
from vfxswap.face.track import Track
from vfxswap.geometry import scale_of, similarity
from vfxswap.pixels import F64

WRONG, DEPARTED, SURE = 4.0, 1.5, 0.7
EDGES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0001)


@dataclass(frozen=True, eq=False)
class Row:
    """One face in one frame: its clip, its error as (51, 2) in the face's own frame, and what the track says of it."""

    name: str
    kind: str
    frame: int
    apart: F64
    confidence: float
    reasons: tuple[str, ...]

    @property
    def error(self) -> float:
        """Mean error in %."""
        return float(np.linalg.norm(self.apart, axis=1).mean() * 100)


def rows_of(clip: Clip, track: Track) -> Iterator[Row]:
    """All faces of all frames; whoever is no performer is wrong, too."""
    ours, theirs = list(CORRESPONDING.values()), list(CORRESPONDING)
    upright = clip.points[0][theirs]
    for face in track.faces:
        for frame, found in track.face(face.id).items():
            real = clip.points[frame - FIRST][theirs]
            turn = similarity(real, upright)
            apart = (found.landmarks[ours, :2] - real) @ (turn[:, :2] / scale_of(turn)).T / clip.between
            yield Row(clip.name, clip.kind, frame, apart, found.confidence, found.reasons)


def departures(rows: Sequence[Row]) -> F64:
    """(N,) error in % without each point's median offset on the untouched shot."""
    usual = {
        name: np.median([row.apart for row in rows if row.name == name and row.kind == "as it is"], axis=0)
        for name in {row.name for row in rows}
    }
    return np.array([np.linalg.norm(row.apart - usual[row.name], axis=1).mean() * 100 for row in rows])


def area(doubt: F64, wrong: Any) -> float | None:
    """The chance that a wrong frame is doubted more than a right one."""
    if wrong.all() or not wrong.any():
        return None
    bad, good = doubt[wrong][:, None], doubt[~wrong][None]
    return float(((bad > good) + 0.5 * (bad == good)).mean())


def judged(confidence: F64, wrong: Any) -> dict[str, Any]:
    """Recall, precision and so on of a confidence, given which frames are wrong."""
    listed = confidence < DOUBTFUL
    both = int((listed & wrong).sum())
    return {
        "frames": len(confidence),
        "wrong": int(wrong.sum()),
        "listed": int(listed.sum()),
        "recall": both / int(wrong.sum()) if wrong.any() else None,
        "precision": both / int(listed.sum()) if listed.any() else None,
        "good_above_0.7": float((confidence[~wrong] > SURE).mean()) if (~wrong).any() else None,
        "roc_auc": area(-confidence, wrong),
    }


def report(rows: Sequence[Row]) -> dict[str, Any]:
    """All figures of one half."""
    confidence = np.array([row.confidence for row in rows])
    wrong, departed = np.array([row.error for row in rows]) > WRONG, departures(rows) > DEPARTED
    kinds = sorted({row.kind.split()[-1] for row in rows})
    bins = []
    for low, high in itertools.pairwise(EDGES):
        inside = (confidence >= low) & (confidence < high)
        if inside.any():
            bins.append(
                {
                    "from": low,
                    "to": min(high, 1.0),
                    "frames": int(inside.sum()),
                    "stated": float(confidence[inside].mean()),
                    "within_4_percent": float((~wrong[inside]).mean()),
                    "within_1.5_percent_of_usual": float((~departed[inside]).mean()),
                }
            )
    by_kind = {}
    for kind in kinds:
        chosen = np.array([row.kind.split()[-1] == kind for row in rows])
        by_kind[kind] = judged(confidence[chosen], wrong[chosen])
    return {
        "error": judged(confidence, wrong),
        "departure": judged(confidence, departed),
        "reliability": bins,
        "kinds": by_kind,
    }


def show(name: str, found: dict[str, Any]) -> None:
    """Print the figures of one half."""
    for measure in ("error", "departure"):
        print(f"{name}, {measure}: {_line(found[measure])}")
    for entry in found["reliability"]:
        print(
            f"  stated {entry['from']:.2f} to {entry['to']:.2f}: {entry['frames']:5d} frames, "
            f"{entry['within_4_percent']:.0%} within 4 %"
        )
    for kind, entry in found["kinds"].items():
        print(f"  {kind:10s} {_line(entry)}")


def _line(entry: dict[str, Any]) -> str:
    parts = [f"{entry['frames']} frames, {entry['wrong']} wrong, {entry['listed']} listed"]
    parts += [f"{key} {entry[key]:.3f}" for key in list(entry)[3:] if entry[key] is not None]
    return ", ".join(parts)


def figure(halves: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw stated confidence against how often it was right."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    drawn, axes = plt.subplots(figsize=(5, 5.2))
    axes.plot([0, 1], [0, 1], color="#999", linewidth=1)
    for (name, found), style in zip(halves.items(), ("s--", "o-"), strict=False):
        entries = found["reliability"]
        stated = [entry["stated"] for entry in entries]
        for key, color, what in (
            ("within_4_percent", "#3b6ea5", "within 4 %"),
            ("within_1.5_percent_of_usual", "#c8702a", "departs by at most 1.5 %"),
        ):
            axes.plot(stated, [entry[key] for entry in entries], style, color=color, label=f"{name}: {what}")
    axes.set(xlabel="stated confidence", ylabel="share of frames", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncol=2)
    drawn.tight_layout()
    drawn.savefig(path, dpi=130)


def main() -> None:
    """Track both halves and say how good the confidence is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the rendered performers")
    parser.add_argument("--output", type=Path, required=True, help="the figures as JSON")
    parser.add_argument("--figure", type=Path, help="a picture of the reliability")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    networks = Networks.load(device="cpu", threads=1)
    halves = {}
    for name, clips in (("calibration", material.calibration), ("held out", material.held_out)):
        rows: list[Row] = []
        for clip in clips(options.data):
            rows += rows_of(clip, track_frames(clip.frames(), networks=networks))
        halves[name] = report(rows)
        show(name, halves[name])
    options.output.write_text(json.dumps(halves, indent=1) + "\n")
    if options.figure:
        figure(halves, options.figure)


if __name__ == "__main__":
    main()
