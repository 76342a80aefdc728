"""Artist mattes: the right channel of the right file, the edge where it was asked for, the same in every window."""

from __future__ import annotations

import numpy as np
import OpenEXR
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfxswap import exr, roto
from vfxswap.errors import FrameError, PlateError, UsageError
from vfxswap.geometry import Window
from vfxswap.matte_input import MatteInput
from vfxswap.pixels import Matte

WIDTH, HEIGHT = 96, 60
DISPLAY = (WIDTH, HEIGHT)
FULL = Window(0, 0, WIDTH, HEIGHT)


def noise(seed=0, *, width=WIDTH, height=HEIGHT, dtype=np.float16):
    """Coverage that differs in every pixel."""
    return np.random.default_rng(seed).random((height, width), np.float32).astype(dtype)


def shape(width=WIDTH, height=HEIGHT):
    """Two soft blobs and a hard bar that runs out of the picture on the left and at the bottom."""
    y, x = np.mgrid[0:height, 0:width] + 0.5
    blobs = np.clip(12 - np.hypot(x - 60, y - 25), 0, 1) + np.clip((6 - np.hypot(x - 25, y - 15)) / 3, 0, 1)
    return np.maximum(blobs, (y - x > 20)).astype(np.float32)


def save(path, channels, **layout):
    exr.write_channels(path, channels=channels, **layout)
    return path


def get(path, window=FULL, *, frame=1001, display=DISPLAY, view="", **changes):
    """`path` may be the whole notation."""
    source = MatteInput(str(path), **changes) if changes or not isinstance(path, str) else MatteInput.parse(path)
    result = roto.read(source, frame=frame, window=window, display=display, view=view)
    assert result.dtype == np.float32
    assert result.shape == (window.height, window.width)
    assert ((result >= 0) & (result <= 1)).all()
    return result


# ---------------------------------------------------------------------------------------------- channels


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_matte_is_read_to_the_bit(tmp_path, dtype):
    plane = noise(dtype=dtype)
    path = save(tmp_path / "m.exr", {"A": plane})
    np.testing.assert_array_equal(get(path), plane.astype(np.float32))


@pytest.mark.parametrize(
    ("names", "picked"),
    [
        (("R", "G", "B", "A"), "A"),
        (("R", "alpha"), "alpha"),
        (("R", "rgba.alpha"), "rgba.alpha"),
        (("hand.mask",), "hand.mask"),
        (("Y",), "Y"),
        (("R", "G", "B"), "R"),
        (("red", "green", "hand.A"), "red"),
    ],
)
def test_without_a_name_it_is_alpha_or_the_only_one_or_red(tmp_path, names, picked):
    planes = {name: noise(i) for i, name in enumerate(names)}
    np.testing.assert_array_equal(get(save(tmp_path / "m.exr", planes)), planes[picked].astype(np.float32))


def test_without_a_name_nothing_is_guessed(tmp_path):
    path = save(tmp_path / "m.exr", {"hand.A": noise(), "hair.A": noise(1)})
    with pytest.raises(PlateError, match=r"no A and no R in the matte, only .*hand\.A.*SEQ:CHANNEL"):
        get(path)


def test_a_named_channel_is_found_exactly_and_else_whatever_its_case(tmp_path):
    planes = {"hand.A": noise(0), "Hand.A": noise(1), "HAIR.mask": noise(2), "A": noise(3)}
    path = save(tmp_path / "m.exr", planes)
    for asked, found in (("hand.A", "hand.A"), ("Hand.A", "Hand.A"), ("hair.MASK", "HAIR.mask"), ("a", "A")):
        np.testing.assert_array_equal(get(f"{path}:{asked}"), planes[found].astype(np.float32))
    with pytest.raises(PlateError) as caught:
        get(f"{path}:hiar.mask")
    assert caught.value.message == "no channel 'hiar.mask' in the matte"
    assert "HAIR.mask" in caught.value.hint
    assert caught.value.path == path
    assert caught.value.frame == 1001


def test_uint_channels_count_as_covered_from_one_on(tmp_path):
    ids = np.arange(WIDTH * HEIGHT, dtype=np.uint32).reshape(HEIGHT, WIDTH) % 3
    np.testing.assert_array_equal(get(save(tmp_path / "m.exr", {"id": ids})), np.minimum(ids, 1))


