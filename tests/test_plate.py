"""A plate: its frames and its colour, whatever its windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vfxswap import exr
from vfxswap.color import ColorConfig, ModelSpace
from vfxswap.errors import ColorError, FrameError, PlateError
from vfxswap.face import mesh
from vfxswap.geometry import Window
from vfxswap.pixels import WorkingRgb
from vfxswap.plate import Plate, count_bad, open_plate, scrub, skin_gain
from vfxswap.sequence import FrameRange

from .support import face, write_frame

RNG = np.random.default_rng(3)


def plate_of(folder: Path, *pictures: np.ndarray, **layout) -> Plate:
    for i, picture in enumerate(pictures):
        write_frame(folder / f"p.{i + 1:04d}.exr", picture, frame=i + 1, **layout)
    return open_plate(str(folder / "p.####.exr"))


def picture(height: int = 20, width: int = 30) -> np.ndarray:
    return RNG.random((height, width, 3)).astype(np.float16)


def test_pixels_of_a_window_come_in_working_space(tmp_path: Path):
    rgb = picture()
    plate = plate_of(tmp_path, rgb)
    assert plate.space == plate.config.working_space
    image = plate.read(1)
    found, window = plate.working(image, Window(5, 3, 10, 8))
    assert window == Window(5, 3, 10, 8)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, rgb[3:11, 5:15].astype(np.float32))
    found, window = plate.working(image, Window(-5, -3, 10, 8))
    assert window == Window(0, 0, 5, 5)
    np.testing.assert_array_equal(found, rgb[:5, :5].astype(np.float32))
    assert plate.working(image, Window(100, 100, 5, 5))[1].empty


def test_windows_are_those_of_the_display(tmp_path: Path):
    rgb = picture()
    overscan = {"data_window": Window(96, 45, 30, 20), "display_window": Window(100, 50, 20, 10)}
    plate = plate_of(tmp_path, rgb, **overscan)
    image = plate.read(1)
    found, window = plate.working(image)
    assert window == Window(-4, -5, 30, 20)
    found, window = plate.working(image, Window(0, 0, 3, 2))
    np.testing.assert_array_equal(found, rgb[5:7, 4:7].astype(np.float32))
    assert plate.encoded(image, gain=1.0).shape == (10, 20, 3)


def test_trackers_see_the_whole_display_window(tmp_path: Path):
    rgb = picture(10, 12)
    cropped = {"data_window": Window(4, 6, 12, 10), "display_window": Window(0, 0, 40, 30)}
    plate = plate_of(tmp_path, rgb, **cropped)
    seen = plate.encoded(plate.read(1), gain=2.0)
    assert seen.shape == (30, 40, 3)
    wanted = ModelSpace(plate.config, 2.0).encode(WorkingRgb(rgb.astype(np.float32)))
    np.testing.assert_allclose(seen[6:16, 4:16], wanted, atol=1e-3)
    assert seen[:6].max() == 0


def test_another_color_space_is_converted_and_comes_back(tmp_path: Path):
    write_frame(tmp_path / "p.1.exr", picture(), extra={})
    config = ColorConfig.load(None)
    plate = open_plate(str(tmp_path / "p.1.exr"), config=config, color_space="ACES2065-1")
    assert plate.space == "ACES2065-1"
    found, _ = plate.working(plate.read(1))
    raw = plate.read(1).rgb.astype(np.float32)
    assert np.abs(found - raw).max() > 0.05
    np.testing.assert_allclose(plate.to_file(found), raw, atol=1e-5)
    with pytest.raises(ColorError):
        open_plate(str(tmp_path / "p.1.exr"), config=config, color_space="ACEScf")


def test_a_broken_first_frame_does_not_stop_the_shot(tmp_path: Path):
    plate_of(tmp_path, picture(), picture(), picture())
    (tmp_path / "p.0001.exr").write_bytes(bytes(200))
    plate = open_plate(str(tmp_path / "p.####.exr"))
    assert list(plate.frames) == [1, 2, 3]
    with pytest.raises(FrameError, match="not an EXR file") as caught:
        plate.read(1)
    assert caught.value.frame == 1
    plate.read(2)


def test_a_broken_middle_frame_still_leaves_an_exposure(tmp_path: Path):
    plate = plate_of(tmp_path, picture(), picture(), picture())
    wanted = plate.gain_of(plate.read(3))
    (tmp_path / "p.0002.exr").write_bytes(b"\x76\x2f\x31\x01")
    assert plate.first_gain() == wanted


def test_no_good_frame_at_all_is_bad_input(tmp_path: Path):
    plate = plate_of(tmp_path, picture(), picture())
    for frame in (1, 2):
        path = tmp_path / f"p.{frame:04d}.exr"
        path.write_bytes(path.read_bytes()[:300])
    for look in (lambda: open_plate(str(tmp_path / "p.####.exr")), plate.first_gain):
        with pytest.raises(PlateError, match="none of the 2 frames") as caught:
            look()
        assert not isinstance(caught.value, FrameError)
        assert caught.value.exit_code == 4
    with pytest.raises(PlateError) as caught:
        open_plate(str(tmp_path / "p.0001.exr"))
    assert not isinstance(caught.value, FrameError)


def test_frames_asked_for_are_kept_even_where_missing(tmp_path: Path):
    plate_of(tmp_path, picture(), picture())
    plate = open_plate(str(tmp_path / "p.####.exr"), frames=FrameRange.parse("2-4"))
    assert list(plate.frames) == [2, 3, 4]
    with pytest.raises(FrameError, match="not found"):
        plate.read(4)


def test_scrubbing_copies_only_when_it_must():
    clean = WorkingRgb(RNG.random((3, 4, 3)).astype(np.float32))
    assert scrub(clean) is clean
    bad = clean.copy()
    bad[0, 0], bad[1, 1, 2] = [np.nan, np.inf, -np.inf], np.nan
    found = scrub(WorkingRgb(bad))
    assert np.isfinite(found).all()
    assert (found[0, 0] == 0).all()
    np.testing.assert_array_equal(found[2], clean[2])
    assert count_bad(bad) == 4
    assert np.isnan(bad[0, 0, 0])


@pytest.mark.parametrize("level", [0.002, 0.18, 5.0])
def test_skin_goes_to_middle_grey(tmp_path: Path, level: float):
    config = ColorConfig.load(None)
    rgb = np.full((60, 60, 3), level, np.float32)
    points = mesh.skin_points(face(30, 30, 40).landmarks)
    window = Window(0, 0, 60, 60)
    assert skin_gain(WorkingRgb(rgb), window, points, config) == pytest.approx(0.18 / level, rel=1e-4)
    rgb[::3] = np.nan
    assert skin_gain(WorkingRgb(rgb), window, points, config) == pytest.approx(0.18 / level, rel=1e-4)
    assert np.isnan(skin_gain(WorkingRgb(np.zeros_like(rgb)), window, points, config))
    assert np.isnan(skin_gain(WorkingRgb(rgb), window, points + 500, config))


def test_pixels_are_read_as_they_are(tmp_path: Path):
    bits = RNG.integers(0, 2**16, (8, 9, 3), dtype=np.uint16).view(np.float16)
    plate = plate_of(tmp_path, bits)
    np.testing.assert_array_equal(plate.read(1).rgb.view(np.uint16), bits.view(np.uint16))
    assert isinstance(plate.read(1), exr.Frame)
