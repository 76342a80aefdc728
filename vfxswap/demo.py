"""The demo: the whole job on the shipped shot, scored against the perfect swap of the same shot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from vfxswap import atomic, exr, marks, pipeline, provenance, qc
from vfxswap.color import ModelSpace
from vfxswap.errors import ModelError
from vfxswap.events import CancelToken, EventSink
from vfxswap.face.track import FaceFrame
from vfxswap.frames import Sheet, render_frames
from vfxswap.geometry import Window
from vfxswap.job import SwapJob
from vfxswap.pixels import F32, F64, AnyArray, ModelRgb
from vfxswap.plate import scrub
from vfxswap.sequence import SequencePath
from vfxswap.trust import Gate, KeyRing

SHEET = "contact_sheet.png"
SCORES = "scores.json"

_TILE = 400
_COLUMNS = ("plate", "matte", "swapped (altered)", "truth")


@dataclass(frozen=True)
class FrameScore:
    """One frame against its truth, where the truth's face covers more than half, as displayed (sRGB).

    dB, and distances of embeddings.
    """

    frame: int
    nothing_db: float
    swapped_db: float
    plate_to_likeness: float
    plate_to_double: float
    swapped_to_likeness: float
    swapped_to_double: float
    truth_to_likeness: float
    truth_to_double: float


@dataclass(frozen=True)
class DemoReport:
    """What the demo made, and how good it is. `mean` averages the frames."""

    folder: Path
    frames: tuple[FrameScore, ...]

    @property
    def mean(self) -> FrameScore:
        """The mean over the scored frames; its frame number is 0."""
        rows = [list(asdict(score).values())[1:] for score in self.frames]
        return FrameScore(0, *(float(value) for value in np.mean(rows, axis=0)))


def run(shipped: Path, output: Path, *, sink: EventSink, cancel: CancelToken) -> DemoReport:
    """Track, measure, swap and score the shipped shot.

    Args:
        shipped: the demo's folder: job.json, plate, truth, trust, model, identities.json.
        output: where swapped frames, the contact sheet and scores.json go.
        sink: where events go.
        cancel: polled between frames.

    Raises:
        ConsentError, ModelError, OutputError and what the pipeline raises.
    """
    job = SwapJob.load(shipped / "job.json")
    job = job.replace(output=str(output / "swapped.%04d.exr"))
    gate = Gate(KeyRing.load(job.keyring), list(job.consents))
    ready = pipeline.prepare(job, gate=gate, sink=sink, cancel=cancel)
    render_frames(ready, sink=sink, cancel=cancel, sign=provenance.own_key)
    sheet = ready.sheets[0]
    faces = sheet.targets[0].faces
    identities = _identities(shipped / "identities.json")
    scorer = qc.IdentityScore(likeness=identities["likeness"], double=identities["double"])
    truth = SequencePath.parse(shipped / "truth" / "truth.%04d.exr")
    scores, rows = [], []
    for frame in truth.frames_on_disk():
        shown = _Pictures.load(sheet, frame, truth.path(frame), shipped / "truth" / f"matte.{frame}.exr")
        scores.append(shown.score(scorer, faces[frame]))
        rows.append(shown.row(faces[frame]))
    _write_sheet(output / SHEET, rows)
    manifest = provenance.manifest_path(sheet.output.folder, sheet.output.name)
    provenance.embed(output / SHEET, shows=[manifest] if manifest.is_file() else [])
    report = DemoReport(output, tuple(scores))
    text = json.dumps({"mean": asdict(report.mean), "frames": [asdict(score) for score in scores]}, indent=1)
    atomic.write_text(output / SCORES, text + "\n")
    return report


def _identities(path: Path) -> dict[str, F64]:
    try:
        data = json.loads(path.read_text())
        return {role: np.asarray(data[role], np.float64) for role in ("likeness", "double")}
    except (OSError, ValueError, KeyError) as error:
        raise ModelError("the reference identities cannot be read", path=path, hint="reinstall vfxswap") from error


@dataclass(frozen=True, eq=False)
class _Pictures:
    """A frame four ways, display-encoded: plate, swapped and truth (H, W, 3), and two mattes (H, W)."""

    frame: int
    plate: ModelRgb
    swapped: ModelRgb
    truth: ModelRgb
    matte: F32
    face: F32

    @staticmethod
    def load(sheet: Sheet, frame: int, truth: Path, face: Path) -> _Pictures:
        def shown(image: exr.Frame) -> ModelRgb:
            rgb, _ = sheet.plate.working(image)
            return ModelSpace(sheet.plate.config, 1.0).encode(scrub(rgb))

        result = exr.read(sheet.output.path(frame))
        channels, _ = exr.read_channels(sheet.output.path(frame))
        coverage, _ = exr.read_channels(face)
        return _Pictures(
            frame=frame,
            plate=shown(sheet.plate.read(frame)),
            swapped=shown(result),
            truth=shown(exr.read(truth)),
            matte=channels["matte.face"].astype(np.float32),
            face=coverage["A"].astype(np.float32),
        )

    def score(self, scorer: qc.IdentityScore, face: FaceFrame) -> FrameScore:
        inside = (self.face > 0.5).astype(np.float32)
        plate, swapped, truth = (scorer(rgb, face.landmarks) for rgb in (self.plate, self.swapped, self.truth))
        return FrameScore(
            frame=self.frame,
            nothing_db=qc.psnr(self.plate, self.truth, inside),
            swapped_db=qc.psnr(self.swapped, self.truth, inside),
            plate_to_likeness=plate.likeness,
            plate_to_double=plate.double,
            swapped_to_likeness=swapped.likeness,
            swapped_to_double=swapped.double,
            truth_to_likeness=truth.likeness,
            truth_to_double=truth.double,
        )

    def row(self, face: FaceFrame) -> AnyArray:
        """(TILE, 4 * TILE, 3) uint8: the region around the face, side by side."""
        height, width = self.plate.shape[:2]
        x0, y0, x1, y1 = face.box
        half = 0.75 * max(x1 - x0, y1 - y0)
        centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
        window = Window.around(np.array([centre - half, centre + half])).intersect(Window(0, 0, width, height))
        where = window.slices(Window(0, 0, width, height))
        matte = np.repeat(self.matte[..., None], 3, axis=-1)
        return np.concatenate([_tile(x[where]) for x in (self.plate, matte, self.swapped, self.truth)], axis=1)


def _tile(image: F32) -> AnyArray:
    scale = _TILE / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = cv2.resize(np.ascontiguousarray(image), size, interpolation=how)
    tile = np.zeros((_TILE, _TILE, 3), np.uint8)
    tile[: size[1], : size[0]] = np.clip(np.asarray(small) * 255 + 0.5, 0, 255).astype(np.uint8)
    return tile


def _write_sheet(path: Path, rows: Sequence[AnyArray]) -> None:
    """The rows under their titles, as PNG; the swapped pictures are marked as altered."""
    head = np.full((32, rows[0].shape[1], 3), 24, np.uint8)
    for column, title in enumerate(_COLUMNS):
        cv2.putText(
            head, title, (column * _TILE + 8, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (220, 220, 220), 1, cv2.LINE_AA
        )
    sheet = np.concatenate([head, *rows], axis=0)
    atomic.write_bytes(path, marks.altered_png(sheet))
