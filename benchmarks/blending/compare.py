# ruff: noqa: T201 - a command prints
"""The same painted face put into the same plate in several ways, scored against the perfect swap of the shot.

    vfxswap bench quality --model M --shot-data DIR ... --output scored     # renders scored/SHOT/swap.%04d.exr
    python benchmarks/blending/compare.py scored/SHOT:DIR ... [--strip OUT.png]

`--modes DIR` adds what `vfxswap swap --match MODE` wrote to DIR/MODE/SHOT/swap.%04d.exr.

Every way gets the layers `raw` (the network's face, unlit) and `matte.face` of the same ingredients. Scores are taken
inside the matte and 16 pixels around it, occluders left out: PSNR of sRGB codes in dB, HDR-FLIP, and delta-E (CIE 1976,
of sRGB codes) between the two sides of the matte's edge as it exceeds the truth's there.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.linalg import spsolve

from vfxswap import exr
from vfxswap.bench.quality import pixelwise
from vfxswap.bench.quality.shots import ShotData
from vfxswap.bench.quality.views import View
from vfxswap.color import ColorConfig, ModelSpace
from vfxswap.pixels import F32, F64, WorkingRgb
from vfxswap.sequence import SequencePath

RING = 16
_FLOOR = 0.18 / 256
_TO_709 = np.array(
    [[1.7050510, -0.6217921, -0.0832589], [-0.1302564, 1.1408048, -0.0105482], [-0.0240033, -0.1289690, 1.1529723]]
)


@dataclass(frozen=True, eq=False)
class Material:
    """One frame around the face: working-space light (h, w, 3), matte (h, w), and where the scores are taken."""

    plate: F32
    raw: F32
    comp: F32
    truth: F32
    matte: F32
    where: np.ndarray
    cut: tuple[slice, slice]
    config: ColorConfig
    gain: float


def feathered(it: Material) -> F32:
    """The painted face as it is, over the plate with the soft matte."""
    return _over(it, it.raw)


def transferred(it: Material) -> F32:
    """Mean and spread of each channel's log taken from the plate inside the matte, then over.

    Reinhard, Ashikhmin, Gooch, Shirley, "Color transfer between images", IEEE CG&A 2001, on log light.
    """
    inside = it.matte > 0.5
    face, plate = _log(it.raw), _log(it.plate)
    a, b = face[inside], plate[inside]
    moved = (face - a.mean(0)) * (b.std(0) / np.maximum(a.std(0), 1e-3)) + b.mean(0)
    return _over(it, _light(moved))


def toned(it: Material) -> F32:
    """Mean of each channel's log taken from the plate inside the matte, then over."""
    inside = it.matte > 0.5
    return _over(it, _light(_log(it.raw) + (_log(it.plate) - _log(it.raw))[inside].mean(0)))


def bands(*weights: float) -> Callable[[Material], F32]:
    """Coarse bands of log light from the plate, the fine ones from the face, then over.

    P. J. Burt, E. H. Adelson, "A multiresolution spline with application to image mosaics", ACM ToG 1983, on log
    light, within the matte. The bands are those above 1/4, 1/8 and 1/16 of the matte's height (standard deviations of
    half of that); `weights` say how much of each is the plate's, beside the tone, which always is.
    """

    def way(it: Material) -> F32:
        face, plate = _log(it.raw), _log(it.plate)
        inside = (it.matte > 0.5).astype(np.float32)
        difference = plate - face
        height = float(np.ptp(np.nonzero(inside)[0]) + 1)
        coarser = np.broadcast_to(difference[inside > 0].mean(0), difference.shape)
        gain = coarser.copy()
        for weight, part in zip(weights, (4, 8, 16), strict=False):
            sigma = height / part / 2
            spread = cv2.GaussianBlur(difference * inside[..., None], (0, 0), sigma)
            band = spread / np.maximum(cv2.GaussianBlur(inside, (0, 0), sigma), 1e-3)[..., None]
            gain = gain + np.float32(weight) * (band - coarser)
            coarser = band
        return _over(it, _light(np.asarray(face + gain, np.float32)))

    return way


