"""Plates, faces and knobs drawn at random (hypothesis): everything that film hands over, small enough to be quick."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from vfxswap import blend, exr, geometry, render
from vfxswap.face import mesh
from vfxswap.face.track import FaceFrame
from vfxswap.geometry import Window
from vfxswap.job import SwapParameters
from vfxswap.measure import Measurements
from vfxswap.pixels import F32, Matte

HARDER = int(os.environ.get("VFXSWAP_EXAMPLES", "1"))
"""So many times as many examples, other ones in every run: `VFXSWAP_EXAMPLES=50 pytest tests/test_invariants.py`."""

LARGE = 110.0
"""Rows of a face that is larger than the pictures; the test networks see 64 of them."""

LINEAR = ("ACEScg", "ACES2065-1", "Linear Rec.709 (sRGB)")
LOG = ("ARRI LogC4", "S-Log3 S-Gamut3.Cine")
LOSSLESS = ("NO", "RLE", "ZIPS", "ZIP", "PIZ", "HTJ2K256")


def examples(count: int) -> settings:
    """Settings for about `count` examples: the same ones in every run, unless HARDER."""
    return settings(
        max_examples=count * HARDER,
        deadline=None,
        derandomize=HARDER == 1,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.differing_executors],
    )


# ------------------------------------------------------------------------------------------------ the file


Code = Callable[[Any], F32]


@dataclass(frozen=True)
class Layout:
    """An EXR file, all but its colours.

    Attributes:
        display: display window in file coordinates.
        data: data window in file coordinates.
        kind: half or float: the type of R, G, B.
        bits: whether R, G, B are any bits there are; else light in which such values are rare.
        seed: of all pixels.
        compression: as OpenEXR names it.
        tile: (width, height) of a tile, or None for scan lines.
        aspect: width over height of a pixel as shown.
        extra: further channels of the picture's part, name -> half or float.
        ids: whether a last part holds uint channels.
        views: of a stereo file: each is a part of its own, with other pixels.
    """

    display: Window
    data: Window
    kind: str = "half"
    bits: bool = False
    seed: int = 0
    compression: str = "ZIP"
    tile: tuple[int, int] | None = None
    aspect: float = 1.0
    extra: tuple[tuple[str, str], ...] = ()
    ids: bool = False
    views: tuple[str, ...] = ()

    def moved(self, dx: int, dy: int) -> Layout:
        """The same pixels, all of whose windows are moved."""
        return replace(self, display=self.display.moved(dx, dy), data=self.data.moved(dx, dy))

    def write(self, path: Path, *, code: Code | None = None, light: Any = None, shift: int = 0) -> Path:
        """Write the file with the OpenEXR module.

        Args:
            path: the file; its folder is made.
            code: light -> the file's values, for log plates.
            light: (H, W, 3) to be written instead of what `bits` says.
            shift: another seed for every frame of a sequence.
        """
        rng = np.random.default_rng([self.seed, shift])
        parts = [OpenEXR.Part(self._header(), self._channels(rng, code, light), "picture")]
        if self.views:
            parts = [
                OpenEXR.Part(self._header() | {"view": view}, self._channels(rng, code, light), f"picture.{view}")
                for view in self.views
            ]
        if self.ids:
            shape = (self.data.height, self.data.width)
            numbers = {f"id{i}": rng.integers(0, 2**32, shape, np.uint32) for i in range(2)}
            parts.append(OpenEXR.Part(self._header(), numbers, "ids"))
        path.parent.mkdir(parents=True, exist_ok=True)
        OpenEXR.File(parts).write(str(path))
        return path

    def _channels(self, rng: np.random.Generator, code: Code | None, light: Any) -> dict[str, Any]:
        shape = (self.data.height, self.data.width)
        if self.bits and light is None:
            rgb = _any(rng, (*shape, 3), self.kind)
        else:
            shown = np.asarray(_light(rng, shape) if light is None else light, np.float32)
            rgb = (shown if code is None else code(shown)).astype(np.float16 if self.kind == "half" else np.float32)
            if light is None:
                _sprinkle(rng, rgb, self.kind)
        channels = {letter: np.ascontiguousarray(rgb[..., i]) for i, letter in enumerate("RGB")}
        return channels | {name: _any(rng, shape, kind) for name, kind in self.extra}

    def _header(self) -> dict[str, Any]:
        head: dict[str, Any] = {
            "compression": getattr(OpenEXR, f"{self.compression}_COMPRESSION"),
            "type": OpenEXR.scanlineimage,
            "dataWindow": _corners(self.data),
            "displayWindow": _corners(self.display),
            "pixelAspectRatio": self.aspect,
            "shot": "of a test",
        }
        if self.tile is not None:
            tiles = OpenEXR.TileDescription()
            tiles.xSize, tiles.ySize = self.tile
            head |= {"type": OpenEXR.tiledimage, "tiles": tiles}
        return head


def _corners(window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    return (window.x, window.y), (window.x1 - 1, window.y1 - 1)


def _any(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> Any:
    """Any bits: NaN with payloads, Inf, -0.0, subnormals."""
    if kind == "half":
        return rng.integers(0, 2**16, shape, np.uint16).view(np.float16)
    return rng.integers(0, 2**32, shape, np.uint32).view(np.float32)


def _light(rng: np.random.Generator, shape: tuple[int, int]) -> Any:
    """Shades with grain, and a lamp."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    shade = 0.25 + 0.2 * np.sin(x / rng.uniform(4, 20) + rng.uniform(0, 6)) * np.cos(y / rng.uniform(4, 20))
    rgb = shade[..., None] * rng.uniform(0.4, 1.6, 3) + 0.02 * rng.standard_normal((*shape, 3))
    lamp = np.hypot(x - rng.uniform(0, shape[1]), y - rng.uniform(0, shape[0])) < 3
    rgb[lamp] += rng.uniform(1, 100)
    return rgb


