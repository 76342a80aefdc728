"""A face as Nuke nodes: Tracker4, CornerPin2D and Roto, as text that Nuke pastes or opens.

Coordinates are those of view.py. Every frame that has the face is keyed. A Tracker4 and a CornerPin2D carry, in a
hidden knob, what they were written with, so that an artist's changes can be read back (edits.py).
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Annotated, Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from vfxswap import align, documents
from vfxswap.errors import TrackError
from vfxswap.face import mesh
from vfxswap.face.export.nk import curve, number, quoted
from vfxswap.face.export.view import View
from vfxswap.geometry import Matrix23, invert, transform
from vfxswap.pixels import F64

SCHEMA = "vfxswap.nk/1"
RECORD = "vfxswap_export"
"""Name of the hidden knob."""

POINTS = {
    "eye_right_outer": 33,
    "eye_right_inner": 133,
    "eye_left_inner": 362,
    "eye_left_outer": 263,
    "nose_bridge": 168,
    "nose_tip": 4,
    "mouth_right": 61,
    "mouth_left": 291,
    "chin": 152,
    "forehead": 10,
}
"""The tracker's points by name; right and left are the subject's."""

# These hardly move with expression, so Nuke may take the face's scale and turn from them.
_RIGID = {"eye_right_outer", "eye_right_inner", "eye_left_inner", "eye_left_outer", "nose_bridge"}

SHAPES = {
    "face_oval": mesh.OVAL,
    "eye_right": mesh.RIGHT_EYE,
    "eye_left": mesh.LEFT_EYE,
    "mouth": mesh.LIPS_OUTER,
    "mouth_inner": mesh.LIPS_INNER,
}

# Columns of a tracker's table: type, 1 where the column is hidden or fixed, its width, its name twice, 1.
_COLUMNS = (
    "{ { 5 1 20 enable e 1 }",
    "{ 3 1 75 name name 1 }",
    *(f"{{ 2 1 58 {name} {name} 1 }}" for name in ("track_x", "track_y")),
    *(f"{{ 2 1 63 {name} {name} 1 }}" for name in ("offset_x", "offset_y")),
    *(f"{{ 4 1 27 {name} {name} 1 }}" for name in "TRS"),
    "{ 2 0 45 error error 1 }",
    *(f"{{ 1 1 0 {name} {name} 1 }}" for name in ("error_min", "error_max")),
    *(f"{{ 1 1 0 {area}_{side} {area}_{side} 1 }}" for area in ("pattern", "search") for side in "xyrt"),
    "{ 2 1 0 key_track key_track 1 }",
    *(f"{{ 2 1 0 {area}_{side} {area}_{side} 1 }}" for area in ("key_search", "key_track") for side in "xyrt"),
    *(f"{{ 2 1 0 key_centre_offset_{side} key_centre_offset_{side} 1 }}" for side in "xy"),
)
_HEAD = "set cut_paste_input [stack 0]\nversion 13.0 v1\n"
_PUSH = "push $cut_paste_input\n"

_LAYER = " ".join(
    [
        *(f"pt{i}{axis} 0" for i in range(1, 5) for axis in "xy"),
        *(f"ptex{i}{j} 0" for i in range(4) for j in range(4)),
        *(f"ptof{i}{axis} 0" for i in range(1, 5) for axis in "xy"),
        "pterr 0 ptrefset 0 ptmot x40800000 ptref 0",
    ]
)


def tracker(view: View) -> str:
    """A Tracker4 with the points of `POINTS`; its error is one minus the track's confidence."""
    frames, positions = view.frames, view.landmarks(list(POINTS.values()))
    error = [1.0 - view.faces[frame].confidence for frame in frames]
    there = seen(view)
    enabled = curve(list(there), list(there.values()), kind="K")
    rows = [_track(name, name in _RIGID, frames, positions[:, i], error, enabled) for i, name in enumerate(POINTS)]
    columns = "\n".join(_COLUMNS)
    table = f"{{ {{ 1 31 {len(rows)} }}\n{columns}\n}}\n{{\n" + "\n".join(rows) + "\n}\n}"
    record = _record(view, "tracker", positions, points=list(POINTS.values()))
    knobs = [f"tracks {table}", f"reference_frame {view.first}", *_named(view, "tracker"), *record]
    return _HEAD + _PUSH + _node("Tracker4", knobs)


