"""`vfxswap track fix`: an artist's keys on a track."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

from vfxswap import documents
from vfxswap.cli.common import Debug, Face, Overwrite
from vfxswap.errors import OutputError, TrackError, UsageError, VfxSwapError
from vfxswap.face import export, keys
from vfxswap.face import track as tracks
from vfxswap.face.export.edits import Edits, KeyJson, key_of
from vfxswap.face.keys import REACH, Key
from vfxswap.face.track import Track
from vfxswap.sequence import FrameRange

_EVERY = "all"
_LARGEST = 64 << 20
"""Bytes of a file of keys or of a script."""
_SET_HINT = "write scale=1.02,rotate=-1.5,move=3,-2 or landmark:4=812.5,430.25"


def fix_command(
    track: Annotated[Path, typer.Argument(metavar="TRACK", help="A .vfxtrack.")],
    face: Face = "",
    frame: Annotated[str, typer.Option(metavar="N", help="The frame; with --remove also a range or `all`.")] = "",
    values: Annotated[
        list[str],
        typer.Option("--set", metavar="WHAT", help="scale=1.02,rotate=-1.5,move=3,-2 or landmark:4=X,Y; repeatable."),
    ] = [],  # noqa: B006 - typer reads the default, nobody changes it
    similarity: Annotated[str, typer.Option(metavar="A,B,TX,C,D,TY", help="The face's matrix, plate to face.")] = "",
    source: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Keys as .json, or an exported .nk that was changed.")
    ] = None,
    reach: Annotated[
        int | None, typer.Option(min=0, help=f"Frames over which a last key fades out; {REACH} without.")
    ] = None,
    hold: Annotated[bool, typer.Option("--hold", help="A last key holds to the end of the shot.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take keys away.")] = False,
    show: Annotated[bool, typer.Option("--list", help="Print the keys, as they differ from the solve.")] = False,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write here instead of in place.")] = None,
    overwrite: Overwrite = False,
    debug: Debug = False,
) -> None:
    """Set, remove or list an artist's keys; they lie beside the solve and go on when the plate is tracked anew."""
    asked = [name for name, given in _asked(values, similarity, source, remove=remove, show=show) if given]
    if len(asked) != 1:
        said = " and ".join(asked) or "nothing"
        raise UsageError(f"asked for {said}", hint="give one of --set, --similarity, --from, --remove and --list")
    if hold and reach is not None:
        raise UsageError("--hold and --reach exclude each other", hint="give one of them")
    loaded = tracks.load(track)
    if show:
        _print(loaded, face)
        return
    target = output or track
    if output is not None and output.exists() and not overwrite and output.resolve() != track.resolve():
        raise OutputError("the track is there already", path=output, hint="give --overwrite")
    if remove:
        whom = [tracks.choose(loaded, face)] if face else list(loaded.keys)
        fixed = _without(loaded, whom, frame)
    else:
        edits = _edits(loaded, face, frame, values, similarity, source, reach=reach, hold=hold)
        for note in edits.notes:
            typer.echo(f"warning: {note}", err=True)
        if not edits.keys:
            raise TrackError("nothing was changed", path=source, hint="change a frame first")
        _check_frames(loaded, edits.keys)
        fixed = loaded.with_keys(edits.face, {**loaded.keys.get(edits.face, {}), **edits.keys})
        whom = [edits.face]
    different = {number: _different(loaded, fixed, number) for number in whom}
    fixed.save(target)
    for number, frames in different.items():
        count = len(fixed.keys.get(number, {}))
        words = f"{_plural(len(frames), 'frame')} changed: {FrameRange.of(frames)}" if frames else "no frame changed"
        typer.echo(f"face {number}: {_plural(count, 'key')}; {words}")


