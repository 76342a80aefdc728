"""An artist's changes, read back as keys: from JSON, or from a Tracker4 or CornerPin2D that was exported and edited.

Only what differs from the export becomes a key: the node carries what it was written with, so the track may have
been solved anew or fixed elsewhere since.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vfxswap import documents
from vfxswap.errors import TrackError
from vfxswap.face import keys
from vfxswap.face.export import jsonfile, nk, nuke
from vfxswap.face.export.view import flipped, in_plate
from vfxswap.face.keys import Key
from vfxswap.face.track import Track, choose
from vfxswap.geometry import Matrix23, invert, similarity, transform
from vfxswap.pixels import F64

SCHEMA: Literal["vfxswap.fixes/1"] = "vfxswap.fixes/1"

MOVED = 0.01
"""Plate pixels that an artist's change is larger than: scripts round."""

_LOPSIDED = 0.5

_NODES = ("Tracker4", "CornerPin2D")


@dataclass(frozen=True, eq=False)
class Edits:
    """What was read.

    Attributes:
        face: the id of the face it is for.
        keys: frame -> key.
        notes: what could not be taken as it is, a line each.
    """

    face: int
    keys: dict[int, Key]
    notes: tuple[str, ...] = ()


# -------------------------------------------------------------------------------------------------- JSON


class KeyJson(BaseModel):
    """A key: `similarity`, or `landmarks`, or how the solve is off (`scale`, `rotate`, `move`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    similarity: Annotated[
        list[Annotated[list[float], Field(min_length=3, max_length=3)]] | None,
        Field(min_length=2, max_length=2, description="plate pixels to the unit face frame, (2, 3)"),
    ] = None
    landmarks: Annotated[
        dict[str, Annotated[list[float], Field(min_length=2, max_length=2)]] | None,
        Field(description="mesh point, 0..477: x, y in plate pixels"),
    ] = None
    scale: Annotated[float | None, Field(gt=0, description="times the size of the solve")] = None
    rotate: Annotated[float | None, Field(description="degrees clockwise from the solve")] = None
    move: Annotated[
        list[float] | None, Field(min_length=2, max_length=2, description="pixels right and down from the solve")
    ] = None
    reach: Annotated[
        Annotated[int, Field(ge=0)] | Literal["hold"],
        Field(description="frames over which it fades out where no further key follows"),
    ] = keys.REACH


class FixesJson(BaseModel):
    """An artist's keys on one face."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_: Annotated[Literal["vfxswap.fixes/1"], Field(alias="schema")]
    face: Annotated[int | str | None, Field(description="id or name; the most prominent without")] = None
    keys: dict[str, KeyJson]


def fixes_schema() -> dict[str, Any]:
    """The JSON Schema of a file of keys."""
    return FixesJson.model_json_schema(by_alias=True)


def from_json(text: str, track: Track, *, face: int | None = None) -> Edits:
    """Keys from a file of keys, or from a track exported as JSON and changed.

    Args:
        text: the file.
        track: what they are for.
        face: whose they are; None leaves it to the file.

    Raises:
        TrackError: not such a file, or keys that cannot mean anything.
    """
    try:
        data = documents.json_value(text)
        kind = data.get("schema") if isinstance(data, dict) else None
        if kind == jsonfile.SCHEMA:
            return _from_track_json(jsonfile.TrackJson.model_validate(data), track, face)
        fixes = FixesJson.model_validate(data)
        wanted = face if face is not None else choose(track, fixes.face)
        frames = {int(frame): key for frame, key in fixes.keys.items()}
        found = {frame: key_of(key, track, frame=frame, face=wanted) for frame, key in frames.items()}
    except ValidationError as problem:
        if (other := documents.version_problem(problem)) is not None:
            raise TrackError(other[0], hint=other[1]) from problem
        first = problem.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise TrackError(f"not a file of keys: {where}: {first['msg']}", hint=f"its schema is {SCHEMA}") from problem
    except ValueError as problem:
        raise TrackError(f"not a file of keys: {problem}", hint=f"its schema is {SCHEMA}") from problem
    return Edits(wanted, found)


