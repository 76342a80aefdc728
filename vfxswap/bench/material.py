"""What is measured on: a plate, a face in it, and a network that costs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from vfxswap import align, blend, exr
from vfxswap.color import ColorConfig
from vfxswap.face import mesh
from vfxswap.face.track import FaceFrame
from vfxswap.geometry import invert, transform
from vfxswap.measure import Measurements
from vfxswap.pixels import F32, Matte, ModelRgb
from vfxswap.plate import Plate, open_plate
from vfxswap.vfxmodel import ModelCard, Painter, Painting, Performers

CROP = 256
"""Side of the stand-in network's crop."""

FACE = 850 / 3840
"""Height of the face as a part of the plate's width: a medium close-up, 850 pixels in UHD."""

FRAMES = 6

COPY = "read and write a frame"
"""The step that the others are held against."""

# Grain as a part of the signal's square root: 1.5 % of middle grey, a well exposed digital camera.
_GRAIN = 0.015 * 0.18**0.5


class Mirror:
    """Paints what it sees within a soft oval: the pipeline around the network without the network's cost.

    It holds nobody's likeness, so no consent is needed.
    """

    def __init__(self) -> None:
        at = (np.arange(CROP) + 0.5) / CROP - 0.5
        distance = np.hypot(at[None, :] / 0.30, at[:, None] / 0.40)
        self._mask = Matte(np.clip((1.0 - distance) * 12.0 + 0.5, 0.0, 1.0).astype(np.float32))
        self._card = ModelCard(
            architecture="mirror",
            resolution=CROP,
            template=align.TEMPLATE,
            encoding="srgb",
            exposure="none",
            performers=Performers(likeness="nobody", double="nobody"),
            consents=(),
            data={},
        )

    @property
    def card(self) -> ModelCard:
        """What it says of itself."""
        return self._card

    @property
    def resolution(self) -> int:
        """Side of its crops."""
        return CROP

    def swap(self, crop: ModelRgb, told: F32 | None = None) -> Painting:
        """The crop as it is, and the oval."""
        return Painting(crop, self._mask)


@dataclass(frozen=True, eq=False)
class Material:
    """A plate of FRAMES half EXR frames in a folder of its own.

    Attributes:
        folder: where files are put.
        size: width and height.
        source: an EXR whose picture is enlarged to the plate; None makes one of noise.
        model: a trained network to time, or None.
    """

    folder: Path
    size: tuple[int, int]
    source: Path | None = None
    model: Painter | None = None

    @property
    def words(self) -> str:
        """The plate in words."""
        picture = f"{self.source.name} enlarged, with grain" if self.source else "noise"
        return f"{self.size[0]}x{self.size[1]} half zip, {picture}; a face {round(FACE * self.size[0])} pixels high"

    @cached_property
    def picture(self) -> F32:
        """(H, W, 3) float32, scene-linear."""
        width, height = self.size
        rng = np.random.default_rng(0)
        if self.source is None:
            small = rng.gamma(2.0, 0.09, (height // 40, width // 40, 3)).astype(np.float32)
        else:
            small = exr.read(self.source).rgb.astype(np.float32)
        large = np.maximum(cv2.resize(small, self.size, interpolation=cv2.INTER_CUBIC), 0.0)
        grain = rng.standard_normal((height, width, 3), np.float32)
        return np.asarray(large + np.float32(_GRAIN) * np.sqrt(large) * grain, np.float32)

    @cached_property
    def plate(self) -> Plate:
        """The plate, written on first use."""
        half = self.picture.astype(np.float16)
        for frame in range(1, FRAMES + 1):
            moved = np.roll(half, frame, axis=1)
            exr.write_channels(
                self.folder / "plate" / f"plate.{frame:04d}.exr",
                channels={name: np.ascontiguousarray(moved[..., i]) for i, name in enumerate("RGB")},
            )
        return open_plate(str(self.folder / "plate"), config=ColorConfig.load(None))

    def copy(self, frame: int = 1, *, record: exr.Record | None = None) -> None:
        """Read a frame and write it as a comp that changes nothing: what every swap has to pay.

        With `record` file and pixels are hashed, too, as every rendered frame's are.
        """
        image = self.plate.read(frame)
        edit = exr.Edit(frame=image, rgb=image.rgb, window=image.origin_window)
        exr.write_frame(image, self.folder / "copy" / f"copy.{frame:04d}.exr", edits=[edit], record=record)

    @cached_property
    def face(self) -> FaceFrame:
        """A face that looks straight ahead from the middle of the picture."""
        width, height = self.size
        size = FACE * width
        similarity = np.array([[1 / size, 0.0, 0.5 - width / 2 / size], [0.0, 1 / size, 0.5 - height / 2 / size]])
        points = np.zeros((mesh.COUNT, 3))
        points[: mesh.MESH_COUNT, :2] = transform(invert(similarity), mesh.template())
        points[mesh.MESH_COUNT :, :2] = points[mesh.LEFT_EYE[0], :2]
        flat = points[:, :2]
        return FaceFrame(
            box=np.concatenate([flat.min(axis=0), flat.max(axis=0)]),
            landmarks=points,
            confidence=1.0,
            presence=1.0,
            pose_deg=(0.0, 0.0, 0.0),
            similarity=similarity,
        )

    @cached_property
    def measurements(self) -> Measurements:
        """A shot whose face is relit by a little, unevenly."""
        ramp = np.linspace(-0.3, 0.3, blend.GRID, dtype=np.float32)
        grid = np.ascontiguousarray(np.broadcast_to(ramp[None, :, None], (blend.GRID, blend.GRID, 3)))
        return Measurements(1.0, "", dict.fromkeys(range(1, FRAMES + 1), grid.astype(np.float16)))
