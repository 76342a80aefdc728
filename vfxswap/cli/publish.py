"""`vfxswap publish`: finished frames become a version."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from vfxswap import publish as publishing
from vfxswap.cli import knobs
from vfxswap.cli.common import (
    Consents,
    Debug,
    Events,
    Keyring,
    Run,
    Shot,
    Work,
    check_shot,
    gate,
    shipped,
    working,
)
from vfxswap.cli.shot import described
from vfxswap.errors import ConsentError, UsageError
from vfxswap.events import Done, Started, Warned
from vfxswap.job import SwapJob
from vfxswap.publish import Area, Finding, Repair, Report, Request, consent
from vfxswap.publish.examine import REPORT
from vfxswap.publish.integrate import RECORD, Published, refuse
from vfxswap.publish.repair import repair as repaired
from vfxswap.sequence import FrameRange

Given = Annotated[str, typer.Argument(metavar="JOB.json|OUT", help="The job whose frames these are, or the frames.")]
Models = Annotated[list[Path], typer.Option("--model", metavar="FILE", help="Of frames without a job: the .vfxmodel.")]
References = Annotated[
    list[Path], typer.Option("--reference", metavar="FILE", help="Reference file that a consent names; repeatable.")
]


def publish(
    ctx: typer.Context,
    what: Given,
    into: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the versions; `publish` beside the frames without.")
    ] = None,
    version: Annotated[int | None, typer.Option(metavar="N", min=1, help="The version's number; the next.")] = None,
    plate: Annotated[str, typer.Option(metavar="PLATE", help="Of frames without a job: what they were made of.")] = "",
    model: Models = [],  # noqa: B006 - typer reads the default, nobody changes it
    reference: References = [],  # noqa: B006
    approve_gap: Annotated[
        str, typer.Option("--approve-gap", metavar="RANGE", help="Frames in which the plate's own face may show.")
    ] = "",
    qc: Annotated[Path | None, typer.Option(metavar="FILE", help="A report of `vfxswap qc` of these frames.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Look at everything and publish nothing.")] = False,
    repair: Annotated[
        Literal["render", "quarantine", "rename"] | None, typer.Option(help="Repair what it can; publish nothing.")
    ] = None,
    area: Annotated[Area | None, typer.Option(help="With --repair: only what this validator finds.")] = None,
    shot: Shot = "",
    consents: Consents = [],  # noqa: B006
    keyring: Keyring = None,
    device: knobs.Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    events: Events = "",
    debug: Debug = False,
) -> None:
    """Validate finished frames and publish them as a version.

    One line for each finding; exit code 77, and nothing is published, if one stops it (docs/publish.md).
    """
    how = None if repair is None else Repair(repair)
    _refuse_options(check=check, repair=how, area=area, events=events, as_json=as_json)
    check_shot(shot)
    job, known = _job(what, plate, model, shot=shot, consents=consents, keyring=keyring, device=device)
    with working(ctx, events=events) as work, _in_json(wanted=check and as_json):
        gate(consents=job.consents, keyring=job.keyring)
        consent.authorize(Request(job, ()))  # before anything is looked for
        request = publishing.of_job(
            job,
            into=into,
            version=version,
            references=reference,
            approved=FrameRange.parse(approve_gap) if approve_gap else None,
            qc=qc,
            repairable=known,
        )
        work.sink.emit(Started(job=f"publish {request.items[0].name}", frames=str(request.items[0].plate.frames)))
        if check or how is not None:
            _look(request, work, how, area, as_json=as_json)
            return
        run(request, work, as_json=as_json, quiet=_has_events(ctx))


def run(request: Request, work: Work, *, as_json: bool = False, quiet: bool = False) -> Published:
    """Validate and publish with the shipped plug-ins; says what was found, and where the version is.

    Raises:
        ConsentError, ProvenanceError: 77, nothing was published. And as `session.publish`.
    """
    from vfxswap.publish import session

    def found(report: Report) -> None:
        _tell(report.findings, work, quiet=quiet or as_json)

    done, report = session.publish(
        request, shipped("hosts") / "publish" / "plugins", sink=work.sink, cancel=work.cancel, found=found
    )
    if as_json:
        typer.echo(json.dumps({**report.to_json(), "folder": str(done.folder), "version": done.version}, indent=1))
    elif not quiet:
        typer.echo(f"{done.folder}: {done.files} files, read-only")
    work.sink.emit(Done(manifest=str(done.folder / RECORD), counts={"files": done.files, "version": done.version}))
    return done


def _refuse_options(*, check: bool, repair: Repair | None, area: Area | None, events: str, as_json: bool) -> None:
    if check and repair is not None:
        raise UsageError("--check and --repair", hint="give one of them")
    if area is not None and repair is None:
        raise UsageError("--area without --repair", hint="give --repair, or leave it out")
    if events and as_json:
        raise UsageError("--json and --events both want stdout", hint="give one of them")


def _job(what: str, plate: str, models: Sequence[Path], **given: Any) -> tuple[SwapJob, bool]:
    """The job, with what the command line says of it, and whether it is the one that made the frames."""
    said = {name: value for name, value in given.items() if value}
    if what.endswith(".json"):
        if plate or models:
            raise UsageError("--plate and --model are for frames without a job", hint="leave them out")
        device = said.pop("device", "auto")
        job = described(Path(what))
        return job.replace(**said, **({} if device == "auto" else {"device": device})), True
    if not plate or not models:
        raise UsageError(f"{what} is no job", hint="give JOB.json, or the frames with --plate and --model")
    return publishing.of_frames(what, plate=plate, models=models, **said), False


@contextlib.contextmanager
def _in_json(*, wanted: bool) -> Iterator[None]:
    """A refusal of the consent gate is a finding like others to whoever reads JSON; it stays a refusal."""
    try:
        yield
    except ConsentError as error:
        if wanted:
            message = error.message.removeprefix(error.code).strip()
            found = Finding(error.code, f"{message}; {error.hint}", "")
            typer.echo(json.dumps({"schema": REPORT, "ok": False, "findings": [found.to_json()]}, indent=1))
        raise


def _has_events(ctx: typer.Context) -> bool:
    found = ctx.find_root().obj
    return isinstance(found, Run) and found.events is not None


def _look(request: Request, work: Work, how: Repair | None, area: Area | None, *, as_json: bool) -> None:
    report = publishing.examine(request, sink=work.sink, cancel=work.cancel)
    if how is not None:
        said = repaired(report, how, sink=work.sink, cancel=work.cancel, area=area)
        for line in said or ("nothing to repair in this way",):
            typer.echo(line)
        return
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=1))
    else:
        _tell(report.findings, work, quiet=False)
    refuse(report)


def _tell(findings: Sequence[Finding], work: Work, *, quiet: bool) -> None:
    for finding in findings:
        if quiet:
            work.sink.emit(Warned(code=finding.code, message=str(finding)))
        else:
            typer.echo(str(finding))


__all__ = ["publish", "run"]
