"""`vfxswap demo`: the whole job on the shipped shot."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from vfxswap import atomic, demo
from vfxswap.cli.common import Debug, Events, shipped, working
from vfxswap.errors import OutputError


def demo_command(
    ctx: typer.Context,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where the result goes.")] = Path("demo_output"),
    material: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Copy plate, model, consents and truth here, and do nothing.")
    ] = None,
    events: Events = "",
    debug: Debug = False,
) -> None:
    """Do the whole job on the shipped shot.

    Tracks, measures and swaps it, and scores the result against the perfect swap. No torch is needed. With --material
    you get the shot to work on yourself, as the first pages of the documentation do.
    """
    if material is not None:
        _copy(shipped("examples/demo"), material)
        return
    with working(ctx, events=events) as work:
        report = demo.run(shipped("examples/demo"), output, sink=work.sink, cancel=work.cancel)
    mean = report.mean
    lines = [
        f"{'':22}{'plate (do nothing)':>20}{'swapped':>10}{'truth':>10}",
        f"{'PSNR inside the face':22}{mean.nothing_db:>17.2f} dB{mean.swapped_db:>7.2f} dB{'':>10}",
        f"{'distance to likeness':22}{mean.plate_to_likeness:>20.3f}{mean.swapped_to_likeness:>10.3f}"
        f"{mean.truth_to_likeness:>10.3f}",
        f"{'distance to double':22}{mean.plate_to_double:>20.3f}{mean.swapped_to_double:>10.3f}"
        f"{mean.truth_to_double:>10.3f}",
        f"mean of frames {', '.join(str(score.frame) for score in report.frames)}; {report.folder / demo.SHEET}",
    ]
    for line in lines:
        typer.echo(line, err=bool(events))


def _copy(source: Path, target: Path) -> None:
    """Copy the shot's files to a new folder."""
    if target.exists():
        raise OutputError("there is something of this name already", path=target, hint="choose another --material")
    atomic.check_writable(next(parent for parent in target.absolute().parents if parent.exists()))
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.py", "__pycache__", ".*"))
    typer.echo(f"{target}: the plate plate/plate.####.exr, its model, consents and key ring, and the truth of 3 frames")
