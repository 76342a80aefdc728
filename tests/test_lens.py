"""Lens maps against lenses whose formula is known, and maps that are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vfxswap import exr
from vfxswap.errors import FrameError, PlateError
from vfxswap.geometry import Window
from vfxswap.lens import Lens
from vfxswap.pixels import F32, F64, AnyArray

Warp = Callable[[F64], F64]


def radial(
    display: tuple[int, int], k1: float, k2: float, *, aspect: float = 1.0, overscan: tuple[int, int] = (0, 0)
) -> Warp:
    """Undistorted -> plate by r (1 + k1 r^2 + k2 r^4), r = 1 at the plate's corner, off-centre, pixels of `aspect`."""
    width, height = display
    centre = np.array([width / 2 + 7.3, height / 2 - 4.1])
    corner = ((width * aspect) ** 2 + height**2) / 4

    def warp(points: F64) -> F64:
        away = (points - overscan - centre) * [aspect, 1.0]
        square = (away**2).sum(axis=-1, keepdims=True) / corner
        return np.asarray(centre + away * (1 + k1 * square + k2 * square**2) / [aspect, 1.0], np.float64)

    return warp


def unwarped(warp: Warp, points: F64, start: F64 | None = None) -> F64:
    """The inverse of `warp`, to far below any tolerance here."""
    found = points.copy() if start is None else start
    for _ in range(80):
        found = found - (warp(found) - points)
    assert np.abs(warp(found) - points).max() < 1e-9
    return found


def stmap_of(warp: Warp, window: Window, display: tuple[int, int]) -> F32:
    """What Nuke's STMap node would be given."""
    x, y = np.arange(window.x, window.x1) + 0.5, np.arange(window.y, window.y1) + 0.5
    at = warp(np.stack(np.meshgrid(x, y), axis=-1))
    return np.stack([at[..., 0] / display[0], 1.0 - at[..., 1] / display[1]], axis=-1).astype(np.float32)


def spread(display: tuple[int, int], count: int = 5_000) -> F64:
    return np.random.default_rng(1).uniform(0, 1, (count, 2)) * display


HD = (1920, 1080)
SMALL = (320, 200)

LENSES = [
    pytest.param(HD, -0.06, 0.02, 1.0, 60, id="barrel"),
    pytest.param(HD, 0.08, 0.03, 1.0, 0, id="pincushion"),
    pytest.param((2048, 1716), -0.07, 0.015, 2.0, 100, id="anamorphic"),
    pytest.param(HD, -0.12, 0.03, 1.0, 200, id="strong, overscan"),
]


@pytest.mark.parametrize(("display", "k1", "k2", "aspect", "over"), LENSES)
def test_points_land_where_the_formula_says_both_ways(display, k1, k2, aspect, over):
    warp = radial(display, k1, k2, aspect=aspect, overscan=(over, over))
    window = Window(0, 0, display[0] + 2 * over, display[1] + 2 * over)
    lens = Lens.from_map(stmap_of(warp, window, display), display=display)
    assert lens.size == (window.width, window.height)
    assert lens.display == display
    flat = spread(lens.size)
    assert np.abs(lens.to_plate(flat) - warp(flat)).max() < 0.01
    plate = spread(display)
    truth = unwarped(warp, plate)
    assert np.abs(truth - over - plate).max() > 10, "the lens bends"
    assert ((truth > 0) & (truth < lens.size)).all(), "the map reaches the whole plate"
    assert np.abs(lens.from_plate(plate) - truth).max() < 0.01


def test_many_points_and_one_and_none_agree():
    warp = radial(SMALL, -0.08, 0.02)
    lens = Lens.from_map(stmap_of(warp, Window(0, 0, *SMALL), SMALL), display=SMALL)
    points = spread(SMALL, 150_001)
    many = lens.from_plate(points)
    np.testing.assert_allclose(lens.from_plate(points[[0, 70_000, -1]]), many[[0, 70_000, -1]], atol=1e-6)
    assert lens.from_plate(points[:0]).shape == (0, 2)


