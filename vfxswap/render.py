"""One frame, swapped: from a plate's pixels, a face and the shot's measurements to layers and files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vfxswap import align, blend, exr, matte
from vfxswap.color import ModelSpace
from vfxswap.face.track import FaceFrame
from vfxswap.geometry import Matrix23, Window, invert, transform
from vfxswap.job import Layers, SwapParameters
from vfxswap.measure import Measurements, Painted, face_window, paint
from vfxswap.pixels import F32, AnyArray, Matte, ModelRgb, WorkingRgb
from vfxswap.plate import Plate, count_bad
from vfxswap.vfxmodel import Painter

_SHAPING = 256
"""Side of the raster on which mattes are shaped, at least."""


@dataclass(frozen=True, eq=False)
class Swapped:
    """A frame's picture and layers over `window` (plate coordinates); colours are in the plate file's space.

    Attributes:
        rgb: (h, w, 3) in the file's own type: the comp. Around it the frame is the plate.
        window: where it lies; empty when there is no face.
        alpha: (h, w) float16.
        layers: name -> (h, w) float32: face, raw, gain, mattes (contracts: docs/layers.md).
        scrubbed: values that were NaN or Inf where the face went.
        clamped: values beyond the range of half.
    """

    rgb: AnyArray
    window: Window
    alpha: AnyArray
    layers: Mapping[str, F32]
    matrix: Matrix23 | None = None
    scrubbed: int = 0
    clamped: int = 0
    confidence: float = 0.0
    size: int = 0

    def whole(self, image: exr.Frame) -> AnyArray:
        """(H, W, 3) the comp over the whole data window of `image`, the frame that was swapped."""
        comp = np.array(image.rgb, copy=True)
        comp[self.window.slices(image.origin_window)] = self.rgb
        return comp


def passthrough(image: exr.Frame) -> Swapped:
    """A frame without a face: the plate as it is, and nothing else."""
    held = image.origin_window
    nothing = Window(held.x, held.y, 0, 0)
    return Swapped(np.zeros((0, 0, 3), image.dtype), nothing, np.zeros((0, 0), np.float16), {})


def swap_frame(
    image: exr.Frame,
    face: FaceFrame,
    *,
    plate: Plate,
    model: Painter,
    measurements: Measurements,
    frame: int,
    parameters: SwapParameters,
    artist: F32 | None = None,
) -> Swapped:
    """Swap one frame.

    Args:
        image: the plate's frame.
        face: where the face is.
        plate: whose colour settings hold.
        model: the opened model.
        measurements: the shot's.
        frame: its number, to find its relight.
        parameters: the artist's knobs.
        artist: (H, W) coverage over the image's data window that limits the face, or None.

    Returns:
        The face's part of the frame. Pixels of `rgb` where alpha is 0 are the plate's, bit for bit.
    """
    pixels, window = plate.working(image, face_window(face, size=model.resolution))
    if window.empty:
        return passthrough(image)
    space = ModelSpace(plate.config, measurements.gain, model.card.encoding)
    painted = paint(pixels, window, face, space=space, model=model)
    window = extent(painted, parameters)
    if window.empty:
        return passthrough(image)
    network, mattes = on_plate(painted, window, parameters)
    behind = WorkingRgb(painted.plate[window.slices(painted.window)])
    raw = space.restore(network, behind, parameters.highlights)
    gain = _gain(measurements, frame, parameters) * np.float32(parameters.relight)
    gain = align.put(gain, matrix=painted.matrix * (blend.GRID / model.resolution), window=window)
    here = window.slices(image.origin_window)
    if artist is not None:
        mattes["matte.artist"] = np.asarray(artist[here], np.float32)
    coverage = mattes["matte.model.shaped"] * mattes.get("matte.artist", np.float32(1.0)) * np.float32(parameters.mix)
    alpha = blend.quantised(Matte(np.asarray(coverage, np.float32)))
    held = image.rgb[here]
    color, clamped = _bounded(plate.to_file(blend.relight(raw, gain)), alpha, held.dtype)
    face_rgb = blend.premultiplied(color, alpha)
    return Swapped(
        rgb=blend.over(held, face_rgb, alpha),
        window=window,
        alpha=alpha,
        layers=_layers(face_rgb, plate.to_file(raw), gain, alpha, mattes),
        matrix=painted.matrix,
        scrubbed=count_bad(held[alpha > 0]),
        clamped=clamped,
        confidence=face.confidence,
        size=model.resolution,
    )


def extent(painted: Painted, parameters: SwapParameters) -> Window:
    """The plate pixels that the face can reach: where the network covers, and as far as its edge is pushed out."""
    rows, columns = np.nonzero(painted.mask >= matte.SEEN)
    if not len(rows):
        return Window(painted.window.x, painted.window.y, 0, 0)
    # Two crop pixels more, which interpolation can reach.
    out = 2.0 + max(0.0, -parameters.edge_erode) * _percent(painted)
    x0, x1, y0, y1 = columns.min() - out, columns.max() + 1 + out, rows.min() - out, rows.max() + 1 + out
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float64)
    return Window.around(transform(invert(painted.matrix), corners), margin=1.0).intersect(painted.window)


def _percent(painted: Painted) -> float:
    """Crop pixels in one percent of the face's size."""
    return float(painted.mask.shape[0]) / align.FRAME_SIZE / 100.0


