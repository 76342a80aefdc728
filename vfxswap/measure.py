"""What the swap of any frame needs to know of the whole shot: the .vfxshot file.

Made once for the whole range of a job and shared by every chunk, so that no frame's pixels depend on which
other frames were rendered with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from vfxswap import align, archive, blend, exposure, exr, guided, hands, steady
from vfxswap.align import Placement
from vfxswap.blend import Match
from vfxswap.color import ColorConfig, ModelSpace
from vfxswap.errors import FrameError, TrackError
from vfxswap.events import CancelToken
from vfxswap.face import LANDMARKERS, expression, mesh
from vfxswap.face.landmarks import READABLE, roi_from_landmarks
from vfxswap.face.protocols import HandFinder, Landmarker
from vfxswap.face.track import FaceFrame
from vfxswap.finish import fitting, motion, sharpness
from vfxswap.finish import grain as grains
from vfxswap.finish.grain import Grain
from vfxswap.finish.patches import Pool
from vfxswap.geometry import Matrix23, Window, compose, invert, similarity
from vfxswap.lens import Lens
from vfxswap.pixels import F16, F32, F64, Matte, ModelRgb, WorkingRgb
from vfxswap.plate import Plate, scrub, skin_gain
from vfxswap.vfxmodel import Painter, Painting

KIND: Final = "shot"
VERSION: Final = 6

REVISION: Final = 1
"""Raised whenever other numbers are measured of the same shot: kept files of before are then measured again."""

SKIN = 0.18
"""Where the double's median skin goes: the level models are trained at."""

_GAIN_SAMPLES = 24

_GRAINY = 128
"""Side of the part of the plate on which the grain's share in its detail is told, in pixels."""

_PLACED_FRAMES, _PLACED_CROPS = 16, 4
"""The placement is read in about so many frames, each in so many crops."""
_SURE = 0.7
_FARTHEST, _TURN_DEG = 0.1, 6.0
"""A painted face that is read further away, of another size or turned by more than this was misread."""

Miss = Callable[[FrameError], None]

_SMOOTH_FRAMES = 1.5
"""Standard deviation over time of the relight, in frames."""
_SMOOTH_STOPS = 0.5
"""Frames whose exposures differ by more than this lend each other little of their relight: a flash is another light."""


@dataclass(frozen=True, eq=False)
class Sight:
    """The chosen face in one view of a plate: frame -> where it is."""

    plate: Plate
    faces: Mapping[int, FaceFrame]


