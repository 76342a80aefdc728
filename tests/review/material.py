"""A small shot to look at: a plate that moves, a comp in which a disc of it was painted over, and a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import OpenEXR

from vfxswap import exr
from vfxswap.qc import MEASURES
from vfxswap.qc.limits import judge
from vfxswap.qc.records import FrameReport, Input, LimitEntry, QcReport, Summary, WorstEntry

WIDTH, HEIGHT = 192, 108
FIRST = 1001


@dataclass(frozen=True)
class Material:
    plate: str
    output: str
    truth: str
    frames: tuple[int, ...]
    report: QcReport


def plate(frame: int) -> np.ndarray:
    """(H, W, 3) half, smooth, from about -7 stops to 2 above white; it moves a little in every frame."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] / np.array([HEIGHT, WIDTH]).reshape(2, 1, 1)
    stops = -6 + 8 * (0.5 + 0.5 * np.sin(5 * x + 2 * y + 0.4 * (frame - FIRST)))
    tint = np.stack([1 + 0.3 * np.sin(4 * y), np.ones_like(x), 1 - 0.3 * x], axis=-1)
    return np.asarray(2.0 ** stops[..., None] * tint, np.float16)


def disc() -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.asarray(np.hypot(x - 96, y - 54) < 30)


def comp(frame: int) -> np.ndarray:
    picture = plate(frame)
    picture[disc()] = (picture[disc()].astype(np.float32) * [1.0, 0.6, 0.4]).astype(np.float16)
    return picture


def make(folder: Path, *, frames: int = 12, outputs: Sequence[int] | None = None) -> Material:
    """Write it; `outputs` are the frames that have a comp."""
    numbers = tuple(range(FIRST, FIRST + frames))
    done = numbers if outputs is None else tuple(outputs)
    for frame in numbers:
        _write_filmed(folder / "plate" / f"plate.{frame}.exr", plate(frame), frame - FIRST)
        if frame in done:
            matte = {"matte.face": disc().astype(np.float16)}
            _write(folder / "out" / f"swap.{frame}.exr", comp(frame), **matte)
    _write(folder / "truth" / f"truth.{FIRST}.exr", comp(FIRST) * np.float16(1.1))
    return Material(
        plate=str(folder / "plate"),
        output=str(folder / "out"),
        truth=str(folder / "truth" / "truth.%04d.exr"),
        frames=numbers,
        report=report(folder, done),
    )


def _write(path: Path, picture: np.ndarray, **layers: np.ndarray) -> None:
    exr.write_channels(path, channels={**_channels(picture), **layers})


def _write_filmed(path: Path, picture: np.ndarray, number: int) -> None:
    """As a camera would: with a timecode and a frame rate."""
    code = OpenEXR.TimeCode()
    code.hours, code.minutes, code.seconds, code.frame = 1, 0, 41, number
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {"timeCode": code, "framesPerSecond": 24.0, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, _channels(picture)).write(str(path))


def _channels(picture: np.ndarray) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(picture[..., i]) for i, name in enumerate("RGB")}


def report(folder: Path, frames: Sequence[int]) -> QcReport:
    """A seam that rises to its worst in the seventh frame, eyes that stay open in the tenth."""
    found = []
    for number, frame in enumerate(frames):
        values: dict[str, float | None] = {measure.name: None for measure in MEASURES}
        values |= {"seam": 12.0 - abs(number - 6) * 2.0, "lids": 30.0 if number == 9 else 1.0, "shift": 0.5}
        verdict = judge(values)
        sha = exr.file_sha256(folder / "out" / f"swap.{frame}.exr")
        found.append(
            FrameReport(
                frame=frame,
                sha256=sha,
                state="swapped",
                score=verdict.score,
                alarms=verdict.alarms,
                reasons=verdict.reasons,
                values=values,
            )
        )
    worst = sorted((one for one in found if one.alarms), key=lambda one: -one.score)
    known = ("seam", "lids", "shift")
    nothing: dict[str, float | None] = {}
    return QcReport(
        software="vfxswap test",
        plate=Input(pattern="plate.%04d.exr", frames="", colorspace="ACEScg"),
        output=Input(pattern="swap.%04d.exr", frames="", colorspace="ACEScg"),
        face="0",
        layers="ingredients",
        manifest_sha256=None,
        limits=tuple(
            LimitEntry(name=m.name, label=m.label, unit=m.unit, about=m.about, most=m.most, least=m.least)
            for m in MEASURES
        ),
        unmeasured={m.name: "</script> is not the end" for m in MEASURES if m.name not in known},
        summary=Summary(
            frames=len(found),
            swapped=len(found),
            alarmed=len(worst),
            alarms={
                name: sum(name in one.alarms for one in found) for name in known if any(name in o.alarms for o in found)
            },
            throughout=(),
            median=nothing,
            worst=nothing,
        ),
        worst=tuple(
            WorstEntry(
                frame=one.frame, score=one.score, reason="; ".join(one.reasons), reasons=one.reasons, shot="plate"
            )
            for one in worst
        ),
        missing="",
        failed=(),
        frames=tuple(found),
    )
