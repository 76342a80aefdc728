"""`bench quality`: shots with ground truth through the real pipeline, then scored."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vfxswap import pipeline
from vfxswap.archive import sha256
from vfxswap.bench import timing
from vfxswap.bench.quality import pixelwise, records, scoring, strips
from vfxswap.bench.quality.reading import FaceReader, Gallery
from vfxswap.bench.quality.records import QualityReport, ShotScore
from vfxswap.bench.quality.scoring import MAX_YAW, Seen
from vfxswap.bench.quality.shots import PLATE, ShotData
from vfxswap.errors import PlateError, UsageError
from vfxswap.events import CancelToken, EventSink, Progress
from vfxswap.faceset import load as load_faceset
from vfxswap.faceset import reference
from vfxswap.frames import render_frames
from vfxswap.infer import Device
from vfxswap.job import SwapJob, SwapParameters
from vfxswap.pixels import F64
from vfxswap.sequence import SequencePath
from vfxswap.trust import Gate, ShotId
from vfxswap.vfxmodel import read_card

SWAPPED = "swap.%04d.exr"


@dataclass(frozen=True)
class Request:
    """What to score.

    Attributes:
        shots: folders of shots with ground truth, of different names.
        model: the .vfxmodel that swaps them; None where `swapped` is given.
        swapped: patterns of frames rendered elsewhere, one for each shot; empty renders them.
        output: where frames and strips go; None keeps neither.
        shot: PROJECT/SEQUENCE/SHOT that the consents must cover.
        consents: signed consents.
        keyring: folder of trusted keys.
        likeness: a faceset to compare identity with; None takes the truths' frames.
        double: the same of the double; None takes the plates' frames.
        parameters: the knobs of the swap.
        color_space: the plates' space where their files do not say.
        max_yaw: degrees, frames beyond do not count.
        strips: frames on each strip.
        device: where networks run.
    """

    shots: tuple[Path, ...]
    model: Path | None = None
    swapped: tuple[str, ...] = ()
    output: Path | None = None
    shot: str = ""
    consents: tuple[Path, ...] = ()
    keyring: Path | None = None
    likeness: Path | None = None
    double: Path | None = None
    parameters: SwapParameters = field(default_factory=SwapParameters)
    color_space: str = ""
    max_yaw: float = MAX_YAW
    strips: int = 4
    device: Device = "auto"

    def __post_init__(self) -> None:
        """Refuse what cannot mean anything."""
        if not self.shots:
            raise UsageError("no shot to score", hint="give --shot-data DIR")
        if bool(self.swapped) == (self.model is not None):
            raise UsageError(
                "both --model and --swapped" if self.swapped else "nothing to score",
                hint="give --model to swap the shots, or --swapped for frames rendered elsewhere",
            )
        if self.swapped and len(self.swapped) != len(self.shots):
            raise UsageError(
                f"{len(self.shots)} times --shot-data and {len(self.swapped)} times --swapped",
                hint="give --swapped for each --shot-data",
            )


MakeGate = Callable[[], Gate]


def run(
    request: Request, *, gate: MakeGate | None = None, sink: EventSink, cancel: CancelToken, folder: Path | None = None
) -> QualityReport:
    """Swap the shots, unless they are, and score them.

    Args:
        request: what to score.
        gate: makes the consent gate that a swap needs; it is asked before anything is read or written.
        sink: where events go.
        cancel: polled between frames.
        folder: where frames go; None is `request.output`, or a folder that is removed afterwards.

    Raises:
        UsageError, PlateError, ConsentError, and what the pipeline raises.
    """
    if folder is None and request.output is None:
        with tempfile.TemporaryDirectory(prefix="vfxswap-quality-") as made:
            return run(request, gate=gate, sink=sink, cancel=cancel, folder=Path(made))
    target = folder or request.output or Path()
    _allowed(request, gate)
    shots = [ShotData.load(path, color_space=request.color_space or None) for path in request.shots]
    names = _distinct(shots)
    reader = FaceReader(device=request.device)
    gallery = Gallery(given=_given(request, shots))
    done: list[tuple[str, ShotData, SequencePath, list[Seen]]] = []
    for index, (name, shot) in enumerate(zip(names, shots, strict=True)):
        points: Mapping[int, F64] | None = None
        if gate is None or request.swapped:
            swapped = SequencePath.parse(request.swapped[index])
        else:
            swapped, points = _swap(request, shot, target / name, gate=gate(), sink=sink, cancel=cancel)
        seen = _scored(request, shot, swapped, points, reader, sink, cancel)
        scoring.remember(gallery, seen, name=name, likeness=shot.likeness, double=shot.double)
        done.append((name, shot, swapped, seen))
    scores = [
        scoring.finished(seen, gallery, name=name, likeness=shot.likeness, double=shot.double, grain=shot.grain)
        for name, shot, _, seen in done
    ]
    if request.output is not None and request.strips:
        for (name, shot, swapped, _), score in zip(done, scores, strict=True):
            _strips(request.output / f"{name}.png", shot, swapped, score, count=request.strips)
    return _report(request, scores)


def _allowed(request: Request, gate: MakeGate | None) -> None:
    """Ask for consent to every swap before anything is read; the pipeline asks again for each."""
    if request.model is None:
        return
    if gate is None:
        raise UsageError("a swap needs a consent gate", hint="give --consent and --keyring")
    guard, card = gate(), read_card(request.model)
    for path in request.shots:
        guard.authorize(
            shot=ShotId.parse(request.shot) if request.shot else ShotId.local(_job(request, path, path).plate_folder),
            use="swap",
            performers=card.performers.by_role(),
            model_sha256=card.onnx_sha256,
            origin=card.origin(),
        )


def _job(request: Request, shot: Path, folder: Path) -> SwapJob:
    """The swap of a shot, its frames in `folder`."""
    return SwapJob.make(
        plate=str(shot / PLATE),
        model=request.model,
        output=str(folder / SWAPPED),
        layers="ingredients",
        parameters=request.parameters,
        color_space=request.color_space,
        shot=request.shot,
        consents=request.consents,
        keyring=request.keyring,
        device=request.device,
    )


def _distinct(shots: Sequence[ShotData]) -> list[str]:
    """The shots' names; those that share one get their parent's before it."""
    names = [shot.name for shot in shots]
    names = [
        name if names.count(name) == 1 else f"{shot.folder.resolve().parent.name}_{name}"
        for name, shot in zip(names, shots, strict=True)
    ]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"two shots are called {twice!r}", hint="give each --shot-data once, by distinct folders")
    return names


def _given(request: Request, shots: Sequence[ShotData]) -> dict[str, F64]:
    """Performer -> embedding of the facesets that were given."""
    found: dict[str, F64] = {}
    for role, folder in (("likeness", request.likeness), ("double", request.double)):
        if folder is not None:
            embedding = reference(load_faceset(folder), device=request.device)
            found |= {getattr(shot, role): embedding for shot in shots}
    return found


def _swap(
    request: Request,
    shot: ShotData,
    folder: Path,
    *,
    gate: Gate,
    sink: EventSink,
    cancel: CancelToken,
) -> tuple[SequencePath, Mapping[int, F64]]:
    """Track, measure and render a shot; returns its frames and where its face is."""
    ready = pipeline.prepare(_job(request, shot.folder, folder), gate=gate, sink=sink, cancel=cancel)
    render_frames(ready, sink=sink, cancel=cancel)
    faces = ready.sheets[0].targets[0].faces
    return ready.sheets[0].output, {frame: face.landmarks for frame, face in faces.items()}


def _scored(
    request: Request,
    shot: ShotData,
    swapped: SequencePath,
    points: Mapping[int, F64] | None,
    reader: FaceReader,
    sink: EventSink,
    cancel: CancelToken,
) -> list[Seen]:
    total = len(shot.frames)
    seen: list[Seen] = []

    def progress(frame: int) -> None:
        sink.emit(Progress(stage="score", done=len(seen), total=total, frame=frame))
        cancel.check()

    for one in scoring.scored(
        shot.views(swapped, landmarks=points),
        config=shot.plate.config,
        grain=shot.grain,
        reader=reader,
        max_yaw=request.max_yaw,
    ):
        seen.append(one)
        progress(one.score.frame)
    if not seen:
        raise PlateError(
            "none of the shot's frames was swapped", path=swapped.pattern, hint="check the frame numbers of --swapped"
        )
    return seen


def _strips(path: Path, shot: ShotData, swapped: SequencePath, score: ShotScore, *, count: int) -> None:
    shown = {frame.frame: frame for frame in score.frames if frame.pixels}
    if not shown:
        return
    rows = [
        strips.row(shot.view(frame, swapped), shot.plate.config, strips.label(shown[frame], worst=score.worst))
        for frame in strips.chosen(list(shown), score.worst, count=count)
    ]
    strips.write(path, rows)


def _report(request: Request, scores: Sequence[ShotScore]) -> QualityReport:
    model = request.model
    given = [str(path) for path in (request.likeness, request.double) if path is not None]
    return QualityReport(
        model=str(model) if model is not None else ", ".join(request.swapped),
        model_sha256=sha256(model.read_bytes()) if model is not None else "",
        max_yaw_deg=request.max_yaw,
        identity=f"facesets {', '.join(given)}" if given else "the truths' and plates' other frames",
        flip=pixelwise.flip_name(),
        machine=dict(timing.machine()),
        overall=records.mean([frame for score in scores for frame in score.frames]),
        shots=tuple(scores),
    )
