"""Draws docs/images/ingredients.png: a frame of the demo and the layers of its ingredients.

python docs/figures/ingredients.py FRAME.exr PLATE.exr
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from vfxswap import atomic, exr, marks

OUTPUT = Path(__file__).parents[1] / "images" / "ingredients.png"

_TILE = 300
_TITLES = (
    "plate", "comp", "face", "raw", "gain (stops, grey is 0)",
    "matte.face", "matte.model", "matte.eyes + mouth", "delta x 4", "stmap",
)  # fmt: skip


def main(frame: Path, plate: Path) -> None:
    """Ten tiles around the face, five in a row, each under its name."""
    layers = {name: pixels.astype(np.float32) for name, pixels in exr.read_channels(frame)[0].items()}
    behind = exr.read(plate).rgb.astype(np.float32)

    def rgb(layer: str) -> np.ndarray:
        return np.stack([layers[f"{layer}.{letter}" if layer else letter] for letter in "RGB"], axis=-1)

    def grey(*names: str) -> np.ndarray:
        return np.repeat(sum(layers[name] for name in names)[..., None], 3, axis=-1)  # type: ignore[index]

    stmap = np.stack([layers["stmap.u"], layers["stmap.v"], np.zeros_like(layers["stmap.u"])], axis=-1)
    shown = [
        _display(behind), _display(rgb("")), _display(rgb("face")), _display(rgb("raw")), rgb("gain") / 2 + 0.5,
        grey("matte.face"), grey("matte.model"), grey("matte.eyes", "matte.mouth"), _display(np.abs(rgb("delta")) * 4),
        stmap,
    ]  # fmt: skip
    rows, columns = np.nonzero(layers["matte.face"])
    centre = np.array([(columns.min() + columns.max()) / 2, (rows.min() + rows.max()) / 2])
    half = 0.65 * max(np.ptp(columns), np.ptp(rows))
    x0, y0 = np.maximum(centre - half, 0).astype(int)
    x1, y1 = (centre + half).astype(int)
    tiles = [_tile(image[y0:y1, x0:x1], title) for image, title in zip(shown, _TITLES, strict=True)]
    sheet = np.concatenate([np.concatenate(tiles[:5], axis=1), np.concatenate(tiles[5:], axis=1)], axis=0)
    atomic.write_bytes(OUTPUT, marks.altered_png(sheet))


def _display(linear: np.ndarray) -> np.ndarray:
    """Scene-linear to the sRGB curve, for looking at."""
    light = np.clip(linear, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def _tile(image: np.ndarray, title: str) -> np.ndarray:
    pixels = np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)
    tile = np.zeros((_TILE + 28, _TILE, 3), np.uint8)
    scale = _TILE / max(pixels.shape[:2])
    small = cv2.resize(
        pixels, (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale)), interpolation=cv2.INTER_AREA
    )
    tile[28 : 28 + small.shape[0], : small.shape[1]] = small
    cv2.putText(tile, title, (6, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (220, 220, 220), 1, cv2.LINE_AA)
    return tile


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
