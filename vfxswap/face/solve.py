"""From images to a track: follow every face, tell who is who, bridge short gaps, smooth.

The images come from an iterator and are dropped one by one; only numbers are kept, so memory stays flat.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np

from vfxswap import infer
from vfxswap.face import DETECTORS, EMBEDDERS, LANDMARKERS, mesh, smooth
from vfxswap.face.detect import overlap
from vfxswap.face.identity import SAME_PERSON, distance
from vfxswap.face.landmarks import READABLE, locate, roi_from_landmarks
from vfxswap.face.pose import face_similarity, head_pose
from vfxswap.face.protocols import Detection, Detector, Embedder, Landmarker, Landmarks
from vfxswap.face.track import Face, FaceFrame, Source, Track
from vfxswap.pixels import F64, ModelRgb

Frame = tuple[int, ModelRgb, float]
"""Frame number, (H, W, 3) display-encoded image of the whole plate in [0, 1], pixel aspect."""

MAX_GAP = 5
"""So many missing frames are bridged; a longer gap stays one."""

_SAME_PLACE = 0.3
_SAME_FACE = 0.6
_OTHER_PERSON = 0.8
_MERGE = 0.5


@dataclass(frozen=True)
class Networks:
    """The networks that a solve uses, from the registries of `vfxswap.face`."""

    detector: Detector
    landmarker: Landmarker
    embedder: Embedder

    @staticmethod
    def load(
        *,
        device: infer.Device = "auto",
        threads: int = 0,
        detector: str = "yunet",
        landmarker: str = "mesh478",
        embedder: str = "dlib",
    ) -> Networks:
        """Load them by name; raises ModelError, or KeyError for a name that is not registered."""
        return Networks(
            detector=DETECTORS[detector](device=device, threads=threads),
            landmarker=LANDMARKERS[landmarker](device=device, threads=threads),
            embedder=EMBEDDERS[embedder](device=device, threads=threads),
        )


def track_frames(
    frames: Iterable[Frame],
    *,
    plate: str = "",
    crops: int = 4,
    still: bool = False,
    networks: Networks | None = None,
    progress: Callable[[int, int], None] | None = None,
    gain: float = 1.0,
    colorspace: str = "",
    config_id: str = "",
    metadata: Mapping[str, str] | None = None,
) -> Track:
    """Track every face in a run of images.

    Args:
        frames: the images in order, display-encoded and with ONE exposure for the whole shot (an encoding that
            changes from frame to frame becomes a shift of the landmarks).
        plate: pattern of the files, recorded.
        crops: perturbed crops averaged per face and frame: more is steadier and slower.
        still: the images are unrelated: nothing is followed or smoothed, ids rank the faces within each image.
        networks: loaded networks, the defaults if None.
        progress: called with (frame, number of frames done) after each one.
        gain: the exposure gain the images were made with, recorded.
        colorspace: the plate's colour space, recorded.
        config_id: the OCIO config's id, recorded.
        metadata: free strings, recorded.

    Returns:
        A track with every frame as a key; `faces` is empty when no face was found at all.

    Raises:
        ModelError: a network cannot be loaded.
    """
    solver = _Solver(networks or Networks.load(), crops=crops, still=still)
    aspect = 1.0
    for done, (frame, rgb, pixel_aspect) in enumerate(frames, start=1):
        aspect = pixel_aspect
        solver.look(frame, rgb, pixel_aspect)
        if progress is not None:
            progress(frame, done)
    people = _ranked([p for p in solver.people if p.readable or still])
    if not still:
        people = _ranked(_merged(people))
    listed: dict[int, list[tuple[int, FaceFrame]]] = {frame: [] for frame in solver.frames}
    for key, person in enumerate(people):
        for frame, face in _face_frames(person, solver.frames, smoothing=not still):
            listed[frame].append((key, face))
    return Track(
        plate=plate,
        frames={frame: tuple(pairs) for frame, pairs in listed.items()},
        faces=tuple(Face(id=key, name=None, embedding=p.embedding) for key, p in enumerate(people)),
        gain=gain,
        colorspace=colorspace,
        config_id=config_id,
        pixel_aspect=aspect,
        still=still,
        metadata=dict(metadata or {}),
    )


@dataclass(frozen=True, eq=False)
class _Sight:
    """One face in one frame as measured: points with square pixels, and what turns them into the plate's."""

    frame: int
    points: F64
    presence: float
    score: float
    scale: F64
    embedding: F64 | None

    @property
    def box(self) -> F64:
        return _bounds(self.points)

    @property
    def confidence(self) -> float:
        return float(np.clip(self.presence * self.score, 0, 1))


