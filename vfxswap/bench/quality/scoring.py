"""`score_swap`: frames in memory against their truth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from vfxswap.bench.quality import pixelwise, records
from vfxswap.bench.quality.diagnosis import diagnose
from vfxswap.bench.quality.pixelwise import Mask
from vfxswap.bench.quality.reading import FaceReader, Gallery, Key, Reading, compare, face_height
from vfxswap.bench.quality.records import ROWS, Diagnosis, FrameScore, MaskScore, PictureScore, Row, ShotScore
from vfxswap.bench.quality.views import Prepared, View, covered, hidden, reading_gain
from vfxswap.color import ColorConfig, ModelSpace
from vfxswap.errors import PlateError
from vfxswap.face.pose import head_pose
from vfxswap.geometry import Window
from vfxswap.pixels import F32, AnyArray, WorkingRgb
from vfxswap.plate import scrub

MAX_YAW: Final = 40.0
"""Frames in which the head is turned further do not count."""

WORST: Final = 3

# A frame is one with an occluder where it hides more than this part of the face.
_OCCLUDED = 0.01


@dataclass(frozen=True, eq=False)
class Seen:
    """A scored frame whose identity is not yet compared."""

    score: FrameScore
    readings: dict[str, Reading] = field(default_factory=dict)


def score_swap(
    views: Iterable[View],
    *,
    config: ColorConfig | None = None,
    grain: float | None = None,
    reader: FaceReader | None = None,
    gallery: Gallery | None = None,
    max_yaw: float = MAX_YAW,
    name: str = "shot",
    likeness: str = "likeness",
    double: str = "double",
) -> ShotScore:
    """Score the frames of one shot.

    Args:
        views: the frames in order; only two are held at a time.
        config: what the working space is; None resolves the default.
        grain: the shot's grain g (`pixelwise.grain`); None leaves out what needs it.
        reader: networks that read faces; None leaves out identity, landmarks, gaze and openings.
        gallery: what faces are compared with; None compares with the truth's and plate's other frames.
        max_yaw: degrees; frames in which the head is turned further do not count.
        name: of the shot.
        likeness: the performer whose face the truth shows.
        double: the performer whose face the plate shows.

    Raises:
        PlateError: pictures of one frame differ in size, or there is no frame.
    """
    config = config or ColorConfig.load()
    seen = list(scored(views, config=config, grain=grain, reader=reader, max_yaw=max_yaw))
    if not seen:
        raise PlateError("there is no frame to score", hint="check that plate, truth and matte have frames in common")
    gallery = gallery or Gallery()
    remember(gallery, seen, name=name, likeness=likeness, double=double)
    return finished(seen, gallery, name=name, likeness=likeness, double=double, grain=grain)


def scored(
    views: Iterable[View],
    *,
    config: ColorConfig,
    grain: float | None,
    reader: FaceReader | None,
    max_yaw: float,
) -> Iterator[Seen]:
    """The frames' scores, all but identity; arguments as of `score_swap`."""
    before: Prepared | None = None
    for view in views:
        now = Prepared.of(view, config=config, grain=grain)
        seen = _score(now, before, reader=reader, max_yaw=max_yaw)
        yield seen
        before = now if seen.score.counted else None


def remember(gallery: Gallery, seen: Sequence[Seen], *, name: str, likeness: str, double: str) -> None:
    """Keep who the truth and the plate show."""
    for one in seen:
        for picture, performer in (("perfect", likeness), ("nothing", double)):
            if picture in one.readings:
                gallery.add(performer, (name, one.score.frame), one.readings[picture].embedding)


def finished(
    seen: Sequence[Seen], gallery: Gallery, *, name: str, likeness: str, double: str, grain: float | None
) -> ShotScore:
    """The shot with identities compared, means, and its worst frames named."""
    frames = tuple(_identified(one, gallery, (name, one.score.frame), likeness, double) for one in seen)
    counted = [frame for frame in frames if frame.counted]
    ranked = sorted(counted, key=lambda frame: frame.rows["swap"].psnr_db or 0.0)
    return ShotScore(
        name=name,
        likeness=likeness,
        double=double,
        grain=grain,
        mean=records.mean(frames),
        worst=tuple(frame.frame for frame in ranked[:WORST]),
        frames=frames,
    )


def _identified(seen: Seen, gallery: Gallery, key: Key, likeness: str, double: str) -> FrameScore:
    rows = {}
    for row, score in seen.score.rows.items():
        reading = seen.readings.get(row)
        if reading is not None:
            near = gallery.distance(reading.embedding, likeness, leaving=key)
            far = gallery.distance(reading.embedding, double, leaving=key)
            score = score.model_copy(update={"to_likeness": near, "to_double": far})
        rows[row] = score
    return seen.score.model_copy(update={"rows": rows})


# -------------------------------------------------------------------------------------------- one frame


def _score(now: Prepared, before: Prepared | None, *, reader: FaceReader | None, max_yaw: float) -> Seen:
    view = now.view
    pixels = int(now.mask.sum())
    behind = hidden(view)
    occluded = int(behind.sum()) / max(1, int(behind.sum()) + pixels)
    if not pixels:
        empty: dict[Row, PictureScore] = {row: PictureScore() for row in ROWS}
        return Seen(
            FrameScore(frame=view.frame, yaw_deg=view.yaw_deg, counted=False, pixels=0, occluded=occluded, rows=empty)
        )
    faces = _Faces.read(now, reader)
    yaw = view.yaw_deg
    if yaw is None and faces.truth is not None:
        yaw = head_pose(faces.truth.points)[1]
    counted = yaw is None or abs(yaw) <= max_yaw
    flickers = {} if before is None else _flickers(now, before)
    rows: dict[Row, PictureScore] = {}
    for row in ROWS:
        score = _picture(now, row) if row in now.codes else PictureScore()
        rows[row] = score.model_copy(update={**faces.differences(row), "flicker_pct": flickers.get(row)})
    frame = FrameScore(
        frame=view.frame,
        yaw_deg=yaw,
        counted=counted,
        pixels=pixels,
        occluded=occluded,
        rows=rows,
        flicker_clean_pct=flickers.get("clean"),
        mask=_mask_score(view, behind, occluded),
        diagnosis=_diagnosis(now, faces.height),
        unread=faces.unread,
    )
    return Seen(frame, faces.readings)