def _sprinkle(rng: np.random.Generator, rgb: Any, kind: str) -> None:
    """Put the values that break things among those of `rgb`."""
    rare = rng.random(rgb.shape) < rng.choice([0.0, 0.01, 0.1])
    rgb.view(np.uint16 if kind == "half" else np.uint32)[rare] = rng.choice(RARE[kind], int(rare.sum()))


PLAIN = SwapParameters()

RARE: dict[str, Any] = {
    # NaNs with payloads, infinities, -0.0, subnormals, the largest there is
    "half": np.array([0x7E01, 0xFE42, 0x7C01, 0x7C00, 0xFC00, 0x8000, 0x0001, 0x83FF, 0x7BFF, 0xFBFF], np.uint16),
    "float": np.array(
        [0x7FC00001, 0xFFC12345, 0x7F800001, 0x7F800000, 0xFF800000, 0x80000000, 1, 0x807FFFFF, 0x477FE000, 0x7149F2CA],
        np.uint32,
    ),
}


@st.composite
def windows(draw: st.DrawFn, *, low: int = 9, high: int = 72, around: int = 14) -> tuple[Window, Window]:
    """A display window, and a data window that is smaller, larger, both or neither."""
    origin = st.sampled_from([0, 0, 1, -7, 100]) | st.integers(-2000, 2000)
    size = st.integers(low, high)
    display = Window(draw(origin), draw(origin), draw(size), draw(size))
    if draw(st.booleans()):
        return display, display
    side = st.integers(-around, around)
    left, top = draw(side), draw(side)
    width, height = max(1, display.width - left + draw(side)), max(1, display.height - top + draw(side))
    return display, Window(display.x + left, display.y + top, width, height)


@st.composite
def layouts(
    draw: st.DrawFn,
    *,
    bits: st.SearchStrategy[bool] | None = None,
    kinds: tuple[str, ...] = ("half", "float"),
    low: int = 9,
) -> Layout:
    """Any file that holds one picture and can be written without loss."""
    display, data = draw(windows(low=low))
    names = st.sampled_from(["A", "Z", "depth.Z", "mask", "N.X", "zebra"])
    extra = draw(st.dictionaries(names, st.sampled_from(["half", "float"]), max_size=3))
    return Layout(
        display=display,
        data=data,
        kind=draw(st.sampled_from(kinds)),
        bits=draw(st.booleans() if bits is None else bits),
        seed=draw(st.integers(0, 2**32)),
        compression=draw(st.sampled_from(LOSSLESS)),
        tile=draw(st.none() | st.none() | st.tuples(st.integers(8, 40), st.integers(8, 40))),
        aspect=draw(st.sampled_from([1.0, 1.0, 1.0, 2.0, 0.5, 1.333])),
        extra=tuple(sorted(extra.items())),
        ids=draw(st.booleans()),
    )


