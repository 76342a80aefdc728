"""One crop: out of the plate, onto disk, measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vfxswap import align, archive, exr, matte, roto
from vfxswap.color import ModelSpace
from vfxswap.face import PARSERS, mesh
from vfxswap.face.protocols import Parser
from vfxswap.face.track import FaceFrame
from vfxswap.faceset import figures
from vfxswap.faceset.crops import Crop, Row
from vfxswap.faceset.index import CROPS, Faceset
from vfxswap.geometry import Matrix23, Window, invert, scale_of, transform
from vfxswap.infer import Device
from vfxswap.matte_input import MatteInput
from vfxswap.pixels import F32, F64, Matte, ModelRgb, WorkingRgb
from vfxswap.plate import Plate, scrub, skin_gain

_GROW_MASK = 1.0

_RIM = 0.044
"""Of a crop's side: so far from the outline it cannot be told whether what is not face lies before it or behind."""


@dataclass(frozen=True)
class Cutter:
    """Cuts crops into a faceset's folder.

    Attributes:
        folder: of the faceset.
        size: side of a crop.
        parser: says where the person is.
        measuring: the networks that look at crops.
    """

    folder: Path
    size: int
    parser: Parser
    measuring: figures.Measuring

    @staticmethod
    def load(folder: Path, *, size: int, device: Device = "auto") -> Cutter:
        """With the default networks; raises ModelError."""
        return Cutter(folder, size, PARSERS["selfie"](device=device), figures.Measuring.load(device=device))

    def cut(
        self,
        plate: Plate,
        frame: int,
        found: FaceFrame,
        *,
        name: str,
        gain: float | None,
        key: str,
        source_sha256: str,
        mattes: Sequence[MatteInput] = (),
    ) -> Row:
        """Write a crop's picture and measure it.

        Args:
            plate: where it comes from.
            frame: which frame of it.
            found: the face there.
            name: of the crop.
            gain: the shot's exposure; None: the crop's own.
            key: recorded.
            source_sha256: recorded.
            mattes: an artist's, of the plate: where the face is, and what is in front of it.

        Raises:
            FrameError: the frame or a matte's cannot be read. PlateError: a matte does not fit the plate. OutputError,
            ResourceError.
        """
        image = plate.read(frame)
        matrix = align.crop_matrix(found.similarity, size=self.size, margin=align.FACESET_MARGIN)
        pixels, window = plate.working(image, align.crop_window(matrix, size=self.size))
        rgb = self._taken(pixels, window, matrix)
        points = landmarks_in(found.landmarks, matrix)
        lit = gain if gain is not None else self._own_gain(rgb, points, plate)
        exposure = lit if np.isfinite(lit) else 1.0
        stored = _stored(rgb)
        encoded = ModelSpace(plate.config, exposure).encode(stored)
        display = Window(0, 0, image.display_window.width, image.display_window.height)
        person = self.parser(encoded, points)
        planes = {"mask": self._mask(person, points)}
        if mattes:
            size = (display.width, display.height)
            covers = roto.limits(mattes, frame=frame, window=window, display=size, view=plate.view_name)
            given = (self._taken_matte(cover, window, matrix) for cover in covers)
            whole = any(one.kind == "garbage" for one in mattes)
            known = _within(window, matrix, size=self.size)
            hair = Matte(person * _above(points, self.size))
            planes = _limited(planes["mask"], *given, whole=whole, known=known, hair=hair)
        mask = planes["mask"]
        path = self.folder / CROPS / f"{name}.exr"
        channels = {letter: stored[..., i].astype(np.float16) for i, letter in enumerate("RGB")}
        exr.write_channels(
            path,
            channels=channels | {plane: values.astype(np.float16) for plane, values in planes.items()},
            attributes={"vfxswap:plate": plate.sequence.pattern, "vfxswap:frame": frame},
        )
        seen = figures.of_track(
            found,
            inside=figures.inside(found.landmarks, display.intersect(image.origin_window)),
            scale=scale_of(matrix),
        )
        dark = {} if np.isfinite(lit) else {"unlit": 1.0}
        crop = Crop(
            name=name,
            plate=plate.sequence.pattern,
            frame=frame,
            timecode=image.timecode,
            gain=exposure,
            pose_deg=found.pose_deg,
            confidence=found.confidence,
            quarantined=None,
            landmarks=points,
            figures=seen | dark | figures.of_picture(encoded, stored, mask, points),
            key=key,
            source_sha256=source_sha256,
            sha256=archive.sha256(path.read_bytes()),
        )
        return self._row(crop, encoded)

    def measured(self, source: Faceset, crop: Crop) -> Row:
        """A crop of version 1 with what its stored picture tells."""
        stored, mask = source.linear(crop)
        encoded = ModelSpace(source.config, crop.gain).encode(stored)
        figures_of_it = figures.of_picture(encoded, stored, mask, crop.landmarks)
        return self._row(Crop(**{**vars(crop), "figures": figures_of_it}), encoded)

    def _row(self, crop: Crop, encoded: ModelRgb) -> Row:
        embedding = self.measuring.embedder(encoded, crop.landmarks)
        expression = self.measuring.expression(crop.landmarks)
        return Row(
            crop,
            np.round(embedding, 6),
            np.asarray(np.round(expression, 5), np.float32),
            figures.thumbnail(encoded),
        )

    def _taken(self, pixels: WorkingRgb, window: Window, matrix: Matrix23) -> F32:
        return align.take(scrub(pixels), window=window, matrix=matrix, size=self.size)

    def _own_gain(self, rgb: F32, points: F64, plate: Plate) -> float:
        skin = mesh.skin_points(points)
        return skin_gain(WorkingRgb(rgb), Window(0, 0, self.size, self.size), skin, plate.config)

    def _taken_matte(self, cover: Matte, window: Window, matrix: Matrix23) -> Matte:
        taken = align.take(cover, window=window, matrix=matrix, size=self.size)
        return Matte(np.clip(taken, 0.0, 1.0))

    def _mask(self, person: Matte, points: F64) -> Matte:
        """What the mask head learns without anybody's mattes: the mesh's hull, where the person is."""
        hull = matte.oval(points, size=self.size, soft=_GROW_MASK)
        return Matte(hull * np.clip(person * 2.0, 0.0, 1.0))


