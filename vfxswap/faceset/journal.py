"""What a build has done so far, on disk, so that an interrupted one goes on where it stopped.

`.building/` in the faceset's folder holds a file for every crop that is made and for every shot that is tracked. It
goes when the index is written.
"""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from vfxswap import archive
from vfxswap.errors import FacesetError, TrackError
from vfxswap.face import track as tracks
from vfxswap.face.track import Track
from vfxswap.faceset.crops import Crop, Row, entry
from vfxswap.faceset.index import CROPS

FOLDER: Final = ".building"
_KIND: Final = "crop"
_VERSION: Final = 1
_ARRAYS: Final = ("landmarks", "embedding", "expression", "thumbnail")


class Journal:
    """The crops and tracks of an unfinished build.

    Args:
        folder: of the faceset.
    """

    def __init__(self, folder: Path) -> None:
        self._crops = folder / CROPS
        self._folder = folder / FOLDER

    @property
    def left(self) -> bool:
        """Whether a build left it."""
        return self._folder.is_dir()

    def crop(self, name: str, key: str) -> Row | None:
        """A crop that was made before of the very same, None if it has to be made."""
        path = self._folder / f"{name}.vfxcrop"
        if not key or not path.exists() or not (self._crops / f"{name}.exr").exists():
            return None
        try:
            manifest, members = archive.read(path, kind=_KIND, version=_VERSION, error=FacesetError)
            fields = manifest["crop"]
            if fields["key"] != key:
                return None
            arrays = {part: archive.npy_array(members[f"{part}.npy"]) for part in _ARRAYS}
            crop = Crop(
                **fields | {"pose_deg": tuple(fields["pose_deg"]), "reasons": ()}, landmarks=arrays["landmarks"]
            )
        except (FacesetError, KeyError, TypeError, ValueError):
            return None  # of another version, or damaged: it is made again
        return Row(crop, arrays["embedding"], arrays["expression"], arrays["thumbnail"])

    def keep_crop(self, row: Row) -> None:
        """Remember a crop whose picture is written."""
        arrays = (row.crop.landmarks, row.embedding, row.expression, row.thumbnail)
        archive.write(
            self._folder / f"{row.crop.name}.vfxcrop",
            kind=_KIND,
            version=_VERSION,
            manifest={"crop": entry(replace(row.crop, reasons=(), quarantined=None))},
            members={f"{part}.npy": archive.npy_bytes(np.asarray(a)) for part, a in zip(_ARRAYS, arrays, strict=True)},
            swept=True,  # what is left of it goes with the folder
        )

    def track(self, key: str) -> Track | None:
        """The track of a shot, None if it has to be made."""
        with contextlib.suppress(TrackError):
            return tracks.load(self._folder / f"{key[:32]}.vfxtrack")
        return None

    def keep_track(self, key: str, track: Track) -> None:
        """Remember a shot's track."""
        track.save(self._folder / f"{key[:32]}.vfxtrack")

    def close(self) -> None:
        """Forget everything: the index is written."""
        shutil.rmtree(self._folder, ignore_errors=True)
