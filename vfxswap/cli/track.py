"""`vfxswap track`: follow the faces of a plate; hand the track to others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from typer.core import TyperGroup

from vfxswap import cache, color, exr, faceset, pipeline
from vfxswap.cli import track_fix, track_report
from vfxswap.cli.common import (
    ColorConfig,
    ColorContext,
    ColorSpace,
    Debug,
    Events,
    Face,
    Frames,
    Lens,
    Overwrite,
    Part,
    View,
    Work,
    context,
    working,
)
from vfxswap.cli.knobs import Device
from vfxswap.errors import OutputError, PlateError, TrackError, UsageError
from vfxswap.events import Done, NdjsonSink, Warned
from vfxswap.face import carry, export, shot
from vfxswap.face import track as tracks
from vfxswap.face.people import name_faces
from vfxswap.face.track import Track
from vfxswap.infer import Device as InferDevice
from vfxswap.pixels import F64
from vfxswap.plate import Lenses, Plate, open_views
from vfxswap.sequence import FrameRange, SequencePath, for_view, has_view_token

_PLATE = "plate"
_VIEW = "view"
"""The key of a track's metadata that names the view of its plate's files."""

Format = Literal["nuke-tracker", "nuke-cornerpin", "nuke-roto", "nuke-live", "stmap", "json", "chan", "usd"]


class _PlateFirst(TyperGroup):
    """`track PLATE ...` is `track plate PLATE ...`: whatever is no sub-command is the plate."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        return super().resolve_command(ctx, args if args[0] in self.commands else [_PLATE, *args])


app = typer.Typer(
    cls=_PlateFirst,
    add_completion=False,
    no_args_is_help=True,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    help="Track the faces of a plate.\n\n"
    "`vfxswap track PLATE --output FILE` is `track plate`, whose --help has the options.",
)


@app.command(_PLATE)
def plate_command(
    ctx: typer.Context,
    plate: Annotated[str, typer.Argument(metavar="PLATE", help="Pattern, folder or file.")],
    output: Annotated[Path, typer.Option(metavar="FILE", help="The .vfxtrack to write.")],
    frames: Frames = "",
    colorspace: ColorSpace = "",
    color_config: ColorConfig = "",
    color_context: ColorContext = [],  # noqa: B006 - typer reads the default, nobody changes it
    lens: Lens = "",
    face: Face = "",
    named: Annotated[
        list[Path], typer.Option("--faceset", metavar="DIR", help="Name a face after this performer; repeatable.")
    ] = [],  # noqa: B006
    fast: Annotated[bool, typer.Option("--fast", help="Fewer crops and no flow: for a first look.")] = False,
    discard_fixes: Annotated[
        bool, typer.Option("--discard-fixes", help="With --overwrite: drop the artist's keys of the old track.")
    ] = False,
    view: View = "",
    part: Part = "",
    device: Device = "auto",
    overwrite: Overwrite = False,
    events: Events = "",
    debug: Debug = False,
) -> None:
    """Track every face of PLATE and write a .vfxtrack; ends with the frames an artist should check, and why.

    With `--view all`, `%V` in the output stands for the view; a run that was stopped is gone on with, and keeps the
    tracks that are there. `--overwrite` keeps the artist's keys of the old track.
    """
    with working(ctx, events=events) as work:
        plates = open_views(
            plate,
            frames=FrameRange.parse(frames) if frames else None,
            config=color.ColorConfig.load(color_config or None, context=context(color_context)),
            color_space=colorspace or None,
            view=view,
            part=part or None,
            lens=lens,
        )
        if len(plates) > 1 and not has_view_token(str(output)):
            raise UsageError("each view needs a track of its own", hint="write %V into --output")
        made = {Path(for_view(str(output), opened.view_name)): opened for opened in plates}
        if len(made) < len(plates):
            raise UsageError("two views have the same output", hint="write %V into --output")
        with pipeline.watching(list(made.values()), output.parent / cache.FOLDER / output.stem) as watched:
            opened = dict(zip(made, watched, strict=True))
            found = {} if overwrite else _there(opened)
            for path in found:
                said = f"{path} is there already and is kept; --overwrite makes it again"
                work.sink.emit(Warned(code="track_kept", message=said))
            references = _references(named, device)
            before = {path: _before(path, discard=discard_fixes) for path in opened if path not in found}
            for path, old in before.items():
                track = _tracked(opened[path], references, old, work, device=device, fast=fast)
                if face:
                    tracks.choose(track, face)
                track.save(path)  # at once: what is there is kept, whatever comes
                found[path] = track
        shown = [found[path] for path in made]
        counts = {"frames": len(plates[0].frames), "faces": sum(len(track.faces) for track in shown)}
        if isinstance(work.sink, NdjsonSink):
            for track in shown:
                track_report.warn(track, work.sink)
        work.sink.emit(Done(manifest=str(output), counts=counts))
    console = Console(stderr=True, highlight=False)
    for track in shown:
        console.print(tracks.describe(track), markup=False, soft_wrap=True)
        track_report.show(track, console)


