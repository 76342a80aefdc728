"""Defects of the kinds that swaps have, put into frames that have none.

A sequence here is what a shot with ground truth gives: plates, perfect swaps and where the face is. Every defect
returns new swaps and the frames that it touched; nothing outside the face changes.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from vfxswap import exr, qc
from vfxswap.events import CancelToken, NdjsonSink
from vfxswap.face.frame import FaceFrame
from vfxswap.face.shot import track_plate
from vfxswap.face.track import Track
from vfxswap.geometry import Matrix23, compose, invert, scale_of, to_opencv, transform
from vfxswap.pixels import F32
from vfxswap.plate import open_plate
from vfxswap.qc.reading import doing
from vfxswap.sequence import FrameRange, SequencePath

ROOT = Path(__file__).parents[2]

Frames = dict[int, F32]


@dataclass(frozen=True, eq=False)
class Footage:
    """A shot in memory: (H, W, 3) plates and swaps, (H, W) 0..1 what of the face is replaced, and the track."""

    plates: Frames
    swaps: Frames
    masks: Frames
    faces: Mapping[int, FaceFrame]

    @property
    def frames(self) -> list[int]:
        return sorted(self.plates)

    def middle(self, count: int) -> list[int]:
        """`count` frames from the middle."""
        start = (len(self.frames) - count) // 2
        return self.frames[start : start + count]

    def liveliest(self, count: int, part: Literal["lids", "lips"]) -> list[int]:
        """`count` frames over which lids or lips do most."""
        does = [getattr(doing(self.faces[f].landmarks), part) / self.size(f) for f in self.frames]
        starts = range(len(does) - count + 1)
        start = max(starts, key=lambda at: np.abs(np.array(does[at : at + count]) - does[at]).max())
        return self.frames[start : start + count]

    def size(self, frame: int) -> float:
        """The face's height in pixels."""
        return 1.0 / scale_of(self.faces[frame].similarity)

    def within(self, frame: int, picture: F32) -> F32:
        """`picture` in the face, the plate elsewhere."""
        mask = self.masks[frame][..., None]
        mixed = self.plates[frame] * (1 - mask) + picture * mask
        return np.asarray(np.where(mask > 0, mixed, self.plates[frame]), np.float32)

    def changed(self, pictures: Mapping[int, F32]) -> Frames:
        return {**self.swaps, **{frame: self.within(frame, picture) for frame, picture in pictures.items()}}


def read_shot(folder: Path, track: Track, frames: Sequence[int]) -> Footage:
    """A shot of the shared data; the face is the truth's, less what is in front of it."""
    parts = {name: SequencePath.parse(folder / name) for name in ("plate", "truth", "matte")}
    plates = {f: np.asarray(exr.read(parts["plate"].path(f)).rgb, np.float32) for f in frames}
    swaps = {f: np.asarray(exr.read(parts["truth"].path(f)).rgb, np.float32) for f in frames}
    masks = {}
    for frame in frames:
        layers, _ = exr.read_channels(parts["matte"].path(frame))
        face = np.asarray(layers["truth_face"], np.float32)
        masks[frame] = face * (1 - np.asarray(layers["occluder"], np.float32)) if "occluder" in layers else face
    return Footage(plates, swaps, masks, track.face())


def with_own_matte(shot: Footage) -> Footage:
    """The same with the pixels outside the masks exactly the plate's."""
    return replace(shot, swaps={f: shot.within(f, picture) for f, picture in shot.swaps.items()})


def write(
    shot: Footage,
    swaps: Mapping[int, F32],
    folder: Path,
    *,
    masks: Mapping[int, F32] | None = None,
    keep: tuple[int, int] | None = None,
) -> Path:
    """Write swaps as half EXR; with `masks` as ingredients with their matte. `keep`: a pixel outside that stays."""
    for frame, picture in swaps.items():
        layers = {name: picture[..., i].astype(np.float16) for i, name in enumerate("RGB")}
        plate = shot.plates[frame]
        outside = shot.masks[frame] <= 0  # there are the plate's very own half floats
        if keep is not None:
            outside[keep] = False
        for i, name in enumerate("RGB"):
            layers[name][outside] = plate[..., i].astype(np.float16)[outside]
        if masks is not None:
            layers["matte.face"] = masks[frame].astype(np.float16)
        exr.write_channels(folder / f"swap.{frame:04d}.exr", channels=layers, attributes={})
    return folder