def test_a_window_is_its_pixel_centres():
    lens = Lens.from_map(stmap_of(radial(SMALL, -0.08, 0.02), Window(0, 0, *SMALL), SMALL), display=SMALL)
    for window in (Window(-5, 7, 30, 20), Window(-5, 7, 20, 30), Window(-5, 7, 20, 30), Window(-5, 7, 30, 20)):
        x, y = np.meshgrid(np.arange(window.x, window.x1) + 0.5, np.arange(window.y, window.y1) + 0.5)
        wanted = lens.from_plate(np.stack([x.ravel(), y.ravel()], axis=-1))
        np.testing.assert_array_equal(lens.from_window(window), wanted)


def test_where_the_map_does_not_reach_it_goes_on_straight():
    warp = radial(HD, -0.06, 0.02)  # undistorted raster as large as the plate: the corners are cut off
    lens = Lens.from_map(stmap_of(warp, Window(0, 0, *HD), HD), display=HD)
    corner = np.array([[0.5, 0.5], [1919.5, 1079.5], [1919.5, 0.5]])
    np.testing.assert_allclose(lens.from_plate(corner), unwarped(warp, corner), atol=0.3)
    away = np.linspace([-300.0, 540.0], [2300.0, 500.0], 2601)
    for found in (lens.to_plate(away), lens.from_plate(away)):
        steps = np.diff(found, axis=0)
        assert np.abs(steps[:, 0] - 1).max() < 0.2, "no jump, no standstill"
        assert np.abs(np.diff(steps, axis=0)).max() < 0.01, "smooth"
    for far in (np.array([[-1e5, 1e5]]), np.array([[1e6, -3e4]])):
        assert np.isfinite(lens.to_plate(far)).all()
        assert np.isfinite(lens.from_plate(far)).all()
    np.testing.assert_allclose(lens.to_plate(lens.from_plate(away)), away, atol=0.05)


@pytest.mark.parametrize("hole", [np.nan, np.inf, 0.0, 1.0])
def test_holes_in_the_map_are_continued_from_their_rim(hole):
    over = 40
    window = Window(0, 0, SMALL[0] + 2 * over, SMALL[1] + 2 * over)
    warp = radial(SMALL, -0.08, 0.02, overscan=(over, over))
    full = stmap_of(warp, window, SMALL)
    with_holes = full.copy()
    with_holes[(full < 0).any(axis=-1) | (full > 1).any(axis=-1)] = hole
    with_holes[100:106, 150:158] = hole
    lens = Lens.from_map(with_holes, display=SMALL)
    plate = spread(SMALL)
    np.testing.assert_allclose(lens.from_plate(plate), unwarped(warp, plate), atol=0.02)
    everywhere = spread(lens.size)
    np.testing.assert_allclose(lens.to_plate(everywhere), warp(everywhere), atol=1.0)


def test_a_polynomial_that_folds_over_outside_the_plate_does_no_harm():
    over = 110
    window = Window(0, 0, SMALL[0] + 2 * over, SMALL[1] + 2 * over)
    warp = radial(SMALL, -0.1, 0.0, overscan=(over, over))  # turns back at r = 1.8
    lens = Lens.from_map(stmap_of(warp, window, SMALL), display=SMALL)
    plate = spread(SMALL)
    np.testing.assert_allclose(lens.from_plate(plate), unwarped(warp, plate, plate + over), atol=0.02)


def test_windows_place_the_map():
    over = 30
    size = (SMALL[0] + 2 * over, SMALL[1] + 2 * over)
    warp = radial(SMALL, 0.05, 0.01, overscan=(over, over))
    plate = spread(SMALL)
    truth = unwarped(warp, plate)
    for window in (Window(0, 0, *size), Window(-20, -10, size[0] + 40, size[1] + 20), Window(8, 6, 360, 244)):
        lens = Lens.from_map(stmap_of(warp, window, SMALL), display=SMALL, size=size, window=window)
        assert lens.size == size
        np.testing.assert_allclose(lens.from_plate(plate), truth, atol=0.02)


