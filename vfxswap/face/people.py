"""Who is who: sights of faces, the people they belong to, and one decision for all of a frame's faces at once."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vfxswap.face.detect import overlap
from vfxswap.face.frame import FaceFrame
from vfxswap.face.identity import SAME_PERSON, distance
from vfxswap.face.landmarks import READABLE
from vfxswap.face.pose import head_pose
from vfxswap.face.track import Track
from vfxswap.pixels import F64

OTHER_PERSON = 0.8
"""Embeddings further apart are never one person, wherever the faces are."""

# Two identities that were never seen together are one below this.
_MERGE = 0.5

# Faces that cover each other so far are one face seen twice.
_TWICE = 0.5

# A face this little covered by where a person should be is somewhere else.
_NEAR = 0.15

# What leaving a person or a face out of the assignment costs, and what an unknown identity does.
_APART = 1.1
_UNKNOWN = 0.45

# Crops that disagree by more than this part of the face's size have seen something in a wall.
_SCATTERED = 0.02

# An identity is learned from faces turned no further than this, if there are any.
_FRONT_DEG = 40.0


@dataclass(frozen=True, eq=False)
class Sight:
    """One face in one frame as measured, with square pixels.

    Attributes:
        frame: its number.
        points: (478, 3).
        presence, spread: as in `protocols.Landmarks`.
        score: the detector's, or what stands for it where no detector looked.
        scale: (2,) what turns these pixels into the plate's.
        stops: the exposure it was read at, relative to the shot's.
        embedding: (128,) where identity was looked at.
        step: (478, 2) how far flow says the points came since the last frame; None where it did not look.
        error: (478,) flow's error, pixels.
        carried: the points are flow's, because the network could not read the face.
        sharp: how much fine detail there is, in units of the face's contrast.
    """

    frame: int
    points: F64
    presence: float
    score: float
    scale: F64
    spread: float = 0.0
    stops: float = 0.0
    embedding: F64 | None = None
    step: F64 | None = None
    error: F64 | None = None
    carried: bool = False
    sharp: float = 0.0

    @property
    def box(self) -> F64:
        """(4,) around the points."""
        return bounds(self.points)

    @property
    def size(self) -> float:
        """The face's size in pixels: the square root of its area."""
        return face_size(self.points)

    @property
    def readable(self) -> bool:
        """Whether the network has seen a face here."""
        return self.presence >= READABLE and not self.carried

    @functools.cached_property
    def frontal(self) -> bool:
        """Whether the face looks about towards the camera; asked again at every look at identities."""
        return abs(head_pose(self.points)[1]) < _FRONT_DEG

    @property
    def confidence(self) -> float:
        """A first guess, for faces that nothing else is known of."""
        return float(np.clip(self.presence * self.score, 0, 1))


@dataclass(eq=False)
class Person:
    """One face through the shot."""

    sights: list[Sight] = field(default_factory=list)
    stops: float = 0.0
    _identity: tuple[int, F64] | None = None

    @property
    def last(self) -> Sight:
        """The newest sight."""
        return self.sights[-1]

    @property
    def readable(self) -> bool:
        """Seen clearly at least once; otherwise it is a detector's mistake."""
        return any(s.readable and s.spread < _SCATTERED * s.size for s in self.sights)

    @property
    def known(self) -> bool:
        """Whether identity was ever looked at."""
        return any(s.embedding is not None for s in self.sights)

    @property
    def embedding(self) -> F64:
        """Mean identity, zeros while unknown; faces turned far count only if there are no others."""
        seen = [s for s in self.sights if s.embedding is not None]
        if self._identity is None or self._identity[0] != len(seen):
            front = [s for s in seen if s.frontal]
            chosen = [s.embedding for s in front or seen if s.embedding is not None]
            self._identity = (len(seen), np.mean(chosen, axis=0) if chosen else np.zeros(128))
        return self._identity[1]

    @property
    def prominence(self) -> float:
        """Size times confidence, summed over the shot."""
        return sum(float(np.ptp(s.points[:, 1])) * (0.1 + s.confidence) for s in self.sights)

    def apart(self, embedding: F64 | None) -> float | None:
        """Distance to an identity, None where either is unknown."""
        return distance(self.embedding, embedding) if embedding is not None and self.known else None

    def differs(self, embedding: F64 | None, *, limit: float = OTHER_PERSON) -> bool:
        """Whether that is somebody else."""
        apart = self.apart(embedding)
        return apart is not None and apart > limit

    def expected(self, frames: Sequence[int]) -> F64:
        """The box in the last of `frames` if the person goes on moving as in the last two sights of `frames`."""
        here = self.last.box
        if len(self.sights) < 2 or len(frames) < 2 or self.sights[-2].frame not in frames:
            return here
        ago = frames.index(self.last.frame) - frames.index(self.sights[-2].frame)
        ahead = len(frames) - 1 - frames.index(self.last.frame)
        return np.asarray(here + (here - self.sights[-2].box) * (min(ahead, 2) / max(ago, 1)))


