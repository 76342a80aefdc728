"""The buttons of the node: each by its knob's name. What goes wrong becomes one dialog."""

from __future__ import annotations

import traceback
from typing import Callable

import nuke

from vfxswap_bridge import BridgeError
from vfxswap_nuke import live, node, track, train

BUTTONS: dict[str, Callable[[nuke.Node], object]] = {
    "run": node.run,
    "preview": node.preview,
    "cancel": node.cancel,
    "farm": node.farm,
    "submit": node.submit,
    "reload": node.reload,
    "check_stale": node.check_stale,
    "version_up": lambda which: node.step(which, 1),
    "version_down": lambda which: node.step(which, -1),
    "clear": node.clear,
    "open_log": node.show_log,
    "keep_track": track.keep,
    "to_tracker": lambda which: track.export(which, "nuke-tracker"),
    "to_cornerpin": lambda which: track.export(which, "nuke-cornerpin"),
    "to_roto": lambda which: track.export(which, "nuke-roto"),
    "to_stmap": track.stmap,
    "fix": track.fix_and_report,
    "fix_and_run": track.fix_and_run,
    "train": train.train,
    "stop_training": train.stop,
    "export_model": train.export,
    "take": live.take,
}
"""Knob -> what it does."""


def press(which: nuke.Node, name: str) -> None:
    """Do what a button says."""
    try:
        BUTTONS[name](which)
    except BridgeError as error:
        node.report(f"{which.name()}: {error}")
    except Exception:  # noqa: BLE001 - the host's entry point: Nuke would show a half of it, or nothing
        node.report(f"{which.name()}: an internal error, please report it\n\n{traceback.format_exc()}")
