from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
import skimage

from vfxswap.face import cuts, runs
from vfxswap.face.dissolves import Dissolve
from vfxswap.face.people import Person, Sight
from vfxswap.pixels import F32, ModelRgb

from . import plates

SCENES = ("astronaut", "coffee", "chelsea", "rocket")


def held(name: str, count: int, *, speed: float = 1.0, seed: int = 0) -> list[F32]:
    """Frames of a camera that drifts, with grain."""
    picture = cv2.resize(getattr(skimage.data, name)().astype(np.float32) / 255, (480, 270))
    rng = np.random.default_rng(seed)
    frames = []
    for i in range(count):
        shift = np.array([[1.0, 0, speed * i], [0, 1, -0.5 * speed * i]])
        moved = cv2.warpAffine(picture, shift, (480, 270), borderMode=cv2.BORDER_REPLICATE)
        frames.append(np.asarray(np.clip(moved + rng.normal(0, 0.02, moved.shape), 0, 1), np.float32))
    return frames


def dissolved(first: list[F32], second: list[F32], length: int) -> list[F32]:
    """The end of one shot mixed with the beginning of another."""
    parts = (np.arange(length) + 1) / (length + 1)
    mixed = [a * (1 - w) + b * w for a, b, w in zip(first[-length:], second[:length], parts.tolist(), strict=True)]
    return [*first[:-length], *(np.asarray(m, np.float32) for m in mixed), *second[length:]]


def found(pictures: list[F32]) -> tuple[tuple[int, ...], tuple[Dissolve, ...]]:
    finder = cuts.CutFinder()
    for i, picture in enumerate(pictures):
        finder.look(i, cuts.thumbnail(ModelRgb(picture)))
    return finder.close(), finder.dissolves


@pytest.mark.parametrize("length", [6, 12, 24])
@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(SCENES, 2))[::2])
def test_a_dissolve_is_found_where_it_is(first, second, length):
    pictures = dissolved(held(first, 10 + length, speed=0.3), held(second, 10 + length, speed=0.3, seed=1), length)
    named, (dissolve,) = found(pictures)
    assert named == (dissolve.middle,), "nothing is smoothed across its middle"
    assert dissolve.middle == pytest.approx(10 + length / 2, abs=1 + length / 6)
    assert dissolve.first == pytest.approx(10, abs=1 + length / 4)
    assert dissolve.last == pytest.approx(9 + length, abs=1 + length / 4)


@pytest.mark.parametrize(("first", "second"), [("coffee", "chelsea"), ("rocket", "astronaut")])
def test_a_long_one_is_found_and_placed_roughly(first, second):
    named, dissolves = found(dissolved(held(first, 50, speed=0.3), held(second, 50, speed=0.3, seed=1), 40))
    assert len(named) == len(dissolves) >= 1
    assert all(10 <= cut < 50 for cut in named)


def test_two_dissolves_and_a_cut():
    one = dissolved(held("coffee", 22, speed=0.3), held("chelsea", 36, speed=0.3, seed=1), 10)
    pictures = [*dissolved(one, held("rocket", 22, speed=0.3, seed=2), 10), *held("astronaut", 10, seed=3)]
    named, dissolves = found(pictures)
    assert len(dissolves) == 2
    assert named == (dissolves[0].middle, dissolves[1].middle, len(pictures) - 10)


@pytest.mark.parametrize("speed", [0.0, 4.0, 12.0])
def test_a_shot_that_moves_is_no_dissolve(speed):
    for name in SCENES:
        assert found(held(name, 30, speed=speed))[1] == ()


def test_light_that_comes_on_is_no_dissolve():
    pictures = held("coffee", 30)
    for i in range(30):
        lamp = np.linspace(0.2, 1, 480, dtype=np.float32)[None, :, None]
        pictures[i] = pictures[i] * (0.3 + 0.7 * np.float32(np.clip((i - 8) / 12, 0, 1)) * lamp)
    assert found(pictures)[1] == ()


def test_rendered_shots_have_none(shared):
    for name in ("talk_studio", "turn_hot_hand", "walk_day"):
        assert found(list(plates.shot(shared / "data" / "shots" / name)))[1] == ()


def test_rendered_shots_dissolved(shared):
    """A performer talks, and dissolves into herself in daylight."""
    folder = shared / "data" / "shots"
    talk, walk = plates.shot(folder / "talk_studio"), plates.shot(folder / "walk_day")
    named, dissolves = found(dissolved([*talk[:28]], [*walk, *walk[::-1], *walk], 16))
    assert named == tuple(d.middle for d in dissolves)
    assert len(named) == 1
    assert named[0] == pytest.approx(20, abs=4)


def test_frames_within_are_to_be_checked(astronaut_landmarks):
    """A face that is read well, in a picture that is half another one."""
    one = np.ones(2)
    sights = [
        Sight(f, astronaut_landmarks.points + np.array([2.0 * f, 0, 0]), 1.0, 0.9, one, spread=0.1) for f in range(12)
    ]
    made = dict(runs.together(Person(sights), range(12), cuts=(6,), dissolves=(Dissolve(4, 8, 6),)))
    assert list(made) == list(range(12))
    for frame, face in made.items():
        assert (face.confidence < 0.5) == (4 <= frame <= 8)
        assert face.reasons == (("dissolve",) if 4 <= frame <= 8 else ())
