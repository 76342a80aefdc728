"""Crops out of the plate and back: where every pixel lands, to a hundredth of a pixel."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import ArrayLike

from vfxswap import align
from vfxswap.geometry import Matrix23, Window, invert, transform
from vfxswap.lens import Lens
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
    moved = align.placed(matrix, size=SIZE, placement=align.Placement(0.1, -0.05))
    corner = np.array([[SIZE / 2, SIZE / 2]])
    shift = transform(invert(moved), corner) - transform(invert(matrix), corner)
    np.testing.assert_allclose(shift[0], [0.1 * SIZE / 0.5, -0.05 * SIZE / 0.5], atol=1e-9)


def test_a_placed_crop_is_shown_turned_and_scaled_about_its_centre():
    matrix = place(0.5, 0.2)
    placement = align.Placement(0.03, -0.02, 0.96, 1.5)
    moved = align.placed(matrix, size=SIZE, placement=placement)
    painted = np.array([[3.0, 5.0], [SIZE / 2, SIZE / 2], [SIZE - 7.0, 11.0]])
    shown = transform(matrix, transform(invert(moved), painted))
    turn = np.radians(1.5)
    expected = (painted - SIZE / 2) @ (0.96 * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]))
    np.testing.assert_allclose(shown, expected + SIZE / 2 + SIZE * np.array([0.03, -0.02]), atol=1e-9)
    again = align.Placement.of(placement.matrix(size=SIZE), size=SIZE)
    np.testing.assert_allclose([again.x, again.y, again.scale, again.turn_deg], [0.03, -0.02, 0.96, 1.5], atol=1e-12)


# ------------------------------------------------------------------------------------------------ lenses

DISPLAY = (PLATE.width, PLATE.height)
OVER = 40


def bent(points: F64) -> F64:
    """Undistorted -> plate of a strong lens, as a formula; the undistorted raster is OVER pixels wider all around."""
    away = points - [OVER + 214.0, OVER + 177.0]
    square = (away**2).sum(axis=-1, keepdims=True) / 260.0**2
    return np.asarray([214.0, 177.0] + away * (1 - 0.09 * square + 0.02 * square**2), np.float64)


def unbent(points: F64) -> F64:
    """The inverse of `bent`."""
    found = points + OVER
    for _ in range(100):
        found = found - (bent(found) - points)
    return np.asarray(found, np.float64)


@pytest.fixture(scope="module")
def lens() -> Lens:
    at = bent(centres(Window(0, 0, DISPLAY[0] + 2 * OVER, DISPLAY[1] + 2 * OVER)))
    uv = np.stack([at[..., 0] / DISPLAY[0], 1 - at[..., 1] / DISPLAY[1]], axis=-1)
    return Lens.from_map(uv.astype(np.float32), display=DISPLAY)


def place_bent(scale: float, turn: float) -> Matrix23:
    """Undistorted plate -> crop: off the lens's centre, where it bends."""
    return place(scale, turn, at=(OVER + 260.37, OVER + 120.61))


def plate_of(matrix: Matrix23) -> F64:
    """(SIZE, SIZE, 2) plate positions of the crop's pixels, by the formula."""
    flat = transform(invert(matrix), centres(Window(0, 0, SIZE, SIZE)).reshape(-1, 2))
    return bent(flat).reshape(SIZE, SIZE, 2)


@pytest.mark.parametrize(("scale", "turn"), PLACES)
def test_a_crop_through_a_lens_shows_each_point_where_the_formula_says(lens, scale, turn):
    matrix = place_bent(scale, turn)
    plate = picture(centres(PLATE)).astype(np.float32)
    crop = align.take(plate, window=PLATE, matrix=matrix, size=SIZE, lens=lens)
    points = plate_of(matrix)
    inside = ((points > 8) & (points < [412, 352])).all(axis=-1)
    straight = transform(
        invert(place(scale, turn, at=(260.37, 120.61))), centres(Window(0, 0, SIZE, SIZE)).reshape(-1, 2)
    )
    assert np.abs(points.reshape(-1, 2) - straight)[inside.ravel()].max() > 1, "the lens bends here"
    assert np.abs(displacement(crop, points, inside)).max() < 0.01
    assert np.abs(crop - picture(points))[inside].max() < 0.012


@pytest.mark.parametrize(("scale", "turn"), PLACES)
def test_a_crop_goes_back_through_a_lens(lens, scale, turn):
    matrix = place_bent(scale, turn)
    window = align.crop_window(matrix, size=SIZE, lens=lens).intersect(PLATE)
    back = align.put(picture(plate_of(matrix)).astype(np.float32), matrix=matrix, window=window, lens=lens)
    here = centres(window)
    in_crop = transform(matrix, unbent(here.reshape(-1, 2))).reshape(here.shape)
    inside = ((in_crop > 8) & (in_crop < SIZE - 8)).all(axis=-1)
    assert inside.sum() > 500
    assert np.abs(displacement(back, here, inside)).max() < 0.01
    assert np.abs(back - picture(here))[inside].max() < 0.01 * np.linalg.norm(slopes(here), axis=-1).max()


