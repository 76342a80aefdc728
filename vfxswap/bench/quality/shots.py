"""Shots with ground truth on disk: plate, truth, matte and shot.json (docs/quality.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from vfxswap import exr
from vfxswap.bench.quality.views import View
from vfxswap.color import ColorConfig
from vfxswap.errors import PlateError
from vfxswap.geometry import Window
from vfxswap.pixels import F32, F64, Matte, WorkingRgb
from vfxswap.plate import Plate, open_plate
from vfxswap.sequence import SequencePath

PLATE, TRUTH, MATTE, FACTS = "plate", "truth", "matte", "shot.json"


class _Frame(BaseModel):
    model_config = ConfigDict(extra="ignore")
    head_deg: tuple[float, float, float] | None = None


class _Facts(BaseModel):
    """What of `shot.json` is read; all of it may be missing."""

    model_config = ConfigDict(extra="ignore")
    likeness: str = "likeness"
    double: str = "double"
    grain: float | None = None
    frames: dict[int, _Frame] = {}


@dataclass(frozen=True, eq=False)
class ShotData:
    """One shot with its truth.

    Attributes:
        folder: where it lies; its name is the shot's.
        plate: over all its frames.
        truth: the perfect swap; frames may be missing.
        matte: channels `truth_face` and, where something is in front of the face, `occluder`.
        likeness: the performer whose face the truth shows.
        double: the performer whose face the plate shows.
        grain: strength of the grain; None is not known.
        yaw_deg: frame -> how far the head is turned, where it is known.
    """

    folder: Path
    plate: Plate
    truth: SequencePath
    matte: SequencePath
    likeness: str
    double: str
    grain: float | None
    yaw_deg: Mapping[int, float]

    @staticmethod
    def load(folder: Path, *, config: ColorConfig | None = None, color_space: str | None = None) -> ShotData:
        """Find the parts of a shot.

        Raises:
            PlateError: a part is missing or none of its frames fit together; `shot.json` cannot be understood.
            ColorError: unknown colour space.
        """
        for part in (PLATE, TRUTH, MATTE):
            if not (folder / part).is_dir():
                raise PlateError(
                    f"no folder {part!r} in the shot", path=folder, hint="a shot has plate, truth, matte and shot.json"
                )
        facts = _facts(folder / FACTS)
        plate = open_plate(str(folder / PLATE), config=config, color_space=color_space)
        truth, matte = (SequencePath.parse(folder / part) for part in (TRUTH, MATTE))
        yaw = {number: frame.head_deg[1] for number, frame in facts.frames.items() if frame.head_deg is not None}
        found = ShotData(folder, plate, truth, matte, facts.likeness, facts.double, facts.grain, yaw)
        if not found.frames:
            raise PlateError("no frame has a plate, a truth and a matte", path=folder, hint="check the frame numbers")
        return found

    @property
    def name(self) -> str:
        """Of the shot: its folder's."""
        return self.folder.resolve().name

    @property
    def frames(self) -> tuple[int, ...]:
        """The frames that can be scored."""
        there = [set(sequence.frames_on_disk()) for sequence in (self.truth, self.matte)]
        return tuple(sorted(frame for frame in self.plate.frames if all(frame in some for some in there)))

    def views(self, swapped: SequencePath, *, landmarks: Mapping[int, F64] | None = None) -> Iterator[View]:
        """The frames with their swap, one at a time; frames that were not swapped are left out.

        Raises:
            FrameError, PlateError: a picture cannot be read, or has another size.
        """
        there = set(swapped.frames_on_disk())
        for frame in self.frames:
            if frame in there:
                yield self.view(frame, swapped, landmarks=landmarks)

    def view(self, frame: int, swapped: SequencePath, *, landmarks: Mapping[int, F64] | None = None) -> View:
        """One frame with its swap; raises as `views`."""
        image = self.plate.read(frame)
        if image.pixel_aspect != 1.0:
            raise PlateError(
                f"pixel aspect {image.pixel_aspect:g}", path=image.path, frame=frame, hint="score square pixels"
            )
        size = (image.display_window.height, image.display_window.width)
        layers = _layers(swapped.path(frame), size)
        mattes = _layers(self.matte.path(frame), size)
        if "truth_face" not in mattes:
            raise PlateError("no channel 'truth_face'", path=self.matte.path(frame), frame=frame)
        return View(
            frame=frame,
            plate=self._light(image),
            swap=self._light(exr.read(swapped.path(frame), frame=frame)),
            truth=self._light(exr.read(self.truth.path(frame), frame=frame)),
            face=Matte(mattes["truth_face"]),
            occluder=_matte(mattes, "occluder"),
            matte=_matte(layers, "matte.face"),
            model_matte=_matte(layers, "matte.model"),
            landmarks=None if landmarks is None else landmarks.get(frame),
            yaw_deg=self.yaw_deg.get(frame),
        )

    def _light(self, image: exr.Frame) -> WorkingRgb:
        """(H, W, 3) working-space pixels of the display window, 0 where the file has none."""
        display = Window(0, 0, image.display_window.width, image.display_window.height)
        rgb, window = self.plate.working(image, display)
        if window == display:
            return rgb
        whole = np.zeros((display.height, display.width, 3), np.float32)
        whole[window.slices(display)] = rgb
        return WorkingRgb(whole)


def _facts(path: Path) -> _Facts:
    if not path.is_file():
        return _Facts()
    try:
        return _Facts.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise PlateError(f"{where or 'the file'}: {first['msg']}", path=path, hint="see docs/quality.md") from error


def _layers(path: Path, size: tuple[int, int]) -> dict[str, F32]:
    """Every float channel of a file's first part over the display window."""
    channels, _ = exr.read_channels(path)
    part = exr.probe(path).parts[0]
    held = part.data_window.moved(-part.display_window.x, -part.display_window.y)
    display = Window(0, 0, size[1], size[0])
    inside = held.intersect(display)

    def placed(plane: F32) -> F32:
        if held == display:
            return plane
        whole = np.zeros(size, np.float32)
        whole[inside.slices(display)] = plane[inside.slices(held)]
        return whole

    return {name: placed(plane.astype(np.float32)) for name, plane in channels.items() if name in _WANTED}


_WANTED = ("truth_face", "occluder", "matte.face", "matte.model")


def _matte(layers: Mapping[str, F32], name: str) -> Matte | None:
    return Matte(layers[name]) if name in layers else None