def test_every_kind_of_channel_in_one_part_is_read_alone(tmp_path):
    planes = {"A": noise(0), "a_id": np.full((HEIGHT, WIDTH), 1, np.uint32), "z": noise(2, dtype=np.float32)}
    head = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    path = tmp_path / "m.exr"
    OpenEXR.File(head, dict(planes)).write(str(path))
    for name, plane in planes.items():
        np.testing.assert_array_equal(get(f"{path}:{name}"), plane.astype(np.float32))


def test_values_that_are_no_coverage_are_made_some(tmp_path):
    plane = np.zeros((HEIGHT, WIDTH), np.float32)
    plane[0, :6] = np.nan, np.inf, -np.inf, 7.0, -1.0, 0.25
    path = save(tmp_path / "m.exr", {"A": plane})
    np.testing.assert_array_equal(get(path)[0, :6], [0, 1, 0, 1, 0, 0.25])
    np.testing.assert_array_equal(get(path, invert=True)[0, :6], [1, 0, 1, 0, 1, 0.75])


def parts(path, named):
    """A multi-part file: (part name, view or None, channels)."""
    made = []
    for name, view, channels in named:
        head = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
        made.append(OpenEXR.Part(head | ({"view": view} if view else {}), channels, name))
    OpenEXR.File(made).write(str(path))
    return path


def test_channels_of_any_part_are_found(tmp_path):
    beauty, hand, hair = noise(0), noise(1), noise(2, dtype=np.float32)
    path = parts(
        tmp_path / "m.exr", [("rgba", None, {"A": beauty}), ("hand", None, {"A": hand}), ("hair", None, {"M": hair})]
    )
    for text, plane in (("", beauty), (":A", beauty), (":hand.A", hand), (":M", hair), (":Hair.m", hair)):
        np.testing.assert_array_equal(get(f"{path}{text}"), plane.astype(np.float32))
    path = parts(tmp_path / "n.exr", [("hand", None, {"A": hand}), ("hair", None, {"A": beauty})])
    with pytest.raises(PlateError, match=r"several channels A.*say which: hand\.A, hair\.A"):
        get(path)


def test_a_stereo_part_has_a_channel_for_each_view(tmp_path):
    planes = {"A": noise(0), "right.A": noise(1), "hand.left.A": noise(2), "hand.right.A": noise(3), "g.A": noise(4)}
    path = tmp_path / "m.exr"
    head = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, "multiView": ["left", "right"]}
    OpenEXR.File(head, dict(planes)).write(str(path))
    for text, view, name in (
        ("", "", "A"),
        ("", "left", "A"),
        ("", "right", "right.A"),
        (":A", "right", "right.A"),
        (":hand.A", "left", "hand.left.A"),
        (":hand.A", "right", "hand.right.A"),
        (":hand.left.A", "right", "hand.left.A"),
        (":g.A", "right", "g.A"),
    ):
        found = get(f"{path}{text}", view=view)
        np.testing.assert_array_equal(found, planes[name].astype(np.float32), f"{text} {view}")
    with pytest.raises(PlateError, match=r"no view 'rihgt'.*did you mean 'right'"):
        get(path, view="rihgt")


def test_one_view_never_stands_for_another(tmp_path):
    path = tmp_path / "m.exr"
    head = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, "multiView": ["left", "right"]}
    OpenEXR.File(head, {"A": noise(0), "right.hand": noise(1)}).write(str(path))
    with pytest.raises(PlateError, match=r"no channel 'A' in the matte"):
        get(f"{path}:A", view="right")
    np.testing.assert_array_equal(get(path, view="right"), noise(1).astype(np.float32))


def test_stereo_parts_are_told_apart_by_their_view(tmp_path):
    left, right = noise(0), noise(1)
    path = parts(tmp_path / "m.exr", [("rgba_right", "right", {"A": right}), ("rgba_left", "left", {"A": left})])
    np.testing.assert_array_equal(get(path), left.astype(np.float32))
    np.testing.assert_array_equal(get(path, view="right"), right.astype(np.float32))
    np.testing.assert_array_equal(get(path, view="left", channel="a"), left.astype(np.float32))


