"""What the tests of `faceset` and `train` share: the command as installed, and plates whose pictures differ."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from .. import support

COMMAND = str(Path(sys.executable).parent / "vfxswap")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}

Done = subprocess.CompletedProcess[str]


def vfxswap(*arguments: object, **environment: str) -> Done:
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        env={**ENVIRONMENT, **environment},
        check=False,
    )


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def trusted(studio: support.Studio) -> list[str]:
    """The options that every gated command takes."""
    consents = [part for path in studio.consents for part in ("--consent", str(path))]
    return [*consents, "--keyring", str(studio.keyring)]


def look(i: int, *, count: int, tint: tuple[float, float, float] = (1, 1, 1), size: int = 220) -> np.ndarray:
    """The astronaut leaning a little, lit from another side in each of `count` pictures."""
    matrix = cv2.getRotationMatrix2D((size / 2, size / 2), 3.0 * (i - count / 2), 1.0)
    turned = cv2.warpAffine(support.astronaut(size), matrix, (size, size), borderMode=cv2.BORDER_REPLICATE)
    angle = 2.4 * i
    x, y = np.meshgrid(*[np.linspace(-1, 1, size, dtype=np.float32)] * 2)
    light = 1.0 + 0.6 * (np.cos(angle) * x + np.sin(angle) * y)
    return np.asarray(turned * np.clip(light, 0.2, None)[..., None] * np.asarray(tint, np.float32), np.float32)


def write_plate(folder: Path, *, frames: int, tint: tuple[float, float, float] = (1, 1, 1)) -> str:
    """`look`s as a sequence; returns its pattern."""
    folder.mkdir()
    for i in range(frames):
        support.write_frame(folder / f"look.{1001 + i}.exr", look(i, count=frames, tint=tint), frame=1001 + i)
    return str(folder / "look.####.exr")


class Place:
    """A studio with a faceset of each performer."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.studio = support.Studio.make(root / "studio")
        self.trust = trusted(self.studio)
        self.plate = write_plate(root / "ben_plate", frames=5)
        other = write_plate(root / "anna_plate", frames=4, tint=(0.7, 0.9, 1.1))
        common = ("--size", 80, "--device", "cpu", *self.trust)
        self.built = [
            vfxswap(
                "faceset", "build", self.plate, "--performer", "ben", "--output", root / "ben", "--stills", *common
            ),
            vfxswap("faceset", "build", other, "--performer", "anna", "--output", root / "anna", *common),
        ]

    def train(self, folder: Path, *more: object, **environment: str) -> Done:
        return vfxswap("train", folder, *self.facesets, *self.trust, "--device", "cpu", *more, **environment)

    @property
    def facesets(self) -> tuple[object, ...]:
        return ("--likeness", self.root / "ben", "--double", self.root / "anna")