def key_of(entry: KeyJson, track: Track, *, frame: int, face: int) -> Key:
    """The key that an entry means; raises TrackError for one that means none or two things."""
    nudge = (entry.scale, entry.rotate, entry.move)
    nudged = any(value is not None for value in nudge)
    if (entry.similarity is not None) + (entry.landmarks is not None) + nudged != 1:
        hint = "give similarity, or landmarks, or scale, rotate and move"
        raise TrackError("a key says nothing, or two things at once", hint=hint, frame=frame)
    reach = None if entry.reach == "hold" else entry.reach
    aspect = track.pixel_aspect
    if entry.landmarks is not None:
        points = {int(index): (at[0], at[1]) for index, at in entry.landmarks.items()}
        return Key(landmarks=points, reach=reach).check(pixel_aspect=aspect)
    if entry.similarity is not None:
        return Key(similarity=np.array(entry.similarity, np.float64), reach=reach).check(pixel_aspect=aspect)
    solved = track.solved(face).get(frame)
    if solved is None:
        raise TrackError(
            f"face {face} was not found there, so nothing can be said from where it is",
            hint="place it with --similarity or with two landmarks",
            frame=frame,
        )
    x, y = entry.move or (0.0, 0.0)
    scale = 1.0 if entry.scale is None else entry.scale
    off = keys.relative(scale, entry.rotate or 0.0, (x, y))
    matrix = keys.corrected_similarity(solved.similarity, off, pixel_aspect=aspect)
    return Key(similarity=matrix, reach=reach)


def _from_track_json(data: jsonfile.TrackJson, track: Track, face: int | None) -> Edits:
    wanted = choose(track, None) if face is None else face
    here = track.face(wanted)
    found: dict[int, Key] = {}
    for number, listed in data.frames.items():
        frame = int(number)
        entry = next((one for one in listed.faces if one.id == wanted), None)
        now = here.get(frame)
        if entry is None or now is None:
            continue
        points = np.array(entry.landmarks)[:, :2]
        moved = np.flatnonzero(np.abs(points - now.landmarks[:, :2]).max(axis=1) > MOVED)
        matrix = np.array(entry.similarity)
        if len(moved):
            found[frame] = Key(landmarks={int(i): (float(points[i, 0]), float(points[i, 1])) for i in moved})
        elif _apart(matrix, now.similarity) > MOVED:
            found[frame] = Key(similarity=matrix)
    return Edits(wanted, found)


def _apart(one: Matrix23, other: Matrix23) -> float:
    """Plate pixels by which two similarities differ at the face."""
    return float(np.abs(nuke.corners(one) - nuke.corners(other)).max())


# -------------------------------------------------------------------------------------------------- Nuke


def from_nk(text: str, track: Track, *, face: int | None = None, reach: int | None = keys.REACH) -> Edits:
    """Keys from a Nuke script that holds an exported Tracker4 or CornerPin2D which an artist changed.

    Args:
        text: the script.
        track: what they are for.
        face: whose they are; None is the one that was exported.
        reach: of every key.

    Raises:
        TrackError: no such node, or one that was not exported from here.
    """
    nodes = [node for node in nk.every(nk.parse(text)) if node.kind in _NODES]
    if not nodes:
        raise TrackError("the script has no Tracker4 and no CornerPin2D", hint="export one, change it, copy it back")
    found: dict[int, Key] = {}
    notes: list[str] = []
    whom = face
    for node in nodes:
        try:
            record = nuke.recorded(node.text(nuke.RECORD))
        except ValueError:
            notes.append(f"{node.text('name') or node.kind} was not exported from here: passed over")
            continue
        wanted = int(record["face"]) if face is None else face
        if whom not in (None, wanted):
            raise TrackError("the script's nodes are of several faces", hint="give one face's nodes, or --face")
        whom = wanted
        read = _tracker if node.kind == "Tracker4" else _corner_pin
        found |= read(node, record, track, wanted, reach, notes)
    if whom is None:
        raise TrackError(
            "none of the script's nodes was exported from here", hint="export one, change it, copy it back"
        )
    if not any(one.id == whom for one in track.faces):
        raise TrackError(f"the track has no face {whom}", hint="say whose the keys are with --face")
    strange = sorted(found.keys() - track.frames.keys())
    notes += [f"frame {frame} was not tracked: its change is left out" for frame in strange]
    return Edits(whom, {frame: found[frame] for frame in sorted(found) if frame in track.frames}, tuple(notes))


