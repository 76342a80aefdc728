"""What a faceset is built from: plates, each with settings of its own, and the hashes that tell them apart.

On the command line `PLATE[,KEY[=VALUE]]...`: a pattern, a folder or a file, and what of it differs from the rest.

    "shots/a.####.exr,colorspace=ARRI LogC4,frames=1001-1040"
    "pictures/,stills"
    "a.####.exr,matte=roto/a.####.exr:face"
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from vfxswap import align, infer, roto
from vfxswap.color import ColorConfig
from vfxswap.errors import PlateError, UsageError
from vfxswap.matte_input import MatteInput
from vfxswap.plate import Plate, open_plate
from vfxswap.sequence import FrameRange, SequencePath

METHOD: Final = "3"
"""Of cutting crops. A change that gives other pixels or landmarks gets another number, so that crops are made again."""

_FLAGS = ("stills", "shot")
_TEXTS = ("frames", "colorspace", "face", "view", "part")
_MATTE = "matte"
_SPLIT = re.compile(rf",\s*(?=(?:{'|'.join((*_FLAGS, *_TEXTS, _MATTE))})\s*(?:=|,|$))")
_GRAMMAR = "write PLATE[,KEY[=VALUE]]..., for example pictures/,stills or a.####.exr,colorspace=ACEScg"
_ROLES = ("detector", "landmarks", "identity", "person")


@dataclass(frozen=True, eq=False)
class Footage:
    """A plate of one performer.

    Attributes:
        plate: its frames, in a colour space that is settled.
        stills: the frames are unrelated pictures: nothing is followed or smoothed, each has its own exposure.
        face: which face (`--face`); empty for the most prominent one.
        only: the frames of a shot that are cut out; it is tracked, and its exposure taken, as a whole all the same.
            None for all.
        mattes: an artist's, of this plate: garbage mattes say where the face is, holdouts what is in front of it.
    """

    plate: Plate
    stills: bool = False
    face: str = ""
    only: frozenset[int] | None = None
    mattes: tuple[MatteInput, ...] = ()

    def settings(self, *, size: int) -> dict[str, str]:
        """Everything but the files' content that a crop's pixels and landmarks depend on; no paths."""
        plate = self.plate
        networks = {role: infer.catalog()[role].sha256[:16] for role in _ROLES}
        shaping = {"mattes": " ".join(str(replace(one, pattern="matte.exr")) for one in self.mattes)}
        return (shaping if self.mattes else {}) | {
            "method": METHOD,
            "crop": f"{size} {align.TEMPLATE} {align.FACESET_MARGIN}",
            "config": json.dumps(plate.config.record() | dict(plate.config.context), sort_keys=True),
            "colorspace": plate.space,
            "view": plate.view_name,
            "part": plate.part or "",
            "stills": str(self.stills).lower(),
            "face": self.face,
            "networks": json.dumps(networks, sort_keys=True),
        }


@dataclass(frozen=True)
class Content:
    """The sha256 of a plate's files, by frame; those that cannot be read are not in it."""

    files: Mapping[int, str]
    mattes: Mapping[int, str] = field(default_factory=dict)
    """Of the mattes' files of a frame together; empty without mattes."""

    @staticmethod
    def of(footage: Footage, *, step: Callable[[], None] = lambda: None) -> Content:
        """Read every file of the plate and of its mattes once; `step` is called after each frame."""
        plate = footage.plate
        files: dict[int, str] = {}
        mattes: dict[int, str] = {}
        for frame in plate.frames:
            try:
                files[frame] = _file_hash(plate.sequence.path(frame))
                if footage.mattes:
                    mattes[frame] = _mattes_hash(footage, frame)
            except (OSError, PlateError):
                continue  # whoever looks at this frame says what is wrong with it
            finally:
                step()
        return Content(files, mattes)

    def key(self, settings: Mapping[str, str], frame: int) -> str:
        """Hash of all that a crop depends on: of a still its own file, of a shot every frame of it; and its mattes."""
        files = {frame: self.files.get(frame, "")} if settings["stills"] == "true" else self.files
        mattes = {"mattes": self.mattes.get(frame, "")} if self.mattes else {}
        plain = {"settings": dict(settings), "frame": frame, "files": {str(f): h for f, h in files.items()}}
        return _hash(plain | mattes)

    def plate_key(self, settings: Mapping[str, str]) -> str:
        """Hash of a whole plate, and its mattes, under its settings."""
        mattes = {"mattes": {str(f): h for f, h in self.mattes.items()}} if self.mattes else {}
        return _hash({"settings": dict(settings), "files": {str(f): h for f, h in self.files.items()}} | mattes)

    def track_key(self, settings: Mapping[str, str]) -> str:
        """Hash of what a plate's track depends on: not its mattes."""
        plain = {name: value for name, value in settings.items() if name != "mattes"}
        return replace(self, mattes={}).plate_key(plain)