def _picture(now: Prepared, row: Row) -> PictureScore:
    codes, light = now.codes[row], now.light[row]
    log, display = ModelSpace(now.config, 1.0, "acescct"), ModelSpace(now.config, 1.0)
    truth = now.true_light
    return PictureScore(
        psnr_db=pixelwise.psnr(codes, now.truth, now.mask),
        psnr_log_db=pixelwise.psnr(log.encode(light), log.encode(truth), now.mask),
        edge_db=pixelwise.psnr(codes, now.truth, now.edge) if now.edge.any() else None,
        ssim=pixelwise.ssim(codes, now.truth, now.mask),
        flip=pixelwise.flip(display.linear(light), display.linear(truth), now.mask),
    )


def _flickers(now: Prepared, before: Prepared) -> dict[str, float]:
    """Row, or "clean", -> flicker; empty unless the frames follow each other."""
    if now.view.frame != before.view.frame + 1 or before.window.empty:
        return {}
    window = now.window.intersect(before.window)
    if window.empty:
        return {}
    here, there = window.slices(now.window), window.slices(before.window)
    mask = now.mask[here] & before.mask[there]
    if not mask.any():
        return {}
    pairs: dict[str, tuple[F32, F32]] = {row: (codes, before.codes[row]) for row, codes in now.codes.items()}
    if now.clean is not None and before.clean is not None:
        pairs["clean"] = (now.clean, before.clean)
    return {
        row: pixelwise.flicker(codes[here], earlier[there], now.truth[here], before.truth[there], mask)
        for row, (codes, earlier) in pairs.items()
    }


def _mask_score(view: View, behind: Mask, occluded: float) -> MaskScore:
    if view.matte is None and view.model_matte is None:
        return MaskScore()
    truth = view.mask

    def iou(matte: AnyArray | None) -> float | None:
        if matte is None:
            return None
        painted = matte > 0.5
        return float((painted & truth).sum() / max(1, int((painted | truth).sum())))

    found = iou(view.matte)
    shown = view.matte if view.matte is not None else view.model_matte
    return MaskScore(
        iou=found,
        model_iou=iou(view.model_matte),
        iou_clear=found if occluded <= _OCCLUDED else None,
        iou_occluded=found if occluded > _OCCLUDED else None,
        painted_over=float((shown[behind] > 0.5).mean()) if occluded > _OCCLUDED and shown is not None else None,
    )


def _diagnosis(now: Prepared, height: float | None) -> Diagnosis:
    clean = None if now.clean is None else pixelwise.squared_error(now.clean, now.truth, now.mask)
    size = height or 1.2 * float(np.sqrt(now.mask.sum()))
    return diagnose(now.codes["swap"], now.truth, now.mask, height=size, clean=clean)


@dataclass(frozen=True, eq=False)
class _Faces:
    """A frame's faces as the networks read them, all in one region of the picture."""

    readings: dict[str, Reading]
    truth: Reading | None
    covered: Mask
    again: Reading | None
    unread: tuple[str, ...]

    @staticmethod
    def read(now: Prepared, reader: FaceReader | None) -> _Faces:
        nothing = np.zeros(478, bool)
        if reader is None:
            return _Faces({}, None, nothing, None, ())
        view = now.view
        space = ModelSpace(now.config, reading_gain(now))
        rows, columns = np.nonzero(view.mask)
        centre = np.array([columns.mean() + 0.5, rows.mean() + 0.5])
        shown = space.encode(scrub(view.truth))
        region = reader.region(shown, near=view.landmarks, centre=centre)
        truth = None if region is None else reader.read(shown, region)
        if region is None or truth is None:
            return _Faces({}, None, nothing, None, ("truth",))
        readings = {"perfect": truth}
        unread = []
        for row, rgb in (("swap", view.swap), ("nothing", view.plate)):
            found = reader.read(space.encode(scrub(rgb)), region)
            if found is None:
                unread.append(row)
            else:
                readings[row] = found
        again = None
        if "perfect" in now.light:
            other = np.array(view.truth, np.float32)
            other[now.window.slices(Window(0, 0, 0, 0))] = now.light["perfect"]
            again = reader.read(space.encode(scrub(WorkingRgb(other))), region)
        return _Faces(readings, truth, covered(view, truth.points), again, tuple(unread))

    @property
    def height(self) -> float | None:
        return None if self.truth is None else face_height(self.truth.points)

    def differences(self, row: Row) -> dict[str, float | None]:
        """The fields of PictureScore that compare landmarks."""
        found = self.again if row == "perfect" else self.readings.get(row)
        if found is None or self.truth is None:
            return {}
        off = compare(found.points, self.truth.points, covered=self.covered)
        return {
            "landmarks_pct": off.landmarks,
            "gaze_pct": off.gaze,
            "lids_pct": off.lids,
            "lips_pct": off.lips,
        }
