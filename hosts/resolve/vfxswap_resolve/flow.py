"""The work: plate, job, worker, result on the timeline; for one clip or many."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Callable

import vfxswap_bridge as bridge
from vfxswap_bridge import BridgeError, Handle
from vfxswap_resolve import api, clips, color, exr, place, records, render, results, sequence, state, versions
from vfxswap_resolve.api import RefusedError
from vfxswap_resolve.clips import Clip
from vfxswap_resolve.front import Front
from vfxswap_resolve.records import Record
from vfxswap_resolve.results import Placed
from vfxswap_resolve.settings import Settings

_GLANCE = 0.2
_UNSAVED = "Untitled Project"


@dataclass(frozen=True)
class Report:
    """How it went with one clip.

    Attributes:
        name: the clip's.
        refused: why nothing was done; None where it was.
        version: on the timeline now; 0 without.
        warnings: what an artist should look at.
    """

    name: str
    refused: BridgeError | None = None
    version: int = 0
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.refused is not None:
            kind = self.refused.name if isinstance(self.refused, RefusedError) else "error"
            return f"{self.name}: {kind}: {self.refused}"
        return f"{self.name}: version {self.version} is on the timeline"


class Flow:
    """One run of the script.

    Args:
        resolve: the program.
        chosen: what is to be done.
        front: speaks with the artist.
        start: starts a job's worker; the bridge's without.
    """

    def __init__(
        self,
        resolve: api.Resolve,
        chosen: Settings,
        front: Front,
        start: Callable[[str], Handle] | None = None,
    ) -> None:
        self.resolve, self.chosen, self.front = resolve, chosen, front
        self.answers = dict(chosen.answers)
        self._start = start
        self._several: bridge.WarmWorker | None = None
        self.free = api.free_edition(resolve)
        self.project, self.timeline = _opened(resolve)
        self.science = color.of_project(self.project)

    def swap(self) -> list[Report]:
        """Swap every clip of the scope, one after the other; each is on the timeline and saved before the next.

        Raises:
            RefusedError: nothing could be chosen, or the one clip that was chosen is refused.
            BridgeError: the same, for reasons that are the worker's.
        """
        self.chosen.check()
        there = results.on(self.timeline)
        found = clips.chosen(self.timeline, self.chosen.scope, there)
        reports = []
        with state.kept(self.resolve, self.project), self._warm(many=len(found) > 1):
            for item, start, end in found:
                name = api.text(item.GetName())
                try:
                    clip = clips.read(item, start, end, timeline=self.timeline, free=self.free)
                    reports.append(self._one(clip, _before(clip, there)))
                except BridgeError as error:
                    if len(found) == 1 or _cancelled(error):
                        raise
                    reports.append(Report(name, refused=error))
                self.front.tell(str(reports[-1]))
                for warning in reports[-1].warnings:
                    self.front.tell("warning: " + warning)
        return reports

    def remove(self) -> list[Report]:
        """Take the results of the scope's clips off the timeline; their files stay."""
        there = results.on(self.timeline)
        found = clips.chosen(self.timeline, self.chosen.scope, there)
        leaving = [(item, one) for item, start, end in found for one in there if _of(one, item, start, end)]
        if not leaving:
            raise RefusedError("nothing", "no result is on the timeline for that", "swap first")
        place.unlocked(self.timeline, [one for _, one in leaving])
        with state.kept(self.resolve, self.project):
            for _, one in leaving:
                place.remove(self.project, self.timeline, one.item)
            self._save()
        return [Report(api.text(item.GetName())) for item, _ in leaving]

    # ---------------------------------------------------------------------------------------------- one clip

    def _one(self, clip: Clip, before: list[Placed]) -> Report:
        chosen = self.chosen
        place.ready(self.timeline, clip, before)
        base = records.folder_of(chosen.folder, self.project.GetName(), clip.name, clip.identity)
        for one in before:
            # On a duplicated timeline the clip has another id; versions are counted on all the same.
            if os.path.dirname(one.record.folder) == os.path.dirname(base):
                base = one.record.folder
        head, tail = clip.handles(chosen.handles)
        again = before[0] if len(before) == 1 and self._stays(clip, before[0]) else None
        if again is not None:
            # The new version goes where the old one is: it begins and ends where that does.
            known = again.record
            head, tail = known.head, known.last - known.first + 1 - known.head - clip.length
        space = color.of_clip(clip.media, self.science, clip.name, self._ask)
        files, output = self._plate(clip, base, head, tail, space)
        version = records.version_for(base, files.pattern, f"{files.first}-{files.last}")
        folder = records.make(f"{base}/v{version:03d}")
        path = f"{folder}/job.json"
        bridge.write(path, self._fields(clip, files, output.space if output else space, folder))
        outcome = self._work(path, clip.name)
        made = replace(files, folder=folder, prefix="swap.", digits=4, suffix=".exr")
        problems = sequence.check(made, range(made.first, made.last + 1), size=self._size(files))
        if problems:
            raise RefusedError("worker", f"{clip.name}: {problems[0]}", "look into " + path + ".log")
        record = Record(
            job=bridge.sha256(path)[:12], plate=clip.identity, folder=base, version=version, start=clip.start,
            end=clip.end, source=clip.source, head=head, first=made.first, last=made.last, part=clip.part,
        )  # fmt: skip
        result = place.Result(made, record, output.back if output else None)
        state.show(self.project, self.timeline)
        if again is not None:
            warnings = versions.version_up(clip, again, result, self._save)
        else:
            warnings = place.place(self.project, self.timeline, clip, result, self._save, before)
        records.remember(f"{folder}/{records.PLACED}", {"record": record.text(), "timeline": self.timeline.GetName()})
        return Report(clip.name, version=version, warnings=(*outcome, *warnings))

    def _stays(self, clip: Clip, there: Placed) -> bool:
        """Whether a new version may take the place of one that is there: nobody moved it, nobody else shows it."""
        media = there.item.GetMediaPoolItem()
        return (
            there.record.plate == clip.identity
            and there.shows(clip.start, clip.end, clip.source)
            and media is not None
            and not place.shown(self.project, media, besides=there.item)
        )

    def _ask(self, key: str, question: str) -> str:
        """The answer of this run's form, of an earlier run, or of the artist; remembered."""
        found = self.chosen.color_space or self.answers.get(key, "") or self.front.question(key, question)
        if found:
            self.answers[key] = found
        return found

    def _plate(
        self, clip: Clip, base: str, head: int, tail: int, space: str
    ) -> tuple[sequence.Sequence, color.Output | None]:
        """The clip's own files where they are an EXR sequence, else a render of it; None: its own files."""
        first, length = clip.source - head, head + clip.length + tail
        files = clip.files
        if files is not None and files.suffix.lower() == ".exr" and "%" not in files.folder + files.prefix:
            files = replace(files, first=files.first + first, last=files.first + first + length - 1)
            problems = sequence.check(files, range(files.first, files.last + 1))
            if problems:
                raise RefusedError("plate", f"{clip.name}: {problems[0]}", "relink or restore the frames")
            return files, None
        facts: dict[str, Any] = {
            "media": api.text(clip.media.GetClipProperty("File Path")),
            "changed": api.text(clip.media.GetClipProperty("Date Modified")),
            "frames": [first, length, head],
            "size": list(clip.size) if clip.size else None,
            "space": space,
            "science": self.science.mode,
        }
        folder = f"{base}/plate"
        known = records.recall(f"{base}/plate.json")
        if isinstance(known, dict) and known.get("facts") == facts:
            kept = sequence.Sequence(**known["files"])
            if not sequence.check(kept, range(kept.first, kept.last + 1), size=clip.size):
                return kept, color.Output(known["space"], (), _pairs(known["back"]))
        shutil.rmtree(folder, ignore_errors=True)
        records.make(folder)
        try:
            files, output = render.render(
                self.project, clip, folder, head=head, tail=tail, science=self.science, space=space,
                watch=self.front.watch,
            )  # fmt: skip
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)  # half a plate helps nobody, and the folder is ours
            raise
        told = {"facts": facts, "files": files.__dict__, "space": output.space, "back": output.back}
        records.remember(f"{base}/plate.json", told)
        return files, output

    def _fields(self, clip: Clip, files: sequence.Sequence, space: str, folder: str) -> dict[str, Any]:
        chosen = self.chosen
        filled = {
            "project": records.safe(self.project.GetName()),
            "timeline": records.safe(self.timeline.GetName()),
            "clip": records.safe(clip.name),
        }
        shot = chosen.shot
        for name, value in filled.items():
            shot = shot.replace("{" + name + "}", value)
        return {
            "host": "resolve",
            "host_version": api.text(self.resolve.GetVersionString()),
            "shot": shot,
            "plate": files.pattern,
            "frames": f"{files.first}-{files.last}",
            "face": chosen.face or "0",
            "color_config": chosen.color_config or color.CONFIG,
            "color_space": space,
            "model": _absolute(chosen.model),
            "consents": [_absolute(one) for one in chosen.consents],
            "keyring": _absolute(chosen.keyring) if chosen.keyring else None,
            "output": f"{folder}/swap.%04d.exr",
            "layers": "comp",
            "device": chosen.device,
            "parameters": dict(chosen.parameters),
        }

    def _work(self, path: str, name: str) -> tuple[str, ...]:
        """Let the worker do a job; its warnings."""
        handle = self._start(path) if self._start is not None else self._worker(path)
        try:
            while handle.running:
                going_on = self.front.watch(f"{name}: {handle.stage or 'starting'}", handle.done, handle.total)
                # The script outlives Resolve; its worker must not.
                if not going_on or self.resolve.GetProductName() is None:
                    handle.cancel()
                handle.wait(_GLANCE)
        except BaseException:
            handle.cancel()
            raise
        outcome = handle.wait()
        if outcome is None or outcome.ok:
            return outcome.warnings if outcome else ()
        if outcome.cancelled:
            raise RefusedError("cancelled", f"{name}: cancelled", outcome.hint)
        text = outcome.message
        if outcome.failed:
            frame, why = outcome.failed[0]
            text = f"{len(outcome.failed)} frames failed, the first {frame}: {why}"
        raise RefusedError("worker", f"{name}: {text}", outcome.hint or f"look into {path}.log")

    @contextlib.contextmanager
    def _warm(self, *, many: bool) -> Iterator[None]:
        """One worker for all clips, which keeps its networks loaded; for a single clip one that ends with it."""
        warm = bridge.WarmWorker() if many else None
        self._several = warm
        try:
            yield
        finally:
            self._several = None
            if warm is not None:
                warm.close()

    def _worker(self, path: str) -> Handle:
        handle = self._several.submit(path) if self._several is not None else None
        return handle or bridge.start(path)

    def _size(self, files: sequence.Sequence) -> tuple[int, int]:
        header = exr.read(files.path(files.first))
        return header.width, header.height

    def _save(self) -> None:
        if not self.resolve.GetProjectManager().SaveProject():
            raise RefusedError("save", "Resolve did not save the project", "save it by hand, then run again")


