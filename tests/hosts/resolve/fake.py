# ruff: noqa: N802 - the names are Resolve's
"""A DaVinci Resolve whose surface is that of the package fusionscript-stubs: a call that the stub lacks, or that does
not fit it, fails. Its behaviour is written by hand, for what our script does, with the traps that are documented:

- any attribute seems to be there (`hasattr` is always true); `dir` tells the truth;
- an append that overlaps, or goes to a locked track, is dropped silently and gives back an item that is on no track;
- whether an end frame counts in depends on the version; so does whether AddTrack knows an index;
- ImportMedia puts clips into the bin that is current, image sequences come in at the standard rate;
- ReplaceClip forgets what was known of a clip;
- a render takes over hidden settings of the last one (here: sound only) until a preset is loaded; its job says
  Complete whatever is on disk;
- on the free edition a call that only Studio has opens a dialog, and then nothing answers any more;
- saving a project that has no name hangs (here: raises).
"""

from __future__ import annotations

import ast
import copy
import inspect
import itertools
import re
import shutil
import types
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

from . import exchange, light

# ---------------------------------------------------------------------------------------------- the stub


def stub_file() -> Path:
    """Where fusionscript-stubs is installed."""
    found = metadata.distribution("fusionscript-stubs")
    return Path(str(found.locate_file("fusionscript-stubs/fusionscript.pyi")))


OPTIONAL = {"subframe_precision", "Bool"}
"""Arguments that the stub asks for and Resolve's documentation calls optional."""


class Surface:
    """What the stub declares: classes with the signatures of their methods, and the constants of Resolve."""

    def __init__(self) -> None:
        self.methods: dict[str, dict[str, list[inspect.Signature]]] = {}
        self.constants: set[str] = set()
        for node in ast.parse(stub_file().read_text()).body:
            if isinstance(node, ast.ClassDef):
                methods = self.methods.setdefault(node.name, {})
                for item in node.body:
                    if isinstance(item, ast.FunctionDef):
                        methods.setdefault(item.name, []).append(_signature(item))
                    elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                        self.constants.add(item.target.id)


def _signature(node: ast.FunctionDef) -> inspect.Signature:
    kinds, given = inspect.Parameter, node.args
    first_default = len(given.args) - len(given.defaults)
    found = []
    for i, one in enumerate(given.args):
        may_miss = one.arg in OPTIONAL or (one.annotation is not None and "Optional" in ast.unparse(one.annotation))
        default = None if i >= first_default or may_miss else kinds.empty
        found.append(kinds(one.arg, kinds.POSITIONAL_OR_KEYWORD, default=default))
    if given.vararg:
        found.append(kinds(given.vararg.arg, kinds.VAR_POSITIONAL))
    return inspect.Signature(found[1:])


SURFACE = Surface()


class NotInStubError(Exception):
    """The fake offers, or is asked for, what fusionscript-stubs does not declare."""


def strict(cls: type) -> type:
    """A class of the fake: its public methods exist in the stub, and are called as the stub says."""
    declared = SURFACE.methods[cls.__name__]
    for name, value in list(vars(cls).items()):
        if not name[0].isupper() or not isinstance(value, types.FunctionType):
            continue
        if name not in declared:
            raise NotInStubError(f"{cls.__name__}.{name}")
        setattr(cls, name, _checked(value, declared[name], f"{cls.__name__}.{name}"))

    def missing(self: Any, name: str) -> Any:
        if name.startswith("_") or not name[0].isupper():
            raise AttributeError(name)
        if name in declared:
            raise NotImplementedError(f"{cls.__name__}.{name} is not faked")
        return None  # any attribute seems to be there

    def names(self: Any) -> list[str]:
        return [name for name in declared if name in vars(cls) and name not in self.world.lacking]

    cls.__getattr__ = missing  # type: ignore[attr-defined]
    cls.__dir__ = names  # type: ignore[assignment]
    return cls


