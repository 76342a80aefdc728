# ruff: noqa: T201 - a command prints
"""A merge as the open face swappers do it, written from descriptions of what they do, around a vfxswap network.

    python benchmarks/peers/eight_bit.py PLATE_DIR --model M.vfxmodel --consent A --consent B --keyring DIR --output DIR

The plate becomes 8-bit sRGB at its own exposure, clipped. Every frame is detected and aligned by itself. The network's
face gets the plate's mean and spread of each channel of CIE Lab inside the mask (Reinhard et al., "Color transfer
between images", IEEE CG&A 2001), the mask is eroded and blurred, both are warped back with cubic interpolation, laid
over with the mask's alpha, and truncated to 8 bits. One PNG for each frame.

It stands for the merging half only: network and its training are those of the model that is given.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vfxswap import align
from vfxswap.bench.paste import transferred
from vfxswap.color import ModelSpace
from vfxswap.face import expression
from vfxswap.face.solve import Networks, track_frames
from vfxswap.face.track import FaceFrame
from vfxswap.geometry import to_opencv
from vfxswap.pixels import F32, Matte, ModelRgb
from vfxswap.plate import open_plate
from vfxswap.trust import Gate, KeyRing, ShotId
from vfxswap.vfxmodel import SwapModel, read_card

Eight = NDArray[np.uint8]

_ERODE, _BLUR = 0.04, 0.06
"""Of the crop's side."""


def merged(picture: Eight, face: FaceFrame, model: SwapModel) -> Eight:
    """(h, w, 3) uint8 RGB with the face in it."""
    size = model.resolution
    matrix = align.crop_matrix(face.similarity, size=size)
    crop = cv2.warpAffine(picture, to_opencv(matrix), (size, size), flags=cv2.INTER_CUBIC)
    seen = ModelRgb(np.asarray(crop, np.float32) / np.float32(255))
    condition = model.card.condition
    painted, mask, *_ = model.swap(seen, None if condition is None else expression.told(expression.of(face), condition))
    inside = mask > 0.5
    lit = np.clip(transferred(painted, seen, inside=inside), 0, 1) if inside.any() else painted
    back = (to_opencv(matrix), (picture.shape[1], picture.shape[0]))
    flags = cv2.WARP_INVERSE_MAP | cv2.INTER_CUBIC
    whole = cv2.warpAffine(lit, *back, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    alpha = np.clip(cv2.warpAffine(_feathered(mask), *back, flags=flags), 0, 1)[..., None]
    mixed = whole * alpha + picture.astype(np.float32) / 255 * (1 - alpha)
    return np.asarray(np.clip(mixed, 0, 1) * 255, np.uint8)


def _feathered(mask: Matte) -> F32:
    size = len(mask)
    side = 2 * round(_ERODE * size) + 1
    smaller = cv2.erode(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    return np.asarray(cv2.GaussianBlur(smaller, (0, 0), _BLUR * size / 2), np.float32)


def main() -> None:
    """Merge a shot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plate", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--consent", type=Path, action="append", default=[])
    parser.add_argument("--keyring", type=Path)
    parser.add_argument("--shot", required=True, help="PROJECT/SEQUENCE/SHOT that the consents cover")
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    card = read_card(given.model)
    grant = Gate(KeyRing.load(given.keyring), given.consent).authorize(
        shot=ShotId.parse(given.shot),
        use="swap",
        performers=card.performers.by_role(),
        model_sha256=card.onnx_sha256,
        origin=card.origin(),
    )
    model = SwapModel(given.model, grant=grant)
    plate, networks = open_plate(str(given.plate)), Networks.load()
    space = ModelSpace(plate.config, 1.0)
    given.output.mkdir(parents=True, exist_ok=True)
    for frame in plate.frames:
        image = plate.read(frame)
        codes = space.encode(plate.working(image, image.display_window)[0])
        picture = np.round(codes * 255).astype(np.uint8)
        alone = ModelRgb(picture.astype(np.float32) / np.float32(255))
        found = track_frames([(frame, alone, 1.0)], crops=1, still=True, networks=networks)
        for _, face in found.frames[frame][:1]:
            picture = merged(picture, face, model)
        cv2.imwrite(str(given.output / f"merged.{frame:04d}.png"), picture[..., ::-1])
    print(f"{len(plate.frames)} frames merged")


if __name__ == "__main__":
    main()