def test_a_view_in_the_path_and_mono_mattes_of_stereo_plates(tmp_path):
    planes = {view: noise(i) for i, view in enumerate(("left", "right"))}
    for view, plane in planes.items():
        save(tmp_path / f"m.{view}.exr", {"A": plane})
        np.testing.assert_array_equal(get(tmp_path / "m.left.exr", view=view), planes["left"].astype(np.float32))
    for view, plane in planes.items():
        np.testing.assert_array_equal(get(tmp_path / "m.%V.exr", view=view), plane.astype(np.float32))
    with pytest.raises(PlateError, match="asks for a view"):
        get(tmp_path / "m.%V.exr")


# ---------------------------------------------------------------------------------------- frames and sizes


def test_each_frame_has_its_file_and_a_missing_one_is_named(tmp_path):
    for frame in (1001, 1002):
        save(tmp_path / f"m.{frame}.exr", {"A": noise(frame)})
    for text in ("m.####.exr", "m.%04d.exr", "m.1001.exr", "m.1001-1002#.exr", "."):
        np.testing.assert_array_equal(get(tmp_path / text, frame=1002), noise(1002).astype(np.float32))
    with pytest.raises(FrameError) as caught:
        get(tmp_path / "m.####.exr", frame=1003)
    assert (caught.value.frame, caught.value.path) == (1003, tmp_path / "m.1003.exr")
    assert "no such frame" in caught.value.message
    with pytest.raises(UsageError):
        get(tmp_path / "m.####.%d.exr")


def test_a_still_holds_for_every_frame(tmp_path):
    path = save(tmp_path / "still.exr", {"A": noise()})
    for frame in (1, 1001, -5):
        np.testing.assert_array_equal(get(path, frame=frame), noise().astype(np.float32))


def test_a_corrupt_file_is_named(tmp_path):
    path = save(tmp_path / "m.exr", {"A": noise(dtype=np.float32)}, compression="none")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(FrameError) as caught:
        get(path)
    assert caught.value.path == path
    path.write_bytes(b"no picture")
    with pytest.raises(PlateError, match="not an EXR"):
        get(path)


def test_another_size_is_refused_with_both(tmp_path):
    path = save(tmp_path / "m.exr", {"A": noise()})
    with pytest.raises(PlateError, match="the matte is 96x60, the plate 128x60"):
        get(path, display=(128, 60))


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("origin", [(0, 0), (-7, 1000)])
def test_the_data_window_may_lie_anywhere(tmp_path, origin, tiled):
    """Smaller than the display window on the left and the top, larger on the right and at the bottom."""
    data = Window(10, 5, WIDTH, HEIGHT)
    plane = noise(dtype=np.float32)
    ends = [(w.x + origin[0], w.y + origin[1], w.x1 + origin[0] - 1, w.y1 + origin[1] - 1) for w in (data, FULL)]
    held, shown = ((np.array(e[:2], np.int32), np.array(e[2:], np.int32)) for e in ends)
    head = {"compression": OpenEXR.ZIP_COMPRESSION, "dataWindow": held, "displayWindow": shown}
    tiles = {"type": OpenEXR.tiledimage, "tiles": OpenEXR.TileDescription()} if tiled else {}
    path = tmp_path / "m.exr"
    OpenEXR.File(head | ({"type": OpenEXR.scanlineimage} | tiles), {"A": plane}).write(str(path))
    window = Window(-20, -20, WIDTH + 60, HEIGHT + 60)
    expected = np.zeros((window.height, window.width), np.float32)
    expected[data.slices(window)] = plane
    np.testing.assert_array_equal(get(path, window), expected)
    np.testing.assert_array_equal(get(path, window, invert=True), 1 - expected)
    for part in (Window(0, 0, 5, 5), Window(8, 3, 4, 4), Window(90, 50, 30, 30), Window(200, 200, 3, 2)):
        covered = np.zeros((part.height, part.width), np.float32)
        common = part.intersect(data)
        if not common.empty:
            covered[common.slices(part)] = plane[common.slices(data)]
        np.testing.assert_array_equal(get(path, part), covered)


