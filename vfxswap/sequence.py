"""Frame ranges and image sequences: immutable values over `fileseq`, in every notation that hosts hand over.

A path may say its frame number as `%04d`, `####`, `$F4`, `@@@@`, with a range before the token
(`shot.1001-1048#.exr`, Resolve's `shot.[1001-1048].exr`), as one numbered file, as one file without a number
(the same picture for every frame), or as a folder that holds one EXR sequence.
"""

from __future__ import annotations

import difflib
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from fileseq.exceptions import FileSeqException
from fileseq.frameset import FrameSet

from vfxswap import documents
from vfxswap.errors import PlateError, UsageError

MAX_DIGITS = 32
"""A longer frame number is none."""

MAX_FRAMES = 1_000_000
"""A longer range is a typing mistake: eleven hours at 24 frames a second."""

_RANGE_HINT = "write 1001-1048, 1001-1048x2 or 1001,1003,1010-1020"
_TOKEN_HINT = "write the frame number as ####, %04d or $F4, for example shot.####.exr"

# A minus is a sign only after a separator, and a range never starts inside a version ("shot_v003#" has none).
_RANGE = r"(?:(?:^|(?<=[._,\[]))-)?(?<![vV\d])\d+(?:-{1,2}\d+)?(?:[x:]\d+)?"
_TOKEN = re.compile(
    rf"(?:(?P<range>{_RANGE}(?:,{_RANGE})*)(?=[#@%$]))?"
    r"(?:(?P<hash>#+)|(?P<at>@+)|%(?:0(?P<printf>\d+))?d|\$F(?P<houdini>\d*)(?![A-Za-z]))"
    rf"|\[(?P<bracket>{_RANGE})\]"
)
# A number right before the extension. After `v` it is a version; right after another letter it must have three
# digits ("take2.exr" is no frame 2); a minus counts as a sign only after a separator ("shot-1001" is frame 1001).
_NUMBERED = re.compile(
    r"^(?P<prefix>|.*[._]|.*?[-](?=\d)|.*[A-UW-Za-uw-z](?=\d{3}))(?P<digits>-?\d+)(?P<suffix>\.[^.]+)$"
)


@dataclass(frozen=True)
class FrameRange:
    """Frame numbers in the order given, each once."""

    frames: tuple[int, ...]

    @staticmethod
    def parse(text: str) -> FrameRange:
        """Read `1001-1048`, `1-30x5`, `1-30:5`, `1001,1003,1010-1020`, `-5-5`; spaces may stand for commas.

        Raises:
            UsageError: anything else, part frames, or more than a million frames.
        """
        cleaned = re.sub(r"(?<=\d)\s+(?=\d)", ",", text.strip())
        # To fileseq a bare ":" means stagger, which returns every frame; to everybody else it is a step.
        cleaned = re.sub(r"\s+", "", cleaned).replace(":", "x").strip(",")
        if not cleaned or re.search(r"[^0-9,x-]|[0-9]{19}", cleaned):
            raise UsageError(f"not a frame range: {text[:200]!r}", hint=_RANGE_HINT)
        try:
            frames = tuple(int(frame) for frame in FrameSet(cleaned))
        except (FileSeqException, ValueError) as error:
            raise UsageError(f"not a frame range: {text!r}", hint=_RANGE_HINT) from error
        if len(frames) > MAX_FRAMES:
            raise UsageError(f"{len(frames)} frames in {text!r}, the limit is {MAX_FRAMES}", hint=_RANGE_HINT)
        return FrameRange(frames)

    @staticmethod
    def of(frames: Iterable[int]) -> FrameRange:
        """The range of `frames`, in their order, repetitions dropped."""
        return FrameRange(tuple(dict.fromkeys(int(frame) for frame in frames)))

    @property
    def first(self) -> int:
        """The lowest frame number; UsageError when empty."""
        return min(self._some())

    @property
    def last(self) -> int:
        """The highest frame number; UsageError when empty."""
        return max(self._some())

    def intersect(self, other: FrameRange) -> FrameRange:
        """The frames of this range that are in `other` too, in this range's order."""
        return FrameRange(tuple(frame for frame in self.frames if frame in other))

    def __iter__(self) -> Iterator[int]:
        return iter(self.frames)

    def __len__(self) -> int:
        return len(self.frames)

    def __contains__(self, frame: object) -> bool:
        return frame in self._members

    def __str__(self) -> str:
        """Compact text that `parse` reads back: "1001-1048", "1-29x2,40"; "" when empty."""
        return FrameSet.framesToFrameRange(self.frames, sort=False) if self.frames else ""

    @cached_property
    def _members(self) -> frozenset[int]:
        return frozenset(self.frames)

    def _some(self) -> tuple[int, ...]:
        if not self.frames:
            raise UsageError("the frame range is empty", hint=_RANGE_HINT)
        return self.frames


