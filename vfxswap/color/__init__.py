"""Colour spaces: file <-> working space <-> what networks see. The only package that imports PyOpenColorIO.

`config` finds spaces and converts between them, `encodings` names what networks are trained in, `digest` says
which conversions a config holds, `names` helps with wrong names, `model` is the space of networks, `light` is
brightness.

Convert crops, never whole frames: every `apply` costs time in proportion to the pixels. Processors are
built without OCIO's fast approximations of log and pow, so that a round trip is exact to float rounding and
the same on every processor.
"""

from vfxswap.color.config import PINNED_CONFIG, SCENE_LINEAR, ColorConfig, Transform
from vfxswap.color.encodings import encodings
from vfxswap.color.light import MAX_STOPS, MIDDLE_GREY, exposure_from_percentiles, luminance
from vfxswap.color.model import GATE, MAX_RATIO, ModelSpace
from vfxswap.color.names import STUDIO_CONFIG

__all__ = [
    "GATE",
    "MAX_RATIO",
    "MAX_STOPS",
    "MIDDLE_GREY",
    "PINNED_CONFIG",
    "SCENE_LINEAR",
    "STUDIO_CONFIG",
    "ColorConfig",
    "ModelSpace",
    "Transform",
    "encodings",
    "exposure_from_percentiles",
    "luminance",
]
