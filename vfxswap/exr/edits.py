"""What writing is asked to do and what it reports, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vfxswap.exr.frame import Frame
from vfxswap.geometry import Window
from vfxswap.pixels import AnyArray

HALF_MAX = 65504.0
"""The largest finite half."""
_OVER = 65520.0
"""From here on a float becomes Inf as half."""

Attribute = str | int | float | tuple[int, ...] | tuple[float, ...]
"""What an EXR header attribute may be set to."""


@dataclass(frozen=True, eq=False)
class Edit:
    """A change of one picture of a plate's file.

    Attributes:
        frame: whose selected picture is meant (`Frame.seen` selects another view of the same file).
        rgb: (h, w, 3) of `window`, file colour space, in `frame.dtype`, or float32 that is converted for a half
            plate (overflow clamped and counted).
        window: in plate coordinates, inside the data window. Empty: the picture stays as it is.
        layers: channel name ("face.R", "stmap.u") -> (h, w) over `window`, float16 or float32, kept per channel and 0
            in the rest of the data window; (0, 0) when `window` is empty: then the layer is there, all 0.
    """

    frame: Frame
    rgb: AnyArray
    window: Window
    layers: Mapping[str, AnyArray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Patch:
    """Pixels that are written without the plate around them.

    Attributes:
        frame: the plate's frame, for its display window and attributes; none of its channels are written.
        window: in plate coordinates, not empty: the data window of what is written.
        channels: channel name -> (h, w) of `window`, float16 or float32.
        same_space: whether these are colours in the plate's space; where not, what the plate's header says of its
            space is left out.
    """

    frame: Frame
    window: Window
    channels: Mapping[str, AnyArray]
    same_space: bool = True


@dataclass(frozen=True)
class WriteReport:
    """What writing did: `clamped` counts half overflows, `notes` says in words what could not be kept."""

    path: Path
    compression: str
    clamped: int = 0
    notes: tuple[str, ...] = ()


def to_half(array: AnyArray) -> tuple[NDArray[np.float16], int]:
    """`array` as half and how many finite values had to be clamped to +-65504. Inf and NaN stay as they are."""
    if array.dtype == np.float16:
        return array, 0
    # Half rounds what lies below 65520 down to 65504 by itself: only what would become Inf counts.
    if array.size and array.max() < _OVER and array.min() > -_OVER:  # not so where there is a NaN
        return array.astype(np.float16), 0
    over = np.isfinite(array) & (np.abs(array) >= _OVER)
    count = int(np.count_nonzero(over))
    if count:
        array = np.where(over, np.copysign(np.float32(HALF_MAX), array), array)
    return array.astype(np.float16), count
