# ruff: noqa: T201 - a command prints
"""Does the coverage report name the frames whose swap is worst? Figures of docs/coverage.md.

    python benchmarks/coverage/validate.py --data DATA --work WORK [--train 1500] [--figure FILE.png]

DATA holds the rendered performers: stills of a likeness (train/ben) and of a double (train/anna), and shots of the
double with the perfect swap of every frame. From the likeness's stills some are taken away, so that the faceset has a
hole; the report predicts from the faceset alone which frames suffer, and three things measure it:

- the shipped model, which was trained on all of the stills: PSNR of its swaps inside the truth's face;
- models trained here on facesets with and without a hole (`--train STEPS`, preset test, minutes each): the same;
- a reconstruction: how much of the perfect swap lies outside of what the crops' principal components span.

Where mouths are the hole, errors are also measured in the mouth alone. Everything is made once and kept in WORK. Prints
rank correlations with permutation tests, what other weights of the metric would give, and a fit of the weights on pairs
of the double's stills, which no test uses.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import reconstruction
import statistics_of_ranks as ranks

from vfxswap import exr, faceset, qc
from vfxswap.color import ColorConfig, ModelSpace
from vfxswap.coverage import Sample, Side, compare, of_faceset, of_track
from vfxswap.coverage.metric import NEAR, Examples, Part, together
from vfxswap.face import track as tracks
from vfxswap.face.landmarks import BLENDSHAPES
from vfxswap.faceset import index
from vfxswap.pixels import F64, ModelRgb, WorkingRgb
from vfxswap.plate import open_plate

ROOT = Path(__file__).resolve().parents[2]
TRUST = ROOT / "examples" / "demo" / "trust"
SHIPPED = ROOT / "examples" / "demo" / "ben_over_anna.vfxmodel"
CONSENT = [
    *("--consent", str(TRUST / "demo-ben.consent.json")),
    *("--consent", str(TRUST / "demo-anna.consent.json")),
    *("--keyring", str(TRUST / "keyring")),
]
SHOTS = {
    "talk_studio": "shots/talk_studio",
    "turn_hot_hand": "shots/turn_hot_hand",
    "walk_day": "shots/walk_day",
    "demo": "demo",
}
TRAINED = ("everything", "no turns", "no open mouth, no smile")

Keep = Callable[[Side, Sample], bool]


def _turn(side: Side, sample: Sample, axis: int) -> float:
    """Pitch (0) or yaw (1) from the mean of all stills."""
    return abs(sample.look.pose_deg[axis] - float(np.mean([s.look.pose_deg[axis] for s in side.samples])))


def _shape(sample: Sample, name: str) -> float:
    return float(sample.look.expression[BLENDSHAPES.index(name)])


HOLES: dict[str, Keep] = {
    "everything": lambda side, sample: True,
    "no turns": lambda side, sample: _turn(side, sample, 1) < 14,
    "no frontal views": lambda side, sample: _turn(side, sample, 1) > 18,
    "no nods": lambda side, sample: _turn(side, sample, 0) < 6,
    "no open mouth, no smile": lambda side, sample: (
        _shape(sample, "jawOpen") < 0.06 and _shape(sample, "mouthSmileLeft") < 0.15
    ),
}


@dataclass(frozen=True, eq=False)
class Shot:
    """A shot of the double: its faces, and its folder."""

    name: str
    folder: Path
    side: Side
    faces: Mapping[int, tracks.FaceFrame]

    @property
    def frames(self) -> list[int]:
        """Those with a perfect swap to compare with, in order."""
        return sorted(s.frame for s in self.side.samples if (self.folder / "truth" / f"truth.{s.frame}.exr").exists())


def command(*arguments: object) -> None:
    """Run vfxswap with the demo's consents."""
    subprocess.run([sys.executable, "-m", "vfxswap", *map(str, arguments)], check=True, stderr=subprocess.DEVNULL)


def stills(data: Path, work: Path, name: str) -> Path:
    """The faceset of a performer's stills."""
    folder = work / "facesets" / name
    if not (folder / faceset.INDEX).exists():
        plate = data / "train" / name / f"{name}.%04d.exr"
        extra = ("--performer", f"demo-{name}", "--stills", "--size", 160, "--shot", "demo/rendered/stills")
        command("faceset", "build", plate, "--output", folder, *extra, *CONSENT)
    return folder


