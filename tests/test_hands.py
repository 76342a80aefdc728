"""What is known of hands: the matte leaves them out, and nothing else is touched."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from vfxswap import align, exr, hands, measure, pipeline
from vfxswap.color import ModelSpace
from vfxswap.events import CancelToken, NullSink
from vfxswap.face import HANDS
from vfxswap.geometry import invert, transform
from vfxswap.job import SwapParameters
from vfxswap.lens import Lens
from vfxswap.pixels import F32, F64, Matte, ModelRgb
from vfxswap.plate import Plate, open_plate
from vfxswap.sequence import FrameRange
from vfxswap.vfxmodel import Painting

from .support import PASS_THROUGH, Studio, digests, disc, face, job, network, write_frame

SIZE = 128
THERE = face(150, 150, 200)
PLAIN = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def spread(x: float = 64, y: float = 110, reach: float = 70) -> F64:
    """(21, 2) an upright hand with its wrist at (x, y): four fingers side by side, a thumb to the left."""
    points = [(0.0, 0.0)]
    points += [(-0.12 * i - 0.05, -0.15 - 0.08 * i) for i in range(1, 5)]
    for column in (-0.18, -0.06, 0.06, 0.18):
        points += [(column * (1 + 0.35 * i), -0.5 - 0.15 * i) for i in range(4)]
    return np.array(points) * reach + [x, y]


def middles(hand: F64) -> F64:
    """(15, 2) the middles of its fingers' bones."""
    return np.concatenate([(hand[i : i + 3] + hand[i + 1 : i + 4]) / 2 for i in (1, 5, 9, 13, 17)])


def at(picture: F32, points: F64) -> F32:
    x, y = np.floor(points).astype(int).T
    return picture[y, x]


def test_rods_cover_fingers_and_palm() -> None:
    hand = spread()
    found = hands.rods(hand, size=SIZE)
    assert found.dtype == np.float32 and found.shape == (SIZE, SIZE)
    assert found.min() == 0 and found.max() == 1
    assert (at(found, middles(hand)) > 0.7).all()
    assert found[int(hand[[0, 5, 17], 1].mean()), int(hand[[0, 5, 17], 0].mean())] == 1, "the palm"
    tips = hand[[8, 12, 16, 20]]
    assert (at(found, tips - [0, 3]) > 0.3).all(), "fingers end beyond their points"
    assert found[: int(tips[:, 1].min()) - 12].max() == 0 and found[125:].max() == 0
    between = (hand[8] + hand[12]) / 2
    assert at(found, between[None])[0] == 0, "what is between spread fingers is seen"


def test_rods_mean_the_same_at_every_size() -> None:
    small = hands.rods(spread(), size=SIZE)
    for times in (2, 4):
        large = hands.rods(spread() * times, size=SIZE * times)
        assert np.abs(cv2.resize(large, (SIZE, SIZE), interpolation=cv2.INTER_AREA) - small).mean() < 0.003


def test_a_hand_is_told_of_and_nothing_else() -> None:
    front = Matte(np.random.default_rng(3).random((SIZE, SIZE)).astype(np.float32) ** 4)
    front[0, 0], front[0, 1], front[70, 64], front[71, 64] = 0, 1, 0, 1
    hand = spread()
    found = hands.held(front, (hand,), PLAIN)
    zone = hands.rods(hand, size=SIZE)
    assert found.dtype == np.float32 and np.isfinite(found).all() and found.max() <= 1
    np.testing.assert_array_equal(found[zone == 0], front[zone == 0])
    rest = np.clip(front, 1e-5, 1 - 1e-5)
    assert (found[zone > 0] >= rest[zone > 0] - 1e-4).all()
    seen_a_bit = (zone == 1) & (front > 0.01)
    assert seen_a_bit.sum() > 500 and found[seen_a_bit].min() > 0.95
    assert found[70, 64] < 0.1, "what the network is sure of stays: a face before the hand"