def _checked(value: Any, declared: list[inspect.Signature], name: str) -> Any:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        problems = []
        for signature in declared:
            try:
                signature.bind(*args, **kwargs)
                break
            except TypeError as error:
                problems.append(str(error))
        else:
            raise TypeError(f"{name}: {problems[0]}")
        self.world.calls.append(name)
        if self.world.dialog or self.world.quit:
            return None
        if name.rpartition(".")[2] in self.world.lacking:
            raise TypeError("'NoneType' object is not callable")
        return value(self, *args, **kwargs)

    return call


# ---------------------------------------------------------------------------------------------- the world


class World:
    """Everything there is, and the traps that are set."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.lacking: set[str] = set()
        self.ids = itertools.count(1)
        self.dialog = self.quit = False
        self.studio = True
        self.version: list[Any] = [20, 1, 0, 5, ""]
        self.end_counts = True
        self.index_known = True
        self.bin_stuck = False
        self.drops_appends = False
        self.refuses_timelines = False
        self.sequence_rate = "24"
        self.source_end_counts = True
        self.takes = True
        self.saves = True
        self.refused: set[str] = set()
        self.render = "ok"
        self.page = "color"
        self.timecode = "01:00:01:00"
        self.film: list[Path] = []
        self.manages_color = False
        self.root = Folder(self, "Master")
        self.folder = self.root
        self.project = Project(self)
        self.resolve = Resolve(self)
        self.saved = 0

    def identity(self) -> str:
        return f"id{next(self.ids):04d}"

    def snapshot(self) -> dict[str, Any]:
        """All that an artist could see; ids of what is gone and came again do not count."""
        return {
            "page": self.page,
            "timecode": self.timecode,
            "timeline": self.project.timeline.name if self.project.timeline else "",
            "folder": self.folder.name,
            "bins": self.root.told(),
            "timelines": [timeline.told() for timeline in self.project.timelines],
            "presets": sorted(self.project.presets),
            "render": copy.deepcopy((self.project.hidden, self.project.format, self.project.mode, self.project.jobs)),
            "settings": dict(self.project.settings),
        }


class Thing:
    """Something of the world with an id."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.uid = world.identity() if hasattr(world, "ids") else ""


@strict
class Folder(Thing):
    def __init__(self, world: World, name: str) -> None:
        super().__init__(world)
        self.name = name
        self.folders: list[Any] = []
        self.clips: list[Any] = []

    def told(self) -> Any:
        return [self.name, [one.told() for one in self.clips], [one.told() for one in self.folders]]

    def GetName(self) -> str:
        return self.name

    def GetSubFolderList(self) -> list[Any]:
        return list(self.folders)

    def GetClipList(self) -> list[Any]:
        return list(self.clips)

    def everywhere(self) -> list[Any]:
        return [self, *(one for folder in self.folders for one in folder.everywhere())]


DEFAULTS = {
    "Type": "Video",
    "FPS": "24",
    "Start TC": "00:00:00:00",
    "PAR": "Square",
    "Alpha mode": "Premultiplied",
    "Input Color Space": "Project - Rec.709 Gamma 2.4",
    "Input Gamma": "",
    "IDT": "Project",
    "Data Level": "Auto",
    "Date Modified": "Mon Jan 1 2024",
}


