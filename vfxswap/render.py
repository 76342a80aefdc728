"""One frame, swapped: from a plate's pixels, faces and the shot's measurements to a picture and its ingredients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from vfxswap import align, blend, exr, hands, matte
from vfxswap.color import ModelSpace
from vfxswap.face.protocols import HandFinder, Parser
from vfxswap.face.track import FaceFrame
from vfxswap.finish import grain, motion, sharpness
from vfxswap.geometry import Matrix23, Window
from vfxswap.job import SwapParameters
from vfxswap.lens import Lens
from vfxswap.matte_input import MatteInput
from vfxswap.measure import SKIN, Measurements, Painted, face_window, moving, paint
from vfxswap.pixels import F32, F64, AnyArray, Matte, ModelRgb, WorkingRgb
from vfxswap.plate import Plate, count_bad, scrub
from vfxswap.vfxmodel import Painter

_SHAPING = 256
"""Side of the raster on which mattes are shaped, at least."""

_PERSON_SIZE = 320
_PERSON_MARGIN = 2.4
"""The person parser looks at 2.4 face sizes around the landmarks: a crop this much wider than the model's has them."""


LARGEST = np.float32(2.0**96)
"""More light counts as no number: in matrices, exposures and filters it would leave the range of float."""


@dataclass(frozen=True, eq=False)
class Target:
    """A face of a plate and the model that goes on it, for the whole shot.

    Attributes:
        plate: the plate, its view chosen.
        model: the opened model.
        faces: frame -> where the face is.
        measurements: the shot's, of this face under this model.
        parameters: the artist's knobs.
        mattes: the artist's mattes.
        suffix: what its layers' names have after their first word: "" for the first face, "2" for the second ...
        shot: the job's name of it, which the grain is drawn from.
    """

    plate: Plate
    model: Painter
    faces: Mapping[int, FaceFrame]
    measurements: Measurements
    parameters: SwapParameters
    mattes: tuple[MatteInput, ...] = ()
    suffix: str = ""
    shot: str = ""

    def window(self, frame: int, lens: Lens | None) -> Window | None:
        """The plate pixels that the swap of a frame looks at, None without a face."""
        face = self.faces.get(frame)
        return None if face is None else face_window(face, size=self.model.resolution, lens=lens)


@dataclass(frozen=True, eq=False)
class Cover:
    """What the artist's mattes say over `window` (plate coordinates), (h, w) each: roto.combine."""

    window: Window
    limit: Matte
    occlusion: Matte


@dataclass(frozen=True, eq=False)
class Swapped:
    """One face in one frame over `window` (plate coordinates); colours are in the plate's layer space.

    Attributes:
        window: where it lies; empty when the picture does not show it.
        color: (h, w, 3) float32, the finished face, premultiplied.
        alpha: (h, w) float16, what it is composited with.
        layers: name -> (h, w) float32: raw, gain, grain, mattes; empty unless they were asked for.
        face: where it is.
        matrix: undistorted plate -> crop.
        size: side of the crop.
        lens: the plate's, or None.
        scrubbed: values that were NaN or Inf where the face went; of log plates, those whose light is.
        clamped: values beyond the range of half.
    """

    window: Window
    color: F32
    alpha: AnyArray
    layers: Mapping[str, F32]
    face: FaceFrame
    matrix: Matrix23
    size: int
    lens: Lens | None = None
    scrubbed: int = 0
    clamped: int = 0


@dataclass(frozen=True, eq=False)
class Picture:
    """One view of a frame with all its faces in it.

    Attributes:
        image: the plate's frame, this view selected.
        window: where anything was changed (plate coordinates); empty without faces.
        rgb: (h, w, 3) of `window`, file space and type: the comp. Around it the frame is the plate.
        delta: (h, w, 3) float32, comp - plate in the layer space, 0 where that is no number.
        swaps: layer suffix -> the face, back to front; only faces that are seen.
        suffixes: of every face of the job, seen or not: a file has the same layers on every frame.
        linear: whether the layers are in the file's space (Plate.layer_space).
        clamped: values of a log plate that its type could not hold; those of faces are counted with the faces.
    """

    image: exr.Frame
    window: Window
    rgb: AnyArray
    delta: F32
    swaps: Mapping[str, Swapped] = field(default_factory=dict)
    suffixes: tuple[str, ...] = ("",)
    linear: bool = True
    clamped: int = 0

    @property
    def confidence(self) -> float:
        """That of its least certain face, 0 without any."""
        return min((swap.face.confidence for swap in self.swaps.values()), default=0.0)

    def whole(self) -> AnyArray:
        """(H, W, 3) the comp over the whole data window."""
        comp = np.array(self.image.rgb, copy=True)
        comp[self.window.slices(self.image.origin_window)] = self.rgb
        return comp


