"""A frame's face as QC looks at it: plate and output upright, at one size, side by side.

A chip is a square of `SIZE` pixels in which the face, forehead to chin, is `FACE` pixels high and stands still: both
pictures are resampled through the same track, so what moves in one and not in the other is the swap's doing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vfxswap import exr
from vfxswap.color import ModelSpace
from vfxswap.face import mesh
from vfxswap.face.frame import FaceFrame
from vfxswap.face.landmarks import crop
from vfxswap.geometry import Matrix23, Window, compose, invert, transform
from vfxswap.pixels import F32, F64, AnyArray, ModelRgb, WorkingRgb
from vfxswap.plate import Plate, scrub, skin_gain

Mask = NDArray[np.bool_]

SIZE = 320
REACH = 1.8
"""A chip shows so many face heights."""
FACE = SIZE / REACH

CELLS = 24
"""A thumb is so many cells wide and high; it is kept for every frame of the shot."""

NOWHERE = Window(0, 0, 0, 0)

_MARGIN = 2
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


@dataclass(frozen=True, eq=False)
class Chip:
    """One frame's face, twice.

    Attributes:
        plate, output: (SIZE, SIZE, 3) float32 sRGB codes of one exposure, by which the plate's skin is 0.18.
        cover: (SIZE, SIZE) float32, how much of the face was replaced, 0..1.
        let: (SIZE, SIZE) bool, where an artist's matte says that nothing is to be replaced.
        changed: (SIZE, SIZE) bool, pixels that differ from the plate at all.
        near_plate, near_output: (h, w, 3) float32 codes of the plate's own pixels around the face.
        near_cover: (h, w) float32 of the same pixels.
        height: of the face in those pixels.
        stray: pixels of the whole frame that differ from the plate where nothing was replaced.
    """

    plate: ModelRgb
    output: ModelRgb
    cover: F32
    let: Mask
    changed: Mask
    near_plate: F32
    near_output: F32
    near_cover: F32
    height: float
    stray: int

    @property
    def inside(self) -> Mask:
        """(SIZE, SIZE) where the output is the swap's, all of it."""
        return np.asarray(self.cover > 0.5)


def matrix(face: FaceFrame) -> Matrix23:
    """Plate pixels -> chip pixels."""
    middle = SIZE / 2 - FACE / 2
    return compose(np.array([[FACE, 0.0, middle], [0.0, FACE, middle]]), face.similarity)


def cut(plate: Plate, picture: exr.Frame, result: Plate, output: exr.Frame, face: FaceFrame, *, gain: float) -> Chip:
    """Cut the face out of both pictures of a frame.

    Args:
        plate: the plate; its config says what both pictures' working space is.
        picture: its frame.
        result: the output as a sequence of its own.
        output: its frame, a comp or ingredients.
        face: where the face is.
        gain: the shot's exposure, for frames whose skin gives none.
    """
    display = Window(0, 0, picture.display_window.width, picture.display_window.height)
    to_chip = matrix(face)
    corners = transform(invert(to_chip), np.array([[0, 0], [SIZE, 0], [0, SIZE], [SIZE, SIZE]], np.float64))
    window = Window.around(corners, margin=_MARGIN).intersect(display)
    before, after = (_light(*pair, window) for pair in ((plate, picture), (result, output)))
    found = skin_gain(before, window, mesh.skin_points(face.landmarks), plate.config)
    space = ModelSpace(plate.config, found if np.isfinite(found) else gain)
    codes = [space.encode(scrub(rgb)) for rgb in (before, after)]
    differ = np.any(_bits(before) != _bits(after), axis=-1)
    layers = mattes(output, window)
    cover, let = _cover(layers, differ)
    local = compose(to_chip, np.array([[1.0, 0.0, window.x], [0.0, 1.0, window.y]]))
    planes = np.stack([cover, let.astype(np.float32), differ.astype(np.float32)], axis=-1)
    seen = crop(ModelRgb(planes), local, size=SIZE, border=cv2.BORDER_CONSTANT)
    return Chip(
        plate=ModelRgb(crop(codes[0], local, size=SIZE)),
        output=ModelRgb(crop(codes[1], local, size=SIZE)),
        cover=np.asarray(seen[..., 0]),
        let=np.asarray(seen[..., 1] > 0.5),
        changed=np.asarray(seen[..., 2] > 0.5),
        near_plate=codes[0],
        near_output=codes[1],
        near_cover=cover,
        height=FACE / float(np.sqrt(abs(np.linalg.det(to_chip[:, :2])))),
        stray=stray(picture, output, window if not layers else None),
    )


