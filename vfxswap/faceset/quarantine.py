"""Which crops are not trained on, and why: every reason is a figure beyond a limit, and every limit is here.

Nothing is deleted, and an artist's word (`Crop.verdict`) stands above all of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vfxswap.face import mesh
from vfxswap.faceset.crops import Reason, Row, quarantined
from vfxswap.pixels import F64


@dataclass(frozen=True)
class Limits:
    """What a crop must keep to. Measured in docs/facesets.md, on the rendered performers and on photographs.

    Attributes:
        confidence: least confidence of the track.
        presence: least presence, the landmark network's own word.
        yaw_deg, pitch_deg: most, either way: beyond them landmarks are twice as wrong as in front.
        height: least rows of the face in the plate.
        enlarged: most crop pixels for one of the plate.
        inside: least part of the face within the picture.
        clipped: most of the face on a plateau at its highest value.
        white: most of the face beyond the model's brightest code.
        sharpness: least, as a part of the set's.
        identity: most distance of the embedding from the set's centre.
        same_landmarks: root mean square distance of landmarks as a part of the crop's side, of the eye, brows, mouth or
            outline where it is largest, below which ...
        same_picture: ... and mean difference of the thumbnails' codes (0..1), below which ...
        same_identity: ... and distance of the embeddings, below which two crops are the same picture again.
    """

    confidence: float = 0.3
    presence: float = 0.5
    yaw_deg: float = 50.0
    pitch_deg: float = 35.0
    height: float = 48.0
    enlarged: float = 4.0
    inside: float = 0.95
    clipped: float = 0.02
    white: float = 0.25
    sharpness: float = 0.72
    identity: float = 0.5
    same_landmarks: float = 0.004
    same_picture: float = 0.01
    same_identity: float = 0.2

    def to_json(self) -> dict[str, float]:
        """What the index records."""
        return dict(asdict(self))


LIMITS: Final = Limits()

LEAST_SET: Final = 5
"""So many readable crops make a set that one of them can be compared with."""

_SHARP_RANK = 80.0
"""The percentile of sharpness that stands for the set: a set may hold many soft crops."""

# What moves by itself. Two pictures are as different as their most different part.
_PARTS: Final = (
    (*mesh.LEFT_EYE, *mesh.LEFT_IRIS),
    (*mesh.RIGHT_EYE, *mesh.RIGHT_IRIS),
    (*mesh.LEFT_BROW, *mesh.RIGHT_BROW),
    tuple(dict.fromkeys((*mesh.LIPS_OUTER, *mesh.LIPS_INNER))),
    (*mesh.NOSE, *mesh.OVAL),
)
_OWN_WORK: Final = ("identity_distance", "sharpness_of_set", "same_landmarks", "same_picture", "same_identity")


REFERENCE_DISTANCE: Final = "reference_distance"
REFERENCE_THRESHOLD: Final = "reference_threshold"
"""Figures of a crop that was compared with the references that the performer's consent names (faceset.lock)."""


def judge(rows: Sequence[Row], *, size: int, performer: str, limits: Limits = LIMITS) -> tuple[Row, ...]:
    """The same crops with reasons, the figures behind them, and whether they are used.

    Args:
        rows: the crops of one faceset.
        size: side of a crop.
        performer: whose they are, for the words.
        limits: what they must keep to.
    """
    reasons = [_own(row, limits) for row in rows]
    figures = [{k: v for k, v in row.crop.figures.items() if k not in _OWN_WORK} for row in rows]
    readable = np.array([not any(r.kind == "unreadable" for r in found) for found in reasons], bool)
    _identity(rows, readable, figures, reasons, performer=performer, limits=limits)
    _blur(rows, readable, figures, reasons, limits=limits)
    _duplicates(rows, figures, reasons, size=size, limits=limits)
    return tuple(
        replace(row, crop=replace(row.crop, reasons=tuple(found), figures=numbers, quarantined=_word(row, found)))
        for row, found, numbers in zip(rows, reasons, figures, strict=True)
    )


def _word(row: Row, reasons: Sequence[Reason]) -> str | None:
    return quarantined(tuple(reasons), row.crop.verdict, row.crop.note)


