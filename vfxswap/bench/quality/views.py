"""One frame for scoring: its pictures as they come, and encoded around the face."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vfxswap.bench.quality import pixelwise
from vfxswap.bench.quality.pixelwise import Mask
from vfxswap.bench.quality.records import Row
from vfxswap.color import ColorConfig, ModelSpace, luminance
from vfxswap.errors import PlateError
from vfxswap.geometry import Window
from vfxswap.pixels import F32, F64, Matte, WorkingRgb
from vfxswap.plate import scrub

_SKIN = 0.18
_MARGIN = 24
_ORIGIN = Window(0, 0, 0, 0)

_EDGE = 0.02
# Half the width of the band around the mask's edge, in square roots of the mask's pixels.


@dataclass(frozen=True, eq=False)
class View:
    """One frame, whole: what it was, what it became, and what it should be. Square pixels.

    Attributes:
        frame: its number; frames that follow each other are compared for flicker.
        plate: (H, W, 3) working space, scene-linear.
        swap: (H, W, 3), alike.
        truth: (H, W, 3), alike: the perfect swap.
        face: (H, W) the truth's face, occluders or not.
        occluder: (H, W) what is in front of it; None is nothing.
        matte: (H, W) what the swap was composited with; None is not known.
        model_matte: (H, W) the network's own mask; None is not known.
        landmarks: (478, 2 or 3) about where the face is, in pixels; None looks for it.
        yaw_deg: how far the head is turned; None reads it off the truth.
    """

    frame: int
    plate: WorkingRgb
    swap: WorkingRgb
    truth: WorkingRgb
    face: Matte
    occluder: Matte | None = None
    matte: Matte | None = None
    model_matte: Matte | None = None
    landmarks: F64 | None = None
    yaw_deg: float | None = None

    def __post_init__(self) -> None:
        """Refuse pictures of different sizes."""
        size = self.truth.shape[:2]
        for name in ("plate", "swap", "face", "occluder", "matte", "model_matte"):
            value = getattr(self, name)
            if value is not None and value.shape[:2] != size:
                raise PlateError(
                    f"the {name} is {value.shape[1]} x {value.shape[0]}, the truth {size[1]} x {size[0]}",
                    frame=self.frame,
                    hint="give pictures of one size",
                )

    @property
    def mask(self) -> Mask:
        """(H, W) where pixels are compared: the truth's face without what is in front of it."""
        inside = self.face > 0.5
        return inside if self.occluder is None else inside & ~(self.occluder > 0.5)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A frame's pictures, encoded, around the face.

    Attributes:
        view: the frame.
        window: the pixels around the mask that are looked at; empty where the mask is.
        mask: (h, w) of the window.
        truth: (h, w, 3) sRGB codes of the window.
        codes: row -> (h, w, 3) sRGB codes of the window.
        light: row -> (h, w, 3) working space.
        clean: (h, w, 3) the sRGB codes of a perfect swap without grain, as far from the truth; None unless known.
    """

    view: View
    config: ColorConfig
    window: Window
    mask: Mask
    truth: F32
    codes: dict[Row, F32]
    light: dict[Row, WorkingRgb]
    clean: F32 | None

    @staticmethod
    def of(view: View, *, config: ColorConfig, grain: float | None) -> Prepared:
        """Encode what is around the face; `grain` as of `scoring.score_swap`."""
        mask = view.mask
        window = _around(mask)
        where = window.slices(_ORIGIN)
        plate, swap, truth = (
            WorkingRgb(scrub(WorkingRgb(np.asarray(x[where], np.float32)))) for x in (view.plate, view.swap, view.truth)
        )
        light: dict[Row, WorkingRgb] = {"nothing": plate, "swap": swap}
        clean = None
        space = ModelSpace(config, 1.0)
        if grain is not None and not window.empty:
            # A perfect swap has a take of grain of its own: its difference from the truth is that of two takes.
            two, one = (
                pixelwise.grain(truth, amount=grain, times=times, config=config, seed=10 * view.frame + int(times))
                for times in (2.0, 1.0)
            )
            light["perfect"] = WorkingRgb(truth + two)
            clean = space.encode(WorkingRgb(truth + one))
        codes: dict[Row, F32] = {row: space.encode(rgb) for row, rgb in light.items()}
        return Prepared(view, config, window, mask[where], space.encode(truth), codes, light, clean)

    @property
    def edge(self) -> Mask:
        """(h, w) a band on both sides of the mask's edge, occluders left out."""
        size = 2 * max(1, round(_EDGE * float(np.sqrt(self.mask.sum())))) + 1
        kernel, mask = np.ones((size, size), np.uint8), self.mask.astype(np.uint8)
        band = np.asarray(cv2.dilate(mask, kernel)) > np.asarray(cv2.erode(mask, kernel))
        if self.view.occluder is None:
            return np.asarray(band)
        return np.asarray(band & ~(self.view.occluder[self.window.slices(_ORIGIN)] > 0.5))

    @property
    def true_light(self) -> WorkingRgb:
        """(h, w, 3) the truth, working space."""
        where = self.window.slices(_ORIGIN)
        return scrub(WorkingRgb(np.asarray(self.view.truth[where], np.float32)))


def _around(mask: Mask) -> Window:
    """The mask's pixels and a margin; empty without any."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return Window(0, 0, 0, 0)
    box = Window(int(columns[0]), int(rows[0]), int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1)
    return box.grow(_MARGIN).intersect(Window(0, 0, mask.shape[1], mask.shape[0]))


def hidden(view: View) -> Mask:
    """(H, W) where something is in front of the face: the occluder within the hull of what is seen of the face."""
    nothing = np.zeros(view.face.shape, bool)
    if view.occluder is None:
        return nothing
    before = view.occluder > 0.5
    points = np.argwhere(view.face > 0.5)[:, ::-1]
    if not before.any() or not len(points):
        return nothing
    hull = np.zeros(view.face.shape, np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(np.ascontiguousarray(points, np.int32)), 1)
    return np.asarray(before & (hull > 0))


def reading_gain(now: Prepared) -> float:
    """The exposure that suits the face, for the networks: the truth's median luminance at 0.18."""
    median = float(np.median(luminance(now.true_light, now.config)[now.mask]))
    return _SKIN / median if median > 1e-6 else 1.0


def covered(view: View, points: F64) -> Mask:
    """(478,) which landmarks something is in front of, or which lie outside the picture."""
    height, width = view.face.shape
    at = np.floor(points[:, :2]).astype(int)
    inside = (at >= 0).all(axis=1) & (at[:, 0] < width) & (at[:, 1] < height)
    covered = ~inside
    if view.occluder is not None:
        # A little more than the point itself: a landmark at a finger's edge is guessed, too.
        near = cv2.dilate((view.occluder > 0.5).astype(np.uint8), np.ones((5, 5), np.uint8))
        covered[inside] = np.asarray(near)[at[inside, 1], at[inside, 0]] > 0
    return np.asarray(covered)
