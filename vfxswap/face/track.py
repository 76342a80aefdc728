"""The track: every face of a shot, frame by frame, and the `.vfxtrack` file that keeps it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vfxswap import archive
from vfxswap.errors import TrackError
from vfxswap.face import keys as artist
from vfxswap.face import mesh
from vfxswap.face.frame import SOURCES, FaceFrame, Source
from vfxswap.face.keys import Key
from vfxswap.pixels import F64, AnyArray

__all__ = ["KIND", "VERSION", "Face", "FaceFrame", "Key", "Source", "Track", "choose", "describe", "load"]

KIND = "track"
VERSION = 2


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
        frames: frame -> its (face id, face) pairs as solved, without `keys`; every tracked frame is there, with ()
            where no face is. What counts is `face`, `at` and `fixed`.
        faces: the identities, most prominent first; id 0 is the default face.
        gain: the linear exposure gain that the trackers' images were made with.
        colorspace: the plate's colour space name.
        config_id: the OCIO config's id.
        pixel_aspect: width over height of the plate's pixels.
        still: True when the frames are unrelated images: ids then only rank the faces within a frame.
        metadata: free strings, e.g. library versions.
        cuts: frames that begin a new shot within the plate, the first frame not among them.
        size: width and height of the plate's display window; None in tracks that do not say.
        keys: face id -> frame -> the artist's key, beside the solve (`vfxswap.face.keys`).
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
    cuts: tuple[int, ...] = ()
    size: tuple[int, int] | None = None
    keys: Mapping[int, Mapping[int, Key]] = field(default_factory=dict)

    def face(self, which: int | str | None = None) -> dict[int, FaceFrame]:
        """Frame -> the chosen face with the artist's keys, for the frames that have it. `which` as in `choose`.

        Raises:
            TrackError: there is no such face.
        """
        wanted = which if isinstance(which, int) and any(f.id == which for f in self.faces) else choose(self, which)
        return {f: face for f, pairs in self.fixed.frames.items() for key, face in pairs if key == wanted}

    def at(self, frame: int, face: int) -> FaceFrame | None:
        """One face in one frame with the artist's keys, None where it is not seen."""
        return next((found for key, found in self.fixed.frames.get(frame, ()) if key == face), None)

    def solved(self, face: int) -> dict[int, FaceFrame]:
        """Frame -> the face with this id as tracked, without the artist's keys."""
        return {frame: found for frame, pairs in self.frames.items() for key, found in pairs if key == face}

    @functools.cached_property
    def fixed(self) -> Track:
        """The track with the artist's keys applied to its frames; itself where there are none."""
        if not any(self.keys.values()):
            return self
        listed: dict[int, dict[int, FaceFrame]] = {frame: dict(pairs) for frame, pairs in self.frames.items()}
        for face, keys in self.keys.items():
            try:
                applied = artist.apply(
                    self.solved(face),
                    keys,
                    frames=list(self.frames),
                    cuts=self.cuts,
                    pixel_aspect=self.pixel_aspect,
                )
            except np.linalg.LinAlgError as problem:
                raise TrackError(f"the keys of face {face} cannot be applied", hint="take them away") from problem
            for frame, found in applied.items():
                listed[frame][face] = found
        return replace(self, frames={f: tuple(faces.items()) for f, faces in listed.items()}, keys={})

    def with_keys(self, face: int, keys: Mapping[int, Key]) -> Track:
        """The same solve with these keys, and no others, on one face.

        Raises:
            TrackError: unrelated stills have no keys, or a key cannot mean anything.
        """
        if self.still and keys:
            raise TrackError("a track of unrelated stills takes no keys", hint="track a plate")
        checked = {frame: keys[frame].check(pixel_aspect=self.pixel_aspect) for frame in sorted(keys)}
        others = {number: found for number, found in self.keys.items() if number != face}
        return replace(self, keys={**others, **({face: checked} if checked else {})})

    def save(self, path: Path) -> None:
        """Write a `.vfxtrack` atomically; raises OutputError or ResourceError."""
        archive.write(path, kind=KIND, version=VERSION, manifest=_manifest(self), members=_members(self))


def load(path: Path) -> Track:
    """Read a `.vfxtrack`.

    Raises:
        TrackError: missing, damaged, altered, newer than this vfxswap, or not a track.
    """
    manifest, members = archive.read(
        path, kind=KIND, version=VERSION, error=TrackError, migrations={1: _from_version_1}
    )
    try:
        return _assemble(manifest, {name: archive.npy_array(data) for name, data in members.items()})
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, OverflowError) as problem:
        raise TrackError(f"the track is incomplete: {problem}", path=path, hint="track the plate again") from problem
    except TrackError as problem:  # a key
        raise TrackError(problem.message, path=path, hint=problem.hint) from problem


