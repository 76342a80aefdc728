"""The Nuke side of vfxswap: what the node VfxSwap does when a button is pressed. All work happens elsewhere."""

from __future__ import annotations

VERSION = "1"
"""Of this code, shown on the node."""