def pixels(path: Path) -> list[dict[str, Any]]:
    """The channels of every part, read by the OpenEXR module: name -> (H, W)."""
    return [
        {name: channel.pixels for name, channel in part.channels.items()}
        for part in OpenEXR.File(str(path), separate_channels=True).parts
    ]


def heads(path: Path) -> list[dict[str, Any]]:
    """What the headers of every part say of the layout, by the OpenEXR module."""
    wanted = ("name", "dataWindow", "displayWindow", "pixelAspectRatio", "compression", "type", "shot")
    parts = OpenEXR.File(str(path), separate_channels=True, header_only=True).parts
    return [{key: str(part.header.get(key)) for key in wanted} for part in parts]


def bits(array: Any) -> Any:
    """The same memory as unsigned integers, which NaN and -0.0 cannot hide from."""
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")


# ------------------------------------------------------------------------------------------------ the faces


@dataclass(frozen=True)
class Pose:
    """Where a face is: its middle in parts of the display window, its height in rows, its turn in the picture."""

    x: float
    y: float
    size: float
    degrees: float = 0.0
    confidence: float = 0.9

    def face(self, layout: Layout) -> FaceFrame:
        """As a track would have it."""
        turn, a = np.deg2rad(self.degrees), layout.aspect
        linear = np.array([[a * np.cos(turn), np.sin(turn)], [-a * np.sin(turn), np.cos(turn)]]) / self.size
        middle = np.array([self.x * layout.display.width, self.y * layout.display.height])
        similarity = np.concatenate([linear, (0.5 - linear @ middle)[:, None]], axis=1)
        points = np.zeros((mesh.COUNT, 3))
        flat = np.concatenate([mesh.template(), np.full((mesh.COUNT - len(mesh.template()), 2), 0.4)])
        points[:, :2] = geometry.transform(geometry.invert(similarity), flat)
        low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
        box = np.concatenate([low, high])
        return FaceFrame(box, points, self.confidence, 1.0, (0.0, 0.0, self.degrees), similarity)


def poses() -> st.SearchStrategy[Pose]:
    """Faces in the picture, over its border and, now and then, outside."""
    inside, wide = st.floats(0.2, 0.8), st.floats(-0.4, 1.4)
    turned = st.just(0.0) | st.floats(-180, 180)
    return st.builds(Pose, inside | inside | wide, inside | inside | wide, st.floats(10, 70), turned, st.floats(0, 1))


def knobs() -> st.SearchStrategy[SwapParameters]:
    """Any setting, mostly with something to see."""
    return st.builds(
        SwapParameters,
        mix=st.sampled_from([1.0, 1.0, 0.999, 0.3, 0.01]),
        relight=st.sampled_from([1.0, 0.0, 0.5]),
        edge_erode=st.just(0.0) | st.floats(-10, 10),
        edge_feather=st.sampled_from([2.0, 0.0]) | st.floats(0.01, 20),
        edge_top=st.just(0.0) | st.floats(-10, 10),
        edge_left=st.just(0.0) | st.floats(-10, 10),
        highlights=st.sampled_from([1.0, 0.0, 0.7]),
        skin_tone=st.sampled_from(["plate", "likeness"]),
        person=st.sampled_from([0.0, 0.0, 1.0, 0.5]),
    )