def test_the_undistorted_picture_shows_points_where_from_plate_says():
    over = 24
    size = (SMALL[0] + 2 * over, SMALL[1] + 2 * over)
    warp = radial(SMALL, -0.08, 0.02, overscan=(over, over))
    window = Window(-6, 4, size[0] + 10, size[1] - 2)
    lens = Lens.from_map(stmap_of(warp, window, SMALL), display=SMALL, size=size, window=window)
    x, y = np.meshgrid(np.arange(SMALL[0]) + 0.5, np.arange(SMALL[1]) + 0.5)
    for spot in ((30.3, 40.8), (160.0, 99.5), (290.7, 171.2)):
        image = np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / 18).astype(np.float32)
        seen = lens.undistort(np.repeat(image[..., None], 3, axis=-1))
        assert seen.shape == (size[1], size[0], 3)
        weight = seen[..., 1].astype(np.float64)
        found = [
            (weight.sum(axis=0) * (np.arange(size[0]) + 0.5)).sum(),
            (weight.sum(axis=1) * (np.arange(size[1]) + 0.5)).sum(),
        ]
        wanted = lens.from_plate(np.array([spot]))[0]
        np.testing.assert_allclose(np.array(found) / weight.sum(), wanted, atol=0.1)
    bright = lens.undistort(np.ones((SMALL[1], SMALL[0], 3), np.float32))
    assert bright[0, 0].max() == 0.0, "no plate there"
    assert bright[over + 10 : -over - 10, over + 10 : -over - 10].min() == 1.0


# ------------------------------------------------------------------------------------------------ files


def written(path: Path, uv: F32, names: tuple[str, str], **rest) -> Path:
    exr.write_channels(path, channels={names[0]: uv[..., 0], names[1]: uv[..., 1]}, **rest)
    return path


@pytest.mark.parametrize(
    "names", [("stmap.u", "stmap.v"), ("forward.u", "forward.v"), ("u", "v"), ("R", "G"), ("lens.s", "lens.t")]
)
def test_files_are_read_whatever_the_channels_are_called(tmp_path, names):
    uv = stmap_of(radial(SMALL, -0.05, 0.01), Window(0, 0, *SMALL), SMALL)
    lens = Lens.load(written(tmp_path / "map.exr", uv, names), display=SMALL)
    same = Lens.from_map(uv, display=SMALL)
    assert lens.hash == same.hash
    points = spread(SMALL, 100)
    np.testing.assert_array_equal(lens.from_plate(points), same.from_plate(points))


def test_the_better_named_channels_win(tmp_path):
    uv = stmap_of(radial(SMALL, -0.05, 0.01), Window(0, 0, *SMALL), SMALL)
    channels = {"R": uv[..., 0] * 0, "G": uv[..., 1] * 0, "B": uv[..., 1] * 0}
    channels |= {"forward.u": uv[..., 0], "forward.v": uv[..., 1], "backward.u": uv[..., 1], "backward.v": uv[..., 0]}
    exr.write_channels(tmp_path / "map.exr", channels=channels)
    assert Lens.load(tmp_path / "map.exr", display=SMALL).hash == Lens.from_map(uv, display=SMALL).hash


def test_a_file_keeps_its_windows(tmp_path):
    over = 30
    size = (SMALL[0] + 2 * over, SMALL[1] + 2 * over)
    warp = radial(SMALL, 0.05, 0.01, overscan=(over, over))
    window = Window(-20, -10, size[0] + 40, size[1] + 20)
    path = written(
        tmp_path / "map.exr",
        stmap_of(warp, window, SMALL),
        ("u", "v"),
        data_window=window.moved(5, -3),
        display_window=Window(5, -3, *size),
    )
    lens = Lens.load(path, display=SMALL)
    assert lens.size == size
    plate = spread(SMALL)
    np.testing.assert_allclose(lens.from_plate(plate), unwarped(warp, plate), atol=0.02)