@strict
class MediaPoolItem(Thing):
    def __init__(self, world: World, path: str, frames: int, **properties: str) -> None:
        super().__init__(world)
        self.fresh(path, frames)
        self.properties.update({name.replace("_", " "): value for name, value in properties.items()})

    def fresh(self, path: str, frames: int) -> None:
        self.name = path.rpartition("/")[2]
        self.properties = {**DEFAULTS, "File Path": path, "Frames": str(frames)}
        self.metadata: dict[str, str] = {}
        self.third: dict[str, str] = {}
        self.markers: dict[Any, Any] = {}
        self.flags: list[str] = []
        self.color = ""

    def told(self) -> Any:
        return [self.name, dict(self.properties), dict(self.metadata), dict(self.third), copy.deepcopy(self.markers),
                list(self.flags), self.color]  # fmt: skip

    @property
    def frames(self) -> int:
        return int(self.properties["Frames"])

    def GetName(self) -> str:
        return self.name

    def SetName(self, name: str) -> bool:
        self.name = name
        return True

    def GetUniqueId(self) -> str:
        return self.uid

    def GetClipProperty(self, propertyName: Any = None) -> Any:
        return self.properties.get(propertyName, "") if propertyName else dict(self.properties)

    def SetClipProperty(self, propertyName: str, propertyValue: Any) -> bool:
        if propertyName not in self.properties or propertyName in ("Type", "File Path", "Frames", "Resolution"):
            return False
        science = self.world.project.settings["colorScienceMode"]
        if propertyName.startswith("Input ") and science != "davinciYRGBColorManagedv2":
            return False
        if propertyName == "IDT" and not science.startswith("aces"):
            return False
        if propertyName in self.world.refused:
            return True  # says so and does not
        self.properties[propertyName] = str(propertyValue)
        return True

    def GetMetadata(self, metadataType: Any = None) -> Any:
        return self.metadata.get(metadataType, "") if metadataType else dict(self.metadata)

    def SetMetadata(self, metadata: dict[str, str]) -> bool:
        self.metadata.update(metadata)
        return True

    def GetThirdPartyMetadata(self, metadataType: Any = None) -> Any:
        return dict(self.third)

    def SetThirdPartyMetadata(self, metadata: dict[str, str]) -> bool:
        self.third.update(metadata)
        return True

    def GetMarkers(self) -> Any:
        return copy.deepcopy(self.markers)

    def AddMarker(self, frameId: Any, color: str, name: str, note: str, duration: Any, customData: Any = None) -> bool:
        return _mark(self.markers, frameId, color, name, note, duration, customData)

    def GetFlagList(self) -> list[str]:
        return list(self.flags)

    def AddFlag(self, color: str) -> bool:
        self.flags.append(color)
        return True

    def GetClipColor(self) -> str:
        return self.color

    def SetClipColor(self, colorName: str) -> bool:
        self.color = colorName
        return True

    def ReplaceClip(self, filePath: str) -> bool:
        found = Path(filePath)
        match = re.fullmatch(r"(.*?)(\d+)(\.exr)", found.name)
        if match is None or not found.is_file():
            return False
        numbers = sorted(
            int(one[2])
            for one in (re.fullmatch(r"(.*?)(\d+)(\.exr)", name.name) for name in found.parent.iterdir())
            if one and one[1] == match[1]
        )
        self.fresh(bracketed(found.parent, match[1], len(match[2]), match[3], numbers[0], numbers[-1]),
                   numbers[-1] - numbers[0] + 1)  # fmt: skip
        self.properties.update({"FPS": self.world.sequence_rate, "Resolution": "960x540"})
        return True


def bracketed(folder: Path, prefix: str, digits: int, suffix: str, first: int, last: int) -> str:
    """A path as Resolve tells that of an image sequence."""
    return f"{folder.as_posix()}/{prefix}[{first:0{digits}d}-{last:0{digits}d}]{suffix}"


def _mark(markers: dict[Any, Any], frame: Any, *told: Any) -> bool:
    if float(frame) in markers:
        return False
    markers[float(frame)] = dict(zip(("color", "name", "note", "duration", "customData"), told, strict=True))
    return True


