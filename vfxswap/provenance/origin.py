"""How the frames of a sequence come to be, as their shards tell it."""

from __future__ import annotations

import functools
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from vfxswap import __version__
from vfxswap.job import SwapJob
from vfxswap.plate import Plate
from vfxswap.provenance.naming import compact, text
from vfxswap.provenance.records import ConsentEntry, FaceOrder, Job, Making, ModelEntry
from vfxswap.render import Target
from vfxswap.trust import ConsentRef, ShotId

_LIBRARIES = ("numpy", "opencv-python", "OpenImageIO", "opencolorio", "onnxruntime", "onnxruntime-gpu")


def making(job: SwapJob, *, plate: Plate, targets: Sequence[Target], grants: Sequence[ConsentRef]) -> Making:
    """The record of a job for one sequence of files.

    Args:
        job: what was asked for.
        plate: where the sequence comes from, over the job's whole range.
        targets: the faces of its first view, in the order of the job's.
        grants: the consents that the models were opened under.
    """
    asked = Job(
        shot=str(ShotId.parse(job.shot) if job.shot else ShotId.local(job.plate_folder)),
        plate=text(Path(plate.sequence.pattern).name),
        frames=compact(plate.frames),
        view=job.view,
        part=job.part,
        color_config=plate.config.hash,
        color_space=plate.space,
        lens=text(Path(job.lens).name) if job.lens else "",
        layers=job.layers,
        passes=tuple(str(kind) for kind in job.passes),
        faces=tuple(_order(one.face, target) for one, target in zip(job.swaps, targets, strict=True)),
    )
    models = {target.model.card.onnx_sha256: target.model.card.performers for target in targets}
    consents = {
        ConsentEntry(role=ref.role, performer=ref.performer, id=ref.id, sha256=ref.sha256): None for ref in grants
    }
    return Making(
        job=asked,
        job_sha256=asked.sha256,
        models=tuple(
            ModelEntry(sha256=sha256, likeness=people.likeness, double=people.double)
            for sha256, people in models.items()
        ),
        consents=tuple(consents),
        software=dict(software()),
    )


@functools.cache
def software() -> tuple[tuple[str, str], ...]:
    """Name and version of everything that pixels depend on."""
    found = [("vfxswap", __version__), ("python", platform.python_version())]
    for name in _LIBRARIES:
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return tuple(found)


def _order(face: str, target: Target) -> FaceOrder:
    mattes = []
    for source in target.mattes:
        how = str(source).removeprefix(source.pattern)
        mattes.append(text(Path(source.pattern).name) + how)
    parameters = target.parameters.model_dump(mode="json")
    return FaceOrder(face=face, model=target.model.card.onnx_sha256, mattes=tuple(mattes), parameters=parameters)
