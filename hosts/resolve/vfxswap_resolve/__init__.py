"""What runs inside DaVinci Resolve: standard library only, Python 3.9 syntax, never the `vfxswap` package.

`main.start` is what the menu entry calls. Every call of Resolve that is used is declared in `api`.
"""

from __future__ import annotations
