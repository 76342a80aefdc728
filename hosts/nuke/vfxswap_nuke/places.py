"""Where a node's files are: `<folder>/<id>/v001/`, one folder for each node and version."""

from __future__ import annotations

import os
import re
import shutil

import nuke

from vfxswap_bridge import BridgeError
from vfxswap_nuke import knobs

_OURS = "vfxswap_node"
"""The file that says a folder is a node's: nothing else is ever deleted."""


def root(node: nuke.Node) -> str:
    """The folder of the node's versions.

    Raises:
        BridgeError: neither the node nor the script says where.
    """
    base = knobs.text(node, "cache_dir")
    if not base:
        script = str(nuke.root().name())
        if script in ("", "Root") or not os.path.isabs(script):
            raise BridgeError("the script was never saved", "save it, or set the folder on the Cache tab")
        base = os.path.dirname(script) + "/vfxswap"
    return f"{base.rstrip('/')}/{node['vfxswap_id'].value()}"


def version(node: nuke.Node, number: int | None = None) -> str:
    """The folder of a version; the node's own without a number."""
    return f"{root(node)}/v{knobs.whole(node, 'cache_version') if number is None else number:03d}"


def versions(node: nuke.Node) -> list[int]:
    """Versions that exist, in order."""
    try:
        names = os.listdir(root(node))
    except (OSError, BridgeError):
        return []
    return sorted(int(name[1:]) for name in names if re.fullmatch(r"v\d{3,}", name))


def claim(node: nuke.Node) -> str:
    """The node's version folder, made and marked; raises BridgeError where it cannot be written."""
    folder = version(node)
    try:
        os.makedirs(folder, exist_ok=True)
        with open(f"{folder}/{_OURS}", "w", encoding="utf-8") as file:
            file.write(str(node["vfxswap_id"].value()))
    except OSError as error:
        raise BridgeError(
            f"cannot write into {folder}: {error.strerror}", "set another folder on the Cache tab"
        ) from error
    return folder


def clear(node: nuke.Node) -> bool:
    """Delete the node's version; False where there was none. A folder that the node did not make is left alone."""
    folder = version(node)
    if not os.path.isdir(folder):
        return False
    try:
        with open(f"{folder}/{_OURS}", encoding="utf-8") as file:
            owner = file.read().strip()
    except OSError:
        owner = ""
    if owner != node["vfxswap_id"].value():
        raise BridgeError(f"{folder} is not this node's", "delete it by hand if it is to go")
    shutil.rmtree(folder)
    return True


def key(job: str) -> str:
    """What the frames of a job are made from; empty while not all of them are."""
    try:
        with open(job + ".key", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""


def set_key(job: str, text: str) -> None:
    """Remember, or with an empty text forget, what a job's frames are made from."""
    with open(job + ".key", "w", encoding="utf-8") as file:
        file.write(text)


def newest(folder: str, ending: str) -> str:
    """The file below `folder` that was written last, by its ending; empty without any."""
    found = [
        os.path.join(where, name).replace("\\", "/")
        for where, _, names in os.walk(folder)
        for name in names
        if name.endswith(ending) and not name.endswith(".tmp")
    ]
    return max(found, key=os.path.getmtime, default="")
