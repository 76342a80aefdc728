"""`vfxswap bench`: speed, as ratios measured side by side."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from vfxswap import atomic
from vfxswap.cli.common import Debug, gate, shipped
from vfxswap.errors import VfxSwapError

if TYPE_CHECKING:
    from vfxswap.bench import Result
    from vfxswap.vfxmodel import Painter


def bench_command(
    case: Annotated[str, typer.Argument(metavar="CASE", help="io, color, blend, net, swap, track or memory.")],
    res: Annotated[Literal["1080p", "UHD"] | None, typer.Option(help="Size of the plate.")] = None,
    rounds: Annotated[int, typer.Option(min=1, max=1000, help="How often each step runs.")] = 7,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the figures as JSON.")] = None,
    debug: Debug = False,
) -> None:
    """Measure speed, as ratios of steps that run in turns.

    Milliseconds are this machine's; the ratios, and whether they meet their targets, are the result. Without
    `--res`, blend uses UHD and all else 1080p.
    """
    from vfxswap import bench

    name = bench.check(case)
    size = bench.RESOLUTIONS[res or ("UHD" if name == "blend" else "1080p")]
    with tempfile.TemporaryDirectory(prefix="vfxswap-bench-") as folder:
        material = bench.Material(Path(folder), size, source=_picture(), model=_model() if name == "net" else None)
        result = bench.run(name, material, rounds=rounds)
    _show(result)
    if json is not None:
        atomic.write_text(json, result.to_json())


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
        ratios.add_row(ratio.name, f"{ratio.value:.2f}", target, {None: "", True: "met", False: "MISSED"}[ratio.met])
    if result.ratios:
        console.print(ratios)
    machine = ", ".join(f"{name} {value}" for name, value in result.machine.items())
    console.print(machine, style="dim", soft_wrap=True)
