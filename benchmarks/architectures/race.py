# ruff: noqa: T201 - a command prints
"""Trains presets at the same time, one core each, and scores every checkpoint's swap against the rendered truth.

    python benchmarks/architectures/race.py train RUNS --minutes 40 --likeness DIR --double DIR --trust DIR \
        tiny,code_noise=0.35,least_noise=0.4 df-ud-tiny,code_noise=0,confusion_weight=0,disguise=0,occlude=0
    python benchmarks/architectures/race.py score RUNS --data DIR

An entry is a preset and what differs from the defaults: fields of `TrainConfig` and of `Augment`. `--trust` holds
signed consents of both performers (`*.consent.json`) and `keyring/`. `--data` holds shots with the perfect swap, never
trained on, each with `plate`, `truth` and `matte`.

PSNR is that of the averaged weights, in dB, in the model's crop and encoding, inside the true face and not the
occluder, faces within 40 degrees of yaw; the light's low frequencies and one placement for each shot are taken out:
the pipeline does that for every model alike. Landmarks: mean distance, in percent of the crop.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from vfxswap import align, exr, faceset, measure
from vfxswap.color import ModelSpace
from vfxswap.face import expression, mesh, shot
from vfxswap.face.landmarks import roi_from_landmarks
from vfxswap.face.protocols import Roi
from vfxswap.face.solve import Networks
from vfxswap.geometry import Window, similarity, to_opencv
from vfxswap.models import build, config_from_json
from vfxswap.pixels import F32, F64, ModelRgb, WorkingRgb
from vfxswap.plate import Plate, open_plate, scrub
from vfxswap.train import checkpoint
from vfxswap.train.bank import load_bank
from vfxswap.train.checkpoint import State
from vfxswap.train.config import TrainConfig
from vfxswap.train.loop import Trainer
from vfxswap.trust import Gate, KeyRing, ShotId
from vfxswap.vfxmodel import Performers

_SIZE = 128
_SIDE = 40.0
_LIGHT = 15.0
"""Standard deviation in pixels of what counts as light and is taken out."""
_LEAST_FACE = 50
_KEEP = 1000
_INNER = list(mesh.INNER_51)


@dataclass(frozen=True)
class Entry:
    """One of the networks that race."""

    preset: str
    config: dict[str, Any]
    augment: dict[str, Any]

    @classmethod
    def parse(cls, text: str) -> Entry:
        """`preset,field=value,...`."""
        name, *rest = text.split(",")
        given = {key: json.loads(value) for key, _, value in (item.partition("=") for item in rest)}
        own = {key: value for key, value in given.items() if key in TrainConfig.model_fields}
        return cls(name, own, {key: value for key, value in given.items() if key not in own})


@dataclass(frozen=True, eq=False)
class Case:
    """A frame of a shot as the network gets it. Crops are (_SIZE, _SIZE, ...) float32; `seen` is 1 where scored."""

    shot: str
    plate: F32
    truth: F32
    seen: F32
    said: F64
    landmarks: F64


@dataclass(frozen=True)
class Score:
    """How good a checkpoint is on the shots."""

    step: int
    minutes: float
    held_out: float
    swap: float
    landmarks: float


# -- training ---------------------------------------------------------------------------------------------------------


def train(folder: Path, entry: Entry, *, minutes: float, likeness: Path, double: Path, trust: Path) -> None:
    """Train one network with one thread; every checkpoint stays."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    every = {"score_every_minutes": minutes / 10, "stop_early": False, "keep": _KEEP, "adversary_weight": 0.0}
    config = TrainConfig(preset=entry.preset, minutes=minutes, **{**every, **entry.config})
    banks = [load_bank(faceset.load(path), resolution=_SIZE) for path in (likeness, double)]
    gate = Gate(KeyRing.load(trust / "keyring"), sorted(trust.glob("*.consent.json")))
    who = Performers(likeness=banks[0].performer, double=banks[1].performer)
    grant = gate.authorize(shot=ShotId.local(folder.name), use="train", performers=who.by_role())
    trainer = Trainer(folder, config=config, likeness=banks[0], double=banks[1], grant=grant, warn=_warn)
    trainer._augment = replace(trainer._augment, **entry.augment)  # users cannot choose these
    trainer.run()


