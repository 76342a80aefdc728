"""What an artist sees, kept: page, timeline, bin, playhead, render preset."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator

from vfxswap_resolve import api

_TEMPORARY = "vfxswap restore"

BASES = ("vfxswap", "ProRes 422 HQ", "H.264 Master", "H.265 Master")
"""Render presets that write pictures, the first that there is: settings that are never said are taken from it, not from
whatever was rendered last. One of the first name may be a facility's own."""


@contextlib.contextmanager
def kept(resolve: api.Resolve, project: api.Project) -> Iterator[None]:
    """Whatever happens inside, the artist finds the same page, timeline, bin and playhead."""
    page = resolve.GetCurrentPage()
    timeline = project.GetCurrentTimeline()
    timecode = api.text(timeline.GetCurrentTimecode()) if timeline is not None else ""
    pool = project.GetMediaPool()
    folder = pool.GetCurrentFolder()
    try:
        yield
    finally:
        show(project, timeline)
        if folder is not None:
            pool.SetCurrentFolder(folder)
        if page and resolve.GetCurrentPage() != page:
            resolve.OpenPage(page)
        if timeline is not None and timecode and timeline.GetCurrentTimecode() != timecode:
            timeline.SetCurrentTimecode(timecode)


def show(project: api.Project, timeline: api.Timeline | None) -> None:
    """Make a timeline the current one, if it is not."""
    if timeline is None:
        return
    current = project.GetCurrentTimeline()
    if current is None or current.GetUniqueId() != timeline.GetUniqueId():
        project.SetCurrentTimeline(timeline)


@contextlib.contextmanager
def render_settings(project: api.Project) -> Iterator[None]:
    """The render settings as they were, afterwards; a known preset to start from, inside."""
    name = f"{_TEMPORARY} {uuid.uuid4().hex[:8]}"
    before = project.GetCurrentRenderFormatAndCodec() or {}
    mode = project.GetCurrentRenderMode()
    saved = bool(project.SaveAsNewRenderPreset(name))
    there = presets(project)
    base = next((one for one in BASES if one in there), None)
    try:
        if base is not None:
            project.LoadRenderPreset(base)
        yield
    finally:
        if saved:
            project.LoadRenderPreset(name)
            project.DeleteRenderPreset(name)
        elif before.get("format"):
            project.SetCurrentRenderFormatAndCodec(before["format"], before.get("codec", ""))
        if mode is not None:
            project.SetCurrentRenderMode(mode)


def presets(project: api.Project) -> list[str]:
    """Names of the render presets; versions differ in how they list them."""
    found = []
    for one in project.GetRenderPresetList() or []:
        if isinstance(one, dict):
            one = one.get("PresetName") or one.get("RenderPresetName") or one.get("name") or ""
        found.append(api.text(one))
    return found
