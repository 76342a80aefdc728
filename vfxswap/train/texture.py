"""What one performer's skin, brows and lips look like beside another's: the textured half of the disguise.

The mean colour of each spot of the canonical face is taken from the crops of both performers, whatever their light,
pose and expression, which average out. Laid over a crop, the ratio of the two gives it the other's complexion, brows,
beard and shadows of the eye sockets, at the crop's own pose and expression.

Source: the ratio images of Z. Liu, Y. Shan, Z. Zhang, "Expressive Expression Mapping with Ratio Images", SIGGRAPH
2001, used the other way round: there an expression changes and the person stays.
"""

from __future__ import annotations

import cv2
import numpy as np

from vfxswap.face import mesh
from vfxswap.face.uv import uv_pass
from vfxswap.geometry import Window
from vfxswap.pixels import F32, F64
from vfxswap.train.bank import Bank

SIDE = 96
"""Side of a veil: it is smooth, and a large faceset has thousands of them."""

_TEXTURE = 96
_SOFT = 1.2
_FRONTAL_DEG = 40.0
_MOST = 0.9
"""Largest change, log: less than a factor of two and a half."""

_MOVING = 0.4
"""How much of the change is kept in eyes and between lips, whose look is that of the moment."""

_FLOOR = 0.02


def texture(bank: Bank) -> tuple[F32, F32]:
    """The mean look of a performer's face over canonical coordinates.

    Args:
        bank: the performer's crops.

    Returns:
        (T, T, 3) encoded colour with the mean skin at 1, v downwards, and (T, T) how much is known of each spot.
    """
    total = np.zeros((_TEXTURE * _TEXTURE, 3))
    count = np.zeros(_TEXTURE * _TEXTURE)
    for i, crop in enumerate(bank.crops):
        if max(abs(crop.pose_deg[0]), abs(crop.pose_deg[1])) > _FRONTAL_DEG or i in bank.held_out:
            continue
        rgb = bank.rgb[i].float().numpy().transpose(1, 2, 0)
        place = _places(crop.landmarks, source=bank.source_size, side=rgb.shape[0])
        inside = place[..., 2] > 0
        colors = rgb[inside] / np.maximum(rgb[inside].mean(axis=0), _FLOOR)
        x, y = np.clip((place[inside][:, :2] * _TEXTURE).astype(int), 0, _TEXTURE - 1).T
        np.add.at(total, y * _TEXTURE + x, colors)
        np.add.at(count, y * _TEXTURE + x, 1.0)
    shape = (_TEXTURE, _TEXTURE)
    soft = [cv2.GaussianBlur(v.reshape(*shape, -1), (0, 0), _SOFT).reshape(*shape, -1) for v in (total, count)]
    known = np.minimum(soft[1][..., 0] / max(1.0, float(np.median(count[count > 0])) / 4), 1.0)
    return (soft[0] / np.maximum(soft[1], 1e-6)).astype(np.float32), known.astype(np.float32)


def veils(bank: Bank, other: Bank) -> F32:
    """What gives each crop of a performer the complexion of another.

    Args:
        bank: the performer.
        other: whom the crops are to resemble.

    Returns:
        (N, 3, SIDE, SIDE) natural logarithms of gains of encoded colour, over the bank's crops.
    """
    tint = np.log(np.maximum(other.skin, _FLOOR) / np.maximum(bank.skin, _FLOOR))
    mine, theirs = texture(bank), texture(other)
    known = np.minimum(mine[1], theirs[1])[..., None]
    ratio = np.log(np.maximum(theirs[0], _FLOOR) / np.maximum(mine[0], _FLOOR))
    ratio = np.clip(ratio, -_MOST, _MOST) * known
    out = np.empty((len(bank), 3, SIDE, SIDE), np.float32)
    for i, crop in enumerate(bank.crops):
        place = _places(crop.landmarks, source=bank.source_size, side=SIDE)
        where = (place[..., :2] * _TEXTURE - 0.5).astype(np.float32)
        found = cv2.remap(
            ratio.astype(np.float32), where[..., 0], where[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        out[i] = (tint + found * _weight(place[..., 2], crop.landmarks * SIDE / bank.source_size)).transpose(2, 0, 1)
    return out


def _places(landmarks: F64, *, source: int, side: int) -> F32:
    """(side, side, 3): canonical u, v (downwards) and 1 where the crop shows the face's mesh, else 0."""
    place = uv_pass(landmarks * (side / source), window=Window(0, 0, side, side))
    place[..., 1] = (1.0 - place[..., 1]) * place[..., 2]
    return place


def _weight(coverage: F32, points: F64) -> F32:
    """(SIDE, SIDE, 1) 1 on the face, soft to 0 at its outline, little in eyes and between lips."""
    inner = cv2.erode(coverage, np.ones((3, 3), np.uint8))
    moving = np.zeros((SIDE, SIDE), np.float32)
    for region in (mesh.LIPS_INNER, mesh.LEFT_EYE, mesh.RIGHT_EYE):
        outline = np.round(points[list(region), :2] * 16).astype(np.int32)
        cv2.fillPoly(moving, [outline], 1.0, lineType=cv2.LINE_8, shift=4)
    kept = inner * (1.0 - (1.0 - _MOVING) * moving)
    return np.asarray(cv2.GaussianBlur(kept, (0, 0), 1.5), np.float32)[..., None]
