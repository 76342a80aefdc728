"""What the swap of any frame needs to know of the whole shot: the .vfxshot file.

Made once for the whole range of a job and shared by every chunk, so that no frame's pixels depend on which
other frames were rendered with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from vfxswap import align, archive, blend
from vfxswap.color import ModelSpace
from vfxswap.errors import FrameError, TrackError
from vfxswap.events import CancelToken
from vfxswap.face import mesh
from vfxswap.face.track import FaceFrame
from vfxswap.geometry import Window, transform
from vfxswap.pixels import F32, Matte, ModelRgb, WorkingRgb
from vfxswap.plate import Plate, scrub, skin_gain
from vfxswap.vfxmodel import Painter

KIND: Final = "shot"
VERSION: Final = 1

SKIN = 0.18
"""Where the double's median skin goes: the level models are trained at."""

_GAIN_SAMPLES = 24
_SMOOTH_FRAMES = 3.0
"""Standard deviation over time of the relight, in frames."""


@dataclass(frozen=True, eq=False)
class Measurements:
    """Shot-level measurements of one face under one model.

    Attributes:
        gain: the shot's exposure: the factor that puts the double's median skin at 0.18.
        model_sha256: the network's, whose painted faces the relight was measured against.
        relight: frame -> (GRID, GRID, 3) float16 stops over the model's crop, smoothed over time.
    """

    gain: float
    model_sha256: str
    relight: Mapping[int, F32]

    def save(self, path: Path) -> None:
        """Write a .vfxshot atomically."""
        frames = sorted(self.relight)
        grids = np.zeros((0, blend.GRID, blend.GRID, 3), np.float16)
        if frames:
            grids = np.stack([self.relight[frame] for frame in frames]).astype(np.float16)
        archive.write(
            path,
            kind=KIND,
            version=VERSION,
            manifest={"gain": self.gain, "model_sha256": self.model_sha256, "frames": frames},
            members={"relight.npy": archive.npy_bytes(grids)},
        )


def load(path: Path) -> Measurements:
    """Read a .vfxshot; raises TrackError when it is missing, damaged, newer or something else."""
    manifest, members = archive.read(path, kind=KIND, version=VERSION, error=TrackError)
    try:
        grids = archive.npy_array(members["relight.npy"]).astype(np.float32)
        frames = [int(frame) for frame in manifest["frames"]]
        relight = dict(zip(frames, grids, strict=True))
        return Measurements(float(manifest["gain"]), str(manifest["model_sha256"]), relight)
    except (KeyError, TypeError, ValueError) as error:
        raise TrackError(f"measurements are incomplete: {error}", path=path, hint="measure the shot again") from error


@dataclass(frozen=True, eq=False)
class Painted:
    """One frame's crop through the network.

    Attributes:
        matrix: plate -> painted crop, the model's placement included.
        window: plate pixels around the crop that there are.
        plate: (h, w, 3) the plate's finite working-space pixels of `window`.
        face, mask: (S, S, 3), (S, S) what the network painted.
    """

    matrix: Any
    window: Window
    plate: WorkingRgb
    face: ModelRgb
    mask: Matte

    @property
    def behind(self) -> WorkingRgb:
        """(S, S, 3) the plate where the painted crop goes, as a crop."""
        size = self.mask.shape[0]
        return WorkingRgb(align.take(self.plate, window=self.window, matrix=self.matrix, size=size))


def paint(pixels: WorkingRgb, window: Window, face: FaceFrame, *, space: ModelSpace, model: Painter) -> Painted:
    """Crop, encode, and let the network paint.

    Args:
        pixels: (h, w, 3) working-space pixels, as the file has them.
        window: where they lie in the plate.
        face: where the face is.
        space: the shot's model space.
        model: the opened model.
    """
    size = model.resolution
    matrix = align.crop_matrix(face.similarity, size=size)
    clean = scrub(pixels)
    crop = WorkingRgb(align.take(clean, window=window, matrix=matrix, size=size))
    painted, mask = model.swap(space.encode(crop))
    inside = Matte(mask * align.frame_weight(size=size))
    return Painted(align.placed(matrix, size=size, placement=model.card.placement), window, clean, painted, inside)


def face_window(face: FaceFrame, *, size: int) -> Window:
    """The plate pixels that a face's crop covers."""
    return align.crop_window(align.crop_matrix(face.similarity, size=size), size=size)


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
    chosen = frames[:: max(1, len(frames) // samples)]
    gains = []
    for frame in chosen:
        points = mesh.skin_points(faces[frame].landmarks)
        try:
            image = plate.read(frame)
        except FrameError:
            continue  # reported by whoever renders it
        rgb, window = plate.working(image, Window.around(points, margin=2))
        gains.append(skin_gain(rgb, window, points, plate.config, target=SKIN))
    usable = [gain for gain in gains if np.isfinite(gain)]
    if not usable:
        raise TrackError("no light on the tracked face in any frame", hint="check --colorspace and the track")
    return float(np.median(usable))


def measure(
    plate: Plate,
    faces: Mapping[int, FaceFrame],
    *,
    model: Painter,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    cancel: CancelToken | None = None,
) -> Measurements:
    """Measure a shot: exposure, then the relight of every frame, smoothed with zero phase.

    Args:
        plate: over its whole range.
        faces: the chosen face, frame -> where it is.
        model: the opened model.
        progress: called with (done, total).
        cancel: polled between frames.

    Raises:
        TrackError: no lit face.
    """
    space = ModelSpace(plate.config, shot_gain(plate, faces), model.card.encoding)
    grids: dict[int, F32] = {}
    for done, frame in enumerate(sorted(faces), start=1):
        try:
            image = plate.read(frame)
        except FrameError:
            continue  # reported by whoever renders it
        pixels, window = plate.working(image, face_window(faces[frame], size=model.resolution))
        if not window.empty:
            painted = paint(pixels, window, faces[frame], space=space, model=model)
            grids[frame] = blend.relight_grid(
                plate=space.linear(painted.behind),
                face=space.decode_linear(painted.face),
                coverage=painted.mask,
                bare=transform(painted.matrix, mesh.bare_points(faces[frame].landmarks)),
                skin=SKIN,
            )
        progress(done, len(faces))
        if cancel is not None:
            cancel.check()
    return Measurements(space.gain, model.card.onnx_sha256, smooth(grids))


def smooth(grids: Mapping[int, F32]) -> dict[int, F32]:
    """Gaussian over time, zero phase, renormalised at the ends and over missing frames; float16 precision.

    Runs of frames that are far apart (a gap of more than 3 standard deviations) do not mix.
    """
    frames = np.array(sorted(grids))
    out: dict[int, F32] = {}
    for frame in frames:
        near = frames[np.abs(frames - frame) <= 3 * _SMOOTH_FRAMES]
        weights = np.exp(-0.5 * ((near - frame) / _SMOOTH_FRAMES) ** 2)
        total = sum(w * grids[int(n)].astype(np.float64) for w, n in zip(weights, near, strict=True))
        mean = np.asarray(total / weights.sum())
        out[int(frame)] = mean.astype(np.float16).astype(np.float32)
    return out
