"""Consent to publish: asked of the gate again, at every step, and the identity lock on the finished faces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from vfxswap import infer
from vfxswap.events import CancelToken
from vfxswap.face import EMBEDDERS, mesh
from vfxswap.face.frame import FaceFrame
from vfxswap.face.identity import Consistency, consistency
from vfxswap.faceset import quarantine
from vfxswap.geometry import Window
from vfxswap.pixels import F64, ModelRgb
from vfxswap.plate import skin_gain
from vfxswap.provenance import Making
from vfxswap.publish.look import finished
from vfxswap.publish.request import Item, Request
from vfxswap.trust import ConsentRef, Grant, Rule
from vfxswap.trust.consent import TOGETHER
from vfxswap.trust.references import Reference, read_reference, require_reference
from vfxswap.trust.refusals import refusal
from vfxswap.vfxmodel import ModelCard, read_card

SAMPLES = 16
"""So many frames at most are compared with the references."""


def cards(request: Request) -> tuple[ModelCard, ...]:
    """What the models of the job's faces say of themselves; raises ModelError."""
    return tuple(read_card(one.model) for one in request.job.swaps)


def authorize(request: Request, makings: Sequence[Making] = ()) -> tuple[Grant, ...]:
    """Ask the gate for leave to publish, once for each model; nothing is remembered from an earlier time.

    Args:
        request: what is to be published.
        makings: how the frames came to be: the consents that they were rendered under must still hold.

    Raises:
        ConsentError: VS-CON-001 ... 015, the first rule that is broken. ModelError: a model cannot be read.
    """
    gate = request.gate()
    rendered = [{"id": entry.id, "sha256": entry.sha256} for made in makings for entry in made.consents]
    grants: dict[str, Grant] = {}
    for card in cards(request):
        origin: list[Mapping[str, Any]] = [*card.origin(), *rendered]
        grants[card.onnx_sha256] = gate.authorize(
            shot=request.shot,
            use="publish",
            performers=card.performers.by_role(),
            model_sha256=card.onnx_sha256,
            origin=origin,
        )
    return tuple(grants.values())


@dataclass(frozen=True)
class Locked:
    """What the faces of one model are compared with. `face`: which of the job's."""

    face: int
    performer: str
    reference: Reference
    threshold: float


def locks(request: Request, grants: Sequence[Grant]) -> tuple[Locked, ...]:
    """The references that the consents of the likenesses name, opened.

    A face that is made of several performers looks like none of them and is compared with none.

    Raises:
        ConsentError: VS-CON-015, a reference file is missing, another one, or made by another network.
    """
    by_model = {grant.model_sha256: grant for grant in grants}
    files = {read_reference(path).sha256: path for path in request.references}
    found = []
    for number, card in enumerate(cards(request)):
        refs = [ref for ref in by_model[card.onnx_sha256].consents if ref.role == "likeness"]
        if TOGETHER in card.performers.likeness:
            continue
        found += [lock for ref in refs if (lock := _lock(number, ref, files)) is not None]
    unused = [path for sha256, path in files.items() if sha256 not in [one.reference.sha256 for one in found]]
    if unused:
        hint = "leave it out, or publish under the consent that names it"
        raise refusal(Rule.REFERENCE, "no consent names this reference file", hint=hint, path=unused[0])
    return tuple(found)


def _lock(face: int, ref: ConsentRef, files: Mapping[str, Any]) -> Locked | None:
    if ref.reference is None:
        return None
    path = files.get(ref.reference.file_sha256) or next(iter(files.values()), None)
    reference = require_reference(path, ref.reference, performer=ref.performer)
    if reference is None:
        return None
    if reference.content.model_sha256 != infer.catalog()["identity"].sha256:
        hint = "make it anew, and a consent that names it, or use the vfxswap that made it"
        text = "the reference file was made by another network than this vfxswap has"
        raise refusal(Rule.REFERENCE, text, hint=hint, path=path)
    return Locked(face, ref.performer, reference, ref.reference.threshold)


def compared(items: Sequence[Item], lock: Locked, *, device: infer.Device, cancel: CancelToken) -> Consistency:
    """Compare finished faces with the references of one performer.

    Up to 16 frames, spread evenly over those in which the face is not turned beyond the limits of a faceset.
    """
    embed = EMBEDDERS["dlib"](device=device)
    rows: list[F64] = []
    for item, frame, face in _shown(items, lock.face):
        cancel.check()
        rows.append(embed(*_picture(item, frame, face)))
    references = np.asarray(lock.reference.content.embeddings, np.float64)
    return consistency(np.array(rows).reshape(-1, references.shape[1]), references, threshold=lock.threshold)


def _shown(items: Sequence[Item], number: int) -> Iterator[tuple[Item, int, FaceFrame]]:
    limits = quarantine.LIMITS
    usable = [
        (item, frame, face)
        for item in items
        if item.faces is not None
        for frame, face in sorted(item.faces[number].items())
        if abs(face.pose_deg[1]) <= limits.yaw_deg and abs(face.pose_deg[0]) <= limits.pitch_deg
        if item.output.path(frame).is_file()
    ]
    count = min(SAMPLES, len(usable))
    for at in sorted(set(np.linspace(0, len(usable) - 1, count).round().astype(int).tolist())) if count else ():
        yield usable[at]


def _picture(item: Item, frame: int, face: FaceFrame) -> tuple[ModelRgb, F64]:
    """The finished frame as the embedder sees it, and the face's landmarks in it; pixels made square."""
    image = finished(item, frame)
    window = Window(0, 0, image.display_window.width, image.display_window.height)
    light, held = item.plate.working(image, window)
    gain = skin_gain(light, held, mesh.skin_points(face.landmarks), item.plate.config)
    rgb = item.plate.glance(image, window, gain=gain if np.isfinite(gain) else 1.0)
    points = np.asarray(face.landmarks, np.float64).copy()
    if image.pixel_aspect != 1.0:
        wide = round(window.width * image.pixel_aspect)
        points[:, 0] *= wide / window.width
        rgb = ModelRgb(np.asarray(cv2.resize(rgb, (wide, window.height), interpolation=cv2.INTER_AREA), np.float32))
    return rgb, points