@dataclass(eq=False)
class _Person:
    """One face through the shot."""

    sights: list[_Sight] = field(default_factory=list)

    @property
    def readable(self) -> bool:
        """Seen clearly at least once; otherwise it is a detector's mistake."""
        return any(s.presence >= READABLE for s in self.sights)

    @property
    def embedding(self) -> F64:
        """Mean identity, zeros while unknown."""
        known = [s.embedding for s in self.sights if s.embedding is not None]
        return np.mean(known, axis=0) if known else np.zeros(128)

    @property
    def prominence(self) -> float:
        """Size times confidence, summed over the shot."""
        return sum(float(np.ptp(s.points[:, 1])) * (0.1 + s.confidence) for s in self.sights)

    def known(self) -> bool:
        return any(s.embedding is not None for s in self.sights)

    def differs(self, embedding: F64 | None, *, limit: float) -> bool:
        return embedding is not None and self.known() and distance(self.embedding, embedding) > limit


class _Solver:
    """Walks through the frames and keeps what it saw."""

    def __init__(self, networks: Networks, *, crops: int, still: bool) -> None:
        self.networks = networks
        self.crops = crops
        self.still = still
        self.people: list[_Person] = []
        self.frames: list[int] = []

    def look(self, frame: int, rgb: ModelRgb, pixel_aspect: float) -> None:
        """Find and place the faces of one frame."""
        self.frames.append(frame)
        square, scale = _square(rgb, pixel_aspect)
        if self.still:
            found = [self._from_detection(frame, square, scale, d) for d in self.networks.detector(square)]
            self._rank(found)
            return
        active = [p for p in self.people if len(self.frames) > 1 and p.sights[-1].frame == self.frames[-2]]
        detections = list(self.networks.detector(square, thorough=not active))
        seen = self._follow(frame, square, scale, active, detections)
        for detection in detections:
            self._meet(self._from_detection(frame, square, scale, detection), seen)

    def _follow(
        self, frame: int, rgb: ModelRgb, scale: F64, active: list[_Person], detections: list[Detection]
    ) -> list[_Person]:
        """Continue the faces of the last frame; takes the detections that belong to them out of the list."""
        seen: list[_Person] = []
        for person in active:
            look = self.networks.landmarker(rgb, roi_from_landmarks(person.sights[-1].points), crops=1)
            readable = look.presence >= READABLE
            match = _best(_bounds(look.points) if readable else person.sights[-1].box, detections)
            if readable:
                sight = self._sight(frame, rgb, scale, look, score=match.score if match else _SAME_FACE)
            elif match:
                sight = self._from_detection(frame, rgb, scale, match)
            else:
                continue
            taken = any(_iou(sight.box, other.sights[-1].box) > _SAME_FACE for other in seen)
            if taken or person.differs(sight.embedding, limit=_OTHER_PERSON):
                continue
            person.sights.append(sight)
            seen.append(person)
            if match:
                detections.remove(match)
        return seen

    def _meet(self, sight: _Sight, seen: list[_Person]) -> None:
        """A face that no active one explains: somebody known who was lost, or somebody new."""
        if any(_iou(sight.box, person.sights[-1].box) > _SAME_PLACE for person in seen):
            return
        lost = [person for person in self.people if person.sights[-1].frame != sight.frame]
        person = _recognised(sight, lost) or self._same_place(sight, lost)
        if person is None:
            person = _Person()
            self.people.append(person)
        person.sights.append(sight)
        seen.append(person)

    def _same_place(self, sight: _Sight, lost: list[_Person]) -> _Person | None:
        recent = self.frames[-MAX_GAP - 2 :]
        near = [p for p in lost if p.sights[-1].frame in recent and _iou(sight.box, p.sights[-1].box) > _SAME_PLACE]
        return next((p for p in near if not p.differs(sight.embedding, limit=_OTHER_PERSON)), None)

    def _from_detection(self, frame: int, rgb: ModelRgb, scale: F64, detection: Detection) -> _Sight:
        look = locate(self.networks.landmarker, rgb, detection)
        if look.presence < READABLE:
            # No second look: a region drawn around points that cannot be trusted would drift off the face.
            return _Sight(frame, look.points, look.presence, detection.score, scale, None)
        return self._sight(frame, rgb, scale, look, score=detection.score)

    def _sight(self, frame: int, rgb: ModelRgb, scale: F64, look: Landmarks, *, score: float) -> _Sight:
        """The second, careful look, around where the first one saw the face."""
        careful = self.networks.landmarker(rgb, roi_from_landmarks(look.points), crops=self.crops)
        readable = careful.presence >= READABLE
        embedding = self.networks.embedder(rgb, careful.points) if readable else None
        return _Sight(frame, careful.points, careful.presence, score, scale, embedding)

    def _rank(self, found: list[_Sight]) -> None:
        """Unrelated images: the n-th most prominent face of each gets id n."""
        for rank, sight in enumerate(sorted(found, key=lambda s: -_Person([s]).prominence)):
            if rank == len(self.people):
                self.people.append(_Person())
            self.people[rank].sights.append(sight)


