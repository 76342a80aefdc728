"""Following faces through a shot, frame by frame, and meeting new ones.

When detection runs. A face that is followed needs no detector: flow says where it went and the landmark network reads
it there. So the detector takes a plain look at every frame only while somebody seen in the last frames is missing,
could not be read, or nobody is followed; at every second frame where the picture changes outside the faces; and
otherwise every sixth (`Effort.look`). A face that comes in between two looks is read in the frame before, too. A
sweep (`detect.sweep`: parts at full resolution, turned pictures, other exposures) is made at the first frame, after a
jump of the picture, every 48th frame, and ever more rarely while nobody is found.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vfxswap.face import cuts, detect
from vfxswap.face.detect import Found
from vfxswap.face.exposed import Exposed
from vfxswap.face.landmarks import roi_from_detection, roi_from_landmarks
from vfxswap.face.looking import Effort, Looker, Networks
from vfxswap.face.people import Person, Sight, assign, bounds, face_size, iou, same_place
from vfxswap.face.runs import MAX_GAP
from vfxswap.geometry import similarity, transform
from vfxswap.pixels import F64

# The score of a face that is followed and was not looked for.
_FOLLOWED = 0.95

# Crops that disagree by more than this part of the face's size have not read a face.
_WILD = 0.03

# Where flow and network differ by more than this part of the face's size, one of them has lost it.
_ASTRAY = 0.12

# Flow carries a face while this part of its points comes back from where they went, to within this part of its size.
_CARRIES, _RETURNS = 0.5, 0.02

# Part of a block of the thumbnail that must have changed, outside the faces, to be worth a look.
_CHANGED = 0.35

# Columns and rows that a thumbnail is made of.
_THUMBNAIL = (216, 152)


@dataclass(eq=False)
class _Try:
    """What became of somebody seen in the last frame: where flow puts them, and what the network reads there."""

    person: Person
    points: F64
    step: F64 | None
    error: F64 | None
    sight: Sight | None = None

    @property
    def box(self) -> F64:
        return bounds(self.points)

    @property
    def carries(self) -> bool:
        """Whether flow alone can be trusted with the face."""
        if self.error is None:
            return False
        return float((self.error < _RETURNS * face_size(self.points)).mean()) >= _CARRIES

    @property
    def well(self) -> bool:
        """Whether the network read the face where it was expected."""
        return self.sight is not None and self.sight.readable and self.sight.spread < _WILD * self.sight.size

    @property
    def astray(self) -> bool:
        """Whether flow and network disagree about where the face is."""
        if self.sight is None or not self.carries:
            return False
        return float(np.median(np.linalg.norm((self.sight.points - self.points)[:, :2], axis=1))) > (
            _ASTRAY * self.sight.size
        )


class Follower(Looker):
    """Walks through the frames of a shot and keeps what it saw."""

    def __init__(self, networks: Networks, effort: Effort) -> None:
        super().__init__(networks, effort)
        self.cuts = cuts.CutFinder()
        self._before: Exposed | None = None
        self._looked = 0
        self._swept = 0
        self._pause = 1

    def look(self, frame: int, image: Exposed) -> None:
        """Follow the faces of the last frame into this one and meet new ones."""
        jump = self.cuts.look(frame, cuts.thumbnail(image.thin(_THUMBNAIL))) or not self.frames
        last = self.frames[-1] if self.frames else None
        self.frames.append(frame)
        before = None if jump else self._before
        tries = [self._follow(p, before, image) for p in self.people if not jump and p.last.frame == last]
        found = self._found(image, tries, jump=jump)
        self._settle(frame, image, tries, found)
        if before is not None and last is not None:
            for person in self.people:
                if person.sights[0].frame == frame:
                    self._meet_earlier(person, last, before, image)
        if self._before is not None:
            self._before.release()
        self._before = image

    # ------------------------------------------------------------------------------------- following

    def _follow(self, person: Person, before: Exposed | None, image: Exposed) -> _Try:
        """Where somebody of the last frame went, and what can be read there."""
        last = person.last
        tried = _Try(person, _onward(person), None, None)
        if before is not None and self.effort.flow:
            moved, error = self._flow(before, image, last.points, stops=last.stops)
            tried.step, tried.error = moved - last.points[:, :2], error
            tried.points = _carried(last.points, moved, error)
        frame = self.frames[-1]
        if self._due(self.effort.identify):
            person.stops = image.suited(tried.points, person.stops)
        tried.sight = self.read(frame, image, tried.points, score=_FOLLOWED, stops=person.stops)
        return tried

    def _flow(self, before: Exposed, image: Exposed, points: F64, *, stops: float) -> tuple[F64, F64]:
        return self.networks.flow(before.at(stops, points), image.at(stops, points), points)

    def _due(self, every: int) -> bool:
        return (len(self.frames) - 1) % every == 0

    # ------------------------------------------------------------------------------------- detecting

    def _found(self, image: Exposed, tries: list[_Try], *, jump: bool) -> list[Found]:
        """Detections, in the frames where it is worth looking for them (see the module's docstring)."""
        now = len(self.frames)
        detector = self.networks.detector
        lonely = not any(t.well for t in tries)
        self._pause = self._pause if lonely else 1
        if jump or now - self._swept >= (self._pause if lonely else self.effort.sweep):
            self._swept = self._looked = now
            self._pause = min(2 * self._pause, self.effort.sweep)
            return detect.sweep(detector, image)
        waited = now - self._looked
        if (
            lonely
            or self._missing(tries)
            or waited >= self.effort.look
            or (waited >= 2 and self.effort.flow and self._changed(image, tries))
        ):
            self._looked = now
            return detect.plain(detector, image)
        return []

    def _missing(self, tries: list[_Try]) -> bool:
        """Whether somebody who was seen lately is not, or not clearly."""
        if any(not t.well or t.astray for t in tries):
            return True
        recent = self.frames[-MAX_GAP - 2 : -1]
        return any(p.last.frame in recent[:-1] for p in self.people)

    def _changed(self, image: Exposed, tries: list[_Try]) -> bool:
        """Whether the picture has changed where no face is followed."""
        changed = self.cuts.changed.copy()
        cell = np.array(image.size) / changed.shape[::-1]
        for tried in tries:
            low, high = tried.box[:2] / cell - 1, tried.box[2:] / cell + 1
            x0, y0, x1, y1 = np.clip(np.concatenate([np.floor(low), np.ceil(high)]), 0, 99).astype(int)
            changed[y0:y1, x0:x1] = 0
        return bool((changed > _CHANGED).any())

    # -------------------------------------------------------------------------------------- deciding

    def _settle(self, frame: int, image: Exposed, tries: list[_Try], found: list[Found]) -> None:
        """Whose face each one of this frame is."""
        for tried in tries:
            if not tried.well or tried.astray:
                self._help(image, tried, found)
        sights = _different([t.sight for t in tries if t.sight is not None])
        fresh = []
        for one in found:
            if not any(iou(one.face.box, s.box) > 0.3 or _inside(one.face.box, s.box) for s in sights):
                fresh.append(self.read_found(frame, image, one, angle=self._angle(one)))
        sights = _different([*sights, *fresh])
        owners = [next((t for t in tries if t.sight is s), None) for s in sights]
        doubtful = _crowded(sights) or len(sights) != len(tries) or any(owner is None for owner in owners)
        if doubtful or self._due(self.effort.identify):
            for i, sight in enumerate(sights):
                sights[i] = self.identified(image, sight)
        quiet = not doubtful and not any(
            o is not None and o.person.differs(s.embedding) for o, s in zip(owners, sights, strict=True)
        )
        if quiet:
            pairs = [(owner.person, sight) for owner, sight in zip(owners, sights, strict=True) if owner is not None]
            nobody: list[Sight] = []
        else:
            pairs, nobody = self._assigned(tries, sights)
        for person, sight in pairs:
            self._keep(person, sight, tries)
        for sight in nobody:
            if sight.score != _FOLLOWED or sight.readable:
                self.people.append(Person([sight], stops=sight.stops))

    def _help(self, image: Exposed, tried: _Try, found: list[Found]) -> None:
        """A face that could not be read where it was expected: where the detector sees it, or carried by flow."""
        near = max(found, key=lambda one: iou(one.face.box, tried.box), default=None)
        seen = near is not None and iou(near.face.box, tried.box) > 0.2
        if near is not None and seen:
            for angle in _angles(tried.points, near):
                other = self.read_found(self.frames[-1], image, near, angle=angle)
                if other.readable and (not tried.well or tried.sight is None or other.spread < tried.sight.spread):
                    tried.sight = other
                if tried.well:
                    break
        if tried.well:
            return
        if seen and tried.carries and tried.sight is not None:
            tried.sight = replace(tried.sight, points=tried.points, carried=True)
        elif tried.sight is not None and not tried.sight.readable:
            # Nothing sees a face here, and flow would follow whatever hides it.
            tried.sight = tried.sight if seen and not self.effort.flow else None

    def _assigned(self, tries: list[_Try], sights: list[Sight]) -> tuple[list[tuple[Person, Sight]], list[Sight]]:
        """All people who may be here, and all faces, decided together."""
        by_person = {id(t.person): t for t in tries}
        boxes: list[F64 | None] = []
        for person in self.people:
            tried = by_person.get(id(person))
            if tried is not None:
                boxes.append(tried.box)
            else:
                boxes.append(person.expected(self.frames) if self._recent(person) else None)
        pairs, nobody = assign(self.people, boxes, sights)
        return [(self.people[i], sights[j]) for i, j in pairs.items()], [sights[j] for j in nobody]

    def _recent(self, person: Person) -> bool:
        """Whether somebody was here a moment ago."""
        return person.last.frame in self.frames[-MAX_GAP - 2 :] and self.cuts.connected(person.last.frame)

    def _angle(self, found: Found) -> float | None:
        """How far a face is turned that somebody had where it is detected; None where nobody was."""
        here = [p for p in self.people if self._recent(p) and iou(p.expected(self.frames), found.face.box) > 0.2]
        return roi_from_landmarks(here[0].last.points).angle if here else None

    def _keep(self, person: Person, sight: Sight, tries: list[_Try]) -> None:
        tried = next((t for t in tries if t.person is person), None)
        if tried is not None:
            sight = replace(sight, step=tried.step, error=tried.error)
        if person.readable and not sight.readable and not sight.carried:
            # A gap can be bridged from both sides; points that nobody has read would only spoil that.
            return
        person.stops = sight.stops
        person.sights.append(sight)

    def _meet_earlier(self, person: Person, frame: int, before: Exposed, image: Exposed) -> None:
        """Read somebody new in the frame before, too: nobody may have looked for faces there."""
        new = person.last
        if not new.readable:
            return
        sight = self.read(frame, before, new.points, score=new.score, stops=0.0)
        others = [s for p in self.people for s in p.sights[-2:] if p is not person and s.frame == frame]
        if not sight.readable or sight.spread > _WILD * sight.size or iou(sight.box, new.box) < 0.3:
            return
        if any(same_place(sight.box, other.box) for other in others):
            return
        if self.effort.flow:
            moved, error = self._flow(before, image, sight.points, stops=0.0)
            person.sights = [sight, replace(new, step=moved - sight.points[:, :2], error=error)]
        else:
            person.sights = [sight, new]


def _onward(person: Person) -> F64:
    """The points in the next frame if the face goes on moving as it did."""
    last = person.last
    if len(person.sights) < 2:
        return last.points
    step = (last.points - person.sights[-2].points)[:, :2].mean(axis=0)
    # A jump is no motion.
    if np.linalg.norm(step) > 0.5 * last.size:
        return last.points
    return np.asarray(last.points + np.append(step, 0.0), np.float64)


def _angles(points: F64, found: Found) -> list[float]:
    """How a face may be turned: as its points are, and as the detector sees it if that is something else."""
    known, seen = roi_from_landmarks(points).angle, roi_from_detection(found.face).angle
    return [known, seen] if np.cos(seen - known) < np.cos(np.pi / 6) else [known]


def _carried(points: F64, moved: F64, error: F64) -> F64:
    """(478, 3) points where flow puts them; those that flow has lost go with the others."""
    good = error < _RETURNS * face_size(points)
    if good.sum() < 8:
        return points
    weight = np.where(good, 1.0, 0.0)
    fit = similarity(points[:, :2], moved, weights=weight)
    flat = np.where(good[:, None], moved, transform(fit, points[:, :2]))
    return np.concatenate([flat, points[:, 2:]], axis=1)


def _different(sights: list[Sight]) -> list[Sight]:
    """The sights without those that show a face that another one shows better."""
    kept: list[Sight] = []
    for sight in sorted(sights, key=lambda s: (not s.readable, s.spread / s.size)):
        if not any(same_place(sight.box, other.box) for other in kept):
            kept.append(sight)
    return kept


def _crowded(sights: list[Sight]) -> bool:
    """Whether people come so near each other that one may be taken for another."""
    boxes = [_grown(sight.box) for sight in sights]
    return any(iou(a, b) > 0.02 for i, a in enumerate(boxes) for b in boxes[:i])


def _grown(box: F64) -> F64:
    margin = 0.25 * (box[2:] - box[:2])
    return np.concatenate([box[:2] - margin, box[2:] + margin])


def _inside(box: F64, other: F64) -> bool:
    """Whether the centre of `box` lies in `other`."""
    centre = (box[:2] + box[2:]) / 2
    return bool(((other[:2] < centre) & (centre < other[2:])).all())