@strict
class TimelineItem(Thing):
    def __init__(self, world: World, media: Any, start: int, length: int, offset: int, name: str = "") -> None:
        super().__init__(world)
        self.media, self.start, self.length, self.offset = media, start, length, offset
        self.speed, self.comps, self.grade = 1.0, 0, "none"
        self.name = name or (media.name if media else "Text+")
        self.markers: dict[Any, Any] = {}
        self.properties: dict[str, Any] = {"Pan": 0.0, "ZoomX": 1.0, "ZoomY": 1.0, "Opacity": 100.0, "FlipX": False}

    def told(self) -> Any:
        return [self.name, self.start, self.length, self.offset, self.media.name if self.media else None, self.grade,
                copy.deepcopy(self.markers), dict(self.properties)]  # fmt: skip

    def where(self) -> tuple[Any, int]:
        for timeline in self.world.project.timelines:
            for index, track in enumerate(timeline.tracks, 1):
                if self in track["items"]:
                    return timeline, index
        raise AssertionError("an item that is on no track was asked for its place")

    def GetName(self) -> str:
        return self.name

    def GetUniqueId(self) -> str:
        return self.uid

    def GetStart(self, subframe_precision: bool = False) -> float:
        return self.start

    def GetEnd(self, subframe_precision: bool = False) -> float:
        return self.start + self.length

    def GetDuration(self, subframe_precision: bool = False) -> float:
        return self.length

    def GetLeftOffset(self, subframe_precision: bool = False) -> float:
        return round(self.offset / self.speed)

    def GetRightOffset(self, subframe_precision: bool = False) -> float:
        return round((self.media.frames - self.offset) / self.speed) - self.length

    def GetSourceStartFrame(self) -> int:
        return self.offset

    def GetSourceEndFrame(self) -> int:
        return self.offset + round(self.length * self.speed) - (1 if self.world.source_end_counts else 0)

    def GetMediaPoolItem(self) -> Any:
        return self.media

    def GetTrackTypeAndIndex(self) -> Any:
        return ["video", self.where()[1]]

    def GetFusionCompCount(self) -> int:
        return self.comps

    def GetProperty(self, propertyKey: Any = None) -> Any:
        return self.properties.get(propertyKey) if propertyKey else dict(self.properties)

    def SetProperty(self, propertyKey: str, propertyValue: Any) -> bool:
        self.properties[propertyKey] = propertyValue
        return True

    def GetMarkers(self) -> Any:
        return copy.deepcopy(self.markers)

    def AddMarker(self, frameId: Any, color: str, name: str, note: str, duration: Any, customData: Any = None) -> bool:
        return _mark(self.markers, frameId, color, name, note, duration, customData)

    def DeleteMarkerByCustomData(self, customData: str) -> bool:
        gone = [frame for frame, marker in self.markers.items() if marker["customData"] == customData][:1]
        for frame in gone:
            del self.markers[frame]
        return bool(gone)

    def CopyGrades(self, tgtTimelineItems: list[Any]) -> bool:
        for item in tgtTimelineItems:
            item.grade = self.grade
        return True

    def Stabilize(self) -> bool:
        return self.world.resolve.only_in_studio()


