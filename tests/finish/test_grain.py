"""Grain: measured where it is known, made again with the same statistics, and always the same take."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from tests.face.rendered import linear
from vfxswap.finish import fitting
from vfxswap.finish.grain import REACH, Grain, seed
from vfxswap.finish.patches import Pool
from vfxswap.geometry import Window
from vfxswap.pixels import F32

from . import support

SENSOR = (4e-6, 2e-4, 0.0)
FILM = (1e-6, 0.0, 9e-4)


def law(terms: tuple[float, float, float]) -> support.Law:
    return lambda light: terms[0] + terms[1] * light + terms[2] * light**2


def measured(frames: list[F32]) -> Grain | None:
    pool = Pool.of(list(range(1, len(frames) + 1)))
    for number, frame in enumerate(frames, start=1):
        pool.see(number, frame.astype(np.float16), lambda rgb: rgb)
    return fitting.measured(pool)


def plate(terms: tuple[float, float, float], blur: tuple[float, float], *, moves: int = 0) -> list[F32]:
    """Six frames, half of them textured; `moves` pixels from a frame to the next."""
    base = support.scene(360, 640, seed=5)
    frames = [np.roll(base, moves * i, axis=1) for i in range(6)]
    return [f + support.grain(f, law(terms), blur=blur, shared=0.5, seed=20 + i) for i, f in enumerate(frames)]


@pytest.mark.parametrize(
    ("terms", "blur", "moves"),
    [
        (SENSOR, (0.0, 0.0), 0),
        (SENSOR, (0.62, 0.62), 5),
        (SENSOR, (0.4, 1.0), 0),
        (FILM, (1.0, 1.0), 5),
        ((0.0, 2e-3, 0.0), (1.5, 1.5), 0),
    ],
)
def test_known_grain_is_found(terms: tuple[float, float, float], blur: tuple[float, float], moves: int) -> None:
    found = measured(plate(terms, blur, moves=moves))
    assert found is not None
    levels = np.repeat(np.geomspace(0.03, 0.5, 7)[:, None], 3, axis=1).astype(np.float32)
    np.testing.assert_allclose(found.sigma(levels), np.sqrt(law(terms)(levels.astype(np.float64))), rtol=0.1)
    np.testing.assert_allclose(found.lag1.mean(axis=0), support.lag1(blur), atol=0.1)
    np.testing.assert_allclose(found.channels, 0.5 + 0.5 * np.eye(3), atol=0.08)


def test_texture_that_drifts_is_no_grain() -> None:
    """Nothing in the picture is flat, and all of it moves by a pixel a frame: the differences alone can tell."""
    rough = ndimage.gaussian_filter(np.random.default_rng(3).standard_normal((300, 460)), 2.0)
    light = 0.2 * np.exp2(np.linspace(-1.2, 1.2, 460) + 0.12 * rough / rough.std())[..., None] * np.ones(3)
    moved = [ndimage.shift(light, (0.3 * n, n, 0), order=3, mode="nearest").astype(np.float32) for n in range(4)]
    film = (5.8e-7, 7.2e-5, 0.0)
    found = measured(
        [f + support.grain(f, law(film), blur=(0.6, 0.6), shared=0.5, seed=n) for n, f in enumerate(moved)]
    )
    assert found is not None
    levels = np.repeat(np.array([[0.1], [0.2], [0.4]]), 3, axis=1).astype(np.float32)
    np.testing.assert_allclose(found.sigma(levels), np.sqrt(law(film)(levels.astype(np.float64))), rtol=0.08)


def test_a_plate_without_grain_gets_next_to_none() -> None:
    frames = [support.scene(360, 640, seed=5)] * 6
    found = measured(frames)
    level = np.full((1, 3), 0.18, np.float32)
    assert found is None or found.sigma(level).max() < 1e-3
    assert measured([np.zeros((360, 640, 3), np.float32)] * 3) is None
    assert measured([np.full((8, 8, 3), np.nan, np.float32)]) is None


def test_what_is_no_number_and_black_bars_do_not_count() -> None:
    frames = plate(SENSOR, (0.62, 0.62))
    spoilt = [frame.copy() for frame in frames]
    for frame in spoilt:
        frame[:60] = 0.0
        frame[100, ::40] = np.nan
        frame[200, ::40] = np.inf
    plain, other = measured(frames), measured(spoilt)
    assert plain is not None
    assert other is not None
    level = np.full((1, 3), 0.18, np.float32)
    np.testing.assert_allclose(other.sigma(level), plain.sigma(level), rtol=0.08)


def model(lag: float = 0.5) -> Grain:
    at = np.arange(-REACH, REACH + 1)
    falling = np.abs(lag) ** (at[:, None] ** 2 + at**2)
    mixed = np.array([[1.0, 0.6, 0.3], [0.6, 1.0, 0.5], [0.3, 0.5, 1.0]])
    return Grain(np.array([[1e-6, 1e-4, 0.0], [2e-6, 0.0, 1e-3], [0.0, 2e-4, 1e-4]]), mixed, np.stack([falling] * 3))


def test_a_take_has_the_statistics_of_its_model() -> None:
    grain = model()
    take = grain.take(Window(-37, 15, 700, 600), seed=seed("shot", 1001)).astype(np.float64)
    np.testing.assert_allclose(take.std(axis=(0, 1)), 1.0, atol=0.02)
    np.testing.assert_allclose(np.corrcoef(take.reshape(-1, 3).T), grain.channels, atol=0.02)
    across = (take[:, 1:] * take[:, :-1]).mean(axis=(0, 1))
    down = (take[1:] * take[:-1]).mean(axis=(0, 1))
    np.testing.assert_allclose(np.stack([across, down], axis=1), grain.lag1, atol=0.02)


def test_a_take_lies_on_the_plate() -> None:
    grain = model()
    whole = grain.take(Window(-70, -70, 300, 260), seed=seed("shot", 1001))
    part = grain.take(Window(-3, 40, 90, 64), seed=seed("shot", 1001))
    np.testing.assert_allclose(part, whole[110:174, 67:157], atol=1e-5)
    again = grain.take(Window(-3, 40, 90, 64), seed=seed("shot", 1001))
    np.testing.assert_array_equal(part, again)
    other = grain.take(Window(-3, 40, 90, 64), seed=seed("shot", 1002))
    assert abs(np.corrcoef(part.ravel(), other.ravel())[0, 1]) < 0.05


def test_it_goes_through_a_file() -> None:
    grain = model()
    read = Grain.from_json(json.loads(json.dumps(grain.to_json())))
    np.testing.assert_array_equal(read.spatial, grain.spatial)
    with pytest.raises(ValueError, match="variance"):
        Grain.from_json({**grain.to_json(), "variance": [1.0]})
    with pytest.raises(KeyError):
        Grain.from_json({})


@pytest.mark.parametrize(("name", "darkest"), [("talk_studio", 0.05), ("turn_hot_hand", 0.05), ("walk_day", 0.2)])
def test_rendered_shots_have_the_grain_they_were_given(shared: Path, name: str, darkest: float) -> None:
    """In daylight all of the background is textured and drifts: its shadows say less than the face needs."""
    folder = shared / "data" / "shots" / name
    amount = json.loads((folder / "shot.json").read_text())["grain"]
    files = sorted((folder / "plate").glob("*.exr"))
    found = measured([linear(path) for path in files])
    assert found is not None
    skin = np.array([[3.6, 2.6, 2.0], [2.0, 1.4, 1.0], [8.0, 6.0, 4.0]], np.float32) * np.float32(darkest)
    np.testing.assert_allclose(found.sigma(skin), amount * np.sqrt(0.5 * skin + 0.004), rtol=0.1)
    np.testing.assert_allclose(found.lag1, 0.53, atol=0.1)
