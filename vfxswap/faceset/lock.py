"""The identity lock: the faces of a faceset are compared with the references that the performer's consent names.

A plate whose faces as a whole are not consistent with them is refused, and nothing of the build stays; single crops
that are not are quarantined. Faces turned beyond the limits look like nobody and are not compared.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from vfxswap import infer
from vfxswap.face.identity import Consistency, consistency
from vfxswap.faceset import quarantine
from vfxswap.faceset.crops import Row
from vfxswap.faceset.footage import plate_number
from vfxswap.faceset.index import CROPS, Faceset
from vfxswap.faceset.journal import Journal
from vfxswap.faceset.quarantine import REFERENCE_DISTANCE as DISTANCE
from vfxswap.faceset.quarantine import REFERENCE_THRESHOLD as THRESHOLD
from vfxswap.pixels import F64
from vfxswap.trust.consent import ConsentRef, Grant
from vfxswap.trust.references import require_reference
from vfxswap.trust.refusals import Rule, refusal

LEAST_PLATE: Final = 5
"""So many faces of a plate say something of it as a whole."""


@dataclass(frozen=True, eq=False)
class Lock:
    """What the faces of one performer are compared with.

    Attributes:
        performer: whose references they are.
        references: (M, 128) embeddings.
        threshold: of the consent.
    """

    performer: str
    references: F64
    threshold: float

    @staticmethod
    def of(grant: Grant, file: Path | None) -> Lock | None:
        """The lock that the consent of a faceset's grant asks for, None where it names no references.

        Raises:
            ConsentError: VS-CON-015, the reference file is missing, another one, or made by another network.
        """
        ref = grant.consents[0]
        found = require_reference(file, ref.reference, performer=ref.performer)
        if found is None or ref.reference is None:
            return None
        if found.content.model_sha256 != model_sha256():
            raise refusal(
                Rule.REFERENCE,
                "the reference file was made by another network than this vfxswap has",
                hint="make it anew, and a consent that names it, or use the vfxswap that made it",
                path=file,
            )
        return Lock(ref.performer, np.asarray(found.content.embeddings, np.float64), ref.reference.threshold)

    def compared(self, rows: Sequence[Row]) -> list[Row]:
        """The same crops, those that can be compared with their distance among their figures."""
        return [self._compared(row) for row in rows]

    def _compared(self, row: Row) -> Row:
        figures = {key: value for key, value in row.crop.figures.items() if key not in (DISTANCE, THRESHOLD)}
        if row.embedding.any():
            away = float(self._consistency([row]).distances[0])
            figures |= {DISTANCE: round(away, 4), THRESHOLD: self.threshold}
        return replace(row, crop=replace(row.crop, figures=figures))

    def check(self, rows: Sequence[Row]) -> None:
        """Refuse a faceset, or a plate of it, that is not consistent with the references.

        Args:
            rows: all crops, judged (quarantine.judge).

        Raises:
            ConsentError: VS-CON-015, naming the plate and the figures.
        """
        judged = [row for row in rows if comparable(row)]
        plates: dict[int, list[Row]] = {}
        for row in judged:
            plates.setdefault(plate_number(row.crop.name), []).append(row)
        for shown in (*(found for found in plates.values() if len(found) >= LEAST_PLATE), judged):
            found = self._consistency(shown)
            if not found.ok:
                where = {row.crop.plate for row in shown}
                what = f"the faces of {where.pop()}" if len(where) == 1 else "the faces"
                raise refusal(
                    Rule.REFERENCE,
                    f"{what} are {found.words(self.performer)}" if shown else "no face could be compared",
                    hint="check --face and the plate; with another person's face ask for that person's consent",
                )

    def _consistency(self, rows: Sequence[Row]) -> Consistency:
        found = np.array([row.embedding for row in rows], np.float64).reshape(-1, self.references.shape[1])
        return consistency(found, self.references, threshold=self.threshold)


def comparable(row: Row) -> bool:
    """Whether a crop's face can be compared: readable, not turned away, not dropped by hand."""
    pitch, yaw, _ = row.crop.pose_deg
    limits = quarantine.LIMITS
    return (
        bool(row.embedding.any())
        and abs(yaw) <= limits.yaw_deg
        and abs(pitch) <= limits.pitch_deg
        and "unreadable" not in row.crop.kinds
        and row.crop.verdict != "drop"
    )


def discard(folder: Path, rows: Sequence[Row], *, there: Faceset | None) -> None:
    """Take back what a refused build wrote; a faceset that was there before stays as it was."""
    before = {crop.name for crop in there.crops} if there is not None else set()
    for row in rows:
        if row.crop.name not in before:
            (folder / CROPS / f"{row.crop.name}.exr").unlink(missing_ok=True)
    Journal(folder).close()
    with contextlib.suppress(OSError):  # not empty: somebody else's
        (folder / CROPS).rmdir()
        folder.rmdir()


def require_compared(source: Faceset, consents: Sequence[ConsentRef]) -> None:
    """Refuse to train on a faceset that was not compared with the references that a consent of now names.

    Raises:
        ConsentError: VS-CON-015.
    """
    for ref in consents:
        if ref.performer != source.performer or ref.reference is None:
            continue
        if not any(part.get("reference_sha256") == ref.reference.file_sha256 for part in source.consents):
            raise refusal(
                Rule.REFERENCE,
                f"the faceset was not compared with the references of {ref.performer}",
                hint="build it under this consent, with --reference FILE",
                path=source.folder,
            )


def model_sha256() -> str:
    """Of the network that tells faces apart."""
    return infer.catalog()["identity"].sha256