def _light(plate: Plate, image: exr.Frame, window: Window) -> WorkingRgb:
    """(h, w, 3) working-space pixels of `window`; 0 where the file has none."""
    rgb, held = plate.working(image, window)
    if held == window:
        return rgb
    whole = np.zeros((window.height, window.width, 3), np.float32)
    if not held.empty:
        whole[held.slices(window)] = rgb
    return WorkingRgb(whole)


def _bits(pixels: AnyArray) -> AnyArray:
    return np.ascontiguousarray(pixels, np.float32).view(np.uint32)


def mattes(output: exr.Frame, window: Window) -> dict[str, F32]:
    """The mattes of an ingredients file over `window`, by cause ("face", "occlusion", "artist"); empty in a comp.

    Where several faces were swapped, each cause is that of all of them together.
    """
    found: dict[str, F32] = {}
    pixels, held = output.selected_pixels(), output.origin_window
    inside = held.intersect(window)
    for index, channel in enumerate(output.part.channels):
        layer, _, cause = channel.name.rpartition(".")
        if cause in ("face", "occlusion", "artist") and layer.rpartition(".")[2].rstrip("0123456789") == "matte":
            plane = np.zeros((window.height, window.width), np.float32)
            plane[inside.slices(window)] = pixels[inside.slices(held)][..., index]
            found[cause] = np.maximum(found[cause], plane) if cause in found else plane
    return found if "face" in found else {}


def _cover(layers: dict[str, F32], differ: Mask) -> tuple[F32, Mask]:
    """What was replaced, and where an artist wanted none. A comp says the first by its pixels alone."""
    if layers:
        nothing = np.zeros(differ.shape, np.float32)
        kept = layers.get("occlusion", nothing) > 0.5
        face, artist = layers["face"], layers.get("artist")
        return face, np.asarray(kept if artist is None else kept | ((artist < 0.5) & (face <= 0)))
    # Single pixels come out as they went in by chance; a hole that matters is larger.
    filled = cv2.morphologyEx(differ.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    return np.asarray(filled, np.float32), np.zeros(differ.shape, bool)


def stray(picture: exr.Frame, output: exr.Frame, window: Window | None) -> int:
    """Pixels outside every matte (in a comp: outside `window`) whose R, G, B are not the plate's bit for bit."""
    common = picture.origin_window.intersect(output.origin_window)
    pair = [image.rgb[common.slices(image.origin_window)] for image in (picture, output)]
    same = pair[0].dtype == pair[1].dtype
    a, b = (np.ascontiguousarray(x if same else x.astype(np.float32)) for x in pair)
    kind = np.uint16 if a.dtype == np.float16 else np.uint32
    differ = np.any(a.view(kind) != b.view(kind), axis=-1)
    if window is None:
        differ &= mattes(output, common)["face"] <= 0
    elif not (held := window.intersect(common)).empty:
        differ[held.slices(common)] = False
    return int(differ.sum())


# ------------------------------------------------------------------------------------------------ thumbs


def lab(codes: F32) -> F32:
    """(..., 3) CIE L*a*b* of sRGB codes (D65): L* 0..100; distances are CIE 1976 colour differences."""
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(codes, np.float32), cv2.COLOR_RGB2Lab), np.float32)


def luma(codes: F32) -> F32:
    """(...) of codes, Rec.709 weights."""
    return np.asarray(codes @ _LUMA, np.float32)


def cells(picture: F32, *, across: int = CELLS) -> F32:
    """Means over (across, across) cells of the chip's middle, 1.2 face heights wide."""
    low = round(SIZE / 2 - 0.6 * FACE)
    middle = picture[low : SIZE - low, low : SIZE - low]
    return np.asarray(cv2.resize(middle, (across, across), interpolation=cv2.INTER_AREA), np.float32)


def polygon(points: F64, outline: Sequence[int]) -> Mask:
    """(SIZE, SIZE) the inside of the convex hull of some landmarks in chip pixels."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    hull = cv2.convexHull(np.round(points[list(outline), :2] - 0.5).astype(np.int32))
    cv2.fillConvexPoly(mask, hull, 1)
    return np.asarray(mask > 0)
