"""What is written down, as values: the shard of a frame, and the statement that is signed (docs/provenance.md)."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal, Self

import rfc8785
from pydantic import AfterValidator, Field, model_validator

from vfxswap.marks import SOURCE_TYPE
from vfxswap.trust.canonical import Document, Time

SHARD: Final = "vfxswap.shard/1"
PREDICATE: Final = "vfxswap.provenance/1"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "urn:vfxswap:provenance:v1"


def _file_name(text: str) -> str:
    if text in ("", ".", "..") or any(sign in text for sign in "/\\\0\n\r"):
        raise ValueError(f"{text!r} is not the name of a file in the same folder")
    return text


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
NetworkSha256 = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
"""Of a model's network; empty where something paints that is none."""

FileName = Annotated[str, AfterValidator(_file_name)]
Count = Annotated[int, Field(ge=0)]


class FileEntry(Document):
    """One output file.

    Attributes:
        sha256: of its bytes.
        pixels: sha256 of its decoded pixels, `vfxswap.pixels/1`.
    """

    name: FileName
    size: Count
    sha256: Sha256
    pixels: Sha256


class Source(Document):
    """The plate's file that a frame was made from."""

    name: FileName
    sha256: Sha256


class FaceOrder(Document):
    """What was asked for one face. `model`: sha256 of its network; `mattes`: names and how they are read."""

    face: str
    model: NetworkSha256
    mattes: tuple[str, ...]
    parameters: dict[str, float | str]


class Job(Document):
    """What was asked for, by content: no path, host, device or time, so every chunk of a job has the same."""

    shot: str
    plate: str
    frames: str
    view: str
    part: str
    color_config: str
    color_space: str
    lens: str
    layers: str
    passes: tuple[str, ...]
    faces: tuple[FaceOrder, ...]

    @property
    def sha256(self) -> str:
        """Of its canonical JSON."""
        return hashlib.sha256(_canonical(self.model_dump_json())).hexdigest()


class ModelEntry(Document):
    """A model that painted. `sha256`: of its network, the hash that consents name."""

    sha256: NetworkSha256
    likeness: str
    double: str


class ConsentEntry(Document):
    """A consent that the gate granted the swap under. `sha256`: of the record's canonical JSON."""

    role: Literal["likeness", "double"]
    performer: str
    id: str
    sha256: Sha256


class Making(Document):
    """How frames came to be."""

    job: Job
    job_sha256: Sha256
    models: tuple[ModelEntry, ...]
    consents: tuple[ConsentEntry, ...]
    software: dict[str, str]

    @model_validator(mode="after")
    def _job_fits(self) -> Self:
        if self.job.sha256 != self.job_sha256:
            raise ValueError("job_sha256 is not the hash of job")
        return self

    @property
    def work(self) -> tuple[str, tuple[ModelEntry, ...]]:
        """The shot and the models: what all frames of one sequence have in common."""
        return self.job.shot, self.models


class _Frame(Document):
    frame: int
    key: str
    altered: bool
    plate: Source
    files: Annotated[tuple[FileEntry, ...], Field(min_length=1)]

    @property
    def main(self) -> FileEntry:
        """The frame itself; the others are passes."""
        return self.files[0]


class Shard(_Frame):
    """The record of one frame, written with it. It holds no time, host or path.

    Attributes:
        sequence: name of the output sequence.
        key: hash of everything that the pixels depend on (the header's `vfxswap:job`).
        altered: whether a face was replaced in this frame.
        sha256: of the canonical JSON of all the rest, to find damage. It proves nothing: shards are not signed.
    """

    schema_: Literal["vfxswap.shard/1"] = Field(default=SHARD, alias="schema")
    sequence: str
    made: Making
    sha256: Sha256

    @staticmethod
    def of(
        *,
        sequence: str,
        frame: int,
        key: str,
        altered: bool,
        plate: Source,
        files: tuple[FileEntry, ...],
        made: Making,
    ) -> Shard:
        """A shard with its digest."""
        bare = Shard.model_construct(
            schema_=SHARD,
            sequence=sequence,
            frame=frame,
            key=key,
            altered=altered,
            plate=plate,
            files=files,
            made=made,
            sha256="",
        )
        return bare.model_copy(update={"sha256": bare._digest()})

    def of_job(self, made: Making) -> Shard:
        """This shard for the job of `made`; consents and software stay those that it was rendered with."""
        now = self.made.model_copy(update={"job": made.job, "job_sha256": made.job_sha256})
        return self.of(
            sequence=self.sequence,
            frame=self.frame,
            key=self.key,
            altered=self.altered,
            plate=self.plate,
            files=self.files,
            made=now,
        )

    @model_validator(mode="after")
    def _digest_fits(self) -> Self:
        if self._digest() != self.sha256:
            raise ValueError("sha256 is not the hash of the rest: the shard is damaged")
        return self

    def _digest(self) -> str:
        """Of the canonical JSON of all but `sha256`. What a shot's frames have in common is made canonical once."""
        rest = self.model_dump(mode="json", by_alias=True, exclude={"sha256", "made"})
        parts = {name: rfc8785.dumps(value) for name, value in rest.items()}
        parts["made"] = _canonical(self.made.model_dump_json(by_alias=True))
        return hashlib.sha256(
            b"{" + b",".join(b'"%b":%b' % (n.encode(), parts[n]) for n in sorted(parts)) + b"}"
        ).hexdigest()


