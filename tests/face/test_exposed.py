"""Only what is looked at is encoded, and it is what the whole frame would show."""

from __future__ import annotations

import cv2
import numpy as np
import OpenEXR
import pytest

from vfxswap import exr
from vfxswap.color import ModelSpace
from vfxswap.face import shot
from vfxswap.face.exposed import DARKER, Exposed, Spare, Whole
from vfxswap.geometry import Window
from vfxswap.pixels import ModelRgb
from vfxswap.plate import Plate, open_plate

SIZE = (640, 360)
FACE = np.array([[280.0, 130.0], [360.0, 230.0]])


@pytest.fixture(scope="module")
def plate(tmp_path_factory) -> Plate:
    """Smooth light with a highlight of 60, a NaN far from the face, and a data window that leaves a border out."""
    rng = np.random.default_rng(0)
    light = cv2.GaussianBlur(rng.gamma(1.0, 0.4, (SIZE[1], SIZE[0], 3)).astype(np.float32), (0, 0), 5)
    light[20:60, 500:600] = 60.0
    light[300, 40] = np.nan
    path = tmp_path_factory.mktemp("plate") / "p.0001.exr"
    window = Window(16, 8, SIZE[0] - 32, SIZE[1] - 16)
    _write(path, light[window.slices(Window(0, 0, 0, 0))], window)
    return open_plate(str(path))


def _write(path, pixels, window):
    corners = (np.array([window.x, window.y], np.int32), np.array([window.x1 - 1, window.y1 - 1], np.int32))
    display = (np.array([0, 0], np.int32), np.array([SIZE[0] - 1, SIZE[1] - 1], np.int32))
    header = {"type": OpenEXR.scanlineimage, "dataWindow": corners, "displayWindow": display}
    OpenEXR.File(header, {"RGB": pixels.astype(np.float16)}).write(str(path))


@pytest.fixture
def image(plate) -> exr.Frame:
    return plate.read(1)


def exposed(plate, image, **kwargs) -> Exposed:
    return Exposed(shot.seen(plate, 1, image, 0.5), **kwargs)


def test_near_a_face_the_picture_is_the_whole_one_and_around_it_its_blur(plate, image):
    whole = plate.encoded(image, gain=0.5)
    shown = exposed(plate, image).at(0.0, FACE)
    close = Window.around(FACE, margin=45)
    far = Window.around(FACE, margin=105).intersect(Window(0, 0, *SIZE))
    origin = Window(0, 0, 0, 0)
    np.testing.assert_array_equal(shown[close.slices(origin)], whole[close.slices(origin)])
    assert np.abs(shown[far.slices(origin)] - whole[far.slices(origin)]).mean() < 0.01
    assert not shown[:, -100:].any(), "nobody looks there"
    near = exposed(plate, image, afar=False).at(0.0, FACE)
    assert not near[:, : close.x - 40].any()


def test_a_large_face_is_surrounded_by_a_coarse_picture(plate, image):
    face = np.array([[220.0, 80.0], [400.0, 280.0]])
    whole, shown = plate.encoded(image, gain=0.5), exposed(plate, image).at(0.0, face)
    corner = (slice(10, 40), slice(40, 90))
    assert shown[corner].any() and not np.array_equal(shown[corner], whole[corner])
    assert np.abs(shown[corner] - whole[corner]).max() < 0.1
    np.testing.assert_array_equal(shown[80:280, 220:400], whole[80:280, 220:400])


def test_two_faces_share_a_picture_and_neither_spoils_the_other(plate, image):
    first, second = np.array([[100.0, 60.0], [300.0, 300.0]]), np.array([[400.0, 100.0], [560.0, 300.0]])
    whole, seen = plate.encoded(image, gain=0.5), exposed(plate, image)
    seen.at(0.0, first)
    shown = seen.at(0.0, second)
    for face in (first, second):
        part = Window.around(face).slices(Window(0, 0, 0, 0))
        np.testing.assert_array_equal(shown[part], whole[part])


def test_a_picture_is_black_again_before_it_is_used_again(plate, image):
    spare = Spare()
    seen = exposed(plate, image, spare=spare)
    before = seen.at(0.0, FACE)
    assert before.any()
    seen.release()
    assert not before.any()
    again = spare.take(SIZE)
    assert again is before
    assert spare.take((10, 10)).shape == (10, 10, 3)


