"""A clip rendered to EXR: a temporary timeline that holds just that clip, without its grade."""

from __future__ import annotations

import os
import time
import uuid
from typing import Any, Callable

from vfxswap_bridge import BridgeError
from vfxswap_resolve import api, color, sequence, state
from vfxswap_resolve.api import RefusedError
from vfxswap_resolve.clips import Clip

FIRST = 1001
"""Number of the clip's first frame in a rendered plate; handles come before it."""

_GLANCE = 0.25

_LOSSY = ("dwa", "b44", "pxr", "luma")

Watch = Callable[[str, int, int], bool]
"""Shown (what goes on, done, total); answers whether to go on."""


def render(
    project: api.Project,
    clip: Clip,
    folder: str,
    *,
    head: int,
    tail: int,
    science: color.Science,
    space: str,
    watch: Watch,
) -> tuple[sequence.Sequence, color.Output]:
    """Render a clip with handles.

    Args:
        project: the open one.
        clip: what is rendered.
        folder: ours and empty.
        head: frames before the clip.
        tail: frames after it.
        science: the project's colour science.
        space: the clip's OCIO space.
        watch: see Watch.

    Returns:
        The frames, counted and looked at; and the space of their pixels.

    Raises:
        RefusedError: `busy`, `color`, `render`, `cancelled`.
    """
    if project.IsRenderingInProgress():
        raise RefusedError("busy", "Resolve is rendering", "wait until the render queue is done")
    shown = project.GetCurrentTimeline()
    length = head + clip.length + tail
    timeline = _temporary(project, clip, clip.source - head, length)
    try:
        state.show(project, timeline)
        output = color.set_output(timeline, science, space)
        _set_size(timeline, clip)
        with state.render_settings(project):
            # Codes of a log need more than half's eleven bits near 1.
            _choose_format(project, exact=science.mode == color.UNMANAGED)
            job = _queue(project, timeline, clip, folder, length, FIRST - head)
            try:
                _wait(project, job, length, clip.name, watch)
            finally:
                project.DeleteRenderJob(job)
    finally:
        state.show(project, shown)
        project.GetMediaPool().DeleteTimelines([timeline])
    return _looked_at(folder, length, clip), output


def _temporary(project: api.Project, clip: Clip, first: int, length: int) -> api.Timeline:
    """A timeline with the clip's frames; whether Resolve counts the end in depends on its version, so look."""
    pool = project.GetMediaPool()
    shown = project.GetCurrentTimeline()
    said = 0
    for last in (first + length - 1, first + length):
        name = f"vfxswap {clip.name} {uuid.uuid4().hex[:8]}"
        info = {"mediaPoolItem": clip.media, "startFrame": first, "endFrame": last, "mediaType": 1}
        made = pool.CreateTimelineFromClips(name, [info])
        if made is None:
            raise RefusedError("render", f"{clip.name}: Resolve made no temporary timeline", "save the project, "
                               "start Resolve again")  # fmt: skip
        items = made.GetItemListInTrack("video", 1) or []
        said = api.whole(items[0].GetDuration()) if len(items) == 1 else 0
        if said == length:
            return made
        state.show(project, shown)
        pool.DeleteTimelines([made])
    raise RefusedError("render", f"{clip.name}: the temporary timeline holds {said} frames in place of {length}",
                       "look whether the clip's media is whole")  # fmt: skip


def _set_size(timeline: api.Timeline, clip: Clip) -> None:
    if clip.size is not None:
        timeline.SetSetting("useCustomSettings", "1")
        timeline.SetSetting("timelineResolutionWidth", str(clip.size[0]))
        timeline.SetSetting("timelineResolutionHeight", str(clip.size[1]))


