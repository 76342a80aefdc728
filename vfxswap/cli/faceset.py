"""`vfxswap faceset`: collect crops of one performer, look through them, say which are used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from vfxswap import color, coverage, faceset
from vfxswap.cli.common import (
    ColorConfig,
    ColorContext,
    ColorSpace,
    Consents,
    Debug,
    Events,
    Face,
    Frames,
    Keyring,
    Overwrite,
    Part,
    Shot,
    View,
    Work,
    context,
    gate,
    shot_id,
    working,
)
from vfxswap.cli.knobs import Device
from vfxswap.coverage import NEAR
from vfxswap.errors import FrameError, OutputError, UsageError, VfxSwapError
from vfxswap.events import Done, Progress, Started, Warned
from vfxswap.face import track as tracks
from vfxswap.faceset import footage, quarantine
from vfxswap.plate import open_plate
from vfxswap.sequence import SequencePath

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the faceset.")]
Sort = Annotated[str, typer.Option(metavar="|".join(faceset.SORTS), help="Order of the contact sheet.")]

_MIXED = 0.25
"""When so many crops are not of the performer, the plates hold somebody else."""

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def faceset_group() -> None:
    """Collect aligned crops of one performer."""


@app.command("build")
def build_command(
    ctx: typer.Context,
    plates: Annotated[
        list[str],
        typer.Argument(
            metavar="PLATE[,KEY[=VALUE]]...",
            help="Patterns, folders or files, each with what differs from the options: stills, shot, frames=, "
            "colorspace=, face=, view=, part=, matte=.",
        ),
    ],
    performer: Annotated[str, typer.Option(metavar="ID", help="Whose face it is.")],
    output: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the faceset.")],
    append: Annotated[bool, typer.Option("--append", help="Add to the faceset that is there.")] = False,
    frames: Frames = "",
    stills: Annotated[
        bool, typer.Option("--stills", help="The frames are unrelated pictures: no smoothing, own exposures.")
    ] = False,
    face: Face = "",
    colorspace: ColorSpace = "",
    color_config: ColorConfig = "",
    color_context: ColorContext = [],  # noqa: B006 - typer reads the default, nobody changes it
    size: Annotated[
        int | None,
        typer.Option(min=64, max=2048, help=f"Side of a crop in pixels; {faceset.DEFAULT_SIZE} without."),
    ] = None,
    view: View = "",
    part: Part = "",
    matte: Annotated[
        list[str],
        typer.Option(
            metavar="SEQ[:CHANNEL][,KEY]...",
            help="The plates' own face matte, such as roto.####.exr:face, or a holdout.",
        ),
    ] = [],  # noqa: B006
    sheet: Annotated[bool, typer.Option("--sheet/--no-sheet", help="Write the contact sheet.")] = True,
    reference: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The reference file that the performer's consent names.")
    ] = None,
    shot: Shot = "",
    consent: Consents = [],  # noqa: B006 - typer reads the default, nobody changes it
    keyring: Keyring = None,
    device: Device = "auto",
    events: Events = "",
    debug: Debug = False,
) -> None:
    """Build a faceset from plates of one performer, or add plates to one.

    The same command again goes on where an interrupted one stopped.
    """
    guard = gate(consents=consent, keyring=keyring)
    origin = faceset.load(output).consents if append and (output / faceset.INDEX).exists() else ()
    homes = [SequencePath.parse(_first_file(plate)).folder.resolve().name for plate in plates]
    grants = [
        guard.authorize_faceset(performer=performer, shot=shot_id(shot, folder=home), origin=origin)
        for home in dict.fromkeys(homes)
    ]
    missed: list[VfxSwapError] = []
    with working(ctx, events=events) as work:
        config = color.ColorConfig.load(color_config or None, context=context(color_context))

        def warn(error: VfxSwapError) -> None:
            if isinstance(error, FrameError):
                missed.append(error)
            work.sink.emit(Warned(code=error.code, message=str(error), frame=error.frame))

        work.sink.emit(Started(job="faceset build", frames=frames))
        built = faceset.build(
            output,
            performer=performer,
            plates=[
                one
                for plate in plates
                for one in faceset.open_footage(
                    plate,
                    config=config,
                    stills=stills,
                    frames=frames,
                    colorspace=colorspace,
                    face=face,
                    view=view,
                    part=part,
                    mattes=matte,
                )
            ],
            grant=grants[0],
            reference=reference,
            append=append,
            size=size,
            device=device,
            progress=lambda stage, done, total: work.sink.emit(Progress(stage=stage, done=done, total=total)),
            warn=warn,
            cancel=work.cancel,
            finish=lambda made: _write_sheet(made, work) if sheet else None,
        )
        _finish(built, work)
    if missed:
        raise FrameError(f"{len(missed)} frames could not be read, the first: {missed[0]}")


@app.command("sheet")
def sheet_command(
    ctx: typer.Context,
    folder: Folder,
    sort: Sort = "yaw",
    output: Annotated[Path | None, typer.Option(metavar="DIR", help="Where to; beside the faceset without.")] = None,
    events: Events = "",
    debug: Debug = False,
) -> None:
    """Write contact_sheet.png and contact_sheet.html: sortable, with every quarantined crop and its reasons."""
    with working(ctx, events=events) as work:
        made = _write_sheet(faceset.load(folder), work, folder=output, sort=sort)
        work.sink.emit(Done(manifest=str(made[1]), counts={}))
    if not events:
        for path in made:
            typer.echo(str(path))


@app.command("edit")
def edit_command(
    folder: Folder,
    keep: Annotated[list[str], typer.Option(metavar="NAME", help="Use this crop, whatever was measured.")] = [],  # noqa: B006
    drop: Annotated[list[str], typer.Option(metavar="NAME", help="Do not use this crop.")] = [],  # noqa: B006
    forget: Annotated[list[str], typer.Option(metavar="NAME", help="Take the word on this crop back.")] = [],  # noqa: B006
    note: Annotated[str, typer.Option(metavar="TEXT", help="Why; recorded with each of them.")] = "",
    debug: Debug = False,
) -> None:
    """Keep or drop crops by hand; `*` and `?` in a name stand for many. Lists what is quarantined, and why."""
    found = faceset.edit(folder, keep=keep, drop=drop, forget=forget, note=note)
    for crop in found.crops:
        word = f" [{crop.verdict} by hand]" if crop.verdict else ""
        if crop.quarantined is not None or crop.verdict:
            typer.echo(f"{crop.name}: {crop.quarantined or 'used'}{word}")
    used = len(found.usable())
    typer.echo(f"{used} crops are used, {len(found.crops) - used} are quarantined")


@app.command("report")
def report_command(
    ctx: typer.Context,
    likeness: Annotated[Path, typer.Argument(metavar="LIKENESS", help="Faceset of the face that appears.")],
    double: Annotated[Path, typer.Argument(metavar="DOUBLE", help="Faceset of the face it replaces, or a .vfxtrack.")],
    output: Annotated[list[Path], typer.Option(metavar="FILE", help="report.html or report.json; repeatable.")],
    plate: Annotated[str, typer.Option(metavar="PLATE", help="The .vfxtrack's plate, where it has moved.")] = "",
    face: Face = "",
    colorspace: ColorSpace = "",
    color_config: ColorConfig = "",
    color_context: ColorContext = [],  # noqa: B006 - typer reads the default, nobody changes it
    view: View = "",
    part: Part = "",
    near: Annotated[float, typer.Option(min=1, metavar="DEGREES", help="How far a near example may be.")] = NEAR,
    mirror: Annotated[bool, typer.Option(help="Count mirrored crops as examples, as training does.")] = True,
    most: Annotated[int, typer.Option(min=1, help="How many gaps the page shows.")] = coverage.MOST,
    overwrite: Overwrite = False,
    events: Events = "",
    debug: Debug = False,
) -> None:
    """Which frames of the double have no near example in the likeness's faceset, and what is missing."""
    for path in output:
        if path.suffix not in (".html", ".json"):
            raise UsageError(f"--output is {path.name}", hint="a report's name ends in .html or .json")
        if path.exists() and not overwrite:
            raise OutputError("the report is there already", path=path, hint="give --overwrite")

    def progress(stage: str) -> Callable[[int, int], None]:
        def step(done: int, total: int) -> None:
            work.sink.emit(Progress(stage=stage, done=done, total=total))
            work.cancel.check()

        return step

    with working(ctx, events=events) as work:
        examples = coverage.of_faceset(faceset.load(likeness), progress=progress("likeness"))
        if double.suffix == ".vfxtrack":
            track = tracks.load(double)
            asked = coverage.of_track(
                open_plate(
                    plate or track.plate,
                    config=color.ColorConfig.load(color_config or None, context=context(color_context)),
                    color_space=colorspace or track.colorspace or None,
                    view=view or None,
                    part=part or None,
                ),
                track.face(face or None),
                pixel_aspect=track.pixel_aspect,
                progress=progress("double"),
            )
        else:
            asked = coverage.of_faceset(faceset.load(double), needed=True, progress=progress("double"))
        found = coverage.compare(examples, asked, near=near, mirror=mirror)
        for path in output:
            if path.suffix == ".json":
                coverage.write_json(found, path)
            else:
                coverage.write_html(found, path, most=most, progress=progress("report"))
        counts = {"frames": len(found.needs), "without a near example": len(found.gaps)}
        work.sink.emit(Done(manifest=str(output[0]), counts=counts))
    if not events:
        for line in found.lines(5):
            typer.echo(line)


