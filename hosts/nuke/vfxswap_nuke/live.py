"""VfxSwapLive: the track and the shot's exposure as keys on its knobs, and its colour spaces."""

from __future__ import annotations

import json
import tempfile
import traceback
import zipfile
from collections.abc import Mapping
from typing import Any

import nuke

from vfxswap_bridge import BridgeError
from vfxswap_nuke import color, knobs, track

_LINEAR = {
    "srgb": ("Linear Rec.709 (sRGB)", "lin_rec709", "lin_srgb", "Utility - Linear - sRGB",
             "Utility - Linear - Rec.709", "rec709"),
    "acescct": ("ACEScg", "lin_ap1", "ACES - ACEScg"),
}  # fmt: skip
"""Encoding -> what configs call the linear space under it, the usual one first."""


def created(which: nuke.Node) -> None:
    """The node was made, pasted or loaded: find its colour spaces, where nobody chose any. Never raises."""
    try:
        with knobs.unrecorded():
            _spaces(which)
    except Exception:  # noqa: BLE001 - a script has to load, whatever is wrong here
        nuke.tprint(f"VfxSwapLive: {traceback.format_exc()}")


def _spaces(which: nuke.Node) -> None:
    script = color.of_script()
    there, back = (knobs.inner(which, name) for name in ("ToModel", "FromModel"))
    chosen = str(there["out_colorspace"].value())
    if not script.managed or (chosen and color.plain(chosen) != "scene_linear"):
        return
    offered = _offered(there["out_colorspace"])
    names = (script.working, *_LINEAR[str(which["encoding"].value())])
    wanted = next((name for name in names[1:] if name in offered), "")
    if not wanted or script.working not in offered:
        listed = ", ".join(names)
        nuke.tprint(f"{which.name()}: the config has none of {listed}; set the network's space by hand")
        return
    for node, source, target in ((there, script.working, wanted), (back, wanted, script.working)):
        node["in_colorspace"].setValue(offered[source])
        node["out_colorspace"].setValue(offered[target])
    which["convert"].setValue(script.working != wanted)


def _offered(knob: nuke.Knob) -> dict[str, str]:
    """Space -> its entry in the knob's menu, which may have families before the name and a label behind it."""
    if not isinstance(knob, nuke.Enumeration_Knob):
        return {}
    entries = [str(entry) for entry in knob.values()]
    return {color.plain(entry.split("\t")[0].rsplit("/", 1)[-1]): entry.split("\t")[0] for entry in entries}


def take(which: nuke.Node) -> None:
    """Put keys on the node from its track, and exposure and placement from its measurements.

    Raises:
        BridgeError: there is no track, or vfxswap refuses it; nothing was set.
    """
    path = knobs.text(which, "track")
    if not path:
        raise BridgeError("no track is set", "choose the .vfxtrack of a run")
    measured = knobs.text(which, "measurements")
    lines = _exposure(_manifest(measured)) if measured else []
    with tempfile.TemporaryDirectory(prefix="vfxswap-") as folder:
        written = f"{folder}/live.knobs".replace("\\", "/")
        arguments = ["track", "export", path, "--to", "nuke-live", "--output", written]
        arguments += ["--face", knobs.text(which, "face") or "0", "--size", f"{which.width()}x{which.height()}"]
        track.call(arguments)
        with open(written, encoding="utf-8") as file:
            lines.append(file.read())
    nuke.Undo.name("VfxSwapLive: take track")
    nuke.Undo.begin()
    try:
        which.readKnobs("\n".join(lines))
    finally:
        nuke.Undo.end()


def _manifest(path: str) -> Mapping[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            found: Mapping[str, Any] = json.loads(archive.read("manifest.json"))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise BridgeError(f"{path} is no .vfxshot", "choose the measurements of a run, or none") from error
    return found


def _exposure(shot: Mapping[str, Any]) -> list[str]:
    """The knobs that a shot's measurements say."""
    try:
        gains = {int(frame): float(gain) for frame, gain in (shot.get("curve") or {}).items()}
        keys = " ".join(f"x{frame} {gains[frame]:.6g}" for frame in sorted(gains))
        lines = [f"gain {{{{curve {keys}}}}}" if gains else f"gain {float(shot['gain']):.6g}"]
        place = shot.get("placement")
        if place:
            names = (("place_x", "x"), ("place_y", "y"), ("place_scale", "scale"), ("place_turn", "turn_deg"))
            lines += [f"{knob} {float(place[name]):.6g}" for knob, name in names]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BridgeError("the measurements are damaged", "measure the shot again, or choose none") from error
    return lines
