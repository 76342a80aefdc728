"""Model encodings: the spaces that networks are trained in, as a linear space and a curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import PyOpenColorIO as ocio  # noqa: N813

from vfxswap.errors import ColorError


@dataclass(frozen=True)
class Encoding:
    """A model encoding: a linear space (aliases, best first), and the curve that encodes it."""

    linear: tuple[str, ...]
    encoded: tuple[str, ...]
    builtin: str


ENCODINGS: dict[str, Encoding] = {
    "srgb": Encoding(
        linear=("lin_rec709_scene", "lin_rec709", "lin_srgb", "Utility - Linear - sRGB", "Utility - Linear - Rec.709"),
        encoded=("srgb_rec709_scene", "sRGB - Texture", "srgb_tx", "Utility - sRGB - Texture", "color_picking"),
        builtin="lin_rec709_scene",
    ),
    "acescct": Encoding(
        linear=("lin_ap1_scene", "lin_ap1", "ACEScg", "ACES - ACEScg"),
        encoded=("acescct_ap1", "ACEScct", "ACES - ACEScct"),
        builtin="lin_ap1_scene",
    ),
}


def encodings() -> tuple[str, ...]:
    """The names of the model encodings."""
    return tuple(ENCODINGS)


def checked(encoding: str) -> str:
    """`encoding`, or ColorError when there is no such one."""
    if encoding not in ENCODINGS:
        raise ColorError(f"unknown model encoding {encoding!r}", hint=f"use one of {', '.join(ENCODINGS)}")
    return encoding


def curve_transform(encoding: str) -> Any:
    """The OCIO transform encoded -> linear.

    Sources: sRGB, IEC 61966-2-1, its pieces joined as OCIO joins them, the straight one continued below 0;
    ACEScct, S-2016-001.
    """
    if encoding == "srgb":
        return ocio.ExponentWithLinearTransform(
            gamma=[2.4, 2.4, 2.4, 1.0], offset=[0.055, 0.055, 0.055, 0.0], negativeStyle=ocio.NEGATIVE_LINEAR
        )
    return ocio.BuiltinTransform("CURVE - ACEScct-LOG_to_LINEAR")
