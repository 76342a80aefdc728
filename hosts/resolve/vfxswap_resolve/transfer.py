"""OTIO out and in, for when the work is done by `vfxswap otio`."""

from __future__ import annotations

import os

from vfxswap_bridge import BridgeError
from vfxswap_resolve import api, records
from vfxswap_resolve.api import RefusedError


def export(resolve: api.Resolve, timeline: api.Timeline, folder: str) -> str:
    """Write a timeline as OTIO.

    Returns:
        The file.

    Raises:
        RefusedError: `otio`: this version does not, or it did not.
    """
    if not (api.offers(resolve, "EXPORT_OTIO") and api.offers(timeline, "Export")):
        raise RefusedError("otio", "this version of Resolve writes no OTIO", "18.5 and later do")
    target = os.path.expanduser(folder).replace("\\", "/").rstrip("/")
    path = f"{records.make(target)}/{records.safe(timeline.GetName())}.otio"
    # The numbers behind these names differ between versions: they are asked for, never written down.
    said = timeline.Export(path, resolve.EXPORT_OTIO, resolve.EXPORT_NONE)
    if not said or not os.path.isfile(path) or not os.path.getsize(path):
        raise RefusedError("otio", f"Resolve wrote no {path}", "use File > Export > Timeline")
    return path


def load(project: api.Project, path: str) -> api.Timeline:
    """Bring a timeline of `vfxswap otio` in, under a name that no timeline has yet.

    Raises:
        RefusedError: `otio`.
    """
    if not os.path.isfile(path):
        raise BridgeError(f"there is no {path}", "run `vfxswap otio` first")
    taken = {project.GetTimelineByIndex(index).GetName() for index in range(1, project.GetTimelineCount() + 1)}
    stem = os.path.splitext(os.path.basename(path))[0]
    name = next(one for one in (stem, *(f"{stem} {count}" for count in range(2, len(taken) + 3))) if one not in taken)
    options = {"timelineName": name, "importSourceClips": True}
    made = project.GetMediaPool().ImportTimelineFromFile(path, options)
    if made is None:
        raise RefusedError("otio", f"Resolve did not take {path}", "use File > Import > Timeline")
    return made