def _plural(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _asked(
    values: Sequence[str], similarity: str, source: Path | None, *, remove: bool, show: bool
) -> list[tuple[str, bool]]:
    return [
        ("--set", bool(values)),
        ("--similarity", bool(similarity)),
        ("--from", source is not None),
        ("--remove", remove),
        ("--list", show),
    ]


def _edits(
    track: Track,
    face: str,
    frame: str,
    values: Sequence[str],
    similarity: str,
    source: Path | None,
    *,
    reach: int | None,
    hold: bool,
) -> Edits:
    """The keys that the command line asks for."""
    whom = tracks.choose(track, face) if face else None
    fades = None if hold else REACH if reach is None else reach
    if source is not None:
        if frame:
            raise UsageError("--frame with --from", hint="the file says which frames; leave --frame out")
        return _from_file(source, track, whom, fades, said=hold or reach is not None)
    if not re.fullmatch(r"-?\d+", frame):
        raise UsageError(f"--frame is {frame!r}", hint="give the number of the frame that the key is in")
    number, person = int(frame), tracks.choose(track, None) if whom is None else whom
    _check_frames(track, [number])
    written: int | Literal["hold"] = "hold" if fades is None else fades
    if similarity:
        parts = _numbers(similarity, count=6, what="--similarity", hint="write the six numbers A,B,TX,C,D,TY")
        entry = KeyJson(similarity=[parts[:3], parts[3:]], reach=written)
    else:
        entry = _set(values, written)
    return Edits(person, {number: key_of(entry, track, frame=number, face=person)})


def _from_file(source: Path, track: Track, whom: int | None, reach: int | None, *, said: bool) -> Edits:
    try:
        text = documents.read_text(source, most=_LARGEST)
    except FileNotFoundError:
        raise TrackError(f"no such file: {source}", hint="give a .json or a .nk") from None
    except (OSError, UnicodeDecodeError, documents.TooLargeError) as problem:
        raise TrackError(f"cannot be read as text: {problem}", path=source) from problem
    try:
        if source.suffix.lower() == ".json":
            if said:
                raise UsageError("--reach or --hold with a .json", hint="the file says how far each key reaches")
            return export.from_json(text, track, face=whom)
        return export.from_nk(text, track, face=whom, reach=reach)
    except UsageError:
        raise
    except VfxSwapError as error:
        raise TrackError(error.message, hint=error.hint, path=source, frame=error.frame) from error


def _set(values: Sequence[str], reach: int | Literal["hold"]) -> KeyJson:
    """What `--set` says."""
    scalars: dict[str, float] = {}
    move: list[float] | None = None
    landmarks: dict[str, list[float]] = {}
    for name, value in (pair for text in values for pair in _pairs(text)):
        if name in ("scale", "rotate"):
            scalars[name] = _numbers(value, count=1, what=name, hint=_SET_HINT)[0]
        elif name == "move":
            move = _numbers(value, count=2, what=name, hint=_SET_HINT)
        elif found := re.fullmatch(r"landmark:(\d+)", name):
            landmarks[found[1]] = _numbers(value, count=2, what=name, hint=_SET_HINT)
        else:
            raise UsageError(f"--set knows no {name!r}", hint=_SET_HINT)
    if scalars.get("scale", 1.0) <= 0:
        raise UsageError(f"a scale of {scalars['scale']:g}", hint="1 is the size of the solve")
    if landmarks and (scalars or move):
        raise UsageError("--set of landmarks and of scale, rotate or move", hint="a key is one of the two")
    return KeyJson(
        scale=scalars.get("scale"),
        rotate=scalars.get("rotate"),
        move=move,
        landmarks=landmarks or None,
        reach=reach,
    )


def _pairs(text: str) -> list[tuple[str, str]]:
    """`a=1,move=3,-2` as pairs: a number without a name belongs to the value before it."""
    pairs: list[tuple[str, str]] = []
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if equals:
            pairs.append((name.strip(), value))
        elif pairs:
            pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]},{part}")
        else:
            raise UsageError(f"--set is {text!r}", hint=_SET_HINT)
    return pairs


def _numbers(text: str, *, count: int, what: str, hint: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise UsageError(f"{what} is {text!r}", hint=hint)
    return numbers


def _check_frames(track: Track, frames: Sequence[int] | dict[int, Key]) -> None:
    strange = next((frame for frame in frames if frame not in track.frames), None)
    if strange is not None:
        covered = FrameRange.of(track.frames)
        raise TrackError(f"frame {strange} was not tracked", hint=f"the track covers {covered}")


def _without(track: Track, whom: Sequence[int], frame: str) -> Track:
    if not frame:
        raise UsageError("--remove of which frame?", hint="give --frame N, a range, or `all`")
    gone = None if frame == _EVERY else set(FrameRange.parse(frame))
    fixed, count = track, 0
    for number in whom:
        held = track.keys.get(number, {})
        kept = {} if gone is None else {f: key for f, key in held.items() if f not in gone}
        count += len(held) - len(kept)
        fixed = fixed.with_keys(number, kept)
    if not count:
        raise TrackError(f"there is no key in frame {frame}", hint="list them with --list")
    return fixed


def _different(old: Track, new: Track, face: int) -> list[int]:
    """The frames in which a face is another one: those that a swap renders again."""
    was, now = old.fixed, new.fixed
    out = []
    for frame in old.frames:
        a, b = was.at(frame, face), now.at(frame, face)
        if a is None or b is None:
            if a is not b:
                out.append(frame)
        elif not (np.array_equal(a.similarity, b.similarity) and np.array_equal(a.landmarks, b.landmarks)):
            out.append(frame)
    return out


def _print(track: Track, face: str) -> None:
    """The keys, as they differ from the solve."""
    whom = [tracks.choose(track, face)] if face else sorted(track.keys)
    names = {person.id: person.name for person in track.faces}
    listed = [(number, frame, key) for number in whom for frame, key in sorted(track.keys.get(number, {}).items())]
    if not listed:
        typer.echo("no keys")
    for number, frame, key in listed:
        kind = f"{len(key.landmarks)} landmarks" if key.landmarks is not None else "similarity"
        name = f" {names[number]}" if names.get(number) else ""
        reach = "holds" if key.reach is None else f"reach {key.reach}"
        typer.echo(f"face {number}{name} frame {frame}: {kind}, {_off(track, number, frame, key)}, {reach}")


def _off(track: Track, face: int, frame: int, key: Key) -> str:
    """How far a key is from the solve, in words."""
    solved = track.solved(face).get(frame)
    if solved is None:
        return "not solved there"
    off = keys.correction_of(key, solved, pixel_aspect=track.pixel_aspect)
    x, y = off.move
    return f"scale {np.exp(off.log_scale):.4f} rotate {np.degrees(off.angle):.2f} move {x:.2f},{y:.2f}"
