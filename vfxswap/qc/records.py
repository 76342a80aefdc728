"""The report of QC as it is written: `vfxswap.qc/1`, published as docs/schemas/qc.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vfxswap import documents
from vfxswap.errors import OutputError

SCHEMA: Final = "vfxswap.qc/1"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


class LimitEntry(_Record):
    """One measure and its limits."""

    name: str
    label: str
    unit: str
    about: str
    most: float | None = Field(description="no frame should have more; null for no such limit")
    least: float | None = Field(description="no frame should have less; null for no such limit")


class FrameReport(_Record):
    """One frame."""

    frame: int
    sha256: str = Field(description="of the output's file, as it was looked at")
    state: Literal["swapped", "unswapped", "no face"] = Field(
        description="unswapped: the track has a face here, and the output is the plate's; no face: the track has none"
    )
    score: float = Field(description="below 1: nothing is beyond its limit; above: 1 and the sum of what is, in limits")
    alarms: tuple[str, ...] = Field(description="the measures beyond their limits, the furthest first")
    reasons: tuple[str, ...] = Field(description="the same in words")
    values: dict[str, float | None] = Field(description="measure -> number, null where it could not be measured")
    notes: tuple[str, ...] = Field(default=(), description="why something was not measured")


class WorstEntry(_Record):
    """One of the worst frames: what `vfxswap retrain` and people read."""

    frame: int
    score: float
    reason: str
    reasons: tuple[str, ...] = Field(description="those that are the shot's as a whole come last")
    shot: str = Field(description="name of the plate's files, as in vfxswap.worst/1")


class Failed(_Record):
    """A frame that could not be looked at."""

    frame: int
    reason: str


class Input(_Record):
    """An image sequence that was read."""

    pattern: str = Field(description="as it was given, resolved to one sequence")
    frames: str
    colorspace: str


class Summary(_Record):
    """The shot as a whole."""

    frames: int
    swapped: int
    alarmed: int = Field(description="frames with at least one alarm")
    alarms: dict[str, int] = Field(description="measure -> frames beyond its limit")
    throughout: tuple[str, ...] = Field(
        description="measures beyond their limit in nearly every frame: a matter of the shot, not of single frames"
    )
    median: dict[str, float | None] = Field(description="measure -> median over the frames")
    worst: dict[str, float | None] = Field(description="measure -> the value nearest to or furthest beyond its limit")


class QcReport(_Record):
    """All of it."""

    schema_: Literal["vfxswap.qc/1"] = Field(default="vfxswap.qc/1", alias="schema")
    software: str
    plate: Input
    output: Input
    face: str
    layers: Literal["comp", "ingredients"]
    manifest_sha256: str | None = Field(
        description="of the provenance manifest as it was; signing this report into it changes it; null without one"
    )
    limits: tuple[LimitEntry, ...]
    unmeasured: dict[str, str] = Field(description="measure -> why no frame has it")
    summary: Summary
    worst: tuple[WorstEntry, ...] = Field(description="the frames with alarms, the worst first")
    missing: str = Field(description="frames of the plate without output, as a range")
    failed: tuple[Failed, ...]
    frames: tuple[FrameReport, ...]

    def text(self) -> str:
        """As a file."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a report."""
    return QcReport.model_json_schema(by_alias=True)


def read(path: Path) -> QcReport:
    """Read a report.

    Raises:
        OutputError: there is none, or it is none.
    """
    try:
        return QcReport.model_validate_json(documents.read_bytes(path, most=documents.LARGE))
    except FileNotFoundError:
        raise OutputError(f"no such file: {path}", hint="make it with vfxswap qc") from None
    except documents.TooLargeError as error:
        raise OutputError(f"no QC report: {error}", path=path, hint="make it again with vfxswap qc") from error
    except (OSError, ValidationError) as error:
        other = documents.version_problem(error) if isinstance(error, ValidationError) else None
        if other is not None:
            raise OutputError(other[0], path=path, hint=other[1]) from error
        reason = error.errors(include_url=False)[0]["msg"] if isinstance(error, ValidationError) else error.strerror
        raise OutputError(f"no QC report: {reason}", path=path, hint="make it again with vfxswap qc") from error
