"""Blend and paste: the region of interest against the whole frame."""

from __future__ import annotations

import cv2
import numpy as np

from vfxswap import align, blend, exr, matte, render
from vfxswap.bench.material import COPY, CROP, FACE, Material, Mirror
from vfxswap.bench.timing import Ratio, Result, Step, Timings, interleaved, opencv_threads
from vfxswap.geometry import Matrix23, to_opencv
from vfxswap.job import SwapParameters
from vfxswap.measure import Painted
from vfxswap.pixels import F32, AnyArray, Matte, ModelRgb, WorkingRgb

TARGET, PEER_TARGET = 5.0, 8.0


def blend_case(material: Material, rounds: int) -> Result:
    """Put a painted face into a frame: vfxswap's way against the textbook's.

    Ours, from a half plate and the network's 256 pixel crop to the half comp: shape the matte (erode, feather), warp
    face and matte over the face's part of the plate, warp and apply the relight, `over` on those pixels, and paste
    them into the frame's buffer.

    Naive, from a float plate that is already converted: warp face and mask to the whole frame with OpenCV's
    cubic or Lanczos kernel, feather the mask with a Gaussian of the same width over the whole frame, mix the whole
    frame, float32 throughout. It does less: nothing is relit, eroded, bounded or kept bit-exact.

    As peers merge: the same with the cubic kernel, the mask eroded before it is feathered, and the face given the
    plate's mean and spread of each channel of CIE Lab inside the mask (Reinhard et al., "Color transfer between
    images", IEEE CG&A 2001), which is their usual stand-in for relighting; whole frame, float32.

    All are warm, in memory, and on the same number of OpenCV threads. Of the naive kernels the cheaper, the cubic,
    has the target.
    """
    ready = _Ready.of(material)
    # Looked at before anything is timed: both must put the same face in the same place.
    difference = np.abs(ready.ours().astype(np.float32) - ready.naive(cv2.INTER_CUBIC))[ready.sure]
    timings: dict[str, Timings] = {}
    for threads in dict.fromkeys((1, cv2.getNumThreads())):
        words = f"{threads} thread{'s' if threads > 1 else ''}"
        with opencv_threads(threads):
            steps: dict[str, Step] = {
                f"vfxswap, {words}": ready.ours,
                f"naive cubic, {words}": lambda: ready.naive(cv2.INTER_CUBIC),
                f"naive Lanczos, {words}": lambda: ready.naive(cv2.INTER_LANCZOS4),
                f"as peers merge, {words}": ready.peer,
            }
            timings[words] = interleaved(steps, rounds=rounds)
    ratios = []
    for words, found in timings.items():
        ours, cubic, lanczos, peer = found.wall
        name = f"over vfxswap, {words}"
        ratios += [
            Ratio(f"naive cubic {name}", found.ratio(cubic, ours), at_least=TARGET),
            Ratio(f"naive Lanczos {name}", found.ratio(lanczos, ours)),
            Ratio(f"as peers merge {name}", found.ratio(peer, ours), at_least=PEER_TARGET),
        ]
    # Apart: what a file's buffers do to the memory would slow the naive way down.
    paid = interleaved({"vfxswap": ready.ours, COPY: material.copy}, rounds=rounds)
    timings[COPY] = Timings({COPY: paid.wall[COPY]}, {COPY: paid.cpu[COPY]})
    ratios.append(Ratio("vfxswap over reading and writing", paid.ratio("vfxswap", COPY)))
    setup = f"{material.words}; inside the matte the two differ by {float(np.median(difference)):.4f} (median)"
    return Result("blend", setup, tuple(s for found in timings.values() for s in found.stages()), tuple(ratios))


