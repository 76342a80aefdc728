"""What `bench quality` writes: every score by frame, shot and overall, and the JSON Schema of it.

None is "not measured", never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

SCHEMA: Final = "vfxswap.quality/1"

Row = Literal["nothing", "swap", "perfect"]
"""The plate unchanged, the swap, and the truth as another take of the same grain would have it."""

ROWS: Final[tuple[Row, ...]] = ("nothing", "swap", "perfect")

Optional = float | None


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


class PictureScore(_Record):
    """One picture of a frame (or the mean of frames) against the truth, inside the mask."""

    psnr_db: Optional = Field(None, description="PSNR of sRGB codes, dB, at most 100")
    psnr_log_db: Optional = Field(None, description="PSNR of ACEScct codes: highlights are not clipped")
    ssim: Optional = Field(None, description="SSIM of the luma of sRGB codes")
    flip: Optional = Field(None, description="HDR-FLIP, 0 is equal")
    to_likeness: Optional = Field(None, description="distance of embeddings to the likeness")
    to_double: Optional = Field(None, description="distance of embeddings to the double")
    landmarks_pct: Optional = Field(None, description="inner landmarks off by, % of the face's height")
    gaze_pct: Optional = Field(None, description="iris against eye corners off by, % of the eye's width")
    lids_pct: Optional = Field(None, description="opening of the lids off by, % of the eye's width")
    lips_pct: Optional = Field(None, description="opening of the lips off by, % of the face's height")
    flicker_pct: Optional = Field(None, description="error of the difference to the frame before, % of the code range")
    edge_db: Optional = Field(None, description="PSNR of sRGB codes in a band on both sides of the mask's edge")


class MaskScore(_Record):
    """The swap's matte against the truth's face without what is in front of it."""

    iou: Optional = Field(None, description="what was composited: intersection over union at 0.5")
    model_iou: Optional = Field(None, description="the network's own mask")
    iou_clear: Optional = Field(None, description="`iou` of frames without an occluder")
    iou_occluded: Optional = Field(None, description="`iou` of frames with an occluder over the face")
    painted_over: Optional = Field(None, description="part of the occluder in front of the face that was painted over")


class Diagnosis(_Record):
    """Where the swap's error inside the mask comes from: what is left after each correction, one upon the other."""

    as_is_db: Optional = Field(None, description="PSNR of sRGB codes as it is")
    tone_db: Optional = Field(None, description="... after the best gain of each channel")
    light_db: Optional = Field(None, description="... after its soft light is made the truth's")
    placed_db: Optional = Field(None, description="... and the best small similarity")
    warped_db: Optional = Field(None, description="... and optical flow")
    grain_db: Optional = Field(None, description="PSNR of a perfect swap without grain: no denoised picture has more")
    tone_pct: Optional = Field(None, description="part of the squared error that the gains take away")
    light_pct: Optional = Field(None, description="... the soft light, beyond the gains")
    placement_pct: Optional = Field(None, description="... the similarity")
    shape_pct: Optional = Field(None, description="... the flow")
    grain_pct: Optional = Field(None, description="... the truth's grain, which nobody can know")
    detail_pct: Optional = Field(None, description="... the rest: detail that is missing or wrong")
    shift_pct: Optional = Field(None, description="how far the similarity moves the face, % of its height")
    warp_pct: Optional = Field(None, description="how far the flow moves it after that, % of its height")
    sharpness: Optional = Field(None, description="the swap's fine contrast over the truth's; 1 is as sharp")


class FrameScore(_Record):
    """One frame."""

    frame: int
    yaw_deg: Optional = None
    counted: bool = Field(description="whether the means hold it: its yaw is within the limit and its mask not empty")
    pixels: int = Field(description="of the mask")
    occluded: float = Field(description="part of the face, seen or not, that something is in front of")
    rows: dict[Row, PictureScore]
    flicker_clean_pct: Optional = Field(None, description="flicker of a perfect swap that has no grain")
    mask: MaskScore = MaskScore()
    diagnosis: Diagnosis = Diagnosis()
    unread: tuple[Row | Literal["truth"], ...] = Field((), description="pictures whose face could not be read")


class Mean(_Record):
    """Means over counted frames; every score over those frames that have it."""

    frames: int
    rows: dict[Row, PictureScore]
    mask: MaskScore = MaskScore()
    diagnosis: Diagnosis = Diagnosis()
    flicker_ratio: Optional = Field(None, description="the swap's flicker over a perfect swap's, grain and all")
    flicker_clean_ratio: Optional = Field(None, description="... over a perfect swap's without grain")
    unread: int = Field(0, description="frames whose truth could be read and the swap could not")


class ShotScore(_Record):
    """One shot."""

    name: str
    likeness: str = "likeness"
    double: str = "double"
    grain: Optional = None
    mean: Mean
    worst: tuple[int, ...] = Field((), description="the counted frames with the lowest PSNR, the worst first")
    frames: tuple[FrameScore, ...]


class QualityReport(_Record):
    """Everything, as written to `--json`."""

    schema_: Annotated[Literal["vfxswap.quality/1"], Field(alias="schema")] = SCHEMA
    model: str = Field("", description="the .vfxmodel, or the pattern of the frames that were scored")
    model_sha256: str = ""
    max_yaw_deg: float
    identity: str = Field(description="what the embeddings were compared with")
    flip: str = Field(description="what measured FLIP, or why it was not measured")
    machine: dict[str, str] = {}
    overall: Mean
    shots: tuple[ShotScore, ...]

    def to_json(self) -> str:
        """The text of the file."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"


def json_schema() -> dict[str, Any]:
    """The JSON Schema of `QualityReport`."""
    return QualityReport.model_json_schema(by_alias=True)


_R = TypeVar("_R", bound=BaseModel)


def mean_of(kind: type[_R], scores: Iterable[_R]) -> _R:
    """The mean of each field over the scores that have it; None where none has."""
    listed = list(scores)

    def of(name: str) -> float | None:
        values = [float(value) for score in listed if (value := getattr(score, name)) is not None]
        return sum(values) / len(values) if values else None

    return kind(**{name: of(name) for name in kind.model_fields})


def mean(frames: Sequence[FrameScore]) -> Mean:
    """The means over the counted ones of `frames`, each of which counts the same."""
    counted = [score for score in frames if score.counted]
    rows = {row: mean_of(PictureScore, (score.rows[row] for score in counted if row in score.rows)) for row in ROWS}
    clean = [score.flicker_clean_pct for score in counted if score.flicker_clean_pct is not None]
    swap, floor = rows["swap"].flicker_pct, rows["perfect"].flicker_pct
    return Mean(
        frames=len(counted),
        rows=rows,
        mask=mean_of(MaskScore, (score.mask for score in counted)),
        diagnosis=mean_of(Diagnosis, (score.diagnosis for score in counted)),
        flicker_ratio=swap / floor if swap is not None and floor else None,
        flicker_clean_ratio=swap * len(clean) / sum(clean) if swap is not None and sum(clean) > 0 else None,
        unread=sum("swap" in score.unread and "truth" not in score.unread for score in counted),
    )