def swap_face(
    target: Target,
    image: exr.Frame,
    *,
    frame: int,
    lens: Lens | None = None,
    cover: Cover | None = None,
    parser: Parser | None = None,
    finder: HandFinder | None = None,
    everything: bool = False,
) -> Swapped | None:
    """Swap one face of one frame.

    Args:
        target: the face and its model.
        image: the plate's frame, the target's view selected.
        frame: its number.
        lens: the plate's lens in this frame.
        cover: the artist's mattes, over a window that holds the face's.
        parser: finds the person's matte where it is wanted.
        finder: finds hands before the face; None: none is looked for.
        everything: make the layers that only `ingredients` needs.

    Returns:
        The face, or None where this frame does not show it.
    """
    face = target.faces.get(frame)
    if face is None:
        return None
    plate, model, parameters = target.plate, target.model, target.parameters
    pixels, window = _light(plate, image, face_window(face, size=model.resolution, lens=lens))
    if window.empty:
        return None
    space = target.measurements.space(frame, config=plate.config, encoding=model.card.encoding)
    placement = target.measurements.placement
    near = hands.finding(plate, image, face, space=space, finder=finder, lens=lens)
    painted = paint(
        pixels,
        window,
        face,
        space=space,
        model=model,
        placement=placement,
        lens=lens,
        near=near,
        keep=parameters.hands,
    )
    painted = filmed(target, painted, image, frame=frame, space=space)
    window = extent(painted, parameters)
    if window.empty:
        return None
    network, mattes = on_plate(painted, window, parameters)
    mattes |= _given(cover, window)
    if parser is not None and (everything or parameters.person > 0):
        # Parsers look at display-encoded pictures, whatever the model's encoding is.
        shown = ModelSpace(plate.config, space.gain)
        mattes["matte.person"] = _person(target, image, painted, window, face=face, space=shown, parser=parser)
    alpha = blend.quantised(_coverage(mattes, parameters))
    behind = WorkingRgb(painted.plate[window.slices(painted.window)])
    raw = space.restore(network, behind, parameters.highlights)
    gain = _gain(target, painted, window, raw, frame, space=space)
    held = image.rgb[window.slices(image.origin_window)]
    mixed = held if plate.linear else pixels[window.slices(painted.window)]
    relit = blend.relight(raw, gain)
    color, clamped = _bounded(plate.to_layers(relit), alpha, held.dtype)
    color = blend.premultiplied(color, alpha)
    noise = _noise(target, relit, alpha, window, frame)
    color = color if noise is None else _noisy(color, noise, alpha, held.dtype)
    layers: dict[str, F32] = {}
    if everything:
        added = np.zeros_like(color) if noise is None else noise
        for name, rgb in (("raw", plate.to_layers(raw)), ("gain", gain), ("grain", added)):
            layers |= {f"{name}.{letter}": rgb[..., i] for i, letter in enumerate("RGB")}
        mattes["matte.eyes"] = matte.eyes(face.landmarks, window=window)
        mattes["matte.mouth"] = matte.mouth(face.landmarks, window=window)
        layers |= {name: value for name, value in mattes.items() if name != _SHAPED}
    return Swapped(
        window=window,
        color=color,
        alpha=alpha,
        layers=layers,
        face=face,
        matrix=painted.matrix,
        size=model.resolution,
        lens=lens,
        scrubbed=count_bad(mixed[alpha > 0]),
        clamped=clamped,
    )


def filmed(target: Target, painted: Painted, image: exr.Frame, *, frame: int, space: ModelSpace) -> Painted:
    """The painted crop as the plate's lens and shutter show it: as soft, and blurred along the face's way."""
    knobs = target.parameters
    angle = knobs.shutter or motion.shutter_deg(image.attributes) or 0.0
    open_for = knobs.motion_blur * angle / motion.TURN
    way = moving(target.faces, frame, size=painted.mask.shape[0], matrix=painted.matrix) if open_for > 0 else None
    ratio = target.measurements.detail.get(frame) if max(knobs.defocus, knobs.sharpen) > 0 else None
    if ratio is None and way is None:
        return painted
    plain, mask = space.decode_linear(painted.face), painted.mask
    light = sharpness.finished(plain, mask, ratio, defocus=knobs.defocus, sharpen=knobs.sharpen)
    if light is plain and way is None:
        return painted
    if way is not None:
        light, mask = motion.blurred(light, mask, way, open_for=open_for)
    encoded = space.config.model_curve(space.encoding, decode=False).apply(light)
    return replace(painted, face=ModelRgb(np.clip(encoded, 0.0, 1.0)), mask=mask)


