"""The edge of a matte moves onto the picture's, near by and nowhere else."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from vfxswap import align, measure
from vfxswap.geometry import Window
from vfxswap.guided import Guide, follow
from vfxswap.pixels import F32, Matte, ModelRgb
from vfxswap.plate import open_plate
from vfxswap.vfxmodel import Painting, SwapModel

from .support import PASS_THROUGH, Studio, face, network, write_frame

SIZE = 128
SKIN, HAND = np.array([0.62, 0.45, 0.36], np.float32), np.array([0.70, 0.55, 0.47], np.float32)


def finger(*, left: float = 52, right: float = 66, size: int = SIZE) -> F32:
    """(size, size) coverage of an upright bar that begins a third of the way down."""
    at = np.arange(size) + 0.5
    across = np.clip(at - left + 0.5, 0, 1) * np.clip(right - at + 0.5, 0, 1)
    return (across[None, :] * np.clip(at - size / 3, 0, 1)[:, None]).astype(np.float32)


def picture(bar: F32, *, seed: int | None = None) -> ModelRgb:
    """Skin that gets darker to one side, a hand's bar before it; with a little grain."""
    shade = np.linspace(1.0, 0.7, bar.shape[1], dtype=np.float32)[None, :, None]
    rgb = (SKIN + (HAND - SKIN) * bar[..., None]) * shade
    noise = 0.0 if seed is None else np.random.default_rng(seed).normal(0, 0.003, rgb.shape)
    return ModelRgb(np.clip(rgb + noise, 0, 1).astype(np.float32))


def drawn_roughly(bar: F32, *, by: float = 2.0) -> Matte:
    """As a network draws it: soft, and a bit beside where it is."""
    return blurred(np.roll(bar, round(by), axis=1), 2.0)


def blurred(bar: F32, sigma: float) -> Matte:
    return Matte(np.asarray(cv2.GaussianBlur(bar, (0, 0), sigma), np.float32))


def overlap(found: F32, truth: F32) -> float:
    """Intersection over union."""
    a, b = found > 0.5, truth > 0.5
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("by", [-2.0, 2.0])
@pytest.mark.parametrize("seed", [None, 1])
def test_a_rough_edge_moves_onto_the_picture_s(by: float, seed: int | None) -> None:
    bar = finger()
    rough = drawn_roughly(bar, by=by)
    found = follow(rough, picture(bar, seed=seed))
    assert found.dtype == np.float32 and found.shape == bar.shape
    assert found.min() >= 0 and found.max() <= 1
    assert overlap(rough, bar) < 0.8
    assert overlap(found, bar) > 0.95
    assert np.abs(found - bar).mean() < 0.4 * np.abs(rough - bar).mean()


def test_it_moves_no_further_than_a_thirty_second_of_the_side() -> None:
    """Brows are as dark as hair and lie near the hairline: they are not before the face."""
    dark = np.zeros((SIZE, SIZE), np.float32)
    dark[:24], dark[36:40, 30:90] = 1.0, 1.0
    hair = np.zeros((SIZE, SIZE), np.float32)
    hair[:24] = 1.0
    rgb = ModelRgb((SKIN * (1 - 0.8 * dark[..., None])).astype(np.float32))
    found = follow(Matte(hair), rgb)
    assert found[:22].min() > 0.95
    assert found[29:].max() == 0.0
    off = follow(Matte(finger(left=72, right=86)), picture(finger(left=52, right=66)))
    assert off[:, :67].max() == 0.0, "a bar elsewhere in the picture is another thing"


@pytest.mark.parametrize("seed", [None, 2])
def test_where_the_picture_has_no_edge_the_matte_keeps_its_own(seed: int | None) -> None:
    flat = picture(np.zeros((SIZE, SIZE), np.float32), seed=seed)
    bar = finger(left=40, right=80)
    assert overlap(follow(drawn_roughly(bar, by=0), flat), bar) > 0.85


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_an_even_matte_stays_as_it_is(value: float) -> None:
    """Nothing of the picture shows in it."""
    even = Matte(np.full((SIZE, SIZE), value, np.float32))
    np.testing.assert_array_equal(follow(even, picture(finger(), seed=3)), even)


def test_it_means_the_same_at_every_size() -> None:
    small, large = (
        follow(blurred(bar, 2.0 * size / SIZE), picture(bar))
        for size in (64, 256)
        for bar in [finger(left=52 * size / SIZE, right=66 * size / SIZE, size=size)]
    )
    same = np.asarray(cv2.resize(large, (64, 64), interpolation=cv2.INTER_AREA), np.float32)
    assert overlap(small, same) > 0.9


def test_one_picture_guides_many_mattes() -> None:
    rgb = picture(finger())
    guide = Guide(rgb)
    for by in (-2.0, 0.0, 3.0):
        rough = drawn_roughly(finger(), by=by)
        np.testing.assert_array_equal(guide.follow(rough), follow(rough, rgb))


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_black_and_clipped_pictures_give_numbers(level: float) -> None:
    found = follow(drawn_roughly(finger()), ModelRgb(np.full((SIZE, SIZE, 3), level, np.float32)))
    assert np.isfinite(found).all()


class Rough:
    """Paints grey, and tells roughly where the bar is."""

    def __init__(self, model: SwapModel) -> None:
        self.card, self.resolution = model.card, SIZE

    def swap(self, crop: ModelRgb, told: F32 | None = None) -> Painting:
        outline = Matte(np.ones((self.resolution, self.resolution), np.float32))
        front = drawn_roughly(finger(), by=3)
        return Painting(ModelRgb(np.full_like(crop, 0.5)), Matte(outline * (1 - front)), outline, front)


def test_the_face_s_matte_leaves_out_what_the_plate_shows_before_it(production: Studio, tmp_path: Path) -> None:
    model = Rough(production.open(production.model("rough", network(mix=PASS_THROUGH))))
    bar, there = finger(), face(150, 150, 200)
    matrix = align.crop_matrix(there.similarity, size=SIZE)
    light = align.put(picture(bar) ** np.float32(2.2), matrix=matrix, window=Window(0, 0, 300, 300))
    write_frame(tmp_path / "p.0001.exr", light, frame=1)
    plate = open_plate(str(tmp_path / "p.####.exr"))
    pixels, window = plate.working(plate.read(1))
    space = measure.Measurements(gain=1.0, model_sha256="", relight={}).space(1, config=plate.config, encoding="srgb")
    done = measure.paint(pixels, window, there, space=space, model=model, placement=align.Placement())
    inside = align.frame_weight(size=SIZE) == 1
    rough = model.swap(ModelRgb(np.zeros((SIZE, SIZE, 3), np.float32))).mask
    assert overlap((1 - rough) * inside, bar * inside) < 0.75
    assert overlap((1 - done.mask) * inside, bar * inside) > 0.9