@dataclass(frozen=True, eq=False)
class Measurements:
    """Shot-level measurements of one face under one model; all views of a plate share them.

    Attributes:
        gain: the shot's exposure: the factor that puts the double's median skin at 0.18.
        model_sha256: the network's, whose painted faces the relight was measured against.
        relight: frame -> (GRID, GRID, 3) float16, stops over the model's crop, smoothed over time.
        curve: frame -> gain where the exposure changes over the shot (a flash, a fade); empty where it does not.
        color: what it was measured in: encoding and OCIO config (ColorConfig.record).
        placement: where the painted crops go, so that brows, eyes, nose and lips lie where the double's do; None where
            no painted face could be read: the model's own placement holds.
        grain: the plate's grain; None where too little of it is flat, or there is none.
        detail: frame -> (octaves,) float32, log2 of the contrast of the plate's face over the painted one's, the finest
            octave first (finish.sharpness).
        match: frame -> what other ways of matching the light go by, smoothed over time; empty in files of versions that
            knew none.
        steady: frame -> (CELLS, CELLS, 3) float16, stops that take out what flickers in the painted face alone
            (steady.py); empty in files of versions that did not know it.
    """

    gain: float
    model_sha256: str
    relight: Mapping[int, F16]
    curve: Mapping[int, float] = field(default_factory=dict)
    color: Mapping[str, Any] = field(default_factory=dict)
    placement: Placement | None = None
    grain: Grain | None = None
    detail: Mapping[int, F32] = field(default_factory=dict)
    match: Mapping[int, Match] = field(default_factory=dict)
    steady: Mapping[int, F16] = field(default_factory=dict)

    def space(self, frame: int, *, config: ColorConfig, encoding: str) -> ModelSpace:
        """The model space of a frame."""
        return ModelSpace(config, self.curve.get(frame, self.gain), encoding)

    def save(self, path: Path) -> None:
        """Write a .vfxshot atomically."""
        frames = sorted(self.relight)
        matched, steadied = sorted(self.match), sorted(self.steady)
        tones = np.array([self.match[frame].tones for frame in matched], np.float16).reshape(-1, 3, 3)
        coarse = np.array([self.match[f].coarse for f in matched], np.float16).reshape(
            -1, blend.COARSE, blend.COARSE, 3
        )
        archive.write(
            path,
            kind=KIND,
            version=VERSION,
            manifest={
                "gain": self.gain,
                "curve": {str(frame): gain for frame, gain in self.curve.items()},
                "color": dict(self.color),
                "model_sha256": self.model_sha256,
                "frames": frames,
                "placement": None if self.placement is None else asdict(self.placement),
                "grain": None if self.grain is None else self.grain.to_json(),
                "detail": {str(frame): row.tolist() for frame, row in self.detail.items()},
                "matched": matched,
                "steadied": steadied,
            },
            members={
                "relight.npy": archive.npy_bytes(_stacked([self.relight[frame] for frame in frames], blend.GRID)),
                "steady.npy": archive.npy_bytes(_stacked([self.steady[frame] for frame in steadied], steady.CELLS)),
                "tones.npy": archive.npy_bytes(tones),
                "coarse.npy": archive.npy_bytes(coarse),
            },
        )


def _stacked(grids: Sequence[F16], side: int) -> F16:
    return np.stack(grids) if grids else np.zeros((0, side, side, 3), np.float16)


