"""`vfxswap doctor`: what works on this machine, and what to do about the rest. Nothing is changed or fetched."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vfxswap.cli import doctor_config, doctor_hosts, doctor_machine, doctor_trust
from vfxswap.cli.common import ColorConfig, Debug, Keyring, Run
from vfxswap.cli.finding import Finding
from vfxswap.errors import VfxSwapError


def doctor(
    ctx: typer.Context,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where frames will go: its disk is looked at.")] = Path(),
    color_config: ColorConfig = "",
    keyring: Keyring = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    debug: Debug = False,
) -> None:
    """Show what works on this machine.

    Ends with exit code 4 where something has to be repaired; every problem stands with its remedy.
    """
    run = ctx.find_root().obj
    arguments = run.arguments if isinstance(run, Run) else ()
    findings = list(examine(output=output, color_config=color_config, keyring=keyring, arguments=arguments))
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _print(findings)
    broken = [finding.name for finding in findings if finding.status == "bad"]
    if broken:
        raise VfxSwapError(f"needs repair: {', '.join(broken)}", hint="the remedies stand above")


def examine(
    *, output: Path, color_config: str, keyring: Path | None, arguments: Sequence[str] = ()
) -> Iterator[Finding]:
    """Every finding, area by area."""
    yield doctor_machine.version()
    found, shown = doctor_config.config(arguments)
    yield shown
    color_config = color_config or str(found.of("doctor").get("color-config", ""))
    yield from doctor_machine.libraries()
    yield from doctor_machine.devices()
    yield doctor_machine.telemetry()
    yield doctor_machine.color(color_config)
    yield doctor_machine.training()
    yield from doctor_machine.weights()
    yield from doctor_machine.disk(output)
    yield from doctor_trust.keyring(keyring)
    yield from doctor_trust.render_key()
    yield from doctor_hosts.hosts()
    yield from doctor_hosts.farms()


_MARKS = {"ok": "ok  ", "off": " -  ", "look": "LOOK", "bad": "BAD "}


def _print(findings: Sequence[Finding]) -> None:
    arrow = "→" if (sys.stdout.encoding or "").lower().startswith("utf") else "->"
    wide = max(len(finding.name) for finding in findings)
    area = ""
    for finding in findings:
        label = finding.area if finding.area != area else ""
        area = finding.area
        typer.echo(f"{label:<9} {_MARKS[finding.status]} {finding.name:<{wide}}  {finding.text}")
        if finding.remedy:
            typer.echo(f"{'':<14} {'':<{wide}}  {arrow} {finding.remedy}")
    counts = {status: sum(finding.status == status for finding in findings) for status in ("bad", "look")}
    typer.echo(f"{counts['bad']} to repair, {counts['look']} to look at")
