"""STMaps of the face crop, a file for each frame that has the face."""

from __future__ import annotations

from pathlib import Path

from vfxswap import align, atomic, exr
from vfxswap.errors import TrackError
from vfxswap.face.export.view import LENS, View
from vfxswap.geometry import Window
from vfxswap.sequence import SequencePath

CHANNELS = ("u", "v")
"""In red and green of a Read, and found by the name by whoever asks for it."""


def write_stmaps(view: View, pattern: Path) -> list[Path]:
    """Write 32-bit float EXRs, channels u and v, Nuke's convention (0..1, pixel centres, y up).

    Forward, the raster is the plate and the values are positions in the square crop that the model paints; inverse,
    the raster is that crop and the values are positions in the plate.

    Raises:
        TrackError: the track was made through a lens, and none is given, or the reverse. UsageError: the name has no
            frame number. OutputError, ResourceError.
    """
    if bool(view.track.metadata.get(LENS)) != (view.lenses is not None):
        raise TrackError("the track was made through another lens, or none", hint="give --lens as when tracking")
    sequence = SequencePath.parse(str(pattern)).require_token()
    display = Window(0, 0, *view.size)
    written = []
    atomic.sweep(sequence.folder)
    for frame in view.frames:
        matrix = align.crop_matrix(view.faces[frame].similarity, size=view.crop)
        lens = None if view.lenses is None else view.lenses.at(frame)
        if view.inverse:
            values = align.inverse_stmap(matrix=matrix, size=view.crop, display=view.size, lens=lens)
        else:
            values = align.stmap(matrix=matrix, window=display, size=view.crop, lens=lens)
        path = sequence.path(frame)
        exr.write_channels(path, channels={name: values[..., i] for i, name in enumerate(CHANNELS)})
        written.append(path)
    return written
