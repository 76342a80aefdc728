"""From a plate to a track: reading, exposure and colour around the solve."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from vfxswap import exr
from vfxswap.errors import FrameError, TrackError
from vfxswap.face.exposed import Source, Whole
from vfxswap.face.solve import Frame, Networks, Quality, track_frames
from vfxswap.face.track import FaceFrame, Track
from vfxswap.geometry import Window
from vfxswap.infer import Device
from vfxswap.lens import Lens
from vfxswap.pixels import ModelRgb
from vfxswap.plate import Plate

Report = Callable[[int, int], None]
Miss = Callable[[FrameError], None]


def track_plate(
    plate: Plate,
    *,
    still: bool = False,
    quality: Quality = "default",
    device: Device = "auto",
    networks: Networks | None = None,
    progress: Report | None = None,
    miss: Miss | None = None,
) -> Track:
    """Track every face of a plate, over all its frames.

    Args:
        plate: the plate; its first exposure is one for the whole shot, unless `still`.
        still: frames are unrelated pictures: each has its own exposure, nothing is smoothed.
        quality: how much is done for each frame, see `solve.Quality`.
        device: where the networks run.
        networks: networks to use again; None loads them.
        progress: called with (frames done, frames in all).
        miss: called with the error of each frame that cannot be read; it is then left out. None raises it.

    Raises:
        TrackError: no face in any frame. PlateError, FrameError.
    """
    gain = plate.first_gain()

    def images() -> Iterator[Frame]:
        for frame, image in plate.ahead(plate.frames):
            if isinstance(image, FrameError):
                if miss is None:
                    raise image
                miss(image)
                continue
            here = plate.gain_of(image) if still else plate.steady_gain(image, gain)
            yield frame, seen(plate, frame, image, here), image.pixel_aspect

    track = track_frames(
        images(),
        plate=plate.sequence.pattern,
        quality=quality,
        still=still,
        networks=networks or Networks.load(device=device),
        progress=lambda _frame, done: progress(done, len(plate.frames)) if progress else None,
        gain=gain,
        colorspace=plate.space,
        config_id=plate.config.id,
    )
    if not any(track.frames.values()):
        raise TrackError(
            f"no face in any of {len(plate.frames)} frames of {plate.sequence.pattern}",
            hint="check --colorspace, --frames and that a face is at least 20 pixels high",
        )
    return track if plate.lenses is None else _distorted(track, plate)


_ORIGIN = Window(0, 0, 0, 0)


class _Seen:
    """A frame of a plate as trackers see it; `exposed.Source`."""

    deep = True

    def __init__(self, plate: Plate, image: exr.Frame, gain: float) -> None:
        self._plate, self._image, self._gain = plate, image, gain
        self.size = (image.display_window.width, image.display_window.height)

    def part(self, window: Window, *, stops: float = 0.0) -> ModelRgb:
        """The pixels of `window`; 0 where the file has none."""
        return self._plate.glance(self._image, window, gain=self._gain * 2.0**stops)

    def shrunk(self, window: Window, size: tuple[int, int], *, stops: float = 0.0) -> ModelRgb:
        """`window` as a picture of `size`: the means of areas, in light as a lens would blur them."""
        return self._plate.glance(self._image, window, gain=self._gain * 2.0**stops, size=size)

    def thin(self, step: int) -> ModelRgb:
        """Every `step`-th pixel of every `step`-th row."""
        return self._plate.glance(self._image, Window(0, 0, *self.size), gain=self._gain, every=step)


def seen(plate: Plate, frame: int, image: exr.Frame, gain: float) -> Source:
    """A frame of a plate as trackers see it, with the exposure `gain`."""
    lens = plate.lens(frame)
    if lens is None:
        return _Seen(plate, image, gain)
    return Whole(lambda stops: plate.encoded(image, gain=gain * 2.0**stops, lens=lens), deep=True)


LENS = "lens"
"""The key of a track's metadata that names the lens it was tracked through."""


def lens_name(plate: Plate) -> str:
    """What a track records of its plate's lens: the hash of the first frame's map, or nothing."""
    lens = plate.lens(plate.frames.first)
    return "" if lens is None else lens.hash


def _distorted(track: Track, plate: Plate) -> Track:
    """`track`, whose points are those of the undistorted raster, with points of the plate.

    The similarity stays: it maps the undistorted plate to the face, which is straight there (align.py).
    """

    def moved(face: FaceFrame, lens: Lens) -> FaceFrame:
        points = face.landmarks.copy()
        points[:, :2] = lens.to_plate(points[:, :2])
        flat = points[:, :2]
        return replace(face, landmarks=points, box=np.concatenate([flat.min(axis=0), flat.max(axis=0)]))

    frames = {}
    for frame, pairs in track.frames.items():
        lens = plate.lens(frame) if pairs else None
        frames[frame] = pairs if lens is None else tuple((key, moved(face, lens)) for key, face in pairs)
    size = track.size if plate.lenses is None else plate.lenses.display
    return replace(track, frames=frames, size=size, metadata={**track.metadata, LENS: lens_name(plate)})
