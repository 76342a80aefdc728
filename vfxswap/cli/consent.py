"""`vfxswap consent`: make keys, write, sign, check, read and withdraw consents."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import typer

from vfxswap import trust
from vfxswap.cli import knobs
from vfxswap.cli.common import ColorConfig, ColorSpace, Debug, Face, Keyring
from vfxswap.errors import ConsentError, UsageError
from vfxswap.trust import CONSISTENT, KeyRole, Role, Use, names, references
from vfxswap.trust.canonical import format_time

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Make, sign, check and withdraw consents.")

_Word = TypeVar("_Word")
_DATES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]

Passphrase = Annotated[
    Path | None,
    typer.Option("--passphrase-file", metavar="FILE", help="File with the passphrase, - is stdin; asked for without."),
]
Key = Annotated[Path, typer.Option(metavar="FILE", help="Private key, KID.key.pem.")]
Start = Annotated[
    datetime | None, typer.Option("--from", formats=_DATES, metavar="DATE", help="First day, UTC; now without.")
]
Performers = Annotated[list[str], typer.Option("--performer", metavar="GLOB", help="Performer ids it may sign for.")]
Output = Annotated[Path | None, typer.Option(metavar="FILE", help="Write here and leave the input as it is.")]


@app.command()
def keygen(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where both files go; hand out only KID.pub.json.")],
    kid: Annotated[str, typer.Option(metavar="KID", help="Name of the key.")],
    role: Annotated[KeyRole, typer.Option(help="What its signatures count as.")],
    performer: Performers,
    passphrase_file: Passphrase = None,
    start: Start = None,
    until: Annotated[
        datetime | None,
        typer.Option(formats=_DATES, metavar="DATE", help="First day after the end; five years without."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Make a key pair: KID.pub.json for the key ring, KID.key.pem for its owner alone."""
    pair = trust.keygen(
        folder,
        kid=kid,
        role=role,
        performers=performer,
        passphrase=_passphrase(passphrase_file, confirm=True),
        not_before=_utc(start),
        not_after=_utc(until),
    )
    typer.echo(f"{pair.public}\n{pair.private}")