class FrameEntry(_Frame):
    """A frame of the sequence. `made`: which of the statement's makings."""

    made: Count


class Sidecar(Document):
    """The C2PA sidecar that was made with the signature."""

    name: FileName
    sha256: Sha256


class QcEntry(Document):
    """A report of QC about the frames, in the same folder. `sha256`: of its bytes."""

    name: FileName
    sha256: Sha256


class Signing(Document):
    """What differs between two signings of the same sequence. `time`: when, by the signer's own clock."""

    time: Time
    c2pa: Sidecar | None = None


class Predicate(Document):
    """What is said of the subjects."""

    schema_: Literal["vfxswap.provenance/1"] = Field(default=PREDICATE, alias="schema")
    sequence: FileName
    digital_source_type: Literal[
        "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
    ] = SOURCE_TYPE
    signing: Signing
    made: Annotated[tuple[Making, ...], Field(min_length=1)]
    frames: Annotated[tuple[FrameEntry, ...], Field(min_length=1)]
    qc: Annotated[tuple[QcEntry, ...], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        numbers = [entry.frame for entry in self.frames]
        if numbers != sorted(set(numbers)):
            raise ValueError("frames are not in order, or there twice")
        if any(entry.made >= len(self.made) for entry in self.frames):
            raise ValueError("a frame names a making that is not there")
        return self

    @property
    def performers(self) -> tuple[str, ...]:
        """Everybody whose face was put on or replaced."""
        models = [model for made in self.made for model in made.models]
        return tuple(sorted({name for model in models for name in (model.likeness, model.double)}))


class Digest(Document):
    """in-toto's digest set."""

    sha256: Sha256


class Subject(Document):
    """in-toto's subject: one output file."""

    name: FileName
    digest: Digest


class Statement(Document):
    """An in-toto Statement v1 about every file of a sequence.

    Its subjects are the files of its frames, in order, then its QC reports.
    """

    type_: Literal["https://in-toto.io/Statement/v1"] = Field(default=STATEMENT_TYPE, alias="_type")
    subject: tuple[Subject, ...]
    predicate_type: Literal["urn:vfxswap:provenance:v1"] = Field(default=PREDICATE_TYPE, alias="predicateType")
    predicate: Predicate

    @classmethod
    def about(cls, predicate: Predicate) -> Self:
        """The statement whose subjects are the files of `predicate`."""
        return cls.model_validate({"subject": tuple(_subjects(predicate)), "predicate": predicate})

    @model_validator(mode="after")
    def _subjects_fit(self) -> Self:
        if self.subject != tuple(_subjects(self.predicate)):
            raise ValueError("the subjects are not the files of the frames and the reports")
        if len({subject.name for subject in self.subject}) != len(self.subject):
            raise ValueError("a file is there twice")
        return self

    def canonical(self) -> bytes:
        """Its canonical JSON (RFC 8785)."""
        return rfc8785.dumps(self.model_dump(mode="json", by_alias=True, exclude_none=True))


def _subjects(predicate: Predicate) -> Iterable[Subject]:
    files: list[FileEntry | QcEntry] = [file for entry in predicate.frames for file in entry.files]
    for file in (*files, *(predicate.qc or ())):
        yield Subject(name=file.name, digest=Digest(sha256=file.sha256))


@functools.lru_cache(maxsize=64)
def _canonical(text: str) -> bytes:
    """The canonical JSON of a document, from any JSON of it."""
    return rfc8785.dumps(json.loads(text))


def digest(value: Any) -> str:
    """The hex sha256 of the canonical JSON of `value`."""
    return hashlib.sha256(rfc8785.dumps(value)).hexdigest()
