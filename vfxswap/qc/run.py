"""`check`: every frame of an output against its plate, once and in order, into one report."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

from vfxswap import __version__, exr, infer
from vfxswap.errors import FrameError, PlateError
from vfxswap.events import CancelToken, EventSink, Progress, Started, Warned
from vfxswap.face import mesh
from vfxswap.face import track as tracks
from vfxswap.face.frame import FaceFrame
from vfxswap.face.track import Track
from vfxswap.geometry import transform
from vfxswap.pixels import F32, F64
from vfxswap.plate import Plate
from vfxswap.qc import chip as chips
from vfxswap.qc import overtime, realism, records, surface
from vfxswap.qc.chip import Chip, Mask
from vfxswap.qc.limits import BY_NAME, MEASURES, judge
from vfxswap.qc.overtime import INNER, Look
from vfxswap.qc.reading import Reader, Reading, doing, placement
from vfxswap.sequence import FrameRange

WORST: Final = 20
"""So many frames are named as the worst at most."""

_TURNED_DEG = 40.0
"""Beyond it the networks' readings say little."""
_SIDEWAYS_DEG = 30.0
"""Beyond it the eye further away is too narrow for its gaze to be read."""
_LEAST_COVER = 40.0
_FEW = 5
_NEARLY = 0.9
_FEW_TILES: Final = "the plate's own texture is known from too few frames, or too little of the face was replaced"


@dataclass(frozen=True, eq=False)
class Request:
    """What to look at.

    Attributes:
        plate: the plate, over the frames to check.
        output: the swapped frames, comp or ingredients, as a sequence of their own.
        track: of the plate.
        face: which face of it, as in `face.track.choose`.
        likeness: (128,) reference embedding of the likeness; None leaves `to_likeness` out.
        double: (128,) of the double; None takes the plate's own frames.
        manifest_sha256: of the manifest beside the output, to say which one belongs to it.
        device: where the two networks run.
        threads: CPU threads, 0 for one per core.
    """

    plate: Plate
    output: Plate
    track: Track
    face: str | None = None
    likeness: F64 | None = None
    double: F64 | None = None
    manifest_sha256: str | None = None
    device: infer.Device = "auto"
    threads: int = 0


@dataclass(eq=False)
class _Frame:
    """A frame's part of the report while it is made."""

    frame: int
    sha256: str
    state: Literal["swapped", "unswapped", "no face"]
    look: Look | None
    values: dict[str, float | None] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def check(request: Request, *, sink: EventSink, cancel: CancelToken) -> records.QcReport:
    """Look at every frame that plate and output have, and report.

    Frames are read once, one ahead; of each some 17 KB are kept, so memory does not grow with the shot's pictures.

    Raises:
        PlateError: plate and output have no frame in common or differ in size. TrackError: no such face.
        Cancelled.
    """
    plate, output = request.plate, request.output
    there = FrameRange.of(sorted(output.sequence.frames_on_disk()))
    frames = FrameRange.of(sorted(plate.frames.intersect(there)))
    if not frames:
        raise PlateError(
            "the output has none of the plate's frames",
            path=output.sequence.pattern,
            hint=f"the plate has {plate.frames}, the output {there}",
        )
    sink.emit(Started(job=f"qc {output.sequence.name}", frames=str(frames)))
    scan = _Scan(request, request.track.face(tracks.choose(request.track, request.face)))
    done: list[_Frame] = []
    failed: list[records.Failed] = []
    pictures = zip(plate.ahead(frames), output.ahead(frames), strict=True)
    for number, ((frame, before), (_, after)) in enumerate(pictures, start=1):
        cancel.check()
        try:
            done.append(scan.frame(frame, _whole(before), _whole(after)))
        except FrameError as error:
            failed.append(records.Failed(frame=frame, reason=str(error)))
            sink.emit(Warned(code=error.code, message=str(error), frame=frame))
        sink.emit(Progress(stage="qc", done=number, total=len(frames), frame=frame))
    if not done:
        raise PlateError(failed[0].reason, hint="no frame could be looked at")
    looks = [one.look for one in done if one.look is not None]
    overtime.finish(looks, cuts=request.track.cuts, likeness=request.likeness, double=request.double)
    missing = FrameRange.of(frame for frame in plate.frames if frame not in there)
    return _report(request, done, failed, missing, frames, layers=scan.layers)