def bounds(points: F64) -> F64:
    """(4,) x0, y0, x1, y1 around (N, 2 or 3) points."""
    return np.concatenate([points[:, :2].min(axis=0), points[:, :2].max(axis=0)])


def face_size(points: F64) -> float:
    """Square root of the area of the points' box, in pixels."""
    return float(np.sqrt(np.prod(np.maximum(np.ptp(points[:, :2], axis=0), 1e-6))))


def iou(a: F64, b: F64) -> float:
    """Intersection over union of two boxes."""
    return float(overlap(a[None], b[None])[0, 0])


def same_place(a: F64, b: F64) -> bool:
    """Whether two boxes hold one face."""
    return iou(a, b) > _TWICE


# ---------------------------------------------------------------------------------------- assignment


def assign(
    people: Sequence[Person], boxes: Sequence[F64 | None], sights: Sequence[Sight]
) -> tuple[dict[int, int], list[int]]:
    """Give sights to people so that all of them together fit best.

    Args:
        people: who may be seen.
        boxes: for each of them where they should be, (4,), or None where only their identity can tell.
        sights: the different faces of one frame.

    Returns:
        Index of a person -> index of a sight, and the sights that are nobody's.
    """
    cost = np.full((len(people), len(sights)), np.inf)
    for i, (person, box) in enumerate(zip(people, boxes, strict=True)):
        for j, sight in enumerate(sights):
            cost[i, j] = _cost(person, box, sight)
    pairs = cheapest(cost, apart=_APART)
    return pairs, sorted(set(range(len(sights))) - set(pairs.values()))


def _cost(person: Person, box: F64 | None, sight: Sight) -> float:
    """How badly a sight fits a person: 0 perfectly; infinite when it cannot be them."""
    apart = person.apart(sight.embedding)
    if apart is not None and apart > OTHER_PERSON:
        return np.inf
    who = _UNKNOWN if apart is None else apart
    near = 0.0 if box is None else iou(box, sight.box)
    if near >= _NEAR:
        return 0.5 * (1 - near) + who / 2
    return np.inf if apart is None or apart > SAME_PERSON else 0.3 + who


def cheapest(cost: F64, *, apart: float) -> dict[int, int]:
    """The cheapest pairs of rows and columns, where leaving a pair out costs `apart`: {row: column}.

    Source: H. W. Kuhn, "The Hungarian Method", 1955, as shortest augmenting paths (R. Jonker, A. Volgenant, 1987).
    """
    rows, columns = cost.shape
    if not rows or not columns:
        return {}
    big = 1e6
    # Every row may also take a column of its own that stands for nobody.
    wide = np.full((rows, columns + rows), big)
    wide[:, :columns] = np.where(np.isfinite(cost), cost, big)
    wide[np.arange(rows), columns + np.arange(rows)] = apart
    row_price, price = np.zeros(rows), np.zeros(columns + rows)
    owner = np.full(columns + rows, -1, np.int64)
    for row in range(rows):
        _augment(wide, row, row_price, price, owner)
    return {int(row): column for column, row in enumerate(owner[:columns]) if row >= 0 and cost[row, column] < apart}


