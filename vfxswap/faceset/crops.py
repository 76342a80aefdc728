"""A crop of a faceset, and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vfxswap.pixels import F32, F64

U8 = NDArray[np.uint8]

IDENTITY: Final = 128
BLENDSHAPES: Final = 52
THUMBNAIL: Final = 24

Kind = Literal["blur", "duplicate", "identity", "extreme", "unreadable"]
"""Why a crop is quarantined, in a word: docs/facesets.md."""

Verdict = Literal["keep", "drop"]
"""What an artist says of a crop. It stands above every measurement."""


@dataclass(frozen=True)
class Reason:
    """One reason for quarantine: its kind, and in words what was measured and what the limit is."""

    kind: Kind
    text: str


@dataclass(frozen=True, eq=False)
class Crop:
    """One crop of a faceset.

    Attributes:
        name: file name without extension, unique in the faceset.
        plate, frame, timecode: where it came from.
        gain: exposure that puts this crop's skin at 0.18 (linear factor).
        pose_deg: pitch, yaw, roll (face/pose.py).
        confidence: 0..1 of the track.
        quarantined: why it is not used, in words; None when it is.
        landmarks: (478, 3) in crop pixels.
        reasons: every reason that was found, also where the artist's word is another.
        figures: what the reasons stand on (docs/facesets.md lists them).
        verdict: the artist's word, None where there is none.
        note: what the artist says to it.
        key: hash of all that the crop depends on; empty where unknown.
        source_sha256: of the plate's file.
        sha256: of the crop's EXR.
    """

    name: str
    plate: str
    frame: int
    timecode: str | None
    gain: float
    pose_deg: tuple[float, float, float]
    confidence: float
    quarantined: str | None
    landmarks: F64
    reasons: tuple[Reason, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    verdict: Verdict | None = None
    note: str = ""
    key: str = ""
    source_sha256: str = ""
    sha256: str = ""

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds of its reasons."""
        return frozenset(reason.kind for reason in self.reasons)


@dataclass(frozen=True, eq=False)
class Row:
    """A crop with its row of every array.

    Attributes:
        crop: the crop.
        embedding: (128,) float64, zeros where unknown.
        expression: (52,) float32, NaN where unknown.
        thumbnail: (24, 24, 3) uint8 sRGB codes, zeros where unknown.
    """

    crop: Crop
    embedding: F64
    expression: F32
    thumbnail: U8

    @property
    def measured(self) -> bool:
        """False for crops of version 1, which were cut before anything was measured."""
        return "clipped" in self.crop.figures


class PlateRecord(BaseModel):
    """A plate that crops were cut from, with the settings it was looked at with.

    Attributes:
        id: the number in the names of its crops.
        pattern: its files.
        stills: its frames are unrelated pictures.
        settings: everything else that its crops depend on.
        key: hash of settings and content; empty when it has to be looked at again.
        without_face: frame -> sha256 of the files of stills that show no face.
    """

    model_config = ConfigDict(frozen=True)

    id: int
    pattern: str
    stills: bool = False
    settings: dict[str, str] = Field(default_factory=dict)
    key: str = ""
    without_face: dict[int, str] = Field(default_factory=dict)


def quarantined(reasons: Sequence[Reason], verdict: Verdict | None, note: str = "") -> str | None:
    """Why a crop is not used, in words, None when it is: the artist's word, else the reasons."""
    if verdict == "keep":
        return None
    if verdict == "drop":
        return "dropped by hand" + (f": {note}" if note else "")
    return "; ".join(reason.text for reason in reasons) or None


def entry(crop: Crop) -> dict[str, Any]:
    """A crop as `faceset.json` and the sheet say it: all but its landmarks."""
    fields = {name: value for name, value in vars(crop).items() if name != "landmarks"}
    return {
        **fields,
        "reasons": [asdict(reason) for reason in crop.reasons],
        "figures": dict(sorted(crop.figures.items())),
    }
