"""The artist's loop: the frames that came out worst are collected, and the training goes on with them.

A model folder's `retrain/` holds what was collected, over all rounds:

    rounds.json   which frames of which report, and up to where the training then went
    double/       faceset of the double: the worst frames' crops, quarantined or not
    likeness/     faceset of the likeness: its crops that are nearest to those, copied

Both facesets join the training's own as further ones (joined.py), whose crops are drawn more often. A round is
written down before anything is done, everything in it can be done twice without harm, and so the same command goes on
wherever a broken one stopped.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vfxswap import archive, atomic, coverage, documents, faceset
from vfxswap.errors import FacesetError, ModelError, UsageError, VfxSwapError
from vfxswap.events import CancelToken
from vfxswap.faceset import CROPS, Faceset, Footage
from vfxswap.faceset import index as files
from vfxswap.faceset.crops import Row
from vfxswap.faceset.identity import reference as middle_of
from vfxswap.infer import Device
from vfxswap.train.bank import held_out
from vfxswap.train.worst import WorstFrame
from vfxswap.trust import Grant

FOLDER: Final = "retrain"
ROUNDS: Final = "rounds.json"
SCHEMA: Final = "vfxswap.retrain/1"

_STRANGER = 0.5
"""Distance of embeddings above which a face is taken for somebody else's, unless the double's faceset has a limit."""

_TURNED_DEG = 35.0
"""Beyond it embeddings say little about whose face it is."""


class Asked(BaseModel):
    """A frame that a report names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    frame: int
    reason: str


