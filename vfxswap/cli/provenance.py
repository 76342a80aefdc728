"""`vfxswap provenance`: sign, check and read the record of what was rendered."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from vfxswap import provenance, trust
from vfxswap.cli.common import Debug, Frames, Keyring, passphrase
from vfxswap.errors import FrameError, OutputError, ProvenanceError, UsageError
from vfxswap.provenance import Finding, Report, SequenceReport, Trust
from vfxswap.provenance.manifest import SUFFIX, Rule, refusal
from vfxswap.sequence import FrameRange, SequencePath
from vfxswap.trust.canonical import format_time
from vfxswap.trust.keys import PrivateKey

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Sign, check and read the record of what was rendered."
)

Out = Annotated[str, typer.Argument(metavar="OUT", help="The folder of the frames, their pattern, or a manifest.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def verify(
    out: Out,
    keyring: Keyring = None,
    frames: Frames = "",
    accept_rewritten: Annotated[
        bool, typer.Option("--accept-rewritten", help="Other bytes with the same pixels are no finding.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Compare frames with their signed manifest: one line for each finding, exit code 77 if there is one.

    Needs the public keys and nothing else. `--frames` are those that should be there; without it all of the job's.
    """
    wanted = list(FrameRange.parse(frames)) if frames else None
    whom = Trust(_ring(keyring), provenance.own_ring())
    report = provenance.verify(_place(out), whom, frames=wanted, accept_rewritten=accept_rewritten)
    if as_json:
        typer.echo(json.dumps(_as_json(report), indent=2))
    else:
        for one in report.sequences:
            _tell(one)
        for finding in report.loose:
            typer.echo(str(finding))
    if report.findings:
        count = len(report.findings)
        message = f"{count} finding{'s' if count > 1 else ''} in {out}: this is not, or not only, what was signed"
        hint = "they are listed above" if not as_json else "they are in the JSON"
        raise ProvenanceError(message, hint=hint)


@app.command()
def show(out: Out, as_json: Json = False, debug: Debug = False) -> None:
    """Print in plain words who was replaced by whom, under which consents and with what. Nothing is verified."""
    place = _place(out)
    paths = [place] if place.name.endswith(SUFFIX) else sorted(place.glob(f"*{SUFFIX}"))
    if not paths:
        raise refusal(Rule.MANIFEST, f"there is no manifest in {place}", hint="make one: vfxswap provenance finalise")
    found = [provenance.read_manifest(path) for path in paths]
    if as_json:
        said = [one.statement.model_dump(mode="json", by_alias=True, exclude_none=True) for one in found]
        typer.echo(json.dumps(said, indent=2))
        return
    for one in found:
        facts = provenance.facts(one)
        width = max(map(len, facts))
        for label, text in facts.items():
            first, *others = text.split("\n")
            typer.echo(f"{label:<{width}}  {first}")
            for line in others:
                typer.echo(f"{'':<{width}}  {line}")


@app.command()
def finalise(
    out: Out,
    key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Private key, KID.key.pem; this user's render key without.")
    ] = None,
    passphrase_file: Annotated[
        Path | None,
        typer.Option("--passphrase-file", metavar="FILE", help="File with the passphrase; asked for without."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Merge the records of all rendered frames into a signed manifest, as the last step of a farm job.

    Exit code 3: the manifest was written, but frames of the job are not there, or have no record.
    """
    if key is None and passphrase_file is not None:
        raise UsageError("--passphrase-file without --key", hint="give --key FILE, or neither")
    place = _place(out)
    folder = place.parent if place.name.endswith(SUFFIX) else place
    names = provenance.sequences(folder) if folder is place else [place.name.removesuffix(SUFFIX)]
    if not names:
        hint = "render into it first; frames that were rendered elsewhere have no record"
        raise refusal(Rule.MANIFEST, f"no frame in {folder} has a record", hint=hint)
    signer = provenance.own_key() if key is None else PrivateKey.load(key, passphrase=passphrase(passphrase_file))
    gaps: list[str] = []
    for name in names:
        made = provenance.merge(folder, name, signer=signer)
        how = f"signed with {signer.kid}" if made.signed_anew else "there already, and up to date"
        typer.echo(f"{made.path}: {made.frames} frames, {how}")
        if made.c2pa:
            typer.echo(f"no C2PA sidecar was written: {made.c2pa}")
        for report in made.qc:
            typer.echo(f"{report}: the QC report is signed with the frames")
        for report in made.other_qc:
            typer.echo(f"{report}: not signed, it is no QC report of these frames: make it again with vfxswap qc")
        gaps += made.gaps
        for gap in made.gaps:
            typer.echo(f"{name}: {gap}")
    if gaps:
        raise FrameError(f"the record is not complete: {gaps[0]}", hint="render what is missing and finalise again")


@app.command()
def key(debug: Debug = False) -> None:
    """Print the public half of this user's render key, made if there is none, for others to put into their key ring."""
    typer.echo(str(provenance.public_file(provenance.own_key().kid)))


def _place(out: str) -> Path:
    """A folder, or the path of one sequence's manifest; raises OutputError where there is nothing."""
    path = Path(out).expanduser()
    if path.is_dir() or (path.name.endswith(SUFFIX) and path.parent.is_dir()):
        return path
    sequence = SequencePath.parse(out)
    if sequence.padding is None or not sequence.folder.is_dir():
        raise OutputError(f"no such folder or sequence: {out}", hint="give the folder of the frames, or their pattern")
    return provenance.manifest_path(sequence.folder, sequence.name)


def _ring(folder: Path | None) -> trust.KeyRing | None:
    """The ring that was asked for, else the default one if there is one."""
    if folder is None and not trust.default_keyring().is_dir():
        return None
    return trust.KeyRing.load(folder)


def _tell(one: SequenceReport) -> None:
    for finding in one.findings:
        typer.echo(str(finding))
    if one.signed is None:
        return
    state = "as signed" if not one.findings else f"as signed, {_count(one.findings)}"
    typer.echo(f"{one.sequence}: {one.files} files are {state}")
    for signer in one.signers:
        role = "this user's own render key" if signer.own else f"{signer.role or 'unknown'} key"
        worth = signer.problem or "valid"
        typer.echo(f"  signed {format_time(one.signed)} by {signer.kid} ({role}): {worth}")
    typer.echo(f"  C2PA sidecar: {one.c2pa}")
    typer.echo(f"  QC report: {one.qc}")


def _count(findings: Sequence[Finding]) -> str:
    return f"{len(findings)} finding{'s' if len(findings) > 1 else ''} above"


def _as_json(report: Report) -> dict[str, Any]:
    def listed(findings: Sequence[Finding]) -> list[dict[str, Any]]:
        fields = [asdict(finding) for finding in findings]
        return [{name: value for name, value in one.items() if value not in ("", None)} for one in fields]

    return {
        "v": 1,
        "ok": not report.findings,
        "sequences": [
            {
                "sequence": one.sequence,
                "manifest": str(one.manifest),
                "signed": None if one.signed is None else format_time(one.signed),
                "signers": [asdict(signer) for signer in one.signers],
                "files_as_signed": one.files,
                "c2pa": one.c2pa,
                "qc": one.qc,
                "findings": listed(one.findings),
            }
            for one in report.sequences
        ],
        "findings": listed(report.loose),
    }