def test_a_hand_may_be_kept_in_part() -> None:
    front, hand = Matte(np.full((SIZE, SIZE), 0.05, np.float32)), spread()
    none, half, whole = (hands.held(front, (hand,), PLAIN, keep=keep) for keep in (0.0, 0.5, 1.0))
    np.testing.assert_allclose(none, front, atol=1e-6)
    inside = hands.rods(hand, size=SIZE) == 1
    assert none[inside].max() < half[inside].min() < whole[inside].min()


def test_without_a_hand_in_the_crop_it_is_the_same_matte() -> None:
    front = Matte(np.full((SIZE, SIZE), 0.2, np.float32))
    assert hands.held(front, (), PLAIN) is front
    assert hands.held(front, (spread(1000, 1000),), PLAIN) is front
    assert hands.held(front, (spread(-5e6, 9e6),), PLAIN) is front


class Spot:
    """Finds a hand of one point: where the picture is brightest."""

    def __init__(self) -> None:
        self.seen: list[ModelRgb] = []

    def __call__(self, rgb: ModelRgb) -> tuple[F64, ...]:
        self.seen.append(rgb)
        weight = np.clip(rgb.sum(axis=2) - 1.5, 0, None)
        y, x = np.indices(weight.shape) + 0.5
        middle = np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()
        return (np.repeat(middle[None], 21, axis=0),)


Shown = tuple[Plate, exr.Frame, ModelSpace]


def shown(folder: Path, rgb: F32) -> Shown:
    write_frame(folder / "p.0001.exr", rgb, frame=1)
    plate = open_plate(str(folder / "p.####.exr"))
    space = measure.Measurements(gain=1.0, model_sha256="", relight={}).space(1, config=plate.config, encoding="srgb")
    return plate, plate.read(1), space


def plate_with_spot(folder: Path, x: int, y: int) -> Shown:
    rgb = np.full((300, 300, 3), 0.05, np.float32)
    rgb[y - 4 : y + 4, x - 4 : x + 4] = 0.8
    rgb[0, 0] = np.nan
    return shown(folder, rgb)


@pytest.mark.parametrize("spot", [(150, 150), (60, 260)])
def test_hands_are_found_in_a_picture_about_the_face(spot: tuple[int, int], tmp_path: Path) -> None:
    plate, image, space = plate_with_spot(tmp_path, *spot)
    finder = Spot()
    near = hands.finding(plate, image, THERE, space=space, finder=finder)
    assert finder.seen == [], "it is asked when somebody wants to know"
    (found,) = near()
    np.testing.assert_allclose(found, np.broadcast_to(spot, (21, 2)), atol=0.3)
    (picture,) = finder.seen
    assert picture.shape == (384, 384, 3) and picture.dtype == np.float32
    assert picture.min() >= 0 and picture.max() <= 1 and np.isfinite(picture).all()


def test_hands_behind_a_lens_are_where_faces_are(tmp_path: Path) -> None:
    """In pixels without distortion."""
    plate, image, space = plate_with_spot(tmp_path, 60, 240)
    y, x = np.indices((300, 300)) + 0.5
    bent = np.stack([x + (x - 150) * 0.06, y + (y - 150) * 0.06], axis=-1)
    lens = Lens.from_map((bent / 300 * [1, -1] + [0, 1]).astype(np.float32), display=(300, 300))
    (found,) = hands.finding(plate, image, THERE, space=space, finder=Spot(), lens=lens)()
    np.testing.assert_allclose(found[0], lens.from_plate(np.array([[60.0, 240.0]]))[0], atol=0.5)
    assert np.linalg.norm(found[0] - [60, 240]) > 3


def test_no_finder_and_no_picture_have_no_hands(tmp_path: Path) -> None:
    plate, image, space = plate_with_spot(tmp_path, 150, 150)
    assert hands.finding(plate, image, THERE, space=space, finder=None)() == ()
    away, finder = face(5000, 5000, 100), Spot()
    assert hands.finding(plate, image, away, space=space, finder=finder)() == ()
    assert finder.seen == []


