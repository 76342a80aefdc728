"""`nuke -t vfxswap_render.py --script shot.nk`: see vfxswap_nuke/terminal.py."""

from __future__ import annotations

import sys

from vfxswap_nuke import terminal

if __name__ == "__main__":
    sys.exit(terminal.main(sys.argv[1:]))
