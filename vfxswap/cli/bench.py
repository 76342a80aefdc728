"""`vfxswap bench`: speed, as ratios measured side by side; and `bench quality`, swaps against ground truth."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from vfxswap import atomic
from vfxswap.cli import knobs
from vfxswap.cli.common import ColorSpace, Consents, Debug, Events, Keyring, Shot, gate, shipped, working
from vfxswap.errors import UsageError, VfxSwapError

if TYPE_CHECKING:
    from vfxswap.bench import Result
    from vfxswap.bench.quality import QualityReport, Request
    from vfxswap.vfxmodel import Painter


QUALITY = "quality"

_PANEL = "Options of `bench quality`"
_WIDE = 170  # columns of the tables where no terminal says how many there are


def bench_command(
    ctx: typer.Context,
    case: Annotated[
        str, typer.Argument(metavar="CASE", help="io, color, blend, net, swap, track, memory, provenance; or quality.")
    ],
    res: Annotated[Literal["1080p", "UHD"] | None, typer.Option(help="Size of the plate.")] = None,
    rounds: Annotated[int, typer.Option(min=1, max=1000, help="How often each step runs.")] = 7,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the figures as JSON.")] = None,
    shot_data: Annotated[
        list[Path],
        typer.Option(metavar="DIR", help="A shot with ground truth; repeatable.", rich_help_panel=_PANEL),
    ] = [],  # noqa: B006 - typer reads the default, nobody changes it
    model: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The .vfxmodel to swap them with.", rich_help_panel=_PANEL)
    ] = None,
    swapped: Annotated[
        list[str],
        typer.Option(
            metavar="SEQ",
            help="Score these frames, rendered elsewhere, instead; one for each --shot-data.",
            rich_help_panel=_PANEL,
        ),
    ] = [],  # noqa: B006
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep the frames, and side-by-side strips.", rich_help_panel=_PANEL),
    ] = None,
    likeness: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Faceset that identity is compared with.", rich_help_panel=_PANEL),
    ] = None,
    double: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The same of the double.", rich_help_panel=_PANEL)
    ] = None,
    max_yaw: Annotated[
        float,
        typer.Option(min=0, max=180, help="Frames with the head turned further do not count.", rich_help_panel=_PANEL),
    ] = 40.0,
    strips: Annotated[
        int, typer.Option(min=0, max=1000, help="Frames on each shot's strips.", rich_help_panel=_PANEL)
    ] = 4,
    colorspace: ColorSpace = "",
    shot: Shot = "",
    consent: Consents = [],  # noqa: B006
    keyring: Keyring = None,
    device: knobs.Device = "auto",
    events: Events = "",
    debug: Debug = False,
) -> None:
    """Measure speed, as ratios of steps that run in turns.

    Milliseconds are this machine's; the ratios, and whether they meet their targets, are the result. Without
    `--res`, blend uses UHD and all else 1080p.

    `bench quality` scores swaps against the perfect swap of the same shots: see docs/quality.md.
    """
    if case == QUALITY:
        _only_for(ctx, "bench quality", ("res", "rounds"))
        from vfxswap.bench import quality

        request = quality.Request(
            shots=tuple(shot_data),
            model=model,
            swapped=tuple(swapped),
            output=output,
            shot=shot,
            consents=tuple(consent),
            keyring=keyring,
            likeness=likeness,
            double=double,
            color_space=colorspace,
            max_yaw=max_yaw,
            strips=strips,
            device=device,
        )
        _score(ctx, request, json=json, events=events)
        return
    from vfxswap import bench

    name = bench.check(case)
    _only_for(ctx, f"bench {name}", _QUALITY_ONLY)
    size = bench.RESOLUTIONS[res or ("UHD" if name == "blend" else "1080p")]
    # Nothing else may run meanwhile, so a terminal is told that this takes its time, not how far it is.
    waiting = Console(stderr=True).status(f"{name}: every step {rounds} times, in turns")
    with waiting, tempfile.TemporaryDirectory(prefix="vfxswap-bench-") as folder:
        material = bench.Material(Path(folder), size, source=_picture(), model=_model() if name in _NETWORKED else None)
        result = bench.run(name, material, rounds=rounds)
    _show(result)
    if json is not None:
        atomic.write_text(json, result.to_json())


_NETWORKED = ("net", "provenance")
"""Cases that time the demo's network."""