def _choose_format(project: api.Project, *, exact: bool) -> None:
    formats = project.GetRenderFormats() or {}
    name = next((key for key, ending in formats.items() if api.text(ending).lower() == "exr"), "exr")
    codecs: dict[str, str] = {}
    for asked in ("exr", name):
        codecs = codecs or project.GetRenderCodecs(asked) or {}
    lossless = {told: codec for told, codec in codecs.items() if not any(word in told.lower() for word in _LOSSY)}

    def rank(told: str) -> tuple[bool, bool, str]:
        words = told.lower()
        return ("float" not in words if exact else "half" not in words, "zip" not in words, words)

    if not lossless:
        raise RefusedError("render", "Resolve offers no lossless EXR", "give the clip as an EXR image sequence")
    codec = lossless[min(lossless, key=rank)]
    if not any(project.SetCurrentRenderFormatAndCodec(one, codec) for one in ("exr", name)):
        raise RefusedError("render", f"Resolve does not render EXR as {codec!r}", "give an EXR image sequence")
    project.SetCurrentRenderMode(1)


def _queue(project: api.Project, timeline: api.Timeline, clip: Clip, folder: str, length: int, number: int) -> str:
    first = api.whole(timeline.GetStartFrame())
    settings: dict[str, Any] = {
        "SelectAllFrames": False,
        "MarkIn": first,
        "MarkOut": first + length - 1,
        "TargetDir": folder,
        "CustomName": "plate.",
        "UniqueFilenameStyle": 0,
        "ExportVideo": True,
        "ExportAudio": False,
        "ExportAlpha": False,
        "ClipStartFrame": number,
        "AddFrameHandles": 0,
        "ReplaceExistingFilesInPlace": True,
        "ColorSpaceTag": "Same as Project",
        "GammaTag": "Same as Project",
    }
    if clip.size is not None:
        settings["FormatWidth"], settings["FormatHeight"] = clip.size
    if not project.SetRenderSettings(settings):
        # A version that lacks one of these takes none of them.
        for name in ("AddFrameHandles", "ReplaceExistingFilesInPlace", "ClipStartFrame"):
            settings.pop(name)
        project.SetRenderSettings(settings)
    job = api.text(project.AddRenderJob())
    if not job:
        raise RefusedError("render", f"{clip.name}: Resolve queued no render job", f"look whether {folder} can be "
                           "written")  # fmt: skip
    # Hidden settings of the last render are taken over: look at what was really queued.
    for one in project.GetRenderJobList() or []:
        if one.get("JobId") != job:
            continue
        wrong = ""
        if one.get("IsExportVideo") is False:
            wrong = "without pictures"
        elif os.path.normpath(api.text(one.get("TargetDir")) or folder) != os.path.normpath(folder):
            wrong = f"into {one['TargetDir']}"
        if wrong:
            project.DeleteRenderJob(job)
            raise RefusedError("render", f"{clip.name}: Resolve queued a job {wrong}", "make a render preset named "
                               "'vfxswap' from any video preset, then run again")  # fmt: skip
    return job


def _wait(project: api.Project, job: str, length: int, name: str, watch: Watch) -> None:
    if not project.StartRendering([job], False):
        raise RefusedError("render", f"{name}: Resolve did not start to render", "look at the Deliver page")
    while project.IsRenderingInProgress():
        status = project.GetRenderJobStatus(job) or {}
        share = (api.number(status.get("CompletionPercentage")) or 0.0) / 100
        if not watch(f"{name}: plate", round(share * length), length):
            project.StopRendering()
            raise RefusedError("cancelled", "cancelled while the plate was rendered")
        time.sleep(_GLANCE)
    status = project.GetRenderJobStatus(job) or {}
    said = api.text(status.get("JobStatus")).lower()
    if said in ("failed", "cancelled"):
        raise RefusedError("render", f"{name}: the render {said}: {api.text(status.get('Error')) or 'no reason given'}",
                           "look at the Deliver page")  # fmt: skip


def _looked_at(folder: str, length: int, clip: Clip) -> sequence.Sequence:
    """The frames that are there, whatever the job said of itself."""
    try:
        found = sequence.scan(folder)
    except BridgeError as error:
        raise RefusedError("render", f"{clip.name}: {error.message}", error.hint) from error
    problems = sequence.check(found, range(found.first, found.last + 1), size=clip.size)
    there = found.last - found.first + 1
    if there != length:
        problems.insert(0, f"{there} frames were rendered, {length} were asked for")
    if problems:
        raise RefusedError("render", f"{clip.name}: {problems[0]}", "look whether the disk is full, then run again")
    return found