@pytest.mark.parametrize("scale", [0.7, 1.0, 2.0, 6.4])
@pytest.mark.parametrize("bent", [False, True])
def test_nothing_is_covered_outside_of_the_crop(lens, scale, bent):
    matrix = place_bent(scale, 0.05)
    window = PLATE
    through = lens if bent else None
    full = np.ones((SIZE, SIZE), np.float32)
    cover = align.put(full, matrix=matrix, window=window, lens=through, coverage=True)
    x, y = np.meshgrid(np.arange(window.x, window.x1) + 0.5, np.arange(window.y, window.y1) + 0.5)
    points = np.stack([x.ravel(), y.ravel()], axis=-1)
    at = transform(matrix, points if through is None else through.from_plate(points)).reshape(*x.shape, 2)
    out = np.maximum(-at, at - SIZE).max(axis=-1)
    blur = 3 + 4 * scale
    assert (out > blur).any()
    assert (cover[out > blur] == 0).all()
    np.testing.assert_allclose(cover[out < -blur], 1.0, atol=1e-5)
    assert align.put(full, matrix=matrix, window=window, lens=through).min() == pytest.approx(1.0), "colours go on"


def test_a_lens_that_does_nothing_changes_nothing():
    at = centres(PLATE)
    uv = np.stack([at[..., 0] / DISPLAY[0], 1 - at[..., 1] / DISPLAY[1]], axis=-1).astype(np.float32)
    none = Lens.from_map(uv, display=DISPLAY)
    plate = np.random.default_rng(3).random((PLATE.height, PLATE.width, 3)).astype(np.float32)
    for scale, turn in PLACES:
        matrix, window = place(scale, turn), Window(150, 120, 100, 110)
        plain = align.take(plate, window=PLATE, matrix=matrix, size=SIZE)
        taken = align.take(plate, window=PLATE, matrix=matrix, size=SIZE, lens=none)
        np.testing.assert_allclose(taken, plain, atol=2e-3)
        back = align.put(plain, matrix=matrix, window=window, lens=none)
        np.testing.assert_allclose(back, align.put(plain, matrix=matrix, window=window), atol=2e-3)
        st = align.stmap(matrix=matrix, window=window, size=SIZE, lens=none)
        np.testing.assert_allclose(st, align.stmap(matrix=matrix, window=window, size=SIZE), atol=1e-5)
        assert align.crop_window(matrix, size=SIZE, lens=none) == align.crop_window(matrix, size=SIZE)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("scale", [0.4, 1.0, 2.5])
def test_channels_do_not_mix_in_a_lens(lens, scale, channels):
    crop = np.random.default_rng(1).random((SIZE, SIZE, channels)).astype(np.float32)
    matrix, window = place_bent(scale, 0.3), Window(240, 100, 50, 40)
    together = align.put(crop, matrix=matrix, window=window, lens=lens)
    taken = align.take(crop, window=Window(200, 60, SIZE, SIZE), matrix=matrix, size=SIZE, lens=lens)
    assert together.shape == (40, 50, channels)
    assert taken.shape == (SIZE, SIZE, channels)
    for i in range(channels):
        part = np.ascontiguousarray(crop[..., i])
        np.testing.assert_allclose(
            together[..., i], align.put(part, matrix=matrix, window=window, lens=lens), atol=1e-5
        )
        alone = align.take(part, window=Window(200, 60, SIZE, SIZE), matrix=matrix, size=SIZE, lens=lens)
        np.testing.assert_allclose(taken[..., i], alone, atol=1e-5)


def test_two_channels_are_placed_as_exactly_as_three():
    pair = np.repeat(picture(centres(PLATE)).astype(np.float32)[..., None], 2, axis=-1)
    matrix = place(0.93, 0.2)
    taken = align.take(pair, window=PLATE, matrix=matrix, size=SIZE)
    np.testing.assert_array_equal(
        taken[..., 1], align.take(np.ascontiguousarray(pair[..., 1]), window=PLATE, matrix=matrix, size=SIZE)
    )


