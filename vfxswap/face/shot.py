"""From a plate to a track: reading, exposure and colour around the solve."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vfxswap.errors import FrameError, TrackError
from vfxswap.face.solve import Frame, Networks, track_frames
from vfxswap.face.track import Track
from vfxswap.infer import Device
from vfxswap.plate import Plate

Report = Callable[[int, int], None]
Miss = Callable[[FrameError], None]


def track_plate(
    plate: Plate,
    *,
    still: bool = False,
    device: Device = "auto",
    networks: Networks | None = None,
    progress: Report | None = None,
    miss: Miss | None = None,
) -> Track:
    """Track every face of a plate, over all its frames.

    Args:
        plate: the plate; its first exposure is one for the whole shot, unless `still`.
        still: frames are unrelated pictures: each has its own exposure, nothing is smoothed.
        device: where the networks run.
        networks: networks to use again; None loads them.
        progress: called with (frames done, frames in all).
        miss: called with the error of each frame that cannot be read; it is then left out. None raises it.

    Raises:
        TrackError: no face in any frame. PlateError, FrameError.
    """
    gain = plate.first_gain()

    def images() -> Iterator[Frame]:
        for frame in plate.frames:
            try:
                image = plate.read(frame)
            except FrameError as error:
                if miss is None:
                    raise
                miss(error)
                continue
            yield frame, plate.encoded(image, gain=plate.gain_of(image) if still else gain), image.pixel_aspect

    track = track_frames(
        images(),
        plate=plate.sequence.pattern,
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
            hint="check --colorspace, --frames and that a face is at least 30 pixels high",
        )
    return track
