# ruff: noqa: T201 - a command prints
"""A stand-in for a trained model that takes no training: what the principal components of some crops can show.

It knows pixels only, nothing of pose or expression. Light is taken out first, as far as it is smooth: each crop is seen
relative to its own blurred self.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.optimize import nnls

from vfxswap import align, exr
from vfxswap.color import ColorConfig, ModelSpace
from vfxswap.coverage import Look, Side
from vfxswap.coverage.metric import GAZE_DEG, GROUPS, part_distances
from vfxswap.face import mesh
from vfxswap.face.track import FaceFrame
from vfxswap.faceset import Faceset
from vfxswap.geometry import Window
from vfxswap.pixels import F32, F64, WorkingRgb
from vfxswap.plate import skin_gain

SIZE = 64
COMPONENTS = 40
_SMOOTH = 9.0


@dataclass(frozen=True, eq=False)
class Pictures:
    """(n, 64, 64, 3) crops without their light, and (n, 64, 64) where the face and the mouth are."""

    flat: F32
    mask: F32
    mouth: F32

    def only(self, chosen: Sequence[int]) -> Pictures:
        """Some of them."""
        return Pictures(self.flat[chosen], self.mask[chosen], self.mouth[chosen])

    def span(self, chosen: Sequence[int]) -> Span:
        """What `chosen` and their mirror images span, inside of where this performer's face usually is."""
        usual = self.mask.mean(axis=0) > 0.4
        inside = usual | usual[:, ::-1]
        some = self.flat[chosen]
        rows = np.concatenate([some, some[:, :, ::-1]])[:, inside].reshape(2 * len(chosen), -1)
        mean = rows.mean(axis=0)
        _, _, basis = np.linalg.svd(rows - mean, full_matrices=False)
        return Span(inside, mean, basis[:COMPONENTS])


@dataclass(frozen=True, eq=False)
class Span:
    """A mean picture and orthonormal components of the pixels `inside`."""

    inside: F32
    mean: F32
    basis: F32

    def residual(self, pictures: Pictures, *, mouth: bool = False) -> F64:
        """(n,) root mean square of what the components cannot show, where each face (`mouth`: each mouth) is."""
        rows = pictures.flat[:, self.inside].reshape(len(pictures.flat), -1) - self.mean
        where = pictures.mask * pictures.mouth if mouth else pictures.mask
        weight = np.repeat(where[:, self.inside], 3, axis=1)
        rest = rows - (rows @ self.basis.T) @ self.basis
        return np.asarray(np.sqrt((rest**2 * weight).sum(axis=1) / weight.sum(axis=1)), np.float64)


def of_side(faceset: Faceset, names: Sequence[str]) -> Pictures:
    """The crops of a faceset by name, framed as a model sees them."""
    crops = {crop.name: crop for crop in faceset.crops}
    rim = round(faceset.size * (1 - 1 / align.FACESET_MARGIN) / 2)
    inner = slice(rim, faceset.size - rim)
    pairs = []
    for name in names:
        rgb, mask = faceset.load(crops[name])
        pairs.append([cv2.resize(x[inner, inner], (SIZE, SIZE), interpolation=cv2.INTER_AREA) for x in (rgb, mask)])
    mouths = [mouth_of(crops[name].landmarks, (faceset.size, faceset.size)) for name in names]
    small = [cv2.resize(mouth[inner, inner], (SIZE, SIZE), interpolation=cv2.INTER_AREA) for mouth in mouths]
    return _pictures([rgb for rgb, _ in pairs], [mask for _, mask in pairs], small)


def mouth_of(points: F64, shape: tuple[int, ...]) -> F32:
    """(H, W) 1 in the mouth and half its height around it, from (478, 3) landmarks."""
    lips = points[list(mesh.LIPS_OUTER), :2]
    grown = lips.mean(axis=0) + (lips - lips.mean(axis=0)) * [1.3, 2.0]
    out = np.zeros(shape[:2], np.float32)
    cv2.fillConvexPoly(out, cv2.convexHull(np.round(grown).astype(np.int32)), 1.0)
    return out


