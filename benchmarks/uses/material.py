# ruff: noqa: T201 - a command prints
"""Material with a known answer for the uses of docs/training.md that the rendered performers lack: age and few pixels.

    python benchmarks/uses/material.py --data DATA --work WORK [--performer anna] [--shot talk_studio]

makes from the stills and one shot of a rendered performer, whose pictures are then the truth:

    WORK/old/NAME.####.exr   the stills, aged: a fixed pattern of folds, bags and mottled, sallower skin laid on the
                             mesh of each tracked face, cheeks and jaw sagging by up to 3 % of its height
    WORK/old_shot/           the shot aged alike, truth the shot itself
    WORK/small_shot/         the shot at half its size, which is then the truth, so that a face has no more pixels than
                             a crop of 128; its plate has a ninth of those, grain added there, enlarged again by cubics

It is an operation, not ageing: it says whether a use undoes what separates two facesets of one performer, no more.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from vfxswap import exr
from vfxswap.face import mesh, shot
from vfxswap.face.solve import Networks
from vfxswap.face.uv import uv_pass
from vfxswap.geometry import Window
from vfxswap.pixels import F32, F64
from vfxswap.plate import open_plate

FOLDS = (
    (68, 104, 69, 108, 151, 337, 299, 333, 298),
    (63, 105, 66, 107, 9, 336, 296, 334, 293),
    (129, 203, 206, 216, 212),
    (358, 423, 426, 436, 432),
    (31, 228, 229, 230, 231, 232),
    (261, 448, 449, 450, 451, 452),
)
"""Mesh points along which the skin folds: forehead, brows, beside the mouth, under the eyes."""

SAG = {50: 0.02, 280: 0.02, 205: 0.03, 425: 0.03, 207: 0.03, 427: 0.03, 61: 0.015, 291: 0.015, 172: 0.03, 397: 0.03}
"""Mesh point -> how far it sinks, in heights of the face."""

SALLOW = (-0.04, -0.12, -0.22)
"""Log gain of red, green and blue."""

SIDE = 512
HALF = 2
COARSE = 3


def look() -> F32:
    """(SIDE, SIDE, 3) log gain over canonical coordinates, v downwards."""
    uv = mesh.canonical().uv
    lines = np.zeros((SIDE, SIDE), np.float32)
    for fold in FOLDS:
        points = np.round(uv[list(fold)] * SIDE * 16).astype(np.int32)
        cv2.polylines(lines, [points], isClosed=False, color=1.0, thickness=6, lineType=cv2.LINE_AA, shift=4)
    soft = cv2.GaussianBlur(lines, (0, 0), 3)
    spots = cv2.GaussianBlur(np.random.default_rng(7).normal(0, 1, (SIDE, SIDE)).astype(np.float32), (0, 0), 6)
    tone = -0.7 * soft + 0.25 * cv2.GaussianBlur(lines, (0, 0), 10) + 0.1 * spots / spots.std()
    return np.asarray(tone[..., None] + np.array(SALLOW, np.float32), np.float32)


def aged(rgb: F32, points: F64, pattern: F32) -> F32:
    """(H, W, 3) scene-linear, aged where the tracked (478, 3) face is."""
    height, width = rgb.shape[:2]
    place = uv_pass(points, window=Window(0, 0, width, height))
    tall = float(np.linalg.norm(points[10, :2] - points[152, :2]))
    where = [np.ascontiguousarray(v * SIDE - 0.5, np.float32) for v in (place[..., 0], 1 - place[..., 1])]
    gain = cv2.remap(pattern, where[0], where[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.GaussianBlur(cv2.erode(place[..., 2], np.ones((3, 3), np.uint8), iterations=2), (0, 0), 2)
    changed = rgb * np.exp(gain * inside[..., None])
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    total, down = np.full((height, width), 0.5, np.float32), np.zeros((height, width), np.float32)
    for point, depth in SAG.items():
        apart = (x + 0.5 - points[point, 0]) ** 2 + (y + 0.5 - points[point, 1]) ** 2
        near = np.exp(-apart / (2 * (0.07 * tall) ** 2)).astype(np.float32)
        total, down = total + near, down + near * np.float32(depth * tall)
    return np.asarray(
        cv2.remap(changed, x, y - down / total, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.float32
    )


def fewer(image: F32, times: int) -> F32:
    """(H, W) or (H, W, 3) with so many times fewer rows and columns, each the mean of its area."""
    size = (round(image.shape[1] / times), round(image.shape[0] / times))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)


def soft(rgb: F32, rng: np.random.Generator, *, grain: float) -> F32:
    """(H, W, 3) as a plate of COARSE times fewer rows and columns shows it, grain and all, enlarged again."""
    height, width = rgb.shape[:2]
    small = fewer(rgb, COARSE)
    light = np.maximum(small @ np.array([0.2722, 0.6741, 0.0537], np.float32), 0)[..., None]
    small = small + rng.normal(0, 1, small.shape) * grain * np.sqrt(0.5 * light + 0.004)
    return np.asarray(cv2.resize(small.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def tracked(folder: Path, *, still: bool) -> Iterator[tuple[int, F32, F64]]:
    """Frame, picture and landmarks of each frame of a plate that shows a face."""
    plate = open_plate(str(folder))
    found = shot.track_plate(plate, still=still, networks=Networks.load())
    for frame, faces in sorted(found.frames.items()):
        if faces:
            yield frame, np.asarray(plate.read(frame).rgb, np.float32), faces[0][1].landmarks


def write(path: Path, rgb: F32) -> None:
    """Half EXR, ACEScg as its plates."""
    exr.write_channels(path, channels={name: rgb[..., i].astype(np.float16) for i, name in enumerate("RGB")})


def dressed(target: Path, source: Path, performer: str, *, times: int = 1) -> None:
    """The rest of a shot with ground truth: its own plate is the truth, its own face counts, `times` smaller."""
    plate = open_plate(str(source / "plate"))
    for frame in plate.frames:
        rgb = np.asarray(plate.read(frame).rgb, np.float32)
        write(target / "truth" / f"truth.{frame:04d}.exr", fewer(rgb, times))
    for path in sorted((source / "matte").glob("*.exr")):
        channels, _ = exr.read_channels(path)
        kept = {"truth_face": channels["face"], "occluder": channels["occluder"]}
        halved = {name: fewer(np.asarray(v, np.float32), times).astype(np.float16) for name, v in kept.items()}
        exr.write_channels(target / "matte" / path.name, channels=halved)
    facts = json.loads((source / "shot.json").read_text())
    facts = {"double": performer, "likeness": performer, "grain": facts["grain"], "frames": facts["frames"]}
    facts["frames"] = {number: {"head_deg": frame["head_deg"]} for number, frame in facts["frames"].items()}
    (target / "shot.json").write_text(json.dumps(facts))


def main() -> None:
    """Make everything."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--performer", default="anna")
    parser.add_argument("--shot", default="talk_studio")
    asked = parser.parse_args()
    pattern, source = look(), asked.data / "shots" / asked.shot
    stills = asked.data / "train" / asked.performer / f"{asked.performer}.####.exr"
    for frame, rgb, points in tracked(stills, still=True):
        write(asked.work / "old" / f"{asked.performer}.{frame:04d}.exr", aged(rgb, points, pattern))
    rng, grain = np.random.default_rng(1), float(json.loads((source / "shot.json").read_text())["grain"])
    for frame, rgb, points in tracked(source / "plate", still=False):
        write(asked.work / "old_shot" / "plate" / f"plate.{frame:04d}.exr", aged(rgb, points, pattern))
        small = soft(fewer(rgb, HALF), rng, grain=grain)
        write(asked.work / "small_shot" / "plate" / f"plate.{frame:04d}.exr", small)
    for name, times in (("old_shot", 1), ("small_shot", HALF)):
        dressed(asked.work / name, source, asked.performer, times=times)
    print(f"made in {asked.work}")


if __name__ == "__main__":
    main()
