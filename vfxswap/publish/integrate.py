"""A version: every frame, its passes and its signed record, copied, compared with the record, and closed.

It is made under a temporary name beside its place. Nothing is there by its own name before everything is.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vfxswap import __version__, atomic
from vfxswap.archive import sha256
from vfxswap.errors import OutputError, ProvenanceError, VfxSwapError
from vfxswap.events import CancelToken, EventSink, Progress
from vfxswap.provenance import FileEntry, Manifest, lock, manifest
from vfxswap.provenance.manifest import Clock
from vfxswap.provenance.manifest import Rule as Recorded
from vfxswap.provenance.manifest import refusal as recorded
from vfxswap.provenance.records import QcEntry
from vfxswap.publish import consent
from vfxswap.publish.examine import Report, Seen
from vfxswap.publish.request import Request, name_of
from vfxswap.publish.rules import BY_CODE, stopping
from vfxswap.trust import Grant
from vfxswap.trust.canonical import format_time, now_utc

SCHEMA: Final = "vfxswap.publish/1"
RECORD: Final = "publish.json"
_VERSION = re.compile(r"v(\d{3,})")
_BLOCK = 1 << 20
_WORKERS = 4
_TAKEN = {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}


class RefusedError(ProvenanceError):
    """What was found stops the publish: exit code 77, and nothing was published."""

    code = "publish"


@dataclass(frozen=True)
class Published:
    """A version that is there. `files`: how many, beside its own record."""

    folder: Path
    version: int
    files: int


def refuse(report: Report) -> None:
    """Raise RefusedError for what stops a publish, in one line."""
    stops = stopping(report.findings)
    if not stops:
        return
    more = f" (and {len(stops) - 1} more)" if len(stops) > 1 else ""
    error = RefusedError(f"{stops[0].code} {stops[0].message}{more}", hint=stops[0].rule.do)
    error.code = stops[0].code
    raise error


def integrate(report: Report, *, sink: EventSink, cancel: CancelToken, clock: Clock = now_utc) -> Published:
    """Publish what was examined, as the next version, or as the one that was asked for.

    Consent is asked for again, at the end too; every byte is compared with the signed record while it is copied.

    Args:
        report: of an examination that found nothing that stops.
        sink: told of progress.
        cancel: polled between files; nothing stays of a publish that is cancelled.
        clock: what `now` is in the record.

    Raises:
        RefusedError: the report stops it, or the version is there. ConsentError: consent does not cover it, or not any
            more. ProvenanceError: a file is not what was signed, or no signature counts. OutputError, ResourceError:
            the place cannot be written, or was not named. Cancelled.
    """
    request = report.request
    refuse(report)
    if request.into is None:
        raise OutputError("no folder was named to publish into", hint="give --into DIR")
    _authorize(report)
    work = [(found, file) for one in report.seen for found, file in _files(one)]
    for one in report.seen:
        _check_signature(request, _manifest(one))
    atomic.make_folder(request.into)
    with lock.held(request.into / ".lock"):
        _sweep(request.into)
        number = request.version or next_version(request.into)
        if (request.into / name_of(number)).exists():
            raise version_taken(number, request.into)
        temporary = request.into / f".{name_of(number)}.{_host()}.{os.getpid()}.tmp"
        try:
            temporary.mkdir()
            _copy_all(work, temporary, sink=sink, cancel=cancel)
            extra = [path for one in report.seen for path in _beside(one)]
            for path in extra:
                _copy(path, temporary / path.name, None)
            reports = [pair for one in report.seen for pair in _reports(one)]
            for path, entry in reports:
                _copy(path, temporary / entry.name, entry)
            grants = _authorize(report)
            atomic.write_text(temporary / RECORD, record(report, number, grants, clock=clock))
            _close(temporary)
            _name(temporary, request.into, number)
        except OSError as error:
            raise atomic.writing_error(error, request.into / name_of(number)) from error
        finally:
            _remove(temporary)  # only still there when something went wrong
        done = request.into / name_of(number)
        with contextlib.suppress(OSError):  # the files in it are closed already
            done.chmod(0o555)
    return Published(done, number, len(work) + len(extra) + len(reports))


def next_version(into: Path) -> int:
    """One more than the highest version that is there."""
    try:
        names = [path.name for path in into.iterdir()]
    except OSError:
        return 1
    return max((int(match[1]) for name in names if (match := _VERSION.fullmatch(name))), default=0) + 1


def version_taken(version: int, into: Path) -> RefusedError:
    """VS-SEQ-005."""
    rule = BY_CODE["VS-SEQ-005"]
    error = RefusedError(f"{rule.code} the version is there already: {name_of(version)}", hint=rule.do, path=into)
    error.code = rule.code
    return error


def record(report: Report, version: int, grants: Sequence[Grant], *, clock: Clock = now_utc) -> str:
    """The publish's own record, `publish.json`: what was published, under which consents, and what was looked at."""
    request = report.request
    consents = {ref.id: ref for grant in grants for ref in grant.consents}
    value: dict[str, Any] = {
        "schema": SCHEMA,
        "version": version,
        "shot": str(request.shot),
        "time": format_time(clock()),
        "software": __version__,
        "sequences": [
            {
                "sequence": one.item.name,
                "frames": manifest_frames(one),
                "manifest": _manifest(one).path.name,
                "manifest_sha256": sha256(_manifest(one).path.read_bytes()),
                "pixels_read": f"{len(one.read)} of {len(one.item.frames)} frames",
            }
            for one in report.seen
        ],
        "models": sorted({str(grant.model_sha256) for grant in grants}),
        "consents": [
            {"role": ref.role, "performer": ref.performer, "id": ref.id, "sha256": ref.sha256}
            for ref in sorted(consents.values(), key=lambda ref: (ref.role, ref.id))
        ],
        "approved_gaps": str(request.approved),
        "warnings": [str(finding) for finding in report.findings],
        "facts": dict(report.facts),
    }
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


