"""OTIO out and in, for when the work is done by `vfxswap otio`."""

from __future__ import annotations

import os

from vfxswap_resolve import api, place, records, state
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
    path = f"{records.make(_folder(folder))}/{records.safe(timeline.GetName())}.otio"
    # The numbers behind these names differ between versions: they are asked for, never written down.
    said = timeline.Export(path, resolve.EXPORT_OTIO, resolve.EXPORT_NONE)
    if not said or not os.path.isfile(path) or not os.path.getsize(path):
        raise RefusedError("otio", f"Resolve wrote no {path}", "use File > Export > Timeline")
    return path


def load(resolve: api.Resolve, project: api.Project, timeline: api.Timeline, folder: str) -> api.Timeline:
    """Bring in what `vfxswap otio` made of a timeline, under a name that no timeline has yet.

    Its media come into our bin; the bin and the page that were shown are shown again, the timeline is the new one.

    Raises:
        RefusedError: `otio`.
    """
    path = f"{_folder(folder)}/{records.safe(timeline.GetName())}.{records.TRACK}.otio"
    if not os.path.isfile(path):
        raise RefusedError("otio", f"there is no {path}", f"run `vfxswap otio` with --output {_folder(folder)} first")
    taken = {project.GetTimelineByIndex(index).GetName() for index in range(1, project.GetTimelineCount() + 1)}
    stem = f"{timeline.GetName()} {records.TRACK}"
    name = next(one for one in (stem, *(f"{stem} {count}" for count in range(2, len(taken) + 3))) if one not in taken)
    pool = project.GetMediaPool()
    with place.all_or_nothing() as undo, state.kept(resolve, project):
        bin_of_ours = place.ours(pool, make=True, undo=undo)
        if bin_of_ours is not None:
            pool.SetCurrentFolder(bin_of_ours)
        made = pool.ImportTimelineFromFile(path, {"timelineName": name, "importSourceClips": True})
        if made is None:
            raise RefusedError("otio", f"Resolve did not take {path}", "use File > Import > Timeline")
    state.show(project, made)
    return made


def _folder(folder: str) -> str:
    return os.path.expanduser(folder).replace("\\", "/").rstrip("/")