def compose(
    image: exr.Frame, swaps: Mapping[str, Swapped | None], *, plate: Plate, everything: bool = False
) -> Picture:
    """Put faces into a view of a frame.

    Args:
        image: the plate's frame, the view selected.
        swaps: layer suffix -> face, back to front; None where it is not seen.
        plate: whose colour settings hold.
        everything: also make `delta`.

    Returns:
        The picture. Where no face's alpha is above 0 its pixels are the plate's, bit for bit.
    """
    seen = {suffix: swap for suffix, swap in swaps.items() if swap is not None}
    origin = image.origin_window
    if not seen:
        nothing = Window(origin.x, origin.y, 0, 0)
        empty = np.zeros((0, 0, 3), np.float32)
        return Picture(image, nothing, empty.astype(image.dtype), empty, {}, tuple(swaps), plate.linear)
    window = Window.union(*(swap.window for swap in seen.values()))
    held = image.rgb[window.slices(origin)]
    # Mixed in the file's own numbers where they are light; those of a log plate must be turned into light first.
    before = held if plate.linear else scrub(_light(plate, image, window)[0])
    after = np.array(before, copy=True)
    covered = np.zeros(after.shape[:2], bool)
    for swap in seen.values():
        where = swap.window.slices(window)
        after[where] = blend.over(after[where], swap.color, swap.alpha)
        covered[where] |= swap.alpha > 0
    rgb, clamped = (after, 0) if plate.linear else _coded(after, held, covered, plate)
    delta = _difference(after, before) if everything else np.zeros((*covered.shape, 0), np.float32)
    return Picture(image, window, rgb, delta, seen, tuple(swaps), plate.linear, clamped)


def _light(plate: Plate, image: exr.Frame, window: Window) -> tuple[WorkingRgb, Window]:
    """As `Plate.working`, NaN where there is more light than can be computed with."""
    pixels, held = plate.working(image, window)
    if image.dtype == np.float32 or not plate.linear:  # what half holds is far from it
        with np.errstate(invalid="ignore"):
            pixels[~(np.abs(pixels) <= LARGEST)] = np.nan
    return pixels, held


def _coded(light: AnyArray, held: AnyArray, covered: AnyArray, plate: Plate) -> tuple[AnyArray, int]:
    """`light` in the file's space where `covered`, else the file's own values; and how many had to be clamped."""
    coded: AnyArray = plate.to_file(WorkingRgb(light))
    clamped = 0
    if held.dtype == np.float16:
        half, clamped = exr.to_half(coded)
        if clamped:
            clamped = exr.to_half(coded[covered])[1]
        coded = half
    return np.where(covered[..., None], coded, held), clamped


def _difference(comp: AnyArray, plate: AnyArray) -> F32:
    """(h, w, 3) float32 of comp - plate, 0 where that is no number."""
    with np.errstate(invalid="ignore", over="ignore"):
        difference = comp.astype(np.float32) - plate.astype(np.float32)
    difference[~np.isfinite(difference)] = 0.0
    return difference


# ------------------------------------------------------------------------------------------------- mattes

_SHAPED = "matte.model.shaped"


def extent(painted: Painted, parameters: SwapParameters) -> Window:
    """The plate pixels that the face can reach: where the network covers, and as far as its edge is pushed out."""
    rows, columns = np.nonzero(painted.mask >= matte.SEEN)
    if not len(rows):
        return Window(painted.window.x, painted.window.y, 0, 0)
    # Two crop pixels more, which interpolation can reach.
    out = 2.0 + max(0.0, _reach(parameters)) * _percent(painted)
    x0, x1, y0, y1 = columns.min() - out, columns.max() + 1 + out, rows.min() - out, rows.max() + 1 + out
    rim = _rim(float(x0), float(y0), float(x1), float(y1))
    outline = align.to_plate(rim, matrix=painted.matrix, lens=painted.lens)
    return Window.around(outline, margin=1.0 if painted.lens is None else 2.0).intersect(painted.window)