def _tracker(
    node: nk.Node, record: dict[str, Any], track: Track, face: int, reach: int | None, notes: list[str]
) -> dict[int, Key]:
    """Frames in which a point of a Tracker4 was moved: all its points, as landmarks."""
    names = {mesh_point: name for name, mesh_point in nuke.POINTS.items()}
    order = {names.get(point, ""): i for i, point in enumerate(record["points"])}
    frames, before = record["frames"], _written(record, len(record["points"]))
    after = np.full(before.shape, np.nan)
    for row in _rows(node):
        index = order.get(row[1].text)
        if index is None:
            notes.append(f"track {row[1].text!r} is none of ours: passed over")
            continue
        enabled = nk.number_or_curve(row[0])
        for axis in (0, 1):
            after[:, index, axis] = _values(nk.number_or_curve(row[2 + axis]), frames)
        after[[not _held(enabled, frame) for frame in frames], index] = np.nan
    found = {}
    for i, frame in enumerate(frames):
        known = np.flatnonzero(~np.isnan(after[i]).any(axis=1))
        if np.abs(after[i, known] - before[i, known]).max(initial=0.0) > MOVED:
            points = flipped(after[i, known], record["size"][1])
            given = {int(record["points"][k]): (float(x), float(y)) for k, (x, y) in zip(known, points, strict=True)}
            found[frame] = Key(landmarks=given, reach=reach)
    return found


def _written(record: dict[str, Any], points: int) -> F64:
    """(frames, points, 2) what the node was written with."""
    values = np.array(record["values"], np.float64)
    if values.shape != (len(record["frames"]), points, 2):
        raise TrackError("the node's record is of another node", hint="export it again")
    return values


def _rows(node: nk.Node) -> list[list[nk.Word]]:
    """The tracks of a Tracker4's table."""
    parts = nk.words(node.text("tracks"))
    if len(parts) != 3:
        raise TrackError("a Tracker4's table has no three parts", hint="export the tracker again")
    rows = [nk.words(row.text) for row in nk.words(parts[2].text)]
    if any(len(row) < 4 for row in rows):
        raise TrackError("a track of the Tracker4 is cut short", hint="export the tracker again")
    return rows


def _values(found: float | nk.Curve, frames: Sequence[int]) -> F64:
    """The keys at `frames`, NaN where there is none: in between our own interpolation is as good."""
    if isinstance(found, float):
        return np.full(len(frames), found)
    return np.array([found.get(float(frame), np.nan) for frame in frames])


def _held(found: float | nk.Curve, frame: int) -> bool:
    """Whether a switch is on at a frame; steps."""
    if isinstance(found, float):
        return found > 0
    earlier = [time for time in found if time <= frame]
    return not found or found[max(earlier) if earlier else min(found)] > 0


def _corner_pin(
    node: nk.Node, record: dict[str, Any], track: Track, face: int, reach: int | None, notes: list[str]
) -> dict[int, Key]:
    """Frames in which a corner was moved: the similarity that comes nearest to the four."""
    side = "from" if record["kind"] == "stabilize" else "to"
    frames, before = record["frames"], _written(record, len(nuke.QUAD))
    after = before.copy()
    for i in range(len(nuke.QUAD)):
        pair = nk.words(node.text(f"{side}{i + 1}"))
        if len(pair) != 2:
            raise TrackError(f"{side}{i + 1} of the CornerPin2D has no two numbers", hint="export it again")
        for axis in (0, 1):
            values = _values(nk.number_or_curve(pair[axis]), frames)
            after[:, i, axis] = np.where(np.isnan(values), before[:, i, axis], values)
    found = {}
    for i, frame in enumerate(frames):
        if np.abs(after[i] - before[i]).max() <= MOVED:
            continue
        old, new = (flipped(quad[i], record["size"][1]) for quad in (before, after))
        matrix, off = _nearest(new, track.pixel_aspect)
        if off > _LOPSIDED:
            notes.append(f"frame {frame}: the corners are no square, off by {off:.1f} px; the nearest square counts")
        found[frame] = Key(similarity=_undistorted(matrix, old, track, face, frame), reach=reach)
    return found


def _nearest(quad: F64, pixel_aspect: float) -> tuple[Matrix23, float]:
    """Plate -> unit frame whose crop comes nearest to (4, 2) corners, and the pixels it is off by at most."""
    squeeze = np.array([pixel_aspect, 1.0])
    fit = similarity(nuke.QUAD, quad * squeeze)
    off = float(np.abs((transform(fit, nuke.QUAD) / squeeze) - quad).max())
    unit = invert(fit)
    unit[:, :2] *= squeeze
    return unit, off


def _undistorted(matrix: Matrix23, old: F64, track: Track, face: int, frame: int) -> Matrix23:
    """`matrix` as the track counts: with a lens the same change to the straight picture's similarity."""
    now = track.at(frame, face)
    if now is None or in_plate(track, now) is now.similarity:
        return matrix
    was, _ = _nearest(old, track.pixel_aspect)
    off = keys.between(was, matrix, pixel_aspect=track.pixel_aspect)
    return keys.corrected_similarity(now.similarity, off, pixel_aspect=track.pixel_aspect)