@strict
class Timeline(Thing):
    def __init__(self, world: World, name: str, start: int = 86400, tracks: int = 1) -> None:
        super().__init__(world)
        self.name, self.first = name, start
        self.tracks: list[dict[str, Any]] = [self.track() for _ in range(tracks)]
        self.settings = dict(world.project.settings) if hasattr(world, "project") else {}
        self.settings["useCustomSettings"] = "0"
        self.marks: dict[str, Any] = {}
        self.current: Any = None
        self.pool = MediaPoolItem(world, name, 0)

    @staticmethod
    def track() -> dict[str, Any]:
        return {"name": "", "items": [], "locked": False}

    def told(self) -> Any:
        tracks = [[one["name"], one["locked"], [item.told() for item in one["items"]]] for one in self.tracks]
        return [self.name, dict(self.settings), copy.deepcopy(self.marks), tracks]

    def put(self, track: int, item: Any) -> Any:
        self.tracks[track - 1]["items"].append(item)
        self.tracks[track - 1]["items"].sort(key=lambda one: one.start)
        return item

    def GetName(self) -> str:
        return self.name

    def GetUniqueId(self) -> str:
        return self.uid

    def GetStartFrame(self) -> int:
        return self.first

    def GetEndFrame(self) -> int:
        return max((item.start + item.length for track in self.tracks for item in track["items"]), default=self.first)

    def GetTrackCount(self, trackType: str) -> int:
        return len(self.tracks) if trackType == "video" else 0

    def AddTrack(self, trackType: str, newTrackOptions: Any) -> bool:
        index = newTrackOptions["index"] if self.world.index_known else len(self.tracks) + 1
        self.tracks.insert(index - 1, self.track())
        return True

    def DeleteTrack(self, trackType: str, trackIndex: int) -> bool:
        del self.tracks[trackIndex - 1]
        return True

    def GetTrackName(self, trackType: str, trackIndex: int) -> str:
        return self.tracks[trackIndex - 1]["name"] or f"Video {trackIndex}"

    def SetTrackName(self, trackType: str, trackIndex: int, name: str) -> bool:
        self.tracks[trackIndex - 1]["name"] = name
        return True

    def GetIsTrackLocked(self, trackType: str, trackIndex: int) -> bool:
        return bool(self.tracks[trackIndex - 1]["locked"])

    def GetIsTrackEnabled(self, trackType: str, trackIndex: int) -> bool:
        return True

    def GetItemListInTrack(self, trackType: str, index: int) -> list[Any]:
        return list(self.tracks[index - 1]["items"])

    def DeleteClips(self, timelineItems: list[Any], Bool: bool = False) -> bool:
        assert Bool is False, "a ripple delete moves what comes after"
        for track in self.tracks:
            track["items"] = [item for item in track["items"] if item not in timelineItems]
        return True

    def GetCurrentVideoItem(self) -> Any:
        return self.current

    def GetCurrentTimecode(self) -> str:
        return self.world.timecode

    def SetCurrentTimecode(self, timecode: str) -> bool:
        self.world.timecode = timecode
        return True

    def GetMarkInOut(self) -> Any:
        return copy.deepcopy(self.marks)

    def GetSetting(self, settingName: str) -> str:
        return str(self.settings.get(settingName, ""))

    def SetSetting(self, settingName: str, settingValue: str) -> bool:
        if settingName.startswith("color") and (not self.world.takes or self.settings["useCustomSettings"] != "1"):
            return False
        if settingName == "colorAcesODT" and settingValue == "ACEScg - CSC" and self.world.version[0] < 18:
            return False
        self.settings[settingName] = settingValue
        return True

    def Export(self, fileName: str, exportType: Any, exportSubtype: Any) -> bool:
        if (exportType, exportSubtype) != (Resolve.EXPORT_OTIO, Resolve.EXPORT_NONE):
            return False
        exchange.write(self, fileName)
        return True