def _first_file(text: str) -> Path:
    """A path whose folder names the shot: the plate's own, or the folder of pictures that was given."""
    path = Path(footage.parse(text)[0]).expanduser()
    return path / "picture.exr" if path.is_dir() else path


def _write_sheet(
    source: faceset.Faceset, work: Work, *, folder: Path | None = None, sort: str = "yaw"
) -> tuple[Path, Path]:
    return faceset.write_sheet(
        source,
        folder=folder,
        sort=sort,
        progress=lambda done, total: work.sink.emit(Progress(stage="sheet", done=done, total=total)),
        cancel=work.cancel,
    )


def _finish(built: faceset.Faceset, work: Work) -> None:
    """Say what was quarantined, and that a plate may hold another person."""
    kinds = [sorted(crop.kinds) for crop in built.crops if crop.quarantined is not None]
    strangers = sum("identity" in found for found in kinds)
    if strangers > _MIXED * len(built.crops):
        message = (
            f"{strangers} of {len(built.crops)} crops are not consistent with the others:"
            f" choose with --face, or look at {faceset.INDEX} and the contact sheet"
        )
        work.sink.emit(Warned(code="identity", message=message))
    counts = {"crops": len(built.usable()), "quarantined": len(kinds)}
    counts |= {f"for {kind}": count for kind, count in quarantine.summary(kinds).items()}
    work.sink.emit(Done(manifest=str(built.folder / faceset.INDEX), counts=counts))