@dataclass(frozen=True)
class SequencePath:
    """Where the frames of a sequence are.

    Attributes:
        folder: their folder.
        prefix: the file name before the number.
        suffix: the file name after it.
        padding: digits of the number, 1 for unpadded, None where the name has no frame number.
        embedded: the frames that the text itself named, or None.
    """

    folder: Path
    prefix: str
    suffix: str
    padding: int | None
    embedded: FrameRange | None = None

    @staticmethod
    def parse(text: str | os.PathLike[str]) -> SequencePath:
        """Read a pattern, a file or a folder that holds exactly one EXR sequence.

        Raises:
            UsageError: no path, or more than one frame token. PlateError: a folder with no or several sequences.
        """
        given = os.fspath(text)
        if not given.strip():
            raise UsageError("no path given", hint=_TOKEN_HINT)
        path = home_resolved(given)
        problem = documents.path_problem(path)
        if problem:
            raise UsageError(f"{given[:80]!r} is no path: {problem}", hint=_TOKEN_HINT)
        if path.is_dir():
            return _only_sequence(path)
        tokens = list(_TOKEN.finditer(path.name))
        if len(tokens) > 1:
            raise UsageError(f"several frame tokens in {path.name}", hint=_TOKEN_HINT)
        if tokens:
            return _from_token(path, tokens[0])
        if re.search(r"%\s*\d*d", path.name):
            raise UsageError(f"frame token not understood in {path.name}", hint=_TOKEN_HINT)
        return _from_file(path)

    @property
    def name(self) -> str:
        """The stem without frame number and extension: "shot" for shot.%04d.exr, else the folder's name."""
        stem = self.prefix if self.padding is not None else Path(self.prefix).stem
        return stem.rstrip("._- ") or self.folder.resolve().name or "frames"

    @property
    def pattern(self) -> str:
        """The whole path in printf notation."""
        return str(self.folder / self._file_name())

    def path(self, frame: int) -> Path:
        """The file of `frame`; always the same where the name has no number."""
        if self.padding is None:
            return self.folder / self.prefix
        return self.folder / f"{self.prefix}{frame:0{self.padding}d}{self.suffix}"

    def frames_on_disk(self) -> FrameRange:
        """The frames that exist, ascending; of those that the text named, if it named any.

        Raises:
            PlateError: none exist; the hint says what is there instead.
        """
        found = self._scan()
        if self.embedded is not None:
            found = [frame for frame in found if frame in self.embedded]
        if not found:
            raise self._nothing_found()
        return FrameRange(tuple(found))

    def resolve_frames(self, requested: FrameRange | None = None) -> FrameRange:
        """The frames to work on: those requested, else those that the text named, else all on disk.

        Frames that are wanted but missing stay in the range: they are reported one by one.

        Raises:
            PlateError: none of them exist.
        """
        wanted = requested if requested is not None else self.embedded
        if wanted is None:
            return self.frames_on_disk()
        on_disk = FrameRange(tuple(self._scan()))
        if not on_disk:
            raise self._nothing_found()
        if self.padding is None or wanted.intersect(on_disk):
            return wanted
        raise PlateError(
            f"none of the frames {wanted} exist for {self.pattern}", hint=f"on disk are {on_disk}: fix the range"
        )

    def beside(self, name: str) -> SequencePath:
        """The sequence beside this one whose name has `_name` added: shot.%04d.exr -> shot_uv.%04d.exr."""
        stem = self.prefix.rstrip("._- ")
        return replace(self, prefix=f"{stem}{'_' if stem else ''}{name}{self.prefix[len(stem) :] or '.'}")

    def require_token(self) -> SequencePath:
        """This path, if frames can be told apart in it; an output needs that.

        Raises:
            UsageError: the name has no frame number.
        """
        if self.padding is None:
            raise UsageError(f"no frame number in the output {self.pattern}", hint=_TOKEN_HINT)
        return self

    def __str__(self) -> str:
        return self.pattern

    def _file_name(self) -> str:
        if self.padding is None:
            return self.prefix
        return f"{self.prefix}%{f'0{self.padding}' if self.padding > 1 else ''}d{self.suffix}"

    def _scan(self) -> list[int]:
        """The frames on disk, whatever the text named, ascending."""
        if self.padding is None:
            return [1] if self.path(1).exists() else []
        shape = re.compile(re.escape(self.prefix) + r"(-?\d+)" + re.escape(self.suffix))
        matches = (shape.fullmatch(name) for name in _names(self.folder))
        numbers = {int(match[1]): match[0] for match in matches if match and self._fits(match[1])}
        return sorted(numbers)

    def _fits(self, digits: str) -> bool:
        return f"{int(digits):0{self.padding or 1}d}" == digits

    def _nothing_found(self) -> PlateError:
        if not self.folder.is_dir():
            parent = next((p for p in self.folder.resolve().parents if p.is_dir()), Path("/"))
            return PlateError(
                f"no such folder: {self.folder}", path=self.pattern, hint=f"the nearest one that exists is {parent}"
            )
        there = sorted({str(item._file_name()) for item in _sequences(_names(self.folder), self.folder)})
        near = difflib.get_close_matches(self._file_name(), there, n=3, cutoff=0.5) or there[:3]
        hint = f"in that folder: {', '.join(near)}" if near else "the folder is empty"
        wanted = f" for the frames {self.embedded}" if self.embedded is not None else ""
        return PlateError(f"no files match {self._file_name()}{wanted} in {self.folder}", hint=hint)