@strict
class MediaPool(Thing):
    def GetRootFolder(self) -> Any:
        return self.world.root

    def AddSubFolder(self, folder: Any, name: str) -> Any:
        made = Folder(self.world, name)
        folder.folders.append(made)
        if not self.world.bin_stuck:
            self.world.folder = made  # the new bin becomes the current one
        return made

    def GetCurrentFolder(self) -> Any:
        return self.world.folder

    def SetCurrentFolder(self, folder: Any) -> bool:
        if not self.world.bin_stuck:
            self.world.folder = folder
        return True

    def DeleteFolders(self, subfolders: list[Any]) -> bool:
        for folder in self.world.root.everywhere():
            folder.folders = [one for one in folder.folders if one not in subfolders]
        return True

    def ImportMedia(self, clipInfo: list[Any]) -> list[Any]:
        made = []
        for info in clipInfo:
            folder, _, name = info["FilePath"].rpartition("/")
            prefix, digits, suffix = re.fullmatch(r"(.*)%0(\d+)d(.*)", name).groups()  # type: ignore[union-attr]
            first, last = info["StartIndex"], info["EndIndex"]
            if not all(Path(info["FilePath"] % frame).is_file() for frame in range(first, last + 1)):
                return []
            path = bracketed(Path(folder), prefix, int(digits), suffix, first, last)
            item = MediaPoolItem(self.world, path, last - first + 1, FPS=self.world.sequence_rate, Resolution="960x540")
            self.world.folder.clips.append(item)
            made.append(item)
        return made

    def AppendToTimeline(self, clipInfo: list[Any]) -> list[Any]:
        made = []
        for info in clipInfo:
            assert set(info) <= {"mediaPoolItem", "startFrame", "endFrame", "mediaType", "trackIndex", "recordFrame"}
            timeline = self.world.project.timeline
            length = info["endFrame"] - info["startFrame"] + (1 if self.world.end_counts else 0)
            item = TimelineItem(self.world, info["mediaPoolItem"], info["recordFrame"], length, info["startFrame"])
            item.speed = 1.0
            made.append(item)
            if info["trackIndex"] > len(timeline.tracks) or self.world.drops_appends:
                continue
            track = timeline.tracks[info["trackIndex"] - 1]
            ends = item.start + length
            taken = any(one.start < ends and one.start + one.length > item.start for one in track["items"])
            if taken or track["locked"]:
                continue  # dropped, and the item is given back all the same
            timeline.put(info["trackIndex"], item)
        return made

    def CreateTimelineFromClips(self, name: str, clipInfo: list[Any]) -> Any:
        made = Timeline(self.world, name)
        self.world.project.timelines.append(made)
        self.world.project.timeline = made
        at = made.first
        for info in clipInfo:
            length = info["endFrame"] - info["startFrame"] + (1 if self.world.end_counts else 0)
            made.put(1, TimelineItem(self.world, info["mediaPoolItem"], at, length, info["startFrame"]))
            at += length
        self.world.folder.clips.append(made.pool)
        return made

    def DeleteTimelines(self, timeline: list[Any]) -> bool:
        for one in timeline:
            assert one is not self.world.project.timeline, "the timeline that is shown was deleted"
            self.world.project.timelines.remove(one)
            for folder in self.world.root.everywhere():
                folder.clips = [clip for clip in folder.clips if clip is not one.pool]
        return True

    def DeleteClips(self, clips: list[Any]) -> bool:
        for folder in self.world.root.everywhere():
            folder.clips = [clip for clip in folder.clips if clip not in clips]
        return True

    def ImportTimelineFromFile(self, filePath: str, importOptions: Any) -> Any:
        if any(one.name == importOptions["timelineName"] for one in self.world.project.timelines):
            return None
        assert importOptions["importSourceClips"]
        if self.world.refuses_timelines:
            return None
        name = importOptions["timelineName"]
        made = exchange.read(self.world, filePath, name, (Timeline, TimelineItem, MediaPoolItem))
        self.world.folder.clips.append(made.pool)
        self.world.project.timelines.append(made)
        self.world.project.timeline = made
        return made