def _track(name: str, rigid: bool, frames: list[int], at: F64, error: list[float], enabled: str) -> str:
    """One row of the table."""
    x, y = (curve(frames, at[:, axis].tolist()) for axis in (0, 1))
    still = curve(frames[:1], [0.0], kind="K")
    use = f"1 {int(rigid)} {int(rigid)}"
    return (
        f' {{ {enabled} "{name}" {x} {y} {still} {still} {use} {curve(frames, error)} 0 {number(max(error))}'
        " -32 -32 32 32 -22 -22 22 22" + " {}" * 11 + " }"
    )


def seen(view: View) -> dict[int, float]:
    """Frame -> 1 from where the face comes, 0 from where it is gone."""
    steps: dict[int, float] = {}
    for frame in sorted({*view.track.frames, *view.frames}):
        there = float(frame in view.faces)
        if not steps or steps[max(steps)] != there:
            steps[frame] = there
    return steps


# --------------------------------------------------------------------------------------------- corner pin

# The model's crop, in the unit face frame: Nuke's corners run from the bottom left counterclockwise.
_LEFT, _TOP = (centre - align.FRAME_SIZE / 2 for centre in align.FRAME_CENTRE)
QUAD = np.array([[0, 1], [1, 1], [1, 0], [0, 0]]) * align.FRAME_SIZE + [_LEFT, _TOP]


def corners(matrix: Matrix23) -> F64:
    """(4, 2) where the corners of the model's crop lie in the plate, from plate -> unit face frame."""
    return transform(invert(matrix), QUAD)


def corner_pin(view: View) -> str:
    """Two CornerPin2D: one sticks a picture of the reference frame to the face, the other one holds the face still.

    Both go through the square around the face that the model paints.
    """
    found = view.up(np.array([corners(view.in_plate(frame)) for frame in view.frames]))
    still = found[view.frames.index(view.first)]
    moving = [
        f"{{{curve(view.frames, found[:, i, 0].tolist())} {curve(view.frames, found[:, i, 1].tolist())}}}"
        for i in range(len(QUAD))
    ]
    fixed = [f"{{{number(float(x))} {number(float(y))}}}" for x, y in still]
    nodes = []
    for kind, to, source in (("matchmove", moving, fixed), ("stabilize", fixed, moving)):
        knobs = [f"to{i} {value}" for i, value in enumerate(to, start=1)]
        knobs += [f"from{i} {value}" for i, value in enumerate(source, start=1)]
        label = quoted(f"{kind}, reference frame {view.first}")
        record = _record(view, kind, found, points=[])
        nodes.append(_PUSH + _node("CornerPin2D", [*knobs, f"label {label}", *_named(view, kind), *record]))
    return _HEAD + "".join(nodes)


# --------------------------------------------------------------------------------------------------- roto


def roto(view: View) -> str:
    """A Roto with the shapes of `SHAPES`: closed Bezier curves through the landmarks, keyed on every frame.

    A shape is invisible where the face is not. Between whole frames Nuke holds these keys: no motion blur.
    """
    middle = f"{number(view.size[0] / 2)} {number(view.size[1] / 2)}"
    shapes = "\n".join(_shape(view, name, indices) for name, indices in SHAPES.items())
    layer = f"{{layer Root\n {{f 2097152}}\n {{t {middle}}}\n {{a {_LAYER}}}\n{shapes}}}"
    tree = f"{{{{{{v 1.2}}\n{{f 0}}\n{{n\n{layer}}}}}}}"
    return _HEAD + _PUSH + _node("Roto", ["output alpha", "cliptype none", f"curves {tree}", *_named(view, "roto")])


