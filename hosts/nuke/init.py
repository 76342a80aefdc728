"""Nuke reads this at every start, with and without a GUI. Whatever is wrong here must not stop it.

Either the folder is on NUKE_PATH, or `vfxswap hosts install nuke` has put it into ~/.nuke/init.py.
"""

import os
import sys

try:
    import nuke

    if sys.version_info < (3, 9):  # noqa: UP036 - older ones read this file too
        raise RuntimeError("they need Nuke 14 or newer")
    _here = os.path.dirname(os.path.abspath(__file__)).replace("\\", "/")
    _hosts = os.path.dirname(_here)
    # Beside hosts/ in a checkout and in the installed package alike.
    nuke.pluginAddPath(os.path.dirname(_hosts) + "/gizmos")
    for _folder in (_here, _hosts + "/bridge"):
        if _folder not in sys.path:
            sys.path.append(_folder)
    _paths = os.environ.get("PYBLISHPLUGINPATH", "").split(os.pathsep)
    if _hosts + "/publish/plugins" not in _paths:  # where the Pyblish windows look
        os.environ["PYBLISHPLUGINPATH"] = os.pathsep.join([*filter(None, _paths), _hosts + "/publish/plugins"])
except Exception as _error:  # noqa: BLE001 - Nuke starts, with or without us
    sys.stderr.write(f"vfxswap: its nodes are not available: {_error}\n")