# ------------------------------------------------------------------------------------------------ defects


def _warp(picture: F32, matrix: Matrix23) -> F32:
    """`picture` moved through a matrix of its own pixels."""
    size = (picture.shape[1], picture.shape[0])
    moved = cv2.warpAffine(picture, to_opencv(matrix), size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def frozen(shot: Footage, frames: Sequence[int]) -> Frames:
    """The face of the first of `frames` stays for all of them, moving with the head."""
    first = frames[0]
    there = shot.faces[first].similarity
    return shot.changed(
        {f: _warp(shot.swaps[first], compose(invert(shot.faces[f].similarity), there)) for f in frames[1:]}
    )


def shifted(shot: Footage, frames: Sequence[int], *, part: float = 0.04) -> Frames:
    """The face lies a part of its height too far to the side."""
    return shot.changed({f: _warp(shot.swaps[f], np.array([[1, 0, part * shot.size(f)], [0, 1, 0.0]])) for f in frames})


def larger(shot: Footage, frames: Sequence[int], *, part: float = 0.08) -> Frames:
    """The face is larger than the head."""
    pictures = {}
    for frame in frames:
        middle = shot.faces[frame].landmarks[:, :2].mean(axis=0)
        linear = np.eye(2) * (1 + part)
        matrix = np.concatenate([linear, (middle - linear @ middle)[:, None]], axis=1)
        pictures[frame] = _warp(shot.swaps[frame], matrix)
    return shot.changed(pictures)


def brighter(shot: Footage, frames: Sequence[int], *, stops: float = 0.3) -> Frames:
    """The face is lit more than the shot."""
    return shot.changed({f: shot.swaps[f] * np.float32(2**stops) for f in frames})


def cast(shot: Footage, frames: Sequence[int], *, gains: tuple[float, float, float] = (1.15, 1.0, 0.85)) -> Frames:
    """The face has another white balance."""
    return shot.changed({f: shot.swaps[f] * np.array(gains, np.float32) for f in frames})


def hole_mask(shot: Footage, frame: int, *, part: float = 0.1, at: tuple[float, float] = (0.42, 0.68)) -> F32:
    """(H, W) 1 in a disc on the cheek, so many face heights wide."""
    centre = transform(invert(shot.faces[frame].similarity), np.array([at]))[0]
    height, width = shot.plates[frame].shape[:2]
    y, x = np.mgrid[:height, :width] + 0.5
    away = np.hypot(x - centre[0], y - centre[1]) / shot.size(frame)
    return np.clip((part / 2 - away) * shot.size(frame) + 0.5, 0, 1).astype(np.float32)


def holed(shot: Footage, frames: Sequence[int], *, part: float = 0.1, at: tuple[float, float] = (0.42, 0.68)) -> Frames:
    """The plate shows through a hole."""
    return {
        **shot.swaps,
        **{
            f: np.asarray(
                np.where(hole_mask(shot, f, part=part, at=at)[..., None] > 0.5, shot.plates[f], shot.swaps[f])
            )
            for f in frames
        },
    }


def other_person(shot: Footage, frames: Sequence[int]) -> Frames:
    """The network paints the double again: not the plate's pixels, but its face."""
    random = np.random.default_rng(1)
    return shot.changed(
        {f: shot.plates[f] * (1.02 + random.normal(0, 0.004, shot.plates[f].shape).astype(np.float32)) for f in frames}
    )


def half_way(shot: Footage, frames: Sequence[int]) -> Frames:
    """Half the likeness, half the double."""
    return shot.changed({f: 0.5 * (shot.plates[f] + shot.swaps[f]) for f in frames})


def third_person(shot: Footage, frames: Sequence[int]) -> Frames:
    """Nobody's face: the likeness with a narrow chin, eyes apart and a long nose, in place and in tone."""
    pictures = {}
    for frame in frames:
        unit = shot.faces[frame].similarity
        picture = shot.swaps[frame]
        height, width = picture.shape[:2]
        y, x = np.mgrid[:height, :width].astype(np.float64) + 0.5
        u = transform(unit, np.stack([x.ravel(), y.ravel()], axis=1)).reshape(height, width, 2)
        across, down = u[..., 0] - 0.5, u[..., 1]
        near = np.exp(-(((across) / 0.42) ** 4) - ((down - 0.55) / 0.5) ** 4)
        wide = 1 + near * (0.22 * np.exp(-(((down - 0.8) / 0.16) ** 2)) - 0.16 * np.exp(-(((down - 0.42) / 0.1) ** 2)))
        tall = down - near * 0.05 * np.sin((down - 0.4) * 7)
        back = transform(invert(unit), np.stack([(across * wide + 0.5).ravel(), tall.ravel()], axis=1))
        at = back.reshape(height, width, 2).astype(np.float32) - 0.5
        pictures[frame] = np.asarray(
            cv2.remap(picture, at[..., 0], at[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.float32
        )
    return shot.changed(pictures)


def soft(shot: Footage, frames: Sequence[int], *, part: float = 0.012) -> Frames:
    """Blurred, as a network trained too short."""
    return shot.changed(
        {f: np.asarray(cv2.GaussianBlur(shot.swaps[f], (0, 0), part * shot.size(f)), np.float32) for f in frames}
    )


def grainless(shot: Footage, frames: Sequence[int]) -> Frames:
    """Denoised."""
    return shot.changed({f: np.asarray(cv2.bilateralFilter(shot.swaps[f], 7, 0.1, 3), np.float32) for f in frames})


def checkered(shot: Footage, frames: Sequence[int], *, part: float = 0.015) -> Frames:
    """The pattern that a network's upsampling leaves: every other pixel is a little brighter."""
    height, width = next(iter(shot.plates.values())).shape[:2]
    y, x = np.mgrid[:height, :width]
    pattern = (1 + part * ((x + y) % 2 * 2 - 1)).astype(np.float32)[..., None]
    return shot.changed({f: shot.swaps[f] * pattern for f in frames})


def compressed(shot: Footage, frames: Sequence[int], *, quality: int = 70) -> Frames:
    """A face that went through JPEG, in blocks of eight."""
    pictures = {}
    for frame in frames:
        codes = np.clip(np.sqrt(np.maximum(shot.swaps[frame], 0) / 2), 0, 1)
        _, data = cv2.imencode(".jpg", np.round(codes * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
        decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.float32) / np.float32(255)
        pictures[frame] = np.asarray(2 * decoded**2, np.float32)
    return shot.changed(pictures)


def gray_grain(shot: Footage, frames: Sequence[int]) -> Frames:
    """The right amount of grain, the same in all channels."""
    pictures = {}
    for frame in frames:
        smooth = cv2.GaussianBlur(shot.swaps[frame], (0, 0), 1.0)
        pictures[frame] = np.asarray(smooth + (shot.swaps[frame] - smooth)[..., 1:2], np.float32)
    return shot.changed(pictures)


def noise_for_texture(shot: Footage, frames: Sequence[int]) -> Frames:
    """A face of half the size, enlarged, with white noise as strong as what was lost."""
    random = np.random.default_rng(5)
    pictures = {}
    for frame in frames:
        picture = shot.swaps[frame]
        size = (picture.shape[1], picture.shape[0])
        small = cv2.resize(picture, (size[0] // 2, size[1] // 2), interpolation=cv2.INTER_AREA)
        lost = (picture - cv2.GaussianBlur(picture, (0, 0), 1.0))[shot.masks[frame] > 0.9]
        noise = random.normal(0, np.median(np.abs(lost)) / 0.6745, picture.shape)
        pictures[frame] = np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_CUBIC) + noise, np.float32)
    return shot.changed(pictures)


def sharpened(shot: Footage, frames: Sequence[int], *, amount: float = 0.6) -> Frames:
    """An unsharp mask over the face."""
    pictures = {}
    for frame in frames:
        soft = np.asarray(cv2.GaussianBlur(shot.swaps[frame], (0, 0), 1.0), np.float32)
        pictures[frame] = np.maximum(shot.swaps[frame] + np.float32(amount) * (shot.swaps[frame] - soft), np.float32(0))
    return shot.changed(pictures)


def unswapped(shot: Footage, frames: Sequence[int]) -> Frames:
    """The plate as it is."""
    return {**shot.swaps, **{f: shot.plates[f] for f in frames}}


def frozen_part(shot: Footage, frames: Sequence[int], *, low: float, high: float) -> Frames:
    """A band of the face, between two heights in it, stays as in the first of `frames`."""
    still = frozen(shot, frames)
    out = dict(shot.swaps)
    for frame in frames[1:]:
        height, width = shot.plates[frame].shape[:2]
        y, x = np.mgrid[:height, :width] + 0.5
        down = transform(shot.faces[frame].similarity, np.stack([x.ravel(), y.ravel()], axis=1))[:, 1]
        band = down.reshape(height, width)
        weight = np.clip(np.minimum(band - low, high - band) / 0.03, 0, 1)[..., None]
        out[frame] = np.asarray(shot.swaps[frame] * (1 - weight) + still[frame] * weight, np.float32)
    return out


@dataclass(frozen=True)
class Defect:
    """A defect, in so many frames (0: all of them), and the measures any of which should speak up."""

    name: str
    make: Callable[[Footage, Sequence[int]], Frames]
    count: int
    expected: frozenset[str]
    still: Literal["", "lids", "lips"] = ""

    def frames(self, shot: Footage) -> list[int]:
        """Where it is put: in the middle, or where most moves of what stands still."""
        if self.still and self.count:
            return shot.liveliest(min(self.count, len(shot.frames) // 3), self.still)
        return shot.middle(min(self.count, len(shot.frames) // 3)) if self.count else shot.frames


def _of(*names: str) -> frozenset[str]:
    return frozenset(names)


DEFECTS = (
    Defect("frozen face, 8 frames", frozen, 8, _of("motion", "lids", "lips", "gaze", "landmarks"), "lids"),
    Defect("frozen face, all frames", frozen, 0, _of("motion", "lids", "lips", "gaze", "landmarks")),
    Defect(
        "frozen eyes, 8 frames",
        lambda s, f: frozen_part(s, f, low=0.2, high=0.5),
        8,
        _of("lids", "gaze", "motion"),
        "lids",
    ),
    Defect(
        "frozen mouth, 8 frames", lambda s, f: frozen_part(s, f, low=0.62, high=1.0), 8, _of("lips", "motion"), "lips"
    ),
    Defect("one-frame pop, 1.5 % aside", lambda s, f: shifted(s, f, part=0.015), 1, _of("jitter")),
    Defect("one-frame pop, 0.3 stops", brighter, 1, _of("flicker", "cast", "tone")),
    Defect("colour cast, 8 frames", cast, 8, _of("cast", "tone", "seam")),
    Defect("colour cast, all frames", cast, 0, _of("tone", "seam")),
    Defect("matte hole of 10 %, 1 frame", holed, 1, _of("hole", "gap")),
    Defect("matte hole of 10 %, all frames", holed, 0, _of("hole")),
    Defect(
        "matte bitten at the cheek's edge", lambda s, f: holed(s, f, part=0.3, at=(0.16, 0.6)), 2, _of("gap", "hole")
    ),
    Defect("face 4 % aside, 8 frames", shifted, 8, _of("shift", "landmarks")),
    Defect("face 4 % aside, all frames", shifted, 0, _of("shift")),
    Defect("face 8 % too large, all frames", larger, 0, _of("shift")),
    Defect("the double again, 8 frames", other_person, 8, _of("to_double", "to_likeness", "to_shot")),
    Defect("the double again, all frames", other_person, 0, _of("to_double", "to_likeness")),
    Defect("half the double, all frames", half_way, 0, _of("to_double", "to_likeness")),
    Defect("a third person, 8 frames", third_person, 8, _of("to_shot", "to_likeness", "shift", "landmarks")),
    Defect("a third person, all frames", third_person, 0, _of("to_likeness", "shift")),
    Defect("not swapped, 1 frame", unswapped, 1, _of("covered")),
    Defect("blurred, all frames", soft, 0, _of("sharpness")),
    Defect("no grain, all frames", grainless, 0, _of("grain")),
    Defect("checkerboard of 1.5 %, 1 frame", checkered, 1, _of("realism")),
    Defect("checkerboard of 1.5 %, all frames", checkered, 0, _of("realism")),
    Defect("JPEG of quality 70, all frames", compressed, 0, _of("realism")),
    Defect("grain without colour, all frames", gray_grain, 0, _of("realism")),
    Defect("noise in place of texture, all frames", noise_for_texture, 0, _of("realism")),
    Defect("sharpened, all frames", sharpened, 0, _of("realism", "sharpness")),
)


# -------------------------------------------------------------------------------------------------- figures


def judged(shot: Footage, plate: str, track: Track, swaps: Mapping[int, F32], folder: Path) -> qc.QcReport:
    """The report of some swaps, written and read as files."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write(shot, swaps, folder)
    opened = open_plate(plate, frames=FrameRange.of(shot.frames))
    output = open_plate(str(folder), config=opened.config, color_space=opened.space)
    identities = json.loads((ROOT / "examples/demo/identities.json").read_text())
    request = qc.Request(opened, output, track, likeness=np.array(identities["likeness"]), threads=1)
    return qc.check(request, sink=NdjsonSink(io.StringIO()), cancel=CancelToken())


def main(shots: Sequence[Path]) -> None:
    """Print how many frames of each defect are caught, as Markdown: `python defects.py SHOT...`."""
    rows: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for folder in shots:
            plate = open_plate(str(folder / "plate"))
            track = track_plate(plate)
            shot = with_own_matte(read_shot(folder, track, list(plate.frames)))
            clean = judged(shot, str(folder / "plate"), track, shot.swaps, Path(scratch) / "out")
            rows.setdefault("perfect swap: false alarms", []).append(f"{clean.summary.alarmed} of {len(shot.frames)}")
            for defect in DEFECTS:
                found = judged(
                    shot, str(folder / "plate"), track, defect.make(shot, defect.frames(shot)), Path(scratch) / "out"
                )
                caught, touched, false, names = counted(defect, shot, found)
                said = f"{caught} of {touched}" + (f", {false} false" if false else "")
                rows.setdefault(defect.name, []).append(f"{said} ({', '.join(names)})")
    print("| | " + " | ".join(folder.name for folder in shots) + " |")
    print("|---" * (1 + len(shots)) + "|")
    for name, cells in rows.items():
        print(f"| {name} | {' | '.join(cells)} |")


def counted(defect: Defect, shot: Footage, report: qc.QcReport) -> tuple[int, int, int, list[str]]:
    """Frames that were caught by what should catch them, those touched, false alarms elsewhere, and by what."""
    frames = defect.frames(shot)
    touched = set(frames[1:] if defect.name.startswith("frozen") else frames)
    near = {frame + step for frame in touched for step in (-1, 0, 1)}
    caught = [one for one in report.frames if one.frame in touched and set(one.alarms) & defect.expected]
    false = [one for one in report.frames if one.frame not in near and one.alarms]
    names = sorted({name for one in caught for name in one.alarms if name in defect.expected})
    return len(caught), len(touched), len(false), names


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