def manifest_frames(one: Seen) -> int:
    """How many frames the manifest names."""
    return len(_manifest(one).statement.predicate.frames)


# ------------------------------------------------------------------------------------------------ checks


def _authorize(report: Report) -> tuple[Grant, ...]:
    makings = [made for one in report.seen for made in _manifest(one).statement.predicate.made]
    return consent.authorize(report.request, makings)


def _manifest(one: Seen) -> Manifest:
    if one.manifest is None:  # an examination says so as well; here is where it counts
        raise recorded(Recorded.MANIFEST, f"there is no manifest of {one.item.name}", hint=BY_CODE["VS-PRV-001"].do)
    return one.manifest


def _check_signature(request: Request, found: Manifest) -> None:
    """The manifest on disk is the one that was examined, and a signature of it counts."""
    now = manifest.read(found.path)
    signers = request.trust().signers(now)
    if now.payload != found.payload or not any(not signer.problem for signer in signers):
        why = "; ".join(f"{signer.kid}: {signer.problem}" for signer in signers if signer.problem)
        text = why or "it was replaced while it was published"
        raise recorded(Recorded.SIGNATURE, f"no signature of {found.path.name} counts: {text}",
                       hint=BY_CODE["VS-PRV-003"].do)  # fmt: skip


def _files(one: Seen) -> Iterator[tuple[Path, FileEntry]]:
    found = _manifest(one)
    for entry in found.statement.predicate.frames:
        for file in entry.files:
            yield found.folder / file.name, file


def _beside(one: Seen) -> Iterator[Path]:
    """The manifest and what was made with it."""
    found = _manifest(one)
    yield found.path
    for path in (manifest.list_path(found.folder, found.sequence), manifest.sidecar_path(found.folder, found.sequence)):
        if path.is_file():
            yield path


def _reports(one: Seen) -> Iterator[tuple[Path, QcEntry]]:
    """The QC reports that the manifest names."""
    found = _manifest(one)
    for entry in found.statement.predicate.qc or ():
        yield found.folder / entry.name, entry


# -------------------------------------------------------------------------------------------------- files


def _copy_all(work: Sequence[tuple[Path, FileEntry]], into: Path, *, sink: EventSink, cancel: CancelToken) -> None:
    with ThreadPoolExecutor(min(_WORKERS, os.cpu_count() or 1), "publish") as pool:
        waiting = [pool.submit(_copy, path, into / file.name, file) for path, file in work]
        try:
            for done, future in enumerate(waiting, start=1):
                cancel.check()
                future.result()
                sink.emit(Progress(stage="publish", done=done, total=len(waiting)))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _copy(source: Path, target: Path, file: FileEntry | QcEntry | None) -> None:
    """Copy a file; raises ProvenanceError where it is not the one that was signed."""
    digest = hashlib.sha256()
    try:
        with source.open("rb") as reader, target.open("xb") as writer:
            while block := reader.read(_BLOCK):
                digest.update(block)
                writer.write(block)
            writer.flush()
            os.fsync(writer.fileno())
    except FileNotFoundError as error:
        raise recorded(
            Recorded.MISSING, f"{source.name} is gone", hint=BY_CODE["VS-PRV-005"].do, path=source
        ) from error
    if file is not None and digest.hexdigest() != file.sha256:
        text = f"{source.name} is not the file that was signed"
        raise recorded(Recorded.CHANGED, text, hint=BY_CODE["VS-PRV-002"].do, path=source)


def _close(folder: Path) -> None:
    """Read-only files, on disk."""
    for path in folder.iterdir():
        path.chmod(0o444)
    if sys.platform != "win32":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _name(temporary: Path, into: Path, number: int) -> None:
    target = into / name_of(number)
    try:
        temporary.rename(target)
    except OSError as error:
        if error.errno in _TAKEN or target.exists():  # another machine, on a file system without locks
            raise version_taken(number, into) from error
        raise


def _host() -> str:
    import socket

    return "".join(c if c.isalnum() else "-" for c in socket.gethostname()) or "localhost"


def _sweep(into: Path) -> None:
    """Remove what publishes of this host left that were killed. The lock is held: none of them is at work."""
    for left in into.glob(f".v*.{_host()}.*.tmp"):
        _remove(left)


def _remove(folder: Path) -> None:
    if not folder.exists():
        return
    for path in (folder, *folder.iterdir()):
        with contextlib.suppress(OSError):
            path.chmod(stat.S_IRWXU if path.is_dir() else stat.S_IRUSR | stat.S_IWUSR)
    shutil.rmtree(folder, ignore_errors=True)


__all__ = ["Published", "RefusedError", "VfxSwapError", "integrate", "next_version", "record", "refuse"]
