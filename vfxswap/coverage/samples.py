"""The faces of one side: from a faceset, or from a track and its plate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vfxswap import align, exr, measure
from vfxswap.color import ModelSpace
from vfxswap.coverage.features import Look, look
from vfxswap.errors import FacesetError, FrameError, TrackError
from vfxswap.face import mesh
from vfxswap.face.landmarks import Blendshapes
from vfxswap.face.pose import face_similarity
from vfxswap.face.track import FaceFrame
from vfxswap.faceset import Crop, Faceset, expressions, landmarks_in
from vfxswap.faceset.figures import sharpness
from vfxswap.geometry import Window
from vfxswap.pixels import F64, ModelRgb, WorkingRgb
from vfxswap.plate import Plate, scrub, skin_gain

Progress = Callable[[int, int], None]

_RASTER = 160
"""Side in pixels of the crops that are measured and shown; wider than the model's crop by FACESET_MARGIN."""
_LEAST_CONFIDENCE = 0.3
"""As in faceset.py: a track below this says little about the face."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One face of one frame.

    Attributes:
        name: unique on its side.
        plate, frame, timecode: where it is from.
        look: what it does.
        stops: how bright the skin is in the plate, in stops above 0.18; NaN where it gives no light.
        sharpness: `faceset.figures.sharpness` of the face at a raster of 160 pixels; NaN where it cannot be told.
        height: from forehead to chin in rows of the plate; NaN where it is not known.
        confidence: 0..1 of the track.
    """

    name: str
    plate: str
    frame: int
    timecode: str | None
    look: Look
    stops: float
    sharpness: float
    height: float
    confidence: float


@dataclass(frozen=True, eq=False)
class Side:
    """All faces of a likeness or of a double.

    Attributes:
        performer: whose they are; empty where a track does not say.
        source: the faceset's folder or the plate's pattern.
        samples: the faces that count.
        left_out: frames or crops that do not, with the reason.
        consents: ids and record hashes of the consents that a faceset was built under.
        picture: a sample's face, (160, 160, 3) as networks see it.
    """

    performer: str
    source: str
    samples: tuple[Sample, ...]
    left_out: Mapping[str, str]
    consents: tuple[Mapping[str, str], ...]
    picture: Callable[[Sample], ModelRgb]


def of_faceset(faceset: Faceset, *, needed: bool = False, progress: Progress = lambda _done, _total: None) -> Side:
    """The faces of a faceset; quarantined crops are left out.

    Args:
        faceset: a likeness's or a double's.
        needed: it is the double's. A blurred or extreme crop is then no reason to leave its frame out: nobody trains
            on it, and yet the frame is to be swapped.
        progress: called with (done, total).

    Raises:
        FacesetError: it has no usable crop. PlateError: a crop cannot be read.
    """
    left_out = {crop.name: crop.quarantined for crop in faceset.crops if crop.quarantined is not None}
    if needed:
        left_out = {name: why for name, why in left_out.items() if name not in _still_needed(faceset.crops)}
    rows = [
        (crop, np.asarray(expression, np.float64))
        for crop, expression in zip(faceset.crops, expressions(faceset), strict=True)
        if crop.name not in left_out
    ]
    samples = []
    for done, (crop, expression) in enumerate(rows, start=1):
        rgb, _ = faceset.load(crop)
        points = crop.landmarks * (_RASTER / faceset.size)
        small = _small(rgb)
        seen = ModelSpace(faceset.config, crop.gain).decode(small)
        samples.append(
            Sample(
                name=crop.name,
                plate=crop.plate,
                frame=crop.frame,
                timecode=crop.timecode,
                look=look(crop.landmarks, expression),
                stops=_stops(skin_gain(seen, _WHOLE, mesh.skin_points(points), faceset.config)),
                sharpness=sharpness(small, points),
                height=crop.figures.get("height", float("nan")),
                confidence=crop.confidence,
            )
        )
        progress(done, len(rows))
    if not samples:
        raise FacesetError("no usable crop in the faceset", path=faceset.folder, hint="build it from other frames")
    known = {crop.name: crop for crop, _ in rows}
    return Side(
        performer=faceset.performer,
        source=str(faceset.folder),
        samples=tuple(samples),
        left_out=left_out,
        consents=faceset.consents,
        picture=lambda sample: _small(faceset.load(known[sample.name])[0]),
    )