class Round(BaseModel):
    """One report that the training was to learn from.

    Attributes:
        key: hash of what was asked for: the same command has the same.
        report: file name of the report, and its sha256.
        plate: whose frames.
        frames: the worst of them, the worst first.
        steps, minutes: the budget up to which the training goes, all of it; one of the two.
        began_at: step at which the round began.
        collected: whether the facesets hold what could be had of it.
        done: whether the training came to the end of the budget.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    report: str
    report_sha256: str
    plate: str
    frames: tuple[Asked, ...]
    steps: int | None = None
    minutes: float | None = None
    began_at: int = 0
    collected: bool = False
    done: bool = False


class Rounds(BaseModel):
    """`rounds.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_: Literal["vfxswap.retrain/1"] = Field(default="vfxswap.retrain/1", alias="schema")
    rounds: tuple[Round, ...] = ()

    def find(self, key: str) -> Round | None:
        """The round of a key."""
        return next((one for one in self.rounds if one.key == key), None)

    def with_(self, changed: Round) -> Rounds:
        """The same with one round added, or put in the place of that of its key."""
        others = [changed if one.key == changed.key else one for one in self.rounds]
        return Rounds(rounds=tuple(others if changed in others else [*others, changed]))


def read_rounds(model: Path) -> Rounds:
    """The rounds of a model folder, none where there were none; raises ModelError when the file is damaged."""
    path = model / FOLDER / ROUNDS
    try:
        return Rounds.model_validate_json(documents.read_bytes(path, most=documents.LARGE))
    except FileNotFoundError:
        return Rounds()
    except (ValidationError, documents.TooLargeError, OSError) as error:
        other = documents.version_problem(error) if isinstance(error, ValidationError) else None
        if other is not None:
            raise ModelError(other[0], path=path, hint=other[1]) from error
        raise ModelError(
            "the record of retraining is damaged", path=path, hint="restore it, or move it away"
        ) from error


def write_round(model: Path, changed: Round) -> Round:
    """Write a round down, whole or not at all; raises OutputError, ResourceError."""
    text = read_rounds(model).with_(changed).model_dump_json(by_alias=True, indent=1) + "\n"
    atomic.write_text(model / FOLDER / ROUNDS, text)
    return changed


def round_key(report: bytes, *asked: object) -> str:
    """The key of a round: of the report's content and of everything else that was asked for."""
    return archive.sha256(repr((archive.sha256(report), *map(str, asked))).encode())[:32]


@dataclass(frozen=True)
class Collecting:
    """What collecting frames takes.

    Attributes:
        model: the model folder.
        grant: leave to make a faceset of the double, from a gate that was asked about what was collected before.
        reference: the file of reference embeddings that the double's consent names.
        device: where networks run.
        warn: told what a person should know.
        progress: called with (stage, done, total).
        cancel: polled between frames.
    """

    model: Path
    grant: Grant
    reference: Path | None = None
    device: Device = "auto"
    warn: Callable[[VfxSwapError], None] = lambda _error: None
    progress: Callable[[str, int, int], None] = lambda _stage, _done, _total: None
    cancel: CancelToken | None = None

    def double(self, main: Faceset, footage: Footage, frames: Sequence[int]) -> Faceset:
        """Add a plate's frames to the faceset of the double; those that are in it are not cut again.

        Args:
            main: the training's faceset of the double.
            footage: the plate. A shot is tracked as a whole, whatever frames are wanted.
            frames: which.

        Raises:
            UsageError: the plate lacks one. FacesetError: the face is somebody else's. TrackError, PlateError.
        """
        missing = [frame for frame in frames if frame not in footage.plate.frames]
        if missing:
            raise UsageError(
                f"the plate {footage.plate.sequence.pattern} has no frame {missing[0]}, which the report names",
                hint="give the plate that the report is about, or --of",
            )
        built = faceset.build(
            self.model / FOLDER / "double",
            performer=main.performer,
            plates=[replace(footage, only=frozenset(frames))],
            grant=self.grant,
            reference=self.reference,
            append=True,
            size=main.size,
            device=self.device,
            progress=self.progress,
            warn=self.warn,
            cancel=self.cancel,
        )
        _check_face(built, main, pattern=footage.plate.sequence.pattern, frames=frames)
        return built

    def likeness(self, main: Faceset, worst: Faceset) -> Faceset | None:
        """Copy the likeness's crops that are nearest to the worst frames into a faceset of their own.

        Only crops that are trained on anyway are taken: what scores stays unseen.

        Args:
            main: the training's faceset of the likeness.
            worst: the double's, as collected.

        Returns:
            What is in the faceset now; None where nothing could be compared.
        """
        usable = main.usable()
        scoring = {usable[i].name for i in held_out(len(usable))}
        asked = coverage.of_faceset(worst, needed=True, progress=self._step("double"))
        examples = coverage.of_faceset(main, progress=self._step("likeness"))
        seen = replace(examples, samples=tuple(s for s in examples.samples if s.name not in scoring))
        needs = coverage.compare(seen, asked).needs
        return copy_crops(
            main, {match.sample.name for need in needs for match in need.nearest}, self.folder("likeness")
        )

    def folder(self, role: Literal["likeness", "double"]) -> Path:
        """Where the faceset of a role is."""
        return self.model / FOLDER / role

    def _step(self, stage: str) -> Callable[[int, int], None]:
        def step(done: int, total: int) -> None:
            self.progress(stage, done, total)
            if self.cancel is not None:
                self.cancel.check()

        return step


def consents(model: Path) -> tuple[dict[str, str], ...]:
    """Under which the collected facesets were made; raises FacesetError."""
    folders = [model / FOLDER / role for role in ("likeness", "double")]
    return tuple(
        record for folder in folders if (folder / faceset.INDEX).exists() for record in faceset.load(folder).consents
    )


def collected(model: Path, role: Literal["likeness", "double"]) -> Faceset | None:
    """What was collected of a role that can be trained on; None where there is nothing. Raises FacesetError."""
    folder = model / FOLDER / role
    if not (folder / faceset.INDEX).exists():
        return None
    found = faceset.load(folder)
    return found if found.usable() else None


def _check_face(built: Faceset, main: Faceset, *, pattern: str, frames: Sequence[int]) -> None:
    """Refuse frames whose face is not the double's: nobody asked that person. The faceset drops them.

    Raises:
        FacesetError: most of the frames that can be compared are not consistent with the double's own crops.
    """
    mine = [
        (crop, embedding)
        for crop, embedding in zip(built.crops, built.embeddings, strict=True)
        if crop.plate == pattern and crop.frame in frames and crop.verdict != "drop"
    ]
    seen = [embedding for crop, embedding in mine if abs(crop.pose_deg[1]) <= _TURNED_DEG and embedding.any()]
    reference = middle_of(main)
    if not seen or not reference.any():
        return
    away = float(np.median(np.linalg.norm(np.stack(seen) - reference, axis=1)))
    most = main.limits.get("identity", _STRANGER)
    if away > most:
        said = f"not consistent with {main.performer}: distance {away:.2f}, at most {most:g}"
        faceset.edit(built.folder, drop=[crop.name for crop, _ in mine], note=said)
        raise FacesetError(f"the face in {pattern} is {said}", hint="choose the double's with --face")


def copy_crops(source: Faceset, names: set[str], folder: Path) -> Faceset | None:
    """Add crops of a faceset to another of the same performer, as they are; nothing there is taken out.

    Args:
        source: where from.
        names: which crops.
        folder: where to; made if it is not there.

    Raises:
        FacesetError: the folder holds a faceset of another performer or crop size. OutputError, ResourceError.
    """
    there = faceset.load(folder) if (folder / faceset.INDEX).exists() else None
    if there is not None and (there.performer, there.size) != (source.performer, source.size):
        raise FacesetError(
            f"it holds {there.size} px crops of {there.performer}, not {source.size} px crops of {source.performer}",
            path=folder,
            hint="move it away",
        )
    rows = {row.crop.name: row for row in there.rows()} if there is not None else {}
    fresh = [row for row in source.rows() if row.crop.name in names and not _same(rows.get(row.crop.name), row)]
    for row in fresh:
        atomic.make_folder(folder / CROPS)
        name = f"{row.crop.name}.exr"
        with atomic.replacing(folder / CROPS / name) as temporary:
            shutil.copyfile(source.folder / CROPS / name, temporary)
        rows[row.crop.name] = row
    if not fresh and (there is None or not _cut_off(folder)):
        return there
    plates = {plate.id: plate for plate in (*(there.plates if there else ()), *source.plates)}
    consents = [*(there.consents if there else ()), *source.consents]
    return files.write(
        folder,
        performer=source.performer,
        size=source.size,
        config=source.config,
        consents=[dict(pairs) for pairs in dict.fromkeys(tuple(sorted(one.items())) for one in consents)],
        plates=tuple(plates.values()),
        limits=source.limits,
        rows=sorted(rows.values(), key=lambda row: row.crop.name),
    )


def _cut_off(folder: Path) -> bool:
    """Whether a process that wrote the faceset was killed before all its arrays had their names."""
    return any(folder.glob("*.npy.next"))


def _same(a: Row | None, b: Row) -> bool:
    return a is not None and a.crop.sha256 == b.crop.sha256


def asked(worst: Sequence[WorstFrame], most: int) -> tuple[Asked, ...]:
    """The `most` worst frames, as a round records them."""
    return tuple(Asked(frame=one.frame, reason=one.reason) for one in worst[:most])
