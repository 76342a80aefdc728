"""`python -m vfxswap` is the command `vfxswap`."""

from __future__ import annotations

from vfxswap.cli import main

if __name__ == "__main__":
    main()