def _warn(code: str, message: str) -> None:
    print(f"{code}: {message}", flush=True)


def race(given: argparse.Namespace) -> None:
    """Train all entries at once."""
    context = multiprocessing.get_context("spawn")
    running = []
    for text in given.entries:
        entry = Entry.parse(text)
        where = {"likeness": given.likeness, "double": given.double, "trust": given.trust}
        kwargs = {"minutes": given.minutes, **where}
        running.append(context.Process(target=train, args=(given.runs / entry.preset, entry), kwargs=kwargs))
    for process in running:
        process.start()
    for process in running:
        process.join()
    if any(process.exitcode for process in running):
        raise SystemExit("a training broke; what it said is above")


# -- scoring ----------------------------------------------------------------------------------------------------------


def cases(folder: Path) -> Iterator[Case]:
    """The frames of a shot whose face is near enough to the front."""
    plate, truth = open_plate(str(folder / "plate")), open_plate(str(folder / "truth"))
    track = shot.track_plate(plate).face(0)
    space = ModelSpace(plate.config, measure.shot_gain(plate, track))
    for number, face in track.items():
        if abs(face.pose_deg[1]) > _SIDE:
            continue
        matrix = align.crop_matrix(face.similarity, size=_SIZE)
        window = measure.face_window(face, size=_SIZE)
        seen_by, wanted = (
            _crop(source, number, window=window, matrix=matrix, space=space) for source in (plate, truth)
        )
        matte, _ = exr.read_channels(folder / "matte" / f"matte.{number}.exr")
        true = matte["truth_face"].astype(np.float32)
        true *= 1 - matte.get("occluder", np.zeros_like(true)).astype(np.float32)
        inside = window.intersect(Window(0, 0, true.shape[1], true.shape[0]))
        part = true[inside.slices(Window(0, 0, 0, 0))][..., None]
        seen = (align.take(part, window=inside, matrix=matrix, size=_SIZE)[..., 0] > 0.5).astype(np.float32)
        if seen.sum() >= _LEAST_FACE:
            yield Case(folder.name, seen_by, wanted, seen, expression.of(face), _landmarks(wanted))


def _crop(plate: Plate, frame: int, *, window: Window, matrix: Any, space: ModelSpace) -> F32:
    pixels, where = plate.working(plate.read(frame), window)
    return space.encode(WorkingRgb(align.take(scrub(pixels), window=where, matrix=matrix, size=_SIZE)))


@cache
def _networks() -> Networks:
    return Networks.load(device="cpu", threads=1)


def _landmarks(rgb: F32) -> F64:
    find = _networks().landmarker
    image = ModelRgb(np.ascontiguousarray(rgb, np.float32))
    first = find(image, Roi(_SIZE / 2, _SIZE / 2 + 2, 1.17 * _SIZE, 0.0), crops=1)
    return find(image, roi_from_landmarks(first.points), crops=1).points