def _rim(x0: float, y0: float, x1: float, y1: float) -> F64:
    """(36, 2) points along a rectangle: through a lens its sides are curves."""
    t, low, high = np.linspace(0.0, 1.0, 9), np.zeros(9), np.ones(9)
    sides = [np.stack(side, axis=1) for side in ((t, low), (high, t), (t, high), (low, t))]
    return np.asarray([x0, y0] + np.concatenate(sides) * [x1 - x0, y1 - y0], np.float64)


def _percent(painted: Painted) -> float:
    """Crop pixels in one percent of the face's size."""
    return float(painted.mask.shape[0]) / align.FRAME_SIZE / 100.0


def _sides(parameters: SwapParameters) -> matte.Sides:
    return parameters.edge_top, parameters.edge_right, parameters.edge_bottom, parameters.edge_left


def _reach(parameters: SwapParameters) -> float:
    """Percent of the face's size by which the soft edge may lie outside the network's; negative: inside."""
    return parameters.edge_feather / 2 - parameters.edge_erode - min(_sides(parameters))


def on_plate(painted: Painted, window: Window, parameters: SwapParameters) -> tuple[ModelRgb, dict[str, F32]]:
    """The network's face over `window`, and its coverage as painted and as shaped.

    The matte is shaped in the crop, where the face is always as large: shaped in the plate, its edge would jump by
    a pixel whenever the face's size passes a rounding.
    """
    size = painted.mask.shape[0]
    grow = max(1, -(-_SHAPING // size))
    large = painted.mask if grow == 1 else cv2.resize(painted.mask, None, fx=grow, fy=grow)
    unit = _percent(painted) * grow
    top, right, bottom, left = (percent * unit for percent in _sides(parameters))
    shaped = matte.shape(
        np.asarray(large, np.float32),
        erode=parameters.edge_erode * unit,
        feather=parameters.edge_feather * unit,
        sides=(top, right, bottom, left),
    )
    small = shaped if grow == 1 else cv2.resize(shaped, (size, size), interpolation=cv2.INTER_AREA)
    face = align.put(painted.face, matrix=painted.matrix, window=window, lens=painted.lens)
    model, edge = (
        align.put(np.asarray(plane, np.float32), matrix=painted.matrix, window=window, lens=painted.lens, coverage=True)
        for plane in (painted.mask, small)
    )
    for plane in (face, model, edge):
        np.clip(plane, 0.0, 1.0, out=plane)  # the cubic kernel overshoots
    if _reach(parameters) <= 0:
        edge = np.minimum(edge, model)
    edge[edge < matte.SEEN] = 0.0
    return ModelRgb(face), {"matte.model": model, _SHAPED: edge}


def _given(cover: Cover | None, window: Window) -> dict[str, F32]:
    """The artist's mattes over `window`."""
    if cover is None:
        return {}
    here = window.slices(cover.window)
    return {"matte.artist": cover.limit[here], "matte.occlusion": cover.occlusion[here]}


def _person(
    target: Target,
    image: exr.Frame,
    painted: Painted,
    window: Window,
    *,
    face: FaceFrame,
    space: ModelSpace,
    parser: Parser,
) -> Matte:
    """(h, w) coverage of the person over `window`."""
    matrix = align.crop_matrix(face.similarity, size=_PERSON_SIZE, margin=_PERSON_MARGIN)
    wide = align.crop_window(matrix, size=_PERSON_SIZE, lens=painted.lens)
    pixels, held = _light(target.plate, image, wide)
    crop = align.take(scrub(pixels), window=held, matrix=matrix, size=_PERSON_SIZE, lens=painted.lens)
    points = align.to_crop(face.landmarks[:, :2], matrix=matrix, lens=painted.lens)
    person = parser(space.encode(WorkingRgb(crop)), points)
    placed = align.put(person, matrix=matrix, window=window, lens=painted.lens)
    return Matte(np.clip(placed, 0.0, 1.0))


def _coverage(mattes: Mapping[str, F32], parameters: SwapParameters) -> Matte:
    """What is shown of the face: the product of everything that limits it."""
    out = mattes[_SHAPED] * np.float32(parameters.mix)
    if "matte.artist" in mattes:
        out = out * mattes["matte.artist"] * (1.0 - mattes["matte.occlusion"])
    if "matte.person" in mattes and parameters.person > 0:
        out = out * (1.0 - np.float32(parameters.person) * (1.0 - mattes["matte.person"]))
    return Matte(np.asarray(out, np.float32))


# ------------------------------------------------------------------------------------------------- colour


def _gain(target: Target, painted: Painted, window: Window, raw: WorkingRgb, frame: int, *, space: ModelSpace) -> F32:
    """(h, w, 3) stops that the face is relit by: the shot's, of this frame, in the way that was asked for."""
    knobs, measured = target.parameters, target.measurements
    grid = _steadied(_toned(_grid(measured, frame, knobs), knobs), measured, frame, knobs) * np.float32(knobs.relight)
    gain = align.put(
        grid, matrix=painted.matrix * (blend.GRID / painted.mask.shape[0]), window=window, lens=painted.lens
    )
    if knobs.match == "spread":
        light = blend.log_light(space.linear(raw), skin=SKIN)
        gain += _toned(matched(measured, frame).spread(light), knobs) * np.float32(knobs.relight)
    return gain


def _steadied(grid: F32, measured: Measurements, frame: int, knobs: SwapParameters) -> F32:
    """(GRID, GRID, 3) stops, with those that take out what flickers in the painted face alone."""
    held = measured.steady.get(frame)
    if held is None or knobs.steady == 0:
        return grid
    finer = cv2.resize(held.astype(np.float32), grid.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(grid + np.float32(knobs.steady) * finer, np.float32)


def _grid(measured: Measurements, frame: int, knobs: SwapParameters) -> F32:
    """(GRID, GRID, 3) stops over the model's crop."""
    held = measured.relight.get(frame)
    if held is None or knobs.match == "none":
        return np.zeros((blend.GRID, blend.GRID, 3), np.float32)
    if knobs.match == "membrane":
        return held.astype(np.float32)
    found = matched(measured, frame)
    if knobs.match == "bands":
        return found.banded((knobs.band_coarse, knobs.band_middle, knobs.band_fine))
    return found.toned()


def matched(measured: Measurements, frame: int) -> blend.Match:
    """What ways of matching other than the membrane go by; nothing is done where the frame was not measured."""
    return measured.match.get(frame) or blend.Match.nothing()


def _toned(stops: F32, knobs: SwapParameters) -> F32:
    """`stops` without hue where the likeness's tone is wanted."""
    if knobs.skin_tone == "likeness":
        return np.repeat(stops.mean(axis=-1, keepdims=True), 3, axis=-1)
    return stops


def _noise(target: Target, light: WorkingRgb, alpha: AnyArray, window: Window, frame: int) -> F32 | None:
    """(h, w, 3) the grain that a face gets, in the plate's layer space; None where it gets none.

    Under a soft edge what is left of the plate's grain and the face's own add up to as much as beside it:
    a * (2 - a) of the variance is missing there.
    """
    found, amount = target.measurements.grain, np.float32(target.parameters.grain)
    if found is None or amount == 0:
        return None
    seed = grain.seed(target.shot, target.plate.view_name, frame)
    cover = alpha.astype(np.float32)
    noise = found.take(window, seed=seed)
    noise *= found.sigma(light)
    noise *= (amount * np.sqrt(cover * (2.0 - cover)))[..., None]
    return target.plate.to_layers(WorkingRgb(noise))


def _noisy(color: F32, noise: F32, alpha: AnyArray, dtype: np.dtype[np.generic]) -> F32:
    """The premultiplied colour with its grain, within what the plate's type holds; `noise` becomes what was added."""
    out = color + noise
    limit = np.float32(np.finfo(np.float16 if dtype == np.float16 else np.float32).max)
    if max(float(out.max()), -float(out.min())) > 0.5 * limit:
        most = limit * alpha.astype(np.float32)[..., None]
        np.clip(out, -most, most, out=out)
        np.subtract(out, color, out=noise)
    return np.asarray(out, np.float32)


def _bounded(color: F32, alpha: AnyArray, dtype: np.dtype[np.generic]) -> tuple[F32, int]:
    """The face's colour within what the plate's type holds, and how many values under `alpha` were not.

    Bounded before it is premultiplied: then its sum with what is left of the plate stays within the type, too.
    """
    limit = np.float32(np.finfo(np.float16 if dtype == np.float16 else np.float32).max)
    if max(float(color.max()), -float(color.min())) <= limit:
        return color, 0
    beyond = int((np.abs(color[alpha > 0]) > limit).sum())
    return np.asarray(np.clip(color, -limit, limit), np.float32), beyond