def _opened(resolve: api.Resolve) -> tuple[api.Project, api.Timeline]:
    project = resolve.GetProjectManager().GetCurrentProject()
    if project is None:
        raise RefusedError("nothing", "no project is open", "open one")
    if api.text(project.GetName()) in ("", _UNSAVED):
        raise RefusedError("unsaved", "the project was never saved", "save it under a name")
    timeline = project.GetCurrentTimeline()
    if timeline is None:
        raise RefusedError("nothing", "no timeline is open", "open one")
    return project, timeline


def _of(there: Placed, item: api.TimelineItem, start: int, end: int) -> bool:
    """Whether a result is of an item's frames from one record frame to before another."""
    if there.plate is None or there.plate.GetUniqueId() != item.GetUniqueId():
        return False
    first, last = there.part() or (start, end)
    return first < end and start < last


def _before(clip: Clip, there: list[Placed]) -> list[Placed]:
    """The results that a new one of a clip stands for."""
    return [one for one in there if _of(one, clip.item, clip.start, clip.end)]


def _pairs(found: Any) -> tuple[tuple[tuple[str, str], ...], ...]:
    return tuple(tuple((name, value) for name, value in one) for one in found)


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path)).replace("\\", "/")


def _cancelled(error: BridgeError) -> bool:
    return isinstance(error, RefusedError) and error.name == "cancelled"


def remembered(chosen: Settings, flow: Flow) -> Settings:
    """The settings with the answers that were given."""
    return replace(chosen, answers=flow.answers)