def shot(data: Path, work: Path, name: str) -> Shot:
    """A shot, tracked."""
    folder, path = data / SHOTS[name], work / "tracks" / f"{name}.vfxtrack"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        command("track", folder / "plate", "--output", path)
    faces = tracks.load(path).face()
    return Shot(name, folder, of_track(open_plate(str(folder / "plate" / "plate.%04d.exr")), faces), faces)


def with_hole(work: Path, source: Path, name: str, kept: set[str]) -> Path:
    """A faceset of the crops in `kept` only; the pictures are shared."""
    folder = work / "facesets" / f"ben {name}"
    if (folder / faceset.INDEX).exists():
        return folder
    whole = faceset.load(source)
    folder.mkdir(parents=True)
    (folder / faceset.CROPS).symlink_to((source / faceset.CROPS).resolve())
    index.write(
        folder,
        performer=whole.performer,
        size=whole.size,
        config=whole.config,
        consents=whole.consents,
        plates=whole.plates,
        limits=whole.limits,
        rows=[one for one in whole.rows() if one.crop.name in kept],
    )
    return folder


def trained(work: Path, likeness: Path, double: Path, name: str, steps: int) -> Path | None:
    """A small model of a faceset; None where there is none and none is to be made."""
    path, folder = work / "models" / f"{name}.vfxmodel", work / "models" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() and steps:
        common = ("--shot", "demo/rendered/stills", *CONSENT)
        how = ("--preset", "test", "--steps", steps, "--precision", "fp32", "--seed", 3, "--device", "cpu")
        command("train", folder, "--likeness", likeness, "--double", double, *how, *common)
        command("export", folder, "--output", path, *common)
    return path if path.exists() else None


def psnr(work: Path, model: Path, one: Shot, *, mouth: bool = False) -> F64:
    """DB of the swap of every frame inside the truth's face, as displayed."""
    out = work / "swaps" / model.stem / one.name
    if not (out / f"s.{one.frames[-1]}.exr").exists():
        track = work / "tracks" / f"{one.name}.vfxtrack"
        extra = ("--model", model, "--track", track, "--shot", f"demo/rendered/{one.name}", "--device", "cpu")
        command("swap", one.folder / "plate" / "plate.%04d.exr", "--output", out / "s.%04d.exr", *extra, *CONSENT)
    rows = []
    for frame in one.frames:
        matte, _ = exr.read_channels(one.folder / "matte" / f"matte.{frame}.exr")
        inside = (matte["truth_face"].astype(np.float32) > 0.5).astype(np.float32)
        if mouth:
            inside *= reconstruction.mouth_of(one.faces[frame].landmarks, inside.shape)
        truth = one.folder / "truth" / f"truth.{frame}.exr"
        rows.append(qc.psnr(_shown(out / f"s.{frame}.exr"), _shown(truth), inside))
    return np.array(rows)


def _shown(path: Path) -> ModelRgb:
    return ModelSpace(ColorConfig.load(None), 1.0).encode(WorkingRgb(np.asarray(exr.read(path).rgb, np.float32)))


VARIANTS: dict[str, dict[Part, float]] = {
    "the metric": {},
    "turn only": {"mouth": 0, "lids": 0, "brows": 0, "gaze": 0},
    "expression halved": {"mouth": 0.5, "lids": 0.5, "brows": 0.5},
    "expression doubled": {"mouth": 2, "lids": 2, "brows": 2},
    "no gaze": {"gaze": 0},
}


def predicted(likeness: Side, one: Shot) -> dict[str, F64]:
    """The report's distance for every frame, and what it would be with other weights."""
    looks = {sample.frame: sample.look for sample in one.side.samples}
    parts = Examples.of([sample.look for sample in likeness.samples]).distances([looks[f] for f in one.frames])
    return {
        name: together({part: factors.get(part, 1.0) * value for part, value in parts.items()}).min(axis=1)
        for name, factors in VARIANTS.items()
    }


@dataclass(frozen=True, eq=False)
class Row:
    """One comparison: what was measured on which faceset, per shot (distance, error)."""

    measured: str
    hole: str
    shots: Mapping[str, tuple[F64, F64]]
    others: Mapping[str, Mapping[str, F64]] = field(default_factory=dict)
    """What other weights predict: variant -> shot -> distances."""


