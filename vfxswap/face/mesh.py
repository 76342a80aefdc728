"""The canonical face mesh: its shape, its texture coordinates and which point is what.

468 points; a tracked face has 10 more for the irises (468..472 the subject's right eye, 473..477 the left, centre
first). Left and right are the subject's. Source: MediaPipe's face geometry metadata (Apache-2.0), a protobuf whose
few fields are read here.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vfxswap import infer
from vfxswap.errors import ModelError
from vfxswap.pixels import F64

COUNT = 478
MESH_COUNT = 468

# Closed outlines, in order along the contour.
OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LIPS_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
LIPS_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
LEFT_BROW = (276, 283, 282, 295, 285, 336, 296, 334, 293, 300)
RIGHT_BROW = (46, 53, 52, 65, 55, 107, 66, 105, 63, 70)
NOSTRILS = (2, 48, 64, 97, 98, 278, 294, 326, 327)
NOSE = (1, 2, 4, 5, 6, 168, 195, 197, 48, 278, 64, 294, 98, 327, 97, 326)
INNER = (*LEFT_EYE, *RIGHT_EYE, *NOSE, *LIPS_OUTER, *LIPS_INNER)
RIGHT_IRIS = (468, 469, 470, 471, 472)
LEFT_IRIS = (473, 474, 475, 476, 477)

# The 51 inner points of the customary 68 (iBUG 300-W): brows, nose, eyes, lips.
INNER_51 = (
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),
    *(168, 197, 5, 4, 98, 97, 2, 326, 327),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),
    *(78, 82, 13, 312, 308, 317, 14, 87),
)

# Parts of the face that move by themselves, for smoothing over time.
MOVING_PARTS = (
    (*LEFT_EYE, *LEFT_IRIS),
    (*RIGHT_EYE, *RIGHT_IRIS),
    tuple({*LIPS_OUTER, *LIPS_INNER}),
    LEFT_BROW,
    RIGHT_BROW,
)

# Patches of bare skin away from brows, eyes, nostrils, lips and the hairline: where exposure is measured.
FOREHEAD_SKIN = (8, 9, 151, 108, 69, 104, 337, 299, 333)
RIGHT_CHEEK_SKIN = (50, 101, 118, 117, 123, 187, 205, 36, 206, 207, 147)
LEFT_CHEEK_SKIN = (280, 330, 347, 346, 352, 411, 425, 266, 426, 427, 376)
SKIN = (*FOREHEAD_SKIN, *RIGHT_CHEEK_SKIN, *LEFT_CHEEK_SKIN)


@dataclass(frozen=True, eq=False)
class CanonicalMesh:
    """The neutral mean face.

    Attributes:
        vertices: (468, 3) float64 in centimetres: x to the subject's left, y up, z towards the camera.
        uv: (468, 2) float64 texture coordinates 0..1, origin top-left.
        triangles: (898, 3) int64 vertex indices.
        rigid: (33,) int64 indices of the points that expression moves least.
        rigid_weights: (33,) float64, their weights for fitting a pose.
    """

    vertices: F64
    uv: F64
    triangles: NDArray[np.int64]
    rigid: NDArray[np.int64]
    rigid_weights: F64


@functools.cache
def canonical() -> CanonicalMesh:
    """The canonical mesh, read once per process; its arrays are read-only.

    Raises:
        ModelError: the vendored file is missing or is not such a mesh.
    """
    path = infer.weights("mesh")
    try:
        mesh = parse(path.read_bytes())
    except (ValueError, IndexError, KeyError, struct.error) as error:
        raise ModelError("the canonical mesh cannot be read", path=path, hint="reinstall vfxswap") from error
    for array in (mesh.vertices, mesh.uv, mesh.triangles, mesh.rigid, mesh.rigid_weights):
        array.setflags(write=False)
    return mesh


@functools.cache
def template() -> F64:
    """The canonical face seen from the front in the unit face frame, (468, 2) float64.

    The unit square is where a crop of size 1 without padding looks: x right and y down as in an image, the face's
    midline at x = 0.5, the top of the forehead (point 10) at y = 0, the chin (point 152) at y = 1.
    """
    vertices = canonical().vertices
    top, chin = vertices[10, 1], vertices[152, 1]
    flat: F64 = np.stack([vertices[:, 0], top - vertices[:, 1]], axis=1) / (top - chin)
    flat[:, 0] += 0.5
    flat.setflags(write=False)
    return flat


@functools.cache
def mirror() -> NDArray[np.int64]:
    """(478,) index of each point's counterpart on the other half of the face."""
    vertices = canonical().vertices
    flipped = vertices * [-1, 1, 1]
    squared = ((flipped[:, None] - vertices[None]) ** 2).sum(axis=2)
    # An iris is centre, then right, top, left, bottom as the image shows it: a flip exchanges right and left.
    irises = [473, 476, 475, 474, 477, 468, 471, 470, 469, 472]
    return np.concatenate([squared.argmin(axis=1), irises]).astype(np.int64)


