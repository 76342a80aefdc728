"""What is to be published: finished sequences, the job that made them, and under whose consents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vfxswap import cache, pipeline, provenance
from vfxswap.errors import OutputError, TrackError, UsageError
from vfxswap.face import track as tracks
from vfxswap.face.frame import FaceFrame
from vfxswap.job import FaceSwap, Layers, SwapJob
from vfxswap.plate import Plate
from vfxswap.provenance import Trust
from vfxswap.sequence import FrameRange, SequencePath, for_view
from vfxswap.trust import Gate, KeyRing, ShotId, default_keyring

FOLDER: Final = "publish"
"""Where versions go when nobody says otherwise: beside the frames."""

NONE: Final = FrameRange(())
"""No frame."""


@dataclass(frozen=True, eq=False)
class Item:
    """One sequence: all frames of a job, or those of one eye where each has files of its own.

    Attributes:
        output: the frames.
        plate: what they were made from.
        faces: of each face of the job where it is, by frame; None where no track is at hand.
        layers: what its files hold.
    """

    output: SequencePath
    plate: Plate
    faces: tuple[Mapping[int, FaceFrame], ...] | None
    layers: Layers

    @property
    def name(self) -> str:
        """Of the sequence."""
        return self.output.name

    @property
    def frames(self) -> tuple[int, ...]:
        """Those that have to be there, rising."""
        return tuple(sorted(self.plate.frames))


@dataclass(frozen=True, eq=False)
class Request:
    """A publish.

    Attributes:
        job: what was rendered, with its consents and key ring.
        items: its sequences, at least one.
        into: the folder that gets a version; None before the plate was opened.
        version: its number; None takes the next.
        references: files of reference embeddings, for consents that name one.
        approved: frames that may show the plate's own face.
        qc: a QC report of the frames, where there is one.
        repairable: whether the job is the one that made the frames, knobs and all, so that it can make them again.
    """

    job: SwapJob
    items: tuple[Item, ...]
    into: Path | None = None
    version: int | None = None
    references: tuple[Path, ...] = ()
    approved: FrameRange = NONE
    qc: Path | None = None
    repairable: bool = True

    @property
    def shot(self) -> ShotId:
        """As the operator names it; raises ConsentError VS-CON-011."""
        return ShotId.parse(self.job.shot) if self.job.shot else ShotId.local(self.job.plate_folder)

    def gate(self) -> Gate:
        """The consent gate, with the consents and lists as they are now; raises ConsentError."""
        return Gate(KeyRing.load(self.job.keyring), list(self.job.consents))

    def trust(self) -> Trust:
        """Whose signatures on a manifest count: the ring's, and this user's own render keys.

        Raises:
            ConsentError: the ring is not there, or damaged.
        """
        there = self.job.keyring is not None or default_keyring().is_dir()
        return Trust(KeyRing.load(self.job.keyring) if there else None, provenance.own_ring())


def name_of(version: int) -> str:
    """`v001`."""
    return f"v{version:03d}"


def of_job(
    job: SwapJob,
    *,
    into: Path | None = None,
    version: int | None = None,
    references: Sequence[Path] = (),
    approved: FrameRange | None = None,
    qc: Path | None = None,
    repairable: bool = True,
) -> Request:
    """Open the plate and the tracks of a job whose frames are to be published; `into` is beside the frames without.

    Raises:
        PlateError, ColorError, JobError: the plate or its config is not there, or another one. TrackError: the track
            that the job names. OutputError: there is no folder of frames. UsageError: the output has no frame number.
    """
    items: dict[SequencePath, Item] = {}
    for plate in pipeline.job_plates(job):
        output = SequencePath.parse(for_view(job.output, plate.view_name)).require_token()
        if not output.folder.is_dir():
            raise OutputError(
                f"there is no folder {output.folder}", path=output.pattern, hint="render the job, then publish it"
            )
        if output not in items:
            items[output] = Item(output, plate, _faces(job, plate, output), job.layers)
    return Request(
        job=job,
        items=tuple(items.values()),
        into=next(iter(items.values())).output.folder / FOLDER if into is None else into,
        version=version,
        references=tuple(references),
        approved=NONE if approved is None else approved,
        qc=qc,
        repairable=repairable,
    )


def of_frames(out: str, *, plate: str, models: Sequence[Path], **given: object) -> SwapJob:
    """The job of frames without one, as far as their manifest tells it.

    Args:
        out: folder, pattern or one file of the frames.
        plate: of which they were made.
        models: with which, in the order of the faces.
        given: further fields of the job.

    Raises:
        ProvenanceError: VS-PRV-001, there is no manifest to ask. UsageError: no frame number; another number of models.
        PlateError: a folder with no or several sequences.
    """
    output = SequencePath.parse(out).require_token()
    asked = provenance.read_manifest(provenance.manifest_path(output.folder, output.name)).statement.predicate.made[0]
    faces = asked.job.faces
    if len(models) != len(faces):
        raise UsageError(f"{len(models)} times --model for {len(faces)} faces", hint="give the model of each face")
    also = [FaceSwap(face=face.face, model=model) for face, model in zip(faces[1:], models[1:], strict=True)]
    fields = {
        "plate": plate,
        "output": output.pattern,
        "frames": asked.job.frames,
        "view": asked.job.view,
        "part": asked.job.part,
        "color_space": asked.job.color_space,
        "layers": asked.job.layers,
        "face": faces[0].face,
        "model": models[0],
        "also": also,
    }
    return SwapJob.make(**{**fields, **{name: value for name, value in given.items() if value}})


def _faces(job: SwapJob, plate: Plate, output: SequencePath) -> tuple[Mapping[int, FaceFrame], ...] | None:
    """By the track that the job names, else by the one that rendering left beside the output."""
    if job.track is not None:
        path = Path(for_view(str(job.track), plate.view_name))
    else:
        key = cache.key("track", pipeline.plate_facts(plate), tracks.VERSION)
        path = output.folder / cache.FOLDER / (output.name or "shot") / f"{key}.vfxtrack"
        if not path.is_file():
            return None
    track = tracks.load(path)
    try:
        return tuple(track.face(one.face) for one in job.swaps)
    except TrackError:
        if job.track is not None:
            raise
        return None
