"""The track, out of vfxswap and back."""

from __future__ import annotations

import os
import shutil
import tempfile

import nuke

import vfxswap_bridge as bridge
from vfxswap_bridge import BridgeError
from vfxswap_nuke import frames, knobs, node, places

_PATIENCE = 120.0
_EDITABLE = ("Tracker4", "CornerPin2D")


def keep(which: nuke.Node) -> str:
    """Copy track and measurements of the last run to where they stay; returns the track's path.

    With both given, a fix renders again only the frames that it reaches.
    """
    given = knobs.text(which, "track")
    if given:
        return given
    folder = places.version(which)
    found = {kind: places.newest(folder, f".vfx{kind}") for kind in ("track", "shot")}
    if not found["track"]:
        raise BridgeError("there is no track yet", "run or preview a frame first, or choose a .vfxtrack")
    kept = {}
    for kind, knob in (("track", "track"), ("shot", "measurements")):
        if found[kind]:
            kept[knob] = f"{places.root(which)}/kept.vfx{kind}"
            shutil.copyfile(found[kind], kept[knob] + ".new")
            os.replace(kept[knob] + ".new", kept[knob])
    knobs.put(which, kept)
    return kept["track"]


def _last(which: nuke.Node) -> str:
    """The track to export: the one that is given, else the last run's."""
    path = knobs.text(which, "track") or places.newest(places.version(which), ".vfxtrack")
    if not path:
        raise BridgeError("there is no track yet", "run or preview a frame first, or choose a .vfxtrack")
    return path


def export(which: nuke.Node, to: str) -> None:
    """Paste the track into the script as nodes of vfxswap's export `to`."""
    reference = knobs.whole(which, "reference")
    with tempfile.TemporaryDirectory(prefix="vfxswap-") as folder:
        path = f"{folder}/track.nk".replace("\\", "/")
        arguments = ["track", "export", _last(which), "--to", to, "--output", path]
        arguments += ["--face", knobs.text(which, "face") or "0", "--size", f"{which.width()}x{which.height()}"]
        call(arguments + (["--reference", str(reference)] if reference else []))
        with knobs.around(which):
            nuke.nodePaste(path)


def stmap(which: nuke.Node) -> None:
    """An STMap that puts a picture of the crop back into the plate, from the cached layer."""
    if not which["has_cache"].value():
        raise BridgeError("nothing is cached", "run or preview a frame first")
    with knobs.around(which):
        read = nuke.nodes.Read(
            file=str(which["cache_file"].value()),
            first=knobs.whole(which, "cache_first"),
            last=knobs.whole(which, "cache_last"),
            raw=True,
        )
        placed = nuke.nodes.STMap(uv="stmap", label="crop to plate: connect the crop as source")
        placed.setInput(1, read)


def fix(which: nuke.Node) -> str:
    """Send what was changed in the selected Tracker or CornerPin into the track; returns what vfxswap said."""
    with knobs.around(which):
        chosen = [one for one in nuke.selectedNodes() if one.Class() in _EDITABLE]
        if not chosen:
            raise BridgeError("no Tracker or CornerPin is selected", "select the one that was made here and changed")
        path = keep(which)
        with tempfile.TemporaryDirectory(prefix="vfxswap-") as folder:
            copied = f"{folder}/fixed.nk".replace("\\", "/")
            nuke.nodeCopy(copied)
            said = call(["track", "fix", path, "--from", copied, "--reach", str(knobs.whole(which, "reach"))])
    knobs.note(which, stale="<b>stale</b>: the track was changed, run again")
    return said


def fix_and_report(which: nuke.Node) -> None:
    """Send fixes, and say which frames they reach."""
    node.report(fix(which) or "The track was changed.")


def fix_and_run(which: nuke.Node) -> None:
    """Send fixes, then render the frames that changed."""
    fix(which)
    frames.wanted(which)
    node.run(which)


def call(arguments: list[str]) -> str:
    """Run a short command; its error becomes ours."""
    code, out, complaints = bridge.call(arguments, timeout=_PATIENCE)
    if code != 0:
        last = (complaints.strip().splitlines() or [f"vfxswap ended with code {code}"])[-1]
        raise BridgeError(last.replace("vfxswap: error: ", ""))
    return "\n".join(part for part in (out.strip(), complaints.strip()) if part)