@pytest.mark.parametrize("reduction", [4.8, 6])
def test_shrinking_through_a_lens_does_not_alias(lens, reduction):
    stripes = (np.indices((360, 420)).sum(axis=0) % 2).astype(np.float32)
    crop = align.take(stripes, window=PLATE, matrix=place_bent(1 / reduction, 0.05), size=SIZE, lens=lens)
    assert np.abs(crop[84:108, 84:108] - 0.5).max() < 0.03
    stripes = (np.indices((SIZE, SIZE)).sum(axis=0) % 2).astype(np.float32)
    back = align.put(stripes, matrix=place_bent(reduction, 0.05), window=Window(252, 112, 16, 16), lens=lens)
    assert np.abs(back - 0.5).max() < 0.05


def test_the_window_of_a_bent_crop_holds_all_of_it(lens):
    matrix = place_bent(0.8, 0.5)
    window = align.crop_window(matrix, size=SIZE, lens=lens)
    rim = np.concatenate([np.stack([np.linspace(0, SIZE, 997), np.full(997, edge)], axis=-1) for edge in (0, SIZE)])
    rim = np.concatenate([rim, rim[:, ::-1]])
    at = bent(transform(invert(matrix), rim))
    assert (at >= [window.x + 1, window.y + 1]).all()
    assert (at <= [window.x1 - 1, window.y1 - 1]).all()
    assert (at.min(axis=0) < [window.x + 4, window.y + 4]).all()
    assert (at.max(axis=0) > [window.x1 - 4, window.y1 - 4]).all()


@pytest.mark.parametrize("with_lens", [False, True])
def test_points_go_there_and_back(lens, with_lens):
    which = lens if with_lens else None
    matrix = place_bent(0.6, 0.2) if with_lens else place(0.6, 0.2)
    points = np.random.default_rng(5).uniform(20, 340, (500, 2))
    crop = align.to_crop(points, matrix=matrix, lens=which)
    np.testing.assert_allclose(crop, transform(matrix, unbent(points) if with_lens else points), atol=0.01)
    np.testing.assert_allclose(align.to_plate(crop, matrix=matrix, lens=which), points, atol=0.01)


# ------------------------------------------------------------------------------- STMaps, as another program reads them


def stmap_node(st: F32, source: F32, window: Window, display: tuple[int, int]) -> F64:
    """Nuke's STMap node, from its manual: u and v are 0 at the left and bottom edge of the format, 1 at the others.

    `source` holds the pixels of `window`; outside of it there is black.
    """
    column = st[..., 0].astype(np.float64) * display[0] - 0.5 - window.x
    row = (1.0 - st[..., 1].astype(np.float64)) * display[1] - 0.5 - window.y
    left, top = np.floor(column).astype(int), np.floor(row).astype(int)
    out = np.zeros(st.shape[:2])
    for i, weight_x in ((left, left + 1 - column), (left + 1, column - left)):
        for j, weight_y in ((top, top + 1 - row), (top + 1, row - top)):
            held = (i >= 0) & (i < window.width) & (j >= 0) & (j < window.height)
            out[held] += (weight_x * weight_y)[held] * source[j[held], i[held]]
    return out


def marker(window: Window, at: F64, sigma: float = 2.5) -> F32:
    """A round spot at a position, over `window`."""
    away = centres(window) - at
    return np.exp(-(away**2).sum(axis=-1) / (2 * sigma**2)).astype(np.float32)


def centroid(image: F64, window: Window) -> F64:
    weight = image / image.sum()
    return np.asarray((centres(window) * weight[..., None]).sum(axis=(0, 1)), np.float64)


WINDOWS = [PLATE, Window(-36, -20, 520, 410), Window(90, 30, 300, 270)]


@pytest.mark.parametrize("held", WINDOWS)
@pytest.mark.parametrize("with_lens", [False, True])
def test_markers_land_where_they_belong_through_both_stmaps(lens, with_lens, held):
    which = lens if with_lens else None
    matrix = place_bent(0.8, 0.25) if with_lens else place(0.8, 0.25, at=(260.37, 120.61))
    forward = align.stmap(matrix=matrix, window=held, size=SIZE, lens=which)
    inverse = align.inverse_stmap(matrix=matrix, size=SIZE, display=DISPLAY, lens=which)
    assert forward.dtype == inverse.dtype == np.float32
    assert inverse.shape == (SIZE, SIZE, 2)
    crop = Window(0, 0, SIZE, SIZE)
    for spot in ((240.3, 80.6), (260.0, 120.5), (205.4, 150.9), (318.7, 166.2)):
        plate = np.array([spot])
        wanted = transform(matrix, unbent(plate) if with_lens else plate)[0]
        seen = stmap_node(inverse, marker(held, plate[0]), held, DISPLAY)
        assert np.abs(centroid(seen, crop) - wanted).max() < 0.05
        back = stmap_node(forward, marker(crop, wanted), crop, (SIZE, SIZE))
        assert np.abs(centroid(back, held) - plate[0]).max() < 0.05
