"""Crops out of the plate and back: where every pixel lands, to a hundredth of a pixel."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import ArrayLike

from vfxswap import align
from vfxswap.geometry import Matrix23, Window, invert, transform
from vfxswap.pixels import F32, F64, AnyArray

SIZE = 192
PLATE = Window(0, 0, 420, 360)

# Scale plate -> crop, and a turn in radians.
PLACES = [(1.0, 0.0), (0.93, 0.2), (0.5, 0.1), (0.31, -0.4), (1.37, 0.3), (2.2, 0.4), (3.3, 0.2)]


def picture(points: F64) -> F64:
    """A smooth picture at (..., 2) positions."""
    x, y = points[..., 0], points[..., 1]
    return np.sin(x / 17) + np.cos(y / 23) + 0.5 * np.sin((x + y) / 31)


def slopes(points: F64) -> F64:
    """(..., 2) gradient of `picture`."""
    x, y = points[..., 0], points[..., 1]
    both = 0.5 * np.cos((x + y) / 31) / 31
    return np.stack([np.cos(x / 17) / 17 + both, -np.sin(y / 23) / 23 + both], axis=-1)


def centres(window: Window) -> F64:
    """(H, W, 2) positions of pixel centres."""
    x, y = np.arange(window.x, window.x1) + 0.5, np.arange(window.y, window.y1) + 0.5
    return np.stack(np.meshgrid(x, y), axis=-1)


def place(scale: float, turn: float, *, at: tuple[float, float] = (210.37, 180.61)) -> Matrix23:
    """Plate -> crop: `at` goes to the crop's centre."""
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    linear = np.array([[c, -s], [s, c]])
    return np.concatenate([linear, (np.array([SIZE / 2, SIZE / 2]) - linear @ at)[:, None]], axis=1)


def displacement(found: AnyArray, points: F64, inside: ArrayLike) -> F64:
    """How far `found` lies from `picture` as a whole, in the units of `points`: (2,)."""
    here = np.asarray(inside, bool)
    error = (found - picture(points))[here]
    return np.asarray(np.linalg.lstsq(slopes(points)[here], error, rcond=None)[0], np.float64)


@pytest.mark.parametrize(("scale", "turn"), PLACES)
def test_a_crop_shows_each_point_where_the_matrix_says(scale, turn):
    matrix = place(scale, turn)
    plate = picture(centres(PLATE)).astype(np.float32)
    crop = align.take(plate, window=PLATE, matrix=matrix, size=SIZE)
    points = transform(invert(matrix), centres(Window(0, 0, SIZE, SIZE)).reshape(-1, 2)).reshape(SIZE, SIZE, 2)
    inside = ((points > 8) & (points < [412, 352])).all(axis=-1)
    assert np.abs(displacement(crop, points, inside)).max() < 0.01
    assert np.abs(crop - picture(points))[inside].max() < 0.012


@pytest.mark.parametrize(("scale", "turn"), PLACES)
def test_a_crop_goes_back_to_where_it_came_from(scale, turn):
    matrix = place(scale, turn)
    window = align.crop_window(matrix, size=SIZE).intersect(PLATE)
    points = transform(invert(matrix), centres(Window(0, 0, SIZE, SIZE)).reshape(-1, 2)).reshape(SIZE, SIZE, 2)
    back = align.put(picture(points).astype(np.float32), matrix=matrix, window=window)
    here = centres(window)
    in_crop = transform(matrix, here.reshape(-1, 2)).reshape(here.shape)
    inside = ((in_crop > 8) & (in_crop < SIZE - 8)).all(axis=-1)
    assert inside.sum() > 500
    assert np.abs(displacement(back, here, inside)).max() < 0.01
    # No ripple either: nowhere is the picture displaced by a hundredth of a pixel.
    assert np.abs(back - picture(here))[inside].max() < 0.01 * np.linalg.norm(slopes(here), axis=-1).max()


@pytest.mark.parametrize(("scale", "turn"), [(0.93, 0.2), (0.5, 0.1), (0.31, -0.4)])
def test_there_and_back_is_the_plate(scale, turn):
    matrix = place(scale, turn)
    plate = picture(centres(PLATE)).astype(np.float32)
    crop = align.take(plate, window=PLATE, matrix=matrix, size=SIZE)
    window = Window(150, 120, 100, 110)
    back = align.put(crop, matrix=matrix, window=window)
    everywhere = np.ones(back.shape, bool)
    assert np.abs(displacement(back, centres(window), everywhere)).max() < 0.01


def test_a_matrix_with_squeeze_lands_as_well():
    matrix = place(0.5, 0.1) @ np.diag([2.0, 1.0, 1.0])  # pixel aspect 2: plate x counts double
    plate = picture(centres(PLATE)).astype(np.float32)
    crop = align.take(plate, window=PLATE, matrix=matrix, size=SIZE)
    points = transform(invert(matrix), centres(Window(0, 0, SIZE, SIZE)).reshape(-1, 2)).reshape(SIZE, SIZE, 2)
    inside = ((points > 8) & (points < [412, 352])).all(axis=-1)
    assert np.abs(displacement(crop, points, inside)).max() < 0.01


@pytest.mark.parametrize("reduction", [4, 5.5, 8])
def test_shrinking_into_a_crop_does_not_alias(reduction):
    stripes = (np.indices((360, 420)).sum(axis=0) % 2).astype(np.float32)  # the finest pattern there is
    crop = align.take(stripes, window=PLATE, matrix=place(1 / reduction, 0.05), size=40)
    assert np.abs(crop[12:28, 12:28] - 0.5).max() < 0.03