def _square(rgb: ModelRgb, pixel_aspect: float) -> tuple[ModelRgb, F64]:
    """The image with square pixels, and the (2,) factors its coordinates are larger by. Only ever enlarges."""
    if pixel_aspect == 1.0:
        return rgb, np.ones(2)
    height, width = rgb.shape[:2]
    size = (round(width * max(1.0, pixel_aspect)), round(height * max(1.0, 1 / pixel_aspect)))
    large = cv2.resize(rgb, size, interpolation=cv2.INTER_LINEAR)
    return ModelRgb(np.asarray(large, np.float32)), np.array([size[0] / width, size[1] / height])


def _bounds(points: F64) -> F64:
    return np.concatenate([points[:, :2].min(axis=0), points[:, :2].max(axis=0)])


def _iou(a: F64, b: F64) -> float:
    return float(overlap(a[None], b[None])[0, 0])


def _best(box: F64, detections: list[Detection]) -> Detection | None:
    """The detection that overlaps `box` most, if enough."""
    best = max(detections, key=lambda d: _iou(box, d.box), default=None)
    return best if best is not None and _iou(box, best.box) > _SAME_PLACE else None


def _recognised(sight: _Sight, people: list[_Person]) -> _Person | None:
    """Who this is by identity, if anybody."""
    embedding = sight.embedding
    if embedding is None:
        return None
    best = min((p for p in people if p.known()), key=lambda p: distance(p.embedding, embedding), default=None)
    return best if best is not None and not best.differs(embedding, limit=SAME_PERSON) else None


def _merged(people: list[_Person]) -> list[_Person]:
    """Join people who are one by identity and never seen together (met anew as a profile, say)."""
    result: list[_Person] = []
    for person in people:
        frames = {s.frame for s in person.sights}
        for other in result:
            apart = frames.isdisjoint(s.frame for s in other.sights)
            if apart and person.known() and not other.differs(person.embedding, limit=_MERGE):
                other.sights.extend(person.sights)
                break
        else:
            result.append(person)
    return result


def _ranked(people: list[_Person]) -> list[_Person]:
    return sorted(people, key=lambda p: -p.prominence)


def _face_frames(person: _Person, frames: list[int], *, smoothing: bool) -> list[tuple[int, FaceFrame]]:
    """A person's frames with gaps bridged and points smoothed, in the order of `frames`."""
    by_frame = {s.frame: s for s in person.sights}
    if not smoothing:
        return [(f, _face_frame(s.points, s.presence, s.confidence, s.scale, "solve")) for f, s in by_frame.items()]
    positions = [i for i, frame in enumerate(frames) if frame in by_frame]
    result: list[tuple[int, FaceFrame]] = []
    for run in smooth.runs(positions, gap=MAX_GAP):
        result += _bridge([by_frame[frames[i]] for i in run], frames[run[0] : run[-1] + 1])
    return result


def _bridge(sights: list[_Sight], frames: list[int]) -> list[tuple[int, FaceFrame]]:
    """One run of a person without long gaps: interpolate what is missing, then smooth the whole."""
    times = np.array(frames, np.float64)
    known = np.array([s.frame for s in sights], np.float64)
    measured = np.stack([s.points for s in sights])
    points = _interpolate(times, known, measured)
    confidence = np.interp(times, known, [s.confidence for s in sights])
    by_frame = {s.frame: s for s in sights}
    missing = np.array([frame not in by_frame for frame in frames])
    confidence[missing] *= 0.5
    # A frame that cannot be trusted must not pull its neighbours along; it leans on them instead.
    trust = np.clip(confidence, 0.02, 1) ** 2
    points = smooth.adaptive(times, points, groups=mesh.MOVING_PARTS, weights=trust)
    scale = sights[0].scale
    result = []
    for i, frame in enumerate(frames):
        sight = by_frame.get(frame)
        presence = sight.presence if sight else 0.0
        source: Source = "solve" if sight else "gap"
        result.append((frame, _face_frame(points[i], presence, float(confidence[i]), scale, source)))
    return result


def _interpolate(times: F64, known: F64, values: F64) -> F64:
    """Values (N, ...) at `known` times, read linearly at `times`."""
    right = np.clip(np.searchsorted(known, times), 1, max(1, len(known) - 1))
    if len(known) == 1:
        return np.repeat(values, len(times), axis=0)
    left = right - 1
    part = (times - known[left]) / (known[right] - known[left])
    part = part.reshape(-1, *([1] * (values.ndim - 1)))
    return np.asarray(values[left] * (1 - part) + values[right] * part)


def _face_frame(points: F64, presence: float, confidence: float, scale: F64, source: Source) -> FaceFrame:
    """Back from square pixels to the plate's; depth is counted in rows."""
    plate = points / np.array([scale[0], scale[1], scale[1]])
    return FaceFrame(
        box=_bounds(plate),
        landmarks=plate,
        confidence=confidence,
        presence=presence,
        pose_deg=head_pose(points),
        similarity=face_similarity(plate, pixel_aspect=float(scale[0] / scale[1])),
        source=source,
    )