def compare_all(data: Path, work: Path, steps: int) -> tuple[list[Row], Side]:
    """Every measurement beside its prediction."""
    ben, anna = (stills(data, work, name) for name in ("ben", "anna"))
    side, double = of_faceset(faceset.load(ben)), of_faceset(faceset.load(anna))
    shots = {name: shot(data, work, name) for name in SHOTS}
    sides = {
        name: replace(side, samples=tuple(sample for sample in side.samples if keep(side, sample)))
        for name, keep in HOLES.items()
    }
    distances = {name: {s: predicted(some, one) for s, one in shots.items()} for name, some in sides.items()}
    for name, some in sides.items():
        print(f"{name}: {len(some.samples)} crops")
    rows = [row("shipped model", "everything", distances, {s: -psnr(work, SHIPPED, one) for s, one in shots.items()})]
    measured: dict[str, dict[str, F64]] = {}
    for name in TRAINED:
        folder = with_hole(work, ben, name, {sample.name for sample in sides[name].samples})
        model = trained(work, folder, anna, name, steps)
        if model is None:
            continue
        for where in ("face", "mouth"):
            measured[name + where] = {s: -psnr(work, model, one, mouth=where == "mouth") for s, one in shots.items()}
        rows.append(row("small model", name, distances, measured[name + "face"]))
        if name != "everything" and "everythingface" in measured:
            for where in ("face", "mouth") if "mouth" in name else ("face",):
                lost = {s: e - measured["everything" + where][s] for s, e in measured[name + where].items()}
                rows.append(row(f"small model, what the hole cost the {where}", name, distances, lost))
    pictures = {name: reconstruction.of_shot(one.folder, one.faces, one.frames) for name, one in shots.items()}
    names = [sample.name for sample in side.samples]
    crops = reconstruction.of_side(faceset.load(ben), names)
    for name, some in sides.items():
        kept = [names.index(sample.name) for sample in some.samples]
        span = crops.span(kept)
        for mouth in (False, True) if "mouth" in name else (False,):
            what = "reconstruction of the mouth" if mouth else "reconstruction"
            error = {s: span.residual(p, mouth=mouth) for s, p in pictures.items()}
            rows.append(row(what, name, distances, error))
        rows += taken_away(side, crops, name, HOLES[name], "the likeness")
    names = [sample.name for sample in double.samples]
    crops = reconstruction.of_side(faceset.load(anna), names)
    rows += [
        one for name, keep in HOLES.items() for one in taken_away(double, crops, name, keep, "the other performer")
    ]
    return rows, double


def taken_away(side: Side, crops: reconstruction.Pictures, name: str, keep: Keep, whose: str) -> list[Row]:
    """How well the stills in a hole can be made of those outside of it; errors of the face, or of the mouth too."""
    kept = [i for i, sample in enumerate(side.samples) if keep(side, sample)]
    rest = [i for i in range(len(side.samples)) if i not in set(kept)]
    if not rest:
        return []
    some, asked = (replace(side, samples=tuple(side.samples[i] for i in part)) for part in (kept, rest))
    found = {need.sample.name: need.degrees for need in compare(some, asked).needs}
    distance, span = np.array([found[sample.name] for sample in asked.samples]), crops.span(kept)
    return [
        Row(f"{'mouths' if mouth else 'stills'} taken away, {whose}", name,
            {"stills": (distance, span.residual(crops.only(rest), mouth=mouth))})
        for mouth in ((False, True) if "mouth" in name else (False,))
    ]  # fmt: skip


def row(
    measured: str, hole: str, distances: Mapping[str, Mapping[str, Mapping[str, F64]]], errors: Mapping[str, F64]
) -> Row:
    """Distances and errors of the same frames."""
    found = distances[hole]
    pairs = {name: (found[name]["the metric"], error) for name, error in errors.items()}
    return Row(measured, hole, pairs, {other: {s: found[s][other] for s in errors} for other in VARIANTS})


def report(rows: list[Row]) -> list[dict[str, Any]]:
    """Print and return the rank correlations, with p of frames shuffled and of shots shifted in time."""
    names = [name for name in SHOTS if name != "demo"]
    print("\n| measured | faceset | " + " | ".join(names) + " | pooled | p shuffled | p shifted |")
    print("|---" * (len(names) + 5) + "|")
    out = []
    for one in rows:
        pairs = list(one.shots.values())
        each = {name: ranks.spearman(*pair) for name, pair in one.shots.items() if len(pair[0]) > 4}
        pooled = ranks.spearman(*(np.concatenate(part) for part in zip(*pairs, strict=True)))
        still = len(pairs) == 1
        shuffled = ranks.shuffled_p(pairs)
        shifted = None if still else ranks.shifted_p(pairs)
        cells = [f"{each[name]:.2f}" if name in each else "" for name in names]
        shown = " | ".join("" if p is None else f"{p:.4f}" for p in (shuffled, shifted))
        print(f"| {one.measured} | {one.hole} | {' | '.join(cells)} | {pooled:.2f} | {shown} |")
        out.append({"measured": one.measured, "faceset": one.hole, "shots": each, "pooled": pooled,
                    "p_shuffled": shuffled, "p_shifted": shifted})  # fmt: skip
    return out


