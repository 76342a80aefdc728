r"""One artist's matte as text: `SEQ[:CHANNEL][,KEY[=VALUE]]...`, the notation of `--matte` and of job files.

    roto/hand.####.exr:hand.A,holdout,grow=1.5,feather=4
    C:\shots\ids.1001-1048#.exr,crypto=CryptoObject,object=/set/lamp*,holdout

The path ends with the first `.exr` that is followed by a colon, a comma or nothing, so that a path may hold
commas, colons and drive letters. A path without `.exr` (a folder) ends at the first comma that a word follows.
After the path a backslash takes a comma or a backslash literally: `object=a\,b`.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, get_args

from vfxswap.errors import JobError

Kind = Literal["garbage", "holdout"]

MAX_PIXELS: Final = 1000.0
"""The farthest an edge is moved or softened."""

_FLAGS = (*get_args(Kind), "invert")
_LENGTHS = ("grow", "erode", "feather")
_TEXTS = ("object", "crypto")
_KEYS = (*_FLAGS, *_LENGTHS, *_TEXTS)

_EXR = re.compile(r".*?\.exr(?=\s*(?:[:,]|$))", re.IGNORECASE | re.DOTALL)
_WORD = re.compile(r",\s*[A-Za-z_-]+\s*(?==|,|$)")
# A channel never starts with a digit (that colon is a range's step) and a drive letter is no path of its own.
_CHANNEL = re.compile(r"(?<=..):(?=\s*(?:[^\W\d][^/\\]*)?$)", re.DOTALL)
_PIECE = re.compile(r"((?:[^\\,]|\\.|\\$)*)(?:,|$)", re.DOTALL)
_GRAMMAR = "write SEQ[:CHANNEL][,KEY[=VALUE]]..., for example hand.####.exr:A,holdout,grow=2"


@dataclass(frozen=True)
class MatteInput:
    """A matte that an artist gives, and what is done to it.

    Attributes:
        pattern: the EXR sequence, a folder that holds one, or one file without a number for every frame.
        channel: its channel by name; empty: A, else the only channel, else R (see `roto.read`).
        objects: Cryptomatte objects, whose coverage is added up; wildcards and `<hex id>` are understood.
        layer: which Cryptomatte; empty: the only one, or the one whose manifest knows the objects.
        kind: `garbage` limits the face to the matte, `holdout` lies in front of the face.
        invert: 1 - coverage, before anything else is done to it.
        grow: plate pixels that the edge moves outwards; negative: inwards.
        feather: width of the soft edge in plate pixels, half of it on either side.

    Raises:
        JobError: fields that contradict each other or that the notation cannot say.
    """

    pattern: str
    channel: str = ""
    objects: tuple[str, ...] = ()
    layer: str = ""
    kind: Kind = "garbage"
    invert: bool = False
    grow: float = 0.0
    feather: float = 0.0

    def __post_init__(self) -> None:
        if not self.pattern.strip():
            raise JobError("a matte without a path", hint=_GRAMMAR)
        if self.kind not in get_args(Kind):
            raise JobError(f"matte kind is {self.kind!r}", hint="garbage or holdout")
        if self.channel and self.objects:
            raise JobError(
                f"channel {self.channel!r} and Cryptomatte objects in one matte {self.pattern}",
                hint="drop the channel, or give two mattes",
            )
        if self.layer and not self.objects:
            raise JobError(f"crypto={self.layer} without an object in {self.pattern}", hint="add object=NAME")
        for key, value, low in (("grow", self.grow, -MAX_PIXELS), ("feather", self.feather, 0.0)):
            if not low <= value <= MAX_PIXELS:  # NaN too
                allowed = f"{low:g} to {MAX_PIXELS:g} pixels are allowed"
                raise JobError(f"{key} is {value:g} in the matte {self.pattern}", hint=allowed)
        if _read(str(self)) != self._fields():
            raise JobError(
                f"the matte {self.pattern!r} cannot be written as text", hint="rename the file or the object"
            )

    @staticmethod
    def parse(text: str) -> MatteInput:
        """Read the notation.

        Raises:
            JobError: anything else, with what would be right.
        """
        return MatteInput(**_read(text))

    def anchored(self, folder: Path) -> MatteInput:
        """The same matte, a relative path taken from `folder`."""
        return replace(self, pattern=str(folder / self.pattern))

    def __str__(self) -> str:
        """The shortest text that `parse` reads back."""
        pieces = [self.pattern + (f":{_escaped(self.channel)}" if self.channel else "")]
        pieces += [self.kind] if self.kind != "garbage" else []
        pieces += ["invert"] if self.invert else []
        pieces += [f"crypto={_escaped(self.layer)}"] if self.layer else []
        pieces += [f"object={_escaped(name)}" for name in self.objects]
        if self.grow:
            pieces.append(f"{'grow' if self.grow > 0 else 'erode'}={_number(abs(self.grow))}")
        pieces += [f"feather={_number(self.feather)}"] if self.feather else []
        return ",".join(pieces)

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def _read(text: str) -> dict[str, Any]:
    """The fields that `text` says; what they mean together is not looked at."""
    pattern, channel, options = _split(text)
    fields: dict[str, Any] = {"pattern": pattern, "channel": channel, "objects": (), "layer": "", "kind": "garbage"}
    fields |= {"invert": False, "grow": 0.0, "feather": 0.0}
    given: set[str] = set()
    for option in options:
        key, _, value = (part.strip() for part in option.partition("="))
        key = key.lower()
        _check_key(key, has_value="=" in option, value=value, text=text)
        # What may not be said twice: both kinds say the same thing, and so do grow and erode.
        slot = {"garbage": "kind", "holdout": "kind", "erode": "grow", "crypto": "layer"}.get(key, key)
        if slot in given and key != "object":
            raise JobError(f"{key} contradicts or repeats an earlier key in the matte {text!r}", hint="say it once")
        given.add(slot)
        if key == "object":
            fields["objects"] += (value,)
        elif key in _LENGTHS:
            pixels = _pixels(key, value, text)
            fields[slot] = -pixels if key == "erode" and pixels else pixels
        else:
            fields[slot] = {"kind": key, "layer": value, "invert": True}[slot]
    return fields


def _split(text: str) -> tuple[str, str, Iterator[str]]:
    """(pattern, channel, options) of the notation, backslashes resolved."""
    if found := _EXR.match(text):
        path, rest = found[0], text[found.end() :].lstrip()
    else:
        word = _WORD.search(text)
        path, rest = (text[: word.start()], text[word.start() :]) if word else (text, "")
        if colon := _CHANNEL.search(path):
            path, rest = path[: colon.start()], path[colon.start() :] + rest
    pieces = _pieces(rest)
    head = next(pieces)
    channel = head.removeprefix(":").strip()
    if head.startswith(":") and not channel:
        raise JobError(f"no channel after the colon in the matte {text!r}", hint=_GRAMMAR)
    return path.strip(), channel, pieces


def _pieces(rest: str) -> Iterator[str]:
    """`rest` at its commas, without the backslashes that protect some."""
    at = 0
    while (match := _PIECE.match(rest, at)) is not None:
        yield re.sub(r"\\([\\,])", r"\1", match[1])
        if match.end() == match.end(1):  # no comma: the end
            return
        at = match.end()


def _check_key(key: str, *, has_value: bool, value: str, text: str) -> None:
    if key not in _KEYS:
        near = difflib.get_close_matches(key, _KEYS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else "allowed are " + ", ".join(_KEYS)
        raise JobError(f"unknown key {key!r} in the matte {text!r}", hint=hint)
    if key in _FLAGS and has_value:
        raise JobError(f"{key} takes no value in the matte {text!r}", hint=f"write {key} alone, or leave it out")
    if key not in _FLAGS and not value:
        unit = "PX" if key in _LENGTHS else "NAME"
        raise JobError(f"{key} needs a value in the matte {text!r}", hint=f"write {key}={unit}")


def _pixels(key: str, value: str, text: str) -> float:
    try:
        pixels = float(value.removesuffix("px"))
    except ValueError:
        pixels = math.nan
    if not math.isfinite(pixels):
        raise JobError(f"{key} is {value!r} in the matte {text!r}", hint=f"write a number of pixels: {key}=2.5")
    return pixels


def _escaped(text: str) -> str:
    return re.sub(r"([\\,])", r"\\\1", text)


def _number(value: float) -> str:
    return repr(float(value)).removesuffix(".0")