def poisson(it: Material) -> F32:
    """The painted face's gradients of log light, the plate's values along the edge: solved whole.

    Perez, Gangnet, Blake, "Poisson image editing", SIGGRAPH 2003, in float. The face is the plate's difference away
    from it: a harmonic function with that difference along the edge.
    """
    inside = it.matte > 0.5
    difference = _log(it.plate) - _log(it.raw)
    out = it.plate.copy()
    out[inside] = _light(_log(it.raw) + _harmonic(difference, inside))[inside]
    return out


def ours(it: Material) -> F32:
    """What the swap wrote."""
    return it.comp


WAYS: dict[str, Callable[[Material], F32]] = {
    "feather and over": feathered,
    "mean in log": toned,
    "colour transfer, feather": transferred,
    "bands: 1/4": bands(1.0),
    "bands: 1/4, 1/8": bands(1.0, 1.0),
    "bands: 1/4, 1/8, 1/16": bands(1.0, 1.0, 1.0),
    "bands: half of 1/4": bands(0.5),
    "Poisson, in log": poisson,
    "vfxswap": ours,
}


def _over(it: Material, face: F32) -> F32:
    alpha = it.matte[..., None]
    return np.asarray(it.plate * (1 - alpha) + face * alpha, np.float32)


def _log(light: F32) -> F32:
    return np.log2(np.maximum(light, 0) + np.float32(_FLOOR)).astype(np.float32)


def _light(stops: F32) -> F32:
    return (np.exp2(stops) - np.float32(_FLOOR)).astype(np.float32)


def _harmonic(values: F32, inside: np.ndarray) -> F32:
    """(h, w, 3) solving Laplace's equation inside, with `values` on the pixels around."""
    height, width = inside.shape
    number = np.full(inside.shape, -1)
    number[inside] = np.arange(inside.sum())
    rows, columns = np.nonzero(inside)
    here = number[rows, columns]
    ones, at_row, at_column = [np.full(len(here), 4.0)], [here], [here]
    known: F64 = np.zeros((len(here), 3))
    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        y, x = np.clip(rows + dy, 0, height - 1), np.clip(columns + dx, 0, width - 1)
        other = number[y, x]
        free = other >= 0
        ones.append(np.full(int(free.sum()), -1.0))
        at_row.append(here[free])
        at_column.append(other[free])
        known[~free] += values[y, x][~free]
    size = (len(here), len(here))
    matrix = csr_matrix(coo_matrix((np.concatenate(ones), (np.concatenate(at_row), np.concatenate(at_column))), size))
    out = np.zeros((height, width, 3), np.float32)
    out[inside] = spsolve(matrix, known)
    return out


def material(view: View, layers: dict[str, F32], config: ColorConfig) -> Material:
    """Cut a frame out around its matte."""
    matte = layers["matte.face"]
    near = cv2.dilate(
        (matte > 0).astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * RING + 1, 2 * RING + 1))
    )
    rows, columns = np.nonzero(near)
    cut = np.s_[max(0, rows.min() - 2) : rows.max() + 3, max(0, columns.min() - 2) : columns.max() + 3]
    where = near[cut] > 0
    if view.occluder is not None:
        where &= view.occluder[cut] < 0.5
    raw = np.stack([layers[f"raw.{letter}"] for letter in "RGB"], axis=-1)
    lit = float(np.median(view.truth[view.face > 0.5] @ [0.2722, 0.6741, 0.0537])) if (view.face > 0.5).any() else 0.18
    return Material(
        *(np.asarray(part[cut], np.float32) for part in (view.plate, raw, view.swap, view.truth, matte)),
        where=where,
        cut=cut,
        config=config,
        gain=0.18 / max(lit, 1e-6),
    )


def rendered(it: Material, folder: Path, frame: int) -> F32:
    """Another render of the same frame, cut out as `it` is."""
    channels, _ = exr.read_channels(SequencePath.parse(str(folder / "swap.%04d.exr")).path(frame))
    whole = np.stack([channels[letter] for letter in "RGB"], axis=-1).astype(np.float32)
    return np.asarray(whole[it.cut], np.float32)


