"""From the node's knobs to a job."""

from __future__ import annotations

from typing import Any

import nuke

import vfxswap_bridge as bridge
from vfxswap_bridge import BridgeError
from vfxswap_nuke import color, knobs, places
from vfxswap_nuke import frames as ranges
from vfxswap_nuke.plate import Plate

ALL_VIEWS = "all"


def check(node: nuke.Node) -> None:
    """Refuse what cannot be rendered, before anything is written; raises BridgeError."""
    if nuke.root().proxy():
        raise BridgeError("proxy mode is on, and the swap works on full size", "switch proxy mode off, then run")
    if node.input(0) is None:
        raise BridgeError("nothing is connected to the plate input", "connect the plate")
    if not knobs.text(node, "model"):
        raise BridgeError("no model is set", "choose a .vfxmodel on the Swap tab")
    if not knobs.lines(node, "consents"):
        raise BridgeError("no consent is given", "name the signed consents of likeness and double, one a line")
    for name in knobs.RENDERED:
        if node[name].isAnimated():
            raise BridgeError(
                f"{name.replace('_', ' ')} is animated, and it is rendered with one value for the shot",
                "set it to one value; the knobs of the Blend tab can be animated",
            )


def views(node: nuke.Node) -> list[str]:
    """The script's views that the node works on."""
    every = [str(view) for view in nuke.views()]
    asked = knobs.text(node, "view")
    if asked == ALL_VIEWS:
        return every
    if asked and asked not in every:
        raise BridgeError(f"the script has no view {asked!r}", f"there are {', '.join(every)}")
    return [asked] if asked else every[:1]


def fields(node: nuke.Node, plate: Plate, wanted: list[int], script: color.Color) -> dict[str, Any]:
    """The job's fields.

    Args:
        node: the VfxSwap.
        plate: what it works on.
        wanted: every frame of the range: tracking and measuring cover them all.
        script: the script's colour settings.
    """
    view = knobs.text(node, "view")
    many = "%V" in plate.pattern and view == ALL_VIEWS
    parameters: dict[str, Any] = {}
    for name in knobs.RENDERED:
        value = node[name].value()
        parameters[name] = value if isinstance(value, str) else float(value)
    return {
        "host": "nuke",
        "host_version": str(nuke.NUKE_VERSION_STRING),
        "shot": knobs.text(node, "shot"),
        "plate": plate.pattern,
        "frames": ranges.text(wanted),
        # An export of one view has no other.
        "view": "" if plate.upstream and not many else view,
        "face": knobs.text(node, "face") or "0",
        "color_config": script.config,
        "color_space": knobs.text(node, "color_space") or plate.space,
        "lens": knobs.text(node, "lens"),
        "model": knobs.text(node, "model"),
        "consents": knobs.lines(node, "consents"),
        "keyring": knobs.text(node, "keyring") or None,
        "track": knobs.text(node, "track") or None,
        "measurements": knobs.text(node, "measurements") or None,
        "matte": knobs.lines(node, "matte"),
        "output": places.version(node) + ("/swap.%V.%04d.exr" if many else "/swap.%04d.exr"),
        "layers": "ingredients",
        "device": str(node["device"].value()),
        "parameters": parameters,
    }


def key(node: nuke.Node, job: dict[str, Any], plate: Plate, wanted: list[int]) -> str:
    """What the cache is made from, as text."""
    files = [] if plate.upstream else plate.files(wanted, views(node))
    mattes = [name.split(",")[0].rpartition(":")[0] or name for name in job["matte"]]
    # Where the export lies does not matter, what was exported does.
    told = {**job, "plate": "" if plate.upstream else job["plate"]}
    return bridge.fingerprint(told, files=[*files, *mattes], upstream=plate.upstream)