def _still_needed(crops: Sequence[Crop]) -> frozenset[str]:
    return frozenset(crop.name for crop in crops if crop.verdict is None and crop.kinds <= {"blur", "extreme"})


def of_track(
    plate: Plate,
    faces: Mapping[int, FaceFrame],
    *,
    pixel_aspect: float = 1.0,
    performer: str = "",
    progress: Progress = lambda _done, _total: None,
) -> Side:
    """One face of a tracked plate; frames with a doubtful track and frames that cannot be read are left out.

    Args:
        plate: the plate.
        faces: frame -> the face.
        pixel_aspect: width over height of the plate's pixels.
        performer: whose face it is, where that is known.
        progress: called with (done, total).

    Raises:
        TrackError: no frame is left, or none is lit.
    """
    left_out = {
        str(frame): f"track confidence {face.confidence:.2f}"
        for frame, face in sorted(faces.items())
        if face.confidence < _LEAST_CONFIDENCE
    }
    usable = {frame: face for frame, face in sorted(faces.items()) if str(frame) not in left_out}
    gain = measure.shot_gain(plate, usable, samples=12) if usable else 1.0
    space, read = ModelSpace(plate.config, gain), Blendshapes(threads=1)
    samples = []
    for done, (frame, image) in enumerate(plate.ahead(usable), start=1):
        progress(done, len(usable))
        if isinstance(image, FrameError):
            left_out[str(frame)] = str(image)
            continue
        square = _square(usable[frame].landmarks, pixel_aspect)
        crop, points = _cut(plate, image, usable[frame].landmarks, pixel_aspect)
        samples.append(
            Sample(
                name=str(frame),
                plate=plate.sequence.pattern,
                frame=frame,
                timecode=image.timecode,
                look=look(square, read(square)),
                stops=_stops(skin_gain(crop, _WHOLE, mesh.skin_points(points), plate.config)),
                sharpness=sharpness(space.encode(crop), points),
                height=float(np.linalg.norm(square[10, :2] - square[152, :2])),
                confidence=usable[frame].confidence,
            )
        )
    if not samples:
        raise TrackError("no frame of the track can be judged", hint="track the plate again, or fix the track")

    def picture(sample: Sample) -> ModelRgb:
        cut, _ = _cut(plate, plate.read(sample.frame), usable[sample.frame].landmarks, pixel_aspect)
        return space.encode(cut)

    return Side(performer, plate.sequence.pattern, tuple(samples), left_out, (), picture)


_WHOLE = Window(0, 0, _RASTER, _RASTER)


def _square(points: F64, pixel_aspect: float) -> F64:
    return points * [pixel_aspect, 1.0, 1.0]


def _cut(plate: Plate, image: exr.Frame, points: F64, pixel_aspect: float) -> tuple[WorkingRgb, F64]:
    """(160, 160, 3) working-space crop around a face and the landmarks in it.

    It is placed by the landmarks and not by the track's similarity, which may refer to an undistorted raster.
    """
    similarity = face_similarity(points, pixel_aspect=pixel_aspect)
    matrix = align.crop_matrix(similarity, size=_RASTER, margin=align.FACESET_MARGIN)
    pixels, window = plate.working(image, align.crop_window(matrix, size=_RASTER))
    if window.empty:
        return WorkingRgb(np.zeros((_RASTER, _RASTER, 3), np.float32)), landmarks_in(points, matrix)
    crop = align.take(scrub(pixels), window=window, matrix=matrix, size=_RASTER)
    return WorkingRgb(crop), landmarks_in(points, matrix)


def _small(rgb: ModelRgb) -> ModelRgb:
    how = cv2.INTER_AREA if rgb.shape[0] > _RASTER else cv2.INTER_LINEAR
    return ModelRgb(np.asarray(cv2.resize(rgb, (_RASTER, _RASTER), interpolation=how), np.float32))


def _stops(gain: float) -> float:
    """How many stops skin lies above 0.18 that `gain` puts there."""
    return -float(np.log2(gain)) if np.isfinite(gain) and gain > 0 else float("nan")
