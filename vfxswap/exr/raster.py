"""A part's pixels on their way to the file, put together band by band so that no whole buffer is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vfxswap.exr.values import DTYPES
from vfxswap.geometry import Window
from vfxswap.pixels import AnyArray


@dataclass(eq=False)
class Raster:
    """Channels over a data window: `base` holds the first ones, `patches` lie over it, the rest is 0.

    Attributes:
        width: of the data window.
        height: of the data window.
        names: of the channels.
        formats: of the channels: "half", "float" or "uint".
        base: (H, W, k) of the first k channels, or None. Never changed.
        patches: (channel, window whose origin is the data window's, (h, w) pixels), later ones on top.
        cleared: channels of the base that were replaced.
    """

    width: int
    height: int
    names: list[str]
    formats: list[str]
    base: AnyArray | None = None
    patches: list[tuple[int, Window, AnyArray]] = field(default_factory=list)
    cleared: set[str] = field(default_factory=set)

    @property
    def window(self) -> Window:
        """All of it."""
        return Window(0, 0, self.width, self.height)

    def put(self, name: str, window: Window, pixels: AnyArray) -> None:
        """Lay (h, w) `pixels` over the channel `name` at `window`."""
        if not window.empty:
            self.patches.append((self.names.index(name), window, pixels))

    def add(self, name: str, format: str) -> None:
        """A new channel, 0 everywhere."""
        self.names.append(name)
        self.formats.append(format)

    def clear(self, name: str, format: str) -> None:
        """Make the channel `name` of the base 0 everywhere."""
        self.cleared.add(name)
        self.formats[self.names.index(name)] = format
        self.put(name, self.window, np.zeros((1, 1), np.float16))

    @np.errstate(over="ignore", invalid="ignore")  # float channels that were replaced need not fit into half
    def band(self, top: int, bottom: int) -> AnyArray:
        """(bottom - top, W, channels) of the rows from `top`, in a type that holds each value exactly."""
        hits = [patch for patch in self.patches if patch[1].y < bottom and patch[1].y1 > top]
        if self.base is not None and self.base.shape[2] == len(self.names):
            if not hits:
                return self.base[top:bottom]
            out = self.base[top:bottom].astype(self._type(hits))
        else:
            out = np.zeros((bottom - top, self.width, len(self.names)), self._type(hits))
            if self.base is not None:
                out[..., : self.base.shape[2]] = self.base[top:bottom]
        for channel, window, pixels in hits:
            first, last = max(window.y, top), min(window.y1, bottom)
            part = pixels if pixels.shape[0] == 1 else pixels[first - window.y : last - window.y]
            out[first - top : last - top, window.x : window.x1, channel] = part
        return out

    def fill(self, planes: Sequence[AnyArray], top: int = 0, bottom: int | None = None) -> None:
        """Put the rows from `top` into `planes`, (bottom - top, W) for each channel in its own type and 0 so far."""
        bottom = self.height if bottom is None else bottom
        if self.base is not None:
            for channel in range(self.base.shape[2]):
                if self.names[channel] not in self.cleared:
                    planes[channel][:] = self.base[top:bottom, :, channel]
        for channel, window, pixels in self.patches:
            first, last = max(window.y, top), min(window.y1, bottom)
            if first < last:
                part = pixels if pixels.shape[0] == 1 else pixels[first - window.y : last - window.y]
                planes[channel][first - top : last - top, window.x : window.x1] = part

    def _type(self, hits: list[tuple[int, Window, AnyArray]]) -> np.dtype[np.generic]:
        if len(set(self.formats)) == 1:
            return np.dtype(DTYPES[self.formats[0]])
        # Zeros need no float: where no float pixels lie, OpenImageIO has only half to copy, which is much faster.
        wide = self.base is not None and self.base.dtype == np.float32
        wide = wide or any(pixels.dtype == np.float32 for _, _, pixels in hits)
        return np.dtype(np.float32 if wide else np.float16)