def _whole(picture: exr.Frame | FrameError) -> exr.Frame:
    if isinstance(picture, FrameError):
        raise picture
    return picture


class _Scan:
    """Looks at one frame after the other; holds the networks and the frame before."""

    def __init__(self, request: Request, faces: dict[int, FaceFrame]) -> None:
        self._request, self._faces = request, faces
        self._reader = Reader(device=request.device, threads=request.threads)
        self._before: tuple[int, F32, F32, Mask] | None = None
        self.layers: Literal["comp", "ingredients"] = "comp"

    def frame(self, frame: int, before: exr.Frame, after: exr.Frame) -> _Frame:
        """Look at a frame; raises FrameError for one of another size."""
        if before.display_window != after.display_window:
            sizes = [f"{x.display_window.width} x {x.display_window.height}" for x in (after, before)]
            raise FrameError(f"the output is {sizes[0]}, the plate {sizes[1]}", path=after.path, frame=frame)
        sha = exr.file_sha256(after.path)
        if chips.mattes(after, after.origin_window):
            self.layers = "ingredients"
        face = self._faces.get(frame)
        if face is None:
            stray = chips.stray(before, after, chips.NOWHERE)
            return _Frame(frame, sha, "no face", None, {"stray": float(stray)})
        cut = chips.cut(self._request.plate, before, self._request.output, after, face, gain=self._request.track.gain)
        look = self._look(frame, cut, face)
        swapped = bool(cut.changed.any())
        return _Frame(frame, sha, "swapped" if swapped else "unswapped", look, look.values, tuple(look.notes))

    def _look(self, frame: int, cut: Chip, face: FaceFrame) -> Look:
        points = face.landmarks.copy()
        points[:, :2] = transform(chips.matrix(face), face.landmarks[:, :2])
        covered, hole = surface.coverage(cut, points)
        where = surface.face_pixels(cut)
        look = Look(
            frame=frame,
            values={
                "covered": covered,
                "hole": hole,
                "stray": float(cut.stray),
                "seam": surface.seam(cut),
                "grain": surface.grain(cut, where),
                "sharpness": surface.sharpness(cut, where),
            },
            away=chips.cells(chips.lab(cut.output) - chips.lab(cut.plate)).astype(np.float16),
            seen=chips.cells(chips.lab(cut.plate)).astype(np.float16),
            cover=np.clip(chips.cells(cut.cover) * 255 + 0.5, 0, 255).astype(np.uint8),
            face=chips.cells(chips.polygon(points, mesh.OVAL).astype(np.float32)) > 0.5,
            motion=self._motion(frame, cut, points),
            tiles=realism.tiles(cut, where),
        )
        if not cut.changed.any():
            look.notes.append("nothing was replaced")
        elif covered < _LEAST_COVER:
            look.notes.append("too little of the face was replaced to be read")
        elif abs(face.pose_deg[1]) > _TURNED_DEG:
            look.notes.append(f"turned by {abs(face.pose_deg[1]):.0f} degrees: features and identity are not compared")
        else:
            self._read(cut, points, look, face)
        return look

    def _read(self, cut: Chip, points: F64, look: Look, face: FaceFrame) -> None:
        pair = [self._reader(codes, points) for codes in (cut.plate, cut.output)]
        plate, output = pair
        if not isinstance(plate, Reading) or not isinstance(output, Reading):
            whose = "plate" if plate is None else "output"
            look.notes.append(f"the {whose}'s face cannot be read")
            return
        look.offset = (output.points - plate.points)[list(INNER), :2].astype(np.float32)
        look.place = placement(plate.points, output.points)
        sideways = abs(face.pose_deg[1]) > _SIDEWAYS_DEG
        look.does = doing(plate.points, gaze=not sideways), doing(output.points, gaze=not sideways)
        if sideways:
            look.notes.append("turned aside: gaze is not compared")
        look.who = np.stack([plate.embedding, output.embedding])
        look.values["shift"] = float(np.linalg.norm(look.place))

    def _motion(self, frame: int, cut: Chip, points: F64) -> tuple[float, float] | None:
        soft = surface.soft(cut.plate), surface.soft(cut.output)
        where = cut.inside & chips.polygon(points, INNER)
        before, self._before = self._before, (frame, *soft, where)
        if before is None or before[0] != frame - 1 or frame in self._request.track.cuts:
            return None
        both = where & before[3]
        pair = [surface.moved(now, then, both) for now, then in zip(soft, before[1:3], strict=True)]
        return None if pair[0] is None or pair[1] is None else (pair[0], pair[1])