def _within(window: Window, matrix: Matrix23, *, size: int) -> NDArray[np.bool_]:
    """(size, size) which of a crop's pixels lie in a window of the plate."""
    x, y = np.meshgrid(*[np.arange(size) + 0.5] * 2)
    at = transform(invert(matrix), np.stack([x, y], axis=-1).reshape(-1, 2))
    inside = (at >= [window.x, window.y]) & (at <= [window.x1, window.y1])
    return np.asarray(inside.all(axis=1).reshape(size, size))


def _limited(
    found: Matte, limit: Matte, holdout: Matte, *, whole: bool, known: NDArray[np.bool_], hair: Matte
) -> dict[str, Matte]:
    """The planes of a crop from an artist's mattes.

    Args:
        found: (S, S) where the mesh and the person are.
        limit: where the artist says that the face is.
        holdout: what the artist says is in front.
        whole: somebody said where the face is: then it is there and nowhere else.
        known: (S, S) within the picture, where mattes say something; beyond it stays what was found.
        hair: (S, S) where the person is that high that what is no face is hair.

    Returns:
        `mask`: the face that can be seen. `front`: what covers it: the artist's holdouts, what is left of the inside of
        `found`, and hair there and a little way around. Elsewhere what lies at the rim, beside a cheek or under a jaw,
        may as well be behind another performer's face.
    """
    shown = (limit if whole else found) * (1.0 - holdout)
    inner = matte.morphed(found, round(_RIM * len(found)), inwards=True)
    outer = matte.morphed(found, round(2 * _RIM * len(found)), inwards=False) * hair
    covered = cv2.GaussianBlur(np.maximum(inner, outer), (0, 0), _GROW_MASK)
    front = np.maximum(holdout, np.asarray(covered, np.float32) * (1.0 - shown))
    return {"mask": Matte(np.where(known, shown, found)), "front": Matte(np.where(known, front, np.float32(0.0)))}


def _above(points: F64, size: int) -> F32:
    """(size, size) of a crop's pixels: 1 above the eyes, falling to 0 at the height of the nose's tip."""
    eyes, tip = points[[*mesh.LEFT_EYE, *mesh.RIGHT_EYE], 1].mean(), points[mesh.NOSE[0], 1]
    rows = (tip - (np.arange(size) + 0.5)) / max(tip - eyes, 1.0)
    return np.asarray(np.clip(rows, 0.0, 1.0)[:, None] * np.ones(size), np.float32)


def _stored(rgb: F32) -> WorkingRgb:
    """The pixels as the file will hold them: every figure is of what is stored."""
    half, _ = exr.to_half(rgb)
    return WorkingRgb(half.astype(np.float32))


def landmarks_in(points: F64, matrix: Matrix23) -> F64:
    """(478, 3) plate landmarks -> crop pixels; depth is scaled alike."""
    out = points.copy()
    out[:, :2] = transform(matrix, points[:, :2])
    out[:, 2] *= scale_of(matrix)
    return out
