"""A track as JSON, as written down in docs/schemas/track.json (the JSON Schema made here).

Coordinates are the core's own: plate pixels of the display window, origin top-left, y down, the centre of the first
pixel at (0.5, 0.5), squeezed pixels as they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from vfxswap import atomic
from vfxswap.face import mesh
from vfxswap.face.frame import FaceFrame, Source
from vfxswap.face.track import Track
from vfxswap.pixels import F64

SCHEMA: Literal["vfxswap.track-json/1"] = "vfxswap.track-json/1"

# A ten-thousandth of a pixel: far below any error, and the file is a third of the size.
_DECIMALS = 4

_Point = Annotated[list[float], Field(min_length=3, max_length=3)]
_Row = Annotated[list[float], Field(min_length=3, max_length=3)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FaceJson(_Strict):
    """One face in one frame."""

    id: Annotated[int, Field(description="the same face has the same id in all frames; 0 is the most prominent")]
    name: Annotated[str | None, Field(description="left out when no name was given")] = None
    box: Annotated[list[float], Field(min_length=4, max_length=4, description="x0, y0, x1, y1")]
    landmarks: Annotated[
        list[_Point],
        Field(min_length=mesh.COUNT, max_length=mesh.COUNT, description="x, y, z; z in rows, negative is nearer"),
    ]
    confidence: Annotated[float, Field(ge=0, le=1)]
    pose_deg: Annotated[
        list[float],
        Field(
            min_length=3,
            max_length=3,
            description="pitch (positive down), yaw (positive to the image's right), roll (positive counterclockwise)",
        ),
    ]
    similarity: Annotated[
        list[_Row], Field(min_length=2, max_length=2, description="plate pixels to the unit face frame, (2, 3)")
    ]
    source: Source


class FrameJson(_Strict):
    """All faces of one frame; the list is empty where no face is."""

    faces: list[FaceJson]


class TrackJson(_Strict):
    """All frames of a plate, by frame number."""

    schema_: Annotated[Literal["vfxswap.track-json/1"], Field(alias="schema")] = SCHEMA
    plate: str
    frames: dict[str, FrameJson]


def json_schema() -> dict[str, Any]:
    """The JSON Schema of what `to_json` returns."""
    return TrackJson.model_json_schema(by_alias=True)


def to_json(track: Track, *, face: int | None = None) -> TrackJson:
    """The track with the artist's keys as validated plain data: all faces, or the one with this id."""
    names = {person.id: person.name for person in track.faces}
    return TrackJson(
        plate=track.plate,
        frames={
            str(frame): FrameJson(
                faces=[_face(key, names.get(key), found) for key, found in pairs if face is None or key == face]
            )
            for frame, pairs in track.fixed.frames.items()
        },
    )


def json_text(track: Track, *, face: int | None = None) -> str:
    """The track as JSON text."""
    return to_json(track, face=face).model_dump_json(by_alias=True, exclude_none=True)


def write_json(track: Track, path: Path, *, face: int | None = None) -> None:
    """Write the track as JSON, atomically; raises OutputError or ResourceError."""
    atomic.write_text(path, json_text(track, face=face) + "\n")


def _face(key: int, name: str | None, face: FaceFrame) -> FaceJson:
    return FaceJson(
        id=key,
        name=name,
        box=_rounded(face.box),
        landmarks=_rounded(face.landmarks),
        confidence=round(face.confidence, _DECIMALS),
        pose_deg=_rounded(np.array(face.pose_deg)),
        # Not rounded: its numbers are as small as one over the face's size.
        similarity=face.similarity.tolist(),
        source=face.source,
    )


def _rounded(values: F64) -> Any:
    return np.round(values, _DECIMALS).tolist()
