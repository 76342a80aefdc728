"""Resolve runs this from Workspace > Scripts > VfxSwap. Whatever is wrong here is said in the console.

`vfxswap hosts install resolve` puts a copy into Resolve's scripts folder that knows where this one is.
"""

import os
import sys

try:
    if sys.version_info < (3, 9):  # noqa: UP036 - older ones read this file too
        raise RuntimeError("vfxswap needs Python 3.9 or newer in Resolve")
    _here = globals().get("VFXSWAP_RESOLVE") or os.path.dirname(os.path.abspath(__file__))
    for _folder in (_here, os.path.join(os.path.dirname(_here), "bridge")):
        if _folder not in sys.path:
            sys.path.append(_folder)
    from vfxswap_resolve import main

    # Resolve hands these to every script that is started from its menu.
    main.start(globals().get("resolve"), globals().get("fusion"), globals().get("bmd"))
except Exception as _error:  # noqa: BLE001 - a menu entry, not a program
    sys.stderr.write(f"vfxswap: {_error}\n")
