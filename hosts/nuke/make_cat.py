"""Makes the .cat of the folder it lies in, from the TorchScript beside it.

It needs a licence of NukeX:

    nuke --nukex -i -t make_cat.py

`vfxswap export --to nuke-cat` put it here; what it sets is in cat.json. Nothing of vfxswap is needed to run it.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import nuke


def settings(folder: str) -> dict[str, Any]:
    """What cat.json says; raises ValueError where it says nothing of ours."""
    with open(os.path.join(folder, "cat.json"), encoding="utf-8") as file:
        found = json.load(file).get("vfxswap")
    if not isinstance(found, dict):
        raise ValueError("cat.json was not written by vfxswap export --to nuke-cat")
    return found


def make(folder: str) -> str:
    """Make the .cat; returns its path. Raises RuntimeError where Nuke made none."""
    told = settings(folder)
    place = folder.replace("\\", "/")
    path = "%s/%s" % (place, told["cat"])  # noqa: UP031 - Nuke 13's Python reads this too
    if os.path.exists(path):
        os.remove(path)  # an old one would look like a new one
    creator = nuke.createNode("CatFileCreator", inpanel=False)
    try:
        values = {
            "torchScriptFile": place + "/" + told["torchscript"],
            "catFile": path,
            "channelsIn": ", ".join(told["channels_in"]),
            "channelsOut": ", ".join(told["channels_out"]),
            "modelId": told["model_id"],
            "outputScale": told["output_scale"],
        }
        for name, value in values.items():
            creator[name].setValue(value)
        # A knob of the network is a knob of this node by the same name.
        for name, value in told["knobs"].items():
            knob = nuke.Double_Knob(name, name)
            creator.addKnob(knob)
            knob.setValue(value)
        button = creator["createCatFile"]
        if isinstance(button, nuke.Script_Knob):
            button.execute()
    finally:
        nuke.delete(creator)
    if not (os.path.isfile(path) and os.path.getsize(path)):
        raise RuntimeError("Nuke made no file; CatFileCreator needs NukeX: nuke --nukex -i -t make_cat.py")
    return path


def main() -> int:
    """Make it, and say so; returns the exit code."""
    try:
        path = make(os.path.dirname(os.path.abspath(__file__)))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        sys.stderr.write("make_cat: error: %s\n" % error)  # noqa: UP031 - Nuke 13's Python reads this too
        return 1
    nuke.tprint("made %s" % path)  # noqa: UP031
    return 0


if __name__ == "__main__":
    sys.exit(main())