def of_shot(folder: Path, faces: Mapping[int, FaceFrame], frames: Sequence[int]) -> Pictures:
    """The perfect swaps of a shot, cut out where the double was tracked."""
    config, gains = ColorConfig.load(None), []
    crops, masks, mouths = [], [], []
    for frame in frames:
        matrix = align.crop_matrix(faces[frame].similarity, size=SIZE)
        rgb = np.asarray(exr.read(folder / "truth" / f"truth.{frame}.exr").rgb, np.float32)
        window = Window(0, 0, rgb.shape[1], rgb.shape[0])
        matte, _ = exr.read_channels(folder / "matte" / f"matte.{frame}.exr")
        crops.append(WorkingRgb(align.take(rgb, window=window, matrix=matrix, size=SIZE)))
        masks.append(align.take(matte["truth_face"].astype(np.float32), window=window, matrix=matrix, size=SIZE))
        mouth = mouth_of(faces[frame].landmarks, rgb.shape)
        mouths.append(align.take(mouth, window=window, matrix=matrix, size=SIZE))
        gains.append(skin_gain(WorkingRgb(rgb), window, mesh.skin_points(faces[frame].landmarks), config))
    space = ModelSpace(config, float(np.nanmedian(gains)))
    return _pictures([space.encode(crop) for crop in crops], masks, mouths)


def _pictures(crops: Sequence[F32], masks: Sequence[F32], mouths: Sequence[F32]) -> Pictures:
    flat = []
    for rgb, mask in zip(crops, masks, strict=True):
        weight = np.asarray(mask, np.float32) + np.float32(1e-3)
        smooth = _blurred(rgb * weight[..., None]) / _blurred(weight)[..., None]
        flat.append(rgb - smooth)
    return Pictures(np.array(flat, np.float32), np.array(masks, np.float32), np.array(mouths, np.float32))


def _blurred(image: F32) -> F32:
    return np.asarray(cv2.GaussianBlur(np.asarray(image, np.float32), (0, 0), _SMOOTH), np.float32)


def fit_weights(side: Side, pictures: Pictures) -> None:
    """How much each part of the face changes the picture, from pairs of one performer's stills; in degrees of turn.

    Squared differences of pictures are explained by those of the parts, none of which may count negatively.
    """
    looks = [sample.look for sample in side.samples]
    values, weights = (x.reshape(len(looks), -1) for x in (pictures.flat, np.repeat(pictures.mask[..., None], 3, -1)))
    both = weights @ weights.T
    masked = values * weights
    apart = (masked * values) @ weights.T
    squares = (apart + apart.T - 2 * masked @ masked.T) / both
    columns = _columns(looks)
    upper = np.triu_indices(len(looks), 1)
    print("\nfit on pairs of the double's stills: degrees for a difference of 1 (gaze: for a degree)")
    print("  the metric: " + ", ".join(f"{name} {degrees:g}" for name, (_, degrees) in columns.items()))
    for most in (10.0, 20.0):
        close = columns["turn"][0][upper] < most**2
        table = np.stack([column[upper][close] for column, _ in columns.values()] + [np.ones(close.sum())], axis=1)
        found, _ = nnls(table, squares[upper][close])
        shown = zip(columns, np.sqrt(found[:-1] / found[0]), strict=True)
        print(f"  turned less than {most:.0f} degrees apart ({close.sum()} pairs): ", end="")
        print(", ".join(f"{name} {value:.2g}" for name, value in shown))


def _columns(looks: Sequence[Look]) -> dict[str, tuple[F64, float]]:
    """What differs -> (n, n) squared difference, and how many degrees the metric gives to a difference of 1."""
    parts = part_distances(looks, looks)
    out = {"turn": (parts["turn"] ** 2, 1.0)}
    values = np.array([look.expression for look in looks])
    for group in GROUPS:
        some = values[:, group.indices]
        out[group.name] = (((some[:, None] - some[None]) ** 2).sum(axis=-1), group.degrees)
    return out | {"gaze": ((parts["gaze"] / GAZE_DEG) ** 2, GAZE_DEG)}