@dataclass(frozen=True)
class Double:
    """A face of the plate with its model, measurements and mattes.

    Attributes:
        pose: where it is.
        model: name of the model.
        knobs: the artist's.
        gain: the exposure.
        stops: how strong the relight is.
        seed: of the relight and the mattes.
        mattes: whether an artist drew some.
        curve: whether the frame's exposure is the curve's and not the shot's.
    """

    pose: Pose
    model: str = "tint"
    knobs: SwapParameters = PLAIN
    gain: float = 1.0
    stops: float = 0.0
    seed: int = 0
    mattes: bool = False
    curve: bool = False

    def measured(self, model_sha256: str, frames: tuple[int, ...]) -> Measurements:
        """What a .vfxshot would say of it."""
        grids = {
            frame: np.random.default_rng([self.seed, frame])
            .normal(0, self.stops, (blend.GRID, blend.GRID, 3))
            .astype(np.float16)
            for frame in frames
        }
        curve = dict.fromkeys(frames, self.gain) if self.curve else {}
        return Measurements(self.gain * (3.0 if self.curve else 1.0), model_sha256, grids, curve)

    def cover(self, window: Window) -> render.Cover | None:
        """The artist's mattes over `window`: rectangles and steps, most of them 0 or 1."""
        if not self.mattes:
            return None
        rng = np.random.default_rng([self.seed, 7])
        planes = []
        for base in (1.0, 0.0):
            plane = np.full((window.height, window.width), base, np.float32)
            top, left = (int(rng.integers(0, n)) for n in plane.shape)
            plane[top:, left:] = rng.choice([0.0, 1.0, 0.25])
            planes.append(Matte(plane))
        return render.Cover(window, *planes)


def doubles(models: tuple[str, ...] = ("tint", "same", "curve")) -> st.SearchStrategy[Double]:
    """Any double."""
    return st.builds(
        Double,
        poses(),
        st.sampled_from(models),
        knobs(),
        st.floats(-5, 5).map(lambda stops: 2.0**stops),
        st.sampled_from([0.0, 0.3, 2.0]),
        st.integers(0, 2**32),
        st.sampled_from([False, False, True]),
        st.booleans(),
    )


@dataclass(frozen=True)
class Scene:
    """A frame and everything that is done to it.

    Attributes:
        layout: its file.
        doubles: back to front.
        space: the file's colour space.
        bend: how strongly its lens distorts; 0 is no lens.
    """

    layout: Layout
    doubles: tuple[Double, ...]
    space: str = "ACEScg"
    bend: float = 0.0


@st.composite
def scenes(
    draw: st.DrawFn,
    *,
    bits: st.SearchStrategy[bool] | None = None,
    kinds: tuple[str, ...] = ("half", "float"),
    spaces: tuple[str, ...] = (*LINEAR, *LOG),
    most: int = 2,
    models: tuple[str, ...] = ("tint", "same", "curve"),
) -> Scene:
    """Any scene with at most `most` faces."""
    bend = draw(st.sampled_from([0.0, 0.0, 0.0, 0.1, -0.1]))
    layout = draw(layouts(bits=bits, kinds=kinds, low=40 if bend else 9))
    found = draw(st.lists(doubles(models), min_size=1, max_size=most))
    if min(layout.data.width, layout.data.height) > 24 and draw(st.integers(0, 4)) == 0:
        middle = st.floats(0.3, 0.7)
        close = draw(st.builds(Pose, middle, middle, st.floats(LARGE, 3 * LARGE), st.floats(-180, 180)))
        found[0] = replace(found[0], pose=close)
    return Scene(
        layout=layout,
        doubles=tuple(found),
        space=draw(st.sampled_from(spaces)),
        bend=bend,
    )


def write_lens(path: Path, layout: Layout, bend: float) -> Path:
    """The undistorting STMap of a lens that distorts by `bend` at the ends of the longer side."""
    width, height = layout.display.width, layout.display.height
    x, y = np.meshgrid(np.arange(width) + 0.5 - width / 2, np.arange(height) + 0.5 - height / 2)
    far = max(width, height) / 2
    factor = 1 - bend * (x * x + y * y) / far**2
    u, v = (x * factor + width / 2) / width, 1 - (y * factor + height / 2) / height
    exr.write_channels(path, channels={"R": u.astype(np.float32), "G": v.astype(np.float32)})
    return path
