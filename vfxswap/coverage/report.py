"""The comparison: for every frame of the double its nearest examples, what is missing, and which frames are worst."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vfxswap import __version__, atomic
from vfxswap.coverage import words
from vfxswap.coverage.features import Look
from vfxswap.coverage.metric import NEAR, PARTS, Examples, Part, part_distances, together
from vfxswap.coverage.samples import Sample, Side
from vfxswap.face.landmarks import BLENDSHAPES
from vfxswap.pixels import F64

SCHEMA = "vfxswap.coverage/1"

_SHOWN = 3
_STEP = 2
"""Gaps at most so many frames apart, each near the one before, are told as one."""
_LACKING = 0.5
"""A part is missing when its own nearest example is further away than this share of what counts as near."""


@dataclass(frozen=True, eq=False)
class Match:
    """An example of the likeness: which sample, whether mirrored, and how far away in degrees."""

    sample: Sample
    mirrored: bool
    degrees: float


@dataclass(frozen=True, eq=False)
class Need:
    """One frame of the double.

    Attributes:
        sample: the frame.
        degrees: the distance of its nearest example; `metric` says what a degree is.
        parts: how that example differs, part by part.
        alone: the distance to the nearest example of each part alone.
        nearest: the nearest examples, best first.
        missing: what is missing, in words; empty where an example is near.
    """

    sample: Sample
    degrees: float
    parts: Mapping[Part, float]
    alone: Mapping[Part, float]
    nearest: tuple[Match, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Run:
    """Gaps that follow each other in a plate and look alike: their number, first and last frame, and the worst."""

    first: int
    last: int
    count: int
    worst: Need

    @property
    def span(self) -> str:
        """The frames in words: the worst one, and which it stands for."""
        frame = str(self.worst.sample.frame)
        return frame if self.count == 1 else f"{frame}, of {self.first}-{self.last}"


@dataclass(frozen=True, eq=False)
class Coverage:
    """What a likeness's faceset has of what a double needs.

    Attributes:
        likeness, double: the two sides.
        needs: every frame of the double, the worst first.
        near: the distance in degrees up to which an example counts as near.
        mirror: whether mirrored crops counted as examples.
    """

    likeness: Side
    double: Side
    needs: tuple[Need, ...]
    near: float
    mirror: bool

    @property
    def gaps(self) -> tuple[Need, ...]:
        """The frames without a near example, the worst first."""
        return tuple(need for need in self.needs if need.degrees > self.near)

    @property
    def runs(self) -> tuple[Run, ...]:
        """The gaps, those that follow each other and look alike taken together, the worst first."""
        groups: list[list[Need]] = []
        for need in sorted(self.gaps, key=lambda need: (need.sample.plate, need.sample.frame)):
            if groups and _follows(groups[-1][-1].sample, need.sample, self.near):
                groups[-1].append(need)
            else:
                groups.append([need])
        found = [
            Run(group[0].sample.frame, group[-1].sample.frame, len(group), max(group, key=lambda need: need.degrees))
            for group in groups
        ]
        return tuple(sorted(found, key=lambda run: -run.worst.degrees))

    @property
    def covered(self) -> float:
        """The share of the double's frames that have a near example."""
        return 1 - len(self.gaps) / len(self.needs)

    def lines(self, most: int) -> list[str]:
        """The verdict and the `most` worst gaps, a line for each."""
        covered = len(self.needs) - len(self.gaps)
        listed = [
            f"{run.worst.degrees:.0f} degrees: {Path(run.worst.sample.plate).name} {run.span}, "
            + "; ".join(run.worst.missing)
            for run in self.runs
        ]
        more = [f"and {len(listed) - most} more"] if len(listed) > most else []
        unknown = [f"{len(self.double.left_out)} frames were not judged"] if self.double.left_out else []
        return [f"{covered} of {len(self.needs)} frames have a near example", *unknown, *listed[:most], *more]


def compare(likeness: Side, double: Side, *, near: float = NEAR, mirror: bool = True) -> Coverage:
    """Look up every frame of the double in the likeness's examples.

    Args:
        likeness: whose examples there are.
        double: what is asked for.
        near: the distance in degrees up to which an example counts as near.
        mirror: count mirrored crops as examples, as training does.
    """
    examples = Examples.of([sample.look for sample in likeness.samples], mirror=mirror)
    parts = examples.distances([sample.look for sample in double.samples])
    whole = together(parts)
    needs = [
        _need(sample, row, {part: values[i] for part, values in parts.items()}, examples, likeness.samples, near)
        for i, (sample, row) in enumerate(zip(double.samples, whole, strict=True))
    ]
    needs.sort(key=lambda need: -need.degrees)
    return Coverage(likeness, double, tuple(needs), near, mirror)