def _shape(view: View, name: str, indices: Sequence[int]) -> str:
    points = view.landmarks(indices)
    # A Catmull-Rom curve through the points, as Bezier tangents.
    tangent = (np.roll(points, -1, axis=1) - np.roll(points, 1, axis=1)) / 6
    rows = []
    for i in range(points.shape[1]):
        for at in (-tangent[:, i], points[:, i], tangent[:, i]):
            rows.append(f"    {{{_keys(view.frames, at[:, 0])} {_keys(view.frames, at[:, 1])}}}")
    middle = points[0].mean(axis=0)
    there = seen(view)
    visible = _keys(list(there), np.array(list(there.values())))
    pivot = f"spx {number(view.size[0] / 2)} spy {number(view.size[1] / 2)}"
    return (
        f" {{curvegroup {name} 512 bezier\n  {{{{cc\n   {{f 8192}}\n   {{p\n"
        + "\n".join(rows)
        + f"}}}}     idem}}\n  {{tx {view.frames[0]} {number(float(middle[0]))} {number(float(middle[1]))}}}\n"
        f"  {{a vis {visible} osw 10 osf 0 str 1 {pivot} sb 1 tt 4}}}}"
    )


def _keys(frames: Sequence[int], values: F64) -> str:
    """An animation in a roto tree, which has a grammar of its own: a list of {frame value}."""
    return "{" + " ".join(f"{{{f} {number(float(v))}}}" for f, v in zip(frames, values, strict=True)) + "}"


# ------------------------------------------------------------------------------------------------- common


def _node(kind: str, knobs: Sequence[str]) -> str:
    return f"{kind} {{\n" + "".join(f" {knob}\n" for knob in knobs) + "}\n"


def _named(view: View, what: str) -> list[str]:
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in view.name)
    return [f"name vfxswap_{plain}_{what}", "selected true"]


def _record(view: View, kind: str, values: F64, *, points: list[int]) -> list[str]:
    """The hidden knob: what the node was written with."""
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "kind": kind,
        "plate": view.track.plate,
        "face": view.face,
        "name": view.name,
        "size": list(view.size),
        "frames": view.frames,
        "points": points,
        "values": np.round(values, 4).tolist(),
    }
    packed = base64.b64encode(zlib.compress(json.dumps(data).encode(), 9)).decode()
    return ["addUserKnob {20 vfxswap}", f"addUserKnob {{1 {RECORD} l vfxswap +INVISIBLE}}", f"{RECORD} {packed}"]


def recorded(packed: str) -> dict[str, Any]:
    """What `_record` packed; raises ValueError for anything else, TrackError for another version's."""
    try:
        unpacking = zlib.decompressobj()
        text = unpacking.decompress(base64.b64decode(packed, validate=True), documents.LARGE)
    except zlib.error as problem:
        raise ValueError(str(problem)) from problem
    if not unpacking.eof:
        raise ValueError("cut off, or too large")
    data = documents.json_value(text)
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        other = documents.other_version(data.get("schema"), SCHEMA) if isinstance(data, dict) else None
        if other is not None:
            raise TrackError(other[0], hint=other[1])
        raise ValueError("not a record of an export")
    return _Recorded.model_validate(data).model_dump()


_Pair = Annotated[list[float], Field(min_length=2, max_length=2)]


class _Recorded(BaseModel):
    """What `_record` packs."""

    model_config = ConfigDict(allow_inf_nan=False)

    kind: str
    face: int
    size: Annotated[list[int], Field(min_length=2, max_length=2)]
    frames: list[int]
    points: list[Annotated[int, Field(ge=0, lt=mesh.COUNT)]]
    values: list[list[_Pair]]

    @model_validator(mode="after")
    def _as_many(self) -> Self:
        width = {len(row) for row in self.values}
        if len(self.values) != len(self.frames) or not self.frames or len(width) != 1:
            raise ValueError("not a record of an export: its lists differ in length")
        return self
