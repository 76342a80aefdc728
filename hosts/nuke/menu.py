"""Nuke reads this when it starts with a GUI. Whatever is wrong here must not stop it."""

import sys

try:
    import nuke

    _menu = nuke.menu("Nodes").addMenu("VfxSwap")
    _menu.addCommand("VfxSwap", "nuke.createNode('VfxSwap')")
    _menu.addCommand("VfxSwap comp from ingredients", "nuke.createNode('VfxSwapComp')")
    _menu.addCommand("VfxSwap live", "nuke.createNode('VfxSwapLive')")
except Exception as _error:  # noqa: BLE001 - Nuke starts, with or without us
    sys.stderr.write(f"vfxswap: its menu is not available: {_error}\n")
