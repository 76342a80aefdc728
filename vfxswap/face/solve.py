"""From images to a track: find the faces, follow each one, tell who is who, and keep what was seen.

The images come from an iterator; only the one before the present one is kept, so memory stays flat. `follow` walks
through a shot, `people` decides who is who, `runs` makes a track of what was seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from vfxswap.face import runs
from vfxswap.face.exposed import Exposed, Source, Spare
from vfxswap.face.follow import Follower
from vfxswap.face.looking import EFFORTS, Networks, Quality, Stills
from vfxswap.face.people import merged, ranked
from vfxswap.face.runs import MAX_GAP
from vfxswap.face.track import Face, FaceFrame, Track
from vfxswap.pixels import ModelRgb

__all__ = ["EFFORTS", "MAX_GAP", "Frame", "Networks", "Quality", "track_frames"]

Frame = tuple[int, ModelRgb | Source, float]
"""Frame number; (H, W, 3) display-encoded image of the whole plate in [0, 1], or what encodes it, in parts and with
other exposures; and pixel aspect. In an image nothing brighter than its white can be seen."""


def track_frames(
    frames: Iterable[Frame],
    *,
    plate: str = "",
    quality: Quality = "default",
    crops: int | None = None,
    still: bool = False,
    networks: Networks | None = None,
    progress: Callable[[int, int], None] | None = None,
    gain: float = 1.0,
    colorspace: str = "",
    config_id: str = "",
    metadata: Mapping[str, str] | None = None,
) -> Track:
    """Track every face in a run of images.

    Args:
        frames: the images in order, display-encoded and with ONE exposure for the whole shot (an encoding that
            changes from frame to frame becomes a shift of the landmarks).
        plate: pattern of the files, recorded.
        quality: how much is done for each frame.
        crops: perturbed crops averaged per face and frame, more is steadier and slower; None is the quality's.
        still: the images are unrelated: nothing is followed or smoothed, ids rank the faces within each image.
        networks: loaded networks, the defaults if None.
        progress: called with (frame, number of frames done) after each one.
        gain: the exposure gain the images were made with, recorded.
        colorspace: the plate's colour space, recorded.
        config_id: the OCIO config's id, recorded.
        metadata: free strings, recorded.

    Returns:
        A track with every frame as a key; `faces` is empty when no face was found at all.

    Raises:
        ModelError: a network cannot be loaded.
    """
    effort = EFFORTS[quality]
    effort = effort if crops is None else replace(effort, crops=crops)
    loaded = networks or Networks.load()
    shot = Follower(loaded, effort)
    solver = Stills(loaded, effort) if still else shot
    aspect, size, spare = 1.0, None, Spare()
    for done, item in enumerate(frames, start=1):
        image = Exposed(item[1], pixel_aspect=item[2], afar=effort.flow and not still, spare=spare)
        aspect, size = item[2], image.plate_size
        solver.look(item[0], image)
        if progress is not None:
            progress(item[0], done)
    people = ranked(solver.people) if still else ranked(merged([p for p in solver.people if p.readable]))
    found = shot.cuts.close()
    listed: dict[int, list[tuple[int, FaceFrame]]] = {frame: [] for frame in solver.frames}
    for key, person in enumerate(people):
        made = (
            runs.apart(person)
            if still
            else runs.together(person, solver.frames, cuts=found, dissolves=shot.cuts.dissolves)
        )
        for frame, face in made:
            listed[frame].append((key, face))
    return Track(
        plate=plate,
        frames={frame: tuple(pairs) for frame, pairs in listed.items()},
        faces=tuple(Face(id=key, name=None, embedding=p.embedding) for key, p in enumerate(people)),
        gain=gain,
        colorspace=colorspace,
        config_id=config_id,
        pixel_aspect=aspect,
        still=still,
        metadata=dict(metadata or {}),
        cuts=found,
        size=size,
    )