def scores(it: Material, picture: F32) -> tuple[float, float, float]:
    """Squared error of codes, HDR-FLIP (NaN without flip-evaluator), and the edge's delta-E beyond the truth's."""
    space = ModelSpace(it.config, it.gain)
    code, true = (np.asarray(space.encode(WorkingRgb(rgb)), np.float32) for rgb in (picture, it.truth))
    flip = pixelwise.flip(*(np.asarray(rgb @ _TO_709.T, np.float32) for rgb in (picture, it.truth)), it.where)
    return (
        pixelwise.squared_error(code, true, it.where),
        np.nan if flip is None else flip,
        seam(code, it) - seam(true, it),
    )


def seam(code: F32, it: Material) -> float:
    """Mean delta-E across the edge: of pixels 3 inside it and 3 outside it, along its normal."""
    inside, outside = sides(code, it)
    return float(np.linalg.norm(inside - outside, axis=-1).mean())


def sides(code: F32, it: Material) -> tuple[F32, F32]:
    """(n, 3) L*a*b* 3 pixels inside the matte's edge, and 3 pixels outside of it."""
    lab = cv2.cvtColor(np.clip(code, 0, 1), cv2.COLOR_RGB2LAB)
    smooth = cv2.GaussianBlur(it.matte, (0, 0), 3)
    gx, gy = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    y, x = np.nonzero((np.abs(smooth - 0.5) < 0.04) & it.where)
    normal = np.stack([gx[y, x], gy[y, x]]) / np.maximum(np.hypot(gx[y, x], gy[y, x]), 1e-9)

    def at(step: float) -> F32:
        u, v = ((np.stack([x, y]) + step * normal).astype(np.float32))[:, None, :]
        return np.asarray(cv2.remap(lab, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0], np.float32)

    return at(3.0), at(-3.0)


def main() -> None:
    """Print a table over all shots."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pairs", nargs="+", metavar="RENDERED:SHOT")
    parser.add_argument("--every", type=int, default=4, help="each how manyth frame")
    parser.add_argument("--modes", type=Path, help="renders of other modes: MODE/SHOT/swap.%%04d.exr")
    parser.add_argument("--strip", type=Path, help="a picture of one frame of each shot, every way side by side")
    arguments = parser.parse_args()
    rows, pictures = [], []
    for pair in arguments.pairs:
        folder, data = (Path(part) for part in pair.split(":"))
        shot = ShotData.load(data)
        swapped = SequencePath.parse(str(folder / "swap.%04d.exr"))
        frames = [frame for frame in shot.frames if abs(shot.yaw_deg.get(frame, 0.0)) <= 40.0][:: arguments.every]
        modes = sorted(arguments.modes.iterdir()) if arguments.modes else []
        names = [*WAYS, *(f"vfxswap --match {mode.name}" for mode in modes)]
        found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in names}
        for frame in frames:
            view = shot.view(frame, swapped)
            channels, _ = exr.read_channels(swapped.path(frame))
            it = material(view, {name: plane.astype(np.float32) for name, plane in channels.items()}, shot.plate.config)
            done = {name: way(it) for name, way in WAYS.items()}
            others = {f"vfxswap --match {mode.name}": rendered(it, mode / shot.name, frame) for mode in modes}
            for name, picture in (done | others).items():
                found[name].append(scores(it, picture))
            if frame == frames[len(frames) // 2]:
                space = ModelSpace(it.config, it.gain)
                shown = [space.encode(WorkingRgb(rgb)) for rgb in (it.plate, *done.values(), it.truth)]
                pictures.append(np.hstack([cv2.resize(np.asarray(rgb, np.float32), (300, 360)) for rgb in shown]))
        rows += [(shot.name, name, np.mean(values, axis=0)) for name, values in found.items()]
    print("| shot | way | PSNR dB | HDR-FLIP | seam, delta-E beyond the truth's |\n|---|---|---|---|---|")
    for name in dict.fromkeys(row[0] for row in rows):
        for _, way, (error, flip, edge) in (row for row in rows if row[0] == name):
            print(f"| {name} | {way} | {pixelwise.decibels(error):.2f} | {flip:.3f} | {edge:+.2f} |")
    if arguments.strip:
        sheet = np.clip(np.vstack(pictures)[..., ::-1], 0, 1)
        cv2.imwrite(str(arguments.strip), np.round(sheet * 255).astype(np.uint8))


if __name__ == "__main__":
    main()