# ------------------------------------------------------------------------------------------------- shape


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """The same shape in a file of the whole picture and in one whose data window is tight around a part of it."""
    folder = tmp_path_factory.mktemp("shapes")
    save(folder / "full.exr", {"A": shape()})
    tight = Window(12, 6, 70, 40)
    save(folder / "tight.exr", {"A": shape()[tight.slices(FULL)]}, data_window=tight, display_window=FULL)
    return folder


@settings(max_examples=120, deadline=None)
@given(
    name=st.sampled_from(["full", "tight"]),
    invert=st.booleans(),
    grow=st.sampled_from([0.0, 0.3, 2.0, 5.7, -0.3, -2.0, -5.7]) | st.floats(-8, 8),
    feather=st.sampled_from([0.0, 1.0, 3.0, 12.0]) | st.floats(0, 20),
    x=st.integers(-30, WIDTH + 10),
    y=st.integers(-30, HEIGHT + 10),
    width=st.integers(1, 120),
    height=st.integers(1, 80),
)
def test_a_window_is_a_part_of_the_frame(shapes, name, invert, grow, feather, x, y, width, height):
    changes = {"invert": invert, "grow": grow, "feather": feather}
    around = Window(-30, -30, WIDTH + 170, HEIGHT + 130)
    part = Window(x, y, width, height)
    whole = get(shapes / f"{name}.exr", around, **changes)
    np.testing.assert_array_equal(get(shapes / f"{name}.exr", part, **changes), whole[part.slices(around)])


@pytest.mark.parametrize("feather", [2.0, 4.0, 5.2])
def test_a_window_is_a_part_of_the_frame_to_the_last_bit(tmp_path, feather):
    """OpenCV adds up in another order near the ends of rows: float32 would show it."""
    width, height = 403, 300
    path = save(tmp_path / "noise.exr", {"A": noise(width=width, height=height, dtype=np.float32)})
    display = (width, height)
    whole = get(path, Window(0, 0, width, height), display=display, feather=feather)
    rng = np.random.default_rng(1)
    for _ in range(12):
        x, y = (int(v) for v in rng.integers(0, 250, 2))
        part = Window(x, y, int(rng.integers(5, 150)), int(rng.integers(5, 50)))
        np.testing.assert_array_equal(
            get(path, part, display=display, feather=feather), whole[y : part.y1, x : part.x1]
        )


def edge(tmp_path, at=40):
    plane = np.zeros((HEIGHT, WIDTH), np.float32)
    plane[:, at:] = 1.0
    return save(tmp_path / "edge.exr", {"A": plane})


@pytest.mark.parametrize("pixels", [0.25, 1.0, 3.6, 9.0])
def test_growing_and_eroding_move_the_edge_by_so_many_pixels(tmp_path, pixels):
    path = edge(tmp_path)
    row = get(path, grow=pixels)[30]
    assert row.sum() == pytest.approx(WIDTH - 40 + pixels, abs=0.01)
    assert get(path, grow=-pixels)[30].sum() == pytest.approx(WIDTH - 40 - pixels, abs=0.01)
    inverted = get(path, invert=True, grow=pixels)[30]
    assert inverted.sum() == pytest.approx(40 + pixels, abs=0.01), "what is grown is the inverted matte"


def test_growing_is_round(tmp_path):
    plane = np.zeros((HEIGHT, WIDTH), np.float32)
    plane[30, 48] = 1.0
    grown = get(save(tmp_path / "dot.exr", {"A": plane}), grow=12.0)
    assert grown.sum() == pytest.approx(np.pi * 12.5**2, rel=0.06)
    assert grown[30, 60] == 1.0
    assert grown[30 + 10, 48 + 10] == 0.0


@pytest.mark.parametrize("width", [4.0, 10.0, 21.0])
def test_a_feather_stays_on_the_drawn_edge_and_is_as_wide_as_it_says(tmp_path, width):
    row = get(edge(tmp_path), feather=width)[30]
    assert row.sum() == pytest.approx(WIDTH - 40, abs=0.02), "the edge has not moved"
    assert (np.diff(row) >= -1e-6).all()
    at = np.interp([0.02275, 0.5, 0.97725], row, np.arange(WIDTH) + 0.5)
    assert at[1] == pytest.approx(40, abs=0.05)
    # The pixels themselves are as wide as a small blur: a box adds its variance.
    sigma = np.hypot(width / 4, 12**-0.5)
    assert at[2] - at[0] == pytest.approx(4 * sigma, rel=0.05)


