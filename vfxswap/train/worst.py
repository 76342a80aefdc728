"""The frames that came out worst: read from whatever report names them.

Four kinds of JSON are understood, told apart by `schema`:

`vfxswap.worst/1`, which anything may write (docs/training.md):

    {"schema": "vfxswap.worst/1",
     "frames": [{"frame": 1009, "reason": "the lids flicker", "score": 2.5, "shot": "sh010"}]}

`score` (0 without) is the higher the worse the frame, equal ones keep the file's order; `reason` and `shot` may be
missing. `vfxswap.qc/1` (qc) lists its frames with alarms alike, as `worst`. `vfxswap.quality/1` (bench quality) ranks
the frames that count by the PSNR of the swap, `vfxswap.coverage/1` (faceset report) those without a near example by
their distance to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from vfxswap import documents
from vfxswap.errors import UsageError

SCHEMA: Final = "vfxswap.worst/1"


@dataclass(frozen=True)
class WorstFrame:
    """A frame that came out badly: its number, why in words, how badly (the higher the worse), and of which shot."""

    frame: int
    reason: str
    score: float
    shot: str = ""


class _Part(BaseModel):
    """Of a report; what is not asked for may be anything."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, populate_by_name=True)


class _Entry(_Part):
    frame: int
    reason: str = ""
    score: float = 0.0
    shot: str = ""


class _Listed(_Part):
    schema_: Literal["vfxswap.worst/1"] = Field(alias="schema")
    frames: tuple[_Entry, ...]

    def found(self) -> list[WorstFrame]:
        return [WorstFrame(**entry.model_dump()) for entry in self.frames]


class _Checked(_Part):
    schema_: Literal["vfxswap.qc/1"] = Field(alias="schema")
    worst: tuple[_Entry, ...]

    def found(self) -> list[WorstFrame]:
        return [WorstFrame(**entry.model_dump()) for entry in self.worst]


class _Row(_Part):
    psnr_db: float | None = None


class _Scored(_Part):
    frame: int
    counted: bool
    rows: dict[str, _Row]


class _Shot(_Part):
    name: str
    frames: tuple[_Scored, ...]


class _Quality(_Part):
    schema_: Literal["vfxswap.quality/1"] = Field(alias="schema")
    shots: tuple[_Shot, ...]

    def found(self) -> list[WorstFrame]:
        return [
            WorstFrame(score.frame, f"{swap.psnr_db:.1f} dB", -swap.psnr_db, shot.name)
            for shot in self.shots
            for score in shot.frames
            if score.counted and (swap := score.rows.get("swap")) is not None and swap.psnr_db is not None
        ]


class _Sample(_Part):
    name: str
    plate: str
    frame: int


class _Side(_Part):
    samples: tuple[_Sample, ...]


class _Need(_Part):
    name: str
    distance_deg: float
    missing: tuple[str, ...]


class _Coverage(_Part):
    schema_: Literal["vfxswap.coverage/1"] = Field(alias="schema")
    double: _Side
    frames: tuple[_Need, ...]

    def found(self) -> list[WorstFrame]:
        at = {sample.name: sample for sample in self.double.samples}
        return [
            WorstFrame(at[need.name].frame, "; ".join(need.missing), need.distance_deg, Path(at[need.name].plate).name)
            for need in self.frames
            if need.missing and need.name in at
        ]


_KINDS: Final = (SCHEMA, "vfxswap.qc/1", "vfxswap.quality/1", "vfxswap.coverage/1")
_Report = Annotated[_Listed | _Checked | _Quality | _Coverage, Field(discriminator="schema_")]
_REPORT: Final[TypeAdapter[Any]] = TypeAdapter(_Report)


def read_worst(data: bytes, *, path: Path, shot: str = "") -> tuple[WorstFrame, ...]:
    """The frames that a report names, the worst first, each once.

    Args:
        data: the report.
        path: of it, for what goes wrong.
        shot: whose frames, where the report has those of several: the name of a shot, or of a plate's files.

    Raises:
        UsageError: no report of a known kind; several shots and none chosen; no such shot; or no frame came out badly.
    """
    try:
        found = _REPORT.validate_json(data).found()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        for known in (kind for kind in _KINDS if first["type"] == "union_tag_invalid"):
            if other := documents.other_version(first["ctx"]["tag"], known):
                raise UsageError(f"{path.name}: {other[0]}", hint=other[1]) from error
        where = ".".join(str(step) for step in first["loc"])
        raise UsageError(
            f"{path.name} is no report of frames: {where}{': ' if where else ''}{first['msg']}",
            hint=f"give the JSON of `qc`, `bench quality` or `faceset report`, or one of schema {SCHEMA}",
        ) from error
    shots = list(dict.fromkeys(worst.shot for worst in found if worst.shot))
    if shot and shot not in shots:
        raise UsageError(f"{path.name} has no frames of {shot!r}", hint=f"it has {', '.join(shots) or 'no names'}")
    if not shot and len(shots) > 1:
        raise UsageError(f"{path.name} has frames of {len(shots)} shots", hint=f"choose by --of: {', '.join(shots)}")
    chosen = sorted((worst for worst in found if not shot or worst.shot == shot), key=lambda worst: -worst.score)
    if not chosen:
        raise UsageError(f"no frame came out badly in {path.name}", hint="there is nothing to train again for")
    once: dict[int, WorstFrame] = {}
    for worst in chosen:
        once.setdefault(worst.frame, worst)
    return tuple(once.values())
