"""An artist's keys from one solve of a plate to the next."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vfxswap.face.detect import overlap
from vfxswap.face.identity import SAME_PERSON, distance
from vfxswap.face.track import Face, Track

_SAME_PLACE = 0.5


def carried(old: Track, new: Track) -> tuple[Track, list[str]]:
    """`new` with the keys of `old`, each on the face that it was made for.

    That is the face of the same name, else the one that looks alike and lies where it lay. Keys whose face was not
    found again are kept on a face without frames, so that nothing an artist made is lost.

    Returns:
        The track, and a line for every face that was not found again.
    """
    faces, keys, notes = list(new.faces), dict(new.keys), list[str]()
    for number, found in old.keys.items():
        person = next((face for face in old.faces if face.id == number), None)
        if not found or person is None:
            continue
        home = _again(person, old, new)
        if home is None:
            home = max((face.id for face in faces), default=-1) + 1
            faces.append(replace(person, id=home))
            notes.append(
                f"face {person.name or number}, which {len(found)} keys are of, was not found again: "
                f"they are kept under face {home} and change nothing"
            )
        keys[home] = {**keys.get(home, {}), **found}
    return replace(new, faces=tuple(faces), keys=keys), notes


def _again(person: Face, old: Track, new: Track) -> int | None:
    """The id in `new` of a face of `old`."""
    named = [face.id for face in new.faces if face.name is not None and face.name == person.name]
    if named:
        return named[0]
    known = person.embedding.any()
    scores = []
    for face in new.faces:
        place = _overlap(old, person.id, new, face.id)
        apart = distance(person.embedding, face.embedding) if known and face.embedding.any() else SAME_PERSON
        alike = apart < SAME_PERSON
        if (alike and place is None) or (place is not None and place > (0.0 if alike else _SAME_PLACE)):
            scores.append(((place or 0.0) - apart, face.id))
    return max(scores)[1] if scores else None


def _overlap(old: Track, was: int, new: Track, now: int) -> float | None:
    """Mean overlap, 0..1, over the frames that have both; None where they share none."""
    before, after = old.face(was), new.face(now)
    common = sorted(before.keys() & after.keys())
    return float(np.mean([overlap(before[f].box[None], after[f].box[None])[0, 0] for f in common])) if common else None
