"""The track: every face of a shot, frame by frame, and the `.vfxtrack` file that keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from vfxswap import archive
from vfxswap.errors import TrackError
from vfxswap.face import mesh
from vfxswap.face.pose import PoseDeg
from vfxswap.geometry import Matrix23
from vfxswap.pixels import F64, AnyArray

KIND = "track"
VERSION = 1

Source = Literal["solve", "flow", "key", "gap"]
"""Where a frame's numbers come from: the networks, optical flow, an artist's key, or interpolated over a gap."""

_SOURCES: tuple[Source, ...] = get_args(Source)


@dataclass(frozen=True, eq=False)
class FaceFrame:
    """One face in one frame. Coordinates are plate pixels (see `vfxswap.geometry`), never unsqueezed.

    Attributes:
        box: (4,) float64 x0, y0, x1, y1 around the landmarks.
        landmarks: (478, 3) float64; z in rows, negative towards the camera.
        confidence: 0..1; below 0.5 an artist should look.
        presence: 0..1, what the landmark network itself says; 0 where interpolated.
        pose_deg: pitch, yaw, roll in degrees, signs as in `pose.head_pose`.
        similarity: (2, 3) float64, plate -> unit face frame (`mesh.template`); with a pixel aspect other than 1 it
            is a similarity of square pixels and holds the squeeze too.
        source: where these numbers come from.
    """

    box: F64
    landmarks: F64
    confidence: float
    presence: float
    pose_deg: PoseDeg
    similarity: Matrix23
    source: Source = "solve"


@dataclass(frozen=True, eq=False)
class Face:
    """Who a face id is: a name if one was given, and the mean (128,) float64 identity embedding (zeros if unknown)."""

    id: int
    name: str | None
    embedding: F64


@dataclass(frozen=True, eq=False)
class Track:
    """All faces of a plate.

    Attributes:
        plate: pattern of the plate's files.
        frames: frame -> its (face id, face) pairs; every tracked frame is a key, with () where no face is.
        faces: the identities, most prominent first; id 0 is the default face.
        gain: the linear exposure gain that the trackers' images were made with.
        colorspace: the plate's colour space name.
        config_id: the OCIO config's id.
        pixel_aspect: width over height of the plate's pixels.
        still: True when the frames are unrelated images: ids then only rank the faces within a frame.
        metadata: free strings, e.g. library versions.
    """

    plate: str
    frames: Mapping[int, tuple[tuple[int, FaceFrame], ...]]
    faces: tuple[Face, ...]
    gain: float = 1.0
    colorspace: str = ""
    config_id: str = ""
    pixel_aspect: float = 1.0
    still: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)

    def face(self, which: int | str | None = None) -> dict[int, FaceFrame]:
        """Frame -> the chosen face, for the frames that have it. `which` as in `choose`.

        Raises:
            TrackError: there is no such face.
        """
        wanted = which if isinstance(which, int) and any(f.id == which for f in self.faces) else choose(self, which)
        return {frame: face for frame, pairs in self.frames.items() for key, face in pairs if key == wanted}

    def at(self, frame: int, face: int) -> FaceFrame | None:
        """One face in one frame, None where it is not seen."""
        return next((found for key, found in self.frames.get(frame, ()) if key == face), None)

    def save(self, path: Path) -> None:
        """Write a `.vfxtrack` atomically; raises OutputError or ResourceError."""
        archive.write(path, kind=KIND, version=VERSION, manifest=_manifest(self), members=_members(self))


def load(path: Path) -> Track:
    """Read a `.vfxtrack`.

    Raises:
        TrackError: missing, damaged, altered, newer than this vfxswap, or not a track.
    """
    manifest, members = archive.read(path, kind=KIND, version=VERSION, error=TrackError)
    try:
        return _assemble(manifest, {name: archive.npy_array(data) for name, data in members.items()})
    except (KeyError, ValueError, TypeError, IndexError, AttributeError) as problem:
        raise TrackError(f"the track is incomplete: {problem}", path=path, hint="track the plate again") from problem


# -------------------------------------------------------------------------------------------- --face


def choose(track: Track, which: int | str | None = None) -> int:
    """The face id that `--face` means.

    Args:
        track: where to look.
        which: None for the most prominent face (the biggest, seen the longest); an index; `X,Y` in plate pixels for
            the face that covers this point in most frames; or a stored name.

    Raises:
        TrackError: no face at all, or none that matches; the message lists those there are.
    """
    if not track.faces:
        raise TrackError("no face was found in any frame", hint="check the plate's colour space, or track other frames")
    if which is None:
        return track.faces[0].id
    text = str(which).strip()
    named = [face.id for face in track.faces if face.name is not None and face.name == text]
    if named:
        return named[0]
    if text.isdigit() and any(face.id == int(text) for face in track.faces):
        return int(text)
    point = _point(text)
    if point is not None:
        hits = {face.id: _covers(track, face.id, point) for face in track.faces}
        best = max(hits, key=lambda key: hits[key])
        if hits[best]:
            return best
    raise TrackError(f"no face {text!r} in the track", hint=f"--face takes an index, a name or X,Y; {describe(track)}")


def describe(track: Track) -> str:
    """One line that lists the faces of a track."""
    parts = []
    for face in track.faces:
        frames = track.face(face.id)
        centre = np.median([(f.box[:2] + f.box[2:]) / 2 for f in frames.values()], axis=0) if frames else np.zeros(2)
        name = f" {face.name}" if face.name else ""
        parts.append(f"{face.id}{name} around {centre[0]:.0f},{centre[1]:.0f} in {len(frames)} frames")
    return "there are: " + "; ".join(parts) if parts else "there are none"


def _point(text: str) -> F64 | None:
    parts = text.split(",")
    try:
        return np.array([float(part) for part in parts]) if len(parts) == 2 else None
    except ValueError:
        return None


def _covers(track: Track, face: int, point: F64) -> int:
    boxes = np.array([f.box for f in track.face(face).values()]).reshape(-1, 4)
    return int(((boxes[:, :2] <= point) & (point <= boxes[:, 2:])).all(axis=1).sum())


# ---------------------------------------------------------------------------------------------- file


def _manifest(track: Track) -> dict[str, Any]:
    return {
        "plate": track.plate,
        "frames": [int(frame) for frame in track.frames],
        "faces": [{"id": face.id, "name": face.name} for face in track.faces],
        "gain": float(track.gain),
        "colorspace": track.colorspace,
        "config_id": track.config_id,
        "pixel_aspect": float(track.pixel_aspect),
        "still": track.still,
        "sources": list(_SOURCES),
        "metadata": dict(track.metadata),
    }


def _members(track: Track) -> dict[str, bytes]:
    rows = [(frame, key, face) for frame, pairs in track.frames.items() for key, face in pairs]
    faces = [face for _, _, face in rows]
    count = len(rows)
    width = len(track.faces[0].embedding) if track.faces else 0

    def floats(values: list[Any], *shape: int) -> AnyArray:
        return np.asarray(values, np.float64).reshape(count, *shape)

    arrays: dict[str, AnyArray] = {
        "frame": np.array([frame for frame, _, _ in rows], np.int64),
        "face": np.array([key for _, key, _ in rows], np.int64),
        "box": floats([f.box for f in faces], 4),
        "landmarks": floats([f.landmarks for f in faces], mesh.COUNT, 3),
        "confidence": floats([f.confidence for f in faces]),
        "presence": floats([f.presence for f in faces]),
        "pose_deg": floats([f.pose_deg for f in faces], 3),
        "similarity": floats([f.similarity for f in faces], 2, 3),
        "source": np.array([_SOURCES.index(f.source) for f in faces], np.uint8),
        "embedding": np.array([f.embedding for f in track.faces], np.float64).reshape(len(track.faces), width),
    }
    return {f"{name}.npy": archive.npy_bytes(array) for name, array in arrays.items()}


def _assemble(manifest: Mapping[str, Any], arrays: Mapping[str, AnyArray]) -> Track:
    sources: list[Source] = [_SOURCES[_SOURCES.index(name)] for name in manifest["sources"]]
    frames: dict[int, list[tuple[int, FaceFrame]]] = {int(frame): [] for frame in manifest["frames"]}
    landmarks = arrays["landmarks.npy"]
    if landmarks.shape[1:] != (mesh.COUNT, 3) or any(
        len(arrays[f"{name}.npy"]) != len(landmarks)
        for name in ("frame", "face", "box", "confidence", "presence", "pose_deg", "similarity", "source")
    ):
        raise ValueError("its arrays differ in length")
    for i, frame in enumerate(arrays["frame.npy"].tolist()):
        pitch, yaw, roll = arrays["pose_deg.npy"][i].tolist()
        face = FaceFrame(
            box=arrays["box.npy"][i],
            landmarks=landmarks[i],
            confidence=float(arrays["confidence.npy"][i]),
            presence=float(arrays["presence.npy"][i]),
            pose_deg=(pitch, yaw, roll),
            similarity=arrays["similarity.npy"][i],
            source=sources[int(arrays["source.npy"][i])],
        )
        frames[frame].append((int(arrays["face.npy"][i]), face))
    return Track(
        plate=str(manifest["plate"]),
        frames={frame: tuple(pairs) for frame, pairs in frames.items()},
        faces=tuple(
            Face(id=int(entry["id"]), name=entry["name"], embedding=embedding)
            for entry, embedding in zip(manifest["faces"], arrays["embedding.npy"], strict=True)
        ),
        gain=float(manifest["gain"]),
        colorspace=str(manifest["colorspace"]),
        config_id=str(manifest["config_id"]),
        pixel_aspect=float(manifest["pixel_aspect"]),
        still=bool(manifest["still"]),
        metadata={str(key): str(value) for key, value in manifest["metadata"].items()},
    )
