"""The script's colour settings, as a job says them."""

from __future__ import annotations

import os
from dataclasses import dataclass

import nuke

# Nuke's own mode knows no primaries: its linear light is taken for Rec.709's, and $OCIO does not count.
NUKE_CONFIG = "ocio://cg-config-v2.2.0_aces-v1.3_ocio-v2.4"
NUKE_LINEAR = "Linear Rec.709 (sRGB)"

# A role may be shown with the space it stands for behind it: `scene_linear (ACES - ACEScg)`.
_ROLES = ("scene_linear", "compositing_linear", "compositing_log", "rendering", "reference", "default", "data",
          "texture_paint", "matte_paint", "color_picking", "color_timing", "aces_interchange")  # fmt: skip


@dataclass(frozen=True)
class Color:
    """How a script sees colour.

    Attributes:
        config: path or URI of the OCIO config; empty: whatever $OCIO says.
        working: the space of pixels between nodes, a name or a role of the config.
        managed: by OCIO.
    """

    config: str
    working: str
    managed: bool


def of_script() -> Color:
    """The colour settings of the open script."""
    root = nuke.root()
    managed = _value(root, "colorManagement") == "OCIO"
    if not managed:
        return Color(NUKE_CONFIG, NUKE_LINEAR, managed=False)
    return Color(_config(root), plain(_value(root, "workingSpaceLUT")) or "scene_linear", managed=True)


def of_read(read: nuke.Node, script: Color) -> str:
    """The space of the pixels in a Read's files."""
    raw = read.knob("raw")
    if not script.managed or (raw is not None and raw.value()):
        return script.working
    return plain(_value(read, "colorspace")) or script.working


def is_linear_read(read: nuke.Node, script: Color) -> bool:
    """Whether vfxswap can find the Read's working pixels in its files: Nuke's own curves are not in any config."""
    if script.managed:
        return True
    raw = read.knob("raw")
    named = _value(read, "colorspace").lower()
    return bool(raw is not None and raw.value()) or "linear" in named or named in ("", "default", "none", "raw")


def plain(name: str) -> str:
    """A space's or role's name without what Nuke shows around it."""
    text = name.strip()
    for role in _ROLES:
        if text == role or text.startswith(f"{role} ("):
            return role
    return text


def _config(root: nuke.Node) -> str:
    """The config in use: $OCIO wins over what the script says."""
    if os.environ.get("OCIO"):
        return os.environ["OCIO"].replace("\\", "/")
    # Nuke's versions spell it in two ways.
    chosen = _value(root, "OCIO_config") or _value(root, "OCIOConfig")
    names = ("customOCIOConfigPath",) if chosen == "custom" else ("OCIOConfigPath", "customOCIOConfigPath")
    return next((path for path in (_path(root, name) for name in names) if path), "")


def _value(node: nuke.Node, name: str) -> str:
    knob = node.knob(name)
    return "" if knob is None else str(knob.value() or "")


def _path(node: nuke.Node, name: str) -> str:
    knob = node.knob(name)
    if knob is None:
        return ""
    if isinstance(knob, nuke.File_Knob):
        return str(knob.getEvaluatedValue() or "").replace("\\", "/")
    return str(knob.value() or "").replace("\\", "/")
