"""TensorBoard event files. The only file that imports TensorBoard, which is an extra of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from vfxswap import atomic
from vfxswap.errors import ModelError


class Board:
    """Writes scalars and preview sheets."""

    def __init__(self, folder: Path) -> None:
        """Begin an event file in `folder`; raises ModelError when TensorBoard is not installed."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ModuleNotFoundError as error:
            raise ModelError(
                "tensorboard is not installed", hint="pip install 'vfxswap[tensorboard]', or leave --tensorboard out"
            ) from error
        try:
            self._writer = SummaryWriter(str(folder))
        except OSError as error:
            raise atomic.writing_error(error, folder) from error
        self._folder = folder

    def scalars(self, step: int, groups: Mapping[str, Mapping[str, float]]) -> None:
        """Write `group/name` values; raises ResourceError or OutputError."""
        for group, values in groups.items():
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, step)
        self._flush()

    def picture(self, step: int, png: bytes) -> None:
        """Write a preview sheet; raises ResourceError or OutputError."""
        pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
        if pixels is not None:
            self._writer.add_image("preview", np.ascontiguousarray(pixels[..., ::-1]), step, dataformats="HWC")
        self._flush()

    def close(self) -> None:
        """End the file."""
        self._writer.close()

    def _flush(self) -> None:
        try:
            self._writer.flush()
        except OSError as error:
            raise atomic.writing_error(error, self._folder) from error