@strict
class Project(Thing):
    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.name = "Show 1"
        self.settings = {
            "colorScienceMode": "davinciYRGBColorManagedv2",
            "separateColorSpaceAndGamma": "0",
            "colorSpaceInput": "Rec.709 Gamma 2.4",
            "colorSpaceInputGamma": "",
            "colorSpaceOutput": "Rec.709 Gamma 2.4",
            "colorAcesIDT": "No Input Transform",
            "colorAcesODT": "Rec.709",
            "timelineFrameRate": "24",
        }
        self.timelines: list[Any] = []
        self.timeline: Any = None
        self.presets: dict[str, dict[str, Any]] = {"H.264 Master": {}, "Audio Only": {"sound": True}}
        # What was rendered last: sound only.
        self.hidden: dict[str, Any] = {"sound": True, "TargetDir": "/elsewhere"}
        self.format, self.mode = {"format": "mov", "codec": "H264"}, 0
        self.jobs: list[dict[str, Any]] = []
        self.left = 0

    def GetName(self) -> str:
        return self.name

    def GetMediaPool(self) -> Any:
        return MediaPool(self.world)

    def GetTimelineCount(self) -> int:
        return len(self.timelines)

    def GetTimelineByIndex(self, idx: int) -> Any:
        return self.timelines[idx - 1]

    def GetCurrentTimeline(self) -> Any:
        return self.timeline

    def SetCurrentTimeline(self, timeline: Any) -> bool:
        self.timeline = timeline
        self.world.timecode = "01:00:00:00"  # the playhead does not stay
        return True

    def GetSetting(self, settingName: str) -> str:
        return str(self.settings.get(settingName, ""))

    def GetRenderPresetList(self) -> list[Any]:
        return list(self.presets)

    def LoadRenderPreset(self, presetName: str) -> bool:
        if presetName not in self.presets:
            return False
        preset = copy.deepcopy(self.presets[presetName])
        self.format = preset.pop("format", {"format": "mp4", "codec": "H264"})
        self.mode = preset.pop("mode", 1)
        self.hidden = preset
        return True

    def SaveAsNewRenderPreset(self, presetName: str) -> bool:
        if presetName in self.presets:
            return False
        self.presets[presetName] = {**copy.deepcopy(self.hidden), "format": dict(self.format), "mode": self.mode}
        return True

    def DeleteRenderPreset(self, presetName: str) -> bool:
        return self.presets.pop(presetName, None) is not None

    def GetRenderFormats(self) -> dict[str, str]:
        return {"QuickTime": "mov", "EXR": "exr"}

    def GetRenderCodecs(self, renderFormat: str) -> dict[str, str]:
        codecs = {
            "RGB half (DWAA)": "RGBHalfDWAA",
            "RGB half (ZIP)": "RGBHalfZIP",
            "RGB half (No Compression)": "RGBHalf",
            "RGB float (ZIP)": "RGBFloatZIP",
        }
        return codecs if renderFormat == "exr" else {}

    def GetCurrentRenderFormatAndCodec(self) -> dict[str, str]:
        return dict(self.format)

    def SetCurrentRenderFormatAndCodec(self, format: str, codec: str) -> bool:
        if format == "exr" and codec not in self.GetRenderCodecs("exr").values():
            return False
        self.format = {"format": format, "codec": codec}
        return True

    def GetCurrentRenderMode(self) -> int:
        return self.mode

    def SetCurrentRenderMode(self, renderMode: int) -> bool:
        self.mode = renderMode
        return True

    def SetRenderSettings(self, settings: Any) -> bool:
        self.hidden.update(settings)
        return True

    def AddRenderJob(self) -> str:
        job = {"JobId": self.world.identity(), "TargetDir": self.hidden["TargetDir"], "timeline": self.timeline,
               "IsExportVideo": not self.hidden.get("sound"), "settings": dict(self.hidden), **self.format}  # fmt: skip
        self.jobs.append(job)
        return str(job["JobId"])

    def DeleteRenderJob(self, jobId: str) -> bool:
        self.jobs = [job for job in self.jobs if job["JobId"] != jobId]
        return True

    def GetRenderJobList(self) -> list[dict[str, Any]]:
        return copy.copy(self.jobs)

    def StartRendering(self, jobIds: list[str], isInteractiveMode: bool = False) -> bool:
        self.left = 2
        for job in self.jobs:
            if job["JobId"] in jobIds and job["IsExportVideo"] and self.world.render != "failed":
                _write(job, self.world)
        return True

    def StopRendering(self) -> None:
        self.left = 0

    def IsRenderingInProgress(self) -> bool:
        self.left -= 1
        return self.left >= 0

    def GetRenderJobStatus(self, jobId: str) -> dict[str, Any]:
        if self.world.render == "failed":
            return {"JobStatus": "Failed", "Error": "no space"}
        return {"JobStatus": "Complete" if self.left < 0 else "Rendering", "CompletionPercentage": 100 - 40 * self.left}


