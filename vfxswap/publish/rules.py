"""What can be wrong with a sequence that is to be published: one code each, its cause and its repair.

The codes are a contract (docs/publish.md lists this table); a number is never reused. Codes of consent and provenance
are those of `trust` and `provenance`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class Area(StrEnum):
    """One validator each."""

    SEQUENCE = "sequence"
    IMAGE = "image"
    COLOR = "color"
    METADATA = "metadata"
    MATTE = "matte"
    TEMPORAL = "temporal"
    CONSENT = "consent"
    MODEL = "model"
    PROVENANCE = "provenance"


class Repair(StrEnum):
    """What vfxswap can do by itself."""

    NONE = ""
    RENDER = "render"
    QUARANTINE = "quarantine"
    RENAME = "rename"
    VERSION = "version"


@dataclass(frozen=True)
class Rule:
    """One thing that can be wrong.

    Attributes:
        code: VS-...
        area: whose validator finds it.
        says: the message's fixed words.
        cause: how it comes about, for people.
        do: what to do about it.
        repair: which repair does it.
        warning: said, but published all the same.
    """

    code: str
    area: Area
    says: str
    cause: str
    do: str
    repair: Repair = Repair.NONE
    warning: bool = False


_RENDER: Final = "render those frames again"

RULES: Final[tuple[Rule, ...]] = (
    Rule(
        "VS-SEQ-001",
        Area.SEQUENCE,
        "frames are missing",
        "the render was stopped, or frames were deleted",
        "render those frames",
        Repair.RENDER,
    ),
    Rule(
        "VS-SEQ-002",
        Area.SEQUENCE,
        "frames are outside the job's range",
        "an earlier, longer render, or a copy that went to the wrong folder",
        "put them aside: they are moved to .vfxswap/<sequence>/quarantine",
        Repair.QUARANTINE,
    ),
    Rule(
        "VS-SEQ-003",
        Area.SEQUENCE,
        "cannot be read",
        "a copy or a disk that failed half way",
        _RENDER,
        Repair.RENDER,
    ),
    Rule(
        "VS-SEQ-004",
        Area.SEQUENCE,
        "is a frame by another name",
        "renamed by hand, or copied by a tool that pads numbers otherwise",
        "rename it; only a file that is what was rendered is renamed",
        Repair.RENAME,
    ),
    Rule(
        "VS-SEQ-005",
        Area.SEQUENCE,
        "the version is there already",
        "--version names one that was published before",
        "take the next version: leave --version out",
        Repair.VERSION,
    ),
    Rule(
        "VS-SEQ-006",
        Area.SEQUENCE,
        "the plate cannot be read",
        "a frame of the plate is missing or damaged, so nothing can be compared with it",
        "restore the plate",
    ),
    Rule(
        "VS-IMG-001",
        Area.IMAGE,
        "the picture is not as large as the plate",
        "resized after the render, or rendered from another plate",
        _RENDER,
        Repair.RENDER,
    ),
    Rule(
        "VS-IMG-002",
        Area.IMAGE,
        "the data window is not the plate's",
        "cropped or padded after the render",
        _RENDER,
        Repair.RENDER,
    ),
    Rule(
        "VS-IMG-003",
        Area.IMAGE,
        "the display window or the pixel aspect is not the plate's",
        "written again by another program",
        _RENDER,
        Repair.RENDER,
    ),
    Rule(
        "VS-IMG-004",
        Area.IMAGE,
        "channels are not those that are needed",
        "written again by another program, or rendered with other layers",
        _RENDER,
        Repair.RENDER,
    ),
    Rule(
        "VS-IMG-005",
        Area.IMAGE,
        "a channel is of another type",
        "written again as float or half",
        _RENDER,
        Repair.RENDER,
    ),
    Rule(
        "VS-IMG-006",
        Area.IMAGE,
        "the compression loses",
        "written again with DWA, B44 or the like",
        _RENDER,
        Repair.RENDER,
    ),
    Rule(
        "VS-IMG-007",
        Area.IMAGE,
        "values are NaN or Inf where the plate's are not",
        "a fault of the render or of a later edit",
        _RENDER,
        Repair.RENDER,
    ),
    Rule(
        "VS-IMG-008",
        Area.IMAGE,
        "coverage is outside 0..1",
        "a matte that was edited after the render",
        _RENDER,
        Repair.RENDER,
    ),
    Rule(
        "VS-IMG-009",
        Area.IMAGE,
        "values are negative where the plate has none",
        "colours outside the plate's gamut; a grade downstream may not like them",
        "look at these frames",
        warning=True,
    ),
    Rule(
        "VS-COL-001",
        Area.COLOR,
        "the colour space is not the plate's",
        "the header was edited, or plate and render were read in different spaces",
        _RENDER,
        Repair.RENDER,
    ),
    Rule(
        "VS-COL-002",
        Area.COLOR,
        "the OCIO config is not the one that the frames were rendered with",
        "another $OCIO, or the config was changed since",
        "use the config of the render (the job names it), or render again",
    ),
    Rule(
        "VS-COL-003",
        Area.COLOR,
        "the chromaticities are not the plate's",
        "the header was edited",
        _RENDER,
        Repair.RENDER,
    ),
    Rule(
        "VS-MET-001",
        Area.METADATA,
        "metadata of the plate is lost or changed",
        "written again by a program that drops timecode, frame rate or others",
        _RENDER,
        Repair.RENDER,
    ),
    Rule(
        "VS-MAT-001",
        Area.MATTE,
        "the matte is missing",
        "its channels were removed",
        _RENDER,
        Repair.RENDER,
    ),
    Rule(
        "VS-MAT-002",
        Area.MATTE,
        "the matte is empty though the face is tracked",
        "a holdout that covers everything, mix 0, or a fault of the render",
        "look at mattes and knobs, and change them; the same job makes the same frames",
    ),
    Rule(
        "VS-MAT-003",
        Area.MATTE,
        "pixels outside the matte are not the plate's",
        "painted or graded after the render",
        "render those frames again, and paint in a comp downstream",
        Repair.RENDER,
    ),
    Rule(
        "VS-MAT-004",
        Area.MATTE,
        "outside the face nothing could be compared",
        "a comp without mattes whose track is not at hand",
        "give the job with its track, or render ingredients",
        warning=True,
    ),
    Rule(
        "VS-TMP-001",
        Area.TEMPORAL,
        "the face flickers",
        "a frame is lighter or darker than both its neighbours, and the plate is not",
        "look at the track and at the plate's exposure there, and fix the track; the same job makes the same frames",
    ),
    Rule(
        "VS-TMP-002",
        Area.TEMPORAL,
        "frames without a swap between frames with one",
        "the face was not found there, and the plate's own face shows",
        "fix the track, or approve the gap: --approve-gap RANGE",
    ),
    Rule(
        "VS-TMP-003",
        Area.TEMPORAL,
        "QC has alarms",
        "`vfxswap qc` found frames beyond its limits",
        "look at them in the QC report",
        warning=True,
    ),
    Rule(
        "VS-TMP-004",
        Area.TEMPORAL,
        "the QC report is not of these frames",
        "it was made before the frames were rendered again",
        "run `vfxswap qc` again; all frames were read without it",
        warning=True,
    ),
    Rule(
        "VS-CON-000",
        Area.CONSENT,
        "consent does not cover the publish",
        "a rule of the consent gate refused; the message begins with its own code",
        "see docs/consent.md; do not try again",
    ),
    Rule(
        "VS-MOD-001",
        Area.MODEL,
        "the model is not the one that the frames were rendered with",
        "the model was trained or exported again since",
        "publish with the model of the render, or render again with this one and a consent that names it",
    ),
    Rule(
        "VS-MOD-002",
        Area.MODEL,
        "the swapped faces are not consistent with the references",
        "another person's model, a weak model, or a face that is too turned or too dark to be compared",
        "look at the frames; ask whose face the model was trained on",
    ),
    Rule(
        "VS-PRV-001",
        Area.PROVENANCE,
        "there is no manifest, or it is damaged",
        "the frames were never signed, or the file was lost",
        "sign what was rendered: vfxswap provenance finalise OUT",
    ),
    Rule(
        "VS-PRV-002",
        Area.PROVENANCE,
        "a file is not the one that was signed",
        "painted, graded, converted or damaged after the render",
        _RENDER + "; signing again does not help",
        Repair.RENDER,
    ),
    Rule(
        "VS-PRV-003",
        Area.PROVENANCE,
        "no signature counts",
        "signed with a key that is not in this key ring, or with one that may not sign",
        "give --keyring, or put the signer's public key into it: vfxswap provenance key",
    ),
    Rule(
        "VS-PRV-004",
        Area.PROVENANCE,
        "a frame of another render",
        "copied from another version, shot or model",
        _RENDER,
        Repair.RENDER,
    ),
    Rule(
        "VS-PRV-005",
        Area.PROVENANCE,
        "a recorded file is missing",
        "deleted or moved after the manifest was signed",
        _RENDER,
        Repair.RENDER,
    ),
    Rule(
        "VS-PRV-006",
        Area.PROVENANCE,
        "a file that no manifest names",
        "put there by hand, or by another render",
        "put it aside: it is moved to .vfxswap/<sequence>/quarantine",
        Repair.QUARANTINE,
    ),
    Rule(
        "VS-PRV-007",
        Area.PROVENANCE,
        "the hash list or the C2PA sidecar is not the manifest's",
        "edited, lost, or left over from an earlier signing",
        "make them again: vfxswap provenance finalise OUT",
    ),
    Rule(
        "VS-PRV-008",
        Area.PROVENANCE,
        "a frame's shard is damaged or says something else than the manifest",
        "rendered again since it was signed, or edited",
        _RENDER,
        Repair.RENDER,
    ),
    Rule(
        "VS-PRV-009",
        Area.PROVENANCE,
        "a QC report is not the one that was signed",
        "edited, deleted, or made again without signing",
        "make it again: vfxswap qc --overwrite; or sign what is there: vfxswap provenance finalise OUT",
    ),
    Rule(
        "VS-PRV-010",
        Area.PROVENANCE,
        "the frames were rendered for something else",
        "the job or --shot names another shot, plate or model than the record of the render",
        "publish with the job of the render, or render again with this one",
    ),
)
BY_CODE: Final[dict[str, Rule]] = {rule.code: rule for rule in RULES}


def rule_of(code: str) -> Rule:
    """The rule of a code; those of the consent gate (docs/consent.md) are one here."""
    return BY_CODE.get(code) or BY_CODE["VS-CON-000"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with one sequence.

    Attributes:
        code: VS-...
        message: one line, without the code.
        sequence: the sequence's name.
        frames: those it is about.
        files: names of files it is about, in the sequence's folder.
    """

    code: str
    message: str
    sequence: str
    frames: tuple[int, ...] = ()
    files: tuple[str, ...] = ()

    @property
    def rule(self) -> Rule:
        """Its rule."""
        return rule_of(self.code)

    @property
    def area(self) -> Area:
        """Whose validator says it."""
        return self.rule.area

    @property
    def stops(self) -> bool:
        """Whether nothing is published because of it."""
        return not self.rule.warning

    def __str__(self) -> str:
        return f"{self.code} {self.message}; {self.rule.do}"

    def to_json(self) -> dict[str, Any]:
        """What hosts read."""
        return {
            "code": self.code,
            "area": str(self.area),
            "message": self.message,
            "do": self.rule.do,
            "repair": str(self.rule.repair),
            "stops": self.stops,
            "sequence": self.sequence,
            "frames": list(self.frames),
            "files": list(self.files),
        }


def stopping(findings: Iterable[Finding]) -> list[Finding]:
    """Those that stop a publish."""
    return [finding for finding in findings if finding.stops]