class Unseeing:
    """Paints grey and sees nothing before the face; or does not tell."""

    def __init__(self, studio: Studio, *, tells: bool) -> None:
        self.card, self.resolution, self.tells = studio.open(studio.model()).card, SIZE, tells

    def swap(self, crop: ModelRgb, told: F32 | None = None) -> Painting:
        whole = Matte(np.ones(crop.shape[:2], np.float32))
        grey = ModelRgb(np.full_like(crop, 0.5))
        return Painting(grey, whole, whole, Matte(np.full_like(whole, 0.02))) if self.tells else Painting(grey, whole)


def test_the_face_s_matte_leaves_hands_out(production: Studio, tmp_path: Path) -> None:
    matrix = align.crop_matrix(THERE.similarity, size=SIZE)
    hand = transform(invert(matrix), spread())
    # A hand a little brighter than the face, and its fingers as much thicker than rods as they are.
    there = cv2.dilate(hands.rods(hand, size=300), np.ones((5, 5)))[..., None]
    plate, image, space = shown(tmp_path, (0.2 + 0.05 * there) * np.ones(3, np.float32))
    pixels, window = plate.working(image)
    model, place = Unseeing(production, tells=True), align.Placement()

    def mask(*near: F64) -> Matte:
        return measure.paint(pixels, window, THERE, space=space, model=model, placement=place, near=lambda: near).mask

    bare, found = mask(), mask(hand)
    assert at(bare, middles(spread())).min() > 0.9
    assert at(found, middles(spread())).max() < 0.1
    reach = cv2.dilate(hands.rods(spread(), size=SIZE), np.ones((15, 15))) > 0
    assert reach.mean() < 0.6
    np.testing.assert_array_equal(found[~reach], bare[~reach])


def test_only_who_wants_to_know_asks_for_hands(production: Studio, tmp_path: Path) -> None:
    """Not where the model does not tell what is in front, nor where the knob is 0."""
    plate, image, space = plate_with_spot(tmp_path, 20, 20)
    pixels, window = plate.working(image)

    def paint(*, tells: bool, keep: float) -> None:
        model = Unseeing(production, tells=tells)
        measure.paint(pixels, window, THERE, space=space, model=model, placement=None, near=never, keep=keep)

    paint(tells=False, keep=1.0)
    paint(tells=True, keep=0.0)
    with pytest.raises(AssertionError, match="asked"):
        paint(tells=True, keep=0.1)


def never() -> tuple[F64, ...]:
    raise AssertionError("asked")


class Still:
    """Finds one hand over the lower half of the face, in every picture."""

    def __init__(self, *, device: str) -> None:
        assert device == "cpu"

    def __call__(self, rgb: ModelRgb) -> tuple[F64, ...]:
        return (spread(192, 330, 190),)


def swapped(studio: Studio, plate: str, out: Path, *frames: str, keep: float = 1.0) -> Path:
    model = studio.model(
        "tells", network(PASS_THROUGH * np.array([[0.3], [0.6], [0.9]], np.float32), mask=disc(), tells=True)
    )
    knobs = SwapParameters(hands=keep)
    made = job(studio, plate, out, model=model, layers="ingredients", parameters=knobs)
    for some in frames or ("",):
        chunk = FrameRange.parse(some) if some else None
        pipeline.swap(made, gate=studio.gate(), sink=NullSink(), cancel=CancelToken(), frames=chunk)
    return out


def test_a_job_keeps_hands_and_any_chunking_is_the_same(
    production: Studio, face_plate: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = swapped(production, face_plate, tmp_path / "plain")
    monkeypatch.setitem(HANDS, "mediapipe", Still)
    whole = swapped(production, face_plate, tmp_path / "whole")
    parts = swapped(production, face_plate, tmp_path / "parts", "1003-1004", "1001", "1002")
    assert digests(whole) == digests(parts)
    off = swapped(production, face_plate, tmp_path / "off", "1002", keep=0.0)
    before, after, unasked = (
        exr.read_channels(folder / "out.1002.exr")[0]["matte.model"] for folder in (plain, whole, off)
    )
    assert (before > 0.9).sum() - (after > 0.9).sum() > 0.1 * (before > 0.9).sum()
    assert (after - before > 0.05).mean() < 0.005, "the filter moves edges, and nothing comes back"
    np.testing.assert_array_equal(unasked, before)