def test_feathering_keeps_areas_of_partial_coverage(tmp_path):
    path = save(tmp_path / "flat.exr", {"A": np.full((HEIGHT, WIDTH), 0.3, np.float32)})
    np.testing.assert_allclose(get(path, feather=10.0), 0.3, atol=1e-6)


def test_inverting_before_or_after_is_the_same(shapes):
    for changes in ({"feather": 9.0}, {}):
        there = get(shapes / "full.exr", **changes)
        np.testing.assert_allclose(get(shapes / "full.exr", invert=True, **changes), 1 - there, atol=2e-6)
    grown, eroded = get(shapes / "full.exr", invert=True, grow=3.5), get(shapes / "full.exr", grow=-3.5)
    np.testing.assert_allclose(grown, 1 - eroded, atol=1 / 256)


def test_a_matte_that_runs_out_of_the_picture_is_not_eroded_there(tmp_path):
    path = save(tmp_path / "all.exr", {"A": np.ones((HEIGHT, WIDTH), np.float32)})
    around = FULL.grow(4)
    expected = np.zeros((HEIGHT + 8, WIDTH + 8), np.float32)
    expected[FULL.slices(around)] = 1.0
    np.testing.assert_array_equal(get(path, around, grow=-6.0, feather=8.0), expected)
    tight = Window(20, 20, 30, 20)
    path = save(tmp_path / "bar.exr", {"A": np.ones((20, 30), np.float32)}, data_window=tight, display_window=FULL)
    inner = np.zeros((HEIGHT, WIDTH), np.float32)
    inner[26:34, 26:44] = 1.0
    np.testing.assert_array_equal(get(path, grow=-6.0), inner, "an edge inside the picture is one")


def test_the_order_is_invert_grow_feather(shapes):
    alone = get(shapes / "full.exr", Window(-40, -40, WIDTH + 80, HEIGHT + 80), invert=True, grow=4.0)
    inner = alone[40:-40, 40:-40]
    assert inner.sum() > (1 - shape()).sum() + 50
    soft = get(shapes / "full.exr", invert=True, grow=4.0, feather=2.0)
    assert np.abs(soft - inner).max() < 0.65
    assert np.abs(soft - inner).mean() < 0.03
    assert soft.sum() == pytest.approx(inner.sum(), rel=0.01)


# ----------------------------------------------------------------------------------------------- together


def test_mattes_are_combined_by_cause():
    window = Window(3, 4, 5, 2)
    first, second, third = (Matte(noise(i, width=5, height=2, dtype=np.float32)) for i in range(3))
    garbage, holdout = MatteInput("g.exr"), MatteInput("h.exr", kind="holdout")
    limit, occlusion = roto.combine([], window)
    np.testing.assert_array_equal(limit, np.ones((2, 5)))
    np.testing.assert_array_equal(occlusion, np.zeros((2, 5)))
    limit, occlusion = roto.combine([(garbage, first), (holdout, second)], window)
    np.testing.assert_array_equal(limit, first)
    np.testing.assert_array_equal(occlusion, second)
    limit, occlusion = roto.combine([(garbage, first), (holdout, second), (garbage, third), (holdout, third)], window)
    np.testing.assert_array_equal(limit, first * third)
    np.testing.assert_allclose(occlusion, 1 - (1 - second) * (1 - third), atol=1e-6)
    assert limit.dtype == occlusion.dtype == np.float32
    np.testing.assert_array_equal(first, noise(0, width=5, height=2, dtype=np.float32), "left alone")


def test_holdouts_never_cover_more_than_everything():
    window = Window(0, 0, 50, 50)
    mattes = [(MatteInput("h.exr", kind="holdout"), Matte(noise(i, width=50, height=50))) for i in range(9)]
    occlusion = roto.combine(mattes, window)[1]
    assert occlusion.max() <= 1.0
    full = [(MatteInput("h.exr", kind="holdout"), Matte(np.ones((50, 50), np.float32)))]
    np.testing.assert_array_equal(roto.combine(mattes + full, window)[1], 1.0)