def sensitivity(rows: list[Row]) -> None:
    """Pooled rank correlations with other weights."""
    print("\nother weights, pooled:")
    for one in (one for one in rows if one.others):
        error = np.concatenate([pair[1] for pair in one.shots.values()])
        cells = [
            f"{name} {ranks.spearman(np.concatenate([values[s] for s in one.shots]), error):.2f}"
            for name, values in one.others.items()
        ]
        print(f"  {one.measured}, {one.hole}: {', '.join(cells)}")


def worst_third(rows: list[Row]) -> None:
    """Of the third of the frames with the worst measurement, how many the report ranks in its own worst third."""
    print("\nworst third of all frames found (a third is chance):")
    for one in rows:
        distance, error = (np.concatenate(part) for part in zip(*one.shots.values(), strict=True))
        count = len(error) // 3
        both = set(np.argsort(-distance)[:count].tolist()) & set(np.argsort(-error)[:count].tolist())
        print(f"  {one.measured}, {one.hole}: {len(both)} of {count}")


def by_distance(rows: list[Row]) -> None:
    """Mean error by distance, for the choice of what counts as near."""
    edges = np.array([0, 6, 8, 10, 12, 15, 20, 60])
    print(f"\nmean error by distance (near is {NEAR:g}):")
    for one in rows:
        distance, error = (np.concatenate(part) for part in zip(*one.shots.values(), strict=True))
        cells = []
        for low, high in itertools.pairwise(edges):
            inside = (distance >= low) & (distance < high)
            cells.append(f"{low}-{high}: {error[inside].mean():.3f} ({inside.sum()})" if inside.any() else "")
        print(f"  {one.measured}, {one.hole}: " + ", ".join(cell for cell in cells if cell))


def figure(rows: list[Row], path: Path) -> None:
    """Measured against predicted, one panel for each kind of evidence."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    wanted = [
        ("shipped model", "everything", "error of the shipped model, -dB"),
        ("small model, what the hole cost the face", "no turns", "what 'no turns' cost a small model, dB"),
        ("reconstruction", "no turns", "'no turns': part not reconstructed"),
        ("reconstruction", "no frontal views", "'no frontal views': part not reconstructed"),
    ]
    chosen = [(one, title) for m, h, title in wanted for one in rows if (one.measured, one.hole) == (m, h)]
    figure_, axes = pyplot.subplots(-(-len(chosen) // 2), 2, figsize=(9.0, 3.6 * -(-len(chosen) // 2)), squeeze=False)
    for axis, (one, title) in zip(axes.flat, chosen, strict=False):
        for name, (distance, error) in one.shots.items():
            axis.plot(distance, error, "o", ms=4, alpha=0.75, label=name)
        axis.axvline(NEAR, color="#888", lw=0.8, ls="--")
        pooled = ranks.spearman(*(np.concatenate(part) for part in zip(*one.shots.values(), strict=True)))
        axis.set_title(f"{title}\nrank correlation {pooled:.2f}", fontsize=9)
        axis.set_xlabel("predicted: distance of the nearest example, degrees", fontsize=8)
        axis.tick_params(labelsize=8)
    axes[0][0].legend(fontsize=7)
    figure_.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure_.savefig(path, dpi=110)
    print(f"\n{path}")


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="the rendered performers")
    parser.add_argument("--work", type=Path, required=True, help="where facesets, tracks, models and swaps are kept")
    parser.add_argument(
        "--train", type=int, default=0, metavar="STEPS", help="train small models; 0 uses those in WORK"
    )
    parser.add_argument("--figure", type=Path, help="a picture of the correlations")
    options = parser.parse_args()
    rows, double = compare_all(options.data, options.work, options.train)
    found = report(rows)
    sensitivity(rows)
    worst_third(rows)
    by_distance(rows)
    reconstruction.fit_weights(double, reconstruction.of_side(faceset.load(Path(double.source)),
                                                              [sample.name for sample in double.samples]))  # fmt: skip
    (options.work / "results.json").write_text(json.dumps(found, indent=1))
    if options.figure:
        figure(rows, options.figure)


if __name__ == "__main__":
    main()