def _file_hash(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _mattes_hash(footage: Footage, frame: int) -> str:
    view = footage.plate.view_name
    paths = [path for one in footage.mattes for path in roto.files(one, frame=frame, view=view)]
    return _hash([_file_hash(path) for path in paths])


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


# --------------------------------------------------------------------------------------------- references


def open_footage(
    text: str,
    *,
    config: ColorConfig,
    stills: bool = False,
    frames: str = "",
    colorspace: str = "",
    face: str = "",
    view: str = "",
    part: str = "",
    mattes: Sequence[str] = (),
) -> tuple[Footage, ...]:
    """Open what one argument of the command line names; what the argument itself says goes before the rest.

    Args:
        text: `PLATE[,KEY[=VALUE]]...`. With stills a folder stands for every EXR in it, whatever their names.
        config: OCIO config.
        stills: as in `Footage`.
        frames: the frames wanted, empty for all.
        colorspace: the files' space, empty for what they say.
        face: as in `Footage`.
        view: which picture of a stereo file.
        part: which picture of a multi-part file.
        mattes: an artist's (`matte_input`), used where the argument names none itself.

    Raises:
        UsageError, JobError: a notation that cannot be read. PlateError, ColorError: as `open_plate`.
    """
    path, said = parse(text)
    common: dict[str, Any] = {
        "frames": frames, "colorspace": colorspace, "face": face, "view": view, "part": part, "stills": stills,
        _MATTE: list(mattes),
    }  # fmt: skip
    chosen = common | said
    texts = _pictures(Path(path).expanduser()) if chosen["stills"] and Path(path).expanduser().is_dir() else [path]
    return tuple(
        Footage(
            plate=open_plate(
                one,
                frames=FrameRange.parse(chosen["frames"]) if chosen["frames"] else None,
                config=config,
                color_space=chosen["colorspace"] or None,
                view=chosen["view"] or None,
                part=chosen["part"] or None,
            ),
            stills=chosen["stills"],
            face=chosen["face"],
            mattes=tuple(MatteInput.parse(one) for one in chosen[_MATTE]),
        )
        for one in texts
    )


def parse(text: str) -> tuple[str, dict[str, Any]]:
    """The path of `PLATE[,KEY[=VALUE]]...` and what it says; raises UsageError."""
    path, *words = _SPLIT.split(text)
    said: dict[str, Any] = {}
    for word in words:
        key, equals, value = (part.strip() for part in word.partition("="))
        if key == _MATTE and value:
            said.setdefault(_MATTE, []).append(value)
            continue
        name = "stills" if key in _FLAGS else key
        if name in said or bool(equals) == (key in _FLAGS) or (equals and not value):
            raise UsageError(f"{word!r} in {text!r}", hint=_GRAMMAR)
        said[name] = key == "stills" if key in _FLAGS else value
    if not path.strip():
        raise UsageError(f"no path in {text!r}", hint=_GRAMMAR)
    return path, said


def _pictures(folder: Path) -> list[str]:
    """The EXR files of a folder as patterns: numbered ones of a name together, others each by itself."""
    names = sorted(item.name for item in folder.iterdir() if item.suffix.lower() == ".exr" and item.name[0] != ".")
    if not names:
        return [str(folder)]  # opening it says what is wrong
    groups: dict[tuple[str, str], list[SequencePath]] = defaultdict(list)
    found: list[str] = []
    for name in names:
        path = SequencePath.parse(folder / name)
        if path.padding is None:
            found.append(str(folder / name))
        else:
            groups[path.prefix, path.suffix].append(path)
    for paths in groups.values():
        shortest = min(paths, key=lambda path: path.padding or 0)
        found.append(replace(shortest, embedded=None).pattern)
    return sorted(found)


def crop_name(plate: Plate, *, number: int, frame: int) -> str:
    """The name of a crop: the plate's name and number in the faceset, and the frame."""
    return f"{plate.sequence.name or 'plate'}-{number:02d}.{frame:06d}"


def plate_number(name: str) -> int:
    """The number of the plate in the name of a crop, 0 where there is none."""
    number = name.rpartition(".")[0].rpartition("-")[2]
    return int(number) if number.isdigit() else 0