def _there(plates: Mapping[Path, Plate]) -> dict[Path, Track]:
    """The tracks that are there already, where others are missing: what a run that was stopped between views left.

    Raises:
        OutputError: all of them are there, or one is not of its plate and view.
    """
    there = [path for path in plates if path.exists()]
    if there and len(there) == len(plates):
        raise _refused(there[0])
    return {path: _left(path, plates[path]) for path in there}


def _left(path: Path, plate: Plate) -> Track:
    """The track of a plate that is there; raises OutputError where it is of other pictures."""
    try:
        track = tracks.load(path)
    except TrackError as error:
        raise _refused(path, f" and cannot be read: {error.message}") from error
    if track.plate != plate.sequence.pattern:
        raise _refused(path, f", of another plate: {track.plate}")
    if track.metadata.get(_VIEW, "") != (plate.view or ""):
        raise _refused(path, f", of another view: {track.metadata.get(_VIEW) or 'it does not say which'}")
    recorded = (track.colorspace, track.config_id, track.metadata.get(shot.LENS, ""), track.still)
    if recorded != (plate.space, plate.config.id, shot.lens_name(plate), False):
        raise _refused(path, ", made with another color space, lens or way of tracking")
    missing = set(plate.frames) - set(track.frames)
    if set(track.frames) - set(plate.frames) or any(_reads(plate, frame) for frame in missing):
        raise _refused(path, ", of other frames")
    if any(_time(plate.sequence.path(frame)) > _time(path) for frame in track.frames):
        raise _refused(path, ", older than its plate")
    return track


def _refused(path: Path, why: str = "") -> OutputError:
    return OutputError(f"the track is there already{why}", path=path, hint="give --overwrite to make it again")


def _time(path: Path) -> int:
    """When a file was written; 0 where it is gone."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _reads(plate: Plate, frame: int) -> bool:
    """Whether a frame can be read: one that could not be is missing in its track rightly."""
    try:
        plate.read(frame)
    except PlateError:
        return False
    return True


def _before(path: Path, *, discard: bool) -> Track | None:
    """The track that will be made again, if its keys are to go on."""
    if discard or not path.exists():
        return None
    try:
        return tracks.load(path)
    except TrackError as error:
        hint = "the artist's keys in it would be lost: give --discard-fixes"
        raise TrackError(error.message, path=path, hint=hint) from error


def _references(folders: Sequence[Path], device: InferDevice) -> dict[str, F64]:
    """Performer -> embeddings of their facesets."""
    sets = [faceset.load(folder) for folder in folders]
    if len({one.performer for one in sets}) < len(sets):
        raise UsageError("two facesets are of one performer", hint="give one faceset for each performer")
    return {one.performer: faceset.references(one, device=device) for one in sets}


def _tracked(
    plate: Plate, references: Mapping[str, F64], before: Track | None, work: Work, *, device: InferDevice, fast: bool
) -> Track:
    """The track of a plate, its faces named and the artist's keys on it."""
    quality: Literal["default", "fast"] = "fast" if fast else "default"
    track = pipeline.track_plate(plate, sink=work.sink, cancel=work.cancel, device=device, quality=quality)
    track = replace(track, size=_display(plate.sequence, part=plate.part))
    if plate.view:  # one of several in a file, whose name does not say it
        track = replace(track, metadata={**track.metadata, _VIEW: plate.view})
    if references:
        track = name_faces(track, references)
    if before is None or not before.keys:
        return track
    track, notes = carry.carried(before, track)
    for note in notes:
        work.sink.emit(Warned(code="fix_kept", message=note))
    return track