def score(folder: Path, state: State, found: list[Case]) -> Score:
    """One checkpoint on all cases."""
    swapped = _swapped(folder, state, found)
    points = [_landmarks(rgb) for rgb in swapped]
    psnr, apart = [], []
    for name in dict.fromkeys(case.shot for case in found):
        at = [i for i, case in enumerate(found) if case.shot == name]
        own = np.concatenate([points[i][_INNER, :2] for i in at])
        true = np.concatenate([found[i].landmarks[_INNER, :2] for i in at])
        move = similarity(own, true)
        for i in at:
            placed = cv2.warpAffine(swapped[i], to_opencv(move), (_SIZE, _SIZE), borderMode=cv2.BORDER_REPLICATE)
            psnr.append(_psnr(np.asarray(placed, np.float32), found[i]))
            moved = points[i][_INNER, :2] @ move[:, :2].T + move[:, 2]
            apart.append(np.linalg.norm(moved - found[i].landmarks[_INNER, :2], axis=1).mean() / _SIZE)
    held = float(np.mean([state.scores[f"{role}_psnr"] for role in ("likeness", "double")]))
    return Score(state.step, state.seconds / 60, held, float(np.mean(psnr)), 100 * float(np.mean(apart)))


@torch.no_grad()
def _swapped(folder: Path, state: State, found: list[Case]) -> F32:
    config = config_from_json(state.architecture, state.network)
    net = build(state.architecture, config, (state.performers.likeness, state.performers.double))
    checkpoint.unpack("average", net, checkpoint.load_tensors(folder, state))
    net.eval()
    rgb = torch.from_numpy(np.stack([case.plate for case in found]).transpose(0, 3, 1, 2))
    said = None
    if config.condition:
        values = np.stack([case.said for case in found])
        said = torch.from_numpy(expression.told(values, state.told["double"]))
    out = []
    for start in range(0, len(found), 8):
        part = slice(start, start + 8)
        painted, _ = net(rgb[part], state.performers.likeness, None if said is None else said[part])
        out.append(painted.float().numpy().transpose(0, 2, 3, 1))
    return np.ascontiguousarray(np.concatenate(out), np.float32)


def _psnr(rgb: F32, case: Case) -> float:
    lit = rgb * _low(case.truth, case.seen) / np.maximum(_low(rgb, case.seen), 1e-3)
    error = ((lit - case.truth) ** 2 * case.seen[..., None]).sum() / (3 * case.seen.sum())
    return float(-10 * np.log10(error))


def _low(rgb: F32, seen: F32) -> F32:
    weight = np.maximum(cv2.GaussianBlur(seen, (0, 0), _LIGHT), 1e-3)[..., None]
    return np.asarray(cv2.GaussianBlur(rgb * seen[..., None], (0, 0), _LIGHT) / weight, np.float32)


def judge(given: argparse.Namespace) -> None:
    """Score every checkpoint of every run and print the curves as tables."""
    torch.set_num_threads(1)
    found = [case for folder in sorted(given.data.iterdir()) if (folder / "truth").is_dir() for case in cases(folder)]
    curves = {}
    for folder in sorted(path for path in given.runs.iterdir() if path.is_dir()):
        states = [state for state in checkpoint.kept(folder) if state.step]
        rows = curves[folder.name] = [score(folder, state, found) for state in sorted(states, key=lambda s: s.step)]
        print(f"\n**{folder.name}**, {len(found)} frames\n\n| minute | step | held out | swap | landmarks |")
        print("|---|---|---|---|---|")
        for row in rows:
            columns = f"{row.held_out:.2f} dB | {row.swap:.2f} dB | {row.landmarks:.2f} %"
            print(f"| {row.minutes:.0f} | {row.step} | {columns} |", flush=True)
    out = {name: [asdict(row) for row in rows] for name, rows in curves.items()}
    (given.runs / "curves.json").write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Train or score from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    training = commands.add_parser("train")
    training.add_argument("runs", type=Path)
    training.add_argument("entries", nargs="+")
    training.add_argument("--minutes", type=float, required=True)
    for name in ("likeness", "double", "trust"):
        training.add_argument(f"--{name}", type=Path, required=True)
    training.set_defaults(do=race)
    scoring = commands.add_parser("score")
    scoring.add_argument("runs", type=Path)
    scoring.add_argument("--data", type=Path, required=True)
    scoring.set_defaults(do=judge)
    given = parser.parse_args()
    given.do(given)


if __name__ == "__main__":
    main()