def load(path: Path) -> Measurements:
    """Read a .vfxshot; raises TrackError when it is missing, damaged, newer or something else."""
    manifest, members = archive.read(
        path,
        kind=KIND,
        version=VERSION,
        error=TrackError,
        migrations={1: _constant_exposure, 2: _model_placement, 3: _no_finish, 4: _no_match, 5: _not_steadied},
    )
    try:
        grids = archive.npy_array(members["relight.npy"]).astype(np.float16, copy=False)
        frames = [int(frame) for frame in manifest["frames"]]
        _check_values(manifest, grids)
        return Measurements(
            gain=float(manifest["gain"]),
            model_sha256=str(manifest["model_sha256"]),
            relight=dict(zip(frames, grids, strict=True)),
            curve={int(frame): float(gain) for frame, gain in manifest["curve"].items()},
            color=dict(manifest["color"]),
            placement=None if manifest["placement"] is None else Placement(**manifest["placement"]),
            grain=None if manifest["grain"] is None else Grain.from_json(manifest["grain"]),
            detail={int(frame): np.asarray(row, np.float32) for frame, row in manifest["detail"].items()},
            match=_matches(manifest, members),
            steady=_steadied(manifest, members),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise TrackError(f"measurements are incomplete: {error}", path=path, hint="measure the shot again") from error


def _check_values(manifest: archive.Manifest, grids: F16) -> None:
    """Refuse values that no measuring gives and rendering could not use; ValueError in words."""
    if grids.shape[1:] != (blend.GRID, blend.GRID, 3) or not np.isfinite(grids).all():
        raise ValueError("the relight is no grid of numbers")
    numbers = [*manifest["frames"], *manifest["curve"], *manifest["detail"]]
    if any(abs(int(frame)) > _LAST_FRAME for frame in numbers):
        raise ValueError("frame numbers that no plate has")
    gains = [float(gain) for gain in (manifest["gain"], *manifest["curve"].values())]
    if not all(0 < gain < math.inf for gain in gains):
        raise ValueError("a gain is not above 0")
    for row in manifest["detail"].values():
        values = np.asarray(row, np.float64)
        if values.ndim != 1 or len(values) > _OCTAVES or not np.isfinite(values).all():
            raise ValueError("the detail is no row of numbers")
    if manifest["placement"] is not None:
        put = Placement(**manifest["placement"])
        values = np.array([put.x, put.y, put.scale, put.turn_deg], np.float64)
        if not np.isfinite(values).all() or max(abs(put.x), abs(put.y)) > 1 or not 0.1 <= put.scale <= 10:
            raise ValueError("the placement cannot be")


_OCTAVES, _LAST_FRAME = 32, 1 << 31


def _constant_exposure(manifest: archive.Manifest) -> archive.Manifest:
    """Version 1 knew one exposure for the whole shot."""
    return {**manifest, "curve": {}, "color": {}}


def _model_placement(manifest: archive.Manifest) -> archive.Manifest:
    """Up to version 2 the model alone said where its crops go."""
    return {**manifest, "placement": None}


def _no_finish(manifest: archive.Manifest) -> archive.Manifest:
    """Up to version 3 neither grain nor sharpness was measured: the face keeps its own."""
    return {**manifest, "grain": None, "detail": {}}


def _no_match(manifest: archive.Manifest) -> archive.Manifest:
    """Up to version 4 the membrane was the only match."""
    return {**manifest, "matched": []}


def _not_steadied(manifest: archive.Manifest) -> archive.Manifest:
    """Up to version 5 faces flickered as they had been painted."""
    return {**manifest, "steadied": []}


def _steadied(manifest: archive.Manifest, members: Mapping[str, bytes]) -> dict[int, F16]:
    frames = [int(frame) for frame in manifest["steadied"]]
    if not frames:
        return {}
    grids = archive.npy_array(members["steady.npy"]).astype(np.float16, copy=False)
    if grids.shape[1:] != (steady.CELLS, steady.CELLS, 3) or not np.isfinite(grids).all():
        raise ValueError("what steadies the face is no grid of numbers")
    if max(map(abs, frames)) > _LAST_FRAME:
        raise ValueError("frame numbers that no plate has")
    return dict(zip(frames, grids, strict=True))


def _matches(manifest: archive.Manifest, members: Mapping[str, bytes]) -> dict[int, Match]:
    frames = [int(frame) for frame in manifest["matched"]]
    if not frames:
        return {}
    tones, coarse = (archive.npy_array(members[f"{name}.npy"]).astype(np.float32) for name in ("tones", "coarse"))
    if tones.shape[1:] != (3, 3) or coarse.shape[1:] != (blend.COARSE, blend.COARSE, 3):
        raise ValueError("the match's arrays are of another shape")
    if not (np.isfinite(tones).all() and np.isfinite(coarse).all()) or max(map(abs, frames)) > _LAST_FRAME:
        raise ValueError("the match is no numbers")
    return {frame: Match(*pair) for frame, *pair in zip(frames, tones, coarse, strict=True)}


@dataclass(frozen=True, eq=False)
class Painted:
    """One frame's crop through the network.

    Attributes:
        matrix: plate (undistorted, where there is a lens) -> painted crop, the placement included.
        window: plate pixels around the crop that there are.
        plate: (h, w, 3) the plate's finite working-space pixels of `window`.
        face, mask: (S, S, 3), (S, S) what the network painted.
        lens: the plate's, or None.
    """

    matrix: Matrix23
    window: Window
    plate: WorkingRgb
    face: ModelRgb
    mask: Matte
    lens: Lens | None = None

    @property
    def behind(self) -> WorkingRgb:
        """(S, S, 3) the plate where the painted crop goes, as a crop."""
        size = self.mask.shape[0]
        return WorkingRgb(align.take(self.plate, window=self.window, matrix=self.matrix, size=size, lens=self.lens))


def paint(
    pixels: WorkingRgb,
    window: Window,
    face: FaceFrame,
    *,
    space: ModelSpace,
    model: Painter,
    placement: Placement | None,
    lens: Lens | None = None,
    near: Callable[[], Sequence[F64]] = tuple,
    keep: float = 1.0,
) -> Painted:
    """Crop, encode, and let the network paint.

    Args:
        pixels: (h, w, 3) working-space pixels, as the file has them.
        window: where they lie in the plate.
        face: where the face is.
        space: the frame's model space.
        model: the opened model.
        placement: the shot's (Measurements.placement); None is the model's own.
        lens: the plate's, or None.
        near: finds the hands about the face (`hands.finding`); asked where the model tells what is in front.
        keep: how far they are kept in front of the face; 0 does not ask.
    """
    size = model.resolution
    matrix = align.crop_matrix(face.similarity, size=size)
    clean = scrub(pixels)
    crop = WorkingRgb(align.take(clean, window=window, matrix=matrix, size=size, lens=lens))
    condition = model.card.condition
    told = None if condition is None else expression.told(expression.of(face), condition)
    seen = space.encode(crop)
    made = model.swap(seen, told)
    place = placement or Placement(*model.card.placement)
    if made.front is not None and keep > 0:
        made = made._replace(front=hands.held(made.front, near(), matrix, keep=keep))
    inside = Matte(_visible(made, seen, place) * align.frame_weight(size=size))
    return Painted(align.placed(matrix, size=size, placement=place), window, clean, made.rgb, inside, lens)


def _visible(made: Painting, crop: ModelRgb, placement: Placement) -> Matte:
    """(S, S) what can be seen of the painted face where it is shown: what is before it stays where the plate has it."""
    if made.outline is None or made.front is None:
        return made.mask
    size = len(made.front)
    shown = invert(placement.matrix(size=size))
    followed = guided.follow(made.front, crop)
    front = align.take(followed, window=Window(0, 0, size, size), matrix=shown, size=size)
    return Matte(np.minimum(made.outline, 1.0 - np.clip(front, 0.0, 1.0)))


def face_window(face: FaceFrame, *, size: int, lens: Lens | None = None) -> Window:
    """The plate pixels that a face's crop covers."""
    return align.crop_window(align.crop_matrix(face.similarity, size=size), size=size, lens=lens)


def shot_gain(plate: Plate, faces: Mapping[int, FaceFrame], *, samples: int = _GAIN_SAMPLES) -> float:
    """One exposure for the shot: the median over evenly spread frames of what puts the performer's skin at 0.18.

    Args:
        plate: the plate; frames of it that cannot be read are left out.
        faces: the chosen face, frame -> where it is.
        samples: about how many frames are looked at.

    Raises:
        TrackError: no frame shows lit skin.
    """
    frames = sorted(faces)
    gains = _skin_gains([Sight(plate, faces)], frames[:: max(1, len(frames) // samples)])
    usable = [gain for gain in gains.values() if np.isfinite(gain)]
    if not usable:
        raise _unlit()
    return float(np.median(usable))


def _unlit() -> TrackError:
    return TrackError("no light on the tracked face in any frame", hint="check --colorspace and the track")


def _skin_gains(
    sights: Sequence[Sight],
    frames: Sequence[int],
    *,
    pool: Pool | None = None,
    step: Callable[[], None] = lambda: None,
    miss: Miss = lambda _error: None,
) -> dict[int, float]:
    """Frame -> the gain that puts the performer's skin at 0.18, the mean over the views; NaN where none is lit.

    On the way `pool` is shown the pictures.
    """
    gains: dict[int, float] = {}
    for frame, seen in _seen(sights, frames, miss=miss):
        found = []
        for sight, image in seen:
            if pool is not None:
                light = sight.plate.config.to_working(sight.plate.space).apply
                pool.see(frame, image.rgb, light, view=sights.index(sight))
            points = mesh.skin_points(sight.faces[frame].landmarks)
            rgb, window = sight.plate.working(image, Window.around(points, margin=2))
            found.append(skin_gain(rgb, window, points, sight.plate.config, target=SKIN))
        usable = [gain for gain in found if np.isfinite(gain)]
        gains[frame] = float(np.exp2(np.mean(np.log2(usable)))) if usable else float("nan")
        step()
    return gains


def _seen(
    sights: Sequence[Sight], frames: Sequence[int], *, miss: Miss = lambda _error: None
) -> Iterator[tuple[int, list[tuple[Sight, exr.Frame]]]]:
    """Each frame with the views that show the face there; one that cannot be read is reported by who renders it."""
    readers = [sight.plate.ahead(frames) for sight in sights if sight.plate.sequence != sights[0].plate.sequence]
    for frame, first in sights[0].plate.ahead(frames):
        further = [next(reader)[1] for reader in readers]
        seen: list[tuple[Sight, exr.Frame]] = []
        for sight in sights:
            image = first if sight.plate.sequence == sights[0].plate.sequence else further.pop(0)
            if frame not in sight.faces:
                continue
            if isinstance(image, FrameError):
                miss(image)
            else:
                seen.append((sight, image.seen(sight.plate.view) if sight.plate.view else image))
        yield frame, seen


def measure(
    sights: Sequence[Sight],
    *,
    model: Painter,
    landmarker: Landmarker | None = None,
    finder: HandFinder | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    cancel: CancelToken | None = None,
    miss: Miss = lambda _error: None,
) -> Measurements:
    """Measure a shot: exposure, grain, placement, then relight and detail of every frame, smoothed with zero phase.

    Args:
        sights: the face in every view of the plate, over its whole range. The views share one exposure and one
            relight, so that the two eyes see the same skin.
        model: the opened model.
        landmarker: reads the painted faces; None is the default one.
        finder: finds hands before the face; None: none is looked for.
        progress: called with (done, total); every frame is looked at twice.
        cancel: polled between frames.
        miss: told of each frame that shows the face and cannot be read; the measurements are then without it.

    Raises:
        TrackError: no lit face.
    """
    frames = sorted({frame for sight in sights for frame in sight.faces})
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        progress(done, 2 * len(frames))
        if cancel is not None:
            cancel.check()

    pool = Pool.of(frames)
    gains = _skin_gains(sights, frames, pool=pool, step=step, miss=miss)
    if not any(np.isfinite(gain) for gain in gains.values()):
        raise _unlit()
    gain, curve = exposure.curve(gains, frames=frames)
    config, encoding = sights[0].plate.config, model.card.encoding
    found = Measurements(
        gain, model.card.onnx_sha256, {}, curve, {"encoding": encoding, "config": dict(config.record())}
    )
    placement = _placement(sights, found, model=model, landmarker=landmarker, cancel=cancel)
    found = replace(found, placement=placement, grain=fitting.measured(pool))
    grids: dict[int, F16] = {}
    matches: dict[int, Match] = {}
    cells: dict[int, F32] = {}
    detail: dict[int, F32] = {}
    for frame, seen in _seen(sights, frames, miss=miss):
        space = found.space(frame, config=config, encoding=encoding)
        shown = [
            (sight, painted)
            for sight, image in seen
            if (painted := _painted(sight, image, frame, space=space, model=model, placement=placement, finder=finder))
            is not None
        ]
        if shown:
            compared = [_compared(sight, painted, frame, space=space) for sight, painted in shown]
            grids[frame] = np.mean([blend.relight_grid(one) for one in compared], axis=0).astype(np.float16)
            some = [blend.matched(one) for one in compared]
            matches[frame] = Match(*(np.mean([getattr(m, x) for m in some], axis=0) for x in ("tones", "coarse")))
            cells[frame] = np.mean([steady.cells(one.difference, one.coverage) for one in compared], axis=0)
        fine = [_detail(sight, painted, frame, space=space, grain=found.grain) for sight, painted in shown]
        if usable := [row for row in fine if row is not None]:
            detail[frame] = np.asarray(np.mean(usable, axis=0), np.float32)
        step()
    return replace(
        found,
        relight=smooth(grids, curve),
        detail=sharpness.settled(detail),
        match=_smooth_matches(matches, curve),
        steady=steady.corrections(cells),
    )


def _placement(
    sights: Sequence[Sight],
    found: Measurements,
    *,
    model: Painter,
    landmarker: Landmarker | None,
    cancel: CancelToken | None,
) -> Placement | None:
    """Where the shot's painted crops go: the median over some frames; None where nobody can be read in them."""
    sure = sorted({f for sight in sights for f, face in sight.faces.items() if face.confidence >= _SURE})
    frames = sure[:: -(-len(sure) // _PLACED_FRAMES)] if sure else []
    reader = landmarker or LANDMARKERS["mesh478"]()
    read: list[Placement] = []
    for frame, seen in _seen(sights, frames):
        if cancel is not None:
            cancel.check()
        space = found.space(frame, config=sights[0].plate.config, encoding=model.card.encoding)
        for sight, image in seen:
            painted = _painted(sight, image, frame, space=space, model=model, placement=Placement())
            one = None if painted is None else _read_placement(painted, sight.faces[frame], space, reader)
            if one is not None:
                read.append(one)
    if not read:
        return None
    middle = np.median([astuple(one) for one in read], axis=0)
    return Placement(*(round(float(value), 6) for value in middle))


def _read_placement(painted: Painted, face: FaceFrame, space: ModelSpace, landmarker: Landmarker) -> Placement | None:
    """From the features that were painted to those of the plate, both read in crops of the same size."""
    size, config = painted.mask.shape[0], space.config
    shown = ModelSpace(config, space.gain)
    near = np.zeros((len(face.landmarks), 3))
    near[:, :2] = align.to_crop(face.landmarks[:, :2], matrix=painted.matrix, lens=painted.lens)
    roi = roi_from_landmarks(near)
    pictures = (space.decode(painted.face), painted.behind)
    ours, theirs = (landmarker(shown.encode(rgb), roi, crops=_PLACED_CROPS) for rgb in pictures)
    if min(ours.presence, theirs.presence) < READABLE:
        return None
    features = list(mesh.INNER_51)
    fit = Placement.of(similarity(ours.points[features, :2], theirs.points[features, :2]), size=size)
    far = (
        max(abs(fit.x), abs(fit.y)) > _FARTHEST or abs(math.log(fit.scale)) > _FARTHEST or abs(fit.turn_deg) > _TURN_DEG
    )
    return None if far else fit


def _painted(
    sight: Sight,
    image: exr.Frame,
    frame: int,
    *,
    space: ModelSpace,
    model: Painter,
    placement: Placement | None,
    finder: HandFinder | None = None,
) -> Painted | None:
    """One view's painted crop of one frame; None where the face lies outside the picture."""
    plate, face, lens = sight.plate, sight.faces[frame], sight.plate.lens(frame)
    pixels, window = plate.working(image, face_window(face, size=model.resolution, lens=lens))
    if window.empty:
        return None
    near = hands.finding(plate, image, face, space=space, finder=finder, lens=lens)
    return paint(pixels, window, face, space=space, model=model, placement=placement, lens=lens, near=near)


def moving(faces: Mapping[int, FaceFrame], frame: int, *, size: int, matrix: Matrix23) -> motion.Motion | None:
    """How the face moves about a frame, in the painted crop.

    Args:
        faces: frame -> where the face is.
        frame: one of them.
        size: side of the crop.
        matrix: plate -> painted crop of that frame (Painted.matrix).
    """
    plain = align.crop_matrix(faces[frame].similarity, size=size)
    place = compose(matrix, invert(plain))
    near = [faces.get(other) for other in (frame - 1, frame + 1)]
    before, after = (
        None if face is None else compose(place, align.crop_matrix(face.similarity, size=size)) for face in near
    )
    return motion.of(before, matrix, after, size=size)


def _detail(sight: Sight, painted: Painted, frame: int, *, space: ModelSpace, grain: Grain | None) -> F32 | None:
    """One view's sharpness of one frame; None where too little of the face is seen."""
    size = painted.mask.shape[0]
    motion_here = moving(sight.faces, frame, size=size, matrix=painted.matrix)
    return sharpness.compared(
        space.decode_linear(painted.face),
        painted.mask,
        space.linear(painted.plate),
        window=painted.window,
        matrix=painted.matrix,
        lens=painted.lens,
        grain=None if grain is None else _grainy(painted, grain, space),
        way=None if motion_here is None else motion_here.middle,
    )


def _grainy(painted: Painted, grain: Grain, space: ModelSpace) -> tuple[F32, F32]:
    """The middle of a face's plate without its grain and with a take of it, as `space` has light."""
    held = Window(0, 0, painted.window.width, painted.window.height)
    part = Window(held.width // 2 - _GRAINY // 2, held.height // 2 - _GRAINY // 2, _GRAINY, _GRAINY).intersect(held)
    light = np.asarray(cv2.GaussianBlur(painted.plate[part.slices(held)], (0, 0), _GRAINY / 32), np.float32)
    noise = grain.take(part, seed=grains.seed("share")) * grain.sigma(light)
    return space.linear(WorkingRgb(light)), space.linear(WorkingRgb(light + noise))


def _compared(sight: Sight, painted: Painted, frame: int, *, space: ModelSpace) -> blend.Comparison:
    """One view's plate and painted face of one frame, as `blend` compares them."""
    landmarks = sight.faces[frame].landmarks
    return blend.compare(
        plate=space.linear(painted.behind),
        face=space.decode_linear(painted.face),
        coverage=painted.mask,
        bare=align.to_crop(mesh.bare_points(landmarks), matrix=painted.matrix, lens=painted.lens),
        skin=SKIN,
    )


def _smooth_matches(matches: Mapping[int, Match], curve: Mapping[int, float]) -> dict[int, Match]:
    """As the relight, over the same frames."""
    tones = smooth({frame: one.tones.astype(np.float16) for frame, one in matches.items()}, curve)
    coarse = smooth({frame: one.coarse.astype(np.float16) for frame, one in matches.items()}, curve)
    return {frame: Match(tones[frame].astype(np.float32), coarse[frame].astype(np.float32)) for frame in matches}


def smooth(grids: Mapping[int, F16], curve: Mapping[int, float] | None = None) -> dict[int, F16]:
    """Gaussian over time, zero phase, renormalised at the ends and over missing frames.

    Runs of frames that are far apart (a gap of more than 3 standard deviations) do not mix, nor do frames whose
    exposures in `curve` (frame -> gain) are far apart.
    """
    frames = np.array(sorted(grids))
    stops = np.array([np.log2((curve or {}).get(int(frame), 1.0)) for frame in frames])
    out: dict[int, F16] = {}
    for at, frame in enumerate(frames):
        chosen = np.abs(frames - frame) <= 3 * _SMOOTH_FRAMES
        near = frames[chosen]
        weights = np.exp(-0.5 * ((near - frame) / _SMOOTH_FRAMES) ** 2)
        weights *= np.exp(-0.5 * ((stops[chosen] - stops[at]) / _SMOOTH_STOPS) ** 2)
        total = sum(w * grids[int(n)].astype(np.float64) for w, n in zip(weights, near, strict=True))
        out[int(frame)] = np.asarray(total / weights.sum()).astype(np.float16)
    return out
