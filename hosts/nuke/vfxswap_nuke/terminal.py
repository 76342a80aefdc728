"""Runs nodes in `nuke -t`: synchronously, with exit codes.

    nuke -t vfxswap_render.py --script shot.nk [--node VfxSwap1] [--frames=1001-1010] [--save]

A range is written with `=`, because Nuke takes a bare number or range at the end for its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import nuke

from vfxswap_bridge import BridgeError
from vfxswap_nuke import knobs, node

USAGE, BAD_INPUT, DONE = 2, 4, 0


def main(arguments: Sequence[str]) -> int:
    """Run the nodes of a script; returns the exit code of the contract, the first that is not 0."""
    parser = argparse.ArgumentParser(prog="vfxswap_render.py", add_help=False)
    parser.add_argument("--script", required=True)
    parser.add_argument("--node", action="append", default=[])
    parser.add_argument("--frames", default="")
    parser.add_argument("--save", action="store_true")
    try:
        given = parser.parse_args(list(arguments))
    except SystemExit:
        return USAGE
    try:
        nuke.scriptOpen(given.script)
    except RuntimeError as error:
        nuke.tprint(f"vfxswap: error: cannot open {given.script}: {error}")
        return BAD_INPUT
    chosen = [one for one in knobs.ours() if not given.node or one.fullName() in given.node]
    if not chosen:
        nuke.tprint(
            f"vfxswap: error: {given.script} has no VfxSwap" + (f" named {given.node[0]}" if given.node else "")
        )
        return BAD_INPUT
    codes = [_run(one, given.frames) for one in chosen]
    if given.save:
        nuke.scriptSave("")
    return next((code for code in codes if code != DONE), DONE)


def _run(which: nuke.Node, frames: str) -> int:
    try:
        node.run(which, only=frames)
    except node.RunError as error:
        return error.code
    except BridgeError as error:
        nuke.tprint(f"vfxswap: error: {which.name()}: {error}")
        return BAD_INPUT
    return DONE