def _own(row: Row, limits: Limits) -> list[Reason]:
    """The reasons that a crop has by itself."""
    crop, figures = row.crop, row.crop.figures
    if not row.measured:
        return list(crop.reasons)
    found: list[Reason] = []

    def add(kind: str, text: str) -> None:
        found.append(Reason("unreadable" if kind == "unreadable" else "extreme", text))

    if figures.get("guessed"):
        add("unreadable", "landmarks are interpolated over a gap of the track")
    elif figures.get("presence", 1.0) < limits.presence:
        add("unreadable", f"landmarks: presence {figures['presence']:.2f}, at least {limits.presence}")
    elif crop.confidence < limits.confidence:
        add("unreadable", f"track confidence {crop.confidence:.2f}, at least {limits.confidence}")
    pitch, yaw, _ = crop.pose_deg
    if abs(yaw) > limits.yaw_deg:
        add("extreme", f"yaw {yaw:.0f} degrees, at most {limits.yaw_deg:.0f} either way")
    if abs(pitch) > limits.pitch_deg:
        add("extreme", f"pitch {pitch:.0f} degrees, at most {limits.pitch_deg:.0f} either way")
    for name, words, least in (
        ("inside", "of the face within the picture", limits.inside),
        ("height", "rows high in the plate", limits.height),
    ):
        if figures.get(name, np.inf) < least:
            add("extreme", f"{_number(name, figures[name])} {words}, at least {_number(name, least)}")
    for name, words, most in (
        ("enlarged", "times enlarged", limits.enlarged),
        ("clipped", "of the face clipped", limits.clipped),
        ("white", "of the face beyond the model's white", limits.white),
    ):
        if figures.get(name, 0.0) > most:
            add("extreme", f"{_number(name, figures[name])} {words}, at most {_number(name, most)}")
    if figures.get("unlit"):
        add("extreme", "no light on the face")
    away, most = figures.get(REFERENCE_DISTANCE, 0.0), figures.get(REFERENCE_THRESHOLD, np.inf)
    if away >= most and not _turned(row, limits):
        found.append(
            Reason("identity", f"not consistent with the consent's references: distance {away:.2f}, below {most}")
        )
    return found


def _number(name: str, value: float) -> str:
    if name == "height":
        return f"{value:.0f}"
    return f"{value:.1f}" if name == "enlarged" else f"{value:.1%}"


# ----------------------------------------------------------------------------------------------- identity


def _identity(
    rows: Sequence[Row],
    readable: NDArray[np.bool_],
    figures: list[dict[str, float]],
    reasons: list[list[Reason]],
    *,
    performer: str,
    limits: Limits,
) -> None:
    known = [i for i, row in enumerate(rows) if readable[i] and row.embedding.any()]
    trusted = [i for i in known if rows[i].crop.verdict != "drop" and not _turned(rows[i], limits)]
    if len(trusted) < LEAST_SET:
        return
    middle = centre(np.stack([rows[i].embedding for i in trusted]), reach=limits.identity)
    for i in known:
        away = float(np.linalg.norm(rows[i].embedding - middle))
        figures[i]["identity_distance"] = round(away, 4)
        # A face seen from the side is like nobody to the network: that it is turned away is said already.
        if away > limits.identity and not _turned(rows[i], limits):
            text = f"not consistent with {performer}: distance {away:.2f} from the set, at most {limits.identity}"
            reasons[i].append(Reason("identity", text))


def _turned(row: Row, limits: Limits) -> bool:
    pitch, yaw, _ = row.crop.pose_deg
    return abs(yaw) > limits.yaw_deg or abs(pitch) > limits.pitch_deg


def centre(embeddings: F64, *, reach: float = LIMITS.identity) -> F64:
    """(128,) the middle of the largest group of (N, 128) embeddings, whoever else is among them.

    From the embedding with the most others within `reach`, the mean of those within `reach`, again and again until it
    stays (the mean shift of Fukunaga and Hostetler, 1975, with a flat kernel): strangers do not pull at it as long
    as they are fewer than the performer's own.
    """
    squared = (embeddings**2).sum(axis=1)
    distance = squared[:, None] + squared[None, :] - 2 * embeddings @ embeddings.T
    middle: F64 = embeddings[int((distance < reach**2).sum(axis=1).argmax())]
    for _ in range(50):
        near = np.linalg.norm(embeddings - middle, axis=1) <= reach
        moved: F64 = embeddings[near].mean(axis=0)
        if np.array_equal(moved, middle):
            break
        middle = moved
    return middle


