"""`vfxswap track`: follow the faces of a plate; hand the track to others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from vfxswap import cache, color, pipeline
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
    context,
    working,
)
from vfxswap.cli.knobs import Device
from vfxswap.errors import OutputError, UsageError
from vfxswap.events import Done
from vfxswap.face import export
from vfxswap.face import track as tracks
from vfxswap.plate import open_views
from vfxswap.sequence import FrameRange, for_view, has_view_token

_PLATE = "plate"
_READABLE = 0.5


class _PlateFirst(TyperGroup):
    """`track PLATE ...` is `track plate PLATE ...`: whatever is no sub-command is the plate."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        return super().resolve_command(ctx, args if args[0] in self.commands else [_PLATE, *args])


app = typer.Typer(
    cls=_PlateFirst,
    add_completion=False,
    no_args_is_help=True,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    help="Track the faces of a plate.",
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
    view: View = "",
    part: Part = "",
    device: Device = "auto",
    overwrite: Overwrite = False,
    events: Events = "",
    debug: Debug = False,
) -> None:
    """Track every face of PLATE and write a .vfxtrack; lists the frames an artist should look at.

    With `--view all`, `%V` in the output stands for the view.
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
        for path in made:
            if path.exists() and not overwrite:
                raise OutputError("the track is there already", path=path, hint="give --overwrite to make it again")
        with pipeline.watching(list(made.values()), output.parent / cache.FOLDER / output.stem) as watched:
            found = {
                path: pipeline.track_plate(opened, sink=work.sink, cancel=work.cancel, device=device)
                for path, opened in zip(made, watched, strict=True)
            }
        for path, track in found.items():
            if face:
                tracks.choose(track, face)
            track.save(path)
        counts = {"frames": len(plates[0].frames), "faces": sum(len(track.faces) for track in found.values())}
        work.sink.emit(Done(manifest=str(output), counts=counts))
    for track in found.values():
        typer.echo(tracks.describe(track), err=True)
        for line in doubtful(track):
            typer.echo(line, err=True)


def doubtful(track: tracks.Track) -> list[str]:
    """A line for each frame that an artist should look at, with the reason."""
    lines = []
    for frame, faces in sorted(track.frames.items()):
        if not faces:
            lines.append(f"check frame {frame}: no face")
        lines += [
            f"check frame {frame}: face {key} has confidence {face.confidence:.2f} ({face.source})"
            for key, face in faces
            if face.confidence < _READABLE
        ]
    return lines


@app.command("export")
def export_command(
    track: Annotated[Path, typer.Argument(metavar="TRACK", help="A .vfxtrack.")],
    to: Annotated[Literal["json"], typer.Option(help="Format.")],
    output: Annotated[Path, typer.Option(metavar="FILE", help="The file to write.")],
    overwrite: Overwrite = False,
    debug: Debug = False,
) -> None:
    """Write a track in another program's format."""
    if output.exists() and not overwrite:
        raise UsageError(f"{output} is there already", hint="give --overwrite")
    export.write_json(tracks.load(track), output)
    typer.echo(str(output))