def test_the_hash_is_of_values_and_windows():
    uv = stmap_of(radial(SMALL, -0.05, 0.01), Window(0, 0, *SMALL), SMALL)
    one = Lens.from_map(uv, display=SMALL)
    assert len(one.hash) == 64
    assert one.hash == Lens.from_map(uv.copy(), display=SMALL).hash
    other = uv.copy()
    other[100, 100, 0] += 1e-6
    wide = Lens.from_map(uv, display=SMALL, size=(SMALL[0] + 8, SMALL[1]))
    assert len({one.hash, wide.hash, Lens.from_map(other, display=SMALL).hash}) == 3


def refusal(uv: AnyArray) -> str:
    with pytest.raises(PlateError, match="not an STMap") as caught:
        Lens.from_map(uv.astype(np.float32), display=SMALL, path=Path("map.exr"), frame=7)
    assert caught.value.hint
    assert caught.value.frame == 7
    return str(caught.value)


def test_what_is_no_stmap_is_refused_in_words():
    uv = stmap_of(radial(SMALL, -0.05, 0.01), Window(0, 0, *SMALL), SMALL)
    x, y = np.meshgrid(np.arange(SMALL[0]) + 0.5, np.arange(SMALL[1]) + 0.5)
    flat = np.stack([x / SMALL[0], 1 - y / SMALL[1]], axis=-1)
    assert "runs down" in refusal(np.stack([uv[..., 0], 1 - uv[..., 1]], axis=-1))
    assert "grow" in refusal(uv[:, ::-1])
    assert "grow" in refusal(uv[..., ::-1])
    assert "grow" in refusal(np.random.default_rng(0).random((SMALL[1], SMALL[0], 2)))
    assert "run from" in refusal(uv * SMALL)
    assert "no pixels" in refusal(np.full_like(uv, np.nan))
    assert "no pixels" in refusal(np.zeros_like(uv))
    assert "no pixels" in refusal(np.zeros((1, 1, 2)))
    for displacement in (uv - flat, 0.5 + (uv - flat)):
        refusal(displacement)


def test_positions_that_went_through_half_are_refused_even_as_floats():
    uv = stmap_of(radial(HD, -0.05, 0.01), Window(0, 0, *HD), HD)
    with pytest.raises(PlateError, match="too coarse"):
        Lens.from_map(uv.astype(np.float16).astype(np.float32), display=HD)


def test_files_that_cannot_be_a_map_are_refused_by_name(tmp_path):
    uv = stmap_of(radial(SMALL, -0.05, 0.01), Window(0, 0, *SMALL), SMALL)
    half = written(tmp_path / "half.exr", uv.astype(np.float16), ("u", "v"))
    with pytest.raises(PlateError, match=r"float16.*32-bit"):
        Lens.load(half, display=SMALL)
    back = written(tmp_path / "back.exr", uv, ("backward.u", "backward.v"))
    with pytest.raises(PlateError, match=r"backward.*forward"):
        Lens.load(back, display=SMALL)
    exr.write_channels(tmp_path / "one.exr", channels={"Y": uv[..., 0]})
    with pytest.raises(PlateError, match="no STMap channels, only Y"):
        Lens.load(tmp_path / "one.exr", display=SMALL)
    with pytest.raises(FrameError, match="not found"):
        Lens.load(tmp_path / "none.exr", display=SMALL, frame=3)
    (tmp_path / "text.exr").write_text("not one")
    with pytest.raises(PlateError, match="not an EXR"):
        Lens.load(tmp_path / "text.exr", display=SMALL)
