"""What an EXR file holds, as values. No file is touched here and OpenImageIO is not imported."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vfxswap.geometry import Window

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


def multi_view(part: PartInfo) -> list[str]:
    """The `multiView` attribute of a part (views told apart by channel names), hero view first."""
    value = part.attributes.get("multiView", ())
    return [str(v) for v in ([value] if isinstance(value, str) else value)]


def base_name(part: PartInfo) -> str:
    """The part's name without its view: "rgba" for "rgba.left" and "rgba_left"."""
    return re.sub(rf"[._]{re.escape(part.view)}$", "", part.name) if part.view else part.name
