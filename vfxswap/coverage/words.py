"""What a face does, and what is missing for it, in words. Left and right are the camera's: as the picture shows it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from vfxswap.coverage.features import Look
from vfxswap.coverage.metric import Part, indices_of
from vfxswap.face.landmarks import BLENDSHAPES

_SLIGHT_TURN = 6.0
_SLIGHT_GAZE = 10.0
_SLIGHT = 0.25
_STRONG = 0.5

_WORDS = {
    "jawOpen": "mouth open",
    "jawForward": "jaw forward",
    "jaw": "jaw to the side",
    "mouthSmile": "smile",
    "mouthFrown": "corners of the mouth down",
    "mouthPucker": "lips pursed",
    "mouthFunnel": "lips rounded",
    "mouthClose": "lips closed over an open jaw",
    "mouthStretch": "mouth stretched wide",
    "mouthDimple": "corners of the mouth drawn in",
    "mouthPress": "lips pressed",
    "mouthRoll": "lips rolled in",
    "mouthShrug": "lips pushed up",
    "mouthLowerDown": "lower lip down",
    "mouthUpperUp": "upper lip up",
    "mouth": "mouth to the side",
    "eyeBlink": "eyes closed",
    "eyeSquint": "eyes squinted",
    "eyeWide": "eyes wide open",
    "browDown": "brows down",
    "browInnerUp": "inner brows up",
    "browOuterUp": "outer brows up",
}
_SIDE = re.compile("(Left|Right|Lower|Upper)$")
_EXPRESSIONS: tuple[Part, ...] = ("mouth", "lids", "brows")
_NAMES: Mapping[Part, str] = {
    "turn": "this turn of the head",
    "mouth": "this mouth",
    "lids": "these eyelids",
    "brows": "these brows",
    "gaze": "this gaze",
}


def coefficient(name: str) -> str:
    """One blendshape in words, whichever side it is on."""
    return _WORDS.get(name) or _WORDS.get(_SIDE.sub("", name), name)


def turned(look: Look) -> str:
    """Where the head is turned, such as `turned 35 degrees camera left, 12 down`."""
    return _towards("turned", look.pose_deg[1], -look.pose_deg[0], _SLIGHT_TURN) or "facing the camera"


def looking(look: Look) -> str:
    """Where the eyes look relative to the head; empty where they look straight ahead or cannot be seen."""
    return _towards("eyes", *look.gaze_deg, _SLIGHT_GAZE) if look.gaze_known else ""


def described(look: Look) -> str:
    """A face in words: turn, expression, gaze."""
    parts = [turned(look), *(_strongest(look, part) for part in _EXPRESSIONS), looking(look)]
    return "; ".join(part for part in parts if part)


def lacking(part: Part, target: Look, nearest: Look, *, degrees: float) -> str:
    """What is missing when no example comes near `target` in one part of the face.

    Args:
        part: which part.
        target: the double's face.
        nearest: of all examples the one nearest in this part.
        degrees: how far that is, as the metric counts.
    """
    if part == "turn":
        return f"{turned(target)}: nearest example {degrees:.0f} degrees away"
    if part == "gaze":
        apart = np.hypot(*np.subtract(target.gaze_deg, nearest.gaze_deg))
        return f"{looking(target) or 'eyes straight ahead'}: nearest gaze {apart:.0f} degrees away"
    most = _most_different(part, target, nearest)
    here, there = target.expression[most], nearest.expression[most]
    words = _degree(coefficient(BLENDSHAPES[most]), here)
    if here < there:
        return f"without {coefficient(BLENDSHAPES[most])} ({here:.2f}): the nearest example has {there:.2f}"
    return f"{words} ({here:.2f}): {'no example' if there < _SLIGHT else 'the nearest example'} ({there:.2f})"


def combination(parts: Mapping[Part, float]) -> str:
    """What is missing when every part has an example but never together: the two parts that differ most."""
    first, second = sorted(parts, key=lambda part: -parts[part])[:2]
    return f"each part has examples, but not {_NAMES[first]} with {_NAMES[second]}"


def _towards(verb: str, right: float, up: float, slight: float) -> str:
    words = []
    if abs(right) >= slight:
        words.append(f"{abs(right):.0f} degrees camera {'right' if right > 0 else 'left'}")
    if abs(up) >= slight:
        words.append(f"{abs(up):.0f}{'' if words else ' degrees'} {'up' if up > 0 else 'down'}")
    return f"{verb} {', '.join(words)}" if words else ""


def _strongest(look: Look, part: Part) -> str:
    indices = indices_of(part)
    most = int(indices[np.argmax(look.expression[indices])])
    value = look.expression[most]
    return _degree(coefficient(BLENDSHAPES[most]), value) if value >= _SLIGHT else ""


def _degree(words: str, value: float) -> str:
    if value < _STRONG:
        return f"{words} a little" if value < _SLIGHT else words
    return {"mouth open": "mouth wide open", "smile": "broad smile"}.get(words, words)


def _most_different(part: Part, target: Look, nearest: Look) -> int:
    indices = indices_of(part)
    return int(indices[np.argmax(np.abs(target.expression[indices] - nearest.expression[indices]))])
