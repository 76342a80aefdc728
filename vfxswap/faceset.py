"""A faceset: aligned crops of ONE performer, with landmarks, masks, pose, exposure and where each came from.

On disk: `faceset.json`, `landmarks.npy` and a half EXR for each crop (`crops/NAME.exr`: R, G, B in working
space, `mask`). A crop is wider than the model's frame by `align.FACESET_MARGIN`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vfxswap import __version__, align, archive, atomic, exr, matte, measure
from vfxswap.color import ColorConfig, ModelSpace
from vfxswap.errors import FacesetError, FrameError, UsageError
from vfxswap.events import CancelToken
from vfxswap.face import PARSERS, mesh, shot
from vfxswap.face.protocols import Parser
from vfxswap.face.solve import Networks
from vfxswap.face.track import FaceFrame, choose
from vfxswap.geometry import Matrix23, Window, transform
from vfxswap.infer import Device
from vfxswap.pixels import F64, Matte, ModelRgb, WorkingRgb
from vfxswap.plate import Plate, scrub, skin_gain
from vfxswap.trust.consent import Grant

SCHEMA = "vfxswap.faceset/1"
INDEX = "faceset.json"
LANDMARKS = "landmarks.npy"
DEFAULT_SIZE = 320

_LEAST_CONFIDENCE = 0.3
_GROW_MASK = 1.0
_GAIN_SAMPLES = 12


@dataclass(frozen=True, eq=False)
class Crop:
    """One crop of a faceset.

    Attributes:
        name: file name without extension, unique in the faceset.
        plate, frame, timecode: where it came from.
        gain: exposure that puts this crop's skin at 0.18 (linear factor).
        pose_deg: pitch, yaw, roll (face/pose.py).
        confidence: 0..1 of the track.
        quarantined: why it is not used; None when it is.
        landmarks: (478, 3) in crop pixels.
    """

    name: str
    plate: str
    frame: int
    timecode: str | None
    gain: float
    pose_deg: tuple[float, float, float]
    confidence: float
    quarantined: str | None
    landmarks: F64


@dataclass(frozen=True, eq=False)
class Faceset:
    """A faceset on disk; `load` reads the pictures one at a time."""

    folder: Path
    performer: str
    size: int
    config: ColorConfig
    consents: tuple[dict[str, str], ...]
    crops: tuple[Crop, ...]

    def usable(self) -> tuple[Crop, ...]:
        """The crops that are not quarantined."""
        return tuple(crop for crop in self.crops if crop.quarantined is None)

    def load(self, crop: Crop, *, encoding: str = "srgb") -> tuple[ModelRgb, Matte]:
        """A crop as networks see it: (S, S, 3) encoded at its own exposure, and its (S, S) mask."""
        channels, _ = exr.read_channels(self.folder / "crops" / f"{crop.name}.exr")
        rgb = np.stack([channels[name] for name in "RGB"], axis=-1).astype(np.float32)
        space = ModelSpace(self.config, crop.gain, encoding)
        return space.encode(WorkingRgb(rgb)), Matte(channels["mask"].astype(np.float32))

    def digest(self) -> str:
        """sha256 of the index and landmarks: what a model records of its training data."""
        return archive.sha256((self.folder / INDEX).read_bytes() + (self.folder / LANDMARKS).read_bytes())


def load(folder: Path) -> Faceset:
    """Open a faceset.

    Raises:
        FacesetError: missing, damaged, or of another alignment or version.
    """
    path = folder / INDEX
    try:
        data: dict[str, Any] = json.loads(path.read_text())
        landmarks = archive.npy_array((folder / LANDMARKS).read_bytes())
    except FileNotFoundError:
        raise FacesetError(f"no faceset in {folder}", hint="make one with vfxswap faceset build") from None
    except (ValueError, OSError) as error:
        raise FacesetError("faceset is damaged", path=path, hint="build it again") from error
    if data.get("schema") != SCHEMA or data.get("template") != align.TEMPLATE:
        raise FacesetError(
            f"faceset has schema {data.get('schema')!r} and alignment {data.get('template')!r},"
            f" this vfxswap reads {SCHEMA!r} and {align.TEMPLATE!r}",
            path=path,
            hint="build it again",
        )
    try:
        crops = tuple(
            Crop(**{**entry, "pose_deg": tuple(entry["pose_deg"])}, landmarks=np.asarray(points, np.float64))
            for entry, points in zip(data["crops"], landmarks, strict=True)
        )
        return Faceset(
            folder=folder,
            performer=data["performer"],
            size=int(data["size"]),
            config=ColorConfig.load(data["config"], context=data.get("context", {})),
            consents=tuple(data["consents"]),
            crops=crops,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise FacesetError(f"faceset is incomplete: {error}", path=path, hint="build it again") from error


def build(
    folder: Path,
    *,
    performer: str,
    plates: Sequence[Plate],
    grant: Grant,
    stills: bool = False,
    face: str | None = None,
    size: int = DEFAULT_SIZE,
    device: Device = "auto",
    progress: Callable[[str, int, int], None] = lambda _stage, _done, _total: None,
    warn: Callable[[FrameError], None] | None = None,
    cancel: CancelToken | None = None,
) -> Faceset:
    """Make a faceset from plates of one performer.

    Args:
        folder: where to; must not hold a faceset yet.
        performer: whose face it is; the grant must cover it.
        plates: where the face is seen.
        grant: leave to use this performer's face for training.
        stills: frames are unrelated pictures: no smoothing, each its own exposure.
        face: which face of the plate (`--face`).
        size: side of a crop in pixels.
        device: where networks run.
        progress: called with (stage, done, total).
        warn: called for each frame that cannot be read; None raises.
        cancel: polled between frames.

    Raises:
        ConsentError, UsageError (folder in use), TrackError (no face in a plate), PlateError.
    """
    grant.require_performer(performer)
    if (folder / INDEX).exists():
        raise UsageError(f"{folder} already holds a faceset", hint="choose another --output")
    if not plates:
        raise UsageError("no plates given", hint="name at least one plate")
    networks, parser = Networks.load(device=device), PARSERS["selfie"](device=device)
    crops: list[Crop] = []
    for number, plate in enumerate(plates):
        track = shot.track_plate(
            plate,
            still=stills,
            networks=networks,
            miss=warn,
            progress=lambda done, total: _step(progress, "track", done, total, cancel),
        )
        faces = track.face(choose(track, face))
        gain = None if stills else measure.shot_gain(plate, faces, samples=_GAIN_SAMPLES)
        for done, (frame, found) in enumerate(faces.items(), start=1):
            name = f"{plate.sequence.name or 'plate'}-{number:02d}.{frame:06d}"
            crops.append(_write_crop(folder, plate, frame, found, name=name, size=size, gain=gain, parser=parser))
            _step(progress, "crops", done, len(faces), cancel)
    _write_index(folder, performer=performer, size=size, config=plates[0].config, grant=grant, crops=crops)
    return load(folder)


def _step(
    progress: Callable[[str, int, int], None], stage: str, done: int, total: int, cancel: CancelToken | None
) -> None:
    progress(stage, done, total)
    if cancel is not None:
        cancel.check()


def _write_crop(
    folder: Path,
    plate: Plate,
    frame: int,
    found: FaceFrame,
    *,
    name: str,
    size: int,
    gain: float | None,
    parser: Parser,
) -> Crop:
    image = plate.read(frame)
    matrix = align.crop_matrix(found.similarity, size=size, margin=align.FACESET_MARGIN)
    pixels, window = plate.working(image, align.crop_window(matrix, size=size))
    rgb = align.take(scrub(pixels), window=window, matrix=matrix, size=size)
    points = landmarks_in(found.landmarks, matrix)
    own_gain = gain
    if own_gain is None:
        skin = mesh.skin_points(points)
        own_gain = skin_gain(WorkingRgb(rgb), Window(0, 0, size, size), skin, plate.config)
    reason = _reject(found, own_gain)
    own_gain = own_gain if np.isfinite(own_gain) else 1.0
    mask = _mask(ModelSpace(plate.config, own_gain).encode(WorkingRgb(rgb)), points, parser)
    half, _ = exr.to_half(rgb)
    channels = {letter: half[..., i] for i, letter in enumerate("RGB")} | {"mask": mask.astype(np.float16)}
    exr.write_channels(
        folder / "crops" / f"{name}.exr",
        channels=channels,
        attributes={"vfxswap:plate": plate.sequence.pattern, "vfxswap:frame": frame},
    )
    return Crop(
        name=name,
        plate=plate.sequence.pattern,
        frame=frame,
        timecode=image.timecode,
        gain=own_gain,
        pose_deg=found.pose_deg,
        confidence=found.confidence,
        quarantined=reason,
        landmarks=points,
    )


def _reject(found: FaceFrame, gain: float) -> str | None:
    if not np.isfinite(gain):
        return "no light on the face"
    if found.confidence < _LEAST_CONFIDENCE:
        return f"track confidence {found.confidence:.2f}"
    return None


def landmarks_in(points: F64, matrix: Matrix23) -> F64:
    """(478, 3) plate landmarks -> crop pixels; depth is scaled alike."""
    out = points.copy()
    out[:, :2] = transform(matrix, points[:, :2])
    out[:, 2] *= np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    return out


def _mask(encoded: ModelRgb, points: F64, parser: Parser) -> Matte:
    """What the mask head learns: the mesh's hull, where the person is."""
    size = encoded.shape[0]
    hull = matte.oval(points, size=size, soft=_GROW_MASK)
    person = parser(encoded, points)
    return Matte(hull * np.clip(person * 2.0, 0.0, 1.0))


def _write_index(
    folder: Path, *, performer: str, size: int, config: ColorConfig, grant: Grant, crops: Sequence[Crop]
) -> None:
    entries = []
    for crop in crops:
        entry = asdict(replace(crop, landmarks=np.zeros(0)))
        entry.pop("landmarks")
        entries.append(entry)
    index = {
        "schema": SCHEMA,
        "template": align.TEMPLATE,
        "margin": align.FACESET_MARGIN,
        "vfxswap": __version__,
        "performer": performer,
        "size": size,
        "config": config.id,
        "context": dict(config.context),
        "working_space": config.working_space,
        "consents": [{"id": ref.id, "sha256": ref.sha256} for ref in grant.consents],
        "crops": entries,
    }
    atomic.write_bytes(folder / LANDMARKS, archive.npy_bytes(np.stack([crop.landmarks for crop in crops])))
    atomic.write_text(folder / INDEX, json.dumps(index, indent=1))
