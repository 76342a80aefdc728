from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage

from vfxswap.face import cuts
from vfxswap.pixels import F32, ModelRgb

from . import plates

SCENES = ("astronaut", "coffee", "chelsea", "rocket")


def scene(name: str) -> ModelRgb:
    picture = getattr(skimage.data, name)().astype(np.float32) / 255
    return ModelRgb(np.asarray(cv2.resize(picture, (960, 540), interpolation=cv2.INTER_AREA), np.float32))


def held(picture: F32, count: int, *, seed: int = 0) -> list[ModelRgb]:
    """Frames of a camera that drifts a little, with grain."""
    rng = np.random.default_rng(seed)
    frames = []
    for i in range(count):
        shift = np.array([[1.0, 0, 2 * i], [0, 1, -i]])
        moved = cv2.warpAffine(picture, shift, (960, 540), borderMode=cv2.BORDER_REPLICATE)
        frames.append(ModelRgb(np.clip(moved + rng.normal(0, 0.02, moved.shape), 0, 1).astype(np.float32)))
    return frames


def found(pictures: list[ModelRgb]) -> tuple[list[int], tuple[int, ...]]:
    """Suspected and confirmed cuts."""
    finder = cuts.CutFinder()
    suspected = [i for i, p in enumerate(pictures) if finder.look(i, cuts.thumbnail(p))]
    return suspected, finder.close()


@pytest.mark.parametrize("first", SCENES)
@pytest.mark.parametrize("second", SCENES)
def test_a_cut_is_found_where_it_is_and_nowhere_else(first, second):
    pictures = held(scene(first), 7) + held(scene(second), 6, seed=1)
    suspected, named = found(pictures)
    assert named == ((7,) if first != second else ())
    assert set(named) <= set(suspected), "it is known at once that something jumped"


@pytest.mark.parametrize("gain", [0.25, 0.5, 2.0])
def test_exposure_is_no_difference(gain):
    picture = scene("coffee") * 0.5
    assert cuts.difference(cuts.thumbnail(ModelRgb(picture)), cuts.thumbnail(ModelRgb(picture * gain))) < 0.01


@pytest.mark.parametrize("length", [1, 2])
@pytest.mark.parametrize("flash", ["white", "overexposed", "black"])
def test_a_flash_is_no_cut(flash, length):
    pictures = held(scene("chelsea"), 14)
    for i in range(6, 6 + length):
        light = {"white": np.ones_like(pictures[i]), "overexposed": pictures[i] * 6, "black": pictures[i] * 0}[flash]
        pictures[i] = ModelRgb(np.clip(light, 0, 1))
    suspected, named = found(pictures)
    assert named == ()
    assert 6 in suspected, "nothing is followed into the flash"


def test_a_longer_black_leader_is_cut_at_both_ends():
    pictures = held(scene("chelsea"), 18)
    for i in range(6, 11):
        pictures[i] = ModelRgb(np.zeros_like(pictures[i]))
    assert found(pictures)[1] == (6, 11)


@pytest.mark.parametrize("speed", [10, 40, 90, 200])
def test_pans_are_no_cuts(speed):
    wide = cv2.resize(scene("coffee"), (2400, 1000))
    places = np.clip([0] * 6 + [speed * i for i in range(1, 8)] + [speed * 8] * 4, 0, 1440)
    assert found([ModelRgb(np.ascontiguousarray(wide[200:740, x : x + 960])) for x in places])[1] == ()


def test_zooms_are_no_cuts():
    picture = scene("astronaut")
    frames = []
    for i in range(12):
        matrix = cv2.getRotationMatrix2D((480, 270), 0, 1.03**i)
        frames.append(ModelRgb(np.asarray(cv2.warpAffine(picture, matrix, (960, 540)), np.float32)))
    assert found(frames)[1] == ()


def test_first_and_last_frames():
    one, other = held(scene("coffee"), 5), held(scene("rocket"), 5)
    assert found([]) == ([], ())
    assert found(one[:1]) == ([], ())
    assert found([*one, other[0]])[1] == (5,)
    assert found([one[0], *other])[1] == (1,)


def test_connected_asks_whether_it_is_still_the_same_scene():
    finder = cuts.CutFinder()
    pictures = held(scene("coffee"), 6)
    for i, picture in enumerate(pictures):
        finder.look(i, cuts.thumbnail(picture))
    assert finder.connected(4)
    finder.look(6, cuts.thumbnail(ModelRgb(np.ones_like(pictures[0]))))
    assert not finder.connected(5)
    finder.look(7, cuts.thumbnail(pictures[-1]))
    assert finder.connected(5), "a flash ends nothing"
    finder.look(8, cuts.thumbnail(scene("rocket")))
    assert not finder.connected(7)
    assert not finder.connected(-100)


def test_rendered_shots_joined(shared):
    """Two shots of one face in the middle of the frame; and none of them has a cut of its own."""
    folder = shared / "data" / "shots"
    shots = {name: plates.shot(folder / name, count=12) for name in ("talk_studio", "turn_hot_hand", "walk_day")}
    for frames in shots.values():
        assert found(frames)[1] == (), "a hand that crosses the picture is no cut"
    clip, starts = plates.joined(*shots.values())
    numbers = [frame for frame, _, _ in clip]
    assert tuple(numbers[i] for i in found([picture for _, picture, _ in clip])[1]) == starts == (1013, 1025)