def _augment(cost: F64, start: int, row_price: F64, price: F64, owner: NDArray[np.int64]) -> None:
    """Give `start` a column along the shortest path of exchanges; changes the prices and owners."""
    count = cost.shape[1]
    shortest, before = np.full(count, np.inf), np.full(count, -1)
    done = np.zeros(count, bool)
    row, column, lowest = start, -1, 0.0
    while True:
        new = lowest + cost[row] - row_price[row] - price
        better = ~done & (new < shortest)
        shortest[better], before[better] = new[better], column
        column = int(np.where(done, np.inf, shortest).argmin())
        lowest = float(shortest[column])
        if owner[column] < 0:
            break
        done[column] = True
        row = int(owner[column])
    row_price[start] += lowest
    for used in np.flatnonzero(done):
        row_price[int(owner[used])] += lowest - shortest[used]
        price[used] -= lowest - shortest[used]
    while column >= 0:
        previous = int(before[column])
        owner[column] = start if previous < 0 else owner[previous]
        column = previous


# ------------------------------------------------------------------------------------------ the shot


def merged(people: Sequence[Person]) -> list[Person]:
    """Join people who are one by identity and never seen together (met anew as a profile, say)."""
    result: list[Person] = []
    for person in people:
        frames = {s.frame for s in person.sights}
        for other in result:
            alone = frames.isdisjoint(s.frame for s in other.sights)
            if alone and person.known and other.known and not other.differs(person.embedding, limit=_MERGE):
                other.sights.extend(person.sights)
                break
        else:
            result.append(person)
    return result


def ranked(people: Sequence[Person]) -> list[Person]:
    """Most prominent first."""
    return sorted(people, key=lambda p: -p.prominence)


# -------------------------------------------------------------------------------------------- names


def name_faces(track: Track, references: Mapping[str, F64]) -> Track:
    """Name the faces of a track after the performers they are consistent with.

    An embedding can say that a face is consistent with a performer, never that it is the performer. A face gets the
    nearest name below `identity.SAME_PERSON`, all faces decided together. Faces that get one name although they are
    never in one frame together become one face under the lower id; of two that are, only the nearer is named.

    Args:
        track: what was solved.
        references: name -> (N, 128) float64 embeddings of the performer, of a faceset's crops, say.

    Returns:
        The track with names; its metadata says under `names` how near each one is. Names given before stay where no
        performer fits.
    """
    means = {name: np.mean(np.atleast_2d(values), axis=0) for name, values in references.items() if len(values)}
    near = {
        face.id: {name: distance(face.embedding, mean) for name, mean in means.items() if face.embedding.any()}
        for face in track.faces
    }
    names: dict[int, str] = {}
    order = sorted((d, key, name) for key, found in near.items() for name, d in found.items() if d < SAME_PERSON)
    frames = {face.id: set(track.face(face.id)) for face in track.faces}
    for _, key, name in order:
        rivals = [other for other, taken in names.items() if taken == name]
        if key not in names and all(frames[key].isdisjoint(frames[other]) for other in rivals):
            names[key] = name
    home = {key: min(other for other, same in names.items() if same == name) for key, name in names.items()}
    said = [f"{key} is consistent with {name} (distance {near[key][name]:.2f})" for key, name in sorted(names.items())]
    return replace(
        track,
        faces=tuple(
            replace(face, name=names.get(face.id, face.name))
            for face in track.faces
            if home.get(face.id, face.id) == face.id
        ),
        frames={frame: _renamed(pairs, home) for frame, pairs in track.frames.items()},
        keys={
            key: {
                frame: k
                for other, found in track.keys.items()
                if home.get(other, other) == key
                for frame, k in found.items()
            }
            for key in dict.fromkeys(home.get(other, other) for other in track.keys)
        },
        metadata={**track.metadata, **({"names": "; ".join(said)} if said else {})},
    )


def _renamed(pairs: tuple[tuple[int, FaceFrame], ...], home: Mapping[int, int]) -> tuple[tuple[int, FaceFrame], ...]:
    return tuple(sorted(((home.get(key, key), face) for key, face in pairs), key=lambda pair: pair[0]))
