"""What an EXR file holds, as values. No file is touched here and OpenImageIO is not imported."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vfxswap.errors import PlateError
from vfxswap.geometry import Window
from vfxswap.pixels import AnyArray

ACES_FLAG = "acesImageContainerFlag"
"""Promises a strict ST 2065-4 file."""

DTYPES: dict[str, type[np.generic]] = {"half": np.float16, "float": np.float32, "uint": np.uint32}
"""The numpy type of each channel format."""

_HERO_VIEWS = ("left", "main")


@dataclass(frozen=True)
class Channel:
    """One channel: its full name ("left.R") and its format, "half", "float" or "uint"."""

    name: str
    format: str


@dataclass(frozen=True)
class PartInfo:
    """The header of one part. Windows are in file coordinates; `lossy` is about the compression."""

    name: str
    view: str
    channels: tuple[Channel, ...]
    data_window: Window
    display_window: Window
    compression: str
    lossy: bool
    deep: bool
    tiled: bool
    mipmapped: bool
    pixel_aspect: float
    attributes: Mapping[str, Any]

    @property
    def mixed_uint(self) -> bool:
        """True when uint channels sit beside float ones: OpenImageIO cannot read those together exactly."""
        formats = {channel.format for channel in self.channels}
        return "uint" in formats and len(formats) > 1

    @property
    def format(self) -> str:
        """The format that holds every channel exactly: "half", "float" or "uint"."""
        formats = {channel.format for channel in self.channels}
        return formats.pop() if len(formats) == 1 else "float"


@dataclass(frozen=True)
class FrameInfo:
    """What is in a file, without its pixels."""

    path: Path
    parts: tuple[PartInfo, ...]

    @property
    def deep(self) -> bool:
        """True when any part is deep."""
        return any(part.deep for part in self.parts)

    @property
    def lossy(self) -> bool:
        """True when any part was compressed with loss."""
        return any(part.lossy for part in self.parts)

    @property
    def views(self) -> tuple[str, ...]:
        """The view names, hero view first; empty for a mono file."""
        found: list[str] = []
        for part in self.parts:
            found += multi_view(part) or ([part.view] if part.view else [])
        unique = list(dict.fromkeys(found))
        if not any(multi_view(part) for part in self.parts):
            unique.sort(key=lambda view: view.lower() not in _HERO_VIEWS)  # stable: file order otherwise
        return tuple(unique)


@dataclass(frozen=True, eq=False)
class Frame:
    """A whole EXR file in memory.

    `pixels[i]` is part i's (H, W, channels) buffer over its data window: float16, float32 or uint32 when all
    its channels are of that format, float32 when half and float are mixed (exact), None for a part that
    mixes uint with float (it is copied from `path` when writing). Buffers must not be changed in place.
    """

    path: Path
    info: FrameInfo
    pixels: tuple[AnyArray | None, ...] = field(repr=False)
    selected: int
    rgb_index: tuple[int, int, int]
    alpha_index: int | None
    view: str
    layer: str
    specs: tuple[Any, ...] = field(repr=False)
    """OpenImageIO's headers, for writing."""

    @property
    def part(self) -> PartInfo:
        """The header of the selected part."""
        return self.info.parts[self.selected]

    @property
    def dtype(self) -> np.dtype[Any]:
        """float16 or float32: the type of `rgb`."""
        formats = {self.part.channels[i].format for i in self.rgb_index}
        return np.dtype(np.float16 if formats == {"half"} else np.float32)

    @property
    def rgb(self) -> AnyArray:
        """(H, W, 3) of the data window in the file's own type, file colour space; read only, a view if possible."""
        r, g, b = self.rgb_index
        buffer = self.selected_pixels()
        view = buffer[..., r : r + 3] if (g, b) == (r + 1, r + 2) else buffer[..., [r, g, b]]
        # copy=False: only a half picture beside float channels is converted, exactly.
        rgb = view.astype(self.dtype, copy=False).view()
        rgb.flags.writeable = False
        return rgb

    @property
    def alpha(self) -> AnyArray | None:
        """(H, W) alpha of the selected picture in the buffer's type, or None."""
        return None if self.alpha_index is None else self.selected_pixels()[..., self.alpha_index]

    @property
    def data_window(self) -> Window:
        """The data window in file coordinates."""
        return self.part.data_window

    @property
    def display_window(self) -> Window:
        """The display window in file coordinates."""
        return self.part.display_window

    @property
    def origin_window(self) -> Window:
        """The data window in plate coordinates, whose origin is the display window's top-left corner."""
        return self.data_window.moved(-self.display_window.x, -self.display_window.y)

    @property
    def pixel_aspect(self) -> float:
        """Width over height of a pixel as shown."""
        return self.part.pixel_aspect

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The selected part's attributes."""
        return self.part.attributes

    @property
    def file_color_space(self) -> str | None:
        """What the file says of its colour space, or None. Chromaticities alone do not name one.

        `colorInteropID` (OpenEXR 3.4) comes first, then a written `oiio:ColorSpace`, then the ST 2065-4 flag.
        """
        for key in ("colorInteropID", "oiio:ColorSpace"):
            value = self.attributes.get(key)
            if isinstance(value, str) and value.strip() and value.strip().lower() != "unknown":
                return value.strip()
        return "lin_ap0_scene" if self.attributes.get(ACES_FLAG) == 1 else None

    @property
    def timecode(self) -> str | None:
        """SMPTE timecode HH:MM:SS:FF (";FF" for drop frame), or None."""
        value = self.attributes.get("smpte:TimeCode")
        if not isinstance(value, Sequence) or isinstance(value, str) or not value:
            return None
        packed = int(value[0]) & 0xFFFFFFFF
        frames, seconds, minutes, hours = (
            10 * ((packed >> shift + 4) & tens) + ((packed >> shift) & 0xF)
            for shift, tens in ((0, 3), (8, 7), (16, 7), (24, 3))
        )
        return f"{hours:02d}:{minutes:02d}:{seconds:02d}{';' if packed & 0x40 else ':'}{frames:02d}"

    def selected_pixels(self) -> AnyArray:
        """The selected part's (H, W, channels) buffer."""
        buffer = self.pixels[self.selected]
        if buffer is None:  # read() refuses such parts
            raise PlateError("the selected part holds no readable picture", path=self.path)
        return buffer


def multi_view(part: PartInfo) -> list[str]:
    """The `multiView` attribute of a part (views told apart by channel names), hero view first."""
    value = part.attributes.get("multiView", ())
    return [str(v) for v in ([value] if isinstance(value, str) else value)]


def base_name(part: PartInfo) -> str:
    """The part's name without its view: "rgba" for "rgba.left" and "rgba_left"."""
    return re.sub(rf"[._]{re.escape(part.view)}$", "", part.name) if part.view else part.name