# ------------------------------------------------------------------------------------------------ report


def _report(
    request: Request,
    done: Sequence[_Frame],
    failed: Sequence[records.Failed],
    missing: FrameRange,
    frames: FrameRange,
    *,
    layers: Literal["comp", "ingredients"],
) -> records.QcReport:
    reports = tuple(_framed(one) for one in done)
    alarmed = sorted((one for one in reports if one.alarms), key=lambda one: (-one.score, one.frame))
    shot, summary = request.plate.sequence.name, _summary(reports)
    return records.QcReport(
        software=f"vfxswap {__version__}",
        plate=_input(request.plate, frames),
        output=_input(request.output, frames),
        face=str(request.face or "0"),
        layers=layers,
        manifest_sha256=request.manifest_sha256,
        limits=tuple(
            records.LimitEntry(
                name=one.name, label=one.label, unit=one.unit, about=one.about, most=one.most, least=one.least
            )
            for one in MEASURES
        ),
        unmeasured=_unmeasured(request, reports),
        summary=summary,
        worst=tuple(_worst(one, summary.throughout, shot) for one in itertools.islice(alarmed, WORST)),
        missing=str(missing),
        failed=tuple(failed),
        frames=reports,
    )


def _framed(one: _Frame) -> records.FrameReport:
    values = {measure.name: _rounded(one.values.get(measure.name)) for measure in MEASURES}
    verdict = judge(values)
    return records.FrameReport(
        frame=one.frame,
        sha256=one.sha256,
        state=one.state,
        score=verdict.score,
        alarms=verdict.alarms,
        reasons=verdict.reasons,
        values=values,
        notes=one.notes,
    )


def _worst(one: records.FrameReport, throughout: Sequence[str], shot: str) -> records.WorstEntry:
    pairs = sorted(zip(one.alarms, one.reasons, strict=True), key=lambda pair: pair[0] in throughout)
    reasons = tuple(reason for _, reason in pairs)
    return records.WorstEntry(frame=one.frame, score=one.score, reason="; ".join(reasons), reasons=reasons, shot=shot)


def _rounded(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 4)


def _input(plate: Plate, frames: FrameRange) -> records.Input:
    return records.Input(pattern=plate.sequence.pattern, frames=str(frames), colorspace=plate.space)


def _unmeasured(request: Request, reports: Sequence[records.FrameReport]) -> dict[str, str]:
    reasons = {"realism": _FEW_TILES}
    if request.likeness is None:
        reasons["to_likeness"] = "no reference of the likeness was given"
    empty = [m.name for m in MEASURES if all(one.values[m.name] is None for one in reports)]
    return {name: reasons.get(name, "no frame could be measured") for name in empty}


def _summary(reports: Sequence[records.FrameReport]) -> records.Summary:
    def known(name: str) -> list[float]:
        return [value for one in reports if (value := one.values[name]) is not None]

    def worst(name: str) -> float | None:
        return max(known(name), key=BY_NAME[name].excess, default=None)

    counts = {m.name: sum(m.name in one.alarms for one in reports) for m in MEASURES}
    return records.Summary(
        frames=len(reports),
        swapped=sum(one.state == "swapped" for one in reports),
        alarmed=sum(bool(one.alarms) for one in reports),
        alarms={name: count for name, count in counts.items() if count},
        throughout=tuple(
            name for name, count in counts.items() if len(known(name)) >= _FEW and count >= _NEARLY * len(known(name))
        ),
        median={m.name: _rounded(float(np.median(known(m.name)))) if known(m.name) else None for m in MEASURES},
        worst={m.name: worst(m.name) for m in MEASURES},
    )