@pytest.mark.parametrize("stops", [0.0, -5.0, 2.0])
def test_exposures_are_made_of_the_light(stops, plate, image):
    shown = exposed(plate, image).at(stops, FACE)
    part = Window.around(FACE).slices(Window(0, 0, 0, 0))
    np.testing.assert_array_equal(shown[part], plate.encoded(image, gain=0.5 * 2.0**stops)[part])


def test_highlights_hide_a_face_only_from_an_encoded_picture(plate, image):
    found = exposed(plate, image).darker(1000)
    assert found is not None
    dark, factor = found
    assert factor == 1.0
    assert dark[40, 550].max() < 1.0 == plate.encoded(image, gain=0.5)[40, 550].max()
    assert Exposed(plate.encoded(image, gain=0.5)).darker(1000) is None
    np.testing.assert_array_equal(dark, plate.encoded(image, gain=0.5 * 2.0**DARKER))
    small = exposed(plate, image).darker(320)
    assert small is not None and small[0].shape == (180, 320, 3) and small[1] == 2.0


def test_thin_and_small_pictures_are_those_of_the_whole(plate, image):
    whole, seen = plate.encoded(image, gain=0.5), exposed(plate, image)
    np.testing.assert_array_equal(seen.thin((100, 60)), whole[::6, ::6])
    small, factor = seen.small(320)
    assert factor == 2.0 and small.shape == (180, 320, 3)
    ours = cv2.resize(whole, (320, 180), interpolation=cv2.INTER_AREA)
    inside = np.s_[20:140, 40:230]  # means of light and means of codes are the same where light changes slowly
    assert np.abs(small - ours)[inside].max() < 0.02
    assert exposed(plate, image).small(1000)[1] == 1.0


def test_squeezed_pixels_are_made_square():
    rgb = ModelRgb(np.random.default_rng(1).random((40, 60, 3)).astype(np.float32))
    seen = Exposed(rgb, pixel_aspect=2.0)
    assert seen.size == (120, 40) and seen.plate_size == (60, 40)
    np.testing.assert_allclose(seen.scale, [2.0, 1.0])
    assert seen.rgb.shape == (40, 120, 3)


def test_a_whole_source_makes_each_exposure_once():
    made: list[float] = []

    def make(stops: float) -> ModelRgb:
        made.append(stops)
        return ModelRgb(np.full((8, 8, 3), 0.25 * 2.0**stops, np.float32))

    source = Whole(make, deep=True)
    for stops in (0.0, 1.0, 0.0, 1.0):
        assert source.part(Window(1, 1, 2, 3), stops=stops).shape == (3, 2, 3)
    assert made == [0.0, 1.0]


@pytest.mark.parametrize("window", [Window(0, 0, *SIZE), Window(30, 7, 501, 299), Window(-40, -30, 300, 200)])
def test_bands_leave_no_seam(plate, image, window):
    """A window that is encoded in bands is what its rows are by themselves."""
    whole = plate.glance(image, window, gain=0.5)
    rows = [plate.glance(image, Window(window.x, y, window.width, 1), gain=0.5) for y in range(window.y, window.y1, 17)]
    np.testing.assert_array_equal(whole[::17], np.concatenate(rows))
    thin = plate.glance(image, window, gain=0.5, every=3)
    np.testing.assert_array_equal(thin, whole[::3, ::3])


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_a_small_picture_in_bands_is_the_mean_of_areas(plate, image, factor):
    window = Window(48, 24, 552, 312)
    size = (window.width // factor, window.height // factor)
    small = plate.glance(image, window, gain=0.5, size=size)
    every = 2 if factor >= 4 else 1
    light = image.rgb[window.slices(image.origin_window)].astype(np.float32)[::every, ::every]
    mean = cv2.resize(light, size, interpolation=cv2.INTER_AREA)
    assert small.shape == (size[1], size[0], 3)
    expected = ModelSpace(plate.config, 0.5).glance(mean)
    np.testing.assert_allclose(small, expected, atol=1e-3)


def test_a_large_face_close_to_the_edge_is_seen_to_the_edge(plate, image):
    """The coarse picture around a face is made in whole steps, which must not leave a border black."""
    points = np.array([[451.0, 101.0], [623.0, 340.0]])
    shown = exposed(plate, image).at(0.0, points)
    held = shown[image.origin_window.slices(Window(0, 0, 0, 0))]
    assert (held[:, -1].max(axis=1) > 0).all()
    assert (held[-1, 300:].max(axis=1) > 0).all()