@pytest.mark.parametrize("reduction", [2.0, 2.9, 4.0])
def test_shrinking_onto_the_plate_does_not_alias(reduction):
    stripes = (np.indices((SIZE, SIZE)).sum(axis=0) % 2).astype(np.float32)
    back = align.put(stripes, matrix=place(reduction, 0.05), window=Window(200, 170, 20, 20))
    assert np.abs(back - 0.5).max() < 0.05


def test_the_window_moves_the_pixels_and_not_the_picture():
    matrix = place(0.5, 0.1)
    plate = picture(centres(PLATE)).astype(np.float32)
    part = Window(37, 21, 350, 330)
    whole = align.take(plate, window=PLATE, matrix=matrix, size=SIZE)
    cut = align.take(np.ascontiguousarray(plate[part.slices(PLATE)]), window=part, matrix=matrix, size=SIZE)
    np.testing.assert_allclose(whole[60:130, 60:130], cut[60:130, 60:130], atol=5e-3)
    large, small = Window(100, 90, 200, 150), Window(160, 120, 40, 30)
    crop = np.random.default_rng(0).random((SIZE, SIZE, 3)).astype(np.float32)
    around = align.put(crop, matrix=matrix, window=large)
    np.testing.assert_allclose(around[small.slices(large)], align.put(crop, matrix=matrix, window=small), atol=2e-3)


@pytest.mark.parametrize("scale", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("channels", [1, 3, 4, 5])
def test_channels_do_not_mix(scale, channels):
    crop = np.random.default_rng(1).random((SIZE, SIZE, channels)).astype(np.float32)
    matrix, window = place(scale, 0.3), Window(180, 150, 50, 40)
    together = align.put(crop, matrix=matrix, window=window).reshape(40, 50, channels)
    for i in range(channels):
        alone = align.put(np.ascontiguousarray(crop[..., i]), matrix=matrix, window=window)
        np.testing.assert_allclose(together[..., i], alone, atol=1e-5)


def test_the_crop_is_a_square_of_the_face_frame():
    similarity = np.array([[0.01, 0.0, -3.0], [0.0, 0.01, -2.0]])  # a face of 100 pixels at (300, 200)
    matrix = align.crop_matrix(similarity, size=240)
    middle = transform(invert(similarity), np.array([align.FRAME_CENTRE]))
    np.testing.assert_allclose(transform(matrix, middle), [[120.0, 120.0]], atol=1e-9)
    window = align.crop_window(matrix, size=240)
    side = 100 * align.FRAME_SIZE
    assert side + 4 <= window.width <= side + 6
    wide = align.crop_matrix(similarity, size=240, margin=align.FACESET_MARGIN)
    assert wide[0, 0] == pytest.approx(matrix[0, 0] / align.FACESET_MARGIN)
    np.testing.assert_allclose(transform(wide, middle), [[120.0, 120.0]], atol=1e-9)


def test_frame_weight_is_one_inside_and_fades_to_the_border():
    weight = align.frame_weight(size=100, rim=0.1)
    assert (weight[10:-10, 10:-10] == 1.0).all()
    assert 0.0 <= weight[0].max() < 0.02
    assert (np.diff(weight[50, :12]) >= 0).all()
    np.testing.assert_array_equal(weight, weight[::-1].T)


@pytest.mark.parametrize("window", [Window(0, 0, 90, 70), Window(3700, 2000, 90, 70), Window(-60, -40, 90, 70)])
def test_an_stmap_names_the_place_in_the_crop(window):
    matrix = place(0.31, -0.4, at=(window.x + 45.2, window.y + 35.7))
    st = align.stmap(matrix=matrix, window=window, size=SIZE)
    assert st.dtype == np.float32
    wanted = transform(matrix, centres(window).reshape(-1, 2)).reshape(70, 90, 2)
    np.testing.assert_allclose(st[..., 0] * SIZE, wanted[..., 0], atol=2e-3)
    np.testing.assert_allclose((1.0 - st[..., 1]) * SIZE, wanted[..., 1], atol=2e-3)


def warped_with(st: F32, crop: F32) -> F32:
    """What Nuke's STMap node makes: 0..1 over the picture's edges, y up."""
    size = crop.shape[0]
    x, y = st[..., 0] * size - 0.5, (1.0 - st[..., 1]) * size - 0.5
    return np.asarray(cv2.remap(crop, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)


def test_warping_with_an_stmap_is_putting():
    matrix = place(0.5, 0.1)
    window = Window(150, 120, 100, 110)
    points = transform(invert(matrix), centres(Window(0, 0, SIZE, SIZE)).reshape(-1, 2)).reshape(SIZE, SIZE, 2)
    crop = picture(points).astype(np.float32)
    warped = warped_with(align.stmap(matrix=matrix, window=window, size=SIZE), crop)
    here = centres(window)
    assert np.abs(displacement(warped, here, np.ones(here.shape[:2], bool))).max() < 0.05


def test_a_placed_crop_lands_moved_by_its_placement():
    matrix = place(0.5, 0.0)
    moved = align.placed(matrix, size=SIZE, placement=(0.1, -0.05))
    corner = np.array([[SIZE / 2, SIZE / 2]])
    shift = transform(invert(moved), corner) - transform(invert(matrix), corner)
    np.testing.assert_allclose(shift[0], [0.1 * SIZE / 0.5, -0.05 * SIZE / 0.5], atol=1e-9)