# --------------------------------------------------------------------------------------------------- blur


def _blur(
    rows: Sequence[Row],
    readable: NDArray[np.bool_],
    figures: list[dict[str, float]],
    reasons: list[list[Reason]],
    *,
    limits: Limits,
) -> None:
    known = [i for i, row in enumerate(rows) if readable[i] and "sharpness" in row.crop.figures]
    trusted = [i for i in known if rows[i].crop.verdict != "drop" and not _has(reasons[i], "identity")]
    if len(trusted) < LEAST_SET:
        return
    level = float(np.percentile([rows[i].crop.figures["sharpness"] for i in trusted], _SHARP_RANK))
    if level <= 0:
        return
    for i in known:
        part = rows[i].crop.figures["sharpness"] / level
        figures[i]["sharpness_of_set"] = round(part, 4)
        if part < limits.sharpness:
            text = f"blurred: {part:.0%} of the set's sharpness, at least {limits.sharpness:.0%}"
            reasons[i].append(Reason("blur", text))


def _has(reasons: Sequence[Reason], kind: str) -> bool:
    return any(reason.kind == kind for reason in reasons)


# --------------------------------------------------------------------------------------------- duplicates


def _duplicates(
    rows: Sequence[Row],
    figures: list[dict[str, float]],
    reasons: list[list[Reason]],
    *,
    size: int,
    limits: Limits,
) -> None:
    """Of pictures that are the same again the sharpest stays, or those that the artist keeps."""
    able = [
        i
        for i, row in enumerate(rows)
        if row.measured and row.crop.verdict != "drop" and (row.crop.verdict == "keep" or not reasons[i])
    ]
    order = sorted(able, key=lambda i: (rows[i].crop.verdict != "keep", -_sharp(rows[i]), rows[i].crop.name))
    kept: list[int] = []
    shapes = np.empty((len(order), 2 * sum(map(len, _PARTS))))
    starts = np.cumsum([0, *(2 * len(part) for part in _PARTS)])[:-1]
    counts = np.array([len(part) for part in _PARTS])
    points = [point for part in _PARTS for point in part]
    for i in order:
        shape = rows[i].crop.landmarks[points, :2].reshape(-1) / size
        squares = np.add.reduceat((shapes[: len(kept)] - shape) ** 2, starts, axis=1) / counts
        apart = np.sqrt(squares.max(axis=1))
        near = np.flatnonzero(apart < limits.same_landmarks)
        for n in near[np.argsort(apart[near], kind="stable")]:
            other = rows[kept[n]]
            picture, person = _picture_apart(rows[i], other), float(np.linalg.norm(rows[i].embedding - other.embedding))
            if picture < limits.same_picture and person < limits.same_identity:
                figures[i] |= {
                    "same_landmarks": round(float(apart[n]), 5),
                    "same_picture": round(picture, 5),
                    "same_identity": round(person, 5),
                }
                if rows[i].crop.verdict != "keep":
                    why = "was kept by hand" if other.crop.verdict == "keep" else "is the sharper one"
                    reasons[i].append(Reason("duplicate", f"the same picture as {other.crop.name}, which {why}"))
                break
        if not _has(reasons[i], "duplicate"):
            shapes[len(kept)] = shape
            kept.append(i)


def _picture_apart(a: Row, b: Row) -> float:
    """Mean difference of two thumbnails' codes, 0..1."""
    return float(np.abs(a.thumbnail.astype(np.float32) - b.thumbnail).mean()) / 255.0


def _sharp(row: Row) -> float:
    return row.crop.figures.get("sharpness", 0.0)


def summary(kinds: Sequence[Sequence[str]]) -> Mapping[str, int]:
    """Kind -> how many crops have it, most first."""
    counts: dict[str, int] = {}
    for found in kinds:
        for kind in found:
            counts[kind] = counts.get(kind, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