def home_resolved(text: str) -> Path:
    """`text` as a path, `~` and `~user` resolved; raises UsageError for a user who is not there."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise UsageError(f"no home folder for {text[:80]!r}", hint="write the path without ~") from error


# ------------------------------------------------------------------------------------------ stereo in files


_VIEW = re.compile("%[Vv]")
_HERO_VIEWS = ("left", "main")
_USUAL_VIEWS = (*_HERO_VIEWS, "right")
_SHORT_VIEWS = {"l": "left", "r": "right"}


def has_view_token(text: str) -> bool:
    """True when the path says its view: `%V` the whole name, `%v` its first letter, as in Nuke."""
    return bool(_VIEW.search(text))


def for_view(text: str, view: str) -> str:
    """The path of one view: `shot.%V.####.exr` -> `shot.left.####.exr`."""
    return _VIEW.sub(lambda token: view if token[0] == "%V" else view[:1], text)


def views_on_disk(text: str) -> tuple[str, ...]:
    """The views that a path with a view token has files for, the hero view first.

    A folder in the view's place is a view when it holds what the rest of the path names. One named `left`, `right` or
    `main` is a view in any case, so that an eye without files is an error and not left out.

    Raises:
        PlateError: none.
    """
    parts = home_resolved(text).parts
    at = next(i for i, part in enumerate(parts) if has_view_token(part))
    pattern, known = "", False
    for piece in re.split("(%[Vv])", _TOKEN.sub("\0", parts[at])):
        if has_view_token(piece):
            word = "[A-Za-z][A-Za-z0-9]*?" if piece == "%V" else "[A-Za-z]"
            pattern += word if known else f"(?P<view>{word})"
            known = True
        else:
            pattern += re.escape(piece).replace(re.escape("\0"), r"-?\d+")
    names = (re.fullmatch(pattern, name) for name in _names(Path(*parts[:at])))
    there = {match["view"] for match in names if match}
    if _VIEW.findall(parts[at])[0] == "%v":
        there = {_SHORT_VIEWS.get(view, view) for view in there}
    found = sorted(view for view in there if view.lower() in _USUAL_VIEWS or _has_files(for_view(text, view)))
    if not found:
        raise PlateError(f"no view found for {text}", hint="%V stands for a view's name, such as left or right")
    return tuple(sorted(found, key=lambda view: view.lower() not in _HERO_VIEWS))


def _has_files(text: str) -> bool:
    try:
        return len(SequencePath.parse(text).frames_on_disk()) > 0
    except PlateError:
        return False


def _names(folder: Path) -> list[str]:
    """The visible file names of `folder`; hidden ones are temporary files of writers and of the system."""
    try:
        return sorted(item.name for item in folder.iterdir() if not item.name.startswith("."))
    except OSError:
        return []


def _from_token(path: Path, token: re.Match[str]) -> SequencePath:
    named = token["range"] or token["bracket"]
    if token["hash"]:
        padding = 4 if len(token["hash"]) == 1 else len(token["hash"])
    elif token["at"]:
        padding = len(token["at"])
    elif token["bracket"]:
        first = re.match(r"-?\d+", token["bracket"])
        padding = len(first[0]) if first else 1
    else:
        padding = min(int((token["printf"] or token["houdini"] or "1")[-4:]), MAX_DIGITS + 1)
    if padding > MAX_DIGITS:
        raise UsageError(f"a frame number of more than {MAX_DIGITS} digits in {path.name[:80]}", hint=_TOKEN_HINT)
    return SequencePath(
        folder=path.parent,
        prefix=path.name[: token.start()],
        suffix=path.name[token.end() :],
        padding=max(1, padding),
        embedded=FrameRange.parse(named) if named else None,
    )


def _from_file(path: Path) -> SequencePath:
    match = _NUMBERED.match(path.name)
    if match is None:
        return SequencePath(path.parent, path.name, "", None)
    digits = match["digits"]
    return SequencePath(path.parent, match["prefix"], match["suffix"], len(digits), FrameRange.of([int(digits)]))


def _sequences(names: Iterable[str], folder: Path) -> list[SequencePath]:
    """`names` gathered into sequences; padding is the shortest number's length."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    singles = []
    for name in names:
        match = _NUMBERED.match(name)
        if match is None:
            singles.append(SequencePath(folder, name, "", None))
        else:
            groups[match["prefix"], match["suffix"]].append(match["digits"])
    return singles + [
        SequencePath(folder, prefix, suffix, min(map(len, digits))) for (prefix, suffix), digits in groups.items()
    ]


def _only_sequence(folder: Path) -> SequencePath:
    if not os.access(folder, os.R_OK | os.X_OK):
        raise PlateError("no permission to read the folder", path=folder, hint="fix its permissions")
    names = _names(folder)
    found = _sequences([name for name in names if name.lower().endswith(".exr")], folder)
    if len(found) == 1:
        return found[0]
    if not found:
        kinds = sorted({Path(name).suffix for name in names if Path(name).suffix})[:6]
        hint = f"it holds {', '.join(kinds)} files: convert the plate to EXR" if kinds else "name the plate's folder"
        raise PlateError(f"no EXR files in the folder {folder}", hint=hint)
    there = ", ".join(sorted(item._file_name() for item in found)[:8])
    raise PlateError(f"{len(found)} sequences in the folder {folder}", hint=f"name one of: {there}")
