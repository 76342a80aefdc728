"""`vfxswap review`: look at a swap in a browser, or as a movie."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from vfxswap import atomic, color, exr, provenance, qc, review, trust
from vfxswap.cli.common import (
    ColorConfig,
    ColorContext,
    ColorSpace,
    Debug,
    Events,
    Face,
    Frames,
    Keyring,
    Overwrite,
    Part,
    View,
    Work,
    context,
    working,
)
from vfxswap.cli.knobs import Device
from vfxswap.cli.qc import Likeness, Opened, Out, PlateOption, TrackOption, examined
from vfxswap.errors import OutputError, UsageError
from vfxswap.events import Done, Warned
from vfxswap.plate import Plate, open_plate
from vfxswap.review import movie as movies
from vfxswap.review.page import WIDTH

_PAGES = (".html", ".htm")


def review_command(
    ctx: typer.Context,
    out: Out,
    plate: PlateOption,
    output: Annotated[Path | None, typer.Option(metavar="PAGE.html", help="The page to write.")] = None,
    movie: Annotated[
        Path | None, typer.Option(metavar="FILE.mp4|FILE.mov", help="A movie: H.264, or ProRes in a .mov.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--qc", metavar="FILE", help="The report of `vfxswap qc`; made without.")
    ] = None,
    truth: Annotated[str, typer.Option(metavar="SEQ", help="The perfect swap, where one is known.")] = "",
    frames: Frames = "",
    track: TrackOption = None,
    likeness: Likeness = None,
    face: Face = "",
    display: Annotated[str, typer.Option(metavar="NAME", help="Display of the OCIO config; its default without.")] = "",
    display_view: Annotated[
        str,
        typer.Option("--display-view", metavar="NAME", help="The movie's view of the display; its default without."),
    ] = "",
    width: Annotated[int, typer.Option(min=160, max=4096, help="Of the pictures at most, in pixels.")] = WIDTH,
    fps: Annotated[
        float | None, typer.Option(min=1, max=240, help="Frames a second; the plate's own, or 24, without.")
    ] = None,
    shows: Annotated[
        Literal["comp", "plate", "compare"], typer.Option(help="The movie's picture; compare: plate and comp.")
    ] = "comp",
    burn_in: Annotated[
        bool, typer.Option("--burn-in/--no-burn-in", help="Timecode and frame number in the movie.")
    ] = True,
    colorspace: ColorSpace = "",
    color_config: ColorConfig = "",
    color_context: ColorContext = [],  # noqa: B006 - typer reads the default, nobody changes it
    view: View = "",
    part: Part = "",
    keyring: Keyring = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    events: Events = "",
    debug: Debug = False,
) -> None:
    """Write a page, or a movie, that shows a swap beside its plate.

    With QC and provenance. The page is one file that needs a browser and nothing else; no model or consent is needed.
    """
    if output is None and movie is None:
        raise UsageError("nothing to write", hint="give --output PAGE.html, --movie FILE, or both")
    if output is not None and output.suffix.lower() not in _PAGES:
        raise UsageError(f"the page is {output.name}", hint="give it a name that ends with .html")
    if movie is not None:
        movies.require(movie)
    for path in filter(None, (output, movie)):
        if path.exists() and not overwrite:
            raise OutputError("it is there already", path=path, hint="give --overwrite to make it again")
        atomic.check_writable(atomic.make_folder(path.parent))
    with working(ctx, events=events) as work:
        opened = Opened.of(
            out,
            plate,
            frames=frames,
            config=color.ColorConfig.load(color_config or None, context=context(color_context)),
            color_space=colorspace,
            view=view,
            part=part,
        )
        pace = fps or movies.frame_rate(opened.plate)
        counts = {"frames": len(opened.plate.frames)}
        if output is not None:
            found = (
                qc.read(report)
                if report is not None
                else examined(opened, work, track=track, face=face, likeness=likeness, device=device)
            )
            for warning in _other(found, opened) if report is not None else ():
                work.sink.emit(Warned(code="qc", message=warning))
            sequence = opened.output.sequence
            page = review.Page(
                title=f"{sequence.name} over {opened.plate.sequence.name}",
                plate=opened.plate,
                output=opened.output,
                report=found,
                panel=review.panel(sequence.folder, sequence.name, ring=_ring(keyring)),
                truth=_truth(truth, opened.plate),
                display=display,
                width=width,
                fps=pace,
            )
            written = review.write_page(page, output, sink=work.sink, cancel=work.cancel)
            counts = {"frames": written.frames, "bytes": written.size}
        if movie is not None:
            order = movies.Order(
                plate=opened.plate,
                output=opened.output,
                display=display,
                view=display_view,
                width=width,
                fps=pace,
                shows=shows,
                burn_in=burn_in,
            )
            movies.write_movie(order, movie, sink=work.sink, cancel=work.cancel)
            _embed(movie, opened, work, shows=shows)
        work.sink.emit(Done(manifest=str(output or movie), counts=counts))


def _embed(movie: Path, opened: Opened, work: Work, *, shows: str) -> None:
    """C2PA into a movie that shows swaps; one without it is a movie all the same."""
    if shows == "plate":
        return
    sequence = opened.output.sequence
    manifest = provenance.manifest_path(sequence.folder, sequence.name)
    missing = provenance.embed(movie, shows=[manifest] if manifest.is_file() else [])
    if missing:
        work.sink.emit(Warned(code="c2pa", message=f"{movie.name} holds no C2PA: {missing}"))


def _truth(text: str, plate: Plate) -> Plate | None:
    return open_plate(text, config=plate.config, color_space=plate.space) if text else None


def _ring(folder: Path | None) -> trust.KeyRing | None:
    """The ring that was asked for, else the default one if there is one."""
    if folder is None and not trust.default_keyring().is_dir():
        return None
    return trust.KeyRing.load(folder)


def _other(report: qc.QcReport, opened: Opened) -> list[str]:
    """Why a report may not be of these frames."""
    known = {one.frame for one in report.frames} | {one.frame for one in report.failed}
    there = set(opened.plate.frames.intersect(opened.output.sequence.frames_on_disk()))
    if there - known:
        return [f"the report says nothing of {len(there - known)} frames, the first: {min(there - known)}"]
    paths = {one.frame: opened.output.sequence.path(one.frame) for one in report.frames}
    changed = [
        one.frame
        for one in report.frames
        if paths[one.frame].exists() and exr.file_sha256(paths[one.frame]) != one.sha256
    ]
    return [f"{len(changed)} frames are others than in the report, the first: {changed[0]}"] if changed else []