_QUALITY_ONLY = (
    *("shot_data", "model", "swapped", "output", "likeness", "double", "max_yaw", "strips", "colorspace", "shot"),
    *("consent", "keyring", "device", "events"),
)


def _only_for(ctx: typer.Context, what: str, foreign: tuple[str, ...]) -> None:
    """Refuse options that mean nothing to a case."""
    for name in foreign:
        source = ctx.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"{what} takes no --{name.replace('_', '-')}", hint="see vfxswap bench --help")


def _picture() -> Path | None:
    """The first frame of the demo plate, if it is shipped."""
    return next(iter(sorted((shipped("examples/demo") / "plate").glob("*.exr"))), None)


def _model() -> Painter | None:
    """The demo's model, opened under the demo's consents, if it is shipped and they hold."""
    from vfxswap.trust import ShotId
    from vfxswap.vfxmodel import SwapModel, read_card

    demo = shipped("examples/demo")
    for path in sorted(demo.glob("*.vfxmodel")):
        with contextlib.suppress(VfxSwapError):
            card = read_card(path)
            grant = gate(
                consents=sorted((demo / "trust").glob("*.consent.json")), keyring=demo / "trust" / "keyring"
            ).authorize(
                shot=ShotId.parse("demo/demo/demo"),
                use="swap",
                performers=card.performers.by_role(),
                model_sha256=card.onnx_sha256,
                origin=card.origin(),
            )
            return SwapModel(path, grant=grant)
    return None


def _show(result: Result) -> None:
    console = Console(highlight=False)
    console.print(f"{result.case}: {result.setup}", soft_wrap=True)
    stages = Table("step", "wall ms", "CPU ms")
    for stage in result.stages:
        stages.add_row(stage.name, f"{stage.wall_ms:.1f}", f"{stage.cpu_ms:.1f}")
    console.print(stages)
    ratios = Table("ratio", "", "target", "")
    for ratio in result.ratios:
        target = f"at least {ratio.at_least:g}" if ratio.at_least is not None else ""
        target = f"at most {ratio.at_most:g}" if ratio.at_most is not None else target
        value = f"{ratio.value:.2f}" if ratio.value >= 0.1 else f"{ratio.value:.4f}"
        ratios.add_row(ratio.name, value, target, {None: "", True: "met", False: "MISSED"}[ratio.met])
    if result.ratios:
        console.print(ratios)
    machine = ", ".join(f"{name} {value}" for name, value in result.machine.items())
    console.print(machine, style="dim", soft_wrap=True)


def _score(ctx: typer.Context, request: Request, *, json: Path | None, events: str) -> None:
    from vfxswap.bench import quality

    with working(ctx, events=events) as work:
        report = quality.run(
            request,
            gate=lambda: gate(consents=request.consents, keyring=request.keyring),
            sink=work.sink,
            cancel=work.cancel,
        )
    if json is not None:
        atomic.write_text(json, report.to_json())
    _show_quality(report, to_stderr=bool(events))


def _show_quality(report: QualityReport, *, to_stderr: bool) -> None:
    from vfxswap.bench.quality import tables

    console = Console(highlight=False, stderr=to_stderr)
    if not console.is_terminal:
        console = Console(highlight=False, stderr=to_stderr, width=_WIDE)
    for title, head, rows in (
        ("against the truth", tables.HEAD, tables.rows(report)),
        ("where the error is: dB after each correction, and its part of the squared error", *tables.split(report)),
    ):
        table = Table(*head, title=title, title_justify="left")
        for column in table.columns[2 if head is tables.HEAD else 1 :]:
            column.justify = "right"
        for row in rows:
            table.add_row(*row, end_section=row[1] == tables.LAST)
        console.print(table)
    for line in tables.notes(report):
        console.print(line, soft_wrap=True)