def skin_points(points: F64) -> F64:
    """Positions on the bare skin of forehead and cheeks, (M, 2) float64, from (468 or 478, 2 or 3) landmarks.

    The mesh points of `SKIN` and the centres of the triangles between them: enough for a median that a few
    freckles, hairs or a small occluder do not move.
    """
    flat = np.asarray(points, np.float64)[:, :2]
    return np.concatenate([flat[list(SKIN)], flat[_skin_triangles()].mean(axis=1)])


def bare_points(points: F64) -> F64:
    """Positions on bare skin all over the face, (M, 2) float64, from (468 or 478, 2 or 3) landmarks.

    The centres of the mesh's triangles that touch neither eyes, brows, lips nor nostrils: where the tone of two
    faces can be compared, whatever their features.
    """
    flat = np.asarray(points, np.float64)[:, :2]
    return np.asarray(flat[_bare_triangles()].mean(axis=1), np.float64)


@functools.cache
def _bare_triangles() -> NDArray[np.int64]:
    features = (*LEFT_EYE, *RIGHT_EYE, *LEFT_BROW, *RIGHT_BROW, *LIPS_OUTER, *LIPS_INNER, *NOSTRILS)
    triangles = canonical().triangles
    return triangles[~np.isin(triangles, features).any(axis=1)]


@functools.cache
def _skin_triangles() -> NDArray[np.int64]:
    triangles = canonical().triangles
    return triangles[np.isin(triangles, SKIN).all(axis=1)]


def parse(data: bytes) -> CanonicalMesh:
    """Read MediaPipe's GeometryPipelineMetadata.

    Message fields (mediapipe/modules/face_geometry/protos/*.proto): 1 canonical_mesh {3 vertex_buffer, five floats
    per vertex x, y, z, u, v; 4 index_buffer}, 2 procrustes_landmark_basis {1 landmark_id, 2 weight}.

    Raises:
        ValueError, IndexError, KeyError, struct.error: the bytes are something else.
    """
    vertex_bytes, indices, basis = bytearray(), list[int](), dict[int | bytes, float]()
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            for inner, content in _fields(value):
                if inner == 3 and isinstance(content, bytes):
                    vertex_bytes += content
                elif inner == 4:
                    indices.extend(_varints(content) if isinstance(content, bytes) else [content])
        elif number == 2 and isinstance(value, bytes):
            entry = dict(_fields(value))
            (weight,) = struct.unpack("<f", _as_bytes(entry[2]))
            basis[entry.get(1, 0)] = weight
    vertices = np.frombuffer(bytes(vertex_bytes), "<f4").reshape(MESH_COUNT, 5).astype(np.float64)
    return CanonicalMesh(
        vertices=vertices[:, :3].copy(),
        uv=vertices[:, 3:].copy(),
        triangles=np.array(indices, np.int64).reshape(-1, 3),
        rigid=np.array(list(basis), np.int64),
        rigid_weights=np.array(list(basis.values()), np.float64),
    )


def _as_bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("expected a float field")
    return value


def _varint(data: bytes, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[position]
        position += 1
        result |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return result, position


def _varints(data: bytes) -> Iterator[int]:
    position = 0
    while position < len(data):
        value, position = _varint(data, position)
        yield value


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field number and content of each field: an int for varints, bytes for floats, strings and messages."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        wire = tag & 7
        if wire == 0:
            value, position = _varint(data, position)
            yield tag >> 3, value
            continue
        length = 4
        if wire == 2:
            length, position = _varint(data, position)
        elif wire != 5:
            raise ValueError(f"unexpected wire type {wire}")
        yield tag >> 3, data[position : position + length]
        position += length
