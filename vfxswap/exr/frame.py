"""A whole EXR file in memory, with one of its pictures selected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vfxswap.errors import PlateError
from vfxswap.exr.select import select
from vfxswap.exr.values import ACES_FLAG, FrameInfo, PartInfo, base_name
from vfxswap.geometry import Window
from vfxswap.pixels import AnyArray


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
    wanted_part: str | None = None
    """The part or layer that `read` was asked for."""

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

    def seen(self, view: str) -> Frame:
        """The same buffers and headers with the picture of another view selected, in the same part or layer.

        Raises:
            PlateError: no such view, or its part holds uint channels beside the picture.
        """
        part = base_name(self.part) if self.wanted_part == self.part.name else self.wanted_part
        choice = select(self.info, part=part, view=view, frame=None)
        return replace(
            self,
            selected=choice.part,
            rgb_index=choice.rgb,
            alpha_index=choice.alpha,
            view=choice.view,
            layer=choice.layer,
        )

    def selected_pixels(self) -> AnyArray:
        """The selected part's (H, W, channels) buffer."""
        buffer = self.pixels[self.selected]
        if buffer is None:  # read() refuses such parts
            raise PlateError("the selected part holds no readable picture", path=self.path)
        return buffer