class _Ready:
    """Both ways with their inputs in memory."""

    def __init__(self, image: exr.Frame, painted: Painted, grid: F32) -> None:
        self._image, self._painted, self._grid = image, painted, grid
        self._buffer = np.array(image.rgb, copy=True)
        self._float = image.rgb.astype(np.float32)
        self._parameters = SwapParameters()
        feather = self._parameters.edge_feather / 100 * FACE * image.data_window.width
        self._sigma = feather * matte.SIGMA

    @staticmethod
    def of(material: Material) -> _Ready:
        image = material.plate.read(1)
        window = align.crop_window(_matrix(material), size=CROP).intersect(image.origin_window)
        pixels, _ = material.plate.working(image, window)
        crop = WorkingRgb(align.take(pixels, window=window, matrix=_matrix(material), size=CROP))
        mirror = Mirror()
        face, mask, *_ = mirror.swap(ModelRgb(np.clip(crop, 0.0, 1.0)))
        return _Ready(
            image,
            Painted(_matrix(material), window, pixels, face, mask),
            material.measurements.relight[1].astype(np.float32),
        )

    @property
    def sure(self) -> AnyArray:
        """(H, W) where both show the face alone: inside both mattes, in the middle, where nothing is relit."""
        height, width = self._float.shape[:2]
        out = np.zeros((height, width), bool)
        out[height // 2 - 20 : height // 2 + 20, width // 2 - 2 : width // 2 + 2] = True
        return out

    def ours(self) -> AnyArray:
        """(H, W, 3) half comp."""
        painted, plate = self._painted, self._image.rgb
        window = render.extent(painted, self._parameters)
        network, mattes = render.on_plate(painted, window, self._parameters)
        gain = align.put(self._grid, matrix=painted.matrix * (blend.GRID / CROP), window=window)
        alpha = blend.quantised(Matte(mattes["matte.model.shaped"]))
        lit = blend.relight(WorkingRgb(network), gain)
        here = window.slices(self._image.origin_window)
        self._buffer[here] = blend.over(plate[here], blend.premultiplied(lit, alpha), alpha)
        return self._buffer

    def naive(self, kernel: int) -> F32:
        """(H, W, 3) float comp."""
        face, mask = self._warped(kernel)
        return self._mixed(face, mask)

    def peer(self) -> F32:
        """(H, W, 3) float comp."""
        face, mask = self._warped(cv2.INTER_CUBIC)
        side = 2 * round(self._sigma) + 1
        mask = np.asarray(cv2.erode(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))), np.float32)
        return self._mixed(transferred(face, self._float, inside=mask > 0.5), mask)

    def _warped(self, kernel: int) -> tuple[F32, F32]:
        """(H, W, 3) face and (H, W) mask."""
        height, width = self._float.shape[:2]
        given, flags = (to_opencv(self._painted.matrix), (width, height)), kernel | cv2.WARP_INVERSE_MAP
        face, mask = (cv2.warpAffine(what, *given, flags=flags) for what in (self._painted.face, self._painted.mask))
        return np.asarray(face, np.float32), np.asarray(mask, np.float32)

    def _mixed(self, face: F32, mask: F32) -> F32:
        soft = cv2.GaussianBlur(mask, (0, 0), self._sigma)[..., None]
        return np.asarray(self._float * (1.0 - soft) + face * soft, np.float32)


def transferred(face: F32, plate: F32, *, inside: AnyArray) -> F32:
    """The face with the plate's mean and spread of each channel of CIE Lab, both taken inside the mask.

    Source: Reinhard, Ashikhmin, Gooch, Shirley, "Color transfer between images", IEEE CG&A 2001.

    Args:
        face: (h, w, 3) RGB, linear or encoded, as the merge in question has it.
        plate: (h, w, 3), the same.
        inside: (h, w) bool, not empty.
    """
    own, wanted = (cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB) for rgb in (face, plate))
    a, b = own[inside], wanted[inside]
    moved = (own - a.mean(0)) * (b.std(0) / np.maximum(a.std(0), 1e-6)) + b.mean(0)
    return np.asarray(cv2.cvtColor(np.asarray(moved, np.float32), cv2.COLOR_LAB2RGB), np.float32)


def _matrix(material: Material) -> Matrix23:
    return align.crop_matrix(material.face.similarity, size=CROP)