def _from_version_1(manifest: archive.Manifest) -> archive.Manifest:
    """Version 1 knew neither cuts nor keys, nor the plate's size, nor why a frame is doubtful."""
    return {**manifest, "cuts": [], "reasons": None, "size": None, "keys": {}}


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
    indexed = [face.id for face in track.faces if str(face.id) == text]
    if indexed:
        return indexed[0]
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
        "sources": list(SOURCES),
        "metadata": dict(track.metadata),
        "cuts": list(track.cuts),
        "size": None if track.size is None else list(track.size),
        "keys": {
            str(face): {str(frame): _key_json(key) for frame, key in keys.items()} for face, keys in track.keys.items()
        },
        "reasons": [list(face.reasons) for pairs in track.frames.values() for _, face in pairs],
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
        "source": np.array([SOURCES.index(f.source) for f in faces], np.uint8),
        "embedding": np.array([f.embedding for f in track.faces], np.float64).reshape(len(track.faces), width),
    }
    return {f"{name}.npy": archive.npy_bytes(array) for name, array in arrays.items()}


def _assemble(manifest: Mapping[str, Any], arrays: Mapping[str, AnyArray]) -> Track:
    sources: list[Source] = [SOURCES[SOURCES.index(name)] for name in manifest["sources"]]
    frames: dict[int, list[tuple[int, FaceFrame]]] = {int(frame): [] for frame in manifest["frames"]}
    _check_values(manifest, arrays)
    landmarks = arrays["landmarks.npy"]
    if landmarks.shape[1:] != (mesh.COUNT, 3) or any(
        len(arrays[f"{name}.npy"]) != len(landmarks)
        for name in ("frame", "face", "box", "confidence", "presence", "pose_deg", "similarity", "source")
    ):
        raise ValueError("its arrays differ in length")
    reasons = manifest["reasons"] or [()] * len(landmarks)
    if len(reasons) != len(landmarks):
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
            reasons=tuple(str(reason) for reason in reasons[i]),
        )
        frames[frame].append((int(arrays["face.npy"][i]), face))
    aspect = float(manifest["pixel_aspect"])
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
        pixel_aspect=aspect,
        still=bool(manifest["still"]),
        metadata={str(key): str(value) for key, value in manifest["metadata"].items()},
        cuts=tuple(int(frame) for frame in manifest["cuts"]),
        size=None if manifest["size"] is None else (int(manifest["size"][0]), int(manifest["size"][1])),
        keys={
            int(face): {int(frame): _key(entry).check(pixel_aspect=aspect) for frame, entry in keys.items()}
            for face, keys in manifest["keys"].items()
        },
    )


_FARTHEST = 1e7
"""Plate pixels that nothing is further away than."""
_SCALES = (1e-7, 1e3)
"""Of a similarity: one over a face's height in pixels."""
_ASPECTS = (1 / 16, 16.0)
_MOST_FRAMES, _LAST_FRAME = 1_000_000, 1 << 31


def _check_values(manifest: Mapping[str, Any], arrays: Mapping[str, AnyArray]) -> None:
    """Refuse values that no tracker gives and no later step could use; ValueError in words."""
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds values that are not numbers")
    shapes = {"box": (4,), "pose_deg": (3,), "similarity": (2, 3), "confidence": (), "presence": ()}
    for name, shape in {**shapes, "frame": (), "face": (), "source": ()}.items():
        if arrays[f"{name}.npy"].shape[1:] != shape:
            raise ValueError(f"{name}.npy is of another shape")
    if any(np.abs(arrays[f"{name}.npy"]).max(initial=0.0) > _FARTHEST for name in ("box", "landmarks")):
        raise ValueError("a face is too far away")
    if not ((arrays["confidence.npy"] >= 0) & (arrays["confidence.npy"] <= 1)).all():
        raise ValueError("a confidence is not between 0 and 1")
    scale = np.sqrt(np.abs(np.linalg.det(arrays["similarity.npy"][:, :, :2].astype(np.float64))))
    if not ((scale >= _SCALES[0]) & (scale <= _SCALES[1])).all():
        raise ValueError("a similarity is none")
    if len(manifest["frames"]) > _MOST_FRAMES or any(abs(int(frame)) > _LAST_FRAME for frame in manifest["frames"]):
        raise ValueError("frame numbers that no plate has")
    if not _ASPECTS[0] <= float(manifest["pixel_aspect"]) <= _ASPECTS[1] or not 0 < float(manifest["gain"]) < np.inf:
        raise ValueError("pixel aspect or gain cannot be")
    if not all(entry["name"] is None or isinstance(entry["name"], str) for entry in manifest["faces"]):
        raise ValueError("a face's name is no text")
    if manifest["size"] is not None and not all(0 < int(side) <= _FARTHEST for side in manifest["size"]):
        raise ValueError("the plate's size cannot be")


def _key_json(key: Key) -> dict[str, Any]:
    return {
        "similarity": None if key.similarity is None else np.asarray(key.similarity, np.float64).tolist(),
        "landmarks": None if key.landmarks is None else {str(i): list(point) for i, point in key.landmarks.items()},
        "reach": key.reach,
    }


def _key(entry: Mapping[str, Any]) -> Key:
    matrix, points, reach = entry["similarity"], entry["landmarks"], entry["reach"]
    return Key(
        similarity=None if matrix is None else np.array(matrix, np.float64).reshape(2, 3),
        landmarks=None if points is None else {int(i): (float(x), float(y)) for i, (x, y) in points.items()},
        reach=None if reach is None else int(reach),
    )