def _follows(before: Sample, after: Sample, near: float) -> bool:
    """Whether `after` is the same gap, a frame or two later. Unrelated stills may be numbered in a row too."""
    if before.plate != after.plate or after.frame - before.frame > _STEP:
        return False
    return float(together(part_distances([before.look], [after.look]))[0, 0]) <= near


def _need(
    sample: Sample,
    whole: F64,
    parts: Mapping[Part, F64],
    examples: Examples,
    samples: Sequence[Sample],
    near: float,
) -> Need:
    matches: list[Match] = []
    order = np.argsort(whole, kind="stable").tolist()
    for i in order:
        # A crop and its mirror image are one picture: the nearer of the two stands for it.
        if all(match.sample is not samples[i % examples.count] for match in matches):
            matches.append(Match(samples[i % examples.count], i >= examples.count, float(whole[i])))
        if len(matches) == _SHOWN:
            break
    best = order[0]
    differs = {part: float(values[best]) for part, values in parts.items()}
    alone = {part: float(values.min()) for part, values in parts.items()}
    missing: tuple[str, ...] = ()
    if whole[best] > near:
        missing = _missing(sample.look, parts, alone, examples, near) or (words.combination(differs),)
    return Need(sample, float(whole[best]), differs, alone, tuple(matches), missing)


def _missing(
    target: Look, parts: Mapping[Part, F64], alone: Mapping[Part, float], examples: Examples, near: float
) -> tuple[str, ...]:
    lacking = [part for part in sorted(PARTS, key=lambda part: -alone[part]) if alone[part] > _LACKING * near]
    return tuple(
        words.lacking(part, target, examples.looks[int(parts[part].argmin())], degrees=alone[part]) for part in lacking
    )


# ---------------------------------------------------------------------------------------------------- JSON


def write_json(found: Coverage, path: Path) -> None:
    """Write a comparison as JSON, schema `vfxswap.coverage/1` (docs/coverage.md); atomic."""
    atomic.write_text(path, json.dumps(to_json(found), indent=1) + "\n")


def to_json(found: Coverage) -> dict[str, Any]:
    """What `write_json` writes."""
    return {
        "schema": SCHEMA,
        "vfxswap": __version__,
        "near_deg": found.near,
        "mirrored_examples": found.mirror,
        "covered": round(found.covered, 4),
        "blendshapes": list(BLENDSHAPES),
        "likeness": _side(found.likeness),
        "double": _side(found.double),
        "frames": [_frame(need) for need in found.needs],
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "performer": side.performer,
        "source": side.source,
        "consents": [dict(consent) for consent in side.consents],
        "left_out": dict(side.left_out),
        "samples": [_sample(sample) for sample in side.samples],
    }


def _sample(sample: Sample) -> dict[str, Any]:
    look = sample.look
    return {
        "name": sample.name,
        "plate": sample.plate,
        "frame": sample.frame,
        "timecode": sample.timecode,
        "pose_deg": _rounded(look.pose_deg, 2),
        "gaze_deg": _rounded(look.gaze_deg, 2) if look.gaze_known else None,
        "blendshapes": _rounded(look.expression.tolist(), 3),
        "skin_stops": _number(sample.stops),
        "sharpness": _number(sample.sharpness),
        "height": _number(sample.height),
        "confidence": _number(sample.confidence),
    }


def _frame(need: Need) -> dict[str, Any]:
    return {
        "name": need.sample.name,
        "distance_deg": round(need.degrees, 2),
        "does": words.described(need.sample.look),
        "missing": list(need.missing),
        "parts_deg": {part: round(value, 2) for part, value in need.parts.items()},
        "parts_alone_deg": {part: round(value, 2) for part, value in need.alone.items()},
        "nearest": [
            {"name": match.sample.name, "mirrored": match.mirrored, "distance_deg": round(match.degrees, 2)}
            for match in need.nearest
        ],
    }


def _rounded(values: Sequence[float], digits: int) -> list[float]:
    return [round(float(value), digits) for value in values]


def _number(value: float) -> float | None:
    return round(value, 4) if np.isfinite(value) else None