def on_plate(painted: Painted, window: Window, parameters: SwapParameters) -> tuple[ModelRgb, dict[str, F32]]:
    """The network's face over `window`, and coverage by cause.

    The matte is shaped in the crop, where the face is always as large: shaped in the plate, its edge would jump by
    a pixel whenever the face's size passes a rounding.
    """
    size = painted.mask.shape[0]
    grow = max(1, -(-_SHAPING // size))
    large = painted.mask if grow == 1 else cv2.resize(painted.mask, None, fx=grow, fy=grow)
    unit = _percent(painted) * grow
    shaped = matte.shape(
        np.asarray(large, np.float32), erode=parameters.edge_erode * unit, feather=parameters.edge_feather * unit
    )
    small = shaped if grow == 1 else cv2.resize(shaped, (size, size), interpolation=cv2.INTER_AREA)
    face = align.put(painted.face, matrix=painted.matrix, window=window)
    model = align.put(painted.mask, matrix=painted.matrix, window=window)
    edge = align.put(np.asarray(small, np.float32), matrix=painted.matrix, window=window)
    for plane in (face, model, edge):
        np.clip(plane, 0.0, 1.0, out=plane)  # the cubic kernel overshoots
    if parameters.edge_erode >= 0:
        edge = np.minimum(edge, model)
    edge[edge < matte.SEEN] = 0.0
    return ModelRgb(face), {"matte.model": model, "matte.model.shaped": edge}


def _gain(measurements: Measurements, frame: int, parameters: SwapParameters) -> F32:
    """(GRID, GRID, 3) stops: the shot's relight of this frame, without hue when the likeness's tone is wanted."""
    grid = measurements.relight.get(frame)
    if grid is None:
        return np.zeros((blend.GRID, blend.GRID, 3), np.float32)
    if parameters.skin_tone == "likeness":
        return np.repeat(grid.mean(axis=-1, keepdims=True), 3, axis=-1)
    return grid


def _bounded(color: F32, alpha: AnyArray, dtype: np.dtype[np.generic]) -> tuple[F32, int]:
    """The face's colour within what the plate's type holds, and how many values under `alpha` were not.

    Bounded before it is premultiplied: then its sum with what is left of the plate stays within the type, too.
    """
    limit = np.float32(np.finfo(np.float16 if dtype == np.float16 else np.float32).max)
    if max(float(color.max()), -float(color.min())) <= limit:
        return color, 0
    beyond = int((np.abs(color[alpha > 0]) > limit).sum())
    return np.asarray(np.clip(color, -limit, limit), np.float32), beyond


def _layers(face: F32, raw: F32, gain: F32, alpha: AnyArray, mattes: Mapping[str, F32]) -> dict[str, F32]:
    out: dict[str, F32] = {}
    for name, rgb in (("face", face), ("raw", raw), ("gain", gain)):
        out |= {f"{name}.{letter}": rgb[..., i] for i, letter in enumerate("RGB")}
    out["face.A"] = alpha.astype(np.float32)
    out["matte.face"] = alpha.astype(np.float32)
    out |= {name: value for name, value in mattes.items() if not name.endswith(".shaped")}
    return out


# ------------------------------------------------------------------------------------------------ writing


def write(
    swapped: Swapped, image: exr.Frame, path: Path, *, layers: Layers, hints: Mapping[str, str]
) -> exr.WriteReport:
    """Write a frame atomically as comp, ingredients or patch; raises OutputError or ResourceError."""
    if layers == "comp":
        return exr.write_comp(image, path, rgb=swapped.rgb, window=swapped.window, hints=hints)
    if layers == "ingredients":
        full = _full(swapped, image)
        return exr.write_ingredients(image, path, rgb=swapped.rgb, window=swapped.window, layers=full, hints=hints)
    origin = image.origin_window
    # A frame without a face still is a file: one empty pixel.
    window = swapped.window if not swapped.window.empty else Window(origin.x, origin.y, 1, 1)
    return exr.write_patch(image, path, window=window, channels=_patch(swapped, window), hints=hints)


def _patch(swapped: Swapped, window: Window) -> dict[str, AnyArray]:
    """R, G, B, A of the premultiplied face over `window`, float16."""
    if swapped.window.empty:
        return {name: np.zeros((window.height, window.width), np.float16) for name in "RGBA"}
    channels = {letter: exr.to_half(swapped.layers[f"face.{letter}"])[0] for letter in "RGB"}
    return channels | {"A": swapped.alpha}


_LAYERS = (
    *(f"{name}.{letter}" for name in ("face", "raw", "gain", "delta") for letter in "RGB"),
    *("face.A", "matte.face", "matte.model", "matte.artist", "quality.confidence", "stmap.u", "stmap.v"),
)


def _full(swapped: Swapped, image: exr.Frame) -> dict[str, AnyArray]:
    """Every layer over the whole data window; all are there on every frame, empty without a face."""
    held = image.origin_window
    shape = (held.height, held.width)
    out: dict[str, AnyArray] = {name: np.zeros(shape, np.float16) for name in _LAYERS}
    out["stmap.u"], out["stmap.v"] = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    if swapped.window.empty or swapped.matrix is None:
        return out
    where = swapped.window.slices(held)
    delta = _delta(swapped.rgb, image.rgb[where])
    for i, letter in enumerate("RGB"):
        out[f"delta.{letter}"][where] = delta[..., i]
    for name, value in swapped.layers.items():
        out[name][where] = exr.to_half(value)[0]
    if "matte.artist" not in swapped.layers:
        out["matte.artist"][...] = 1.0
    certain = np.abs(swapped.layers["matte.model"] * 2 - 1) * swapped.confidence
    out["quality.confidence"][where] = certain.astype(np.float16)
    stmap = align.stmap(matrix=swapped.matrix, window=held, size=swapped.size)
    out["stmap.u"], out["stmap.v"] = stmap[..., 0], stmap[..., 1]
    return out


def _delta(comp: AnyArray, plate: AnyArray) -> AnyArray:
    """(h, w, 3) float16 of comp - plate, 0 where that is no number."""
    with np.errstate(invalid="ignore"):
        difference = comp.astype(np.float32) - plate.astype(np.float32)
    difference[~np.isfinite(difference)] = 0.0
    return exr.to_half(difference)[0]


def hints(*, key: str, model: Painter, consents: Mapping[str, str], confidence: float, altered: bool) -> dict[str, str]:
    """EXR header hints. They hold no time, path, host or range, so bytes do not depend on them."""
    return {
        "vfxswap:altered": "1" if altered else "0",
        "vfxswap:job": key,
        "vfxswap:model": model.card.onnx_sha256,
        "vfxswap:consent": " ".join(sorted(consents)),
        "vfxswap:confidence": f"{confidence:.3f}",
    }