@app.command()
def new(
    performer: Annotated[str, typer.Option(metavar="ID", help="Who consents.")],
    role: Annotated[
        list[str],
        typer.Option(metavar="likeness|double", help="likeness: the face may appear; double: it may be replaced."),
    ],
    use: Annotated[list[str], typer.Option(metavar="train|swap|publish", help="What may be done; give it repeatedly.")],
    purpose: Annotated[str, typer.Option(help="The specific use, in plain words.")],
    scope: Annotated[list[str], typer.Option(metavar="GLOB", help="Shots: PROJECT/SEQUENCE/SHOT with * and ?.")],
    until: Annotated[datetime, typer.Option(formats=_DATES, metavar="DATE", help="First day after the end, UTC.")],
    output: Annotated[Path, typer.Option(metavar="FILE", help="The unsigned record.")],
    start: Start = None,
    exclude: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Shots that are not covered.")] = None,
    territory: Annotated[
        list[str] | None, typer.Option(help="Where the result may be shown; everywhere without.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(metavar="SHA256|any", help="Models that may swap; none may without.")
    ] = None,
    prohibit: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help=f"Excluded besides {', '.join(trust.PROHIBITED)}; give it repeatedly."),
    ] = None,
    contract: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The contract; its sha256 goes into the record.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Of vfxswap consent reference: what faces are compared with.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(metavar="DISTANCE", help=f"Faces nearer to the reference are consistent; {CONSISTENT} without."),
    ] = None,
    legal_name_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File with the legal name, - is stdin: a salted hash goes into the record."),
    ] = None,
    grantor: Annotated[Literal["self", "estate", "guardian"], typer.Option(help="Who grants it.")] = "self",
    delete_model_by: Annotated[
        datetime | None, typer.Option(formats=_DATES, metavar="DATE", help="When the model must be gone.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Write an unsigned consent record for people to read and then to sign.

    With --legal-name-file also writes RECORD.salt, which belongs with the contract: it proves the name later.
    """
    if output.exists():
        raise UsageError("there is a file of this name already", path=output, hint="choose another --output")
    if threshold is not None and reference is None:
        raise UsageError("--threshold without --reference", hint="give both")
    named = None
    if reference is not None:
        found = references.read_reference(reference)
        if found.content.performer != performer:
            raise UsageError(
                f"the reference file is of {found.content.performer}, not of {performer}",
                path=reference,
                hint="give the performer's own",
            )
        named = found.named(CONSISTENT if threshold is None else threshold)
    name = None if legal_name_file is None else _first_line(legal_name_file, "the legal name")
    record = trust.new_consent(
        performer=performer,
        roles=_chosen(role, get_args(Role), "--role"),
        uses=_chosen(use, get_args(Use), "--use"),
        purpose=purpose,
        scope=scope,
        not_before=_utc(start) or datetime.now(UTC),
        not_after=until.replace(tzinfo=UTC),
        scope_exclude=exclude or (),
        territories=territory or ("*",),
        prohibited=tuple(dict.fromkeys((*trust.PROHIBITED, *(prohibit or ())))),
        models=_models(model or []),
        grantor=grantor,
        contract_sha256=None if contract is None else _sha256(contract),
        delete_model_by=_utc(delete_model_by),
        reference_embeddings=named,
    )
    if name is not None:
        salt_file = output.with_name(output.name + names.SUFFIX)
        record["performer"]["legal_name_sha256_salted"] = names.name_hash(name, names.new_salt(salt_file))
        typer.echo(f"{salt_file}: proves the legal name; keep it with the contract, not with the consent")
    trust.write_record(output, record)
    typer.echo(f"{output}: unsigned; the performer and production sign it with vfxswap consent sign")


@app.command()
def reference(
    pictures: Annotated[
        list[str], typer.Argument(metavar="PICTURES...", help="Patterns, folders or files that show the performer.")
    ],
    performer: Annotated[str, typer.Option(metavar="ID", help="Whose face they show.")],
    output: Annotated[Path, typer.Option(metavar="FILE", help="The reference file; production keeps it.")],
    face: Face = "",
    colorspace: ColorSpace = "",
    color_config: ColorConfig = "",
    device: knobs.Device = "auto",
    debug: Debug = False,
) -> None:
    """Measure pictures of a performer, made for the consent, that facesets are compared with later.

    The file holds biometric data, not pictures. The consent names its sha256 only.
    """
    from vfxswap import faceset

    if output.exists():
        raise UsageError("there is a file of this name already", path=output, hint="choose another --output")
    made = faceset.measure_reference(
        output, pictures, performer=performer, face=face, color_space=colorspace, config=color_config, device=device
    )
    typer.echo(f"{output}: {len(made.content.embeddings)} faces of {performer}, sha256 {made.sha256}")


@app.command("name")
def name_command(
    consent: Annotated[Path, typer.Argument(metavar="CONSENT", help="A record, signed or not.")],
    salt: Annotated[Path, typer.Option(metavar="FILE", help="RECORD.salt, as consent new wrote it.")],
    legal_name_file: Annotated[Path, typer.Option(metavar="FILE", help="File with the legal name, - is stdin.")],
    debug: Debug = False,
) -> None:
    """Check that a consent is tied to a legal name; exit code 77 if it is to another one."""
    held = trust.read_record(consent).performer.legal_name_sha256_salted
    if held is None:
        raise ConsentError("the consent is not tied to a legal name", path=consent, hint="the contract may name it")
    name = _first_line(legal_name_file, "the legal name")
    if not names.is_name(name, salt=names.read_salt(salt), sha256=held):
        raise ConsentError(
            "the consent is tied to another name, or by another salt",
            path=consent,
            hint="spell it as the contract does",
        )
    typer.echo(f"{consent}: tied to this legal name")


@app.command()
def sign(
    record: Annotated[Path, typer.Argument(metavar="CONSENT", help="The record, unsigned or signed by others.")],
    key: Key,
    passphrase_file: Passphrase = None,
    output: Output = None,
    debug: Debug = False,
) -> None:
    """Add one signature to a consent record."""
    signed = trust.sign(record, key_file=key, passphrase=_passphrase(passphrase_file), output=output)
    kids = ", ".join(signature.kid for signature in signed.signatures)
    typer.echo(f"{signed.path}: signed by {kids}")


@app.command()
def verify(
    consents: Annotated[list[Path], typer.Argument(metavar="CONSENT...", help="Signed consents.")],
    keyring: Keyring = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    debug: Debug = False,
) -> None:
    """Check signatures, dates and revocation; exit code 77 if a consent would be refused."""
    ring = trust.KeyRing.load(keyring)
    reports = {path: trust.verify(path, ring) for path in consents}
    if as_json:
        found = [_verified(path, report) for path, report in reports.items()]
        typer.echo(json.dumps({"v": 1, "ok": all(one["ok"] for one in found), "consents": found}, indent=2))
    else:
        for path, report in reports.items():
            _tell(path, report)
    refused = [path for path, report in reports.items() if not report.ok]
    if refused:
        raise ConsentError(
            f"{len(refused)} of {len(consents)} consents would be refused: {', '.join(map(str, refused))}",
            hint="the reasons are listed above",
        )


def _tell(path: Path, report: trust.VerifyReport) -> None:
    typer.echo(f"{path}: {'valid' if report.ok else 'refused'}")
    for signature in report.signatures:
        role = signature.role or "unknown key"
        typer.echo(f"  signature {signature.kid} ({role}): {signature.problem or 'valid'}")
    for problem in report.problems:
        typer.echo(f"  {problem}")
    record = report.consent.record
    typer.echo(f"  for people to judge: {record.purpose} | territories {', '.join(record.territories)}")
    typer.echo(f"  prohibited: {', '.join(record.prohibited) or 'nothing listed'}")


def _verified(path: Path, report: trust.VerifyReport) -> dict[str, Any]:
    """A report for programs: what was checked, and what a person has to judge."""
    record = report.consent.record
    return {
        "path": str(path),
        "ok": report.ok,
        "id": record.id,
        "performer": record.performer.id,
        "roles": list(record.roles),
        "uses": list(record.uses),
        "scope": list(record.scope),
        "scope_exclude": list(record.scope_exclude),
        "not_before": format_time(record.not_before),
        "not_after": format_time(record.not_after),
        "signatures": [asdict(signature) for signature in report.signatures],
        "problems": list(report.problems),
        "purpose": record.purpose,
        "territories": list(record.territories),
        "prohibited": list(record.prohibited),
    }


@app.command()
def show(
    consent: Annotated[Path, typer.Argument(metavar="CONSENT", help="A record, signed or not.")],
    debug: Debug = False,
) -> None:
    """Print a consent in plain words. Nothing is verified."""
    facts = trust.show(consent)
    width = max(map(len, facts))
    for label, text in facts.items():
        first, *others = text.split("\n")
        typer.echo(f"{label:<{width}}  {first}")
        for line in others:
            typer.echo(f"{'':<{width}}  {line}")


@app.command()
def revoke(
    key: Key,
    consents: Annotated[
        list[Path] | None, typer.Argument(metavar="CONSENT...", help="Consents to withdraw; none renews the list.")
    ] = None,
    consent_id: Annotated[
        list[str] | None, typer.Option("--id", metavar="URN", help="By id, for a consent whose file is lost.")
    ] = None,
    passphrase_file: Passphrase = None,
    keyring: Keyring = None,
    reason: Annotated[str, typer.Option(help="Kept in the list, which every worker can read.")] = "",
    days: Annotated[int, typer.Option(min=1, help="The list is good for this long.")] = 7,
    output: Output = None,
    debug: Debug = False,
) -> None:
    """Withdraw consents and sign the key ring's revocation list anew."""
    listed = trust.revoke(
        consents or (),
        consent_ids=consent_id or (),
        ring=trust.KeyRing.load(keyring),
        key_file=key,
        passphrase=_passphrase(passphrase_file),
        reason=reason,
        valid_for=timedelta(days=days),
        output=output,
    )
    typer.echo(f"{len(listed.revoked)} consents are withdrawn; the list is good until {listed.next_update:%Y-%m-%d}")


def _chosen(given: list[str], allowed: tuple[_Word, ...], option: str) -> list[_Word]:
    """The given words as words of `allowed` (typer has no lists of choices); raises UsageError."""
    for word in given:
        if word not in allowed:
            raise UsageError(f"{option} is {word!r}", hint=f"allowed is {', '.join(map(str, allowed))}")
    return [known for word in given for known in allowed if known == word]


def _models(given: list[str]) -> list[str] | Literal["any"] | None:
    if "any" in given:
        if len(given) > 1:
            raise UsageError("--model any together with other models", hint="give either")
        return "any"
    return given or None


def _passphrase(file: Path | None, *, confirm: bool = False) -> str:
    """The passphrase from a file's first line, or typed on a terminal. Never from the command line or environment."""
    if file is None:
        if not sys.stdin.isatty():
            raise UsageError("a passphrase is needed", hint="give --passphrase-file FILE, or - to read it from stdin")
        return str(typer.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm))
    return _first_line(file, "the passphrase")


def _first_line(file: Path, what: str) -> str:
    """The first line of a text file, or of stdin for `-`; raises UsageError."""
    try:
        text = sys.stdin.readline() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {what}", path=file, hint="give a text file that you may read") from error
    lines = text.splitlines()
    return lines[0] if lines else ""


def _sha256(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError("cannot read the contract", path=file, hint="give --contract FILE") from error


def _utc(time: datetime | None) -> datetime | None:
    return None if time is None else time.replace(tzinfo=UTC)