def _display(sequence: SequencePath, *, part: str | None = None) -> tuple[int, int] | None:
    """Width and height of a plate's display window, None where no frame can be read."""
    for frame in sequence.frames_on_disk():
        try:
            parts = exr.probe(sequence.path(frame)).parts
        except PlateError:
            continue
        window = next((one for one in parts if part and one.name == part), parts[0]).display_window
        return window.width, window.height
    return None


# ------------------------------------------------------------------------------------------------ export


@app.command("export")
def export_command(
    track: Annotated[Path, typer.Argument(metavar="TRACK", help="A .vfxtrack.")],
    to: Annotated[Format, typer.Option(help="Format.")],
    output: Annotated[Path, typer.Option(metavar="FILE", help="The file to write; with #### for STMaps.")],
    face: Face = "",
    frames: Frames = "",
    reference: Annotated[
        int | None, typer.Option(metavar="N", help="Reference frame of tracker and corner pin; the first without.")
    ] = None,
    size: Annotated[str, typer.Option(metavar="WxH", help="The plate's size, where the track does not say it.")] = "",
    crop: Annotated[int, typer.Option(min=8, max=8192, help="Side of the face crop of STMaps in pixels.")] = 512,
    inverse: Annotated[bool, typer.Option("--inverse", help="STMaps from the crop to the plate.")] = False,
    lens: Lens = "",
    focal: Annotated[float, typer.Option(min=1, help="Focal length in mm that chan and usd are seen through.")] = 50.0,
    aperture: Annotated[float, typer.Option(min=1, help="Width of the film back in mm.")] = 24.576,
    overwrite: Overwrite = False,
    debug: Debug = False,
) -> None:
    """Write a track, with the artist's keys, in another program's format."""
    loaded = _within(tracks.load(track), frames)
    if to == "json":
        _check_free([output], overwrite)
        export.write_json(loaded, output, face=tracks.choose(loaded, face) if face else None)
        typer.echo(str(output))
        return
    chosen = tracks.choose(loaded, face or None)
    display = _size(size, loaded)
    view = export.View(
        track=loaded,
        face=chosen,
        faces=loaded.face(chosen),
        size=display,
        reference=reference,
        focal=focal,
        aperture=aperture,
        crop=crop,
        inverse=inverse,
        lenses=Lenses.parse(lens, display=display) if lens else None,
    )
    if not view.faces:
        raise TrackError(f"face {chosen} is in none of the frames", path=track, hint=tracks.describe(loaded))
    pattern = SequencePath.parse(str(output)) if to == "stmap" else None
    _check_free([output] if pattern is None else [pattern.path(frame) for frame in view.frames], overwrite)
    written = export.FORMATS[to](view, output)
    typer.echo(str(written[0]) if len(written) == 1 else f"{output}: {len(written)} files")


def _within(track: Track, frames: str) -> Track:
    """The track with its keys, of these frames only."""
    if not frames:
        return track
    wanted = set(FrameRange.parse(frames))
    kept = {frame: pairs for frame, pairs in track.fixed.frames.items() if frame in wanted}
    if not kept:
        raise TrackError(f"the track has none of the frames {frames}", hint="check --frames")
    return replace(track.fixed, frames=kept)


def _check_free(paths: Sequence[Path], overwrite: bool) -> None:
    there = next((path for path in paths if path.exists()), None)
    if there is not None and not overwrite:
        raise OutputError("the file is there already", path=there, hint="give --overwrite")


def _size(text: str, track: Track) -> tuple[int, int]:
    """Width and height of the plate: as said, as the track knows, or as the plate's files say."""
    if text:
        width, times, height = text.lower().partition("x")
        if not (times and width.isdigit() and height.isdigit() and int(width) and int(height)):
            raise UsageError(f"--size is {text!r}", hint="write it as 1920x1080")
        return int(width), int(height)
    if track.size is not None:
        return track.size
    try:
        found = _display(SequencePath.parse(track.plate))
    except PlateError:
        found = None
    if found is None:
        raise TrackError(
            f"the track does not know its plate's size, and {track.plate} cannot be read",
            hint="give --size, for example 1920x1080",
        )
    return found


# ------------------------------------------------------------------------------------- in files of their own

app.command("report")(track_report.report_command)
app.command("fix")(track_fix.fix_command)