def _write(job: dict[str, Any], world: World) -> None:
    """The frames of a render, as a film would give them; what is wrong with them is the world's choice."""
    assert (job["format"], job["timeline"].settings["useCustomSettings"]) == ("exr", "1") or not world.takes
    (item,) = job["timeline"].tracks[0]["items"]
    assert item.grade == "none", "the grade was baked in"
    settings = job["settings"]
    assert settings["MarkOut"] - settings["MarkIn"] + 1 == item.length
    count = item.length - (1 if world.render == "short" else 0)
    for index in range(count):
        number = settings["ClipStartFrame"] + index
        target = Path(settings["TargetDir"]) / f"{settings['CustomName']}{number:08d}.exr"
        if world.manages_color:
            light.render(world, job, item.media, world.film[item.offset + index], target)
        else:
            shutil.copy(world.film[item.offset + index], target)
        if index == count - 1 and world.render in ("empty", "cut"):
            data = target.read_bytes()
            target.write_bytes(b"" if world.render == "empty" else data[: len(data) // 2])


@strict
class ProjectManager(Thing):
    def GetCurrentProject(self) -> Any:
        return self.world.project

    def SaveProject(self) -> bool:
        assert self.world.project.name != "Untitled Project", "Resolve hangs"
        self.world.saved += 1
        return self.world.saves


@strict
class Resolve(Thing):
    EXPORT_OTIO, EXPORT_NONE = object(), object()

    def GetProjectManager(self) -> Any:
        return ProjectManager(self.world)

    def GetProductName(self) -> str:
        return "DaVinci Resolve Studio" if self.world.studio else "DaVinci Resolve"

    def GetVersion(self) -> list[Any]:
        return list(self.world.version)

    def GetVersionString(self) -> str:
        return ".".join(str(part) for part in self.world.version[:3])

    def GetCurrentPage(self) -> Any:
        return self.world.page

    def OpenPage(self, pageName: str) -> bool:
        self.world.page = pageName
        return True

    def only_in_studio(self) -> bool:
        self.world.dialog = self.world.dialog or not self.world.studio
        return self.world.studio


_names = Resolve.__dir__
Resolve.__dir__ = lambda self: [*_names(self), "EXPORT_OTIO", "EXPORT_NONE"]  # type: ignore[method-assign]


# ------------------------------------------------------------------------------------------ user interface


class Fusion:
    """Resolve's Fusion object: its UIManager is Studio's."""

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def UIManager(self) -> Any:
        self.world.resolve.only_in_studio()
        return UIManager()


class UIManager:
    """Makes elements of any kind: `ui.Label({...})`, with children in a list."""

    def __getattr__(self, kind: str) -> Any:
        return lambda *given: Element(kind, given)


class Element:
    """Something in a window."""

    def __init__(self, kind: str, given: tuple[Any, ...]) -> None:
        told = {key: value for one in given if isinstance(one, dict) for key, value in one.items()}
        self.kind, self.ID = kind, told.pop("ID", "")
        self.children = [child for one in given if isinstance(one, list) for child in one]
        self.Text, self.PlainText, self.Enabled, self.Visible = told.get("Text", ""), "", True, True
        self.CurrentIndex = 0
        self.choices: list[str] = []

    def AddItems(self, items: list[str]) -> None:
        assert self.kind == "ComboBox"
        self.choices += items

    def all(self) -> dict[str, Any]:
        found = {self.ID: self} if self.ID else {}
        for child in self.children:
            found.update(child.all())
        return found


class _Events:
    def __getattr__(self, name: str) -> Any:
        made = types.SimpleNamespace()
        setattr(self, name, made)
        return made


class Dispatcher:
    """UIDispatcher; what the artist does is a list of (before, button): `before` gets the window's elements."""

    script: ClassVar[list[Any]] = []
    steps: ClassVar[list[Any]] = []

    def __init__(self, manager: UIManager) -> None:
        self.manager = manager

    def AddWindow(self, told: dict[str, Any], children: list[Any]) -> Any:
        self.told, self.items, self.On = told, children[0].all(), _Events()
        self.shown = False
        return self

    def GetItems(self) -> dict[str, Any]:
        return self.items

    def Show(self) -> None:
        self.shown = True

    def Hide(self) -> None:
        self.shown = False

    def RunLoop(self) -> None:
        before, button = self.script.pop(0)
        before(self.items)
        self._press(button)

    def StepLoop(self) -> None:
        if self.steps:
            self._press(self.steps.pop(0))

    def _press(self, button: str) -> None:
        if button == "close":
            getattr(self.On, self.told["ID"]).Close({"who": button})
        elif button:
            getattr(self.On, button).Clicked({"who": button})

    def ExitLoop(self) -> None:
        """Ends RunLoop."""
